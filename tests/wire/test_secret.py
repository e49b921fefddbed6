"""Memory that is wiped, checked against PyNaCl's public functions."""

import copy
import gc
import pickle
import re
import tomllib
from pathlib import Path

import nacl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl import bindings
from nacl._sodium import ffi, lib
from nacl.secret import SecretBox

from fantom_trio.wire import LocalProtocolError, secret
from fantom_trio.wire.secret import KeyPair, Secret

ROOT = Path(__file__).parents[2]


def memory_of(key: Secret) -> object:
    """The slot itself, to look at after the wipe."""
    return key._address()


def bytes_at(pointer: object) -> bytes:
    return bytes(ffi.buffer(pointer, 64))


def test_a_wiped_secret_leaves_zeros_and_refuses_work() -> None:
    key = Secret.copy_of(bytes(range(1, 33)))
    slot = memory_of(key)
    assert bytes_at(slot)[:32] == bytes(range(1, 33))
    key.wipe()
    assert bytes_at(slot) == bytes(64)
    assert key.wiped
    key.wipe()
    with pytest.raises(LocalProtocolError, match="wiped"):
        secret.seal_box(key, bytes(24), b"")


def test_a_forgotten_secret_is_wiped_when_it_is_collected() -> None:
    key = Secret.copy_of(b"\xaa" * 32)
    slot = memory_of(key)
    del key
    gc.collect()
    assert bytes_at(slot) == bytes(64)


def test_wiping_one_secret_leaves_its_neighbours() -> None:
    keys = [Secret.copy_of(bytes([number]) * 32) for number in range(1, 200)]
    for key in keys[::2]:
        key.wipe()
    for number, key in enumerate(keys, 1):
        if number % 2 == 0:
            assert bytes_at(memory_of(key))[:32] == bytes([number]) * 32


def test_slots_are_used_again_and_more_are_mapped_when_needed() -> None:
    for _ in range(3):
        keys = [Secret.random(32) for _ in range(3000)]
        assert len({bytes_at(memory_of(key))[:32] for key in keys}) == 3000
        for key in keys:
            key.wipe()
    assert len(secret._mappings) <= 4


def test_nothing_of_a_secret_shows() -> None:
    key = Secret.copy_of(b"deadbeefdeadbeefdeadbeefdeadbeef")
    pair = KeyPair(Secret.copy_of(b"deadbeefdeadbeefdeadbeefdeadbeef"))
    assert repr(key) == "<Secret of 32 bytes>"
    assert repr(pair) == "<KeyPair alive>"
    for give in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="not copied or pickled"):
            give(key)
    for give in (copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="not copied or pickled"):
            give(pair)
    key.wipe()
    assert repr(key) == "<Secret, wiped>"


@pytest.mark.parametrize("size", [0, -1, 257])
def test_a_secret_holds_1_to_256_bytes(size: int) -> None:
    with pytest.raises(ValueError, match="1 to 256"):
        Secret(size)


def test_session_keys_agree_with_the_public_functions() -> None:
    for client in (True, False):
        own, (public, private) = KeyPair.generate(), bindings.crypto_kx_keypair()
        keys = secret.session_keys(own, public, client=client)
        assert keys is not None
        theirs = (
            bindings.crypto_kx_server_session_keys
            if client
            else bindings.crypto_kx_client_session_keys
        )(public, private, own.public)
        assert tuple(bytes_at(memory_of(key))[:32] for key in keys) == theirs[::-1]


def test_boxes_agree_with_the_public_functions() -> None:
    key, nonce = bytes(range(32)), bytes(range(24))
    sealed = secret.seal_box(Secret.copy_of(key), nonce, b"attack at dawn")
    assert SecretBox(key).decrypt(bytes(sealed), nonce) == b"attack at dawn"
    buffer = bytearray(b"abc" + bytes(sealed) + b"xyz")
    assert secret.open_box(Secret.copy_of(key), nonce, buffer, 3, 3 + len(sealed))
    assert buffer[3 + 16 : 3 + len(sealed)] == b"attack at dawn"
    assert buffer[:3] + buffer[-3:] == b"abcxyz"


