"""The network in memory: what it does with time, with chance, and when it is cut.

What it shares with the operating system's stands in ``test_network``.
"""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from fantom_trio.nursery import (
    Delivered,
    DialProblem,
    LinkEnded,
    LinkUp,
    Node,
    Received,
    Redialing,
    Sent,
    State,
    Why,
    open_node,
)
from fantom_trio.nursery.errors import ConnectionLost, DialError
from fantom_trio.wire import Endpoint, Role
from tests.nursery.ends import next_event, next_texts, settled_slots, slots_in_use
from tests.nursery.memory_network import BUFFER_BYTES, MemoryNetwork, MemoryStream
from tests.nursery.test_network import read

ALICE, BOB, CAROL = "2001:db8::a", "2001:db8::b", "2001:db8::c"
Pair = tuple[MemoryStream, MemoryStream]
End = Callable[[MemoryStream], Awaitable[None] | None]
ENDS = pytest.mark.parametrize(
    "end", [MemoryStream.close, MemoryStream.reset, MemoryStream.send_eof], ids=lambda e: e.__name__
)


def network(delay: tuple[float, float] = (0.0, 0.0)) -> MemoryNetwork:
    return MemoryNetwork(random.Random(1), delay)


@asynccontextmanager
async def pair(network: MemoryNetwork, dialer: str = ALICE) -> AsyncIterator[Pair]:
    """A connection to Bob: the end that dialed, and Bob's."""
    async with network.host(BOB).listen(Endpoint(BOB, 0)) as listener:
        dialed = await network.host(dialer).connect(listener.endpoint, None, 10)
        async with dialed, await listener.accept() as accepted:
            yield dialed, accepted


async def silent(stream: MemoryStream, seconds: float = 3600) -> None:
    """Nothing comes, and nobody says why."""
    with trio.move_on_after(seconds) as scope:
        await stream.receive_into(lambda: memoryview(bytearray(1)))
    assert scope.cancelled_caught


# Time and chance.


async def test_bytes_and_ends_travel_for_as_long_as_the_network_says(
    autojump_clock: MockClock,
) -> None:
    async with pair(network((2, 2))) as (one, other):
        assert trio.current_time() == 4  # to connect: there and back
        await one.send_all(b"x")
        assert trio.current_time() == 4
        assert await read(other, 1) == b"x"
        assert trio.current_time() == 6
        one.close()
        assert await read(other, 1) == b""
        assert trio.current_time() == 8
        await other.send_all(b"too late")
        await trio.sleep_until(11.9)
        await other.send_all(b"and it does not know yet")
        await trio.sleep_until(12.1)
        with pytest.raises(ConnectionLost):
            await other.send_all(b"now it does")


async def test_pieces_with_different_times_stay_in_order(autojump_clock: MockClock) -> None:
    data = random.Random(2).randbytes(1000)
    async with pair(network((0, 5))) as (one, other):
        for at in range(len(data)):
            await one.send_all(data[at : at + 1])
        await one.send_eof()
        assert await read(other, 2000) == data


async def _story(seed: int) -> list[tuple[float, bytes]]:
    heard = []
    async with pair(MemoryNetwork(random.Random(seed), (0.1, 0.5))) as (one, other):
        for _ in range(5):
            await one.send_all(bytes(100))
        await one.send_eof()
        while data := await _one_read(other):
            heard.append((trio.current_time(), data))
    return heard


async def _one_read(stream: MemoryStream) -> bytes:
    room = bytearray(1000)
    return bytes(room[: await stream.receive_into(lambda: memoryview(room))])


async def test_a_seed_tells_the_whole_story(autojump_clock: MockClock) -> None:
    stories = []
    for seed in (1, 1, 2):
        begun = trio.current_time()
        stories.append([(round(at - begun, 9), data) for at, data in await _story(seed)])
    assert stories[0] == stories[1] != stories[2]
    assert len(stories[0]) > 5  # a read may get any part of what is there


# Silent cuts.


