"""Whose turn it is: what strangers say is looked at one read after the other."""

import trio

from fantom_trio.nursery.limits import Limits

__all__ = ["Turns"]


class Turns:
    """One of the strangers goes on in each round of Trio's scheduler, in the order they came.

    Known peers do not wait here: in each round they go on, so that between any two of their steps
    stands a read of one stranger, and not one of every stranger there is.
    """

    __slots__ = ("_latest", "_lock", "most_bytes")

    def __init__(self, limits: Limits) -> None:
        #: How much may be read for one turn.
        self.most_bytes = limits.stranger_read_bytes
        self._lock = trio.Lock()
        self._latest = 0

    async def wait(self, stranger: int) -> None:
        """Until the link of that number may go on; nothing is left behind when it is cancelled."""
        if stranger == self._latest and not self._lock.locked():  # it is the only one that talks
            return
        async with self._lock:
            await trio.lowlevel.checkpoint()
            self._latest = stranger
