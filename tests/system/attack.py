"""A flood from many /64s, as a program of its own: ``python -m tests.system.attack``.

``knock WHERE WAY COUNT PER_SECOND``: so many connections, so many a second, that stop half-way;
it ends with the number of those that it made. ``talk WHERE WAYS STRANGERS NETWORKS SECONDS``: so
many strangers finish the handshake, talk without pause in one of ``WAYS``, joined by commas, and
come again as soon as they are turned out; it ends with how many links they had and how many bytes
they wrote.
"""

import contextlib
import itertools
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import trio

from fantom_trio.nursery import MAX_TEXT
from fantom_trio.wire import Endpoint
from fantom_trio.wire.frames import MAX_FRAME
from tests.classic_peer import ClassicPeer
from tests.wire.native_ends import NativePeer, Sealer

NETWORKS = 200
#: In the kernel's ``in6.h``; Python has no name for it: bind to what only a route says is ours.
IPV6_FREEBIND = 78
#: The other side gives up a handshake before; its system may have forgotten one already, and a
#: system tells nobody of that who says nothing. Seconds.
PATIENCE = 15
#: What those who talk have and write before they stop, but after a minute they stop in any case.
ENOUGH_LINKS, ENOUGH_BYTES, LONGEST_TALK = 20, 1024 * 1024, 60
#: No machine holds so much for a stranger, or so it is hoped.
CLAIM = b"\xff\xff\xff\xff"


