"""The records of a native link in frames: one ``secretstream`` a direction, padded.

A direction's first frame is the stream's header, each later one a record in a message of the
stream. Records are padded to blocks of 1,024 bytes while under 4,096 and of 4,096 from there, so
that a frame's length tells next to nothing of what is in it. The first record of each direction
carries the handshake hash as additional data.
"""

from collections.abc import Sequence

from fantom_trio.wire import ciphers, frames, records
from fantom_trio.wire.ciphers import STREAM_EXTRA_BYTES, TAG_FINAL, TAG_REKEY
from fantom_trio.wire.errors import LocalProtocolError, RemoteProtocolError, Violation
from fantom_trio.wire.events import Event
from fantom_trio.wire.records import Bye, Hello, Record
from fantom_trio.wire.secret import MAC_BYTES, Secret

__all__ = ["RecordReader", "RecordWriter", "take_back"]

SMALL_BLOCK, LARGE_BLOCK = 1024, 4096
#: The longest padded record, bytes.
MAX_PADDED = 15 * LARGE_BLOCK
FRAME_LENGTHS = frozenset(
    STREAM_EXTRA_BYTES + size
    for size in (
        *range(SMALL_BLOCK, LARGE_BLOCK, SMALL_BLOCK),
        *range(LARGE_BLOCK, MAX_PADDED + 1, LARGE_BLOCK),
    )
)
HEADER_LENGTHS = frozenset({ciphers.STREAM_HEADER_BYTES})
#: Before a record: the frame's prefix, room for the tag. Behind it: padding, room for the MAC.
_BEFORE = {length: frames.prefix(length) + b"\0" for length in FRAME_LENGTHS}
_BEHIND = b"\x80" + bytes(LARGE_BLOCK + MAC_BYTES)


