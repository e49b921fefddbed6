"""The wire: bytes in, events out. No socket, no clock, no Trio; it imports nothing else of ours.

How to read this folder: ``link`` is the face of a connection's protocol; what it does is in
``classic`` or, between two of ours, in ``native`` (the handshake, by ``noise`` and ``kem``) and
``stream`` (the ``records`` that follow), on the length prefixes of ``frames`` and with the keys of
``secret``. ``delivery`` says which messages a link still has to carry. ``events`` is what a link
tells, ``errors`` what can go wrong with it, ``address`` what an endpoint is called, ``invite`` how
a peer is handed our identity, ``verify`` how two people make sure of each other's.
"""

from fantom_trio.wire.address import DEFAULT_PORT, AddressError, AddressProblem, Endpoint
from fantom_trio.wire.delivery import Cursor, Delivery
from fantom_trio.wire.errors import (
    LocalProtocolError,
    ProtocolError,
    RemoteProtocolError,
    Violation,
)
from fantom_trio.wire.events import Event, HandshakeDone, LinkKind, PeerClosed, Role, Said
from fantom_trio.wire.invite import Invite, fingerprint, is_invite
from fantom_trio.wire.link import Link
from fantom_trio.wire.records import (
    Ack,
    Bye,
    Hello,
    Knock,
    Ping,
    Pong,
    Record,
    Say,
    Verify,
)
from fantom_trio.wire.secret import KeyPair, Secret, secrets_are_locked

__all__ = [
    "DEFAULT_PORT",
    "Ack",
    "AddressError",
    "AddressProblem",
    "Bye",
    "Cursor",
    "Delivery",
    "Endpoint",
    "Event",
    "HandshakeDone",
    "Hello",
    "Invite",
    "KeyPair",
    "Knock",
    "Link",
    "LinkKind",
    "LocalProtocolError",
    "PeerClosed",
    "Ping",
    "Pong",
    "ProtocolError",
    "Record",
    "RemoteProtocolError",
    "Role",
    "Said",
    "Say",
    "Secret",
    "Verify",
    "Violation",
    "fingerprint",
    "is_invite",
    "secrets_are_locked",
]
