"""From an endpoint to a connection whose handshake is done."""

import math
from dataclasses import replace

import trio

from fantom_trio.nursery.approach import Approach, ListenerMoved
from fantom_trio.nursery.connection import Connection, NotAdmitted, Why
from fantom_trio.nursery.errors import (
    ConnectionLost,
    DialError,
    DialProblem,
    PortTaken,
    SourceGone,
)
from fantom_trio.nursery.greeter import Greeter
from fantom_trio.nursery.limits import Limits
from fantom_trio.nursery.network import Network, same_kind
from fantom_trio.nursery.tcp import TCP
from fantom_trio.wire import Endpoint, Link, RemoteProtocolError, Role, Violation

__all__ = ["DialError", "dial"]


async def dial(
    endpoint: Endpoint,
    greeter: Greeter,
    *,
    own: Endpoint | None,
    own_port: int,
    limits: Limits,
    expected: bytes | None = None,
    network: Network = TCP,
    deadline: float = math.inf,
    approach: Approach | None = None,
) -> Connection:
    """Connect and exchange the first lines, with a native peer also each ``hello``.

    Every try makes fresh keys. ``own`` is our listener, unless an ``approach`` knows where that is,
    ``own_port`` the port to name to a classic peer where there is none of that kind of address;
    ``expected`` the fingerprint that the peer must prove. A peer that breaks off is tried again
    after short pauses, one that does not answer as the approach says; without that it is one try
    from any port. ``deadline``, on Trio's clock, may be nearer than the limits. Raises
    ``DialError`` or, from the approach, ``Overtaken``; cancelled or failed, it leaves no key and no
    stream behind.
    """
    approach = approach or Approach(endpoint, own)

    async def once(*, detour: bool) -> Connection:
        seconds = min(limits.connect_seconds, _until(deadline))
        seconds = approach.bound(seconds, detour=detour)
        source = approach.source
        if (source is None or detour) and approach.listener is not None:
            source = replace(approach.listener, port=0)
        with approach.connecting():
            stream = await network.connect(endpoint, source, seconds)
        here = approach.listener
        if here is None or not same_kind(here, endpoint):
            here = replace(stream.here, port=own_port)
        link = Link(Role.DIALER, here.client_id, identity=greeter.own, expected=expected)
        connection = Connection(stream, link, endpoint)
        try:
            await connection.handshake(min(limits.handshake_seconds, _until(deadline)), greeter)
        except BaseException as error:
            connection.close()
            raise _handshake_failed(error) from None
        return connection

    pauses = iter(limits.retry_pauses)
    detour = False
    while True:
        try:
            return await once(detour=detour)
        except PortTaken:
            await approach.settle()
            # An earlier link's remains have it, and whoever lets us in does so on any port.
            detour = True
            continue
        except SourceGone:
            approach.lost_source()
            continue
        except ListenerMoved:
            detour = False
            continue
        except DialError as error:
            busy = error.problem is DialProblem.BUSY
            pause = next(pauses, None) if busy else approach.pause_after(error)
            if pause is None or trio.current_time() + pause > deadline:
                raise approach.failed(error) from None
        await trio.sleep(pause)
        detour = False


_BY_VIOLATION = {
    Violation.CLOSED_IN_HANDSHAKE: DialProblem.BUSY,
    Violation.NOT_NATIVE: DialProblem.DOWNGRADED,
    Violation.OTHER_IDENTITY: DialProblem.OTHER_IDENTITY,
    Violation.OWN_IDENTITY: DialProblem.OWN,
}


def _handshake_failed(error: BaseException) -> BaseException:
    """What is the peer's or the network's fault as a ``DialError``, all else as it is."""
    match error:
        case trio.TooSlowError():
            return DialError(DialProblem.SLOW)
        case ConnectionLost():
            return DialError(DialProblem.BUSY)
        case NotAdmitted(why=Why.BAD_INVITE):
            return DialError(DialProblem.BAD_INVITE)
        case NotAdmitted():
            return DialError(DialProblem.TURNED_AWAY)
        case RemoteProtocolError():
            problem = _BY_VIOLATION.get(error.violation, DialProblem.VIOLATION)
            return DialError(problem, violation=error.violation)
    return error


def _until(deadline: float) -> float:
    return max(0.0, deadline - trio.current_time())
