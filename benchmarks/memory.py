"""Resident memory of a node per idle connection."""

from collections.abc import Sequence
from itertools import pairwise

import psutil

from benchmarks.processes import Other

__all__ = ["per_connection", "resident"]

#: Connections before the first look: what is made once is there.
WARM = 50


def resident(steps: Sequence[int], *, bare: bool = False) -> list[float]:
    """KiB of the listening process with so many connections, each step more than the one before.

    ``bare``: only a task and a socket of Trio's for each.
    """
    flags = ["--bare"] if bare else []
    with Other("node", *flags) as node, Other("peers", node.hear(), *flags) as peers:
        process = psutil.Process(node.process.pid)
        sizes, there = [], 0
        for step in steps:
            there = peers.ask(step - there)
            sizes.append(process.memory_info().rss / 1024)
    return sizes


def per_connection(*steps: int, bare: bool = False) -> list[float]:
    """KiB that each connection took, from each of ``steps`` connections to the next."""
    sizes = resident([WARM, *steps], bare=bare)
    counts = pairwise([WARM, *steps])
    return [
        (after - before) / (more - less)
        for (before, after), (less, more) in zip(pairwise(sizes), counts, strict=True)
    ]
