"""ML-KEM-768 (FIPS 203), the post-quantum share of a handshake.

Its shared secret and its private key pass through the memory of ``cryptography``, which we cannot
wipe: the secret's last copy is moved into ours and overwritten, the private key is let go.
"""

from cryptography.hazmat.primitives.asymmetric.mlkem import (
    MLKEM768PrivateKey,
    MLKEM768PublicKey,
)

from fantom_trio.wire.errors import LocalProtocolError, RemoteProtocolError, Violation
from fantom_trio.wire.secret import Secret

__all__ = ["CIPHERTEXT_BYTES", "PUBLIC_BYTES", "Decapsulator", "encapsulate"]

PUBLIC_BYTES = 1184
CIPHERTEXT_BYTES = 1088


class Decapsulator:
    """A key pair for one handshake: ``public`` goes out, one ciphertext comes back."""

    def __init__(self) -> None:
        self._private: MLKEM768PrivateKey | None = MLKEM768PrivateKey.generate()
        self.public = self._private.public_key().public_bytes_raw()

    def decapsulate(self, ciphertext: bytes) -> Secret:
        """The 32-byte shared secret; the private key is let go.

        A wrong ciphertext gives another secret, not an error (FIPS 203, implicit rejection).
        """
        private, self._private = self._private, None
        if private is None:
            raise LocalProtocolError("this key pair was used or wiped")
        return Secret.take_over(private.decapsulate(ciphertext))

    def wipe(self) -> None:
        """Let the private key go."""
        self._private = None


def encapsulate(public: bytes) -> tuple[bytes, Secret]:
    """A ciphertext for the owner of ``public`` and the 32-byte secret in it.

    Raises ``RemoteProtocolError`` for a key that is none (FIPS 203, section 7.2).
    """
    try:
        shared, ciphertext = MLKEM768PublicKey.from_public_bytes(public).encapsulate()
    except ValueError:
        raise RemoteProtocolError(Violation.KEM_KEY) from None
    return ciphertext, Secret.take_over(shared)
