"""Invites: where somebody is, by which identity to know them, and what lets us in.

``fantom://[2001:db8::1]:31488/<fingerprint>.<token>``, both in base32 (RFC 4648), unpadded: 20 and
10 bytes are 32 and 16 characters without a bit to spare, so each invite is written in one way.
"""

import base64
import hashlib
import re
from dataclasses import dataclass, field, replace

from fantom_trio.wire.address import AddressError, AddressProblem, Endpoint

__all__ = ["FINGERPRINT_BYTES", "TOKEN_BYTES", "Invite", "fingerprint", "is_invite"]

FINGERPRINT_BYTES = 20
TOKEN_BYTES = 10

_SCHEME = "fantom://"
_CODES = re.compile(r"([A-Za-z2-7]{32})\.([A-Za-z2-7]{16})")


def fingerprint(static_public: bytes) -> bytes:
    """What an invite says of a static key of 32 bytes: BLAKE2b (RFC 7693), 20 bytes."""
    return hashlib.blake2b(static_public, digest_size=FINGERPRINT_BYTES).digest()


@dataclass(frozen=True, slots=True)
class Invite:
    """An endpoint, the fingerprint (20 bytes) of who is there, and a token (10 bytes) for them."""

    endpoint: Endpoint
    fingerprint: bytes
    token: bytes = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> "Invite":
        """Read what a person pasted: line breaks in it, ``<…>`` around it, a zone of their own.

        Raises ``AddressError``, which never shows the token.
        """
        text = _in_one_piece(text)
        if not is_invite(text):
            raise AddressError(AddressProblem.INVITE, "…")
        address, slash, codes = text[len(_SCHEME) :].partition("/")
        if not slash:  # who knows what is address here, and what token
            raise AddressError(AddressProblem.INVITE, f"{_SCHEME}…")
        try:
            endpoint = Endpoint.parse(address)
        except AddressError as error:
            raise AddressError(error.problem, f"{_SCHEME}{error.text}/…") from None
        found = _CODES.fullmatch(codes)
        if found is None:
            raise AddressError(AddressProblem.INVITE, f"{_SCHEME}{address}/…")
        return cls(endpoint, *(base64.b32decode(code, casefold=True) for code in found.groups()))

    def __str__(self) -> str:
        """The form people copy, token included; a zone means nothing on another machine."""
        codes = b".".join(map(base64.b32encode, (self.fingerprint, self.token)))
        return f"{_SCHEME}{replace(self.endpoint, zone='')}/{codes.decode().lower()}"


def is_invite(text: str) -> bool:
    """True for what is meant as an invite, damaged or not, and not as an address."""
    return _in_one_piece(text)[: len(_SCHEME)].lower() == _SCHEME


def _in_one_piece(text: str) -> str:
    """Without what mail programs and terminals put in and around it."""
    return "".join(text.split()).strip("<>")
