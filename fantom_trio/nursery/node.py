"""The node: one nursery with one listener task and one task per connection."""

import contextlib
import itertools
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace

import trio

from fantom_trio.nursery.admission import Admission
from fantom_trio.nursery.connection import Connection, Ending, Why, endpoint_of
from fantom_trio.nursery.conversation import (
    Conversation,
    ConversationKey,
    Message,
    Outgoing,
    State,
)
from fantom_trio.nursery.dial import DialError, DialProblem, dial, look_up
from fantom_trio.nursery.events import (
    AlreadyUp,
    DialFailed,
    Dialing,
    HistoryFull,
    LinkEnded,
    LinkUp,
    NodeEvent,
    NotShown,
    Received,
    Sent,
)
from fantom_trio.nursery.limits import Limits
from fantom_trio.nursery.listener import listening_socket
from fantom_trio.wire import DEFAULT_PORT, Endpoint, Link, PeerClosed, Role, Said

__all__ = ["NoWayBack", "Node", "open_node"]

# It warns when descriptors run out, ten times a second, and has nobody to tell but the screen.
logging.getLogger("trio.serve_listeners").addHandler(logging.NullHandler())


class NoWayBack(Exception):
    """The peer gave no port to dial back to."""


@contextlib.asynccontextmanager
async def open_node(
    limits: Limits | None = None,
    *,
    own_port: int = DEFAULT_PORT,
    now: Callable[[], float] = time.time,
) -> AsyncIterator["Node"]:
    """A node that lives as long as the ``async with`` block.

    At its end every link is closed and every key wiped. ``now`` is the clock of the messages, in
    seconds since the epoch; deadlines run on Trio's.
    """
    async with trio.open_nursery() as nursery:
        node = Node(nursery, limits or Limits(), own_port, now)
        try:
            yield node
        finally:
            nursery.cancel_scope.cancel()


