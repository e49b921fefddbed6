"""The one door for text that came from a peer: messages, names, addresses, errors.

Nothing is dropped. A character that could move, hide or recolour what stands on the screen is shown
by its number, ``‹U+202E›``: control characters, bidi controls, invisible and zero-width characters,
tags, surrogates, non-characters, and every combining mark past the eighth on one base. What people
write stays as it is: joiners where a joining script or an emoji takes them, one variation selector
where it means something, the three subdivision flags that are drawn (England, Scotland, Wales),
and private-use letters such as Tengwar.
"""

import re
import unicodedata

__all__ = ["VISIBLE", "block", "isolate", "line"]

VISIBLE = re.compile("‹U\\+[0-9A-F]{4,6}›")
"""Matches the visible form, so that it can be drawn dim. A peer may type the same characters."""

MARKS_ON_ONE_BASE = 8  # Vietnamese and Hebrew need 3, Tibetan 5 or so
EMOJI_IN_ONE = 8  # the longest that is drawn as one has 5
TAB = "    "

# Never shown as they are, wherever they stand. Cf characters that draw something (the Arabic number
# signs) are not here, nor are spaces of any width.
_HIDDEN = (
    "\x00-\x1f\x7f-\x9f\xad\u034f\u061c"  # controls, soft hyphen, grapheme joiner, Arabic mark
    "\u115f\u1160\u3164\uffa0\u17b4\u17b5"  # Hangul fillers and Khmer vowels that draw nothing
    "\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"  # zero-width space, lines, bidi, operators
    "\ud800-\udfff\ufdd0-\ufdef\ufeff\ufff0-\ufffb"  # surrogates, non-characters, annotations
    "\U00013430-\U0001345f\U0001bca0-\U0001bcaf\U0001d159\U0001d173-\U0001d17a"
    + "".join(
        f"{chr(plane + 0xFFFE)}-{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 1 << 16)
    )
)
# Shown as they are only after what takes them.
_JOINERS = "\u200c\u200d"
_EMOJI_VARIANTS = "\ufe0e\ufe0f"
_MONGOLIAN_VARIANTS = "\u180b-\u180f"
_HAN_VARIANTS = "\ufe00-\ufe02\U000e0100-\U000e01ef"
_DEPENDENT = f"{_JOINERS}{_MONGOLIAN_VARIANTS}\ufe00-\ufe0f\U000e0000-\U000e0fff"

_PICTURE = (
    "\xa9\xae\u203c\u2049\u2122\u2139\u2190-\u21ff\u2300-\u23ff\u24c2\u25a0-\u27bf\u2900-\u297f"
    "\u2b00-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"
)
_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003fffd"
# Arabic, Syriac, N'Ko; India and Sri Lanka; Burma, Cambodia, Mongolia; Indonesia; historic scripts.
_JOINING = (
    "\u0600-\u061b\u061d-\u08ff\u0900-\u0dff\u0f00-\u109f\u1780-\u17b3\u17b6-\u180a\u1810-\u18af"
    "\u1900-\u194f\u1a20-\u1aaf\u1b00-\u1c4f\u1cd0-\u1cff\ua800-\ua8ff\ua930-\ua9df\uaa60-\uaa7f"
    "\uaae0-\uaaff\uabc0-\uabff\ufb50-\ufdcf\ufdf0-\ufdff\ufe70-\ufefc\U00010a00-\U00010bff"
    "\U00010d00-\U00010fff\U00011000-\U00011fff\U0001e900-\U0001e95f"
)
# Hangul vowels and finals stack like marks, though they are letters.
_JAMO = "\u1161-\u11ff\ud7b0-\ud7fb"

