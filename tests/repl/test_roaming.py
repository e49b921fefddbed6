"""Our address changes: what the user reads, where the program listens, and whom it asks."""

import contextlib
import math
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trio
from msgspec import structs
from trio.testing import MockClock, wait_all_tasks_blocked

from fantom_trio.nursery import (
    Endpoint,
    Interface,
    Node,
    ReachError,
    ReachProblem,
    Where,
    open_port,
)
from fantom_trio.nursery import own_address as own_address_module
from fantom_trio.nursery.changes import (
    Change,
    Surroundings,
)
from fantom_trio.nursery.own_address import LONGEST_PAUSE, SHORTEST_PAUSE
from fantom_trio.nursery.port_mapping import (
    Nudge,
    Nudged,
)
from fantom_trio.nursery.reach import (
    link_local_address,
)
from fantom_trio.nursery.tcp import Tcp, TcpListener
from fantom_trio.repl.app import App
from fantom_trio.repl.slash import reaching
from tests.nursery.ends import LOOPBACK
from tests.repl.paper import Paper, chat

LO = Interface("lo", 1, True, True, ("::1",))
HOME, HOME_TEMPORARY, AWAY = "2001:db8:a::1", "2001:db8:a::7e3", "2001:db8:b::1"
NEAR = "fe80::1"
PUBLIC = Where(service="https://service.example")
GIVE = "Give your peer this address, or an /invite."
#: Long enough for whatever there is to be done again.
LATER = 7200


def eth(*hosts: str, name: str = "eth0", temporary: Sequence[str] = ()) -> Interface:
    return Interface(name, 2, True, False, hosts, temporary=frozenset(temporary))


class World:
    """The interfaces, the way out and the address service of one machine."""

    def __init__(self) -> None:
        self.now = Surroundings((LO,))
        #: What the service says next, and when it was asked.
        self.answer: str | ReachProblem = ReachProblem.UNREACHABLE
        self.asked: list[float] = []
        #: Where the program listened, one after the other; what is bound is ``::1``.
        self.bound: list[Endpoint] = []
        #: What the node was told: addresses, and how often it was to dial again at once.
        self.gone: set[str] = set()
        self.redials = 0
        self.woke = 0
        self._tell, self._changes = trio.open_memory_channel[Change](math.inf)

    def has(self, *interfaces: Interface, source: str | None = None) -> None:
        """From the start."""
        self.now = Surroundings((LO, *interfaces), source)

    async def becomes(
        self, *interfaces: Interface, source: str | None = None, slept: bool = False
    ) -> None:
        before = self.now
        self.has(*interfaces, source=source)
        self._tell.send_nowait(Change(self.now, before.hosts - self.now.hosts, slept))
        await wait_all_tasks_blocked()

    async def next(self) -> Change:
        return await self._changes.receive()

    @asynccontextmanager
    async def open_changes(self) -> AsyncIterator["World"]:
        yield self

    async def way_out(self) -> str | None:
        return self.now.source

    def link_local(self, interfaces: Sequence[Interface] | None = None) -> Endpoint:
        return link_local_address(interfaces or self.now.interfaces, platform="linux")

    async def public_address(self, _service: str) -> Endpoint:
        await trio.lowlevel.checkpoint()
        self.asked.append(trio.current_time())
        if isinstance(self.answer, str):
            return Endpoint(self.answer, 0)
        raise ReachError(self.answer)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    monkeypatch.setattr(own_address_module, "open_changes", world.open_changes)
    monkeypatch.setattr(own_address_module, "way_out", world.way_out)
    monkeypatch.setattr(own_address_module, "link_local_address", world.link_local)
    monkeypatch.setattr(own_address_module, "public_address", world.public_address)
    monkeypatch.setattr(reaching, "list_interfaces", lambda: list(world.now.interfaces))
    listen = Tcp.listen

    def bind(self: Tcp, endpoint: Endpoint) -> TcpListener:
        world.bound.append(endpoint)
        listener = listen(self, LOOPBACK)
        listener.endpoint = replace(endpoint, port=endpoint.port or listener.endpoint.port)
        return listener

    def moved(_node: Node, gone: Collection[str] = ()) -> None:
        world.gone.update(gone)
        world.redials += 1

    def woke(_node: Node) -> None:
        world.woke += 1

    monkeypatch.setattr(Tcp, "listen", bind)
    monkeypatch.setattr(Node, "moved", moved)
    monkeypatch.setattr(Node, "woke", woke)
    return world


