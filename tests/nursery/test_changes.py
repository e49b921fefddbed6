"""What is noticed of the network and of sleep, when, and what becomes of the links then."""

import errno
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock

from fantom_trio.nursery import (
    Conversation,
    LinkEnded,
    LinkUp,
    Node,
    Received,
    Why,
    changes,
    open_node,
)
from fantom_trio.nursery.changes import (
    HINTED_LOOK_SECONDS,
    LOOK_SECONDS,
    SETTLE_SECONDS,
    SLEPT_SECONDS,
    UNREST_SECONDS,
    Change,
    Changes,
    Surroundings,
    network_of,
    open_changes,
)
from fantom_trio.nursery.errors import ReachError, ReachProblem
from fantom_trio.nursery.interfaces import Interface
from fantom_trio.wire import Endpoint
from tests.nursery.ends import PATIENCE, next_event
from tests.nursery.memory_network import MemoryNetwork, MemoryStream

LO = Interface("lo", 1, True, True, ("::1",))
OLD = Interface("eth0", 2, True, False, ("2001:db8:a::1", "fe80::1"))
NEW = replace(OLD, addresses=("2001:db8:b::1", "fe80::1"))


class Machine:
    """Its interfaces, its way out, its kernel's hints and its clock, all in the test's hand."""

    def __init__(self) -> None:
        self.interfaces: Sequence[Interface] = (LO, OLD)
        self.source: str | None = None
        self.looks = 0
        self.slept = 0.0
        self._tell, self._hints = trio.open_memory_channel[None](100)

    def change(self, *interfaces: Interface) -> None:
        self.interfaces = interfaces
        self.hint()

    def hint(self) -> None:
        self._tell.send_nowait(None)

    def look(self) -> Sequence[Interface]:
        self.looks += 1
        return self.interfaces

    def clock(self) -> float:
        return 1000 + trio.current_time() + self.slept

    async def way_out(self) -> str | None:
        return self.source

    async def watched(self, *, hints: bool = True) -> Changes:
        hint = self._hints.receive if hints else None
        found = Changes(hint, look=self.look, clock=self.clock)
        await found.begin()
        return found


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(changes, "way_out", machine.way_out)
    return machine


async def within(watched: Changes, seconds: float) -> Change:
    """The next change, which comes after about so many seconds."""
    begun = trio.current_time()
    with trio.fail_after(seconds + 0.1):
        change = await watched.next()
    assert trio.current_time() - begun >= seconds - 0.1
    return change


# What is noticed.


async def test_another_prefix_is_told_when_it_has_been_quiet(
    machine: Machine, autojump_clock: MockClock
) -> None:
    watched = await machine.watched()
    machine.change(LO, NEW)
    change = await within(watched, SETTLE_SECONDS)
    assert change == Change(Surroundings((LO, NEW)), frozenset({"2001:db8:a::1"}))


async def test_a_change_that_comes_in_pieces_is_told_once(
    machine: Machine, autojump_clock: MockClock
) -> None:
    watched = await machine.watched()

    async def pieces() -> None:
        machine.change(LO)
        for interface in (replace(NEW, addresses=("fe80::1",)), NEW):
            await trio.sleep(0.8)
            machine.change(LO, interface)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(pieces)
        change = await within(watched, 1.6 + SETTLE_SECONDS)
        assert change.gone == {"2001:db8:a::1"}
        assert machine.looks == 2


async def test_a_network_that_is_never_quiet_is_looked_at_all_the_same(
    machine: Machine, autojump_clock: MockClock
) -> None:
    watched = await machine.watched()

    async def chatter() -> None:
        while True:
            machine.hint()
            await trio.sleep(0.5)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(chatter)
        machine.interfaces = (LO, NEW)
        assert (await within(watched, UNREST_SECONDS)).now.interfaces == (LO, NEW)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("hints", "seconds"), [(False, LOOK_SECONDS), (True, HINTED_LOOK_SECONDS)])
async def test_without_a_hint_a_change_is_found_by_looking(
    hints: bool, seconds: float, machine: Machine, autojump_clock: MockClock
) -> None:
    watched = await machine.watched(hints=hints)
    machine.interfaces = (LO,)
    assert (await within(watched, seconds)).gone == set(OLD.addresses)
    assert machine.looks == 2


async def test_where_the_kernel_tells_of_changes_it_is_seldom_looked_for_them(
    machine: Machine, autojump_clock: MockClock
) -> None:
    watched = await machine.watched()
    with trio.move_on_after(10 * HINTED_LOOK_SECONDS + 1):
        await watched.next()
    assert machine.looks == 11


