"""A whole node on a network and a clock in memory, among strangers and peers who do anything.

Alice is looked at. Bob is another node of ours, verified by her invite; the rest are guests, one of
them verified as well. The bytes decide who comes, what they say, what breaks and how the clocks go.
In the end Alice and Bob must have all that they said to each other, once and in order.
"""

import itertools
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager

import trio
from hypothesis import strategies as st
from trio.testing import MockClock

from fantom_trio.nursery import (
    Conversation,
    DialFailed,
    DialProblem,
    InvitesFull,
    Limits,
    LinkEnded,
    Message,
    Node,
    NodeEvent,
    NotLinked,
    NoWayBack,
    OutboxFull,
    State,
    TrialsUsedUp,
    Why,
    open_node,
)
from fantom_trio.nursery.errors import DialError, PortTaken
from fantom_trio.wire import Endpoint, Invite, Secret, fingerprint
from tests.fuzz.choices import Choices, compose
from tests.fuzz.guests import Guest, static_key
from tests.fuzz.harness import Harness, all_wiped, front_and_numbers
from tests.fuzz.known_first import KnownFirst
from tests.nursery.lives import EPOCH, deterministic
from tests.nursery.memory_network import MemoryListener, MemoryNetwork
from tests.wire.native_ends import public_of

__all__ = ["NODE"]

ALICE, BOB = Endpoint("2001:db8::a", 40001), Endpoint("2001:db8:b::b", 40001)
HOSTS = ("2001:db8:1::1", "2001:db8:1::2", "2001:db8:2::1", "fe80::3", "2001:db8:3::1")
#: The native guest who is verified.
MALLORY = 0
#: Few of everything, so that little is enough to reach each bound.
LIMITS = Limits(
    handshakes=6, handshakes_network=3, handshakes_address=2, handshakes_kept=2, knocks_burst=5,
    networks=3, links=4, links_of_peer=2, strangers=3, strangers_messages=24,
    strangers_bytes=64 * 1024, identities=4, stranger_log=3, events=8,
)  # fmt: skip
MAX_STEPS = 40
PAUSES = (0, 0, 0.01, 0.1, 1, 5, 11, 16, 46, 61, 100)
#: All pauses together, seconds: what a quiet hour costs is signs of life, and nothing new.
MAX_PAUSE = 150
JUMPS = (-1e9, -3600, 3600, 1e9)
RECOVERY_SECONDS = 45 + 60 + 20
PATIENCE = 100_000


def run(data: bytes) -> None:
    """Numbers: the seed and the delay, then step after step."""
    choices = Choices(data)
    seed, delay = choices.number(256), choices.pick((0.0, 0.02, 0.3))
    with all_wiped(), deterministic(seed):
        network = MemoryNetwork(random.Random(seed), (0.0, delay))
        network.whole_reads = 0.75  # that a read may get any part is sought by others, and faster
        trio.run(_Story(choices, network).run, clock=MockClock(autojump_threshold=0))


