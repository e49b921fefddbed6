"""Classic messages received through the nursery, from a sender in a process of its own."""

import hashlib
import socket
import sys
import time

import trio

from benchmarks.processes import OURS, Other, on
from fantom_trio.nursery import Endpoint, LinkUp, Received, open_node
from fantom_trio.wire import Link, Role

__all__ = ["greet", "received"]


def received(size: int, count: int) -> float:
    """Messages of ``size`` bytes a second, from the first read to the last of ``count``."""
    with on(OURS):
        return trio.run(_received, size, count)


async def _received(size: int, count: int) -> float:
    async with open_node() as node:
        where = await node.listen(Endpoint("::1", 0))
        with Other("receive", where.port, size, count):
            first = heard = 0
            start = 0.0
            async for event in node.events:
                if isinstance(event, LinkUp):
                    event.conversation.want()  # strangers wait for each other, friends do not
                elif isinstance(event, Received):
                    heard += len(event.messages)
                    if not first:  # the clock starts behind it, so it does not count
                        first, start = heard, time.perf_counter()
                    if heard >= count:
                        break
            return (heard - first) / (time.perf_counter() - start)


def greet(sock: socket.socket, client: int) -> Link:
    """The handshake of a classic peer that says it listens on ``client``."""
    link = Link(Role.DIALER, f"::1:{client}".encode())
    sock.sendall(link.data_to_send())
    link.receive_data(sock.recv(2048))
    return link


def _send(port: int, size: int, count: int) -> None:
    """The other process: every frame is built before the first is sent."""
    with socket.create_connection(("::1", port)) as sock:
        link = greet(sock, 40000)
        text = hashlib.shake_128(b"text").hexdigest((size + 1) // 2)[:size]
        for _ in range(count):
            link.say(text)
        sock.sendall(link.data_to_send())
        sys.stdin.read()  # until all was received


if __name__ == "__main__":
    _send(*map(int, sys.argv[1:]))
