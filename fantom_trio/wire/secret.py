"""Memory that is wiped, and the libsodium calls that work on it.

PyNaCl's public functions take and return ``bytes``, which nobody can wipe, so this file and
``ciphers``, and no other, call its binding to libsodium. Secrets are slots of one anonymous mapping
that is locked once: ``mlock`` works by page and does not nest, so unlocking one small secret would
unlock its neighbours (https://doc.libsodium.org/memory_management).
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
    "aead_open",
    "aead_seal",
    "check_size",
    "diffie_hellman",
    "hkdf",
    "secrets_are_locked",
    "random_nonce",
    "session_keys",
]

KEY_BYTES = 32
NONCE_BYTES = 24
MAC_BYTES = 16

#: A secret takes the smallest slot that holds it: keys, and what a hash is computed over.
_SLOT_BYTES = (64, 256)
_MAPPING_BYTES = 64 * 1024

# Without it libsodium works, but chooses its slowest implementations.
if lib.sodium_init() < 0:  # pragma: no cover
    raise RuntimeError("libsodium could not be initialised")


class _Mapping:
    """One anonymous mapping, locked in memory and left out of core dumps where permitted."""

    def __init__(self, slot_bytes: int) -> None:
        if sys.platform == "win32":  # pragma: no cover
            self._memory = mmap.mmap(-1, _MAPPING_BYTES)
        else:
            self._memory = mmap.mmap(
                -1, _MAPPING_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
            )
        base = ffi.from_buffer("unsigned char[]", self._memory)
        self.locked = lib.sodium_mlock(base, _MAPPING_BYTES) == 0
        self.slot_bytes = slot_bytes
        self.slots = [base + at for at in range(0, _MAPPING_BYTES, slot_bytes)]
        self._base = base  # which keeps the addresses of the slots good


_mappings: list[_Mapping] = []
#: The slots that no secret has, by their size.
_free: dict[int, list[Any]] = {size: [] for size in _SLOT_BYTES}


def _take_slot(slot_bytes: int) -> Any:
    free = _free[slot_bytes]
    if not free:
        _mappings.append(_Mapping(slot_bytes))
        free += _mappings[-1].slots
    return free.pop()


def secrets_are_locked() -> bool:
    """True while the system keeps every secret out of swap."""
    return all(mapping.locked for mapping in _mappings)


class Secret:
    """At most 256 bytes that can be wiped; nothing of them shows in ``repr``, copies or pickles.

    A wiped secret raises ``LocalProtocolError`` wherever it is used. One that is forgotten is wiped
    when it is collected, but whoever owns it should not wait for that.
    """

    __slots__ = ("_pointer", "_size", "_slot_bytes")

    # At the program's end this file's names go before the last secrets do, and with them the
    # memory of these, were it not held here.
    _memory = _mappings
    _slots = _free
    _memzero = lib.sodium_memzero

    def __init__(self, size: int) -> None:
        self._pointer: Any = None
        if not 0 < size <= _SLOT_BYTES[-1]:
            raise ValueError(f"a secret holds 1 to {_SLOT_BYTES[-1]} bytes, not {size}")
        self._size = size
        self._slot_bytes = _SLOT_BYTES[size > _SLOT_BYTES[0]]
        self._pointer = _take_slot(self._slot_bytes)

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

    @classmethod
    def take_over(cls, data: bytes) -> "Secret":
        """The bytes that a library made for us alone: moved here, and overwritten where they were.

        Nobody else may hold ``data``, which reads as zeros afterwards.
        """
        secret = cls.copy_of(data)
        _overwrite(data)
        return secret

    def reveal(self) -> bytes:
        """A copy that nobody can wipe, for a library that takes nothing else."""
        return bytes(ffi.buffer(self.address(), self._size))

    @property
    def wiped(self) -> bool:
        """True once the bytes are gone."""
        return self._pointer is None

    def wipe(self) -> None:
        """Overwrite the bytes and give the memory back; a second call does nothing."""
        pointer, self._pointer = self._pointer, None
        if pointer is not None:
            self._memzero(pointer, self._slot_bytes)
            self._slots[self._slot_bytes].append(pointer)

    def address(self) -> Any:
        """Where the bytes stand until ``wipe``, for libsodium."""
        if self._pointer is None:
            raise LocalProtocolError("this secret is wiped")
        return self._pointer

    def __enter__(self) -> "Secret":
        """Wiped at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        self.wipe()

    def __len__(self) -> int:
        return self._size

    def __repr__(self) -> str:
        return "<Secret, wiped>" if self.wiped else f"<Secret of {self._size} bytes>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not copied or pickled")

    def __del__(self) -> None:
        if self._pointer is not None:
            self.wipe()


