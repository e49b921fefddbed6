"""Who is alive: the node, its links and conversations, on Trio.

How to read this folder: ``node`` holds the nursery and is what the user's side talks to. ``links``
makes every link: a ``connection`` (one stream, one ``wire.Link``, one cancel scope), made by the
listener, where ``admission`` and ``crowd`` bound how many come, or by ``dial``, whose ``approach``
says from which port and for how long, let in by the ``greeter``, brought by the ``book`` to its
``conversation`` and run by ``classic`` or ``native``. What happens is told in ``events``, by the
``teller``; every bound stands in ``limits``. Streams come from a ``network``, and the operating
system's is ``tcp``.

The face below is lazy (PEP 562): a name is imported when somebody first asks for it, so that
``--once`` pays for no verification, and a chat for no diagnosis that nobody wants.
"""

from importlib import import_module
from typing import TYPE_CHECKING

# Two functions have the names of their modules: bound here and now, or the modules would be found
# in their places.
from fantom_trio.nursery.deliver import deliver
from fantom_trio.nursery.dial import dial

if TYPE_CHECKING:
    from fantom_trio.nursery.changes import network_of
    from fantom_trio.nursery.connection import Connection, Ending, Why
    from fantom_trio.nursery.conversation import Conversation, OutboxFull
    from fantom_trio.nursery.deliver import Piece, Receipt, Source
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
    from fantom_trio.nursery.errors import (
        ConnectionLost,
        DialError,
        DialProblem,
        ListenError,
        ReachError,
        ReachProblem,
    )
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
    from fantom_trio.nursery.limits import DEFAULT_SERVICE, LISTENER_PORTS, Limits
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
        Refused,
        RouterNotTold,
        Silent,
    )
    from fantom_trio.nursery.reach import (
        is_own_address,
        list_interfaces,
        with_zone,
    )
    from fantom_trio.nursery.session import Knocked
    from fantom_trio.nursery.strangers import Deed, Stranger
    from fantom_trio.nursery.tcp import look_up
    from fantom_trio.nursery.trials import MAX_TRIES, How, TrialsUsedUp
    from fantom_trio.nursery.verification import CodeReady, Failed, Matched, Wished
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
    "list_interfaces",
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
    "network_of",
    # our port in the router's firewall
    "Granted",
    "Lost",
    "NoRouter",
    "NobodyBefore",
    "OpenPort",
    "PcpResult",
    "PortNews",
    "Refused",
    "RouterNotTold",
    "Silent",
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

#: Where each name of the face but those two is at home, below ``fantom_trio``: as type checkers
#: read it above.
_HOMES = {
    "nursery.changes": "network_of",
    "nursery.connection": "Connection Ending Why",
    "nursery.conversation": "Conversation OutboxFull",
    "nursery.deliver": "Piece Receipt Source",
    "nursery.doctor": (
        "AddressKind Clock DialBack Finding Listening NobodyToAsk NoListener NoPublicAddress "
        "OwnAddresses Route SelfDial Service Step Stuck Unknown diagnose"
    ),
    "nursery.errors": "ConnectionLost DialError DialProblem ListenError ReachError ReachProblem",
    "nursery.events": (
        "AlreadyUp Delivered DescriptorsOut DialFailed Dialing HistoryFull LinkEnded LinkUp "
        "Merged NodeEvent NotShown Received Redialing Sent Unanswered Verifying"
    ),
    "nursery.greeter": "Greeter",
    "nursery.interfaces": "Interface",
    "nursery.invites": "InvitesFull",
    "nursery.limits": "DEFAULT_SERVICE LISTENER_PORTS Limits",
    "nursery.message": "Message State",
    "nursery.node": "Node NotLinked NoWayBack open_node",
    "nursery.open_port": "NobodyBefore OpenPort PortNews",
    "nursery.own_address": (
        "AddressBack AddressGone AddressMoved AddressNews AddressUnknown AskingService "
        "CannotListen ListeningAt OwnAddress Where"
    ),
    "nursery.port_mapping": "Granted Lost NoRouter Refused RouterNotTold Silent",
    "nursery.reach": "is_own_address list_interfaces with_zone",
    "nursery.session": "Knocked",
    "nursery.strangers": "Deed Stranger",
    "nursery.tcp": "look_up",
    "nursery.trials": "MAX_TRIES How TrialsUsedUp",
    "nursery.verification": "CodeReady Failed Matched Wished",
    "wire": (
        "DEFAULT_PORT AddressError AddressProblem Endpoint Invite KeyPair LinkKind PeerClosed "
        "RemoteProtocolError Role Secret Violation is_invite secrets_are_locked"
    ),
    "wire.pcp": "PcpResult",
    "wire.records": "MAX_TEXT",
    "wire.verify": "Flaw prepare_word",
}

_MODULES = {name: module for module, names in _HOMES.items() for name in names.split()}

if not TYPE_CHECKING:  # a type checker would believe that every name is found here

    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
        found = getattr(import_module(f"fantom_trio.{_MODULES[name]}"), name)
        globals()[name] = found  # the next one who asks does not get here
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
