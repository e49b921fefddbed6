"""Handshakes a second with a node in another process: each link is made and closed."""

import itertools
import socket
import time
from collections.abc import Awaitable, Callable

import trio

from benchmarks.peers import native_link
from benchmarks.processes import OURS, Other, on
from fantom_trio.nursery import Connection, Endpoint, KeyPair
from fantom_trio.nursery.tcp import TCP
from fantom_trio.wire import Link, Role

__all__ = ["both_ours", "classic", "links_a_second", "native", "raw_dialer"]

#: Makes one link and closes it.
Handshake = Callable[[], Awaitable[None]]


def classic(port: int) -> Handshake:
    """As ``dial`` does for a peer that is classic, when our own end is one, too."""
    where, own = Endpoint("::1", port), Endpoint("::1", 40000)

    async def handshake() -> None:
        stream = await TCP.connect(where, None, 10)
        connection = Connection(stream, Link(Role.DIALER, own.client_id), where)
        await connection.handshake(10)
        connection.close()

    return handshake


def native(port: int) -> Handshake:
    """Both lines, message 3, both ``hello``: the same identity again and again."""
    identity = KeyPair.generate()

    async def handshake() -> None:
        (await native_link(port, identity)).close()

    return handshake


def both_ours(kind: Callable[[int], Handshake], count: int, at_once: int) -> float:
    """``count`` handshakes of one kind, so many at a time, each dialer after its last."""
    with Other("node") as other, on(OURS):
        return trio.run(links_a_second, kind, other.hear(), count, at_once)


async def links_a_second(
    kind: Callable[[int], Handshake], port: int, count: int, at_once: int
) -> float:
    """The same, with a node that listens already."""

    async def dialer(left: int) -> None:
        handshake = kind(port)
        for _ in range(left):
            await handshake()

    each = max(1, count // at_once)
    start = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for _ in range(at_once):
            nursery.start_soon(dialer, each)
    return each * at_once / (time.perf_counter() - start)


def raw_dialer(count: int, at_once: int) -> float:
    """Classic handshakes with a dialer that computes nothing: one line, always the same."""
    link = Link(Role.DIALER, b"::1:40000")
    line = bytes(link.data_to_send())
    link.wipe()
    with Other("node") as other, on(OURS):
        port = other.hear()
        slots = itertools.cycle(range(at_once))
        sockets: list[socket.socket | None] = [None] * at_once
        start = time.perf_counter()
        for number, slot in zip(range(count + at_once), slots, strict=False):
            # What was begun a round ago is answered, or will be.
            if (sock := sockets[slot]) is not None:
                with sock:
                    while not sock.recv(64).endswith(b"\n"):
                        pass
            sockets[slot] = _begun(port, line) if number < count else None
        return count / (time.perf_counter() - start)


def _begun(port: int, line: bytes) -> socket.socket:
    sock = socket.create_connection(("::1", port))
    sock.sendall(line)
    return sock
