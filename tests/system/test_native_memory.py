"""Which keys of a native link another process finds in a running program's memory, and when.

The peer is a node in this process: what both ends derive is known here. The program's own random
keys are made by a known rule, by libsodium, straight into the memory that is wiped.
"""

import hashlib
import signal
import socket
import struct
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio

from fantom_trio.nursery import (
    Conversation,
    Delivered,
    Ending,
    Endpoint,
    LinkUp,
    Node,
    Received,
    Verifying,
    Why,
    open_node,
    prepare_word,
)
from fantom_trio.nursery.session import Session
from fantom_trio.nursery.tcp import TcpStream
from fantom_trio.wire import noise, secret
from fantom_trio.wire.kem import Decapsulator
from fantom_trio.wire.secret import KeyPair, Secret
from fantom_trio.wire.stream import RecordReader, RecordWriter
from tests.nursery.ends import next_event, slots_in_use
from tests.system.program import Program, running
from tests.system.test_memory import (
    BROKEN,
    CRASHING,
    STAYING,
    both_halves,
    found_in,
    memory,
    pytestmark,
)

__all__ = ["pytestmark"]

#: The n-th random secret of the program is the masked hash of its number: the mask comes off in
#: the wiped memory, so that nothing but what the program itself does leaves a copy elsewhere.
MASK = 0x5A
KNOWN_KEYS = f"""
import hashlib, itertools
from fantom_trio.wire import secret
numbers = itertools.count()
def known(cls, size):
    made = cls.copy_of(hashlib.blake2b(b"secret %d" % next(numbers), digest_size=size).digest())
    for at in range(size):
        made._pointer[at] ^= {MASK}
    return made
secret.Secret.random = classmethod(known)
"""


#: A word that two people might share, and that stands nowhere else.
WORD = "quincunx and marmalade"
#: Found in Python's freed memory when this was written: 2.
COPIES_LEFT = 4


def known(number: int) -> bytes:
    digest = hashlib.blake2b(b"secret %d" % number, digest_size=32).digest()
    return bytes(byte ^ MASK for byte in digest)


@dataclass
class Derived:
    """What the handshake in this process derived, and so the one in the program."""

    handshake: dict[str, bytes] = field(default_factory=dict)
    shared: dict[str, bytes] = field(default_factory=dict)

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        hkdf, diffie_hellman, mix_key = (
            secret.hkdf, secret.diffie_hellman, noise.HandshakeState.mix_key,
        )  # fmt: skip

        def watched_hkdf(chaining_key: Secret, material: Secret | bytes) -> tuple[Secret, Secret]:
            outputs = hkdf(chaining_key, material)
            for which, output in zip(("first", "second"), outputs, strict=True):
                name = f"HKDF {len(self.handshake)}, {which} output"
                self.handshake[name] = output.reveal()[:32]
            return outputs

        def watched_dh(own: KeyPair, peer_public: bytes) -> Secret | None:
            result = diffie_hellman(own, peer_public)
            assert result is not None
            self.handshake[f"DH result {len(self.handshake)}"] = result.reveal()
            return result

        def watched_mix(self_: noise.HandshakeState, material: Secret) -> None:
            self.shared["ML-KEM secret"] = material.reveal()
            mix_key(self_, material)

        monkeypatch.setattr(secret, "hkdf", watched_hkdf)
        monkeypatch.setattr(secret, "diffie_hellman", watched_dh)
        monkeypatch.setattr(noise.HandshakeState, "mix_key", watched_mix)


@dataclass
class NativeChat:
    """A running program, and the node that it has a native link with."""

    program: Program
    node: Node
    conversation: Conversation
    derived: Derived

    @property
    def session(self) -> Session:
        assert self.conversation.session is not None
        return self.conversation.session

    def stream_keys(self) -> dict[str, bytes]:
        """Those of this moment: each message makes new ones, at both ends."""
        link = self.session.connection.link
        reader, writer = link._reader, link._writer
        assert isinstance(reader, RecordReader)
        assert isinstance(writer, RecordWriter)
        assert reader.state is not None
        return {
            "sending key": reader.state.reveal()[:32],
            "receiving key": writer.state.reveal()[:32],
        }


STATIC = {"static key": known(0)}
EPHEMERAL = {"ephemeral key": known(1)}


@asynccontextmanager
async def native_chat(
    monkeypatch: pytest.MonkeyPatch, *, program_dials: bool
) -> AsyncIterator[NativeChat]:
    derived = Derived()
    derived.watch(monkeypatch)
    command = [sys.executable, "-c", KNOWN_KEYS + BROKEN + CRASHING + STAYING]
    async with (
        open_node() as node,
        running("--loopback", "--port", "30997", command=command) as program,
    ):
        there = await program.expect_listener()
        here = await node.listen(Endpoint("::1", 0))
        if program_dials:
            await program.say(f"/connect {here}")
        else:
            node.connect(there)
        conversation = (await next_event(node, LinkUp)).conversation
        node.say(conversation, "hello")
        if not program_dials:
            await program.expect("to answer: /switch 1")
            await program.say("/switch 1")
        await program.expect("hello")
        await next_event(node, Delivered)
        await program.say("hello yourself")
        await next_event(node, Received)
        # The acknowledgement is the last word: both ends have the same keys again.
        while conversation.session and conversation.session.acknowledged < 1:
            await trio.lowlevel.checkpoint()
        await trio.testing.wait_all_tasks_blocked(0.05)
        yield NativeChat(program, node, conversation, derived)


