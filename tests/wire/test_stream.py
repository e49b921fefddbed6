"""Records in frames: padding, tags, their places, and what a man in the middle can do to them."""

import os
import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl import bindings

from fantom_trio.wire import (
    Link,
    LocalProtocolError,
    RemoteProtocolError,
    Violation,
    ciphers,
    stream,
)
from fantom_trio.wire.frames import ReceiveBuffer
from fantom_trio.wire.records import (
    MAX_CLOCK,
    MAX_ID,
    MAX_TEXT,
    Ack,
    Bye,
    Hello,
    Knock,
    Ping,
    Pong,
    Record,
    Say,
    Verify,
)
from fantom_trio.wire.secret import Secret
from fantom_trio.wire.stream import (
    FRAME_LENGTHS,
    LARGE_BLOCK,
    SMALL_BLOCK,
    RecordReader,
    RecordWriter,
    padded_size,
    unpadded,
)
from tests.wire import native_ends as ends
from tests.wire.native_ends import (
    HELLO,
    TAG_FINAL,
    TAG_MESSAGE,
    TAG_PUSH,
    TAG_REKEY,
    NativePeer,
    Opener,
    Sealer,
    padded,
    refusal,
    sent,
)

KEY, HASH = os.urandom(32), os.urandom(64)
ONE_OF_EACH: list[Record] = [
    Hello(31488, "0.1", 3, 2, token=b"0123456789"),
    Say(1, "привет 👋", MAX_CLOCK),
    Ack(7),
    Knock(31488),
    Ping(),
    Pong(),
    Verify("code", "ask"),
    Verify("word", "a", bytes(33)),
    Bye("quit"),
]


def writer() -> tuple[RecordWriter, bytearray]:
    """A writer whose key is known, and what it writes to, the header first."""
    out = bytearray()
    return RecordWriter(Secret.copy_of(KEY), HASH, out), out


def written(*records: Record) -> list[bytes]:
    """The frames of a direction with ``records`` in it, the header first."""
    ours, out = writer()
    for record in records:
        ours.write(record, out)
    return list(ends.frames_in(bytes(out)))


def read(data: bytes) -> tuple[list[Record], Violation | None]:
    """What a fresh reader makes of a direction's bytes and their end."""
    reader, buffer = RecordReader(Secret.copy_of(KEY), HASH), ReceiveBuffer()
    found: list[Record] = []
    while data:
        room = buffer.lend()
        count = min(len(room), len(data))
        room[:count] = data[:count]
        room.release()
        buffer.filled(count)
        data = data[count:]
        try:
            reader.read(buffer, found)
        except RemoteProtocolError as error:
            return found, error.violation
    return found, Violation.CLOSED_IN_FRAME if buffer else None


def greeted_by_peer() -> tuple[Link, NativePeer]:
    """A listener that read another make's ``hello``."""
    link, peer = ends.listener_and_peer()
    assert ends.all_of(link, peer.seal.head + peer.seal.hello())[-1] == HELLO
    link.data_to_send()
    return link, peer


# Against another make.


def test_another_make_reads_every_record_under_its_tag() -> None:
    opened = Opener(KEY, HASH).read(b"".join(written(*ONE_OF_EACH)))
    assert [fields["type"] for fields, _ in opened] == [
        "hello", "say", "ack", "knock", "ping", "pong", "verify", "verify", "bye",
    ]  # fmt: skip
    assert [tag for _, tag in opened] == [TAG_REKEY] * 8 + [TAG_FINAL]
    assert opened[1][0] == {"type": "say", "id": 1, "text": "привет 👋", "at": MAX_CLOCK}


def test_every_record_of_another_make_is_read() -> None:
    seal = Sealer(KEY, HASH)
    data = seal.head + seal.hello() + seal.record("say", id=1, text="hi", at=5)
    data += seal.record("verify", how="word", step="a", data=bytes(33)) + seal.record("pong")
    data += seal.record("bye", reason="quit")
    assert read(data) == (
        [HELLO, Say(1, "hi", 5), Verify("word", "a", bytes(33)), Pong(), Bye("quit")],
        None,
    )


def test_what_is_written_is_read() -> None:
    assert read(b"".join(written(*ONE_OF_EACH))) == (ONE_OF_EACH, None)


