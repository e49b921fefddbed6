"""Messages over one link that we dialed, as they come, until the peer confirmed all of them."""

import contextlib
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import trio

from fantom_trio.nursery.connection import Connection, Ending, Why
from fantom_trio.nursery.errors import ConnectionLost
from fantom_trio.nursery.limits import Limits
from fantom_trio.nursery.pulse import Patience, Pulse
from fantom_trio.wire import (
    Ack,
    Bye,
    Delivery,
    Event,
    LinkKind,
    PeerClosed,
    Ping,
    Pong,
    Record,
    RemoteProtocolError,
)
from fantom_trio.wire.delivery import WINDOW_BYTES, WINDOW_MESSAGES

__all__ = ["Piece", "Receipt", "Source", "deliver"]

#: What a frame of a classic link adds to its text, bytes, about.
_CLASSIC_FRAME = 100


class Piece(NamedTuple):
    """A message, or a part of one that is too long to be taken in whole."""

    text: str
    #: The message ends with it.
    last: bool = True


#: Gives what is there, at least one piece; nothing at the end. It raises nothing.
Source: TypeAlias = Callable[[], Awaitable[list[Piece]]]


@dataclass(slots=True)
class Receipt:
    """How many messages came how far; ``ending`` says why not all of them came to the end."""

    #: The source gave them.
    taken: int = 0
    #: All of each went out.
    sent: int = 0
    #: The peer confirmed them: a native one handed them over, a classic one read to our end.
    delivered: int = 0
    ending: Ending | None = None


async def deliver(
    connection: Connection,
    source: Source,
    receipt: Receipt,
    *,
    seconds: float,
    limits: Limits,
    now: Callable[[], float] = time.time,
) -> None:
    """Say all that ``source`` gives, and close the connection in any case.

    The source is asked for no more than the peer lets us send. While something is unconfirmed the
    peer has ``seconds`` to confirm the next of it. ``now`` is seconds since the epoch. What came
    how far is counted in ``receipt`` as it happens, so that it holds after a cancellation too.
    """
    kind = _Native if connection.link.kind is LinkKind.NATIVE else _Classic
    errand = kind(connection, source, receipt, seconds, limits, now)
    ending = await connection.run(errand.run)
    if not errand.done:
        receipt.ending = ending


class _Errand:
    """One way to carry what a source gives."""

    def __init__(
        self,
        connection: Connection,
        source: Source,
        receipt: Receipt,
        seconds: float,
        limits: Limits,
        now: Callable[[], float],
    ) -> None:
        self._connection = connection
        self._source = source
        self._receipt = receipt
        self._seconds = seconds
        self._limits = limits
        self._now = now
        #: The source has no more.
        self._over = False


