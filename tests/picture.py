"""The picture in the README: a real session on two real terminals, drawn as SVG.

``make picture`` runs this file. What is drawn is what the program wrote to its terminal.
"""

import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pyte
from wcwidth import wcwidth

from tests.person import ROOT, Person

ROWS, COLUMNS = 22, 88
FILE = ROOT / "docs" / "session.svg"
PROGRAM = [sys.executable, "-m", "fantom_trio"]
PORTS = {"alice": 40001, "bob": 40002, "carol": 40003}

#: Pixels of a cell, and around the whole.
WIDTH, HEIGHT, MARGIN = 8.4, 18.0, 14.0
BACKGROUND = "#1c1f26"
COLOURS = {
    "default": "#d5d9e0", "brightblack": "#7d8593", "red": "#f07178", "green": "#9ccc65",
    "brown": "#ffcb6b", "cyan": "#80cbc4", "blue": "#82aaff", "magenta": "#c792ea",
}  # fmt: skip


class _Screen(pyte.Screen):
    """Knows faint text, which pyte passes over: drawn grey."""

    def select_graphic_rendition(self, *attributes: int) -> None:
        super().select_graphic_rendition(*(90 if each == 2 else each for each in attributes))


@contextmanager
def session(home: Path) -> Iterator[pyte.Screen]:
    """Alice's screen at the end of a chat with Bob, who is verified, and Carol, who waits."""
    people = {name: _sit_down(home / name, port) for name, port in PORTS.items()}
    alice, bob, carol = people.values()
    try:
        alice.enter(f"/connect [::1]:{PORTS['bob']} as bob")
        alice.until("1 bob ? ▸")
        bob.until("connected to you")
        bob.enter("/switch 1")
        alice.enter("hello! is it you?")
        bob.until("is it you?")
        bob.enter("it is. Shall we make sure?\x1b\rI have you on the phone")
        alice.until("on the phone")
        alice.enter("/verify")
        bob.until("wants to compare a code")
        bob.enter("/verify")
        code = re.compile(r"\d{4} \d{4}")
        alice.until(lambda: bool(code.search(alice.text)))
        alice.enter("/verify yes")
        alice.until("1 bob ✓ ▸")
        alice.enter("the same digits here, and your voice ✓")
        bob.until("your voice")
        carol.enter(f"/connect [::1]:{PORTS['alice']} as alice")
        carol.until("1 alice ? ▸")
        carol.enter("dinner at eight?")
        carol.enter("bring the map")
        alice.until("+2")
        alice.type("shall I ask caro")
        alice.until("ask caro")
        yield alice.screen
    finally:
        for person in people.values():
            person.close()


def _sit_down(home: Path, port: int) -> Person:
    home.mkdir()
    person = Person(home, [*PROGRAM, "--loopback", "--port", str(port)], rows=ROWS, columns=COLUMNS)
    person.screen = _Screen(COLUMNS, ROWS)
    person.stream = pyte.ByteStream(person.screen)
    person.until(f"Listening on [::1]:{port}")
    person.until("▸")
    return person


def drawn(screen: pyte.Screen) -> str:
    """The screen as SVG; every run of one style keeps to its cells, whatever the font is."""
    used = [row for row, line in enumerate(screen.display) if line.strip()]
    width, height = 2 * MARGIN + COLUMNS * WIDTH, 2 * MARGIN + (used[-1] + 1) * HEIGHT
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}"'
        f' width="{width:g}" height="{height:g}" role="img">',
        "<title>A chat in fantom-trio</title>",
        f'<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/>',
        "<g font-family=\"ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace\""
        ' font-size="14" xml:space="preserve">',
    ]
    for row in used:
        lines += _runs(screen.buffer[row], MARGIN + (row + 0.75) * HEIGHT)
    column, row = screen.cursor.x, screen.cursor.y
    lines.append(
        f'<rect x="{MARGIN + column * WIDTH:g}" y="{MARGIN + row * HEIGHT:g}" width="{WIDTH:g}"'
        f' height="{HEIGHT:g}" fill="{COLOURS["default"]}" opacity="0.6"/>'
    )
    return "\n".join([*lines, "</g>", "</svg>", ""])


def _runs(cells: dict[int, Any], y: float) -> Iterator[str]:
    def style(at: int) -> tuple[str, bool]:
        return cells[at].fg, cells[at].bold

    for (colour, bold), group in groupby(range(COLUMNS), style):
        run = [at for at in group if cells[at].data]
        text = "".join(cells[at].data for at in run)
        start = len(text) - len(text.lstrip())
        text = text.strip()
        if text:
            size = sum(max(wcwidth(char), 0) for char in text) * WIDTH
            weight = ' font-weight="bold"' if bold else ""
            yield (
                f'<text x="{MARGIN + (run[0] + start) * WIDTH:g}" y="{y:g}"'
                f' fill="{COLOURS[colour]}"{weight} textLength="{size:g}">{escape(text)}</text>'
            )


def main() -> None:
    with tempfile.TemporaryDirectory() as home, session(Path(home)) as screen:
        FILE.write_text(drawn(screen), encoding="utf-8")


if __name__ == "__main__":
    main()
