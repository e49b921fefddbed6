"""Strangers come as many as they like, and those who are known notice nothing of it."""

import contextlib
import errno
import itertools
import os
import random
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from fantom_trio.nursery import (
    Conversation,
    Deed,
    Delivered,
    DescriptorsOut,
    Limits,
    LinkEnded,
    LinkKind,
    LinkUp,
    Node,
    NotShown,
    Received,
    Stranger,
    Violation,
    Why,
    open_node,
)
from fantom_trio.nursery.admission import Admission, group_of
from fantom_trio.nursery.connection import Connection, NotAdmitted
from fantom_trio.nursery.descriptors import Door
from fantom_trio.nursery.network import Listener, Stream
from fantom_trio.nursery.strangers import Strangers
from fantom_trio.nursery.tcp import TcpListener, TcpStream
from fantom_trio.nursery.turns import Turns
from fantom_trio.wire import Endpoint, Link, Role
from tests.classic_peer import ClassicPeer
from tests.nursery.ends import PATIENCE, Peer, listening_node, next_event, next_texts
from tests.nursery.memory_network import Host, MemoryNetwork, MemoryStream
from tests.wire.native_ends import NativePeer, public_of

ALICE, BOB = Endpoint("2001:db8:a::1", 40001), Endpoint("2001:db8:b::1", 40002)
#: On a clock that jumps.
LONG = 7200


def address(network: int, host: int = 1) -> str:
    return f"2001:db8:bad:{network:x}::{host:x}"


# Who takes whose place.


def connection(host: str, zone: str = "") -> Connection:
    """One of which only the other end is looked at."""
    peer = Endpoint(host, 40000, zone)
    stream = SimpleNamespace(peer=peer, here=ALICE)
    return Connection(cast(Stream, stream), Link(Role.LISTENER))


class Hall:
    """An admission, and those who wait in it."""

    def __init__(self, limits: Limits | None = None, *known: str) -> None:
        self.admission = Admission(limits or Limits(), lambda peer: peer.host in known)
        self._stack = ExitStack()

    def enter(self, host: str, zone: str = "") -> Connection:
        new = connection(host, zone)
        self.admission.enter(new)
        self._stack.callback(self.admission.leave, new)
        return new

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def hall() -> Iterator[Callable[..., Hall]]:
    halls: list[Hall] = []

    def make(limits: Limits | None = None, *known: str) -> Hall:
        halls.append(Hall(limits, *known))
        return halls[-1]

    yield make
    for each in halls:
        each.close()


def evicted(*connections: Connection) -> list[bool]:
    return [each.ending is not None and each.ending.why is Why.EVICTED for each in connections]


Halls = Callable[..., Hall]


async def test_of_an_address_the_fifth_takes_the_place_of_the_first(hall: Halls) -> None:
    it = hall()
    bystander = it.enter(address(2))
    four = [it.enter(address(1)) for _ in range(4)]
    assert not any(evicted(bystander, *four))
    it.enter(address(1))
    assert evicted(bystander, *four) == [False, True, False, False, False]


async def test_of_a_64_the_ninth_takes_the_place_of_the_first(hall: Halls) -> None:
    it = hall()
    bystander = it.enter(address(2))
    eight = [it.enter(address(1, host)) for host in range(8)]
    assert not any(evicted(bystander, *eight))
    it.enter(address(1, 99))
    assert evicted(bystander, *eight) == [False, True, *[False] * 7]


async def test_link_local_addresses_have_no_64_and_a_zone_each(hall: Halls) -> None:
    it = hall()
    neighbours = [it.enter(f"fe80::{host:x}", "eth0") for host in range(1, 12)]
    four = [it.enter("fe80::99", zone) for zone in ("eth0", "eth1") for _ in range(4)]
    assert not any(evicted(*neighbours, *four))
    it.enter("fe80::99", "eth1")
    assert evicted(*four) == [*[False] * 4, True, *[False] * 3]


async def test_with_all_places_taken_the_busiest_network_loses_its_oldest(hall: Halls) -> None:
    it = hall()
    honest = it.enter(address(999))
    lonely = [it.enter(address(network)) for network in range(50)]
    busy = [it.enter(address(888, host)) for host in range(5)]
    assert len(it.admission) == 56
    it.enter(address(777))
    assert evicted(honest, *lonely, *busy) == [False, *[False] * 50, True, *[False] * 4]
    assert len(it.admission) == 56


