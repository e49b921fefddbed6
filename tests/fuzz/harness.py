"""What a harness is, and what several of them check."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from unittest import mock

from hypothesis import strategies as st

from fantom_trio.wire.secret import Secret

__all__ = ["Harness", "all_wiped", "front_and_numbers"]


def front_and_numbers(front: st.SearchStrategy[bytes], most: int = 24) -> st.SearchStrategy[bytes]:
    """What is sent, and the numbers that decide about it."""
    return st.builds(bytes.__add__, front, st.binary(max_size=most))


@dataclass(frozen=True)
class Harness:
    """``run`` takes any bytes and raises when an invariant is broken, whatever it raises."""

    name: str
    run: Callable[[bytes], None]
    #: What a run may be made of: where a search begins.
    seeds: Sequence[bytes]
    #: Inputs by the structure that the harness gives them.
    strategy: st.SearchStrategy[bytes] = field(default_factory=st.binary)
    #: What the parser looks for.
    words: Sequence[bytes] = ()
    #: Longer inputs say nothing more.
    longest: int = 4096
    #: Its part of the time, when all run.
    share: int = 1


@contextmanager
def all_wiped() -> Iterator[list[Secret]]:
    """Every secret that is made within must be wiped at the end, by whoever made it.

    They are held here, so that none is wiped because it was collected.
    """
    made: list[Secret] = []
    begin = Secret.__init__

    def note(self: Secret, size: int) -> None:
        begin(self, size)
        made.append(self)

    with mock.patch.object(Secret, "__init__", note):
        yield made
    left = [each for each in made if not each.wiped]
    assert not left, f"{len(left)} of {len(made)} secrets are not wiped: {left}"
