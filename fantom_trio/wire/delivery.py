"""Which messages a link still has to carry, between two identities.

Each direction counts its messages from 1, over every link that the two identities ever have. A
``hello`` says how far the peer got, so that a new link sends exactly what is missing.
"""

from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

from msgspec import Struct

from fantom_trio.wire.errors import LocalProtocolError, RemoteProtocolError, Violation
from fantom_trio.wire.frames import split_text, text_size
from fantom_trio.wire.records import MAX_TEXT, Hello, Say

__all__ = ["WINDOW_BYTES", "WINDOW_MESSAGES", "Cursor", "Delivery"]

#: What may be sent and unacknowledged, per direction: so many ``say`` or so much text.
WINDOW_MESSAGES = 1024
WINDOW_BYTES = 1024 * 1024

#: What a frame takes besides its text, about: most of it is padding.
FRAME_BYTES = 1024

M = TypeVar("M")


@dataclass(slots=True)
class Cursor:
    """The id that one link carries next."""

    next_id: int


class _Entry(Struct, Generic[M], eq=False, gc=False):
    """One ``say`` that is not acknowledged; a long text has several, ``message`` on the last.

    ``message`` never leads back here, so the garbage collector need not look at so many.
    """

    say: Say
    #: Bytes of text queued before this one and up to its end, since the beginning.
    start: int
    stop: int
    message: M | None


class Delivery(Generic[M]):
    """Both directions of one pair of identities; it outlives links and conversations.

    Ours wait in a queue until they are acknowledged, each with the caller's ``M``. What a peer
    claims that cannot be raises ``RemoteProtocolError``.
    """

    def __init__(self) -> None:
        #: Of the peer's: taken in, and handed over to whoever reads them.
        self.received = 0
        self.shown = 0
        #: Of ours: the highest that the peer handed over.
        self.acknowledged = 0
        self._sent = 0
        self._last = 0
        self._queued_bytes = 0
        self._queue: deque[_Entry[M]] = deque()
        self._unshown: deque[tuple[int, int]] = deque()
        self._unshown_bytes = 0

    # Ours.

    @property
    def pending(self) -> int:
        """How many ``say`` of ours are not acknowledged."""
        return len(self._queue)

    @property
    def pending_bytes(self) -> int:
        """The text in them, bytes of UTF-8."""
        return self._queue[-1].stop - self._queue[0].start if self._queue else 0

    @property
    def unsent(self) -> bool:
        """Something waits that no link carried yet."""
        return self._last > self._sent

    def queue(self, text: str, at: int, message: M) -> None:
        """Let ``text`` wait; ``at`` is milliseconds since the epoch."""
        if text.isascii() and len(text) <= MAX_TEXT:  # as most: nothing is to be encoded for it
            self._append(text, len(text), at, message)
            return
        *pieces, last = split_text(text, MAX_TEXT)
        for piece in pieces:
            self._append(piece.decode(), len(piece), at, None)
        self._append(last.decode(), len(last), at, message)

    def _append(self, text: str, size: int, at: int, message: M | None) -> None:
        self._last += 1
        start = self._queued_bytes
        self._queued_bytes = stop = start + size
        self._queue.append(_Entry(Say(self._last, text, at), start, stop, message))

    def forget(self) -> None:
        """Drop what no link carried yet, and tell nobody of the rest.

        The rest has its ids already: it is sent again if need be.
        """
        while self._queue and self._queue[-1].say.id > self._sent:
            self._queued_bytes = self._queue.pop().start
            self._last -= 1
        for entry in self._queue:
            entry.message = None

    def start(self, hello: Hello, *, maybe_stale: bool) -> tuple[Cursor, list[M]]:
        """Where a new link begins, and which messages its ``hello`` acknowledges.

        ``maybe_stale``: another link carried acknowledgements while this one was made, so that the
        peer may have said less in its ``hello``.
        """
        stale = hello.received < self.acknowledged
        if hello.received > self._sent or hello.shown > hello.received:
            raise RemoteProtocolError(Violation.COUNT_IMPOSSIBLE)
        if stale and not maybe_stale:
            raise RemoteProtocolError(Violation.COUNT_IMPOSSIBLE)
        delivered = self.acknowledge(hello.shown)
        return Cursor(max(hello.received, self.acknowledged) + 1), delivered

    def next_says(self, cursor: Cursor, most_bytes: int) -> list[tuple[Say, M | None]]:
        """What the link of ``cursor`` carries next, as far as the window lets it.

        It ends with the first that makes it ``most_bytes`` or more, frames included. From here on
        these count as sent. ``M`` stands with the last ``say`` of each message.
        """
        if cursor.next_id > self._last:
            return []
        if not self._queue or cursor.next_id < self._queue[0].say.id:
            # Another link's acknowledgement came after this one's hello.
            cursor.next_id = max(cursor.next_id, self.acknowledged + 1)
        says: list[tuple[Say, M | None]] = []
        if not self._queue:
            return says
        first, size = self._queue[0], 0
        last_id, last_stop = self.acknowledged + WINDOW_MESSAGES, first.start + WINDOW_BYTES
        for entry in islice(self._queue, cursor.next_id - first.say.id, None):
            say = entry.say
            if size >= most_bytes or say.id > last_id or entry.stop > last_stop:
                break
            says.append((say, entry.message))
            size += FRAME_BYTES + entry.stop - entry.start
        cursor.next_id += len(says)
        self._sent = max(self._sent, cursor.next_id - 1)
        return says

    def acknowledge(self, shown: int) -> list[M]:
        """The peer handed over all up to ``shown``: the messages that are delivered by this."""
        if shown > self._sent:
            raise RemoteProtocolError(Violation.COUNT_IMPOSSIBLE)
        self.acknowledged = max(self.acknowledged, shown)
        delivered = []
        queue = self._queue
        while queue and queue[0].say.id <= shown:
            message = queue.popleft().message
            if message is not None:
                delivered.append(message)
        return delivered

    # The peer's.

    def take(self, say: Say) -> bool:
        """True for the next message; False for one that was taken before."""
        if say.id <= self.received:
            return False
        if say.id != self.received + 1:
            raise RemoteProtocolError(Violation.ID_SKIPPED)
        size = text_size(say.text)
        if say.id > self.shown + WINDOW_MESSAGES or (self._unshown_bytes + size > WINDOW_BYTES):
            raise RemoteProtocolError(Violation.TOO_MUCH_UNSHOWN)
        self.received = say.id
        self._unshown.append((say.id, size))
        self._unshown_bytes += size
        return True

    def show(self, id: int) -> None:
        """All up to ``id`` were handed over."""
        if not self.shown <= id <= self.received:
            raise LocalProtocolError(f"message {id} cannot be shown now")
        self.shown = id
        while self._unshown and self._unshown[0][0] <= id:
            self._unshown_bytes -= self._unshown.popleft()[1]
