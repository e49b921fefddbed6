"""ML-KEM-768 against another implementation, and what becomes of its secrets."""

import os

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from kyber_py.ml_kem import ML_KEM_768  # type: ignore[import-untyped]

from fantom_trio.wire import LocalProtocolError, RemoteProtocolError, Violation, kem
from fantom_trio.wire.kem import Decapsulator, encapsulate
from fantom_trio.wire.secret import Secret


def test_another_implementation_opens_what_we_encapsulate() -> None:
    for _ in range(5):
        public, private = ML_KEM_768.keygen()
        ciphertext, shared = encapsulate(public)
        assert ML_KEM_768.decaps(private, ciphertext) == shared.reveal()


def test_we_open_what_another_implementation_encapsulates() -> None:
    for _ in range(5):
        ours = Decapsulator()
        shared, ciphertext = ML_KEM_768.encaps(ours.public)
        assert ours.decapsulate(ciphertext).reveal() == shared


def test_the_sizes_are_those_of_the_standard() -> None:
    ours = Decapsulator()
    ciphertext, shared = encapsulate(ours.public)
    assert (len(ours.public), len(ciphertext), len(shared)) == (1184, 1088, 32)
    assert (kem.PUBLIC_BYTES, kem.CIPHERTEXT_BYTES) == (1184, 1088)


def test_every_key_and_every_ciphertext_is_fresh() -> None:
    keys = [Decapsulator().public for _ in range(5)]
    sealed = [encapsulate(keys[0]) for _ in range(5)]
    assert len(set(keys)) == 5
    assert len({ciphertext for ciphertext, _ in sealed}) == 5
    assert len({shared.reveal() for _, shared in sealed}) == 5


def test_a_changed_ciphertext_gives_another_secret_and_no_error() -> None:
    rejecting = MLKEM768PrivateKey.from_seed_bytes(seed := os.urandom(64))
    public, private = ML_KEM_768.key_derive(seed)
    assert rejecting.public_key().public_bytes_raw() == public
    ciphertext, shared = encapsulate(public)
    for at in (0, 500, 1087):
        ours, spoiled = Decapsulator(), bytearray(ciphertext)
        ours._private = rejecting
        spoiled[at] ^= 1
        found = ours.decapsulate(bytes(spoiled)).reveal()
        assert found != shared.reveal()
        assert found == ML_KEM_768.decaps(private, bytes(spoiled)), "FIPS 203, implicit rejection"


def with_coefficient(public: bytes, number: int, value: int) -> bytes:
    """``public`` with one of its 768 coefficients, 12 bits each, little-endian, replaced."""
    bits = int.from_bytes(public[:1152], "little")
    bits &= ~(0xFFF << 12 * number)
    bits |= value << 12 * number
    return bits.to_bytes(1152, "little") + public[1152:]


@pytest.mark.parametrize("number", [0, 1, 255, 256, 400, 767])
def test_a_coefficient_of_q_or_more_makes_a_key_invalid(number: int) -> None:
    public = Decapsulator().public
    for value in (3329, 3330, 4095):
        with pytest.raises(RemoteProtocolError) as caught:
            encapsulate(with_coefficient(public, number, value))
        assert caught.value.violation is Violation.KEM_KEY
    assert len(encapsulate(with_coefficient(public, number, 3328))[1]) == 32


@pytest.mark.parametrize("key", [b"\xff" * 1184, bytes(1183), bytes(1185), b"", bytes(range(32))])
def test_bytes_that_are_no_key_are_refused(key: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        encapsulate(key)
    assert caught.value.violation is Violation.KEM_KEY


def test_a_key_pair_serves_once() -> None:
    ours = Decapsulator()
    ciphertext, _ = encapsulate(ours.public)
    ours.decapsulate(ciphertext)
    with pytest.raises(LocalProtocolError, match="used or wiped"):
        ours.decapsulate(ciphertext)


def test_a_wiped_key_pair_opens_nothing() -> None:
    ours = Decapsulator()
    ciphertext, _ = encapsulate(ours.public)
    ours.wipe()
    ours.wipe()
    with pytest.raises(LocalProtocolError, match="used or wiped"):
        ours.decapsulate(ciphertext)
    assert ours._private is None


class Watched:
    """Stands for ``cryptography``'s keys and keeps what it hands out."""

    def __init__(self) -> None:
        self.shared = os.urandom(32)
        self.copy = bytes(bytearray(self.shared))

    def decapsulate(self, _: bytes) -> bytes:
        return self.shared

    def encapsulate(self) -> tuple[bytes, bytes]:
        return self.shared, bytes(1088)


def test_the_library_s_copies_of_the_secret_are_overwritten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watched = Watched()
    ours = Decapsulator()
    monkeypatch.setattr(ours, "_private", watched)
    found: list[Secret] = [ours.decapsulate(bytes(1088))]
    assert watched.shared == bytes(32)
    assert found[0].reveal() == watched.copy

    other = Watched()
    monkeypatch.setattr(
        kem, "MLKEM768PublicKey", type("", (), {"from_public_bytes": lambda _: other})
    )
    found.append(encapsulate(bytes(1184))[1])
    assert other.shared == bytes(32)
    assert found[1].reveal() == other.copy


def test_the_library_hands_out_a_secret_of_its_own_each_time() -> None:
    """``take_over`` overwrites what it is given: nobody else may hold it."""
    ours = Decapsulator()
    key = MLKEM768PublicKey.from_public_bytes(ours.public)
    shared, ciphertext = key.encapsulate()
    assert ours._private is not None
    first, second = (ours._private.decapsulate(ciphertext) for _ in range(2))
    assert first == second == shared
    assert first is not second
    Secret.take_over(first)
    assert second == shared
    assert first == bytes(32)
