"""Our port in the router's firewall: opened, kept open, and given back (PCP, RFC 6887)."""

import contextlib
import ipaddress
import math
import random
import secrets
import sys
from abc import abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn, Protocol, TypeAlias

import trio

from fantom_trio.nursery.tcp import index_of
from fantom_trio.wire import Endpoint
from fantom_trio.wire.pcp import (
    MAX_PACKET,
    NONCE_BYTES,
    SERVER_PORT,
    Answer,
    Epoch,
    MapRequest,
    PcpError,
    PcpResult,
    lasting,
    pause_after,
    renewals,
    retransmissions,
)

__all__ = [
    "Channel",
    "Granted",
    "Lost",
    "NoRouter",
    "PortEvent",
    "Refused",
    "Silent",
    "default_router",
    "keep_open",
    "open_udp",
    "port_nonce",
    "router_of",
]

# All in seconds.
LIFETIME = 7200  # what we ask for: section 15 recommends to renew about once an hour
SILENCE = 30.0  # then a router that says nothing is told
LOOK_AGAIN = 60.0  # for a router where there is none
STAMPEDE = 5.0  # of all those whose router forgot them: section 14.1.3
FAREWELL = 1.0

_ROUTES, _ADDRESSES = Path("/proc/net/ipv6_route"), Path("/proc/net/if_inet6")
_UP, _GATEWAY, _REJECT = 0x1, 0x2, 0x200  # <linux/route.h>


@dataclass(frozen=True, slots=True)
class Granted:
    """The router lets peers in at ``external`` for ``lifetime`` seconds; it is asked again in time.

    ``again``: it is not the first time that a router did so.
    """

    external: Endpoint
    lifetime: int
    again: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """The router said no; it is asked again later. ``code`` is the result as it came."""

    result: PcpResult
    code: int


@dataclass(frozen=True, slots=True)
class Silent:
    """The router says nothing; it is asked again, ever less often."""


@dataclass(frozen=True, slots=True)
class NoRouter:
    """There is no default router, or this system does not tell which; it is looked for again."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The router forgot the open port, as it does when it restarts; it is asked again at once."""


PortEvent: TypeAlias = Granted | Refused | Silent | NoRouter | Lost


class Channel(Protocol):
    """Packets to one router and from it alone. Both ways raise ``OSError``."""

    @abstractmethod
    async def send(self, data: bytes) -> None:
        """Send a packet, without waiting for anybody."""

    @abstractmethod
    async def receive(self) -> bytes:
        """The next packet; cancelled, none is lost."""

    @abstractmethod
    def close(self) -> None:
        """Synchronous and idempotent."""


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


def default_router(own: Endpoint) -> Endpoint | None:
    """The router to ask for a port of ours, on Linux; None where there is none or none is told."""
    if sys.platform != "linux":
        return None
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


async def keep_open(
    listener: Endpoint,
    tell: Callable[[PortEvent], Awaitable[None]],
    nonce: bytes,
    *,
    rng: random.Random | None = None,
    find_router: Callable[[Endpoint], Endpoint | None] = default_router,
    open_channel: Callable[[Endpoint, Endpoint], Awaitable[Channel]] = open_udp,
) -> NoReturn:
    """Ask the default router to let peers in to ``listener``, a public address, until cancelled.

    ``tell`` hears what changes: not every renewal, and nothing twice in a row. ``nonce`` is a
    ``port_nonce``, the same one for as long as the program runs. Cancelled, it sends the packet
    that gives the port back and closes its socket, within a second; whether the router heard that
    is not waited for. ``rng`` spreads requests over time.
    """
    rng = rng or random.SystemRandom()
    await _Keeper(listener, tell, nonce, rng, find_router, open_channel).run()


def port_nonce() -> bytes:
    """What nobody else knows: a router renews and closes a port only for who opened it."""
    return secrets.token_bytes(NONCE_BYTES)


class _Moved(Exception):
    """Another router is the default one."""


