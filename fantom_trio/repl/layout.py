"""How wide a text is, and how it is broken into lines that fit.

Terminals disagree on how wide a text is; a line that one draws wider than we think would go on in
the column where times and names stand. So cells are counted as the least able terminal draws them:
an emoji of several parts as all its parts, a character that may be narrow or wide as wide. Only a
terminal that is set to draw Greek and Cyrillic in two cells is taken for one that is not.
"""

import functools
import os
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate

from fantom_trio.repl.kinds import LETTERS, REMEMBERED, STACKED, VARIED, wcwidth

__all__ = ["cells", "cut", "fold", "wrap"]

_TIED = f"{STACKED}S"
_STYLE = re.compile("\x1b\\[[0-9]+m")
_VARIED = re.compile(VARIED)
_FSI, _PDI = "\u2068\u2069"
_NOT_SPACE = re.compile("[^ ]|\\Z")
# The Linux console has no combining marks: it draws each beside its base.
_MARK_CELLS = 1 if os.environ.get("TERM") == "linux" else 0


def cells(text: str) -> int:
    """How many cells a sanitised line takes at most, on whatever terminal."""
    return sum(map(_CELLS.__getitem__, text))


def cut(text: str, room: int) -> str:
    """A sanitised line that takes ``room`` cells at most, with an ellipsis where it was longer."""
    if cells(text) <= room:
        return text
    return text[: _whole(text, 0, _fit(text, 0, max(room - 1, 1)))] + "…"


def fold(text: str, columns: int | None, indent: int = 0) -> str:
    """Each line at most ``columns`` wide, broken between words, ``indent`` from the second on."""
    if columns is None or columns <= indent + 10:
        return text
    lines = [
        piece for line in text.rstrip("\n").split("\n") for piece in _folded(line, columns, indent)
    ]
    return "\n".join(lines) + "\n"


def _folded(line: str, columns: int, indent: int) -> list[str]:
    """The pieces of one line; a style goes on in the next piece, an isolate is opened anew."""
    *texts, last = _STYLE.split(line)
    plain = "".join((*texts, last))
    if cells(plain) <= columns:
        return [line]
    styles = []
    position = 0
    for text, style in zip(texts, _STYLE.findall(line), strict=True):
        position += len(text)
        styles.append((position, style))
    columns -= 2 * (_FSI in plain)
    pieces: list[str] = []
    opened = ""
    for start, end in _spans(plain, columns, columns - indent):
        piece = opened
        while styles and styles[0][0] < end:
            position, style = styles.pop(0)
            piece += plain[start:position] + style
            start = max(start, position)
        piece += plain[start:end]
        opened = _FSI if piece.count(_FSI) > piece.count(_PDI) else ""
        pieces.append(piece + (_PDI if opened else ""))
    pieces[-1] += "".join(style for _position, style in styles)
    return [pieces[0], *(" " * indent + piece for piece in pieces[1:])]


def wrap(lines: list[str], width: int) -> list[str]:
    """Sanitised lines in pieces of at most ``width`` cells, broken between words where there are.

    The spaces at a break are left out. ``width`` is at least 2: a wide character needs that.
    """
    text = "\n".join(lines)
    if not _VARIED.search(text):
        return _single(width).findall(text + "\n")
    pieces: list[str] = []
    for line in lines:
        # No character takes more than three cells.
        if 3 * len(line) <= width or (len(line) <= width and not _VARIED.search(line)):
            pieces.append(line)
        else:
            pieces += [line[start:end] for start, end in _spans(line, width, width)]
    return pieces


def _spans(line: str, first: int, further: int) -> Iterator[tuple[int, int]]:
    """Where each piece of a line that must be broken begins and ends; the first may be wider."""
    start, room, size = 0, first, len(line)
    while True:
        end = start + room
        # One more: it may be a mark on the last.
        if plain := end < size and not _VARIED.search(line, start, end + 1):
            pass
        elif (end := _fit(line, start, room)) == size:
            yield start, end
            return
        word = end if line[end] == " " else max(line.rfind(" ", start, end), start)
        if word := len(line[start:word].rstrip(" ")):
            end = start + word
        elif not plain:
            end = _whole(line, start, end)
        yield start, end
        if line[end] == " ":
            found = _NOT_SPACE.search(line, end)
            assert found is not None
            end = found.start()
            if end == size:
                return
        start, room = end, further


@functools.lru_cache(64)
def _single(width: int) -> re.Pattern[str]:
    """Finds the pieces of lines in which each character takes a cell; each line ends with LF."""
    # The first is for speed: what has no space needs no way back.
    return re.compile(
        f"([^ \\n]{{{width}}}|[^\\n]{{0,{width - 1}}}[^ \\n](?=[ \\n])"
        f"|[^\\n]{{{width}}}|[^\\n]*(?=\\n)) *\\n?"
    )


def _fit(line: str, start: int, room: int) -> int:
    """Where the text from ``start`` on ends that fits in ``room`` cells: one character at least."""
    size = len(line)
    length = room
    while True:
        ends = list(accumulate(map(_CELLS.__getitem__, line[start : start + length])))
        if ends[-1] > room or start + length >= size:
            return start + max(bisect_right(ends, room), 1)
        length *= 2


def _whole(line: str, start: int, end: int) -> int:
    """``end``, or the place before it that leaves in one piece what is drawn as one."""
    before = end
    while before > start:
        kind = LETTERS[ord(line[before])]
        if kind == "R":  # two are a flag
            first = before
            while first > start and LETTERS[ord(line[first - 1])] == "R":
                first -= 1
            before -= (before - first) % 2
            return before if before > start else end
        if kind not in _TIED and line[before - 1] != "\u200d":
            return before
        before -= 1
    return end


class _Cells(dict[str, int]):
    """The cells of each character, as above."""

    def __missing__(self, char: str) -> int:
        if len(self) >= REMEMBERED:
            self.clear()
        self[char] = count = _count(char)
        return count


_CELLS = _Cells()


def _count(char: str) -> int:
    width = wcwidth()(char)
    if width == 2:
        return 2
    kind = LETTERS[ord(char)]
    if kind in "PSR":
        return 2
    if kind in "Vk":  # make what they follow an emoji
        return 1
    if char in "\u2e3a\u2e3b":  # dashes, two and three ems long
        return 2 + (char == "\u2e3b")
    category = unicodedata.category(char)
    if category == "Cn" or "\u3248" <= char <= "\u324f":
        return 2  # the terminal's tables may be newer; numbers in circles are drawn either way
    # Marks of 2002 are known to every terminal; later ones, vowels that stand beside, jamo are not.
    if width == 1:
        return 1
    marks = ("Mn", "Me", "Cf")
    if category in marks and unicodedata.ucd_3_2_0.category(char) in marks:
        return _MARK_CELLS
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
