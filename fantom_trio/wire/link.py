"""``Link``: one connection's protocol without its socket.

Bytes go in by ``buffer()`` and ``received()``, what they mean comes out of ``events()``; texts go
in by ``say()`` on a classic link, records by ``send()`` on a native one, bytes come out of
``data_to_send()``. The first line of each side decides which of the two wires the link speaks.
"""

from collections.abc import Callable, Sequence

from fantom_trio.wire import classic, native
from fantom_trio.wire.errors import LocalProtocolError, RemoteProtocolError, Violation
from fantom_trio.wire.events import Event, HandshakeDone, LinkKind, PeerClosed, Role
from fantom_trio.wire.frames import LARGE_ROOM, MAX_LINE, MAX_ROOM, ReceiveBuffer
from fantom_trio.wire.records import Record
from fantom_trio.wire.secret import KEY_BYTES, KeyPair
from fantom_trio.wire.stream import RecordReader, RecordWriter, take_back

__all__ = ["Link"]

#: Frames in a read: what so few of them cost is little, however long they are.
_FEW = 256


class Link:
    """One end of a connection.

    ``client_id`` is what a dialer puts on classic frames: ``address:port`` of its own listener.
    ``identity`` is our static key pair, which stays the caller's; without one the link is classic.
    ``expected``: the fingerprint that the peer must prove; ``native_only``: no classic peer will
    do. ``keys`` is for tests that replay a recording; every connection makes a fresh pair.

    Every method raises ``LocalProtocolError`` when it is called in a state that does not allow it.
    After ``events()`` raised ``RemoteProtocolError`` the link is wiped.
    """

    __slots__ = (
        "_buffer", "_client_id", "_closed_by_peer", "_crossed", "_error", "_events", "_expected",
        "_identity", "_keys", "_lines", "_native_only", "_out", "_reader", "_responder", "_step",
        "_wiped", "_writer", "hash", "initiator", "kind", "role",
    )  # fmt: skip

    def __init__(
        self,
        role: Role,
        client_id: bytes = b"",
        *,
        identity: KeyPair | None = None,
        expected: bytes | None = None,
        native_only: bool = False,
        keys: KeyPair | None = None,
    ) -> None:
        self.role = role
        #: Which wire is spoken; None before the handshake is done.
        self.kind: LinkKind | None = None
        #: Of a native link: whose line was Noise message 1, and the handshake hash, 64 bytes.
        self.initiator = role is Role.DIALER
        self.hash = b""
        self._client_id = client_id
        self._identity = identity
        self._expected = expected
        self._native_only = native_only
        self._keys = keys
        self._buffer = ReceiveBuffer()
        self._out = bytearray()
        self._events: list[Event] = []
        self._error: RemoteProtocolError | None = None
        #: Takes the next line or frames out of the buffer; False: it waits for more. A function,
        #: because a link that holds a method of its own is a cycle.
        self._step: Callable[[Link], bool] = Link._read_handshake_line
        #: Our line, and after it a peer's that met it: what the prologue holds.
        self._lines = b""
        self._crossed = False
        self._responder: native.Responder | None = None
        self._reader: classic.Reader | RecordReader | None = None
        self._writer: classic.Writer | RecordWriter | None = None
        self._closed_by_peer = False
        self._wiped = False
        if role is Role.DIALER:
            self._keys = keys or KeyPair.generate()
            self._lines = self._line(classic.HANDSHAKE, self._keys.public)
            self._out += self._lines
            self._step = Link._read_answer_line

    # Bytes in, events out.

    def buffer(self, at_most: int = LARGE_ROOM) -> memoryview:
        """Room for the next read, one byte or more; it is good until ``received``."""
        self._refuse_if_wiped()
        if self._step in (Link._read_handshake_line, Link._read_answer_line):
            # The 2,048 bytes of the line count the whole buffer.
            return self._buffer.lend(MAX_LINE - len(self._buffer))
        return self._buffer.lend(at_most)

    def received(self, count: int) -> None:
        """``count`` bytes were read into ``buffer()``; 0 is the peer's end."""
        self._refuse_if_wiped()
        if count == 0:
            self._closed_by_peer = True
        self._buffer.filled(count)
        before = len(self._events)
        try:
            while self._buffer and self._step(self):
                pass
            if self._closed_by_peer:
                self._read_end()
        except RemoteProtocolError as error:
            self._error = error
            self.wipe()
        else:
            long = len(self._events) - before <= _FEW
            self._buffer.most = LARGE_ROOM if long else MAX_ROOM
            self._buffer.tidy()

    def events(self) -> list[Event]:
        """All that the bytes so far mean, once; empty when there is nothing new.

        Raises ``RemoteProtocolError`` when the peer broke the protocol, after what it said before
        was given out.
        """
        if not self._events and self._error is not None:
            raise self._error
        events, self._events = self._events, []
        return events

    def receive_data(self, data: bytes) -> list[Event]:
        """``buffer``, ``received`` and ``events`` for bytes that are already somewhere else.

        An error waits for the next call of ``events`` where ``data`` said something before it.
        """
        rest = memoryview(data)
        while rest and self._error is None:
            room = self.buffer()
            count = min(len(room), len(rest))
            room[:count] = rest[:count]
            self.received(count)
            rest = rest[count:]
        return self.events()

    # Texts and records in, bytes out.

    @property
    def can_say(self) -> bool:
        """True while ``say`` works: a classic handshake is done, and we dialed."""
        return isinstance(self._writer, classic.Writer)

    def say(self, text: str) -> None:
        """Encrypt ``text`` into ``data_to_send``, as several frames where one does not hold it."""
        self._refuse_if_wiped()
        if not isinstance(self._writer, classic.Writer):
            raise LocalProtocolError(f"a {self.role.value} cannot write a text on this link now")
        self._writer.say(text, self._out)

    @property
    def can_send(self) -> bool:
        """True while ``send`` works: a native handshake is done, and our ``bye`` is not out."""
        return isinstance(self._writer, RecordWriter) and not self._writer.ended

    def send(self, record: Record) -> None:
        """Encrypt ``record`` into ``data_to_send``; the first one is a ``hello`` or a ``bye``."""
        self.send_all((record,))

    def send_all(self, records: Sequence[Record]) -> None:
        """``send`` for several at once; where one is refused, none is written."""
        self._refuse_if_wiped()
        if not isinstance(self._writer, RecordWriter):
            raise LocalProtocolError(f"a {self.role.value} cannot write a record on this link now")
        if not records:
            return
        written = self._writer.frames(records)
        if self._out:
            self._out += written
        else:  # as most often, and then nothing is copied
            self._out = written

    def data_to_send(self) -> bytearray:
        """What is to be written, all in one write; empty when there is nothing."""
        out, self._out = self._out, bytearray()
        return out

    def sent(self, data: bytearray) -> None:
        """Take back what ``data_to_send`` gave: it is overwritten by what is sent later."""
        take_back(data)

    # The end.

    def wipe(self) -> None:
        """Overwrite every key and unparsed byte; idempotent, and nothing works afterwards.

        Events that were not fetched yet stay.
        """
        self._wiped = True
        for holder in (self._keys, self._responder, self._reader, self._writer):
            if holder is not None:
                holder.wipe()
        self._responder = self._reader = self._writer = None
        self._buffer.drop()
        self._out = bytearray()

    def __repr__(self) -> str:
        kind = self.kind.value if self.kind else "handshake"
        return f"<Link {self.role.value} {'wiped' if self._wiped else kind}>"

    def _refuse_if_wiped(self) -> None:
        if self._wiped:
            raise LocalProtocolError("this link is wiped")

    def _read_end(self) -> None:
        greeted = not isinstance(self._reader, RecordReader) or self._reader.greeted
        if self.kind is None or not greeted:
            raise RemoteProtocolError(Violation.CLOSED_IN_HANDSHAKE)
        if self._buffer:
            raise RemoteProtocolError(Violation.CLOSED_IN_FRAME)
        self._events.append(PeerClosed())

    # The lines.

    def _line(self, word: bytes, public_key: bytes) -> bytes:
        if self._identity is None:
            return classic.key_line(word, public_key)
        return native.line(word, public_key)

    def _next_line(self, *words: bytes) -> bytes:
        """The next line, empty while it is not complete; it begins with one of ``words``."""
        begun = self._buffer.peek(len(max(words, key=len)))
        if not any(begun.startswith(word) or word.startswith(begun) for word in words):
            raise RemoteProtocolError(Violation.NOT_A_HANDSHAKE)
        return self._buffer.line() or b""

    def _read_handshake_line(self) -> bool:
        """A listener's first line decides which wire the dialer speaks."""
        line = self._next_line(classic.HANDSHAKE)
        if line:
            ephemeral = self._native_blob(line, classic.HANDSHAKE)
            if ephemeral is None:
                self._become_classic(line)
            else:
                self._respond(ephemeral, line)
        return bool(line)

    def _read_answer_line(self) -> bool:
        """A dialer reads an acknowledgement, or another dialer's line that met its own."""
        meeting = self._identity is not None and not self._crossed
        words = (classic.ACK, classic.HANDSHAKE) if meeting else (classic.ACK,)
        line = self._next_line(*words)
        if not line:
            return False
        if line.startswith(classic.HANDSHAKE):
            self._meet(line)
            return True
        message = self._native_blob(line, classic.ACK)
        if message is None:
            self._become_classic(line)
        else:
            self._initiate(message)
        return True

    def _native_blob(self, line: bytes, word: bytes) -> bytes | None:
        return None if self._identity is None else native.blob_in_line(line, word)

    # The classic link.

    def _become_classic(self, line: bytes) -> None:
        if self._expected is not None or self._crossed:
            raise RemoteProtocolError(Violation.NOT_NATIVE)
        if self._native_only:
            raise RemoteProtocolError(Violation.NOT_INVITED)
        peer_public = classic.key_in_line(line)
        # A listener makes its key only for a peer that sent one.
        keys = self._keys = self._keys or KeyPair.generate()
        key = classic.session_key(keys, peer_public, self.role)
        if self.role is Role.LISTENER:
            self._out += classic.key_line(classic.ACK, keys.public)
            self._reader = classic.Reader(key)
            self._step = Link._read_texts
        else:
            self._writer = classic.Writer(key, self._client_id)
            self._step = Link._read_nothing
        self._done(LinkKind.CLASSIC)

    def _read_texts(self) -> bool:
        assert isinstance(self._reader, classic.Reader)
        self._reader.read(self._buffer, self._events)
        return False

    def _read_nothing(self) -> bool:
        raise RemoteProtocolError(Violation.WROTE_AFTER_ACK)

    # The native link.

    def _respond(self, ephemeral: bytes, lines: bytes) -> None:
        """Answer a native line with message 2."""
        assert self._identity is not None
        if len(ephemeral) != KEY_BYTES:
            raise RemoteProtocolError(Violation.KEY_LENGTH)
        self._responder = native.Responder(self._identity, ephemeral, lines, self._expected)
        self._out += native.line(classic.ACK, self._responder.message_2())
        self.initiator = False
        self._step = Link._read_message_3

    def _meet(self, line: bytes) -> None:
        """Two dialers on one connection: one of them goes on as initiator."""
        assert self._keys is not None
        ephemeral = self._native_blob(line, classic.HANDSHAKE)
        if ephemeral is None:
            raise RemoteProtocolError(Violation.NOT_A_HANDSHAKE)
        if len(ephemeral) != KEY_BYTES:
            raise RemoteProtocolError(Violation.KEY_LENGTH)
        if ephemeral == self._keys.public:
            raise RemoteProtocolError(Violation.KEY_REFLECTED)
        self._crossed = True
        if native.stays_initiator(self._keys.public, ephemeral):
            self._lines += line
        else:
            self._keys.wipe()
            self._respond(ephemeral, line + self._lines)

    def _initiate(self, message: bytes) -> None:
        """Message 2 came: message 3 goes out, if the peer is the expected one."""
        assert self._identity is not None
        assert self._keys is not None
        initiator = native.Initiator(self._identity, self._keys, self._lines, self._expected)
        try:
            self._reader, self._writer = initiator.finish(message, self._out)
        finally:
            initiator.wipe()
        self._up(initiator.peer, initiator.hash)

    def _read_message_3(self) -> bool:
        assert self._responder is not None
        place = self._buffer.frame(native.MESSAGE_3_LENGTHS)
        if place is None:
            return False
        message = bytes(self._buffer.data[slice(*place)])
        responder = self._responder
        self._reader, self._writer = responder.finish(message, self._out)
        responder.wipe()
        self._responder = None
        self._up(responder.peer, responder.hash)
        return True

    def _up(self, peer: bytes, handshake_hash: bytes) -> None:
        self.hash = handshake_hash
        self._step = Link._read_records
        self._done(LinkKind.NATIVE, peer)

    def _read_records(self) -> bool:
        assert isinstance(self._reader, RecordReader)
        self._reader.read(self._buffer, self._events)
        return False

    def _done(self, kind: LinkKind, peer: bytes | None = None) -> None:
        self.kind = kind
        # What only the handshake needed; the keys are wiped already.
        self._keys, self._lines = None, b""
        self._events.append(HandshakeDone(kind, peer))
