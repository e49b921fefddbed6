"""What a peer sends can be read, and does nothing else to the screen."""

import os
import re
import subprocess
import sys
import time
import timeit
import unicodedata

import pytest
import wcwidth
from hypothesis import given, settings
from hypothesis import strategies as st

from fantom_trio.repl import kinds, layout, sanitize

BIDI_CONTROLS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
SKIN = "\U0001f3fd"
WOMAN, GIRL, ROCKET = "\U0001f469", "\U0001f467", "\U0001f680"
BLACK_FLAG = "\U0001f3f4"


def tags(text: str) -> str:
    return "".join(chr(0xE0000 + ord(char)) for char in text)


@pytest.mark.parametrize(
    "text",
    [
        "Don't panic: it's 100% <fine> & {dandy} ~ #1 | \\o/",
        "Съешь ещё этих мягких французских булок, да выпей чаю — №1 «ёлки»",
        "Київ, Беларусь, Ўзбек, Өөрчлөлт, Ћирилица",
        "\ue02a\ue040\ue000\ue046 \ue010\ue044 \ue07f",  # Tengwar, ConScript
        "いろはにほへと ちりぬるを ガギグゲゴ か\u3099、。ﾊﾝｶｸ",
        "天地玄黃，宇宙洪荒。 𠮷野家 葛\U000e0100城 \u795e\ufe00",
        "한국어 조선말 \u1112\u1161\u11ab\u1100\u116e\u11a8",
        "السلام عليكم، كيف حالك؟ مُحَمَّدٌ رَّسُولُ ٱللَّٰهِ ١٢٣",
        "می‌خواهم نمی‌شود خانه‌ها ه\u200d",  # ZWNJ in Persian, a final ZWJ
        "שלום עולם בְּרֵאשִׁ֖ית בָּרָ֣א אֱלֹהִ֑ים",
        "ภาษาไทยสวยงาม ที่นี่ ก็ กำลัง ปู่ย่า น้ำ",
        "ភាសាខ្មែរ ສະບາຍດີ မြန်မာဘာသာ བོད་སྐད་",
        "हिन्दी क्ष क्\u200dष क्\u200cष र्\u200dय ಕನ್ನಡ தமிழ் മലയാളം ന്\u200d",
        "ශ්\u200dරී ලංකාව বাংলা র\u200d্য ગુજરાતી ਪੰਜਾਬੀ",
        "ᠮᠣᠩᠭᠣᠯ ᠪᠢᠴᠢᠭ᠌ ᠴᠠᠭᠠᠨ\u180eᠠ",
        "Tiếng Việt: Nguyễn Thị Ngọc Ánh; e\u0302\u0301 o\u031b\u0323",
        "naïve café, Ångström, Ǵ, ﬁ, n\u0303, ɐʎ, IPA [t͡ʃ d̥ ɔ̃ː], ꙮ, a͜b",
        "Ελληνικά ἄνθρωπος, Հայերեն, ქართული, አማርኛ, ᐃᓄᒃᑎᑐᑦ, ߒߞߏ, 𞤀𞤣𞤤𞤢𞤥",
        "😀 🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉 ✓ ✗ → ⇒ ♥ ▓▒░ ┌─┐",
        "❤\ufe0f ☺\ufe0e ✌\ufe0f" + SKIN + " 1\ufe0f\u20e3 #\ufe0f\u20e3 *\u20e3 ©\ufe0f ™\ufe0f",
        f"{WOMAN}\u200d❤\ufe0f\u200d\U0001f48b\u200d{WOMAN}",
        f"{WOMAN}{SKIN}\u200d{ROCKET} {WOMAN}\u200d{WOMAN}\u200d{GIRL}\u200d{GIRL}",
        f"🏳\ufe0f\u200d🌈 🏴\u200d☠\ufe0f 🧔{SKIN}\u200d♂\ufe0f 🐻\u200d❄\ufe0f",
        "👁\ufe0f\u200d🗨\ufe0f 👩🏽\u200d⚕\ufe0f 🧑\u200d🤝\u200d🧑",
        f"🇩🇪 🇺🇦🇯🇵 {BLACK_FLAG}{tags('gbsct')}\U000e007f {BLACK_FLAG}{tags('gbeng')}\U000e007f",
        "1\u00a0000\u202f€ a\u2003b\u3000c",
        "∀x∈ℝ: ⌈x⌉ = −⌊−x⌋, x⃗, 2⁰ᵗʰ",
    ],
)
def test_what_people_write_stays_as_it_is(text: str) -> None:
    assert sanitize.line(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2Jgone", "‹U+001B›[2Jgone"),
        ("ding\x07\x08\x00", "ding‹U+0007›‹U+0008›‹U+0000›"),
        ("safe\rEVIL", "safe‹U+000D›EVIL"),
        ("\x9b31m \x85 \x7f", "‹U+009B›31m ‹U+0085› ‹U+007F›"),
        ("two\nlines", "two‹U+000A›lines"),
        ("a\tb", "a    b"),
        ("\u202egnp.exe", "‹U+202E›gnp.exe"),
        (
            "\u2066\u2067\u2068\u2069\u200e\u200f\u061c",
            "‹U+2066›‹U+2067›‹U+2068›‹U+2069›‹U+200E›‹U+200F›‹U+061C›",
        ),
        ("pass\u200bword", "pass‹U+200B›word"),
        ("pay\u200dpal", "pay‹U+200D›pal"),
        ("pay\u200cpal", "pay‹U+200C›pal"),
        ("я\u200cдро", "я‹U+200C›дро"),
        ("م\u200c\u200cم", "م\u200c‹U+200C›م"),  # one, not a flood
        ("\u200cم", "‹U+200C›م"),
        ("a\ufe0fb", "a‹U+FE0F›b"),
        ("1\ufe0f2", "1‹U+FE0F›2"),
        ("❤\ufe0f\ufe0f\ufe0e", "❤\ufe0f‹U+FE0F›‹U+FE0E›"),
        ("😀\U000e0101\U000e0102", "😀‹U+E0101›‹U+E0102›"),
        ("葛\U000e0100\U000e0101", "葛\U000e0100‹U+E0101›"),
        (f"{WOMAN}\u200d", f"{WOMAN}‹U+200D›"),
        (f"{WOMAN}\u200da", f"{WOMAN}‹U+200D›a"),
        (f"a\u200d{WOMAN}", f"a‹U+200D›{WOMAN}"),
        ("x" + tags("hi"), "x‹U+E0068›‹U+E0069›"),
        (f"{BLACK_FLAG}{tags('ustx')}", f"{BLACK_FLAG}" + "‹U+E0075›‹U+E0073›‹U+E0074›‹U+E0078›"),
        ("\ufeffbom\ufffe\ufdd0\U0010ffff", "‹U+FEFF›bom‹U+FFFE›‹U+FDD0›‹U+10FFFF›"),
        ("half \ud83d", "half ‹U+D83D›"),
        ("a\u2028b\u2029c", "a‹U+2028›b‹U+2029›c"),
        ("\u3164", "‹U+3164›"),
        ("a\u2d7fb ⵏ\u2d7fⵏ", "a‹U+2D7F›b ⵏ\u2d7fⵏ"),  # draws nothing but in Tifinagh
        ("\ufffc", "‹U+FFFC›"),
        ("☺" + SKIN * 9 + "\u200d☺", "☺" + SKIN * 9 + "\u200d☺"),
        ("ा" * 10, "‹U+093E›" + "ा" * 7 + "‹U+093E›" * 2),  # a vowel sign without a letter
        ("ad\xadmin w\u2060j", "ad‹U+00AD›min w‹U+2060›j"),
        ("\u0301accent", "‹U+0301›accent"),  # would sit on the name before it
        ("a" + "\u0301" * 10 + "b", "a" + "\u0301" * 8 + "‹U+0301›‹U+0301›b"),
        ("ก" + "็" * 9, "ก" + "็" * 8 + "‹U+0E47›"),
        ("\u1100" + "\u1161" * 9, "\u1100" + "\u1161" * 8 + "‹U+1161›"),
    ],
)
def test_what_could_move_hide_or_recolour_is_shown_by_its_number(text: str, shown: str) -> None:
    assert sanitize.line(text) == shown


