"""The operating system's network: names, interfaces, and TCP over IPv6."""

import contextlib
import errno
import os
import socket
import struct
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import trio

from fantom_trio.nursery.errors import (
    ConnectionLost,
    DialError,
    DialProblem,
    ListenError,
    PortTaken,
    SourceGone,
)
from fantom_trio.nursery.limits import DEAD_SECONDS
from fantom_trio.nursery.network import Listener, Stream, same_kind
from fantom_trio.wire import Endpoint
from fantom_trio.wire.address import AddressError, canonical_host

__all__ = ["TCP", "Tcp", "TcpListener", "TcpStream", "index_of", "look_up"]

#: ``linux/tcp.h``: the longest pause between two retransmissions, milliseconds.
_TCP_RTO_MAX_MS = 44
#: The system takes no more while so much of what it took is not sent yet, bytes.
_UNSENT_BYTES = 16 * 1024

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
#: What the system says where the two addresses and ports are in use: Linux, then others.
_TAKEN = (errno.EADDRNOTAVAIL, errno.EADDRINUSE)


class TcpStream(Stream):
    """A connected socket; it notices a peer that is gone without a word.

    The socket is Python's own: Trio's would add two steps of the scheduler to each read and write.
    """

    def __init__(self, sock: socket.socket, peer: Endpoint, here: Endpoint) -> None:
        """``sock`` never blocks."""
        self.peer = peer
        self.here = here
        self._sock = sock
        self._ended = False

    async def receive_into(self, room: Callable[[], memoryview]) -> int:
        """One read of the socket."""
        try:
            while True:
                await trio.lowlevel.wait_readable(self._sock)
                try:
                    return self._sock.recv_into(room())
                except BlockingIOError:  # somebody said that there was something
                    continue
        except OSError as error:
            raise ConnectionLost from error

    async def send_all(self, data: bytes | bytearray) -> None:
        """As many writes as it takes."""
        if self._ended:
            raise trio.ClosedResourceError("nothing is written behind the end")
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            sent = self._send(data)
            if sent == len(data):
                # Whoever writes on and on leaves others their turn.
                await trio.lowlevel.cancel_shielded_checkpoint()
                return
            with memoryview(data) as rest:
                while sent < len(rest):
                    await trio.lowlevel.wait_writable(self._sock)
                    sent += self._send(rest[sent:])
        except OSError as error:
            raise ConnectionLost from error

    def _send(self, data: bytes | bytearray | memoryview) -> int:
        try:
            return self._sock.send(data)
        except BlockingIOError:
            return 0

    def send_now(self, data: bytes | bytearray) -> bool:
        """One write that the socket, which never blocks, takes or not."""
        try:
            return self._sock.send(data) == len(data)
        except OSError:
            return False

    async def send_eof(self) -> None:
        """Shut down the writing half."""
        await trio.lowlevel.checkpoint()
        self._ended = True
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise ConnectionLost from error

    def close(self) -> None:
        """The system still sends what it took, as long as we left nothing unread."""
        if self._sock.fileno() != -1:
            trio.lowlevel.notify_closing(self._sock)
            self._sock.close()

    def abort(self) -> None:
        """The system forgets it, instead of sending to a peer that is gone for a minute more."""
        with contextlib.suppress(OSError):  # it is closed already
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()


def _new_socket() -> socket.socket:
    """TCP over IPv6; it never blocks. Raises ``OSError``."""
    sock = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    sock.setblocking(False)
    return sock


def _prepare(sock: socket.socket) -> None:
    """What every connection is to have; on Linux those that a listener accepts inherit it."""
    options = {(socket.SOL_SOCKET, socket.SO_KEEPALIVE): 1}
    options[socket.IPPROTO_TCP, socket.TCP_NODELAY] = 1
    if sys.platform == "linux":  # tcp(7); elsewhere the system's own times hold
        # What waits for the peer to read waits here, where a newer link can still take it.
        options[socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT] = _UNSENT_BYTES
        options[socket.IPPROTO_TCP, socket.TCP_KEEPIDLE] = DEAD_SECONDS // 3
        options[socket.IPPROTO_TCP, socket.TCP_KEEPINTVL] = DEAD_SECONDS // 6
        options[socket.IPPROTO_TCP, socket.TCP_KEEPCNT] = 4
        options[socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT] = DEAD_SECONDS * 1000
    with contextlib.suppress(OSError):  # it may be gone already: the first read will tell
        for (level, option), value in options.items():
            sock.setsockopt(level, option, value)
        if sys.platform == "linux":
            # A way that works again is noticed soon; kernels before 6.15 do not know it.
            sock.setsockopt(socket.IPPROTO_TCP, _TCP_RTO_MAX_MS, 4000)


class TcpListener(Listener):
    """A socket that listens."""

    def __init__(self, sock: socket.socket, endpoint: Endpoint) -> None:
        """``sock`` never blocks."""
        self.endpoint = endpoint
        #: Our end of all that is accepted; of a listener on every address, the connection's.
        self._here = None if endpoint.host == "::" else _endpoint_of(sock.getsockname())
        self._sock = sock

    async def accept(self) -> TcpStream:
        """The next one that is still there."""
        await trio.lowlevel.checkpoint_if_cancelled()
        stream, waited = self._try_accept(), False
        while stream is None:
            await trio.lowlevel.wait_readable(self._sock)
            stream, waited = self._try_accept(), True
        if not waited:  # those who were accepted have their turn first
            await trio.lowlevel.cancel_shielded_checkpoint()
        return stream

    def _try_accept(self) -> TcpStream | None:
        while True:
            try:
                sock, _ = self._sock.accept()
            except BlockingIOError:
                return None
            sock.setblocking(False)
            if sys.platform != "linux":  # pragma: no cover
                _prepare(sock)
            try:
                peer = _endpoint_of(sock.getpeername())
                return TcpStream(sock, peer, self._here or _endpoint_of(sock.getsockname()))
            except OSError:  # it is gone already
                sock.close()

    async def aclose(self) -> None:
        """What was not accepted is reset."""
        trio.lowlevel.notify_closing(self._sock)
        self._sock.close()
        await trio.lowlevel.checkpoint()


