"""One text over one link that we dialed, until the peer confirmed all of it."""

import contextlib
from dataclasses import dataclass

import trio

from fantom_trio.nursery.connection import Connection, Ending, Why
from fantom_trio.nursery.errors import ConnectionLost
from fantom_trio.nursery.limits import Limits
from fantom_trio.wire import (
    Ack,
    Bye,
    Delivery,
    LinkKind,
    PeerClosed,
    Ping,
    Pong,
    Record,
    RemoteProtocolError,
)
from fantom_trio.wire.delivery import WINDOW_BYTES

__all__ = ["Receipt", "deliver"]


@dataclass(slots=True)
class Receipt:
    """How far the text came; ``ending`` says why it came no further."""

    #: All of it went out.
    sent: bool = False
    #: The peer confirmed all of it: a native one handed it over, a classic one read to our end.
    delivered: bool = False
    ending: Ending | None = None


async def deliver(
    connection: Connection, text: str, at: int, *, seconds: float, limits: Limits
) -> Receipt:
    """Say ``text``, wait ``seconds`` for the receipt, and close the connection in any case.

    ``at`` is milliseconds since the epoch. Cancelled, some, all or none of it arrived.
    """
    receipt = Receipt()

    async def errand() -> None:
        with trio.fail_after(seconds):
            if connection.link.kind is LinkKind.NATIVE:
                await _say(connection, text, at, receipt)
            else:
                await _say_classic(connection, text, receipt)
        if receipt.delivered and connection.link.kind is LinkKind.NATIVE:
            await _part(connection, limits)

    ending = await connection.run(errand)
    if not receipt.delivered:
        receipt.ending = ending
    return receipt


async def _say(connection: Connection, text: str, at: int, receipt: Receipt) -> None:
    delivery: Delivery[None] = Delivery()
    delivery.queue(text, at, None)
    cursor, _ = delivery.start(connection.hello, maybe_stale=False)
    pongs: list[Record] = []
    while delivery.pending:
        # As much as may be unacknowledged: a native peer reads, whatever it has to say.
        says = [say for say, _ in delivery.next_says(cursor, WINDOW_BYTES)]
        await _send(connection, *pongs, *says)
        receipt.sent = not delivery.unsent
        pongs.clear()
        for event in await connection.receive():
            match event:
                case Ack():
                    delivery.acknowledge(event.shown)
                case Ping():
                    pongs.append(Pong())
                case Bye() if delivery.pending:
                    connection.ending = Ending(Why.LEFT)
                    await _send(connection, Bye("quit"))
                    return
                case PeerClosed() if delivery.pending:
                    raise ConnectionLost
    receipt.delivered = True


async def _send(connection: Connection, *records: Record) -> None:
    if connection.link.can_send:  # else the peer broke the protocol: the next read says how
        for record in records:
            connection.link.send(record)
        await connection.send()


async def _say_classic(connection: Connection, text: str, receipt: Receipt) -> None:
    """A classic peer has no better receipt than this: it read to our end and closed."""
    connection.link.say(text)
    await connection.send()
    receipt.sent = True
    await connection.send_eof()
    while not isinstance((await connection.receive())[-1], PeerClosed):
        pass
    receipt.delivered = True


async def _part(connection: Connection, limits: Limits) -> None:
    """Say ``bye`` and hear the peer's: what is not read when we close would reset the link."""
    with trio.move_on_after(limits.bye_seconds):
        with contextlib.suppress(ConnectionLost, RemoteProtocolError):
            await _send(connection, Bye("quit"))
            while not isinstance((await connection.receive())[-1], (Bye, PeerClosed)):
                pass
