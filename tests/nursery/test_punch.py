"""Two nodes that dial each other from their listening ports: through firewalls, and without.

Exactly one link comes of it, the same on both sides, whoever began and whatever was in the way.
"""

import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from fantom_trio.nursery import (
    AlreadyUp,
    Conversation,
    Delivered,
    DialFailed,
    DialProblem,
    Limits,
    LinkEnded,
    LinkUp,
    Merged,
    Node,
    NodeEvent,
    Role,
    Sent,
    Unanswered,
    Why,
    open_node,
)
from fantom_trio.nursery.errors import PortTaken
from fantom_trio.wire import Endpoint, Invite
from tests.nursery.ends import (
    PATIENCE,
    listening_node,
    next_event,
    next_texts,
    settled_slots,
    slots_in_use,
)
from tests.nursery.lives import deterministic
from tests.nursery.memory_network import Firewall, MemoryNetwork, MemoryStream

ALICE, BOB, CAROL = "2001:db8::a", "2001:db8::b", "2001:db8::c"
AT_ALICE, AT_BOB = Endpoint(ALICE, 40001), Endpoint(BOB, 40002)
#: Longer than a dial, and than a dead link goes unnoticed.
LONG = 200


@pytest.fixture(autouse=True)
def _all_keys_are_wiped() -> Iterator[None]:
    before = settled_slots()
    yield
    assert slots_in_use() == before


def network(delay: tuple[float, float] = (0.02, 0.2), seed: int = 1) -> MemoryNetwork:
    return MemoryNetwork(random.Random(seed), delay)


def behind_firewalls(answer: DialProblem | None = None, *hosts: str) -> MemoryNetwork:
    net = network()
    for host in hosts or (ALICE, BOB):
        net.firewalls[host] = Firewall(answer)
    return net


@asynccontextmanager
async def at(
    net: MemoryNetwork, home: Endpoint, limits: Limits | None = None
) -> AsyncIterator[Node]:
    async with open_node(limits, network=net.host(home.host)) as node:
        await node.listen(home)
        yield node


@asynccontextmanager
async def couple(
    net: MemoryNetwork, limits: Limits | None = None
) -> AsyncIterator[tuple[Node, Node]]:
    """Two nodes, who must come to an end."""
    with trio.fail_after(3600):
        async with at(net, AT_ALICE, limits) as alice, at(net, AT_BOB, limits) as bob:
            yield alice, bob


def told(node: Node) -> list[NodeEvent]:
    """What it told of links and dials and nobody read."""
    events: list[NodeEvent] = []
    while node.events.waiting:
        event = node.events.receive_nowait()
        if not isinstance(event, Sent | Delivered):
            events.append(event)
    return events


def kinds(events: Sequence[NodeEvent]) -> list[str]:
    return [type(event).__name__ for event in events]


def streams(node: Node) -> list[MemoryStream]:
    """Those of the links that are up."""
    found = [link._stream for each in node.conversations for link in each.links]
    assert all(isinstance(stream, MemoryStream) for stream in found)
    return found  # type: ignore[return-value]


def the_link(alice: Node, bob: Node) -> MemoryStream:
    """The only one of either, as Alice has it; nobody looks for another."""
    (here,), (there,) = streams(alice), streams(bob)
    assert here.other is there
    for node in (alice, bob):
        assert [each.dialing for each in node.conversations] == [False]
    return here


async def they_talk(alice: Node, bob: Node) -> None:
    for one, other in ((alice, bob), (bob, alice)):
        one.say(one.conversations[0], "hello")
        assert await next_texts(other, 1) == ["hello"]


# Through firewalls.


@pytest.mark.parametrize("later", [0, 0.1, 3, 7, 9.99, 10, 30, 60, 89])
@pytest.mark.parametrize("answer", [None, DialProblem.FORBIDDEN, DialProblem.UNREACHABLE])
async def test_two_who_dial_each_other_meet_behind_two_firewalls(
    later: float, answer: DialProblem | None, autojump_clock: MockClock
) -> None:
    async with couple(behind_firewalls(answer)) as (alice, bob):
        alice.connect(AT_BOB, "bob")
        await trio.sleep(later)
        assert not alice.conversations or not alice.conversations[0].online
        bob.connect(AT_ALICE, "alice")
        await trio.sleep(3)
        assert the_link(alice, bob).here == AT_ALICE
        assert "DialFailed" not in kinds([*told(alice), *told(bob)])
        await they_talk(alice, bob)
        await trio.sleep(LONG)
        assert kinds([*told(alice), *told(bob)]) == []