class KeyPair:
    """An X25519 key pair (RFC 7748): ``public`` is 32 bytes, ``private`` a secret."""

    __slots__ = ("private", "public")

    def __init__(self, private: Secret) -> None:
        if len(private) != KEY_BYTES:
            raise ValueError(f"a private key is {KEY_BYTES} bytes, not {len(private)}")
        public = ffi.new("unsigned char[]", KEY_BYTES)
        lib.crypto_scalarmult_base(public, private.address())
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
    private = own.private.address()
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


def diffie_hellman(own: KeyPair, peer_public: bytes) -> Secret | None:
    """X25519 (RFC 7748): 32 bytes; None where the result is zero, for a key of small order."""
    check_size(peer_public, KEY_BYTES)
    shared = Secret(KEY_BYTES)
    if lib.crypto_scalarmult(shared._pointer, own.private.address(), peer_public) != 0:
        shared.wipe()
        return None
    return shared


_HASH_BYTES = 64
_BLOCK_BYTES = 128
#: Of HMAC: for the key's bytes, one call for all of them instead of a step of Python for each.
_INNER, _OUTER = (bytes(byte ^ pad for byte in range(256)) for pad in (0x36, 0x5C))


class _Hmac:
    """HMAC-BLAKE2b-512 (RFC 2104), all of it out of Python's own memory."""

    def __init__(self) -> None:
        blocks = [Secret(_SLOT_BYTES[-1]) for _ in range(2)]
        self._blocks, self._key = blocks, Secret(_HASH_BYTES)
        #: What each of the two hashes is computed over: the padded key, and room for the rest.
        self._inner, self._outer = (block.address() for block in blocks)
        self._inner_rest, self._outer_rest = self._inner + _BLOCK_BYTES, self._outer + _BLOCK_BYTES
        #: A key that is used once.
        self.key = self._key.address()
        for block, pad in (self._inner, b"\x36"), (self._outer, b"\x5c"):
            ffi.memmove(block, pad * _BLOCK_BYTES, _BLOCK_BYTES)

    def use(self, key: Any) -> None:
        """From here on with this key, the address of 64 bytes."""
        plain = bytes(ffi.buffer(key, _HASH_BYTES))
        inner = outer = b""
        try:
            inner, outer = plain.translate(_INNER), plain.translate(_OUTER)
            ffi.memmove(self._inner, inner, _HASH_BYTES)
            ffi.memmove(self._outer, outer, _HASH_BYTES)
        finally:
            for each in plain, inner, outer:
                lib.sodium_memzero(ffi.from_buffer(each), len(each))

    def code(self, message: Any, size: int, into: Any, last: int | None = None) -> None:
        """The code of ``size`` bytes and of the byte ``last``, together at most 128."""
        ffi.memmove(self._inner_rest, message, size)
        if last is not None:
            self._inner_rest[size] = last
            size += 1
        null, call = ffi.NULL, lib.crypto_generichash_blake2b_salt_personal
        end = _BLOCK_BYTES + size
        call(self._outer_rest, _HASH_BYTES, self._inner, end, null, 0, null, null)
        end = _BLOCK_BYTES + _HASH_BYTES
        call(into, _HASH_BYTES, self._outer, end, null, 0, null, null)

    def forget(self) -> None:
        """Overwrite the keys and what was computed; the rest stays for the next key."""
        rest = _SLOT_BYTES[-1] - _BLOCK_BYTES
        lib.sodium_memzero(self._inner, _HASH_BYTES)
        lib.sodium_memzero(self._outer, _HASH_BYTES)
        lib.sodium_memzero(self._inner_rest, rest)
        lib.sodium_memzero(self._outer_rest, rest)
        lib.sodium_memzero(self.key, _HASH_BYTES)


