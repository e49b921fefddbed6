"""The tasks of a classic link: the peer's texts come in on one, ours go out on another."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import trio

from fantom_trio.nursery.connection import Connection, Ending, Why
from fantom_trio.nursery.conversation import Conversation
from fantom_trio.nursery.events import Sent
from fantom_trio.nursery.message import Message, State
from fantom_trio.nursery.teller import Teller
from fantom_trio.wire import Endpoint, PeerClosed, Said

__all__ = ["carry_texts", "take_texts"]

Join = Callable[[Connection, Endpoint], Awaitable[Conversation]]


async def take_texts(connection: Connection, join: Join, teller: Teller) -> None:
    """What the peer says on a link that it dialed, until it closes.

    ``join`` gives the conversation of the peer's listener.
    """
    conversation = None
    if not connection.peer.is_loopback:
        conversation = await join(connection, connection.peer)
    closed = False
    while not closed:
        events = await connection.receive()
        closed = isinstance(events[-1], PeerClosed)
        said = [event for event in events if isinstance(event, Said)]
        if said and conversation is None:
            # On loopback only the first frame tells which of the local peers it is.
            port = said[0].sender.port if said[0].sender else 0
            conversation = await join(connection, replace(connection.peer, port=port))
        if said and conversation is not None:
            await _take(conversation, connection.peer, said, teller)
        if conversation is not None and not conversation.strange:
            connection.turns = None


async def _take(
    conversation: Conversation, peer: Endpoint, said: list[Said], teller: Teller
) -> None:
    """Into the history, then to the screen: a slow screen does not stop a classic link."""
    sender = said[-1].sender
    port = conversation.key.port if peer.is_loopback else sender.port if sender else 0
    if port:
        # The claimed host is never believed; its port says where to dial back.
        conversation.endpoint = Endpoint(peer.host, port, peer.zone)
    now = teller.now()
    messages = [Message(event.text, now, State.RECEIVED, event.damaged) for event in said]
    conversation.history.extend(messages)
    await teller.received(conversation, messages)


async def carry_texts(conversation: Conversation, connection: Connection, teller: Teller) -> None:
    """All that waits, in batches, on a link that we dialed, until the peer closes."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_watch, connection)
        with connection.ends():
            while True:
                batch = await conversation.next_batch()
                if not connection.link.can_say:  # the peer broke the protocol: the watch says how
                    await trio.sleep_forever()
                for message in batch:
                    connection.link.say(message.text)
                await connection.send()
                conversation.sent(batch)
                await teller.tell(Sent(conversation, batch))
                await teller.tell_if_full(conversation)


async def _watch(connection: Connection) -> None:
    """A classic listener only ever closes."""
    with connection.ends():
        while not isinstance((await connection.receive())[-1], PeerClosed):
            pass
        connection.end(Ending(Why.CLOSED))
