"""Both ends: a node that listens on ``::1``, and a hand-written peer on a real socket."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import ClassVar, TypeVar

import trio

from fantom_trio.nursery import Limits, Node, NodeEvent, NotShown, Received, open_node
from fantom_trio.wire import Endpoint
from tests.classic_peer import ClassicPeer
from tests.wire.native_ends import settled_slots, slots_in_use

__all__ = [
    "LOOPBACK", "PATIENCE", "Peer", "answer", "listening_node", "next_event", "next_texts",
    "peer_listener", "settled_slots", "slots_in_use",
]  # fmt: skip

LOOPBACK = Endpoint("::1", 0)
#: Real time a test may wait for something that happens at once; only a failing test waits so long.
PATIENCE = 20

E = TypeVar("E", bound=NodeEvent)


@asynccontextmanager
async def listening_node(limits: Limits | None = None) -> AsyncIterator[Node]:
    async with open_node(limits) as node:
        await node.listen(LOOPBACK)
        try:
            yield node
        finally:
            while Peer.alive:
                Peer.alive.pop().close()


async def next_event(node: Node, *kinds: type[E]) -> E:
    """The next event of such a kind; others before it are passed over."""
    while True:
        event = await node.events.receive()
        if isinstance(event, kinds):
            return event


async def next_texts(node: Node, count: int) -> list[str]:
    """The next ``count`` texts that any peer said.

    Some of a stranger whom nobody reads are left out: this fails then, it does not wait for them.
    """
    texts: list[str] = []
    while len(texts) < count:
        event: Received | NotShown = await next_event(node, Received, NotShown)
        assert isinstance(event, Received), f"{event.count} were not shown"
        texts += [message.text for message in event.messages]
    return texts


class Peer(ClassicPeer):
    """A classic peer with a socket; as listener it accepts one dial after the other."""

    #: Those of the running test; they are closed with the node.
    alive: ClassVar[list["Peer"]] = []

    def __init__(self, stream: trio.SocketStream, client_id: bytes = b"::1:40000") -> None:
        super().__init__(client_id)
        self.alive.append(self)
        self.stream = stream
        self._unread = b""

    @classmethod
    async def dial(cls, node: Node, client_id: bytes = b"::1:40000") -> "Peer":
        """A connection to ``node`` before the handshake."""
        assert node.listener is not None
        sock = trio.socket.socket(trio.socket.AF_INET6)
        await sock.connect((node.listener.host, node.listener.port))
        return cls(trio.SocketStream(sock), client_id)

    @classmethod
    async def meet_node(cls, node: Node, client_id: bytes = b"::1:40000") -> "Peer":
        """A connection to ``node`` with its handshake done."""
        peer = await cls.dial(node, client_id)
        await peer.stream.send_all(peer.handshake())
        peer.meet(await peer.read_line())
        return peer

    async def say(self, *texts: str) -> None:
        await self.stream.send_all(b"".join(map(self.frame, texts)))

    async def read_line(self) -> bytes:
        line, _, self._unread = (await self._read_until(lambda data: b"\n" in data)).partition(
            b"\n"
        )
        return line + b"\n"

    async def read_text(self) -> str:
        """The text of the next frame from the node."""

        def complete(data: bytes) -> bool:
            return len(data) >= 4 and len(data) >= 4 + int.from_bytes(data[:4], "big")

        data = await self._read_until(complete)
        size = 4 + int.from_bytes(data[:4], "big")
        self._unread = data[size:]
        return self.open(data[:size])

    async def read_end(self) -> bytes:
        """All that still comes; returns when the node closed, reset or not."""
        data = self._unread
        try:
            while more := await self.stream.receive_some():
                data += more
        except trio.BrokenResourceError:
            pass
        return data

    async def _read_until(self, complete: object) -> bytes:
        while not complete(self._unread):  # type: ignore[operator]
            more = await self.stream.receive_some()
            assert more, f"the node closed after {self._unread!r}"
            self._unread += more
        return self._unread

    def close(self) -> None:
        self.stream.socket.close()


@asynccontextmanager
async def peer_listener() -> AsyncIterator[tuple[Endpoint, trio.SocketListener]]:
    """A listening socket of a hand-written peer on ``::1``, and where it listens."""
    sock = trio.socket.socket(trio.socket.AF_INET6)
    await sock.bind(("::1", 0))
    sock.listen()
    async with trio.SocketListener(sock) as listener:
        yield replace(LOOPBACK, port=sock.getsockname()[1]), listener


async def answer(listener: trio.SocketListener) -> Peer:
    """Accept one dial of a node and complete its handshake."""
    stream = await listener.accept()
    port = listener.socket.getsockname()[1]
    peer = Peer(stream, f"::1:{port}".encode())
    peer.meet(await peer.read_line())
    await stream.send_all(peer.ack())
    return peer