def test_an_endless_emoji_is_broken_up() -> None:
    shown = sanitize.line("\u200d".join([WOMAN] * 30))
    assert max(len(part) for part in sanitize.VISIBLE.split(shown)) < 20


def test_the_visible_form_can_be_found_to_be_dimmed() -> None:
    assert sanitize.VISIBLE.findall(sanitize.line("a\x00b\U000e0001")) == ["‹U+0000›", "‹U+E0001›"]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", [""]),
        ("one", ["one"]),
        ("one\n", ["one"]),
        ("\n", [""]),
        ("one\r\ntwo\n\nfour\n\n", ["one", "two", "", "four", ""]),
        ("a\rb\x0bc\x0cd\x85e", ["a‹U+000D›b‹U+000B›c‹U+000C›d‹U+0085›e"]),
        ("a\n\u0301b", ["a", "‹U+0301›b"]),
    ],
)
def test_a_block_is_split_at_line_feeds_only(text: str, lines: list[str]) -> None:
    assert sanitize.block(text) == lines


def test_only_lines_with_right_to_left_letters_are_isolated() -> None:
    assert sanitize.isolate("hello, мир") == "hello, мир"
    assert sanitize.isolate("id: שלום 5") == "\u2068id: שלום 5\u2069"
    assert sanitize.isolate("مرحبا") == "\u2068مرحبا\u2069"


