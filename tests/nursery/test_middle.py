"""A man in the middle: he runs a handshake with each side and carries every record across.

He is of another make (``NativePeer``), has keys of his own, and reads all that passes. Nothing on
the wire tells of him: what he gives himself away by is the invite, the code, and the word.
"""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio
from trio.testing import MockClock

from fantom_trio.nursery import (
    CodeReady,
    Conversation,
    DialFailed,
    DialProblem,
    Endpoint,
    Failed,
    LinkEnded,
    LinkKind,
    LinkUp,
    Matched,
    Node,
    Verifying,
    open_node,
    prepare_word,
)
from fantom_trio.nursery.errors import ConnectionLost
from tests.nursery.ends import next_event, next_texts
from tests.nursery.memory_network import MemoryNetwork, MemoryStream
from tests.wire.native_ends import NativePeer, frames_in

ALICE, MALLORY, BOB = "2001:db8::a", "2001:db8::3", "2001:db8::b"
#: Whoever dials Bob by the address that Alice has gets Mallory.
AT_MALLORY, AT_BOB = Endpoint(MALLORY, 40003), Endpoint(BOB, 40002)
AN_HOUR = 3600


@dataclass
class Mallory:
    """What he learned: every record, with the side it came from, and all that he was sent."""

    network: MemoryNetwork
    overheard: list[tuple[str, str]] = field(default_factory=list)
    #: Bytes from Alice that were not the first line.
    from_alice: int = 0

    async def serve(self) -> None:
        """Put himself into every connection."""
        listener = self.network.host(MALLORY).listen(AT_MALLORY)
        async with trio.open_nursery() as nursery:
            while True:
                nursery.start_soon(self._stand_between, await listener.accept())

    async def _stand_between(self, alice: MemoryStream) -> None:
        bob = await self.network.host(MALLORY).connect(AT_BOB, None, 10)
        try:
            await self._carry(_Side("alice", alice), _Side("bob", bob))
        except ConnectionLost:
            alice.reset()
            bob.reset()
        finally:
            alice.close()
            bob.close()

    async def _carry(self, alice: "_Side", bob: "_Side") -> None:
        await bob.stream.send_all(bob.peer.line())
        await bob.stream.send_all(bob.peer.message_3(await bob.line()) + bob.peer.seal.head)
        await alice.stream.send_all(alice.peer.answer(await alice.line()))
        if not (message_3 := await alice.frame()):
            return
        self.from_alice += len(message_3)
        alice.peer.read_message_3(message_3)
        await alice.stream.send_all(alice.peer.seal.head)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._pass_on, alice, bob)
            nursery.start_soon(self._pass_on, bob, alice)

    async def _pass_on(self, source: "_Side", sink: "_Side") -> None:
        while frame := await source.frame():
            for fields, _ in source.peer.open.read(frame):
                rest = dict(fields)
                kind = rest.pop("type")
                self.overheard.append((source.name, kind))
                await sink.stream.send_all(sink.peer.seal.record(kind, **rest))
        await sink.stream.send_eof()


class _Side:
    """One of the two whom he deceives."""

    def __init__(self, name: str, stream: MemoryStream) -> None:
        self.name = name
        self.stream = stream
        self.peer = NativePeer()
        self._read = bytearray()

    async def line(self) -> bytes:
        while b"\n" not in self._read:
            assert await self._more()
        return self._cut(self._read.index(b"\n") + 1)

    async def frame(self) -> bytes:
        """The next one with its length, or nothing when the side has ended."""
        while len(self._read) < 4 or len(self._read) < self._size():
            if not await self._more():
                return b""
        (frame,) = frames_in(self._cut(self._size()))
        return frame

    def _size(self) -> int:
        return 4 + int.from_bytes(self._read[:4], "big")

    def _cut(self, size: int) -> bytes:
        first = bytes(self._read[:size])
        del self._read[:size]
        return first

    async def _more(self) -> int:
        room = bytearray(4096)
        count = await self.stream.receive_into(lambda: memoryview(room))
        self._read += room[:count]
        return count


@dataclass
class Scene:
    alice: Node
    mallory: Mallory
    bob: Node

    async def meet(self) -> tuple[Conversation, Conversation]:
        """Alice dials what she takes for Bob's address."""
        self.alice.connect(AT_MALLORY)
        here = (await next_event(self.alice, LinkUp)).conversation
        return here, (await next_event(self.bob, LinkUp)).conversation


@asynccontextmanager
async def a_scene() -> AsyncIterator[Scene]:
    network = MemoryNetwork(random.Random(7), (0.01, 0.05))
    mallory = Mallory(network)
    with trio.fail_after(AN_HOUR):  # on a clock that jumps
        async with (
            open_node(network=network.host(ALICE), rng=random.Random(1)) as alice,
            open_node(network=network.host(BOB), rng=random.Random(2)) as bob,
            trio.open_nursery() as nursery,
        ):
            await bob.listen(AT_BOB)
            nursery.start_soon(mallory.serve)
            yield Scene(alice, mallory, bob)
            nursery.cancel_scope.cancel()


async def outcome(node: Node, *kinds: type[object]) -> object:
    while not isinstance(told := (await next_event(node, Verifying)).outcome, kinds):
        pass
    return told


async def test_nobody_notices_him_who_does_not_look(autojump_clock: MockClock) -> None:
    async with a_scene() as scene:
        here, there = await scene.meet()
        scene.alice.say(here, "meet me at nine")
        assert await next_texts(scene.bob, 1) == ["meet me at nine"]
        scene.bob.say(there, "I will")
        assert await next_texts(scene.alice, 1) == ["I will"]
        assert {("alice", "say"), ("bob", "say")} <= set(scene.mallory.overheard)
        kinds = [conversation.links[0].link.kind for conversation in (here, there)]
        assert kinds == [LinkKind.NATIVE, LinkKind.NATIVE]
        assert not any((here.verified, there.verified))


async def test_the_invite_catches_him_before_anything_of_ours_is_sent(
    autojump_clock: MockClock,
) -> None:
    async with a_scene() as scene:
        scene.alice.connect(scene.bob.invite(AT_MALLORY))
        failed = await next_event(scene.alice, DialFailed)
        assert failed.error.problem is DialProblem.OTHER_IDENTITY
        await next_event(scene.bob, LinkEnded)
        assert (scene.mallory.from_alice, scene.mallory.overheard) == (0, [])
        assert not scene.alice.conversations


async def test_the_code_differs_on_the_two_screens(autojump_clock: MockClock) -> None:
    async with a_scene() as scene:
        here, there = await scene.meet()
        scene.alice.ask_code(here)
        scene.bob.ask_code(there)
        codes = [await outcome(node, CodeReady, Failed) for node in (scene.alice, scene.bob)]
        shown = [code.code for code in codes if isinstance(code, CodeReady)]
        assert len(set(shown)) == 2 or len(shown) < 2
        scene.alice.different_code(here)
        await next_event(scene.bob, LinkEnded)
        assert not any((here.verified, there.verified))


async def test_the_word_that_he_does_not_know_matches_nothing(autojump_clock: MockClock) -> None:
    async with a_scene() as scene:
        here, there = await scene.meet()
        scene.alice.ask_word(here, prepare_word("mellon"))
        scene.bob.ask_word(there, prepare_word("mellon"))
        told = [await outcome(node, Matched, Failed) for node in (scene.alice, scene.bob)]
        assert not any(isinstance(each, Matched) for each in told)
        assert ("alice", "verify") in scene.mallory.overheard
        assert not any((here.verified, there.verified))
