"""From an endpoint to a connection whose handshake is done."""

import contextlib
import enum
import errno
import math
import os
import socket
from dataclasses import replace
from typing import Any

import trio

from fantom_trio.nursery.connection import Connection, ConnectionLost, endpoint_of, index_of
from fantom_trio.nursery.limits import Limits
from fantom_trio.wire import Endpoint, Link, RemoteProtocolError, Role, Violation
from fantom_trio.wire.address import AddressError, canonical_host

__all__ = ["DialError", "DialProblem", "dial", "look_up"]


class DialProblem(enum.Enum):
    """Which step of dialing failed; the value is a short clause for logs."""

    NAME_UNKNOWN = "the name is not known"
    NO_NAME_SERVER = "no name server answered"
    IPV4_ONLY = "the name has no IPv6 address"
    NO_ZONE = "a link-local address needs the name of an interface"
    OWN = "this is our own listener"
    NO_ROUTE = "there is no IPv6 route to it"
    FORBIDDEN = "a firewall forbids it"
    REFUSED = "nobody listens on that port"
    TIMEOUT = "nobody answered"
    FAILED = "the system refused"
    BUSY = "it broke off the handshake"
    SLOW = "it did not complete the handshake in time"
    VIOLATION = "it is no Fantom Chat"
    GIVEN_UP = "we gave up"

    @property
    def answered(self) -> bool:
        """Somebody was there, and the handshake failed."""
        return self in (DialProblem.BUSY, DialProblem.SLOW, DialProblem.VIOLATION)


class DialError(Exception):
    """Dialing failed; ``detail`` is the system's word, ``violation`` the peer's fault, if any."""

    def __init__(
        self, problem: DialProblem, detail: str = "", violation: Violation | None = None
    ) -> None:
        super().__init__(f"{problem.value}{detail and ': '}{detail}")
        self.problem = problem
        self.detail = detail
        self.violation = violation


_BY_ERRNO = {
    errno.ECONNREFUSED: DialProblem.REFUSED,
    errno.ECONNRESET: DialProblem.BUSY,
    errno.ENETUNREACH: DialProblem.NO_ROUTE,
    errno.EHOSTUNREACH: DialProblem.NO_ROUTE,
    errno.EADDRNOTAVAIL: DialProblem.NO_ROUTE,
    errno.EAFNOSUPPORT: DialProblem.NO_ROUTE,
    errno.EACCES: DialProblem.FORBIDDEN,
    errno.EPERM: DialProblem.FORBIDDEN,
    errno.ETIMEDOUT: DialProblem.TIMEOUT,
}


async def look_up(endpoint: Endpoint, seconds: float) -> Endpoint:
    """The address of a name; an address comes back as it is. Raises ``DialError``."""
    if not endpoint.is_name:
        return endpoint
    with trio.move_on_after(seconds):
        for *_, address in await _addresses(endpoint, socket.AF_INET6):
            found = endpoint_of(address)
            with contextlib.suppress(AddressError):
                return replace(endpoint, host=canonical_host(found.host), zone=found.zone)
        if await _addresses(endpoint, socket.AF_INET):
            raise DialError(DialProblem.IPV4_ONLY)
        raise DialError(DialProblem.NAME_UNKNOWN)
    raise DialError(DialProblem.NO_NAME_SERVER)


async def _addresses(endpoint: Endpoint, family: socket.AddressFamily) -> list[Any]:
    try:
        return await trio.socket.getaddrinfo(endpoint.host, endpoint.port, family)
    except socket.gaierror as error:
        if error.errno == socket.EAI_AGAIN:
            raise DialError(DialProblem.NO_NAME_SERVER) from None
        return []
    except (OSError, UnicodeError):  # among them a label that no name can have
        return []


async def dial(
    endpoint: Endpoint,
    *,
    own: Endpoint | None,
    own_port: int,
    limits: Limits,
    deadline: float = math.inf,
) -> Connection:
    """Connect and exchange the first lines; every try makes fresh keys.

    ``own`` is our listener, ``own_port`` the port to name where there is none of that kind of
    address. A peer that breaks off is tried again after short pauses. ``deadline``, on Trio's
    clock, may be nearer than the limits. Raises ``DialError``; cancelled or failed, it leaves no
    key and no socket behind.
    """
    for pause in limits.retry_pauses:
        try:
            return await _dial_once(endpoint, own, own_port, limits, deadline)
        except DialError as error:
            if error.problem is not DialProblem.BUSY or trio.current_time() + pause > deadline:
                raise
        await trio.sleep(pause)
    return await _dial_once(endpoint, own, own_port, limits, deadline)


async def _dial_once(
    endpoint: Endpoint, own: Endpoint | None, own_port: int, limits: Limits, deadline: float
) -> Connection:
    stream = await _open_stream(endpoint, own, min(limits.connect_seconds, _until(deadline)))
    here = own
    if here is None or not _same_kind(here, endpoint):
        here = replace(endpoint_of(stream.socket.getsockname()), port=own_port)
    connection = Connection(stream, Link(Role.DIALER, here.client_id), endpoint)
    try:
        await connection.handshake(min(limits.handshake_seconds, _until(deadline)))
    except BaseException as error:
        connection.close()
        raise _handshake_failed(error) from None
    return connection


def _handshake_failed(error: BaseException) -> BaseException:
    """What is the peer's or the network's fault as a ``DialError``, all else as it is."""
    match error:
        case trio.TooSlowError():
            return DialError(DialProblem.SLOW)
        case ConnectionLost():
            return DialError(DialProblem.BUSY)
        case RemoteProtocolError(violation=Violation.CLOSED_IN_HANDSHAKE as violation):
            return DialError(DialProblem.BUSY, violation=violation)
        case RemoteProtocolError():
            return DialError(DialProblem.VIOLATION, violation=error.violation)
    return error


def _until(deadline: float) -> float:
    return max(0.0, deadline - trio.current_time())


async def _open_stream(
    endpoint: Endpoint, own: Endpoint | None, seconds: float
) -> trio.SocketStream:
    address = (endpoint.host, endpoint.port, 0, _scope_id(endpoint, own))
    with trio.move_on_after(seconds):
        try:
            sock = trio.socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        except OSError as error:  # no IPv6 in this kernel, or no descriptor left
            raise _failed(error) from None
        try:
            if own is not None and _same_kind(own, endpoint):
                # From the listener's address, so that the peer can dial back to where we came from.
                with contextlib.suppress(OSError, DialError):
                    await sock.bind((own.host, 0, 0, _scope_id(own, own)))
            await sock.connect(address)
        except OSError as error:
            sock.close()
            raise _failed(error) from None
        except BaseException:
            sock.close()
            raise
        return trio.SocketStream(sock)
    raise DialError(DialProblem.TIMEOUT)


def _failed(error: OSError) -> DialError:
    number = error.errno or 0
    return DialError(_BY_ERRNO.get(number, DialProblem.FAILED), os.strerror(number))


def _same_kind(own: Endpoint, endpoint: Endpoint) -> bool:
    """The one address can talk with the other."""
    return (own.is_loopback, own.is_link_local) == (endpoint.is_loopback, endpoint.is_link_local)


def _scope_id(endpoint: Endpoint, own: Endpoint | None) -> int:
    """The index of the interface a link-local address is on.

    People copy the address with the zone of the machine it was printed on. Where that is no
    interface of ours, it is ours that counts.
    """
    if not endpoint.is_link_local:
        return 0
    for zone in (endpoint.zone, own.zone if own else ""):
        try:
            return index_of(zone)
        except OSError:
            continue
    raise DialError(DialProblem.NO_ZONE)