#: Used by one ``hkdf`` at a time, and empty between them.
_hmac = _Hmac()


def hkdf(chaining_key: Secret, material: Secret | bytes) -> tuple[Secret, Secret]:
    """Noise's HKDF, two outputs of 64 bytes, over HMAC-BLAKE2b (Noise, section 4.3).

    ``material`` is at most 128 bytes.
    """
    check_size(chaining_key, _HASH_BYTES)
    size = len(material)
    if size > _BLOCK_BYTES:
        raise ValueError(f"expected at most {_BLOCK_BYTES} bytes")
    hmac = _hmac
    try:
        hmac.use(chaining_key.address())
        source = material.address() if isinstance(material, Secret) else material
        hmac.code(source, size, hmac.key)
        hmac.use(hmac.key)
        first, second = Secret(_HASH_BYTES), Secret(_HASH_BYTES)
        hmac.code(b"", 0, first._pointer, 1)
        hmac.code(first._pointer, _HASH_BYTES, second._pointer, 2)
        return first, second
    finally:
        hmac.forget()


def aead_seal(key: Secret, counter: int, data: bytes, plaintext: bytes) -> bytes:
    """ChaCha20-Poly1305 (RFC 8439) as Noise uses it: ciphertext and 16-byte tag.

    ``data`` is authenticated and not encrypted; ``counter`` is the nonce, 0 to 2^64 - 2.
    """
    sealed = bytearray(len(plaintext) + MAC_BYTES)
    null = ffi.NULL
    lib.crypto_aead_chacha20poly1305_ietf_encrypt(
        ffi.from_buffer(sealed), null, plaintext, len(plaintext), data, len(data),
        null, _noise_nonce(counter), first_key(key),
    )  # fmt: skip
    return bytes(sealed)


def aead_open(key: Secret, counter: int, data: bytes, sealed: bytes) -> bytes | None:
    """The plaintext of ``aead_seal``; None when the tag is wrong."""
    if len(sealed) < MAC_BYTES:
        return None
    plaintext = bytearray(len(sealed) - MAC_BYTES)
    null = ffi.NULL
    failed = lib.crypto_aead_chacha20poly1305_ietf_decrypt(
        ffi.from_buffer(plaintext), null, null, sealed, len(sealed), data, len(data),
        _noise_nonce(counter), first_key(key),
    )  # fmt: skip
    return None if failed else bytes(plaintext)


def _noise_nonce(counter: int) -> bytes:
    return bytes(4) + counter.to_bytes(8, "little")


def first_key(key: Secret) -> Any:
    """A cipher key is the first 32 bytes of a hash (Noise, section 5.2)."""
    if len(key) not in (KEY_BYTES, _HASH_BYTES):
        raise ValueError(f"a cipher key is {KEY_BYTES} bytes, not {len(key)}")
    return key.address()


def _overwrite(data: bytes) -> None:
    """Zeros in place of bytes that nobody else holds."""
    lib.sodium_memzero(ffi.from_buffer(data), len(data))


def check_size(data: bytes | Secret, size: int) -> None:
    """Raises ``ValueError`` for another size."""
    # libsodium reads this many bytes, whatever stands behind the pointer.
    if len(data) != size:
        raise ValueError(f"expected {size} bytes, not {len(data)}")
