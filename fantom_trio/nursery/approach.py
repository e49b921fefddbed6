"""How a dial comes to a stream: from which port, for how long, and whether it still has to.

A firewall that keeps state lets in what answers. Two people behind two of them meet when each dials
from its own listening port to the other's: the first packet of each side opens its own firewall for
the other's, and where the two meet on the way it is TCP's simultaneous open (RFC 9293, 3.5).
"""

import contextlib
from collections.abc import Iterator

import trio

from fantom_trio.nursery.connection import Connection
from fantom_trio.nursery.errors import DialError, DialProblem
from fantom_trio.nursery.network import same_kind
from fantom_trio.wire import Endpoint

__all__ = ["Approach", "Arrivals", "Overtaken", "is_same_place"]

#: Before the next packet where a router answered the last one: seconds.
_ANSWERED_PAUSE = 0.5


class Overtaken(Exception):
    """Another link with the peer is up: there is nothing to connect for."""


class Arrivals:
    """The incoming connections whose handshakes are under way."""

    def __init__(self) -> None:
        #: What is set when it is over, where somebody waits for that.
        self._settled: dict[Connection, trio.Event | None] = {}

    def begin(self, connection: Connection) -> None:
        """Its handshake is under way."""
        self._settled[connection] = None

    def end(self, connection: Connection) -> None:
        """It is over; what follows without a checkpoint still comes first."""
        settled = self._settled.pop(connection)
        if settled is not None:
            settled.set()

    async def settle(self, endpoint: Endpoint) -> None:
        """Wait for those from that very address and port: each is up then, or gone."""
        for connection in list(self._settled):
            if connection in self._settled and is_same_place(connection.peer, endpoint):
                settled = self._settled[connection]
                if settled is None:
                    settled = self._settled[connection] = trio.Event()
                await settled.wait()


class Approach:
    """One dial to ``endpoint``, as whoever waits for it sees it.

    It goes out from ``listener``, where that can talk with the peer, and is begun again from there
    for ``seconds``. Else, and without one, it is one try from any port.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        listener: Endpoint | None = None,
        seconds: float = 0,
        arrivals: Arrivals | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._arrivals = arrivals or Arrivals()
        #: Where it goes out from; None: from any port.
        self.source = None
        if listener is not None and same_kind(listener, endpoint):
            # From its own port a socket would connect to itself, and never reach the listener.
            self.source = None if is_same_place(listener, endpoint) else listener
        #: Somebody took the connection.
        self.answered = False
        self._began = trio.current_time()
        self._until = self._began + seconds
        self._overtaken = False
        self._connecting = trio.CancelScope()

    @property
    def lasted(self) -> float:
        """Seconds since it began."""
        return trio.current_time() - self._began

    def overtake(self) -> None:
        """Another link is up: nothing more is connected, but a handshake under way goes on.

        The peer may think that one up already; with nothing but a connection it cannot.
        """
        self._overtaken = True
        self._connecting.cancel()

    @contextlib.contextmanager
    def connecting(self) -> Iterator[None]:
        """One try to connect; raises ``Overtaken``."""
        self.answered = False
        with trio.CancelScope() as self._connecting:
            if self._overtaken:
                raise Overtaken
            yield
            self.answered = True
        if self._connecting.cancelled_caught:
            raise Overtaken

    def bound(self, seconds: float) -> float:
        """How long one try may take, of at most ``seconds``."""
        if self.source is None:
            return seconds
        return min(seconds, max(0.0, self._until - trio.current_time()))

    async def settle(self) -> None:
        """Wait for what the peer began between the same two addresses and ports."""
        await self._arrivals.settle(self._endpoint)

    def pause_after(self, error: DialError) -> float | None:
        """Seconds before it is begun again; None where that is of no use, or it is too late."""
        if self.source is None or not error.problem.passing:
            return None
        pause = 0.0 if error.problem is DialProblem.TIMEOUT else _ANSWERED_PAUSE
        return pause if trio.current_time() + pause < self._until else None

    def failed(self, error: DialError) -> DialError:
        """``error``, which also says from where, and for how long, a firewall was in the way."""
        barred = error.problem.passing or error.problem is DialProblem.REFUSED
        if self.source is not None and barred and not self._endpoint.is_loopback:
            error.source, error.seconds = self.source, self.lasted
        return error


def is_same_place(one: Endpoint, other: Endpoint) -> bool:
    """One address and port; zones are named differently on each machine."""
    return (one.host, one.port) == (other.host, other.port)
