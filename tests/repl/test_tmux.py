"""The terminal in a real tmux, which wraps its rows anew, joins emoji, and has a scrollback."""

import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.person import CTRL_A, CTRL_C, DOWN, UP
from tests.tmux import Tmux

PROGRAM = [sys.executable, "-W", "error", "-m", "tests.repl.terminal_program"]
CTRL_E, CTRL_K, LEFT = "\x05", "\x0b", "\x1b[D"
#: Without blanks: a screen does not show them at the end of a row.
WORDS = ",".join(f"word{number}" for number in range(30))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="there is no tmux"),
]


class Typist(Tmux):
    """At the prompt ``start>`` of ``terminal_program``."""

    def __init__(self, home: Path, *, rows: int = 24, columns: int = 80) -> None:
        super().__init__(home, PROGRAM, rows=rows, columns=columns)
        self.until("start>")
        self.until(self.is_drawn)

    @property
    def prompt(self) -> list[str]:
        """The rows from the last prompt on, without the toolbar."""
        lines = self.text.split("\n")
        starts = [number for number, line in enumerate(lines) if line.startswith("start>")]
        return lines[starts[-1] : -1] if starts else []

    @property
    def typed(self) -> str:
        """The text in the input line."""
        return "".join(row[len("start> ") :] for row in self.prompt)

    def is_drawn(self) -> bool:
        """The toolbar, longer than any screen here, fills one row, but for a blank at its end."""
        last = self.text.split("\n")[-1]
        return last.startswith(" start | ") and len(last) in (self.columns, self.columns - 1)

    def until_typed(self, text: str) -> None:
        self.until(lambda: self.typed == text and self.is_drawn())

    def until_cursor(self, column: int, character: str) -> None:
        """The cursor is there, and on that."""
        self.until(lambda: (self.cursor[0], self.under_cursor[:1]) == (column, character))

    def fill(self, lines: int) -> None:
        self.enter(f"/lines {lines}")
        self.until(f"line {lines - 1};")
        self.until_typed("")

    def check(self, lines: int, typed: str) -> None:
        """One prompt, what was typed once, and every line once, in order."""
        everything = self.everything
        assert everything.count("start>") == 1, everything
        printed = [line for line in everything.split("\n") if line.startswith("line ")]
        assert printed == [f"line {number};" for number in range(lines)], everything
        assert self.typed == typed
        # Between the lines and the prompt nothing is left behind.
        assert f"line {lines - 1};\nstart>" in everything


@pytest.fixture
def sit(tmp_path: Path) -> Iterator[Callable[[int, int], Typist]]:
    """Sits down at a terminal of so many rows and columns."""
    seats: list[Typist] = []

    def sit(rows: int, columns: int) -> Typist:
        seats.append(Typist(tmp_path, rows=rows, columns=columns))
        return seats[-1]

    yield sit
    for seat in seats:
        seat.close()


Sit = Callable[[int, int], Typist]


def test_a_half_typed_line_and_every_line_above_survive_other_widths(sit: Sit) -> None:
    person = sit(80, 80)
    person.fill(90)
    typed = WORDS
    person.type(typed)
    person.until_typed(typed)
    for columns in (60, 33, 34, 100, 41, 80):
        person.resize(columns)
        person.until_typed(typed)
        person.check(90, typed)
        person.type("!")
        typed += "!"
        person.until_typed(typed)
        person.check(90, typed)


def test_a_window_pulled_through_many_widths_in_the_middle_of_typing(sit: Sit) -> None:
    person = sit(80, 100)
    person.fill(90)
    typed = WORDS
    person.type(typed)
    person.until_typed(typed)
    for widths in (range(99, 50, -1), range(51, 80, 2), range(79, 50, -2)):
        for columns in widths:
            person.resize(columns)
            if columns % 3 == 0:
                person.type("x\x0c")  # Ctrl-L draws anew, at the last width that was told
                typed += "x"
        person.until_typed(typed)
        person.check(90, typed)


def test_a_row_that_became_shorter_is_not_taken_for_its_old_length(sit: Sit) -> None:
    person = sit(40, 80)
    person.fill(60)
    person.type("y" * 70 + "\x1b\rbelow")
    person.until_typed("y" * 70 + "below")
    person.type(UP + CTRL_A + "short" + CTRL_K)
    person.until_typed("shortbelow")
    person.type(DOWN + CTRL_E)
    person.until(lambda: person.cursor[0] == len("start> below"))
    person.resize(40)
    person.until(person.is_drawn)
    person.check(60, "shortbelow")


def test_text_that_fills_its_row_when_the_window_is_made_narrower(sit: Sit) -> None:
    person = sit(40, 80)
    person.fill(60)
    typed = "z" * (50 - len("start> "))
    person.type(typed)
    person.until_typed(typed)
    for columns in (51, 50, 49):
        person.resize(columns)
        person.until_typed(typed)
        person.check(60, typed)


