"""Classic messages received through the nursery, from a sender in a process of its own."""

import hashlib
import socket
import subprocess
import sys
import time

import trio

from fantom_trio.nursery import Endpoint, Received, open_node
from fantom_trio.wire import Link, Role
from fantom_trio.wire.secret import Secret, open_box, random_nonce, seal_box

__all__ = ["received", "unsealed"]


def received(size: int, count: int) -> float:
    """Messages of ``size`` bytes a second, from the first to the last of ``count``."""
    return trio.run(_received, size, count)


async def _received(size: int, count: int) -> float:
    async with open_node() as node:
        where = await node.listen(Endpoint("::1", 0))
        sender = await trio.lowlevel.open_process(
            [sys.executable, "-m", "benchmarks.receive", str(where.port), str(size), str(count)],
            stdout=subprocess.DEVNULL,
        )
        heard, start = 0, 0.0
        async for event in node.events:
            if isinstance(event, Received):
                start = start or time.perf_counter()
                heard += len(event.messages)
                if heard == count:
                    break
        seconds = time.perf_counter() - start
        await sender.wait()
    return count / seconds


def unsealed(size: int, count: int) -> float:
    """Messages of ``size`` bytes that libsodium alone opens in a second: the floor of the cost."""
    key, nonce = Secret.random(32), random_nonce()
    box = seal_box(key, nonce, bytes(size))
    boxes = [bytearray(box) for _ in range(count)]
    start = time.perf_counter()
    for each in boxes:
        open_box(key, nonce, each, 0, len(each))
    return count / (time.perf_counter() - start)


def _send(port: int, size: int, count: int) -> None:
    """The other process: every frame is built before the first is sent."""
    link = Link(Role.DIALER, b"::1:40000")
    with socket.create_connection(("::1", port)) as sock:
        sock.sendall(link.data_to_send())
        link.receive_data(sock.recv(2048))
        text = hashlib.shake_128(b"text").hexdigest(size // 2)
        frames = bytearray()
        for _ in range(count):
            link.say(text)
        frames = link.data_to_send()
        sock.sendall(frames)
        sock.shutdown(socket.SHUT_WR)
        sock.recv(1)


if __name__ == "__main__":
    _send(*map(int, sys.argv[1:]))
