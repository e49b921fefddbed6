"""The sessions recorded from the original program, replayed in both roles."""

import pytest

from fantom_trio.wire import (
    Event,
    HandshakeDone,
    Link,
    LinkKind,
    RemoteProtocolError,
    Role,
    Said,
    Violation,
    classic,
)
from fantom_trio.wire.classic import Reader, Writer
from fantom_trio.wire.frames import ReceiveBuffer
from fantom_trio.wire.secret import KeyPair, Secret
from tests.wire.recordings import SESSIONS, Message, Session

REPLAY_AND_ERRORS = 9
DIALED = [session for session in SESSIONS if session.our_role is Role.DIALER]
ACCEPTED = [session for session in SESSIONS if session.our_role is Role.LISTENER]


def name(session: Session) -> str:
    return f"{session.id} {session.name}"


def said(message: Message) -> Said:
    text = message.plaintext.decode("utf-8", "replace")
    damaged = message.plaintext != text.encode()
    return Said(text, message.client_id, damaged)


def replay(link: Link, session: Session, frames: list[bytes]) -> None:
    """Feed ``frames`` and expect the recorded texts, up to session 9's replayed frame."""
    told: list[Event] = []
    if session.id == REPLAY_AND_ERRORS:
        told += link.receive_data(b"".join(frames))
        with pytest.raises(RemoteProtocolError) as caught:
            link.events()
        assert caught.value.violation is Violation.REPLAY
        assert told == [said(message) for message in session.messages[:2]]
        return
    for frame in frames:
        told += link.receive_data(frame)
    assert told == [said(message) for message in session.messages]


def frames_of(session: Session, key: bytes) -> list[bytes]:
    """The recorded frames; those recorded by hash are built again from their recorded nonce."""
    writer = Writer(Secret.copy_of(key), session.client_id)
    built = []
    for frame, message in zip(session.frames, session.messages, strict=True):
        if frame.data is not None:
            built.append(frame.data)
        else:
            built.append(writer.frame(message.plaintext, frame.nonce(session.client_id)))
            assert built[-1].startswith(frame.head)
            assert frame.equals(built[-1])
    return built


def test_the_recordings_cover_both_roles_and_both_key_roles() -> None:
    assert len(SESSIONS) == 18
    assert {(s.our_role, s.kx_client) for s in SESSIONS} == {
        (role, client) for role in Role for client in (True, False)
    }


