"""Both wires once more, for tests only: written from ``docs/protocol.md``, with none of our code.

X25519, ChaCha20 and Poly1305 come from ``cryptography``, ML-KEM from ``kyber_py``, the box of the
classic link from PyNaCl; Noise, HChaCha20, the stream, MessagePack and SPAKE2 are written out.
Nothing here is wiped or runs in constant time.
"""

import base64
import hashlib
import hmac
import struct
from functools import reduce
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.poly1305 import Poly1305
from kyber_py.ml_kem import ML_KEM_768  # type: ignore[import-untyped]
from nacl.bindings import crypto_secretbox

#: What a step yields, by name: numbers of bytes, and texts.
Values = dict[str, bytes | str]


def public_key(private: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def diffie_hellman(private: bytes, public: bytes) -> bytes:
    """Raises ``ValueError`` where the result is zero."""
    own = X25519PrivateKey.from_private_bytes(private)
    return own.exchange(X25519PublicKey.from_public_bytes(public))


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def blake2b(*parts: bytes, size: int = 64, key: bytes = b"") -> bytes:
    return hashlib.blake2b(b"".join(parts), digest_size=size, key=key).digest()


def line(word: str, blob: bytes, behind: str = " ~~") -> str:
    return f"{word} {base64.b64encode(blob).decode()}{behind}\n"


def frame(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


# The classic link.


def classic(dialer: bytes, listener: bytes, client_id: str, nonce: bytes, text: str) -> Values:
    """One link and its first frame; ``dialer`` and ``listener`` are private keys."""
    hashes = {"dialer": sha256(public_key(dialer)), "listener": sha256(public_key(listener))}
    client, server = sorted(hashes, key=lambda side: hashes[side])
    publics = {"dialer": public_key(dialer), "listener": public_key(listener)}
    secret = diffie_hellman(dialer, publics["listener"])
    both = blake2b(secret, publics[client], publics[server])
    # crypto_kx: the first half is what the client receives with.
    to_client, to_server = both[:32], both[32:]
    key, unused = (to_client, to_server) if client == "listener" else (to_server, to_client)
    box: bytes = crypto_secretbox(text.encode(), nonce, key)
    return {
        "hash of dialer": hashes["dialer"], "hash of listener": hashes["listener"],
        "kx client": client, "key": key, "unused key": unused, "client id": client_id,
        "nonce": nonce, "text": text,
        "frame": frame(client_id.encode() + b"\0" + nonce + box),
    }  # fmt: skip


# Noise XX, with the post-quantum share.


class Symmetric:
    """Section 5.2; ``seen`` gets every value by its name."""

    def __init__(self, protocol_name: bytes) -> None:
        self.hash = self.chaining_key = protocol_name.ljust(64, b"\0")
        self.seen: Values = {}
        self._key, self._counter = b"", 0

    def mix_hash(self, data: bytes, name: str) -> None:
        self.hash = self.seen[f"h {name}"] = blake2b(self.hash, data)

    def mix_key(self, shared: bytes, name: str) -> None:
        self.chaining_key, key = hkdf(self.chaining_key, shared)
        self._key, self._counter = key[:32], 0
        values = {"secret": shared, "ck": self.chaining_key, "k": self._key}
        self.seen |= {f"{name} {kind}": value for kind, value in values.items()}

    def seal(self, plaintext: bytes, name: str) -> bytes:
        nonce = bytes(4) + self._counter.to_bytes(8, "little")
        sealed = ChaCha20Poly1305(self._key).encrypt(nonce, plaintext, self.hash)
        self._counter += 1
        self.mix_hash(sealed, name)
        return sealed


def hkdf(chaining_key: bytes, material: bytes) -> tuple[bytes, bytes]:
    """Section 4.3, two outputs of 64 bytes."""
    temporary = hmac.digest(chaining_key, material, hashlib.blake2b)
    first = hmac.digest(temporary, b"\1", hashlib.blake2b)
    return first, hmac.digest(temporary, first + b"\2", hashlib.blake2b)


class Keys(NamedTuple):
    """What one side brings to a handshake: two private keys of X25519."""

    static: bytes
    ephemeral: bytes


class Handshake:
    """Both sides at once, with every value in the order in which it comes to be.

    ``lines`` is what stands behind ``fantom/2`` and its newline in the prologue; ``kem_seed`` is
    ``d ‖ z`` of FIPS 203, ``kem_randomness`` its ``m``.
    """

    def __init__(
        self, lines: str, initiator: Keys, listener: Keys, kem_seed: bytes, kem_randomness: bytes
    ) -> None:
        name = b"Noise_XX_25519_ChaChaPoly_BLAKE2b"
        noise = Symmetric(name)
        prologue = b"fantom/2\n" + lines.encode()
        self.message_1 = noise.seen = {"protocol name": name, "prologue": prologue}
        noise.mix_hash(prologue, "prologue")
        e_i, e_r = public_key(initiator.ephemeral), public_key(listener.ephemeral)
        noise.mix_hash(e_i, "1 e")
        noise.mix_hash(b"", "1")

        self.message_2 = noise.seen = {}
        noise.mix_hash(e_r, "2 e")
        noise.mix_key(diffie_hellman(listener.ephemeral, e_i), "ee")
        message = e_r + noise.seal(public_key(listener.static), "2 s")
        noise.mix_key(diffie_hellman(listener.static, e_i), "es")
        ek, dk = ML_KEM_768.key_derive(kem_seed)
        noise.seen["kem ek"] = ek
        message += noise.seal(ek, "2")
        noise.seen |= {"message 2": message, "line": line("HANDSHAKE_ACK", message)}

        self.message_3 = noise.seen = {}
        message = noise.seal(public_key(initiator.static), "3 s")
        noise.mix_key(diffie_hellman(initiator.static, e_r), "se")
        shared, ciphertext = ML_KEM_768._encaps_internal(ek, kem_randomness)
        assert ML_KEM_768.decaps(dk, ciphertext) == shared
        noise.seen["kem ciphertext"] = ciphertext
        message += noise.seal(ciphertext, "3")
        noise.seen |= {"message 3": message, "frame": frame(message)}

        self.split = noise.seen = {}
        noise.mix_key(shared, "kem")
        first, second = hkdf(noise.chaining_key, b"")
        self.keys = first[:32], second[:32]
        self.hash = noise.hash
        noise.seen |= {"split 1": first, "split 2": second}


# The stream, as libsodium's crypto_secretstream_xchacha20poly1305 has it.

REKEY, FINAL = 2, 3


def hchacha20(key: bytes, nonce: bytes) -> bytes:
    """A subkey from 32 and 16 bytes: ChaCha20's rounds (RFC 8439) without the last addition."""
    x = [*struct.unpack("<4I", b"expand 32-byte k"), *struct.unpack("<12I", key + nonce)]

    def quarter(a: int, b: int, c: int, d: int) -> None:
        for to, by, into, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            x[to] = (x[to] + x[by]) & 0xFFFFFFFF
            mixed = x[into] ^ x[to]
            x[into] = (mixed << bits | mixed >> (32 - bits)) & 0xFFFFFFFF

    for _ in range(10):
        for column in range(4):
            quarter(column, 4 + column, 8 + column, 12 + column)
        for diagonal in range(4):
            quarter(
                diagonal, 4 + (diagonal + 1) % 4, 8 + (diagonal + 2) % 4, 12 + (diagonal + 3) % 4
            )
    return struct.pack("<8I", *x[:4], *x[12:])


class Stream:
    """One direction, for writing."""

    def __init__(self, key: bytes, header: bytes) -> None:
        self._key, self._inner = hchacha20(key, header[:16]), header[16:]
        self._counter = 1

    def push(self, plaintext: bytes, tag: int, data: bytes = b"") -> bytes:
        """One message: the sealed tag, the ciphertext, the MAC."""
        block = self._chacha(1, bytes([tag]).ljust(64, b"\0"))
        ciphertext = self._chacha(2, plaintext)
        sealed = data + bytes(-len(data) % 16) + block + ciphertext
        sealed += bytes(len(ciphertext) % 16)  # libsodium's own rule, not that of RFC 8439
        sealed += struct.pack("<QQ", len(data), len(block) + len(ciphertext))
        mac = Poly1305.generate_tag(self._chacha(0, bytes(32)), sealed)
        self._inner = bytes(a ^ b for a, b in zip(self._inner, mac[:8], strict=True))
        self._counter += 1
        if tag & REKEY:
            fresh = self._chacha(0, self._key + self._inner)
            self._key, self._inner, self._counter = fresh[:32], fresh[32:], 1
        return block[:1] + ciphertext + mac

    def _chacha(self, block: int, data: bytes) -> bytes:
        nonce = struct.pack("<II", block, self._counter) + self._inner
        return Cipher(algorithms.ChaCha20(self._key, nonce), None).encryptor().update(data)


def padded(record: bytes) -> bytes:
    size = len(record) + 1
    block = 1024 if size <= 3072 else 4096
    return (record + b"\x80").ljust(-(-size // block) * block, b"\0")


# MessagePack, as far as records go.

Fields = dict[str, str | int | bytes]


def pack(value: str | int | bytes | Fields) -> bytes:
    if isinstance(value, dict):
        items = b"".join(pack(key) + pack(each) for key, each in value.items())
        return bytes([0x80 | len(value)]) + items
    if isinstance(value, bytes):
        return bytes([0xC4, len(value)]) + value
    if isinstance(value, str):
        data = value.encode()
        if len(data) < 32:
            return bytes([0xA0 | len(data)]) + data
        head = (">BB", 0xD9) if len(data) < 256 else (">BH", 0xDA)
        return struct.pack(*head, len(data)) + data
    if value < 128:
        return bytes([value])
    width = next(at for at in range(4) if value < 1 << (8 << at))
    return bytes([0xCC + width]) + value.to_bytes(1 << width, "big")


# SPAKE2 of the Python library spake2, over the group of Ed25519.

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
M = bytes.fromhex("15cfd18e385952982b6a8f8c7854963b58e34388c8e6dae891db756481a02312")
N = bytes.fromhex("f04f2e7eb734b2a8f8b472eaf9c3c632576ac64aea650b496a8a20ff00e583c3")
Point = tuple[int, int]


def add(one: Point, two: Point) -> Point:
    (x1, y1), (x2, y2) = one, two
    both = D * x1 * x2 * y1 * y2
    return (
        (x1 * y2 + x2 * y1) * pow(1 + both, -1, P) % P,
        (y1 * y2 + x1 * x2) * pow(1 - both, -1, P) % P,
    )


def multiply(scalar: int, point: Point) -> Point:
    bits = f"{scalar % ORDER:b}"
    return reduce(
        lambda sum_, bit: add(add(sum_, sum_), point if bit == "1" else (0, 1)), bits, (0, 1)
    )


def encode(point: Point) -> bytes:
    x, y = point
    return (y | (x & 1) << 255).to_bytes(32, "little")


def decode(data: bytes) -> Point:
    number = int.from_bytes(data, "little")
    y, odd = number % (1 << 255), number >> 255
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    assert (x * x - square) % P == 0
    return (x if x & 1 == odd else P - x), y


BASE = decode((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def spake2(word: bytes, h: bytes, x: int, y: int) -> Values:
    """Every value of a comparison of ``word``; ``x`` and ``y`` are the secret scalars."""
    prk = hmac.digest(bytes(32), word, "sha256")
    first = hmac.digest(prk, b"SPAKE2 pw\1", "sha256")
    expanded = first + hmac.digest(prk, first + b"SPAKE2 pw\2", "sha256")
    w = int.from_bytes(expanded[:48], "big") % ORDER
    x_point = encode(add(multiply(x, BASE), multiply(w, decode(M))))
    y_point = encode(add(multiply(y, BASE), multiply(w, decode(N))))
    z = multiply(x, add(decode(y_point), multiply(-w, decode(N))))
    assert z == multiply(y, add(decode(x_point), multiply(-w, decode(M))))
    key = sha256(sha256(word), sha256(h), sha256(h), x_point, y_point, encode(z))
    conf_a, conf_b = (blake2b(b"fantom/2 word ", side, size=32, key=key) for side in (b"A", b"B"))
    scalars = {name: each.to_bytes(32, "little") for name, each in {"x": x, "y": y, "w": w}.items()}
    return {
        "M": M, "N": N, "word": word, **scalars, "X": x_point, "Y": y_point, "Z": encode(z),
        "K": key, "conf_A": conf_a, "conf_B": conf_b,
        "a": b"A" + x_point, "b": b"B" + y_point + conf_b, "confirm": conf_a,
    }  # fmt: skip


def code(h: bytes, n_i: bytes, n_r: bytes) -> Values:
    """Every value of a comparison of a code."""
    hashed = blake2b(b"fantom/2 code", h, n_i, n_r)
    return {
        "n_I": n_i, "n_R": n_r, "commit": blake2b(b"fantom/2 commit", h, n_i, size=32),
        "hash": hashed, "code": f"{int.from_bytes(hashed[:8], 'big') % 10**8:08}",
    }  # fmt: skip
