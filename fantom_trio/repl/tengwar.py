"""Sindarin in Tengwar, by the Mode of Beleriand: a letter for each sound, vowels too.

The letters have the private code points U+E000 to U+E07F of Michael Everson's table for the
ConScript Unicode Registry, in the revision of 2001 (evertype.com/standards/iso10646/pdf/
tengwar.pdf) that Tengwar Telcontar, FreeMonoTengwar and Alcarin follow; Code2000 has an older one.
Which letter stands for which sound is told by the inscription on the West-gate of Moria and by
Appendix E of The Lord of the Rings. Where neither tells, as for ``ss`` and for an ``i`` before a
vowel, it is what people who write Sindarin today agree on.

Signs above a letter are code points of their own, and a terminal gives each a cell, as ``wcwidth``
does: the layout holds, but a sign stands in a cell of its own. So where the mode leaves a choice
there are none: a diphthong, a nasal before another consonant and a doubled consonant are written
out. The one sign left is the long mark of a vowel.
"""

import re

__all__ = ["write"]

_ANDAITH = "\ue046"  # the long mark, after its vowel
_LETTERS = {
    "t": "\ue000",  # tinco
    "p": "\ue001",  # parma
    "c": "\ue002",  # calma
    "d": "\ue004",  # ando
    "b": "\ue005",  # umbar
    "g": "\ue006",  # anga
    "th": "\ue008",  # thúle
    "f": "\ue009",  # formen
    "ph": "\ue009",  # formen
    "ch": "\ue00a",  # harma
    "dh": "\ue00c",  # anto
    "v": "\ue00d",  # ampa
    "nn": "\ue010",  # númen
    "mm": "\ue011",  # malta
    "n": "\ue014",  # óre
    "m": "\ue015",  # vala
    "w": "\ue017",  # vilya
    "r": "\ue020",  # rómen
    "l": "\ue022",  # lambe
    "s": "\ue024",  # silme
    "ss": "\ue026",  # áre, or esse
    "h": "\ue028",  # hyarmen
    "hw": "\ue029",  # hwesta sindarinwa
    "a": "\ue032",  # stemless anna
    "e": "\ue02a",  # yanta
    "i": "\ue02e",  # short carrier
    "o": "\ue016",  # anna
    "u": "\ue02b",  # úre
    "y": "\ue025",  # silme nuquerna
}
_LONG = dict(zip("áéíóúýâêîôûŷ", "aeiouy" * 2, strict=True))
_LETTERS |= {long: _LETTERS[short] + _ANDAITH for long, short in _LONG.items()}
_VOWELS = "aeiouy" + "".join(_LONG)
# In some places a letter is another sound.
_NOLDO, _ARDA, _ALDA, _AMPA, _LONG_CARRIER = "\ue012", "\ue021", "\ue023", "\ue00d", "\ue02c"
_FIRST = {"ng": _NOLDO, "rh": _ARDA, "lh": _ALDA}
_LAST = {"ng": _NOLDO, "f": _AMPA}

_SOUND = re.compile(
    f"(?P<first>^(?:ng|rh|lh))|(?P<last>(?:ng|f)$)|(?P<glide>^i(?=[{_VOWELS}]))"
    f"|{'|'.join(sorted(_LETTERS, key=len, reverse=True))}"
)
_SINDARIN = re.compile(f"(?=.*[{_VOWELS}])[{''.join({*''.join(_LETTERS)})}]+")

#: Words that are no Sindarin, though they could be read as such.
_FOREIGN = frozenset({"chat", "enter", "fantom", "off", "on", "tab", "tengwar", "yes"})
_PART = re.compile(
    r"(?P<kept>"
    r"^  +\S.*?(?=  |$)"  # in a list, the example before what it does
    r"|“[^”]*”"
    r"|\{\{|\}\}|\{(?:[^{}]|\{[^{}]*\})*\}"  # what str.format takes
    r"|(?<!\w)/[\w./-]*"  # a command, or the name of a file
    r"|(?<=/verify \{number\} )no\b|(?<=yes egor )no\b"  # what is typed; else it is Sindarin
    r"|(?<!\w)--?[a-z][\w-]*(?:=\S+)?"  # an option
    r")|(?:::)?\w+(?:[-.:/@%=+]+\w+)*",  # a word; with more than hyphens, an address or the like
    re.MULTILINE,
)


def write(text: str) -> str:
    """``text``, a Sindarin one of the catalogue, with its words in Tengwar.

    To be called before fields are filled in. These stay as they are: fields, quotations, commands
    and options, addresses, names of files, whatever has a digit or a capital inside, punctuation.
    """
    return _PART.sub(lambda part: part[0] if part["kept"] else _word(part[0]), text)


def _word(word: str) -> str:
    """A word, or several joined by hyphens, in Tengwar if it is Sindarin.

    That is: it has a vowel, no capital but the first letter, and nothing that Sindarin lacks.
    """
    parts = word.lower().split("-")
    capital = word[1:] != word[1:].lower()
    if capital or not _FOREIGN.isdisjoint(parts) or not all(map(_SINDARIN.fullmatch, parts)):
        return word
    return "-".join(_SOUND.sub(_letter, part) for part in parts)


def _letter(sound: re.Match[str]) -> str:
    match sound.lastgroup:
        case "first":
            return _FIRST[sound[0]]
        case "last":
            return _LAST[sound[0]]
        case "glide":  # as in iant, which begins like English "young"
            return _LONG_CARRIER
    return _LETTERS[sound[0]]
