"""The seam to the network: what holds for the operating system's holds for the one in memory."""

import errno
import random
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest
import trio

from fantom_trio.nursery.errors import (
    ConnectionLost,
    DialError,
    DialProblem,
    ListenError,
    PortTaken,
)
from fantom_trio.nursery.limits import DEAD_SECONDS
from fantom_trio.nursery.network import Listener, Network, Stream
from fantom_trio.nursery.tcp import TCP, TcpListener, TcpStream
from fantom_trio.wire import Endpoint
from tests.nursery.ends import PATIENCE, Peer, listening_node, next_texts
from tests.nursery.memory_network import MemoryNetwork


@dataclass
class Place:
    """A machine to listen on, another to dial from, and more bytes than lie between them."""

    here: Network
    there: Network
    address: str
    plenty: int


@pytest.fixture(params=["tcp", "memory"])
def place(request: pytest.FixtureRequest) -> Place:
    if request.param == "tcp":
        return Place(TCP, TCP, "::1", 32 << 20)
    memory = MemoryNetwork(random.Random(1))
    return Place(memory.host("2001:db8::2"), memory.host("2001:db8::1"), "2001:db8::1", 1 << 20)


@asynccontextmanager
async def pair(place: Place) -> AsyncIterator[tuple[Stream, Stream]]:
    """The end that dialed, and the end that was accepted."""
    with trio.fail_after(PATIENCE):
        async with place.there.listen(Endpoint(place.address, 0)) as listener:
            dialed = await place.here.connect(listener.endpoint, None, PATIENCE)
            accepted = await listener.accept()
            async with dialed, accepted:
                yield dialed, accepted


@asynccontextmanager
async def listening_pair(place: Place) -> AsyncIterator[tuple[Listener, Listener]]:
    """A listener there, and one on the machine that it dials."""
    here = "2001:db8::2" if place.here is not place.there else place.address
    async with (
        place.there.listen(Endpoint(place.address, 0)) as ours,
        place.here.listen(Endpoint(here, 0)) as theirs,
    ):
        yield ours, theirs


async def read(stream: Stream, count: int) -> bytes:
    """The next ``count`` bytes, or fewer where the peer ended."""
    data = bytearray()
    while len(data) < count:
        room = bytearray(min(65_536, count - len(data)))
        got = await stream.receive_into(lambda room=room: memoryview(room))  # type: ignore[misc]
        if not got:
            break
        data += room[:got]
    return bytes(data)


async def until_lost(step: Callable[[], Awaitable[object]]) -> None:
    async def repeat() -> None:
        while True:
            await step()

    with pytest.raises(ConnectionLost):
        await repeat()


async def test_each_end_knows_the_other(place: Place) -> None:
    with trio.fail_after(PATIENCE):
        async with place.there.listen(Endpoint(place.address, 0)) as listener:
            assert listener.endpoint == Endpoint(place.address, listener.endpoint.port)
            assert listener.endpoint.port
            async with (
                await place.here.connect(listener.endpoint, None, PATIENCE) as dialed,
                await listener.accept() as accepted,
            ):
                assert dialed.peer == accepted.here == listener.endpoint
                assert dialed.here == accepted.peer


async def test_what_is_written_is_read_in_order_both_ways(place: Place) -> None:
    data = random.Random(2).randbytes(300_000)
    async with pair(place) as (one, other):
        for writer, reader in ((one, other), (other, one)):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(writer.send_all, data)
                assert await read(reader, len(data)) == data


async def test_no_room_is_asked_for_before_there_is_something_to_read(place: Place) -> None:
    asked: list[bytearray] = []

    def room() -> memoryview:
        asked.append(bytearray(10))
        return memoryview(asked[-1])

    async with pair(place) as (one, other), trio.open_nursery() as nursery:
        nursery.start_soon(other.receive_into, room)
        await trio.testing.wait_all_tasks_blocked()
        assert not asked
        await one.send_all(b"x")
        while not asked:
            await trio.testing.wait_all_tasks_blocked()
    assert asked == [b"x".ljust(10, b"\0")]


