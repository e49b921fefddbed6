"""Who is alive: the node, its links and conversations, on Trio.

How to read this folder: ``node`` holds the nursery; each link is a ``connection`` (one socket, one
``wire.Link``, one cancel scope), made by the listener or by ``dial``, and belongs to a
``conversation``. What happens is told in ``events``; every bound stands in ``limits``.
"""

from fantom_trio.nursery.connection import Connection, ConnectionLost, Ending, Why
from fantom_trio.nursery.conversation import Conversation, Message, OutboxFull, State
from fantom_trio.nursery.dial import DialError, DialProblem, dial, look_up
from fantom_trio.nursery.events import (
    AlreadyUp,
    DialFailed,
    Dialing,
    HistoryFull,
    LinkEnded,
    LinkUp,
    NodeEvent,
    NotShown,
    Received,
    Sent,
)
from fantom_trio.nursery.limits import LISTENER_PORTS, Limits
from fantom_trio.nursery.listener import ListenError
from fantom_trio.nursery.node import Node, NoWayBack, open_node
from fantom_trio.nursery.reach import (
    DEFAULT_SERVICE,
    ReachError,
    ReachProblem,
    is_own_address,
    link_local_address,
    list_interfaces,
    public_address,
    with_zone,
)
from fantom_trio.wire import (
    DEFAULT_PORT,
    AddressError,
    AddressProblem,
    Endpoint,
    LinkKind,
    PeerClosed,
    RemoteProtocolError,
    Role,
    Violation,
)

__all__ = [
    # the node
    "LISTENER_PORTS",
    "Limits",
    "ListenError",
    "NoWayBack",
    "Node",
    "open_node",
    # its conversations
    "Conversation",
    "Message",
    "OutboxFull",
    "State",
    # one link
    "Connection",
    "ConnectionLost",
    "DialError",
    "DialProblem",
    "Ending",
    "Why",
    "dial",
    "look_up",
    # our own address
    "DEFAULT_SERVICE",
    "ReachError",
    "ReachProblem",
    "is_own_address",
    "link_local_address",
    "list_interfaces",
    "public_address",
    "with_zone",
    # the wire's words, for the floor above
    "DEFAULT_PORT",
    "AddressError",
    "AddressProblem",
    "Endpoint",
    "LinkKind",
    "PeerClosed",
    "RemoteProtocolError",
    "Role",
    "Violation",
    # what it tells
    "AlreadyUp",
    "DialFailed",
    "Dialing",
    "HistoryFull",
    "LinkEnded",
    "LinkUp",
    "NodeEvent",
    "NotShown",
    "Received",
    "Sent",
]  # fmt: skip
