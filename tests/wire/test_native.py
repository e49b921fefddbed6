"""The native handshake between two ends held in the hand, and against another make."""

import base64
import contextlib
import os
import re
import struct
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fantom_trio.wire import (
    Event,
    HandshakeDone,
    Link,
    LinkKind,
    LocalProtocolError,
    PeerClosed,
    RemoteProtocolError,
    Role,
    Said,
    Violation,
)
from fantom_trio.wire.invite import fingerprint
from fantom_trio.wire.native import blob_in_line, stays_initiator
from fantom_trio.wire.records import Bye, Hello, Record, Say
from fantom_trio.wire.secret import KeyPair
from tests.classic_peer import ClassicPeer
from tests.wire import native_ends as ends
from tests.wire.native_ends import HELLO, NativePeer, refusal, sent
from tests.wire.test_link import SMALL_ORDER, all_events, cut

CLASSIC = HandshakeDone(LinkKind.CLASSIC)
#: A fingerprint that nobody has.
NOBODY = bytes(20)


def fingerprint_of(peer: NativePeer) -> bytes:
    return fingerprint(ends.public_of(peer.static))


# Which wire it is.


def test_a_dialer_s_line_is_marked_and_has_one_form() -> None:
    line = sent(ends.dialer())
    assert re.fullmatch(rb"HANDSHAKE [A-Za-z0-9+/]{43}= ~~\n", line)


def test_two_native_ends_are_up_after_one_round_trip_and_agree_on_all() -> None:
    alice, bob = KeyPair.generate(), KeyPair.generate()
    one, two = ends.dialer(alice), ends.listener(bob)
    assert two.receive_data(sent(one)) == []
    assert one.receive_data(sent(two)) == [HandshakeDone(LinkKind.NATIVE, bob.public)]
    assert two.receive_data(sent(one)) == [HandshakeDone(LinkKind.NATIVE, alice.public)]
    assert one.kind is two.kind is LinkKind.NATIVE
    assert (one.initiator, two.initiator) == (True, False)
    assert one.hash == two.hash
    assert len(one.hash) == 64
    for writer, reader in ((one, two), (two, one)):
        says: list[Record] = [HELLO, Say(1, "привет 👋", 0), Say(2, "", 5), Bye("quit")]
        for say in says:
            writer.send(say)
        assert ends.all_of(reader, sent(writer)) == says


def test_every_link_has_its_own_hash_and_its_own_keys() -> None:
    identity = KeyPair.generate()
    hashes, lines, answers = set(), set(), set()
    for _ in range(10):
        one, two = ends.dialer(identity), ends.listener()
        lines.add(line := sent(one))
        two.receive_data(line)
        answers.add(answer := sent(two))
        one.receive_data(answer)
        hashes.add(one.hash)
    assert len(hashes) == len(lines) == len(answers) == 10


def test_the_lines_and_message_3_have_one_size_and_stand_alone_in_their_writes() -> None:
    one, two = ends.dialer(), ends.listener()
    line = sent(one)
    assert len(line) == 58
    two.receive_data(line)
    answer = sent(two)
    assert re.fullmatch(rb"HANDSHAKE_ACK [A-Za-z0-9+/]{1707}= ~~\n", answer)
    assert len(ends.blob_of(answer)) == 1280
    assert len(answer) < 2048
    one.receive_data(answer)
    sizes = [len(frame) - 4 for frame in ends.frames_in(sent(one))]
    assert sizes == [1152, 24]


def test_a_native_link_takes_no_texts_and_a_classic_one_no_records() -> None:
    one, _ = ends.native_pair()
    assert (one.can_say, one.can_send) == (False, True)
    with pytest.raises(LocalProtocolError):
        one.say("hi")
    link = ends.dialer()
    assert (link.can_say, link.can_send) == (False, False)
    with pytest.raises(LocalProtocolError):
        link.send(HELLO)
    assert link.receive_data(ClassicPeer().ack()) == [CLASSIC]
    assert (link.can_say, link.can_send) == (True, False)
    with pytest.raises(LocalProtocolError):
        link.send(HELLO)


def with_stray_bits(line: bytes) -> bytes:
    """The same key in base64 that is not canonical: the last character's unused bits are set."""
    end = line.index(b"=")
    stray = line[: end - 1] + bytes([line[end - 1] + 1]) + line[end:]
    assert ends.blob_of(stray) == ends.blob_of(line)
    return stray


