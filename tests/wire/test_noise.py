"""Noise handshakes: public vectors where they stand, an independent implementation everywhere."""

import hashlib
import hmac
import json
import os
from pathlib import Path
from typing import Any

import pytest
from kyber_py.ml_kem import ML_KEM_768  # type: ignore[import-untyped]
from nacl import bindings
from noise.connection import Keypair, NoiseConnection

from fantom_trio.wire import (
    LocalProtocolError,
    RemoteProtocolError,
    Violation,
    classic,
    native,
    secret,
)
from fantom_trio.wire.frames import ReceiveBuffer
from fantom_trio.wire.noise import CipherState, HandshakeState
from fantom_trio.wire.records import Bye, Ping, Record
from fantom_trio.wire.secret import KeyPair, Secret
from fantom_trio.wire.stream import RecordReader, RecordWriter
from tests.wire.native_ends import HELLO, Opener, Sealer, hkdf
from tests.wire.test_secret import bytes_at, memory_of

#: Not ours to copy: they stand beside the project where it is developed, and in CI.
VECTORS = Path(__file__).parents[3] / "shared" / "vectors" / "noise.json"
NAME = "Noise_{}_25519_ChaChaPoly_BLAKE2b"
PATTERNS = ("NN", "XX")


def vectors() -> list[dict[str, Any]]:
    if not VECTORS.exists():
        return []
    found: list[dict[str, Any]] = json.loads(VECTORS.read_text())["vectors"]
    return found


def key_pair(text: str | None) -> KeyPair | None:
    return KeyPair(Secret.copy_of(bytes.fromhex(text))) if text else None


class Ours:
    """A handshake and then the two ciphers, as ``NoiseConnection`` puts them together."""

    def __init__(self, pattern: str, *, initiator: bool, prologue: bytes, **keys: Any) -> None:
        self.state = HandshakeState(pattern, initiator=initiator, prologue=prologue, **keys)

    def write(self, payload: bytes) -> bytes:
        if self.state.done:
            return self._ciphers()[0].encrypt(b"", payload)
        return self.state.write_message(payload)

    def read(self, message: bytes) -> bytes:
        if self.state.done:
            return self._ciphers()[1].decrypt(b"", message)
        return self.state.read_message(message)

    def _ciphers(self) -> tuple[CipherState, CipherState]:
        """To send with and to receive with."""
        if not hasattr(self, "ciphers"):
            first, second = map(CipherState, self.state.split())
            self.ciphers = (first, second) if self.state.initiator else (second, first)
        return self.ciphers


@pytest.mark.parametrize("vector", vectors(), ids=lambda vector: vector["protocol_name"])
def test_a_public_vector_passes_byte_for_byte(vector: dict[str, Any]) -> None:
    pattern = vector["protocol_name"].split("_")[1]
    sides = [
        Ours(
            pattern,
            initiator=initiator,
            prologue=bytes.fromhex(vector[f"{side}_prologue"]),
            static=key_pair(vector.get(f"{side}_static")),
            ephemeral=key_pair(vector[f"{side}_ephemeral"]),
        )
        for initiator, side in ((True, "init"), (False, "resp"))
    ]
    for number, message in enumerate(vector["messages"]):
        writer, reader = sides[number % 2], sides[(number + 1) % 2]
        payload, sealed = (bytes.fromhex(message[key]) for key in ("payload", "ciphertext"))
        assert writer.write(payload) == sealed
        assert reader.read(sealed) == payload
    for side in sides:
        assert side.state.hash.hex() == vector["handshake_hash"]


def theirs(pattern: str, private: bytes, *, initiator: bool) -> NoiseConnection:
    connection = NoiseConnection.from_name(NAME.format(pattern).encode())
    connection.set_as_initiator() if initiator else connection.set_as_responder()
    connection.set_prologue(b"fantom")
    if pattern == "XX":
        connection.set_keypair_from_private_bytes(Keypair.STATIC, private)
    connection.start_handshake()
    return connection


@pytest.mark.parametrize("we_start", [True, False], ids=["as initiator", "as responder"])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_an_independent_implementation_completes_the_handshake_with_ours(
    pattern: str, we_start: bool
) -> None:
    us = Ours(pattern, initiator=we_start, prologue=b"fantom", static=KeyPair.generate())
    private = os.urandom(32)
    them = theirs(pattern, private, initiator=not we_start)
    our_turn = we_start
    while not us.state.done:
        payload = os.urandom(40)
        if our_turn:
            assert bytes(them.read_message(us.write(payload))) == payload
        else:
            assert us.read(bytes(them.write_message(payload))) == payload
        our_turn = not our_turn
    assert them.handshake_finished
    assert us.state.hash == them.get_handshake_hash()
    if pattern == "XX":
        assert us.state.peer_static == bindings.crypto_scalarmult_base(private)
    for _ in range(3):
        assert bytes(them.decrypt(us.write(b"ours"))) == b"ours"
        assert us.read(bytes(them.encrypt(b"theirs"))) == b"theirs"


