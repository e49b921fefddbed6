"""``make lint`` fails for a known vulnerability and for an audit that breaks down, and not where
there is nobody to ask: what pip and pip-audit really say there."""

import hashlib
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.audit_environment import audit_program
from tests.wheel import ROOT, build

#: Where nobody listens (tcpmux).
NOBODY = "http://127.0.0.1:1"
Answer = tuple[int, bytes]
DONE = (sys.executable, "-c", "")


def run(
    *command: str, install: tuple[str, ...] = DONE, env: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Exit code and words of the audit, with nothing set that says how pip or requests work."""
    ours = ("PIP_", "REQUESTS_", "CURL_", "SSL_", "MAKE", "MFLAGS")
    kept = {name: text for name, text in os.environ.items() if not name.startswith(ours)}
    kept = {name: text for name, text in kept.items() if not name.lower().endswith("_proxy")}
    ended = subprocess.run(
        [sys.executable, ROOT / ".ci" / "audit.py", *install, "--", *command],
        env={**kept, "PIP_CONFIG_FILE": os.devnull, "PIP_NO_CACHE_DIR": "1", **(env or {})},
        capture_output=True,
        text=True,
    )
    return ended.returncode, ended.stdout + ended.stderr


# What pip-audit found.


def audit(stdout: str, stderr: str = "", code: int = 0) -> tuple[int, str]:
    """After a pip-audit that says this."""
    said = f"import sys; print({stdout!r}); print({stderr!r}, file=sys.stderr); sys.exit({code})"
    return run(sys.executable, "-c", said)


def told(*dependencies: Mapping[str, object]) -> str:
    return json.dumps({"dependencies": dependencies, "fixes": []})


GOOD = {"name": "trio", "version": "0.35.0", "vulns": []}
FLAW = {"id": "PYSEC-2026-1", "fix_versions": ["1.3"], "description": ""}
BAD = {"name": "attrs", "version": "1.2", "vulns": [FLAW]}
UNKNOWN = {"name": "httpx", "skip_reason": "Dependency not found on PyPI and could not be audited"}
UNREAD = {"name": "httpx", "skip_reason": "URL requirements cannot be pinned to a version"}
SILENT = "pip-audit: skipped, the registry in use tells nothing of vulnerabilities\n"


def test_no_known_vulnerability_is_told_with_how_many_packages_were_looked_at() -> None:
    assert audit(told(GOOD, GOOD)) == (0, "pip-audit: 2 packages without a known vulnerability\n")


def test_a_known_vulnerability_fails_and_is_named() -> None:
    code, words = audit(told(GOOD, BAD, UNKNOWN), code=1)
    assert code == 1
    assert "attrs 1.2: PYSEC-2026-1, fixed in 1.3" in words


def test_one_package_that_nothing_is_known_of_fails() -> None:
    code, words = audit(told(GOOD, UNKNOWN))
    assert code == 1
    assert words.startswith("pip-audit: nothing is known of httpx\n")


def test_a_registry_that_tells_nothing_of_any_package_is_no_clean_audit() -> None:
    assert audit(told(UNKNOWN, UNKNOWN)) == (0, SILENT)


@pytest.mark.parametrize(
    ("stdout", "code"),
    [(told(UNREAD, UNREAD), 0), (told(), 0), (told(GOOD), 3), ("", 0), ("", 2)],
    ids=["unread", "nothing", "good and 3", "silent", "silent and 2"],
)
def test_an_audit_that_looked_at_nothing_or_broke_down_fails(stdout: str, code: int) -> None:
    code, words = audit(stdout, "pip-audit: error: no such option", code)
    assert code == 1
    assert "skipped" not in words


def test_one_that_was_installed_and_is_not_there_fails(tmp_path: Path) -> None:
    code, words = run(str(tmp_path / "pip-audit"))
    assert (code, words) == (1, "pip-audit: it was installed, and is not there\n")


# How pip installs it: from an index of ours, on loopback.


@contextmanager
def serving(answer: Callable[[str], Answer], tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """The URL of an HTTP server that gives an answer for each path."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, content = answer(self.path)
            self.send_response(status)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http{'s' if tls else ''}://localhost:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def certified(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


@pytest.fixture
def install(tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Have pip install a package from the index at a URL, with a pinned hash."""

    def installed(index: str, *, digest: str = "0" * 64, **env: str) -> tuple[int, str]:
        wanted = tmp_path / "wanted.txt"
        wanted.write_text(f"fantom-trio==0.1.0 --hash=sha256:{digest}\n")
        pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
        into = ("--no-deps", "--target", str(tmp_path / "into"), "--index-url", f"{index}/simple")
        command = (*pip, *into, "--require-hashes", "-r", str(wanted))
        said = (sys.executable, "-c", f"print({told(GOOD)!r})")
        return run(*said, install=command, env={"PIP_TIMEOUT": "2", **env})

    return installed


def shop(wheel: Path, content: bytes | None = None) -> Callable[[str], Answer]:
    """An index with one package, which has this content."""
    page = f'<a href="/files/{wheel.name}">{wheel.name}</a>'.encode()
    sold = wheel.read_bytes() if content is None else content
    return lambda path: (200, sold if path.startswith("/files/") else page)


ABSENT = (
    "pip-audit: skipped, it is not installed, and no package index that is in reach offers it\n"
)


def test_where_the_package_index_cannot_be_reached_one_line_says_so(
    install: Callable[..., tuple[int, str]],
) -> None:
    assert install(NOBODY) == (0, ABSENT)
    assert install("http://127.0.0.1", http_proxy=NOBODY) == (0, ABSENT)


def test_an_index_that_never_answers_cannot_be_reached(
    install: Callable[..., tuple[int, str]],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        at = f"http://127.0.0.1:{mute.getsockname()[1]}"
        assert install(at, PIP_TIMEOUT="0.2", PIP_RETRIES="0") == (0, ABSENT)


def test_where_the_package_index_does_not_offer_it_one_line_says_so(
    install: Callable[..., tuple[int, str]],
) -> None:
    with serving(lambda path: (404, b"")) as index:
        assert install(index) == (0, ABSENT)
    with serving(lambda path: (200, b"<html></html>")) as index:
        assert install(index) == (0, ABSENT)


@pytest.mark.parametrize("status", [400, 403, 500])
def test_an_index_that_refuses_the_request_fails(
    install: Callable[..., tuple[int, str]], status: int
) -> None:
    with serving(lambda path: (status, b"")) as index:
        code, words = install(index, PIP_RETRIES="0")
    assert code == 1
    assert words.startswith("pip-audit: the package index did not do as we asked: ")
    assert str(status) in words.splitlines()[0]


def test_a_package_with_another_hash_fails(
    install: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    with serving(shop(build(tmp_path, env={}))) as index:
        code, words = install(index)
    assert code == 1
    first, *rest = words.splitlines()
    assert first == (
        "pip-audit: a package for it is not the one that is pinned: its hash is another"
    )
    assert any("Expected sha256 " + "0" * 64 in line for line in rest)


def test_a_package_that_is_broken_fails(
    install: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    content = b"no wheel at all"
    digest = hashed(content)
    with serving(shop(build(tmp_path, env={}), content)) as index:
        code, words = install(index, digest=digest)
    assert code == 1
    assert words.startswith("pip-audit: it could not be installed\n")
    assert "invalid" in words


def test_an_index_whose_certificate_is_not_trusted_fails(
    install: Callable[..., tuple[int, str]], authority: trustme.CA
) -> None:
    with serving(lambda path: (404, b""), certified(authority, "localhost")) as index:
        code, words = install(index, PIP_RETRIES="0")
    assert code == 1
    assert words.startswith("pip-audit: the package index's certificate cannot be trusted\n")


def test_what_is_installed_well_is_audited(
    install: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    wheel = build(tmp_path, env={})
    with serving(shop(wheel)) as index:
        ended = install(index, digest=hashed(wheel.read_bytes()))
    assert ended == (0, "pip-audit: 1 packages without a known vulnerability\n")


def hashed(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# How the real pip-audit asks: a proxy of ours, on loopback, leads to a service of ours.


@contextmanager
def leading_to(service: str | None) -> Iterator[str]:
    """The URL of an HTTP proxy from which every way leads to ``service``, or none does."""

    class Handler(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            if service is None:
                self.send_error(403)
                return
            self.send_response(200)
            self.end_headers()
            with socket.create_connection(("127.0.0.1", int(service.rpartition(":")[2]))) as there:
                back = threading.Thread(target=pass_on, args=(there, self.connection))
                back.start()
                pass_on(self.connection, there)
                back.join()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def pass_on(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # whoever reads no more need not be told more


def ask(tmp_path: Path, proxy: str, *, trusted: Path | None = None) -> tuple[int, str]:
    """The real audit of one package."""
    wanted = tmp_path / "wanted.txt"
    wanted.write_text(f"attrs==1.2 --hash=sha256:{'0' * 64}\n")
    return run(
        str(audit_program("pip-audit")), "--require-hashes", "--disable-pip",
        "--progress-spinner", "off", "--cache-dir", str(tmp_path / "cache"), "--timeout", "5",
        "--format", "json", "-r", str(wanted),
        env={"HTTPS_PROXY": proxy, **({"REQUESTS_CA_BUNDLE": str(trusted)} if trusted else {})},
    )  # fmt: skip


@pytest.fixture
def asking(tmp_path: Path, authority: trustme.CA) -> Callable[[int, object], tuple[int, str]]:
    """Ask a service, which gives one answer to everything, as PyPI."""
    trusted = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(trusted))

    def asked(status: int, answer: object) -> tuple[int, str]:
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        tls = certified(authority, "pypi.org")
        with serving(lambda path: (status, content), tls) as service, leading_to(service) as proxy:
            return ask(tmp_path, proxy, trusted=trusted)

    return asked


Asking = Callable[[int, Any], tuple[int, str]]


def test_what_the_service_knows_of_a_package_is_told(asking: Asking) -> None:
    flaw = {
        "id": "PYSEC-2026-1", "aliases": [], "fixed_in": ["1.3"], "summary": "", "withdrawn": None,
    }  # fmt: skip
    code, words = asking(200, {"vulnerabilities": [flaw]})
    assert (code, words) == (
        1,
        "pip-audit: known vulnerabilities\n  attrs 1.2: PYSEC-2026-1, fixed in 1.3\n",
    )


def test_a_service_that_knows_of_nothing_bad_is_believed(asking: Asking) -> None:
    ended = asking(200, {"vulnerabilities": []})
    assert ended == (0, "pip-audit: 1 packages without a known vulnerability\n")


def test_a_service_that_does_not_have_the_package_tells_nothing(asking: Asking) -> None:
    assert asking(404, {}) == (0, SILENT)


@pytest.mark.parametrize("status", [400, 403, 503])
def test_a_service_that_refuses_the_request_fails(asking: Asking, status: int) -> None:
    code, words = asking(status, {})
    assert code == 1
    assert words.startswith(
        f"pip-audit: the vulnerability service did not do as we asked: {status} "
    )


def test_a_service_that_answers_nonsense_fails(asking: Asking) -> None:
    code, words = asking(200, b"<html>")
    assert code == 1
    assert words.startswith("pip-audit: it broke down\n")


def test_a_service_whose_certificate_is_not_trusted_fails(
    tmp_path: Path, authority: trustme.CA
) -> None:
    tls = certified(authority, "pypi.org")
    with serving(lambda path: (200, b"{}"), tls) as service, leading_to(service) as proxy:
        code, words = ask(tmp_path, proxy)
    assert code == 1
    assert words.startswith("pip-audit: the vulnerability service's certificate cannot be trusted")


def test_a_service_that_cannot_be_reached_is_told_in_one_line(tmp_path: Path) -> None:
    line = "pip-audit: skipped, the vulnerability service cannot be reached\n"
    assert ask(tmp_path, NOBODY) == (0, line)
    assert ask(tmp_path, "http://nobody.invalid:1") == (0, line)
    with leading_to(None) as refusing:
        assert ask(tmp_path, refusing) == (0, line)
