"""What the doctor finds: a machine of each kind, and steps that fail, hang or end in a bug."""

import functools
import random
import socket
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from email.utils import formatdate
from pathlib import Path

import psutil
import pytest
import trio
import trustme
from trio.testing import MockClock

from fantom_trio.nursery import (
    AddressKind,
    Clock,
    Conversation,
    DialBack,
    DialProblem,
    Endpoint,
    Finding,
    Knocked,
    LinkUp,
    Listening,
    NobodyToAsk,
    Node,
    NoListener,
    NoPublicAddress,
    OwnAddresses,
    ReachError,
    ReachProblem,
    Route,
    SelfDial,
    Service,
    Step,
    Stuck,
    Unknown,
    diagnose,
    doctor,
    open_node,
    reach,
)
from fantom_trio.nursery.doctor import PATIENCE as LONGEST
from fantom_trio.nursery.reach import Interface, ask_service, own_addresses, port_holder
from tests.nursery.address_service import http, mute, server_context, serving
from tests.nursery.ends import LOOPBACK, PATIENCE, next_event
from tests.nursery.memory_network import MemoryNetwork

ALICE, BOB, CAROL = "2001:db8::a", "2001:db8:1::b", "2001:db8::c"
AT_ALICE, AT_BOB, AT_CAROL = Endpoint(ALICE, 40001), Endpoint(BOB, 40002), Endpoint(CAROL, 40003)
LO = Interface("lo", 1, True, True, ("::1",))
MACHINE = [LO, Interface("eth0", 2, True, False, (ALICE, "fd00::a", "fe80::a"))]


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> list[Interface]:
    """The interfaces that there are; the route is somebody else's test."""
    interfaces = list(MACHINE)
    monkeypatch.setattr(reach, "list_interfaces", lambda: interfaces)
    return interfaces


@pytest.fixture
def network() -> MemoryNetwork:
    return MemoryNetwork(random.Random(7), (0.01, 0.05))


@asynccontextmanager
async def alice_on(network: MemoryNetwork, *, listening: bool = True) -> AsyncIterator[Node]:
    with trio.fail_after(7200):  # on a clock that jumps
        async with open_node(network=network.host(ALICE), own_port=AT_ALICE.port) as node:
            if listening:
                await node.listen(AT_ALICE)
            yield node


@asynccontextmanager
async def peer_of(
    alice: Node, network: MemoryNetwork, where: Endpoint, *, verified: bool = True
) -> AsyncIterator[Conversation]:
    """Alice's conversation with a peer there, who trusts her as she does the peer."""
    async with open_node(network=network.host(where.host)) as peer:
        await peer.listen(where)
        alice.connect(where)
        here = (await next_event(alice, LinkUp)).conversation
        there = (await next_event(peer, LinkUp)).conversation
        for each in (here, there):
            assert each.identity is not None
            each.identity.verified = verified
        yield here


async def at_home(node: Node, *, internet: bool = False) -> list[Finding]:
    """Nobody outside is asked."""
    return await diagnose(node, internet=internet)


def of(kind: type[Finding], findings: list[Finding]) -> list[Finding]:
    return [each for each in findings if isinstance(each, kind)]


# Own addresses.


@pytest.mark.parametrize(
    ("host", "kind"),
    [
        ("2001:db8::5", AddressKind.GLOBAL),
        ("2a02:810a::1", AddressKind.GLOBAL),
        ("2001:0:53aa:64c::1", AddressKind.TEREDO),
        ("2001:1::1", AddressKind.GLOBAL),
        ("2002:c000:204::1", AddressKind.SIX_TO_FOUR),
        ("2003::1", AddressKind.GLOBAL),
        ("fd00:17::5", AddressKind.UNIQUE_LOCAL),
        ("fc00::1", AddressKind.UNIQUE_LOCAL),
        ("fe80::5", AddressKind.LINK_LOCAL),
        ("::1", AddressKind.LOOPBACK),
    ],
)
def test_an_address_says_how_far_it_reaches(host: str, kind: AddressKind) -> None:
    assert AddressKind.of(host) is kind


