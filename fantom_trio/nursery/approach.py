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

__all__ = ["Approach", "Arrivals", "ListenerMoved", "Overtaken", "is_same_place"]

#: Before the next packet where somebody answered the last one: seconds.
_ANSWERED_PAUSE = 0.5
#: In a row, and it is believed that nobody listens. One may come from a peer that dials us as well,
#: and has just begun anew.
_REFUSALS = 4
#: For a try from any port, while ours is not free: seconds.
_DETOUR = 3


class Overtaken(Exception):
    """Another link with the peer is up: there is nothing to connect for."""


class ListenerMoved(Exception):
    """Our listener is another one than when the try began."""


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
    for ``seconds``. Else, and without one, or for no time, it is one try from any port.
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
        #: Where we listen now.
        self.listener = listener
        #: Somebody took the connection.
        self.answered = False
        self._began = trio.current_time()
        self._until = self._began + seconds
        self._lasts = seconds > 0
        #: No interface has the listener's address any more.
        self._gone = False
        self._refusals = 0
        #: What was answered last, and whether the last try was cut short by the time being over.
        self._heard: DialError | None = None
        self._cut = False
        self._overtaken = False
        self._connecting = trio.CancelScope()

    @property
    def source(self) -> Endpoint | None:
        """Where it goes out from; None: from any port."""
        listener = self.listener
        if not self._lasts or self._gone or listener is None:
            return None
        # From its own port a socket would connect to itself, and never reach the listener.
        barred = not same_kind(listener, self._endpoint) or is_same_place(listener, self._endpoint)
        return None if barred else listener

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

    def moved(self, listener: Endpoint | None) -> None:
        """We listen there now: what is being connected from elsewhere is begun again."""
        before = self.source
        self.listener, self._gone = listener, False
        if self.source != before:
            self._connecting.cancel()

    def lost_source(self) -> None:
        """The listener's address is gone: until it moves, any port has to do."""
        self._gone = True
        self._connecting.cancel()

    @contextlib.contextmanager
    def connecting(self) -> Iterator[None]:
        """One try to connect; raises ``Overtaken`` or ``ListenerMoved``."""
        self.answered = False
        with trio.CancelScope() as self._connecting:
            if self._overtaken:
                raise Overtaken
            yield
            self.answered = True
        if self._connecting.cancelled_caught:
            raise Overtaken if self._overtaken else ListenerMoved

    def bound(self, seconds: float, *, detour: bool = False) -> float:
        """How long one try may take, of at most ``seconds``; a ``detour`` is from any port."""
        if self.source is None:
            return seconds
        seconds = min(seconds, _DETOUR) if detour else seconds
        left = max(0.0, self._until - trio.current_time())
        self._cut = left < seconds
        return min(seconds, left)

    async def settle(self) -> None:
        """Wait for what the peer began between the same two addresses and ports."""
        await self._arrivals.settle(self._endpoint)

    def pause_after(self, error: DialError) -> float | None:
        """Seconds before it is begun again; None where that is of no use, or it is too late."""
        refused = error.problem is DialProblem.REFUSED and not self._endpoint.is_loopback
        self._refusals = self._refusals + 1 if refused else 0
        if self.source is None or not (error.problem.passing or 0 < self._refusals < _REFUSALS):
            return None
        if error.problem is not DialProblem.TIMEOUT:
            self._heard = error
        elif not self._cut:
            self._heard = None
        pause = 0.0 if error.problem is DialProblem.TIMEOUT else _ANSWERED_PAUSE
        return pause if trio.current_time() + pause < self._until else None

    def failed(self, error: DialError) -> DialError:
        """``error``, which also says from where, and for how long, a firewall was in the way."""
        if error.problem is DialProblem.TIMEOUT and self._cut and self._heard is not None:
            error = self._heard  # it was not given the time to come once more
        barred = error.problem.passing or error.problem is DialProblem.REFUSED
        near = self._endpoint.is_loopback or self._endpoint.is_link_local
        if self.source is not None and barred and not near:
            error.source, error.seconds = self.source, self.lasted
        return error


def is_same_place(one: Endpoint, other: Endpoint) -> bool:
    """One address and port; zones are named differently on each machine."""
    return (one.host, one.port) == (other.host, other.port)
