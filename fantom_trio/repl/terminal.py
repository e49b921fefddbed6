"""The terminal as the rest of the REPL sees it, and what the two there are have in common.

``ScreenTerminal`` (screen.py) keeps a prompt with a toolbar at the foot of a real terminal;
``PlainTerminal`` (plain.py) serves ``TERM=dumb``, pipes and files. Both are a ``Terminal``.
"""

import contextlib
import math
import os
import re
import select
import time
from abc import ABC, abstractmethod
from typing import TextIO

import trio
from msgspec import Struct

__all__ = ["Fragments", "Line", "Suggestion", "Terminal", "View", "is_capable"]

Fragments = tuple[tuple[str, str], ...]
"""Pairs of a prompt_toolkit style, such as ``"bold ansigreen"``, and a text."""

LAST_WORDS = 1.0  # seconds that the end waits for a terminal that does not read
WIPE = (
    "\x1b[H\x1b[2J\x1b[3J"  # in this order: 2J may put the screen into the scrollback, 3J drops it
)
WRITE_SIZE = 4096  # a pipe that can be written to takes this much without blocking

_STYLE = re.compile("\x1b\\[[0-9;:]*m")
_CONTROL = re.compile("\x1b(?!\\[[0-9;:]*m)|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f]")


class View(Struct, frozen=True):
    """What stands around the input line, and what it means.

    ``toolbar`` is one line, cut to the width; ``context`` comes back with a line.
    """

    prompt: Fragments = ()
    toolbar: Fragments = ()
    context: object = None


class Line(Struct, frozen=True):
    """What a person sent with Enter, or a shortcut for them.

    ``context`` is that of the view that was on the screen, never of a newer one. Line breaks in
    ``text`` are line feeds.
    """

    text: str
    context: object = None


class Suggestion(Struct, frozen=True):
    """One way to go on: ``text`` takes the place of the last ``replaces`` characters."""

    text: str
    replaces: int = 0
    help: str = ""


class Terminal(ABC):
    """Lines in, text out. ``run`` does the work; the rest may be called before, during and after.

    Cancelling ``run`` restores the terminal; what was written and not yet shown is shown then.
    """

    @abstractmethod
    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled or the input ends. However it ends, the terminal is as before."""

    @abstractmethod
    async def read_line(self) -> Line:
        """The next line; empty ones are none. Raises ``trio.EndOfChannel`` at the end of input.

        A cancelled call takes no line.
        """

    @abstractmethod
    async def read_secret(self, prompt: str) -> str | None:
        """A word asked for without showing it; None: declined. The half-typed line stays.

        Raises ``trio.EndOfChannel`` at the end of input. Cancelled, the question goes away.
        """

    @abstractmethod
    async def write(self, text: str) -> None:
        """Whole lines, above the prompt; a missing line feed at the end is added.

        ``text`` is sanitised already and styled with SGR sequences only. Waits while too much is
        still to be shown. Once ``run`` has ended it goes out at once, even when cancelled.
        """

    @abstractmethod
    def show(self, view: View) -> None:
        """Draw another prompt and toolbar; the half-typed line stays."""

    @property
    def columns(self) -> int | None:
        """How wide the screen is; None: what is written is not for a screen."""
        return None

    @property
    def rows(self) -> int | None:
        """How high the screen is; None: what is written is not for a screen."""
        return None

    @property
    def line_is_empty(self) -> bool:
        """Nobody is typing, as far as can be known here."""
        return True

    def give_back(self, text: str) -> None:  # noqa: B027 (what has no screen need not care)
        """A line could not be used: put it back to be edited, unless another is being typed."""

    def bell(self) -> None:  # noqa: B027
        """Ring."""

    def clear(self) -> None:  # noqa: B027
        """Wipe the screen and what was scrolled off it, and what is not shown yet."""

    def forget(self) -> None:
        """``clear``, and drop what was typed: lines sent, the half-typed one, what was cut.

        A ``run`` that is cancelled right after it leaves the screen empty, where it is read.
        """
        self.clear()

    def copy(self, text: str) -> bool:
        """Hand ``text`` to the terminal's clipboard (OSC 52); False where there is none."""
        return False


