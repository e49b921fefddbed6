"""Dialing, step by step: the name, the zone, the socket, the first lines, and how long it takes."""

import contextlib
import errno
import os
import socket
from collections.abc import Awaitable, Sequence
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from fantom_trio.nursery import tcp
from fantom_trio.nursery.approach import Approach, Overtaken
from fantom_trio.nursery.connection import Connection
from fantom_trio.nursery.dial import dial
from fantom_trio.nursery.errors import DialError, DialProblem
from fantom_trio.nursery.greeter import Greeter
from fantom_trio.nursery.limits import Limits
from fantom_trio.nursery.tcp import _scope_id, look_up
from fantom_trio.wire import Endpoint, KeyPair
from tests.nursery.address_service import Names
from tests.nursery.ends import PATIENCE, Peer, answer, peer_listener, settled_slots, slots_in_use

LIMITS = Limits()
GREETER = Greeter(KeyPair.generate())
OUR_PORT = 40123
BOB = Endpoint("2001:db8::7", 40001)
OURS = Endpoint("2001:db8::5", 40000)
NAME = Endpoint("bob.example", 40001)


async def failure(attempt: Awaitable[object]) -> DialError:
    with pytest.raises(DialError) as caught:
        await attempt
    return caught.value


async def approached(
    approach: Approach, own: Endpoint | None = OURS, peer: Endpoint = BOB
) -> Connection:
    """A dial from where the approach says."""
    return await dial(peer, GREETER, own=own, own_port=OUR_PORT, limits=LIMITS, approach=approach)


# Names.


class Families(Names):
    """Keeps the families apart, as a real resolver does."""

    async def getaddrinfo(  # type: ignore[override]
        self, host: bytes, port: int, family: int = 0, *_rest: int
    ) -> list[tuple[int, int, int, str, Any]]:
        found = [row for row in await super().getaddrinfo(host, port) if row[0] == family]
        if not found:
            raise socket.gaierror(socket.EAI_NODATA, "No address associated with hostname")
        return list(found)


@pytest.mark.parametrize(
    ("addresses", "host"),
    [
        (["2001:db8::7"], "2001:db8::7"),
        (["192.0.2.7", "2001:0DB8:0::7", "2001:db8::8"], "2001:db8::7"),
        (["::ffff:192.0.2.7", "ff02::1", "2001:db8::7"], "2001:db8::7"),
        (["fe80::7%eth0"], "fe80::7"),
    ],
)
async def test_a_name_becomes_its_first_ipv6_address(addresses: list[str], host: str) -> None:
    trio.socket.set_custom_hostname_resolver(Families(**{"bob.example": addresses}))
    assert await look_up(NAME, 10) == Endpoint(host, 40001)


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ({"bob.example": ["192.0.2.7"]}, DialProblem.IPV4_ONLY),
        ({"bob.example": ["192.0.2.7", "::ffff:192.0.2.7"]}, DialProblem.IPV4_ONLY),
        ({"bob.example": ["::ffff:192.0.2.7"]}, DialProblem.NAME_UNKNOWN),
        ({"bob.example": ["::"]}, DialProblem.NAME_UNKNOWN),
        ({"alice.example": ["2001:db8::7"]}, DialProblem.NAME_UNKNOWN),
        ({}, DialProblem.NAME_UNKNOWN),
    ],
)
async def test_a_name_without_an_ipv6_address_says_so(
    names: dict[str, Sequence[str]], problem: DialProblem
) -> None:
    trio.socket.set_custom_hostname_resolver(Families(**names))
    assert (await failure(look_up(NAME, 10))).problem is problem


async def test_an_address_is_not_looked_up() -> None:
    trio.socket.set_custom_hostname_resolver(Families())
    for endpoint in (BOB, Endpoint("fe80::7", 40001, "eth0")):
        assert await look_up(endpoint, 0) == endpoint