class KeyExchange:
    """The independent implementation on a native link: it stops before the ML-KEM share.

    From there, ``hkdf`` over the chaining key that it was left with, by hand.
    """

    def __init__(self, line: bytes, *, initiator: bool) -> None:
        self.private = os.urandom(32)
        self.noise = NoiseConnection.from_name(NAME.format("XX").encode())
        self.noise.set_as_initiator() if initiator else self.noise.set_as_responder()
        self.noise.set_prologue(b"fantom/2\n" + line)
        self.noise.set_keypair_from_private_bytes(Keypair.STATIC, self.private)
        self.initiator = initiator

    def start(self) -> None:
        self.noise.start_handshake()
        # It is let go with the last message.
        self.symmetric = self.noise.noise_protocol.symmetric_state

    def streams(self, shared: bytes) -> tuple[Sealer, Opener]:
        chaining_key, _ = hkdf(self.symmetric.ck, shared)
        first, second = (key[:32] for key in hkdf(chaining_key, b""))
        send, receive = (first, second) if self.initiator else (second, first)
        h = self.noise.get_handshake_hash()
        return Sealer(send, h), Opener(receive, h)


def assert_they_talk(
    reader: RecordReader, writer: RecordWriter, out: bytearray, seal: Sealer, opener: Opener
) -> None:
    """``out`` holds our stream's header and nothing else."""
    writer.write(HELLO, out)
    writer.write(Bye("quit"), out)
    assert [fields["type"] for fields, _ in opener.read(bytes(out))] == ["hello", "bye"]
    buffer, found = ReceiveBuffer(), list[Record]()
    data = seal.head + seal.hello() + seal.record("ping")
    buffer.lend()[: len(data)] = data
    buffer.filled(len(data))
    reader.read(buffer, found)
    assert found == [HELLO, Ping()]


def test_an_independent_implementation_answers_our_native_initiator() -> None:
    static, ephemeral = KeyPair.generate(), KeyPair.generate()
    line = native.line(classic.HANDSHAKE, ephemeral.public)
    them = KeyExchange(line, initiator=False)
    them.start()
    kem_key, kem_private = ML_KEM_768.keygen()
    assert bytes(them.noise.read_message(ephemeral.public)) == b""
    message_2 = bytes(them.noise.write_message(kem_key))
    assert len(message_2) == 1280

    out = bytearray()
    us = native.Initiator(static, ephemeral, line, None)
    reader, writer = us.finish(message_2, out)
    assert us.peer == bindings.crypto_scalarmult_base(them.private)
    message_3 = out[4 : 4 + 1152]
    del out[: 4 + 1152]
    ciphertext = bytes(them.noise.read_message(bytes(message_3)))
    assert len(ciphertext) == 1088
    assert us.hash == them.noise.get_handshake_hash()
    shared = ML_KEM_768.decaps(kem_private, ciphertext)
    assert_they_talk(reader, writer, out, *them.streams(shared))


# The line with our key in it is part of the prologue, so the key comes first.
@pytest.mark.filterwarnings("ignore:One of ephemeral keypairs is already set")
def test_an_independent_implementation_dials_our_native_responder() -> None:
    private = os.urandom(32)
    e = bindings.crypto_scalarmult_base(private)
    line = native.line(classic.HANDSHAKE, e)
    them = KeyExchange(line, initiator=True)
    them.noise.set_keypair_from_private_bytes(Keypair.EPHEMERAL, private)
    them.start()
    assert bytes(them.noise.write_message(b"")) == e

    static = KeyPair.generate()
    us = native.Responder(static, e, line, None)
    message_2 = us.message_2()
    assert len(message_2) == 1280
    kem_key = bytes(them.noise.read_message(message_2))
    shared, ciphertext = ML_KEM_768.encaps(kem_key)
    message_3 = bytes(them.noise.write_message(ciphertext))
    assert len(message_3) == 1152
    out = bytearray()
    reader, writer = us.finish(message_3, out)
    assert us.peer == bindings.crypto_scalarmult_base(them.private)
    assert us.hash == them.noise.get_handshake_hash()
    assert_they_talk(reader, writer, out, *them.streams(shared))


def pair(pattern: str = "XX") -> tuple[HandshakeState, HandshakeState]:
    return (
        HandshakeState(pattern, initiator=True, static=KeyPair.generate()),
        HandshakeState(pattern, initiator=False, static=KeyPair.generate()),
    )


def complete(one: HandshakeState, two: HandshakeState) -> None:
    writer, reader = one, two
    while not (one.done and two.done):
        reader.read_message(writer.write_message(b""))
        writer, reader = reader, writer


def test_both_sides_know_each_other_s_static_key_and_nobody_else_s() -> None:
    alice, bob = KeyPair.generate(), KeyPair.generate()
    one = HandshakeState("XX", initiator=True, static=alice)
    two = HandshakeState("XX", initiator=False, static=bob)
    first = one.write_message(b"")
    two.read_message(first)
    second = two.write_message(b"")
    one.read_message(second)
    third = one.write_message(b"")
    two.read_message(third)
    assert (one.peer_static, two.peer_static) == (bob.public, alice.public)
    for message in (first, second, third):
        assert alice.public not in message
        assert bob.public not in message


