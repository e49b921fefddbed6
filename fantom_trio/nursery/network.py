"""The seam to the network: all that a node asks of it.

``tcp`` is the operating system's. Tests run whole nodes over one that is only memory.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Protocol

import trio

from fantom_trio.wire import Endpoint

__all__ = ["Listener", "Network", "Stream", "same_kind"]


class Stream(trio.abc.AsyncResource):
    """The bytes of one connection, both ways."""

    #: The other end; where we dialed, what was dialed.
    peer: Endpoint
    #: Our end.
    here: Endpoint

    @abstractmethod
    async def receive_into(self, room: Callable[[], memoryview]) -> int:
        """Read once and return how many bytes; 0 is the peer's end. Raises ``ConnectionLost``.

        ``room`` is called when there is something to read, not before: an idle link holds no
        buffer. Cancelled, it has read nothing.
        """

    @abstractmethod
    async def send_all(self, data: bytes | bytearray) -> None:
        """Write all of ``data``; raises ``ConnectionLost``.

        Cancelled or failed, some, all or none of it went out. Nothing of ``data`` is looked at
        after this returned.
        """

    @abstractmethod
    def send_now(self, data: bytes | bytearray) -> bool:
        """Write what goes out at once: a farewell. True when that was all of ``data``.

        Never blocks, never raises. It must not come into the middle of a ``send_all``.
        """

    @abstractmethod
    async def send_eof(self) -> None:
        """Close our direction. Raises ``ConnectionLost``."""

    @abstractmethod
    def close(self) -> None:
        """Close both directions; synchronous and idempotent. What was written still goes out."""

    def abort(self) -> None:
        """``close`` at once: nothing more goes out but a reset, and the ports are free again."""
        self.close()

    async def aclose(self) -> None:
        """``close``, for Trio's servers."""
        self.close()
        await trio.lowlevel.checkpoint()


class Listener(trio.abc.Listener[Stream]):
    """Accepts connections until it is closed.

    ``accept`` raises ``OSError`` when there is no descriptor left; whoever asks waits then.
    """

    #: Where it listens; its port is never 0.
    endpoint: Endpoint


class Network(Protocol):
    """Where streams come from."""

    async def connect(self, endpoint: Endpoint, own: Endpoint | None, seconds: float) -> Stream:
        """Connect to an address, within ``seconds``, from ``own``'s where that can talk with it.

        ``own`` is our listener, and its port the one to connect from; 0 is any. Raises
        ``DialError``, or at once ``PortTaken`` or, where the port is given, ``SourceGone``;
        cancelled or failed, nothing is left open.
        """

    def listen(self, endpoint: Endpoint) -> Listener:
        """Listen; port 0 lets the system choose one. Raises ``ListenError``."""


def same_kind(own: Endpoint, endpoint: Endpoint) -> bool:
    """The one address can talk with the other."""
    return (own.is_loopback, own.is_link_local) == (endpoint.is_loopback, endpoint.is_link_local)