class _Native(_Errand):
    """One task takes from the source, one reads the link, one writes it, one sees that it lives."""

    def __init__(
        self,
        connection: Connection,
        source: Source,
        receipt: Receipt,
        seconds: float,
        limits: Limits,
        now: Callable[[], float],
    ) -> None:
        super().__init__(connection, source, receipt, seconds, limits, now)
        #: The last piece of each message stands with True, so that messages can be counted.
        self._delivery: Delivery[bool | None] = Delivery()
        self._cursor, _ = self._delivery.start(connection.hello, maybe_stale=False)
        #: Pending values, not queues: whoever reads never waits for the writer.
        self._answers: set[type[Ping | Pong]] = set()
        self._peer_left = False
        self._work = trio.Event()
        self._room = trio.Event()
        self._patience = trio.CancelScope()
        self._pulse = Pulse(limits)

    @property
    def done(self) -> bool:
        """The peer confirmed all that there was."""
        return self._over and not self._delivery.pending

    async def run(self) -> None:
        with trio.fail_at(math.inf) as self._patience:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._take)
                nursery.start_soon(self._read)
                nursery.start_soon(self._pulse.run)
                with self._connection.ends():
                    await self._write()
                nursery.cancel_scope.cancel()
        if self.done:
            await _part(self._connection, self._limits)

    async def _take(self) -> None:
        while pieces := await self._source():
            at = int(self._now() * 1000)
            for piece in pieces:
                while self._is_full():
                    self._work.set()
                    self._room = trio.Event()
                    await self._room.wait()
                self._queue(piece, at)
            self._work.set()
        self._over = True
        self._work.set()

    def _is_full(self) -> bool:
        delivery = self._delivery
        return delivery.pending >= WINDOW_MESSAGES or delivery.pending_bytes >= WINDOW_BYTES

    def _queue(self, piece: Piece, at: int) -> None:
        idle = not self._delivery.pending
        self._delivery.queue(piece.text, at, True if piece.last else None)
        self._receipt.taken += piece.last
        if idle:
            self._renew_patience()

    def _renew_patience(self) -> None:
        waits = self._delivery.pending
        self._patience.deadline = trio.current_time() + self._seconds if waits else math.inf

    async def _read(self) -> None:
        patience = Patience(self._limits, self._ask, self._give_up)
        self._pulse.watch(patience)
        with self._connection.ends():
            while not self.done and not self._peer_left:
                patience.begin()
                events = await self._connection.receive()
                patience.heard()
                for event in events:
                    self._hear(event)
        self._pulse.forget(patience)

    def _ask(self) -> None:
        self._answers.add(Ping)
        self._work.set()

    def _give_up(self) -> None:
        self._connection.end(Ending(Why.SILENT))

    def _hear(self, event: Event) -> None:
        match event:
            case Ack():
                before = self._delivery.pending
                self._receipt.delivered += len(self._delivery.acknowledge(event.shown))
                if self._delivery.pending < before:
                    self._renew_patience()
                self._room.set()
            case Ping():
                self._answers.add(Pong)
            case Bye() if not self.done:
                self._peer_left = True
                self._connection.ending = Ending(Why.LEFT)
            case PeerClosed() if not self.done:
                raise ConnectionLost
        self._work.set()

    async def _write(self) -> None:
        """Until all is done or the peer left: nobody else may end it in the middle of a write."""
        link = self._connection.link
        while not self.done and not self._peer_left:
            if not link.can_send:  # the peer broke the protocol: the next read says how
                await trio.sleep_forever()
            says = self._delivery.next_says(self._cursor, self._limits.native_batch_bytes)
            records: list[Record] = [answer() for answer in self._answers]
            self._answers.clear()
            records += [say for say, _ in says]
            if not records:
                await self._work.wait()
                self._work = trio.Event()
                continue
            await _send(self._connection, records)
            self._receipt.sent += sum(last is not None for _, last in says)
        if self._peer_left:
            await _send(self._connection, [Bye("quit")])


class _Classic(_Errand):
    """One task writes, one waits for the close: there is no other sign from a classic peer."""

    #: It read to our end and closed.
    done = False

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            closed = trio.Event()
            nursery.start_soon(self._watch, closed)
            with self._connection.ends():
                await self._write()
                self._over = True
                await self._connection.send_eof()
                with trio.fail_after(self._seconds):
                    await closed.wait()
                self._receipt.delivered = self._receipt.sent
                self.done = True

    async def _watch(self, closed: trio.Event) -> None:
        with self._connection.ends():
            while not isinstance((await self._connection.receive())[-1], PeerClosed):
                pass
            if not self._over:
                self._connection.end(Ending(Why.CLOSED))
            closed.set()

    async def _write(self) -> None:
        while pieces := deque(await self._source()):
            while pieces:
                if not self._connection.link.can_say:  # the peer broke the protocol: see the watch
                    await trio.sleep_forever()
                messages = size = 0
                while pieces and size < self._limits.batch_bytes:
                    piece = pieces.popleft()
                    self._connection.link.say(piece.text)
                    messages += piece.last
                    size += len(piece.text) + _CLASSIC_FRAME
                self._receipt.taken += messages
                with trio.fail_after(self._seconds):
                    await self._connection.send()
                self._receipt.sent += messages


async def _send(connection: Connection, records: Sequence[Record]) -> None:
    if connection.link.can_send:
        connection.link.send_all(records)
        await connection.send()


async def _part(connection: Connection, limits: Limits) -> None:
    """Say ``bye`` and hear the peer's: what is not read when we close would reset the link."""
    with trio.move_on_after(limits.bye_seconds):
        with contextlib.suppress(ConnectionLost, RemoteProtocolError):
            await _send(connection, [Bye("quit")])
            while not isinstance((await connection.receive())[-1], (Bye, PeerClosed)):
                pass
