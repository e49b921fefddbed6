"""Whatever a peer writes, the line after it is ours: on the screen column 1 is never theirs."""

import os
import random
import re
import shutil
import subprocess
import time
import unicodedata
from pathlib import Path

import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fantom_trio.nursery import Conversation, Message, State
from fantom_trio.repl import layout, render, sanitize
from fantom_trio.repl.terminal import finished
from tests.person import PATIENCE
from tests.repl.test_render import (
    EVENTS,
    NOON,
    OWN_COLOURS,
    assert_harmless,
    conversation,
    plain,
    printed,
    said,
    words,
)

FUZZING = os.environ.get("HYPOTHESIS_PROFILE") == "fuzz"
CASES = int(os.environ.get("FUZZ_EXAMPLES", "100000")) if FUZZING else 2000
#: No test may last for long.
PARTS = 10

WOMAN, SKIN = "\U0001f469", "\U0001f3fd"
#: What moves, hides, recolours; what terminals draw in different widths; what people write; and
#: what is there to be taken for ours.
PIECES = [
    *"\x00\x07\x08\t\n\r\x0b\x0c\x1b\x7f\x85\x9b\xad\u034f\u061c\u180e\u200b\u200c\u200d\u200e",
    *"\u200f\u2028\u2029\u202a\u202e\u2060\u2066\u2067\u2068\u2069\u206f\u2d7f\u3164\ufe00\ufe0e",
    *"\ufe0f\ufeff\ufff9\ufffc\ufdd0\ud800\U0001d173\U00013430\U000e0001\U000e0041\U000e0101",
    "\x1b[2J", "\x1b[H", "\x1b]0;title\x07", "\x1b[31m", "\x1b[?7l", "\x9b1A", "\r\n", "\n\n",
    *"天한ㅎ。\u3000\u302e\u2e3b\ufdfaශ्तำก็़ा\u1100\u1161\u11a8\u1734\u3248",
    *"👋☺❤✈▶©🇩🇪\u20e3👁🏴\U0001fadc\U0001f9ff\u0378\ue02a\U000f0000\U0010fffd",
    "👋" + SKIN, "❤\ufe0f", "1\ufe0f\u20e3", f"{WOMAN}\u200d❤\ufe0f\u200d{WOMAN}",
    "\u200d".join([WOMAN, WOMAN, "\U0001f467", "\U0001f466"]), "\u200d".join([WOMAN] * 12),
    "🏳\ufe0f\u200d🌈", "🇺🇦",
    "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    "Съешь ещё этих булок ", "می\u200cخواهم ", "שלום ", "مُحَمَّدٌ ", "ภาษาไทย ที่นี่ ", "हिन्दी क्\u200dष ",
    "ශ්\u200dරී ", "Nguyễn e\u0302\u0301 ", "葛\U000e0100城", "한국어 \u1112\u1161\u11ab",
    "e" + "\u0301" * 12, "a" * 30, " " * 25, "語" * 20, "😀" * 12, "x " * 20, "क्" * 12,
    "12:05 carol  hi", "12:05 · bob is gone: it closed the link", "── 2 carol ──────", "1 bob ✓ ▸ ",
    "‹U+202E›", "(delivered)", "\x1b[2m12:05\x1b[0m \x1b[36mcarol\x1b[0m  ",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=14).map("".join)
MESSAGES = st.builds(
    Message,
    TEXTS,
    st.just(NOON),
    st.sampled_from([State.RECEIVED, State.RECEIVED, State.DELIVERED]),
    st.booleans(),
    id=st.sampled_from([None, 7]),
)
PEERS = st.one_of(
    st.builds(conversation, st.sampled_from(["bob", "天地", "שלום", "é👋🏽", "n" * 32, "語" * 32])),
    st.builds(conversation, st.just(""), st.sampled_from(["2001:db8::7", f"{'2001:db8:':.<39}"])),
    st.builds(conversation, TEXTS),
)
WIDTHS = st.integers(20, 200) | st.sampled_from([20, 21, 40, 80])
AFTER = "12:05 carol  next"


def assert_ours(text: str, columns: int, prompt: str = "1 bob ▸ ") -> None:
    """No row but those that we began holds something in column 1, and none was wrapped."""
    rows = text.count("\n")
    screen = pyte.Screen(columns, rows + 2)
    stream = pyte.Stream(screen)
    stream.feed(text.replace("\n", "\r\n"))
    assert (screen.cursor.y, screen.cursor.x) == (rows, 0)
    stream.feed(f"{AFTER}\r\n{prompt}"[: columns + len(AFTER) + 2])
    drawn = screen.display
    assert drawn[rows].startswith(AFTER[:columns])
    assert drawn[rows + 1].startswith(prompt[:columns].rstrip()[:4])
    assert drawn[0].startswith("12:04 ")
    for row in drawn[1:rows]:
        assert row[0] == " "


