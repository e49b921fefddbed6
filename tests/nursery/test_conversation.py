"""A conversation by itself: what it remembers, what waits to be sent, and its bounds."""

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from fantom_trio.nursery.conversation import (
    Conversation,
    ConversationKey,
    History,
    OutboxFull,
)
from fantom_trio.nursery.limits import Limits
from fantom_trio.nursery.message import Message, State
from fantom_trio.wire import Endpoint

KEY = ConversationKey("2001:db8::7", 0)


def conversation(limits: Limits | None = None) -> Conversation:
    return Conversation(KEY, 1, limits or Limits())


def received(text: str) -> Message:
    return Message(text, 0, State.RECEIVED)


def history(limits: Limits, *texts: str) -> History:
    remembered = History(limits)
    for text in texts:
        remembered.append(received(text))
    return remembered


def texts(messages: History | list[Message]) -> list[str]:
    return [message.text for message in messages]


# What it remembers.


@pytest.mark.parametrize(
    ("limits", "said", "kept"),
    [
        (Limits(history_messages=3), ["a", "b", "c"], ["a", "b", "c"]),
        (Limits(history_messages=3), ["a", "b", "c", "d", "e"], ["c", "d", "e"]),
        (Limits(history_bytes=6), ["aaa", "bbb"], ["aaa", "bbb"]),
        (Limits(history_bytes=6), ["aaa", "bbb", "c"], ["bbb", "c"]),
        (Limits(history_bytes=6), ["a", "b", "c", "dddddd"], ["dddddd"]),
        (Limits(history_bytes=6), ["яя", "ж"], ["яя", "ж"]),  # two bytes each
        (Limits(history_bytes=6), ["яя", "жы"], ["жы"]),
        (Limits(history_bytes=6), ["a", "longer than all there is"], ["longer than all there is"]),
        (
            Limits(history_bytes=6),
            ["half \ud83d", "ok"],
            ["ok"],
        ),  # no text is too odd to be counted
    ],
)
def test_the_oldest_messages_are_dropped_and_counted(
    limits: Limits, said: list[str], kept: list[str]
) -> None:
    remembered = history(limits, *said)
    assert texts(remembered) == kept
    assert len(remembered) == len(kept)
    assert remembered.dropped == len(said) - len(kept)


@pytest.mark.parametrize(
    ("count", "latest"),
    [(0, []), (1, ["c"]), (2, ["b", "c"]), (3, ["a", "b", "c"]), (10**30, ["a", "b", "c"])],
)
def test_the_latest_messages_come_oldest_first(count: int, latest: list[str]) -> None:
    assert texts(history(Limits(), "a", "b", "c").latest(count)) == latest


def test_a_cleared_history_has_all_its_room_again() -> None:
    remembered = history(Limits(history_bytes=6), "aaa", "bbb")
    remembered.clear()
    assert texts(remembered) == []
    for text in ("ccc", "ddd"):
        remembered.append(received(text))
    assert texts(remembered) == ["ccc", "ddd"]


@settings(max_examples=300)
@given(st.lists(st.text(max_size=12)), st.integers(1, 8), st.integers(1, 40))
def test_a_history_never_exceeds_its_bounds_and_keeps_the_newest(
    said: list[str], most: int, most_bytes: int
) -> None:
    remembered = History(Limits(history_messages=most, history_bytes=most_bytes))
    for count, text in enumerate(said, 1):
        remembered.append(received(text))
        kept = texts(remembered)
        assert kept == said[count - len(kept) : count]
        assert remembered.dropped == count - len(kept)
        size = sum(message.size for message in remembered)
        assert len(kept) <= most
        assert size <= most_bytes or kept == [text]  # the newest is kept whatever its size
        # Nothing is dropped that there was room for.
        if older := said[: count - len(kept)]:
            assert (
                len(kept) == most or size + len(older[-1].encode("utf-8", "replace")) > most_bytes
            )


def test_what_nobody_has_taken_out_yet_is_kept_whatever_the_bounds() -> None:
    remembered = History(Limits(history_messages=10, history_bytes=1000))
    remembered.kept_after = 2
    for id in range(1, 9):
        message = received(str(id))
        message.id = id
        remembered.append(message)
    remembered.bound(1, 1)
    assert texts(remembered) == ["3", "4", "5", "6", "7", "8"]
    assert remembered.dropped == 2


# Who it is.


@pytest.mark.parametrize(
    ("endpoint", "key", "label"),
    [
        ("[2001:db8::7]:40001", KEY, "[2001:db8::7]"),
        ("[2001:DB8:0::7]:40002", KEY, "[2001:db8::7]"),
        ("[fe80::7%eth0]:40001", ConversationKey("fe80::7", 0), "[fe80::7]"),
        ("[::1]:40001", ConversationKey("::1", 40001), "[::1]:40001"),
        ("[::1]:40002", ConversationKey("::1", 40002), "[::1]:40002"),
    ],
)
def test_a_peer_is_its_address_and_on_this_machine_its_port_too(
    endpoint: str, key: ConversationKey, label: str
) -> None:
    assert ConversationKey.of(Endpoint.parse(endpoint)) == key
    peer = Conversation(key, 1, Limits())
    assert peer.label == label
    peer.name = "bob"
    assert peer.label == "bob"


