"""Two nodes over a network that fails: one common link in the end, each message once, none lost.

The same with one rule weakened must be found, or the simulation shows nothing.
"""

import gc
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from hypothesis import settings
from trio.testing import MockClock

from fantom_trio.nursery import (
    Conversation,
    Delivered,
    DialFailed,
    DialProblem,
    Limits,
    LinkEnded,
    LinkUp,
    Node,
    Received,
    Redialing,
    State,
    Why,
    open_node,
)
from fantom_trio.nursery.connection import Connection, Ending
from fantom_trio.nursery.conversation import Outgoing
from fantom_trio.nursery.dial import dial
from fantom_trio.nursery.greeter import Greeter
from fantom_trio.nursery.native import converse
from fantom_trio.nursery.session import Session
from fantom_trio.nursery.teller import Teller
from fantom_trio.wire import Cursor, Delivery, Endpoint, Hello, Say
from tests.nursery.ends import next_event, next_texts
from tests.nursery.memory_network import BUFFER_BYTES, MemoryNetwork, MemoryStream
from tests.nursery.simulation import What, simulate
from tests.nursery.test_memory_network import ALICE, BOB, CAROL, network, two_nodes

#: 3,000 under ``make fuzz``; in parts, because no test may last for long.
SEEDS = min(settings().max_examples, 3_000)
PART = 100
#: A weakened rule is found within so many.
SEARCHED = 2_000
#: A pause is shortened by up to a half.
PAUSES = [(pause / 2, pause) for pause in (1, 2, 4, 8, 16, 32, 60, 60, 60)]
BOBS = Endpoint(BOB, 40002)


@pytest.mark.fuzz
@pytest.mark.parametrize("first", range(0, SEEDS, PART))
def test_in_the_end_there_is_one_link_and_every_message_arrived_once(first: int) -> None:
    gc.collect()  # what other tests left to be collected would be counted
    for seed in range(first, min(first + PART, SEEDS)):
        story = simulate(seed)
        assert story.fault is None, "\n".join([f"seed {seed}: {story.fault}", *story.lines])


def test_a_seed_tells_the_whole_story() -> None:
    gc.collect()
    for seed in range(20):
        story = simulate(seed)
        assert simulate(seed).lines == story.lines
        assert len(story.lines) > 10
    assert simulate(0).lines != simulate(1).lines


@asynccontextmanager
async def pair(net: MemoryNetwork) -> AsyncIterator[tuple[Node, Node]]:
    """Alice, who dialed Bob, before either read that the link is up; not for ever."""
    with trio.fail_after(2 * 3600):
        async with two_nodes(net) as (alice, bob):
            alice.connect(BOBS)
            yield alice, bob


# Weakened rules.


def nobody_judges(patch: pytest.MonkeyPatch) -> None:
    leave = Session.leave

    def stay(self: Session, reason: str, ending: Ending) -> None:
        if reason != "replaced":
            leave(self, reason, ending)

    patch.setattr(Session, "leave", stay)


def both_judge(patch: pytest.MonkeyPatch) -> None:
    async def judge(
        session: Session, conversation: Conversation, teller: Teller, *, acknowledge: bool
    ) -> None:
        for older in conversation.sessions[: conversation.sessions.index(session)]:
            older.leave("replaced", Ending(Why.REPLACED))
        await converse(session, conversation, teller, acknowledge=acknowledge)

    patch.setattr("fantom_trio.nursery.links.converse", judge)


def both_judge_and_nobody_dials_again(patch: pytest.MonkeyPatch) -> None:
    both_judge(patch)
    broken = (Why.LOST, Why.SILENT, Why.VIOLATION)
    patch.setattr(Why, "broken", property(lambda self: self in broken))


def what_went_out_is_never_sent_again(patch: pytest.MonkeyPatch) -> None:
    start = Delivery.start

    def forget(
        self: Delivery[object], hello: Hello, *, maybe_stale: bool
    ) -> tuple[Cursor, list[object]]:
        return Cursor(self._sent + 1), start(self, hello, maybe_stale=maybe_stale)[1]

    patch.setattr(Delivery, "start", forget)


def what_comes_again_is_taken_again(patch: pytest.MonkeyPatch) -> None:
    take = Delivery.take

    def take_all(self: Delivery[object], say: Say) -> bool:
        return say.id <= self.received or take(self, say)

    patch.setattr(Delivery, "take", take_all)


def a_dial_by_hand_ends_the_redialing(patch: pytest.MonkeyPatch) -> None:
    never = property(lambda self: False, lambda self, value: None)
    patch.setattr(Outgoing, "resumes", never, raising=False)


