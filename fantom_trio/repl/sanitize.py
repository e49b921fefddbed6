"""The one door for text that came from a peer: messages, names, addresses, errors.

Nothing is dropped. A character that could move, hide or recolour what stands on the screen is shown
by its number, ``‹U+202E›``: control characters, bidi controls, invisible and zero-width characters,
tags, surrogates, non-characters, and every combining mark past the eighth on one base. What people
write stays as it is: joiners where a joining script or an emoji takes them, one variation selector
where it means something, the three subdivision flags that are drawn (England, Scotland, Wales),
and private-use letters such as Tengwar.
"""

import re

from fantom_trio.repl.kinds import KINDS, LETTERS, STACKED, VARIED

__all__ = ["VISIBLE", "block", "is_turning", "isolate", "line"]

VISIBLE = re.compile("‹U\\+[0-9A-F]{4,6}›")
"""Matches the visible form, so that it can be drawn dim. A peer may type the same characters."""

MARKS_ON_ONE_BASE = 8  # Vietnamese and Hebrew need 3, Tibetan 5 or so
EMOJI_IN_ONE = 8  # the longest that is drawn as one has 5
TAB = "    "

# In a text where each character is replaced by the letter of its kind: what is not to be shown.
_ODD = re.compile(
    f"[{STACKED}](?<=[{STACKED}]{{{MARKS_ON_ONE_BASE + 1}}})"
    # Without a base it would sit on whatever stands before the line.
    f"|^[{STACKED}]|(?<=^[{STACKED}])[JNVWvf123]"
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
_ONE_PICTURE = re.compile(f"[{KINDS['P']}][{KINDS['S']}\ufe0e\ufe0f]*")
_RIGHT_TO_LEFT = re.compile(
    "[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]"
)

# What is neither letter nor digit may be a mark, and some jamo are: nine in a row, or one at the
# start, are looked at more closely, as is what is shown only in some places or never.
_MAY_STACK = "(?:[^\\w\\x00-\x7f]|[\u1161-\u11ff\ud7b0-\ud7fb])"
_SUSPECT = re.compile(
    f"{VARIED}(?:(?<=[{''.join(KINDS[kind] for kind in 'HJNVWvf123')}])"
    f"|(?<=^{_MAY_STACK})|(?<={_MAY_STACK}){_MAY_STACK}{{{MARKS_ON_ONE_BASE}}})",
    re.MULTILINE,
)


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
    return f"\u2068{line}\u2069" if is_turning(line) else line


def is_turning(text: str) -> bool:
    """Right-to-left characters are in it: isolated, each line is longer by FSI and PDI."""
    return _RIGHT_TO_LEFT.search(text) is not None


class _Shown(dict[str, str]):
    """What stands in the place of a character that must not be shown."""

    def __missing__(self, char: str) -> str:
        self[char] = form = f"‹U+{ord(char):04X}›"
        return form


_SHOWN = _Shown()


def _examine(text: str) -> str:
    text = text.replace("\t", TAB)
    if not _SUSPECT.search(text):
        return text
    bare = text
    for flag in _FLAGS:
        bare = bare.replace(flag, flag[0] + "e" * (len(flag) - 1))
    kinds = _ODD.sub("H", bare.translate(LETTERS))
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