def test_a_new_conversation_is_offline_with_nothing_in_it() -> None:
    peer = conversation()
    assert (peer.online, peer.links, peer.unread, peer.undelivered, len(peer.history)) == (
        False, [], 0, 0, 0,
    )  # fmt: skip


# What waits to be sent.


async def test_what_was_written_waits_until_a_link_took_it() -> None:
    peer = conversation()
    hello, again = peer.write("hello", 12.5), peer.write("again", 13)
    assert (hello.at, hello.state, hello.mine) == (12.5, State.WAITING, True)
    assert await peer.next_batch() == [hello, again]
    assert await peer.next_batch() == [hello, again]  # looking takes nothing
    assert peer.undelivered == 2
    peer.sent([hello])
    assert (hello.state, again.state, peer.undelivered) == (State.SENT, State.WAITING, 1)
    assert await peer.next_batch() == [again]
    assert texts(peer.history) == ["hello", "again"]


async def test_a_writer_wakes_when_something_is_written_and_again_after_it_was_sent(
    nursery: trio.Nursery,
) -> None:
    peer, batches = conversation(), []

    async def carry() -> None:
        while True:
            batches.append(texts(batch := await peer.next_batch()))
            peer.sent(batch)

    nursery.start_soon(carry)
    await wait_all_tasks_blocked()
    assert batches == []
    peer.write("one", 0)
    await wait_all_tasks_blocked()
    for text in ("two", "three"):
        peer.write(text, 0)
    await wait_all_tasks_blocked()
    assert batches == [["one"], ["two", "three"]]


@pytest.mark.parametrize(
    ("written", "first", "then"),
    [
        (["aaa", "bbb", "ccc"], ["aaa", "bbb"], ["ccc"]),
        (["aaaaa", "b"], ["aaaaa"], ["b"]),
        (["larger than a batch", "b"], ["larger than a batch"], ["b"]),
        (["", "", "aaaaa", "b"], ["", "", "aaaaa"], ["b"]),
    ],
)
async def test_a_batch_ends_with_the_message_that_fills_it(
    written: list[str], first: list[str], then: list[str]
) -> None:
    peer = conversation(Limits(batch_bytes=5))
    for text in written:
        peer.write(text, 0)
    batch = await peer.next_batch()
    assert texts(batch) == first
    peer.sent(batch)
    assert texts(await peer.next_batch()) == then


@pytest.mark.parametrize(
    ("limits", "taken", "refused"),
    [
        (Limits(outbox_messages=2), ["a", "b"], "c"),
        (Limits(outbox_bytes=6), ["aaa", "bbb"], "c"),
        (Limits(outbox_bytes=6), ["яяя"], "c"),
        (Limits(outbox_bytes=6), ["larger than the outbox"], ""),  # one is taken whatever its size
    ],
)
async def test_a_full_outbox_takes_nothing_until_there_is_room(
    limits: Limits, taken: list[str], refused: str
) -> None:
    peer = conversation(limits)
    for text in taken:
        peer.write(text, 0)
    with pytest.raises(OutboxFull):
        peer.write(refused, 0)
    assert texts(peer.history) == taken
    assert peer.undelivered == len(taken)
    peer.sent(await peer.next_batch())
    peer.write(refused, 0)
    assert peer.undelivered == 1


async def test_dropped_from_the_history_is_not_dropped_from_the_outbox() -> None:
    peer = conversation(Limits(history_messages=1))
    for text in ("one", "two"):
        peer.write(text, 0)
    assert texts(peer.history) == ["two"]
    assert texts(await peer.next_batch()) == ["one", "two"]


# The end.


async def test_to_forget_leaves_nothing_and_gives_all_the_room_back() -> None:
    peer = conversation(Limits(outbox_messages=1, outbox_bytes=5))
    peer.write("hello", 0)
    peer.unread = 3
    peer.forget()
    assert (texts(peer.history), peer.undelivered, peer.unread) == ([], 0, 0)
    again = peer.write("again", 0)
    assert await peer.next_batch() == [again]


@pytest.mark.parametrize("later", [[], ["written since"]], ids=["nothing", "something new"])
async def test_what_was_forgotten_while_a_link_took_it_is_no_longer_counted(
    later: list[str],
) -> None:
    peer = conversation()
    peer.write("hello", 0)
    batch = await peer.next_batch()
    peer.forget()
    for text in later:
        peer.write(text, 0)
    peer.sent(batch)
    assert texts(list(peer.history)) == later
    assert peer.undelivered == len(later)


def test_a_message_that_was_received_is_not_ours() -> None:
    assert not received("hi").mine
    assert Message("hi", 0, State.SENT).mine