def test_what_libsodium_would_read_past_is_refused_here() -> None:
    key = Secret.random(32)
    with pytest.raises(ValueError, match="24 bytes"):
        secret.seal_box(key, bytes(23), b"")
    with pytest.raises(ValueError, match="32 bytes"):
        secret.seal_box(Secret.random(31), bytes(24), b"")
    for start, stop in ((0, 15), (1, 17), (-1, 16), (0, 17)):
        with pytest.raises(ValueError, match="no box"):
            secret.open_box(key, bytes(24), bytearray(16), start, stop)
    with pytest.raises(ValueError, match="32 bytes"):
        secret.session_keys(KeyPair.generate(), bytes(31), client=True)
    with pytest.raises(ValueError, match="32 bytes"):
        KeyPair(Secret.random(16))
    for start, stop in ((0, 17), (5, 4), (-1, 3)):
        with pytest.raises(ValueError, match="16 bytes"):
            secret.wipe_buffer(bytearray(16), start, stop)


def push(state: Secret, plaintext: bytes, data: bytes, tag: int) -> bytes:
    frame = bytearray(b"head" + b"\0" + plaintext + bytes(16))
    secret.stream_push(state, frame, 4, data, tag)
    assert frame[:4] == b"head"
    return bytes(frame[4:])


def pull(state: Secret, message: bytes, data: bytes) -> tuple[bytes, int] | None:
    buffer = bytearray(b"abc" + message + b"xyz")
    tag = secret.stream_pull(state, buffer, 3, 3 + len(message), data)
    assert buffer[:3] + buffer[-3:] == b"abcxyz"
    return None if tag is None else (bytes(buffer[4 : 3 + len(message) - 16]), tag)


MESSAGES = [
    (b"one", b"hash", secret.TAG_REKEY),
    (b"", b"", secret.TAG_REKEY),
    (b"x" * 61_440, b"", 0),
    (b"two", b"", 1),
    (b"last", b"", secret.TAG_FINAL),
]


@pytest.mark.parametrize("size", [32, 64])
def test_streams_agree_with_the_public_functions(size: int) -> None:
    key = bytes(range(size))
    theirs = bindings.crypto_secretstream_xchacha20poly1305_state()
    state, header = secret.stream_sealer(Secret.copy_of(key))
    bindings.crypto_secretstream_xchacha20poly1305_init_pull(theirs, header, key[:32])
    for plaintext, data, tag in MESSAGES:
        sealed = push(state, plaintext, data, tag)
        assert bindings.crypto_secretstream_xchacha20poly1305_pull(theirs, sealed, data) == (
            plaintext,
            tag,
        )
    header = bindings.crypto_secretstream_xchacha20poly1305_init_push(theirs, key[:32])
    state = secret.stream_opener(Secret.copy_of(key), header)
    for plaintext, data, tag in MESSAGES:
        sealed = bindings.crypto_secretstream_xchacha20poly1305_push(theirs, plaintext, data, tag)
        assert pull(state, sealed, data) == (plaintext, tag)


def test_the_tags_and_sizes_of_streams_are_libsodium_s() -> None:
    name = "crypto_secretstream_xchacha20poly1305_"
    assert getattr(bindings, name + "TAG_REKEY") == secret.TAG_REKEY
    assert getattr(bindings, name + "TAG_FINAL") == secret.TAG_FINAL
    assert getattr(bindings, name + "HEADERBYTES") == secret.STREAM_HEADER_BYTES
    assert getattr(bindings, name + "ABYTES") == secret.STREAM_EXTRA_BYTES
    assert getattr(bindings, name + "STATEBYTES") == secret._STREAM_STATE_BYTES