#: What makes another line of a native one, by how.
NEAR_MISSES: dict[str, Callable[[bytes], bytes]] = {
    "no mark": lambda line: line.replace(b" ~~", b""),
    "one tilde": lambda line: line.replace(b"~~", b"~"),
    "three tildes": lambda line: line.replace(b"~~", b"~~~"),
    "tildes apart": lambda line: line.replace(b"~~", b"~ ~"),
    "two blanks before the mark": lambda line: line.replace(b" ~~", b"  ~~"),
    "two blanks after the word": lambda line: line.replace(b"E ", b"E  "),
    "a tab before the mark": lambda line: line.replace(b" ~~", b"\t~~"),
    "no blank before the mark": lambda line: line.replace(b" ~~", b"~~"),
    "a blank after the mark": lambda line: line.replace(b"~~", b"~~ "),
    "CR before LF": lambda line: line.replace(b"\n", b"\r\n"),
    "mark in front": lambda line: b"HANDSHAKE ~~ " + line[10:-4] + b"\n",
    "mark twice": lambda line: line.replace(b" ~~", b" ~~ ~~"),
    "NUL in it": lambda line: line[:20] + b"\0" + line[20:],
    "stray low bits": with_stray_bits,
    "no padding": lambda line: line.replace(b"=", b""),
    "padding twice": lambda line: line.replace(b"=", b"=="),
    "a blank in the key": lambda line: line[:20] + b" " + line[20:],
}
near_misses = pytest.mark.parametrize("miss", NEAR_MISSES.values(), ids=NEAR_MISSES)


def marked_line() -> bytes:
    return ends.handshake_line(KeyPair.generate().public)


@near_misses
def test_a_line_that_is_native_but_for_a_trifle_is_classic(miss: Callable[[bytes], bytes]) -> None:
    link, peer = ends.listener(), ClassicPeer()
    line = ends.handshake_line(peer.public)
    assert miss(line) != line
    assert link.receive_data(miss(line)) == [CLASSIC]
    answer = sent(link)
    assert re.fullmatch(rb"HANDSHAKE_ACK [A-Za-z0-9+/]{43}=\n", answer)
    peer.meet(answer)
    assert link.receive_data(peer.frame("hi")) == [Said("hi", b"::1:40000")]


@near_misses
def test_where_only_the_invited_are_let_in_no_near_miss_is_answered(
    miss: Callable[[bytes], bytes],
) -> None:
    link = ends.listener(native_only=True)
    assert refusal(link, miss(marked_line())) is Violation.NOT_INVITED


@pytest.mark.parametrize("word", [b"handshake ", b"HANDSHAKE\t", b" HANDSHAKE ", b"HANDSHAKE~"])
def test_a_marked_line_with_another_word_is_no_handshake(word: bytes) -> None:
    line = marked_line().replace(b"HANDSHAKE ", word)
    assert refusal(ends.listener(), line) is Violation.NOT_A_HANDSHAKE


@pytest.mark.parametrize("size", [0, 1, 31, 33, 64, 1280])
def test_a_marked_line_with_a_key_of_another_length_is_refused(size: int) -> None:
    line = ends.handshake_line(os.urandom(size))
    assert refusal(ends.listener(), line) is Violation.KEY_LENGTH


def test_a_line_without_anything_between_word_and_mark_is_refused() -> None:
    assert refusal(ends.listener(), b"HANDSHAKE ~~\n") is Violation.KEY_LENGTH


@pytest.mark.fuzz
@given(
    blob=st.binary(max_size=40),
    at=st.integers(0, 80),
    put=st.sampled_from(["", " ", "~", "=", "\r", "\0", "A", "B", "/", "-", "é", "\n"]),
    gone=st.integers(0, 2),
)
def test_a_line_is_native_only_in_its_one_form(blob: bytes, at: int, put: str, gone: int) -> None:
    line = ends.handshake_line(blob)
    line = line[:at] + put.encode() + line[at + gone :]
    shape = re.fullmatch(
        rb"HANDSHAKE ((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?) ~~\n", line
    )
    found = blob_in_line(line, b"HANDSHAKE ")
    if shape and base64.b64encode(base64.b64decode(shape[1])) == shape[1]:
        assert found == base64.b64decode(shape[1])
    else:
        assert found is None


def test_a_classic_listener_answers_our_marked_line_and_reads_us() -> None:
    link, peer = ends.dialer(), ClassicPeer()
    peer.meet(sent(link))
    assert link.receive_data(peer.ack()) == [CLASSIC]
    link.say("hello")
    assert peer.open(sent(link)) == "hello"
    assert peer.client_id_seen == ends.CLIENT_ID


