"""Descriptors are finite: how many there are, and what is done when they run out."""

import errno
import math
import sys
from collections.abc import Callable

import trio

from fantom_trio.nursery.network import Listener, Stream

__all__ = ["Door", "most_descriptors"]

_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)


def most_descriptors() -> float:
    """How many this process may have open at once (getrlimit(2)); infinity where nobody says."""
    if sys.platform == "win32":  # pragma: no cover
        return math.inf
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return math.inf if soft == resource.RLIM_INFINITY else soft


class Door(trio.abc.Listener[Stream]):
    """A listener that goes on when the system has no descriptor left to accept with.

    Each time, which is ten times a second at most (``trio.serve_listeners`` waits between), it asks
    ``make_room``; ``tell`` is called once, until there were enough for ``pause`` seconds. It says
    whether it could.
    """

    def __init__(
        self,
        listener: Listener,
        pause: float,
        make_room: Callable[[], None],
        tell: Callable[[], bool],
    ) -> None:
        self._listener = listener
        self._pause = pause
        self._make_room = make_room
        self._tell = tell
        self._told_until = -math.inf

    async def accept(self) -> Stream:
        """The next one; raises ``OSError``."""
        try:
            return await self._listener.accept()
        except OSError as error:
            if error.errno in _EXHAUSTED:
                self._make_room()
                now = trio.current_time()
                if now < self._told_until or self._tell():
                    self._told_until = now + self._pause
            raise

    async def aclose(self) -> None:
        """Close the listener."""
        await self._listener.aclose()
