"""Frames sealed and opened, checked against PyNaCl's public functions."""

import pytest
from nacl import bindings
from nacl.secret import SecretBox

from fantom_trio.wire import LocalProtocolError, ciphers
from fantom_trio.wire.ciphers import ROOM_BYTES
from fantom_trio.wire.secret import Secret
from tests.wire.test_secret import bytes_at, memory_of


def test_boxes_agree_with_the_public_functions() -> None:
    key, nonce = Secret.copy_of(bytes(range(32))), bytes(range(24))
    sealed = ciphers.seal_box(key, nonce, b"attack at dawn")
    assert SecretBox(key.reveal()).decrypt(bytes(sealed), nonce) == b"attack at dawn"
    buffer, room = bytearray(b"abc" + bytes(sealed) + b"xyz"), bytearray(14)
    open_box = ciphers.box_opener(key, buffer, room)
    assert open_box(nonce, 3, 3 + len(sealed))
    assert room == b"attack at dawn"
    assert buffer == b"abc" + sealed + b"xyz"
    for changed in (nonce[::-1], bytes(24)):
        assert not open_box(changed, 3, 3 + len(sealed))


def test_what_a_box_would_read_or_write_past_is_refused_here() -> None:
    key = Secret.random(32)
    with pytest.raises(ValueError, match="24 bytes"):
        ciphers.seal_box(key, bytes(23), b"")
    for make in (
        lambda: ciphers.seal_box(Secret.random(31), bytes(24), b""),
        lambda: ciphers.box_opener(Secret.random(33), bytearray(16), bytearray(16)),
    ):
        with pytest.raises(ValueError, match="32 bytes"):
            make()
    open_box = ciphers.box_opener(key, bytearray(32), bytearray(8))
    for start, stop in ((0, 15), (17, 33), (-1, 16), (0, 25), (24, 8)):
        with pytest.raises(ValueError, match="no box"):
            open_box(bytes(24), start, stop)
    with pytest.raises(ValueError, match="24 bytes"):
        open_box(bytes(23), 0, 16)
    key.wipe()
    with pytest.raises(LocalProtocolError, match="wiped"):
        ciphers.seal_box(key, bytes(24), b"")
    with pytest.raises(LocalProtocolError, match="wiped"):
        ciphers.box_opener(key, bytearray(16), bytearray(16))


def test_a_room_comes_back_as_zeros() -> None:
    room = ciphers.lend_room()
    assert len(room) == ROOM_BYTES
    other = ciphers.lend_room()
    assert other is not room
    room[:100] = b"x" * 100
    ciphers.give_back(other, 0)
    ciphers.give_back(room, 100)
    assert ciphers.lend_room() is room
    assert not any(room)
    ciphers.give_back(room, 0)


def push(state: Secret, plaintext: bytes, data: bytes, tag: int) -> bytes:
    frame = bytearray(b"head" + b"\0" + plaintext + bytes(16) + b"tail")
    ciphers.stream_pusher(state, frame)(4, len(frame) - 4, data, tag)
    assert frame[:4] + frame[-4:] == b"headtail"
    return bytes(frame[4:-4])


def pull(state: Secret, message: bytes, data: bytes) -> tuple[bytes, int] | None:
    buffer, room = bytearray(b"abc" + message + b"xyz"), bytearray(len(message) - 17)
    tag = ciphers.stream_puller(state, buffer, room)(3, 3 + len(message), data)
    assert buffer == b"abc" + message + b"xyz"
    return None if tag is None else (bytes(room), tag)


MESSAGES = [
    (b"one", b"hash", ciphers.TAG_REKEY),
    (b"", b"", ciphers.TAG_REKEY),
    (b"x" * 61_440, b"", 0),
    (b"two", b"", 1),
    (b"last", b"", ciphers.TAG_FINAL),
]


