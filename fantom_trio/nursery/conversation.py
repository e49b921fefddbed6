"""One peer: what was said, what waits to be sent, and the links that carry it."""

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import trio

from fantom_trio.nursery.approach import Approach
from fantom_trio.nursery.connection import Connection, Ending, Why, tick
from fantom_trio.nursery.identity import PeerIdentity
from fantom_trio.nursery.limits import Limits
from fantom_trio.nursery.message import Message, State
from fantom_trio.nursery.session import Session
from fantom_trio.wire import Endpoint, Invite, LinkKind

__all__ = ["Conversation", "ConversationKey", "History", "OutboxFull", "Outgoing"]


class OutboxFull(Exception):
    """Too much waits for this peer already; the text was not taken."""


class ConversationKey(NamedTuple):
    """Who a classic peer is: its address; on loopback also its listening port, else 0."""

    host: str
    port: int

    @classmethod
    def of(cls, endpoint: Endpoint) -> "ConversationKey":
        """The conversation that a link with ``endpoint``'s listener belongs to."""
        return cls(endpoint.host, endpoint.port if endpoint.is_loopback else 0)


class History:
    """The messages of a conversation, oldest first, within two bounds."""

    __slots__ = ("_bytes", "_messages", "dropped", "kept_after", "most_bytes", "most_messages")

    def __init__(self, limits: Limits) -> None:
        self.most_messages = limits.history_messages
        self.most_bytes = limits.history_bytes
        #: A deque once there is something in it: most conversations that nobody began are empty.
        self._messages: deque[Message] | tuple[()] = ()
        self._bytes = 0
        #: How many were dropped to stay within the bounds.
        self.dropped = 0
        #: Those with a higher id are not dropped: somebody still takes them out of here, and until
        #: then their sender keeps no more than a window of them going.
        self.kept_after: float = math.inf

    def append(self, message: Message) -> None:
        """Remember ``message``, and drop the oldest while there is too much."""
        self._bytes += message.size
        (self._messages or self._begin()).append(message)
        if self._bytes > self.most_bytes or len(self._messages) > self.most_messages:
            self._trim()

    def extend(self, messages: Sequence[Message]) -> None:
        """Remember all of them, and drop the oldest while there is too much."""
        self._bytes += sum([message.size for message in messages])
        (self._messages or self._begin()).extend(messages)
        if self._bytes > self.most_bytes or len(self._messages) > self.most_messages:
            self._trim()

    def _begin(self) -> deque[Message]:
        self._messages = begun = deque[Message]()
        return begun

    def bound(self, messages: int, size: int) -> None:
        """So many messages and bytes at most, from now on."""
        self.most_messages, self.most_bytes = messages, size
        self._trim()

    def _trim(self) -> None:
        while len(self._messages) > 1 and (
            len(self._messages) > self.most_messages or self._bytes > self.most_bytes
        ):
            assert not isinstance(self._messages, tuple)
            if self._messages[0].id > self.kept_after:
                return
            self._bytes -= self._messages.popleft().size
            self.dropped += 1

    def latest(self, count: int) -> list[Message]:
        """The last ``count`` messages, or as many as there are, oldest first."""
        skipped = max(0, len(self._messages) - count)
        return [self._messages[at] for at in range(skipped, len(self._messages))]

    @property
    def last_said(self) -> Message | None:
        """The latest message that one of the two wrote."""
        return next((m for m in reversed(self._messages) if m.state is not State.NOTED), None)

    def clear(self) -> None:
        """Forget everything."""
        self._messages = ()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._messages)

    def __iter__(self) -> Iterator[Message]:
        return iter(self._messages)


