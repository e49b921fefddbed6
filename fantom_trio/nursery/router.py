"""Which router stands before us, and packets to it and from it (PCP, RFC 6887)."""

import ipaddress
import struct
import sys
from abc import abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import trio

from fantom_trio.nursery.tcp import index_of
from fantom_trio.wire import Endpoint
from fantom_trio.wire.pcp import ANNOUNCE_GROUP, ANNOUNCE_PORT, MAX_PACKET, SERVER_PORT

__all__ = [
    "Channel",
    "Ear",
    "NotTold",
    "default_router",
    "open_announcements",
    "open_udp",
    "router_of",
]

_ROUTES, _ADDRESSES = Path("/proc/net/ipv6_route"), Path("/proc/net/if_inet6")
_UP, _GATEWAY, _REJECT = 0x1, 0x2, 0x200  # <linux/route.h>
_GROUP = struct.Struct("@16sI")  # ipv6_mreq


class NotTold(Exception):
    """This system does not tell which router is the default one: only Linux does."""


class Ear(Protocol):
    """Packets from one router."""

    @abstractmethod
    async def receive(self) -> bytes:
        """The next packet; raises ``OSError``. Cancelled, none is lost."""

    @abstractmethod
    def close(self) -> None:
        """Synchronous and idempotent."""


class Channel(Ear, Protocol):
    """Packets to one router, too."""

    @abstractmethod
    async def send(self, data: bytes) -> None:
        """Send a packet, without waiting for anybody; raises ``OSError``."""


class _Udp(Channel):
    """A connected socket: the system drops what comes from elsewhere."""

    def __init__(self, sock: trio.socket.SocketType) -> None:
        self._socket = sock

    async def send(self, data: bytes) -> None:
        await self._socket.send(data)

    async def receive(self) -> bytes:
        return await self._socket.recv(MAX_PACKET + 1)

    def close(self) -> None:
        self._socket.close()


async def open_udp(own: Endpoint, router: Endpoint) -> Channel:
    """A socket from our address, any port, to the router's; raises ``OSError``."""
    sock = trio.socket.socket(trio.socket.AF_INET6, trio.socket.SOCK_DGRAM)
    try:
        await sock.bind((own.host, 0))
        scope = index_of(router.zone) if router.zone else 0
        await sock.connect((router.host, router.port, 0, scope))
    except BaseException:
        sock.close()
        raise
    return _Udp(sock)


class _Announcements(Ear):
    """What a router says to all, by its address and port."""

    def __init__(self, sock: trio.socket.SocketType, router: Endpoint) -> None:
        self._socket = sock
        self._router = ipaddress.IPv6Address(router.host), router.port

    async def receive(self) -> bytes:
        while True:
            data, (host, port, *_scope) = await self._socket.recvfrom(MAX_PACKET + 1)
            if (ipaddress.IPv6Address(host.partition("%")[0]), port) == self._router:
                return bytes(data)

    def close(self) -> None:
        self._socket.close()


async def open_announcements(router: Endpoint) -> Ear:
    """What ``router`` says to all of its network, unasked (section 14.1).

    Raises ``OSError``: somebody else has the port, or the router has no link-local address and so
    no interface that we know. A sender may forge its address.
    """
    index = index_of(router.zone)
    sock = trio.socket.socket(trio.socket.AF_INET6, trio.socket.SOCK_DGRAM)
    try:
        # Every program of this machine that asks the router has this port.
        sock.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_REUSEADDR, 1)
        await sock.bind((ANNOUNCE_GROUP, ANNOUNCE_PORT, 0, index))
        group = _GROUP.pack(ipaddress.IPv6Address(ANNOUNCE_GROUP).packed, index)
        sock.setsockopt(trio.socket.IPPROTO_IPV6, trio.socket.IPV6_JOIN_GROUP, group)
    except BaseException:
        sock.close()
        raise
    return _Announcements(sock, router)


def default_router(own: Endpoint) -> Endpoint | None:
    """The router to ask for a port of ours; None where there is none. Raises ``NotTold``."""
    if sys.platform != "linux":
        raise NotTold
    try:
        return router_of(own, _ROUTES.read_text(), _ADDRESSES.read_text())
    except (OSError, ValueError):  # no IPv6 in this kernel, or tables of another form
        return None


def router_of(own: Endpoint, routes: str, addresses: str) -> Endpoint | None:
    """The gateway of ``::/0`` in ``/proc/net/ipv6_route``, with the port that it is asked at.

    One on the interface that has our address, by ``/proc/net/if_inet6``, is the one that our peers
    come through; then the least metric counts. Raises ``ValueError`` for tables of another form.
    """
    address = ipaddress.IPv6Address(own.host)
    rows = (line.split() for line in addresses.splitlines())
    near = {row[5] for row in rows if len(row) == 6 and int(row[0], 16) == int(address)}
    found = []
    for row in map(str.split, routes.splitlines()):
        if len(row) != 10 or int(row[0], 16) or int(row[1], 16):
            continue
        source = ipaddress.IPv6Network((int(row[2], 16), int(row[3], 16)), strict=False)
        flags, zone = int(row[8], 16), row[9]
        if flags & (_UP | _GATEWAY | _REJECT) == _UP | _GATEWAY and address in source:
            gateway = Endpoint(str(ipaddress.IPv6Address(int(row[4], 16))), SERVER_PORT)
            if gateway.is_link_local:
                gateway = replace(gateway, zone=zone)
            found.append((zone not in near, int(row[5], 16), gateway))
    return min(found, key=lambda each: each[:2])[2] if found else None
