"""What is on the screen when something happens to it: every scene ends with a sane terminal."""

import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.person import CTRL_C, CTRL_D, Person
from tests.system.user import PROGRAM, Sit, User, free_port
from tests.tmux import Tmux

pytestmark = pytest.mark.slow

#: A program in which showing what a peer said fails: a bug of ours.
WITH_A_BUG = """
import sys
from fantom_trio.cli import main
from fantom_trio.repl import transcript
def broken(*them, **how):
    raise RuntimeError("a bug")
transcript.messages = broken
sys.exit(main())
"""


def masked(text: str) -> str:
    """Without what differs from run to run: the clock and the port."""
    return re.sub(r"\]:\d{5}", "]:PORT", re.sub(r"^\d\d:\d\d", "HH:MM", text, flags=re.MULTILINE))


def meet(alice: User, bob: User) -> None:
    alice.enter(f"/connect {bob.address} as bob")
    alice.sees("bob is here: native")
    bob.sees(r"\[::1\]:\d+ connected to")
    bob.enter("/switch 1")
    bob.enter("/name 1 alice")
    bob.until("1 alice ? ▸")


def test_the_first_start_says_what_this_is_and_waits_at_a_prompt(sit: Sit) -> None:
    alice = sit("alice", rows=24, columns=80)
    assert masked(alice.text).split("\n") == [
        "fantom-trio 0.1.0 · /help lists the commands, /quit leaves",
        "Trust no one you have not checked. Your address and your peer's are visible to",
        "the network; only what you write is secret. Nothing is stored: when this program",
        "ends, the keys and every message are gone.",
        "HH:MM · Listening on [::1]:PORT. Give your peer this address, or an /invite.",
        "(nobody) ▸",
        "  en",
    ]
    alice.quit()


def test_two_conversations_unread_and_switch(sit: Sit) -> None:
    alice, bob, carol = sit("alice", rows=16, columns=60), sit("bob"), sit("carol")
    meet(alice, bob)
    carol.enter(f"/connect {alice.address} as alice")
    carol.until("1 alice ? ▸")
    for text in ("one", "two", "three"):
        carol.enter(text)
    alice.until("+3")
    assert alice.prompt.startswith("1 bob ? ▸")  # nobody but the user changes that
    assert "three" not in alice.text
    alice.type("half a li")
    alice.type("\x1b2")  # Alt-2, beside the half-typed line
    alice.until("three")
    lines = masked(alice.text).split("\n")
    at = next(number for number, line in enumerate(lines) if line.startswith("── 2 [::1]:"))
    assert [line.split()[-1] for line in lines[at + 1 : at + 4]] == ["one", "two", "three"]
    assert lines[at + 4].startswith("2 [::1]:PORT ? ▸")
    assert "half a li" in "\n".join(lines[at + 4 :])
    for someone in (alice, bob, carol):
        someone.type(CTRL_C)
        someone.quit()


def test_a_pasted_block_of_200_lines_is_announced_and_arrives_as_one_message(sit: Sit) -> None:
    alice, bob = sit("alice", rows=24, columns=80), sit("bob", rows=40, columns=80)
    meet(alice, bob)
    alice.paste("\r".join(f"line {number}" for number in range(1, 201)))
    alice.until("200 lines")
    assert alice.prompt.startswith("1 bob ? ▸") or "1 bob ? ▸" in alice.text
    assert "line 200" in alice.text
    alice.enter("")
    bob.until("line 200")
    assert "line 199\n" in bob.text
    alice.enter("/history 1")
    alice.until("line 200 (delivered)")
    alice.quit()
    bob.quit()


def test_forty_columns_and_ten_rows_are_enough(sit: Sit) -> None:
    alice, bob = sit("alice", rows=10, columns=40), sit("bob", rows=10, columns=40)
    meet(alice, bob)
    alice.enter("a sentence that is a good deal longer than forty columns")
    bob.until("           columns\n1 alice")
    lines = bob.text.split("\n")
    at = next(number for number, line in enumerate(lines) if "alice  a sentence" in line)
    assert re.fullmatch(r"\d\d:\d\d alice  a sentence that is a good", lines[at])
    assert lines[at + 1] == " " * 13 + "deal longer than forty"
    assert lines[at + 2] == " " * 13 + "columns"
    assert bob.prompt.startswith("1 alice ? ▸")
    alice.enter("/invite")
    alice.until("fantom://")
    assert alice.prompt.startswith("1 bob ? ▸")
    alice.quit()
    bob.quit()