async def test_a_name_server_that_is_silent_is_given_up(autojump_clock: MockClock) -> None:
    class Silent(Names):
        async def getaddrinfo(self, *_args: object) -> list[Any]:
            await trio.sleep_forever()
            raise AssertionError

    trio.socket.set_custom_hostname_resolver(Silent())
    error = await failure(look_up(NAME, 7))
    assert trio.current_time() == 7
    assert error.problem is DialProblem.NO_NAME_SERVER


async def test_trouble_of_the_name_server_is_told_apart_from_an_unknown_name() -> None:
    class Broken(Names):
        async def getaddrinfo(self, *_args: object) -> list[Any]:
            raise socket.gaierror(socket.EAI_AGAIN, "try again")

    trio.socket.set_custom_hostname_resolver(Broken())
    assert (await failure(look_up(NAME, 7))).problem is DialProblem.NO_NAME_SERVER


# Zones.

LOOPBACK_INDEX, LOOPBACK_NAME = min(socket.if_nameindex())
#: An index that no interface has; the second does not fit into the socket's address.
NO_INDEX, HUGE = str(max(socket.if_nameindex())[0] + 1000), "9" * 20


@pytest.mark.parametrize(
    ("zone", "own"),
    [
        (LOOPBACK_NAME, None),
        (str(LOOPBACK_INDEX), None),
        (LOOPBACK_NAME, "nowhere0"),
        ("", LOOPBACK_NAME),
        ("Ethernet 2", LOOPBACK_NAME),
        ("", str(LOOPBACK_INDEX)),
        (NO_INDEX, LOOPBACK_NAME),
        (HUGE, LOOPBACK_NAME),
    ],
)
def test_the_zone_is_an_interface_of_ours_or_else_our_own(zone: str, own: str | None) -> None:
    here = None if own is None else Endpoint("fe80::5", 40000, own)
    assert _scope_id(Endpoint("fe80::7", 40001, zone), here) == LOOPBACK_INDEX


@pytest.mark.parametrize("zone", ["", "nowhere0", NO_INDEX, HUGE])
@pytest.mark.parametrize("own", [None, BOB, Endpoint("fe80::5", 40000, "nowhere0")])
async def test_without_any_zone_of_ours_a_link_local_address_is_not_dialed(
    zone: str, own: Endpoint | None
) -> None:
    peer = Endpoint("fe80::7", 40001, zone)
    error = await failure(dial(peer, GREETER, own=own, own_port=OUR_PORT, limits=LIMITS))
    assert error.problem is DialProblem.NO_ZONE


def test_an_address_that_needs_no_zone_has_none() -> None:
    assert _scope_id(BOB, Endpoint("fe80::5", 40000, LOOPBACK_NAME)) == 0


# Sockets that only pretend: what they were asked, and what becomes of it.


class Pretended:
    def __init__(self, can_bind: bool) -> None:
        self.can_bind = can_bind
        self.options: set[int] = set()
        self.bound: object = None
        self.dialed: object = None
        self.closed = False

    def setsockopt(self, level: int, option: int, value: Any, *_length: int) -> None:
        if (level, value) == (socket.SOL_SOCKET, 1):
            self.options.add(option)

    def bind(self, address: Any) -> None:
        if not self.can_bind:
            raise OSError(errno.EADDRNOTAVAIL, "not ours")
        self.bound = address

    def close(self) -> None:
        self.closed = True


class Network:
    """Every connection fails with the next of ``errors``, the last for ever, or hangs."""

    patch: pytest.MonkeyPatch

    def __init__(self, *errors: OSError, can_bind: bool = True) -> None:
        self.errors = list(errors)
        self.can_bind = can_bind
        self.sockets: list[Pretended] = []
        self.at: list[float] = []
        self.patch.setattr(tcp, "_new_socket", self.socket)
        self.patch.setattr(tcp, "_connect", self.connect)

    async def connect(self, sock: Pretended, address: Any) -> None:
        sock.dialed = address
        await trio.lowlevel.checkpoint()
        if self.errors:
            raise self.errors.pop(0) if len(self.errors) > 1 else self.errors[0]
        await trio.sleep_forever()

    def socket(self) -> Pretended:
        self.at.append(round(trio.current_time(), 3))
        self.sockets.append(Pretended(self.can_bind))
        return self.sockets[-1]


