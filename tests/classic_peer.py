"""The other end of a classic link, written from the protocol's page with PyNaCl's public functions.

It shares no code with the package, so that a mistake there cannot hide here.
"""

import base64
import hashlib
import os
import struct

from nacl import bindings
from nacl.secret import SecretBox


class ClassicPeer:
    """One end of one link; ``receive`` and ``send`` are its session keys after ``meet``."""

    def __init__(self, client_id: bytes = b"::1:40000") -> None:
        self.client_id = client_id
        self.public, self._private = bindings.crypto_kx_keypair()
        self.receive = self.send = b""

    def handshake(self) -> bytes:
        return b"HANDSHAKE " + base64.b64encode(self.public) + b"\n"

    def ack(self) -> bytes:
        return b"HANDSHAKE_ACK " + base64.b64encode(self.public) + b"\n"

    def meet(self, line: bytes) -> None:
        """Read the other side's line and derive the session keys."""
        assert line.endswith(b"\n")
        other = base64.b64decode(line.split()[1], validate=True)
        client = hashlib.sha256(self.public).digest() < hashlib.sha256(other).digest()
        derive = (
            bindings.crypto_kx_client_session_keys
            if client
            else bindings.crypto_kx_server_session_keys
        )
        self.receive, self.send = derive(self.public, self._private, other)

    def frame(
        self, text: str | bytes, *, nonce: bytes | None = None, client_id: bytes | None = None
    ) -> bytes:
        plaintext = text.encode() if isinstance(text, str) else text
        box = SecretBox(self.send).encrypt(plaintext, nonce or os.urandom(24))
        body = (self.client_id if client_id is None else client_id) + b"\0" + bytes(box)
        return struct.pack(">I", len(body)) + body

    def open(self, frame: bytes) -> str:
        (length,) = struct.unpack(">I", frame[:4])
        assert length == len(frame) - 4
        client_id, _, box = frame[4:].partition(b"\0")
        self.client_id_seen = client_id
        return SecretBox(self.receive).decrypt(box).decode()