def test_the_handshake_hash_belongs_to_the_first_record_alone() -> None:
    for first, second, good in ((None, None, 2), (b"", None, 0), (bytes(64), None, 0)):
        seal = Sealer(KEY, HASH)
        record = padded(b"\x81\xa4type\xa4ping")
        hello = padded(b"\x85\xa4type\xa5hello\xa4port\0\xa7version\xa0\xa8received\0\xa5shown\0")
        data = seal.head + seal.message(hello, data=first) + seal.message(record, data=second)
        found, violation = read(data)
        assert len(found) == good
        assert violation is (None if good else Violation.BAD_MAC)
    seal = Sealer(KEY, HASH)
    data = seal.head + seal.hello() + seal.message(record, data=HASH)
    assert read(data) == ([HELLO], Violation.BAD_MAC)


# Sizes.


def test_records_are_padded_to_blocks_that_grow_once() -> None:
    blocks = [1024, 2048, 3072, *range(4096, 61_441, 4096)]
    for size in range(61_440):
        assert padded_size(size) == next(block for block in blocks if block > size)
    assert [padded_size(size) for size in (0, 1023, 1024, 3071, 3072, 4095, 4096, 61_439)] == [
        1024, 1024, 2048, 3072, 4096, 4096, 8192, 61_440,
    ]  # fmt: skip
    for size in (61_440, 70_000):
        with pytest.raises(LocalProtocolError, match="too long"):
            padded_size(size)


def test_the_lengths_of_frames_are_those_of_the_blocks() -> None:
    blocks = {1024, 2048, 3072, *(4096 * k for k in range(1, 16))}
    assert {length - 17 for length in FRAME_LENGTHS} == blocks
    assert max(FRAME_LENGTHS) == 61_457


@pytest.mark.parametrize(
    "length",
    [0, 1, 17, 24, 1024, 1040, 1042, 4097, 5137, 61_456, 61_458, 65_536, 65_553, 2**32 - 1],
)
def test_a_record_of_another_length_is_refused_on_its_four_bytes(length: int) -> None:
    link, _ = greeted_by_peer()
    allowed = length in FRAME_LENGTHS
    assert allowed is (length == 4113)
    assert refusal(link, struct.pack(">I", length)) is Violation.FRAME_LENGTH


def test_every_permitted_length_waits_for_its_body() -> None:
    link, _ = greeted_by_peer()
    link.receive_data(struct.pack(">I", 61_457))
    link.receive_data(bytes(61_456))
    assert refusal(link, b"\0") is Violation.BAD_MAC


@pytest.mark.fuzz
@given(
    text=st.text(min_size=1, max_size=200)
    | st.text(alphabet="👋🏽🇪🇺\u200d💚𐍈", min_size=1, max_size=200),
    id=st.integers(1, MAX_ID),
    at=st.integers(0, MAX_CLOCK),
)
def test_messages_of_1_to_200_characters_look_alike(text: str, id: int, at: int) -> None:
    assert len(written(HELLO, Say(id, text, at))[2]) == 4 + 17 + 1024


def test_every_other_record_looks_like_a_short_message() -> None:
    assert {len(frame) for frame in written(*ONE_OF_EACH)[1:]} == {4 + 17 + 1024}


@pytest.mark.fuzz
@given(
    text=st.text(max_size=50), times=st.integers(1, 900), last=st.sampled_from([HELLO, Bye("quit")])
)
def test_a_text_of_any_length_comes_back_as_it_was(text: str, times: int, last: Record) -> None:
    say = Say(1, (text * times)[:15_000], 0)
    frames = written(HELLO, say, Bye("x") if last is HELLO else last)
    assert all(len(frame) - 4 in FRAME_LENGTHS for frame in frames[1:])
    found, violation = read(b"".join(frames))
    assert found[1] == say
    assert violation is None


def test_the_longest_text_fits_whatever_its_id_and_clock() -> None:
    say = Say(MAX_ID, "x" * MAX_TEXT, MAX_CLOCK)
    frames = written(HELLO, say)
    assert len(frames[2]) == 4 + 61_457
    assert read(b"".join(frames)) == ([HELLO, say], None)


