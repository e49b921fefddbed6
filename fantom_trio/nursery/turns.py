"""Whose turn it is: what strangers say is looked at one read after the other."""

import trio

__all__ = ["Turns"]

#: Read at once while others wait for a turn, bytes: a millisecond's work, whatever it says.
_CONTENDED_BYTES = 16 * 1024
_ALONE_BYTES = 256 * 1024


class Turns:
    """One of the strangers goes on in each round of Trio's scheduler, in the order they came.

    Known peers do not wait here: in each round they go on, so that between any two of their steps
    stands a read of one stranger, and not one of every stranger there is.
    """

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = trio.Lock()

    async def wait(self) -> None:
        """Until the caller may go on; nothing is left behind when it is cancelled."""
        async with self._lock:
            await trio.lowlevel.checkpoint()

    @property
    def most_bytes(self) -> int:
        """How much may be read for one turn."""
        waiting = self._lock.statistics().tasks_waiting
        return _CONTENDED_BYTES if waiting else _ALONE_BYTES
