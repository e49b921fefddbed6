"""A real tmux: it wraps rows anew when it is resized, joins emoji, and keeps what scrolled away."""

import subprocess
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.person import PATIENCE, ROOT, environment

__all__ = ["Tmux"]


class Tmux:
    """One window of a server of its own, with one program in it; ``close`` ends both.

    ``home`` is the program's home and working folder.
    """

    def __init__(
        self, home: Path, command: Sequence[str], *, rows: int = 24, columns: int = 80
    ) -> None:
        self._server = f"fantom-{uuid.uuid4().hex}"
        self._environment = environment(home, "xterm")
        #: Without a configuration, and without the status line, whose rows would be missing.
        self._tmux(
            "-f", "/dev/null", "new-session", "-d", "-x", f"{columns}", "-y", f"{rows}", "-c",
            str(home), *command,
            ";", "set", "-g", "status", "off", ";", "set", "-g", "window-size", "manual",
            ";", "set", "-g", "remain-on-exit", "on", ";", "set", "-g", "remain-on-exit-format", "",
            ";", "set", "-g", "history-limit", "5000",
        )  # fmt: skip
        self.columns = columns
        self.resize(columns, rows)

    @property
    def text(self) -> str:
        """The screen as it is read, without the blanks on the right and below."""
        return _trimmed(self._tmux("capture-pane", "-p"))

    @property
    def everything(self) -> str:
        """The screen, and before it what scrolled off it."""
        return _trimmed(self._tmux("capture-pane", "-p", "-S", "-"))

    @property
    def cursor(self) -> tuple[int, int]:
        """Column and row, from 0."""
        answer = self._tmux("display-message", "-p", "#{cursor_x} #{cursor_y}")
        column, row = answer.split()
        return int(column), int(row)

    @property
    def under_cursor(self) -> str:
        """The character on which the cursor is."""
        return self._tmux("display-message", "-p", "#{cursor_character}").removesuffix("\n")

    @property
    def is_running(self) -> bool:
        return self._tmux("display-message", "-p", "#{pane_dead}").strip() == "0"

    def type(self, text: str) -> None:
        """Bytes as a terminal sends them, keys and escape sequences alike."""
        data = text.encode()
        for start in range(0, len(data), 1000):
            self._tmux("send-keys", "-H", *(f"{byte:02x}" for byte in data[start : start + 1000]))

    def enter(self, text: str) -> None:
        self.type(text + "\r")

    def paste(self, text: str) -> None:
        self.type(f"\x1b[200~{text}\x1b[201~")

    def resize(self, columns: int, rows: int | None = None) -> None:
        size = ["-x", f"{columns}", *(["-y", f"{rows}"] if rows else [])]
        self._tmux("resize-window", *size)
        self.columns = columns

    def until(self, wanted: str | Callable[[], bool]) -> None:
        """Look until the screen shows a text, or something is true."""
        deadline = time.monotonic() + PATIENCE
        while not (wanted in self.text if isinstance(wanted, str) else wanted()):
            assert time.monotonic() < deadline, f"no {wanted!r} on\n{self.text}"

    def close(self) -> None:
        self._tmux("kill-server")

    def _tmux(self, *arguments: str) -> str:
        done = subprocess.run(
            ["tmux", "-L", self._server, *arguments],
            cwd=ROOT,
            env=self._environment,
            capture_output=True,
            timeout=PATIENCE,
            check=True,
        )
        return done.stdout.decode()


def _trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.split("\n")).rstrip()