@pytest.fixture(autouse=True)
def _real_sockets_again(monkeypatch: pytest.MonkeyPatch) -> None:
    Network.patch = monkeypatch


def system(number: int) -> OSError:
    return OSError(number, "in the words of whoever raised it")


@pytest.mark.parametrize(
    ("number", "problem"),
    [
        (errno.ECONNREFUSED, DialProblem.REFUSED),
        (errno.ENETUNREACH, DialProblem.UNREACHABLE),
        (errno.EHOSTUNREACH, DialProblem.UNREACHABLE),
        (errno.EADDRNOTAVAIL, DialProblem.NO_ROUTE),
        (errno.EAFNOSUPPORT, DialProblem.NO_ROUTE),
        (errno.EACCES, DialProblem.FORBIDDEN),
        (errno.EPERM, DialProblem.FORBIDDEN),
        (errno.ETIMEDOUT, DialProblem.TIMEOUT),
        (errno.ENOBUFS, DialProblem.FAILED),
    ],
    ids=errno.errorcode.get,
)
async def test_what_the_system_says_names_the_step_that_failed(
    number: int, problem: DialProblem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp, "_has_route", lambda address: True)
    network = Network(system(number))
    error = await failure(dial(BOB, GREETER, own=None, own_port=OUR_PORT, limits=LIMITS))
    assert (error.problem, error.detail) == (problem, os.strerror(number))
    (sock,) = network.sockets  # such a thing is not tried again
    assert sock.dialed == (BOB.host, BOB.port, 0, 0)
    assert sock.closed


@pytest.mark.parametrize("number", [errno.ENETUNREACH, errno.EHOSTUNREACH])
async def test_without_a_route_of_our_own_no_router_was_asked(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp, "_has_route", lambda address: False)
    network = Network(system(number))
    approach = Approach(BOB, OURS, 90)
    assert (await failure(approached(approach))).problem is DialProblem.NO_ROUTE
    assert len(network.sockets) == 1


def test_a_route_is_known_to_the_system() -> None:
    assert tcp._has_route(("::1", 40001, 0, 0))
    # No interface has a loopback address but its own.
    assert not tcp._has_route(("fe80::7", 40001, 0, max(socket.if_nameindex())[0] + 1000))


@pytest.mark.parametrize(
    ("peer", "own", "source"),
    [
        (BOB, Endpoint("2001:db8::5", 40000), ("2001:db8::5", 0, 0, 0)),
        (BOB, Endpoint("fd00::5", 40000), ("fd00::5", 0, 0, 0)),
        (
            Endpoint("fe80::7", 40001),
            Endpoint("fe80::5", 40000, LOOPBACK_NAME),
            ("fe80::5", 0, 0, LOOPBACK_INDEX),
        ),
        (Endpoint("::1", 40001), Endpoint("::1", 40000), ("::1", 0, 0, 0)),
        (BOB, Endpoint("fe80::5", 40000, LOOPBACK_NAME), None),
        (BOB, Endpoint("::1", 40000), None),
        (Endpoint("::1", 40001), Endpoint("2001:db8::5", 40000), None),
        (BOB, None, None),
    ],
)
async def test_we_dial_from_the_listener_s_address_where_it_can_talk_with_the_peer(
    peer: Endpoint, own: Endpoint | None, source: object
) -> None:
    network = Network(system(errno.ECONNREFUSED))
    await failure(dial(peer, GREETER, own=own, own_port=OUR_PORT, limits=LIMITS))
    assert network.sockets[0].bound == source


