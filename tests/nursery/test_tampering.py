"""Somebody between two nodes who changes what passes: noticed every time, and nothing is lost."""

import os
import random
from collections.abc import Callable, Iterator

import pytest
import trio
from trio.testing import MockClock

from fantom_trio.nursery import (
    DialFailed,
    Endpoint,
    LinkEnded,
    Node,
    NodeEvent,
    Why,
    open_node,
)
from fantom_trio.nursery.network import Stream
from tests.nursery.memory_network import Host, MemoryListener, MemoryNetwork, MemoryStream

ALICE, BOB = "2001:db8::a", "2001:db8::b"
AT_BOB = Endpoint(BOB, 40002)
MINE = ["one", "two", "three"]
YOURS = ["uno", "dos", "tres"]
#: Frames before the first record: of the dialer message 3 and the header, of the listener that.
BEFORE_RECORDS = {ALICE: 2, BOB: 1}
RECORDS = 4
EVERY_BYTE = os.environ.get("HYPOTHESIS_PROFILE") == "fuzz"

#: From one frame, and the one after it, to what passes on; None: wait for the next one.
Tamper = Callable[[bytes], Iterator[bytes]]


class Tampering(Stream):
    """Alice's end of the first link: her ``target``-th frame passes through ``tamper``."""

    def __init__(self, inner: MemoryStream, target: int, tamper: Tamper) -> None:
        self.inner = inner
        self.here, self.peer = inner.here, inner.peer
        self.done = False
        self._target = target
        self._tamper = tamper
        self._lines = 1
        self._frames = 0
        self._held = b""

    async def receive_into(self, room: Callable[[], memoryview]) -> int:
        return await self.inner.receive_into(room)

    async def send_all(self, data: bytes | bytearray) -> None:
        await self.inner.send_all(self._changed(bytes(data)))

    def send_now(self, data: bytes | bytearray) -> bool:
        return self.inner.send_now(self._changed(bytes(data)))

    async def send_eof(self) -> None:
        await self.inner.send_eof()

    def close(self) -> None:
        self.inner.close()

    def _changed(self, data: bytes) -> bytes:
        """A write holds whole lines or whole frames."""
        if self._lines:
            self._lines -= 1
            return data
        passed = b""
        while data:
            size = 4 + int.from_bytes(data[:4], "big")
            frame, data = data[:size], data[size:]
            passed += self._frame(frame)
        return passed

    def _frame(self, frame: bytes) -> bytes:
        number, self._frames = self._frames, self._frames + 1
        if self._held:
            held, self._held = self._held, b""
            return frame + held
        if number != self._target:
            return frame
        self.done = True
        return b"".join(self._tamper(frame))

    def hold(self, frame: bytes) -> Iterator[bytes]:
        """Swap it with the one after it."""
        self._held = frame
        return iter(())

    def cut(self, frame: bytes) -> Iterator[bytes]:
        """Half of it, and then the end."""
        self.inner._write(memoryview(frame[: len(frame) // 2]))
        self.inner.reset()
        return iter(())


class FirstLinkTampered(Host):
    """The network of one of the two: what it writes on the first link is tampered with."""

    def __init__(
        self, network: MemoryNetwork, address: str, target: int, tamper: str | Tamper
    ) -> None:
        super().__init__(network, address)
        network.hosts[address] = self
        self.first: Tampering | None = None
        self._target = target
        self._how = tamper

    def wrap(self, stream: MemoryStream) -> Stream:
        """The first stream of this host, wrapped; any other as it is."""
        if self.first is not None:
            return stream
        self.first = Tampering(stream, self._target, lambda frame: iter((frame,)))
        how = self._how
        self.first._tamper = getattr(self.first, how) if isinstance(how, str) else how
        return self.first

    async def connect(  # type: ignore[override]
        self, endpoint: Endpoint, own: Endpoint | None, seconds: float
    ) -> Stream:
        return self.wrap(await super().connect(endpoint, own, seconds))

    def listen(self, endpoint: Endpoint) -> MemoryListener:
        listener = super().listen(endpoint)
        accept = listener.accept

        async def accept_wrapped() -> Stream:
            return self.wrap(await accept())

        listener.accept = accept_wrapped  # type: ignore[assignment, method-assign]
        return listener


def drop(frame: bytes) -> Iterator[bytes]:
    return iter(())


def repeat(frame: bytes) -> Iterator[bytes]:
    return iter((frame, frame))


def flip(at: int, bit: int = 0) -> Tamper:
    def flipped(frame: bytes) -> Iterator[bytes]:
        changed = bytearray(frame)
        changed[at % len(frame)] ^= 1 << bit
        yield bytes(changed)

    return flipped


async def chat(whose: str, record: int, tamper: str | Tamper) -> list[NodeEvent]:
    """Alice dials Bob and both write, while somebody tampers with a record of one of them.

    Returns what the two were told until all was delivered.
    """
    network = MemoryNetwork(random.Random(record), (0.01, 0.02))
    host = FirstLinkTampered(network, whose, BEFORE_RECORDS[whose] + record, tamper)
    told: list[NodeEvent] = []
    said: set[Node] = set()
    async with (
        open_node(network=network.host(ALICE)) as alice,
        open_node(network=network.host(BOB)) as bob,
        trio.open_nursery() as nursery,
    ):
        await bob.listen(AT_BOB)
        await alice.listen(Endpoint(ALICE, 40001))

        async def talk(node: Node, texts: list[str]) -> None:
            async for event in node.events:
                told.append(event)
                if isinstance(event, DialFailed):
                    alice.connect(AT_BOB)
                up = [each for each in node.conversations if each.session is not None]
                if up and node not in said:
                    said.add(node)
                    for text in texts:
                        node.say(up[0], text)

        nursery.start_soon(talk, alice, MINE)
        nursery.start_soon(talk, bob, YOURS)
        alice.connect(AT_BOB)
        with trio.fail_after(3600):
            while not (all_delivered(alice, said) and all_delivered(bob, said)):  # noqa: ASYNC110
                await trio.sleep(0.5)  # on a clock that jumps
            # What was dropped without a trace is noticed when the next word comes.
            await trio.sleep(20)
        assert host.first is not None
        assert host.first.done, "nothing was tampered with"
        (here,), (there,) = alice.conversations, bob.conversations
        heard = [m for m in there.history if not m.mine and m.text in MINE + YOURS]
        assert [m.text for m in heard] == MINE
        heard = [m for m in here.history if not m.mine and m.text in MINE + YOURS]
        assert [m.text for m in heard] == YOURS
        nursery.cancel_scope.cancel()
    return told


def all_delivered(node: Node, said: set[Node]) -> bool:
    return node in said and not any(each.undelivered for each in node.conversations)


def noticed(told: list[NodeEvent]) -> bool:
    """The first link ended because of what was done to it, and of nothing else."""
    endings = [event.ending.why for event in told if isinstance(event, LinkEnded)]
    failed = [event for event in told if isinstance(event, DialFailed)]
    assert Why.BUG not in endings
    return Why.VIOLATION in endings or Why.LOST in endings or bool(failed)


@pytest.mark.parametrize("whose", [ALICE, BOB])
@pytest.mark.parametrize("record", range(RECORDS))
@pytest.mark.parametrize(
    "tamper", [drop, repeat, "hold", "cut"], ids=["drop", "repeat", "hold", "cut"]
)
async def test_a_record_dropped_repeated_swapped_or_cut_is_noticed_and_nothing_is_lost(
    whose: str, record: int, tamper: str | Tamper, autojump_clock: MockClock
) -> None:
    assert noticed(await chat(whose, record, tamper))


def positions(record: int) -> Iterator[int]:
    """The bytes of a record's frame to flip: all, or the prefix, the ends, and a few between."""
    size = 4 + 1041
    if EVERY_BYTE:
        return iter(range(size))
    draw = random.Random(record)
    return iter(sorted({0, 1, 2, 3, 4, size - 1, *draw.sample(range(5, size - 1), 6)}))


@pytest.mark.fuzz
@pytest.mark.parametrize("whose", [ALICE, BOB])
@pytest.mark.parametrize("record", range(RECORDS))
async def test_any_byte_flipped_in_any_record_is_noticed_and_nothing_is_lost(
    whose: str, record: int, autojump_clock: MockClock
) -> None:
    for at in positions(record):
        assert noticed(await chat(whose, record, flip(at, at % 8))), at


@pytest.mark.parametrize("whose", [ALICE, BOB])
async def test_without_tampering_nothing_is_noticed(whose: str, autojump_clock: MockClock) -> None:
    assert not noticed(await chat(whose, 0, lambda frame: iter((frame,))))
