"""What a link tells: facts about the peer, in the order in which they came to be."""

import enum
from dataclasses import dataclass
from typing import TypeAlias

from fantom_trio.wire.address import Endpoint

__all__ = ["Event", "HandshakeDone", "LinkKind", "PeerClosed", "Role", "Said"]


class Role(enum.Enum):
    """Which end of the connection we are."""

    DIALER = "dialer"
    LISTENER = "listener"


class LinkKind(enum.Enum):
    """Which of the two wires a link speaks; its first line decides."""

    CLASSIC = "classic"


@dataclass(frozen=True, slots=True)
class HandshakeDone:
    """Session keys exist: from here on the link carries messages."""

    kind: LinkKind


@dataclass(frozen=True, slots=True)
class Said:
    """The peer said ``text``.

    ``sender`` is what the frame claims about the peer's own listener, outside of what is
    authenticated; None where the claim cannot be read. ``damaged``: the text was not UTF-8, and
    U+FFFD stands where it was not.
    """

    text: str
    sender: Endpoint | None
    damaged: bool = False


@dataclass(frozen=True, slots=True)
class PeerClosed:
    """The peer ended its direction, between two frames: nothing more will come."""


Event: TypeAlias = HandshakeDone | Said | PeerClosed
