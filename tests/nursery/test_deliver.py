"""Messages until their receipt, against peers that do all that a peer can do meanwhile."""

import math
import random
from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from fantom_trio.nursery import (
    Ending,
    Greeter,
    KeyPair,
    Limits,
    Piece,
    Receipt,
    Source,
    Violation,
    Why,
    deliver,
    dial,
)
from fantom_trio.nursery.connection import Connection
from fantom_trio.wire import (
    Ack,
    Bye,
    Endpoint,
    Event,
    Link,
    PeerClosed,
    Ping,
    Pong,
    Role,
    Said,
    Say,
)
from fantom_trio.wire.delivery import WINDOW_BYTES, WINDOW_MESSAGES
from tests.nursery.ends import settled_slots, slots_in_use
from tests.nursery.memory_network import MemoryNetwork, MemoryStream

HERE, THERE = "2001:db8::a", "2001:db8::b"
LIMITS = Limits()
SECONDS = 10
DELIVERED = Receipt(taken=1, sent=1, delivered=1)
#: Three messages on the wire.
LONG = "".join(f"{n} ы👋\n" for n in range(11_000))
Script = Callable[["Peer"], Awaitable[None]]


class Peer:
    """The other end of a link whose handshake is done."""

    def __init__(self, connection: Connection, stream: MemoryStream) -> None:
        self.connection = connection
        self.stream = stream
        self.heard: list[Event] = []

    @property
    def texts(self) -> list[str]:
        return [event.text for event in self.heard if isinstance(event, Say)]

    async def hear(self, kind: type[Event], count: int = 1) -> None:
        """Read until so many of these came in all."""
        while sum(isinstance(event, kind) for event in self.heard) < count:
            self.heard += await self.connection.receive()

    async def say(self, *records: Ack | Bye | Ping | Pong, garbage: bytes = b"") -> None:
        """All in one write."""
        for record in records:
            self.connection.link.send(record)
        await self.stream.send_all(self.connection.link.data_to_send() + garbage)


def each(*texts: str) -> Source:
    """All at once, and then no more."""
    reads = [[], [Piece(text) for text in texts]]

    async def source() -> list[Piece]:
        return reads.pop()

    return source


async def receipt_of(
    messages: str | Source,
    script: Script,
    *,
    classic: bool = False,
    behind_its_line: bytes = b"",
    cancelled_after: float = math.inf,
) -> Receipt:
    """What became of a text, or of what a source gave, when the peer did ``script`` and closed."""
    source = each(messages) if isinstance(messages, str) else messages
    before = settled_slots()
    network = MemoryNetwork(random.Random(1), (0.01, 0.01))
    network.whole_reads = 1 if behind_its_line else network.whole_reads
    ours, theirs = KeyPair.generate(), KeyPair.generate()
    receipt = Receipt()
    async with (
        network.host(THERE).listen(Endpoint(THERE, 0)) as listener,
        trio.open_nursery() as nursery,
    ):

        async def peer() -> None:
            stream = await listener.accept()
            link = Link(Role.LISTENER, identity=None if classic else theirs)
            connection = Connection(stream, link)
            try:
                while behind_its_line:
                    link.received(await stream.receive_into(link.buffer))
                    if line := link.data_to_send():
                        await stream.send_all(line + behind_its_line)
                        await trio.sleep_forever()
                await connection.handshake(SECONDS, Greeter(theirs))
                await script(Peer(connection, stream))
            finally:
                connection.close()

        nursery.start_soon(peer)
        connection = await dial(
            listener.endpoint, Greeter(ours), own=None, own_port=31488, limits=LIMITS,
            network=network.host(HERE),
        )  # fmt: skip
        with trio.move_on_after(cancelled_after):
            await deliver(connection, source, receipt, seconds=SECONDS, limits=LIMITS)
        nursery.cancel_scope.cancel()
    ours.wipe()
    theirs.wipe()
    assert slots_in_use() == before
    return receipt


async def test_it_is_delivered_when_the_peer_acknowledged_it_and_both_say_goodbye(
    autojump_clock: MockClock,
) -> None:
    async def script(peer: Peer) -> None:
        await peer.hear(Say)
        await peer.say(Ack(1))
        await peer.hear(Bye)
        await peer.say(Bye("quit"))
        assert peer.texts == ["hi"]

    assert await receipt_of("hi", script) == DELIVERED
    assert trio.current_time() < 1


async def test_a_classic_peer_that_speaks_behind_its_line_breaks_the_protocol(
    autojump_clock: MockClock,
) -> None:
    async def script(peer: Peer) -> None:
        raise NotImplementedError

    receipt = await receipt_of("hi", script, classic=True, behind_its_line=b"hello")
    assert receipt.ending == Ending(Why.VIOLATION, Violation.WROTE_AFTER_ACK)
    assert (receipt.sent, receipt.delivered) == (0, 0)