@dataclass(eq=False)
class Outgoing:
    """Our dialing, from the first packet until its link is up; a classic link to its end."""

    endpoint: Endpoint
    #: What the peer must prove to be: from an invite, or because we know it already.
    invite: Invite | None = None
    expected: bytes | None = None
    #: What the user calls whoever answers.
    name: str = ""
    #: A link broke: try again, with pauses, until one is up.
    again: bool = False
    #: So too, should this dial fail, which the user asked for meanwhile.
    resumes: bool = False
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    #: Once a classic handshake is done.
    connection: Connection | None = None
    #: The dial that is under way.
    approach: Approach | None = None
    #: Another link came up, and nothing is dialed for any more.
    overtaken: bool = False
    _hurried: trio.Event = field(default_factory=trio.Event)

    def end(self) -> None:
        """Stop dialing, or close the classic link."""
        if self.connection is None:
            self.scope.cancel()
        else:
            self.connection.end(Ending(Why.DISCONNECTED))

    def overtake(self) -> None:
        """A native link is up: what is not a connection yet is not to be one."""
        self.overtaken = True
        if self.approach is not None:
            self.approach.overtake()
        self.hurry()

    def hurry(self) -> None:
        """The user wants it now: no pause before the next try."""
        self._hurried.set()

    async def pause(self, seconds: float) -> bool:
        """Wait before the next try; True: the user cut it short."""
        with trio.move_on_after(seconds):
            await self._hurried.wait()
        hurried, self._hurried = self._hurried.is_set(), trio.Event()
        return hurried


