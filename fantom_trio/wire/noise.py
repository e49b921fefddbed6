"""Noise handshakes over wiped memory (https://noiseprotocol.org/noise.html, revision 34).

``25519_ChaChaPoly_BLAKE2b``; the patterns are ``XX``, which the native link uses, and ``NN``, which
checks the machinery. The names are the specification's own.
"""

import hashlib
from collections.abc import Sequence

from fantom_trio.wire import secret
from fantom_trio.wire.errors import LocalProtocolError, RemoteProtocolError, Violation
from fantom_trio.wire.secret import KEY_BYTES, MAC_BYTES, KeyPair, Secret

__all__ = ["PATTERNS", "CipherState", "HandshakeState", "SymmetricState"]

#: Who sends which tokens: the initiator the first message, then in turn (section 7.5).
PATTERNS = {
    "NN": (("e",), ("e", "ee")),
    "XX": (("e",), ("e", "ee", "s", "es"), ("s", "se")),
}
_SUITE = "25519_ChaChaPoly_BLAKE2b"
#: The longest Noise message, bytes (section 3).
MAX_MESSAGE = 65_535


class CipherState:
    """A key and its counter (section 5.1); without a key it passes everything through."""

    def __init__(self, key: Secret | None = None) -> None:
        self.key = key
        self.counter = 0

    def encrypt(self, data: bytes, plaintext: bytes) -> bytes:
        """Seal, and count."""
        if self.key is None:
            return plaintext
        sealed = secret.aead_seal(self.key, self.counter, data, plaintext)
        self.counter += 1
        return sealed

    def decrypt(self, data: bytes, sealed: bytes) -> bytes:
        """Open, and count; raises ``RemoteProtocolError``."""
        if self.key is None:
            return sealed
        plaintext = secret.aead_open(self.key, self.counter, data, sealed)
        if plaintext is None:
            raise RemoteProtocolError(Violation.BAD_MAC)
        self.counter += 1
        return plaintext

    def replace_key(self, key: Secret) -> None:
        """Go on with another key, from 0; the old one is wiped."""
        self.wipe()
        self.key, self.counter = key, 0

    def wipe(self) -> None:
        """Wipe the key."""
        if self.key is not None:
            self.key.wipe()


class SymmetricState:
    """The chaining key and the hash of all that was said (section 5.2)."""

    def __init__(self, protocol_name: bytes) -> None:
        hashed = len(protocol_name) > hashlib.blake2b().digest_size
        name = hashlib.blake2b(protocol_name).digest() if hashed else protocol_name.ljust(64, b"\0")
        #: Public: what both sides must agree on.
        self.hash = name
        self._chaining_key = Secret.copy_of(name)
        self._cipher = CipherState()

    @property
    def has_key(self) -> bool:
        """What is said now is encrypted."""
        return self._cipher.key is not None

    def mix_key(self, material: Secret) -> None:
        """Let ``material`` into the chaining key, and wipe it."""
        try:
            chaining_key, cipher_key = secret.hkdf(self._chaining_key, material)
        finally:
            material.wipe()
        self._chaining_key.wipe()
        self._chaining_key = chaining_key
        self._cipher.replace_key(cipher_key)

    def mix_hash(self, data: bytes) -> None:
        """Let ``data`` into the hash."""
        self.hash = hashlib.blake2b(self.hash + data).digest()

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        """Seal under the hash so far, and hash the result."""
        sealed = self._cipher.encrypt(self.hash, plaintext)
        self.mix_hash(sealed)
        return sealed

    def decrypt_and_hash(self, sealed: bytes) -> bytes:
        """The other side of ``encrypt_and_hash``; raises ``RemoteProtocolError``."""
        plaintext = self._cipher.decrypt(self.hash, sealed)
        self.mix_hash(sealed)
        return plaintext

    def split(self) -> tuple[Secret, Secret]:
        """The two keys of the session, initiator's first; everything else is wiped."""
        try:
            return secret.hkdf(self._chaining_key, b"")
        finally:
            self.wipe()

    def wipe(self) -> None:
        """Wipe both keys."""
        self._chaining_key.wipe()
        self._cipher.wipe()


