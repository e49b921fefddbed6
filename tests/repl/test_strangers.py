"""The strangers under ``/peers``: who is listed, what is said of them, and in how much room."""

import re
import time
from collections.abc import Mapping
from types import MappingProxyType

import pytest

from fantom_trio.nursery import (
    Conversation,
    Deed,
    Endpoint,
    Limits,
    LinkKind,
    Stranger,
    Violation,
    Why,
)
from fantom_trio.nursery.admission import group_of
from fantom_trio.nursery.conversation import ConversationKey
from fantom_trio.repl.strangers import LATEST, describe, explain_deed, list_strangers
from tests.nursery.ends import Peer, answer, peer_listener
from tests.repl.paper import chat, guest, visitor
from tests.repl.test_render import NOON

HEADING = "Strangers who came to you, the latest first:"
#: A violation is told as what it was; of the rest there is no end without a word.
DEEDS: list[Deed] = [*LinkKind, *Violation, *(why for why in Why if why is not Why.VIOLATION)]


def stranger(
    host: str = "2001:db8::bad",
    deeds: Mapping[Deed, int] | None = None,
    *more: str,
    and_more: bool = False,
    zone: str = "",
    knocks: int = 1,
    first_at: float = NOON,
    last_at: float = NOON,
) -> Stranger:
    return Stranger(
        group_of(Endpoint(host, 0, zone)), zone, (host, *more), and_more,
        first_at, last_at, knocks, MappingProxyType(deeds or {}),
    )  # fmt: skip


def listing(them: list[Stranger], *peers: Conversation, everyone: bool = False) -> list[str]:
    return list_strangers(them, peers, now=NOON, everyone=everyone).splitlines()


# One of them.


@pytest.mark.parametrize("deed", DEEDS, ids=str)
def test_whatever_a_stranger_did_has_words_of_its_own(deed: Deed) -> None:
    text = explain_deed(deed)
    assert text.isprintable()
    assert re.fullmatch(r"[a-z].*[a-zA-Z0-9]", text)
    assert [each for each in DEEDS if explain_deed(each) == text] == [deed]


def test_one_line_says_where_when_how_often_and_what() -> None:
    it = stranger(
        "2001:db8::bad",
        {Violation.NOT_A_HANDSHAKE: 21, LinkKind.NATIVE: 1, Why.TOO_OFTEN: 2},
        knocks=24,
        last_at=NOON + 300,
    )
    assert describe(it, NOON + 600) == (
        "[2001:db8::bad] · 24 connections, 12:04 – 12:09"
        " · it sent something else than a handshake (21 times)"
        " · native link"
        " · too many connections came from its network at once (2 times)"
    )


def test_who_came_once_and_waits_has_one_time_and_has_done_nothing() -> None:
    text = "[fe80::1%eth0] · 1 connection, 12:04 · it has done nothing yet"
    assert describe(stranger("fe80::1", zone="eth0"), NOON) == text


def test_who_came_from_many_addresses_of_a_network_is_told_by_that() -> None:
    deeds: dict[Deed, int] = {Violation.NOT_A_HANDSHAKE: 3}
    them = stranger("2001:db8::1", deeds, "2001:db8::2", "2001:db8::3", knocks=3)
    end = "3 connections, 12:04 · it sent something else than a handshake (3 times)"
    assert describe(them, NOON) == f"2001:db8::/64 · 3 addresses · {end}"
    them = stranger("2001:db8::1", deeds, "2001:db8::2", knocks=3, and_more=True)
    assert describe(them, NOON) == f"2001:db8::/64 · more than 2 addresses · {end}"


def test_what_is_not_of_today_has_its_date() -> None:
    yesterday = NOON - 86400
    date = time.strftime("%Y-%m-%d", time.localtime(yesterday))
    text = describe(stranger(first_at=yesterday, knocks=2), NOON)
    assert f"2 connections, {date} 12:04 – 12:04 · " in text


def test_the_name_of_an_interface_moves_nothing_on_the_screen() -> None:
    text = describe(stranger("fe80::1", zone="e\x1b[2J\u202e"), NOON)
    assert text.startswith("[fe80::1%e‹U+001B›[2J‹U+202E›] · ")
    assert text.isprintable()


