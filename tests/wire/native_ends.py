"""Both ends of a native link held in the hand, and a peer of another make that can misbehave.

``NativePeer`` and ``Sealer`` are written from the protocol's page with ``hashlib``, ``hmac`` and
PyNaCl's public functions. They share no code with the package, so that a mistake there cannot hide.
"""

import base64
import gc
import hashlib
import hmac
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from nacl import bindings

from fantom_trio.wire import Event, Link, RemoteProtocolError, Role, Violation, secret
from fantom_trio.wire.records import Hello
from fantom_trio.wire.secret import KeyPair, Secret

CLIENT_ID = b"::1:40001"
HELLO = Hello(port=31488, version="test", received=0, shown=0)
TAG_MESSAGE, TAG_PUSH, TAG_REKEY, TAG_FINAL = range(4)


def dialer(identity: KeyPair | None = None, **options: Any) -> Link:
    return Link(Role.DIALER, CLIENT_ID, identity=identity or KeyPair.generate(), **options)


def listener(identity: KeyPair | None = None, **options: Any) -> Link:
    return Link(Role.LISTENER, identity=identity or KeyPair.generate(), **options)


def key_pair(private: bytes) -> KeyPair:
    return KeyPair(Secret.copy_of(private))


def all_of(link: Link, data: bytes) -> list[Event]:
    """Every event of ``data``, or the error it ends in."""
    events = link.receive_data(data)
    while more := link.events():
        events += more
    return events


def sent(link: Link) -> bytes:
    """What is to be written, all of it."""
    return bytes(link.data_to_send())


def exchange(one: Link, two: Link) -> tuple[list[Event], list[Event]]:
    """Carry everything across until both are silent; what each side tells of it."""
    told: tuple[list[Event], list[Event]] = ([], [])
    quiet = False
    while not quiet:
        quiet = True
        for source, sink, events in ((one, two, told[1]), (two, one, told[0])):
            if data := sent(source):
                quiet = False
                events += all_of(sink, data)
    return told


def native_pair() -> tuple[Link, Link]:
    """A dialer and a listener with the handshake behind them, and no record yet."""
    one, two = dialer(), listener()
    exchange(one, two)
    return one, two


def greeted_pair() -> tuple[Link, Link]:
    """The same with a ``hello`` each way."""
    one, two = native_pair()
    one.send(HELLO)
    two.send(HELLO)
    assert exchange(one, two) == ([HELLO], [HELLO])
    return one, two


def ordered_keys() -> tuple[KeyPair, KeyPair]:
    """Two ephemeral pairs; of two dialers that meet, the one with the first stays initiator."""
    first, second = sorted((KeyPair.generate(), KeyPair.generate()), key=lambda k: sha256(k.public))
    return first, second


def crossed_pair() -> tuple[Link, Link]:
    """Two dialers on one connection, the initiator first; each has read the other's line."""
    one, two = (dialer(keys=keys) for keys in ordered_keys())
    lines = sent(one), sent(two)
    assert one.receive_data(lines[1]) == two.receive_data(lines[0]) == []
    return one, two


# What is alive.


def slots_in_use() -> int:
    """How many secrets are alive in this process."""
    slots = sum(len(mapping.slots) for mapping in secret._mappings)
    return slots - sum(map(len, secret._free.values()))


def settled_slots() -> int:
    """The same, without those that earlier tests let go of."""
    gc.collect()
    return slots_in_use()


def secrets_of(link: Link) -> list[Secret]:
    """Every secret that can be reached from ``link`` and is alive, but for its identity."""
    seen: dict[int, object] = {id(link._identity): link._identity}
    waiting: list[object] = [link]
    while waiting:
        each = waiting.pop()
        ours = type(each).__module__.startswith("fantom_trio")
        if id(each) in seen or not (ours or type(each) in (dict, list, tuple, set)):
            continue
        seen[id(each)] = each
        if not isinstance(each, Secret):
            waiting += gc.get_referents(each)
    return [each for each in seen.values() if isinstance(each, Secret) and not each.wiped]


@contextmanager
def end_of(link: Link) -> Iterator[None]:
    """Within, ``link`` comes to its end: no secret of it may be alive then, wherever it is held."""
    gc.collect(0)
    gc.disable()  # what is collected meanwhile is wiped, and would be counted
    try:
        held = secrets_of(link)
        others = slots_in_use() - len(held)
        yield
        assert secrets_of(link) == []
        assert all(each.wiped for each in held), "a secret was let go and not wiped"
        assert slots_in_use() == others, "a secret lives on out of the link's reach"
    finally:
        gc.enable()


