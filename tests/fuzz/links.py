"""A link that reads whatever comes, as listener and as dialer: cut anyhow, it means the same.

A number decides whether the ciphers are the real ones, where nobody without the keys gets past the
handshake, or plain, where the bytes reach the records behind it.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from unittest import mock

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from hypothesis import strategies as st

from fantom_trio.wire import (
    Bye,
    Event,
    HandshakeDone,
    Hello,
    KeyPair,
    Link,
    LinkKind,
    LocalProtocolError,
    PeerClosed,
    RemoteProtocolError,
    Role,
    Said,
    Secret,
    Violation,
    fingerprint,
    kem,
    native,
)
from fantom_trio.wire import link as link_module
from fantom_trio.wire.classic import ACK, HANDSHAKE, key_line
from fantom_trio.wire.frames import MAX_FRAME, MAX_LINE, PREFIX_BYTES
from fantom_trio.wire.records import Record, encode
from tests.fuzz.choices import Choices, compose, pieces
from tests.fuzz.harness import Harness, all_wiped
from tests.fuzz.plain import check_rooms, plain_ciphers
from tests.fuzz.sessions import record_frame, stream_header
from tests.wire.native_ends import framed

__all__ = ["DIALER", "LISTENER"]

#: All that a link may hold that is not parsed yet, and the room that it lends.
MAX_BUFFER = 320 * 1024

IDENTITY, PEER = (KeyPair(Secret.copy_of(bytes([each]) * 32)) for each in (1, 2))
EPHEMERAL = bytes([3]) * 32
#: Of two dialers that meet, the first of these stays initiator against ``EPHEMERAL``.
OTHERS = [KeyPair(Secret.copy_of(bytes([each]) * 32)).public for each in range(4, 12)]
OURS = KeyPair(Secret.copy_of(EPHEMERAL)).public
KEM_KEY = MLKEM768PrivateKey.from_seed_bytes(bytes(64)).public_key().public_bytes_raw()


class _Decapsulator(kem.Decapsulator):
    """One whose key is the same in every run."""

    def __init__(self) -> None:
        self._private = MLKEM768PrivateKey.from_seed_bytes(bytes(64))
        self.public = KEM_KEY


class _Drawn:
    @staticmethod
    def generate() -> KeyPair:
        return KeyPair(Secret.copy_of(EPHEMERAL))


@dataclass(frozen=True)
class Told:
    """What a link made of all that came."""

    events: list[Event]
    violation: Violation | None
    #: How many bytes it had to say; what it had not said before a violation, it never says.
    sent: int | None


def run_listener(data: bytes) -> None:
    """Numbers: ciphers, identity, native only, expected; the end, cuts."""
    _run(Role.LISTENER, data)


def run_dialer(data: bytes) -> None:
    """The same."""
    _run(Role.DIALER, data)


def _run(role: Role, data: bytes) -> None:
    choices = Choices(data)
    with contextlib.ExitStack() as stack:
        if choices.flag():
            stack.enter_context(plain_ciphers())
        stack.enter_context(mock.patch.object(link_module, "KeyPair", _Drawn))
        stack.enter_context(mock.patch.object(kem, "Decapsulator", _Decapsulator))
        identity = IDENTITY if choices.number(4) else None
        native_only = choices.number(4) == 1
        expected = [None, None, None, fingerprint(PEER.public)][choices.number(4)]
        end, cuts = choices.flag(), choices.cuts()
        stream = choices.rest()

        def fresh() -> Link:
            return Link(
                role, b"::1:1", identity=identity, expected=expected, native_only=native_only
            )

        whole = drive(fresh, [stream], end=end)
        check_order(role, whole.events)
        assert drive(fresh, pieces(stream, cuts), end=end) == whole, f"cut at {cuts}"


def drive(fresh: Callable[[], Link], parts: Sequence[bytes], *, end: bool) -> Told:
    """Read all parts and perhaps the end; what must be true at each step is checked here."""
    with all_wiped():
        link = fresh()
        reading = _Reading(link)
        for part in parts:
            reading.read(part)
        if end and reading.violation is None:
            reading.receive(0)
        reading.finish()
    sent = reading.sent if reading.violation is None else None
    return Told(reading.events, reading.violation, sent)


class _Reading:
    def __init__(self, link: Link) -> None:
        self.link = link
        self.events: list[Event] = []
        self.violation: Violation | None = None
        self.sent = 0

    def read(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest and self.violation is None:
            with self.link.buffer() as room:
                count = min(len(room), len(rest))
                assert count, "no room for the next read"
                room[:count] = rest[:count]
            assert len(self.link._buffer.data) <= MAX_BUFFER, "the buffer grows"
            self.receive(count)
            rest = rest[count:]

    def receive(self, count: int) -> None:
        link, before = self.link, len(self.events)
        link.received(count)
        try:
            while found := link.events():
                self.events += found
        except RemoteProtocolError as error:
            self.violation = error.violation
        self._check_buffer()
        self.sent += len(link.data_to_send())
        for each in self.events[before:]:
            if isinstance(each, Record):
                assert len(encode(each)) < MAX_FRAME

    def _check_buffer(self) -> None:
        buffer = self.link._buffer
        if self.link.kind is None and self.link._responder is None:
            assert len(buffer) < MAX_LINE or self.violation, "a line without end"
        assert len(buffer) < PREFIX_BYTES + MAX_FRAME, "more than a frame is not parsed"
        check_rooms()

    def finish(self) -> None:
        link = self.link
        if self.violation is not None:
            try:
                link.events()
            except RemoteProtocolError as error:
                assert error.violation is self.violation  # noqa: PT017
            else:
                raise AssertionError("something came after the error")
        link.wipe()
        for use in (link.buffer, lambda: link.received(0), lambda: link.say("")):
            try:
                use()
            except LocalProtocolError:
                continue
            raise AssertionError("a wiped link goes on")
        assert not link.data_to_send()
        assert not link._buffer.data
        assert not link.can_say
        assert not link.can_send


def check_order(role: Role, events: Sequence[Event]) -> None:
    """What may follow what."""
    if not events:
        return
    done, *rest = events
    assert isinstance(done, HandshakeDone), f"{done} before the handshake"
    assert (done.peer is None) is (done.kind is LinkKind.CLASSIC)
    if rest and isinstance(rest[-1], PeerClosed):
        rest.pop()
    if done.kind is LinkKind.CLASSIC:
        assert role is Role.LISTENER or not rest, "a classic listener says nothing"
        assert all(isinstance(each, Said) for each in rest)
    elif rest:
        *before, last = rest
        assert not any(isinstance(each, Bye) for each in before), "something follows a bye"
        assert isinstance(rest[0], Hello | Bye), "the first record is no hello"
        hellos = [each for each in rest if isinstance(each, Hello)]
        assert len(hellos) == (not isinstance(rest[0], Bye))
        assert all(isinstance(each, Record) for each in rest)
        assert not isinstance(last, PeerClosed)


# Where a search begins, and what it is made of.

_TAG = bytes(16)
_CLASSIC = key_line(HANDSHAKE, OTHERS[0])
_SAID = framed(b"::1:5\0" + bytes(24) + _TAG + b"hi")
_RECORDS = stream_header() + b"".join(
    record_frame(fields, tag)
    for fields, tag in (
        ({"type": "hello", "port": 1, "version": "", "received": 0, "shown": 0}, 2),
        ({"type": "say", "id": 1, "text": "hi", "at": 0}, 2),
        ({"type": "bye", "reason": "quit"}, 3),
    )
)
_MESSAGE_3 = framed(PEER.public + _TAG + bytes(kem.CIPHERTEXT_BYTES) + _TAG)
_ANSWER = native.line(ACK, OTHERS[0] + PEER.public + _TAG + KEM_KEY + _TAG)
_PLAIN, _REAL = (1, 1, 0, 0), (0, 1, 0, 0)
_END, _OPEN, _CUT = (1, 0), (0, 0), (1, 3, 0, 9, 0, 40, 4, 200)

_LISTENER_SEEDS = [
    compose(_CLASSIC + _SAID, *_PLAIN, *_END),
    compose(_CLASSIC + _SAID, *_REAL, *_CUT),
    compose(_CLASSIC, 0, 0, 0, 0, *_END),
    compose(_CLASSIC, 1, 1, 1, 0, *_END),
    compose(native.line(HANDSHAKE, OTHERS[0]) + _MESSAGE_3 + _RECORDS, *_PLAIN, *_END),
    compose(native.line(HANDSHAKE, OTHERS[0]) + _MESSAGE_3, 1, 1, 0, 3, *_CUT),
    compose(native.line(HANDSHAKE, OTHERS[0]) + _MESSAGE_3, *_REAL, *_OPEN),
    compose(native.line(HANDSHAKE, bytes(32)), *_REAL, *_OPEN),
    compose(key_line(HANDSHAKE, OURS), *_REAL, *_OPEN),
    compose(b"HANDSHAKE " + b"A" * (MAX_LINE - 10), *_REAL, *_OPEN),
]
_DIALER_SEEDS = [
    compose(key_line(ACK, OTHERS[0]), *_REAL, *_END),
    compose(key_line(ACK, OTHERS[0]) + b"x", *_REAL, *_CUT),
    compose(_ANSWER + _RECORDS, *_PLAIN, *_CUT),
    compose(_ANSWER, 1, 1, 0, 3, *_END),
    compose(_ANSWER, *_REAL, *_OPEN),
    compose(key_line(ACK, OURS), *_REAL, *_OPEN),
    compose(native.line(HANDSHAKE, OURS), *_REAL, *_OPEN),
    *(compose(native.line(HANDSHAKE, other) + _ANSWER, *_PLAIN, *_END) for other in OTHERS[:3]),
    *(
        compose(native.line(HANDSHAKE, other) + _MESSAGE_3 + _RECORDS, *_PLAIN, *_END)
        for other in OTHERS[:3]
    ),
]
_WORDS = [
    HANDSHAKE, ACK, native.MARK, b"\n", b"\r\n", b"=", b" ", b"\0\0\0\x18", b"\0\0\4\x90",
    b"\0\0\4\x11", b"\0\1\0\0", b"\0\1\0\1", b"\0\0\0\0", bytes(24), b"::1:5\0",
]  # fmt: skip


def _sessions(seeds: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """A good beginning, whatever follows, and other numbers."""

    def parts() -> Iterator[st.SearchStrategy[bytes]]:
        yield st.sampled_from([seed[: at * len(seed) // 8] for seed in seeds for at in range(9)])
        yield st.sampled_from(_WORDS) | st.binary(max_size=100)
        yield st.binary(max_size=24)

    return st.tuples(*parts()).map(b"".join)


LISTENER = Harness(
    "listener", run_listener, _LISTENER_SEEDS, _sessions(_LISTENER_SEEDS), _WORDS, share=2
)
DIALER = Harness("dialer", run_dialer, _DIALER_SEEDS, _sessions(_DIALER_SEEDS), _WORDS, share=2)
