"""Memory that is wiped, and the libsodium calls that work on it.

PyNaCl's public functions take and return ``bytes``, which nobody can wipe, so this file, and no
other, calls its binding to libsodium. Secrets are slots of one anonymous mapping that is locked
once: ``mlock`` works by page and does not nest, so unlocking one small secret would unlock its
neighbours (https://doc.libsodium.org/memory_management).
"""

import mmap
import sys
from typing import Any, NoReturn

from nacl._sodium import ffi, lib

from fantom_trio.wire.errors import LocalProtocolError

__all__ = [
    "KEY_BYTES",
    "MAC_BYTES",
    "NONCE_BYTES",
    "KeyPair",
    "Secret",
    "locked",
    "open_box",
    "random_nonce",
    "seal_box",
    "session_keys",
    "wipe_buffer",
]

KEY_BYTES = 32
NONCE_BYTES = 24
MAC_BYTES = 16

_SLOT_BYTES = 64
_MAPPING_BYTES = 64 * 1024

# Without it libsodium works, but chooses its slowest implementations.
if lib.sodium_init() < 0:  # pragma: no cover
    raise RuntimeError("libsodium could not be initialised")


class _Mapping:
    """One anonymous mapping, locked in memory and left out of core dumps where permitted."""

    def __init__(self) -> None:
        if sys.platform == "win32":  # pragma: no cover
            self._memory = mmap.mmap(-1, _MAPPING_BYTES)
        else:
            self._memory = mmap.mmap(
                -1, _MAPPING_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
            )
        self._base = ffi.from_buffer("unsigned char[]", self._memory)
        self.locked = lib.sodium_mlock(self._base, _MAPPING_BYTES) == 0
        self.free = [self._base + at for at in range(0, _MAPPING_BYTES, _SLOT_BYTES)]


_mappings: list[_Mapping] = []


def _take_slot() -> tuple[_Mapping, Any]:
    for mapping in _mappings:
        if mapping.free:
            return mapping, mapping.free.pop()
    _mappings.append(_Mapping())
    return _mappings[-1], _mappings[-1].free.pop()


def locked() -> bool:
    """True while the system keeps every secret out of swap."""
    return all(mapping.locked for mapping in _mappings)


class Secret:
    """At most 64 bytes that can be wiped; nothing of them shows in ``repr``, copies or pickles.

    A wiped secret raises ``LocalProtocolError`` wherever it is used. One that is forgotten is wiped
    when it is collected, but whoever owns it should not wait for that.
    """

    __slots__ = ("_mapping", "_pointer", "_size")

    def __init__(self, size: int) -> None:
        self._pointer: Any = None
        if not 0 < size <= _SLOT_BYTES:
            raise ValueError(f"a secret holds 1 to {_SLOT_BYTES} bytes, not {size}")
        self._size = size
        self._mapping, self._pointer = _take_slot()

    @classmethod
    def random(cls, size: int) -> "Secret":
        """Bytes from the system's generator (https://doc.libsodium.org/generating_random_data)."""
        secret = cls(size)
        lib.randombytes(secret._pointer, size)
        return secret

    @classmethod
    def copy_of(cls, data: bytes | bytearray) -> "Secret":
        """The same bytes in wiped memory; ``data`` itself stays as it is."""
        secret = cls(len(data))
        ffi.memmove(secret._pointer, data, len(data))
        return secret

    @property
    def wiped(self) -> bool:
        """True once the bytes are gone."""
        return self._pointer is None

    def wipe(self) -> None:
        """Overwrite the bytes and give the memory back; a second call does nothing."""
        pointer, self._pointer = self._pointer, None
        if pointer is not None:
            lib.sodium_memzero(pointer, _SLOT_BYTES)
            self._mapping.free.append(pointer)

    def _address(self) -> Any:
        if self._pointer is None:
            raise LocalProtocolError("this secret is wiped")
        return self._pointer

    def __len__(self) -> int:
        return self._size

    def __repr__(self) -> str:
        return "<Secret, wiped>" if self.wiped else f"<Secret of {self._size} bytes>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not copied or pickled")

    def __del__(self) -> None:
        self.wipe()


