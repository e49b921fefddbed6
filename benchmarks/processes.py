"""Two processes, one core each."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import fantom_trio

__all__ = ["OURS", "THEIRS", "Other", "environment", "many_descriptors", "on"]

_CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
#: The core of whoever measures, and that of the other process; the same where there is only one.
OURS = _CORES[:1]
THEIRS = _CORES[1:2] or OURS

#: What developers set and users do not: it makes a Python start slower.
_SLOW = {"PYTHONDONTWRITEBYTECODE", "PYTHONDEVMODE", "PYTHONASYNCIODEBUG", "PYTHONTRACEMALLOC"}


@contextmanager
def on(cores: Sequence[int]) -> Iterator[None]:
    """This thread, and whatever it starts meanwhile, runs on these cores."""
    if not cores:  # a system that does not let us choose
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def environment(**more: str) -> dict[str, str]:
    """For a program that is to run the very ``fantom_trio`` that is measured here."""
    inherited = {name: value for name, value in os.environ.items() if name not in _SLOW}
    places = [str(Path(fantom_trio.__file__).parents[1]), str(Path(__file__).parents[1])]
    return {**inherited, "PYTHONPATH": os.pathsep.join(places), **more}


def many_descriptors() -> None:
    """As many open files as we may have: a connection is one."""
    if sys.platform != "win32":
        import resource

        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class Other:
    """``python -m benchmarks.MODULE`` on the other core; it ends when its input does.

    It says one line when it is ready, and one line in answer to each that it is told.
    """

    def __init__(self, module: str, *arguments: object) -> None:
        with on(THEIRS):
            self.process = subprocess.Popen(
                [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(),
            )  # fmt: skip

    def hear(self) -> int:
        """Its next line, which is a number."""
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())

    def ask(self, number: int) -> int:
        """Tell it a number, and hear its answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"%d\n" % number)
        self.process.stdin.flush()
        return self.hear()

    def __enter__(self) -> "Other":
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
