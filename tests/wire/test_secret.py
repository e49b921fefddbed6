"""Memory that is wiped, checked against PyNaCl's public functions."""

import copy
import gc
import pickle
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import nacl
import pytest
from nacl import bindings
from nacl._sodium import ffi, lib

from fantom_trio.wire import LocalProtocolError, ciphers, secret
from fantom_trio.wire.secret import KeyPair, Secret

ROOT = Path(__file__).parents[2]


def memory_of(key: Secret) -> object:
    """The slot itself, to look at after the wipe."""
    return key.address()


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
        key.address()


def test_a_forgotten_secret_is_wiped_when_it_is_collected() -> None:
    key = Secret.copy_of(b"\xaa" * 32)
    slot = memory_of(key)
    del key
    gc.collect()
    assert bytes_at(slot) == bytes(64)


#: A secret that goes when the names of its own file are gone: something holds both for longer.
FORGETFUL = """
import sys
from fantom_trio.wire import secret
sys.held = secret, secret.Secret.random(32)
"""


def test_secrets_that_live_until_the_program_ends_disturb_nothing() -> None:
    ended = subprocess.run([sys.executable, "-c", FORGETFUL], capture_output=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")


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


def test_what_libsodium_would_read_past_is_refused_here() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        secret.session_keys(KeyPair.generate(), bytes(31), client=True)
    with pytest.raises(ValueError, match="32 bytes"):
        KeyPair(Secret.random(16))
    for size in (32, 65):
        with pytest.raises(ValueError, match="64 bytes"):
            secret.hkdf(Secret.random(size), b"")
    with pytest.raises(ValueError, match="at most 128 bytes"):
        secret.hkdf(Secret.random(64), bytes(129))


def test_nothing_of_an_hkdf_stays_but_its_outputs() -> None:
    alive = sum(map(len, secret._free.values()))
    with Secret.random(64) as key, Secret.random(128) as material:
        first, second = secret.hkdf(key, material)
        assert key.reveal() != first.reveal() != second.reveal()
        first.wipe()
        second.wipe()
    assert sum(map(len, secret._free.values())) % 2**8 == alive % 2**8
    for slot_bytes, free in secret._free.items():
        assert all(bytes(ffi.buffer(slot, slot_bytes)) == bytes(slot_bytes) for slot in free)
    hmac = secret._hmac
    assert bytes(ffi.buffer(hmac.key, 64)) == bytes(64)
    for block, pad in (hmac._inner, b"\x36"), (hmac._outer, b"\x5c"):
        assert bytes(ffi.buffer(block, 256)) == bytes(64) + 64 * pad + bytes(128)


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
    source = Path(secret.__file__).read_text() + Path(ciphers.__file__).read_text()
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
    }
    assert set(re.findall(r"\blib\.(\w+)", source)) == set(known)
    for function, signature in known.items():
        value = getattr(lib, function)
        kind = signature if function == "sodium_init" else ffi.typeof(value).cname
        assert kind == signature
