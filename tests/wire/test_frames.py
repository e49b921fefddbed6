"""The length prefix, the buffer, and texts cut into pieces."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fantom_trio.wire import LocalProtocolError, RemoteProtocolError, Violation, frames
from fantom_trio.wire.frames import MAX_FRAME, ReceiveBuffer, prefix, split_text


def fill(buffer: ReceiveBuffer, data: bytes) -> None:
    while data:
        room = buffer.lend()
        count = min(len(room), len(data))
        room[:count] = data[:count]
        buffer.filled(count)
        data = data[count:]


def bodies_in(buffer: ReceiveBuffer) -> list[bytes]:
    """Every complete body, taken."""
    bodies = []
    while place := buffer.frame(range(1, MAX_FRAME + 1)):
        bodies.append(bytes(buffer.data[slice(*place)]))
    return bodies


def test_a_prefix_is_four_bytes_big_endian_within_the_limits() -> None:
    assert prefix(1) == b"\0\0\0\1"
    assert prefix(MAX_FRAME) == b"\0\1\0\0"
    for length in (0, -1, MAX_FRAME + 1):
        with pytest.raises(LocalProtocolError):
            prefix(length)


@given(st.text(max_size=60), st.integers(4, 40))
def test_pieces_are_whole_characters_and_add_up(text: str, limit: int) -> None:
    pieces = split_text(text, limit)
    assert "".join(piece.decode() for piece in pieces) == text
    assert all(len(piece) <= limit for piece in pieces)
    assert all(len(piece) > limit - 4 for piece in pieces[:-1])


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=20), st.integers(1, 700))
def test_frames_come_out_as_they_went_in(bodies: list[bytes], step: int) -> None:
    data = b"".join(struct.pack(">I", len(body)) + body for body in bodies)
    buffer, seen = ReceiveBuffer(), []
    for start in range(0, len(data), step):
        fill(buffer, data[start : start + step])
        seen += bodies_in(buffer)
        buffer.tidy()
    assert seen == bodies
    assert buffer.data == b""


def test_what_is_not_taken_stays() -> None:
    buffer = ReceiveBuffer()
    fill(buffer, b"\0\0\0\6secret\0\0\0\4ta")
    assert bodies_in(buffer) == [b"secret"]
    buffer.tidy()
    assert buffer.peek(99) == b"\0\0\0\4ta"
    fill(buffer, b"il")
    assert bodies_in(buffer) == [b"tail"]
    fill(buffer, b"more")
    buffer.drop()
    assert len(buffer) == 0
    assert buffer.data == b""


def test_the_buffer_never_grows_over_its_bound() -> None:
    buffer = ReceiveBuffer()
    body = bytes(MAX_FRAME)
    for _ in range(40):
        fill(buffer, prefix(MAX_FRAME) + body)
        bodies_in(buffer)
        assert len(buffer.data) <= 320 * 1024 + 4
        fill(buffer, prefix(MAX_FRAME) + body[:-1])
        assert bodies_in(buffer) == []
        fill(buffer, b"\0")
        assert len(bodies_in(buffer)) == 1
        buffer.tidy()


def test_the_memory_of_large_reads_is_used_again() -> None:
    def read_much(buffer: ReceiveBuffer) -> bytearray:
        for _ in range(3):  # each finds more room than the one before
            fill(buffer, bytes(len(buffer.lend())))
            memory = buffer.data
            buffer.start = buffer.stop
            buffer.tidy()
            assert buffer.data == b""
        return memory

    first, second = ReceiveBuffer(), ReceiveBuffer()
    memory = read_much(first)
    fill(second, bytes(100))
    assert len(second.data) < 20_000, "a small read does not take it"
    second.drop()
    assert read_much(second) is memory
    assert first.lend().obj is memory
    assert second.lend().obj is not memory
    first.drop()
    second.drop()
    assert len(frames._spare) == 1


def test_what_is_left_of_a_large_read_keeps_no_large_memory() -> None:
    buffer = ReceiveBuffer()
    frame, began = prefix(MAX_FRAME) + bytes(MAX_FRAME), prefix(4) + b"be"
    for _ in range(4):  # each finds more room than the one before
        room = len(buffer.lend())
        fill(buffer, (frame * 4)[: room - len(began)] + began)
        buffer.start = buffer.stop - len(began)
        buffer.tidy()
        assert len(buffer.data) < MAX_FRAME + len(began)
        fill(buffer, b"gin")
        assert bodies_in(buffer)[0] == b"begi"
        buffer.drop()


def test_a_line_is_taken_with_its_newline() -> None:
    buffer = ReceiveBuffer()
    fill(buffer, b"HANDSHAKE x")
    assert buffer.line() is None
    fill(buffer, b"y\nrest")
    assert buffer.line() == b"HANDSHAKE xy\n"
    assert buffer.peek(9) == b"rest"


def test_2048_bytes_without_a_newline_are_no_line() -> None:
    buffer = ReceiveBuffer()
    fill(buffer, b"x" * 2047)
    assert buffer.line() is None
    fill(buffer, b"x")
    with pytest.raises(RemoteProtocolError) as caught:
        buffer.line()
    assert caught.value.violation is Violation.LINE_TOO_LONG


def test_more_than_was_lent_is_a_bug_of_ours() -> None:
    buffer = ReceiveBuffer()
    room = buffer.lend(10)
    assert len(room) == 10
    with pytest.raises(LocalProtocolError):
        buffer.filled(11)
    with pytest.raises(LocalProtocolError):
        buffer.lend(0)
