"""A connection cancelled inside every one of its awaits, and what is left of it."""

import contextlib
import itertools
import socket
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from fantom_trio.nursery import (
    Connection,
    LinkEnded,
    LinkUp,
    Node,
    NotLinked,
    Received,
    Sent,
    Verifying,
    open_node,
)
from fantom_trio.nursery.tcp import TcpStream
from fantom_trio.wire import Event, stream
from fantom_trio.wire.records import Say
from tests.nursery.ends import (
    LOOPBACK,
    PATIENCE,
    Peer,
    answer,
    listening_node,
    next_event,
    next_texts,
    peer_listener,
    settled_slots,
    slots_in_use,
)
from tests.wire.native_ends import greeted_pair

#: The node's own tasks for links; every step of theirs ends in an await.
TASKS = ("Links.serve", "Links._run_outgoing", "classic._watch", "_Writer.run")
#: Secrets that a link holds at most: handshake and KEM keys, or two streams.
SECRETS_OF_A_LINK = 5


class CancelAfter(trio.abc.Instrument):
    """Cancels the node's links when their tasks have come to their ``step``-th await."""

    def __init__(self, node: Node, made: list[Connection], step: int) -> None:
        self.left = step
        self.where = ""
        self.hit: list[Connection] = []
        self.struck = trio.Event()
        self._node = node
        self._made = made
        self._token = trio.lowlevel.current_trio_token()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if task.name.endswith(TASKS):
            self.left -= 1
            if self.left == 0:
                self.where = _innermost(task)
                self._token.run_sync_soon(self._cancel)

    def _cancel(self) -> None:
        self.hit = list(self._made)
        for connection in self.hit:
            connection.scope.cancel()
        for conversation in self._node.conversations:
            if conversation.outgoing is not None:
                conversation.outgoing.scope.cancel()
        self.struck.set()


def _innermost(task: trio.lowlevel.Task) -> str:
    """Which await it is: the last three functions of ours, the outer ones first."""
    ours = [
        frame.f_code.co_qualname
        for frame, _ in task.iter_await_frames()
        if "fantom_trio" in frame.f_code.co_filename
    ]
    return " › ".join(ours[-3:])


async def incoming(node: Node) -> None:
    """A peer dials, speaks twice and closes: handshake read, ACK write, frame reads."""
    peer = await Peer.meet_node(node)
    await peer.say("one")
    await next_texts(node, 1)
    await peer.say("two")
    await next_texts(node, 1)
    await peer.stream.send_eof()
    await peer.read_end()


async def outgoing(node: Node) -> None:
    """We dial and write: dial, handshake write and read, frame writes."""
    async with peer_listener() as (where, listener):
        node.connect(where)
        peer = await answer(listener)
        conversation = (await next_event(node, LinkUp)).conversation
        for text in ("one", "two"):
            node.say(conversation, text)
            assert await peer.read_text() == text
            await next_event(node, Sent)
        await peer.stream.send_eof()
        await peer.read_end()


async def dial_back(node: Node) -> None:
    """A peer dials us and we answer: the link back has a life of its own."""
    async with peer_listener() as (where, listener):
        caller = await Peer.meet_node(node, f"::1:{where.port}".encode())
        await caller.say("call me back")
        conversation = (await next_event(node, Received)).conversation
        node.say(conversation, "hello")
        assert await (await answer(listener)).read_text() == "hello"
        await next_event(node, Sent)


async def native(node: Node) -> None:
    """Two of ours, dialed and dialing: both handshakes, messages, a verification, goodbye."""
    async with open_node() as bob:
        await bob.listen(LOOPBACK)
        assert bob.listener is not None
        node.connect(bob.listener)
        here = (await next_event(node, LinkUp)).conversation
        there = (await next_event(bob, LinkUp)).conversation
        node.say(here, "one")
        assert await next_texts(bob, 1) == ["one"]
        bob.say(there, "two")
        assert await next_texts(node, 1) == ["two"]
        for asker, conversation in ((node, here), (bob, there)):
            with contextlib.suppress(NotLinked):  # the link was cancelled this moment
                asker.ask_code(conversation)
        while not here.session or not here.session.verification.code:
            await next_event(node, Verifying)
        node.disconnect(here)
        await next_event(bob, LinkEnded)