def test_who_tries_everything_gets_no_more_room() -> None:
    text = describe(stranger(deeds=dict.fromkeys(Violation, 1)), NOON)
    assert text.count(" · ") == 6
    assert text.endswith(f" · … {len(Violation) - 4} more")


# All of them.


def test_where_no_stranger_was_nothing_is_said_of_them() -> None:
    assert listing([]) == []
    assert listing([], everyone=True) == []


def test_the_latest_are_listed_and_the_rest_counted_unless_all_are_wanted() -> None:
    them = [stranger(f"2001:db8::{n:x}") for n in range(LATEST + 3)]
    lines = listing(them)
    assert lines == [HEADING, *(describe(each, NOON) for each in them[:LATEST]), (
        "… 3 more: /peers all"
    )]  # fmt: skip
    assert listing(them, everyone=True) == [HEADING, *(describe(each, NOON) for each in them)]
    assert listing(them[:LATEST]) == lines[:-1]


def test_who_only_had_links_and_is_heeded_is_no_stranger_any_more() -> None:
    peer = Conversation(ConversationKey("2001:db8::bad", 0), 1, Limits())
    linked = stranger(deeds={LinkKind.NATIVE: 3})
    broke = stranger(deeds={LinkKind.NATIVE: 3, Violation.REPLAY: 1})
    elsewhere = stranger("2001:db8::2", {LinkKind.NATIVE: 3})
    beside = stranger("2001:db8::bad", {LinkKind.NATIVE: 3}, "2001:db8::3")
    beyond = stranger(deeds={LinkKind.NATIVE: 3}, and_more=True)
    assert len(listing([linked, broke, elsewhere], peer)) == 4
    peer.want()
    assert listing([linked, broke, elsewhere, beside, beyond], peer) == [
        HEADING, *(describe(each, NOON) for each in (broke, elsewhere, beside, beyond)),
    ]  # fmt: skip


# With a real node.


async def test_peers_tells_of_a_stranger_where_there_is_nobody_else() -> None:
    async with chat() as (app, paper):
        scanner = await Peer.dial(app.node)
        await scanner.stream.send_all(b"GET / HTTP/1.1\r\n")
        await paper.until(lambda: "was turned away" in paper.text)
        paper.written = ""
        paper.enter("/peers")
        await paper.until(lambda: paper.text.count("\n") == 2)
        assert re.fullmatch(
            f"{HEADING}\n +"
            r"\[::1\] · 1 connection, 19[0-9: -]+ · it sent something else than a handshake\n",
            paper.text,
        )


async def test_peers_lists_the_conversations_before_the_strangers() -> None:
    async with chat() as (app, paper):
        await visitor(app, 40001, "hi")
        await paper.shows("[::1]:40001 +1 ")
        paper.written = ""
        paper.enter("/peers all")
        await paper.until(lambda: paper.text.count("\n") == 3)
        peer, heading, it = paper.text.splitlines()
        assert peer.startswith("1 [::1]:40001 · ")
        assert heading == HEADING
        assert re.fullmatch(r" +\[::1\] · 1 connection, .* · classic link", it)


async def test_peers_counts_most_of_a_crowd_and_peers_all_lists_it() -> None:
    async with chat() as (app, paper):
        for number in range(LATEST + 2):
            app.node._links.strangers.knocked(Endpoint(f"2001:db8:{number + 1:x}::1"))
        for command, end in (
            ("/peers", "… 2 more: /peers all\n"),
            ("/peers all", "[2001:db8:1::1] "),
        ):
            paper.written = ""
            paper.enter(command)
            await paper.until(lambda: HEADING in paper.text)
            assert ("/peers all" in paper.text) == (command == "/peers")
            assert end in paper.text


async def test_whom_the_user_answered_is_no_stranger() -> None:
    async with chat() as (app, paper), peer_listener() as (where, listener):
        peer = await guest(app, paper, where.port, "hi")
        paper.enter("hello yourself")
        await (await answer(listener)).read_text()
        paper.enter("/peers")
        paper.enter("/bell")
        await paper.until(lambda: "The bell is off.\n" in paper.text)
        assert HEADING not in paper.text
        peer.close()