@pytest.mark.parametrize(
    ("weaken", "what"),
    [
        (nobody_judges, What.DOUBLE_LINK),
        (both_judge, What.BROKEN),
        (both_judge_and_nobody_dials_again, What.NO_LINK),
        (what_went_out_is_never_sent_again, What.LATE),
        (what_went_out_is_never_sent_again, What.VIOLATION),
        (what_comes_again_is_taken_again, What.DOUBLE),
        (a_dial_by_hand_ends_the_redialing, What.NO_LINK),
    ],
    ids=lambda each: each.__name__ if callable(each) else each.name,
)
def test_a_weakened_rule_is_found(
    weaken: Callable[[pytest.MonkeyPatch], None], what: What, monkeypatch: pytest.MonkeyPatch
) -> None:
    weaken(monkeypatch)
    for seed in range(SEARCHED):
        fault = simulate(seed).fault
        if fault is not None and fault.what is what:
            print(f"seed {seed}: {fault}")
            return
    pytest.fail(f"{SEARCHED} seeds, and nothing of: {what.value}")


# How long things take.


class Steps(trio.abc.Instrument):
    """Counts what Trio runs."""

    def __init__(self) -> None:
        self.count = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += 1


async def test_a_link_with_nothing_to_say_asks_every_15_seconds_and_does_little_else(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[float] = []
    write = MemoryStream._write

    def count(self: MemoryStream, data: memoryview) -> int:
        written.append(trio.current_time())
        return write(self, data)

    async with pair(network()) as (alice, bob):
        await next_event(alice, LinkUp)
        await next_event(bob, LinkUp)
        monkeypatch.setattr(MemoryStream, "_write", count)
        steps = Steps()
        trio.lowlevel.add_instrument(steps)
        await trio.sleep(3601)
        assert sorted({round(at, 3) for at in written}) == [15.0 * n for n in range(1, 241)]
        assert len(written) <= 4 * 240  # both may ask, and be answered
        assert steps.count < 240 * 100


def dials_of(net: MemoryNetwork, address: str, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When the host dialed; it grows."""
    host, dials = net.host(address), list[float]()
    connect = host.connect

    async def count(endpoint: Endpoint, own: Endpoint | None, seconds: float) -> MemoryStream:
        dials.append(trio.current_time())
        return await connect(endpoint, own, seconds)

    monkeypatch.setattr(host, "connect", count)
    return dials


async def test_a_silent_link_is_dead_after_45_seconds_and_dialed_with_longer_and_longer_pauses(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = network()
    async with pair(net) as (alice, bob):
        conversation = (await next_event(alice, LinkUp)).conversation
        await next_event(bob, LinkUp)
        dials = dials_of(net, ALICE, monkeypatch)
        await trio.sleep(20)
        net.cut(ALICE, BOB)  # the last word was said at 15
        assert (await next_event(alice, LinkEnded)).ending.why is Why.SILENT
        ended = trio.current_time()
        assert ended == pytest.approx(15 + 45)
        await next_event(alice, Redialing)
        alice.say(conversation, "written meanwhile")
        hurried = 0.001  # whoever writes does not wait
        await trio.sleep(500)
        failed = [ended, *(at + Limits().connect_seconds for at in dials)]
        pauses = [at - before for at, before in zip(dials, failed, strict=False)]
        assert pauses[0] < hurried
        assert len(pauses) >= len(PAUSES)
        for pause, (shortest, longest) in zip(pauses[1:], PAUSES, strict=False):
            assert shortest <= pause <= longest + 0.001
        net.heal(ALICE, BOB)
        healed = trio.current_time()
        assert await next_texts(bob, 1) == ["written meanwhile"]
        assert trio.current_time() - healed < 60 + 10


async def test_after_a_link_that_lasted_the_pauses_begin_anew(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = network()
    async with pair(net) as (alice, bob):
        await alice.stop_listening()  # so that all dials are hers
        conversation = (await next_event(alice, LinkUp)).conversation
        dials = dials_of(net, ALICE, monkeypatch)

        async def break_for(seconds: float) -> float:
            """The first pause."""
            await bob.stop_listening()
            net.host(ALICE).streams[-1].reset()
            broken, before = trio.current_time(), len(dials)
            await trio.sleep(seconds)
            await bob.listen(BOBS)
            await next_event(alice, LinkUp)
            return dials[before] - broken

        assert 0.5 <= await break_for(100) <= 1
        assert conversation.redial_pause == Limits().longest_pause
        assert 30 <= await break_for(10) <= 60
        await trio.sleep(Limits().steady_seconds)
        assert 0.5 <= await break_for(10) <= 1


# What the simulation found.


async def test_a_dial_by_hand_that_fails_does_not_end_the_redialing(
    autojump_clock: MockClock,
) -> None:
    net = network()
    async with pair(net) as (alice, _):
        conversation = (await next_event(alice, LinkUp)).conversation
        net.cut(ALICE, BOB)
        await next_event(alice, Redialing)
        alice.connect(BOBS)
        assert (await next_event(alice, DialFailed)).error.problem is DialProblem.GIVEN_UP
        assert (await next_event(alice, DialFailed)).error.problem is DialProblem.TIMEOUT
        await next_event(alice, Redialing)
        assert alice.disconnect(conversation)
        assert (await next_event(alice, DialFailed)).error.problem is DialProblem.GIVEN_UP
        await trio.sleep(100)
        assert not conversation.dialing


async def test_a_link_that_breaks_during_a_dial_is_dialed_again_when_that_fails(
    autojump_clock: MockClock,
) -> None:
    net = network()
    async with two_nodes(net) as (alice, bob):
        # Nobody answers there, and the link that comes up is not the one that presents it.
        alice.connect(bob.invite(Endpoint(CAROL, 40002)))
        await trio.sleep(1)
        bob.connect(Endpoint(ALICE, 40001))
        conversation = (await next_event(alice, LinkUp)).conversation
        assert conversation.dialing
        net.cut(ALICE, BOB)
        net.host(ALICE).streams[-1].reset()
        assert (await next_event(alice, LinkEnded)).ending.why is Why.LOST
        assert (await next_event(alice, DialFailed)).error.problem is DialProblem.TIMEOUT
        await next_event(alice, Redialing)


async def test_a_goodbye_ends_a_link_whose_writer_waits_for_room(
    autojump_clock: MockClock,
) -> None:
    net = network((1, 1))
    async with pair(net) as (alice, bob):
        conversation = (await next_event(alice, LinkUp)).conversation
        bob.disconnect((await next_event(bob, LinkUp)).conversation)
        await trio.sleep(0.5)
        alice.say(conversation, "x" * 3 * BUFFER_BYTES)
        await trio.sleep(0.7)
        net.host(ALICE).streams[-1].cut()  # the goodbye is through, and nothing was read
        left = trio.current_time()
        assert (await next_event(alice, LinkEnded)).ending.why is Why.LEFT
        assert trio.current_time() - left <= Limits().bye_seconds
        assert conversation.undelivered == 1


async def test_a_hello_that_another_overtook_is_no_lie(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody_judges(monkeypatch)
    gate = trio.Event()

    async def slow(endpoint: Endpoint, greeter: Greeter, **how: Any) -> Connection:
        connection = await dial(endpoint, greeter, **how)
        if greeter.token is not None:
            await gate.wait()
        return connection

    monkeypatch.setattr("fantom_trio.nursery.links.dial", slow)
    net = network((1, 1))
    async with pair(net) as (alice, bob):
        conversation = (await next_event(alice, LinkUp)).conversation
        await next_event(bob, LinkUp)
        alice.connect(bob.invite(BOBS))
        await next_event(bob, LinkUp)  # it said hello, and alice has not read it
        message = alice.say(conversation, "on the first link")
        await next_event(bob, Received)
        net.host(ALICE).streams[0].cut()  # and the acknowledgement is lost
        # A third link's hello says what the acknowledgement said.
        assert (await next_event(alice, Delivered)).messages == [message]
        gate.set()
        assert (await next_event(alice, LinkEnded)).ending.why is Why.LOST


class Whole(random.Random):
    """Every read gets all that is there."""

    def randint(self, a: int, b: int) -> int:
        return b


async def test_what_is_acknowledged_counts_though_the_link_ends_before_a_slow_screen_hears(
    autojump_clock: MockClock,
) -> None:
    net = MemoryNetwork(Whole(), (0.1, 0.1))
    async with (
        open_node(Limits(events=1), network=net.host(ALICE)) as alice,
        open_node(network=net.host(BOB)) as bob,
    ):
        await bob.listen(BOBS)
        alice.connect(BOBS)
        ours = (await next_event(alice, LinkUp)).conversation
        theirs = (await next_event(bob, LinkUp)).conversation
        for text in ("fills the screen", "waits for it"):
            bob.say(theirs, text)
            await trio.sleep(0.3)
        message = alice.say(ours, "acknowledged")
        await trio.sleep(0.3)
        bob.say(theirs, "read together with the acknowledgement")
        await trio.sleep(1)
        assert len(ours.history) == 4
        net.host(ALICE).streams[-1].reset()
        alice.say(ours, "here the writer finds that the link is gone")
        await trio.sleep(0.1)
        assert not ours.online
        assert (message.state, ours.undelivered) == (State.DELIVERED, 1)