def test_a_link_of_ours_without_an_identity_stays_classic_on_both_sides() -> None:
    one, two = ends.dialer(), Link(Role.LISTENER)
    assert ends.exchange(one, two) == ([CLASSIC], [CLASSIC])
    one, two = Link(Role.DIALER, b"::1:1"), ends.listener()
    assert ends.exchange(one, two) == ([CLASSIC], [CLASSIC])


@pytest.mark.parametrize("size", [0, 31, 32, 33, 1279, 1281, 1500])
def test_after_a_marked_answer_the_link_never_turns_classic(size: int) -> None:
    answer = ends.answer_line(os.urandom(size))
    assert refusal(ends.dialer(), answer) is Violation.KEY_LENGTH


@pytest.mark.parametrize("spoil", [b" ~\n", b"  ~~\n", b" ~~\r\n", b"\n"])
def test_message_2_under_another_mark_is_a_classic_key_of_the_wrong_length(spoil: bytes) -> None:
    link = ends.dialer()
    answer = NativePeer().answer(sent(link))[: -len(b" ~~\n")] + spoil
    assert refusal(link, answer) is Violation.KEY_LENGTH


def test_a_line_of_native_size_fits_the_buffer_and_a_longer_one_is_refused() -> None:
    link = ends.dialer()
    assert refusal(link, b"HANDSHAKE_ACK " + b"A" * 2034) is Violation.LINE_TOO_LONG


# Who it is.


def test_who_expects_an_identity_sends_nothing_to_a_classic_answer() -> None:
    link = ends.dialer(expected=NOBODY)
    peer = ClassicPeer()
    peer.meet(sent(link))
    assert refusal(link, peer.ack()) is Violation.NOT_NATIVE


def test_who_expects_an_identity_sends_nothing_to_another() -> None:
    link, peer = ends.dialer(expected=NOBODY), NativePeer()
    answer = peer.answer(sent(link))
    assert refusal(link, answer) is Violation.OTHER_IDENTITY


def test_who_expects_an_identity_goes_on_with_that_one() -> None:
    peer = NativePeer()
    link = ends.dialer(expected=fingerprint_of(peer))
    told = link.receive_data(peer.answer(sent(link)))
    assert told == [HandshakeDone(LinkKind.NATIVE, ends.public_of(peer.static))]


def test_a_dial_that_wants_no_classic_peer_ends_at_its_answer() -> None:
    link = ends.dialer(native_only=True)
    assert refusal(link, ClassicPeer().ack()) is Violation.NOT_INVITED


def test_where_only_the_invited_are_let_in_a_marked_line_is_answered() -> None:
    link, peer = ends.listener_and_peer(native_only=True)
    assert ends.all_of(link, peer.seal.head + peer.seal.hello()) == [HELLO]


def test_a_peer_with_our_own_identity_is_refused_in_both_roles() -> None:
    private = os.urandom(32)
    link, peer = ends.dialer(ends.key_pair(private)), NativePeer(static=private)
    answer = peer.answer(sent(link))
    assert refusal(link, answer) is Violation.OWN_IDENTITY
    link, peer = ends.listener(ends.key_pair(private)), NativePeer(static=private)
    link.receive_data(peer.line())
    message_3 = peer.message_3(sent(link))
    assert refusal(link, message_3) is Violation.OWN_IDENTITY


@pytest.mark.parametrize("key", SMALL_ORDER)
def test_an_ephemeral_key_of_small_order_is_refused_in_both_roles(key: bytes) -> None:
    assert refusal(ends.listener(), ends.handshake_line(key)) is Violation.KEY_WEAK
    answer = ends.answer_line(key + os.urandom(1248))
    assert refusal(ends.dialer(), answer) is Violation.KEY_WEAK


@pytest.mark.parametrize("key", SMALL_ORDER)
def test_a_static_key_of_small_order_is_refused_in_both_roles(key: bytes) -> None:
    link, peer = ends.dialer(), NativePeer()
    peer.claimed_static = key
    answer = peer.answer(sent(link))
    assert refusal(link, answer) is Violation.KEY_WEAK
    link, peer = ends.listener(), NativePeer()
    peer.claimed_static = key
    link.receive_data(peer.line())
    message_3 = peer.message_3(sent(link))
    assert refusal(link, message_3) is Violation.KEY_WEAK