async def test_a_text_of_several_messages_is_delivered_with_the_last_of_them(
    autojump_clock: MockClock,
) -> None:
    async def script(peer: Peer) -> None:
        await peer.hear(Say, 3)
        assert "".join(peer.texts) == LONG
        for shown in (1, 2, 3):
            await peer.say(Ack(shown))
        await peer.hear(Bye)

    assert await receipt_of(LONG, script) == DELIVERED


async def test_no_more_goes_out_than_may_be_unacknowledged(autojump_clock: MockClock) -> None:
    text = "x" * (2 * WINDOW_BYTES)

    async def script(peer: Peer) -> None:
        with trio.move_on_after(1):
            await peer.hear(Say, 1000)
        assert WINDOW_BYTES - 61_000 < len("".join(peer.texts)) <= WINDOW_BYTES
        while len("".join(peer.texts)) < len(text):
            await peer.say(Ack(len(peer.texts)))
            await peer.hear(Say, len(peer.texts) + 1)
        await peer.say(Ack(len(peer.texts)))
        await peer.hear(Bye)
        assert "".join(peer.texts) == text

    assert await receipt_of(text, script) == DELIVERED


async def test_a_peer_that_acknowledged_and_then_froze_was_delivered_to(
    autojump_clock: MockClock,
) -> None:
    async def script(peer: Peer) -> None:
        await peer.hear(Say)
        await trio.sleep(SECONDS - 0.1)
        await peer.say(Ack(1))
        await trio.sleep_forever()

    assert await receipt_of("hi", script) == DELIVERED


async def test_a_ping_is_answered_while_it_waits(autojump_clock: MockClock) -> None:
    async def script(peer: Peer) -> None:
        await peer.say(Ping())
        await peer.hear(Pong)
        await peer.hear(Say)
        await peer.say(Ping())
        await peer.hear(Pong, 2)
        await peer.say(Ack(1))
        await peer.hear(Bye)

    assert await receipt_of("hi", script) == DELIVERED


async def nothing(peer: Peer) -> None:
    await trio.sleep_forever()


async def hear_and_say_nothing(peer: Peer) -> None:
    await peer.hear(Say)
    await trio.sleep_forever()


async def close_unheard(peer: Peer) -> None:
    peer.connection.close()


async def hear_and_close(peer: Peer) -> None:
    await peer.hear(Say)


async def hear_and_leave(peer: Peer) -> None:
    await peer.hear(Say)
    await peer.say(Bye("quit"))
    await peer.hear(Bye)


async def hear_and_break(peer: Peer) -> None:
    await peer.hear(Say)
    peer.stream.reset()


async def acknowledge_too_much(peer: Peer) -> None:
    await peer.hear(Say)
    await peer.say(Ack(2))
    await trio.sleep_forever()


async def say_garbage(peer: Peer) -> None:
    await peer.hear(Say)
    await peer.say(Ping(), garbage=bytes(4))
    await trio.sleep_forever()


VIOLATED = Ending(Why.VIOLATION, Violation.COUNT_IMPOSSIBLE)
GARBAGE = Ending(Why.VIOLATION, Violation.FRAME_LENGTH)


