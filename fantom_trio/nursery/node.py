"""The node: one nursery with one listener task and one task per connection."""

import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence

import trio

from fantom_trio.nursery.admission import Admission
from fantom_trio.nursery.book import Book
from fantom_trio.nursery.connection import Ending, Why
from fantom_trio.nursery.conversation import Conversation
from fantom_trio.nursery.descriptors import Door, most_descriptors
from fantom_trio.nursery.errors import DialError, DialProblem
from fantom_trio.nursery.events import DescriptorsOut
from fantom_trio.nursery.greeter import Greeter
from fantom_trio.nursery.identity import Identities
from fantom_trio.nursery.limits import Limits
from fantom_trio.nursery.links import Links
from fantom_trio.nursery.message import Message
from fantom_trio.nursery.network import Listener, Network
from fantom_trio.nursery.session import Knocked, Session
from fantom_trio.nursery.strangers import Stranger
from fantom_trio.nursery.tcp import TCP
from fantom_trio.nursery.teller import Teller
from fantom_trio.nursery.verification import Verification
from fantom_trio.wire import DEFAULT_PORT, Endpoint, Invite, KeyPair, Secret, fingerprint

__all__ = ["NoWayBack", "Node", "NotLinked", "open_node"]


class NoWayBack(Exception):
    """The peer gave no port to dial back to."""


class NotLinked(Exception):
    """This needs a native link to the peer, and none is up."""


@contextlib.asynccontextmanager
async def open_node(
    limits: Limits | None = None,
    *,
    own_port: int = DEFAULT_PORT,
    invited_only: bool = False,
    acknowledge: bool = True,
    now: Callable[[], float] = time.time,
    network: Network = TCP,
    rng: random.Random | None = None,
) -> AsyncIterator["Node"]:
    """A node that lives as long as the ``async with`` block, with an identity of its own.

    At its end every link is closed and every key wiped. ``acknowledge``: a message is handed over
    when it stands in the history; otherwise by ``Node.handed_over``. ``now`` is the clock of the
    messages, in seconds since the epoch; deadlines run on Trio's. ``network`` carries its links,
    ``rng`` shortens its pauses.
    """
    identity = KeyPair.generate()
    try:
        async with trio.open_nursery() as nursery:
            node = Node(
                nursery, identity, limits or Limits(), own_port=own_port,
                invited_only=invited_only, acknowledge=acknowledge, now=now, network=network,
                rng=rng or random.SystemRandom(),
            )  # fmt: skip
            try:
                yield node
                await node.leave()
            finally:
                nursery.cancel_scope.cancel()
    finally:
        identity.wipe()