def test_a_static_key_that_the_peer_has_not_is_refused_in_both_roles() -> None:
    other = KeyPair.generate().public
    link, peer = ends.dialer(expected=fingerprint(other)), NativePeer()
    peer.claimed_static = other
    answer = peer.answer(sent(link))
    assert refusal(link, answer) is Violation.BAD_MAC
    link, peer = ends.listener(), NativePeer()
    peer.claimed_static = other
    link.receive_data(peer.line())
    message_3 = peer.message_3(sent(link))
    assert refusal(link, message_3) is Violation.BAD_MAC


def test_our_own_ephemeral_key_in_message_2_opens_nothing() -> None:
    link = ends.dialer()
    reflected = ends.blob_of(sent(link))
    peer = NativePeer()
    peer.claimed_ephemeral = reflected
    assert refusal(link, peer.answer(ends.handshake_line(reflected))) is Violation.BAD_MAC


def test_another_line_than_the_one_that_was_sent_gives_another_handshake() -> None:
    link, peer = ends.dialer(), NativePeer()
    line = sent(link)
    e = ends.blob_of(line)
    peer.answer(line)
    # The same key in a line that a man in the middle wrote otherwise.
    bare = b"HANDSHAKE " + base64.b64encode(e) + b"\n"
    assert refusal(link, NativePeer().answer(bare)) is Violation.BAD_MAC


# The post-quantum share.


@pytest.mark.parametrize("key", [b"\xff" * 1184, b"\x01\x0d\x00" + bytes(1181)])
def test_an_mlkem_key_that_is_none_ends_the_link_before_message_3(key: bytes) -> None:
    link, peer = ends.dialer(), NativePeer()
    peer.kem_key = key
    assert refusal(link, peer.answer(sent(link))) is Violation.KEM_KEY


def test_a_bad_ciphertext_shows_as_the_first_record_s_failure() -> None:
    link, peer = ends.listener(), NativePeer()
    link.receive_data(peer.line())
    peer.spoil_ciphertext = bytes(1000) + b"\1" + bytes(87)
    told = link.receive_data(peer.message_3(sent(link)) + peer.seal.head)
    assert told == [HandshakeDone(LinkKind.NATIVE, ends.public_of(peer.static))]
    assert link.hash == peer.hash
    assert refusal(link, peer.seal.hello()) is Violation.BAD_MAC


# Sizes.


@pytest.mark.parametrize("length", [0, 1, 24, 1041, 1151, 1153, 61_457, 65_536, 65_537, 2**32 - 1])
def test_message_3_of_another_length_is_refused_on_its_four_bytes(length: int) -> None:
    link = ends.listener()
    link.receive_data(NativePeer().line())
    link.data_to_send()
    assert refusal(link, struct.pack(">I", length)) is Violation.FRAME_LENGTH


@pytest.mark.parametrize("length", [0, 23, 25, 1041, 1152, 65_536, 2**32 - 1])
def test_a_stream_header_of_another_length_is_refused_on_its_four_bytes(length: int) -> None:
    for link, _ in (ends.listener_and_peer(), ends.dialer_and_peer()):
        link.data_to_send()
        link.events()
        assert refusal(link, struct.pack(">I", length)) is Violation.FRAME_LENGTH


# Two dialers on one connection.


def test_of_two_dialers_the_smaller_hash_stays_initiator() -> None:
    for _ in range(20):
        one, two = KeyPair.generate().public, KeyPair.generate().public
        assert stays_initiator(one, two) is (ends.sha256(one) < ends.sha256(two))
        assert stays_initiator(one, two) is not stays_initiator(two, one)
    assert not stays_initiator(one, one)


def assert_both_talk(one: Link, two: Link) -> None:
    for link in (one, two):
        link.send(HELLO)
        link.send(Say(1, "hi", 0))
    assert ends.exchange(one, two) == ([HELLO, Say(1, "hi", 0)],) * 2


def test_two_dialers_that_meet_become_one_link() -> None:
    one, two = ends.crossed_pair()
    told = ends.exchange(one, two)
    assert [len(events) for events in told] == [1, 1]
    assert (one.initiator, two.initiator) == (True, False)
    assert one.hash == two.hash
    assert one.kind is two.kind is LinkKind.NATIVE
    assert one.role is two.role is Role.DIALER
    assert_both_talk(one, two)