def test_a_record_over_the_limit_is_not_written() -> None:
    ours, out = writer()
    ours.write(HELLO, out)
    before = len(out)
    with pytest.raises(LocalProtocolError, match="too long"):
        ours.write(Say(1, "x" * 61_440, 0), out)
    assert len(out) == before
    ours.write(Ping(), out)
    assert read(bytes(out)) == ([HELLO, Ping()], None), "the stream goes on"


# Padding.

BAD_PADDING = {
    "zeros": bytes(1024),
    "no mark": b"\x81\xa4type\xa4ping".ljust(1024, b"x"),
    "something behind the mark": padded(b"\x81\xa4type\xa4ping")[:-1] + b"\1",
    "a mark in the block before": b"\x80" + bytes(2047),
    "a mark in the large block before": b"\x80" + bytes(8191),
    "another mark": b"\x81\xa4type\xa4ping\x40".ljust(1024, b"\0"),
}


@pytest.mark.parametrize("message", BAD_PADDING.values(), ids=BAD_PADDING)
def test_bad_padding_ends_the_link(message: bytes) -> None:
    link, peer = greeted_by_peer()
    assert refusal(link, peer.seal.message(message)) is Violation.PADDING


@pytest.mark.fuzz
@given(
    data=st.binary(max_size=60), more=st.integers(0, 3_000), old=st.sampled_from([b"\0", b"\x80"])
)
def test_padding_agrees_with_the_public_function(data: bytes, more: int, old: bytes) -> None:
    data += data[:1] * more
    padded = bindings.sodium_pad(data, SMALL_BLOCK)
    if len(padded) >= LARGE_BLOCK:
        padded = bindings.sodium_pad(data, LARGE_BLOCK)
    room = bytearray(padded + old * 20)
    assert unpadded(room, len(padded)) == len(data)
    assert room == padded + old * 20


@pytest.mark.parametrize("block", [SMALL_BLOCK, LARGE_BLOCK])
@pytest.mark.parametrize(
    ("head", "tail", "expected"),
    [
        (b"ab", b"\x80\0", -2),
        (b"ab", b"\x80", -1),
        (b"\x80", b"\0", 0),
        (b"ab", b"\x80\x80\x80\x80", -1),
        (b"", b"\0", None),
        (b"ab", b"cd", None),
        (b"ab", b"\x80\0\0\1", None),
        (b"ab", b"\x80\x81", None),
    ],
)
def test_padding_is_a_mark_and_zeros(
    block: int, head: bytes, tail: bytes, expected: int | None
) -> None:
    room = bytearray(head.ljust(block - len(tail), b"\0") + tail)
    wanted = block + expected if expected is not None and expected < 0 else expected
    assert unpadded(room, block) == wanted


def test_a_record_may_be_empty_of_padding_but_for_the_mark() -> None:
    for size in (1024, 4096, 61_440):
        link, peer = greeted_by_peer()
        text = "x" * (size - 60)
        while len(padded(_say(text + "x"))) == size:
            text += "x"
        message = padded(_say(text))
        assert message.endswith(b"\x80")
        assert ends.all_of(link, peer.seal.message(message)) == [Say(1, text, 0)]


def _say(text: str) -> bytes:
    data = text.encode()
    return b"\x84\xa4type\xa3say\xa2id\1\xa2at\0\xa4text\xda" + struct.pack(">H", len(data)) + data


@pytest.mark.parametrize("plaintext", [b"", b"\xc0", b"\x80", b"\x90", b"\x81\xa4type\xa4pin"])
def test_a_plaintext_that_is_no_record_ends_the_link(plaintext: bytes) -> None:
    link, peer = greeted_by_peer()
    assert refusal(link, peer.seal.plain(plaintext)) is Violation.RECORD_MALFORMED


@pytest.mark.fuzz
@given(plaintext=st.binary(max_size=300), tag=st.sampled_from([TAG_MESSAGE, TAG_REKEY, TAG_FINAL]))
def test_any_authentic_plaintext_is_a_record_or_a_violation(plaintext: bytes, tag: int) -> None:
    seal = Sealer(KEY, HASH)
    found, violation = read(seal.head + seal.hello() + seal.plain(plaintext, tag))
    assert found[0] == HELLO
    assert violation in (None, Violation.RECORD_MALFORMED, Violation.STREAM_TAG)