async def test_hints_without_a_change_are_told_to_nobody(
    machine: Machine, autojump_clock: MockClock
) -> None:
    watched = await machine.watched()
    for _ in range(3):
        machine.hint()
    with trio.move_on_after(600) as scope:
        await watched.next()
    assert scope.cancelled_caught


async def test_another_way_to_the_internet_is_a_change(
    machine: Machine, autojump_clock: MockClock
) -> None:
    watched = await machine.watched()
    machine.source = "2001:db8:a::1"
    machine.hint()
    change = await within(watched, SETTLE_SECONDS)
    assert (change.now.source, change.gone) == ("2001:db8:a::1", frozenset())


async def test_an_address_that_moved_to_another_interface_is_not_gone(
    machine: Machine, autojump_clock: MockClock
) -> None:
    watched = await machine.watched()
    machine.change(LO, replace(OLD, name="wlan0", index=3))
    change = await within(watched, SETTLE_SECONDS)
    assert change.gone == frozenset()
    assert change.now.has(Endpoint("fe80::1", 1, "wlan0"))
    assert not change.now.has(Endpoint("fe80::1", 1, "eth0"))


async def test_a_cable_that_is_pulled_takes_no_address_away(
    machine: Machine, autojump_clock: MockClock
) -> None:
    watched = await machine.watched()
    machine.change(LO, replace(OLD, is_up=False))
    change = await within(watched, SETTLE_SECONDS)
    assert change.gone == frozenset()
    assert change.now.has(Endpoint("2001:db8:a::1", 1))


async def test_interfaces_that_cannot_be_read_are_taken_to_be_the_same(
    machine: Machine, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = await machine.watched()

    def fails() -> Sequence[Interface]:
        raise ReachError(ReachProblem.INTERFACES)

    monkeypatch.setattr(watched, "_look", fails)
    with trio.move_on_after(60) as scope:
        await watched.next()
    assert scope.cancelled_caught
    assert watched.now.interfaces == (LO, OLD)


# Sleep.


async def test_a_machine_that_slept_says_so_once(
    machine: Machine, autojump_clock: MockClock
) -> None:
    watched = await machine.watched()
    await trio.sleep(3)
    machine.slept += SLEPT_SECONDS + 1
    assert await within(watched, LOOK_SECONDS) == Change(watched.now, slept=True)
    with trio.move_on_after(3600) as scope:
        await watched.next()
    assert scope.cancelled_caught


async def test_naps_and_clocks_that_drift_are_no_sleep(
    machine: Machine, autojump_clock: MockClock
) -> None:
    watched = await machine.watched()

    async def naps() -> None:
        for _ in range(10):
            machine.slept += SLEPT_SECONDS - 1
            await trio.sleep(2 * LOOK_SECONDS)
        machine.slept -= 3600

    async with trio.open_nursery() as nursery:
        nursery.start_soon(naps)
        with trio.move_on_after(3600) as scope:
            await watched.next()
        assert scope.cancelled_caught


# This machine.


async def test_this_machine_is_looked_at_and_left_as_it_was() -> None:
    with trio.fail_after(PATIENCE):
        async with open_changes() as watched:
            assert watched.now.has(Endpoint("::1", 0))


async def test_more_news_than_a_socket_holds_are_a_hint_too() -> None:
    sock = FullSocket()
    with trio.fail_after(PATIENCE):
        await changes._hint(sock)  # type: ignore[arg-type]


class FullSocket:
    async def recv(self, _size: int) -> bytes:
        await trio.lowlevel.checkpoint()
        raise OSError(errno.ENOBUFS, "No buffer space available")


def test_the_addresses_of_one_network_have_it_in_common() -> None:
    assert network_of("2001:db8:a:1::5") == network_of("2001:db8:a:1:dead:beef::7")
    assert network_of("2001:db8:a:1::5") != network_of("2001:db8:a:2::5")


# The node.

ALICE, BOB = "2001:db8:a::1", "2001:db8:b::1"
AT_ALICE, AT_BOB = Endpoint(ALICE, 40001), Endpoint(BOB, 40002)


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[MemoryNetwork, Node, Conversation, Node, Conversation]]:
    """Alice and Bob, and what each calls the conversation with the other."""
    network = MemoryNetwork(random.Random(5), (0.01, 0.05))
    with trio.fail_after(7200):  # on a clock that jumps
        async with (
            open_node(network=network.host(ALICE)) as alice,
            open_node(network=network.host(BOB)) as bob,
        ):
            await alice.listen(AT_ALICE)
            await bob.listen(AT_BOB)
            alice.connect(AT_BOB)
            here, there = await next_event(alice, LinkUp), await next_event(bob, LinkUp)
            yield network, alice, here.conversation, bob, there.conversation