@pytest.mark.parametrize("answer", [None, DialProblem.FORBIDDEN])
async def test_with_one_firewall_open_the_closed_side_dials_and_is_there_at_once(
    answer: DialProblem | None, autojump_clock: MockClock
) -> None:
    async with couple(behind_firewalls(answer, ALICE)) as (alice, bob):
        alice.connect(AT_BOB)
        await trio.sleep(2)
        assert the_link(alice, bob).here == AT_ALICE
        await they_talk(alice, bob)


async def test_who_dials_alone_hears_what_to_ask_for_and_in_the_end_what_was_tried(
    autojump_clock: MockClock,
) -> None:
    async with couple(behind_firewalls()) as (alice, _):
        alice.connect(AT_BOB)
        hints: list[tuple[float, Unanswered]] = []
        while not isinstance(event := await alice.events.receive(), DialFailed):
            if isinstance(event, Unanswered):
                hints.append((trio.current_time(), event))
        assert [at for at, _ in hints] == [3, 23, 43, 63, 83]
        assert [round(hint.seconds) for _, hint in hints] == [3, 23, 43, 63, 83]
        assert {(hint.endpoint, hint.own) for _, hint in hints} == {(AT_BOB, AT_ALICE)}
        assert trio.current_time() == 90
        assert (event.error.problem, event.error.source) == (DialProblem.TIMEOUT, AT_ALICE)
        assert event.error.seconds == 90
        assert alice.conversations == []
        await trio.sleep(LONG)
        assert told(alice) == []


async def test_the_limit_is_the_user_s(autojump_clock: MockClock) -> None:
    async with couple(behind_firewalls(), Limits(punch_seconds=7)) as (alice, _):
        alice.connect(AT_BOB)
        assert (await next_event(alice, DialFailed)).error.seconds == 7
        assert trio.current_time() == 7


async def test_a_dial_goes_out_from_where_the_listener_is_now(autojump_clock: MockClock) -> None:
    async with couple(behind_firewalls()) as (alice, bob):
        alice.connect(AT_BOB)
        await trio.sleep(4)
        elsewhere = await alice.listen(Endpoint(ALICE, 40009))
        bob.connect(elsewhere)
        await trio.sleep(3)
        assert the_link(alice, bob).here == elsewhere
        await they_talk(alice, bob)


async def test_without_a_listener_any_more_nobody_is_told_to_dial_it(
    autojump_clock: MockClock,
) -> None:
    async with couple(behind_firewalls()) as (alice, _):
        alice.connect(AT_BOB)
        await trio.sleep(1)
        await alice.stop_listening()
        failed = await next_event(alice, DialFailed)
        assert (failed.error.problem, failed.error.source) == (DialProblem.TIMEOUT, None)
        assert "Unanswered" not in kinds(told(alice))


async def test_a_dial_that_begins_before_there_is_a_listener_goes_out_from_it_then(
    autojump_clock: MockClock,
) -> None:
    async with couple(behind_firewalls()) as (alice, bob):
        await alice.stop_listening()
        alice.connect(AT_BOB)
        await trio.sleep(2)
        await alice.listen(AT_ALICE)
        await trio.sleep(20)
        bob.connect(AT_ALICE)
        await trio.sleep(3)
        await they_talk(alice, bob)


async def test_resets_are_believed_after_a_moment(autojump_clock: MockClock) -> None:
    async with couple(behind_firewalls(DialProblem.REFUSED)) as (alice, _):
        alice.connect(AT_BOB)
        error = (await next_event(alice, DialFailed)).error
        assert (error.problem, error.source) == (DialProblem.REFUSED, AT_ALICE)
        assert 1 < trio.current_time() < 3


async def test_without_a_listener_there_is_nothing_to_ask_for_and_one_try(
    autojump_clock: MockClock,
) -> None:
    async with couple(behind_firewalls()) as (alice, _):
        await alice.stop_listening()
        alice.connect(AT_BOB)
        assert (await next_event(alice, DialFailed)).error.source is None
        assert trio.current_time() == 10
        assert told(alice) == []


async def test_a_dial_can_be_given_up_while_it_waits(autojump_clock: MockClock) -> None:
    async with couple(behind_firewalls()) as (alice, _):
        alice.connect(AT_BOB)
        await next_event(alice, Unanswered)
        alice.disconnect(alice.conversations[0])
        assert (await next_event(alice, DialFailed)).error.problem is DialProblem.GIVEN_UP
        assert trio.current_time() == 3
        await trio.sleep(LONG)
        assert told(alice) == []


async def test_after_a_break_both_dial_and_meet_again(autojump_clock: MockClock) -> None:
    async with couple(behind_firewalls()) as (alice, bob):
        alice.connect(AT_BOB)
        bob.connect(AT_ALICE)
        await trio.sleep(3)
        the_link(alice, bob).reset()
        for node in (alice, bob):
            assert (await next_event(node, LinkEnded)).ending.why is Why.LOST
        await trio.sleep(15)
        the_link(alice, bob)
        await they_talk(alice, bob)


