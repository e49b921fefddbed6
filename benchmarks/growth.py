"""How the cost grows: with connections, with messages, with their size."""

import sys
import time

import psutil
import trio

from benchmarks.handshakes import links_a_second, native
from benchmarks.native import acknowledged, said
from benchmarks.processes import OURS, Other, on
from benchmarks.receive import received
from benchmarks.start import cpu_seconds
from fantom_trio.nursery import Conversation, Endpoint, Received, open_node

__all__ = ["connections", "history", "sizes", "tell"]

CONNECTIONS = (1, 10, 100, 1_000, 5_000)
MESSAGES = (10, 100, 1_000, 10_000, 100_000, 1_000_000)
#: The longest that one frame of a classic link, and one record of a native one, holds, too.
SIZES = (1, 16, 256, 1_024, 4_096, 16_384, 61_000, 65_400)

#: A line of figures; the first says what it is about.
Line = tuple[float, ...]


def connections(counts: tuple[int, ...], *, idle: float, messages: int) -> list[Line]:
    """With so many idle native connections: memory in MiB, handshakes and messages a second of one
    more, and per cent of a core that the idle ones take, over ``idle`` seconds."""
    lines: list[Line] = []
    with Other("node") as node, on(OURS):
        port = node.hear()
        process = psutil.Process(node.process.pid)
        with Other("peers", port) as peers:
            there = 0
            for count in counts:
                there = peers.ask(count - there)
                memory = process.memory_info().rss / 2**20
                handshakes = trio.run(links_a_second, native, port, 50, 1)
                rate = said(port, 100, messages)
                before, start = cpu_seconds(node.process.pid), time.perf_counter()
                time.sleep(idle)
                used = cpu_seconds(node.process.pid) - before
                share = 100 * used / (time.perf_counter() - start)
                lines.append((count, memory, handshakes, rate, share))
    return lines


def history(counts: tuple[int, ...]) -> list[Line]:
    """After so many messages of 100 bytes: how many are remembered, MiB that they took, messages a
    second (0 where all came in one read), and microseconds until the last 20 are there to be shown.
    """
    lines: list[Line] = []
    for count in counts:
        with Other("growth", count) as other:  # its memory is not what an earlier one left
            lines.append((count, *(other.hear() / 1000 for _ in range(4))))
    return lines


async def _remember(count: int) -> None:
    process = psutil.Process()
    async with open_node() as node:
        where = await node.listen(Endpoint("::1", 0))
        with Other("receive", where.port, 100, count):
            memory = process.memory_info().rss
            first = heard = 0
            start = 0.0
            conversation: Conversation | None = None
            async for event in node.events:
                if isinstance(event, Received):
                    heard, conversation = heard + len(event.messages), event.conversation
                    if not first:
                        first, start = heard, time.perf_counter()
                    if heard >= count:
                        break
            seconds = time.perf_counter() - start
        assert conversation is not None
        start = time.perf_counter()
        conversation.history.latest(20)
        looked = time.perf_counter() - start
        grown = (process.memory_info().rss - memory) / 2**20
        for figure in (len(conversation.history), grown, (heard - first) / seconds, 1e6 * looked):
            print(round(1000 * figure), flush=True)


def sizes(lengths: tuple[int, ...], *, total: int, most: int) -> list[Line]:
    """Of texts so long: classic ones a second and MB/s, native ones a second and MB/s; ``total``
    bytes of each are sent, but ``most`` messages at most."""
    lines: list[Line] = []
    for length in lengths:
        count = max(50, min(most, total // length))
        one_way, both = received(length, count), acknowledged(length, count)
        lines.append((length, one_way, one_way * length / 1e6, both, both * length / 1e6))
    return lines


def tell() -> None:
    """Print all three."""
    _print(
        ("idle connections", "MiB", "handshakes/s", "messages/s", "% of a core"),
        connections(CONNECTIONS, idle=20, messages=10_000),
    )
    _print(
        ("messages received", "remembered", "MiB", "messages/s", "µs, last 20"), history(MESSAGES)
    )
    _print(
        ("bytes of text", "classic/s", "classic MB/s", "native/s", "native MB/s"),
        sizes(SIZES, total=60_000_000, most=50_000),
    )


def _print(head: tuple[str, ...], lines: list[Line]) -> None:
    print("".join(f"{each:>20}" for each in head))
    for line in lines:
        figures = (f"{each:>20,.0f}" if each >= 1000 else f"{each:>20,.4g}" for each in line)
        print("".join(figures))
    print(flush=True)


if __name__ == "__main__":
    with on(OURS):
        trio.run(_remember, int(sys.argv[1]))
