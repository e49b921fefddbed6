"""Native messages through two nurseries: sent here, acknowledged by a node in another process."""

import hashlib
import time

import trio

from benchmarks.processes import OURS, Other, on
from fantom_trio.nursery import (
    Conversation,
    Delivered,
    Endpoint,
    LinkUp,
    Node,
    OutboxFull,
    open_node,
)

__all__ = ["acknowledged", "said"]


def acknowledged(size: int, count: int) -> float:
    """Messages of ``size`` bytes a second, from the first ``say`` to the last ``Delivered``."""
    with Other("node") as other:
        return said(other.hear(), size, count)


def said(port: int, size: int, count: int) -> float:
    """The same, to a node that listens already."""
    with on(OURS):
        return trio.run(_said, port, size, count)


async def _said(port: int, size: int, count: int) -> float:
    text = hashlib.shake_128(b"text").hexdigest((size + 1) // 2)[:size]
    async with open_node() as node:
        node.connect(Endpoint("::1", port))
        conversation = await _up(node)
        left, delivered, start = count, 0, time.perf_counter()
        while delivered < count:
            try:
                while left:
                    node.say(conversation, text)
                    left -= 1
            except OutboxFull:  # as much waits as may wait: on with what is acknowledged
                pass
            event = await node.events.receive()
            if isinstance(event, Delivered):
                delivered += len(event.messages)
        return count / (time.perf_counter() - start)


async def _up(node: Node) -> Conversation:
    while True:
        event = await node.events.receive()
        if isinstance(event, LinkUp):
            return event.conversation
