"""What a peer says once the handshake is done, on both wires, behind the authentication.

The frames of a classic link and of a native one are read a second time here, in the simplest way,
as the protocol's page has them; both readings must be equal, however the bytes are cut.
"""

from collections.abc import Callable, Sequence
from typing import Any
from unittest import mock

import msgspec
from hypothesis import strategies as st

from fantom_trio.wire import (
    Bye,
    Event,
    Hello,
    Link,
    LinkKind,
    PeerClosed,
    RemoteProtocolError,
    Role,
    Said,
    Secret,
    Violation,
    classic,
)
from fantom_trio.wire.records import Record, decode
from fantom_trio.wire.stream import RecordReader
from tests.fuzz.choices import Choices, compose, pieces
from tests.fuzz.harness import Harness, all_wiped, front_and_numbers
from tests.fuzz.plain import WRONG, check_rooms, plain_ciphers
from tests.wire.native_ends import framed, padded

__all__ = ["CLASSIC", "NATIVE", "RECORD_WORDS", "record_frame", "stream_header"]

KEY, HASH = bytes(range(32)), bytes(range(64))
NONCE, TAG = 24, 16
#: In place of 65,536, so that a short run forgets nonces.
NONCES_IN_A_SET = 3

Reference = Callable[[bytes, bool], tuple[list[Event], Violation | None]]


def read_link(
    fresh: Callable[[], Link], parts: Sequence[bytes], end: bool
) -> tuple[list[Event], Violation | None]:
    """What a link tells of all parts, and how it ends; then it is wiped."""
    events: list[Event] = []
    violation = None
    with all_wiped():
        link = fresh()
        try:
            for part in parts:
                events += link.receive_data(part)
                while more := link.events():
                    events += more
                assert len(link._buffer) < 4 + 65536, "more than a frame is not parsed"
            if end:
                link.received(0)
                events += link.events()
        except RemoteProtocolError as error:
            violation = error.violation
            assert link._buffer.data == b"", "unparsed bytes outlive the error"
        link.wipe()
    check_rooms()
    return events, violation


def _compare(
    fresh: Callable[[], Link], reference: Reference, stream: bytes, cuts: Sequence[int], end: bool
) -> None:
    """Both ways of reading, and both ways of cutting, tell the same."""
    expected = reference(stream, end)
    for parts in ([stream], pieces(stream, cuts)):
        found = read_link(fresh, parts, end)
        assert found == expected, f"{found} where {expected} is right, in {len(parts)} pieces"


# The classic link.


def run_classic(data: bytes) -> None:
    """Numbers: raw or in frames; the end, cuts; for each frame its kind and length."""
    choices = Choices(data)
    raw, end, cuts = choices.flag(), choices.flag(), choices.cuts()
    stream = choices.rest() if raw else b"".join(_classic_frames(choices))
    with plain_ciphers(), mock.patch.object(classic, "NONCES_IN_A_SET", NONCES_IN_A_SET):
        _compare(_classic_listener, _read_classic, stream, cuts, end)


def _classic_frames(choices: Choices) -> list[bytes]:
    head, found = b"::1:5", []
    while len(choices):
        kind, size = choices.number(12), choices.number(1 << 10)
        nonce, tag = bytes([choices.number(16)]) * NONCE, bytes(TAG)
        if kind == 1:
            found.append(choices.take(size))
            continue
        if kind == 2:
            tag = bytes([WRONG]) * TAG
        if kind == 3:
            head = choices.take(size % 64).replace(b"\0", b":")
        text = choices.take(size) * (40 if kind == 5 else 1)
        body = head + b"\0" + nonce + tag + text
        if kind == 4:
            body = body[: size % 48]
        found.append(framed(body))
    return found


def _classic_listener() -> Link:
    link = Link(Role.LISTENER)
    link._reader = classic.Reader(Secret.copy_of(KEY))
    link._step = Link._read_texts
    link.kind = LinkKind.CLASSIC
    return link


def _read_classic(data: bytes, end: bool) -> tuple[list[Event], Violation | None]:
    said: list[Event] = []
    new: set[bytes] = set()
    old: set[bytes] = set()
    while len(data) >= 4:
        size, body = int.from_bytes(data[:4], "big"), data[4:]
        if size == 0:
            return said, Violation.FRAME_EMPTY
        if size > 65536:
            return said, Violation.FRAME_TOO_LONG
        if len(body) < size:
            break
        body, data = body[:size], body[size:]
        head, nul, rest = body.partition(b"\0")
        nonce, tag, text = rest[:NONCE], rest[NONCE : NONCE + TAG], rest[NONCE + TAG :]
        if not nul:
            return said, Violation.FRAME_WITHOUT_NUL
        if len(tag) < TAG:
            return said, Violation.BOX_SHORT
        if nonce in new | old:
            return said, Violation.REPLAY
        if tag[0] == WRONG:
            return said, Violation.BAD_MAC
        if len(new) == NONCES_IN_A_SET:
            new, old = set(), new
        new.add(nonce)
        read = text.decode(errors="replace")
        said.append(Said(read, head, damaged=read.encode() != text))
    return _ended(said, data, end)