@pytest.mark.parametrize("size", [32, 64])
def test_streams_agree_with_the_public_functions(size: int) -> None:
    key = bytes(range(size))
    theirs = bindings.crypto_secretstream_xchacha20poly1305_state()
    state, header = ciphers.stream_sealer(Secret.copy_of(key))
    bindings.crypto_secretstream_xchacha20poly1305_init_pull(theirs, header, key[:32])
    for plaintext, data, tag in MESSAGES:
        sealed = push(state, plaintext, data, tag)
        assert bindings.crypto_secretstream_xchacha20poly1305_pull(theirs, sealed, data) == (
            plaintext,
            tag,
        )
    header = bindings.crypto_secretstream_xchacha20poly1305_init_push(theirs, key[:32])
    state = ciphers.stream_opener(Secret.copy_of(key), header)
    for plaintext, data, tag in MESSAGES:
        sealed = bindings.crypto_secretstream_xchacha20poly1305_push(theirs, plaintext, data, tag)
        assert pull(state, sealed, data) == (plaintext, tag)


def test_the_tags_and_sizes_of_streams_are_libsodium_s() -> None:
    name = "crypto_secretstream_xchacha20poly1305_"
    assert getattr(bindings, name + "TAG_REKEY") == ciphers.TAG_REKEY
    assert getattr(bindings, name + "TAG_FINAL") == ciphers.TAG_FINAL
    assert getattr(bindings, name + "HEADERBYTES") == ciphers.STREAM_HEADER_BYTES
    assert getattr(bindings, name + "ABYTES") == ciphers.STREAM_EXTRA_BYTES
    assert getattr(bindings, name + "STATEBYTES") == ciphers._STREAM_STATE_BYTES


def test_what_is_not_the_stream_s_next_message_does_not_open() -> None:
    key = Secret.random(32)
    sealer, header = ciphers.stream_sealer(key)
    first, second = (push(sealer, text, b"ad", ciphers.TAG_REKEY) for text in (b"one", b"two"))
    opener = ciphers.stream_opener(key, header)
    for at in range(len(first)):
        flipped = bytearray(first)
        flipped[at] ^= 1
        assert pull(opener, bytes(flipped), b"ad") is None
    for message, data in ((second, b"ad"), (first, b""), (first, b"AD"), (bytes(17), b"ad")):
        assert pull(opener, message, data) is None
    assert pull(opener, first, b"ad") == (b"one", ciphers.TAG_REKEY), "a failure changes nothing"
    assert pull(opener, first, b"ad") is None
    assert pull(opener, second, b"ad") == (b"two", ciphers.TAG_REKEY)


def test_a_stream_s_key_changes_with_every_rekey_and_dies_with_its_state() -> None:
    key = Secret.random(32)
    state, _ = ciphers.stream_sealer(key)
    keys = []
    for _ in range(5):
        keys.append(bytes_at(memory_of(state))[:32])
        push(state, b"", b"", ciphers.TAG_REKEY)
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
    for make in (ciphers.stream_sealer, lambda each: ciphers.stream_opener(each, bytes(24))):
        with pytest.raises(LocalProtocolError, match="wiped"):
            make(key)


def test_two_streams_of_one_key_have_headers_of_their_own() -> None:
    key = Secret.random(32)
    assert len({ciphers.stream_sealer(key)[1] for _ in range(100)}) == 100


def test_what_a_stream_would_read_or_write_past_is_refused_here() -> None:
    key = Secret.random(32)
    state, header = ciphers.stream_sealer(key)
    for size in (23, 25):
        with pytest.raises(ValueError, match="24 bytes"):
            ciphers.stream_opener(key, (header + b"x")[:size])
    for size in (16, 31, 33):
        with pytest.raises(ValueError, match="32 bytes"):
            ciphers.stream_sealer(Secret.random(size))
        with pytest.raises(ValueError, match="32 bytes"):
            ciphers.stream_opener(Secret.random(size), header)
    with pytest.raises(ValueError, match="52 bytes"):
        ciphers.stream_pusher(key, bytearray(17))
    with pytest.raises(ValueError, match="52 bytes"):
        ciphers.stream_puller(key, bytearray(17), bytearray(17))
    pushed = ciphers.stream_pusher(state, bytearray(17))
    pulled = ciphers.stream_puller(state, bytearray(40), bytearray(10))
    for start, stop in ((-1, 17), (1, 17), (0, 18), (17, 0), (-20, -1)):
        with pytest.raises(ValueError, match="no message"):
            pushed(start, stop, b"", 0)
    for start, stop in ((0, 16), (-1, 17), (24, 41), (0, 28), (20, 3), (-20, -1)):
        with pytest.raises(ValueError, match="no message"):
            pulled(start, stop, b"")