async def test_where_all_networks_are_equal_the_oldest_goes(hall: Halls) -> None:
    it = hall()
    all_equal = [it.enter(address(network)) for network in range(56)]
    it.enter(address(777))
    assert evicted(*all_equal) == [True, *[False] * 55]


async def test_eight_places_are_kept_for_verified_peers(hall: Halls) -> None:
    friends = [address(1000 + at) for at in range(9)]
    it = hall(None, *friends)
    strangers = [it.enter(address(network)) for network in range(56)]
    here = [it.enter(friend) for friend in friends[:8]]
    assert len(it.admission) == 64
    assert not any(evicted(*strangers, *here))
    it.enter(address(777))  # its place is a stranger's
    it.enter(friends[8])  # and so is the ninth friend's
    assert evicted(*strangers[:3], *here) == [True, True, False, *[False] * 8]


async def test_a_verified_peers_neighbours_do_not_count_against_it(hall: Halls) -> None:
    it = hall(None, address(1, 1))
    friend = it.enter(address(1, 1))
    neighbours = [it.enter(address(1, 2 + host)) for host in range(20)]
    assert evicted(friend, *neighbours) == [False, *[True] * 12, *[False] * 8]
    with pytest.raises(NotAdmitted):
        it.enter(address(1, 50))  # the /64 has had its twenty
    assert evicted(it.enter(address(1, 1))) == [False]


async def test_where_only_the_known_have_places_a_stranger_is_refused(hall: Halls) -> None:
    friends = [address(at) for at in range(64)]
    it = hall(None, *friends)
    here = [it.enter(friend) for friend in friends]
    with pytest.raises(NotAdmitted) as caught:
        it.enter(address(777))
    assert caught.value.why is Why.CROWDED
    assert not any(evicted(*here))


async def test_loopback_is_bounded_in_all_and_otherwise_only_if_asked_for(hall: Halls) -> None:
    it = hall()
    local = [it.enter("::1") for _ in range(64)]
    assert not any(evicted(*local))
    it.enter("::1")
    assert evicted(*local) == [True, *[False] * 63]
    strict = hall(Limits(loopback_counts=True))
    assert evicted(*[strict.enter("::1") for _ in range(5)]) == [True, *[False] * 4]


def test_a_group_is_a_64_and_never_the_cable() -> None:
    one, other = Endpoint("2001:db8::1"), Endpoint("2001:db8::ffff:0:0:1")
    assert group_of(one) == group_of(other) != group_of(Endpoint("2001:db8:0:1::1"))
    assert group_of(Endpoint("fe80::1", zone="eth0")) != group_of(Endpoint("fe80::2", zone="eth0"))
    assert group_of(Endpoint("fe80::1", zone="eth0")) != group_of(Endpoint("fe80::1", zone="eth1"))


# How often.


class Gate:
    """Handshakes that are over at once: only their rate is looked at."""

    def __init__(self, limits: Limits | None = None, *known: str) -> None:
        self.admission = Admission(limits or Limits(), lambda peer: peer.host in known)

    def lets_in(self, host: str) -> bool:
        new = connection(host)
        try:
            self.admission.enter(new)
        except NotAdmitted:
            return False
        self.admission.leave(new)
        return True

    def count(self, host: str, knocks: int = 100) -> int:
        return sum(self.lets_in(host) for _ in range(knocks))


async def test_a_64_gets_twenty_at_once_and_then_two_a_second(autojump_clock: MockClock) -> None:
    gate = Gate()
    assert sum(gate.lets_in(address(1, host)) for host in range(100)) == 20
    assert gate.count(address(2)) == 20
    await trio.sleep(3)
    assert gate.count(address(1)) == 6
    await trio.sleep(3600)
    assert gate.count(address(1)) == 20


async def test_loopback_may_come_as_often_as_it_likes() -> None:
    assert Gate().count("::1") == 100
    assert Gate(Limits(loopback_counts=True)).count("::1") == 20


async def test_a_network_of_many_64s_cannot_have_its_bucket_forgotten(
    autojump_clock: MockClock,
) -> None:
    gate = Gate(Limits(networks=50))
    assert gate.count(address(1)) == 20
    for network in range(1000, 2000):
        assert gate.lets_in(address(network))
    assert gate.count(address(1)) == 0
    assert len(gate.admission._pace._full_at) <= 50
    await trio.sleep(10)
    gate.lets_in(address(1))
    assert len(gate.admission._pace._full_at) <= 50


