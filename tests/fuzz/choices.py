"""Bytes as decisions: packets and texts are taken from the front, numbers from the back.

So a corpus file shows what was sent as it was sent, and a dictionary's words fit into it.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

__all__ = ["Choices", "compose", "pieces"]

T = TypeVar("T")


class Choices:
    """What the bytes still decide; where there are none left, every number is 0."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._start = 0
        self._stop = len(data)

    def __len__(self) -> int:
        return self._stop - self._start

    def number(self, below: int) -> int:
        """0 to ``below`` - 1: one byte, or two where ``below`` is more than 256."""
        value = 0
        for _ in range(1 if below <= 256 else 2):
            if self._stop > self._start:
                self._stop -= 1
                value = value << 8 | self._data[self._stop]
        return value % below

    def flag(self) -> bool:
        """True for an odd byte."""
        return self.number(2) == 1

    def pick(self, options: Sequence[T]) -> T:
        """One of at most 256."""
        return options[self.number(len(options))]

    def take(self, count: int) -> bytes:
        """From the front, as many as there are."""
        taken = self._data[self._start : min(self._start + count, self._stop)]
        self._start += len(taken)
        return taken

    def rest(self) -> bytes:
        """All that is left, from the front."""
        return self.take(len(self))

    def cuts(self) -> list[int]:
        """Up to seven places, for ``pieces``."""
        return [self.number(1 << 16) for _ in range(self.number(8))]


def compose(front: bytes, *numbers: int) -> bytes:
    """The bytes that decide so: the other way round. A number of two bytes is two of one."""
    return front + bytes(reversed(numbers))


def pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    """``data`` cut at these places, counted round and round."""
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:stop] for start, stop in pairwise(edges)]
