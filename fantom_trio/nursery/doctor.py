"""Why nobody can reach us: what can be found out from here, and from a peer who dials back.

Each step is bounded and stands alone: what one cannot find out keeps no other from it. Nobody is
asked but the address service, where there is one, and one verified peer who is connected.
"""

import enum
import ipaddress
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import trio

from fantom_trio.nursery.changes import network_of, way_out
from fantom_trio.nursery.connection import Ending
from fantom_trio.nursery.conversation import Conversation
from fantom_trio.nursery.errors import DialError
from fantom_trio.nursery.node import Node
from fantom_trio.nursery.reach import (
    ReachError,
    ReachProblem,
    ask_service,
    is_own_address,
    own_addresses,
    port_holder,
)
from fantom_trio.nursery.session import Knocked
from fantom_trio.wire import Endpoint

__all__ = [
    "AddressKind",
    "Clock",
    "DialBack",
    "Finding",
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
]

#: Seconds for everything together; each step has a nearer bound, but for the system's own calls.
PATIENCE = 15

_TEREDO = ipaddress.IPv6Network("2001::/32")
_SIX_TO_FOUR = ipaddress.IPv6Network("2002::/16")
_UNIQUE_LOCAL = ipaddress.IPv6Network("fc00::/7")


class AddressKind(enum.Enum):
    """How far an address reaches; the value is a short name for logs."""

    GLOBAL = "global"
    TEREDO = "Teredo"
    SIX_TO_FOUR = "6to4"
    UNIQUE_LOCAL = "unique local"
    LINK_LOCAL = "link-local"
    LOOPBACK = "loopback"

    @classmethod
    def of(cls, host: str) -> "AddressKind":
        """The kind of an IPv6 address without zone."""
        address = ipaddress.IPv6Address(host)
        if address.is_loopback:
            return cls.LOOPBACK
        if address.is_link_local:
            return cls.LINK_LOCAL
        for network, kind in (
            (_UNIQUE_LOCAL, cls.UNIQUE_LOCAL),
            (_TEREDO, cls.TEREDO),
            (_SIX_TO_FOUR, cls.SIX_TO_FOUR),
        ):
            if address in network:
                return kind
        return cls.GLOBAL


class Step(enum.Enum):
    """What is looked at, in the order in which it is told; the value is a short name for logs."""

    ADDRESSES = "own addresses"
    ROUTE = "route"
    LISTENER = "listener"
    SERVICE = "address service"
    SELF_DIAL = "self-dial"
    DIAL_BACK = "dial-back"


@dataclass(frozen=True, slots=True)
class OwnAddresses:
    """All our addresses of one kind, with port 0."""

    kind: AddressKind
    addresses: tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True)
class NoPublicAddress:
    """None of our addresses is a global one of our own provider's."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Our addresses, or what the address service sees, could not be found out."""

    step: Step
    error: ReachError


@dataclass(frozen=True, slots=True)
class Route:
    """The address from which packets would go to the internet; None: there is no way there."""

    source: str | None


@dataclass(frozen=True, slots=True)
class Listening:
    """Where our listener is; ``is_ours``: an interface still has that address."""

    endpoint: Endpoint
    is_ours: bool


@dataclass(frozen=True, slots=True)
class NoListener:
    """Nobody can dial us. ``holder``: who has the port, empty if that is not told; None: nobody."""

    port: int
    holder: str | None


@dataclass(frozen=True, slots=True)
class Service:
    """Where the address service sees us come from; ``used``: our listener is there."""

    address: Endpoint
    used: bool


@dataclass(frozen=True, slots=True)
class Clock:
    """How many seconds our clock is ahead; None where nothing was there to compare it with."""

    ahead: float | None


@dataclass(frozen=True, slots=True)
class SelfDial:
    """Our listener at its own address, dialed from this machine, took it if ``error`` is None.

    No packet of it leaves the machine: it says nothing of the firewalls on the way to us.
    """

    endpoint: Endpoint
    error: DialError | None
    took: bool


@dataclass(frozen=True, slots=True)
class DialBack:
    """What came of asking a peer to dial ``endpoint``, our listener.

    ``near``: the peer is on our own network, so that the router's firewall had no say.
    """

    conversation: Conversation
    endpoint: Endpoint
    outcome: Knocked
    near: bool


@dataclass(frozen=True, slots=True)
class NobodyToAsk:
    """No verified native peer is connected to where we listen: nobody can dial back."""


