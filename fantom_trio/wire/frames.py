"""The length prefix, its limits, and the buffer that frames are parsed in.

A frame is ``u32 big-endian length ‖ body``; the length counts the body.
"""

import struct
from collections.abc import Container

from fantom_trio.wire.errors import LocalProtocolError, RemoteProtocolError, Violation

__all__ = [
    "LARGE_ROOM",
    "MAX_FRAME",
    "MAX_LINE",
    "MAX_ROOM",
    "PREFIX_BYTES",
    "ReceiveBuffer",
    "length_at",
    "prefix",
    "split_text",
    "text_size",
]

PREFIX_BYTES = 4
#: The longest body, bytes. The classic program takes no more, and nobody needs more for a line.
MAX_FRAME = 64 * 1024
#: The longest handshake line with its newline, bytes: the classic program's whole first buffer.
MAX_LINE = 2048
#: A read starts with this much room, bytes, and gets up to the maximum when it fills it: more for
#: long frames, because what a read costs is shared by those in it.
_MIN_ROOM = 16 * 1024
MAX_ROOM = 256 * 1024
LARGE_ROOM = 512 * 1024

#: What a buffer with the most room is as large as: before the room, the beginning of a frame.
_LARGE = LARGE_ROOM + PREFIX_BYTES + MAX_FRAME
#: The memory of the last such buffer, at most one: the system takes its time to give so much.
_spare: list[bytearray] = []

_LENGTH = struct.Struct(">I")
#: What the four bytes at a place of a buffer say, as a tuple of one.
length_at = _LENGTH.unpack_from


def prefix(length: int) -> bytes:
    """The four bytes before a body of ``length`` bytes."""
    if not 0 < length <= MAX_FRAME:
        raise LocalProtocolError(f"a frame holds 1 to {MAX_FRAME} bytes, not {length}")
    return _LENGTH.pack(length)


def text_size(text: str) -> int:
    """Bytes of ``text`` as UTF-8, cut into pieces or not; nothing is encoded for plain ASCII."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def split_text(text: str, limit: int) -> list[bytes]:
    """``text`` as UTF-8 in pieces of at most ``limit`` bytes, cut between characters.

    An unpaired surrogate, which UTF-8 cannot carry, becomes ``?``; an empty text, one empty piece.
    """
    data = text.encode("utf-8", "replace")
    pieces = []
    start = 0
    while len(data) - start > limit:
        stop = start + limit
        while data[stop] & 0xC0 == 0x80:  # in the middle of a character
            stop -= 1
        pieces.append(data[start:stop])
        start = stop
    pieces.append(data[start:])
    return pieces


def _memory(size: int) -> bytearray:
    if not MAX_ROOM <= size <= _LARGE:
        return bytearray(size)
    return _spare.pop() if _spare else bytearray(_LARGE)


class ReceiveBuffer:
    """The bytes of one link that are not parsed yet: read into it, parse in place, take.

    Between two reads it holds no more memory than for the beginning of one frame. Only what went
    over the wire ever stands in it, so nothing is overwritten.
    """

    __slots__ = ("_room", "data", "most", "start", "stop")

    def __init__(self) -> None:
        self.data = bytearray()
        #: What is not taken yet: ``data[start:stop]``.
        self.start = 0
        self.stop = 0
        #: The most room that a read gets.
        self.most = MAX_ROOM
        self._room = _MIN_ROOM

    def __len__(self) -> int:
        return self.stop - self.start

    def lend(self, at_most: int = LARGE_ROOM) -> memoryview:
        """Room to read into, at least one byte; say with ``filled`` how much of it was used."""
        tail, room = len(self), min(self._room, self.most, at_most)
        if room <= 0:
            raise LocalProtocolError("a full buffer was asked for room")
        old = self.data
        if len(old) < tail + room:
            self.data = _memory(tail + room)
        if self.start or old is not self.data:
            self.data[:tail] = memoryview(old)[self.start : self.stop]
            self.start, self.stop = 0, tail
        return memoryview(self.data)[tail : tail + room]

    def filled(self, count: int) -> None:
        """``count`` bytes stand in what was lent."""
        if not 0 <= count <= len(self.data) - self.stop:
            raise LocalProtocolError(f"{count} bytes are more than were lent")
        if count >= min(self._room, self.most):
            self._room = min(self._room * 4, self.most)
        elif count < self._room // 16:
            self._room = max(self._room // 4, _MIN_ROOM)
        self.stop += count

    def frame(self, lengths: Container[int]) -> tuple[int, int] | None:
        """Take one complete body: where in ``data`` it stands; None while there is none.

        Raises ``RemoteProtocolError`` for a length that is not in ``lengths``, on its four bytes.
        """
        if len(self) < PREFIX_BYTES:
            return None
        (length,) = length_at(self.data, self.start)
        if length not in lengths:
            raise RemoteProtocolError(Violation.FRAME_LENGTH)
        body = self.start + PREFIX_BYTES
        if body + length > self.stop:
            return None
        self.start = body + length
        return body, self.start

    def line(self) -> bytes | None:
        """Take the first line, newline included; None while it is not complete.

        Raises ``RemoteProtocolError`` when 2,048 bytes hold none.
        """
        newline = self.data.find(b"\n", self.start, min(self.stop, self.start + MAX_LINE))
        if newline < 0:
            if len(self) >= MAX_LINE:
                raise RemoteProtocolError(Violation.LINE_TOO_LONG)
            return None
        line = self.peek(newline + 1 - self.start)
        self.start = newline + 1
        return line

    def peek(self, count: int) -> bytes:
        """The first bytes, ``count`` or as many as there are."""
        return bytes(memoryview(self.data)[self.start : min(self.stop, self.start + count)])

    def tidy(self) -> None:
        """Let the memory go that nothing is left in: who stops in a frame may do so for long."""
        if not self:
            self.drop()
        elif len(self.data) - len(self) >= MAX_FRAME:
            rest = self.data[self.start : self.stop]
            self.drop()
            self.data, self.stop = rest, len(rest)

    def drop(self) -> None:
        """Let everything go."""
        if len(self.data) == _LARGE:
            _spare[:] = [self.data]
        self.data = bytearray()
        self.start = self.stop = 0