async def test_a_cancelled_read_has_lost_nothing(place: Place) -> None:
    async with pair(place) as (one, other):
        for ready in (False, True):
            async with trio.open_nursery() as nursery:
                if ready:
                    await one.send_all(b"kept")
                nursery.cancel_scope.cancel()
                await read(other, 1)
        assert await read(other, 4) == b"kept"


async def test_an_end_closes_one_direction(place: Place) -> None:
    async with pair(place) as (one, other):
        await one.send_all(b"the last")
        await one.send_eof()
        await one.send_eof()
        assert await read(other, 100) == b"the last"
        assert await read(other, 100) == b""
        with pytest.raises(trio.ClosedResourceError):
            await one.send_all(b"more")
        assert not one.send_now(b"more")
        await other.send_all(b"I still talk")
        assert await read(one, 12) == b"I still talk"


async def test_what_was_written_before_a_close_is_read(place: Place) -> None:
    async with pair(place) as (one, other):
        await one.send_all(b"bye")
        one.close()
        one.close()
        assert await read(other, 100) == b"bye"
        assert await read(other, 100) == b""


async def test_a_close_with_something_unread_breaks_the_connection(place: Place) -> None:
    async with pair(place) as (one, other):
        await one.send_all(b"unread")
        await read(other, 1)
        other.close()
        await until_lost(lambda: read(one, 1))


async def test_writing_to_one_who_closed_breaks_the_connection(place: Place) -> None:
    async with pair(place) as (one, other):
        other.close()
        await until_lost(lambda: one.send_all(b"are you there?"))
        assert not one.send_now(b"are you there?")


async def test_a_writer_waits_for_a_reader_that_stalls_or_for_its_reset(place: Place) -> None:
    data = random.Random(3).randbytes(place.plenty)
    for reads in (True, False):
        async with pair(place) as (one, other):
            done = False

            async def write(one: Stream = one) -> None:
                nonlocal done
                await one.send_all(data)
                done = True

            async with trio.open_nursery() as nursery:
                if reads:
                    nursery.start_soon(write)
                else:
                    nursery.start_soon(until_lost, write)
                await trio.testing.wait_all_tasks_blocked(0.01)
                assert not done
                if reads:
                    assert await read(other, len(data)) == data
                else:
                    other.close()
            assert done == reads