# Whole nodes.


@pytest.fixture
def network() -> MemoryNetwork:
    return MemoryNetwork(random.Random(7), (0.01, 0.05))


@asynccontextmanager
async def node_at(
    network: MemoryNetwork, where: Endpoint, limits: Limits | None = None
) -> AsyncIterator[Node]:
    with trio.fail_after(LONG):
        host = network.host(where.host)
        async with open_node(limits, network=host, rng=random.Random(1)) as node:
            await node.listen(where)
            yield node


async def verified(alice: Node, bob: Node) -> tuple[Conversation, Conversation]:
    """Bob dials Alice with an invite; each one's conversation."""
    bob.connect(alice.invite(ALICE))
    return (
        (await next_event(alice, LinkUp)).conversation,
        (await next_event(bob, LinkUp)).conversation,
    )


def reading(node: Node, nursery: trio.Nursery) -> list[object]:
    """All that it tells from now on."""
    events: list[object] = []

    async def read() -> None:
        async for event in node.events:
            events.append(event)

    nursery.start_soon(read)
    return events


async def knock(host: Host, data: bytes = b"") -> MemoryStream:
    stream = await host.connect(ALICE, None, 10)
    await stream.send_all(data)
    return stream


async def link_natively(
    host: Host,
    texts: int = 0,
    size: int = 1,
    *,
    port: int = 0,
    more: bytes = b"",
    static: bytes | None = None,
) -> MemoryStream:
    """A native peer with a new key, which says some texts; ``more`` comes behind its hello."""
    peer = NativePeer(static)
    stream = await knock(host, peer.line())
    answer = b""
    while not answer.endswith(b"\n"):
        answer += await _read(stream)
    hello = {"port": port, "version": "test", "received": 0, "shown": 0}
    await stream.send_all(peer.message_3(answer) + peer.seal.head)
    await stream.send_all(peer.seal.record("hello", **hello) + more)
    for id in range(1, texts + 1):
        await stream.send_all(peer.seal.record("say", id=id, at=0, text="x" * size))
    return stream


async def _read(stream: MemoryStream) -> bytes:
    room = bytearray(4096)
    return bytes(room[: await stream.receive_into(lambda: memoryview(room))])