class Node:
    """Who is alive: the listener, the conversations, and what they tell.

    ``events`` must be read: when nobody does, sockets are not read either.
    """

    def __init__(
        self, nursery: trio.Nursery, limits: Limits, own_port: int, now: Callable[[], float]
    ) -> None:
        self.limits = limits
        #: The listener's endpoint; None while nobody can dial us.
        self.listener: Endpoint | None = None
        self.own_port = own_port
        self.admission = Admission(limits)
        self._nursery = nursery
        self._now = now
        self._conversations: dict[ConversationKey, Conversation] = {}
        self._owners: dict[Connection, Conversation] = {}  # of the links that peers dialed
        self._listening: trio.CancelScope | None = None
        self._stopped = trio.Event()
        self._moving = trio.Lock()  # of the listener
        self._tell: trio.MemorySendChannel[NodeEvent]
        self.events: trio.MemoryReceiveChannel[NodeEvent]
        self._tell, self.events = trio.open_memory_channel(limits.events)

    # What the user may ask for.

    @property
    def conversations(self) -> Sequence[Conversation]:
        """The conversations by their numbers."""
        return sorted(self._conversations.values(), key=lambda c: c.number)

    async def listen(self, endpoint: Endpoint) -> Endpoint:
        """Start the listener, or move it, and return where it listens.

        Raises ``ListenError``, and an old listener stays. Links that are up stay in any case.
        """
        async with self._moving:
            if endpoint == self.listener:
                return endpoint
            sock = listening_socket(endpoint)
            await self._stop_listening()
            self.listener = replace(endpoint, port=sock.getsockname()[1])
            self.own_port = self.listener.port
            self._listening = await self._nursery.start(self._listen, sock)
            return self.listener

    async def stop_listening(self) -> None:
        """Nobody can dial us from here on; links that are up stay."""
        async with self._moving:
            await self._stop_listening()

    async def _stop_listening(self) -> None:
        self.listener = None
        if self._listening is not None:
            self._listening.cancel()
            await self._stopped.wait()

    def connect(self, endpoint: Endpoint, name: str = "") -> None:
        """Dial; ``Dialing``, then ``LinkUp`` or ``DialFailed`` tell how far it came."""
        self._nursery.start_soon(self._connect, endpoint, name)

    def say(self, conversation: Conversation, text: str) -> Message:
        """Queue ``text``, and dial when no link of ours is there to carry it.

        Raises ``OutboxFull`` or ``NoWayBack``; the text is not taken then.
        """
        if conversation.outgoing is None and conversation.endpoint is None:
            raise NoWayBack
        message = conversation.write(text, self._now())
        self._dial(conversation)
        return message

    def disconnect(self, conversation: Conversation) -> bool:
        """Close every link of the conversation and stop dialing; False when there was nothing."""
        busy = conversation.online or conversation.dialing
        self._end_outgoing(conversation)
        for connection in conversation.incoming:
            connection.end(Ending(Why.DISCONNECTED))
        return busy

    def close(self, conversation: Conversation) -> None:
        """Disconnect, and forget the conversation with all its messages."""
        self.disconnect(conversation)
        conversation.forget()
        if self._conversations.get(conversation.key) is conversation:
            del self._conversations[conversation.key]

    # Links that a peer dialed: a listener task, and a task for each.

    async def _listen(
        self, sock: socket.socket, task_status: trio.TaskStatus[trio.CancelScope]
    ) -> None:
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
        self._stopped = stopped = trio.Event()
        try:
            with trio.CancelScope() as scope:
                task_status.started(scope)
                # It closes the listener on every way out, and waits when descriptors run out.
                await trio.serve_listeners(self._serve, [listener], handler_nursery=self._nursery)
        finally:
            stopped.set()

    async def _serve(self, stream: trio.SocketStream) -> None:
        """One accepted connection, from its first byte to its wiped keys."""
        try:
            peer = endpoint_of(stream.socket.getpeername())
        except OSError:  # it is gone already
            stream.socket.close()
            return
        connection = Connection(stream, Link(Role.LISTENER), peer)
        ending = await connection.run(lambda: self._read(connection))
        await self._tell_ended(connection, ending)

    async def _read(self, connection: Connection) -> None:
        """The handshake, then messages until the peer closes."""
        with self.admission.handshake(connection):
            await connection.handshake(self.limits.handshake_seconds)
        conversation = None
        if not connection.peer.is_loopback:
            conversation = await self._join(connection, connection.peer)
        closed = False
        while not closed:
            events = await connection.receive()
            closed = isinstance(events[-1], PeerClosed)
            said = [event for event in events if isinstance(event, Said)]
            if said and conversation is None:
                # On loopback only the first frame tells which of the local peers it is.
                port = said[0].sender.port if said[0].sender else 0
                conversation = await self._join(connection, replace(connection.peer, port=port))
            if said and conversation is not None:
                await self._take(conversation, connection.peer, said)

    async def _join(self, connection: Connection, peer: Endpoint) -> Conversation:
        """The link belongs to a conversation from here on."""
        conversation = self._conversation(ConversationKey.of(peer))
        first = not conversation.online
        conversation.incoming.append(connection)
        self._owners[connection] = conversation
        await self._offer(self._up(conversation, connection, first))
        return conversation

    async def _take(self, conversation: Conversation, peer: Endpoint, said: list[Said]) -> None:
        """Into the history, then to the screen: a slow screen does not stop a classic link."""
        sender = said[-1].sender
        port = conversation.key.port if peer.is_loopback else sender.port if sender else 0
        if port:
            # The claimed host is never believed; its port says where to dial back.
            conversation.endpoint = replace(peer, port=port)
        now = self._now()
        messages = [Message(event.text, now, State.RECEIVED, event.damaged) for event in said]
        for message in messages:
            conversation.history.append(message)
        if not await self._offer(Received(conversation, messages)):
            conversation.not_shown += len(messages)
            if conversation.not_shown == len(messages):
                self._nursery.start_soon(self._tell_not_shown, conversation)
        await self._tell_if_full(conversation)

    async def _offer(self, event: NodeEvent) -> bool:
        """Tell, but wait for a slow screen no longer than a classic dialer bears."""
        with trio.move_on_after(self.limits.stall_seconds):
            await self._tell.send(event)
            return True
        return False

    async def _tell_not_shown(self, conversation: Conversation) -> None:
        """As soon as the screen has room; one such task a conversation."""
        while count := conversation.not_shown:
            await self._tell.send(NotShown(conversation, count))
            conversation.not_shown -= count

    # The link that we dial: a task for each conversation that has one.

    async def _connect(self, endpoint: Endpoint, name: str) -> None:
        try:
            endpoint = await look_up(endpoint, self.limits.connect_seconds)
            if endpoint == self.listener:
                raise DialError(DialProblem.OWN)
        except DialError as error:
            await self._tell.send(DialFailed(None, endpoint, error))
            return
        except Exception as error:
            bug = DialError(DialProblem.FAILED, Ending.bug(error).place)
            await self._tell.send(DialFailed(None, endpoint, bug))
            return
        conversation = self._conversation(ConversationKey.of(endpoint))
        conversation.name = name or conversation.name
        link = conversation.outgoing
        if link is not None and link.connection is not None:
            await self._tell.send(AlreadyUp(conversation))
        elif link is not None and link.endpoint == endpoint:
            await self._tell.send(Dialing(conversation, endpoint))
        else:
            self._end_outgoing(conversation)
            conversation.endpoint = endpoint
            self._dial(conversation)

    def _dial(self, conversation: Conversation) -> None:
        if conversation.outgoing is None and conversation.endpoint is not None:
            conversation.outgoing = Outgoing(conversation.endpoint)
            self._nursery.start_soon(self._run_outgoing, conversation, conversation.outgoing)

    def _end_outgoing(self, conversation: Conversation) -> None:
        """It counts no more from here on; what is written next is dialed for."""
        link, conversation.outgoing = conversation.outgoing, None
        if link is not None:
            link.end()

    async def _run_outgoing(self, conversation: Conversation, link: Outgoing) -> None:
        """One dialed connection, from the first packet to its wiped keys."""
        endpoint = link.endpoint
        failed: DialError | None = None
        ending: Ending | None = None
        begun = trio.current_time()
        try:
            with link.scope:
                await self._tell.send(Dialing(conversation, endpoint))
                connection = await dial(
                    endpoint, own=self.listener, own_port=self.own_port, limits=self.limits
                )
                # No checkpoint between: whoever ends the link finds it in one state or the other.
                link.connection = connection
                ending = await connection.run(lambda: self._write(conversation, connection))
        except DialError as error:
            failed = error
        except Exception as error:
            ending = Ending.bug(error)
        finally:
            if conversation.outgoing is link:
                conversation.outgoing = None
        self._drop_if_unused(conversation)
        if ending is None:
            failed = failed or DialError(DialProblem.GIVEN_UP)
            await self._tell.send(DialFailed(conversation, endpoint, failed))
        else:
            last = not conversation.online
            await self._tell.send(LinkEnded(conversation, endpoint, Role.DIALER, ending, last))
            lasted = trio.current_time() - begun >= self.limits.redial_seconds
            if conversation.waiting and ending.why in (Why.CLOSED, Why.LOST) and lasted:
                # Written in the link's last moment: nobody else would dial for it.
                self._dial(conversation)

    async def _write(self, conversation: Conversation, connection: Connection) -> None:
        """All that waits, in batches, until the peer closes."""
        first = conversation.links == [connection]
        await self._tell.send(self._up(conversation, connection, first))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch, connection)
            with connection.ends():
                while True:
                    batch = await conversation.next_batch()
                    for message in batch:
                        connection.link.say(message.text)
                    await connection.send()
                    conversation.sent(batch)
                    await self._tell.send(Sent(conversation, batch))
                    await self._tell_if_full(conversation)

    async def _watch(self, connection: Connection) -> None:
        """A classic listener only ever closes."""
        with connection.ends():
            while not isinstance((await connection.receive())[-1], PeerClosed):
                pass
            connection.end(Ending(Why.CLOSED))

    # Conversations, and what is told about them.

    def _conversation(self, key: ConversationKey) -> Conversation:
        if key not in self._conversations:
            taken = {conversation.number for conversation in self._conversations.values()}
            number = next(n for n in itertools.count(1) if n not in taken)
            self._conversations[key] = Conversation(key, number, self.limits)
        return self._conversations[key]

    def _drop_if_unused(self, conversation: Conversation) -> None:
        """A mistyped address leaves nothing behind."""
        unused = not conversation.was_up and not conversation.history
        if unused and conversation.outgoing is None:
            self.close(conversation)

    def _up(self, conversation: Conversation, connection: Connection, first: bool) -> LinkUp:
        conversation.was_up = True
        kind = connection.link.kind
        assert kind is not None
        return LinkUp(conversation, connection.role, kind, first)

    async def _tell_if_full(self, conversation: Conversation) -> None:
        """Once; where the screen has no room now, with what comes next."""
        if conversation.history.dropped and not conversation.told_full:
            conversation.told_full = await self._offer(HistoryFull(conversation))

    async def _tell_ended(self, connection: Connection, ending: Ending) -> None:
        conversation = self._owners.pop(connection, None)
        if conversation is None:
            # Strangers come as many as they like: those that a busy screen has no room for must
            # not wait here in tasks.
            with contextlib.suppress(trio.WouldBlock):
                self._tell.send_nowait(
                    LinkEnded(None, connection.peer, connection.role, ending, last=False)
                )
            return
        conversation.incoming.remove(connection)
        last = not conversation.online
        await self._tell.send(
            LinkEnded(conversation, connection.peer, connection.role, ending, last)
        )
