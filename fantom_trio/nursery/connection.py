"""One stream and its link: read, write, and an end that wipes the keys."""

import enum
import itertools
import math
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import trio

from fantom_trio.nursery.errors import ConnectionLost
from fantom_trio.nursery.network import Stream
from fantom_trio.nursery.turns import Turns
from fantom_trio.wire import (
    Bye,
    Endpoint,
    Event,
    HandshakeDone,
    Hello,
    Link,
    RemoteProtocolError,
    Role,
    Violation,
)

__all__ = ["Connection", "Ending", "NotAdmitted", "Welcome", "Why", "tick"]


class Why(enum.Enum):
    """Why a link ended; the value is a short clause for logs."""

    CLOSED = "the peer closed it"
    LOST = "the connection broke"
    SLOW = "the handshake took too long"
    VIOLATION = "the peer broke the protocol"
    DISCONNECTED = "we closed it"
    EVICTED = "it made room for newer handshakes"
    CROWDED = "it made room for others, or there was none for it"
    TOO_OFTEN = "too many came from its network in a short time"
    BUG = "a bug of ours"
    # Of native links.
    LEFT = "the peer said goodbye"
    REPLACED = "a newer link to the peer took its place"
    SILENT = "nothing came for too long"
    TURNED_AWAY = "the peer does not let us in"
    UNINVITED = "it brought no invite"
    BAD_INVITE = "its invite is unknown or belongs to another"

    @property
    def broken(self) -> bool:
        """Neither side wanted it: the link is to be made again."""
        return self in (Why.LOST, Why.SILENT, Why.VIOLATION, Why.REPLACED)


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


_ticks = itertools.count(1)


def tick() -> int:
    """The next of a row of numbers that orders what happens on different links."""
    return next(_ticks)


class NotAdmitted(Exception):
    """One of the two sides does not let the other in: ``why`` is TURNED_AWAY, or our reason."""

    def __init__(self, why: Why) -> None:
        super().__init__(why.value)
        self.why = why


class Welcome(Protocol):
    """Says and judges the first record of a native link."""

    def hello(self, peer: bytes) -> Hello:
        """Our ``hello`` to the identity ``peer``."""

    def admit(self, peer: bytes, hello: Hello, *, knocks: bool) -> Why | None:
        """Why the identity ``peer`` is not let in, if so."""


