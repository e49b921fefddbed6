"""How long people wait for the program to start, and what it costs while nobody does anything."""

import compileall
import functools
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect
import psutil

import fantom_trio
from benchmarks.processes import OURS, Other, environment, on

__all__ = [
    "bare_once",
    "bare_repl",
    "cpu_seconds",
    "free_port",
    "idle",
    "in_a_terminal",
    "once",
    "pass_time",
    "prompt",
    "prompt_without_network",
]

#: What ``--once`` and the REPL cannot do without.
ONCE_NEEDS = "import trio, nacl.bindings"
REPL_NEEDS = "import trio, prompt_toolkit, nacl.bindings"
#: The end of the prompt, and what is typed behind it: not a sign that stands anywhere else.
PROMPT, KEY = "▸".encode(), "一".encode()


def once() -> float:
    """Milliseconds of ``--once`` to a node on loopback, from its start to exit code 0."""
    with Other("node") as other:
        where = f"[::1]:{other.hear()}"
        return _lasted("-m", "fantom_trio", "--once", where, "a message of the usual length")


def bare_once() -> float:
    """Milliseconds of a Python that imports what it needs and ends."""
    return _lasted("-c", ONCE_NEEDS)


@functools.cache
def _compile() -> None:
    """As an installer does, so that no run does it."""
    compileall.compile_dir(Path(fantom_trio.__file__).parent, quiet=2)


def _lasted(*arguments: str) -> float:
    _compile()
    with tempfile.TemporaryDirectory() as home:
        env = environment(XDG_CONFIG_HOME=home, LC_ALL="C.UTF-8")
        start = time.perf_counter()
        with on(OURS):
            program = subprocess.Popen(
                [sys.executable, *arguments], env=env, stderr=subprocess.DEVNULL
            )
        code = program.wait()
        lasted = 1000 * (time.perf_counter() - start)
    assert code == 0, f"it ended with {code}"
    return lasted


def prompt(*arguments: str) -> float:
    """Milliseconds from the program's start until a key that is typed at its prompt is shown."""
    _compile()
    arguments = arguments or ("--loopback", "--port", str(free_port()))
    start = time.perf_counter()
    with in_a_terminal("-m", "fantom_trio", *arguments) as program:
        program.expect_exact(PROMPT, timeout=20)
        program.send(KEY)
        program.expect_exact(KEY, timeout=20)
        return 1000 * (time.perf_counter() - start)


def prompt_without_network() -> float:
    """The same while the service that is to tell our address accepts and never answers."""
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as silent:
        service = f"https://[::1]:{silent.getsockname()[1]}/"
        return prompt("--port", str(free_port()), "--ip-service", service)


def bare_repl() -> float:
    """Milliseconds from the start of a Python until it imported what the REPL needs."""
    start = time.perf_counter()
    with in_a_terminal("-c", f"{REPL_NEEDS}; print('imported')") as program:
        program.expect_exact(b"imported", timeout=20)
        return 1000 * (time.perf_counter() - start)


def idle(count: int, seconds: float, *, settle: float = 3) -> float:
    """Per cent of a core that the REPL uses with ``count`` native peers that say nothing.

    ``settle``: seconds before, until all that they did is on the screen.
    """
    port = free_port()
    # As most use it, and not with --loopback: the network is watched, too.
    arguments = "--address", f"[::1]:{port}"
    with in_a_terminal("-m", "fantom_trio", *arguments) as program:
        program.expect_exact(f"Listening on [::1]:{port}".encode(), timeout=20)
        with Other("peers", port) as peers:
            peers.ask(count)
            pass_time(program, settle)
            before, start = cpu_seconds(program.pid), time.perf_counter()
            pass_time(program, seconds)
            used = cpu_seconds(program.pid) - before
            return 100 * used / (time.perf_counter() - start)


def cpu_seconds(pid: int | None) -> float:
    """What a process used, with all its threads: to the nanosecond where the system says so."""
    tasks = Path(f"/proc/{pid}/task")
    try:
        return (
            sum(int((each / "schedstat").read_text().split()[0]) for each in tasks.iterdir()) / 1e9
        )
    except OSError:
        times = psutil.Process(pid).cpu_times()
        return float(times.user + times.system)


@contextmanager
def in_a_terminal(*arguments: str) -> "Iterator[pexpect.spawn[bytes]]":
    """A Python with these arguments in a pseudo-terminal of its own."""
    with tempfile.TemporaryDirectory() as home:
        env = environment(TERM="xterm", XDG_CONFIG_HOME=home, LC_ALL="C.UTF-8")
        with on(OURS):
            program: pexpect.spawn[bytes] = pexpect.spawn(
                sys.executable, list(arguments), env=env, dimensions=(40, 120)
            )
        program.delaybeforesend = None
        try:
            yield program
        finally:
            program.close(force=True)


def pass_time(program: "pexpect.spawn[bytes]", seconds: float) -> None:
    """Let time go by as a typist does, and read what is printed meanwhile."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        try:
            program.read_nonblocking(1 << 16, timeout=left)
        except pexpect.TIMEOUT:
            return


def free_port() -> int:
    """A port on loopback where nobody listens."""
    with socket.socket(socket.AF_INET6) as sock:
        sock.bind(("::1", 0))
        port: int = sock.getsockname()[1]
        return port