def refusal(link: Link, data: bytes, *, end: bool = False) -> Violation:
    """How ``link`` ends on ``data``; nothing may be left to send then, and no secret alive."""
    with end_of(link), pytest.raises(RemoteProtocolError) as caught:
        _feed(link, data, end)
    assert link.data_to_send() == b""
    assert repr(link).endswith("wiped>")
    return caught.value.violation


def _feed(link: Link, data: bytes, end: bool) -> None:
    all_of(link, data)
    if end:
        link.received(0)
        all_of(link, b"")


# Frames.


def framed(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


def frames_in(data: bytes) -> Iterator[bytes]:
    """Cut frames apart, each with its length prefix."""
    while data:
        size = 4 + struct.unpack(">I", data[:4])[0]
        assert len(data) >= size
        yield data[:size]
        data = data[size:]


def padded(plaintext: bytes) -> bytes:
    block = 1024 if len(plaintext) + 1 <= 3072 else 4096
    return plaintext + b"\x80" + bytes(-(len(plaintext) + 1) % block)


class Sealer:
    """One direction of records as another make writes it; ``head`` is its first frame."""

    def __init__(self, key: bytes, handshake_hash: bytes) -> None:
        self._state = bindings.crypto_secretstream_xchacha20poly1305_state()
        self.head = framed(
            bindings.crypto_secretstream_xchacha20poly1305_init_push(self._state, key)
        )
        self._data = handshake_hash

    def record(self, type: str, **fields: Any) -> bytes:
        tag = TAG_FINAL if type == "bye" else TAG_REKEY
        return self.plain(msgspec.msgpack.encode({"type": type, **fields}), tag)

    def plain(self, plaintext: bytes, tag: int = TAG_REKEY) -> bytes:
        """A frame with any bytes in place of a record."""
        return self.message(padded(plaintext), tag)

    def message(self, message: bytes, tag: int = TAG_REKEY, data: bytes | None = None) -> bytes:
        """A frame with any bytes in place of a padded record."""
        sealed = bindings.crypto_secretstream_xchacha20poly1305_push(
            self._state, message, self._data if data is None else data, tag
        )
        self._data = b""
        return framed(sealed)

    def hello(self) -> bytes:
        return self.record("hello", port=31488, version="test", received=0, shown=0)


class Opener:
    """The other direction: frames to ``(fields, tag)``."""

    def __init__(self, key: bytes, handshake_hash: bytes) -> None:
        self._key = key
        self._state: Any = None
        self._data = handshake_hash

    def read(self, data: bytes) -> list[tuple[Mapping[str, Any], int]]:
        return [opened for frame in frames_in(data) if (opened := self._read(frame[4:]))]

    def _read(self, body: bytes) -> tuple[Mapping[str, Any], int] | None:
        if self._state is None:
            self._state = bindings.crypto_secretstream_xchacha20poly1305_state()
            bindings.crypto_secretstream_xchacha20poly1305_init_pull(self._state, body, self._key)
            return None
        message, tag = bindings.crypto_secretstream_xchacha20poly1305_pull(
            self._state, body, self._data
        )
        self._data = b""
        block = 1024 if len(message) < 4096 else 4096
        assert len(message) % block == 0
        return msgspec.msgpack.decode(bindings.sodium_unpad(message, block)), tag


# The handshake.


def public_of(private: bytes) -> bytes:
    public: bytes = bindings.crypto_scalarmult_base(private)
    return public


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def blake2b(data: bytes) -> bytes:
    return hashlib.blake2b(data).digest()


def hkdf(chaining_key: bytes, material: bytes) -> tuple[bytes, bytes]:
    temporary = hmac.digest(chaining_key, material, hashlib.blake2b)
    first = hmac.digest(temporary, b"\1", hashlib.blake2b)
    return first, hmac.digest(temporary, first + b"\2", hashlib.blake2b)


def handshake_line(blob: bytes) -> bytes:
    return b"HANDSHAKE " + base64.b64encode(blob) + b" ~~\n"


def answer_line(blob: bytes) -> bytes:
    return b"HANDSHAKE_ACK " + base64.b64encode(blob) + b" ~~\n"


def blob_of(line: bytes) -> bytes:
    return base64.b64decode(line.split()[1], validate=True)


class NativePeer:
    """One end of a native link; what it claims can be changed before it says so.

    ``seal`` and ``open`` are its two directions once the handshake is done, ``hash`` what both
    sides then agree on.
    """

    def __init__(self, static: bytes | None = None, ephemeral: bytes | None = None) -> None:
        self.static = static or os.urandom(32)
        self.ephemeral = ephemeral or os.urandom(32)
        self._kem = MLKEM768PrivateKey.generate()
        #: The keys that it says are its own.
        self.claimed_ephemeral = public_of(self.ephemeral)
        self.claimed_static = public_of(self.static)
        self.kem_key = self._kem.public_key().public_bytes_raw()
        #: A change of the ciphertext that it sends.
        self.spoil_ciphertext = bytes(1088)
        #: The peer's static key, once it came.
        self.peer = b""
        self.seal: Sealer
        self.open: Opener

    def line(self) -> bytes:
        """Message 1."""
        return handshake_line(self.claimed_ephemeral)

    def answer(self, line: bytes, after: bytes = b"") -> bytes:
        """Message 2, in a line; ``after``: our own line that met ``line``."""
        self._begin(line, after)
        self._their_ephemeral = blob_of(line)
        self._mix_hash(self._their_ephemeral)
        self._mix_hash(b"")
        self._mix_hash(self.claimed_ephemeral)
        self._mix_dh(self.ephemeral, self._their_ephemeral)
        sealed = self._seal(self.claimed_static)
        self._mix_dh(self.static, self._their_ephemeral)
        return answer_line(self.claimed_ephemeral + sealed + self._seal(self.kem_key))

    def message_3(self, answer: bytes, after: bytes = b"") -> bytes:
        """Read message 2 and give message 3, framed; ``after``: the line that met ours."""
        self._begin(self.line(), after)
        self._mix_hash(self.claimed_ephemeral)
        self._mix_hash(b"")
        blob = blob_of(answer)
        their_ephemeral = blob[:32]
        self._mix_hash(their_ephemeral)
        self._mix_dh(self.ephemeral, their_ephemeral)
        self.peer = self._open(blob[32:80])
        self._mix_dh(self.ephemeral, self.peer)
        kem_key = MLKEM768PublicKey.from_public_bytes(self._open(blob[80:]))
        shared, ciphertext = kem_key.encapsulate()
        ciphertext = bytes(a ^ b for a, b in zip(ciphertext, self.spoil_ciphertext, strict=True))
        sealed = self._seal(self.claimed_static)
        self._mix_dh(self.static, their_ephemeral)
        message = framed(sealed + self._seal(ciphertext))
        self._split(shared, initiator=True)
        return message

    def read_message_3(self, frame: bytes) -> None:
        self.peer = self._open(frame[4:52])
        self._mix_dh(self.ephemeral, self.peer)
        self._split(self._kem.decapsulate(self._open(frame[52:])), initiator=False)

    def _begin(self, *lines: bytes) -> None:
        self.hash = b"Noise_XX_25519_ChaChaPoly_BLAKE2b".ljust(64, b"\0")
        self._chaining_key = self.hash
        self._mix_hash(b"fantom/2\n" + b"".join(lines))

    def _mix_hash(self, data: bytes) -> None:
        self.hash = blake2b(self.hash + data)

    def _mix_key(self, material: bytes) -> None:
        self._chaining_key, key = hkdf(self._chaining_key, material)
        self._key, self._counter = key[:32], 0

    def _mix_dh(self, private: bytes, public: bytes) -> None:
        self._mix_key(bindings.crypto_scalarmult(private, public))

    def _nonce(self) -> bytes:
        self._counter += 1
        return bytes(4) + struct.pack("<Q", self._counter - 1)

    def _seal(self, plaintext: bytes) -> bytes:
        sealed: bytes = bindings.crypto_aead_chacha20poly1305_ietf_encrypt(
            plaintext, self.hash, self._nonce(), self._key
        )
        self._mix_hash(sealed)
        return sealed

    def _open(self, sealed: bytes) -> bytes:
        plaintext: bytes = bindings.crypto_aead_chacha20poly1305_ietf_decrypt(
            sealed, self.hash, self._nonce(), self._key
        )
        self._mix_hash(sealed)
        return plaintext

    def _split(self, shared: bytes, *, initiator: bool) -> None:
        self._mix_key(shared)
        keys = [key[:32] for key in hkdf(self._chaining_key, b"")]
        send, receive = keys if initiator else reversed(keys)
        self.seal, self.open = Sealer(send, self.hash), Opener(receive, self.hash)


def listener_and_peer(**options: Any) -> tuple[Link, NativePeer]:
    """A listener of ours and the other make's dialer, whose message 3 is read."""
    link, peer = listener(**options), NativePeer()
    assert link.receive_data(peer.line()) == []
    link.receive_data(peer.message_3(sent(link)))
    return link, peer


def dialer_and_peer(**options: Any) -> tuple[Link, NativePeer]:
    """A dialer of ours and the other make's listener; our header is read."""
    link, peer = dialer(**options), NativePeer()
    link.receive_data(peer.answer(sent(link)))
    message_3, header = frames_in(sent(link))
    peer.read_message_3(message_3)
    assert peer.open.read(header) == []
    return link, peer
