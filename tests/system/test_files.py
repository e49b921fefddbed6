"""What a session writes to the disk: nothing but the choice of language."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import PIPE

import certifi
import pytest
import trustme

from tests.person import CTRL_C, CTRL_R, ROOT, Person
from tests.system.namespaces import Host, needs_namespaces
from tests.system.program import PROGRAM, free_port, running
from tests.system.test_port_mapping import OUTSIDE, ROUTER, WHERE, behind_a_router
from tests.system.user import Sit
from tests.wheel import build, install

#: What makes, changes or removes a file, or opens one.
CALLS = (
    "?open,openat,openat2,?creat,?mkdir,mkdirat,?mknod,mknodat,?rename,?renameat,renameat2"
    ",?link,linkat,?symlink,symlinkat,?unlink,unlinkat,?rmdir,truncate,memfd_create,bind"
)
TO_WRITE = re.compile(r"O_(WRONLY|RDWR|CREAT|TRUNC|APPEND|TMPFILE)")
#: A terminal of ours, and what takes everything.
DEVICE = re.compile(r"/dev/(tty|null|pts/\d+)")

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")


def traced(log: Path) -> list[str]:
    """The beginning of a command whose calls are written to ``log``."""
    return ["strace", "-f", "-qq", "-s", "4096", "-o", str(log), "-e", f"trace={CALLS}"]


def written(log: Path) -> set[str]:
    """Files that were made, removed or opened to be written to; of a renamed one its new name."""
    return {path for path in _paths(log) if not DEVICE.fullmatch(path)}


def _paths(log: Path) -> Iterator[str]:
    for line in log.read_text().splitlines():
        called = re.match(r"\d+ +(\w+)\(", line)
        if called is None or (called[1].startswith("open") and not TO_WRITE.search(line)):
            continue
        if called[1] == "bind" and "AF_UNIX" not in line:  # no file comes of it
            continue
        yield re.findall(r'"(.*?)"', line)[-1]


#: One of each.
DEEDS = """
import os, socket
open("opened", "w").close()
os.mkdir("made")
os.mkfifo("fifo")
os.symlink("opened", "soft")
os.link("opened", "hard")
os.truncate("hard", 0)
os.rename("opened", "renamed")
os.unlink("soft")
os.rmdir("made")
os.memfd_create("memory")
socket.socket(socket.AF_UNIX).bind("socket")
socket.socket(socket.AF_INET6).bind(("::1", 0))
open("renamed").close()
"""


@needs_strace
def test_whatever_makes_changes_or_removes_a_file_is_seen(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [*traced(log), sys.executable, "-B", "-c", DEEDS]
    subprocess.run(command, cwd=tmp_path, check=True)
    made = {"opened", "made", "fifo", "soft", "hard", "renamed", "memory", "socket"}
    assert written(log) == made


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the programs of an environment are that has the wheel installed."""
    folder = tmp_path_factory.mktemp("wheel")
    return install(build(folder, env={}), folder / "environment")


@needs_strace
def test_a_full_session_opens_no_file_to_write_but_the_language_and_the_terminal(
    tmp_path: Path, sit: Sit, programs: Path
) -> None:
    home, log, port = tmp_path / "alice", tmp_path / "log", free_port()
    home.mkdir()
    command = [*traced(log), str(programs / "fantom-trio"), "--loopback", "--port", str(port)]
    alice = Person(home, command, rows=50, columns=100, env={"PYTHONPATH": "", "EDITOR": "true"})
    try:
        alice.until(f"Listening on [::1]:{port}")
        bob = sit("bob")
        bob.enter(f"/connect [::1]:{port} as alice")
        bob.until("1 alice ? ▸")
        bob.enter("can you hear me?")
        alice.until("to answer: /switch 1")
        alice.type("\x1b1")
        alice.until("can you hear me?")
        alice.type("/na\t")
        alice.until("/name")
        alice.enter(f"{CTRL_C}/name 1 bob")
        alice.until("1 bob ? ▸")
        alice.enter("every word")
        bob.until("every word")
        alice.type("and with an editor\x18\x05")  # what opens one in a shell
        alice.type(CTRL_C + CTRL_R + "every")
        alice.until("search back: every")
        alice.type(CTRL_C + CTRL_C)
        alice.enter("/doctor")
        alice.until("Your listener answers this machine")
        for line, seen in (
            ("/invite", "fantom:"),
            ("/peers", "bob"),
            ("/history 2", "(delivered)"),
            ("/bell on", "The bell rings"),
            ("/help", "Ctrl-R searches"),
            ("/lang ru", "Теперь язык"),
            ("/lang en", "The language is English now."),
        ):
            alice.enter("/clear")
            alice.enter(line)
            alice.until(seen)
        bob.quit()
        alice.until("bob is gone")
        alice.enter("/burn")
        alice.leave()
    finally:
        alice.close()
    config = home / "config" / "fantom-trio"
    # Written whole under a name of its own, then renamed.
    kept = {path for path in written(log) if not path.startswith(f"{config}/tmp")}
    assert kept == {str(config.parent), str(config), str(config / "language")}
    assert [path.name for path in config.iterdir()] == ["language"]
    assert sorted(path.name for path in home.iterdir()) == ["after", "before", "config"]