@dataclass(frozen=True, slots=True)
class Stuck:
    """A step that did not end in time, or at ``place`` in a bug of ours."""

    step: Step
    place: str


Finding: TypeAlias = (
    OwnAddresses
    | NoPublicAddress
    | Unknown
    | Route
    | Listening
    | NoListener
    | Service
    | Clock
    | SelfDial
    | DialBack
    | NobodyToAsk
    | Stuck
)

_Look: TypeAlias = Callable[[], Awaitable[Sequence[Finding]]]


async def diagnose(
    node: Node, *, internet: bool, service: str | None = None, wanted: Endpoint | None = None
) -> list[Finding]:
    """What there is to say, in the order of ``Step``; it takes 15 seconds at most.

    ``internet``: people from everywhere are to reach us. ``service``: the address service, if it
    may be asked. ``wanted``: where the listener should be, the port aside. Raises nothing.
    Cancelled, it leaves nothing behind.
    """
    looks: dict[Step, _Look] = {Step.ADDRESSES: lambda: _addresses(internet)}
    if internet:
        looks[Step.ROUTE] = _route
    looks[Step.LISTENER] = lambda: _listener(node, wanted)
    if service is not None:
        looks[Step.SERVICE] = lambda: _service(node, service)
    looks[Step.SELF_DIAL] = lambda: _self_dial(node)
    looks[Step.DIAL_BACK] = lambda: _dial_back(node)
    found: dict[Step, Sequence[Finding]] = {step: [Stuck(step, "")] for step in looks}

    async def take(step: Step, look: _Look) -> None:
        try:
            found[step] = await look()
        except Exception as error:
            found[step] = [Stuck(step, Ending.bug(error).place)]

    with trio.move_on_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            for step, look in looks.items():
                nursery.start_soon(take, step, look)
    return [finding for findings in found.values() for finding in findings]


async def _addresses(internet: bool) -> list[Finding]:
    try:
        addresses = own_addresses()
    except ReachError as error:
        return [Unknown(Step.ADDRESSES, error)]
    findings: list[Finding] = []
    for kind in AddressKind:
        those = tuple(each for each in addresses if AddressKind.of(each.host) is kind)
        if those:
            findings.append(OwnAddresses(kind, those))
        elif internet and kind is AddressKind.GLOBAL:
            findings.append(NoPublicAddress())
    return findings


async def _route() -> list[Finding]:
    return [Route(await way_out())]


async def _listener(node: Node, wanted: Endpoint | None) -> list[Finding]:
    listener = node.listener
    if listener is not None:
        try:
            return [Listening(listener, is_own_address(listener))]
        except ReachError:  # that much is told with the addresses
            return [Listening(listener, True)]
    holder = None
    if wanted is not None:
        at = Endpoint(wanted.host, node.own_port)
        holder = await trio.to_thread.run_sync(port_holder, at, abandon_on_cancel=True)
    return [NoListener(node.own_port, holder)]


async def _service(node: Node, service: str) -> list[Finding]:
    try:
        report = await ask_service(service)
    except ReachError as error:
        if error.problem in (ReachProblem.NO_IPV6, ReachProblem.INTERFACES):
            return []  # nobody was asked, and why is told with the addresses
        return [Unknown(Step.SERVICE, error), Clock(None)]
    used = node.listener is not None and node.listener.host == report.address.host
    return [Service(report.address, used), Clock(report.ahead)]


async def _self_dial(node: Node) -> list[Finding]:
    listener = node.listener
    if listener is None:
        return []
    try:
        return [SelfDial(listener, None, await node.dial_self())]
    except DialError as error:
        return [SelfDial(listener, error, took=False)]


async def _dial_back(node: Node) -> list[Finding]:
    """The first peer who may be asked now; one who is far away knows more of the firewalls."""
    listener = node.listener
    if listener is None or listener.is_loopback:
        return []
    peers = [each for each in node.conversations if each.verified and node.can_knock(each)]
    peers.sort(key=lambda each: _is_near(each, listener))
    findings: list[Finding] = [NobodyToAsk()]
    for peer in peers:
        near = _is_near(peer, listener)
        outcome = await node.knock(peer)
        findings = [DialBack(peer, listener, outcome, near)]
        if outcome is not Knocked.TOO_SOON:
            break
    return findings


def _is_near(peer: Conversation, listener: Endpoint) -> bool:
    """On the network that our listener's address belongs to."""
    hosts = [session.connection.peer.host for session in peer.sessions]
    return network_of(listener.host) in map(network_of, hosts)