@pytest.mark.fuzz
@pytest.mark.parametrize("part", range(PARTS))
@settings(max_examples=max(CASES // PARTS, 1))
@given(PEERS, MESSAGES, WIDTHS, st.booleans(), st.booleans())
def test_after_whatever_a_peer_writes_the_next_line_begins_with_our_stamp(
    part: int, peer: Conversation, message: Message, columns: int, states: bool, styled: bool
) -> None:
    text = printed(peer, message, columns, states=states)
    assert_harmless(text)
    assert finished(text, styled=True) == text  # the last guard has nothing to do
    if not styled:
        text = finished(text, styled=False)
        assert "\x1b" not in text
    first, *further = plain(text).removesuffix("\n").split("\n")
    assert all(layout.cells(line) <= columns for line in (first, *further))
    assert all(re.match(" {6}", line) for line in further)
    assert_ours(text, columns)


@pytest.mark.fuzz
@pytest.mark.parametrize("part", range(PARTS))
@settings(max_examples=max(CASES // PARTS // 10, 1))
@given(st.one_of(*EVENTS.values()), WIDTHS)
def test_after_whatever_happened_to_a_peer_the_next_line_begins_with_our_stamp(
    part: int, event: object, columns: int
) -> None:
    text, alarm = render.event(event)  # type: ignore[arg-type]
    if not text:
        return
    text = layout.fold(render.notice(text, NOON, alarm=alarm), columns, render.NOTICE_INDENT)
    assert_harmless(text)
    assert finished(text, styled=True) == text
    assert_ours(text, columns)


@settings(max_examples=300)
@given(st.lists(PEERS, max_size=12), st.integers(0, 12), WIDTHS)
def test_prompt_and_toolbar_are_one_line_that_fits(
    peers: list[Conversation], at: int, columns: int
) -> None:
    active = peers[at] if at < len(peers) else None
    prompt = words(render.prompt(active))
    assert_harmless(prompt)
    assert "\n" not in prompt
    assert layout.cells(prompt) <= 32 + 30
    toolbar = words(render.toolbar(peers, active, "en", columns))
    assert_harmless(toolbar)
    assert "\n" not in toolbar
    if columns >= 40:
        assert layout.cells(toolbar) <= columns


class Tmux:
    """A server of our own, with one window."""

    def __init__(self, folder: Path, columns: int, command: str) -> None:
        self._socket = str(folder / "tmux")
        settings_file = folder / "tmux.conf"
        settings_file.write_text("set -g history-limit 100000\nset -g status off\n")
        self("-f", str(settings_file), "new-session", "-d", "-x", str(columns), "-y", "50", command)

    def __call__(self, *words: str) -> str:
        return subprocess.run(
            ["tmux", "-u", "-S", self._socket, *words],
            check=True, capture_output=True, encoding="utf-8", timeout=PATIENCE,
            env={**os.environ, "LC_ALL": "C.UTF-8", "TERM": "xterm"},
        ).stdout  # fmt: skip

    def close(self) -> None:
        self("kill-server")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
@pytest.mark.parametrize("columns", [20, 40, 79])
def test_in_tmux_no_row_but_ours_has_anything_in_column_one(tmp_path: Path, columns: int) -> None:
    pick = random.Random(columns)
    bob = conversation("bob")
    texts = ["".join(pick.choices(PIECES, k=pick.randint(1, 14))) for _ in range(300)] + PIECES
    text = "".join(printed(bob, said(each), columns) + f"{AFTER}\n" for each in texts)
    (tmp_path / "text").write_text(text + "the end", "utf-8")
    tmux = Tmux(tmp_path, columns, f"cat '{tmp_path}/text'; read line")
    try:
        deadline = time.monotonic() + PATIENCE
        while "the end" not in (drawn := tmux("capture-pane", "-p", "-S", "-")):
            assert time.monotonic() < deadline, drawn
    finally:
        tmux.close()
    rows = drawn.rstrip("\n").split("\n")
    lines = OWN_COLOURS.sub("", text).split("\n")
    assert len(rows) == len(lines)  # none was wrapped
    for row, line in zip(rows[:-1], lines[:-1], strict=True):
        assert row[:6] == (line[:6] if line[0] != " " else " " * 6)[: len(row)]


@pytest.mark.parametrize("columns", range(1, 20))
def test_on_a_screen_that_is_too_narrow_column_one_stays_ours_as_long_as_there_are_four(
    columns: int,
) -> None:
    text = plain(printed(conversation("bob"), said("a語" * 9), columns))
    rows = text.removesuffix("\n").split("\n")[1:]
    assert all(row.startswith(" ") for row in rows)
    if columns >= 4:
        assert all(layout.cells(row) <= columns for row in rows)


def test_every_hidden_or_default_ignorable_character_is_made_visible() -> None:
    ignorable = [
        0xAD, 0x34F, 0x61C, 0x115F, 0x1160, 0x17B4, 0x17B5, *range(0x180B, 0x1810),
        *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0x3164,
        *range(0xFE00, 0xFE10), 0xFEFF, 0xFFA0, *range(0xFFF0, 0xFFF9), *range(0x1BCA0, 0x1BCA4),
        *range(0x1D173, 0x1D17B), *range(0xE0000, 0xE1000),
    ]  # fmt: skip
    acting = [
        code for code in range(0x110000)
        if unicodedata.category(chr(code)) in ("Cc", "Cs", "Zl", "Zp") and code != 10
    ]  # fmt: skip
    for code in ignorable + acting:
        shown = sanitize.line(f"a{chr(code)}b")
        assert shown == ("a    b" if code == 9 else f"a‹U+{code:04X}›b")