class _Story:
    def __init__(self, choices: Choices, network: MemoryNetwork) -> None:
        self.choices = choices
        self.network = network
        self.guests: list[Guest] = []
        self.listeners: dict[str, MemoryListener] = {}
        self.events: list[NodeEvent] = []
        self.ahead = 0.0
        self.pause_left: float = MAX_PAUSE
        self.slow = choices.number(4) == 1
        self.written: dict[Node, list[Message]] = {}
        self._numbers = itertools.count()

    async def run(self) -> None:
        with trio.fail_after(PATIENCE):
            async with (
                trio.open_nursery() as nursery,
                self._node(LIMITS, ALICE) as self.alice,
                self._node(Limits(), BOB) as self.bob,
            ):
                self.nursery = nursery
                KnownFirst(self.alice, LIMITS)
                self.written = {self.alice: [], self.bob: []}
                nursery.start_soon(self._hear, self.alice)
                nursery.start_soon(self._hear, self.bob)
                await self.alice.listen(ALICE)
                await self.bob.listen(BOB)
                self.alice.greeter.identities.meet(public_of(static_key(MALLORY))).verified = True
                self.alice.connect(self.bob.invite(BOB))
                await self._until(lambda: self._both_linked(), 30, "the first link")
                await self._act()
                await self._settle()
                if self.choices.flag():
                    self.alice.burn()
                    assert not self.alice.conversations
                nursery.cancel_scope.cancel()

    def _node(self, limits: Limits, home: Endpoint) -> AbstractAsyncContextManager[Node]:
        return open_node(
            limits, network=self.network.host(home.host), rng=random.Random(1),
            now=lambda: EPOCH + self.ahead + trio.current_time(),
        )  # fmt: skip

    async def _hear(self, node: Node) -> None:
        async for event in node.events:
            self.events.append(event)
            self._judge(event)
            if self.slow and node is self.alice:
                await trio.sleep(0.5)

    def _judge(self, event: NodeEvent) -> None:
        match event:
            case LinkEnded(ending=ending):
                assert ending.why is not Why.BUG, ending.place
                known = event.conversation is not None and event.conversation.verified
                if known and event.last:
                    assert ending.why is not Why.CROWDED, "a verified peer is turned out"
            case DialFailed(error=error):
                assert error.problem is not DialProblem.FAILED, str(error)

    # What happens.

    async def _act(self) -> None:
        steps: Sequence[Callable[[], Awaitable[None]]] = (
            self._knock, self._knock, self._talk, self._talk, self._talk, self._be_dialed,
            self._leave, self._write, self._write, self._break, self._jump, self._use, self._pause,
            self._pause, self._read, self._talk,
        )  # fmt: skip
        for _ in range(MAX_STEPS):
            if not len(self.choices):
                return
            await self.choices.pick(steps)()
            self._check_bounds()

    async def _knock(self) -> None:
        """Somebody connects, and may shake hands in one of the ways."""
        host, kind = self.choices.pick(HOSTS), self.choices.number(4)
        number = self.choices.number(8)
        with trio.move_on_after(5):
            try:
                stream = await self.network.host(host).connect(ALICE, None, 4)
            except (DialError, PortTaken):
                return
            await self._shake_hands(Guest(stream), kind, number, dialed=False)

    async def _shake_hands(self, guest: Guest, kind: int, number: int, *, dialed: bool) -> None:
        self.guests.append(guest)
        if kind == 1:
            await guest.be_classic(dialed=dialed)
        elif kind >= 2:
            await guest.be_native(number, dialed=dialed)
            if kind == 3:
                await guest.say(Choices(compose(b"", 1, 0)))  # hello

    async def _be_dialed(self) -> None:
        """Alice dials somebody who may answer in one of the ways."""
        host, kind = self.choices.pick(HOSTS), self.choices.number(4)
        number, invited = self.choices.number(8), self.choices.flag()
        there = Endpoint(host, 40001)
        if host not in self.listeners:
            self.listeners[host] = self.network.host(host).listen(there)
        if invited:
            known = fingerprint(public_of(static_key(number)))
            self.alice.connect(Invite(there, known, bytes(10)))
        else:
            self.alice.connect(there)
        with trio.move_on_after(5):
            stream = await self.listeners[host].accept()
            await self._shake_hands(Guest(stream), kind, number, dialed=True)

    def _guest(self) -> Guest | None:
        return self.choices.pick(self.guests[-6:]) if self.guests else None

    async def _talk(self) -> None:
        if guest := self._guest():
            await guest.say(self.choices)

    async def _read(self) -> None:
        if guest := self._guest():
            await guest.read()

    async def _leave(self) -> None:
        if guest := self._guest():
            await guest.leave(self.choices.number(4))

    async def _pause(self) -> None:
        pause = min(self.choices.pick(PAUSES), self.pause_left)
        self.pause_left -= pause
        await trio.sleep(pause)

    async def _write(self) -> None:
        """Alice and Bob to each other, or Alice to anybody."""
        who = self.choices.number(3)
        text = self.choices.take(self.choices.number(64)).decode("latin-1")
        if who == 2:
            if others := self._others():
                self._say(self.alice, self.choices.pick(others), text)
            return
        node, other = (self.alice, self.bob) if who == 0 else (self.bob, self.alice)
        message = self._say(node, self._with(node, other), f"{next(self._numbers)} {text}")
        self.written[node] += [message] if message is not None else []

    def _say(self, node: Node, conversation: Conversation | None, text: str) -> Message | None:
        if conversation is None:
            return None
        try:
            return node.say(conversation, text)
        except (NoWayBack, OutboxFull):
            return None

    async def _break(self) -> None:
        """The road between Alice and Bob, or one connection of theirs."""
        how, streams = self.choices.number(4), self.network.host(BOB.host).streams
        if how == 0:
            self.network.cut(ALICE.host, BOB.host)
        elif how == 1:
            self.network.heal(ALICE.host, BOB.host)
        elif streams:
            stream = streams[-1]
            stream.reset() if how == 2 else stream.cut()

    async def _jump(self) -> None:
        how = self.choices.number(6)
        if how < 4:
            self.ahead = JUMPS[how]
        elif how == 4:
            self.alice.woke()
        else:
            self.alice.moved([ALICE.host] if self.choices.flag() else [])

    async def _use(self) -> None:
        """What Alice's user may do, to anybody but Bob."""
        how, others = self.choices.number(8), self._others()
        if how == 0:
            self.alice.revoke_invites()
        if how == 1:
            try:
                self.alice.invite(ALICE)
            except InvitesFull:
                return
        if not others:
            return
        other = self.choices.pick(others)
        try:
            if how == 2:
                self.alice.disconnect(other)
            elif how == 3:
                self.alice.close(other)
            elif how == 4:
                self.alice.ask_code(other)
            elif how == 5:
                self.alice.ask_word(other, Secret.copy_of(b"word"))
            elif how == 6:
                self.alice.same_code(other)
            elif how == 7:
                self.alice.different_code(other)
        except (NotLinked, TrialsUsedUp, LookupError):
            pass

    def _others(self) -> list[Conversation]:
        bob = self._with(self.alice, self.bob)
        return [each for each in self.alice.conversations if each is not bob][:256]

    @staticmethod
    def _with(node: Node, other: Node) -> Conversation | None:
        key = other.greeter.own.public
        return next((c for c in node.conversations if c.identity and c.identity.key == key), None)

    # What must be true at each moment, and in the end.

    def _check_bounds(self) -> None:
        alice, limits, links = self.alice, LIMITS, self.alice._links
        assert len(alice.admission) <= limits.handshakes, "handshakes"
        assert len(links._crowd) <= limits.links, "links"
        assert len(links.admission._pace._full_at) <= limits.networks, "networks"
        assert len(links.strangers._entries) <= limits.stranger_log, "log of strangers"
        strange = [each for each in alice.conversations if each.strange]
        kept = [each for each in alice.greeter.identities._known.values() if not each.verified]
        assert len(strange) <= limits.strangers, "conversations with strangers"
        assert len(kept) <= limits.identities + len(alice.conversations), "identities"
        assert sum(len(each.history) for each in strange) <= limits.strangers_messages
        for each in alice.conversations:
            assert len(each.incoming) + len(each.sessions) <= limits.links_of_peer + 1, (
                "links of one"
            )
            assert each.undelivered <= limits.outbox_messages, "queued messages"
            for link in each.links:
                assert len(link.link._buffer.data) <= 320 * 1024, "unparsed bytes"

    def _both_linked(self) -> bool:
        ours, theirs = self._with(self.alice, self.bob), self._with(self.bob, self.alice)
        return bool(ours and theirs and ours.session and theirs.session)

    async def _settle(self) -> None:
        self.network.heal(ALICE.host, BOB.host)
        for guest in self.guests:
            guest.stream.close()
        self.slow = False
        await self._until(self._both_linked, RECOVERY_SECONDS, "a link")
        await self._until(self._is_idle, 30, "the end of what guests began")
        for node, other in ((self.alice, self.bob), (self.bob, self.alice)):
            conversation = self._with(node, other)
            assert conversation is not None
            assert conversation.verified
            self.written[node].append(node.say(conversation, "the last word"))
        await self._until(self._all_delivered, RECOVERY_SECONDS, "all that was said")
        for node, other in ((self.alice, self.bob), (self.bob, self.alice)):
            there = self._with(other, node)
            assert there is not None
            arrived = [each.text for each in there.history if not each.mine]
            assert arrived == [each.text for each in self.written[node]], (
                "lost, twice or out of order"
            )

    def _is_idle(self) -> bool:
        return not len(self.alice.admission)

    def _all_delivered(self) -> bool:
        return all(each.state is State.DELIVERED for said in self.written.values() for each in said)

    async def _until(self, true: Callable[[], bool], seconds: float, what: str) -> None:
        for _ in range(int(seconds * 4)):
            if true():
                return
            await trio.sleep(0.25)
        raise AssertionError(f"{what} takes more than {seconds} s")