async def test_what_is_written_while_cut_vanishes_until_the_buffer_is_full(
    autojump_clock: MockClock,
) -> None:
    net = network()
    async with pair(net) as (one, other):
        net.cut(ALICE, BOB)
        await one.send_all(bytes(BUFFER_BYTES - 1))
        assert one.send_now(b"x")
        assert not one.send_now(b"x")
        with trio.move_on_after(3600) as waits:
            await one.send_all(b"x")
        assert waits.cancelled_caught
        await silent(other)
        await silent(one)


@ENDS
async def test_ends_vanish_as_bytes_do(end: End, autojump_clock: MockClock) -> None:
    net = network()
    async with pair(net) as (one, other):
        net.cut(BOB, ALICE)
        if (coroutine := end(one)) is not None:
            await coroutine
        await silent(other)
        net.heal(BOB, ALICE)
        await silent(other)
        await other.send_all(b"lost, too")
        await silent(other)


async def test_what_is_under_way_vanishes_and_what_arrived_is_read(
    autojump_clock: MockClock,
) -> None:
    net = network((2, 2))
    async with pair(net) as (one, other):
        await one.send_all(b"arrived ")
        await trio.sleep(1.5)
        await one.send_all(b"under way")
        await trio.sleep(1.5)
        net.cut(ALICE, BOB)
        assert await read(other, 8) == b"arrived "
        await silent(other)
        net.heal(ALICE, BOB)
        await one.send_all(b"a stream with a hole in it is none")
        await silent(other)


@ENDS
async def test_an_end_that_is_under_way_vanishes(end: End, autojump_clock: MockClock) -> None:
    net = network((2, 2))
    async with pair(net) as (one, other):
        if (coroutine := end(one)) is not None:
            await coroutine
        await trio.sleep(1)
        net.cut(ALICE, BOB)
        net.heal(ALICE, BOB)
        await silent(other)
        await other.send_all(b"is anybody there?")
        await silent(other)
        one.close()
        await silent(other)


async def test_a_writer_that_waits_for_room_learns_of_a_reset_when_it_arrives(
    autojump_clock: MockClock,
) -> None:
    async with pair(network((2, 2))) as (one, other), trio.open_nursery() as nursery:

        async def write() -> None:
            with pytest.raises(ConnectionLost):
                await one.send_all(bytes(BUFFER_BYTES + 1))
            assert trio.current_time() == 4 + 5 + 2

        nursery.start_soon(write)
        await trio.sleep(5)
        other.reset()


async def test_after_a_heal_a_connection_lives_if_it_lost_nothing(
    autojump_clock: MockClock,
) -> None:
    net = network()
    async with pair(net) as (idle, there), pair(net) as (busy, gone):
        net.cut(ALICE, BOB)
        await busy.send_all(b"lost")
        net.heal(ALICE, BOB)
        await idle.send_all(b"unharmed")
        assert await read(there, 8) == b"unharmed"
        for writer, reader in ((busy, gone), (gone, busy)):
            await writer.send_all(b"nobody hears this")
            await silent(reader)


async def test_a_cut_keeps_it_from_the_writer_that_there_is_room_again(
    autojump_clock: MockClock,
) -> None:
    net = network()
    async with pair(net) as (one, other):
        await one.send_all(bytes(BUFFER_BYTES))
        net.cut(ALICE, BOB)
        await read(other, BUFFER_BYTES)
        assert not one.send_now(b"x")
        net.heal(ALICE, BOB)
        assert one.send_now(b"x")
        assert await read(other, 1) == b"x"


async def test_while_cut_nobody_answers_and_after_a_heal_somebody_does(
    autojump_clock: MockClock,
) -> None:
    net = network()
    net.cut(ALICE, BOB)
    with pytest.raises(DialError) as caught:
        async with pair(net):
            pass
    assert caught.value.problem is DialProblem.TIMEOUT
    assert trio.current_time() == 10
    async with pair(net, CAROL):  # another road
        pass
    net.heal(ALICE, BOB)
    async with pair(net):
        pass


