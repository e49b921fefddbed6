"""The classic link: what Fantom Chat 1.x speaks.

One way: the dialer writes messages, the listener writes nothing after its acknowledgement. The
handshake is a line each way with a fresh X25519 key; ``crypto_kx`` makes the session keys, and the
side whose SHA-256(public key) is smaller is its client. A frame's body is
``client id ‖ 0x00 ‖ nonce ‖ crypto_secretbox``.
"""

import binascii
import hashlib
import struct
from weakref import WeakSet

from fantom_trio.wire import ciphers, frames, secret
from fantom_trio.wire.errors import LocalProtocolError, RemoteProtocolError, Violation
from fantom_trio.wire.events import Event, Role, Said

__all__ = ["ACK", "HANDSHAKE", "Reader", "Writer", "key_in_line", "key_line", "session_key"]

HANDSHAKE = b"HANDSHAKE "
ACK = b"HANDSHAKE_ACK "

#: A set of nonces is full at this many; the last two sets are kept (about 7 MiB each when full).
NONCES_IN_A_SET = 65_536
#: All links together keep so many, and up to ``_STEP`` more each: the one that has most forgets the
#: older half. Else some strangers could fill our memory with what costs them nothing.
MOST_NONCES = 2 * NONCES_IN_A_SET
_STEP = 256

_NONCE = struct.Struct(f"{secret.NONCE_BYTES}s")
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

    __slots__ = ("_head", "_room", "key")

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
        box = ciphers.seal_box(self.key, nonce, plaintext)
        length = len(self._head) + len(nonce) + len(box)
        return b"".join((frames.prefix(length), self._head, nonce, box))

    def wipe(self) -> None:
        """Wipe the session key."""
        self.key.wipe()


class Reader:
    """The listener's half: frames to ``Said``."""

    __slots__ = ("__weakref__", "_client_id", "_head", "_room", "_seen", "_seen_before", "key")

    def __init__(self, key: secret.Secret) -> None:
        self.key = key
        self._head = b""
        self._client_id = b""
        #: Sets that know what came first.
        self._seen: dict[bytes, None] = {}
        self._seen_before: dict[bytes, None] = {}
        #: So many are in the set when there may be too many.
        self._room = min(_STEP, NONCES_IN_A_SET)
        _readers.add(self)

    def read(self, buffer: frames.ReceiveBuffer, found: list[Event]) -> None:
        """Take every complete frame and append what it says.

        Raises ``RemoteProtocolError`` at the first frame that is none; those before it stand in
        ``found``.
        """
        data, start, stop = buffer.data, buffer.start, buffer.stop
        room, used = ciphers.lend_room(), 0
        open_box, opened = ciphers.box_opener(self.key, data, room), memoryview(room)
        try:
            # All of it in one loop: a peer that floods us makes us pay for every call in it.
            while stop - start >= frames.PREFIX_BYTES:
                (length,) = frames.length_at(data, start)
                if not 0 < length <= frames.MAX_FRAME:
                    long = Violation.FRAME_TOO_LONG
                    raise RemoteProtocolError(long if length else Violation.FRAME_EMPTY)
                body = start + frames.PREFIX_BYTES
                if body + length > stop:
                    break
                start = body + length
                head = self._head
                if not head or not data.startswith(head, body, start):
                    head = self._read_head(data, body, start)
                box = body + len(head) + secret.NONCE_BYTES
                size = start - box - secret.MAC_BYTES
                if size < 0:
                    raise RemoteProtocolError(Violation.BOX_SHORT)
                (nonce,) = _NONCE.unpack_from(data, box - secret.NONCE_BYTES)
                if nonce in self._seen or nonce in self._seen_before:
                    raise RemoteProtocolError(Violation.REPLAY)
                if not open_box(nonce, box, start):
                    raise RemoteProtocolError(Violation.BAD_MAC)
                if len(self._seen) >= self._room:
                    self._make_room()
                self._seen[nonce] = None
                if size > used:
                    used = size
                try:
                    found.append(Said(str(opened[:size], "utf-8"), self._client_id))
                except UnicodeDecodeError:
                    text = str(opened[:size], "utf-8", "replace")
                    found.append(Said(text, self._client_id, damaged=True))
        finally:
            buffer.start = start
            ciphers.give_back(room, used)

    def _make_room(self) -> None:
        """For another step of nonces, in this set or a new one."""
        if len(self._seen) >= NONCES_IN_A_SET:
            self._seen, self._seen_before = {}, self._seen
        while sum(map(Reader._count, _readers)) + _STEP > MOST_NONCES:
            max(_readers, key=Reader._count)._forget_half()
        self._room = min(len(self._seen) + _STEP, NONCES_IN_A_SET)

    def _count(self) -> int:
        return len(self._seen) + len(self._seen_before)

    def _forget_half(self) -> None:
        latest = [*self._seen_before, *self._seen][(self._count() + 1) // 2 :]
        self._seen, self._seen_before = {}, dict.fromkeys(latest)
        self._room = min(_STEP, NONCES_IN_A_SET)

    def _read_head(self, data: bytearray, start: int, stop: int) -> bytes:
        """The client id and its NUL. A link's hardly ever changes."""
        nul = data.find(b"\0", start, stop)
        if nul < 0:
            raise RemoteProtocolError(Violation.FRAME_WITHOUT_NUL)
        self._head = bytes(data[start : nul + 1])
        self._client_id = self._head[:-1]
        return self._head

    def wipe(self) -> None:
        """Wipe the session key."""
        self.key.wipe()


#: Those that are in use.
_readers = WeakSet[Reader]()