async def test_an_invite_is_good_though_the_two_dials_met(autojump_clock: MockClock) -> None:
    async with couple(behind_firewalls()) as (alice, bob):
        alice.connect(bob.invite(AT_BOB))
        await trio.sleep(1)
        bob.connect(AT_ALICE)
        await trio.sleep(3)
        the_link(alice, bob)
        assert alice.conversations[0].verified
        assert bob.conversations[0].verified


async def test_who_answers_is_not_who_the_invite_names(autojump_clock: MockClock) -> None:
    async with couple(behind_firewalls()) as (alice, bob):
        alice.connect(Invite(AT_BOB, bytes(20), bytes(10)))
        bob.connect(AT_ALICE)
        error = (await next_event(alice, DialFailed)).error
        assert error.problem is DialProblem.OTHER_IDENTITY


# Without firewalls.


@pytest.mark.parametrize("seed", range(60))
def test_two_who_dial_at_once_have_one_link(seed: int) -> None:
    rng = random.Random(seed)
    net = network((0.0, rng.choice((0.0, 0.05, 0.5))), seed)
    apart = rng.choice((0.0, rng.random() / 10, rng.random()))

    async def run() -> None:
        async with couple(net) as (alice, bob):
            alice.connect(AT_BOB)
            await trio.sleep(apart)
            bob.connect(AT_ALICE)
            await trio.sleep(20)
            the_link(alice, bob)
            events = kinds([*told(alice), *told(bob)])
            assert not {"DialFailed", "Redialing", "Unanswered"} & set(events), events
            await they_talk(alice, bob)
            await trio.sleep(LONG)
            assert told(alice) == told(bob) == []

    with deterministic(seed):
        trio.run(run, clock=MockClock(autojump_threshold=0))


async def test_two_on_one_machine_who_dial_at_once_have_one_link() -> None:
    with trio.fail_after(PATIENCE):
        for _ in range(20):
            async with listening_node() as alice, listening_node() as bob:
                assert alice.listener is not None
                assert bob.listener is not None
                alice.connect(bob.listener)
                bob.connect(alice.listener)
                for node in (alice, bob):
                    await next_event(node, LinkUp)
                # Of two, the judge closes one.
                while len(alice.conversations[0].sessions + bob.conversations[0].sessions) > 2:
                    await trio.testing.wait_all_tasks_blocked(0.001)
                await they_talk(alice, bob)
                assert len(alice.conversations) == len(bob.conversations) == 1


async def test_one_who_has_no_listener_is_met_from_any_port(autojump_clock: MockClock) -> None:
    async with couple(network()) as (alice, bob):
        await alice.stop_listening()
        alice.connect(AT_BOB)
        await trio.sleep(2)
        assert the_link(alice, bob).here.port != AT_ALICE.port
        assert bob.conversations[0].endpoint is None


@pytest.mark.parametrize("since", [0.5, 1.5, 2.5, 3.5, 4.5])
async def test_a_dial_where_the_peer_s_link_is_coming_up_ends_with_that_link(
    since: float, autojump_clock: MockClock
) -> None:
    async with couple(network((1, 1))) as (alice, bob):
        bob.connect(AT_ALICE)
        await trio.sleep(since)
        alice.connect(AT_BOB, "bob")
        await trio.sleep(20)
        the_link(alice, bob)
        events = told(alice)
        assert alice.conversations[0].name == "bob"
        both = kinds([*events, *told(bob)])
        assert not {"DialFailed", "Redialing"} & set(both)
        if since != 1.5:  # there it is half open, and nobody knows of it yet
            assert both.count("LinkUp") == 2
            assert "LinkEnded" not in both


async def test_a_dial_to_a_peer_whose_link_is_up_says_so(autojump_clock: MockClock) -> None:
    async with couple(network()) as (alice, bob):
        bob.connect(AT_ALICE)
        await trio.sleep(2)
        alice.connect(AT_BOB)
        await next_event(alice, AlreadyUp)
        the_link(alice, bob)


async def test_a_link_from_another_port_ends_a_dial_that_nobody_answers(
    autojump_clock: MockClock,
) -> None:
    async with couple(behind_firewalls(None, BOB)) as (alice, bob):
        alice.connect(AT_BOB, "bob")
        await next_event(alice, Unanswered)
        await bob.stop_listening()
        bob.connect(AT_ALICE)
        up = await next_event(alice, LinkUp)
        assert (up.role, up.conversation.name) == (Role.LISTENER, "bob")
        await trio.sleep(LONG)
        the_link(alice, bob)
        assert told(alice) == []