@pytest.mark.parametrize(
    ("peer", "own", "source"),
    [
        (BOB, Endpoint("2001:db8::5", 40000), ("2001:db8::5", 40000, 0, 0)),
        (Endpoint("::1", 40001), Endpoint("::1", 40000), ("::1", 40000, 0, 0)),
        (BOB, Endpoint("::1", 40000), None),
        (BOB, None, None),
        (BOB, BOB, (BOB.host, 0, 0, 0)),  # it would connect to itself, and reach no listener
    ],
)
async def test_an_approach_begins_at_the_listener_s_port_where_that_can_talk_with_the_peer(
    peer: Endpoint, own: Endpoint | None, source: tuple[str, int, int, int] | None
) -> None:
    network = Network(system(errno.ECONNREFUSED))
    await failure(approached(Approach(peer, own, 90), own, peer))
    sock = network.sockets[0]
    assert sock.bound == source
    both = {socket.SO_REUSEADDR, socket.SO_REUSEPORT}
    assert sock.options == (both if source and source[1] else set())


async def test_what_is_not_answered_is_begun_again_from_there_until_the_time_is_over(
    autojump_clock: MockClock,
) -> None:
    network = Network()
    error = await failure(approached(Approach(BOB, OURS, 35)))
    assert (error.problem, error.source, error.seconds) == (DialProblem.TIMEOUT, OURS, 35)
    assert network.at == [0, 10, 20, 30]
    assert {sock.bound for sock in network.sockets} == {(OURS.host, OURS.port, 0, 0)}
    assert all(sock.closed for sock in network.sockets)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EHOSTUNREACH, errno.ENETUNREACH])
async def test_what_routers_answer_is_asked_again_twice_a_second(
    number: int, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp, "_has_route", lambda address: True)
    network = Network(*[system(number)] * 4, system(errno.ECONNREFUSED))
    error = await failure(approached(Approach(BOB, OURS, 90)))
    # One refusal may come from a peer that dials us as well: four in a row are believed.
    assert network.at == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5]
    assert (error.problem, error.source) == (DialProblem.REFUSED, OURS)


async def test_an_answer_that_stays_is_the_one_that_is_told(autojump_clock: MockClock) -> None:
    network = Network(system(errno.EACCES))
    error = await failure(approached(Approach(BOB, OURS, 2)))
    assert (error.problem, error.source) == (DialProblem.FORBIDDEN, OURS)
    assert network.at == [0, 0.5, 1, 1.5]


@pytest.mark.parametrize("number", [errno.EADDRNOTAVAIL, errno.EADDRINUSE])
async def test_where_the_ports_are_taken_any_port_is_tried_at_once_and_then_the_listener_s_again(
    number: int, autojump_clock: MockClock
) -> None:
    taken, silent = system(number), system(errno.ETIMEDOUT)
    network = Network(taken, silent, taken, silent, *[system(errno.ECONNREFUSED)] * 4)
    assert (await failure(approached(Approach(BOB, OURS, 90)))).problem is DialProblem.REFUSED
    ports = [sock.bound[1] for sock in network.sockets if isinstance(sock.bound, tuple)]
    assert ports == [OURS.port, 0, OURS.port, 0, *[OURS.port] * 4]
    assert network.at[:5] == [0] * 5
    assert all(sock.closed for sock in network.sockets)


async def test_a_dial_that_is_overtaken_closes_its_socket_and_begins_no_other() -> None:
    network = Network()
    approach = Approach(BOB, OURS, 90)

    async def call() -> None:
        with pytest.raises(Overtaken):
            await approached(approach)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(call)
        await trio.testing.wait_all_tasks_blocked()
        approach.overtake()
    with pytest.raises(Overtaken):
        await approached(approach)
    assert [sock.closed for sock in network.sockets] == [True]


async def test_a_listener_s_address_that_is_gone_keeps_nobody_from_dialing() -> None:
    network = Network(system(errno.ECONNREFUSED), can_bind=False)
    own = Endpoint("2001:db8::5", 40000)
    error = await failure(dial(BOB, GREETER, own=own, own_port=OUR_PORT, limits=LIMITS))
    assert error.problem is DialProblem.REFUSED
    assert network.sockets[0].dialed == (BOB.host, BOB.port, 0, 0)


