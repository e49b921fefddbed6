"""How a drawing gets onto the terminal and off it again, also when the width changed meanwhile."""

import asyncio
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

from prompt_toolkit.application import Application
from prompt_toolkit.data_structures import Point
from prompt_toolkit.layout import Layout
from prompt_toolkit.output.color_depth import ColorDepth
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.renderer import Renderer
from prompt_toolkit.styles import BaseStyle
from prompt_toolkit.utils import get_cwidth

from fantom_trio.repl.terminal import Outlet

__all__ = ["Drawing", "Paper", "does_reflow"]

#: Seconds that a new width has to last before anything is drawn: tmux wraps at once and tells the
#: new width up to a quarter of a second later, and a window is pulled through many widths.
SETTLING = 0.3

_WIDER_ELSEWHERE = "\u1100"  # from here on terminals do not agree on widths


def does_reflow(environment: Mapping[str, str]) -> bool:
    """Rows that become too long are wrapped by the terminal; most do, and none can be asked."""
    if "TMUX" in environment:
        return True  # whatever it runs in
    return environment.get("TERM") != "linux" and not {"XTERM_VERSION", "STY"} & set(environment)


class Paper(Vt100_Output):
    """Writes through the outlet, and several flushes as one where they belong together.

    Never asks for the cursor's position: nothing here needs it, a terminal that does not answer
    would cost a warning, and a late answer would end up in the shell. So columns are told, not
    counted from where the cursor may be: an emoji is not equally wide everywhere.
    """

    def __init__(self, stdout: TextIO, outlet: Outlet, lost: Callable[[], None]) -> None:
        sized = Vt100_Output.from_pty(stdout)
        super().__init__(
            stdout,
            sized.get_size,
            term=os.environ.get("TERM"),
            default_color_depth=ColorDepth.from_env(),
            enable_cpr=False,
        )
        self._outlet = outlet
        self._lost = lost
        self._held = False
        self._column = 0

    def flush(self) -> None:
        """Hand over what was collected, unless held; blocks while the terminal does not read."""
        if self._held or not self._buffer:
            return
        data, self._buffer = "".join(self._buffer), []
        self._outlet.write(data)
        if self._outlet.lost:
            self._lost()

    @contextmanager
    def held(self) -> Iterator[None]:
        """What is flushed within goes out at the end, without flicker."""
        outer, self._held = self._held, True
        try:
            yield
        finally:
            self._held = outer
            self.flush()

    def write(self, data: str) -> None:
        """One character with its marks, or line breaks."""
        if data.startswith("\r"):
            super().write(data)
            self._column = 0
            return
        width = get_cwidth(data)
        self._column += width
        if len(data) == 1 and data < _WIDER_ELSEWHERE:
            super().write(data)
            return
        # Where it turns out narrower, nothing of what stood there before may remain.
        self.write_raw(f"\x1b[{max(width, 1)}X")
        super().write(data)
        self._go()

    def cursor_forward(self, amount: int) -> None:
        """To the right, by the columns as they were planned."""
        self._column += amount
        if amount:
            self._go()

    def cursor_backward(self, amount: int) -> None:
        """To the left, likewise."""
        self.cursor_forward(-amount)

    def erase_down(self) -> None:
        """From the first column of this row to the end of the screen."""
        # Not from the first column: at the top tmux would keep what it erases in its scrollback.
        self.write_raw("\x1b[2K\x1b[C\x1b[J")
        self.write("\r")

    def _go(self) -> None:
        self.write_raw(f"\x1b[{self._column + 1}G")


class Drawing(Renderer):
    """Finds its first row again when the terminal has wrapped its rows anew.

    While it is wrapping, and has not yet told its last width, what is drawn lands nobody knows
    where: so nothing is. What was wrapped beyond the top of the screen stays in the scrollback.
    """

    def __init__(self, style: BaseStyle, paper: Paper) -> None:
        self._paper = paper
        self._reflows = does_reflow(os.environ)
        self._columns = 0
        self._changed = -math.inf
        self._waiting = False
        self.is_drawn = False  # by the last ``render``
        super().__init__(style, paper)

    @property
    def is_settled(self) -> bool:
        """The terminal has the width that it says it has."""
        now, columns = time.monotonic(), self._paper.get_size().columns
        if columns != self._columns:
            if self._columns and self._reflows:
                self._changed = now
            self._columns = columns
        return now - self._changed >= SETTLING

    def reset(self, _scroll: bool = False, leave_alternate_screen: bool = True) -> None:
        """Begin where the cursor is, which is in the first column."""
        super().reset(_scroll, leave_alternate_screen)
        self._longest: dict[int, int] = {}  # by row, since it was erased

    def render(self, app: Application[Any], layout: Layout, is_done: bool = False) -> None:
        """Draw what changed, or all of it at a new size; not settled: later."""
        self.is_drawn = self.is_settled
        if not self.is_drawn:
            if not self._waiting:
                self._waiting = True
                asyncio.get_running_loop().call_later(SETTLING, self._try_again, app)
            return
        with self._paper.held():
            if self._last_size not in (None, self._paper.get_size()):
                self.erase()
            super().render(app, layout, is_done)
            if self._has_blank_ends():
                self.erase()
                super().render(app, layout, is_done)
                self._has_blank_ends()

    def erase(self, leave_alternate_screen: bool = True) -> None:
        """Take the drawing away; the cursor is where it began."""
        self._paper.write("\r")
        self._cursor_pos = Point(x=0, y=self._rows_above())
        super().erase(leave_alternate_screen)

    def _try_again(self, app: Application[Any]) -> None:
        self._waiting = False
        app.invalidate()

    def _has_blank_ends(self) -> bool:
        """A row above the cursor is shorter than it was: some terminals wrap the blank rest too."""
        found = False
        if self._last_screen is not None:
            for row in range(self._last_screen.height):
                length = sum(self._widths(row))
                self._longest[row] = max(length, self._longest.get(row, 0))
                found |= row < self._cursor_pos.y and self._longest[row] > length
        return found

    def _rows_above(self) -> int:
        """Of this drawing, from its first one to the cursor's, at the width there is now."""
        cursor, size, columns = self._cursor_pos, self._last_size, self._paper.get_size().columns
        if not self._reflows or size is None or columns >= size.columns:
            return cursor.y
        above = sum(_rows(self._widths(row), columns) for row in range(cursor.y))
        return above + _rows(self._widths(cursor.y, cursor.x), columns) - 1

    def _widths(self, row: int, last: int | None = None) -> Iterator[int]:
        """Of the characters that were drawn in a row, up to the one in column ``last``."""
        assert self._last_screen is not None
        assert self._last_size is not None
        cells = self._last_screen.data_buffer[row]
        if last is None:
            has_style = self._style_string_has_style
            assert has_style is not None
            drawn = (x for x, cell in cells.items() if cell.char != " " or has_style[cell.style])
            last = min(self._last_size.columns - 1, max(drawn, default=0))
        column = 0
        while column <= last:
            width = cells[column].width or 1
            yield width
            column += width


def _rows(widths: Iterator[int], columns: int) -> int:
    """How many rows characters of these widths take."""
    rows, column = 1, 0
    for width in widths:
        if column + width > columns:
            rows, column = rows + 1, 0
        column += width
    return rows