@pytest.mark.parametrize(
    ("script", "ending"),
    [
        (nothing, Ending(Why.SLOW)),
        (hear_and_say_nothing, Ending(Why.SLOW)),
        (hear_and_close, Ending(Why.LOST)),
        (hear_and_leave, Ending(Why.LEFT)),
        (hear_and_break, Ending(Why.LOST)),
        (acknowledge_too_much, VIOLATED),
        (say_garbage, GARBAGE),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
async def test_without_an_acknowledgement_it_is_not_delivered_and_it_says_why(
    script: Script, ending: Ending, autojump_clock: MockClock
) -> None:
    assert await receipt_of("hi", script) == Receipt(1, 1, 0, ending=ending)


@pytest.mark.parametrize("last", [None, "leave", "garbage"])
async def test_an_acknowledgement_of_a_part_is_none(
    last: str | None, autojump_clock: MockClock
) -> None:
    async def script(peer: Peer) -> None:
        await peer.hear(Say, 3)
        if last == "leave":
            await peer.say(Ack(2), Bye("quit"))
        else:
            await peer.say(Ack(2), garbage=bytes(4) if last else b"")
        await trio.sleep_forever()

    ending = {None: Ending(Why.SLOW), "leave": Ending(Why.LEFT), "garbage": GARBAGE}[last]
    assert await receipt_of(LONG, script) == Receipt(1, 1, 0, ending=ending)


@pytest.mark.parametrize("script", [nothing, close_unheard], ids=lambda each: each.__name__)
async def test_what_did_not_all_go_out_is_not_called_sent(
    script: Script, autojump_clock: MockClock
) -> None:
    receipt = await receipt_of("x" * 1_000_000, script)
    assert (receipt.sent, receipt.delivered) == (0, 0)
    assert receipt.ending in (Ending(Why.SLOW), Ending(Why.LOST))


async def test_a_text_over_the_window_is_not_sent_before_its_last_piece(
    autojump_clock: MockClock,
) -> None:
    async def script(peer: Peer) -> None:
        await peer.hear(Say, WINDOW_BYTES // 61_000)
        await peer.say(Bye("quit"))

    receipt = await receipt_of("x" * (2 * WINDOW_BYTES), script)
    assert receipt == Receipt(1, 0, 0, ending=Ending(Why.LEFT))


async def test_an_acknowledgement_right_before_a_goodbye_counts(autojump_clock: MockClock) -> None:
    async def script(peer: Peer) -> None:
        await peer.hear(Say)
        await peer.say(Ack(1), Bye("quit"))
        await peer.hear(Bye)

    assert await receipt_of("hi", script) == DELIVERED


async def test_a_classic_peer_confirms_by_closing_after_our_end(autojump_clock: MockClock) -> None:
    async def script(peer: Peer) -> None:
        await peer.hear(PeerClosed)

    assert await receipt_of("hi", script, classic=True) == DELIVERED
    receipt = await receipt_of("hi", nothing, classic=True)
    assert receipt == Receipt(1, 1, 0, ending=Ending(Why.SLOW))


async def test_cancelled_it_leaves_no_key(autojump_clock: MockClock) -> None:
    assert await receipt_of("hi", nothing, cancelled_after=1) == Receipt(1, 1, 0)
    assert await receipt_of("x" * 1_000_000, nothing, cancelled_after=1) == Receipt(1, 0, 0)


# As they come.


class Feed:
    """A source that gives what ``say`` was told, as it comes; ``reads`` counts how often."""

    def __init__(self) -> None:
        self.reads = 0
        self._send, self._receive = trio.open_memory_channel[list[Piece]](math.inf)

    def say(self, *pieces: Piece) -> None:
        self._send.send_nowait(list(pieces))

    def end(self) -> None:
        self._send.close()

    async def read(self) -> list[Piece]:
        self.reads += 1
        try:
            return await self._receive.receive()
        except trio.EndOfChannel:
            return []


async def test_each_goes_out_as_it_comes_and_is_counted_as_it_is_acknowledged(
    autojump_clock: MockClock,
) -> None:
    feed = Feed()

    async def script(peer: Peer) -> None:
        for number in range(1, 4):
            feed.say(Piece(str(number)))
            await peer.hear(Say, number)
            await peer.say(Ack(number))
        feed.end()
        await peer.hear(Bye)
        assert peer.texts == ["1", "2", "3"]

    assert await receipt_of(feed.read, script) == Receipt(3, 3, 3)
    assert trio.current_time() < 1


async def test_a_source_that_has_nothing_is_delivered_at_once(autojump_clock: MockClock) -> None:
    async def script(peer: Peer) -> None:
        await peer.hear(Bye)
        assert not peer.texts

    assert await receipt_of(each(), script) == Receipt(0, 0, 0)


async def test_a_message_in_pieces_counts_when_its_last_piece_is_acknowledged(
    autojump_clock: MockClock,
) -> None:
    feed = Feed()
    feed.say(Piece("a", last=False), Piece("b", last=False), Piece("c"), Piece("d"))

    async def script(peer: Peer) -> None:
        await peer.hear(Say, 4)
        await peer.say(Ack(2))
        await trio.sleep_forever()

    slow = Ending(Why.SLOW)
    assert await receipt_of(feed.read, script) == Receipt(2, 2, 0, slow)


async def test_the_source_is_asked_for_no_more_than_may_be_unacknowledged(
    autojump_clock: MockClock,
) -> None:
    feed = Feed()
    for number in range(2 * WINDOW_MESSAGES):
        feed.say(Piece(str(number)))

    async def script(peer: Peer) -> None:
        await peer.hear(Say, WINDOW_MESSAGES)
        await wait_all_tasks_blocked()
        assert feed.reads == WINDOW_MESSAGES + 1
        await peer.say(Ack(10))
        await peer.hear(Say, WINDOW_MESSAGES + 10)
        await wait_all_tasks_blocked()
        assert feed.reads == WINDOW_MESSAGES + 11
        assert peer.texts == [str(number) for number in range(WINDOW_MESSAGES + 10)]
        await trio.sleep_forever()

    receipt = await receipt_of(feed.read, script)
    assert (receipt.taken, receipt.delivered) == (WINDOW_MESSAGES + 10, 10)


async def test_while_nothing_comes_the_link_is_kept_alive(autojump_clock: MockClock) -> None:
    feed = Feed()

    async def script(peer: Peer) -> None:
        for number in range(1, 100):
            await peer.hear(Ping, number)
            await peer.say(Pong())
        feed.say(Piece("late"))
        await peer.hear(Say)
        await peer.say(Ack(1))
        feed.end()
        await peer.hear(Bye)

    assert await receipt_of(feed.read, script) == DELIVERED
    assert trio.current_time() > 99 * LIMITS.ping_seconds


async def test_a_peer_that_is_silent_while_nothing_comes_is_given_up(
    autojump_clock: MockClock,
) -> None:
    receipt = await receipt_of(Feed().read, nothing)
    assert receipt == Receipt(ending=Ending(Why.SILENT))
    assert trio.current_time() == pytest.approx(LIMITS.silences * LIMITS.ping_seconds, abs=1)


async def leave(peer: Peer) -> None:
    await peer.say(Bye("quit"))
    await peer.hear(Bye)


async def close(peer: Peer) -> None:
    pass


@pytest.mark.parametrize(
    ("script", "classic", "why"),
    [(leave, False, Why.LEFT), (close, False, Why.LOST), (close, True, Why.CLOSED)],
    ids=["goodbye", "close", "classic close"],
)
async def test_a_peer_that_goes_while_nothing_comes_is_noticed_at_once(
    script: Script, classic: bool, why: Why, autojump_clock: MockClock
) -> None:
    receipt = await receipt_of(Feed().read, script, classic=classic)
    assert receipt == Receipt(ending=Ending(why))
    assert trio.current_time() < 1


async def test_a_peer_may_take_its_time_for_each_but_not_for_none(
    autojump_clock: MockClock,
) -> None:
    async def script(peer: Peer) -> None:
        await peer.hear(Say, 5)
        for shown in range(1, 5):
            await trio.sleep(SECONDS - 1)
            await peer.say(Ack(shown))
        await trio.sleep_forever()

    receipt = await receipt_of(each(*"abcde"), script)
    assert receipt == Receipt(5, 5, 4, Ending(Why.SLOW))
    assert trio.current_time() == pytest.approx(4 * (SECONDS - 1) + SECONDS, abs=1)


async def test_a_pause_between_two_is_no_delay_of_the_peer(autojump_clock: MockClock) -> None:
    feed = Feed()

    async def script(peer: Peer) -> None:
        for number in (1, 2):
            await trio.sleep(SECONDS + 1)
            feed.say(Piece("x"))
            await peer.hear(Say, number)
            await trio.sleep(SECONDS - 1)
            await peer.say(Ack(number))
        feed.end()
        await peer.hear(Bye)

    assert await receipt_of(feed.read, script) == Receipt(2, 2, 2)


async def test_a_classic_peer_gets_each_as_it_comes(autojump_clock: MockClock) -> None:
    feed = Feed()

    async def script(peer: Peer) -> None:
        for number in range(1, 4):
            feed.say(Piece(str(number)))
            await peer.hear(Said, number)
        feed.end()
        await peer.hear(PeerClosed)
        said = [event.text for event in peer.heard if isinstance(event, Said)]
        assert said == ["1", "2", "3"]

    assert await receipt_of(feed.read, script, classic=True) == Receipt(3, 3, 3)


async def test_a_classic_peer_that_closes_before_our_end_confirmed_nothing(
    autojump_clock: MockClock,
) -> None:
    feed = Feed()

    async def script(peer: Peer) -> None:
        feed.say(Piece("a"), Piece("b"))
        await peer.hear(Said, 2)

    receipt = await receipt_of(feed.read, script, classic=True)
    assert receipt == Receipt(2, 2, 0, Ending(Why.CLOSED))


async def test_a_classic_peer_that_reads_no_more_is_given_up(autojump_clock: MockClock) -> None:
    async def source() -> list[Piece]:
        return [Piece("x" * 60_000)]

    receipt = await receipt_of(source, nothing, classic=True)
    assert receipt.ending == Ending(Why.SLOW)
    assert receipt.delivered == 0 < receipt.sent < receipt.taken


async def test_cancelled_it_has_counted_how_far_each_came(autojump_clock: MockClock) -> None:
    feed = Feed()
    feed.say(*map(Piece, "abc"))

    async def script(peer: Peer) -> None:
        await peer.hear(Say, 3)
        await peer.say(Ack(2))
        await trio.sleep_forever()

    assert await receipt_of(feed.read, script, cancelled_after=1) == Receipt(3, 3, 2)