async def test_a_flood_of_half_open_handshakes_disturbs_no_verified_peer(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with (
        trio.open_nursery() as nursery,
        node_at(network, ALICE) as alice,
        node_at(network, BOB) as bob,
    ):
        here, there = await verified(alice, bob)
        events = reading(alice, nursery)

        async def attack(number: int) -> None:
            for at in range(10):
                with contextlib.suppress(Exception):
                    await knock(network.host(address(number, at + 1)), b"HAND")

        async with trio.open_nursery() as attackers:
            for number in range(60):
                attackers.start_soon(attack, number)
            await trio.sleep(0.5)
            assert len(alice.admission) == 56
            bob.say(there, "still there?")
            await next_event(bob, Delivered)
            bob.disconnect(there)
            bob.connect(replace(ALICE))
            await next_event(bob, LinkUp)  # let in, with all the strangers' places taken
        assert [m.text for m in here.history] == ["still there?"]
        ended = [each for each in events if isinstance(each, LinkEnded)]
        assert {each.ending.why for each in ended if each.conversation is None} == {Why.EVICTED}
        nursery.cancel_scope.cancel()


async def test_strangers_links_make_room_for_each_other_and_never_take_a_known_ones(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with (
        trio.open_nursery() as nursery,
        node_at(network, ALICE, Limits(links=5)) as alice,
        node_at(network, BOB) as bob,
    ):
        here, _ = await verified(alice, bob)
        events = reading(alice, nursery)
        one = await link_natively(network.host(address(1)), 1)
        for host in range(1, 4):
            await link_natively(network.host(address(2, host)), 1)
            await trio.sleep(1)
        await link_natively(network.host(address(3)), 1)  # in place of the first from 2
        await trio.sleep(1)
        assert here.online
        linked = [each.key.host for each in alice.conversations if each.online]
        assert linked == [BOB.host, address(1), address(2, 2), address(2, 3), address(3)]
        crowded = [each for each in events if isinstance(each, LinkEnded)]
        assert [(each.peer.host, each.ending.why) for each in crowded] == [
            (address(2, 1), Why.CROWDED)
        ]
        alice.say(next(each for each in alice.conversations if each.key.host == address(1)), "hi")
        await trio.sleep(1)
        for number in range(10, 15):
            await link_natively(network.host(address(number)))
            await trio.sleep(1)
        assert here.online
        assert not one.closed
        assert len(alice._links._crowd) == 5
        assert [each.key.host for each in alice.conversations if each.online][:2] == [
            BOB.host, address(1),
        ]  # fmt: skip
        nursery.cancel_scope.cancel()


async def test_where_every_link_is_wanted_a_newcomer_is_refused(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with (
        trio.open_nursery() as nursery,
        node_at(network, ALICE, Limits(links=1)) as alice,
        node_at(network, BOB) as bob,
    ):
        here, _ = await verified(alice, bob)
        events = reading(alice, nursery)
        await link_natively(network.host(address(1)))
        await trio.sleep(1)
        (ended,) = [each for each in events if isinstance(each, LinkEnded)]
        assert ended.conversation is None
        assert ended.ending.why is Why.CROWDED
        assert here.online
        nursery.cancel_scope.cancel()


async def test_one_peer_has_eight_links_at_most(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with trio.open_nursery() as nursery, node_at(network, ALICE) as alice:
        reading(alice, nursery)
        for _ in range(12):
            peer = ClassicPeer()
            stream = await knock(network.host(address(1)), peer.handshake())
            await _read(stream)
        await trio.sleep(1)
        (one,) = alice.conversations
        assert len(one.incoming) == 8
        nursery.cancel_scope.cancel()


async def test_links_that_say_goodbye_count_until_they_are_gone(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with (
        trio.open_nursery() as nursery,
        node_at(network, ALICE, Limits(links_of_peer=2, knocks_burst=100)) as alice,
    ):
        reading(alice, nursery)
        # Of the two Alice is to judge which link goes.
        own, keys = alice.greeter.own.public, (bytes([n]) * 32 for n in itertools.count(1))
        static, most = next(each for each in keys if public_of(each) > own), 0
        for _ in range(12):  # each replaces the one before, and none answers Alice's goodbye
            await link_natively(network.host(address(1)), static=static)
            await trio.sleep(0.1)
            most = max(most, *(len(each.sessions) for each in alice.conversations))
        assert most <= 3
        nursery.cancel_scope.cancel()


async def test_strangers_who_say_a_word_and_go_leave_a_bounded_trace(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    limits = Limits(strangers=6, identities=10, stranger_log=3)
    async with trio.open_nursery() as nursery, node_at(network, ALICE, limits) as alice:
        reading(alice, nursery)
        quiet = await link_natively(network.host(address(999)), 1)
        await trio.sleep(1)
        for number in range(40):
            stream = await link_natively(network.host(address(number % 3, number + 1)), 1)
            await trio.sleep(1)
            stream.close()
            await trio.sleep(10)
        assert len(alice.conversations) == 6
        assert len(alice.greeter.identities) <= 10 + 6
        assert len(alice.strangers) == 3
        # Who came alone from its network is still there.
        assert address(999) in [each.key.host for each in alice.conversations]
        assert not quiet.closed
        nursery.cancel_scope.cancel()


async def test_all_strangers_together_remember_so_much_and_whom_we_answer_has_all_its_room(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    limits = Limits(strangers_messages=100, strangers_bytes=10_000)
    async with trio.open_nursery() as nursery, node_at(network, ALICE, limits) as alice:
        reading(alice, nursery)
        await link_natively(network.host(address(0)), 90)
        await trio.sleep(5)
        (first,) = alice.conversations
        assert len(first.history) == 90
        alice.say(first, "I know you")
        for number in range(1, 5):
            await link_natively(network.host(address(number)), 80)
            await trio.sleep(5)
        assert len(first.history) == 91
        others = [each for each in alice.conversations if each is not first]
        assert [len(each.history) for each in others] == [25] * 4
        await link_natively(network.host(address(5)), 20, 1000)
        await trio.sleep(5)
        assert len(alice.conversations[-1].history) == 2
        nursery.cancel_scope.cancel()


async def test_who_was_forgotten_and_never_wrote_to_us_may_come_again(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    limits = Limits(strangers=2, identities=0)
    async with (
        trio.open_nursery() as nursery,
        node_at(network, ALICE, limits) as alice,
        node_at(network, BOB) as bob,
    ):
        reading(alice, nursery)
        bob.connect(ALICE)
        there = (await next_event(bob, LinkUp)).conversation
        for host in range(8):
            await link_natively(network.host(address(1, host + 1)), 1)
            await trio.sleep(1)
        bob.disconnect(there)
        await trio.sleep(10)
        for number in range(4):
            await link_natively(network.host(address(number + 2)))
            await trio.sleep(1)
        assert BOB.host not in [each.key.host for each in alice.conversations]
        bob.say(there, "here I am again")
        await next_event(bob, Delivered)
        nursery.cancel_scope.cancel()


# Who came.


def deeds(strangers: Sequence[Stranger]) -> dict[str, dict[Deed, int]]:
    return {each.hosts[0]: dict(each.deeds) for each in strangers}


async def test_strangers_are_listed_with_what_they_did(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with (
        trio.open_nursery() as nursery,
        node_at(network, ALICE) as alice,
        node_at(network, BOB) as bob,
    ):
        await verified(alice, bob)
        reading(alice, nursery)
        garbler, classic, native, slow, often = (address(number) for number in range(5))
        for _ in range(3):
            await knock(network.host(garbler), b"GET / HTTP/1.1\r\n\r\n")
        await knock(network.host(classic), ClassicPeer().handshake())
        claims = await link_natively(network.host(native))
        await trio.sleep(1)
        await claims.send_all(b"\xff\xff\xff\xff")
        await knock(network.host(slow))
        await trio.sleep(11)
        async with trio.open_nursery() as knocking:
            for _ in range(22):
                knocking.start_soon(knock, network.host(often))
        await trio.sleep(1)
        assert deeds(alice.strangers) == {
            often: {Why.EVICTED: 16, Why.TOO_OFTEN: 2},
            slow: {Why.SLOW: 1},
            native: {LinkKind.NATIVE: 1, Violation.FRAME_LENGTH: 1},
            classic: {LinkKind.CLASSIC: 1},
            garbler: {Violation.NOT_A_HANDSHAKE: 3},
        }
        assert [each.knocks for each in alice.strangers] == [22, 1, 1, 1, 3]
        seen = alice.strangers[-1]
        assert 0 < seen.last_at - seen.first_at < 1
        with pytest.raises(TypeError):
            seen.deeds[Why.SLOW] = 1  # type: ignore[index]
        alice.burn()
        assert not alice.strangers
        nursery.cancel_scope.cancel()


async def test_one_network_with_a_thousand_addresses_takes_one_place_among_the_strangers(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with trio.open_nursery() as nursery, node_at(network, ALICE) as alice:
        reading(alice, nursery)
        others = [address(number) for number in range(1, 11)]
        for other in others:
            await knock(network.host(other), b"garbage\n")
        for host in range(1000):
            await knock(network.host(address(0, host + 1)), b"garbage\n")
            await trio.sleep(0.5)
        flood, *rest = alice.strangers
        assert (flood.network, flood.knocks, flood.and_more) == ("2001:db8:bad::/64", 1000, True)
        assert flood.hosts == tuple(address(0, host + 1) for host in range(64))
        assert flood.deeds == {Violation.NOT_A_HANDSHAKE: 1000}
        assert [each.hosts for each in rest] == [(other,) for other in reversed(others)]
        assert not any(each.and_more for each in rest)
        nursery.cancel_scope.cancel()


def test_of_a_cable_each_address_is_a_stranger_by_itself_and_of_a_network_the_unknown_ones() -> (
    None
):
    strangers = Strangers(Limits(), lambda: 0.0)
    for host, zone in (
        ("fe80::1", "eth0"), ("fe80::1", "eth1"), ("fe80::2", "eth0"),
        (address(1), ""), (address(2), ""), (address(2, 2), ""),
    ):  # fmt: skip
        strangers.knocked(Endpoint(host, 40000, zone))
    strangers.linked(Endpoint("fe80::1", 40000, "eth1"), LinkKind.NATIVE)

    def listed(*known: str) -> list[tuple[tuple[str, ...], str, int]]:
        them = strangers.snapshot(lambda peer: peer.host in known)
        return [(each.hosts, each.zone, len(each.deeds)) for each in them]

    cable = [(("fe80::2",), "eth0", 0), (("fe80::1",), "eth1", 1), (("fe80::1",), "eth0", 0)]
    both = ((address(2), address(2, 2)), "", 0)
    assert listed() == [both, ((address(1),), "", 0), *cable]
    assert listed(address(1), address(2)) == [both, *cable]
    assert listed(address(1), address(2), address(2, 2), "fe80::1") == cable[:1]


async def test_garbage_right_behind_a_hello_is_the_strangers_fault(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with trio.open_nursery() as nursery, node_at(network, ALICE) as alice:
        reading(alice, nursery)
        for number in range(20):  # a read may get any part of what is there
            await link_natively(network.host(address(number)), more=b"\xff\xff\xff\xff")
        await trio.sleep(1)
        for each in alice.strangers:
            assert {**each.deeds, LinkKind.NATIVE: 1} == {
                Violation.FRAME_LENGTH: 1, LinkKind.NATIVE: 1,
            }  # fmt: skip
        assert any(len(each.deeds) == 1 for each in alice.strangers)
        nursery.cancel_scope.cancel()


async def test_strangers_who_break_links_are_not_dialed_all_at_once(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with trio.open_nursery() as nursery, node_at(network, ALICE) as alice:
        reading(alice, nursery)
        for number in range(30):
            stream = await link_natively(network.host(address(number)), port=40000)
            await trio.sleep(0.5)
            stream.reset()
        await trio.sleep(1)
        assert sum(each.dialing for each in alice.conversations) == 8
        nursery.cancel_scope.cancel()


async def test_what_known_peers_say_does_not_wait_behind_news_of_strangers(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with (
        trio.open_nursery() as nursery,
        node_at(network, ALICE) as alice,
        node_at(network, BOB) as bob,
    ):
        _, there = await verified(alice, bob)
        for number in range(100):  # nobody reads what Alice tells
            await knock(network.host(address(number)), b"garbage\n")
        bob.say(there, "hello")
        await next_event(bob, Delivered)
        waiting = [alice.events.receive_nowait() for _ in range(9)]
        assert isinstance(waiting[-1], Received)
        assert len(alice.strangers) == 64
        nursery.cancel_scope.cancel()


# Those who are known.

#: Strangers who are Bob's neighbours: they have his /64.
NEIGHBOURS = [f"2001:db8:b::{host:x}" for host in range(0x100, 0x10C)]


async def test_neighbours_who_use_up_the_64_of_a_verified_peer_do_not_keep_it_out(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with (
        trio.open_nursery() as nursery,
        node_at(network, ALICE) as alice,
        node_at(network, BOB) as bob,
    ):
        here, there = await verified(alice, bob)
        events = reading(alice, nursery)

        async def keep_knocking(host: str) -> None:
            while True:
                with contextlib.suppress(Exception):
                    await knock(network.host(host), b"HAND")
                await trio.sleep(0.25)

        for host in NEIGHBOURS:
            nursery.start_soon(keep_knocking, host)
        for _ in range(3):
            await trio.sleep(12)
            network.host(BOB.host).streams[-1].reset()  # on which he sat
            with trio.fail_after(3):
                await next_event(bob, LinkUp)
        bob.say(there, "still here")
        await next_event(bob, Delivered)
        assert [message.text for message in here.history] == ["still here"]
        refused = {each.ending.why for each in events if isinstance(each, LinkEnded)}
        assert {Why.TOO_OFTEN, Why.EVICTED} <= refused
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("port", [0, 40000], ids=["native", "dialed back"])
async def test_a_verified_peer_comes_in_where_strangers_have_all_the_links(
    port: int, network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    limits = Limits(links=6, strangers=6)
    async with (
        trio.open_nursery() as nursery,
        node_at(network, ALICE, limits) as alice,
        node_at(network, BOB) as bob,
    ):
        reading(alice, nursery)
        for host in NEIGHBOURS[:6]:
            await link_natively(network.host(host), 1, port=port)
            await trio.sleep(1)
        assert sum(each.online for each in alice.conversations) == 6
        bob.connect(alice.invite(ALICE))
        there = (await next_event(bob, LinkUp)).conversation
        for number in range(20):
            await link_natively(network.host(address(number)), 1, port=port)
            await trio.sleep(1)
        bob.say(there, "hello")
        await next_event(bob, Delivered)
        (here,) = [each for each in alice.conversations if each.verified]
        assert here.online
        assert sum(each.online for each in alice.conversations) == 6
        nursery.cancel_scope.cancel()


async def test_a_verified_peer_comes_before_those_whom_the_user_took_notice_of(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with (
        trio.open_nursery() as nursery,
        node_at(network, ALICE, Limits(links=3)) as alice,
        node_at(network, BOB) as bob,
    ):
        events = reading(alice, nursery)
        for number in range(3):
            await link_natively(network.host(address(number)), 1)
            await trio.sleep(1)
        for each in alice.conversations:
            each.want()
        await link_natively(network.host(address(9)))
        await trio.sleep(1)
        bob.connect(alice.invite(ALICE))
        await next_event(bob, LinkUp)
        await trio.sleep(1)
        crowded = [
            each.peer.host
            for each in events
            if isinstance(each, LinkEnded) and each.ending.why is Why.CROWDED
        ]
        assert crowded == [address(9), address(0)]
        nursery.cancel_scope.cancel()


async def test_what_known_peers_say_does_not_wait_behind_what_strangers_say(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with (
        trio.open_nursery() as nursery,
        node_at(network, ALICE) as alice,
        node_at(network, BOB) as bob,
    ):
        here, there = await verified(alice, bob)
        for number in range(60):  # nobody reads what Alice tells
            stream = await link_natively(network.host(address(number)), 1)
            for _ in range(3):
                await stream.send_all(b"")
                await trio.sleep(0.5)
        for number in range(50):
            bob.say(there, f"hello {number}")
            await next_event(bob, Delivered)
        waiting = [alice.events.receive_nowait() for _ in range(8 + 50)]
        assert not any(getattr(each, "conversation", None) is here for each in waiting[:8])
        texts = [
            m.text for each in waiting[8:] if isinstance(each, Received) for m in each.messages
        ]
        assert texts == [f"hello {number}" for number in range(50)]
        assert here.not_shown == 0
        # What strangers said is not lost: it waits where it can wait for long.
        told = reading(alice, nursery)
        await trio.sleep(1)
        missed = sum(each.count for each in told if isinstance(each, NotShown))
        seen = [*waiting[:8], *told]
        assert missed + sum(isinstance(each, Received) for each in seen) == 60
        nursery.cancel_scope.cancel()


async def test_strangers_who_change_their_names_at_one_address_make_no_known_peer_wait(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with (
        trio.open_nursery() as nursery,
        node_at(network, ALICE) as alice,
        node_at(network, BOB) as bob,
    ):
        _, there = await verified(alice, bob)
        for _ in range(100):  # nobody reads what Alice tells
            stream = await link_natively(network.host(address(1)), port=40000)
            await trio.sleep(1)
            stream.close()
        bob.say(there, "hello")
        await next_event(bob, Delivered)
        waiting = [alice.events.receive_nowait() for _ in range(9)]
        assert isinstance(waiting[-1], Received)
        nursery.cancel_scope.cancel()


async def test_a_known_peers_address_makes_nobody_else_known(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with (
        trio.open_nursery() as nursery,
        node_at(network, ALICE) as alice,
        node_at(network, BOB) as bob,
    ):
        await verified(alice, bob)
        reading(alice, nursery)
        await link_natively(network.host(BOB.host), 1)
        await trio.sleep(1)
        waits = {
            each.verified: link.turns is not None
            for each in alice.conversations
            for link in each.links
        }
        assert waits == {True: False, False: True}
        alice.conversations[-1].want()
        nursery.cancel_scope.cancel()


async def test_of_strangers_one_goes_on_in_each_round_and_none_is_forgotten() -> None:
    turns, went, most = Turns(Limits()), list[int](), 0

    async def be_stranger(number: int) -> None:
        await turns.wait(number)
        went.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(1, 51):
            nursery.start_soon(be_stranger, number)
        await trio.lowlevel.checkpoint()
        while len(went) < 50:
            before = len(went)
            await trio.lowlevel.checkpoint()
            most = max(most, len(went) - before)
    assert most <= 2  # one after us in this round, and one before us in the next
    assert sorted(went) == list(range(1, 51))


async def test_a_stranger_who_talks_alone_waits_for_nobody() -> None:
    turns = Turns(Limits())
    await turns.wait(1)
    with trio.move_on_after(0) as scope:  # whoever waits is cancelled
        await turns.wait(1)
        assert not scope.cancelled_caught
        await turns.wait(2)
        raise AssertionError


async def test_a_stranger_is_read_in_small_pieces_alone_or_not() -> None:
    async with listening_node() as node:
        peer = await Peer.meet_node(node)
        await peer.stream.send_all(b"".join(peer.frame("x") for _ in range(4000)))
        most = count = 0
        while count < 4000:
            event = await node.events.receive()
            if isinstance(event, Received):
                most, count = max(most, len(event.messages)), count + len(event.messages)
            elif isinstance(event, NotShown):
                count += event.count
        # 16 KiB and the beginning of a frame, of 70 bytes each.
        assert 1 < most <= 16 * 1024 // len(peer.frame("x")) + 1


# Descriptors.


@pytest.mark.parametrize(
    ("descriptors", "handshakes", "kept", "links"),
    [(1024, 64, 8, 256), (256, 64, 8, 160), (64, 16, 2, 16), (20, 1, 0, 1)],
)
def test_links_and_handshakes_leave_the_reserve_of_descriptors(
    descriptors: int, handshakes: int, kept: int, links: int
) -> None:
    limits = Limits().within(descriptors)
    assert (limits.handshakes, limits.handshakes_kept, limits.links) == (handshakes, kept, links)


class _Scarce(Listener):
    """There is no descriptor for the first ``failures`` times."""

    endpoint = ALICE

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.asked = 0

    async def accept(self) -> Stream:
        await trio.lowlevel.checkpoint()
        self.asked += 1
        if self.asked <= self.failures:
            raise OSError(24, "Too many open files")
        return await trio.sleep_forever()

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


async def test_a_lack_of_descriptors_is_told_once_and_accept_does_not_spin(
    autojump_clock: MockClock,
) -> None:
    told: list[float] = []
    asked_for_room: list[float] = []

    def tell() -> bool:
        told.append(trio.current_time())
        return True

    async def serve(listener: Listener, seconds: float) -> None:
        room = lambda: asked_for_room.append(trio.current_time())  # noqa: E731
        with trio.move_on_after(seconds):
            async with trio.open_nursery() as nursery:
                await Door(listener, 60, room, tell).serve(_never, nursery)

    listener = _Scarce(300)
    await serve(listener, 100)
    assert len(asked_for_room) == 300
    assert asked_for_room[-1] - asked_for_room[0] == pytest.approx(29.9)
    assert len(told) == 1


@pytest.mark.parametrize("number", [errno.ECONNABORTED, errno.EPROTO, errno.EPERM])
async def test_one_who_is_gone_before_it_is_let_in_ends_nothing(
    number: int, autojump_clock: MockClock
) -> None:
    class Gone(_Scarce):
        async def accept(self) -> Stream:
            self.asked += 1
            if self.asked > self.failures:
                await trio.sleep_forever()
            raise OSError(number, os.strerror(number))

    listener = Gone(3)
    with trio.move_on_after(10):
        async with trio.open_nursery() as nursery:
            await Door(listener, 60, lambda: None, lambda: True).serve(_never, nursery)
    assert listener.asked == 4


async def _never(stream: Stream) -> None:
    raise AssertionError


async def test_an_event_tells_of_it_and_the_next_one_is_let_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with trio.fail_after(PATIENCE):
        async with listening_node() as node:
            await Peer.dial(node)
            await wait_all_tasks_blocked(0.01)
            assert len(node.admission) == 1
            accept = TcpListener.accept
            failures = iter([OSError(24, "Too many open files")])

            async def scarce(self: TcpListener) -> TcpStream:
                stream = await accept(self)
                for failure in failures:
                    stream.close()
                    raise failure
                return stream

            monkeypatch.setattr(TcpListener, "accept", scarce)
            await Peer.dial(node)  # it is waited for with the old accept
            lost = await Peer.dial(node)
            assert await lost.read_end() == b""
            peer = await Peer.meet_node(node)
            await next_event(node, DescriptorsOut)
            await peer.say("in")
            assert await next_texts(node, 1) == ["in"]
