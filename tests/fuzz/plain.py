"""Encryption replaced by identity: whoever writes the bytes is behind the authentication.

Lengths, tags and the places of the plaintext are the real ones. A tag whose first byte is 0xFF is a
wrong one. Keys are used as far as the real functions use them, so that a wiped one is noticed.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest import mock

from fantom_trio.wire import ciphers, secret
from fantom_trio.wire.ciphers import STREAM_EXTRA_BYTES
from fantom_trio.wire.secret import MAC_BYTES, NONCE_BYTES, Secret

__all__ = ["WRONG", "check_rooms", "plain_ciphers"]

WRONG = 0xFF


def aead_open(key: Secret, counter: int, data: bytes, sealed: bytes) -> bytes | None:
    """The tag stands behind the plaintext."""
    secret.first_key(key)
    if len(sealed) < MAC_BYTES or sealed[-MAC_BYTES] == WRONG:
        return None
    return sealed[:-MAC_BYTES]


def box_opener(
    key: Secret, buffer: bytearray, room: bytearray
) -> Callable[[bytes, int, int], bool]:
    """The tag stands before the plaintext."""

    def open_box(nonce: bytes, start: int, stop: int) -> bool:
        key.address()
        assert len(nonce) == NONCE_BYTES
        assert 0 <= start <= start + MAC_BYTES <= stop <= len(buffer)
        if buffer[start] == WRONG:
            return False
        _put(room, buffer[start + MAC_BYTES : stop])
        return True

    return open_box


def stream_puller(
    state: Secret, buffer: bytearray, room: bytearray
) -> Callable[[int, int, bytes], int | None]:
    """The stream's tag is the first byte as it is; the other tag stands at the end."""

    def pull(start: int, stop: int, data: bytes) -> int | None:
        state.address()
        assert 0 <= start <= start + STREAM_EXTRA_BYTES <= stop <= len(buffer)
        if buffer[stop - MAC_BYTES] == WRONG:
            return None
        _put(room, buffer[start + 1 : stop - MAC_BYTES])
        return buffer[start]

    return pull


def _put(room: bytearray, plaintext: bytearray) -> None:
    size = len(room)
    room[: len(plaintext)] = plaintext
    assert len(room) == size, "a plaintext is longer than its room"


def check_rooms() -> None:
    """Nothing that was opened stands in memory any more."""
    zeros = bytes(ciphers.ROOM_BYTES)
    assert all(room == zeros for room in ciphers._rooms), "what was opened stands in memory"


@contextmanager
def plain_ciphers() -> Iterator[None]:
    """Within, whatever is opened is plain already; what is sealed stays sealed."""
    with (
        mock.patch.object(secret, "aead_open", aead_open),
        mock.patch.multiple(ciphers, box_opener=box_opener, stream_puller=stream_puller),
    ):
        yield