def _ended(events: list[Event], left: bytes, end: bool) -> tuple[list[Event], Violation | None]:
    if end and left:
        return events, Violation.CLOSED_IN_FRAME
    return events + [PeerClosed()] * end, None


# The native link.


def run_native(data: bytes) -> None:
    """Numbers: raw or in frames; the end, cuts; for each frame its kind and length."""
    choices = Choices(data)
    raw, end, cuts = choices.flag(), choices.flag(), choices.cuts()
    stream = choices.rest() if raw else b"".join(_native_frames(choices))
    with plain_ciphers():
        _compare(_native_link, _read_native, stream, cuts, end)


def _native_frames(choices: Choices) -> list[bytes]:
    found = [stream_header()]
    while len(choices):
        kind, size = choices.number(16), choices.number(1 << 12)
        body, tag = choices.take(size), 3 if kind % 4 == 3 else 2
        if kind == 0:
            found.append(body)
        elif kind == 8:
            found += found[-1:] * 40
        elif kind == 1:
            found.append(framed(bytes([choices.number(256)]) + padded(body) + bytes(TAG)))
        elif kind == 2:
            found.append(framed(bytes([tag]) + padded(body) + bytes([WRONG]) * TAG))
        elif kind == 4:  # not padded
            block = 1024 * (1 + len(body) // 1024)
            found.append(framed(bytes([tag]) + body.ljust(block, b"\0") + bytes(TAG)))
        elif kind == 5:
            found.append(framed(bytes([tag]) + body + bytes(TAG)))
        else:
            found.append(framed(bytes([tag]) + padded(body) + bytes(TAG)))
    return found


def stream_header() -> bytes:
    """The first frame of a direction."""
    return framed(bytes(NONCE))


def record_frame(fields: dict[str, Any], tag: int) -> bytes:
    """A plain record."""
    return framed(bytes([tag]) + padded(msgspec.msgpack.encode(fields)) + bytes(TAG))


def _native_link() -> Link:
    link = Link(Role.LISTENER)
    link._reader = RecordReader(Secret.copy_of(KEY), HASH)
    link._step = Link._read_records
    link.kind = LinkKind.NATIVE
    return link


_SIZES = {17 + size for size in (1024, 2048, 3072, *range(4096, 61441, 4096))}


def _read_native(data: bytes, end: bool) -> tuple[list[Event], Violation | None]:
    found: list[Event] = []
    sizes, seen = {NONCE}, 0
    while data:
        if any(isinstance(each, Bye) for each in found):
            return found, Violation.AFTER_BYE
        if len(data) < 4:
            break
        size, body = int.from_bytes(data[:4], "big"), data[4:]
        if size not in sizes:
            return found, Violation.FRAME_LENGTH
        if len(body) < size:
            break
        body, data = body[:size], body[size:]
        if sizes != _SIZES:
            sizes = _SIZES
            continue
        try:
            record = _read_record(body, seen)
        except RemoteProtocolError as error:
            return found, error.violation
        seen += 1
        found += [record] if record is not None else []
    if end and not seen:
        return found, Violation.CLOSED_IN_HANDSHAKE
    return _ended(found, data, end)


def _read_record(body: bytes, seen: int) -> Record | None:
    tag, plain, mac = body[0], body[1:-TAG], body[-TAG:]
    if mac[0] == WRONG:
        raise RemoteProtocolError(Violation.BAD_MAC)
    text, mark, zeros = plain.rpartition(b"\x80")
    block = 1024 if len(plain) < 4096 else 4096
    if not mark or zeros.strip(b"\0") or len(zeros) >= block:
        raise RemoteProtocolError(Violation.PADDING)
    record = decode(memoryview(text))
    if (tag != 3) if isinstance(record, Bye) else (tag != 2):
        raise RemoteProtocolError(Violation.STREAM_TAG)
    if not isinstance(record, Bye) and isinstance(record, Hello) is not (seen == 0):
        raise RemoteProtocolError(Violation.RECORD_OUT_OF_PLACE)
    return record


# Where a search begins, and what it is made of.


def _script(chunks: Sequence[tuple[bytes, tuple[int, ...]]], *numbers: int) -> bytes:
    """Frames: of each what is in it, and its numbers."""
    return compose(
        b"".join(chunk for chunk, _ in chunks), *numbers, *(n for _, each in chunks for n in each)
    )


def _record(_kind: int, **fields: Any) -> tuple[bytes, tuple[int, ...]]:
    data = msgspec.msgpack.encode(fields)
    return data, (_kind, *len(data).to_bytes(2, "big"))


_HELLO = _record(6, type="hello", port=1, version="1", received=0, shown=0)
_SAY = _record(6, type="say", id=1, text="hi", at=0)
_LONG = _record(6, type="say", id=1, text="long" * 800, at=0)
_BYE = _record(7, type="bye", reason="quit")
_WHOLE, _CUT = (0, 1, 0), (0, 1, 3, 0, 20, 4, 0, 0, 100)

_CLASSIC_SEEDS = [
    _script([(b"hi", (0, 0, 2, 1)), (b"again", (0, 0, 5, 2))], *_CUT),
    _script([(b"hi", (0, 0, 2, 1)), (b"replay", (0, 0, 6, 1))], *_WHOLE),
    _script([(b"x", (0, 0, 1, nonce)) for nonce in (1, 2, 3, 4, 5, 6, 7, 1)], *_WHOLE),
    _script([(b"[fe80::1%e]:7text", (3, 0, 13, 1))], *_WHOLE),
    _script([(b"long" * 200, (5, 3, 32, 1)), (b"more", (5, 0, 4, 2))], *_CUT),
    _script([(b"\xff\xfe", (2, 0, 2, 1))], *_WHOLE),
    compose(framed(b"::1:5\0" + bytes(NONCE) + bytes(TAG) + b"hi") + b"\0\1\0\1", 1, 1, 0),
    compose(framed(b"::1:5\0" + bytes(NONCE) + bytes(TAG - 1)), 1, 1, 0),
    compose(b"\0\1\0\0" + bytes(100), 1, 0, 0),
]
_NATIVE_SEEDS = [
    _script([_HELLO, _SAY, _BYE], *_CUT),
    _script([_HELLO, _LONG, _BYE, _SAY], *_WHOLE),
    _script([_HELLO, _HELLO], *_WHOLE),
    _script([_HELLO, _record(6, type="ping"), (b"", (8, 0, 0)), _BYE], *_CUT),
    _script([_BYE], *_WHOLE),
    _script([_SAY], *_WHOLE),
    _script([_HELLO, _record(6, type="later", more=1), _record(4, type="ping")], *_WHOLE),
    _script([_HELLO, _record(6, type="verify", how="word", step="a", data=bytes(33))], *_WHOLE),
    compose(stream_header() + b"\0\0\4\x11\2" + bytes(1040), 1, 1, 0),
]
RECORD_WORDS = [
    *(bytes([0xA0 + len(word)]) + word for word in (
        b"type", b"hello", b"say", b"ack", b"knock", b"ping", b"pong", b"verify", b"bye", b"port",
        b"version", b"received", b"shown", b"token", b"id", b"text", b"at", b"how", b"step",
        b"data", b"reason",
    )),
    b"\x81\xa4type\xa4ping", b"\xcf" + b"\x7f" + b"\xff" * 7, b"\xcd\xff\xff", b"\xc4\x0a", b"\xc0",
    b"\x80", b"\xdf\0\0\0\1", b"\xd9\x40", b"\xda\x04\x00",
]  # fmt: skip


def _frames_of(seeds: Sequence[bytes], words: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    chunks = st.lists(st.sampled_from(words) | st.binary(max_size=40), max_size=8).map(b"".join)
    return front_and_numbers(chunks | st.sampled_from(seeds))


_CLASSIC_WORDS = [b"\0\1\0\0", b"\0\1\0\1", bytes(4), bytes(40), b"\0\0\0\x29", b"::1:65535", b"%e"]
CLASSIC = Harness(
    "classic", run_classic, _CLASSIC_SEEDS, _frames_of(_CLASSIC_SEEDS, _CLASSIC_WORDS),
    _CLASSIC_WORDS, share=2,
)  # fmt: skip
NATIVE = Harness(
    "native", run_native, _NATIVE_SEEDS, _frames_of(_NATIVE_SEEDS, RECORD_WORDS),
    RECORD_WORDS, share=2,
)  # fmt: skip