async def test_an_address_that_nobody_has_does_not_answer(autojump_clock: MockClock) -> None:
    with pytest.raises(DialError) as caught:
        await network().host(ALICE).connect(Endpoint(CAROL, 40000), None, 7)
    assert caught.value.problem is DialProblem.TIMEOUT
    assert trio.current_time() == 7


async def test_one_connection_can_be_cut_alone(autojump_clock: MockClock) -> None:
    net = network((1, 1))
    async with pair(net) as (one, other), pair(net) as (spared, there):
        await one.send_all(b"under way")
        other.cut()
        await silent(other)
        await other.send_all(b"lost")
        await silent(one)
        await spared.send_all(b"unharmed")
        assert await read(there, 8) == b"unharmed"
        spared.cut()  # with nothing under way
        await spared.send_all(b"lost")
        await silent(there)


async def test_two_tasks_do_not_read_or_write_at_once(autojump_clock: MockClock) -> None:
    async with pair(network()) as (one, _), trio.open_nursery() as nursery:
        nursery.start_soon(one.send_all, bytes(2 * BUFFER_BYTES))
        nursery.start_soon(silent, one)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await one.send_all(b"x")
        with pytest.raises(trio.BusyResourceError):
            await silent(one)
        nursery.cancel_scope.cancel()


# Whole nodes.


@asynccontextmanager
async def two_nodes(net: MemoryNetwork) -> AsyncIterator[tuple[Node, Node]]:
    async with (
        open_node(network=net.host(ALICE)) as alice,
        open_node(network=net.host(BOB)) as bob,
    ):
        await alice.listen(Endpoint(ALICE, 40001))
        await bob.listen(Endpoint(BOB, 40002))
        yield alice, bob


async def test_two_nodes_talk_and_the_answer_dials_back(autojump_clock: MockClock) -> None:
    before = settled_slots()
    async with two_nodes(network((0.05, 0.2))) as (alice, bob):
        alice.connect(Endpoint(BOB, 40002), "bob")
        up = await next_event(alice, LinkUp)
        texts = [f"line {number}" * 50 for number in range(500)]
        for text in texts:
            alice.say(up.conversation, text)
        heard = await next_event(bob, Received)
        assert heard.conversation.endpoint == Endpoint(ALICE, 40001)
        first = [message.text for message in heard.messages]
        assert first + await next_texts(bob, len(texts) - len(first)) == texts
        bob.say(heard.conversation, "I read it all")
        assert await next_texts(alice, 1) == ["I read it all"]
    assert slots_in_use() == before


async def test_a_cut_is_noticed_by_silence_and_what_was_said_meanwhile_arrives_once(
    autojump_clock: MockClock,
) -> None:
    net = network((0.05, 0.2))
    async with two_nodes(net) as (alice, bob):
        alice.connect(Endpoint(BOB, 40002), "bob")
        conversation = (await next_event(alice, LinkUp)).conversation
        net.cut(ALICE, BOB)
        message = alice.say(conversation, "lost at first")
        await next_event(alice, Sent)
        begun = trio.current_time()
        states = [message.state]
        assert (await next_event(alice, LinkEnded)).ending.why is Why.SILENT
        assert trio.current_time() - begun == pytest.approx(45, abs=1)
        await next_event(alice, Redialing)
        net.heal(ALICE, BOB)
        await next_event(alice, Delivered)
        assert [*states, message.state] == [State.SENT, State.DELIVERED]
        assert await next_texts(bob, 1) == ["lost at first"]


async def test_a_reset_between_nodes_is_told_to_both(autojump_clock: MockClock) -> None:
    net = network((0.05, 0.2))
    async with two_nodes(net) as (alice, bob):
        alice.connect(Endpoint(BOB, 40002))
        await next_event(alice, LinkUp)
        await next_event(bob, LinkUp)
        net.host(BOB).streams[-1].reset()
        ended = await next_event(bob, LinkEnded)
        assert (ended.ending.why, ended.peer.host, ended.role) == (Why.LOST, ALICE, Role.LISTENER)
        assert (await next_event(alice, LinkEnded)).ending.why is Why.LOST
