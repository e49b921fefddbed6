"""What a link tells: facts about the peer, in the order in which they came to be.

On a native link the peer's records are such facts themselves. None of them refers back to anything,
so the garbage collector need not look at the many that a flood makes.
"""

import enum
from functools import lru_cache
from typing import TypeAlias

from msgspec import Struct

from fantom_trio.wire.address import AddressError, Endpoint
from fantom_trio.wire.records import Record

__all__ = ["Event", "HandshakeDone", "LinkKind", "PeerClosed", "Role", "Said"]


class Role(enum.Enum):
    """Which end of the connection we are."""

    DIALER = "dialer"
    LISTENER = "listener"


class LinkKind(enum.Enum):
    """Which of the two wires a link speaks; its first line decides."""

    CLASSIC = "classic"
    NATIVE = "native"


class HandshakeDone(Struct, frozen=True, gc=False):
    """Session keys exist.

    A classic link carries messages from here on, a native one when each ``hello`` was read;
    ``peer`` is then the static key that the other side proved to have, 32 bytes.
    """

    kind: LinkKind
    peer: bytes | None = None


class Said(Struct, frozen=True, gc=False):
    """The peer said ``text``.

    ``client_id`` is what the frame claims about the peer's own listener, outside of what is
    authenticated. ``damaged``: the text was not UTF-8, and U+FFFD stands where it was not.
    """

    text: str
    client_id: bytes
    damaged: bool = False

    @property
    def sender(self) -> Endpoint | None:
        """The claim, read when it is asked for; None where it cannot be read.

        A peer may say another one in each frame, and reading costs more than decrypting it.
        """
        short = len(self.client_id) <= CLAIM_BYTES
        return _remembered(self.client_id) if short else _read_claim(self.client_id)


#: Claims that are remembered, for a peer's hardly ever changes, and how long each may be.
CLAIMS, CLAIM_BYTES = 256, 128


def _read_claim(client_id: bytes) -> Endpoint | None:
    try:
        return Endpoint.parse_client_id(client_id)
    except AddressError:
        return None


_remembered = lru_cache(maxsize=CLAIMS)(_read_claim)


class PeerClosed(Struct, frozen=True, gc=False):
    """The peer ended its direction, between two frames: nothing more will come."""


Event: TypeAlias = HandshakeDone | Said | PeerClosed | Record
