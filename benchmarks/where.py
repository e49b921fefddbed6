"""Where the time goes: the process that measures, and the node in the other, under cProfile.

It makes every call of Python's dearer and those of C not, so that only the shares mean anything,
and they are too small for the kernel and libsodium.
"""

import cProfile
import os
import pstats
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from benchmarks.table import Benchmark

__all__ = ["profiled", "run", "tell"]

#: Set, a node in another process tells its own profile.
VARIABLE = "FANTOM_BENCHMARK_PROFILE"
SHOWN = 25


def tell(benchmarks: Sequence[Benchmark]) -> None:
    """Print both profiles of each."""
    os.environ[VARIABLE] = "1"
    for benchmark in benchmarks:
        with profiled(f"{benchmark.name}: whoever measures"):
            benchmark.measure()


@contextmanager
def profiled(title: str) -> Iterator[None]:
    """Print the profile of what runs inside, on standard error."""
    profile = cProfile.Profile()
    try:
        with profile:
            yield
    finally:
        print(f"\n{title}", file=sys.stderr)
        pstats.Stats(profile, stream=sys.stderr).strip_dirs().sort_stats("tottime").print_stats(
            SHOWN
        )


def run(title: str, action: Callable[[], object]) -> None:
    """``action``, with its profile where that is wanted."""
    if VARIABLE in os.environ:
        with profiled(title):
            action()
    else:
        action()
