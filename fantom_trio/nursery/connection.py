"""One socket and its link: read, write, and an end that wipes the keys."""

import contextlib
import enum
import errno
import os
import socket
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import trio

from fantom_trio.nursery.limits import DEAD_SECONDS
from fantom_trio.wire import (
    Endpoint,
    Event,
    HandshakeDone,
    Link,
    RemoteProtocolError,
    Role,
    Violation,
)

__all__ = ["Connection", "ConnectionLost", "Ending", "Why", "endpoint_of", "index_of"]


class ConnectionLost(Exception):
    """The network or the peer's system ended the connection, not the peer's word."""


class Why(enum.Enum):
    """Why a link ended; the value is a short clause for logs."""

    CLOSED = "the peer closed it"
    LOST = "the connection broke"
    SLOW = "the handshake took too long"
    VIOLATION = "the peer broke the protocol"
    DISCONNECTED = "we closed it"
    EVICTED = "it made room for newer handshakes"
    BUG = "a bug of ours"


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a link ended; ``violation`` and ``place`` belong to VIOLATION and BUG."""

    why: Why
    violation: Violation | None = None
    place: str = ""

    @classmethod
    def bug(cls, error: BaseException) -> "Ending":
        """The place of an unexpected exception, without its values: those may be secrets."""
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        frames = traceback.extract_tb(error.__traceback__)
        at = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
        return cls(Why.BUG, place=type(error).__name__ + at)


class Connection:
    """One socket and its link, in a cancel scope of its own.

    Whoever makes one calls ``run`` or ``close``: until then the keys live.
    """

    def __init__(self, stream: trio.SocketStream, link: Link, peer: Endpoint) -> None:
        self.link = link
        #: The other end of the socket: its port is the listener's only when we dialed.
        self.peer = peer
        self.scope = trio.CancelScope()
        self.ending: Ending | None = None
        self._stream = stream
        self._unheard: list[Event] = []
        with contextlib.suppress(OSError):  # it may be gone already: the first read will tell
            self._keep_alive()

    @property
    def role(self) -> Role:
        """Who dialed."""
        return self.link.role

    async def run(self, pump: Callable[[], Awaitable[None]]) -> Ending:
        """Run ``pump`` in this connection's scope and say why it ended.

        On every way out, cancellation from outside included, the keys are wiped and the socket is
        closed before anything else runs.
        """
        try:
            with self.scope, self.ends():
                await pump()
        except Exception as error:
            self.ending = Ending.bug(error)
        finally:
            self.close()
        return self.ending or Ending(Why.CLOSED)

    def end(self, ending: Ending) -> None:
        """End it from outside: the first reason counts."""
        if self.ending is None:
            self.ending = ending
        self.scope.cancel()

    @contextlib.contextmanager
    def ends(self) -> Iterator[None]:
        """What the peer or the network does inside ends this connection, and raises nothing.

        Every task of a connection runs in one, so that such an exception never meets a nursery.
        """
        try:
            yield
        except RemoteProtocolError as error:
            self.end(Ending(Why.VIOLATION, error.violation))
        except ConnectionLost:
            self.end(Ending(Why.LOST))
        except trio.TooSlowError:
            self.end(Ending(Why.SLOW))

    async def handshake(self, seconds: float) -> None:
        """Exchange the first lines.

        Raises ``RemoteProtocolError``, ``ConnectionLost`` or ``trio.TooSlowError``. Cancelled or
        not, it cannot be called again.
        """
        with trio.fail_after(seconds):
            if self.role is Role.DIALER:
                await self.send()
            while self.link.kind is None:
                self._unheard += await self.receive()
            self._unheard = [e for e in self._unheard if not isinstance(e, HandshakeDone)]
            if self.role is Role.LISTENER:
                await self.send()

    async def receive(self) -> list[Event]:
        """What the next read means: at least one event, all of one read together.

        Raises ``RemoteProtocolError`` or ``ConnectionLost``. Nothing is lost when it is cancelled.
        """
        if self._unheard:
            unheard, self._unheard = self._unheard, []
            return unheard
        while not (events := self.link.events()):
            try:
                # Waiting before a buffer is asked for: an idle link holds none.
                await trio.lowlevel.wait_readable(self._stream.socket)
                count = await self._stream.socket.recv_into(self.link.buffer())
            except OSError as error:
                raise ConnectionLost from error
            self.link.received(count)
        return events

    async def send(self) -> None:
        """Write all that the link has to send, in one piece.

        Raises ``ConnectionLost``. Cancelled, some, all or none of it went out: the link must end.
        """
        if data := self.link.data_to_send():
            try:
                await self._stream.send_all(data)
            except trio.BrokenResourceError as error:
                raise ConnectionLost from error

    async def send_eof(self) -> None:
        """Close our direction. Raises ``ConnectionLost``."""
        try:
            await self._stream.send_eof()
        except trio.BrokenResourceError as error:
            raise ConnectionLost from error

    def _keep_alive(self) -> None:
        options = {(socket.SOL_SOCKET, socket.SO_KEEPALIVE): 1}
        if sys.platform == "linux":  # tcp(7); elsewhere the system's own times hold
            options[socket.IPPROTO_TCP, socket.TCP_KEEPIDLE] = DEAD_SECONDS // 3
            options[socket.IPPROTO_TCP, socket.TCP_KEEPINTVL] = DEAD_SECONDS // 6
            options[socket.IPPROTO_TCP, socket.TCP_KEEPCNT] = 4
            options[socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT] = DEAD_SECONDS * 1000
        for (level, option), value in options.items():
            self._stream.setsockopt(level, option, value)

    def close(self) -> None:
        """Wipe the keys, then close the socket; synchronous and idempotent."""
        self.link.wipe()
        self._stream.socket.close()


def endpoint_of(address: tuple[str, int, int, int]) -> Endpoint:
    """An ``AF_INET6`` socket address as an endpoint; the zone is an interface's name or index."""
    host, port, _, index = address
    host = host.partition("%")[0]
    zone = ""
    if index:
        try:
            zone = socket.if_indextoname(index)
        except OSError:
            zone = str(index)
    return Endpoint(host, port, zone)


def index_of(zone: str) -> int:
    """The index of an interface of this machine, given its name or index; raises ``OSError``."""
    try:
        return socket.if_nametoindex(socket.if_indextoname(int(zone)) if zone.isdecimal() else zone)
    except OverflowError:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV)) from None