TRICKY = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from(
            "ab1# \t\r\n\x1b\u200b\u200c\u200d\ufe0e\ufe0f\ufe00\U000e0100\u20e3\u180b"
        ),
        st.sampled_from(
            "مक्ᠮ葛か\u0301\u0e47\u1161\u064b❤😀" + WOMAN + SKIN + ROCKET + BLACK_FLAG + "🇩"
        ),
        st.sampled_from(tags("gbsctx") + "\U000e007f" + BIDI_CONTROLS + "\ud800\ufdd0‹›U+"),
    )
)


@settings(max_examples=2000)
@given(TRICKY)
def test_nothing_that_acts_gets_through_and_twice_is_once(text: str) -> None:
    shown = sanitize.line(text)
    assert {unicodedata.category(char) for char in shown}.isdisjoint({"Cc", "Cs", "Zl", "Zp"})
    assert not set(shown) & set(BIDI_CONTROLS)
    assert sanitize.line(shown) == shown
    # Nothing is lost: what is no longer there stands there by its number.
    assert by_number(shown) == by_number(text)


def by_number(text: str) -> str:
    """``text`` with the visible form, whoever wrote it, turned back; tabs become spaces."""
    back = sanitize.VISIBLE.sub(lambda form: chr(int(form[0][3:-1], 16) % 0x110000), text)
    return back.replace("\t", sanitize.TAB)


def test_plain_text_costs_next_to_nothing() -> None:
    ascii_text = (
        "It is a truth universally acknowledged, that a single man in possession of a good f"
    )
    assert (
        min(timeit.repeat(lambda: sanitize.line(ascii_text), number=2000, repeat=5)) < 2000 * 2e-6
    )


# Cells.


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ("", 0),
        ("hello, мир", 10),
        ("語한＠", 6),
        ("e\u0301 ที่", 3),  # marks that every terminal knows
        (f"{WOMAN}\u200d{ROCKET}", 4),  # two cells where emoji are joined, four where not
        ("❤\ufe0f", 3),
        ("🇩🇪", 4),
        ("\u1112\u1161\u11ab", 4),
        ("को", 2),
        ("\u0378\u3248\u302e", 6),  # not assigned; drawn either way
        ("\u2e3b", 3),
        ("\u2068ש\u2069", 3),
    ],
)
def test_cells_are_counted_as_the_least_able_terminal_draws_them(text: str, cells: int) -> None:
    assert layout.cells(text) == cells


