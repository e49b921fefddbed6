"""The other process: many peers, each with an identity of its own, that stay and say nothing.

``python -m benchmarks.peers PORT`` dials as many more as each line of its input says, and answers
with how many there are. ``--bare``: sockets and nothing else.
"""

import socket
import sys

import trio

from benchmarks.processes import many_descriptors
from fantom_trio.nursery import Connection, ConnectionLost, Endpoint, Greeter, KeyPair, Limits, dial
from fantom_trio.wire import Ping, Pong

__all__ = ["native_link"]

#: Dialed at the same time.
AT_ONCE = 8


async def native_link(port: int, identity: KeyPair) -> Connection:
    """One native link to a node on loopback, from any port, after both ``hello``."""
    return await dial(
        Endpoint("::1", port), Greeter(identity), own=None, own_port=0, limits=Limits()
    )


async def _stay(connection: Connection) -> None:
    """Answer what asks whether we live, until the other side is gone."""
    try:
        while True:
            for event in await connection.receive():
                if isinstance(event, Ping):
                    connection.link.send(Pong())
            await connection.send()
    except ConnectionLost:
        connection.close()


async def _native(port: int) -> None:
    count = 0
    slots = trio.CapacityLimiter(AT_ONCE)

    async def join() -> None:
        async with slots:
            connection = await native_link(port, KeyPair.generate())
        stayers.start_soon(_stay, connection)

    async with trio.open_nursery() as stayers:
        while line := await trio.to_thread.run_sync(sys.stdin.readline):
            async with trio.open_nursery() as joiners:
                for _ in range(int(line)):
                    joiners.start_soon(join)
            count += int(line)
            print(count, flush=True)
        stayers.cancel_scope.cancel()


def _bare(port: int) -> None:
    sockets = []
    for line in sys.stdin:
        for _ in range(int(line)):
            sockets.append(socket.create_connection(("::1", port)))
            sockets[-1].recv(1)  # it is accepted, and has its task
        print(len(sockets), flush=True)


if __name__ == "__main__":
    many_descriptors()
    if "--bare" in sys.argv:
        _bare(int(sys.argv[1]))
    else:
        trio.run(_native, int(sys.argv[1]))