@pytest.mark.parametrize("size", [1, 7, 57, 58, 59, 4096])
def test_a_line_and_an_answer_may_come_in_one_read_or_in_many(size: int) -> None:
    one, two = (ends.dialer(keys=keys) for keys in ends.ordered_keys())
    line = sent(two)
    assert two.receive_data(sent(one)) == []
    data = line + sent(two)
    told = []
    for at in range(0, len(data), size):
        told += one.receive_data(data[at : at + size])
    assert len(told) == 1
    assert len(two.receive_data(sent(one))) == 1
    assert_both_talk(one, two)


def test_the_one_who_gives_way_may_read_the_line_in_pieces() -> None:
    one, two = (ends.dialer(keys=keys) for keys in ends.ordered_keys())
    line = sent(one)
    assert one.receive_data(sent(two)) == []
    for at in range(len(line)):
        assert two.receive_data(line[at : at + 1]) == []
    ends.exchange(one, two)
    assert_both_talk(one, two)


def peer_that_wins(wins: bool, link: Link) -> tuple[NativePeer, bytes]:
    """Another make's dialer whose line meets that of ``link``, and this line."""
    line = sent(link)
    while True:
        peer = NativePeer()
        own = ends.sha256(peer.claimed_ephemeral)
        if (own < ends.sha256(ends.blob_of(line))) is wins:
            return peer, line


def test_another_make_that_gives_way_agrees_with_us() -> None:
    link = ends.dialer()
    peer, line = peer_that_wins(False, link)
    assert link.receive_data(peer.line()) == []
    before, peer.ephemeral = peer.line(), os.urandom(32)
    peer.claimed_ephemeral = ends.public_of(peer.ephemeral)
    assert len(link.receive_data(peer.answer(line, before))) == 1
    message_3, header = ends.frames_in(sent(link))
    peer.read_message_3(message_3)
    assert peer.open.read(header) == []
    assert link.hash == peer.hash
    assert ends.all_of(link, peer.seal.head + peer.seal.hello()) == [HELLO]


def test_another_make_that_stays_initiator_agrees_with_us() -> None:
    link = ends.dialer()
    peer, line = peer_that_wins(True, link)
    assert link.receive_data(peer.line()) == []
    answer = sent(link)
    assert ends.blob_of(answer)[:32] != ends.blob_of(line), "a fresh key answers"
    assert len(link.receive_data(peer.message_3(answer, line))) == 1
    assert link.hash == peer.hash
    assert ends.all_of(link, peer.seal.head + peer.seal.hello()) == [HELLO]


def test_who_gives_way_wipes_its_key_unused() -> None:
    winner, loser = ends.ordered_keys()
    one, two = ends.dialer(keys=winner), ends.dialer(keys=loser)
    two.receive_data(sent(one))
    assert loser.private.wiped
    assert not winner.private.wiped


def test_our_own_line_sent_back_is_refused() -> None:
    link = ends.dialer()
    assert refusal(link, sent(link)) is Violation.KEY_REFLECTED


@near_misses
def test_a_classic_line_that_meets_ours_is_refused(miss: Callable[[bytes], bytes]) -> None:
    assert refusal(ends.dialer(), miss(marked_line())) is Violation.NOT_A_HANDSHAKE


@pytest.mark.parametrize("wins", [True, False], ids=["it would win", "it would lose"])
@pytest.mark.parametrize("size", [0, 16, 31, 33, 64])
def test_a_meeting_line_with_a_key_of_another_length_is_refused(size: int, wins: bool) -> None:
    blob = os.urandom(size)
    while True:
        keys = KeyPair.generate()
        if stays_initiator(blob, keys.public) is wins:
            break
    link = ends.dialer(keys=keys)
    assert refusal(link, ends.handshake_line(blob)) is Violation.KEY_LENGTH


def test_after_two_lines_met_only_a_marked_answer_is_taken() -> None:
    one, _ = ends.crossed_pair()
    assert refusal(one, ClassicPeer().ack()) is Violation.NOT_NATIVE
    one, _ = ends.crossed_pair()
    assert refusal(one, NativePeer().line()) is Violation.NOT_A_HANDSHAKE
    _, two = ends.crossed_pair()
    two.data_to_send()
    assert refusal(two, ClassicPeer().ack()) is Violation.FRAME_LENGTH


def test_who_gave_way_checks_the_identity_before_its_header_goes_out() -> None:
    for expected in (NOBODY, None):
        link = ends.dialer(expected=expected)
        peer, line = peer_that_wins(True, link)
        link.receive_data(peer.line())
        message_3 = peer.message_3(sent(link), line)
        if expected is None:
            assert len(link.receive_data(message_3)) == 1
        else:
            assert refusal(link, message_3) is Violation.OTHER_IDENTITY