@pytest.mark.parametrize("session", DIALED, ids=name)
@pytest.mark.parametrize("identity", [None, KeyPair.generate()], ids=["classic only", "ours"])
def test_as_dialer_our_line_and_frames_equal_the_recorded_bytes(
    session: Session, identity: KeyPair | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = Link(Role.DIALER, session.client_id, identity=identity, keys=session.keys())
    line = bytes(link.data_to_send())
    # Two sessions were recorded with the native mark behind our key.
    recorded_bare = session.our_line.replace(b" ~~", b"")
    assert line == (recorded_bare if identity is None else recorded_bare[:-1] + b" ~~\n")
    assert link.receive_data(session.peer_line) == [HandshakeDone(LinkKind.CLASSIC)]
    for frame, message in zip(session.frames, session.messages, strict=True):
        if message.note:  # session 9: bytes that no honest dialer sends
            continue
        nonce = frame.nonce(session.client_id)
        monkeypatch.setattr("fantom_trio.wire.secret.random_nonce", lambda nonce=nonce: nonce)
        try:
            link.say(message.plaintext.decode())
        except UnicodeDecodeError:
            writer = Writer(Secret.copy_of(session.send_key), session.client_id)
            assert frame.equals(writer.frame(message.plaintext, nonce))
        else:
            assert frame.equals(bytes(link.data_to_send()))


@pytest.mark.parametrize("session", ACCEPTED, ids=name)
@pytest.mark.parametrize("identity", [None, KeyPair.generate()], ids=["classic only", "ours"])
def test_as_listener_we_acknowledge_and_read_the_recorded_texts(
    session: Session, identity: KeyPair | None
) -> None:
    link = Link(Role.LISTENER, identity=identity, keys=session.keys())
    assert link.receive_data(session.peer_line) == [HandshakeDone(LinkKind.CLASSIC)]
    # A bare line gets a bare answer, whatever we could speak.
    assert bytes(link.data_to_send()) == session.our_line.replace(b" ~~", b"")
    replay(link, session, frames_of(session, session.receive_key))


@pytest.mark.parametrize("session", DIALED, ids=name)
def test_frames_that_the_original_took_from_us_read_the_same_here(session: Session) -> None:
    link = Link(Role.LISTENER)
    link.kind = LinkKind.CLASSIC  # the original's private key was not recorded: begin behind it
    link._reader, link._step = Reader(Secret.copy_of(session.send_key)), Link._read_texts
    replay(link, session, frames_of(session, session.send_key))


@pytest.mark.parametrize("session", ACCEPTED, ids=name)
def test_frames_of_the_original_are_built_byte_for_byte(session: Session) -> None:
    writer = Writer(Secret.copy_of(session.receive_key), session.client_id)
    for frame, message in zip(session.frames, session.messages, strict=True):
        built = writer.frame(message.plaintext, frame.nonce(session.client_id))
        assert frame.equals(built)


@pytest.mark.parametrize("session", SESSIONS, ids=name)
def test_the_session_keys_are_the_recorded_ones(session: Session) -> None:
    keys = session.keys()
    derived = classic.session_key(keys, session.peer_public_key, session.our_role)
    recorded = session.send_key if session.our_role is Role.DIALER else session.receive_key
    nonce = bytes(24)
    mine = Writer(derived, b"::1:1").frame(b"same key, same box", nonce)
    assert mine == Writer(Secret.copy_of(recorded), b"::1:1").frame(b"same key, same box", nonce)
    assert keys.private.wiped


# Keys in lines.


def key_bytes(line: bytes) -> bytes:
    return classic.key_in_line(b"HANDSHAKE " + line + b"\n")


def test_what_is_outside_the_base64_alphabet_is_skipped() -> None:
    key = bytes(range(32))
    text = classic.key_line(b"", key)[:-1]
    for line in (
        text,
        text + b" ~~",
        text.rstrip(b"="),
        b"-_ " + text + b"\r",
        b"~".join([text[:9], text[9:]]),
    ):
        assert key_bytes(line) == key


def test_stray_low_bits_behind_the_key_are_dropped_as_the_original_drops_them() -> None:
    text = classic.key_line(b"", bytes(32))[:-1].replace(b"A=", b"B=")
    assert key_bytes(text) == bytes(32)


def test_a_single_symbol_that_makes_no_byte_is_dropped() -> None:
    text = classic.key_line(b"", bytes(33))[:-1]
    assert len(text) == 44
    with pytest.raises(RemoteProtocolError):
        key_bytes(text)
    with pytest.raises(RemoteProtocolError):
        key_bytes(text[:41])  # 30 bytes and six bits


# The memory of nonces.


def frame_at(writer: Writer, number: int) -> bytes:
    return writer.frame(b"", number.to_bytes(24, "big"))


def test_the_last_nonces_are_remembered_in_two_sets_that_change_places(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(classic, "NONCES_IN_A_SET", 4)
    key = bytes(range(32))
    writer = Writer(Secret.copy_of(key), b"::1:1")

    def replayed_after(count: int) -> bool:
        reader, buffer = Reader(Secret.copy_of(key)), ReceiveBuffer()
        data = b"".join(frame_at(writer, n) for n in range(count)) + frame_at(writer, 0)
        buffer.lend()[: len(data)] = data
        buffer.filled(len(data))
        try:
            reader.read(buffer, [])
        except RemoteProtocolError as error:
            return error.violation is Violation.REPLAY
        return False

    assert [replayed_after(count) for count in (1, 4, 8, 9, 12)] == [True, True, True, False, False]


def test_the_memory_of_nonces_is_as_large_as_documented() -> None:
    assert classic.NONCES_IN_A_SET == 65_536
    assert classic.MOST_NONCES == 131_072


def test_of_all_links_the_one_with_most_nonces_forgets_the_older_half(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(classic, "MOST_NONCES", 2000)
    key = bytes(range(32))
    writer, buffer = Writer(Secret.copy_of(key), b"::1:1"), ReceiveBuffer()

    def reads(reader: Reader, *numbers: int) -> bool:
        """False: it knew one of them."""
        for number in numbers:
            data = frame_at(writer, number)
            buffer.lend()[: len(data)] = data
            buffer.filled(len(data))
            try:
                reader.read(buffer, [])
            except RemoteProtocolError:
                return False
        return True

    one, other = Reader(Secret.copy_of(key)), Reader(Secret.copy_of(key))
    assert reads(other, *range(300))
    assert reads(one, *range(1300))
    assert not reads(one, 0)
    assert not reads(other, 0)
    assert reads(one, *range(1300, 1600))
    assert reads(one, 0)
    assert not reads(one, 1200)
    assert not reads(other, 0)