@pytest.mark.parametrize("number", [1, 2])
def test_a_changed_bit_in_an_encrypted_message_is_refused(number: int) -> None:
    size = {1: 32 + 48 + 16, 2: 48 + 16}[number]
    for at in range(32 if number == 1 else 0, size, 7):
        one, two = pair()
        for step in range(3):
            message = bytearray(one.write_message(b""))
            if step == number:
                message[at] ^= 0x10
                with pytest.raises(RemoteProtocolError) as caught:
                    two.read_message(bytes(message))
                assert caught.value.violation is Violation.BAD_MAC
                break
            two.read_message(bytes(message))
            one, two = two, one


@pytest.mark.parametrize("size", [0, 31])
def test_a_message_too_short_for_its_keys_is_refused(size: int) -> None:
    _, two = pair()
    with pytest.raises(RemoteProtocolError) as caught:
        two.read_message(bytes(size))
    assert caught.value.violation is Violation.KEY_LENGTH


def test_a_key_of_small_order_is_refused() -> None:
    one, two = pair()
    two.read_message(bytes(32))
    with pytest.raises(RemoteProtocolError) as caught:
        two.write_message(b"")
    assert caught.value.violation is Violation.KEY_WEAK
    one.wipe()


def test_another_prologue_gives_another_handshake() -> None:
    one = HandshakeState("XX", initiator=True, static=KeyPair.generate(), prologue=b"a")
    two = HandshakeState("XX", initiator=False, static=KeyPair.generate(), prologue=b"b")
    two.read_message(one.write_message(b""))
    with pytest.raises(RemoteProtocolError):
        one.read_message(two.write_message(b""))


def test_messages_are_written_and_read_in_turn() -> None:
    one, two = pair()
    with pytest.raises(LocalProtocolError):
        two.write_message(b"")
    with pytest.raises(LocalProtocolError):
        one.read_message(bytes(32))
    with pytest.raises(LocalProtocolError):
        one.split()
    complete(one, two)
    with pytest.raises(LocalProtocolError):
        one.write_message(b"")


def test_another_secret_may_be_mixed_in_before_the_split() -> None:
    one, two = pair()
    complete(one, two)
    for state in (one, two):
        state.mix_key(Secret.copy_of(b"\x42" * 32))
    assert _keys(one) == _keys(two)
    one, two = pair()
    complete(one, two)
    one.mix_key(Secret.copy_of(b"\x42" * 32))
    assert _keys(one) != _keys(two)


def _keys(state: HandshakeState) -> list[bytes]:
    return [bytes_at(memory_of(key)) for key in state.split()]


def test_all_secrets_of_a_handshake_die_with_the_split_or_the_wipe() -> None:
    for end in (HandshakeState.split, HandshakeState.wipe):
        one, two = pair()
        complete(one, two)
        secrets = [one._symmetric._chaining_key, one._symmetric._cipher.key]
        assert one._ephemeral is not None
        secrets.append(one._ephemeral.private)
        end(one)
        assert all(each is not None and each.wiped for each in secrets)
        with pytest.raises(LocalProtocolError):
            one.split()


# The primitives, against Python's own.


def test_hkdf_agrees_with_hmac_of_the_standard_library() -> None:
    for material in (b"", b"\1" * 32, bytes(range(64))):
        key = os.urandom(64)
        temporary = hmac.digest(key, material, hashlib.blake2b)
        first = hmac.digest(temporary, b"\1", hashlib.blake2b)
        second = hmac.digest(temporary, first + b"\2", hashlib.blake2b)
        given = Secret.copy_of(material) if material else material
        found = secret.hkdf(Secret.copy_of(key), given)
        assert [bytes_at(memory_of(each)) for each in found] == [first, second]


def test_the_cipher_agrees_with_the_public_functions() -> None:
    key = os.urandom(32)
    for counter in (0, 1, 2**32, 2**64 - 2):
        nonce = bytes(4) + counter.to_bytes(8, "little")
        sealed = secret.aead_seal(Secret.copy_of(key), counter, b"ad", b"text")
        assert sealed == bindings.crypto_aead_chacha20poly1305_ietf_encrypt(
            b"text", b"ad", nonce, key
        )
        assert secret.aead_open(Secret.copy_of(key), counter, b"ad", sealed) == b"text"
        assert secret.aead_open(Secret.copy_of(key), counter, b"AD", sealed) is None
    assert secret.aead_open(Secret.copy_of(key), 0, b"", bytes(15)) is None


def test_diffie_hellman_agrees_with_the_public_function() -> None:
    private, own = os.urandom(32), KeyPair.generate()
    shared = secret.diffie_hellman(own, bindings.crypto_scalarmult_base(private))
    assert shared is not None
    expected = bindings.crypto_scalarmult(private, own.public)
    assert bytes_at(memory_of(shared))[:32] == expected
    assert secret.diffie_hellman(own, bytes(32)) is None
