"""Somebody at a terminal with the whole program in it."""

import re
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from tests.person import Person

PROGRAM = [sys.executable, "-W", "error", "-m", "fantom_trio"]


def free_port() -> int:
    with socket.socket(socket.AF_INET6) as sock:
        sock.bind(("::1", 0))
        port: int = sock.getsockname()[1]
        return port


class User(Person):
    """At a running fantom-trio that listens on ``::1``."""

    def __init__(self, home: Path, *options: str, rows: int = 30, columns: int = 100) -> None:
        home.mkdir()
        self.port = free_port()
        options = options or ("--loopback", "--port", str(self.port))
        super().__init__(home, [*PROGRAM, *options], rows=rows, columns=columns)
        self.until("▸")
        if "--demo" not in options:
            self.until(f"Listening on [::1]:{self.port}")

    @property
    def address(self) -> str:
        return f"[::1]:{self.port}"

    @property
    def pid(self) -> int:
        """The program's own, below the shell."""
        children = Path(f"/proc/{self.child.pid}/task/{self.child.pid}/children").read_text()
        return int(children.split()[0])

    @property
    def drawn(self) -> bool:
        """The prompt is there, or the program is gone."""
        return "▸" in self.text or "[exit" in self.text

    @property
    def prompt(self) -> str:
        """The line with the prompt; empty while it is drawn anew."""
        return next((line for line in self.text.split("\n") if "▸" in line), "")

    @property
    def toolbar(self) -> str:
        return self.text.split("\n")[-1]

    def sees(self, pattern: str) -> None:
        """Wait for a line that matches, its time aside."""
        line = re.compile(r"^\d\d:\d\d (· )?" + pattern, re.MULTILINE)
        self.until(lambda: bool(line.search(self.text)))

    def quit(self) -> None:
        self.enter("/quit")
        self.leave()
        assert "▸" not in self.text


#: Sits somebody down at a terminal of their own: their name, options, rows and columns.
Sit = Callable[..., User]