def padded_size(size: int) -> int:
    """What a record of ``size`` bytes is padded to: always by one byte or more."""
    small = (size // SMALL_BLOCK + 1) * SMALL_BLOCK
    padded = small if small < LARGE_BLOCK else (size // LARGE_BLOCK + 1) * LARGE_BLOCK
    if padded > MAX_PADDED:
        raise LocalProtocolError(f"a record of {size} bytes is too long")
    return padded


def unpadded(room: bytearray, size: int) -> int | None:
    """How long the record in ``room[:size]`` is without its padding, ISO/IEC 7816-4: 0x80 and zeros
    in the last block; None where there is none.

    It was authentic, so nobody learns anything from how long this takes.
    """
    block = SMALL_BLOCK if size < LARGE_BLOCK else LARGE_BLOCK
    mark = room.rfind(0x80, size - block, size)
    if mark < 0 or not room.startswith(_BEHIND[1 : size - mark], mark + 1):
        return None
    return mark


#: What was written last, if that was much; at most one. The system zeroes what memory it gives, and
#: that takes half as long as to encrypt. A classic link may write more than any native one, once.
_spare: list[bytearray] = []
_MUCH_BYTES, _MOST_BYTES = 64 * 1024, 512 * 1024


def take_back(written: bytearray) -> None:
    """Nobody looks at these frames any more: the next may stand there."""
    if _MUCH_BYTES <= len(written) <= _MOST_BYTES:
        _spare[:] = [written]


def _memory_for(size: int) -> bytearray | None:
    """Where about so many bytes may stand; None: that is so little that Python would give most of
    the memory back to the system."""
    if not _spare:
        return bytearray()
    return _spare.pop() if 2 * size > len(_spare[0]) else None


def _put(parts: list[bytes], out: bytearray, start: int) -> int:
    """Move ``parts`` to ``out[start:]``; where the next may stand."""
    for part in parts if len(parts) <= 3 else (b"".join(parts),):
        stop = start + len(part)
        out[start:stop] = part
        start = stop
    parts.clear()
    return start


class RecordWriter:
    """Our direction: records to frames. The key is wiped."""

    __slots__ = ("_data", "_greeted", "ended", "state")

    def __init__(self, key: Secret, handshake_hash: bytes, out: bytearray) -> None:
        self.state, header = ciphers.stream_sealer(key)
        key.wipe()
        out += frames.prefix(len(header)) + header
        self._data = handshake_hash
        self._greeted = False
        #: Our ``bye`` went out: nothing may follow it.
        self.ended = False

    def write(self, record: Record, out: bytearray) -> None:
        """Append the frame of ``record``, in the places that the peer's reader wants too."""
        out += self.frames((record,))

    def frames(self, all_records: Sequence[Record]) -> bytearray:
        """The frames of several, in memory of their own; where one is refused, none is written."""
        greeted, ended = self._greeted, self.ended
        parts: list[bytes] = []
        messages: list[tuple[int, int, int]] = []
        out: bytearray | None = None
        stands = end = 0
        # All are put together once, and each is encrypted where it then stands.
        for record in all_records:
            kind = type(record)
            if ended:
                raise LocalProtocolError("nothing follows a bye")
            ended = kind is Bye
            if not ended and (kind is Hello) is greeted:
                raise LocalProtocolError("a hello comes first, and once")
            greeted = True
            plaintext = records.encode(record)
            size = padded_size(len(plaintext))
            length = size + STREAM_EXTRA_BYTES
            parts += (
                _BEFORE[length], plaintext, _BEHIND[: size - len(plaintext) + MAC_BYTES]
            )  # fmt: skip
            start = end + frames.PREFIX_BYTES
            end = start + length
            messages.append((start, end, TAG_FINAL if ended else TAG_REKEY))
            if size > LARGE_BLOCK:  # at once: many of these together would be new memory, too
                if out is None:
                    out = _memory_for(size * len(all_records))
                if out is not None:
                    stands = _put(parts, out, stands)
        if out is None:
            out = bytearray().join(parts)
        else:
            _put(parts, out, stands)
            del out[end:]
        push, data = ciphers.stream_pusher(self.state, out), self._data
        for start, end, tag in messages:
            push(start, end, data, tag)
            data = b""
        self._data, self._greeted, self.ended = data, greeted, ended
        return out

    def wipe(self) -> None:
        """Wipe the stream's key."""
        self.state.wipe()


class RecordReader:
    """The peer's direction: frames to records. The key is wiped with the header, or by ``wipe``."""

    __slots__ = ("_data", "_key", "ended", "greeted", "state")

    def __init__(self, key: Secret, handshake_hash: bytes) -> None:
        self._key = key
        self.state: Secret | None = None
        self._data = handshake_hash
        #: The peer's first record came.
        self.greeted = False
        #: The peer's ``bye`` came.
        self.ended = False

    def read(self, buffer: frames.ReceiveBuffer, found: list[Event] | list[Record]) -> None:
        """Take every complete frame and append what it says.

        Raises ``RemoteProtocolError`` at the first that has no place; those before stand in
        ``found``.
        """
        if self.state is None:
            self._read_header(buffer)
        if self.state is None or not buffer:
            return
        data, start, stop = buffer.data, buffer.start, buffer.stop
        room, used = ciphers.lend_room(), 0
        pull, opened = ciphers.stream_puller(self.state, data, room), memoryview(room)
        try:
            # All of it in one loop: a peer that floods us makes us pay for every call in it.
            while start < stop:
                if self.ended:
                    raise RemoteProtocolError(Violation.AFTER_BYE)
                if stop - start < frames.PREFIX_BYTES:
                    break
                (length,) = frames.length_at(data, start)
                if length not in FRAME_LENGTHS:
                    raise RemoteProtocolError(Violation.FRAME_LENGTH)
                body = start + frames.PREFIX_BYTES
                if body + length > stop:
                    break
                start = body + length
                tag = pull(body, start, self._data)
                if tag is None:
                    raise RemoteProtocolError(Violation.BAD_MAC)
                self._data = b""
                padded = length - STREAM_EXTRA_BYTES
                if padded > used:
                    used = padded
                size = unpadded(room, padded)
                if size is None:
                    raise RemoteProtocolError(Violation.PADDING)
                record = records.decode(opened[:size])
                kind = type(record)
                # ``bye``, and nothing else, has the last tag; it comes at any time. ``hello`` comes
                # first and once.
                ended = kind is Bye
                if tag != (TAG_FINAL if ended else TAG_REKEY):
                    raise RemoteProtocolError(Violation.STREAM_TAG)
                if not ended and (kind is Hello) is self.greeted:
                    raise RemoteProtocolError(Violation.RECORD_OUT_OF_PLACE)
                self.greeted, self.ended = True, ended
                if record is not None:
                    found.append(record)
        finally:
            buffer.start = start
            ciphers.give_back(room, used)

    def _read_header(self, buffer: frames.ReceiveBuffer) -> None:
        place = buffer.frame(HEADER_LENGTHS)
        if place is not None:
            self.state = ciphers.stream_opener(self._key, bytes(buffer.data[slice(*place)]))
            self._key.wipe()

    def wipe(self) -> None:
        """Wipe the stream's key."""
        self._key.wipe()
        if self.state is not None:
            self.state.wipe()
