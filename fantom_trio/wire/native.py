"""The handshake of the native link, ``fantom/2``: Noise XX with a post-quantum share.

The dialer's classic line, marked with `` ~~``, is Noise message 1; the listener's acknowledgement
is message 2 with an ML-KEM key in it, and the first frame is message 3 with the ciphertext. Where
two dialers meet on one connection, the ephemeral key with the smaller SHA-256 stays the initiator.
"""

import binascii
import hashlib

from fantom_trio.wire import frames, kem
from fantom_trio.wire.errors import RemoteProtocolError, Violation
from fantom_trio.wire.invite import fingerprint
from fantom_trio.wire.noise import HandshakeState
from fantom_trio.wire.secret import KEY_BYTES, MAC_BYTES, KeyPair, Secret
from fantom_trio.wire.stream import RecordReader, RecordWriter

__all__ = ["Initiator", "Responder", "blob_in_line", "line", "stays_initiator"]

#: Behind the base64 of a native line: outside of its alphabet, so that a classic peer skips it.
MARK = b" ~~\n"
PATTERN = "XX"
PROLOGUE = b"fantom/2\n"

#: ``e``, the sealed static key and the sealed ML-KEM key.
MESSAGE_2_BYTES = KEY_BYTES + KEY_BYTES + MAC_BYTES + kem.PUBLIC_BYTES + MAC_BYTES
#: The sealed static key and the sealed ciphertext.
MESSAGE_3_BYTES = KEY_BYTES + MAC_BYTES + kem.CIPHERTEXT_BYTES + MAC_BYTES
MESSAGE_3_LENGTHS = frozenset({MESSAGE_3_BYTES})


def line(word: bytes, blob: bytes) -> bytes:
    """A native handshake line."""
    return word + binascii.b2a_base64(blob, newline=False) + MARK


def blob_in_line(received: bytes, word: bytes) -> bytes | None:
    """What a native line carries; None for one that is not native in every byte."""
    if not (received.startswith(word) and received.endswith(MARK)):
        return None
    try:
        blob = binascii.a2b_base64(received[len(word) : -len(MARK)])
    except binascii.Error:
        return None
    # Stray bits, padding or blanks: whoever sends them speaks classic.
    return blob if line(word, blob) == received else None


def stays_initiator(own: bytes, peer: bytes) -> bool:
    """Who of two dialers on one connection goes on as initiator, by their ephemeral keys."""
    return hashlib.sha256(own).digest() < hashlib.sha256(peer).digest()


class _Handshake:
    """What both sides share; ``identity`` belongs to the caller, all else is wiped here.

    ``expected`` is the fingerprint that the peer's static key must have.
    """

    def __init__(self, identity: KeyPair, expected: bytes | None, noise: HandshakeState) -> None:
        self._identity = identity
        self._expected = expected
        self._noise = noise

    @property
    def peer(self) -> bytes:
        """The peer's static key, 32 bytes, once the messages are through."""
        assert self._noise.peer_static is not None
        return self._noise.peer_static

    @property
    def hash(self) -> bytes:
        """The handshake hash, 64 bytes."""
        return self._noise.hash

    def wipe(self) -> None:
        """Wipe every secret but the identity; idempotent."""
        self._noise.wipe()

    def _check_peer(self) -> None:
        if self.peer == self._identity.public:
            raise RemoteProtocolError(Violation.OWN_IDENTITY)
        if self._expected is not None and fingerprint(self.peer) != self._expected:
            raise RemoteProtocolError(Violation.OTHER_IDENTITY)

    def _streams(
        self, shared: Secret, out: bytearray, *, initiator: bool
    ) -> tuple[RecordReader, RecordWriter]:
        self._noise.mix_key(shared)
        from_initiator, from_listener = self._noise.split()
        send, receive = (
            (from_initiator, from_listener) if initiator else (from_listener, from_initiator)
        )
        return RecordReader(receive, self.hash), RecordWriter(send, self.hash, out)


class Initiator(_Handshake):
    """The side whose line was message 1."""

    def __init__(
        self, identity: KeyPair, ephemeral: KeyPair, lines: bytes, expected: bytes | None
    ) -> None:
        noise = HandshakeState(
            PATTERN, initiator=True, prologue=PROLOGUE + lines, static=identity, ephemeral=ephemeral
        )
        noise.write_message(b"")  # it went out with the line
        super().__init__(identity, expected, noise)

    def finish(self, message: bytes, out: bytearray) -> tuple[RecordReader, RecordWriter]:
        """Read message 2; message 3 and the stream's header go to ``out``.

        Nothing of ours is in ``out`` before the peer is the expected one. Raises
        ``RemoteProtocolError``.
        """
        if len(message) != MESSAGE_2_BYTES:
            raise RemoteProtocolError(Violation.KEY_LENGTH)
        kem_key = self._noise.read_message(message)
        self._check_peer()
        ciphertext, shared = kem.encapsulate(kem_key)
        answer = self._noise.write_message(ciphertext)
        out += frames.prefix(len(answer)) + answer
        return self._streams(shared, out, initiator=True)


class Responder(_Handshake):
    """The side that answers a line with its acknowledgement."""

    def __init__(
        self, identity: KeyPair, peer_ephemeral: bytes, lines: bytes, expected: bytes | None
    ) -> None:
        noise = HandshakeState(PATTERN, initiator=False, prologue=PROLOGUE + lines, static=identity)
        noise.read_message(peer_ephemeral)
        self._kem = kem.Decapsulator()
        super().__init__(identity, expected, noise)

    def message_2(self) -> bytes:
        """1,280 bytes; raises ``RemoteProtocolError`` for an ephemeral key of small order."""
        return self._noise.write_message(self._kem.public)

    def finish(self, message: bytes, out: bytearray) -> tuple[RecordReader, RecordWriter]:
        """Read message 3; the stream's header goes to ``out``. Raises ``RemoteProtocolError``."""
        ciphertext = self._noise.read_message(message)
        self._check_peer()
        return self._streams(self._kem.decapsulate(ciphertext), out, initiator=False)

    def wipe(self) -> None:
        """Wipe every secret but the identity; idempotent."""
        self._kem.wipe()
        super().wipe()