async def test_a_link_from_an_address_that_is_gone_is_made_again_at_once(
    autojump_clock: MockClock,
) -> None:
    async with pair() as (_, alice, to_bob, bob, to_alice):
        begun = trio.current_time()
        alice.moved([ALICE])
        alice.say(to_bob, "one")
        bob.say(to_alice, "another")
        assert (await next_event(alice, LinkEnded)).ending.why is Why.LOST
        assert (await next_event(alice, LinkUp)).conversation is to_bob
        assert trio.current_time() - begun < 2
        assert [m.text for m in (await next_event(alice, Received)).messages] == ["another"]
        assert [m.text for m in (await next_event(bob, Received)).messages] == ["one"]


@pytest.mark.parametrize("mover_judges", [True, False])
async def test_the_other_end_of_a_link_from_a_lost_address_goes_soon(
    mover_judges: bool, autojump_clock: MockClock
) -> None:
    async with pair() as (network, alice, to_bob, bob, to_alice):
        mover, conversation = alice, to_alice
        if (alice.greeter.own.public < bob.greeter.own.public) != mover_judges:
            mover, conversation = bob, to_bob
        (dead,) = conversation.sessions
        network.cut(ALICE, BOB)
        mover._links._network = network.host("2001:db8:c::1")
        mover.moved([ALICE, BOB])
        await next_event(mover, LinkUp)
        await trio.sleep(16)
        assert conversation.session is not None
        assert dead not in conversation.sessions


async def test_what_is_written_goes_out_on_the_newest_link(autojump_clock: MockClock) -> None:
    async with pair() as (network, alice, _, bob, to_alice):
        (dead,) = to_alice.sessions
        network.cut(ALICE, BOB)
        alice._links._network = network.host("2001:db8:c::1")
        alice.moved([ALICE])
        await next_event(alice, LinkUp)
        await next_event(bob, LinkUp)
        assert dead in to_alice.sessions  # Bob does not know yet that it is
        begun = trio.current_time()
        bob.say(to_alice, "to where you are now")
        assert [m.text for m in (await next_event(alice, Received)).messages] == [
            "to where you are now"
        ]
        assert trio.current_time() - begun < 1


async def test_an_older_link_that_lives_is_not_given_up_by_who_does_not_judge(
    autojump_clock: MockClock,
) -> None:
    async with pair() as (_, _, to_bob, _, to_alice):
        for conversation in (to_bob, to_alice):
            assert conversation.session is not None
            conversation.session.doubt(15)
        await trio.sleep(60)
        assert len(to_bob.sessions) == len(to_alice.sessions) == 1


async def test_a_link_from_an_address_that_stays_stays(autojump_clock: MockClock) -> None:
    async with pair() as (_, alice, to_bob, _, _):
        session = to_bob.session
        alice.moved(["2001:db8:c::1"])
        await trio.sleep(10)
        assert to_bob.session is session


async def test_who_waits_long_to_dial_again_dials_as_soon_as_addresses_change(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pair() as (network, alice, _, _, _):
        host = network.host(ALICE)
        connect, failed = host.connect, trio.Event()

        async def watched(endpoint: Endpoint, own: Endpoint | None, seconds: float) -> MemoryStream:
            try:
                return await connect(endpoint, own, seconds)
            finally:
                failed.set()

        monkeypatch.setattr(host, "connect", watched)
        network.cut(ALICE, BOB)
        alice.moved([ALICE])
        await trio.sleep(600)  # the pauses have grown
        failed = trio.Event()
        await failed.wait()
        network.heal(ALICE, BOB)
        begun = trio.current_time()
        alice.moved()
        await next_event(alice, LinkUp)
        assert trio.current_time() - begun < 2


async def test_after_sleep_every_native_link_is_made_again(autojump_clock: MockClock) -> None:
    async with pair() as (_, alice, to_bob, bob, to_alice):
        begun = trio.current_time()
        alice.woke()
        alice.say(to_bob, "good morning")
        assert (await next_event(alice, LinkEnded)).ending.why is Why.SILENT
        await next_event(alice, LinkUp)
        assert trio.current_time() - begun < 2
        assert [m.text for m in (await next_event(bob, Received)).messages] == ["good morning"]
        bob.say(to_alice, "slept well?")
        assert [m.text for m in (await next_event(alice, Received)).messages] == ["slept well?"]