def test_what_is_not_the_stream_s_next_message_does_not_open() -> None:
    key = Secret.random(32)
    sealer, header = secret.stream_sealer(key)
    first, second = (push(sealer, text, b"ad", secret.TAG_REKEY) for text in (b"one", b"two"))
    opener = secret.stream_opener(key, header)
    for at in range(len(first)):
        flipped = bytearray(first)
        flipped[at] ^= 1
        assert pull(opener, bytes(flipped), b"ad") is None
    for message, data in ((second, b"ad"), (first, b""), (first, b"AD"), (bytes(17), b"ad")):
        assert pull(opener, message, data) is None
    assert pull(opener, first, b"ad") == (b"one", secret.TAG_REKEY), "a failure changes nothing"
    assert pull(opener, first, b"ad") is None
    assert pull(opener, second, b"ad") == (b"two", secret.TAG_REKEY)


def test_a_stream_s_key_changes_with_every_rekey_and_dies_with_its_state() -> None:
    key = Secret.random(32)
    state, _ = secret.stream_sealer(key)
    keys = []
    for _ in range(5):
        keys.append(bytes_at(memory_of(state))[:32])
        push(state, b"", b"", secret.TAG_REKEY)
    assert len(set(keys)) == 5
    assert not key.wiped
    slot = memory_of(state)
    state.wipe()
    assert bytes_at(slot) == bytes(64)
    with pytest.raises(LocalProtocolError, match="wiped"):
        push(state, b"", b"", 0)
    with pytest.raises(LocalProtocolError, match="wiped"):
        pull(state, bytes(17), b"")
    key.wipe()
    for make in (secret.stream_sealer, lambda each: secret.stream_opener(each, bytes(24))):
        with pytest.raises(LocalProtocolError, match="wiped"):
            make(key)


def test_two_streams_of_one_key_have_headers_of_their_own() -> None:
    key = Secret.random(32)
    assert len({secret.stream_sealer(key)[1] for _ in range(100)}) == 100


def test_what_a_stream_would_read_or_write_past_is_refused_here() -> None:
    key = Secret.random(32)
    state, header = secret.stream_sealer(key)
    for size in (23, 25):
        with pytest.raises(ValueError, match="24 bytes"):
            secret.stream_opener(key, (header + b"x")[:size])
    for size in (16, 31, 33):
        with pytest.raises(ValueError, match="32 bytes"):
            secret.stream_sealer(Secret.random(size))
        with pytest.raises(ValueError, match="32 bytes"):
            secret.stream_opener(Secret.random(size), header)
    with pytest.raises(ValueError, match="52 bytes"):
        secret.stream_push(key, bytearray(17), 0, b"", 0)
    with pytest.raises(ValueError, match="52 bytes"):
        secret.stream_pull(key, bytearray(17), 0, 17, b"")
    for start in (-1, 1, 17, 18):
        with pytest.raises(ValueError, match="no message"):
            secret.stream_push(state, bytearray(17), start, b"", 0)
    for start, stop in ((0, 16), (1, 17), (-1, 17), (0, 18), (2, 1), (-20, -1)):
        with pytest.raises(ValueError, match="no message"):
            secret.stream_pull(state, bytearray(17), start, stop, b"")
    for start, stop in ((0, 0), (5, 4), (-1, 4), (0, 17), (16, 17)):
        with pytest.raises(ValueError, match="in 16 bytes"):
            secret.unpadded(bytearray(16), start, stop, 4)


@pytest.mark.fuzz
@given(
    head=st.binary(max_size=3), data=st.binary(max_size=60), block=st.sampled_from([1, 4, 16, 32])
)
def test_padding_agrees_with_the_public_function(head: bytes, data: bytes, block: int) -> None:
    padded = bindings.sodium_pad(data, block)
    start, stop = len(head), len(head) + len(padded)
    buffer = bytearray(head + padded + b"tail")
    assert secret.unpadded(buffer, start, stop, block) == start + len(data)
    assert buffer == head + padded + b"tail"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"ab\x80\0", 2),
        (b"abc\x80", 3),
        (b"\x80\0\0\0", 0),
        (b"\x80\x80\x80\x80", 3),
        (b"\0\0\0\0", None),
        (b"abcd", None),
        (b"a\x80\0\1", None),
        (b"\x80\0\0\0\0\0\0\0", None),
        (b"\x80\0\0", None),
    ],
)
def test_padding_is_a_mark_and_zeros_in_the_last_block(data: bytes, expected: int | None) -> None:
    assert secret.unpadded(bytearray(data), 0, len(data), 4) == expected