@pytest.mark.parametrize(("term", "cells"), [("linux", 3), ("xterm", 1)])
def test_the_linux_console_draws_a_mark_beside_its_base(term: str, cells: int) -> None:
    program = "from fantom_trio.repl import layout; print(layout.cells('e\u0301\u0302'))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "TERM": term}, check=True, capture_output=True,
    )  # fmt: skip
    assert int(done.stdout) == cells


def test_no_character_is_thought_narrower_than_wcwidth_says() -> None:
    narrower = [
        code for code in range(0x20, 0x110000)
        if layout.cells(chr(code)) < wcwidth.wcwidth(chr(code))
    ]  # fmt: skip
    assert narrower == []
    plain = re.compile(f"[{kinds._SINGLE}]")
    assert {layout.cells(chr(code)) for code in range(0x110000) if plain.match(chr(code))} == {1}


@pytest.mark.parametrize(
    ("line", "width", "pieces"),
    [
        ("", 5, [""]),
        ("one two three", 7, ["one two", "three"]),
        ("one  two", 4, ["one", "two"]),
        ("  indented", 6, ["  inde", "nted"]),
        ("語 语   語語", 7, ["語 语", "語語"]),
        ("   ", 2, ["  "]),
        ("abcdefgh", 3, ["abc", "def", "gh"]),
        ("abc   ", 3, ["abc"]),
        ("語語 語語語", 5, ["語語", "語語", "語"]),
        ("語abc語", 4, ["語ab", "c語"]),
        ("aбe\u0301e\u0301e\u0301", 3, ["aбe\u0301", "e\u0301e\u0301"]),
        ("ab👋" + SKIN, 5, ["ab", "👋" + SKIN]),
        (f"ab{WOMAN}\u200d{ROCKET}", 5, ["ab", f"{WOMAN}\u200d{ROCKET}"]),
        ("🇩🇪🇺🇦", 7, ["🇩🇪", "🇺🇦"]),
        ("a🇩🇪", 3, ["a", "🇩", "🇪"]),  # wider than the line
        ("a \u1112\u1161\u11abb", 6, ["a", "\u1112\u1161\u11abb"]),
    ],
)
def test_a_line_is_broken_between_words_and_never_within_what_is_drawn_as_one(
    line: str, width: int, pieces: list[str]
) -> None:
    assert layout.wrap([line], width) == pieces


@settings(max_examples=1000)
@given(TRICKY, st.integers(3, 60))
def test_no_piece_is_too_wide_and_only_spaces_at_a_break_are_left_out(
    text: str, width: int
) -> None:
    lines = sanitize.block(text)
    pieces = layout.wrap(lines, width)
    assert all(layout.cells(piece) <= width for piece in pieces)
    assert "".join(pieces).replace(" ", "") == "".join(lines).replace(" ", "")


@settings(max_examples=500)
@given(TRICKY, st.integers(2, 40))
def test_what_is_cut_fits_and_ends_with_an_ellipsis(text: str, room: int) -> None:
    line = sanitize.line(text)
    shortened = layout.cut(line, room)
    assert shortened == line or shortened.endswith("…")
    assert layout.cells(shortened) <= max(room, 3)
    assert line.startswith(shortened.removesuffix("…"))


@pytest.mark.parametrize(
    "text",
    [
        "\x01",
        "a\x01", "\n", "a\n", "\t", "語", "語\n", "\u0301", "a" + "\u0301" * 9, "…" * 8 + "a",
        f"{WOMAN}\u200d", "م\u200d", "1\ufe0f\u20e3", "🇩🇪", "ש\n", BLACK_FLAG + tags("a"),
        "a\u0301\u200b語👩\u200d👧 م\u200c\x1b[31m\n", SKIN * 50 + "\u200d",
    ],
)  # fmt: skip
def test_the_longest_message_of_the_worst_text_costs_little(text: str) -> None:
    text *= 61_000 // len(text.encode())
    layout.wrap(sanitize.block(text[:100]), 14)  # looks up what it meets
    begun = time.process_time()
    layout.wrap(sanitize.block(text), 14)
    assert time.process_time() - begun < 0.1  # a fifth of that, on a machine of its own
