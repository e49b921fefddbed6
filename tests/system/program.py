"""The program as a process whose lines come from a pipe, for tests that need no screen."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio

from fantom_trio.nursery import Endpoint

PROGRAM = [sys.executable, "-m", "fantom_trio"]
#: Real time to wait for something that happens at once; only a failing test waits so long.
PATIENCE = 30


class Program:
    """A running program: ``say`` writes a line to it, ``expect`` waits for a text on its stdout."""

    def __init__(self, process: trio.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process = process
        self.seen = ""
        self._stdin = process.stdin
        self._stdout = process.stdout

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
        with trio.fail_after(PATIENCE):
            while text not in self.seen:
                data = await self._stdout.receive_some()
                if not data:
                    raise AssertionError(f"no {text!r} in {self.seen!r}")
                self.seen += data.decode("utf-8", "replace")
        before, _, self.seen = self.seen.partition(text)
        return before

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
) -> AsyncIterator[Program]:
    """A program with these arguments; it is killed at the end if it still runs."""
    process = await trio.lowlevel.open_process(
        [*command, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={
            **os.environ, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8",
            "XDG_CONFIG_HOME": "/nonexistent", **(env or {}),
        },
    )  # fmt: skip
    program = Program(process)
    try:
        yield program
    finally:
        with trio.CancelScope(shield=True):
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
            await process.wait()
            for stream in (process.stdin, process.stdout):
                assert stream is not None
                await stream.aclose()