# Tags and places.

PING, BYE = b"\x81\xa4type\xa4ping", b"\x82\xa4type\xa3bye\xa6reason\xa4quit"


@pytest.mark.parametrize("tag", [TAG_MESSAGE, TAG_PUSH, TAG_FINAL])
def test_a_record_under_another_tag_ends_the_link(tag: int) -> None:
    for plaintext in (PING, b"\x81\xa4type\xa5later"):
        link, peer = greeted_by_peer()
        assert refusal(link, peer.seal.plain(plaintext, tag)) is Violation.STREAM_TAG


@pytest.mark.parametrize("tag", [TAG_MESSAGE, TAG_PUSH, TAG_REKEY])
def test_a_bye_that_is_not_final_ends_the_link(tag: int) -> None:
    link, peer = greeted_by_peer()
    assert refusal(link, peer.seal.plain(BYE, tag)) is Violation.STREAM_TAG


@pytest.mark.parametrize(
    "type", ["say", "ack", "knock", "ping", "pong", "verify", "later", "Hello", ""]
)
def test_anything_before_the_hello_ends_the_link(type: str) -> None:
    link, peer = ends.listener_and_peer()
    link.events()
    link.data_to_send()
    fields = {"id": 1, "text": "", "at": 0, "shown": 1, "port": 1, "how": "code", "step": "ask"}
    record = peer.seal.record(type, **fields)
    assert refusal(link, peer.seal.head + record) is Violation.RECORD_OUT_OF_PLACE


def test_a_second_hello_ends_the_link() -> None:
    link, peer = greeted_by_peer()
    assert refusal(link, peer.seal.hello()) is Violation.RECORD_OUT_OF_PLACE


def test_a_bye_in_place_of_a_hello_is_heard() -> None:
    link, peer = ends.listener_and_peer()
    data = peer.seal.head + peer.seal.record("bye", reason="refused")
    assert ends.all_of(link, data) == [Bye("refused")]


@pytest.mark.parametrize("data", [b"\0", b"\0\0", bytes(4), bytes(1045)])
def test_a_byte_after_the_bye_ends_the_link(data: bytes) -> None:
    for together in (True, False):
        link, peer = greeted_by_peer()
        bye = peer.seal.record("bye", reason="quit")
        if together:
            assert link.receive_data(bye + data) == [Bye("quit")]
            with pytest.raises(RemoteProtocolError, match="after its goodbye"):
                link.events()
        else:
            assert link.receive_data(bye) == [Bye("quit")]
            assert refusal(link, data) is Violation.AFTER_BYE


def test_another_record_after_the_bye_ends_the_link() -> None:
    link, peer = greeted_by_peer()
    link.receive_data(peer.seal.record("bye", reason="quit"))
    assert refusal(link, peer.seal.record("ping")) is Violation.AFTER_BYE


def test_after_the_peer_s_bye_we_still_write_up_to_our_own() -> None:
    link, peer = greeted_by_peer()
    link.receive_data(peer.seal.record("bye", reason="quit"))
    for record in (HELLO, Ack(1), Bye("quit")):
        assert link.can_send
        link.send(record)
    assert not link.can_send
    with pytest.raises(LocalProtocolError, match="nothing follows a bye"):
        link.send(Ping())
    with pytest.raises(LocalProtocolError, match="nothing follows a bye"):
        link.send(Bye("again"))


def test_after_our_bye_the_peer_is_still_heard() -> None:
    link, peer = greeted_by_peer()
    link.send(Bye("quit"))
    assert ends.all_of(link, peer.seal.record("ping")) == [Ping()]


@pytest.mark.parametrize("first", [Ping(), Ack(1), Say(1, "", 0)])
def test_our_own_first_record_is_a_hello_or_a_bye(first: Record) -> None:
    ours, out = writer()
    before = len(out)
    with pytest.raises(LocalProtocolError, match="hello"):
        ours.write(first, out)
    assert len(out) == before


