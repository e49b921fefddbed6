"""Whoever comes to a node, or is dialed by it, and says whatever the bytes say."""

import struct
from contextlib import suppress
from typing import Any

import trio

from fantom_trio.nursery.errors import ConnectionLost
from tests.classic_peer import ClassicPeer
from tests.fuzz.choices import Choices
from tests.nursery.memory_network import MemoryStream
from tests.wire.native_ends import NativePeer, sha256

__all__ = ["Guest", "static_key"]

#: Until the other side's line or frame is given up, seconds.
PATIENCE = 3
COUNTS = (0, 1, 2, 3, 1023, 1024, 1025, 1 << 63 - 1)


def static_key(number: int) -> bytes:
    """The private key of the native guest of that number."""
    return sha256(b"guest %d" % number)


class Guest:
    """One end of a connection with the node."""

    def __init__(self, stream: MemoryStream) -> None:
        self.stream = stream
        self._classic: ClassicPeer | None = None
        self._native: NativePeer | None = None
        self._said = 0
        self._unread = b""

    # Handshakes, as far as the other side goes along.

    async def be_classic(self, *, dialed: bool) -> None:
        """A classic handshake; ``dialed``: the node dialed us."""
        peer = ClassicPeer(b"[%s]:40001" % self.stream.here.host.encode())
        if dialed:
            line = await self._read_line()
            await self._send(peer.ack())
        else:
            await self._send(peer.handshake())
            line = await self._read_line()
        with suppress(Exception):  # it may be no line of a classic peer
            peer.meet(line)
            self._classic = peer

    async def be_native(self, number: int, *, dialed: bool) -> None:
        """A native handshake by the identity of that number, and a good ``hello``."""
        peer = NativePeer(static_key(number))
        with suppress(Exception):  # what comes may be no line of a native peer
            if dialed:
                await self._send(peer.answer(await self._read_line()))
                peer.read_message_3(await self._read_frame())
            else:
                await self._send(peer.line())
                await self._send(peer.message_3(await self._read_line()))
            await self._send(peer.seal.head)
            self._native = peer

    # What it says.

    async def say(self, choices: Choices) -> None:
        """Anything, as the bytes decide."""
        kind = choices.number(16)
        if kind == 0 or (self._classic is None and self._native is None):
            await self._send(choices.take(choices.number(256)))
        elif self._native is not None:
            with suppress(ValueError, struct.error):  # what no record can hold
                await self._send(self._record(kind, choices, self._native))
        elif self._classic is not None:
            frame = self._classic.frame(choices.take(choices.number(256)) * (1 + 99 * (kind == 1)))
            await self._send(frame[: kind * 8] if kind == 2 else frame * (1 + (kind == 3)))

    def _record(self, kind: int, choices: Choices, peer: NativePeer) -> bytes:
        seal, count = peer.seal, choices.pick(COUNTS)
        if kind <= 4:
            return seal.record("hello", port=40001, version="", received=count, shown=count)
        if kind <= 8:
            self._said += 1
            text = choices.take(choices.number(256)).decode("latin-1") * (1 + 99 * (kind == 8))
            id = self._said if kind < 8 else count
            return seal.record("say", id=id, text=text, at=count)
        if kind == 9:
            return seal.record("ack", shown=count)
        if kind == 10:
            return seal.record("knock", port=40001 if count < 3 else count % 65536)
        if kind == 11:
            return self._verify(choices, peer)
        if kind == 12:
            return seal.record(choices.pick(("ping", "pong", "later")))
        if kind == 13:
            return seal.record("bye", reason=choices.pick(("quit", "replaced", "refused")))
        if kind == 14:
            return seal.plain(choices.take(choices.number(256)), choices.number(4))
        return seal.message(choices.take(choices.number(256)), choices.number(4))

    def _verify(self, choices: Choices, peer: NativePeer) -> bytes:
        fields: dict[str, Any] = {
            "how": choices.pick(("code", "word", "later")),
            "step": choices.pick(("ask", "ask", "commit", "nonce", "open", "a", "b", "confirm")),
        }
        if size := choices.pick((0, 32, 33, 65)):
            fields["data"] = choices.take(size).ljust(size, b"A")
        return peer.seal.record("verify", **fields)

    # Its stream.

    async def leave(self, how: int) -> None:
        """In one of four ways."""
        if how == 0:
            self.stream.close()
        elif how == 1:
            self.stream.reset()
        elif how == 2:
            self.stream.cut()
        else:
            with suppress(ConnectionLost, trio.ClosedResourceError):
                await self.stream.send_eof()

    async def read(self) -> None:
        """Read for a moment and forget it."""
        with trio.move_on_after(0.1):
            while await self._read_some():
                self._unread = b""

    async def _send(self, data: bytes) -> None:
        with suppress(ConnectionLost, trio.ClosedResourceError), trio.move_on_after(PATIENCE):
            await self.stream.send_all(data)

    async def _read_some(self) -> int:
        room = bytearray(65536)
        with suppress(ConnectionLost, trio.ClosedResourceError):
            count = await self.stream.receive_into(lambda: memoryview(room))
            self._unread += room[:count]
            return count
        return 0

    async def _read_line(self) -> bytes:
        with trio.move_on_after(PATIENCE):
            while b"\n" not in self._unread and await self._read_some():
                pass
        line, newline, self._unread = self._unread.partition(b"\n")
        return line + newline

    async def _read_frame(self) -> bytes:
        def size() -> int:
            return 4 + int.from_bytes(self._unread[:4], "big") if len(self._unread) >= 4 else 4

        with trio.move_on_after(PATIENCE):
            while len(self._unread) < size() and await self._read_some():
                pass
        frame, self._unread = self._unread[: size()], self._unread[size() :]
        return frame
