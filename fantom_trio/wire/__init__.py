"""The wire: bytes in, events out. No socket, no clock, no Trio; it imports nothing else of ours.

How to read this folder: ``link`` is the face of a connection's protocol; what it does is in
``classic``, on the length prefixes of ``frames`` and with the keys of ``secret``. ``events`` is
what a link tells, ``errors`` what can go wrong with it, ``address`` what an endpoint is called.
"""

from fantom_trio.wire.address import DEFAULT_PORT, AddressError, AddressProblem, Endpoint
from fantom_trio.wire.errors import (
    LocalProtocolError,
    ProtocolError,
    RemoteProtocolError,
    Violation,
)
from fantom_trio.wire.events import Event, HandshakeDone, LinkKind, PeerClosed, Role, Said
from fantom_trio.wire.link import Link

__all__ = [
    "DEFAULT_PORT",
    "AddressError",
    "AddressProblem",
    "Endpoint",
    "Event",
    "HandshakeDone",
    "Link",
    "LinkKind",
    "LocalProtocolError",
    "PeerClosed",
    "ProtocolError",
    "RemoteProtocolError",
    "Role",
    "Said",
    "Violation",
]