async def test_a_farewell_takes_the_room_there_is_and_never_waits(place: Place) -> None:
    async with pair(place) as (one, other):
        assert one.send_now(b"")
        assert one.send_now(b"bye")
        assert await read(other, 3) == b"bye"
        block = random.Random(4).randbytes(50_000)
        taken = 0
        while one.send_now(block):
            taken += len(block)
        one.close()
        assert not one.send_now(b"bye")
        heard = await read(other, place.plenty)
        assert taken <= len(heard) < taken + len(block)
        assert (block * (taken // len(block) + 1)).startswith(heard)


async def test_where_nobody_listens_the_system_refuses(place: Place) -> None:
    async with place.there.listen(Endpoint(place.address, 0)) as listener:
        where = listener.endpoint
    with pytest.raises(DialError) as caught:
        await place.here.connect(where, None, PATIENCE)
    assert caught.value.problem is DialProblem.REFUSED


async def test_who_was_not_accepted_is_reset_with_the_listener(place: Place) -> None:
    async with place.there.listen(Endpoint(place.address, 0)) as listener:
        dialed = await place.here.connect(listener.endpoint, None, PATIENCE)
    async with dialed:
        await until_lost(lambda: read(dialed, 1))


async def test_the_listener_s_port_can_be_dialed_from_and_no_second_program_gets_it(
    place: Place,
) -> None:
    with trio.fail_after(PATIENCE):
        async with listening_pair(place) as (ours, theirs):
            dialed = await place.there.connect(theirs.endpoint, ours.endpoint, PATIENCE)
            async with dialed, await theirs.accept() as accepted:
                assert dialed.here == accepted.peer == ours.endpoint
                with pytest.raises(ListenError) as caught:
                    place.there.listen(ours.endpoint)
                assert caught.value.in_use
                # From any port it is another connection.
                anywhere = replace(ours.endpoint, port=0)
                async with (
                    await place.there.connect(theirs.endpoint, anywhere, PATIENCE) as other,
                    await theirs.accept(),
                ):
                    assert other.here.port != ours.endpoint.port


async def test_between_two_ports_there_is_one_connection_whoever_dialed(place: Place) -> None:
    with trio.fail_after(PATIENCE):
        async with listening_pair(place) as (ours, theirs):
            dialed = await place.there.connect(theirs.endpoint, ours.endpoint, PATIENCE)
            async with dialed, await theirs.accept() as accepted:
                for network, source, goal in (
                    (place.there, ours.endpoint, theirs.endpoint),
                    (place.here, theirs.endpoint, ours.endpoint),
                ):
                    with pytest.raises(PortTaken):
                        await network.connect(goal, source, PATIENCE)
                await dialed.send_all(b"unharmed")
                assert await read(accepted, 8) == b"unharmed"


async def test_an_end_at_once_breaks_the_connection_and_frees_its_ports(place: Place) -> None:
    with trio.fail_after(PATIENCE):
        async with listening_pair(place) as (ours, theirs):
            dialed = await place.there.connect(theirs.endpoint, ours.endpoint, PATIENCE)
            async with await theirs.accept() as accepted:
                await accepted.send_all(b"unread")
                dialed.abort()
                dialed.abort()
                await until_lost(lambda: read(accepted, 1))
                again = await place.there.connect(theirs.endpoint, ours.endpoint, PATIENCE)
                async with again, await theirs.accept():
                    pass


async def test_a_port_is_listened_on_once_and_on_an_address_of_ours(place: Place) -> None:
    async with place.there.listen(Endpoint(place.address, 0)) as listener:
        with pytest.raises(ListenError) as caught:
            place.there.listen(listener.endpoint)
        assert caught.value.in_use
    async with place.there.listen(listener.endpoint) as again:
        assert again.endpoint == listener.endpoint
    with pytest.raises(ListenError) as caught:
        place.there.listen(replace(listener.endpoint, host="2001:db8::3"))
    assert caught.value.no_such_address


# The operating system's alone.


async def test_one_that_is_gone_before_it_is_accepted_is_passed_over() -> None:
    with trio.fail_after(PATIENCE):
        async with TCP.listen(Endpoint("::1", 0)) as listener:
            with socket.create_connection(("::1", listener.endpoint.port)) as gone:
                gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            async with (
                await TCP.connect(listener.endpoint, None, PATIENCE) as dialed,
                await listener.accept() as accepted,
            ):
                assert accepted.peer == dialed.here


async def test_a_peer_that_is_gone_without_a_word_is_noticed_by_the_system() -> None:
    async with pair(Place(TCP, TCP, "::1", 0)) as ends:
        for end in ends:
            assert isinstance(end, TcpStream)
            sock = end._sock
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            silence = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
            assert silence == DEAD_SECONDS * 1000


async def test_without_descriptors_a_listener_waits_and_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refusals = [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS]
    accept = TcpListener.accept

    async def starved(self: TcpListener) -> TcpStream:
        if refusals:
            raise OSError(refusals.pop(), "in the words of whoever raised it")
        return await accept(self)

    monkeypatch.setattr(TcpListener, "accept", starved)
    with trio.fail_after(PATIENCE):
        async with listening_node() as node:
            peer = await Peer.meet_node(node)
            await peer.say("patience")
            assert await next_texts(node, 1) == ["patience"]
    assert not refusals
