"""Kinds of characters: what a text may show, and where."""

import functools
import re
from bisect import bisect_right
from collections.abc import Callable

__all__ = ["KINDS", "LETTERS", "REMEMBERED", "STACKED", "VARIED", "wcwidth"]

#: Characters that are looked up and remembered.
REMEMBERED = 1 << 15

# Kinds of characters, each with its letter; of two kinds that one belongs to, the first counts.
# Cf characters that draw something (the Arabic number signs) are not hidden, nor are spaces.
KINDS = {
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
STACKED = "mnqkJNVWvf123"

# One cell on every terminal, and never part of what stands before: most of what people write.
_SINGLE = (
    "\x20-\x7e\xa0-\xa8\xaa-\xac\xaf-\u02ff\u0370-\u0377\u037a-\u037f\u0391-\u03a1\u03a3-\u0482"
    "\u048a-\u052f\u0531-\u0556\u0561-\u0587\u05d0-\u05ea\u0620-\u064a\u0671-\u06d3\u10d0-\u10fa"
    "\u1e00-\u1eff\u2010-\u2015\u2018-\u2026\u2039\u203a\u2500-\u259f\ue000-\uf8ff"
)
#: Matches any other; a part of larger patterns, and no start compiles it by itself.
VARIED = f"[^\n{_SINGLE}]"


@functools.cache
def wcwidth() -> Callable[[str], int]:
    """The function of that name, imported when it is needed: a pipe need not wait for it."""
    from wcwidth import wcwidth

    return wcwidth


@functools.cache
def _ranges() -> tuple[list[int], list[str]]:
    """Where each range of one kind begins, in order, and the kinds."""
    kinds = {kind: re.compile(f"[{members}]") for kind, members in KINDS.items()}
    edges = {0}
    for members in KINDS.values():
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
        if kind in _MARKS and not wcwidth()(chr(code)):
            kind = _MARKS[kind]
        self[code] = kind
        return kind


LETTERS = _Letters()
