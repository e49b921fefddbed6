"""Somebody at a real pseudo-terminal: types, looks at the screen, waits for what should come."""

import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pexpect
import pyte

ROOT = Path(__file__).parents[1]
#: Real time to wait for something that happens at once; only a failing test waits so long.
PATIENCE = 20.0
#: And for the rest of a screen.
SETTLING = 1.0
CTRL_A, CTRL_C, CTRL_D, CTRL_R = "\x01", "\x03", "\x04", "\x12"
UP, DOWN = "\x1b[A", "\x1b[B"

#: The state of the terminal before and after, and the exit code where it can be seen.
_SHELL = "sh", "-c", 'stty -a >before; "$@"; echo "[exit $?]"; stty -a >after', "sh"


def environment(home: Path, term: str) -> dict[str, str]:
    """A program's: nothing of the terminal that the tests run in, and nothing of the user's."""
    outside = ("NO_COLOR", "TMUX", "TMUX_PANE", "STY", "XTERM_VERSION")
    inherited = {name: value for name, value in os.environ.items() if name not in outside}
    return inherited | {
        "TERM": term,
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / "config"),
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "LC_ALL": "C.UTF-8",
    }


class Person:
    """One terminal with one program in it; ``home`` is the program's home and working folder.

    ``answers``: the terminal answers questions for its cursor's place, as most do.
    """

    def __init__(
        self,
        home: Path,
        command: Sequence[str],
        *,
        rows: int = 24,
        columns: int = 80,
        answers: bool = True,
        term: str = "xterm",
        env: dict[str, str] | None = None,
    ) -> None:
        self.home = home
        self.screen = pyte.Screen(columns, rows)
        if answers:
            self.screen.write_process_input = self.type  # type: ignore[method-assign,assignment]
        self.stream = pyte.ByteStream(self.screen)
        self.seen = b""
        self.child: pexpect.spawn[bytes] = pexpect.spawn(
            _SHELL[0],
            [*_SHELL[1:], *command],
            cwd=str(home),
            # pyte wraps nothing anew, like xterm.
            env=environment(home, term) | {"XTERM_VERSION": "pyte"} | (env or {}),
            dimensions=(rows, columns),
            echo=True,
        )
        self.child.delaybeforesend = None

    @property
    def text(self) -> str:
        """The screen as it is read, without the blanks on the right and below."""
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip()

    def type(self, text: str) -> None:
        self.child.send(text)

    def enter(self, text: str) -> None:
        """A line and the Enter key."""
        self.type(text + "\r")

    def paste(self, text: str) -> None:
        self.type(f"\x1b[200~{text}\x1b[201~")

    @property
    def drawn(self) -> bool:
        """Nothing is missing that is always there."""
        return True

    def look(self) -> bool:
        """Read what came; False at the end."""
        return self._read() is not None

    def _read(self) -> bytes | None:
        """What came, perhaps nothing; None at the end."""
        try:
            data: bytes = self.child.read_nonblocking(65536, timeout=0.02)
        except pexpect.TIMEOUT:
            return b""
        except pexpect.EOF:
            return None
        self.seen += data
        self.stream.feed(data)
        return data

    def until(self, wanted: str | Callable[[], bool]) -> None:
        """Look until the screen shows a text, or something is true, and all that comes with it."""
        deadline = time.monotonic() + PATIENCE
        while not (wanted in self.text if isinstance(wanted, str) else wanted()):
            going_on = self.look()
            assert going_on or (isinstance(wanted, str) and wanted in self.text), self.text
            assert time.monotonic() < deadline, f"no {wanted!r} on\n{self.text}"
        # It may have been read in the middle of a screen; where more comes all the time, it is
        # looked at as it is.
        deadline = time.monotonic() + SETTLING
        while (self._read() or not self.drawn) and time.monotonic() < deadline:
            pass

    def leave(self, *, code: int = 0) -> None:
        """The program ends, and the terminal is as it was before."""
        self.until(f"[exit {code}]")
        while self.look():
            pass
        self.child.close()
        before, after = ((self.home / name).read_text() for name in ("before", "after"))
        assert re.sub("(rows|columns) .*?;", "", after) == re.sub("(rows|columns) .*?;", "", before)
        assert "-isig" not in before
        assert pyte.modes.DECTCEM in self.screen.mode
        assert self.seen.rfind(b"\x1b[?2004l") >= self.seen.rfind(b"\x1b[?2004h")
        assert b"\x1b[6n" not in self.seen  # no cursor report is asked for, none comes late

    def close(self) -> None:
        """Whatever still runs ends."""
        self.child.close(force=True)