@pytest.mark.parametrize(
    ("language", "greeting", "nobody"),
    [("ru", "список команд", "(никто)"), ("sindarin", "/help", ""), ("tengwar", "/help", "")],
)
def test_each_language_from_the_start(
    tmp_path: Path, sit: Sit, language: str, greeting: str, nobody: str
) -> None:
    remembered = tmp_path / "alice" / "config" / "fantom-trio" / "language"
    alice = sit("alice", rows=24, columns=80)
    alice.enter(f"/lang {language}")
    alice.until(lambda: alice.toolbar.split()[-1:] == [language])
    alice.until(remembered.is_file)  # the screen changes first: a slow disk holds nobody up
    assert remembered.read_text() == f"{language}\n"
    english = alice.text
    alice.quit()
    again = Person(
        tmp_path / "alice", [*PROGRAM, "--loopback", "--port", str(free_port())], columns=80
    )
    try:
        again.until("▸")
        again.until(f"  {language}")
        again.until("/quit")
        assert "Trust no one" not in again.text
        assert greeting in again.text
        assert nobody in again.text
        assert english != again.text
        again.enter("/quit")
        again.leave()
    finally:
        again.close()


def test_a_peer_who_goes_while_one_types_leaves_the_line_alone(sit: Sit) -> None:
    alice, bob = sit("alice"), sit("bob")
    meet(alice, bob)
    alice.type("are you still th")
    alice.until("still th")
    bob.quit()
    alice.sees("bob is gone: it said goodbye")
    alice.until(lambda: "1 bob ? offline ▸ are you still th" in alice.prompt)
    alice.type("ere?\r")
    alice.until("1 undelivered")
    alice.quit()


def test_ctrl_c_keeps_everything_but_the_line_and_ctrl_d_leaves(sit: Sit) -> None:
    alice, bob = sit("alice"), sit("bob")
    meet(alice, bob)
    alice.type(f"not this{CTRL_C}but this\r")
    bob.until("but this")
    assert "not this" not in bob.text
    alice.type(f"x{CTRL_D}")  # on a line that is not empty it deletes, and there is nothing to
    alice.until(lambda: alice.prompt.rstrip().endswith("▸ x"))
    alice.type(CTRL_C + CTRL_D)
    alice.leave()
    bob.sees("alice is gone: it said goodbye")
    bob.quit()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_in_the_middle_of_a_chat_leaves_a_sane_terminal(
    sit: Sit, number: signal.Signals
) -> None:
    alice, bob = sit("alice"), sit("bob")
    meet(alice, bob)
    alice.type("in the middle of")
    alice.until("in the middle of")
    os.kill(alice.pid, number)
    alice.leave(code=128 + number)
    bob.sees("alice is gone: ")
    bob.quit()


def test_a_bug_is_loud_and_leaves_a_sane_terminal(tmp_path: Path, sit: Sit) -> None:
    home, port = tmp_path / "alice", free_port()
    home.mkdir()
    alice = Person(
        home,
        [sys.executable, "-c", WITH_A_BUG, "--loopback", "--port", str(port)],
        rows=50,
        columns=100,
    )
    try:
        bob = sit("bob")
        alice.until(f"Listening on [::1]:{port}")
        bob.enter(f"/connect [::1]:{port}")
        bob.until("▸")
        bob.sees(r"\[::1\]:\d+ is here")
        bob.enter("the last straw")
        alice.until("+1")
        alice.enter("/switch 1")
        alice.leave(code=1)
        assert "fantom-trio: RuntimeError\n" in alice.text
        assert "in Page.write_messages" in alice.text
        assert "a bug\n" not in alice.text  # what it said may be a secret
        bob.sees(r"\[::1\]:\d+ is gone: ")
        bob.quit()
    finally:
        alice.close()


def test_clear_leaves_the_prompt_alone_on_the_screen(sit: Sit) -> None:
    alice = sit("alice")
    alice.enter("/clear")
    alice.until(lambda: alice.text.split("\n")[0].startswith("(nobody) ▸"))
    assert alice.text.split("\n")[1:] == ["  en"]
    alice.quit()


