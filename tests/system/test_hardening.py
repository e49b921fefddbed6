"""What gets out of the process: into cores, other processes and crash reports."""

import json
import os
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from subprocess import PIPE

import pytest

from tests.person import CTRL_C, Person
from tests.system.program import PROGRAM, following, free_port, running
from tests.system.test_memory import STAYING, memory
from tests.system.test_memory import pytestmark as reads_memory
from tests.system.user import Sit

#: Tells what the system knows of the process when the first task is about to run.
WATCHED = """
import ctypes, os, ssl, sys, trio
from fantom_trio import cli
run = trio.run
def watched(*them):
    ssl.create_default_context()
    os.write(2, b"dumpable %d." % ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
    return run(*them)
trio.run = watched
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux says of a process")
@pytest.mark.parametrize(
    "arguments",
    [
        ("--loopback", "--port", "30995"),
        ("--demo",),
        ("--follow", "--loopback", "--port", "30995"),
        ("--once", "[::1]:30995", "--lines"),
    ],
    ids=lambda arguments: arguments[0],
)
async def test_no_core_is_dumped_nobody_reads_the_memory_and_files_are_ours_alone(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    command = [sys.executable, "-c", WATCHED]
    keys = tmp_path / "keys"
    env = {"SSLKEYLOGFILE": str(keys)}  # Python would write the keys of TLS into it
    async with running(*arguments, command=command, stderr=PIPE, env=env) as program:
        await program.errors.expect("dumpable 0.")
        limits, status = (told_by_system(program.pid, what) for what in ("limits", "status"))
        assert re.search(r"^Max core file size +0 +0 +bytes", limits, re.MULTILINE)
        assert "Umask:\t0077\n" in status
    assert not keys.exists()


def told_by_system(pid: int, what: str) -> str:
    return Path(f"/proc/{pid}/{what}").read_text()


#: Root may lock what it likes as long as it has this capability.
UNPRIVILEGED = ("setpriv", "--inh-caps=-ipc_lock", "--bounding-set=-ipc_lock")
NOTHING_LOCKED = ("sh", "-c", 'ulimit -l 0; exec "$@"', "sh")


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv")
async def test_that_keys_are_not_locked_in_memory_is_told_at_the_start_and_by_the_doctor() -> None:
    dropped = UNPRIVILEGED if os.geteuid() == 0 else ()
    command = [*dropped, *NOTHING_LOCKED, *PROGRAM]
    async with running("--loopback", "--port", str(free_port()), command=command) as program:
        await program.expect("· The system does not let this program lock its memory")
        await program.expect_listener()
        await program.say("/doctor")
        await program.expect("· ! The system does not let this program lock its memory")


#: Of what the system is asked at the start it refuses one thing.
NO_PRCTL = (
    "strace", "-f", "-qq", "-o", os.devnull, "-e", "trace=prctl", "-e", "inject=prctl:error=EPERM",
)  # fmt: skip
NO_LIMIT = """
import resource, sys
from fantom_trio import cli
def setrlimit(*them):
    raise PermissionError
resource.setrlimit = setrlimit
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("command", "told"),
    [
        pytest.param(
            [*NO_PRCTL, *PROGRAM],
            "The system does not let this program close its memory: other programs",
            marks=pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace"),
        ),
        (
            [sys.executable, "-c", NO_LIMIT],
            "The system does not let this program turn core dumps off: a crash may",
        ),
    ],
    ids=["prctl", "setrlimit"],
)
@pytest.mark.skipif(sys.platform != "linux", reason="refuses what Linux is asked")
async def test_a_way_out_that_stays_open_is_told_at_the_start_and_by_the_doctor(
    command: list[str], told: str
) -> None:
    async with running("--loopback", "--port", str(free_port()), command=command) as program:
        before = await program.expect(f"· {told}")
        assert "The system does not" not in before
        after = await program.expect("Listening on ")
        assert "The system does not" not in after
        await program.say("/doctor")
        assert "The system does not" not in await program.expect(f"· ! {told}")


# Crash reports: each bug has the secret in its exception, in the one before, and in a variable.

