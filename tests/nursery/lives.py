"""Machines on the network in memory, on which one node lives after the other, all from a seed."""

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from unittest import mock

import trio
from trio._core import _run

from fantom_trio.nursery import (
    Conversation,
    DialFailed,
    Limits,
    LinkEnded,
    LinkUp,
    Message,
    Node,
    NodeEvent,
    Received,
    open_node,
)
from fantom_trio.nursery import node as node_module
from fantom_trio.nursery.network import Listener
from fantom_trio.nursery.session import Session
from fantom_trio.wire import Endpoint
from fantom_trio.wire import link as link_module
from fantom_trio.wire.secret import KEY_BYTES, KeyPair, Secret
from tests.nursery.memory_network import MemoryNetwork, MemoryStream

#: The clock of the messages when Trio's begins.
EPOCH = 1_700_000_000


@contextmanager
def deterministic(seed: int) -> Iterator[None]:
    """Trio's scheduler, and the keys of nodes and links, follow from ``seed``.

    Of two dials that meet on one connection, their keys say whose goes on.
    Trio has the switch for hypothesis: ``trio._core._run._hypothesis_plugin_setup``.
    """
    keys = random.Random(seed)

    class Drawn:
        @staticmethod
        def generate() -> KeyPair:
            return KeyPair(Secret.copy_of(keys.randbytes(KEY_BYTES)))

    with ExitStack() as stack:
        stack.callback(_run._r.setstate, _run._r.getstate())
        stack.enter_context(mock.patch.object(_run, "_ALLOW_DETERMINISTIC_SCHEDULING", True))
        for module in (node_module, link_module):
            stack.enter_context(mock.patch.object(module, "KeyPair", Drawn))
        _run._r.seed(seed)
        yield


class Life:
    """One node, from its opening to its end, and what it told."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.key = node.greeter.own.public
        self.events: list[NodeEvent] = []
        self.written: list[tuple[Conversation, Message]] = []

    def with_peer(self, peer: "Life") -> Conversation | None:
        """The conversation with that node, if the two ever met."""
        for each in self.node.conversations:
            if each.identity is not None and each.identity.key == peer.key:
                return each
        return None

    def newest(self, peer: "Life") -> MemoryStream | None:
        """The last link with ``peer`` that came up and is not on its way out."""
        conversation = self.with_peer(peer)
        for session in reversed(conversation.sessions if conversation is not None else []):
            if session.leaving is None:
                stream = session.connection._stream
                assert isinstance(stream, MemoryStream)
                return stream
        return None

    @property
    def sessions(self) -> list[Session]:
        """Every native link that is up."""
        return [session for each in self.node.conversations for session in each.sessions]

    @property
    def links_told(self) -> int:
        """How often a link came up or ended."""
        links = (event for event in self.events if isinstance(event, LinkUp | LinkEnded))
        return sum(event.conversation is not None for event in links)

    @property
    def dialing(self) -> bool:
        """It looks for somebody."""
        return any(each.outgoing is not None for each in self.node.conversations)


def linked(one: Life, other: Life) -> bool:
    """Both have the same newest link, and it works."""
    here, there = one.newest(other), other.newest(one)
    if here is None or here.other is not there:
        return False
    return not (here.closed or there.closed or here._wire.dead)


@dataclass(frozen=True)
class Screen:
    """Who reads what a node tells: each event takes up to so long, and so many wait."""

    events: int
    pause: float


class Side:
    """A machine with an address: the network of its nodes. ``hear`` is told what they tell."""

    def __init__(
        self,
        name: str,
        address: str,
        network: MemoryNetwork,
        screen: Screen,
        rng: random.Random,
        hear: Callable[["Side", NodeEvent], None],
    ) -> None:
        self.name = name
        self.home = Endpoint(address, 40001)
        #: None between two lives.
        self.life: Life | None = None
        #: How often a node of this side dialed.
        self.dials = 0
        self._host = network.host(address)
        self._screen = screen
        self._rng = rng
        self._hear = hear
        self._scope = trio.CancelScope()
        self._leave = self._gone = trio.Event()

    # The network of its nodes.

    async def connect(
        self, endpoint: Endpoint, own: Endpoint | None, seconds: float
    ) -> MemoryStream:
        """Count it."""
        self.dials += 1
        return await self._host.connect(endpoint, own, seconds)

    def listen(self, endpoint: Endpoint) -> Listener:
        """At home."""
        return self._host.listen(endpoint)

    @property
    def streams(self) -> list[MemoryStream]:
        """What is open here, oldest first."""
        return [stream for stream in self._host.streams if not stream.closed]

    # Lives.

    async def live(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """A node, until ``quit`` or ``die``."""
        self._leave, self._gone, self._scope = trio.Event(), trio.Event(), trio.CancelScope()
        with self._scope:
            async with (
                trio.open_nursery() as nursery,
                open_node(
                    Limits(events=self._screen.events),
                    network=self,
                    rng=random.Random(self._rng.random()),
                    now=lambda: EPOCH + trio.current_time(),
                ) as node,
            ):
                await node.listen(self.home)
                self.life = Life(node)
                nursery.start_soon(self._read, self.life)
                task_status.started()
                await self._leave.wait()
                await node.leave()
                nursery.cancel_scope.cancel()
        self._gone.set()

    async def _read(self, life: Life) -> None:
        async for event in life.node.events:
            life.events.append(event)
            self._hear(self, event)
            if self._screen.pause:
                await trio.sleep(self._rng.uniform(0, self._screen.pause))

    async def quit(self) -> None:
        """In order, with a goodbye."""
        self.life = None
        self._leave.set()
        await self._gone.wait()

    async def die(self, farewell: Callable[[MemoryStream], None]) -> None:
        """At once; ``farewell`` is what the system does with each connection."""
        self.life = None
        for stream in self.streams:
            farewell(stream)
        self._scope.cancel()
        await self._gone.wait()


def told(event: NodeEvent) -> str:
    """One line, the same in every process."""
    text = type(event).__name__
    match event:
        case LinkUp():
            text += f" as {event.role.value}" + " first" * event.first
        case LinkEnded():
            text += f" as {event.role.value}: {event.ending.why.value}" + " last" * event.last
            text += f" {event.ending.violation}" if event.ending.violation else ""
        case DialFailed():
            text += f": {event.error}"
        case Received():
            text += f" {[message.text[:20] for message in event.messages]}"
    return text