@asynccontextmanager
async def listening(where: Where) -> AsyncIterator[tuple[App, Paper]]:
    async with chat(where=where, patience=LATER * 10) as (app, paper):
        assert paper.beginning.endswith(f"{GIVE}\n")
        yield app, paper


def at(app: App, host: str, zone: str = "") -> Endpoint:
    return Endpoint(host, app.node.own_port, zone)


async def told_nothing(paper: Paper) -> None:
    await trio.sleep(LATER)
    assert paper.text == ""


# The port in the router's firewall.


async def test_the_router_is_asked_again_when_the_machine_slept_or_the_network_changed(
    world: World, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    asked: list[Endpoint] = []

    async def keep_open(listener: Endpoint, _tell: object, _nonce: object, nudge: Nudge) -> None:
        while True:
            asked.append(listener)
            with contextlib.suppress(Nudged), nudge.heard(math.inf):
                await trio.sleep_forever()

    monkeypatch.setattr(open_port, "keep_open", keep_open)
    world.has(eth(HOME), source=HOME)
    world.answer = HOME
    async with listening(structs.replace(PUBLIC, open_port=True)) as (app, _):
        await wait_all_tasks_blocked()
        assert asked == [at(app, HOME)]
        await world.becomes(eth(HOME), source=HOME, slept=True)
        assert asked == [at(app, HOME)] * 2
        await world.becomes(eth(HOME, HOME_TEMPORARY), source=HOME_TEMPORARY)
        assert asked == [at(app, HOME)] * 3
        await world.becomes()
        await world.becomes(eth(HOME), source=HOME)
        await trio.sleep(SHORTEST_PAUSE)
        assert set(asked[3:]) == {at(app, HOME)}


# Public.


async def test_another_prefix_is_asked_about_listened_on_and_told_in_one_line(
    world: World, autojump_clock: MockClock
) -> None:
    world.has(eth(HOME), source=HOME)
    world.answer = HOME
    async with listening(PUBLIC) as (app, paper):
        world.answer = AWAY
        await world.becomes(eth(AWAY), source=AWAY)
        now = at(app, AWAY)
        await paper.sees(
            f"Your address changed: you listen on {now} now, {at(app, HOME)} is gone. Give your"
            " peer the new one, or an /invite."
        )
        assert app.node.listener == now
        assert world.gone == {HOME}
        assert world.redials == 3  # when it listened, when it moved, and from where it is now
        assert world.asked[1] - world.asked[0] >= SHORTEST_PAUSE
        paper.enter("/address")
        await paper.sees(f"* {now}  eth0", f"{now} is sent to your terminal's clipboard; some"
                         " terminals ignore that.")  # fmt: skip
        await told_nothing(paper)
        assert len(world.asked) == 2


async def test_another_way_out_is_told_without_a_word_of_the_old_address(
    world: World, autojump_clock: MockClock
) -> None:
    wifi = replace(eth(AWAY, name="wlan0"), index=3)
    world.has(eth(HOME), source=HOME)
    world.answer = HOME
    async with listening(PUBLIC) as (app, paper):
        world.answer = AWAY
        await world.becomes(eth(HOME), wifi, source=AWAY)
        await paper.sees(
            f"Your address changed: you listen on {at(app, AWAY)} now. Give your peer this one, or"
            " an /invite."
        )
        assert world.gone == set()


async def test_temporary_addresses_come_and_go_and_nobody_is_asked_or_told(
    world: World, autojump_clock: MockClock
) -> None:
    world.has(eth(HOME), source=HOME)
    world.answer = HOME
    async with listening(PUBLIC) as (_, paper):
        for number in range(5):
            await world.becomes(eth(HOME, f"2001:db8:a::{number:x}:7"), source=HOME_TEMPORARY)
            await told_nothing(paper)
        await world.becomes(eth(HOME), source=HOME)
        await told_nothing(paper)
        assert len(world.asked) == 1
        assert len(world.bound) == 1


async def test_another_answer_from_the_same_network_moves_nothing(
    world: World, autojump_clock: MockClock
) -> None:
    world.has(eth(HOME), source=HOME)
    world.answer = HOME
    async with listening(PUBLIC) as (_, paper):
        world.answer = HOME_TEMPORARY
        await world.becomes(eth(HOME, HOME_TEMPORARY), source=HOME_TEMPORARY, slept=True)
        await told_nothing(paper)
        assert len(world.asked) == 2
        assert len(world.bound) == 1
        assert world.woke == 1


async def test_an_address_that_is_gone_is_told_and_so_is_its_return(
    world: World, autojump_clock: MockClock
) -> None:
    world.has(eth(HOME), source=HOME)
    world.answer = HOME
    async with listening(PUBLIC) as (app, paper):
        here = app.node.listener
        await world.becomes()
        await paper.sees(
            f"{here} is no address of this machine any more: nobody can dial you until it has"
            " another one."
        )
        await told_nothing(paper)
        assert len(world.asked) == 1
        await world.becomes(eth(HOME), source=HOME)
        await paper.sees(f"{here} is an address of this machine again: others can dial you.")
        assert app.node.listener == here
        assert len(world.bound) == 2
        await told_nothing(paper)


async def test_an_address_that_is_replaced_in_its_network_is_asked_about(
    world: World, autojump_clock: MockClock
) -> None:
    world.has(eth(HOME_TEMPORARY, HOME), source=HOME)
    world.answer = HOME
    async with listening(PUBLIC) as (app, paper):
        world.answer = HOME_TEMPORARY
        await world.becomes(eth(HOME_TEMPORARY), source=HOME_TEMPORARY)
        await paper.until(lambda: f"you listen on {at(app, HOME_TEMPORARY)} now" in paper.text)


async def test_the_next_best_address_is_kept_while_it_is_there(
    world: World, autojump_clock: MockClock
) -> None:
    world.has(eth(NEAR, name="eth1"))
    world.answer = ReachProblem.NO_IPV6
    async with listening(PUBLIC) as (app, paper):
        near = at(app, NEAR, "eth1")
        await world.becomes(eth("fe80::2"), eth(NEAR, name="eth1"))
        await told_nothing(paper)
        assert app.node.listener == near
        await world.becomes(eth("fe80::2"))
        await paper.sees(f"Listening on {at(app, 'fe80::2', 'eth0')}. {GIVE}")


async def test_a_service_that_fails_is_asked_seldom_and_told_once(
    world: World, autojump_clock: MockClock
) -> None:
    world.has(eth(HOME), source=HOME)
    world.answer = HOME
    async with listening(PUBLIC) as (app, paper):
        world.answer = ReachProblem.TIMED_OUT
        await world.becomes(eth(AWAY), source=AWAY)
        await paper.sees(
            f"{at(app, HOME)} is no address of this machine any more: nobody can dial you until it"
            " has another one.",
            "The address service did not answer within 5 seconds. If you know your address, start"
            " with --address ADDRESS.",
        )
        await told_nothing(paper)
        pauses = [b - a for a, b in zip(world.asked, world.asked[1:], strict=False)]
        assert pauses[:8] == pytest.approx(
            [SHORTEST_PAUSE, SHORTEST_PAUSE, 20, 40, 80, 160, 320, LONGEST_PAUSE]
        )
        world.answer = AWAY
        await paper.until(lambda: f"you listen on {at(app, AWAY)} now" in paper.text)


async def test_a_network_that_has_no_answer_is_not_asked_about_again(
    world: World, autojump_clock: MockClock
) -> None:
    world.has(eth(HOME), source=HOME)
    world.answer = HOME
    async with listening(PUBLIC) as (_, paper):
        world.answer = ReachProblem.ANSWERED_IPV4
        await world.becomes(eth(AWAY), source=AWAY)
        await paper.until(lambda: "answered with an IPv4 address" in paper.text)
        paper.written = ""
        await told_nothing(paper)
        assert len(world.asked) == 2


async def test_a_machine_that_had_no_network_is_found_when_it_has_one(
    world: World, autojump_clock: MockClock
) -> None:
    world.answer = ReachProblem.NO_IPV6
    async with listening(PUBLIC) as (app, paper):
        assert app.node.listener is not None
        assert app.node.listener.is_loopback
        await world.becomes(eth(NEAR))
        near = at(app, NEAR, "eth0")
        await paper.sees(f"Listening on {near}. {GIVE}")
        world.answer = HOME
        await world.becomes(eth(NEAR, HOME), source=HOME)
        await paper.sees(f"Listening on {at(app, HOME)}. {GIVE}")
        assert world.bound == [Endpoint("::1", 0), near, at(app, HOME)]


async def test_a_service_that_fails_at_the_start_is_asked_again(
    world: World, autojump_clock: MockClock
) -> None:
    world.has(eth(HOME, NEAR), source=HOME)
    async with listening(PUBLIC) as (app, paper):
        assert "Until then your address is taken to be the one this machine" in paper.beginning
        assert app.node.listener == at(app, HOME)
        await trio.sleep(SHORTEST_PAUSE / 2)
        world.answer = AWAY
        await paper.sees(f"Listening on {at(app, AWAY)}. {GIVE}")
        assert world.asked[1] - world.asked[0] == pytest.approx(SHORTEST_PAUSE)


async def test_a_service_that_confirms_what_was_taken_for_our_address_changes_nothing(
    world: World, autojump_clock: MockClock
) -> None:
    world.has(eth(HOME, NEAR), source=HOME)
    async with listening(PUBLIC) as (app, paper):
        world.answer = HOME
        await told_nothing(paper)
        assert app.node.listener == at(app, HOME)
        assert len(world.asked) == 2


async def test_an_address_that_others_do_not_see_is_not_taken_for_ours(
    world: World, autojump_clock: MockClock
) -> None:
    world.has(eth(HOME, NEAR), source=HOME)
    world.answer = ReachProblem.NOT_OURS
    async with listening(PUBLIC) as (app, _):
        assert app.node.listener == at(app, NEAR, "eth0")


# Local.


async def test_another_link_local_address_is_listened_on_without_a_question(
    world: World, autojump_clock: MockClock
) -> None:
    world.has(eth(NEAR))
    async with listening(Where("local")) as (app, paper):
        await world.becomes(eth("fe80::2", name="wlan0"))
        await paper.sees(
            f"Your address changed: you listen on {at(app, 'fe80::2', 'wlan0')} now,"
            f" {at(app, NEAR, 'eth0')} is gone. Give your peer the new one, or an /invite."
        )
        assert world.asked == []


async def test_a_second_interface_changes_nothing(world: World, autojump_clock: MockClock) -> None:
    second = replace(eth(NEAR, name="eth1"), index=3)
    world.has(second)
    async with listening(Where("local")) as (app, paper):
        await world.becomes(eth("fe80::2"), second)
        await told_nothing(paper)
        assert app.node.listener == at(app, NEAR, "eth1")


async def test_the_same_address_on_another_interface_is_another_one(
    world: World, autojump_clock: MockClock
) -> None:
    world.has(eth(NEAR))
    async with listening(Where("local")) as (app, paper):
        await world.becomes(eth(NEAR, name="eth1"))
        now = at(app, NEAR, "eth1")
        await paper.until(lambda: f"you listen on {now} now" in paper.text)
        assert app.node.listener == now


# Given, and none.


async def test_a_given_address_is_kept_lost_and_found(
    world: World, autojump_clock: MockClock
) -> None:
    world.has(eth(HOME), source=HOME)
    async with listening(Where("given", Endpoint(HOME, 0))) as (app, paper):
        here = app.node.listener
        await world.becomes(eth(HOME, AWAY), source=AWAY)
        await told_nothing(paper)
        await world.becomes(eth(AWAY), source=AWAY)
        await paper.sees(
            f"{here} is no address of this machine any more: nobody can dial you until it is back."
        )
        await world.becomes(eth(AWAY, NEAR), source=AWAY)
        await told_nothing(paper)
        await world.becomes(eth(HOME), source=HOME)
        await paper.sees(f"{here} is an address of this machine again: others can dial you.")
        assert world.asked == []


async def test_a_given_address_that_no_interface_ever_had_is_never_missed(
    world: World, autojump_clock: MockClock
) -> None:
    async with listening(Where("given", Endpoint(HOME, 0))) as (_, paper):
        await world.becomes(eth(AWAY), source=AWAY)
        await told_nothing(paper)


async def test_on_loopback_nothing_is_watched(world: World, autojump_clock: MockClock) -> None:
    async with listening(Where("loopback")) as (app, paper):
        here = app.node.listener
        await world.becomes(eth(HOME), source=HOME, slept=True)
        await told_nothing(paper)
        assert app.node.listener == here
        assert world.woke == 0


# What the user wants.


async def test_a_listener_that_is_off_stays_off_and_starts_where_we_are_then(
    world: World, autojump_clock: MockClock
) -> None:
    world.has(eth(NEAR))
    async with listening(Where("local")) as (app, paper):
        paper.enter("/listen off")
        await paper.sees("Nobody can dial you now; open links stay open.")
        await world.becomes(eth("fe80::2"))
        await told_nothing(paper)
        assert app.node.listener is None
        assert world.gone == {NEAR}
        paper.enter("/listen")
        await paper.sees(f"Listening on {at(app, 'fe80::2', 'eth0')}. {GIVE}")
        await world.becomes(eth("fe80::3"))
        await paper.until(lambda: f"you listen on {at(app, 'fe80::3', 'eth0')}" in paper.text)


async def test_another_port_is_kept_when_the_address_changes(
    world: World, autojump_clock: MockClock
) -> None:
    world.has(eth(NEAR))
    async with listening(Where("local")) as (app, paper):
        paper.enter("/listen 40123")
        await paper.sees(f"Listening on [{NEAR}%eth0]:40123. {GIVE}")
        await world.becomes(eth("fe80::2"))
        await paper.until(lambda: "you listen on [fe80::2%eth0]:40123 now" in paper.text)
        assert app.node.listener == Endpoint("fe80::2", 40123, "eth0")


# /address


async def test_addresses_are_listed_by_interface_the_lasting_ones_first(
    world: World, autojump_clock: MockClock
) -> None:
    first = Interface(
        "eth0", 2, True, False, (HOME_TEMPORARY, HOME, NEAR, "2001:db8:a::1d"),
        temporary=frozenset({HOME_TEMPORARY, "2001:db8:a::1d"}),
        deprecated=frozenset({"2001:db8:a::1d"}),
    )  # fmt: skip
    second = Interface("wlan0", 3, True, False, (AWAY, NEAR))
    down = Interface("eth1", 4, False, False, ("2001:db8:d::1",))
    world.has(first, second, down, source=HOME)
    world.answer = HOME
    async with listening(PUBLIC) as (app, paper):
        paper.enter("/address")
        await paper.sees(
            f"* {at(app, HOME)}  eth0",
            f"  {at(app, NEAR, 'eth0')}  eth0",
            f"  {at(app, HOME_TEMPORARY)}  eth0, temporary",
            f"  {at(app, AWAY)}  wlan0",
            f"  {at(app, NEAR, 'wlan0')}  wlan0",
            f"{at(app, HOME)} is sent to your terminal's clipboard; some terminals ignore that.",
        )
        assert paper.text == ""


async def test_a_listener_on_a_temporary_address_is_told_of_the_lasting_one(
    world: World, autojump_clock: MockClock
) -> None:
    both = Interface(
        "eth0", 2, True, False, (HOME_TEMPORARY, HOME),
        temporary=frozenset({HOME_TEMPORARY}), deprecated=frozenset({HOME_TEMPORARY}),
    )  # fmt: skip
    world.has(both, source=HOME_TEMPORARY)
    world.answer = HOME_TEMPORARY
    async with listening(PUBLIC) as (app, paper):
        where = at(app, HOME_TEMPORARY)
        paper.enter("/address")
        await paper.sees(
            f"  {at(app, HOME)}  eth0",
            f"* {where}  eth0, temporary, on its way out",
            f"{where} is sent to your terminal's clipboard; some terminals ignore that.",
            f"{where} is temporary and changes within a day, {HOME} does not: to be reached there,"
            f" start with --address {HOME}",
        )