class Connection:
    """One stream and its link, in a cancel scope of its own.

    Whoever makes one calls ``run`` or ``close``: until then the keys live.
    """

    __slots__ = (
        "__weakref__", "_sending", "_stream", "_unheard", "began", "ending", "heard", "hello",
        "hello_sent", "here", "identity", "link", "peer", "scope", "turns",
    )  # fmt: skip

    #: Of a native link, after the handshake: who it is, and what each side said first.
    identity: bytes
    hello: Hello
    hello_sent: Hello

    def __init__(self, stream: Stream, link: Link, peer: Endpoint | None = None) -> None:
        self.link = link
        #: When it began, by ``tick``.
        self.began = tick()
        #: The other end of the stream: its port is the listener's only when we dialed.
        self.peer = stream.peer if peer is None else peer
        #: Our end of it.
        self.here = stream.here
        self.scope = trio.CancelScope()
        self.ending: Ending | None = None
        #: When something came last, by ``tick``.
        self.heard = self.began
        #: Where what was read waits until it is looked at; None: not at all.
        self.turns: Turns | None = None
        self._stream = stream
        self._sending = False
        self._unheard: list[Event] = []

    @property
    def role(self) -> Role:
        """Who dialed."""
        return self.link.role

    async def run(self, pump: Callable[[], Awaitable[None]]) -> Ending:
        """Run ``pump`` in this connection's scope and say why it ended.

        On every way out, cancellation from outside included, the keys are wiped and the stream is
        closed before anything else runs.
        """
        try:
            with self.scope, self.ends():
                await pump()
            if self.ending is None and self.scope.deadline <= trio.current_time():
                self.ending = Ending(Why.SLOW)
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

    def turn_out(self) -> None:
        """End it for want of room; a native peer is told, and does not dial again by itself."""
        if self.link.can_send:
            self.link.send(Bye("quit"))
            self.send_now()
        self.end(Ending(Why.CROWDED))

    def ends(self) -> "_Ends":
        """What the peer or the network does inside ends this connection, and raises nothing.

        Every task of a connection runs in one, so that such an exception never meets a nursery.
        """
        return _Ends(self)

    async def handshake(self, seconds: float, welcome: Welcome | None = None) -> None:
        """Exchange the first lines, and on a native link the first records.

        Raises ``RemoteProtocolError``, ``ConnectionLost``, ``NotAdmitted`` or
        ``trio.TooSlowError``. Cancelled or not, it cannot be called again.
        """
        with trio.fail_after(seconds):
            await self._shake_hands(welcome)

    async def answer(self, seconds: float, welcome: Welcome) -> None:
        """``handshake`` inside ``run``, whose scope keeps the time: too late, it ends as SLOW."""
        self.scope.deadline = trio.current_time() + seconds
        await self._shake_hands(welcome)
        self.scope.deadline = math.inf

    async def _shake_hands(self, welcome: Welcome | None) -> None:
        while self.link.kind is None:
            await self.send()
            # A read may mean nothing to us yet and still want an answer.
            self._unheard += await self._read()
        done = self._unheard.pop(0)
        assert isinstance(done, HandshakeDone)
        if done.peer is None:
            await self.send()
        else:
            assert welcome is not None
            await self._greet(done.peer, welcome)

    async def _greet(self, peer: bytes, welcome: Welcome) -> None:
        """The initiator says ``hello`` first; who is not let in gets a ``bye`` in its place.

        What the handshake left to send goes out with our first record, where nobody waits for it.
        """
        if self.link.initiator:
            await self._say_hello(peer, welcome)
        while not self._unheard:
            await self.send()
            self._unheard = await self._read()
        first = self._unheard.pop(0)
        if not isinstance(first, Hello):  # a bye: nothing else comes first
            raise NotAdmitted(Why.TURNED_AWAY)
        self.identity, self.hello = peer, first
        if not self.link.can_send:
            # What came right behind the hello broke the protocol, and there is nobody to answer.
            await self._read()
        refusal = welcome.admit(peer, first, knocks=self.role is Role.LISTENER)
        if refusal is not None:
            self.link.send(Bye("refused"))
            await self.send()
            raise NotAdmitted(refusal)
        if not self.link.initiator:
            await self._say_hello(peer, welcome)

    async def _say_hello(self, peer: bytes, welcome: Welcome) -> None:
        self.hello_sent = welcome.hello(peer)
        self.link.send(self.hello_sent)
        await self.send()

    async def receive(self) -> list[Event]:
        """What the next read means: at least one event, all of one read together.

        Raises ``RemoteProtocolError`` or ``ConnectionLost``. Cancelled while it waits for a turn,
        what was read is lost; nothing is otherwise.
        """
        if self._unheard:
            unheard, self._unheard = self._unheard, []
            return unheard
        while not (events := await self._read()):
            pass
        return events

    async def _read(self) -> list[Event]:
        """What one more read means, which may be nothing yet."""
        if not (events := self.link.events()):
            if self.turns is None:
                count = await self._stream.receive_into(self.link.buffer)
            else:
                most = self.turns.most_bytes
                count = await self._stream.receive_into(lambda: self.link.buffer(most))
                await self.turns.wait(self.began)
            self.link.received(count)
            self.heard = tick()
            events = self.link.events()
        return events

    async def send(self) -> None:
        """Write all that the link has to send, in one piece.

        Raises ``ConnectionLost``. Cancelled, some, all or none of it went out: the link must end.
        """
        if data := self.link.data_to_send():
            self._sending = True
            await self._stream.send_all(data)
            self._sending = False
            self.link.sent(data)

    def send_now(self) -> None:
        """What the link still has to send, as far as the system takes it without waiting.

        For the last words of a link that ends; nothing goes out in the middle of a cut write.
        """
        if not self._sending:
            self._stream.send_now(self.link.data_to_send())

    async def send_eof(self) -> None:
        """Close our direction. Raises ``ConnectionLost``."""
        await self._stream.send_eof()

    def close(self) -> None:
        """Wipe the keys, then close the stream; synchronous and idempotent."""
        self.link.wipe()
        if self.ending is not None and self.ending.why is Why.SILENT:
            # What we wrote last would keep the ports that the next link comes from.
            self._stream.abort()
        else:
            self._stream.close()


class _Ends:
    """``Connection.ends``; a class, for every link enters several."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        match error:
            case RemoteProtocolError():
                ending = Ending(Why.VIOLATION, error.violation)
            case ConnectionLost():
                ending = Ending(Why.LOST)
            case trio.TooSlowError():
                ending = Ending(Why.SLOW)
            case NotAdmitted():
                ending = Ending(error.why)
            case _:
                return False
        self._connection.end(ending)
        return True