def test_a_screen_of_forty_columns_and_ten_rows_has_room_for_all_of_it(sit: Sit) -> None:
    person = sit(10, 40)
    person.type("/\t")
    person.until("help on /views")
    lines = person.text.split("\n")
    assert [line.split()[0] for line in lines[1:]] == [
        "start>", "/flood", "/fail", "/help", "/view", "/views", "start"
    ]  # fmt: skip
    person.type(CTRL_C + WORDS)
    person.until(lambda: person.typed.endswith("word29"))
    assert len(person.prompt) == 5  # half the screen
    person.type(CTRL_C)
    person.paste("\n".join(f"row {number}" for number in range(200)))
    person.until("200 lines, one message: Enter sends it,\nCtrl-C drops it\n start |")
    assert person.prompt[4] == "       row 199"
    assert person.cursor == (len("start> row 199"), person.text.split("\n").index(person.prompt[4]))
    person.type("\r")
    person.until("#1 start: row 0 +199\nstart>\n start |")


@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("👨\u200d👩\u200d👧 family", 13),
        ("❤\ufe0f heart", 7),
        ("👍🏽 thumb", 10),
        ("🇩🇪 flag", 9),
        ("שלום עולם abc", 13),
        ("مرحبا بالعالم", 13),
        ("e\u0301\u0302\u0303 marks", 7),
        ("日本語 wide", 11),
        ("क्षि हिन्दी", 6),
        ("z\u200dy\u200cx joiners", 11),
    ],
)
def test_no_text_above_or_in_the_line_moves_what_stands_around_it(
    sit: Sit, text: str, width: int
) -> None:
    person = sit(12, 60)
    person.enter("above")
    person.until("#1 start: above +0")
    for number in (2, 3):
        person.type(text)
        # The cursor is where it was sent to, and what is typed then stands there.
        person.until_cursor(len("start> ") + width, " ")
        person.type("|" + LEFT)
        person.until_cursor(len("start> ") + width, "|")
        person.type(CTRL_A + "<")
        person.until_cursor(len("start> <"), text[0])
        # Nothing of what stood a cell further to the left remains.
        left = Counter(person.typed) - Counter(f"<{text}|")
        assert not set(left) - {" "}, person.text
        person.type("\r")
        person.until(f"#{number} start: <")
        person.until_typed("")
    lines = person.text.split("\n")
    assert lines[1] == "#1 start: above +0"
    assert lines[2].startswith("#2 start: <")
    assert lines[3].startswith("#3 start: <")
    assert lines[4] == "start>"
    assert lines[5].startswith(" start | ")
    assert person.cursor == (len("start> "), 4)


def test_what_was_pasted_is_shown_and_turns_wipes_and_colours_nothing(sit: Sit) -> None:
    person = sit(12, 60)
    person.enter("above")
    person.until("#1 start: above +0")
    person.paste("\x9b2J\x1b[2J\x1b]0;title\x07\x1b[31mred\ttab \u202eround\u202c \u200b|")
    person.until("start> <9b>2J^[[2J^[]0;title^G^[[31mred^Itab \ufffdround\ufffd \ufffd|")
    assert "#1 start: above +0\nstart>" in person.text
    person.type("\r")
    person.until("#2 start: ")
    person.until_typed("")


def test_what_was_cleared_is_in_no_scrollback_nor_is_what_is_typed_after(sit: Sit) -> None:
    person = sit(24, 80)
    person.fill(60)
    person.type("remembered\r")
    person.until("remembered +0")
    person.enter("/clear")
    person.until(lambda: person.everything.startswith("start>"))
    person.type("half a line")
    person.until("start> half a line")
    person.type("\x0c" + CTRL_A + "drawn anew, ")
    person.until("start> drawn anew, half a line")
    person.type(CTRL_C)
    person.until_typed("")
    person.type("more\r")
    person.until("more +0\nstart>")
    assert len(person.everything.split("\n")) == 3
    person.type(UP + UP + UP)
    person.until("start> remembered")


def test_what_was_forgotten_comes_back_by_no_key(sit: Sit) -> None:
    person = sit(24, 80)
    person.enter("remembered")
    person.type("cut" + CTRL_A + CTRL_K + "\x12remem\x1b\x03")
    person.enter("/forget")
    person.until(lambda: person.everything.startswith("start>"))
    # Up; undo; yank; search backward, and the search before.
    person.type(UP + UP + UP + "\x1f\x19\x12\x12")
    person.until("search back:")
    person.type("\x07")
    person.until(lambda: "search back:" not in person.text)
    person.type("end")
    person.until("start> end")
    assert person.everything.split("\n")[0] == "start> end"


@pytest.mark.parametrize("command", ["/clear-and-end", "/forget-and-end"])
def test_an_end_right_after_it_leaves_nothing_to_read(sit: Sit, command: str) -> None:
    person = sit(24, 80)
    person.fill(60)
    person.type("\x1b[200~half\ntyped\x1b[201~" + CTRL_C)
    person.type(f"{command}\rhalf a line")
    person.until(lambda: not person.is_running)
    assert person.everything == "goodbye"