@dataclass(eq=False, slots=True, weakref_slot=True)
class Conversation:
    """One peer, for as long as the program runs or until ``/close``."""

    #: The address: of a native peer, where it was met last.
    key: ConversationKey
    #: A small number that people type; stable while the conversation lives.
    number: int
    limits: Limits
    #: Which wire the peer speaks; None while no link was up.
    kind: LinkKind | None = None
    #: Whose conversation it is, with a native peer.
    identity: PeerIdentity | None = None
    #: Before the first link: the fingerprint that an invite named.
    expected: bytes | None = None
    #: What is to be presented with the next link, if it is with whoever made it.
    invite: Invite | None = None
    #: What the user calls the peer; empty: by its address.
    name: str = ""
    #: Where to dial: the peer's listener. None while it gave no port to answer to.
    endpoint: Endpoint | None = None
    #: Received and not yet shown.
    unread: int = 0
    #: Our dialing, and the one classic link that we write on.
    outgoing: Outgoing | None = None
    #: The classic links that the peer dialed.
    incoming: list[Connection] = field(default_factory=list)
    #: The native links that are up, in the order in which they came; we write on the last.
    sessions: list[Session] = field(default_factory=list)
    #: Seconds before the next redial, if a link breaks now.
    redial_pause: float = 0
    #: Received while the screen was too slow to take any more.
    not_shown: int = 0
    #: The user knows that the oldest messages are dropped.
    told_full: bool = False
    #: The user took notice of it; see ``want``.
    wanted: bool = False
    #: When something came on a link that is gone, or when it began; by ``tick``.
    last_heard: int = field(default_factory=tick)
    history: History = field(init=False)
    #: What waits for a classic link, or until it is known who answers.
    _waiting: list[Message] = field(default_factory=list)
    _waiting_bytes: int = 0
    #: Where a classic link waits for more.
    _written: trio.Event | None = None
    _undelivered: int = 0

    def __post_init__(self) -> None:
        self.history = History(self.limits)

    @property
    def label(self) -> str:
        """Name or address, for people."""
        if self.name:
            return self.name
        return f"[{self.key.host}]" + (f":{self.key.port}" if self.key.port else "")

    @property
    def verified(self) -> bool:
        """We know who it is."""
        return self.identity is not None and self.identity.verified

    @property
    def strange(self) -> bool:
        """The peer came by itself, nobody knows who it is, and the user took no notice of it."""
        return not (self.wanted or self.name or self.verified)

    @property
    def heard(self) -> int:
        """When something came last, by ``tick``."""
        return max([self.last_heard, *(each.heard for each in self.links)])

    def want(self) -> None:
        """The user dialed the peer, wrote to it, or looked at what it said: it stays."""
        if not self.wanted:
            self.wanted = True
            self.history.bound(self.limits.history_messages, self.limits.history_bytes)

    @property
    def online(self) -> bool:
        """At least one link is up."""
        return bool(self.links)

    @property
    def links(self) -> list[Connection]:
        """Every link that is up, ours first."""
        ours = self.outgoing.connection if self.outgoing is not None else None
        native = [session.connection for session in self.sessions if session.leaving is None]
        return [*filter(None, [ours]), *self.incoming, *native]

    @property
    def session(self) -> Session | None:
        """The native link that we write on: the newest that nobody leaves."""
        sessions = self.sessions
        if not sessions or sessions[-1].leaving is None:
            return sessions[-1] if sessions else None
        return next((each for each in reversed(sessions) if each.leaving is None), None)

    @property
    def dialing(self) -> bool:
        """We dial, and there is no answer yet."""
        return self.outgoing is not None and self.outgoing.connection is None

    def stop_dialing(self) -> None:
        """Our dial counts no more from here on; what is written next is dialed for."""
        outgoing, self.outgoing = self.outgoing, None
        if outgoing is not None:
            outgoing.end()

    def is_up(self, invite: Invite | None) -> bool:
        """Nothing is to be dialed for: not even to present a new invite."""
        if self.session is not None:
            return invite is None or self.session.identity.token == invite.token
        return self.outgoing is not None and self.outgoing.connection is not None

    @property
    def undelivered(self) -> int:
        """How many of our messages the peer has not acknowledged; a classic one: not got."""
        return self._undelivered if self.identity is not None else len(self._waiting)

    def write(self, text: str, at: float) -> Message:
        """Queue ``text``; raises ``OutboxFull`` and takes nothing when too much waits."""
        message = Message(text, at, State.WAITING)
        if self._is_full(message.size):
            raise OutboxFull
        if not self.wanted:
            self.want()
        self.history.append(message)
        self._queue(message)
        return message

    def _is_full(self, size: int) -> bool:
        if self.identity is None:
            count, total = len(self._waiting), self._waiting_bytes
        else:
            delivery = self.identity.delivery
            count, total = delivery.pending, delivery.pending_bytes
        limits = self.limits
        return count > 0 and (count >= limits.outbox_messages or total + size > limits.outbox_bytes)

    def _queue(self, message: Message) -> None:
        if self.identity is not None:
            self.identity.delivery.queue(message.text, int(message.at * 1000), message)
            self._undelivered += 1
            session = self.session
            if session is not None:
                session.wake()
        else:
            self._waiting.append(message)
            self._waiting_bytes += message.size
            if self._written is not None:
                self._written.set()

    def belongs_to(self, identity: PeerIdentity) -> None:
        """The peer is a native one: what was written before it was known goes to it."""
        self.kind, self.identity = LinkKind.NATIVE, identity
        self._requeue(self._waiting)

    def absorb(self, other: "Conversation") -> None:
        """``other`` turned out to be with the same peer: its messages and its name come here."""
        self.name = self.name or other.name
        if other.wanted:
            self.want()
        self.history.extend([*other.history])
        self._requeue(other._waiting)
        other.forget()

    def _requeue(self, waiting: list[Message]) -> None:
        messages = list(waiting)
        waiting.clear()
        for message in messages:
            self._queue(message)

    def end_session(self, connection: Connection) -> Session:
        """This native link is gone: the next carries on where it stopped."""
        session = next(each for each in self.sessions if each.connection is connection)
        self.sessions.remove(session)
        if self.session is not None:
            self.session.wake()
        if trio.current_time() - session.began >= self.limits.steady_seconds:
            self.redial_pause = 0
        return session

    async def next_batch(self) -> list[Message]:
        """Wait until something waits for a classic link: it stays queued until ``sent``."""
        while not self._waiting:
            self._written = trio.Event()
            await self._written.wait()
        batch, size = [], 0
        for message in self._waiting:
            batch.append(message)
            size += message.size
            if size >= self.limits.batch_bytes:
                break
        return batch

    def sent(self, batch: Sequence[Message]) -> None:
        """A classic link took ``batch``, the first that waited."""
        for message in batch:
            message.state = State.SENT
            if self._waiting and self._waiting[0] is message:  # else it was forgotten meanwhile
                del self._waiting[0]
                self._waiting_bytes -= message.size

    def delivered(self, messages: Sequence[Message]) -> None:
        """The native peer acknowledged these."""
        for message in messages:
            message.state = State.DELIVERED
        self._undelivered -= len(messages)

    def forget(self) -> None:
        """Drop every message."""
        self.history.clear()
        self._waiting.clear()
        self._waiting_bytes = 0
        self._undelivered = 0
        if self.identity is not None:
            self.identity.delivery.forget()
        self.unread = 0