@needs_strace
async def test_the_pipe_modes_open_no_file_to_write(tmp_path: Path, programs: Path) -> None:
    program = str(programs / "fantom-trio")
    outside = {"PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "1"}
    logs = tmp_path / "follow", tmp_path / "once"
    port = str(free_port())
    options = ("--follow", "--loopback", "--port", port, "--count", "1")
    async with running(
        *options, command=[*traced(logs[0]), program], stderr=PIPE, env=outside
    ) as follower:
        await follower.errors.expect("Listening on ")
        async with running(
            "--once", f"[::1]:{port}", "text",
            command=[*traced(logs[1]), program], stderr=PIPE, env=outside,
        ) as once:  # fmt: skip
            assert await once.end() == 0
        assert await follower.end() == 0
    for log in logs:
        assert "fantom_trio" in log.read_text()  # it was the installed one that ran
        assert written(log) == set()


#: The address service; arguments: a file with its certificate and key, where it listens.
SERVICE = """
import http.server, socket, ssl, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        address = self.client_address[0].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(address)))
        self.end_headers()
        self.wfile.write(address)
    def log_message(self, *_):
        pass
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1])
server = Server((sys.argv[2], 443), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True)
print("ready", flush=True)
server.serve_forever()
"""
NAME = "address.example"
#: Runs a command where a file stands in the place of another, twice, for it alone.
IN_PLACE = (
    "unshare", "--mount", "sh", "-ec",
    'mount --bind "$1" "$2"; mount --bind "$3" "$4"; shift 4; exec "$@"', "sh",
)  # fmt: skip


@contextmanager
def serving(host: Host, *command: str) -> Iterator[None]:
    """A server that says when it is ready, in Python."""
    with subprocess.Popen(
        host.command(sys.executable, *command), cwd=ROOT, stdin=PIPE, stdout=PIPE, text=True
    ) as server:
        assert server.stdout is not None
        try:
            assert server.stdout.readline() == "ready\n"
            yield
        finally:
            server.kill()


def knowing_the_service(tmp_path: Path) -> tuple[str, list[str]]:
    """Its certificate's file, and the beginning of a command that trusts and finds it."""
    authority = trustme.CA()
    certificate, trusted, hosts = (tmp_path / name for name in ("service.pem", "ca.pem", "hosts"))
    authority.issue_cert(NAME).private_key_and_cert_chain_pem.write_to_path(str(certificate))
    trusted.write_bytes(Path(certifi.where()).read_bytes() + authority.cert_pem.bytes())
    hosts.write_text(f"{OUTSIDE} {NAME}\n")
    return str(certificate), [*IN_PLACE, str(trusted), certifi.where(), str(hosts), "/etc/hosts"]


@needs_namespaces
@needs_strace
@pytest.mark.skipif(shutil.which("nft") is None, reason="a firewall needs nftables' nft")
def test_a_session_in_public_mode_that_opens_its_port_and_verifies_opens_no_file_to_write(
    tmp_path: Path, programs: Path
) -> None:
    home, elsewhere, log = tmp_path / "alice", tmp_path / "bob", tmp_path / "log"
    home.mkdir()
    elsewhere.mkdir()
    certificate, beginning = knowing_the_service(tmp_path)
    with ExitStack() as open_now:
        host, router, outside = open_now.enter_context(behind_a_router())
        open_now.enter_context(serving(router, "-m", "tests.pcp_server", ROUTER, "lan"))
        open_now.enter_context(serving(outside, "-c", SERVICE, certificate, OUTSIDE))
        options = "--open-port", "--ip-service", f"https://{NAME}/"
        program = *traced(log), str(programs / "fantom-trio"), *options
        alice = Person(
            home, host.command(*beginning, *program),
            rows=60, columns=160, env={"PYTHONPATH": ""},
        )  # fmt: skip
        open_now.callback(alice.close)
        alice.until(f"Listening on {WHERE}")
        alice.until(f"Your router has opened {WHERE}")
        bob = Person(
            elsewhere, outside.command(*PROGRAM, "--address", OUTSIDE), rows=60, columns=160
        )
        open_now.callback(bob.close)
        bob.until("Listening on")
        bob.enter(f"/connect {WHERE} as alice")
        alice.until("connected to you")
        alice.enter("/switch 1")
        alice.until("? ▸")
        alice.enter("can you hear me?")
        bob.until("can you hear me?")
        # To the clipboard, by OSC 52.
        alice.enter("/address")
        alice.until("is sent to your terminal's clipboard")
        assert b"\x1b]52;c;" in alice.seen
        alice.enter("/invite --qr")
        alice.until("fantom://")
        for person in (alice, bob):
            person.enter("/clear")
            person.enter("/verify")
        for person in (alice, bob):
            person.until("yes if they are the same")
            person.enter("/verify yes")
        for person in (alice, bob):
            person.until("✓ ▸")
        alice.enter("/clear")
        alice.enter("/doctor")
        alice.until("The address service sees you come from")
        alice.until("dialed you back")
        alice.enter("/burn")
        alice.leave()
    traces = log.read_text()
    assert "fantom_trio" in traces  # it was the installed one that ran
    assert "AF_NETLINK" in traces  # and what it binds is seen
    assert written(log) == set()
    assert sorted(path.name for path in home.iterdir()) == ["after", "before"]