def test_who_gave_way_goes_on_with_the_expected_identity() -> None:
    static = os.urandom(32)
    link = ends.dialer(expected=fingerprint(ends.public_of(static)))
    peer, line = peer_that_wins(True, link)
    peer.static, peer.claimed_static = static, ends.public_of(static)
    link.receive_data(peer.line())
    told = link.receive_data(peer.message_3(sent(link), line))
    assert told == [HandshakeDone(LinkKind.NATIVE, ends.public_of(static))]


def test_who_stayed_initiator_checks_the_identity_before_message_3() -> None:
    link = ends.dialer(expected=NOBODY)
    peer, line = peer_that_wins(False, link)
    link.receive_data(peer.line())
    assert refusal(link, peer.answer(line, peer.line())) is Violation.OTHER_IDENTITY


def test_a_dial_that_meets_our_own_is_refused() -> None:
    winner, loser = ends.ordered_keys()
    identity = KeyPair.generate()
    one, two = ends.dialer(identity, keys=winner), ends.dialer(identity, keys=loser)
    lines = sent(one), sent(two)
    one.receive_data(lines[1])
    two.receive_data(lines[0])
    assert refusal(one, sent(two)) is Violation.OWN_IDENTITY


# Bytes that were changed, cut off, or came in other pieces.


def test_a_flipped_byte_in_the_first_line_ends_a_dial_that_expects_somebody() -> None:
    identity, peer = KeyPair.generate(), KeyPair.generate()
    seen = set()
    for at in range(58):
        one = ends.dialer(identity, expected=fingerprint(peer.public))
        two = ends.listener(peer)
        line = bytearray(sent(one))
        line[at] ^= 1 << at % 8
        told = all_events(two, [bytes(line)])  # and then the end
        assert told[0] == CLASSIC or isinstance(told[0], str)
        two = ends.listener(peer)
        with contextlib.suppress(RemoteProtocolError):
            two.receive_data(bytes(line))
        seen.add(refusal(one, sent(two), end=True))
    assert seen == {Violation.CLOSED_IN_HANDSHAKE, Violation.NOT_NATIVE, Violation.BAD_MAC}


def test_a_flipped_byte_in_message_2_ends_the_link() -> None:
    identity, private, peer = KeyPair.generate(), os.urandom(32), NativePeer()
    expected = fingerprint_of(peer)
    answer = peer.answer(sent(ends.dialer(keys=ends.key_pair(private))))
    for at in range(len(answer)):
        link = ends.dialer(identity, keys=ends.key_pair(private), expected=expected)
        link.data_to_send()
        flipped = bytearray(answer)
        flipped[at] ^= 1 << at % 8
        refusal(link, bytes(flipped), end=True)


def test_a_flipped_byte_in_message_3_ends_the_link() -> None:
    identity, static = KeyPair.generate(), os.urandom(32)
    for at in [*range(60), *range(60, 1156, 3), 1155]:
        link, peer = ends.listener(identity), NativePeer(static)
        link.receive_data(peer.line())
        message_3 = bytearray(peer.message_3(sent(link)))
        message_3[at] ^= 1 << at % 8
        expected = Violation.BAD_MAC if at >= 4 else Violation.FRAME_LENGTH
        assert refusal(link, bytes(message_3)) is expected


SAYS: list[Record] = [Say(1, "one", 1), Say(2, "two", 2), Bye("quit")]


def session(peer: NativePeer) -> list[bytes]:
    """The peer's direction after the handshake, frame by frame."""
    seal = peer.seal
    return [
        seal.head,
        seal.hello(),
        seal.record("say", id=1, text="one", at=1),
        seal.record("say", id=2, text="two", at=2),
        seal.record("bye", reason="quit"),
    ]


def edges(frames: list[bytes]) -> Iterator[int]:
    """Lengths of beginnings that are worth a look: around each frame's edges, and some between."""
    at = 0
    for frame in frames:
        yield from sorted({at, at + 1, at + 3, at + 4, at + 5, at + len(frame) - 1})
        yield from range(at + 100, at + len(frame) - 1, 211)
        at += len(frame)
    yield at