def finished(text: str, *, styled: bool) -> str:
    """``text`` with a line feed at its end, and without its styles where they are not wanted.

    The last guard: any control character but line feed, tab and SGR becomes U+FFFD.
    """
    if not styled:
        text = _STYLE.sub("", text)
    text = _CONTROL.sub("\ufffd", text)
    return text if text.endswith("\n") else text + "\n"


def has_style(stdout: TextIO | None) -> bool:
    """Styles are wanted: by a terminal, unless NO_COLOR is set (https://no-color.org)."""
    no_color = bool(os.environ.get("NO_COLOR"))
    return not no_color and is_capable() and stdout is not None and stdout.isatty()


def is_capable() -> bool:
    """The terminal, if there is one, can move its cursor."""
    return os.environ.get("TERM", "") not in ("", "dumb", "unknown")


class Outlet:
    """Standard output, written to in a way that can be given up.

    A terminal need not read: a stopped ssh, tmux in copy mode. A blocking write would then hold its
    thread for good. So a terminal is opened a second time, non-blocking: that flag belongs to the
    open file, which we share with the shell. Where that fails (a terminal of another user) writes
    block, and a terminal that does not read delays the end.
    """

    def __init__(self, stdout: TextIO | None) -> None:
        self.lost = stdout is None
        self._encoding = (stdout and stdout.encoding) or "utf-8"
        self._fd = -1
        self._owned = False
        self._give_up_at = math.inf
        if stdout is None:
            return
        stdout.flush()  # what others printed comes first
        self._fd = stdout.fileno()
        if stdout.isatty():
            try:
                flags = os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK
                self._fd, self._owned = os.open(os.ttyname(self._fd), flags), True
            except OSError:
                pass

    def __del__(self) -> None:
        if self._owned:
            os.close(self._fd)

    @property
    def size(self) -> os.terminal_size:
        """Columns and rows of the terminal that this is; 80 and 24 where it does not say."""
        # Not what COLUMNS says: a shell that exports it does not tell us of a new size.
        with contextlib.suppress(OSError):
            columns, rows = os.get_terminal_size(self._fd)
            return os.terminal_size((columns or 80, rows or 24))
        return os.terminal_size((80, 24))

    def give_up_in(self, seconds: float) -> None:
        """From now on no write waits past that, in whatever thread; callable from any."""
        self._give_up_at = min(self._give_up_at, time.monotonic() + seconds)

    def write(self, text: str, patience: float = math.inf) -> None:
        """Blocks until all is written, or dropped: given up, or the reader is gone (``lost``)."""
        data = memoryview(text.encode(self._encoding, "replace"))
        until = time.monotonic() + patience
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        while data and not self.lost:
            left = min(until, self._give_up_at) - time.monotonic()
            # Short waits: giving up may be decided meanwhile.
            if poll.poll(max(0, min(left, 0.1)) * 1000):
                data = data[self._put(data) :]
            elif left <= 0:
                return

    async def send(self, text: str) -> None:
        """The same, waiting as a task. Cancelled, part of the text may have gone out."""
        data = memoryview(text.encode(self._encoding, "replace"))
        while data and not self.lost:
            try:
                await trio.lowlevel.wait_writable(self._fd)
            except PermissionError:  # a regular file: epoll has no use for it, it never blocks
                await trio.lowlevel.checkpoint()
            data = data[self._put(data) :]

    def _put(self, data: memoryview) -> int:
        try:
            return os.write(self._fd, data[:WRITE_SIZE])
        except BlockingIOError:
            return 0
        except OSError:  # EPIPE, EIO: nobody reads any more
            self.lost = True
            return len(data)
