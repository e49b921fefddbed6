"""The classic link: what Fantom Chat 1.x speaks.

One way: the dialer writes messages, the listener writes nothing after its acknowledgement. The
handshake is a line each way with a fresh X25519 key; ``crypto_kx`` makes the session keys, and the
side whose SHA-256(public key) is smaller is its client. A frame's body is
``client id ‖ 0x00 ‖ nonce ‖ crypto_secretbox``.
"""

import binascii
import hashlib

from fantom_trio.wire import frames, secret
from fantom_trio.wire.address import AddressError, Endpoint
from fantom_trio.wire.errors import LocalProtocolError, RemoteProtocolError, Violation
from fantom_trio.wire.events import Role, Said

__all__ = ["ACK", "HANDSHAKE", "Reader", "Writer", "key_in_line", "key_line", "session_key"]

HANDSHAKE = b"HANDSHAKE "
ACK = b"HANDSHAKE_ACK "

#: A set of nonces is full at this many; the last two sets are kept (about 7 MiB each when full).
NONCES_IN_A_SET = 65_536

_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_NOT_BASE64 = bytes(set(range(256)) - set(_BASE64))


def key_line(word: bytes, public_key: bytes) -> bytes:
    """A handshake line: the word, the key in base64, a newline."""
    return word + binascii.b2a_base64(public_key)


def key_in_line(line: bytes) -> bytes:
    """The 32-byte key behind the word; what is not base64 is skipped, as the original does.

    Raises ``RemoteProtocolError`` for another length: the original would hash all of it for the
    role and use the first 32 bytes for the keys.
    """
    symbols = line.partition(b" ")[2].translate(None, delete=_NOT_BASE64)
    if len(symbols) % 4 == 1:  # six bits that make no byte
        symbols = symbols[:-1]
    key = binascii.a2b_base64(symbols + b"=" * (-len(symbols) % 4))
    if len(key) != secret.KEY_BYTES:
        raise RemoteProtocolError(Violation.KEY_LENGTH)
    return key


def session_key(own: secret.KeyPair, peer_public: bytes, role: Role) -> secret.Secret:
    """The one session key that a one-way link needs; ``own`` is wiped, whatever happens.

    A dialer gets the key it sends with, a listener the one it receives with; the other of the two
    is wiped unused. Raises ``RemoteProtocolError`` for a key that gives no secret.
    """
    try:
        if peer_public == own.public:
            raise RemoteProtocolError(Violation.KEY_REFLECTED)
        client = _role_hash(own.public) < _role_hash(peer_public)
        keys = secret.session_keys(own, peer_public, client=client)
    finally:
        own.wipe()
    if keys is None:
        raise RemoteProtocolError(Violation.KEY_WEAK)
    receive, send = keys
    used, unused = (send, receive) if role is Role.DIALER else (receive, send)
    unused.wipe()
    return used


def _role_hash(public_key: bytes) -> bytes:
    return hashlib.sha256(public_key).digest()


class Writer:
    """The dialer's half: texts to frames."""

    def __init__(self, key: secret.Secret, client_id: bytes) -> None:
        self.key = key
        self._head = client_id + b"\0"
        self._room = frames.MAX_FRAME - len(self._head) - secret.NONCE_BYTES - secret.MAC_BYTES
        if b"\0" in client_id or self._room < 4:
            raise LocalProtocolError("a client id is a short text without NUL")

    def say(self, text: str, out: bytearray) -> None:
        """Append the frames of ``text``: one, or several cut between characters."""
        for piece in frames.split_text(text, self._room):
            out += self.frame(piece, secret.random_nonce())

    def frame(self, plaintext: bytes, nonce: bytes) -> bytes:
        """One frame, prefix included. A nonce serves once: ``say`` draws each afresh."""
        box = secret.seal_box(self.key, nonce, plaintext)
        length = len(self._head) + len(nonce) + len(box)
        return b"".join((frames.prefix(length), self._head, nonce, box))

    def wipe(self) -> None:
        """Wipe the session key."""
        self.key.wipe()


class Reader:
    """The listener's half: frames to ``Said``."""

    def __init__(self, key: secret.Secret) -> None:
        self.key = key
        self._head = b""
        self._sender: Endpoint | None = None
        self._seen: set[bytes] = set()
        self._seen_before: set[bytes] = set()

    def read(self, buffer: frames.ReceiveBuffer, said: list[Said]) -> None:
        """Take every complete frame and append what it says.

        Raises ``RemoteProtocolError`` at the first frame that is none; those before it stand in
        ``said``.
        """
        data = buffer.data
        for start, stop in buffer.frames():
            nonce_at = self._read_head(data, start, stop)
            box_at = nonce_at + secret.NONCE_BYTES
            if stop - box_at < secret.MAC_BYTES:
                raise RemoteProtocolError(Violation.BOX_SHORT)
            nonce = bytes(data[nonce_at:box_at])
            if nonce in self._seen or nonce in self._seen_before:
                raise RemoteProtocolError(Violation.REPLAY)
            if not secret.open_box(self.key, nonce, data, box_at, stop):
                raise RemoteProtocolError(Violation.BAD_MAC)
            self._remember(nonce)
            text = memoryview(data)[box_at + secret.MAC_BYTES : stop]
            try:
                said.append(Said(str(text, "utf-8"), self._sender))
            except UnicodeDecodeError:
                said.append(Said(str(text, "utf-8", "replace"), self._sender, damaged=True))

    def _read_head(self, data: bytearray, start: int, stop: int) -> int:
        """Where the nonce starts. A link's client id hardly ever changes, so it is parsed once."""
        head = self._head
        if not head or not data.startswith(head, start, stop):
            nul = data.find(b"\0", start, stop)
            if nul < 0:
                raise RemoteProtocolError(Violation.FRAME_WITHOUT_NUL)
            self._head = head = bytes(data[start : nul + 1])
            try:
                self._sender = Endpoint.parse_client_id(head[:-1])
            except AddressError:
                self._sender = None
        return start + len(head)

    def _remember(self, nonce: bytes) -> None:
        if len(self._seen) >= NONCES_IN_A_SET:
            self._seen, self._seen_before = set(), self._seen
        self._seen.add(nonce)

    def wipe(self) -> None:
        """Wipe the session key."""
        self.key.wipe()