def test_our_own_hello_is_written_once() -> None:
    ours, out = writer()
    ours.write(HELLO, out)
    with pytest.raises(LocalProtocolError, match="hello"):
        ours.write(HELLO, out)


def test_a_record_of_a_later_version_is_passed_over() -> None:
    link, peer = greeted_by_peer()
    data = peer.seal.record("later", more=[{"a": None}, 1.5, b"\xff"]) + peer.seal.record("ping")
    assert ends.all_of(link, data) == [Ping()]
    assert ends.all_of(link, peer.seal.record("pong", since=17)) == [Pong()]


# A man in the middle.

SENT: list[Record] = [HELLO, Say(1, "one", 1), Ack(1), Say(2, "two", 2), Say(3, "x" * 2000, 3)]


def assert_detected(data: bytes) -> None:
    """Only a true beginning of what was sent is heard; what is more is an error."""
    found, violation = read(data)
    assert found == SENT[: len(found)]
    assert len(found) < len(SENT) or violation is not None


def test_a_flipped_bit_in_any_byte_of_a_session_is_detected() -> None:
    whole = b"".join(written(*SENT))
    assert read(whole) == (SENT, None)
    for at in range(len(whole)):
        data = bytearray(whole)
        data[at] ^= 1 << at % 8
        assert_detected(bytes(data))


def test_a_missing_or_doubled_byte_anywhere_is_detected() -> None:
    whole = b"".join(written(*SENT))
    for at in range(0, len(whole), 3):
        found, _ = read(whole[:at] + whole[at + 1 :])
        assert found == SENT[: len(found)]
        assert len(found) < len(SENT)
        assert_detected(whole[:at] + whole[at : at + 1] + whole[at:])


def without(frames: list[bytes], one: int, _: int) -> list[bytes]:
    return frames[:one] + frames[one + 1 :]


def repeated(frames: list[bytes], one: int, two: int) -> list[bytes]:
    return [*frames[:two], frames[one], *frames[two:]]


def swapped(frames: list[bytes], one: int, two: int) -> list[bytes]:
    frames = list(frames)
    frames[one], frames[two] = frames[two], frames[one]
    return frames


@pytest.mark.parametrize("change", [without, repeated, swapped])
def test_a_frame_that_is_dropped_repeated_or_swapped_is_detected(
    change: Callable[[list[bytes], int, int], list[bytes]],
) -> None:
    frames = written(*SENT)
    for one in range(len(frames)):
        for two in range(len(frames) + (change is repeated)):
            changed = change(frames, one, two)
            if changed != frames:
                assert_detected(b"".join(changed))


def test_a_frame_of_another_link_is_refused() -> None:
    link, _ = greeted_by_peer()
    _, other = greeted_by_peer()
    assert refusal(link, other.seal.record("ping")) is Violation.BAD_MAC


def test_our_own_records_sent_back_are_refused() -> None:
    one, two = ends.native_pair()
    one.send(HELLO)
    out = sent(one)
    assert refusal(one, out) is Violation.BAD_MAC
    two.send(HELLO)
    ends.all_of(two, out)
    two.send(Ping())
    out = sent(two)
    assert refusal(two, out[-1045:]) is Violation.BAD_MAC


def test_the_header_of_another_stream_opens_nothing() -> None:
    found, violation = read(written(HELLO)[0] + written(HELLO)[1])
    assert (found, violation) == ([], Violation.BAD_MAC)


# Secrets and plaintext.


def test_the_keys_die_when_the_streams_are_made() -> None:
    sending, receiving = Secret.copy_of(KEY), Secret.copy_of(KEY)
    out = bytearray()
    ours = RecordWriter(sending, HASH, out)
    assert sending.wiped
    reader = RecordReader(receiving, HASH)
    assert not receiving.wiped
    buffer = ReceiveBuffer()
    buffer.lend()[: len(out)] = out
    buffer.filled(len(out))
    reader.read(buffer, [])
    assert receiving.wiped
    assert reader.state is not None
    ours.wipe()
    reader.wipe()
    assert ours.state.wiped
    assert reader.state.wiped
    early = RecordReader(kept := Secret.copy_of(KEY), HASH)
    early.wipe()
    assert kept.wiped