AWAITS = {
    "incoming": {
        "Connection._shake_hands › Connection._read › TcpStream.receive_into",  # handshake read
        "Connection._shake_hands › Connection.send › TcpStream.send_all",  # ACK write
        "Connection.receive › Connection._read › TcpStream.receive_into",  # frame read
    },
    "outgoing": {
        "dial.<locals>.once › Tcp.connect › _connect",  # dial
        "Connection._shake_hands › Connection.send › TcpStream.send_all",
        "Connection._shake_hands › Connection._read › TcpStream.receive_into",
        "Connection.receive › Connection._read › TcpStream.receive_into",
        "Links._run_classic.<locals>.carry › carry_texts › Conversation.next_batch",
        "carry_texts › Connection.send › TcpStream.send_all",  # frame write
    },
    "dial_back": {
        "Connection.receive › Connection._read › TcpStream.receive_into",
        "dial.<locals>.once › Tcp.connect › _connect",  # dial back
        "carry_texts › Connection.send › TcpStream.send_all",
    },
    "native": {
        "Connection._shake_hands › Connection._read › TcpStream.receive_into",  # a line
        "Connection._greet › Connection._read › TcpStream.receive_into",  # the peer's hello
        "Connection._say_hello › Connection.send › TcpStream.send_all",
        "Connection.receive › Connection._read › TcpStream.receive_into",  # records
        "_Writer.run › Session.work",
        "_Writer.run › Connection.send › TcpStream.send_all",
    },
}


@pytest.mark.parametrize("scenario", [incoming, outgoing, dial_back, native])
async def test_cancelled_in_any_await_the_keys_are_wiped_and_the_node_lives(
    scenario: Callable[[Node], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Connection] = []
    create = Connection.__init__

    def remembered(self: Connection, *arguments: object) -> None:
        create(self, *arguments)  # type: ignore[arg-type]
        made.append(self)

    monkeypatch.setattr(Connection, "__init__", remembered)
    covered: set[str] = set()
    rounds = 0
    steps = itertools.count(1)
    # A socket that is ready at once is not waited for: go round until every await was met.
    while not (rounds and covered >= AWAITS[scenario.__name__]):
        step = next(steps)
        made.clear()
        before = settled_slots()
        async with listening_node() as node:
            instrument = CancelAfter(node, made, step)
            with trio.fail_after(PATIENCE):
                finished = await _until_cancelled(scenario, node, instrument)
                await trio.testing.wait_all_tasks_blocked(0.002)
                for connection in instrument.hit:
                    assert is_closed(connection)
                    assert repr(connection.link).endswith("wiped>")
                # A link that was dialed after the blow is alive, and no other.
                alive = [c for c in made if not is_closed(c)]
                secrets = slots_in_use() - before - 1  # the node's identity
                assert len(alive) <= secrets <= SECRETS_OF_A_LINK * len(alive)
                assert len(alive) <= len(made) - len(instrument.hit)
                await _node_lives(node)
        assert slots_in_use() == before
        covered.add(instrument.where)
        if finished:
            rounds += 1
            assert rounds < 50, AWAITS[scenario.__name__] - covered
            steps = itertools.count(1)


def is_closed(connection: Connection) -> bool:
    stream = connection._stream
    assert isinstance(stream, TcpStream)
    return stream._sock.fileno() == -1


async def _until_cancelled(
    scenario: Callable[[Node], Awaitable[None]], node: Node, instrument: CancelAfter
) -> bool:
    """Run the scenario; True if it came to its end before the instrument struck.

    A cancelled link makes the scenario's own waits end in errors or never: both are as well.
    """
    finished = False
    trio.lowlevel.add_instrument(instrument)
    try:
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                await instrument.struck.wait()
                await trio.testing.wait_all_tasks_blocked(0.002)
                nursery.cancel_scope.cancel()

            nursery.start_soon(watch)
            try:
                await scenario(node)
                finished = instrument.left > 0
            except (trio.BrokenResourceError, AssertionError, OSError):
                if instrument.left > 0:
                    raise
            nursery.cancel_scope.cancel()
    finally:
        trio.lowlevel.remove_instrument(instrument)
    return finished


async def _node_lives(node: Node) -> None:
    """Another peer is heard as if nothing had happened."""
    peer = await Peer.meet_node(node, b"::1:45678")
    await peer.say("are you alive?")
    while "are you alive?" not in await next_texts(node, 1):
        pass
    peer.close()


@pytest.mark.parametrize("cut", [False, True], ids=["written", "cut"])
async def test_only_what_was_written_whole_is_overwritten_by_the_next(
    cut: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what was cut the system, or another thread, may still hold a part."""
    monkeypatch.setattr(stream, "_spare", [])
    link, other = greeted_pair()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    connection = Connection(TcpStream(ours, LOOPBACK, LOOPBACK), link)
    says = [Say(number, "long" * 15_000, 0) for number in range(1, 6)]
    link.send_all(says)
    got: list[Event] = []

    def read() -> None:
        while len(got) < len(says):
            got.extend(other.receive_data(theirs.recv(65_536)))

    with contextlib.ExitStack() as at_the_end:
        at_the_end.callback(theirs.close)
        at_the_end.callback(other.wipe)
        at_the_end.callback(connection.close)
        with trio.fail_after(PATIENCE):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(connection.send)
                await trio.testing.wait_all_tasks_blocked()
                assert not stream._spare, "it is not written yet"
                if cut:
                    nursery.cancel_scope.cancel()
                else:
                    await trio.to_thread.run_sync(read)
        assert len(stream._spare) == (not cut)
    assert got == ([] if cut else says)