# Where a search begins: each step is the number of its kind, and its own.

_HEAD = (0, 1, 0)


def _knocks(host: int, kind: int, number: int = 1) -> tuple[int, ...]:
    return 0, host, kind, number


def _talks(guest: int, *numbers: int) -> tuple[int, ...]:
    return 2, guest, *numbers


_SAY, _VERIFY, _ACK, _KNOCK = (5, 0, 2), (11, 0, 0, 0, 0), (9, 1), (10, 1)
_MET = (*_knocks(0, 3, 0), 12, 4)
_SEEDS = [
    compose(b"hello from alice", *_HEAD, 7, 0, 5, 7, 1, 6, 12, 4, 9, 2, 12, 5, 7, 0, 3),
    compose(b"GET / HTTP/1.0\n\n", *_HEAD, *_knocks(0, 0), *_talks(0, 0, 16), 12, 4),
    compose(b"hi there", *_HEAD, *_knocks(0, 1), *_talks(0, 4, 2), *_talks(0, 3, 5), 6, 0, 0),
    compose(b"hi there", *_HEAD, *_knocks(1, 3), *_talks(0, *_SAY), *_talks(0, 8, 3, 4), 12, 4),
    compose(b"hi", *_HEAD, *_knocks(2, 3, 0), *_talks(0, *_KNOCK), *_talks(0, *_ACK), 12, 6),
    compose(b"", *_HEAD, *_knocks(2, 3), 11, 4, 0, *_talks(0, *_VERIFY), 12, 4, 11, 6, 0),
    compose(b"", *_HEAD, *_knocks(2, 3), *_talks(0, 11, 0, 1, 0, 0), 12, 4, 11, 5, 0, 12, 4),
    compose(b"", *_HEAD, *(n for at in (0, 0, 1, 2, 2, 3, 3, 4, 0) for n in _knocks(at, 0)), 12, 4),
    compose(b"", *_HEAD, *(n for at in range(8) for n in _knocks(at % 5, 3, at)), 12, 4, 12, 7),
    # A verified one, another from there, and strangers who fill the house, or are its neighbours.
    compose(b"", *_HEAD, *_MET, *(n for at in (0, 1, 1, 2, 3, 4, 4) for n in _knocks(at, 0))),
    compose(b"", *_HEAD, *_MET, *_knocks(1, 0) * 7, *_knocks(0, 3, 0), 12, 4),
    compose(b"", *_HEAD, *_MET, *(n for at in range(1, 5) for n in _knocks(at, 3, at)), 12, 4),
    compose(b"", *_HEAD, *_knocks(2, 0) * 7, 12, 6, 5, 2, 3, 2, 1, 12, 6, 12, 4),
    compose(b"", *_HEAD, *(n for at in range(5) for n in _knocks(at, 3, at + 1)), 12, 4, 12, 7),
    compose(b"", *_HEAD, 5, 0, 2, 1, 0, 12, 4, 7, 2, 0, 0, 5, 1, 1, 2, 0, 12, 4, 5, 2, 2, 3, 1),
    compose(b"", *_HEAD, 9, 0, 7, 0, 0, 12, 8, 9, 1, 10, 4, 12, 6, 10, 5, 1, 10, 0, 7, 1, 0),
    compose(b"", 9, 2, 1, *_knocks(3, 3, 0), *_knocks(4, 3, 0), *_knocks(0, 3, 0), 12, 4, 11, 7, 0),
    compose(b"", *_HEAD, *_knocks(1, 1), *_knocks(1, 1), 8, 2, 0, 0, 12, 9, 12, 10, 11, 3, 0),
]
NODE = Harness(
    "node", run, _SEEDS, front_and_numbers(st.binary(max_size=60), most=120), longest=400, share=6
)