SECRET = "quincunx and marmalade"
BUG = f"""
import sys
from fantom_trio import cli
def bug(*_them, **_more):
    word = "{SECRET}"
    try:
        {{}}[word]
    except KeyError as error:
        raise ValueError(word) from error
async def async_bug(*them, **more):
    bug()
"""
MAIN = "sys.exit(cli.main(sys.argv[1:]))"
#: What /lang ru does, once the program is up.
IN_LANG = """
from fantom_trio.repl import languages
use = languages.use
def use_or(language):
    act() if language == "ru" else use(language)
languages.use = use_or
"""
IN_A_TASK = "from fantom_trio.repl.app import App; App._show = async_bug\n"
IN_A_DEL = """
class Bad:
    __del__ = bug
def act():
    Bad()
"""
IN_A_THREAD = """
import threading
def act():
    thread = threading.Thread(target=bug)
    thread.start()
    thread.join()
"""
IN_A_LOG = """
import logging
def act():
    try:
        bug()
    except ValueError as error:
        logging.getLogger("asyncio").exception(error)
"""
IN_THE_TERMINAL = """
from fantom_trio.repl.editor import Editor
draw = Editor.draw
def draw_or(self, text=""):
    bug() if "The bell" in text else draw(self, text)
Editor.draw = draw_or
"""
IN_ONCE = "cli.send_once = async_bug\n"
IN_FOLLOW = "from fantom_trio.follow import _Follower; _Follower._write_new = async_bug\n"


def assert_names_the_place(report: str, place: str) -> None:
    assert report.count("A bug in fantom-trio: please report these lines") == 1
    assert re.search(r"^fantom-trio: KeyError\n.*^fantom-trio: ValueError\n", report, re.M | re.S)
    assert re.search(rf"^fantom-trio:     {place}$", report, re.MULTILINE)
    assert_tells_nothing(report)


def assert_tells_nothing(told: str) -> None:
    assert "Traceback" not in told
    for word in SECRET.split(" and "):
        assert word not in told


def at_home(folder: Path) -> dict[str, str]:
    """Where the language may be remembered."""
    return {"XDG_CONFIG_HOME": str(folder)}


@pytest.mark.parametrize(
    ("bugs", "line", "place"),
    [
        (IN_A_TASK, "/connect [::1]:9", r"fantom_trio/repl/app.py:\d+ in App._show_events"),
        ("act = bug" + IN_LANG, "/lang ru", r"fantom_trio/repl/slash/program.py:\d+ in lang"),
    ],
    ids=["task", "command"],
)
async def test_a_bug_that_ends_the_program_is_reported_by_place_and_not_by_value(
    tmp_path: Path, bugs: str, line: str, place: str
) -> None:
    command = [sys.executable, "-c", BUG + bugs + "\n" + MAIN]
    options = ("--loopback", "--port", str(free_port()))
    async with running(*options, command=command, stderr=PIPE, env=at_home(tmp_path)) as program:
        await program.expect_listener()
        await program.say(line)
        assert_names_the_place(await program.errors.rest(), place)
        assert_tells_nothing(await program.output.rest())
        assert await program.end() == 1


@pytest.mark.parametrize("bugs", [IN_A_DEL, IN_A_THREAD], ids=["__del__", "thread"])
async def test_a_bug_that_ends_nothing_is_reported_in_the_same_way(
    tmp_path: Path, bugs: str
) -> None:
    command = [sys.executable, "-c", BUG + bugs + IN_LANG + MAIN]
    options = ("--loopback", "--port", str(free_port()))
    async with running(*options, command=command, stderr=PIPE, env=at_home(tmp_path)) as program:
        await program.expect_listener()
        await program.say("/lang ru")
        await program.say("/quit")
        assert_names_the_place(await program.errors.rest(), r"<string>:\d+ in bug")
        assert await program.end() == 0


async def test_what_a_library_logs_of_an_error_is_not_printed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", BUG + IN_A_LOG + IN_LANG + MAIN]
    options = ("--loopback", "--port", str(free_port()))
    async with running(*options, command=command, stderr=PIPE, env=at_home(tmp_path)) as program:
        await program.expect_listener()
        await program.say("/lang ru")
        await program.say("/quit")
        assert await program.errors.rest() == ""
        assert await program.end() == 0


