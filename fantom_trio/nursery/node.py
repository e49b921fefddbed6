"""The node: one nursery with one listener task and one task per connection."""

import contextlib
import errno
import itertools
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace

import trio

from fantom_trio.nursery.admission import Admission
from fantom_trio.nursery.connection import Connection, Ending, Why, endpoint_of
from fantom_trio.nursery.conversation import Conversation, ConversationKey, Message, State
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
from fantom_trio.wire import DEFAULT_PORT, Endpoint, Link, PeerClosed, Role, Said

__all__ = ["ListenError", "NoWayBack", "Node", "open_node"]


class ListenError(Exception):
    """The listener could not start: the port is in use, the address is not ours, or ``detail``."""

    def __init__(self, endpoint: Endpoint, error: OSError) -> None:
        # Python gives an unknown interface no number.
        number = error.errno or errno.ENODEV
        self.endpoint = endpoint
        self.in_use = number == errno.EADDRINUSE
        self.no_such_address = number in (errno.EADDRNOTAVAIL, errno.ENODEV)
        self.detail = os.strerror(number)
        super().__init__(f"cannot listen on {endpoint}: {self.detail}")


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
        if endpoint == self.listener:
            return endpoint
        sock = _listening_socket(endpoint)
        await self.stop_listening()
        self.listener = replace(endpoint, port=sock.getsockname()[1])
        self.own_port = self.listener.port
        self._listening = await self._nursery.start(self._listen, sock)
        return self.listener

    async def stop_listening(self) -> None:
        """Nobody can dial us from here on; links that are up stay."""
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
        if conversation.dialing is None and conversation.endpoint is None:
            raise NoWayBack
        message = conversation.write(text, self._now())
        self._dial(conversation)
        return message

    def disconnect(self, conversation: Conversation) -> bool:
        """Close every link of the conversation and stop dialing; False when there was nothing."""
        busy = conversation.online or conversation.dialing is not None
        for connection in conversation.links:
            connection.end(Ending(Why.DISCONNECTED))
        if conversation.outgoing is None and conversation.dialing is not None:
            conversation.dialing.cancel()
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
        await self._tell_up(conversation, connection, first)
        return conversation

    async def _take(self, conversation: Conversation, peer: Endpoint, said: list[Said]) -> None:
        """Into the history, then to the screen: a slow screen does not stop a classic link."""
        sender = said[-1].sender
        if sender is not None and sender.port:
            # The claimed host is never believed; its port says where to dial back.
            conversation.endpoint = replace(peer, port=conversation.key.port or sender.port)
        now = self._now()
        messages = [Message(event.text, now, State.RECEIVED, event.damaged) for event in said]
        for message in messages:
            conversation.history.append(message)
        with trio.move_on_after(self.limits.stall_seconds) as patience:
            if conversation.not_shown:
                await self._tell.send(NotShown(conversation, conversation.not_shown))
                conversation.not_shown = 0
            await self._tell.send(Received(conversation, messages))
        if patience.cancelled_caught:
            conversation.not_shown += len(messages)
        await self._tell_if_full(conversation)

    # The link that we dial: a task for each conversation that has one.

    async def _connect(self, endpoint: Endpoint, name: str) -> None:
        try:
            endpoint = await look_up(endpoint, self.limits.connect_seconds)
            if endpoint == self.listener:
                raise DialError(DialProblem.OWN)
        except DialError as error:
            await self._tell.send(DialFailed(None, endpoint, error))
            return
        conversation = self._conversation(ConversationKey.of(endpoint))
        conversation.name = name or conversation.name
        if conversation.outgoing is not None:
            await self._tell.send(AlreadyUp(conversation))
            return
        if conversation.dialing is not None and conversation.endpoint != endpoint:
            conversation.dialing.cancel()
            conversation.dialing = None
        conversation.endpoint = endpoint
        self._dial(conversation)

    def _dial(self, conversation: Conversation) -> None:
        if conversation.dialing is None and conversation.endpoint is not None:
            conversation.dialing = trio.CancelScope()
            self._nursery.start_soon(
                self._run_outgoing, conversation, conversation.endpoint, conversation.dialing
            )

    async def _run_outgoing(
        self, conversation: Conversation, endpoint: Endpoint, scope: trio.CancelScope
    ) -> None:
        """One dialed connection, from the first packet to its wiped keys."""
        failed: DialError | None = None
        ending: Ending | None = None
        begun = trio.current_time()
        try:
            with scope:
                await self._tell.send(Dialing(conversation, endpoint))
                connection = await dial(
                    endpoint, own=self.listener, own_port=self.own_port, limits=self.limits
                )
                ending = await connection.run(lambda: self._write(conversation, connection))
        except DialError as error:
            failed = error
        except Exception as error:
            ending = Ending.bug(error)
        finally:
            if conversation.dialing is scope:
                conversation.dialing = conversation.outgoing = None
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
        first = not conversation.online
        conversation.outgoing = connection
        await self._tell_up(conversation, connection, first)
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
        if unused and conversation.dialing is None:
            self.close(conversation)

    async def _tell_up(
        self, conversation: Conversation, connection: Connection, first: bool
    ) -> None:
        conversation.was_up = True
        kind = connection.link.kind
        assert kind is not None
        await self._tell.send(LinkUp(conversation, connection.role, kind, first))

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

    async def _tell_if_full(self, conversation: Conversation) -> None:
        if conversation.history.dropped and not conversation.told_full:
            conversation.told_full = True
            await self._tell.send(HistoryFull(conversation))


def _listening_socket(endpoint: Endpoint) -> socket.socket:
    sock = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if sys.platform == "win32":  # pragma: no cover
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:  # a restart need not wait for old connections to time out
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        index = socket.if_nametoindex(endpoint.zone) if endpoint.zone else 0
        sock.bind((endpoint.host, endpoint.port, 0, index))
        sock.listen(128)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise ListenError(endpoint, error) from None
    return sock