def told_of(frames: list[bytes], length: int, done: HandshakeDone) -> list[Event | str]:
    """What a beginning of message 3 (empty for a dialer) and a session means."""
    means: list[Event | None] = [done, None, HELLO, *SAYS]
    told: list[Event | str] = []
    whole = 0
    for frame, meaning in zip(frames, means, strict=True):
        if whole + len(frame) > length:
            break
        whole += len(frame)
        told += [meaning] if meaning else []
    if HELLO not in told:
        return [*told, "CLOSED_IN_HANDSHAKE"]
    return [*told, PeerClosed() if whole == length else "CLOSED_IN_FRAME"]


def test_an_end_anywhere_is_told_for_what_it_is_by_a_listener() -> None:
    for length in range(59):
        link, peer = ends.listener(), NativePeer()
        assert refusal_of_end(link, peer.line()[:length]) == ["CLOSED_IN_HANDSHAKE"]
    length = 0
    lengths = [*edges([bytes(1156), bytes(28), *[bytes(1045)] * 4])]
    for length in lengths:
        link, peer = ends.listener(), NativePeer()
        link.receive_data(peer.line())
        frames = [peer.message_3(sent(link)), *session(peer)]
        done = HandshakeDone(LinkKind.NATIVE, ends.public_of(peer.static))
        data = b"".join(frames)[:length]
        assert all_events(link, [data]) == told_of(frames, length, done)
    assert length == len(data), "the last one was the whole session"


def refusal_of_end(link: Link, data: bytes) -> list[Event | str]:
    link.data_to_send()
    told: list[Event | str] = [refusal(link, data, end=True).name]
    return told


def test_an_end_anywhere_is_told_for_what_it_is_by_a_dialer() -> None:
    link, peer = ends.dialer(), NativePeer()
    answer = peer.answer(sent(link))
    for length in range(0, len(answer), 9):
        assert refusal_of_end(ends.dialer(), answer[:length]) == ["CLOSED_IN_HANDSHAKE"]
    for length in edges([bytes(28), *[bytes(1045)] * 4]):
        link, peer = ends.dialer_and_peer()
        frames = [b"", *session(peer)]
        told = all_events(link, [b"".join(frames)[:length]])
        assert told == told_of(frames, length, HandshakeDone(LinkKind.NATIVE))[1:]


records = st.lists(
    st.one_of(st.text(max_size=200), st.sampled_from(["", "👋" * 300, "x" * 5000, "ы" * 20_000])),
    max_size=6,
)


@pytest.mark.fuzz
@given(
    texts=records,
    bye=st.booleans(),
    cuts=st.lists(st.integers(0, 1 << 20), max_size=12),
    role=st.sampled_from(list(Role)),
)
def test_any_pieces_of_a_session_mean_the_same(
    texts: list[str], bye: bool, cuts: list[int], role: Role
) -> None:
    peer, listens = NativePeer(), role is Role.LISTENER
    link = ends.listener() if listens else ends.dialer()
    told: list[Event | str] = []
    if listens:
        for piece in cut(peer.line(), cuts):
            told += link.receive_data(piece)
        data = peer.message_3(sent(link))
    else:
        for piece in cut(peer.answer(sent(link)), cuts):
            told += link.receive_data(piece)
        peer.read_message_3(next(ends.frames_in(sent(link))))
        data = b""
    says = [Say(number, text, 0) for number, text in enumerate(texts, 1)]
    data += peer.seal.head + peer.seal.hello()
    data += b"".join(peer.seal.record("say", id=s.id, text=s.text, at=s.at) for s in says)
    data += peer.seal.record("bye", reason="quit") if bye else b""
    told += all_events(link, cut(data, cuts))
    done = HandshakeDone(LinkKind.NATIVE, ends.public_of(peer.static))
    assert told == [done, HELLO, *says, *([Bye("quit")] if bye else []), PeerClosed()]


@pytest.mark.parametrize("role", list(Role))
def test_a_session_may_come_byte_by_byte(role: Role) -> None:
    link, peer = (ends.listener_and_peer if role is Role.LISTENER else ends.dialer_and_peer)()
    data = b"".join(session(peer))
    told = all_events(link, [data[at : at + 1] for at in range(len(data))])
    assert told == [HELLO, *SAYS, PeerClosed()]


@pytest.mark.fuzz
@given(data=st.binary(max_size=300), role=st.sampled_from(list(Role)), step=st.integers(0, 2))
def test_any_bytes_at_any_step_give_a_remote_error_and_nothing_else(
    data: bytes, role: Role, step: int
) -> None:
    link, peer = ends.listener() if role is Role.LISTENER else ends.dialer(), NativePeer()
    if step > 0 and role is Role.LISTENER:
        link.receive_data(peer.line())
    if step > 1:
        link, peer = (ends.listener_and_peer if role is Role.LISTENER else ends.dialer_and_peer)()
    told = all_events(link, [data])
    assert isinstance(told[-1], str)
    assert ends.secrets_of(link) == []


