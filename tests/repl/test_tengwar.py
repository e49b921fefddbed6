"""Sindarin in Tengwar: which letters, and what is left alone."""

import re
from string import Formatter

import pytest
from wcwidth import wcswidth

from fantom_trio.repl import sanitize
from fantom_trio.repl.tengwar import write
from tests.repl import catalogues
from tests.repl.catalogues import CHOSEN, TYPED

TEXTS = {
    form: text[-1]
    for text, forms in catalogues.texts(catalogues.load("sindarin")).items()
    for form in forms
}
TENGWAR = re.compile("[\ue000-\ue07f]")
# Everson's table: tinco to vilya are the four series of six grades at U+E000 to U+E017.
TINCO, PARMA, CALMA = "\ue000", "\ue001", "\ue002"
ANDO, UMBAR, ANGA = "\ue004", "\ue005", "\ue006"
THULE, FORMEN, HARMA = "\ue008", "\ue009", "\ue00a"
ANTO, AMPA = "\ue00c", "\ue00d"
NUMEN, MALTA, NOLDO = "\ue010", "\ue011", "\ue012"
ORE, VALA, ANNA, VILYA = "\ue014", "\ue015", "\ue016", "\ue017"
ROMEN, ARDA, LAMBE, ALDA = "\ue020", "\ue021", "\ue022", "\ue023"
SILME, SILME_NUQUERNA, ARE = "\ue024", "\ue025", "\ue026"
HYARMEN, HWESTA_SINDARINWA, YANTA, URE = "\ue028", "\ue029", "\ue02a", "\ue02b"
LONG_CARRIER, SHORT_CARRIER, STEMLESS_ANNA = "\ue02c", "\ue02e", "\ue032"
ACUTE = "\ue046"


@pytest.mark.parametrize(
    ("word", "letters"),
    [
        # On the West-gate of Moria.
        ("ennyn", [YANTA, NUMEN, SILME_NUQUERNA, ORE]),
        ("aran", [STEMLESS_ANNA, ROMEN, STEMLESS_ANNA, ORE]),
        ("pedo", [PARMA, YANTA, ANDO, ANNA]),
        ("mellon", [VALA, YANTA, LAMBE, LAMBE, ANNA, ORE]),
        ("minno", [VALA, SHORT_CARRIER, NUMEN, ANNA]),
        ("narvi", [ORE, STEMLESS_ANNA, ROMEN, AMPA, SHORT_CARRIER]),
        ("hain", [HYARMEN, STEMLESS_ANNA, SHORT_CARRIER, ORE]),
        ("echant", [YANTA, HARMA, STEMLESS_ANNA, ORE, TINCO]),
        ("eregion", [YANTA, ROMEN, YANTA, ANGA, SHORT_CARRIER, ANNA, ORE]),
        ("thiw", [THULE, SHORT_CARRIER, VILYA]),
        # The rest of the alphabet.
        ("edhellen", [YANTA, ANTO, YANTA, LAMBE, LAMBE, YANTA, ORE]),
        ("adan", [STEMLESS_ANNA, ANDO, STEMLESS_ANNA, ORE]),
        ("hammad", [HYARMEN, STEMLESS_ANNA, MALTA, STEMLESS_ANNA, ANDO]),
        ("celeb", [CALMA, YANTA, LAMBE, YANTA, UMBAR]),
        ("lasto", [LAMBE, STEMLESS_ANNA, SILME, TINCO, ANNA]),
        ("rass", [ROMEN, STEMLESS_ANNA, ARE]),
        ("hwest", [HWESTA_SINDARINWA, YANTA, SILME, TINCO]),
        ("gwaith", [ANGA, VILYA, STEMLESS_ANNA, SHORT_CARRIER, THULE]),
        ("ephel", [YANTA, FORMEN, YANTA, LAMBE]),
        ("galadhrim", [*[ANGA, STEMLESS_ANNA, LAMBE, STEMLESS_ANNA], ANTO, ROMEN,
                       SHORT_CARRIER, VALA]),
        # Another letter at the beginning or at the end.
        ("fela", [FORMEN, YANTA, LAMBE, STEMLESS_ANNA]),
        ("nef", [ORE, YANTA, AMPA]),
        ("rhûn", [ARDA, URE, ACUTE, ORE]),
        ("lhûg", [ALDA, URE, ACUTE, ANGA]),
        ("edlhoth", [YANTA, ANDO, LAMBE, HYARMEN, ANNA, THULE]),
        ("ngaur", [NOLDO, STEMLESS_ANNA, URE, ROMEN]),
        ("ring", [ROMEN, SHORT_CARRIER, NOLDO]),
        ("angol", [STEMLESS_ANNA, ORE, ANGA, ANNA, LAMBE]),
        ("iant", [LONG_CARRIER, STEMLESS_ANNA, ORE, TINCO]),
        ("i", [SHORT_CARRIER]),
        # A nasal before another consonant, and diphthongs, are written out.
        ("annon", [STEMLESS_ANNA, NUMEN, ANNA, ORE]),
        ("amband", [STEMLESS_ANNA, VALA, UMBAR, STEMLESS_ANNA, ORE, ANDO]),
        ("ui", [URE, SHORT_CARRIER]),
        ("ae", [STEMLESS_ANNA, YANTA]),
        ("oe", [ANNA, YANTA]),
        ("ei", [YANTA, SHORT_CARRIER]),
        ("law", [LAMBE, STEMLESS_ANNA, VILYA]),
        # Long vowels, with either accent.
        ("áéíóúý", [STEMLESS_ANNA, ACUTE, YANTA, ACUTE, SHORT_CARRIER, ACUTE, ANNA, ACUTE,
                    URE, ACUTE, SILME_NUQUERNA, ACUTE]),
        ("âêîôûŷ", [STEMLESS_ANNA, ACUTE, YANTA, ACUTE, SHORT_CARRIER, ACUTE, ANNA, ACUTE,
                    URE, ACUTE, SILME_NUQUERNA, ACUTE]),
    ],
)  # fmt: skip
def test_a_word_is_written_as_the_mode_of_beleriand_has_it(word: str, letters: list[str]) -> None:
    assert write(word) == "".join(letters)


