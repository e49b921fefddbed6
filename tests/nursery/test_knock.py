"""Being dialed back: who is asked, who does it, how often, and that nothing else changes."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from fantom_trio.nursery import (
    Conversation,
    DialError,
    DialProblem,
    Endpoint,
    Knocked,
    LinkEnded,
    LinkKind,
    LinkUp,
    Node,
    NotLinked,
    Received,
    Role,
    Why,
    open_node,
)
from fantom_trio.nursery.limits import Limits
from fantom_trio.wire import Knock
from tests.nursery.ends import LOOPBACK, PATIENCE, next_event, next_texts
from tests.nursery.memory_network import Host, MemoryNetwork, MemoryStream

ALICE, BOB, CAROL = "2001:db8::a", "2001:db8:1::b", "2001:db8:2::c"
AT_ALICE, AT_BOB, AT_CAROL = Endpoint(ALICE, 40001), Endpoint(BOB, 40002), Endpoint(CAROL, 40003)
SOON = 1
LIMITS = Limits()


class Machine(Host):
    """Nobody gets in while ``closed``; what was dialed from here is counted."""

    closed = False

    def __init__(self, network: MemoryNetwork, address: str) -> None:
        super().__init__(network, address)
        network.hosts[address] = self
        self.dialed: list[tuple[Endpoint, Endpoint | None]] = []

    async def connect(
        self, endpoint: Endpoint, own: Endpoint | None, seconds: float
    ) -> MemoryStream:
        self.dialed.append((endpoint, own))
        there = self._network.hosts.get(endpoint.host)
        if isinstance(there, Machine) and there.closed and there is not self:
            await trio.sleep(seconds)
            raise DialError(DialProblem.TIMEOUT)
        return await super().connect(endpoint, own, seconds)


class Couple:
    """Alice dialed Bob, each trusts the other, and nothing else was told yet."""

    def __init__(self, alice: Node, bob: Node, machines: tuple[Machine, Machine]) -> None:
        self.alice, self.bob = alice, bob
        self.here, self.there = machines
        (self.to_bob,), (self.to_alice,) = alice.conversations, bob.conversations
        self.here.dialed.clear()

    async def untold(self) -> list[object]:
        """What the two were told since."""
        await trio.sleep(SOON)
        told: list[object] = []
        for node in (self.alice, self.bob):
            while node.events.waiting:
                told.append(node.events.receive_nowait())
        return told


@asynccontextmanager
async def couple(*, verified: bool = True, listening: bool = True) -> AsyncIterator[Couple]:
    network = MemoryNetwork(random.Random(7), (0.01, 0.05))
    machines = Machine(network, ALICE), Machine(network, BOB)
    with trio.fail_after(7200):  # on a clock that jumps
        async with (
            open_node(network=machines[0], rng=random.Random(1)) as alice,
            open_node(network=machines[1], rng=random.Random(2)) as bob,
        ):
            if listening:
                await alice.listen(AT_ALICE)
            await bob.listen(AT_BOB)
            alice.connect(AT_BOB)
            here = (await next_event(alice, LinkUp)).conversation
            there = (await next_event(bob, LinkUp)).conversation
            for conversation in (here, there):
                assert conversation.identity is not None
                conversation.identity.verified = verified
            yield Couple(alice, bob, machines)


def link(conversation: Conversation) -> bytes:
    """Which one it is."""
    assert conversation.session is not None
    return conversation.session.connection.link.hash


# Asked and answered.


async def test_a_verified_peer_dials_back_and_nobody_notices(autojump_clock: MockClock) -> None:
    async with couple() as both:
        before = link(both.to_bob)
        assert await both.alice.knock(both.to_bob) is Knocked.DIALED_BACK
        assert both.there.dialed == [(AT_ALICE, Endpoint(BOB, 0))]
        assert await both.untold() == []
        assert link(both.to_bob) == link(both.to_alice) == before
        assert len(both.to_bob.sessions) == len(both.to_alice.sessions) == 1
        both.alice.say(both.to_bob, "still here")
        assert await next_texts(both.bob, 1) == ["still here"]


async def test_whoever_dialed_may_ask_and_whoever_was_dialed_too(autojump_clock: MockClock) -> None:
    async with couple() as both:
        assert both.to_alice.links[0].role is Role.LISTENER
        assert await both.bob.knock(both.to_alice) is Knocked.DIALED_BACK
        ((where, own),) = both.here.dialed
        assert where == AT_BOB
        assert own is not None
        assert own.host == ALICE
        assert await both.untold() == []


async def test_the_answer_is_a_connection_without_a_byte(autojump_clock: MockClock) -> None:
    async with couple() as both:
        streams = len(both.here.streams)
        await both.alice.knock(both.to_bob)
        (stream,) = both.here.streams[streams:]
        assert stream.peer.host == BOB
        assert stream.other.closed
        assert not stream.other._unread_there


async def test_messages_on_their_way_stay_whole_while_a_peer_dials_back(
    autojump_clock: MockClock,
) -> None:
    async with couple() as both, trio.open_nursery() as nursery:
        texts = [str(n) for n in range(300)]
        nursery.start_soon(both.alice.knock, both.to_bob)
        nursery.start_soon(both.bob.knock, both.to_alice)
        for text in texts:
            both.alice.say(both.to_bob, text)
            await trio.sleep(0.001)
        assert await next_texts(both.bob, len(texts)) == texts


async def test_a_firewall_that_drops_what_comes_in_is_found_out(autojump_clock: MockClock) -> None:
    async with couple() as both:
        both.here.closed = True
        begun = trio.current_time()
        assert await both.alice.knock(both.to_bob) is Knocked.NOTHING_CAME
        assert trio.current_time() - begun == pytest.approx(LIMITS.dial_back_seconds)
        assert await both.untold() == []
        assert both.to_bob.online


async def test_a_connection_from_elsewhere_is_not_the_answer(autojump_clock: MockClock) -> None:
    async with couple() as both, trio.open_nursery() as nursery:
        both.here.closed = True
        knocking = trio.Event()

        async def knock() -> None:
            knocking.set()
            assert await both.alice.knock(both.to_bob) is Knocked.NOTHING_CAME

        nursery.start_soon(knock)
        await knocking.wait()
        await trio.sleep(SOON)
        stranger = both.here._network.host(CAROL)
        both.here.closed = False
        (await stranger.connect(AT_ALICE, None, 5)).close()
        ended = await next_event(both.alice, LinkEnded)  # and it is told as one
        assert (ended.peer.host, ended.ending.why) == (CAROL, Why.VIOLATION)


async def test_without_a_question_a_connection_without_a_line_is_told(
    autojump_clock: MockClock,
) -> None:
    async with couple() as both:
        await both.alice.knock(both.to_bob)
        (await both.there.connect(AT_ALICE, None, 5)).close()
        assert (await next_event(both.alice, LinkEnded)).conversation is None


async def test_a_link_that_the_peer_makes_meanwhile_is_a_link(autojump_clock: MockClock) -> None:
    async with couple() as both, trio.open_nursery() as nursery:
        identity = both.to_alice.identity
        assert identity is not None
        identity.verified = False
        nursery.start_soon(both.alice.knock, both.to_bob)
        await trio.sleep(SOON)
        both.bob._links.dial(both.to_alice)
        up = await next_event(both.alice, LinkUp)
        assert (up.conversation, up.role) == (both.to_bob, Role.LISTENER)
        assert (await next_event(both.bob, LinkUp)).conversation is both.to_alice


# Not answered.


async def test_who_is_not_verified_there_is_not_dialed_back(autojump_clock: MockClock) -> None:
    async with couple() as both:
        assert both.to_alice.identity is not None
        both.to_alice.identity.verified = False
        assert await both.alice.knock(both.to_bob) is Knocked.NOTHING_CAME
        assert both.there.dialed == []
        assert await both.untold() == []


async def test_who_is_verified_only_there_is_dialed_back(autojump_clock: MockClock) -> None:
    async with couple() as both:
        assert both.to_bob.identity is not None
        both.to_bob.identity.verified = False
        assert await both.alice.knock(both.to_bob) is Knocked.DIALED_BACK


async def test_a_knock_is_not_sent_twice_in_a_minute(autojump_clock: MockClock) -> None:
    async with couple() as both:
        await both.alice.knock(both.to_bob)
        begun = trio.current_time()
        assert await both.alice.knock(both.to_bob) is Knocked.TOO_SOON
        assert trio.current_time() == begun
        await trio.sleep(LIMITS.knock_seconds + LIMITS.dial_back_seconds)
        assert await both.alice.knock(both.to_bob) is Knocked.DIALED_BACK
        assert len(both.there.dialed) == 2


async def test_who_knocks_all_the_time_is_dialed_once_a_minute(autojump_clock: MockClock) -> None:
    async with couple() as both:
        session = both.to_bob.session
        assert session is not None
        for _ in range(3 * 60 + 30):
            session.knock = AT_ALICE.port
            session.wake()
            await trio.sleep(1)
        assert len(both.there.dialed) == 4
        assert {where for where, _ in both.there.dialed} == {AT_ALICE}


async def test_a_new_link_does_not_make_the_minute_shorter(autojump_clock: MockClock) -> None:
    async with couple() as both:
        await both.alice.knock(both.to_bob)
        both.alice.disconnect(both.to_bob)
        await next_event(both.bob, LinkEnded)
        both.alice.connect(AT_BOB)
        await next_event(both.alice, LinkUp)
        await next_event(both.bob, LinkUp)
        assert await both.alice.knock(both.to_bob) is Knocked.TOO_SOON
        session = both.to_bob.session
        assert session is not None
        session.knock = AT_ALICE.port
        session.wake()
        await trio.sleep(SOON)
        assert len(both.there.dialed) == 1


async def test_only_the_address_that_the_link_comes_from_is_dialed(
    autojump_clock: MockClock,
) -> None:
    async with couple() as both:
        assert both.to_alice.endpoint == AT_ALICE
        both.to_alice.endpoint = AT_CAROL  # whatever else is known of the peer
        session = both.to_bob.session
        assert session is not None
        session.knock = 65_535
        session.wake()
        await trio.sleep(SOON)
        assert [where for where, _ in both.there.dialed] == [Endpoint(ALICE, 65_535)]
        assert await both.untold() == []  # nobody listens on that port, and nobody hears of it


async def test_a_knock_behind_our_goodbye_is_ignored(autojump_clock: MockClock) -> None:
    async with couple() as both:
        ours, theirs = both.to_bob.session, both.to_alice.session
        assert ours is not None
        assert theirs is not None
        both.bob.disconnect(both.to_alice)
        ours.connection.link.send(Knock(AT_ALICE.port))
        await ours.connection.send()
        assert (await next_event(both.bob, LinkEnded)).ending.why is Why.DISCONNECTED
        assert both.there.dialed == []


async def test_a_link_that_ends_takes_the_dialing_back_with_it(autojump_clock: MockClock) -> None:
    async with couple() as both, trio.open_nursery() as nursery:
        both.here.closed = True
        outcomes = []

        async def knock() -> None:
            outcomes.append(await both.alice.knock(both.to_bob))

        nursery.start_soon(knock)
        await trio.sleep(SOON)
        both.bob.disconnect(both.to_alice)
        begun = trio.current_time()
        ended = await next_event(both.bob, LinkEnded)
        assert (ended.ending.why, ended.last) == (Why.DISCONNECTED, True)
        assert trio.current_time() - begun < SOON
        await trio.sleep(LIMITS.dial_back_seconds)
        assert outcomes == [Knocked.LINK_ENDED]


async def test_a_bug_in_dialing_back_ends_the_link_and_not_the_program(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with couple() as both:

        async def broken(*_: object) -> MemoryStream:
            raise ZeroDivisionError

        monkeypatch.setattr(both.there, "connect", broken)
        assert await both.alice.knock(both.to_bob) is Knocked.LINK_ENDED
        assert (await next_event(both.bob, LinkEnded)).ending.why is Why.BUG


# Not asked.


async def test_nobody_is_asked_without_a_link_or_a_listener(autojump_clock: MockClock) -> None:
    async with couple() as both:
        await both.alice.stop_listening()
        assert not both.alice.can_knock(both.to_bob)
        with pytest.raises(NotLinked):
            await both.alice.knock(both.to_bob)
        await both.alice.listen(AT_ALICE)
        assert both.alice.can_knock(both.to_bob)
        both.alice.disconnect(both.to_bob)
        with pytest.raises(NotLinked):
            await both.alice.knock(both.to_bob)
        assert both.there.dialed == []


async def test_a_classic_peer_cannot_be_asked(autojump_clock: MockClock) -> None:
    async with couple() as both:
        classic = both.alice._book.classic(AT_CAROL)
        classic.kind = LinkKind.CLASSIC
        assert not both.alice.can_knock(classic)


async def test_a_peer_who_sees_another_address_than_the_listener_s_cannot_be_asked(
    autojump_clock: MockClock,
) -> None:
    async with couple() as both:
        session = both.to_bob.session
        assert session is not None
        connection = session.connection
        connection.here = Endpoint("2001:db8::a1", connection.here.port)
        assert not both.alice.can_knock(both.to_bob)


# Dialing oneself.


async def test_a_listener_that_is_there_answers_and_no_stranger_is_told(
    autojump_clock: MockClock,
) -> None:
    async with couple() as both:
        assert await both.alice.dial_self()
        assert both.here.dialed == [(AT_ALICE, Endpoint(ALICE, 0))]
        assert await both.untold() == []


async def test_without_a_listener_nothing_is_dialed(autojump_clock: MockClock) -> None:
    async with couple(listening=False) as both:
        with pytest.raises(DialError) as caught:
            await both.alice.dial_self()
        assert caught.value.problem is DialProblem.REFUSED
        assert both.here.dialed == []


async def test_somebody_else_who_has_our_port_is_found_out(autojump_clock: MockClock) -> None:
    async with couple() as both:
        machine = both.here
        del machine.listeners[AT_ALICE.port]
        other = machine.listen(AT_ALICE)
        begun = trio.current_time()
        assert not await both.alice.dial_self()
        assert trio.current_time() - begun >= LIMITS.dial_back_seconds
        await other.aclose()


async def test_over_real_sockets_a_dial_back_and_a_self_dial_are_seen() -> None:
    with trio.fail_after(PATIENCE):
        async with open_node() as alice, open_node() as bob:
            await bob.listen(LOOPBACK)
            await alice.listen(LOOPBACK)
            assert bob.listener is not None
            alice.connect(bob.listener)
            here = (await next_event(alice, LinkUp)).conversation
            there = (await next_event(bob, LinkUp)).conversation
            assert there.identity is not None
            there.identity.verified = True
            assert await alice.dial_self()
            assert not alice.can_knock(here)  # the same machine
            session = here.session
            assert session is not None
            assert alice.listener is not None
            knock = await alice._links.knock(here, session, alice.listener.port)
            assert knock is Knocked.DIALED_BACK
            alice.say(here, "hello")
            event = await bob.events.receive()
            assert isinstance(event, Received)
            assert not alice.admission