@pytest.mark.parametrize(("deadline", "until"), [(float("inf"), 10), (3, 3), (0, 0), (-1, 0)])
async def test_a_peer_who_does_not_answer_is_given_up_at_the_limit_or_the_deadline(
    autojump_clock: MockClock, deadline: float, until: float
) -> None:
    network = Network()
    attempt = dial(BOB, GREETER, own=None, own_port=OUR_PORT, limits=LIMITS, deadline=deadline)
    assert (await failure(attempt)).problem is DialProblem.TIMEOUT
    assert trio.current_time() == until
    assert all(sock.closed for sock in network.sockets)


async def test_a_cancelled_dial_closes_its_socket() -> None:
    network = Network()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                lambda: dial(BOB, GREETER, own=None, own_port=OUR_PORT, limits=LIMITS)
            )
            await trio.testing.wait_all_tasks_blocked()
            assert not network.sockets[0].closed
            scope.cancel()
    assert network.sockets[0].closed


@pytest.mark.parametrize(
    ("deadline", "tries"),
    [
        (float("inf"), [0, 0.1, 0.4, 1]),
        (2, [0, 0.1, 0.4, 1]),
        (0.9, [0, 0.1, 0.4]),
        (0.3, [0, 0.1]),
        (0.05, [0]),
    ],
)
async def test_who_breaks_off_is_tried_again_after_pauses_that_end_with_the_deadline(
    autojump_clock: MockClock, deadline: float, tries: list[float]
) -> None:
    network = Network(system(errno.ECONNRESET))
    attempt = dial(BOB, GREETER, own=None, own_port=OUR_PORT, limits=LIMITS, deadline=deadline)
    assert (await failure(attempt)).problem is DialProblem.BUSY
    assert network.at == tries
    assert trio.current_time() == pytest.approx(tries[-1])


# Real sockets.


async def test_a_full_listener_is_a_time_out(autojump_clock: MockClock) -> None:
    autojump_clock.autojump_threshold = 0.02
    with socket.socket(socket.AF_INET6) as full, contextlib.ExitStack() as waiting:
        full.bind(("::1", 0))
        full.listen(0)
        address = full.getsockname()[:2]
        for _ in range(2):  # as many as a system lets wait; the next one's packets are dropped
            early = waiting.enter_context(socket.socket(socket.AF_INET6))
            early.setblocking(False)
            early.connect_ex(address)
        peer = Endpoint(*address)
        error = await failure(dial(peer, GREETER, own=None, own_port=OUR_PORT, limits=LIMITS))
    assert error.problem is DialProblem.TIMEOUT
    assert trio.current_time() == pytest.approx(LIMITS.connect_seconds)


async def test_a_silent_listener_is_given_up_at_the_deadline(autojump_clock: MockClock) -> None:
    autojump_clock.autojump_threshold = 0.02
    before = settled_slots()
    async with peer_listener() as (where, _):
        attempt = dial(where, GREETER, own=None, own_port=OUR_PORT, limits=LIMITS, deadline=3)
        assert (await failure(attempt)).problem is DialProblem.SLOW
    assert trio.current_time() == pytest.approx(3)
    assert slots_in_use() == before


@pytest.mark.parametrize(
    ("own", "client_id"),
    [
        (Endpoint("::1", 40000), b"::1:40000"),
        (Endpoint("2001:db8::5", 40000), b"::1:40123"),
        (Endpoint("fe80::5", 40000, LOOPBACK_NAME), b"::1:40123"),
        (None, b"::1:40123"),
    ],
)
async def test_the_client_id_is_where_this_peer_can_dial_us_back(
    own: Endpoint | None, client_id: bytes
) -> None:
    with trio.fail_after(PATIENCE):
        async with peer_listener() as (where, listener), trio.open_nursery() as nursery:
            links: list[Connection] = []

            async def call() -> None:
                links.append(await dial(where, GREETER, own=own, own_port=OUR_PORT, limits=LIMITS))
                links[0].link.say("it is me")
                await links[0].send()

            nursery.start_soon(call)
            peer = await answer(listener)
            assert await peer.read_text() == "it is me"
            assert peer.client_id_seen == client_id
            links[0].close()
            peer.close()
    Peer.alive.clear()