class HandshakeState:
    """One side of a handshake (section 5.3): ``write_message`` and ``read_message`` in turn.

    ``static`` belongs to the caller, who wipes it; the ephemeral key pair is wiped here.
    ``ephemeral`` is for tests, and for a key that was sent before this state was made. What the
    peer sends wrong raises ``RemoteProtocolError``; after any error only ``wipe`` is left.
    """

    def __init__(
        self,
        pattern: str,
        *,
        initiator: bool,
        prologue: bytes = b"",
        static: KeyPair | None = None,
        ephemeral: KeyPair | None = None,
    ) -> None:
        self.initiator = initiator
        #: The peer's public keys, once they came.
        self.peer_ephemeral: bytes | None = None
        self.peer_static: bytes | None = None
        self._messages: list[Sequence[str]] = list(PATTERNS[pattern])
        self._my_turn = initiator
        self._static = static
        self._ephemeral = ephemeral
        self._symmetric = SymmetricState(f"Noise_{pattern}_{_SUITE}".encode())
        self._symmetric.mix_hash(prologue)

    @property
    def done(self) -> bool:
        """Every message was written and read."""
        return not self._messages

    @property
    def hash(self) -> bytes:
        """The handshake hash so far, 64 bytes."""
        return self._symmetric.hash

    def write_message(self, payload: bytes) -> bytes:
        """The next message, with ``payload`` in it."""
        message = bytearray()
        for token in self._next_tokens(mine=True):
            if token == "e":  # noqa: S105
                self._ephemeral = self._ephemeral or KeyPair.generate()
                message += self._ephemeral.public
                self._symmetric.mix_hash(self._ephemeral.public)
            elif token == "s":  # noqa: S105
                assert self._static is not None
                message += self._symmetric.encrypt_and_hash(self._static.public)
            else:
                self._mix_dh(token)
        message += self._symmetric.encrypt_and_hash(payload)
        if len(message) > MAX_MESSAGE:
            raise LocalProtocolError(f"a Noise message of {len(message)} bytes is too long")
        return bytes(message)

    def read_message(self, message: bytes) -> bytes:
        """The payload of the peer's next message; raises ``RemoteProtocolError``."""
        rest = message
        for token in self._next_tokens(mine=False):
            if token == "e":  # noqa: S105
                self.peer_ephemeral, rest = _cut(rest, KEY_BYTES)
                self._symmetric.mix_hash(self.peer_ephemeral)
            elif token == "s":  # noqa: S105
                size = KEY_BYTES + (MAC_BYTES if self._symmetric.has_key else 0)
                sealed, rest = _cut(rest, size)
                self.peer_static = self._symmetric.decrypt_and_hash(sealed)
            else:
                self._mix_dh(token)
        return self._symmetric.decrypt_and_hash(rest)

    def mix_key(self, material: Secret) -> None:
        """Let another shared secret in, after the last message and before ``split``."""
        if not self.done:
            raise LocalProtocolError("the handshake is not done")
        self._symmetric.mix_key(material)

    def split(self) -> tuple[Secret, Secret]:
        """The session's two keys, the one from initiator to responder first.

        They are hashes of 64 bytes, whose first 32 count. All other secrets of the handshake die
        with this.
        """
        if not self.done:
            raise LocalProtocolError("the handshake is not done")
        try:
            return self._symmetric.split()
        finally:
            self.wipe()

    def wipe(self) -> None:
        """Wipe every secret of the handshake but the static key; idempotent."""
        self._symmetric.wipe()
        if self._ephemeral is not None:
            self._ephemeral.wipe()

    def _next_tokens(self, *, mine: bool) -> Sequence[str]:
        if self.done or self._my_turn is not mine:
            raise LocalProtocolError("it is not the turn of this message")
        self._my_turn = not self._my_turn
        return self._messages.pop(0)

    def _mix_dh(self, token: str) -> None:
        """``es``: the initiator's ephemeral key with the responder's static one, and so on."""
        ours, theirs = (0, 1) if self.initiator else (1, 0)
        key_pair = self._ephemeral if token[ours] == "e" else self._static
        public = self.peer_ephemeral if token[theirs] == "e" else self.peer_static
        assert key_pair is not None
        assert public is not None
        shared = secret.diffie_hellman(key_pair, public)
        if shared is None:
            raise RemoteProtocolError(Violation.KEY_WEAK)
        self._symmetric.mix_key(shared)


def _cut(data: bytes, size: int) -> tuple[bytes, bytes]:
    if len(data) < size:
        raise RemoteProtocolError(Violation.KEY_LENGTH)
    return data[:size], data[size:]