@asynccontextmanager
async def connected(there: Endpoint, network: int, host: int) -> AsyncIterator[trio.SocketStream]:
    """From that address of that /64; what goes wrong with the connection ends the block."""
    sock = trio.socket.socket(trio.socket.AF_INET6)
    with contextlib.suppress(OSError, trio.BrokenResourceError), sock:
        sock.setsockopt(trio.socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
        await sock.bind((f"2001:db8:bad:{network:x}::{host:x}", 0))
        await sock.connect((there.host, there.port))
        yield trio.SocketStream(sock)


# Those who stop half-way.


async def half_open(stream: trio.SocketStream) -> None:
    """Say nothing until it is closed."""


async def slow(stream: trio.SocketStream) -> None:
    """A good line, a byte now and then."""
    for byte in ClassicPeer().handshake():
        await stream.send_all(bytes([byte]))
        await trio.sleep(0.5)


async def classic(stream: trio.SocketStream) -> None:
    """A good handshake, then a frame of 4 GiB."""
    await stream.send_all(ClassicPeer().handshake() + CLAIM + bytes(1000))


async def native(stream: trio.SocketStream) -> None:
    """A good handshake and hello, then a frame of 4 GiB."""
    if (seal := await become_native(stream)) is not None:
        await stream.send_all(seal.hello() + CLAIM + bytes(1000))


KNOCKS = {each.__name__: each for each in (half_open, slow, classic, native)}


async def knock_all(there: Endpoint, way: str, count: int, per_second: float) -> int:
    """``count`` connections, each until the other side closes it; returns how many came up."""
    made = 0

    async def knock(number: int) -> None:
        nonlocal made
        async with connected(there, number % NETWORKS, number // NETWORKS + 1) as stream:
            made += 1
            with trio.move_on_after(PATIENCE):
                await KNOCKS[way](stream)
                while await stream.receive_some():
                    pass

    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for number in range(count):
            await trio.sleep_until(began + number / per_second)
            nursery.start_soon(knock, number)
    return made


# Those who finish the handshake.


async def become_native(stream: trio.SocketStream) -> Sealer | None:
    """A good native handshake by somebody new, up to the hello; None: it was closed."""
    peer = NativePeer()
    await stream.send_all(peer.line())
    answer = await read_line(stream)
    if not answer:
        return None
    await stream.send_all(peer.message_3(answer) + peer.seal.head)
    return peer.seal


async def become_classic(stream: trio.SocketStream) -> ClassicPeer | None:
    """A good classic handshake; None: it was closed."""
    peer = ClassicPeer()
    await stream.send_all(peer.handshake())
    answer = await read_line(stream)
    if answer:
        peer.meet(answer)
    return peer if answer else None


async def read_line(stream: trio.SocketStream) -> bytes:
    """Empty where it was closed."""
    line = b""
    while not line.endswith(b"\n"):
        more = await stream.receive_some()
        if not more:
            return b""
        line += more
    return line


def native_small(seal: Sealer) -> Iterator[bytes]:
    """As many messages as it can."""
    for id in itertools.count(1):
        yield seal.record("say", id=id, text="x", at=0)


def native_big(seal: Sealer) -> Iterator[bytes]:
    """Messages as big as can be."""
    for id in itertools.count(1):
        yield seal.record("say", id=id, text="x" * MAX_TEXT, at=0)


def native_asking(seal: Sealer) -> Iterator[bytes]:
    """What is to be answered, and what is to be told."""
    for how in itertools.cycle(("code", "word")):
        yield seal.record("verify", how=how, step="ask")
        for _ in range(30):
            yield seal.record("ping")


def classic_small(peer: ClassicPeer) -> Iterator[bytes]:
    """As many messages as it can."""
    while True:
        yield peer.frame(b"x")


def classic_big(peer: ClassicPeer) -> Iterator[bytes]:
    """Messages as big as can be."""
    overhead = len(peer.frame(b"")) - 4
    while True:
        yield peer.frame(b"x" * (MAX_FRAME - overhead))


def classic_empty(peer: ClassicPeer) -> Iterator[bytes]:
    """As many frames as fit, each from somebody else, made before the first is sent."""
    ids = itertools.cycle([b"1::2:40000", b"1::3:40000"])
    yield b"".join(peer.frame(b"", client_id=next(ids)) for _ in range(5_000))


def classic_wide(peer: ClassicPeer) -> Iterator[bytes]:
    """Messages that take the most memory: four bytes for each character."""
    overhead = len(peer.frame(b"")) - 4
    while True:
        yield peer.frame(b"x" * (MAX_FRAME - overhead - len(WIDE)) + WIDE)


def leaving(seal: Sealer) -> Iterator[bytes]:
    """Gone as soon as it is there, without a word."""
    yield from ()


NATIVE: dict[str, Callable[[Sealer], Iterator[bytes]]] = {
    each.__name__: each for each in (native_small, native_big, native_asking, leaving)
}
CLASSIC: dict[str, Callable[[ClassicPeer], Iterator[bytes]]] = {
    each.__name__: each for each in (classic_small, classic_big, classic_empty, classic_wide)
}
TALKERS = [*NATIVE, *CLASSIC]
#: One such character, and Python keeps four bytes for each of the text.
WIDE = "\U0001f600".encode()
#: Written at once, bytes: so much is encrypted before anybody else has a turn.
BATCH = 64 * 1024


async def words(stream: trio.SocketStream, way: str) -> Iterator[bytes] | None:
    """What a stranger of that way has to say, once the handshake is done."""
    if way in CLASSIC:
        classic = await become_classic(stream)
        return None if classic is None else CLASSIC[way](classic)
    native = await become_native(stream)
    return None if native is None else itertools.chain([native.hello()], NATIVE[way](native))


def batches(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Several in one write."""
    batch = bytearray()
    for piece in pieces:
        batch += piece
        if len(batch) >= BATCH:
            yield bytes(batch)
            batch.clear()
    yield bytes(batch)


async def talk_all(
    there: Endpoint, ways: list[str], strangers: int, networks: int, seconds: float
) -> tuple[int, int]:
    """How many links they had, and how many bytes they wrote on them.

    They go on for so many seconds, and for longer on a machine that lets them say nothing so soon.
    """
    links = written = 0
    enough = trio.Event()

    async def drain(stream: trio.SocketStream) -> None:
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while await stream.receive_some():
                pass

    async def be_stranger(number: int) -> None:
        nonlocal links, written
        while True:
            async with connected(there, number % networks, number // networks + 1) as stream:
                said = await words(stream, ways[number % len(ways)])
                if said is None:
                    continue
                links += 1
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(drain, stream)
                    with contextlib.suppress(trio.BrokenResourceError):
                        for batch in batches(said):
                            await stream.send_all(batch)
                            written += len(batch)
                            if written > ENOUGH_BYTES and links >= min(strangers, ENOUGH_LINKS):
                                enough.set()
                    nursery.cancel_scope.cancel()

    with trio.move_on_after(LONGEST_TALK):
        async with trio.open_nursery() as nursery:
            for number in range(strangers):
                nursery.start_soon(be_stranger, number)
            await trio.sleep(seconds)
            await enough.wait()
            nursery.cancel_scope.cancel()
    return links, written


if __name__ == "__main__":
    what, where, how, *numbers = sys.argv[1:]
    if what == "knock":
        print(trio.run(knock_all, Endpoint.parse(where), how, int(numbers[0]), float(numbers[1])))
    else:
        strangers, networks, seconds = map(int, numbers)
        ways = how.split(",")
        print(*trio.run(talk_all, Endpoint.parse(where), ways, strangers, networks, seconds))
