"""What another process finds in the memory of a running program: keys while they are needed."""

import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from tests.nursery.ends import Peer, answer, peer_listener
from tests.nursery.test_node import reset
from tests.system.program import Program, running

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/mem").exists() or os.geteuid() != 0,
    reason="reads the memory of a process that gives it to root only, by /proc",
)

#: The program, and behind it a pause: what it left in memory when it ended can be looked at.
STAYING = """
import sys, time
from fantom_trio import cli
code = cli.main(sys.argv[1:])
print("ended with", code, flush=True)
time.sleep(600)
"""
#: The same with a bug where messages are taken in.
BROKEN = """
from fantom_trio.nursery.teller import Teller
received = Teller.received
async def broken(self, conversation, messages):
    if messages[-1].text == "trigger the bug":
        raise ZeroDivisionError
    await received(self, conversation, messages)
Teller.received = broken
"""
#: And with one where lines are sent, which ends the program.
CRASHING = """
from fantom_trio.repl.app import App
send = App._send
async def crash(self, line, text):
    if text == "crash":
        raise ZeroDivisionError(text)
    await send(self, line, text)
App._send = crash
"""


def memory(pid: int) -> Iterator[bytes]:
    """Every writable region of a process, one after the other."""
    with (
        Path(f"/proc/{pid}/maps").open() as maps,
        Path(f"/proc/{pid}/mem").open("rb", buffering=0) as mem,
    ):
        for line in maps:
            found = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if found:
                start, stop = (int(edge, 16) for edge in found.groups())
                mem.seek(start)
                try:
                    yield mem.read(stop - start)
                except OSError:  # [vvar] and the like cannot be read
                    continue


def found_in(pid: int, keys: dict[str, bytes]) -> set[str]:
    """Which halves of which keys stand anywhere in the process's memory."""
    halves = {
        f"{name}, {half} half": key[at : at + 16]
        for name, key in keys.items()
        for half, at in (("first", 0), ("second", 16))
    }
    return {
        name for region in memory(pid) for name, half in halves.items() if half in region
    }  # fmt: skip


@dataclass
class Chat:
    """A running program, the link that a peer dialed to it, and the link it dialed back."""

    program: Program
    into: Peer
    back: Peer

    @property
    def used(self) -> dict[str, bytes]:
        """The program receives with one key of the first link and sends with one of the second."""
        return {"receiving key": self.into.send, "sending key": self.back.receive}

    @property
    def unused(self) -> dict[str, bytes]:
        """The other key of each link is wiped at birth: a classic link is one way."""
        return {"unused key": self.into.receive, "other unused key": self.back.send}

    def keys_left(self) -> set[str]:
        return found_in(self.program.pid, {**self.used, **self.unused})


@asynccontextmanager
async def chatting(prelude: str = "") -> AsyncIterator[Chat]:
    """A program that has just answered a peer who dialed it."""
    command = [sys.executable, "-c", prelude + STAYING]
    async with (
        peer_listener() as (where, listener),
        running("--loopback", "--port", "30999", command=command) as program,
    ):
        there = await program.expect_listener()
        sock = trio.socket.socket(trio.socket.AF_INET6)
        await sock.connect((there.host, there.port))
        into = Peer(trio.SocketStream(sock), f"::1:{where.port}".encode())
        await into.stream.send_all(into.handshake())
        into.meet(await into.read_line())
        await into.say("hello")
        await program.expect("to answer: /switch 1")
        await program.say("/switch 1")
        await program.expect("hello")
        await program.say("hello yourself")
        back = await answer(listener)
        assert await back.read_text() == "hello yourself"
        try:
            yield Chat(program, into, back)
        finally:
            while Peer.alive:
                Peer.alive.pop().close()


def both_halves(keys: dict[str, bytes]) -> set[str]:
    return {f"{name}, {half} half" for name in keys for half in ("first", "second")}


async def peer_closes(chat: Chat) -> None:
    chat.into.close()
    chat.back.close()
    await chat.program.expect("is gone")


async def peer_resets(chat: Chat) -> None:
    reset(chat.into)
    reset(chat.back)
    await chat.program.expect("the connection broke")
    await chat.program.expect("is gone")


async def peer_breaks_the_protocol(chat: Chat) -> None:
    await chat.into.stream.send_all(bytes(4))
    await chat.program.expect("an empty frame")
    await chat.back.stream.send_all(b"a listener must not write")
    await chat.program.expect("is gone")


async def we_disconnect(chat: Chat) -> None:
    await chat.program.say("/disconnect")
    await chat.program.expect("is gone")


async def we_close(chat: Chat) -> None:
    await chat.program.say("/close")
    await chat.into.read_end()
    await chat.back.read_end()


async def we_quit(chat: Chat) -> None:
    await chat.program.say("/quit")
    await chat.program.expect("ended with 0")


async def we_burn(chat: Chat) -> None:
    await chat.program.say("/burn")
    await chat.program.expect("ended with 0")


async def a_bug_ends_the_program(chat: Chat) -> None:
    await chat.program.say("crash")
    await chat.program.expect("ended with 1")


async def input_ends(chat: Chat) -> None:
    await chat.program.hang_up()
    await chat.program.expect("ended with 0")


def signalled(number: signal.Signals) -> Callable[[Chat], Awaitable[None]]:
    async def end(chat: Chat) -> None:
        chat.program.process.send_signal(number)
        await chat.program.expect(f"ended with {128 + number}")

    end.__name__ = number.name
    return end


@pytest.mark.parametrize(
    "end",
    [
        peer_closes,
        peer_resets,
        peer_breaks_the_protocol,
        we_disconnect,
        we_close,
        we_quit,
        we_burn,
        a_bug_ends_the_program,
        input_ends,
        signalled(signal.SIGINT),
        signalled(signal.SIGTERM),
        signalled(signal.SIGHUP),
    ],
    ids=lambda end: end.__name__,
)
async def test_keys_are_in_memory_while_connected_and_no_half_of_one_afterwards(
    end: Callable[[Chat], Awaitable[None]],
) -> None:
    async with chatting(CRASHING) as chat:
        assert chat.keys_left() == both_halves(chat.used)
        await end(chat)
        assert chat.keys_left() == set()


async def test_a_bug_leaves_no_key_of_its_link_in_memory() -> None:
    async with chatting(BROKEN) as chat:
        await chat.into.say("trigger the bug")
        await chat.program.expect("a bug in fantom-trio ended the link: ZeroDivisionError at")
        assert chat.keys_left() == both_halves({"sending key": chat.back.receive})
        chat.back.close()
        await chat.program.expect("is gone")
        assert chat.keys_left() == set()