class Node:
    """Who is alive: the listener, the conversations, and what they tell.

    ``events`` must be read: when nobody does, sockets are not read either.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        identity: KeyPair,
        limits: Limits,
        *,
        own_port: int,
        invited_only: bool,
        acknowledge: bool,
        now: Callable[[], float],
        network: Network,
        rng: random.Random,
    ) -> None:
        self.limits = limits = limits.within(most_descriptors())
        self.greeter = Greeter(
            identity, self._listening_port, Identities(limits), invited_only=invited_only
        )
        self._nursery = nursery
        self._network = network
        self._listening: trio.CancelScope | None = None
        self._stopped = trio.Event()
        self._moving = trio.Lock()  # of the listener
        self._book = Book(limits)
        self._teller = Teller(nursery, limits, now)
        self.events = self._teller.events
        self._links = Links(
            nursery, limits, self.greeter, self._book, self._teller, own_port=own_port,
            acknowledge=acknowledge, network=network, rng=rng,
        )  # fmt: skip

    @property
    def listener(self) -> Endpoint | None:
        """The listener's endpoint; None while nobody can dial us."""
        return self._links.listener

    @property
    def own_port(self) -> int:
        """The port that classic peers are told where there is no listener."""
        return self._links.own_port

    @own_port.setter
    def own_port(self, port: int) -> None:
        self._links.own_port = port

    @property
    def admission(self) -> Admission:
        """The incoming handshakes that are not complete."""
        return self._links.admission

    @property
    def strangers(self) -> Sequence[Stranger]:
        """Who came to us and was not verified, and what they did; the one that came last first."""
        return self._links.strangers.snapshot(self.greeter.identities.know)

    # What the user may ask for.

    @property
    def conversations(self) -> Sequence[Conversation]:
        """The conversations by their numbers."""
        return list(self._book)

    async def listen(self, endpoint: Endpoint) -> Endpoint:
        """Start the listener, or move it, and return where it listens.

        Raises ``ListenError``, and an old listener stays. Links that are up stay in any case.
        """
        async with self._moving:
            if endpoint == self.listener:
                return endpoint
            listener = self._network.listen(endpoint)
            await self._stop_listening()
            self._links.listens_at(listener.endpoint)
            self._listening = await self._nursery.start(self._listen, listener)
            return listener.endpoint

    async def stop_listening(self) -> None:
        """Nobody can dial us from here on; links that are up stay."""
        async with self._moving:
            await self._stop_listening()
            self._links.listens_at(None)

    async def _stop_listening(self) -> None:
        self._links.listener = None
        if self._listening is not None:
            self._listening.cancel()
            await self._stopped.wait()

    def _listening_port(self) -> int:
        return self.listener.port if self.listener is not None else 0

    def connect(self, peer: Endpoint | Invite, name: str = "") -> None:
        """Dial; ``Dialing``, then ``LinkUp`` or ``DialFailed`` tell how far it came."""
        self._nursery.start_soon(self._links.connect, peer, name)

    def invite(self, endpoint: Endpoint) -> Invite:
        """A new invite, which lets one identity in at ``endpoint``; raises ``InvitesFull``."""
        own = fingerprint(self.greeter.own.public)
        return Invite(endpoint, own, self.greeter.invites.new())

    def revoke_invites(self) -> int:
        """No invite lets anybody in from here on; how many did."""
        return self.greeter.invites.revoke()

    def say(self, conversation: Conversation, text: str) -> Message:
        """Queue ``text``, and dial when no link is there to carry it.

        Raises ``OutboxFull`` or ``NoWayBack``; the text is not taken then.
        """
        session, outgoing = conversation.session, conversation.outgoing
        if session is None and outgoing is None and conversation.endpoint is None:
            raise NoWayBack
        message = conversation.write(text, self._teller.now())
        if outgoing is not None:
            outgoing.hurry()
        elif session is None:
            self._links.dial(conversation)
        return message

    def handed_over(self, conversation: Conversation, message: Message) -> None:
        """``message`` and all before it are where they should be: the peer may know."""
        if conversation.identity is not None:
            conversation.identity.delivery.show(message.id)
        for session in conversation.sessions:
            session.wake()

    def verification(self, conversation: Conversation) -> tuple[Session, Verification]:
        """The newest native link, to verify the peer on; raises ``NotLinked``."""
        if conversation.session is None:
            raise NotLinked
        return conversation.session, conversation.session.verification

    def ask_code(self, conversation: Conversation) -> None:
        """Ask for a code to compare; raises ``NotLinked`` or ``TrialsUsedUp``."""
        session, verification = self.verification(conversation)
        conversation.want()
        session.verify(verification.ask_code())

    def ask_word(self, conversation: Conversation, word: Secret) -> None:
        """Compare a shared word, which is wiped in any case; raises as ``ask_code`` does."""
        try:
            session, verification = self.verification(conversation)
            conversation.want()
            session.verify(verification.ask_word(word))
        except Exception:
            word.wipe()
            raise

    def same_code(self, conversation: Conversation) -> None:
        """The user saw the same code: the peer is verified.

        Raises ``NotLinked``, or ``LookupError`` where no code waits.
        """
        session, verification = self.verification(conversation)
        verification.settle_code()
        identity = session.identity
        identity.verified, identity.distrusted, identity.code_shown = True, False, False

    def different_code(self, conversation: Conversation) -> None:
        """The user saw another code: somebody is between, and every link ends.

        A mark that the peer has is taken back, and no invite gives it again. Where no code was
        shown it raises ``NotLinked``, or ``LookupError`` while a link is up.
        """
        identity = conversation.identity
        if identity is None or not (identity.code_shown or conversation.session):
            raise NotLinked
        if not identity.code_shown:
            raise LookupError("no code was shown")
        if conversation.session is not None and conversation.session.verification.code is not None:
            conversation.session.verification.settle_code()
        identity.verified, identity.distrusted, identity.code_shown = False, True, False
        self.disconnect(conversation)

    async def dial_self(self) -> bool:
        """Connect to our own listener; whether it took that, within ``dial_back_seconds``.

        It never leaves this machine. Raises ``DialError``. Cancelled, it leaves nothing behind.
        """
        if self.listener is None:
            raise DialError(DialProblem.REFUSED)
        return await self._links.dial_self(self.listener)

    def can_knock(self, conversation: Conversation) -> bool:
        """The peer is on another machine, and its native link is with our listener's address."""
        session, listener = conversation.session, self.listener
        if session is None or listener is None:
            return False
        return session.connection.here.host == listener.host != session.connection.peer.host

    async def knock(self, conversation: Conversation) -> Knocked:
        """Ask the peer to dial our listener, and wait for it up to ``dial_back_seconds``.

        It does so only for an identity that is verified there, once a minute. Raises ``NotLinked``
        where ``can_knock`` is false. Cancelled, the peer may dial all the same.
        """
        session, listener = conversation.session, self.listener
        if session is None or listener is None or not self.can_knock(conversation):
            raise NotLinked
        return await self._links.knock(conversation, session, listener.port)

    def disconnect(self, conversation: Conversation) -> bool:
        """Close every link of the conversation and stop dialing; False when there was nothing."""
        busy = conversation.online or conversation.dialing
        conversation.stop_dialing()
        for connection in conversation.incoming:
            connection.end(Ending(Why.DISCONNECTED))
        for session in conversation.sessions:
            session.leave("quit", Ending(Why.DISCONNECTED))
        return busy

    def close(self, conversation: Conversation) -> None:
        """Disconnect, and forget the conversation with all its messages."""
        self.disconnect(conversation)
        conversation.forget()
        self._book.remove(conversation)

    def moved(self, gone: Collection[str] = ()) -> None:
        """Our addresses are others: links from those that are ``gone`` end as lost.

        A native one is dialed again, and whoever waits to be dialed again is dialed now.
        """
        for conversation in self._book:
            for link in conversation.links:
                if link.here.host in gone:
                    link.end(Ending(Why.LOST))
        self._links.lost(gone)
        self._redial_now()

    def woke(self) -> None:
        """This machine slept: every native link ends as silent, and is dialed again.

        After ``DEAD_SECONDS`` the peer has given it up, and before that a new one costs no more
        than to ask whether the old one lives. A classic link cannot be made again by us alone.
        """
        for conversation in self._book:
            for session in conversation.sessions:
                session.connection.end(Ending(Why.SILENT))
        self._redial_now()

    def _redial_now(self) -> None:
        for conversation in self._book:
            conversation.redial_pause = 0
            if conversation.outgoing is not None and conversation.outgoing.again:
                conversation.outgoing.hurry()

    def burn(self) -> None:
        """Cut every link without a goodbye, and forget every message and invite."""
        self.revoke_invites()
        self._links.strangers.clear()
        for conversation in list(self._book):
            conversation.stop_dialing()
            native = [session.connection for session in conversation.sessions]
            for connection in [*conversation.incoming, *native]:
                connection.end(Ending(Why.DISCONNECTED))
            conversation.forget()
            self._book.remove(conversation)

    async def leave(self) -> None:
        """Close every link in order, within a bound; nobody is dialed from here on."""
        await self.stop_listening()
        for conversation in self._book:
            self.disconnect(conversation)
        with trio.move_on_after(self.limits.bye_seconds):
            while any(conversation.sessions for conversation in self._book):
                self._links.changed = trio.Event()
                await self._links.changed.wait()

    async def _listen(
        self, listener: Listener, task_status: trio.TaskStatus[trio.CancelScope]
    ) -> None:
        """The listener task; each connection gets one of its own."""
        self._stopped = stopped = trio.Event()
        try:
            with trio.CancelScope() as scope:
                task_status.started(scope)
                door = Door(
                    listener, self.limits.descriptors_pause, self._links.make_room,
                    lambda: self._teller.try_tell(DescriptorsOut()),
                )  # fmt: skip
                await door.serve(self._links.serve, self._nursery)
        finally:
            stopped.set()
