"""A flood from 200 /64s, as a program of its own: ``python -m tests.system.attack``.

Its arguments are where to knock, what to do there, how often in all, and how many times a second.
It ends with the number of connections that it made.
"""

import contextlib
import sys

import trio

from fantom_trio.wire import Endpoint
from tests.classic_peer import ClassicPeer
from tests.wire.native_ends import NativePeer

NETWORKS = 200
#: In the kernel's ``in6.h``; Python has no name for it: bind to what only a route says is ours.
IPV6_FREEBIND = 78
#: The other side gives up a handshake before; its system may have forgotten one already, and a
#: system tells nobody of that who says nothing. Seconds.
PATIENCE = 15
#: No machine holds so much for a stranger, or so it is hoped.
CLAIM = b"\xff\xff\xff\xff"


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
    peer, answer = NativePeer(), b""
    await stream.send_all(peer.line())
    while not answer.endswith(b"\n"):
        more = await stream.receive_some()
        if not more:
            return
        answer += more
    hello = {"port": 0, "version": "test", "received": 0, "shown": 0}
    await stream.send_all(peer.message_3(answer) + peer.seal.head)
    await stream.send_all(peer.seal.record("hello", **hello) + CLAIM + bytes(1000))


WAYS = {each.__name__: each for each in (half_open, slow, classic, native)}


async def attack(there: Endpoint, way: str, count: int, per_second: float) -> int:
    """``count`` connections, each until the other side closes it; returns how many came up."""
    made = 0

    async def knock(number: int) -> None:
        nonlocal made
        sock = trio.socket.socket(trio.socket.AF_INET6)
        with contextlib.suppress(OSError, trio.BrokenResourceError), sock:
            sock.setsockopt(trio.socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
            network, host = number % NETWORKS, number // NETWORKS + 1
            await sock.bind((f"2001:db8:bad:{network:x}::{host:x}", 0))
            await sock.connect((there.host, there.port))
            made += 1
            stream = trio.SocketStream(sock)
            with trio.move_on_after(PATIENCE):
                await WAYS[way](stream)
                while await stream.receive_some():
                    pass

    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for number in range(count):
            await trio.sleep_until(began + number / per_second)
            nursery.start_soon(knock, number)
    return made


if __name__ == "__main__":
    where, how, total, rate = sys.argv[1:]
    print(trio.run(attack, Endpoint.parse(where), how, int(total), float(rate)))
