"""One text until its receipt, against peers that do all that a peer can do meanwhile."""

import random
from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock

from fantom_trio.nursery import (
    Ending,
    Greeter,
    KeyPair,
    Limits,
    Receipt,
    Violation,
    Why,
    deliver,
    dial,
)
from fantom_trio.nursery.connection import Connection
from fantom_trio.wire import Ack, Bye, Endpoint, Event, Link, PeerClosed, Ping, Pong, Role, Say
from fantom_trio.wire.delivery import WINDOW_BYTES
from tests.nursery.ends import slots_in_use
from tests.nursery.memory_network import MemoryNetwork, MemoryStream

HERE, THERE = "2001:db8::a", "2001:db8::b"
LIMITS = Limits()
SECONDS = 10
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

    async def say(self, *records: Ack | Bye | Ping, garbage: bytes = b"") -> None:
        """All in one write."""
        for record in records:
            self.connection.link.send(record)
        await self.stream.send_all(self.connection.link.data_to_send() + garbage)


async def receipt_of(
    text: str, script: Script, *, classic: bool = False, cancelled_after: float = 1e9
) -> Receipt | None:
    """What became of ``text`` when the peer did ``script`` and closed; None: it was cancelled."""
    before = slots_in_use()
    network = MemoryNetwork(random.Random(1), (0.01, 0.01))
    ours, theirs = KeyPair.generate(), KeyPair.generate()
    receipt = None
    async with (
        network.host(THERE).listen(Endpoint(THERE, 0)) as listener,
        trio.open_nursery() as nursery,
    ):

        async def peer() -> None:
            stream = await listener.accept()
            link = Link(Role.LISTENER, identity=None if classic else theirs)
            connection = Connection(stream, link)
            try:
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
            receipt = await deliver(connection, text, 1, seconds=SECONDS, limits=LIMITS)
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

    assert await receipt_of("hi", script) == Receipt(sent=True, delivered=True)
    assert trio.current_time() < 1


async def test_a_text_of_several_messages_is_delivered_with_the_last_of_them(
    autojump_clock: MockClock,
) -> None:
    async def script(peer: Peer) -> None:
        await peer.hear(Say, 3)
        assert "".join(peer.texts) == LONG
        for shown in (1, 2, 3):
            await peer.say(Ack(shown))
        await peer.hear(Bye)

    assert await receipt_of(LONG, script) == Receipt(sent=True, delivered=True)


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

    assert await receipt_of(text, script) == Receipt(sent=True, delivered=True)


async def test_a_peer_that_acknowledged_and_then_froze_was_delivered_to(
    autojump_clock: MockClock,
) -> None:
    async def script(peer: Peer) -> None:
        await peer.hear(Say)
        await trio.sleep(SECONDS - 0.1)
        await peer.say(Ack(1))
        await trio.sleep_forever()

    assert await receipt_of("hi", script) == Receipt(sent=True, delivered=True)


async def test_a_ping_is_answered_while_it_waits(autojump_clock: MockClock) -> None:
    async def script(peer: Peer) -> None:
        await peer.say(Ping())
        await peer.hear(Pong)
        await peer.hear(Say)
        await peer.say(Ping())
        await peer.hear(Pong, 2)
        await peer.say(Ack(1))
        await peer.hear(Bye)

    assert await receipt_of("hi", script) == Receipt(sent=True, delivered=True)


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
    assert await receipt_of("hi", script) == Receipt(sent=True, ending=ending)


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
    assert await receipt_of(LONG, script) == Receipt(sent=True, ending=ending)


@pytest.mark.parametrize("script", [nothing, close_unheard], ids=lambda each: each.__name__)
async def test_what_did_not_all_go_out_is_not_called_sent(
    script: Script, autojump_clock: MockClock
) -> None:
    receipt = await receipt_of("x" * 1_000_000, script)
    assert receipt is not None
    assert (receipt.sent, receipt.delivered) == (False, False)
    assert receipt.ending in (Ending(Why.SLOW), Ending(Why.LOST))


async def test_a_text_over_the_window_is_not_sent_before_its_last_piece(
    autojump_clock: MockClock,
) -> None:
    async def script(peer: Peer) -> None:
        await peer.hear(Say, WINDOW_BYTES // 61_000)
        await peer.say(Bye("quit"))

    receipt = await receipt_of("x" * (2 * WINDOW_BYTES), script)
    assert receipt == Receipt(sent=False, ending=Ending(Why.LEFT))


async def test_an_acknowledgement_right_before_a_goodbye_counts(autojump_clock: MockClock) -> None:
    async def script(peer: Peer) -> None:
        await peer.hear(Say)
        await peer.say(Ack(1), Bye("quit"))
        await peer.hear(Bye)

    assert await receipt_of("hi", script) == Receipt(sent=True, delivered=True)


async def test_a_classic_peer_confirms_by_closing_after_our_end(autojump_clock: MockClock) -> None:
    async def script(peer: Peer) -> None:
        await peer.hear(PeerClosed)

    assert await receipt_of("hi", script, classic=True) == Receipt(sent=True, delivered=True)
    receipt = await receipt_of("hi", nothing, classic=True)
    assert receipt == Receipt(sent=True, ending=Ending(Why.SLOW))


async def test_cancelled_it_leaves_no_key(autojump_clock: MockClock) -> None:
    assert await receipt_of("hi", nothing, cancelled_after=1) is None
    assert await receipt_of("x" * 1_000_000, nothing, cancelled_after=1) is None