def test_a_sentence_keeps_its_spaces_and_punctuation_and_loses_its_capital() -> None:
    pedo, mellon, minno = map(write, ("pedo", "mellon", "minno"))
    assert write("Pedo “{word}”,\na minno: mellon (minno)?") == (
        f"{pedo} “{{word}}”,\n{STEMLESS_ANNA} {minno}: {mellon} ({minno})?"
    )
    assert write("Pedo-minno") == f"{pedo}-{minno}"
    assert write("pedo-'minno") == f"{pedo}-'{minno}"
    assert write("") == ""


@pytest.mark.parametrize(
    "kept",
    [
        "{n}", "{n:g}", "{n!r:>{width}}", "{{", "}}", "{}", "{{{name}}}",
        "/verify", "/verify {number} yes", "/verify {number} no", "//", "(/verify)", "/{name}",
        "--peer-file", "--peer-file=log", "-h", "off", "on", "yes", "tengwar",
        "PEER", "ADDRESS", "N", "FANTOM_TRIO_PEER", "“ip link set lo up”", "“mellon”",
        "https://", "https://anor.example/mellon", "fantom://[{host}%eth0]", "fantom://…",
        "[2001:db8::1]:31488", "[fe80::1%eth0]", "[adan::ed]", "[::ad]:31488", "::1",
        "fe80::1%eth0", "bob.invite", "net.ipv6.conf.lo", "/etc/hosts", "30000", "0.5", "64 KiB",
        "s", "ms", "U+E000", "fantom-trio", "Fantom Chat", "Ctrl-C", "Alt-Enter", "Alt-A", "Alt-1",
        "Tab", "Enter", "IPv6", "TCP", "UTF-8", "JSON", "macOS", "link", "unix", "·", "…", "—",
    ],
)  # fmt: skip
def test_what_is_no_sindarin_word_stays(kept: str) -> None:
    assert write(kept) == kept
    word = write("mellon")
    assert write(f"mellon {kept} mellon") == f"{word} {kept} {word}"


def test_no_stays_where_it_is_typed_and_is_a_word_elsewhere() -> None:
    no, egor = write("no"), write("egor")
    assert write("no /verify no yes egor no egor no") == (
        f"{no} /verify {no} yes {egor} no {egor} {no}"
    )


def test_an_example_stays_and_what_it_does_is_written() -> None:
    call = "  date | fantom-trio --once '[::1]:31488' hi"
    assert write(f"mellon:\n{call}   minno ar ledo") == (
        f"{write('mellon')}:\n{call}   {write('minno ar ledo')}"
    )


# The catalogue.


def fields(text: str) -> list[tuple[str | None, ...]]:
    return [each[1:] for each in Formatter().parse(text) if each[1] is not None]


def test_every_text_is_in_tengwar_but_for_what_is_left_alone() -> None:
    assert len(TEXTS) > 100
    for text in TEXTS:
        written = write(text)
        rest = TENGWAR.sub("", written)
        assert not any(char.isalnum() and not char.isascii() for char in rest), text
        assert fields(written) == fields(text)
        for pattern in (TYPED, CHOSEN):
            assert pattern.findall(written) == pattern.findall(text)
        # Nothing of it is taken for something that could harm the screen, or be twice as wide.
        for line in written.split("\n"):
            assert sanitize.line(line) == line
            assert wcswidth(line) == len(line)


def test_nearly_all_of_it_is_in_tengwar() -> None:
    bare = [re.sub(r"\{.*?\}|“.*?”", "", text) for text in TEXTS]
    letters = sum(char.isalpha() for text in bare for char in text)
    left = sum(char.isalpha() for text in bare for char in write(text))
    assert left < letters / 5


#: Sindarin, though English has a word that is spelt so.
SINDARIN = {"a", "an", "be", "Bob", "den", "go", "i", "in", "man", "no", "or"}


def test_what_a_text_shares_with_its_english_is_left_alone() -> None:
    """A name or a term that is neither translated nor Sindarin."""
    word = re.compile(r"[^\W\d_]+")
    for text, english in TEXTS.items():
        plain = re.sub(r"\{.*?\}", "", text)
        shared = set(word.findall(plain)) & set(word.findall(english)) - SINDARIN
        assert shared <= set(word.findall(write(plain))), text