async def test_addresses_are_told_by_kind_the_widest_first(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with alice_on(network) as node:
        found = await at_home(node, internet=True)
    assert of(OwnAddresses, found) == [
        OwnAddresses(AddressKind.GLOBAL, (Endpoint(ALICE, 0),)),
        OwnAddresses(AddressKind.UNIQUE_LOCAL, (Endpoint("fd00::a", 0),)),
        OwnAddresses(AddressKind.LINK_LOCAL, (Endpoint("fe80::a", 0, "eth0"),)),
    ]
    assert not of(NoPublicAddress, found)


async def test_without_a_public_address_that_is_the_first_to_be_told(
    network: MemoryNetwork, machine: list[Interface], autojump_clock: MockClock
) -> None:
    machine[1:] = [Interface("eth0", 2, True, False, ("2002:102:304::1", "fe80::a"))]
    async with alice_on(network) as node:
        assert (await at_home(node, internet=True))[:2] == [
            NoPublicAddress(),
            OwnAddresses(AddressKind.SIX_TO_FOUR, (Endpoint("2002:102:304::1", 0),)),
        ]


async def test_who_wants_no_internet_needs_no_public_address_and_no_route(
    network: MemoryNetwork, machine: list[Interface], autojump_clock: MockClock
) -> None:
    machine[1:] = [Interface("eth0", 2, True, False, ("fe80::a",))]
    async with alice_on(network) as node:
        found = await at_home(node)
    assert not of(NoPublicAddress, found)
    assert not of(Route, found)


def test_what_leads_nowhere_is_no_address_of_ours() -> None:
    interfaces = [
        LO,
        Interface("eth0", 2, False, False, ("2001:db8::dead", "fe80::dead")),
        Interface("docker0", 3, True, False, ("fd00:d::1", "fe80::d")),
        Interface("wg0", 4, True, False, ("2001:db8:5::5",)),
    ]
    found = own_addresses(interfaces, platform="linux")
    assert [each.host for each in found] == ["fd00:d::1", "2001:db8:5::5"]


async def test_interfaces_that_cannot_be_read_keep_no_other_step_from_its_findings(
    network: MemoryNetwork, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> list[Interface]:
        raise ReachError(ReachProblem.INTERFACES, "Permission denied")

    monkeypatch.setattr(reach, "list_interfaces", fails)
    async with alice_on(network) as node:
        unknown, *rest = await diagnose(node, internet=False, service="https://localhost/")
    assert isinstance(unknown, Unknown)
    assert (unknown.step, unknown.error.problem) == (Step.ADDRESSES, ReachProblem.INTERFACES)
    assert rest == [Listening(AT_ALICE, True), SelfDial(AT_ALICE, None, True), NobodyToAsk()]


# The listener.


async def test_a_listener_whose_address_is_gone_is_told(
    network: MemoryNetwork, machine: list[Interface], autojump_clock: MockClock
) -> None:
    async with alice_on(network) as node:
        assert of(Listening, await at_home(node)) == [Listening(AT_ALICE, True)]
        machine[1:] = [Interface("eth0", 2, True, False, (CAROL,))]
        assert of(Listening, await at_home(node)) == [Listening(AT_ALICE, False)]


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket(socket.AF_INET6) as sock:
        sock.bind(("::1", 0))
        sock.listen()
        yield sock.getsockname()[1]


async def test_who_has_the_port_is_named(taken_port: int) -> None:
    with trio.fail_after(PATIENCE):
        async with open_node(own_port=taken_port) as node:
            found = await diagnose(node, internet=False, wanted=LOOPBACK)
    own_name = psutil.Process().name()
    assert of(NoListener, found) == [NoListener(taken_port, own_name)]


def test_a_port_that_nobody_has_has_no_holder(taken_port: int) -> None:
    assert port_holder(Endpoint("2001:db8::5", taken_port)) is None
    assert port_holder(Endpoint("::1", 1)) is None


def test_a_port_that_only_a_connection_has_is_free() -> None:
    with socket.socket(socket.AF_INET6) as listener, socket.socket(socket.AF_INET6) as client:
        listener.bind(("::1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        client.connect(("::1", port))
        with listener.accept()[0]:
            listener.close()
            assert port_holder(Endpoint("::1", port)) is None


def test_where_the_system_tells_nobody_there_is_no_holder(
    taken_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(kind: str) -> None:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "net_connections", denied)
    assert port_holder(Endpoint("::1", taken_port)) is None


def test_a_holder_whose_name_is_not_told_is_one_all_the_same(
    taken_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [row._replace(pid=None) for row in psutil.net_connections("tcp6")]
    monkeypatch.setattr(psutil, "net_connections", lambda kind: rows)
    assert port_holder(Endpoint("::1", taken_port)) == ""


async def test_without_a_listener_nothing_is_dialed_and_nobody_is_asked(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with alice_on(network, listening=False) as node:
        found = await at_home(node)
        assert found[-1] == NoListener(AT_ALICE.port, None)
        assert not network.host(ALICE).streams


async def test_a_listener_that_does_not_answer_is_told(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with alice_on(network) as node:
        del network.host(ALICE).listeners[AT_ALICE.port]
        (finding,) = of(SelfDial, await at_home(node))
    assert isinstance(finding, SelfDial)
    assert finding.error is not None
    assert (finding.error.problem, finding.took) == (DialProblem.REFUSED, False)


# The peer who dials back.


async def test_a_verified_peer_is_asked_to_dial_back(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with alice_on(network) as alice, peer_of(alice, network, AT_BOB) as bob:
        found = await at_home(alice)
        assert found[-1] == DialBack(bob, AT_ALICE, Knocked.DIALED_BACK, near=False)
        assert (await at_home(alice))[-1] == DialBack(bob, AT_ALICE, Knocked.TOO_SOON, near=False)


async def test_a_peer_of_our_own_network_is_told_apart(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with alice_on(network) as alice, peer_of(alice, network, AT_CAROL) as carol:
        found = await at_home(alice)
        assert found[-1] == DialBack(carol, AT_ALICE, Knocked.DIALED_BACK, near=True)


async def test_who_is_far_away_is_asked_first_and_then_who_may_be_asked(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with (
        alice_on(network) as alice,
        peer_of(alice, network, AT_CAROL) as carol,
        peer_of(alice, network, AT_BOB) as bob,
    ):
        asked = [(await at_home(alice))[-1] for _ in range(3)]
        assert asked == [
            DialBack(bob, AT_ALICE, Knocked.DIALED_BACK, near=False),
            DialBack(carol, AT_ALICE, Knocked.DIALED_BACK, near=True),
            DialBack(carol, AT_ALICE, Knocked.TOO_SOON, near=True),
        ]


async def test_a_peer_who_is_not_verified_is_not_asked(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with alice_on(network) as alice, peer_of(alice, network, AT_BOB, verified=False):
        streams = len(network.host(BOB).streams)
        assert (await at_home(alice))[-1] == NobodyToAsk()
        assert len(network.host(BOB).streams) == streams


async def test_on_loopback_nobody_need_be_asked() -> None:
    with trio.fail_after(PATIENCE):
        async with open_node() as node:
            where = await node.listen(LOOPBACK)
            found = await at_home(node)
    assert found[-2:] == [Listening(where, True), SelfDial(where, None, True)]


# The address service.


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    monkeypatch.setattr(doctor, "ask_service", functools.partial(ask_service, ca=path))
    return server_context(authority, "localhost")


def dated(ahead: float, body: str = ALICE) -> bytes:
    """An answer by a clock that is so much behind ours."""
    return http(body, "200 OK", f"Date: {formatdate(time.time() - ahead, usegmt=True)}")


async def asked(node: Node, tls: ssl.SSLContext, answer: bytes) -> list[Finding]:
    async with serving(tls, answer) as service:
        found = await diagnose(node, internet=True, service=service.url)
        assert len(service.requests) == 1
    return [each for each in found if isinstance(each, (Service, Clock, Unknown))]


@pytest.mark.parametrize("ahead", [0, 3600, -86400])
async def test_the_service_says_where_we_are_and_what_time_it_is(
    tls: ssl.SSLContext, network: MemoryNetwork, ahead: int
) -> None:
    async with alice_on(network) as node:
        where, clock = await asked(node, tls, dated(ahead))
    assert where == Service(Endpoint(ALICE, 0), used=True)
    assert isinstance(clock, Clock)
    assert clock.ahead == pytest.approx(ahead, abs=5)


async def test_a_listener_at_another_address_than_the_service_sees_is_told(
    tls: ssl.SSLContext, network: MemoryNetwork, machine: list[Interface]
) -> None:
    machine.append(Interface("eth1", 3, True, False, (CAROL,)))
    async with alice_on(network) as node:
        where, _ = await asked(node, tls, dated(0, CAROL))
    assert where == Service(Endpoint(CAROL, 0), used=False)


@pytest.mark.parametrize(
    "date",
    [
        None, "", "now", "Thu, 01 Jan 1600 00:00:00 GMT", "Fri, 01 Jan 9999 00:00:00 GMT",
        "Fri, 01 Now 2026 00:00:00 GMT", f"Fri, 01 Jan {'9' * 4000} 00:00:00 GMT", "\x9b31m",
    ],
)  # fmt: skip
async def test_a_time_that_is_none_is_no_time(
    tls: ssl.SSLContext, network: MemoryNetwork, date: str | None
) -> None:
    headers = [] if date is None else [f"Date: {date}"]
    async with alice_on(network) as node:
        where, clock = await asked(node, tls, http(ALICE, "200 OK", *headers))
    assert where == Service(Endpoint(ALICE, 0), used=True)
    assert clock == Clock(None)


async def test_a_service_that_fails_leaves_the_clock_unknown(
    tls: ssl.SSLContext, network: MemoryNetwork
) -> None:
    async with alice_on(network) as node:
        unknown, clock = await asked(node, tls, http("", "503 Busy"))
    assert isinstance(unknown, Unknown)
    assert (unknown.step, unknown.error.problem) == (Step.SERVICE, ReachProblem.STATUS)
    assert clock == Clock(None)


async def test_without_a_public_address_the_service_is_not_asked(
    tls: ssl.SSLContext, network: MemoryNetwork, machine: list[Interface]
) -> None:
    machine[1:] = [Interface("eth0", 2, True, False, ("fe80::a",))]
    async with alice_on(network) as node, serving(tls, dated(0)) as service:
        found = await diagnose(node, internet=True, service=service.url)
        assert not service.connected.is_set()
    assert not of(Clock, found)
    assert not of(Unknown, found)


async def test_a_service_that_says_nothing_holds_nobody_up(
    tls: ssl.SSLContext, network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    autojump_clock.autojump_threshold = 0.1  # sockets take real time
    async with alice_on(network) as node, serving(tls, mute) as service:
        begun = trio.current_time()
        found = await diagnose(node, internet=True, service=service.url)
        assert trio.current_time() - begun < 6
    assert of(SelfDial, found) == [SelfDial(AT_ALICE, None, True)]


# All of it.


async def test_what_is_found_stands_in_a_fixed_order(
    tls: ssl.SSLContext, network: MemoryNetwork
) -> None:
    async with alice_on(network) as node, serving(tls, dated(0)) as service:
        found = await diagnose(node, internet=True, service=service.url)
    assert [type(each) for each in found] == [
        OwnAddresses, OwnAddresses, OwnAddresses, Route, Listening, Service, Clock, SelfDial,
        NobodyToAsk,
    ]  # fmt: skip


async def test_a_step_that_hangs_is_given_up_and_the_others_are_told(
    network: MemoryNetwork, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_route", trio.sleep_forever)
    async with alice_on(network) as node:
        begun = trio.current_time()
        found = await at_home(node, internet=True)
        assert trio.current_time() - begun == pytest.approx(LONGEST)
    assert of(Stuck, found) == [Stuck(Step.ROUTE, "")]
    assert of(SelfDial, found) == [SelfDial(AT_ALICE, None, True)]


async def test_a_bug_in_a_step_is_told_by_its_place_and_nothing_else_of_it(
    network: MemoryNetwork, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken() -> list[Finding]:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(doctor, "_route", broken)
    async with alice_on(network) as node:
        found = await at_home(node, internet=True)
    (stuck,) = of(Stuck, found)
    assert isinstance(stuck, Stuck)
    assert stuck.place.startswith("ZeroDivisionError at test_doctor.py:")
    assert of(SelfDial, found) == [SelfDial(AT_ALICE, None, True)]


async def test_cancelled_it_leaves_nothing_behind(
    tls: ssl.SSLContext, network: MemoryNetwork
) -> None:
    async def listen(stream: trio.abc.Stream) -> None:
        while await stream.receive_some():
            pass

    async with alice_on(network) as node, serving(tls, listen) as service:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                functools.partial(diagnose, node, internet=True, service=service.url)
            )
            await service.connected.wait()
            nursery.cancel_scope.cancel()
        await service.hung_up.wait()
        assert node._links._asked == []
