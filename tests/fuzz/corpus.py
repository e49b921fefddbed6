"""The inputs that are kept: for each harness the smallest few that together reach the most."""

import hashlib
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import fantom_trio
from tests.fuzz.harness import Harness

__all__ = ["FOLDER", "kept", "keep", "name_of", "reached", "starts"]

FOLDER = Path(__file__).parent / "corpus"
#: For one harness, so that all of them stay under 300 KB.
MOST_FILES, MOST_BYTES = 60, 16_000
#: Slower harnesses are not asked about more.
MOST_CANDIDATES = 3000

_PACKAGE = os.path.dirname(fantom_trio.__file__)

#: File, from line, to line, and how often: the bits of the number.
Step = tuple[str, int, int, int]


def kept(harness: Harness) -> list[bytes]:
    """What is in the repository."""
    return _contents(FOLDER / harness.name)


def starts(harness: Harness) -> list[bytes]:
    """Where a search begins."""
    return [*harness.seeds, *kept(harness)]


def name_of(data: bytes) -> str:
    """A file's name."""
    return hashlib.sha256(data).hexdigest()[:12]


def keep(harness: Harness, work: Path) -> tuple[int, int]:
    """Choose anew from what is kept and what stands in ``work``; how many files and bytes."""
    folder = FOLDER / harness.name
    found = [*kept(harness), *_contents(work)]
    candidates = sorted(set(found) - set(harness.seeds), key=len)[:MOST_CANDIDATES]
    seen = set[Step]().union(*(reached(harness, each) for each in harness.seeds))
    chosen = list(_choose(seen, [(data, reached(harness, data)) for data in candidates]))
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for data in chosen:
        (folder / name_of(data)).write_bytes(data)
    return len(chosen), sum(map(len, chosen))


def _choose(seen: set[Step], candidates: list[tuple[bytes, set[Step]]]) -> Iterator[bytes]:
    """Always the one that adds most; of those that add as much, the shortest."""
    left = MOST_BYTES
    for _ in range(MOST_FILES):
        candidates = [
            (data, more)
            for data, steps in candidates
            if (more := steps - seen) and len(data) <= left
        ]
        if not candidates:
            return
        data, more = max(candidates, key=lambda each: (len(each[1]), -len(each[0])))
        seen |= more
        left -= len(data)
        yield data


def _contents(folder: Path) -> list[bytes]:
    return [file.read_bytes() for file in sorted(folder.glob("*")) if file.is_file()]


def reached(harness: Harness, data: bytes) -> set[Step]:
    """The steps from line to line that a run takes in the package."""
    steps: Counter[tuple[str, int, int]] = Counter()
    with _traced(steps):
        harness.run(data)
    return {(*step, count.bit_length()) for step, count in steps.items()}


@contextmanager
def _traced(steps: Counter[tuple[str, int, int]]) -> Iterator[None]:
    def enter(frame: FrameType, event: str, argument: Any) -> Any:
        file = frame.f_code.co_filename
        if not file.startswith(_PACKAGE):
            return None
        last = 0

        def line(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal last
            if event == "line":
                steps[file, last, frame.f_lineno] += 1
                last = frame.f_lineno
            return line

        return line

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        yield
    finally:
        sys.settrace(before)
