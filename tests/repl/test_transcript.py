"""How much of the screen a message may take, how the rest is found, and what runs meanwhile."""

import tracemalloc

import pytest
import trio

from fantom_trio.nursery import Conversation, Message, Received, State
from fantom_trio.repl import sanitize, transcript
from fantom_trio.repl.bounds import (
    HISTORY_ROWS,
    MESSAGE_CHARACTERS,
    MESSAGE_ROWS,
    PIECE_CHARACTERS,
    PRINTED_ROWS,
)
from fantom_trio.repl.page import Page
from tests.repl.paper import Paper, chat, guest, tell
from tests.repl.test_render import conversation, plain, printed, said

#: What a peer can send at most: each line break is a row of its own.
BLANK = "\n" * 60_000


def history(peer: Conversation, them: list[Message], *, whole: bool = False) -> str:
    return plain("".join(transcript.history(peer, them, 80, whole=whole)))


def remembered(*texts: str) -> Conversation:
    peer = conversation("bob")
    peer.history.extend([said(text) for text in texts])
    return peer


# One message.


@pytest.mark.parametrize("columns", [None, 20, 40, 80])
@pytest.mark.parametrize(
    "text",
    [BLANK, "x" * 60_000, "a b " * 15_000, "\u202e" * 20_000, "שלום " * 6000, "天\n" * 15_000],
)
def test_whatever_a_peer_sends_takes_no_more_than_its_rows(text: str, columns: int | None) -> None:
    peer = remembered(text)
    shown = printed(peer, peer.history.latest(1)[0], columns)
    assert shown.count("\n") <= MESSAGE_ROWS + 10  # on a narrow screen our own words wrap, too
    assert "/history 1 whole" in " ".join(plain(shown).split())


def test_a_log_of_a_hundred_long_lines_is_shown_whole() -> None:
    lines = [f"{number} {'word ' * 25}end" for number in range(100)]
    peer = remembered("\n".join(lines))
    shown = plain(printed(peer, peer.history.latest(1)[0], 80))
    assert shown.count("end\n") == 100
    assert "left out" not in shown


def test_a_row_more_than_may_be_is_counted_and_the_last_that_may_be_is_shown() -> None:
    just = "\n".join(map(str, range(MESSAGE_ROWS)))
    for text in (just, f"{just}\n"):
        assert "left out" not in printed(remembered(text), said(text), 80)
    peer = remembered(f"{just}\nmore")
    assert plain(printed(peer, peer.history.latest(1)[0], 80)).endswith(
        f"           {MESSAGE_ROWS - 1}\n           … 1 more line: /history 1 whole shows all\n"
    )


@pytest.mark.parametrize(
    ("beginning", "rest", "lines"),
    [
        ("x" * MESSAGE_CHARACTERS, "x", 1),
        ("x" * MESSAGE_CHARACTERS, "\nx", 1),
        ("x" * (MESSAGE_CHARACTERS - 1) + "\n", "x", 1),
        ("x" * MESSAGE_CHARACTERS, "x\nx\n", 2),
        ("x" * (MESSAGE_CHARACTERS - 1) + "\n", "\nx", 1),
    ],
)
def test_where_nothing_wraps_the_characters_count(beginning: str, rest: str, lines: int) -> None:
    peer = remembered(beginning + rest)
    (shown,) = transcript.messages(peer, peer.history, None)
    assert shown.count("x") == beginning.count("x")
    assert f"… {lines} more line" in shown


def test_the_rest_is_where_it_is_said_to_be() -> None:
    long = f"{BLANK}the end"
    peer = remembered("before", long, "after", "and after")
    shown = "".join(transcript.messages(peer, peer.history, 80))
    assert f"… {60_001 - MESSAGE_ROWS} more lines: /history 3 whole" in shown
    assert "the end" not in history(peer, peer.history.latest(3))
    found = history(peer, peer.history.latest(3), whole=True)
    assert found.startswith("12:04 bob  \n")
    assert found.count("\n") == 60_001 + 1  # and how many are left
    assert "           the end\n" in found
    assert found.endswith("2 later messages are left out: /history 2 whole goes on with them\n")
    assert transcript.place(peer, said("forgotten")) == 4


