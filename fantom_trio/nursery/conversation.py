"""One peer: what was said, what waits to be sent, and the links that carry it."""

import enum
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import trio

from fantom_trio.nursery.connection import Connection, Ending, Why
from fantom_trio.nursery.limits import Limits
from fantom_trio.wire import Endpoint

__all__ = ["Conversation", "ConversationKey", "History", "Message", "OutboxFull", "State"]


class OutboxFull(Exception):
    """Too much waits for this peer already; the text was not taken."""


class State(enum.Enum):
    """How far a message came."""

    RECEIVED = "received"
    WAITING = "waiting"
    SENT = "sent"
    #: Nobody wrote it: something that happened to the conversation, told where it happened.
    NOTED = "noted"


@dataclass(slots=True, eq=False)
class Message:
    """One message; ``at`` is seconds since the epoch on our own clock."""

    text: str
    at: float
    state: State
    #: It was not UTF-8 and holds replacements.
    damaged: bool = False
    #: It is on the screen.
    shown: bool = False

    @property
    def mine(self) -> bool:
        """We wrote it."""
        return self.state in (State.WAITING, State.SENT)

    @property
    def size(self) -> int:
        """Bytes of memory, about: what counts against the bounds."""
        return len(self.text.encode("utf-8", "replace"))


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

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._messages: deque[Message] = deque()
        self._sizes: deque[int] = deque()
        self._bytes = 0
        #: How many were dropped to stay within the bounds.
        self.dropped = 0

    def append(self, message: Message) -> None:
        """Remember ``message``, and drop the oldest while there is too much."""
        size = message.size
        self._messages.append(message)
        self._sizes.append(size)
        self._bytes += size
        while len(self._messages) > 1 and (
            len(self._messages) > self._limits.history_messages
            or self._bytes > self._limits.history_bytes
        ):
            self._messages.popleft()
            self._bytes -= self._sizes.popleft()
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
        self._messages.clear()
        self._sizes.clear()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._messages)

    def __iter__(self) -> Iterator[Message]:
        return iter(self._messages)


@dataclass(eq=False)
class Outgoing:
    """The link that we dial, from the first packet to its end."""

    endpoint: Endpoint
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    #: Once its handshake is done.
    connection: Connection | None = None

    def end(self) -> None:
        """Stop dialing, or close the link."""
        if self.connection is None:
            self.scope.cancel()
        else:
            self.connection.end(Ending(Why.DISCONNECTED))


@dataclass(eq=False)
class Conversation:
    """One peer, for as long as the program runs or until ``/close``."""

    key: ConversationKey
    #: A small number that people type; stable while the conversation lives.
    number: int
    limits: Limits
    #: What the user calls the peer; empty: by its address.
    name: str = ""
    #: Where to dial: the peer's listener. None while it gave no port to answer to.
    endpoint: Endpoint | None = None
    #: Received and not yet shown.
    unread: int = 0
    #: The one link that we dial and write on.
    outgoing: Outgoing | None = None
    #: The links that the peer dialed.
    incoming: list[Connection] = field(default_factory=list)
    #: At least one link was up at some time.
    was_up: bool = False
    #: Received while the screen was too slow to take any more.
    not_shown: int = 0
    #: The user knows that the oldest messages are dropped.
    told_full: bool = False

    def __post_init__(self) -> None:
        self.history = History(self.limits)
        self._waiting: deque[Message] = deque()
        self._waiting_bytes = 0
        self._written = trio.Event()

    @property
    def label(self) -> str:
        """Name or address, for people."""
        if self.name:
            return self.name
        return f"[{self.key.host}]" + (f":{self.key.port}" if self.key.port else "")

    @property
    def online(self) -> bool:
        """At least one link is up."""
        return bool(self.links)

    @property
    def links(self) -> list[Connection]:
        """Every link that is up, ours first."""
        ours = self.outgoing.connection if self.outgoing is not None else None
        return [*filter(None, [ours]), *self.incoming]

    @property
    def dialing(self) -> bool:
        """We dial, and there is no answer yet."""
        return self.outgoing is not None and self.outgoing.connection is None

    @property
    def waiting(self) -> int:
        """How many of our messages no link has carried yet."""
        return len(self._waiting)

    def write(self, text: str, at: float) -> Message:
        """Queue ``text``; raises ``OutboxFull`` and takes nothing when too much waits."""
        message = Message(text, at, State.WAITING)
        if (
            len(self._waiting) >= self.limits.outbox_messages
            or self._waiting_bytes + message.size > self.limits.outbox_bytes
        ) and self._waiting:
            raise OutboxFull
        self._waiting.append(message)
        self._waiting_bytes += message.size
        self.history.append(message)
        self._written.set()
        return message

    async def next_batch(self) -> list[Message]:
        """Wait until something waits, and look at it: it stays queued until ``sent``."""
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
        """A link took ``batch``, the first that waited."""
        for message in batch:
            message.state = State.SENT
            if self._waiting and self._waiting[0] is message:  # else it was forgotten meanwhile
                self._waiting.popleft()
                self._waiting_bytes -= message.size

    def forget(self) -> None:
        """Drop every message."""
        self.history.clear()
        self._waiting.clear()
        self._waiting_bytes = 0
        self.unread = 0