End = Callable[[NativeChat], Awaitable[None]]


async def peer_says_goodbye(chat: NativeChat) -> None:
    chat.node.disconnect(chat.conversation)
    await chat.program.expect("is gone")


async def peer_resets(chat: NativeChat) -> None:
    connection = chat.session.connection
    stream = connection._stream
    assert isinstance(stream, TcpStream)
    linger = struct.pack("ii", 1, 0)
    stream._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    connection.end(Ending(Why.LOST))
    await chat.program.expect("the connection broke")


async def peer_breaks_the_protocol(chat: NativeChat) -> None:
    await chat.session.connection._stream.send_all(bytes(4))
    await chat.program.expect("is gone")


async def we_disconnect(chat: NativeChat) -> None:
    await chat.program.say("/disconnect")
    await chat.program.expect("is gone")


async def we_close(chat: NativeChat) -> None:
    await chat.program.say("/close")
    while chat.conversation.online:
        await chat.node.events.receive()


async def a_bug_ends_it(chat: NativeChat) -> None:
    chat.node.say(chat.conversation, "trigger the bug")
    await chat.program.expect("a bug in fantom-trio ended the link: ZeroDivisionError at")


ENDS_OF_LINKS: list[End] = [
    peer_says_goodbye,
    a_bug_ends_it,
    peer_resets,
    peer_breaks_the_protocol,
    we_disconnect,
    we_close,
]


async def we_quit(chat: NativeChat) -> None:
    await chat.program.say("/quit")
    await chat.program.expect("ended with 0")


async def we_burn(chat: NativeChat) -> None:
    await chat.program.say("/burn")
    await chat.program.expect("ended with 0")


async def a_bug_ends_the_program(chat: NativeChat) -> None:
    await chat.program.say("crash")
    await chat.program.expect("ended with 1")


async def input_ends(chat: NativeChat) -> None:
    await chat.program.hang_up()
    await chat.program.expect("ended with 0")


def signalled(number: signal.Signals) -> Callable[[NativeChat], Awaitable[None]]:
    async def end(chat: NativeChat) -> None:
        chat.program.process.send_signal(number)
        await chat.program.expect(f"ended with {128 + number}")

    end.__name__ = number.name
    return end


ENDS_OF_RUNS: list[End] = [
    we_quit,
    we_burn,
    a_bug_ends_the_program,
    input_ends,
    *map(signalled, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)),
]


@pytest.mark.parametrize("program_dials", [True, False], ids=["dialed", "was dialed"])
@pytest.mark.parametrize("end", ENDS_OF_LINKS + ENDS_OF_RUNS, ids=lambda end: end.__name__)
async def test_stream_keys_die_with_the_link_and_the_static_key_with_the_run(
    end: End,
    program_dials: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with native_chat(monkeypatch, program_dials=program_dials) as chat:
        pid, streams = chat.program.pid, chat.stream_keys()
        assert found_in(pid, {**streams, **STATIC}) == both_halves({**streams, **STATIC})
        # Of the handshake nothing is left: five HKDFs with two outputs each, three DH results.
        assert len(chat.derived.handshake) == 13
        assert found_in(pid, {**EPHEMERAL, **chat.derived.handshake}) == set()
        await end(chat)
        alive = STATIC if end in ENDS_OF_LINKS else {}
        everything = {**streams, **STATIC, **EPHEMERAL, **chat.derived.handshake}
        assert found_in(pid, everything) == both_halves(alive)


async def test_of_the_post_quantum_secret_no_whole_copy_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It passed through a library, whose freed memory keeps half of it: we promise no more."""
    async with native_chat(monkeypatch, program_dials=False) as chat:
        assert len(chat.derived.shared) == 1
        left = found_in(chat.program.pid, chat.derived.shared)
        assert left <= {"ML-KEM secret, second half"}


def test_what_a_library_gave_is_overwritten_where_it_was() -> None:
    private = Decapsulator()
    other = Decapsulator()
    given = bytes(bytearray(other.public[:32]))
    taken = Secret.take_over(given)
    assert given == bytes(32)
    assert taken.reveal() == other.public[:32]
    private.wipe()
    other.wipe()


def runs_of(pid: int, text: bytes) -> int:
    """How often ``text`` stands in the memory of a process."""
    return sum(region.count(text) for region in memory(pid))


async def test_what_is_left_of_the_shared_word_when_it_was_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is typed, and passes through a library in Python: copies may stay, and we promise none.

    What we promise is that our own holds it no longer: the wiped memory has no slot of it.
    """
    async with native_chat(monkeypatch, program_dials=False) as chat:
        before = slots_in_use()
        await chat.program.say("/verify --word")
        await chat.program.say(WORD)
        chat.node.ask_word(chat.conversation, prepare_word(WORD))
        while not chat.conversation.verified:
            await next_event(chat.node, Verifying)
        await chat.program.expect("verified")
        assert slots_in_use() == before
        left = runs_of(chat.program.pid, WORD.encode())
        assert left <= COPIES_LEFT
        await chat.program.say("/quit")
        await chat.program.expect("ended with 0")
        assert runs_of(chat.program.pid, WORD.encode()) <= left