def test_a_whole_message_is_the_same_in_pieces() -> None:
    lines = [f"{number}:{'שלום' * (number % 9)}" for number in range(3000)]
    peer = remembered("\n".join(lines))
    pieces = list(transcript.history(peer, [*peer.history], 80, whole=True))
    assert len(pieces) > 5
    assert all(piece.endswith("\n") for piece in pieces)
    first, *further = plain("".join(pieces)).removesuffix("\n").split("\n")
    assert all(line.startswith(" " * 11) for line in further)
    shown = [first.removeprefix("12:04 bob  "), *(line[11:] for line in further)]
    assert shown == [sanitize.isolate(line) for line in lines]


# Many of them.


def test_a_history_that_is_too_long_says_how_to_go_on() -> None:
    peer = remembered(*[BLANK] * 150)
    shown = history(peer, peer.history.latest(150))
    count = HISTORY_ROWS // MESSAGE_ROWS
    assert shown.count("12:04 bob") == count
    assert shown.count("\n") == count * (MESSAGE_ROWS + 1) + 1
    left = 150 - count
    assert f"{left} later messages are left out: /history {left} goes on with them\n" in shown


async def test_of_what_comes_at_once_the_latest_is_printed() -> None:
    short = [said("hi") for _ in range(PRINTED_ROWS // 3)]
    assert await transcript.latest(short, 80) == short
    lines = [said("x" * 100) for _ in range(PRINTED_ROWS)]  # two rows each
    assert await transcript.latest(lines, 80) == lines[-PRINTED_ROWS // 2 :]
    assert await transcript.latest(lines, None) == lines[-PRINTED_ROWS // 2 :]
    blank = [said(BLANK) for _ in range(270)]
    assert await transcript.latest(blank, 80) == blank[-(PRINTED_ROWS // MESSAGE_ROWS) :]


# On the screen.


class Gauge(Paper):
    """Counts what it takes, and how many pieces while nobody else runs."""

    def __init__(self) -> None:
        super().__init__(80)
        self.taken = self.largest = self.pieces = self.alone = self.longest = 0

    async def write(self, text: str) -> None:
        await trio.lowlevel.checkpoint()
        self.taken += text.count("\n")
        self.largest = max(self.largest, len(text))
        self.pieces += 1
        self.alone += 1
        self.longest = max(self.longest, self.alone)

    async def beat(self) -> None:
        """Somebody else."""
        while True:
            self.alone = 0
            await trio.lowlevel.checkpoint()


async def test_a_history_full_of_line_breaks_leaves_others_their_time_and_memory_alone() -> None:
    gauge = Gauge()
    page, peer = Page(gauge), remembered(*[BLANK] * 270)
    them = peer.history.latest(270)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(gauge.beat)
        await page.write_messages(peer, them)
        assert gauge.taken <= PRINTED_ROWS + 100
        tracemalloc.start()
        try:
            for whole in (False, True):
                await page.write_pieces(transcript.history(peer, them, 80, whole=whole))
            _now, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        nursery.cancel_scope.cancel()
    assert most < 4 << 20
    assert gauge.pieces > 50
    assert gauge.longest <= 2  # of two who are ready either may be first
    assert gauge.largest < 2 * PIECE_CHARACTERS


async def test_a_notice_stands_before_or_after_a_long_message_and_not_in_it() -> None:
    paper = Paper(80)
    page, peer = Page(paper), remembered("x\n" * 50_000)
    pieces = transcript.history(peer, [*peer.history], 80, whole=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(page.write_pieces, pieces)
        await paper.until(lambda: bool(paper.written))
        nursery.start_soon(page.print, "something else")
    assert paper.text.count("\n") == 50_001
    assert paper.text.endswith("x\nsomething else\n")


async def test_a_long_message_is_found_as_its_last_row_says() -> None:
    async with chat(columns=80) as (app, paper):
        await guest(app, paper, 40001, "hi")
        peer = app.node.conversations[0]
        message = Message(f"{BLANK}the end", 0, State.RECEIVED)
        peer.history.append(message)
        await tell(app, Received(peer, [message]))
        assert paper.text.count("\n") == MESSAGE_ROWS + 1
        assert "/history 1 whole shows all\n" in paper.text
        paper.enter("/history 1 whole")
        await paper.until(lambda: "the end\n" in paper.text)
