"""Who is alive: the node, its links and conversations, on Trio.

How to read this folder: ``node`` holds the nursery and is what the user's side talks to. ``links``
makes every link: a ``connection`` (one stream, one ``wire.Link``, one cancel scope), made by the
listener, where ``admission`` and ``crowd`` bound how many come, or by ``dial``, whose ``approach``
says from which port and for how long, let in by the ``greeter``, brought by the ``book`` to its
``conversation`` and run by ``classic`` or ``native``. What happens is told in ``events``, by the
``teller``; every bound stands in ``limits``. Streams come from a ``network``, and the operating
system's is ``tcp``.
"""

from fantom_trio.nursery.changes import (
    Change,
    Changes,
    Surroundings,
    network_of,
    open_changes,
    way_out,
)
from fantom_trio.nursery.connection import Connection, Ending, Why
from fantom_trio.nursery.conversation import Conversation, OutboxFull
from fantom_trio.nursery.deliver import Piece, Receipt, Source, deliver
from fantom_trio.nursery.dial import dial
from fantom_trio.nursery.doctor import (
    AddressKind,
    Clock,
    DialBack,
    Finding,
    Listening,
    NobodyToAsk,
    NoListener,
    NoPublicAddress,
    OwnAddresses,
    Route,
    SelfDial,
    Service,
    Step,
    Stuck,
    Unknown,
    diagnose,
)
from fantom_trio.nursery.errors import ConnectionLost, DialError, DialProblem, ListenError
from fantom_trio.nursery.events import (
    AlreadyUp,
    Delivered,
    DescriptorsOut,
    DialFailed,
    Dialing,
    HistoryFull,
    LinkEnded,
    LinkUp,
    Merged,
    NodeEvent,
    NotShown,
    Received,
    Redialing,
    Sent,
    Unanswered,
    Verifying,
)
from fantom_trio.nursery.greeter import Greeter
from fantom_trio.nursery.interfaces import Interface
from fantom_trio.nursery.invites import InvitesFull
from fantom_trio.nursery.limits import LISTENER_PORTS, Limits
from fantom_trio.nursery.message import Message, State
from fantom_trio.nursery.node import Node, NotLinked, NoWayBack, open_node
from fantom_trio.nursery.open_port import NobodyBefore, OpenPort, PortNews
from fantom_trio.nursery.own_address import (
    AddressBack,
    AddressGone,
    AddressMoved,
    AddressNews,
    AddressUnknown,
    AskingService,
    CannotListen,
    ListeningAt,
    OwnAddress,
    Where,
)
from fantom_trio.nursery.port_mapping import (
    Granted,
    Lost,
    NoRouter,
    Nudge,
    PortEvent,
    Refused,
    RouterNotTold,
    Silent,
    keep_open,
    port_nonce,
)
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
from fantom_trio.nursery.session import Knocked
from fantom_trio.nursery.strangers import Deed, Stranger
from fantom_trio.nursery.tcp import look_up
from fantom_trio.nursery.verification import (
    MAX_TRIES,
    CodeReady,
    Failed,
    How,
    Matched,
    TrialsUsedUp,
    Wished,
)
from fantom_trio.wire import (
    DEFAULT_PORT,
    AddressError,
    AddressProblem,
    Endpoint,
    Invite,
    KeyPair,
    LinkKind,
    PeerClosed,
    RemoteProtocolError,
    Role,
    Secret,
    Violation,
    is_invite,
    secrets_are_locked,
)
from fantom_trio.wire.pcp import PcpResult
from fantom_trio.wire.records import MAX_TEXT
from fantom_trio.wire.verify import Flaw, prepare_word

__all__ = [
    # the node
    "LISTENER_PORTS",
    "Greeter",
    "InvitesFull",
    "Limits",
    "ListenError",
    "NoWayBack",
    "Node",
    "NotLinked",
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
    "Piece",
    "Receipt",
    "Source",
    "Why",
    "deliver",
    "dial",
    "look_up",
    # who came and is not known
    "Deed",
    "Stranger",
    # verifying a peer
    "MAX_TRIES",
    "CodeReady",
    "Failed",
    "How",
    "Matched",
    "TrialsUsedUp",
    "Wished",
    # our own address
    "DEFAULT_SERVICE",
    "Interface",
    "ReachError",
    "ReachProblem",
    "is_own_address",
    "link_local_address",
    "list_interfaces",
    "public_address",
    "secrets_are_locked",
    "with_zone",
    # where we listen, and that it changes
    "AddressBack",
    "AddressGone",
    "AddressMoved",
    "AddressNews",
    "AddressUnknown",
    "AskingService",
    "CannotListen",
    "ListeningAt",
    "OwnAddress",
    "Where",
    "Change",
    "Changes",
    "Surroundings",
    "network_of",
    "open_changes",
    "way_out",
    # our port in the router's firewall
    "Granted",
    "Lost",
    "NoRouter",
    "NobodyBefore",
    "Nudge",
    "OpenPort",
    "PcpResult",
    "PortEvent",
    "PortNews",
    "Refused",
    "RouterNotTold",
    "Silent",
    "keep_open",
    "port_nonce",
    # why nobody can reach us
    "AddressKind",
    "Clock",
    "DialBack",
    "Finding",
    "Knocked",
    "Listening",
    "NoListener",
    "NoPublicAddress",
    "NobodyToAsk",
    "OwnAddresses",
    "Route",
    "SelfDial",
    "Service",
    "Step",
    "Stuck",
    "Unknown",
    "diagnose",
    # what it tells
    "AlreadyUp",
    "Delivered",
    "DescriptorsOut",
    "DialFailed",
    "Dialing",
    "HistoryFull",
    "LinkEnded",
    "LinkUp",
    "Merged",
    "NodeEvent",
    "NotShown",
    "Received",
    "Redialing",
    "Sent",
    "Unanswered",
    "Verifying",
    # the wire's words, for the floor above
    "DEFAULT_PORT",
    "MAX_TEXT",
    "AddressError",
    "AddressProblem",
    "Endpoint",
    "Flaw",
    "Invite",
    "KeyPair",
    "LinkKind",
    "PeerClosed",
    "RemoteProtocolError",
    "Role",
    "Secret",
    "Violation",
    "is_invite",
    "prepare_word",
]  # fmt: skip
