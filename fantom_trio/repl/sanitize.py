"""The one door for text that came from a peer: messages, names, addresses, errors.

Nothing is dropped. A character that could move, hide or recolour what stands on the screen is shown
by its number, ``‹U+202E›``: control characters, bidi controls, invisible and zero-width characters,
tags, surrogates, non-characters, and every combining mark past the eighth on one base. What people
write stays as it is: joiners where a joining script or an emoji takes them, one variation selector
where it means something, the three subdivision flags that are drawn (England, Scotland, Wales),
and private-use letters such as Tengwar.

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
from collections.abc import Callable, Iterator
from itertools import accumulate

__all__ = ["VISIBLE", "block", "cells", "cut", "fold", "is_turning", "isolate", "line", "wrap"]

VISIBLE = re.compile("‹U\\+[0-9A-F]{4,6}›")
"""Matches the visible form, so that it can be drawn dim. A peer may type the same characters."""

MARKS_ON_ONE_BASE = 8  # Vietnamese and Hebrew need 3, Tibetan 5 or so
EMOJI_IN_ONE = 8  # the longest that is drawn as one has 5
TAB = "    "
REMEMBERED = 1 << 15  # characters that were looked up

# Kinds of characters, each with its letter; of two kinds that one belongs to, the first counts.
# Cf characters that draw something (the Arabic number signs) are not hidden, nor are spaces.
_KINDS = {
    "\n": "\n",
    "H": "\x00-\x09\x0b-\x1f\x7f-\x9f\xad\u034f\u061c"  # controls, soft hyphen, Arabic mark
    "\u115f\u1160\u3164\uffa0\u17b4\u17b5"  # Hangul fillers and Khmer vowels that draw nothing
    "\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"  # zero-width space, lines, bidi, operators
    "\ud800-\udfff\ufdd0-\ufdef\ufe03-\ufe0d\ufeff\ufff0-\ufffc"  # surrogates, annotations
    "\U00013430-\U0001345f\U0001bca0-\U0001bcaf\U0001d159\U0001d173-\U0001d17a"  # layout
    "\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"  # tags
    + "".join(
        f"{chr(plane + 0xFFFE)}-{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 1 << 16)
    ),
    # Shown only where something takes them: joiners, variation selectors, marks that draw nothing
    # of their own (Tifinagh, Brahmi, Khitan).
    "J": "\u200d",
    "N": "\u200c",
    "V": "\ufe0f",
    "W": "\ufe0e",
    "v": "\ufe00-\ufe02\U000e0100-\U000e01ef",
    "f": "\u180b-\u180f",
    "1": "\u2d7f",
    "2": "\U0001107f",
    "3": "\U00016fe4",
    # What takes them.
    "S": "\U0001f3fb-\U0001f3ff",  # skin
    "R": "\U0001f1e6-\U0001f1ff",  # halves of a flag
    "P": "\xa9\xae\u203c\u2049\u2122\u2139\u2190-\u21ff\u2300-\u23ff\u24c2\u25a0-\u27bf"
    "\u2900-\u297f\u2b00-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff",  # pictures
    "d": "0-9#*",
    "k": "\u20e3",  # keycap
    "h": "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003fffd",  # Han
    "o": "\u1820-\u18af",  # Mongolian
    "x": "\u2d30-\u2d6f",
    "y": "\U00011052-\U00011065",
    "z": "\U00018b00-\U00018cff",
    # Scripts that join: Arabic, Syriac, N'Ko; India and Sri Lanka; Burma, Cambodia, Mongolia;
    # Indonesia; historic ones.
    "A": "\u0600-\u061b\u061d-\u08ff\u0900-\u0dff\u0f00-\u109f\u1780-\u17b3\u17b6-\u180a"
    "\u1810-\u18af\u1900-\u194f\u1a20-\u1aaf\u1b00-\u1c4f\u1cd0-\u1cff\ua800-\ua8ff\ua930-\ua9df\uaa60-\uaa7f"
    "\uaae0-\uaaff\uabc0-\uabff\ufb50-\ufdcf\ufdf0-\ufdff\ufe70-\ufefc\U00010a00-\U00010bff"
    "\U00010d00-\U00010fff\U00011000-\U00011fff\U0001e900-\U0001e95f",
}
# Marks, by the letter of what they would be else; jamo vowels and finals are such marks as well.
_MARKS = {"e": "m", "A": "n", "o": "q"}
# Joiners and selectors count: nothing real has nine in a row of either.
_STACKED = "mnqkJNVWvf123"

# In a text where each character is replaced by the letter of its kind: what is not to be shown.
_ODD = re.compile(
    f"[{_STACKED}](?<=[{_STACKED}]{{{MARKS_ON_ONE_BASE + 1}}})"
    # Without a base it would sit on whatever stands before the line.
    f"|^[{_STACKED}]|(?<=^[{_STACKED}])[JNVWvf123]"
    "|N(?<![Anoqy]N)"
    "|J(?<![Anoqy]J)(?!(?:(?<=[PSR]J)|(?<=[PSR]VJ))[PSR])"
    "|[VW](?<![PSR].)(?!(?<=dV)k)"
    "|v(?<!hv)|f(?<![oq]f)|1(?<!x1)|2(?<!y2)|3(?<!z3)",
    re.MULTILINE,
)
_FLAGS = [
    "\U0001f3f4" + "".join(chr(0xE0000 + ord(char)) for char in f"{region}\x7f")
    for region in ("gbeng", "gbsct", "gbwls")
]
_ONE_PICTURE = re.compile(f"[{_KINDS['P']}][{_KINDS['S']}\ufe0e\ufe0f]*")
_RIGHT_TO_LEFT = re.compile(
    "[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]"
)

# One cell on every terminal, and never part of what stands before: most of what people write.
_SINGLE = (
    "\x20-\x7e\xa0-\xa8\xaa-\xac\xaf-\u02ff\u0370-\u0377\u037a-\u037f\u0391-\u03a1\u03a3-\u0482"
    "\u048a-\u052f\u0531-\u0556\u0561-\u0587\u05d0-\u05ea\u0620-\u064a\u0671-\u06d3\u10d0-\u10fa"
    "\u1e00-\u1eff\u2010-\u2015\u2018-\u2026\u2039\u203a\u2500-\u259f\ue000-\uf8ff"
)
_VARIED = re.compile(f"[^\n{_SINGLE}]")

# What is neither letter nor digit may be a mark, and some jamo are: nine in a row, or one at the
# start, are looked at more closely, as is what is shown only in some places or never.
_MAY_STACK = "(?:[^\\w\\x00-\x7f]|[\u1161-\u11ff\ud7b0-\ud7fb])"
_SUSPECT = re.compile(
    f"{_VARIED.pattern}(?:(?<=[{''.join(_KINDS[kind] for kind in 'HJNVWvf123')}])"
    f"|(?<=^{_MAY_STACK})|(?<={_MAY_STACK}){_MAY_STACK}{{{MARKS_ON_ONE_BASE}}})",
    re.MULTILINE,
)
_TIED = f"{_STACKED}S"
_STYLE = re.compile("\x1b\\[[0-9]+m")
_FSI, _PDI = "\u2068\u2069"
_NOT_SPACE = re.compile("[^ ]|\\Z")
# The Linux console has no combining marks: it draws each beside its base.
_MARK_CELLS = 1 if os.environ.get("TERM") == "linux" else 0


def line(text: str) -> str:
    """``text`` as one line that can only be read; line breaks become visible, tabs spaces.

    Sanitising twice changes nothing more.
    """
    if text.isascii() and text.isprintable():
        return text
    return _examine(text.replace("\n", "‹U+000A›"))


def block(text: str) -> list[str]:
    """The lines of ``text``, each sanitised: at least one; a line break at the end adds none."""
    return _examine(text.replace("\r\n", "\n").removesuffix("\n")).split("\n")


def isolate(line: str) -> str:
    """A sanitised line that cannot turn round what stands before or after it.

    Only where right-to-left characters are in it, FSI and PDI (U+2068, U+2069) are put around it.
    """
    return f"{_FSI}{line}{_PDI}" if is_turning(line) else line


def is_turning(text: str) -> bool:
    """Right-to-left characters are in it: isolated, each line is longer by FSI and PDI."""
    return _RIGHT_TO_LEFT.search(text) is not None


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
        kind = _LETTERS[ord(line[before])]
        if kind == "R":  # two are a flag
            first = before
            while first > start and _LETTERS[ord(line[first - 1])] == "R":
                first -= 1
            before -= (before - first) % 2
            return before if before > start else end
        if kind not in _TIED and line[before - 1] != "\u200d":
            return before
        before -= 1
    return end


@functools.cache
def _wcwidth() -> Callable[[str], int]:
    # Imported here: a pipe need not wait for it.
    from wcwidth import wcwidth

    return wcwidth


@functools.cache
def _ranges() -> tuple[list[int], list[str]]:
    """Where each range of one kind begins, in order, and the kinds."""
    kinds = {kind: re.compile(f"[{members}]") for kind, members in _KINDS.items()}
    edges = {0}
    for members in _KINDS.values():
        for first, last in re.findall("(?s)(.)(?:-(.))?", members):
            edges |= {ord(first), ord(last or first) + 1}
    starts = sorted(edges - {0x110000})
    return starts, [
        next((kind for kind in kinds if kinds[kind].match(chr(code))), "e") for code in starts
    ]


class _Letters(dict[int, str]):
    """The kind of each character; forgets when there are many, for a peer could send a million."""

    def __missing__(self, code: int) -> str:
        if len(self) >= REMEMBERED:
            self.clear()
        starts, kinds = _ranges()
        kind = kinds[bisect_right(starts, code) - 1]
        if kind in _MARKS and not _wcwidth()(chr(code)):
            kind = _MARKS[kind]
        self[code] = kind
        return kind


class _Cells(dict[str, int]):
    """The cells of each character, as above."""

    def __missing__(self, char: str) -> int:
        if len(self) >= REMEMBERED:
            self.clear()
        self[char] = count = _count(char)
        return count


class _Shown(dict[str, str]):
    """What stands in the place of a character that must not be shown."""

    def __missing__(self, char: str) -> str:
        self[char] = form = f"‹U+{ord(char):04X}›"
        return form


_LETTERS = _Letters()
_CELLS = _Cells()
_SHOWN = _Shown()


def _count(char: str) -> int:
    width = _wcwidth()(char)
    if width == 2:
        return 2
    kind = _LETTERS[ord(char)]
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


def _examine(text: str) -> str:
    text = text.replace("\t", TAB)
    if not _SUSPECT.search(text):
        return text
    bare = text
    for flag in _FLAGS:
        bare = bare.replace(flag, flag[0] + "e" * (len(flag) - 1))
    kinds = _ODD.sub("H", bare.translate(_LETTERS))
    text = "".join(
        [_SHOWN[char] if kind == "H" else char for char, kind in zip(text, kinds, strict=True)]
    )
    return _unchain(text) if "\u200d" in text else text


def _unchain(text: str) -> str:
    """Emoji that are joined without end are broken up."""
    first, *pieces = text.split("\u200d")
    shown, joins = [first], 0
    for piece in pieces:
        joins += 1
        if joins < EMOJI_IN_ONE:
            shown.append("\u200d")
        else:
            shown.append(_SHOWN["\u200d"])
            joins = 0
        shown.append(piece)
        if not _ONE_PICTURE.fullmatch(piece):
            joins = 0
    return "".join(shown)
