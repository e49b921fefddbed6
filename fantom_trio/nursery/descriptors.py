"""Descriptors are finite: how many there are, and what is done when they run out."""

import errno
import math
import sys
from collections.abc import Awaitable, Callable

import trio

from fantom_trio.nursery.network import Listener, Stream

__all__ = ["Door", "most_descriptors"]

_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)
#: The listener itself is no good; all else that accept(2) names is about one who came.
_BROKEN = (errno.EBADF, errno.EINVAL, errno.ENOTSOCK, errno.EOPNOTSUPP, errno.EFAULT)
#: Until somebody may have given one back, seconds.
_PAUSE = 0.1


def most_descriptors() -> float:
    """How many this process may have open at once (getrlimit(2)); infinity where nobody says."""
    if sys.platform == "win32":  # pragma: no cover
        return math.inf
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return math.inf if soft == resource.RLIM_INFINITY else soft


class Door:
    """Where those come in whom a listener accepts; it stays open when descriptors run out.

    Each time, which is ten times a second at most, it asks ``make_room``; ``tell`` is called once,
    until there were enough for ``pause`` seconds. It says whether it could.
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

    async def serve(
        self, welcome: Callable[[Stream], Awaitable[None]], nursery: trio.Nursery
    ) -> None:
        """Start ``welcome``, which closes its stream, for each; until it is cancelled.

        It closes the listener on every way out. Raises ``OSError``.
        """
        async with self._listener:
            while True:
                try:
                    nursery.start_soon(welcome, await self._listener.accept())
                except OSError as error:
                    if error.errno in _BROKEN:
                        raise
                    if error.errno in _EXHAUSTED:
                        self._run_out()
                    await trio.sleep(_PAUSE)

    def _run_out(self) -> None:
        self._make_room()
        now = trio.current_time()
        if now < self._told_until or self._tell():
            self._told_until = now + self._pause
