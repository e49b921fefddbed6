"""Lines in, lines out, for ``TERM=dumb``, pipes and files: no prompt_toolkit and no thread."""

import codecs
import os
import termios
from typing import TextIO

import trio

from fantom_trio.repl.standard_input import read_some
from fantom_trio.repl.terminal import (
    LAST_WORDS,
    WIPE,
    Line,
    Outlet,
    Terminal,
    View,
    finished,
    has_style,
    is_capable,
)

__all__ = ["PlainTerminal"]

READ_SIZE = 65536
LINE_SIZE = 1 << 20  # a longer line is cut here: a pipe need not have line feeds at all


class PlainTerminal(Terminal):
    """Reads standard input line by line; prompts only where both ends are a terminal.

    The terminal keeps its own line editing, so that Ctrl-C is a signal here.
    """

    def __init__(self, *, stdin: TextIO | None, stdout: TextIO | None) -> None:
        self._stdin = -1 if stdin is None or stdin.closed else stdin.fileno()
        self._outlet = Outlet(stdout)
        self._styled = has_style(stdout)
        self._to_terminal = stdout is not None and stdout.isatty()
        self._can_wipe = self._to_terminal and is_capable()
        self._prompts = self._to_terminal and self._stdin >= 0 and os.isatty(self._stdin)
        self._view = self._shown = View()
        self._reading = 0  # tasks in read_line
        self._at_prompt = False
        self._wiped = 0  # how often
        self._wipe_is_due = False
        self._over = False
        self._scope = trio.CancelScope()
        self._turn = trio.Lock()
        self._sender, self._receiver = trio.open_memory_channel[Line](0)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        rest = ""
        try:
            with self._scope, self._sender:
                task_status.started()
                while data := await self._read():
                    *lines, rest = (rest + decoder.decode(data)).split("\n")
                    if len(rest) > LINE_SIZE:
                        lines, rest = [*lines, rest], ""
                    for text in lines:
                        await self._deliver(text)
                if rest := rest + decoder.decode(b"", final=True):
                    await self._deliver(rest)
        finally:
            self._over = True
            if self._at_prompt:
                self._outlet.write("\n", patience=LAST_WORDS)
                self._at_prompt = False
            self._wipe()

    async def read_line(self) -> Line:
        self._reading += 1
        try:
            self._prompt()
            line = await self._receiver.receive()
            # No prompt said what the line is for: then it is what the lines before it led to.
            return line if self._prompts else Line(line.text, self._view.context)
        finally:
            self._reading -= 1

    async def read_secret(self, prompt: str) -> str | None:
        # The next line is the answer: no other task may be in read_line.
        if not self._prompts:
            return (await self._receiver.receive()).text
        before = termios.tcgetattr(self._stdin)
        silent = [*before]
        silent[3] = (before[3] & ~termios.ECHO) | termios.ECHONL
        # Before the question: whoever reads it may type at once. Without waiting for the terminal
        # to have read what was written before, as it may not read at all.
        termios.tcsetattr(self._stdin, termios.TCSANOW, silent)
        try:
            await self._say(finished(prompt, styled=False).rstrip("\n"))
            return (await self._receiver.receive()).text
        finally:
            termios.tcsetattr(self._stdin, termios.TCSANOW, before)

    async def write(self, text: str) -> None:
        await self._say(finished(text, styled=self._styled))

    def show(self, view: View) -> None:
        changed = view.prompt != self._view.prompt
        self._view = view
        if not self._prompts or not changed:
            self._shown = view
        elif self._at_prompt:
            # While something is being written the new prompt comes after it.
            if not self._turn.locked():
                self._outlet.write("\n", patience=0)
            self._at_prompt = False
            self._prompt()

    @property
    def columns(self) -> int | None:
        """Where a dumb terminal would wrap, a peer could write into the first column."""
        return self._outlet.size.columns if self._to_terminal else None

    def bell(self) -> None:
        if self._to_terminal:
            self._outlet.write("\a", patience=0)

    def clear(self) -> None:
        if not self._can_wipe:
            return
        self._wiped += 1
        self._wipe_is_due = True
        if self._over:
            self._wipe()
        elif not self._turn.locked():  # else it comes after what is being written
            self._wipe()
            self._prompt()

    def _wipe(self) -> None:
        if self._wipe_is_due:
            self._outlet.write(WIPE, patience=LAST_WORDS)
            self._wipe_is_due = self._at_prompt = False

    async def _say(self, text: str) -> None:
        if self._over:
            self._outlet.write(text, patience=LAST_WORDS)
            return
        wiped = self._wiped
        async with self._turn:
            if wiped != self._wiped:
                return  # it was not shown yet
            if self._at_prompt:
                text, self._at_prompt = "\n" + text, False
            try:
                await self._outlet.send(text)
            finally:
                self._wipe()
        if self._outlet.lost:
            self._scope.cancel()
        self._prompt()

    def _prompt(self) -> None:
        if not self._prompts or not self._reading or self._at_prompt or self._turn.locked():
            return
        self._shown, self._at_prompt = self._view, True
        self._outlet.write("".join(text for _, text in self._view.prompt), patience=0)

    async def _deliver(self, text: str) -> None:
        self._at_prompt = False
        text = text.removesuffix("\r")
        if text.strip():
            await self._sender.send(Line(text, self._shown.context))
        else:
            self._prompt()

    async def _read(self) -> bytes:
        """Empty at the end."""
        try:
            return await read_some(self._stdin, READ_SIZE)
        except (OSError, ValueError):  # closed, or the terminal is gone
            return b""