# What is alive, and when.


def dialing(identity: KeyPair) -> Iterator[Link]:
    link, peer = ends.dialer(identity), NativePeer()
    yield link
    answer = peer.answer(sent(link))
    link.receive_data(answer[:700])
    yield link
    link.receive_data(answer[700:])
    yield link
    peer.read_message_3(next(ends.frames_in(sent(link))))
    yield from talking(link, peer)


def listening(identity: KeyPair) -> Iterator[Link]:
    link, peer = ends.listener(identity), NativePeer()
    yield link
    link.receive_data(peer.line())
    yield link
    message_3 = peer.message_3(sent(link))
    link.receive_data(message_3[:700])
    yield link
    link.receive_data(message_3[700:])
    yield from talking(link, peer)


def staying(identity: KeyPair) -> Iterator[Link]:
    link = ends.dialer(identity)
    peer, line = peer_that_wins(False, link)
    link.receive_data(peer.line())
    yield link
    link.receive_data(peer.answer(line, peer.line()))
    yield link


def giving_way(identity: KeyPair) -> Iterator[Link]:
    link = ends.dialer(identity)
    peer, line = peer_that_wins(True, link)
    link.receive_data(peer.line())
    yield link
    link.receive_data(peer.message_3(sent(link), line))
    yield from talking(link, peer)


def talking(link: Link, peer: NativePeer) -> Iterator[Link]:
    for data in (peer.seal.head, peer.seal.hello(), peer.seal.record("bye", reason="quit")):
        yield link
        link.receive_data(data)
    yield link
    link.send(HELLO)
    yield link
    link.send(Bye("quit"))
    yield link


@pytest.mark.parametrize("story", [dialing, listening, staying, giving_way])
def test_a_wipe_at_any_step_leaves_the_identity_alone(
    story: Callable[[KeyPair], Iterator[Link]],
) -> None:
    identity = KeyPair.generate()
    for steps in range(len(list(story(identity)))):
        told = story(identity)
        link = next(told)
        for _ in range(steps):
            link = next(told)
        fresh = link.role is Role.LISTENER and steps == 0
        assert fresh or ends.secrets_of(link) != []
        with ends.end_of(link):
            link.wipe()
            link.wipe()
        assert not identity.private.wiped
        with pytest.raises(LocalProtocolError):
            link.send(HELLO)


@pytest.mark.parametrize("make", [ends.listener_and_peer, ends.dialer_and_peer])
def test_a_link_that_is_up_holds_its_two_stream_keys_and_nothing_else(
    make: Callable[[], tuple[Link, NativePeer]],
) -> None:
    link, peer = make()
    assert len(ends.secrets_of(link)) == 2
    link.receive_data(peer.seal.head)
    assert sorted(map(len, ends.secrets_of(link))) == [52, 52]


def test_the_ephemeral_key_dies_with_message_2() -> None:
    keys = KeyPair.generate()
    link, peer = ends.dialer(keys=keys), NativePeer()
    assert not keys.private.wiped
    link.receive_data(peer.answer(sent(link)))
    assert keys.private.wiped


@pytest.mark.parametrize("end", ["a wipe", "a violation", "message 3"])
def test_the_mlkem_key_is_let_go_at_the_latest_with_the_handshake(end: str) -> None:
    link, peer = ends.listener(), NativePeer()
    link.receive_data(peer.line())
    message_3 = peer.message_3(sent(link))
    assert link._responder is not None
    pair = link._responder._kem
    assert pair._private is not None
    if end == "message 3":
        link.receive_data(message_3)
    elif end == "a wipe":
        link.wipe()
    else:
        refusal(link, message_3[:-1] + bytes([message_3[-1] ^ 1]))
    assert pair._private is None


def test_an_idle_native_link_holds_no_buffer() -> None:
    link, peer = ends.listener_and_peer()
    link.receive_data(peer.seal.head + peer.seal.hello())
    assert link._buffer.data == b""


def test_nothing_secret_shows_of_a_native_link() -> None:
    one, two = ends.greeted_pair()
    assert repr(one) == "<Link dialer native>"
    assert repr(two) == "<Link listener native>"
    assert repr(Hello(0, "", 0, 0, token=b"0123456789")) == "<Hello received=0 shown=0>"
