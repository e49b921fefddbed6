"""Whether anybody can reach us: our listener, dialed by a peer that we ask or by ourselves."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace

import trio

from fantom_trio.nursery.conversation import Conversation
from fantom_trio.nursery.errors import DialError
from fantom_trio.nursery.limits import Limits
from fantom_trio.nursery.network import Network
from fantom_trio.nursery.session import Knocked, Session
from fantom_trio.wire import Endpoint

__all__ = ["DialBacks"]


class DialBacks:
    """Those that we ask for, and those that verified peers ask us for: no link comes of them."""

    def __init__(self, limits: Limits, network: Network) -> None:
        self._limits = limits
        self._network = network
        #: Hosts that we asked to connect to us.
        self._asked: list[tuple[str, trio.Event]] = []

    @contextlib.contextmanager
    def _asking(self, host: str) -> Iterator[trio.Event]:
        """``host`` is to connect to us: the event says that it came, and no stranger is told."""
        asked = (host, trio.Event())
        self._asked.append(asked)
        try:
            yield asked[1]
        finally:
            self._asked.remove(asked)

    async def dial_self(self, listener: Endpoint) -> bool:
        """Connect to our own listener; whether it took that. Raises ``DialError``."""
        seconds = self._limits.dial_back_seconds
        with self._asking(listener.host) as came:
            stream = await self._network.connect(listener, replace(listener, port=0), seconds)
            try:
                with trio.move_on_after(seconds):
                    await came.wait()
            finally:
                stream.close()
        return came.is_set()

    async def knock(self, conversation: Conversation, session: Session, port: int) -> Knocked:
        """Ask the peer to dial ``port``, and wait for that."""
        identity, now = session.identity, trio.current_time()
        seconds = self._limits.dial_back_seconds
        if now < identity.knocks_from:
            return Knocked.TOO_SOON
        # The peer's minute begins when our knock is there.
        identity.knocks_from = now + self._limits.knock_seconds + seconds
        with self._asking(session.connection.peer.host) as came:
            session.knock = port
            session.wake()
            with trio.move_on_after(seconds):
                await came.wait()
        if came.is_set():
            return Knocked.DIALED_BACK
        kept = session in conversation.sessions and session.leaving is None
        return Knocked.NOTHING_CAME if kept else Knocked.LINK_ENDED

    async def _dial_back(self, session: Session, port: int) -> None:
        """A connection without a byte on it: that it comes is all that the peer wants to know."""
        endpoint = replace(session.connection.peer, port=port)
        # From a port that its firewall knows nothing of.
        here = replace(session.connection.here, port=0)
        with contextlib.suppress(DialError):
            stream = await self._network.connect(endpoint, here, self._limits.dial_back_seconds)
            stream.close()
