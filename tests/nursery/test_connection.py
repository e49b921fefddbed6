"""A connection cancelled inside every one of its awaits, and what is left of it."""

import itertools
from collections.abc import Awaitable, Callable

import pytest
import trio

from fantom_trio.nursery import Connection, LinkUp, Node, Received, Sent
from tests.nursery.ends import (
    PATIENCE,
    Peer,
    answer,
    listening_node,
    next_event,
    next_texts,
    peer_listener,
    slots_in_use,
)

#: The node's own tasks for links; every step of theirs ends in an await.
TASKS = ("._run_handler", "Node._run_outgoing", "Node._watch")


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
    """Which await it is: the last two functions of ours, the outer one first."""
    ours = [
        frame.f_code.co_qualname
        for frame, _ in task.iter_await_frames()
        if "fantom_trio" in frame.f_code.co_filename
    ]
    return " › ".join(ours[-2:])


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


AWAITS = {
    "incoming": {
        "Connection.handshake › Connection.receive",  # handshake read
        "Connection.handshake › Connection.send",  # ACK write
        "Node._read › Connection.receive",  # frame read
        "Node._take › Node._offer",  # to the screen
    },
    "outgoing": {
        "_dial_once › _open_stream",  # dial
        "Connection.handshake › Connection.send",
        "Connection.handshake › Connection.receive",
        "Node._watch › Connection.receive",
        "Node._write › Conversation.next_batch",
        "Node._write › Connection.send",  # frame write
    },
    "dial_back": {
        "Node._read › Connection.receive",
        "_dial_once › _open_stream",  # dial back
        "Node._write › Connection.send",
    },
}


@pytest.mark.parametrize("scenario", [incoming, outgoing, dial_back])
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
        before = slots_in_use()
        async with listening_node() as node:
            instrument = CancelAfter(node, made, step)
            with trio.fail_after(PATIENCE):
                finished = await _until_cancelled(scenario, node, instrument)
                await trio.testing.wait_all_tasks_blocked(0.002)
                for connection in instrument.hit:
                    assert connection._stream.socket.fileno() == -1
                    assert repr(connection.link).endswith("wiped>")
                # A link that was dialed after the blow is alive, and no other.
                alive = [c for c in made if c._stream.socket.fileno() != -1]
                assert slots_in_use() - before == len(alive) <= len(made) - len(instrument.hit)
                await _node_lives(node)
        assert slots_in_use() == before
        covered.add(instrument.where)
        if finished:
            rounds += 1
            assert rounds < 50, AWAITS[scenario.__name__] - covered
            steps = itertools.count(1)


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
