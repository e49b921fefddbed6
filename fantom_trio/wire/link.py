"""``Link``: one connection's protocol without its socket.

Bytes go in by ``buffer()`` and ``received()``, what they mean comes out of ``events()``; texts go
in by ``say()``, bytes come out of ``data_to_send()``. The first line of each side decides which
wire the link speaks; today there is the classic one.
"""

from fantom_trio.wire import classic
from fantom_trio.wire.errors import LocalProtocolError, RemoteProtocolError, Violation
from fantom_trio.wire.events import Event, HandshakeDone, LinkKind, PeerClosed, Role, Said
from fantom_trio.wire.frames import MAX_LINE, ReceiveBuffer
from fantom_trio.wire.secret import KeyPair

__all__ = ["Link"]


class Link:
    """One end of a connection.

    ``client_id`` is what a dialer puts on classic frames: ``address:port`` of its own listener.
    ``keys`` is for tests that replay a recording; every connection makes a fresh pair.

    Every method raises ``LocalProtocolError`` when it is called in a state that does not allow it.
    After ``events()`` raised ``RemoteProtocolError`` the link is wiped.
    """

    def __init__(self, role: Role, client_id: bytes = b"", *, keys: KeyPair | None = None) -> None:
        self.role = role
        #: Which wire is spoken; None before the handshake is done.
        self.kind: LinkKind | None = None
        self._client_id = client_id
        self._keys = keys
        self._buffer = ReceiveBuffer()
        self._out = bytearray()
        self._events: list[Event] = []
        self._error: RemoteProtocolError | None = None
        self._reader: classic.Reader | None = None
        self._writer: classic.Writer | None = None
        self._closed_by_peer = False
        self._wiped = False
        if role is Role.DIALER:
            self._keys = keys or KeyPair.generate()
            self._out += classic.key_line(classic.HANDSHAKE, self._keys.public)

    # Bytes in, events out.

    def buffer(self) -> memoryview:
        """Room for the next read, one byte or more; it is good until ``received``."""
        self._refuse_if_wiped()
        if self.kind is None:
            # The 2,048 bytes of the line count the whole buffer.
            return self._buffer.lend(MAX_LINE - len(self._buffer))
        return self._buffer.lend()

    def received(self, count: int) -> None:
        """``count`` bytes were read into ``buffer()``; 0 is the peer's end."""
        self._refuse_if_wiped()
        if count == 0:
            self._closed_by_peer = True
        self._buffer.filled(count)
        try:
            self._read()
        except RemoteProtocolError as error:
            self._error = error
            self.wipe()
        else:
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

    # Texts in, bytes out.

    @property
    def can_say(self) -> bool:
        """True while ``say`` works: the handshake is done and the wire lets this side write."""
        return self._writer is not None

    def say(self, text: str) -> None:
        """Encrypt ``text`` into ``data_to_send``, as several frames where one does not hold it."""
        self._refuse_if_wiped()
        if self._writer is None:
            raise LocalProtocolError(f"a {self.role.value} cannot write on this link now")
        self._writer.say(text, self._out)

    def data_to_send(self) -> bytearray:
        """What is to be written, all in one write; empty when there is nothing."""
        out, self._out = self._out, bytearray()
        return out

    # The end.

    def wipe(self) -> None:
        """Overwrite every key and unparsed byte; idempotent, and nothing works afterwards.

        Events that were not fetched yet stay.
        """
        self._wiped = True
        if self._keys is not None:
            self._keys.wipe()
        for half in (self._reader, self._writer):
            if half is not None:
                half.key.wipe()
        self._reader = self._writer = None
        self._buffer.wipe()
        self._out = bytearray()

    def __repr__(self) -> str:
        kind = self.kind.value if self.kind else "handshake"
        return f"<Link {self.role.value} {'wiped' if self._wiped else kind}>"

    def _refuse_if_wiped(self) -> None:
        if self._wiped:
            raise LocalProtocolError("this link is wiped")

    def _read(self) -> None:
        if self.kind is None:
            self._read_line()
        if self._reader is not None:
            said: list[Said] = []
            try:
                self._reader.read(self._buffer, said)
            finally:
                self._events += said
        elif self.kind is not None and self._buffer:
            raise RemoteProtocolError(Violation.WROTE_AFTER_ACK)
        if self._closed_by_peer:
            if self.kind is None:
                raise RemoteProtocolError(Violation.CLOSED_IN_HANDSHAKE)
            if self._buffer:
                raise RemoteProtocolError(Violation.CLOSED_IN_FRAME)
            self._events.append(PeerClosed())

    def _read_line(self) -> None:
        word = classic.HANDSHAKE if self.role is Role.LISTENER else classic.ACK
        if not word.startswith(self._buffer.peek(len(word))):
            raise RemoteProtocolError(Violation.NOT_A_HANDSHAKE)
        line = self._buffer.line()
        if line is None:
            return
        peer_public = classic.key_in_line(line)
        # A listener makes its key only for a peer that sent one.
        keys = self._keys = self._keys or KeyPair.generate()
        key = classic.session_key(keys, peer_public, self.role)
        if self.role is Role.LISTENER:
            self._out += classic.key_line(classic.ACK, keys.public)
            self._reader = classic.Reader(key)
        else:
            self._writer = classic.Writer(key, self._client_id)
        self.kind = LinkKind.CLASSIC
        self._events.append(HandshakeDone(self.kind))
