"""The program as a process whose lines come from a pipe, for tests that need no screen."""

import codecs
import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio

from fantom_trio.nursery import Endpoint

PROGRAM = [sys.executable, "-m", "fantom_trio"]
#: Real time to wait for something that happens at once; only a failing test waits so long.
PATIENCE = 30


class Heard:
    """What comes out of one of a program's descriptors, as far as a test waited for it."""

    def __init__(self, stream: trio.abc.ReceiveStream) -> None:
        self.seen = ""
        self._stream = stream
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode

    async def expect(self, text: str) -> str:
        """Read until ``text``, and return what came before it."""
        with trio.fail_after(PATIENCE):
            while text not in self.seen:
                data = await self._stream.receive_some()
                if not data:
                    raise AssertionError(f"no {text!r} in {self.seen!r}")
                self.seen += self._decode(data)
        before, _, self.seen = self.seen.partition(text)
        return before

    async def next(self) -> bytes:
        """What comes next, empty at its end; ``expect`` does not see it."""
        return bytes(await self._stream.receive_some())

    async def rest(self) -> str:
        """All that still comes."""
        with trio.fail_after(PATIENCE):
            while data := await self._stream.receive_some():
                self.seen += self._decode(data)
        return self.seen

    async def hang_up(self) -> None:
        """Read no more of it, and let the program know."""
        await self._stream.aclose()


class Program:
    """A running program: ``say`` writes a line to it, ``expect`` waits for a text on its stdout."""

    def __init__(self, process: trio.Process) -> None:
        assert process.stdin is not None
        self.process = process
        self._stdin = process.stdin
        if process.stdout is not None:
            self.output = Heard(process.stdout)
        if process.stderr is not None:
            self.errors = Heard(process.stderr)

    @property
    def pid(self) -> int:
        return self.process.pid

    async def say(self, line: str) -> None:
        await self._stdin.send_all(line.encode() + b"\n")

    async def hang_up(self) -> None:
        """The end of standard input."""
        await self._stdin.aclose()

    async def expect(self, text: str) -> str:
        """Read until ``text``, and return what came before it."""
        return await self.output.expect(text)

    async def expect_listener(self) -> Endpoint:
        """Where it says that it listens."""
        await self.expect("Listening on ")
        return Endpoint.parse(await self.expect(". Give your peer"))

    async def end(self, number: int | None = None) -> int:
        """Send a signal, if any, and wait for the exit code."""
        with trio.fail_after(PATIENCE):
            if number is not None:
                self.process.send_signal(number)
            return await self.process.wait()


@asynccontextmanager
async def running(
    *arguments: str,
    command: Sequence[str] = PROGRAM,
    env: dict[str, str] | None = None,
    stdout: int = subprocess.PIPE,
    stderr: int | None = None,
) -> AsyncIterator[Program]:
    """A program with these arguments; it is killed at the end if it still runs.

    ``stdout`` and ``stderr`` are a descriptor, or ``PIPE`` to hear it here.
    """
    process = await trio.lowlevel.open_process(
        [*command, *arguments],
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=stderr,
        env=environment(env),
    )
    program = Program(process)
    try:
        yield program
    finally:
        with trio.CancelScope(shield=True):
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
            await process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    await stream.aclose()


@asynccontextmanager
async def following(
    *options: str, stdout: int = subprocess.PIPE, command: Sequence[str] = PROGRAM
) -> AsyncIterator[tuple[Program, Endpoint]]:
    """``--follow`` on a free port of ``::1``, and where it listens."""
    port = str(free_port())
    arguments = ["--follow", "--loopback", "--port", port, *options]
    async with running(
        *arguments, stdout=stdout, stderr=subprocess.PIPE, command=command
    ) as program:
        await program.errors.expect("fantom-trio: Listening on ")
        yield program, Endpoint.parse((await program.errors.expect("\n")).removesuffix("."))


def environment(changes: dict[str, str] | None = None) -> dict[str, str]:
    """Ours, but in English and without what a user has set."""
    kept = {name: value for name, value in os.environ.items() if name != "FANTOM_TRIO_PEER"}
    fixed = {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "XDG_CONFIG_HOME": "/dev/null"}
    return {**kept, **fixed, **(changes or {})}


_ports = itertools.count(30_000 + os.getpid() % 1000)


def free_port() -> int:
    """A port of ``::1`` that a listener may have, and that no connection comes from."""
    while True:
        port = next(_ports)
        with socket.socket(socket.AF_INET6) as sock, contextlib.suppress(OSError):
            sock.bind(("::1", port))
            return port