class _Keeper:
    """One listener's port, whatever becomes of the router."""

    def __init__(
        self,
        listener: Endpoint,
        tell: Callable[[PortEvent], Awaitable[None]],
        nonce: bytes,
        rng: random.Random,
        find_router: Callable[[Endpoint], Endpoint | None],
        open_channel: Callable[[Endpoint, Endpoint], Awaitable[Channel]],
    ) -> None:
        self._listener = listener
        self._tell = tell
        self._rng = rng
        self._find_router = find_router
        self._open_channel = open_channel
        self._nonce = nonce
        self._last: PortEvent | None = None
        self._was_granted = False

    async def run(self) -> NoReturn:
        """Until cancelled."""
        while True:
            router = self._find_router(self._listener)
            if router is None:
                await self._say(NoRouter())
                await trio.sleep(LOOK_AGAIN)
                continue
            try:
                channel = await self._open_channel(self._listener, router)
            except OSError:  # our address is gone: whoever listens on it hears of that
                await trio.sleep(LOOK_AGAIN)
                continue
            with contextlib.suppress(_Moved):
                await self._use(router, channel)

    async def _use(self, router: Endpoint, channel: Channel) -> NoReturn:
        """One router; raises ``_Moved``."""
        self._router, self._channel, self._epoch = router, channel, Epoch()
        self._request = MapRequest(self._listener, self._nonce, LIFETIME, self._listener)
        #: We wait for an answer: what comes otherwise is the router's own word.
        self._awaited = False
        #: When the mapping ends; in the past where there is none.
        self._good_until = -math.inf
        try:
            while True:
                answer: Answer | None = await self._ask()
                while answer is not None:
                    answer = await self._obey(answer)
        finally:
            # In any case: what was refused may be open from before, an answer may be on its way.
            with trio.move_on_after(FAREWELL, shield=True), contextlib.suppress(OSError):
                await channel.send(self._request.end().encode())
            channel.close()

    async def _ask(self) -> Answer:
        """Ask until there is an answer (section 8.1.1)."""
        quiet_at = trio.current_time() + SILENCE
        waits = retransmissions(self._rng)
        while True:
            await self._send()
            again = trio.current_time() + next(waits)
            if quiet_at < again:
                if (answer := await self._answer(quiet_at)) is not None:
                    return answer
                await self._say(Silent())
                quiet_at = math.inf
            if (answer := await self._answer(again)) is not None:
                return answer

    async def _obey(self, answer: Answer) -> Answer | None:
        """Do as the router says; its next word, or None when it is time to ask."""
        if answer.external is not None:
            return await self._hold(answer.external, lasting(answer.lifetime))
        self._good_until = -math.inf
        await self._say(Refused(answer.result, answer.code))
        return await self._answer(trio.current_time() + pause_after(answer))

    async def _hold(self, external: Endpoint, lifetime: int) -> Answer | None:
        """Renew what was granted (section 11.2.1); None when it ended all the same."""
        granted_at = trio.current_time()
        self._good_until = granted_at + lifetime
        self._request = replace(self._request, suggested=external)
        if not (isinstance(self._last, Granted) and self._last.external == external):
            again, self._was_granted = self._was_granted, True
            await self._say(Granted(external, lifetime, again))
        for at in renewals(lifetime, self._rng):
            if (answer := await self._answer(granted_at + at)) is not None:
                return answer
            await self._send()
        return await self._answer(self._good_until)

    async def _send(self) -> None:
        if self._find_router(self._listener) != self._router:
            raise _Moved
        self._awaited = True
        with contextlib.suppress(OSError):  # as good as lost on the way
            await self._channel.send(self._request.encode())

    async def _answer(self, until: float) -> Answer | None:
        """What the router says; None when it said nothing ``until`` then."""
        try:
            answer = await self._receive(until)
        except OSError:  # it has no such service, or there is no way to it
            if trio.current_time() >= self._good_until:
                await self._say(Silent())
            await trio.sleep_until(until)
            return None
        if answer is None:
            return None
        awaited, self._awaited = self._awaited, False
        if answer.epoch is None or self._epoch.goes_on(answer.epoch, trio.current_time()):
            return answer
        self._good_until = -math.inf
        if isinstance(self._last, Granted):
            await self._say(Lost())
        if awaited:  # it answered after it forgot
            return answer
        await trio.sleep(self._rng.uniform(0, STAMPEDE))
        return await self._ask()

    async def _receive(self, until: float) -> Answer | None:
        with trio.move_on_at(until):
            while True:
                with contextlib.suppress(PcpError):
                    return self._request.answer(await self._channel.receive())
        return None

    async def _say(self, event: PortEvent) -> None:
        if event != self._last:
            self._last = event
            await self._tell(event)