class KeyPair:
    """An X25519 key pair (RFC 7748): ``public`` is 32 bytes, ``private`` a secret."""

    __slots__ = ("private", "public")

    def __init__(self, private: Secret) -> None:
        if len(private) != KEY_BYTES:
            raise ValueError(f"a private key is {KEY_BYTES} bytes, not {len(private)}")
        public = ffi.new("unsigned char[]", KEY_BYTES)
        lib.crypto_scalarmult_base(public, private._address())
        self.private = private
        self.public = bytes(ffi.buffer(public))

    @classmethod
    def generate(cls) -> "KeyPair":
        """A fresh pair, for one connection."""
        return cls(Secret.random(KEY_BYTES))

    def wipe(self) -> None:
        """Wipe the private key; the public one stays readable."""
        self.private.wipe()

    def __repr__(self) -> str:
        return f"<KeyPair {'wiped' if self.private.wiped else 'alive'}>"


def session_keys(own: KeyPair, peer_public: bytes, *, client: bool) -> tuple[Secret, Secret] | None:
    """The two 32-byte keys ``(receive, send)`` of ``crypto_kx``; None for a key of small order.

    Source: https://doc.libsodium.org/key_exchange. ``own`` is not wiped here.
    """
    if len(peer_public) != KEY_BYTES:
        raise ValueError(f"a public key is {KEY_BYTES} bytes, not {len(peer_public)}")
    receive, send = Secret(KEY_BYTES), Secret(KEY_BYTES)
    derive = lib.crypto_kx_client_session_keys if client else lib.crypto_kx_server_session_keys
    private = own.private._address()
    if derive(receive._pointer, send._pointer, own.public, private, peer_public) != 0:
        receive.wipe()
        send.wipe()
        return None
    return receive, send


def random_nonce() -> bytes:
    """24 random bytes: enough that two never meet (https://doc.libsodium.org/secret-key_cryptography/secretbox)."""
    nonce = ffi.new("unsigned char[]", NONCE_BYTES)
    lib.randombytes(nonce, NONCE_BYTES)
    return bytes(ffi.buffer(nonce))


def seal_box(key: Secret, nonce: bytes, plaintext: bytes) -> bytearray:
    """``crypto_secretbox_easy``: the tag (16 bytes) and the ciphertext, without the nonce."""
    _check(nonce, NONCE_BYTES)
    _check(key, KEY_BYTES)
    box = bytearray(MAC_BYTES + len(plaintext))
    lib.crypto_secretbox_easy(
        ffi.from_buffer(box), plaintext, len(plaintext), nonce, key._address()
    )
    return box


def open_box(key: Secret, nonce: bytes, buffer: bytearray, start: int, stop: int) -> bool:
    """``crypto_secretbox_open_easy`` in place: False when the tag is wrong.

    The box is ``buffer[start:stop]``; its plaintext then stands at ``buffer[start + 16:stop]``.
    """
    _check(nonce, NONCE_BYTES)
    _check(key, KEY_BYTES)
    if not 0 <= start <= start + MAC_BYTES <= stop <= len(buffer):
        raise ValueError(f"no box at {start}:{stop} of {len(buffer)} bytes")
    box = ffi.from_buffer(buffer) + start
    opened: int = lib.crypto_secretbox_open_easy(
        box + MAC_BYTES, box, stop - start, nonce, key._address()
    )
    return opened == 0


def wipe_buffer(buffer: bytearray, start: int = 0, stop: int | None = None) -> None:
    """Overwrite ``buffer[start:stop]`` with zeros."""
    stop = len(buffer) if stop is None else stop
    if not 0 <= start <= stop <= len(buffer):
        raise ValueError(f"no {start}:{stop} in {len(buffer)} bytes")
    lib.sodium_memzero(ffi.from_buffer(buffer) + start, stop - start)


def _check(data: bytes | Secret, size: int) -> None:
    # libsodium reads this many bytes, whatever stands behind the pointer.
    if len(data) != size:
        raise ValueError(f"expected {size} bytes, not {len(data)}")