def test_what_a_secret_takes_over_is_overwritten_where_it_was() -> None:
    data = bytes(bytearray(range(1, 33)))
    key = Secret.take_over(data)
    assert data == bytes(32)
    assert key.reveal() == bytes(range(1, 33))


def test_what_a_secret_reveals_is_a_copy() -> None:
    for size in (1, 32, 64, 200):
        data = bytes(range(size))
        key = Secret.copy_of(data)
        shown = key.reveal()
        assert shown == data
        key.wipe()
        assert shown == data
        with pytest.raises(LocalProtocolError, match="wiped"):
            key.reveal()


def test_nonces_do_not_repeat() -> None:
    assert len({secret.random_nonce() for _ in range(1000)}) == 1000


def test_secrets_are_locked_in_memory_here() -> None:
    Secret.random(32).wipe()
    assert secret.secrets_are_locked()


def test_the_private_binding_is_the_one_we_know() -> None:
    """PyNaCl may change it in any minor release: look at every call before you widen the pin."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "pynacl>=1.6,<1.7" in project["project"]["dependencies"]
    assert nacl.__version__.startswith("1.6.")
    source = Path(secret.__file__).read_text()
    known = {
        "sodium_init": "int(*)()",
        "sodium_mlock": "int(*)(void *, size_t)",
        "sodium_memzero": "void(*)(void *, size_t)",
        "randombytes": "void(*)(unsigned char *, unsigned long long)",
        "crypto_scalarmult_base": "int(*)(unsigned char *, unsigned char *)",
        "crypto_scalarmult": "int(*)(unsigned char *, unsigned char *, unsigned char *)",
        "crypto_generichash_blake2b_salt_personal": "int(*)(unsigned char *, size_t,"
        " unsigned char *, unsigned long long, unsigned char *, size_t, unsigned char *,"
        " unsigned char *)",
        "crypto_aead_chacha20poly1305_ietf_encrypt": "int(*)(unsigned char *,"
        " unsigned long long *, unsigned char *, unsigned long long, unsigned char *,"
        " unsigned long long, unsigned char *, unsigned char *, unsigned char *)",
        "crypto_aead_chacha20poly1305_ietf_decrypt": "int(*)(unsigned char *,"
        " unsigned long long *, unsigned char *, unsigned char *, unsigned long long,"
        " unsigned char *, unsigned long long, unsigned char *, unsigned char *)",
        "crypto_kx_client_session_keys": "int(*)(" + ", ".join(["unsigned char *"] * 5) + ")",
        "crypto_kx_server_session_keys": "int(*)(" + ", ".join(["unsigned char *"] * 5) + ")",
        "crypto_secretbox_easy": "int(*)(unsigned char *, unsigned char *, unsigned long long,"
        " unsigned char *, unsigned char *)",
        "crypto_secretbox_open_easy": "int(*)(unsigned char *, unsigned char *,"
        " unsigned long long, unsigned char *, unsigned char *)",
        "crypto_secretstream_xchacha20poly1305_init_push": "int(*)(void *, unsigned char *,"
        " unsigned char *)",
        "crypto_secretstream_xchacha20poly1305_init_pull": "int(*)(void *, unsigned char *,"
        " unsigned char *)",
        "crypto_secretstream_xchacha20poly1305_push": "int(*)(void *, unsigned char *,"
        " unsigned long long *, unsigned char *, unsigned long long, unsigned char *,"
        " unsigned long long, unsigned char)",
        "crypto_secretstream_xchacha20poly1305_pull": "int(*)(void *, unsigned char *,"
        " unsigned long long *, unsigned char *, unsigned char *, unsigned long long,"
        " unsigned char *, unsigned long long)",
        "sodium_unpad": "int(*)(size_t *, unsigned char *, size_t, size_t)",
    }
    assert set(re.findall(r"\blib\.(\w+)", source)) == set(known)
    for function, signature in known.items():
        value = getattr(lib, function)
        kind = signature if function == "sodium_init" else ffi.typeof(value).cname
        assert kind == signature