def test_nothing_of_a_plaintext_stays_in_the_buffer_or_in_the_room() -> None:
    link, peer = greeted_by_peer()
    say = peer.seal.record("say", id=1, text="attack at dawn", at=0)
    bad = bytearray(peer.seal.record("say", id=2, text="attack at noon", at=0))
    data = link.buffer()
    whole = data.obj
    data[: len(say) + 2] = say + b"\0\0"
    link.received(len(say) + 2)
    assert link.events() == [Say(1, "attack at dawn", 0)]
    assert isinstance(whole, bytearray)
    assert b"dawn" not in whole
    assert link._buffer.data is whole
    rooms = len(ciphers._rooms)
    bad[-1] ^= 1
    assert refusal(link, bytes(bad[2:])) is Violation.BAD_MAC
    assert len(ciphers._rooms) == rooms, "given back"
    assert not any(map(any, ciphers._rooms))


def test_of_several_records_none_is_written_where_one_is_refused() -> None:
    ours, out = writer()
    cases: list[tuple[list[Record], str]] = [
        ([HELLO, Ping(), HELLO], "once"),
        ([HELLO, Bye("quit"), Ping()], "nothing follows"),
        ([HELLO, Say(1, "x" * 61_440, 0)], "too long"),
    ]
    for refused, why in cases:
        with pytest.raises(LocalProtocolError, match=why):
            ours.frames(refused)
    out += ours.frames(ONE_OF_EACH)
    assert read(bytes(out)) == (ONE_OF_EACH, None)


def test_several_records_at_once_look_as_one_by_one() -> None:
    one, together = writer(), writer()
    for record in ONE_OF_EACH:
        one[0].write(record, one[1])
    for records in (ONE_OF_EACH[:1], [], ONE_OF_EACH[1:]):
        together[1].extend(together[0].frames(records))
    assert len(together[1]) == len(one[1])
    opened = [Opener(KEY, HASH).read(bytes(out)) for _, out in (one, together)]
    assert opened[0] == opened[1]


SHORT, LONG = Say(2, "short", 0), Say(3, "long" * 15_000, 0)


@pytest.mark.parametrize(
    "batch",
    [
        [LONG],
        [LONG, LONG, LONG],
        [SHORT, SHORT, LONG, SHORT],
        [SHORT, LONG, SHORT, SHORT, LONG, SHORT, SHORT],
        [SHORT] * 3,
        [SHORT] * 200,
    ],
    ids=["long", "all long", "before and behind", "between", "few short", "many short"],
)
def test_frames_stand_in_memory_that_was_given_back(
    batch: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever stood there, and however long that was."""
    monkeypatch.setattr(stream, "_spare", [])
    for old in (0, 70_000, 500_000):
        ours, out = writer()
        out += ours.frames([HELLO])
        stream.take_back(bytearray(b"\xff" * old))
        out += ours.frames(batch)
        assert read(bytes(out)) == ([HELLO, *batch], None)


def test_long_frames_take_no_new_memory_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "_spare", [])
    ours, _ = writer()
    ours.frames([HELLO])
    first = ours.frames([LONG] * 4)
    copy = bytes(first)
    assert ours.frames([LONG]) is not first, "somebody still has it"
    assert first == copy
    stream.take_back(first)
    stream.take_back(ours.frames([SHORT]))
    assert ours.frames([LONG] * 3) is first
    assert not stream._spare
    stream.take_back(bytearray(stream._MOST_BYTES + 1))
    assert not stream._spare, "nobody needs so much"


def test_few_long_frames_leave_the_memory_of_many_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut to less than half, most of it would go back to the system."""
    memory = bytearray(400_000)
    monkeypatch.setattr(stream, "_spare", [memory])
    ours, out = writer()
    out += ours.frames([HELLO, LONG, SHORT])
    assert stream._spare == [memory]
    many = ours.frames([LONG] * 5)
    assert many is memory
    assert read(bytes(out + many)) == ([HELLO, LONG, SHORT, *[LONG] * 5], None)


def test_of_what_is_refused_nothing_stays_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "_spare", [bytearray(100_000)])
    ours, _ = writer()
    with pytest.raises(LocalProtocolError, match="once"):
        ours.frames([HELLO, LONG, HELLO])
    assert not stream._spare