def test_a_bug_in_the_terminal_s_thread_is_reported_when_the_terminal_is_restored(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-c", BUG + IN_THE_TERMINAL + MAIN]
    person = Person(
        tmp_path, [*command, "--loopback", "--port", str(free_port())], rows=60, columns=100
    )
    try:
        person.until("Listening")
        person.enter("/bell on")
        person.leave(code=1)
        assert_names_the_place(
            person.text, r"fantom_trio/repl/screen.py:\d+ in ScreenTerminal._draw"
        )
    finally:
        person.close()


async def test_a_bug_of_once_is_reported_and_is_the_problem_in_its_object() -> None:
    command = [sys.executable, "-c", BUG + IN_ONCE + MAIN]
    arguments = ("--once", "[::1]:9", "text", "--json")
    async with running(*arguments, command=command, stderr=PIPE) as program:
        assert_names_the_place(await program.errors.rest(), r"fantom_trio/cli.py:\d+ in _send")
        outcome = json.loads(await program.output.rest())
        assert outcome["exit"] == await program.end() == 1
        assert not outcome["delivered"]
        assert outcome["problem"] == "A bug in fantom-trio ended it."


async def test_a_bug_of_follow_is_reported_by_place_and_not_by_value() -> None:
    command = [sys.executable, "-c", BUG + IN_FOLLOW + MAIN]
    async with (
        following(command=command) as (follower, where),
        running("--once", str(where), SECRET, stderr=PIPE) as once,
    ):
        place = r"fantom_trio/follow.py:\d+ in _Follower.run"
        assert_names_the_place(await follower.errors.rest(), place)
        assert await follower.end() == 1
        assert await once.end() == 5


# Memory.

#: Texts typed by one, heard by the other, and whole sentences of another alphabet.
TYPED = [f"quincunx {number:02d} marmalade and more of it" for number in range(12)]
HEARD = [f"halcyon {number:02d} zeppelin over there" for number in range(12)]
FOREIGN = [f"апельсин {number:02d} не падает далеко" for number in range(12)]
TEXTS = [*TYPED, *HEARD, *FOREIGN]
#: Typed and dropped.
UNSENT = "a line that was never sent"
#: Of all those, in any encoding that Python uses. When this was written: 0 to 1.
LEFT = 3


def texts_in(pid: int, texts: Sequence[str]) -> int:
    """How often one of the texts stands in the memory of a process."""
    wanted = [
        text.encode(encoding) for text in texts for encoding in ("utf-8", "utf-16-le", "utf-32-le")
    ]
    return sum(region.count(each) for region in memory(pid) for each in wanted)


@reads_memory
@pytest.mark.parametrize("end", ["/burn", "/quit"])
def test_of_what_was_written_next_to_nothing_is_left_in_memory(
    tmp_path: Path, sit: Sit, end: str
) -> None:
    home, port = tmp_path / "alice", free_port()
    home.mkdir()
    command = [sys.executable, "-c", STAYING, "--loopback", "--port", str(port)]
    alice = Person(home, command, rows=60, columns=100)
    try:
        alice.until(f"Listening on [::1]:{port}")
        bob = sit("bob")
        bob.enter(f"/connect [::1]:{port} as alice")
        bob.until("1 alice ? ▸")
        alice.until("connected to you")
        alice.enter("/switch 1")
        alice.until("? ▸")
        for typed, heard, foreign in zip(TYPED, HEARD, FOREIGN, strict=True):
            alice.enter(typed)
            bob.until(typed)
            bob.enter(heard)
            bob.enter(foreign)
            alice.until(foreign)
        alice.type(UNSENT)
        alice.until(UNSENT)
        alice.type(CTRL_C)
        children = Path(f"/proc/{alice.child.pid}/task/{alice.child.pid}/children").read_text()
        pid = int(children.split()[0])
        assert texts_in(pid, TEXTS) >= len(TEXTS)
        assert texts_in(pid, [UNSENT])
        alice.enter(end)
        alice.until("ended with 0")
        assert texts_in(pid, TEXTS) <= LEFT
        assert end != "/burn" or not texts_in(pid, [UNSENT])
    finally:
        alice.close()