def test_a_dumb_terminal_wraps_a_message_under_itself_without_a_control_character(
    tmp_path: Path, sit: Sit
) -> None:
    home, port = tmp_path / "alice", free_port()
    home.mkdir()
    alice = Person(
        home, [*PROGRAM, "--loopback", "--port", str(port)], rows=24, columns=40, term="dumb"
    )
    try:
        alice.until("Listening")
        bob = sit("bob")
        bob.enter(f"/connect [::1]:{port} as alice")
        bob.until("1 alice ? ▸")
        bob.enter("a sentence that is a good deal longer than forty columns")
        alice.until("to answer: /switch 1")
        alice.enter("/switch 1")
        alice.until("columns")
        row = next(line for line in alice.text.split("\n") if "a sentence" in line)
        stamp = row.index("a sentence")
        folded = alice.text.split(row)[1].split("\n")[1:3]
        assert all(line.startswith(" " * stamp) for line in folded)
        assert b"\x1b" not in alice.seen
        alice.type("/quit\n")
        alice.leave()
    finally:
        alice.close()


# In tmux, which wraps anew, joins emoji and keeps what scrolled away.


@pytest.fixture
def couple(tmp_path: Path, sit: Sit) -> Iterator[tuple[Tmux, User]]:
    """Alice in tmux, and Bob at a terminal of his own, connected."""
    home, port = tmp_path / "tmux", free_port()
    home.mkdir()
    alice = Tmux(home, [*PROGRAM, "--loopback", "--port", str(port)], rows=24, columns=80)
    try:
        alice.until(f"Listening on [::1]:{port}")
        bob = sit("bob")
        bob.enter(f"/connect [::1]:{port} as alice")
        bob.until("1 alice ? ▸")
        alice.until("connected to you")
        alice.enter("/switch 1")
        alice.enter("/name 1 bob")
        alice.until("1 bob ? ▸")
        yield alice, bob
    finally:
        alice.close()


def test_tmux_emoji_right_to_left_and_invisible_characters(couple: tuple[Tmux, User]) -> None:
    alice, bob = couple
    texts = [
        "family 👨‍👩‍👧‍👦 and flag 🇫🇷 and thumb 👍🏽",
        "שלום ‮reversed‬ عالم",
        "zero\u200bwidth and \x1b[31mred",
        "ééé Việt Nam",
        "終わり",
    ]
    for text in texts:
        bob.paste(text)
        bob.enter("")
    bob.enter("the end")
    alice.until("bob  the end")
    lines = [line for line in alice.text.split("\n") if re.match(r"\d\d:\d\d bob  ", line)]
    assert len(lines) == len(texts) + 1
    assert "‹U+202E›reversed‹U+202C›" in lines[1]
    assert "zero‹U+200B›width and ‹U+001B›[31mred" in lines[2]
    assert lines[4].endswith("終わり")
    assert alice.text.count("▸") == 1


def test_tmux_resized_in_the_middle_of_a_long_line(couple: tuple[Tmux, User]) -> None:
    alice, bob = couple
    bob.enter("before")
    alice.until("bob  before")
    line = " ".join(f"word{number}" for number in range(40))
    alice.type(line)
    alice.until("word39")
    told = []
    for columns in (60, 41, 120, 50, 80):
        alice.resize(columns)
        told.append(f"at {columns}")
        bob.enter(told[-1])
        alice.until(f"bob  at {columns}")
        alice.until("word39")
        shown = alice.text
        assert shown.count("▸") == 1, shown
        assert shown.count("word39") == 1, shown
    everything = alice.everything
    assert re.findall(r"bob  (before|at \d+)", everything) == ["before", *told]
    alice.enter("")
    bob.until("word39")


def test_tmux_burn_leaves_neither_screen_nor_scrollback(couple: tuple[Tmux, User]) -> None:
    alice, bob = couple
    for number in range(60):
        bob.enter(f"secret {number}")
    alice.until("secret 59")
    assert "secret 3\n" in alice.everything
    alice.enter("/burn")
    alice.until(lambda: not alice.is_running)
    assert "secret" not in alice.everything
    assert "bob" not in alice.everything
    bob.sees("alice is gone: ")
