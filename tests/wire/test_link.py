"""Two ends held in the hand: lines and frames of a classic link, no socket."""

import base64
import itertools
import os
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fantom_trio.wire import (
    Endpoint,
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
from fantom_trio.wire.classic import Reader
from fantom_trio.wire.events import CLAIM_BYTES, CLAIMS, _remembered
from fantom_trio.wire.secret import KeyPair, Secret
from tests.classic_peer import ClassicPeer

PEER = Endpoint("::1", 40000)


def listener_and_peer() -> tuple[Link, ClassicPeer]:
    link, peer = Link(Role.LISTENER), ClassicPeer()
    assert link.receive_data(peer.handshake()) == [HandshakeDone(LinkKind.CLASSIC)]
    peer.meet(bytes(link.data_to_send()))
    return link, peer


def dialer_and_peer(client_id: bytes = b"::1:40001") -> tuple[Link, ClassicPeer]:
    link, peer = Link(Role.DIALER, client_id), ClassicPeer()
    peer.meet(bytes(link.data_to_send()))
    assert link.receive_data(peer.ack()) == [HandshakeDone(LinkKind.CLASSIC)]
    return link, peer


def violation(link: Link, data: bytes, *, end: bool = False) -> Violation:
    """What the link says of the peer after ``data``."""

    def feed() -> None:
        link.receive_data(data)
        while link.events():
            pass
        if end:
            link.received(0)
            link.events()

    with pytest.raises(RemoteProtocolError) as caught:
        feed()
    return caught.value.violation


def test_a_dialer_speaks_first_and_a_listener_waits() -> None:
    assert Link(Role.LISTENER).data_to_send() == b""
    line = bytes(Link(Role.DIALER).data_to_send())
    assert line.startswith(b"HANDSHAKE ")
    assert line.endswith(b"\n")
    assert len(base64.b64decode(line[10:], validate=False)) == 32


def test_every_connection_has_a_key_of_its_own() -> None:
    lines = {bytes(Link(Role.DIALER).data_to_send()) for _ in range(20)}
    assert len(lines) == 20


def test_what_the_peer_says_arrives_with_its_listener_address() -> None:
    link, peer = listener_and_peer()
    assert link.receive_data(peer.frame("привет")) == [Said("привет", PEER.client_id)]


def test_what_we_say_opens_at_the_peer_under_our_client_id() -> None:
    link, peer = dialer_and_peer()
    link.say("hello")
    assert peer.open(bytes(link.data_to_send())) == "hello"
    assert peer.client_id_seen == b"::1:40001"


def test_many_frames_of_one_read_travel_as_one_list() -> None:
    link, peer = listener_and_peer()
    texts = [str(number) for number in range(200)]
    events = link.receive_data(b"".join(map(peer.frame, texts)))
    assert events == [Said(text, PEER.client_id) for text in texts]


def test_a_message_over_a_frame_is_cut_between_characters_and_keeps_its_order() -> None:
    link, peer = dialer_and_peer()
    text = "ы👋" * 40_000
    link.say(text)
    data, pieces = bytes(link.data_to_send()), []
    while data:
        size = 4 + struct.unpack(">I", data[:4])[0]
        assert size <= 4 + 65_536
        pieces.append(peer.open(data[:size]))
        data = data[size:]
    assert "".join(pieces) == text
    assert len(pieces) == 4


def test_an_unpaired_surrogate_is_sent_as_a_question_mark() -> None:
    link, peer = dialer_and_peer()
    link.say("a\udc80b")
    assert peer.open(bytes(link.data_to_send())) == "a?b"


def test_text_that_is_not_utf8_is_shown_with_replacements_and_the_link_kept() -> None:
    link, peer = listener_and_peer()
    assert link.receive_data(peer.frame(b"\xff\xfe\x80abc")) == [
        Said("\ufffd\ufffd\ufffdabc", PEER.client_id, damaged=True)
    ]
    assert link.receive_data(peer.frame("still here")) == [Said("still here", PEER.client_id)]


@pytest.mark.parametrize("client_id", [b"", b"nonsense", b"192.0.2.1:31488", b"\xff:1", b"::1:"])
def test_a_client_id_that_cannot_be_read_gives_no_sender_and_keeps_the_link(
    client_id: bytes,
) -> None:
    link, peer = listener_and_peer()
    (said,) = link.receive_data(peer.frame("hi", client_id=client_id))
    assert said == Said("hi", client_id)
    assert isinstance(said, Said)
    assert said.sender is None


def test_a_client_id_may_change_from_frame_to_frame() -> None:
    link, peer = listener_and_peer()
    frames = [
        peer.frame("a"),
        peer.frame("b", client_id=b"fe80::1%eth0:31488"),
        peer.frame("c", client_id=b"::1:4000"),  # a prefix of the first one
        peer.frame("d"),
    ]
    events = link.receive_data(b"".join(frames))
    senders = [event.sender for event in events if isinstance(event, Said)]
    assert senders == [PEER, Endpoint("fe80::1", 31488, "eth0"), Endpoint("::1", 4000), PEER]
    assert events == [
        Said("a", PEER.client_id),
        Said("b", b"fe80::1%eth0:31488"),
        Said("c", b"::1:4000"),
        Said("d", PEER.client_id),
    ]


def test_a_long_client_id_is_read_and_not_remembered() -> None:
    short, long = Said("a", PEER.client_id), Said("a", b"[" * CLAIM_BYTES + PEER.client_id)
    _remembered.cache_clear()
    assert [short.sender, short.sender, long.sender, long.sender] == [PEER] * 4
    info = _remembered.cache_info()
    assert (info.hits, info.misses, info.maxsize) == (1, 1, CLAIMS)


def test_the_end_between_two_frames_is_the_peer_closing() -> None:
    link, peer = listener_and_peer()
    link.receive_data(peer.frame("last words"))
    link.received(0)
    assert link.events() == [PeerClosed()]


def test_a_native_handshake_line_is_a_valid_classic_one() -> None:
    link, peer = Link(Role.LISTENER), ClassicPeer()
    line = peer.handshake()[:-1] + b" ~~\n"
    assert link.receive_data(line) == [HandshakeDone(LinkKind.CLASSIC)]
    peer.meet(bytes(link.data_to_send()))
    assert link.receive_data(peer.frame("hi")) == [Said("hi", PEER.client_id)]


# What a peer may do wrong, and what is said of it.


@pytest.mark.parametrize(
    "data", [b"\0\0\0\5hello", b"GET / HTTP/1.1\r\n", b"HANDSHAKE_ACK x", b"\n"]
)
def test_data_before_the_handshake_is_refused(data: bytes) -> None:
    assert violation(Link(Role.LISTENER), data) is Violation.NOT_A_HANDSHAKE


def test_a_dialer_refuses_a_handshake_in_place_of_an_acknowledgement() -> None:
    assert violation(Link(Role.DIALER), ClassicPeer().handshake()) is Violation.NOT_A_HANDSHAKE


def test_a_line_of_2048_bytes_is_read_and_a_longer_one_refused() -> None:
    peer = ClassicPeer()
    padding = b"~" * (2048 - len(peer.handshake()))
    line = peer.handshake()[:-1] + padding + b"\n"
    assert len(line) == 2048
    assert Link(Role.LISTENER).receive_data(line) == [HandshakeDone(LinkKind.CLASSIC)]
    longer = line[:-1] + b"~\n"
    assert violation(Link(Role.LISTENER), longer) is Violation.LINE_TOO_LONG


@pytest.mark.parametrize("size", [0, 1, 16, 31, 33, 64])
@pytest.mark.parametrize("role", list(Role))
def test_a_key_of_another_length_than_32_bytes_is_refused(size: int, role: Role) -> None:
    word = b"HANDSHAKE " if role is Role.LISTENER else b"HANDSHAKE_ACK "
    line = word + base64.b64encode(os.urandom(size)) + b"\n"
    assert violation(Link(role), line) is Violation.KEY_LENGTH


# The points of small order on Curve25519 (RFC 7748, section 6.1 warns of them).
SMALL_ORDER = [
    bytes(32),
    b"\1" + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    bytes.fromhex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
]


@pytest.mark.parametrize("key", SMALL_ORDER)
@pytest.mark.parametrize("role", list(Role))
def test_a_key_that_gives_no_secret_is_refused(key: bytes, role: Role) -> None:
    word = b"HANDSHAKE " if role is Role.LISTENER else b"HANDSHAKE_ACK "
    line = word + base64.b64encode(key) + b"\n"
    assert violation(Link(role), line) is Violation.KEY_WEAK


def test_our_own_key_sent_back_is_refused() -> None:
    link = Link(Role.DIALER)
    mirrored = bytes(link.data_to_send()).replace(b"HANDSHAKE ", b"HANDSHAKE_ACK ")
    assert violation(link, mirrored) is Violation.KEY_REFLECTED


def test_a_listener_that_writes_after_its_acknowledgement_is_refused() -> None:
    link, peer = dialer_and_peer()
    assert violation(link, peer.frame("hi")) is Violation.WROTE_AFTER_ACK


def test_a_length_is_refused_on_its_four_bytes() -> None:
    for length, expected in (
        (0, Violation.FRAME_EMPTY),
        (65_537, Violation.FRAME_TOO_LONG),
        (2**32 - 1, Violation.FRAME_TOO_LONG),
    ):
        link, _ = listener_and_peer()
        assert violation(link, struct.pack(">I", length)) is expected


def test_a_frame_of_64_KiB_is_read() -> None:  # noqa: N802
    link, peer = listener_and_peer()
    text = "x" * (65_536 - len(peer.client_id) - 1 - 24 - 16)
    frame = peer.frame(text)
    assert len(frame) == 4 + 65_536
    assert link.receive_data(frame) == [Said(text, PEER.client_id)]


def test_a_frame_without_nul_is_refused() -> None:
    link, _ = listener_and_peer()
    assert violation(link, b"\0\0\0\5abcde") is Violation.FRAME_WITHOUT_NUL


@pytest.mark.parametrize("size", [0, 23, 24, 39])
def test_a_box_shorter_than_nonce_and_tag_is_refused(size: int) -> None:
    link, _ = listener_and_peer()
    body = b"::1:40000\0" + bytes(size)
    assert violation(link, struct.pack(">I", len(body)) + body) is Violation.BOX_SHORT


def test_a_flipped_bit_anywhere_in_a_box_is_refused() -> None:
    for bit in range(8 * (24 + 16 + 2)):
        link, peer = listener_and_peer()
        frame = bytearray(peer.frame("ok"))
        at = 4 + len(peer.client_id) + 1 + bit // 8
        frame[at] ^= 1 << bit % 8
        assert violation(link, bytes(frame)) is Violation.BAD_MAC


def test_a_box_for_another_link_is_refused() -> None:
    link, _ = listener_and_peer()
    _, other = listener_and_peer()
    assert violation(link, other.frame("hi")) is Violation.BAD_MAC


def test_a_replayed_frame_is_refused_even_under_another_client_id() -> None:
    for client_id in (None, b"::1:40009"):
        link, peer = listener_and_peer()
        nonce = os.urandom(24)
        assert link.receive_data(peer.frame("once", nonce=nonce)) == [Said("once", PEER.client_id)]
        again = peer.frame("once", nonce=nonce, client_id=client_id)
        assert violation(link, again) is Violation.REPLAY


def test_an_end_in_the_middle_is_told_apart_from_a_close() -> None:
    link, peer = listener_and_peer()
    assert violation(link, peer.frame("cut")[:-1], end=True) is Violation.CLOSED_IN_FRAME
    link = Link(Role.LISTENER)
    assert violation(link, b"HANDSHAKE ", end=True) is Violation.CLOSED_IN_HANDSHAKE
    assert violation(Link(Role.DIALER), b"", end=True) is Violation.CLOSED_IN_HANDSHAKE


def test_what_was_said_before_a_violation_is_still_heard() -> None:
    link, peer = listener_and_peer()
    events = link.receive_data(peer.frame("one") + peer.frame("two") + b"\0\0\0\0")
    assert events == [Said("one", PEER.client_id), Said("two", PEER.client_id)]
    with pytest.raises(RemoteProtocolError, match="length 0"):
        link.events()


# What we may do wrong.


def test_a_listener_cannot_write_and_a_dialer_not_before_the_handshake() -> None:
    link, _ = listener_and_peer()
    assert not link.can_say
    with pytest.raises(LocalProtocolError):
        link.say("hi")
    dialer = Link(Role.DIALER)
    assert not dialer.can_say
    with pytest.raises(LocalProtocolError):
        dialer.say("hi")


def test_a_wiped_link_refuses_everything_and_a_second_wipe_does_nothing() -> None:
    link, peer = dialer_and_peer()
    link.wipe()
    link.wipe()
    assert repr(link) == "<Link dialer wiped>"
    assert link.data_to_send() == b""
    for refused in (
        lambda: link.say("hi"),
        lambda: link.receive_data(peer.ack()),
        lambda: link.received(0),
    ):
        with pytest.raises(LocalProtocolError):
            refused()


def test_a_violation_wipes_the_keys_at_once() -> None:
    keys = KeyPair.generate()
    link = Link(Role.LISTENER, keys=keys)
    violation(link, b"HANDSHAKE AAAA\n")
    assert keys.private.wiped
    link, _ = listener_and_peer()
    reader = link._reader
    assert isinstance(reader, Reader)
    violation(link, b"\0\0\0\0")
    assert reader.key.wiped


def test_the_private_key_dies_when_the_session_key_is_born() -> None:
    keys = KeyPair.generate()
    link, peer = Link(Role.DIALER, keys=keys), ClassicPeer()
    assert not keys.private.wiped
    link.receive_data(peer.ack())
    assert keys.private.wiped


def test_an_idle_link_holds_no_buffer() -> None:
    link, peer = listener_and_peer()
    link.receive_data(peer.frame("x" * 50_000) * 1)
    assert link._buffer.data == b""


# Any bytes, in any pieces.


def all_events(link: Link, pieces: list[bytes]) -> list[Event | str]:
    """Every event, and at the end the violation's name if there was one."""
    told: list[Event | str] = []
    try:
        for piece in pieces:
            told += link.receive_data(piece)
        while events := link.events():
            told += events
        link.received(0)
        while events := link.events():
            told += events
    except RemoteProtocolError as error:
        told.append(error.violation.name)
    return told


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted({at % (len(data) + 1) for at in cuts}), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


OUR_KEY = bytes(range(32))
pieces_of_a_peer = st.lists(
    st.one_of(
        st.binary(max_size=80),
        st.sampled_from(["", "hi", "x" * 3000, "ы" * 40]),
        st.sampled_from([b"\0\0\0\0", b"\0\1\0\1", b"\0\0\0\3a\0b", b"\xff" * 4]),
    ),
    max_size=6,
)


@pytest.mark.fuzz
@given(
    before=st.sampled_from([b"", b"\n", b"HANDSHAKE \n"]),
    said=pieces_of_a_peer,
    suffix=st.sampled_from([b"\n", b" ~~\n", b"\r\n", b"~" * 2100 + b"\n"]),
    cuts=st.lists(st.integers(0, 1 << 20), max_size=12),
    role=st.sampled_from(list(Role)),
)
def test_any_bytes_in_any_pieces_mean_the_same_as_in_one(
    before: bytes, said: list[str | bytes], suffix: bytes, cuts: list[int], role: Role
) -> None:
    def fresh() -> Link:
        return Link(role, b"::1:1", keys=KeyPair(Secret.copy_of(OUR_KEY)))

    peer = ClassicPeer()
    line = peer.handshake() if role is Role.LISTENER else peer.ack()
    public = KeyPair(Secret.copy_of(OUR_KEY)).public
    peer.meet(b"X " + base64.b64encode(public) + b"\n")
    data = before + line[:-1] + suffix
    data += b"".join(peer.frame(x) if isinstance(x, str) else x for x in said)
    whole = all_events(fresh(), [data])
    assert all_events(fresh(), cut(data, cuts)) == whole
    assert all_events(fresh(), [data[i : i + 1] for i in range(len(data))]) == whole


@pytest.mark.fuzz
@given(data=st.binary(max_size=300), role=st.sampled_from(list(Role)))
def test_arbitrary_bytes_give_events_or_a_remote_error_and_nothing_else(
    data: bytes, role: Role
) -> None:
    told = all_events(Link(role), [data])
    assert isinstance(told[-1], str)  # arbitrary bytes are never a whole session