class Tcp:
    """The operating system's network."""

    async def connect(self, endpoint: Endpoint, own: Endpoint | None, seconds: float) -> TcpStream:
        """A socket of its own for every try."""
        address = (endpoint.host, endpoint.port, 0, _scope_id(endpoint, own))
        with trio.move_on_after(seconds):
            try:
                sock = _new_socket()
            except OSError as error:  # no IPv6 in this kernel, or no descriptor left
                raise _failed(error, address) from None
            from_port = False
            try:
                from_port = own is not None and _bind(sock, own, endpoint)
                if from_port:
                    # Given up half-way it must leave nothing behind that holds the port.
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                await _connect(sock, address)
                if from_port:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0))
                here = _endpoint_of(sock.getsockname())
            except OSError as error:
                sock.close()
                if from_port and error.errno in _TAKEN:
                    raise PortTaken from None
                raise _failed(error, address) from None
            except BaseException:
                sock.close()
                raise
            # Not what getpeername says: a peer that is gone already has no name.
            _prepare(sock)
            return TcpStream(sock, endpoint, here)
        raise DialError(DialProblem.TIMEOUT)

    def listen(self, endpoint: Endpoint) -> TcpListener:
        """A port that another program holds is not shared."""
        try:
            sock = _new_socket()
        except OSError as error:
            raise ListenError(endpoint, error) from None
        try:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if sys.platform == "win32":  # pragma: no cover
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
            else:  # a restart need not wait for old connections to time out
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            index = index_of(endpoint.zone) if endpoint.zone else 0
            sock.bind((endpoint.host, endpoint.port, 0, index))
            sock.listen(128)
            if hasattr(socket, "SO_REUSEPORT"):
                # Only now: bound with it, the port would be shared with another program of ours.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            _prepare(sock)
            return TcpListener(sock, replace(endpoint, port=sock.getsockname()[1]))
        except OSError as error:
            sock.close()
            raise ListenError(endpoint, error) from None


#: It has no state, so one is enough.
TCP = Tcp()


async def look_up(endpoint: Endpoint, seconds: float) -> Endpoint:
    """The address of a name; an address comes back as it is. Raises ``DialError``."""
    if not endpoint.is_name:
        return endpoint
    with trio.move_on_after(seconds):
        for *_, address in await _addresses(endpoint, socket.AF_INET6):
            found = _endpoint_of(address)
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


def _bind(sock: socket.socket, own: Endpoint, endpoint: Endpoint) -> bool:
    """Dial from our listener's address, so that the peer can dial back; True: from its port, too.

    Raises ``PortTaken``, or ``SourceGone`` where the port is given: else an address that is gone
    keeps nobody from dialing.
    """
    if not same_kind(own, endpoint):
        return False
    port = own.port if hasattr(socket, "SO_REUSEPORT") else 0
    try:
        if port:  # the listener has both of them, and so has all that it accepted
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((own.host, port, 0, _scope_id(own, own)))
    except OSError as error:
        if port and error.errno == errno.EADDRINUSE:
            raise PortTaken from None
        if port:
            raise SourceGone from None
        return False
    except DialError:  # the listener's interface is gone
        if port:
            raise SourceGone from None
        return False
    return bool(port)


async def _connect(sock: socket.socket, address: tuple[str, int, int, int]) -> None:
    """connect(2) on a socket that never blocks. Raises ``OSError``; cancelled, close it."""
    await trio.lowlevel.checkpoint_if_cancelled()
    try:
        sock.connect(address)
    except BlockingIOError:
        await trio.lowlevel.wait_writable(sock)
        if number := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(number, os.strerror(number)) from None
    else:  # to this very machine
        await trio.lowlevel.cancel_shielded_checkpoint()


def _failed(error: OSError, address: tuple[str, int, int, int]) -> DialError:
    number = error.errno or 0
    problem = _BY_ERRNO.get(number, DialProblem.FAILED)
    if number in (errno.ENETUNREACH, errno.EHOSTUNREACH) and _has_route(address):
        problem = DialProblem.UNREACHABLE
    return DialError(problem, os.strerror(number))


def _has_route(address: tuple[str, int, int, int]) -> bool:
    """This machine itself knows a way there: connecting a UDP socket sends nothing."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        probe.connect(address)
        return True
    return False


def _endpoint_of(address: tuple[str, int, int, int]) -> Endpoint:
    """An ``AF_INET6`` socket address as an endpoint; the zone is an interface's name or index."""
    host, port, _, index = address
    host = host.partition("%")[0]
    zone = ""
    if index:
        try:
            zone = socket.if_indextoname(index)
        except OSError:
            zone = str(index)
    return Endpoint(host, port, zone)


def index_of(zone: str) -> int:
    """The index of an interface of this machine, given its name or index; raises ``OSError``."""
    try:
        return socket.if_nametoindex(socket.if_indextoname(int(zone)) if zone.isdecimal() else zone)
    except OverflowError:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV)) from None


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
