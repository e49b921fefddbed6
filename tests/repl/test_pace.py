"""Strangers come as often as they like, in every way there is, and the screen stays the user's."""

import itertools
import math
from collections.abc import Iterator

import pytest
import trio
from trio.testing import MockClock

from fantom_trio.nursery import (
    Conversation,
    DialError,
    DialFailed,
    DialProblem,
    Ending,
    Endpoint,
    HistoryFull,
    How,
    LinkEnded,
    LinkKind,
    LinkUp,
    NodeEvent,
    Redialing,
    Role,
    Verifying,
    Violation,
    Why,
    Wished,
)
from fantom_trio.repl.app import App
from fantom_trio.repl.bounds import (
    ALARM_SECONDS,
    STRANGER_NOTICES,
    STRANGER_SECONDS,
    TURNED_AWAY_NOTICES,
    TURNED_AWAY_SECONDS,
)
from fantom_trio.repl.pace import Kind, Notices, Pace, kind_of
from tests.repl.paper import chat, tell
from tests.repl.test_render import conversation

SLOW = "it did not complete the handshake in 10 seconds"
USED = "its invite was revoked, or used by somebody else before"


def turned_away(number: int, why: Why = Why.SLOW) -> LinkEnded:
    peer = Endpoint("2001:db8::bad", 50000 + number)
    return LinkEnded(None, peer, Role.LISTENER, Ending(why), last=False)


def deeds(app: App) -> Iterator[NodeEvent]:
    """What strangers do, without end: each time somebody else, each time something else."""
    known = conversation("bob")
    for number in itertools.count(1):
        host = f"2001:db8:{number:x}::1"
        there = Endpoint(host, 40000)
        it = app.node._book.classic(there)
        fault = Ending(Why.VIOLATION, violation=Violation.REPLAY)
        yield LinkUp(it, Role.LISTENER, LinkKind.CLASSIC, first=True)
        yield LinkUp(it, Role.LISTENER, LinkKind.NATIVE, first=True)
        yield LinkUp(it, Role.LISTENER, LinkKind.NATIVE, first=True, stranger_at=known)
        yield Verifying(it, Wished(How.CODE))
        yield Verifying(it, Wished(How.WORD))
        yield HistoryFull(it)
        yield LinkEnded(it, there, Role.LISTENER, fault, last=True)
        yield LinkEnded(it, there, Role.LISTENER, Ending(Why.LOST), last=False)
        yield Redialing(it, there)
        yield DialFailed(it, there, DialError(DialProblem.REFUSED))
        yield LinkEnded(None, there, Role.LISTENER, fault, last=False)
        yield turned_away(number)
        yield turned_away(number, Why.BAD_INVITE)
        yield turned_away(number, Why.BUG)


# One pace.


async def test_so_many_at_once_and_then_one_in_so_many_seconds(autojump_clock: MockClock) -> None:
    pace = Pace(3, 10)
    assert [pace.take() for _ in range(5)] == [0, 0, 0, None, None]
    await trio.sleep(9.9)
    assert pace.take() is None
    await trio.sleep(0.2)
    assert [pace.take(), pace.take()] == [3, None]
    await trio.sleep(1000)
    assert [pace.take() for _ in range(4)] == [1, 0, 0, None]


async def test_one_kind_takes_no_room_of_another(autojump_clock: MockClock) -> None:
    for kind in Kind:
        notices = Notices()
        while notices.take(kind) is not None:
            pass
        assert [notices.take(each) for each in Kind if each is not kind] == [0] * (len(Kind) - 1)
        assert {notices.take(None) for _ in range(100)} == {0}


@pytest.mark.parametrize("way", ["name", "notice"])
def test_who_is_heeded_has_no_pace(way: str) -> None:
    it = conversation()
    up = LinkUp(it, Role.LISTENER, LinkKind.NATIVE, first=True)
    assert kind_of(up) is Kind.MET
    if way == "name":
        it.name = "bob"
    else:
        it.want()
    assert kind_of(up) is None


# On the screen.


async def test_500_strangers_in_ten_seconds_take_a_screen_at_most(mock_clock: MockClock) -> None:
    async with chat(columns=80, patience=math.inf) as (app, paper):
        known = app.node._book.classic(Endpoint("2001:db8::7", 40001))
        known.name = "bob"
        events = deeds(app)
        for number in range(500):
            mock_clock.jump(10 / 500)
            await tell(app, next(events))
            if number == 250:
                paper.line = "half a li"
                await tell(app, LinkUp(known, Role.LISTENER, LinkKind.NATIVE, first=True))
                assert "bob connected to you" in paper.text.splitlines()[-2]
        # Arrivals, who were turned away, and three alarms; each is up to two rows, and so is the
        # word on how many more there were.
        kinds = STRANGER_NOTICES + 10 // STRANGER_SECONDS + TURNED_AWAY_NOTICES + 1 + 3 * 2
        assert 20 < paper.text.count("\n") <= 2 * kinds + 2 * 7 + 2
        assert app.active is None


async def test_of_strangers_who_get_a_conversation_the_first_are_told(
    mock_clock: MockClock,
) -> None:
    async with chat(patience=math.inf) as (app, paper):

        def somebody(number: int) -> Conversation:
            return app.node._book.classic(Endpoint(f"2001:db8::{number:x}", 1))

        for number in range(1, STRANGER_NOTICES + 4):
            await tell(app, HistoryFull(somebody(number)))
        assert paper.text.count("is full") == STRANGER_NOTICES
        assert "left out" not in paper.text
        mock_clock.jump(STRANGER_SECONDS)
        await tell(app, HistoryFull(somebody(1)))
        assert paper.text.endswith(
            "3 more notices about strangers were left out before this: /peers lists them\n"
        )


async def test_strangers_that_knock_are_told_rarely_and_counted(mock_clock: MockClock) -> None:
    async with chat(patience=math.inf) as (app, paper):
        for number in range(TURNED_AWAY_NOTICES + 2):
            await tell(app, turned_away(number))
        assert paper.text == "".join(
            f"[2001:db8::bad]:{50000 + number} was turned away: {SLOW}\n"
            for number in range(TURNED_AWAY_NOTICES)
        )
        paper.written = ""
        mock_clock.jump(TURNED_AWAY_SECONDS)
        await tell(app, turned_away(7))
        assert paper.text == (
            f"[2001:db8::bad]:50007 was turned away: {SLOW}\n"
            "2 more notices about strangers were left out before this: /peers lists them\n"
        )


async def test_strangers_that_knock_do_not_hide_one_with_a_bad_invite(
    mock_clock: MockClock,
) -> None:
    async with chat(patience=math.inf) as (app, paper):
        for number in range(TURNED_AWAY_NOTICES + 1):
            await tell(app, turned_away(number))
        paper.written = ""
        await tell(app, turned_away(5, Why.BAD_INVITE))
        assert paper.text == f"[2001:db8::bad]:50005 was turned away: {USED}\n"
        await tell(app, turned_away(6, Why.BAD_INVITE))
        mock_clock.jump(ALARM_SECONDS)
        await tell(app, turned_away(7, Why.BAD_INVITE))
        assert paper.text.endswith(
            f"[2001:db8::bad]:50007 was turned away: {USED}\n"
            "1 more notice about strangers was left out before this: /peers lists them\n"
        )