# What is neither letter nor digit nor ASCII may be a mark: nine in a row, or one at the start,
# are looked at more closely.
_SUSPECT = re.compile(
    f"[{_HIDDEN}{_DEPENDENT}]|(?:[^\\w\\x00-\\x7f]|[{_JAMO}]){{{MARKS_ON_ONE_BASE + 1}}}"
    f"|\\A(?:[^\\w\\x00-\\x7f]|[{_JAMO}])"
)
_ALWAYS = re.compile(f"[{_HIDDEN}]")
_NEVER_ALONE = re.compile(f"[{_DEPENDENT}]")
_JAMO_ONLY = re.compile(f"[{_JAMO}]")
_TAGGED = {"gbeng", "gbsct", "gbwls"}
_TAGS = re.compile("[\U000e0061-\U000e007a]{5}\U000e007f")
_TAKEN = re.compile(  # the character that takes the dependent one, a space, the dependent one
    f"[{_JOINING}] [{_JOINERS}]"
    f"|[{_PICTURE}] [{_EMOJI_VARIANTS}]"
    f"|[{_HAN}] [{_HAN_VARIANTS}]"
    f"|[\u1820-\u18af] [{_MONGOLIAN_VARIANTS}]"
)
_PICTURES = re.compile(f"[{_PICTURE}]")
_RIGHT_TO_LEFT = re.compile(
    "[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]"
)


def line(text: str) -> str:
    """``text`` as one line that can only be read; line breaks become visible, tabs spaces.

    Sanitising twice changes nothing more.
    """
    if (text.isascii() and text.isprintable()) or not _SUSPECT.search(text):
        return text
    return _examine(text)


def block(text: str) -> list[str]:
    """The lines of ``text``, each sanitised: at least one; a line break at the end adds none."""
    lines = text.replace("\r\n", "\n").split("\n")
    if len(lines) > 1 and not lines[-1]:
        del lines[-1]
    return [line(each) for each in lines]


def isolate(line: str) -> str:
    """A sanitised line that cannot turn round what stands before or after it.

    Only where right-to-left characters are in it, FSI and PDI (U+2068, U+2069) are put around it.
    """
    return f"\u2068{line}\u2069" if _RIGHT_TO_LEFT.search(line) else line


def _examine(text: str) -> str:
    shown: list[str] = []
    last = ""  # the last character as it was shown
    marks = 0  # on the present base
    joined = 0  # joins in the present emoji
    position = 0
    while position < len(text):
        char = text[position]
        position += 1
        if _NEVER_ALONE.match(char):
            if last == "\U0001f3f4" and (flag := _flag(text, position - 1)):
                shown.append(flag)
                position += len(flag) - 1
                last = ""
                continue
            following = text[position : position + 1]
            kept = bool(_TAKEN.fullmatch(f"{last} {char}"))
            if char == "\ufe0f" and last in set("0123456789#*"):
                kept = following == "\u20e3"
            elif char == "\u200d" and not kept:
                joined += 1
                picture = _picture_before(shown)
                kept = picture and joined < EMOJI_IN_ONE and bool(_PICTURES.match(following))
        elif char == "\t":
            char, kept = TAB, True
            marks = joined = 0
        elif _ALWAYS.match(char):
            kept = False
        elif unicodedata.category(char) in ("Mn", "Me") or _JAMO_ONLY.match(char):
            marks += 1
            # Without a base it would sit on whatever stands before the line.
            kept = len(shown) > 0 and marks <= MARKS_ON_ONE_BASE
            if not kept:
                # Unlike below, the count goes on: what follows belongs to the same pile.
                shown.append(_visible(char))
                last = "›"
                continue
        else:
            kept = True
            marks = 0
            if last != "\u200d" and not "\U0001f3fb" <= char <= "\U0001f3ff":
                joined = 0
        if kept:
            shown.append(char)
            last = char
        else:
            shown.append(_visible(char))
            last = "›"
            marks = joined = 0
    return "".join(shown)


def _visible(char: str) -> str:
    return f"‹U+{ord(char):04X}›"


def _flag(text: str, start: int) -> str:
    """The tags of a subdivision flag that begin at ``start``, empty where they are none."""
    tags = _TAGS.match(text, start)
    if tags is None or "".join(chr(ord(tag) - 0xE0000) for tag in tags[0][:-1]) not in _TAGGED:
        return ""
    return tags[0]


def _picture_before(shown: list[str]) -> bool:
    """An emoji ends here, with its variation selector or skin colour if it has one."""
    for char in shown[-1:-3:-1]:
        if char != "\ufe0f":
            return bool(_PICTURES.fullmatch(char))
    return False
