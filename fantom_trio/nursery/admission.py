"""Who may knock: a bound on handshakes that are not complete."""

import contextlib
from collections.abc import Iterator

from fantom_trio.nursery.connection import Connection, Ending, Why
from fantom_trio.nursery.limits import Limits

__all__ = ["Admission"]


class Admission:
    """The incoming handshakes that are not complete, oldest first."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._incomplete: dict[Connection, None] = {}

    def __len__(self) -> int:
        return len(self._incomplete)

    @contextlib.contextmanager
    def handshake(self, connection: Connection) -> Iterator[None]:
        """A place for ``connection`` while its handshake lasts; with all taken, the oldest ends."""
        while len(self._incomplete) >= self._limits.handshakes:
            oldest = next(iter(self._incomplete))
            del self._incomplete[oldest]
            oldest.end(Ending(Why.EVICTED))
        self._incomplete[connection] = None
        try:
            yield
        finally:
            self._incomplete.pop(connection, None)
