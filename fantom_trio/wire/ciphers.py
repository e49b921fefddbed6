"""The ciphers of frames, over libsodium: ``secretbox`` of the classic wire, ``secretstream`` of the
native one.

What works on many frames of one buffer comes as a function that is made once for all of them: the
addresses are looked up before the first frame. It is for use at once: the secret has to live, and
the buffers have to keep their size, as long as it is called. Plaintext is opened into a room of its
own, so that a buffer of received bytes never holds any; a room is small enough to stay in the
processor's cache.
"""

from collections.abc import Callable

from nacl._sodium import ffi, lib

from fantom_trio.wire.secret import (
    KEY_BYTES,
    MAC_BYTES,
    NONCE_BYTES,
    Secret,
    check_size,
    first_key,
)

__all__ = [
    "ROOM_BYTES",
    "STREAM_EXTRA_BYTES",
    "STREAM_HEADER_BYTES",
    "TAG_FINAL",
    "TAG_REKEY",
    "box_opener",
    "give_back",
    "lend_room",
    "seal_box",
    "stream_opener",
    "stream_puller",
    "stream_pusher",
    "stream_sealer",
]

#: What one frame may hold.
ROOM_BYTES = 64 * 1024

_rooms: list[bytearray] = []


def lend_room() -> bytearray:
    """Zeros to open plaintext into, one frame after the other; until ``give_back``."""
    return _rooms.pop() if _rooms else bytearray(ROOM_BYTES)


def give_back(room: bytearray, used: int) -> None:
    """Overwrite the first ``used`` bytes: nothing was opened behind them."""
    lib.sodium_memzero(ffi.from_buffer(room), used)
    _rooms.append(room)


def seal_box(key: Secret, nonce: bytes, plaintext: bytes) -> bytearray:
    """``crypto_secretbox_easy``: the tag (16 bytes) and the ciphertext, without the nonce."""
    check_size(nonce, NONCE_BYTES)
    check_size(key, KEY_BYTES)
    box = bytearray(MAC_BYTES + len(plaintext))
    lib.crypto_secretbox_easy(ffi.from_buffer(box), plaintext, len(plaintext), nonce, key.address())
    return box


def box_opener(
    key: Secret, buffer: bytearray, room: bytearray
) -> Callable[[bytes, int, int], bool]:
    """``crypto_secretbox_open_easy`` for the boxes in ``buffer``.

    The function takes a nonce and where the box, ``buffer[start:stop]``, stands. It returns False
    when the tag is wrong; else the plaintext is ``room[:stop - start - 16]``.
    """
    check_size(key, KEY_BYTES)
    address, boxes, texts = key.address(), ffi.from_buffer(buffer), ffi.from_buffer(room)
    size, most, call = len(buffer), len(room) + MAC_BYTES, lib.crypto_secretbox_open_easy

    def open_box(nonce: bytes, start: int, stop: int) -> bool:
        length = stop - start
        if not (start >= 0 and stop <= size and most >= length >= MAC_BYTES):
            raise ValueError(f"no box at {start}:{stop} of {size} bytes")
        if len(nonce) != NONCE_BYTES:
            raise ValueError(f"expected {NONCE_BYTES} bytes, not {len(nonce)}")
        opened: int = call(texts, boxes + start, length, nonce, address)
        return opened == 0

    return open_box


STREAM_HEADER_BYTES = 24
#: What a stream adds to a plaintext: the tag's byte before it, the MAC behind it.
STREAM_EXTRA_BYTES = 1 + MAC_BYTES
#: Tags of a stream's messages: a new key afterwards, and the last one.
TAG_REKEY, TAG_FINAL = 2, 3
_STREAM_STATE_BYTES = 52


def stream_sealer(key: Secret) -> tuple[Secret, bytes]:
    """The state of ``crypto_secretstream`` for writing, and its header of 24 bytes.

    ``key`` may be a hash of 64 bytes, whose first 32 count; it is not wiped here. Source:
    https://doc.libsodium.org/secret-key_cryptography/secretstream.
    """
    state, header = Secret(_STREAM_STATE_BYTES), bytearray(STREAM_HEADER_BYTES)
    lib.crypto_secretstream_xchacha20poly1305_init_push(
        state._pointer, ffi.from_buffer(header), first_key(key)
    )
    return state, bytes(header)


def stream_opener(key: Secret, header: bytes) -> Secret:
    """The state for reading what follows ``header``; ``key`` as in ``stream_sealer``."""
    check_size(header, STREAM_HEADER_BYTES)
    state = Secret(_STREAM_STATE_BYTES)
    lib.crypto_secretstream_xchacha20poly1305_init_pull(state._pointer, header, first_key(key))
    return state


def stream_pusher(state: Secret, out: bytearray) -> Callable[[int, int, bytes, int], None]:
    """``crypto_secretstream_xchacha20poly1305_push`` in place.

    The function takes where the message, ``out[start:stop]``, is to stand, what is authenticated
    with it, and its tag. The plaintext is in the message's place already, without the first byte
    and the last 16.
    """
    check_size(state, _STREAM_STATE_BYTES)
    address, base, size = state.address(), ffi.from_buffer(out), len(out)
    null, call = ffi.NULL, lib.crypto_secretstream_xchacha20poly1305_push

    def push(start: int, stop: int, data: bytes, tag: int) -> None:
        length = stop - start - STREAM_EXTRA_BYTES
        if start < 0 or length < 0 or stop > size:
            raise ValueError(f"no message at {start}:{stop} of {size} bytes")
        message = base + start
        call(address, message, null, message + 1, length, data, len(data), tag)

    return push


def stream_puller(
    state: Secret, buffer: bytearray, room: bytearray
) -> Callable[[int, int, bytes], int | None]:
    """``crypto_secretstream_xchacha20poly1305_pull`` for the messages in ``buffer``.

    The function takes where the message, ``buffer[start:stop]``, stands, and what is authenticated
    with it. It returns the message's tag, or None when it is not authentic and the stream is where
    it was; else the plaintext is ``room[:stop - start - 17]``.
    """
    check_size(state, _STREAM_STATE_BYTES)
    address, base, text = state.address(), ffi.from_buffer(buffer), ffi.from_buffer(room)
    size, most, tag = len(buffer), len(room) + STREAM_EXTRA_BYTES, ffi.new("unsigned char *")
    null, call = ffi.NULL, lib.crypto_secretstream_xchacha20poly1305_pull

    def pull(start: int, stop: int, data: bytes) -> int | None:
        length = stop - start
        if not (start >= 0 and stop <= size and most >= length >= STREAM_EXTRA_BYTES):
            raise ValueError(f"no message at {start}:{stop} of {size} bytes")
        failed = call(address, text, null, tag, base + start, length, data, len(data))
        return None if failed else int(tag[0])

    return pull