async def test_a_known_peer_who_dials_from_where_we_dial_is_not_dialed_twice(
    autojump_clock: MockClock,
) -> None:
    net = network((0.01, 0.01))
    net.firewalls[CAROL] = Firewall(DialProblem.FORBIDDEN)
    async with couple(net) as (alice, bob):
        alice.connect(AT_BOB, "bob")
        known = (await next_event(alice, LinkUp)).conversation
        bob.disconnect((await next_event(bob, LinkUp)).conversation)
        await next_event(alice, LinkEnded)
        await bob.stop_listening()
        # From here on Bob is somewhere else, with the same identity.
        bob._network = bob._links._network = net.host(CAROL)
        home = await bob.listen(Endpoint(CAROL, 40002))
        alice.connect(home, "carol")
        await next_event(alice, Unanswered)
        # Alice's packets are answered at once, so that Bob's comes between two of them.
        bob.connect(AT_ALICE)
        merged = await next_event(alice, Merged)
        assert (merged.conversation, merged.gone.name) == (known, "carol")
        await trio.sleep(LONG)
        assert alice.conversations == [known]
        assert the_link(alice, bob).here == AT_ALICE
        assert kinds(told(alice)) == ["LinkUp"]


# The same two addresses and ports, again.


async def test_a_peer_that_starts_anew_on_its_port_is_a_stranger_and_has_one_link(
    autojump_clock: MockClock,
) -> None:
    net = behind_firewalls()
    with trio.fail_after(3600):
        async with at(net, AT_ALICE) as alice:
            async with at(net, AT_BOB) as bob:
                alice.connect(AT_BOB, "bob")
                bob.connect(AT_ALICE)
                await trio.sleep(3)
                stream = the_link(alice, bob)
                await they_talk(alice, bob)
                stream.other.reset()  # killed: its system resets what it had
            known = alice.conversations[0]
            async with at(net, AT_BOB) as stranger:
                stranger.connect(AT_ALICE)
                up = await next_event(alice, LinkUp)
                while up.conversation is known:
                    up = await next_event(alice, LinkUp)
                assert up.stranger_at is known
                await trio.sleep(LONG)
                assert not known.online
                (link,) = streams(alice)
                assert link.other is streams(stranger)[0]


async def test_a_machine_that_started_anew_gets_through_to_one_that_did_not_notice(
    autojump_clock: MockClock,
) -> None:
    net = behind_firewalls()
    with trio.fail_after(3600):
        async with at(net, AT_ALICE) as alice:
            async with at(net, AT_BOB) as bob:
                alice.connect(AT_BOB, "bob")
                bob.connect(AT_ALICE)
                await trio.sleep(3)
                stream = the_link(alice, bob)
                net.cut(ALICE, BOB)
                stream.other.reset()
            net.heal(ALICE, BOB)
            async with at(net, AT_BOB) as stranger:
                stranger.connect(AT_ALICE)
                assert (await next_event(alice, LinkEnded)).ending.why is Why.LOST
                up = await next_event(alice, LinkUp)
                assert up.stranger_at is not None
                await trio.sleep(LONG)
                assert len(streams(alice)) == len(streams(stranger)) == 1


async def closed_by_alice(alice: Node, bob: Node) -> Conversation:
    """They met, and Alice closed first: her system keeps the ports for a while."""
    alice.connect(AT_BOB, "bob")
    bob.connect(AT_ALICE)
    await trio.sleep(3)
    here = alice.conversations[0]
    streams(alice)[0].close()
    await trio.lowlevel.checkpoint()
    alice.disconnect(here)
    bob.disconnect(bob.conversations[0])
    await trio.sleep(5)
    told(alice), told(bob)
    assert not here.online
    with pytest.raises(PortTaken):
        await alice._network.connect(AT_BOB, AT_ALICE, 1)
    return here


async def test_ports_that_are_not_free_again_delay_no_dial_to_a_peer_who_lets_us_in(
    autojump_clock: MockClock,
) -> None:
    net = network()
    net.time_wait = 60
    async with couple(net) as (alice, bob):
        await closed_by_alice(alice, bob)
        alice.connect(AT_BOB)
        await trio.sleep(2)
        assert the_link(alice, bob).here.port != AT_ALICE.port


async def test_through_two_firewalls_a_dial_waits_until_the_ports_are_free_again(
    autojump_clock: MockClock,
) -> None:
    net = behind_firewalls()
    net.time_wait = 60
    async with couple(net) as (alice, bob):
        await closed_by_alice(alice, bob)
        begun = trio.current_time()
        alice.connect(AT_BOB)
        bob.connect(AT_ALICE)
        await next_event(alice, LinkUp)
        assert trio.current_time() - begun < 80
        await trio.sleep(LONG)
        assert the_link(alice, bob).here == AT_ALICE
        await they_talk(alice, bob)
