"""The records of a native link in frames: one ``secretstream`` a direction, padded.

A direction's first frame is the stream's header, each later one a record in a message of the
stream. Records are padded to blocks of 1,024 bytes while under 4,096 and of 4,096 from there, so
that a frame's length tells next to nothing of what is in it. The first record of each direction
carries the handshake hash as additional data.
"""

from fantom_trio.wire import frames, records, secret
from fantom_trio.wire.errors import LocalProtocolError, RemoteProtocolError, Violation
from fantom_trio.wire.records import Bye, Hello, Record
from fantom_trio.wire.secret import MAC_BYTES, STREAM_EXTRA_BYTES, TAG_FINAL, TAG_REKEY, Secret

__all__ = ["RecordReader", "RecordWriter"]

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
HEADER_LENGTHS = frozenset({secret.STREAM_HEADER_BYTES})


def padded_size(size: int) -> int:
    """What a record of ``size`` bytes is padded to: always by one byte or more."""
    small = (size // SMALL_BLOCK + 1) * SMALL_BLOCK
    padded = small if small < LARGE_BLOCK else (size // LARGE_BLOCK + 1) * LARGE_BLOCK
    if padded > MAX_PADDED:
        raise LocalProtocolError(f"a record of {size} bytes is too long")
    return padded


def _tag_of(record: Record | None) -> int:
    """``bye``, and nothing else, has the last tag."""
    return TAG_FINAL if isinstance(record, Bye) else TAG_REKEY


def _has_place(record: Record | None, greeted: bool) -> bool:
    """``hello`` comes first and once; ``bye`` comes at any time, in its place too."""
    return isinstance(record, Bye) or isinstance(record, Hello) is not greeted


class RecordWriter:
    """Our direction: records to frames. The key is wiped."""

    def __init__(self, key: Secret, handshake_hash: bytes, out: bytearray) -> None:
        self.state, header = secret.stream_sealer(key)
        key.wipe()
        out += frames.prefix(len(header)) + header
        self._data = handshake_hash
        self._greeted = False
        #: Our ``bye`` went out: nothing may follow it.
        self.ended = False

    def write(self, record: Record, out: bytearray) -> None:
        """Append the frame of ``record``, in the places that the peer's reader wants too."""
        if self.ended:
            raise LocalProtocolError("nothing follows a bye")
        if not _has_place(record, self._greeted):
            raise LocalProtocolError("a hello comes first, and once")
        plaintext = records.encode(record)
        length = padded_size(len(plaintext)) + STREAM_EXTRA_BYTES
        frame = bytearray(frames.PREFIX_BYTES + length)
        start = frames.PREFIX_BYTES
        frame[:start] = frames.prefix(length)
        stop = start + 1 + len(plaintext)
        frame[start + 1 : stop] = plaintext
        frame[stop] = 0x80
        secret.stream_push(self.state, frame, start, self._data, _tag_of(record))
        self._data = b""
        self._greeted, self.ended = True, isinstance(record, Bye)
        out += frame

    def wipe(self) -> None:
        """Wipe the stream's key."""
        self.state.wipe()


class RecordReader:
    """The peer's direction: frames to records. The key is wiped with the header, or by ``wipe``."""

    def __init__(self, key: Secret, handshake_hash: bytes) -> None:
        self._key = key
        self.state: Secret | None = None
        self._data = handshake_hash
        #: The peer's first record came.
        self.greeted = False
        #: The peer's ``bye`` came.
        self.ended = False

    def read(self, buffer: frames.ReceiveBuffer, found: list[Record]) -> None:
        """Take every complete frame and append what it says.

        Raises ``RemoteProtocolError`` at the first that has no place; those before stand in
        ``found``.
        """
        if self.state is None:
            self._read_header(buffer)
        while self.state is not None and buffer:
            if self.ended:
                raise RemoteProtocolError(Violation.AFTER_BYE)
            place = buffer.frame(FRAME_LENGTHS)
            if place is None:
                return
            record = self._open(self.state, buffer.data, *place)
            if record is not None:
                found.append(record)

    def _read_header(self, buffer: frames.ReceiveBuffer) -> None:
        place = buffer.frame(HEADER_LENGTHS)
        if place is not None:
            self.state = secret.stream_opener(self._key, bytes(buffer.data[slice(*place)]))
            self._key.wipe()

    def _open(self, state: Secret, data: bytearray, start: int, stop: int) -> Record | None:
        tag = secret.stream_pull(state, data, start, stop, self._data)
        if tag is None:
            raise RemoteProtocolError(Violation.BAD_MAC)
        self._data = b""
        start, stop = start + 1, stop - MAC_BYTES
        block = SMALL_BLOCK if stop - start < LARGE_BLOCK else LARGE_BLOCK
        end = secret.unpadded(data, start, stop, block)
        if end is None:
            raise RemoteProtocolError(Violation.PADDING)
        record = records.decode(memoryview(data)[start:end])
        self._check_place(record, tag)
        return record

    def _check_place(self, record: Record | None, tag: int) -> None:
        if tag != _tag_of(record):
            raise RemoteProtocolError(Violation.STREAM_TAG)
        if not _has_place(record, self.greeted):
            raise RemoteProtocolError(Violation.RECORD_OUT_OF_PLACE)
        self.greeted = True
        self.ended = isinstance(record, Bye)

    def wipe(self) -> None:
        """Wipe the stream's key."""
        self._key.wipe()
        if self.state is not None:
            self.state.wipe()
