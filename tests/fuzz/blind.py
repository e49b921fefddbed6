"""A search that changes known inputs at random, without knowing what a change reaches."""

import random
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from tests.fuzz.harness import Harness

__all__ = ["Finding", "Search", "mutate", "search"]

_EDGES = (0, 1, 0x7F, 0x80, 0xFF)


@dataclass(frozen=True)
class Finding:
    """An input that breaks an invariant, and how."""

    data: bytes
    error: str


@dataclass(frozen=True)
class Search:
    """What came of one."""

    executions: int
    seconds: float
    finding: Finding | None = None


def search(
    harness: Harness,
    starts: Sequence[bytes],
    seed: int,
    *,
    executions: float = float("inf"),
    seconds: float = float("inf"),
) -> Search:
    """Run ``starts`` and then changes of them, until something is found or enough is run."""
    begun, count = time.monotonic(), 0
    for data in chain(starts, _changes(harness, starts, random.Random(seed))):
        if count >= executions or time.monotonic() - begun >= seconds:
            break
        count += 1
        try:
            harness.run(data)
        except Exception:
            finding = Finding(data, traceback.format_exc())
            return Search(count, time.monotonic() - begun, finding)
    return Search(count, time.monotonic() - begun)


def _changes(harness: Harness, starts: Sequence[bytes], rng: random.Random) -> Iterator[bytes]:
    while True:
        yield mutate(rng, rng.choice(starts), harness, starts)


def mutate(rng: random.Random, data: bytes, harness: Harness, others: Sequence[bytes]) -> bytes:
    """One to eight small changes."""
    new = bytearray(data)
    for _ in range(1 << rng.randrange(4)):
        at = rng.randrange(len(new) + 1)
        stop = min(len(new), at + rng.randrange(1, 1 << rng.randrange(1, 8)))
        kind = rng.randrange(8)
        if kind == 0 and new:
            new[at % len(new)] ^= 1 << rng.randrange(8)
        elif kind == 1 and new:
            new[at % len(new)] = rng.choice((*_EDGES, rng.randrange(256)))
        elif kind == 2:
            new[at:at] = rng.randbytes(rng.randrange(1, 5))
        elif kind == 3:
            del new[at:stop]
        elif kind == 4:
            new[at:at] = new[at:stop] * rng.randrange(1, 4)
        elif kind == 5 and harness.words:
            new[at:at] = rng.choice(harness.words)
        elif kind == 6:
            other = rng.choice(others)
            new[at:] = other[rng.randrange(len(other) + 1) :]
        elif kind == 7:
            new += rng.randbytes(rng.randrange(1, 4))
    return bytes(new[: harness.longest])
