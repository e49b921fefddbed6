"""When the network under us becomes another one, and when this machine slept.

The interfaces are looked at every few seconds; on Linux as soon as the kernel speaks of a change,
and seldom else. What it says is a hint alone: what counts is what the look finds.
"""

import errno
import ipaddress
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import trio

from fantom_trio.nursery.errors import ReachError
from fantom_trio.nursery.interfaces import Interface, list_interfaces
from fantom_trio.wire.address import Endpoint

__all__ = [
    "Change",
    "Changes",
    "Surroundings",
    "never_still",
    "network_of",
    "open_changes",
    "way_out",
]

#: Seconds from one look to the next, where nobody gives hints; where somebody does, a look is for
#: the hint that did not come, and costs more than all else that an idle program does.
LOOK_SECONDS, HINTED_LOOK_SECONDS = 5, 30
#: A change comes in pieces, an address and a route, a new one and an old one: look when it has been
#: quiet for so long, but in a network that is never quiet after so long.
SETTLE_SECONDS = 1
UNREST_SECONDS = 5
#: Our clock stood still for so long while another went on: the machine slept.
SLEPT_SECONDS = 30

#: Nobody is there: global, but in a block of which nothing is given out.
_SOMEWHERE = ("2000::1", 9, 0, 0)

# linux/netlink.h, linux/rtnetlink.h
_NETLINK_ROUTE = 0
_LINK, _IPV6_ADDRESS, _IPV6_ROUTE = 0x1, 0x100, 0x400


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What this machine has at one moment.

    ``source``: the address that packets to the internet would come from; None: there is no route.
    """

    interfaces: tuple[Interface, ...] = ()
    source: str | None = None

    def has(self, endpoint: Endpoint) -> bool:
        """An interface has that address. One without a cable counts: it may be back in a moment."""
        return any(interface.has(endpoint) for interface in self.interfaces)

    @property
    def hosts(self) -> frozenset[str]:
        """All addresses."""
        return frozenset(host for each in self.interfaces for host in each.addresses)


@dataclass(frozen=True, slots=True)
class Change:
    """``gone``: the addresses that no interface has any more. ``slept``: so did this machine."""

    now: Surroundings
    gone: frozenset[str] = frozenset()
    slept: bool = False


def never_still() -> float:
    """Seconds on a clock that goes on while the machine sleeps.

    Where Python knows none it is the time of day: when somebody sets that forward, links are made
    again that were good.
    """
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.time()


class Changes:
    """Tells one change after the other.

    ``hint`` returns when a look is worth while; None: nobody knows. ``look`` gives the interfaces;
    ``clock`` goes on while the machine sleeps.
    """

    def __init__(
        self,
        hint: Callable[[], Awaitable[None]] | None = None,
        *,
        look: Callable[[], Sequence[Interface]] = list_interfaces,
        clock: Callable[[], float] = never_still,
    ) -> None:
        #: As it was at the last look.
        self.now = Surroundings()
        self._hint = hint or trio.sleep_forever
        self._pause = LOOK_SECONDS if hint is None else HINTED_LOOK_SECONDS
        self._look = look
        self._clock = clock
        self._ahead = clock() - trio.current_time()

    async def begin(self) -> None:
        """The first look."""
        self.now = await self._surroundings()

    async def next(self) -> Change:
        """Wait for the next change. Cancelled, nothing is missed."""
        look_at = trio.current_time() + self._pause
        while True:
            hinted = False
            with trio.move_on_after(LOOK_SECONDS):
                await self._hint()
                hinted = True
            if hinted:
                await self._quiet()
            slept = self._slept()
            if not (hinted or slept or trio.current_time() >= look_at):
                continue
            look_at = trio.current_time() + self._pause
            before, now = self.now, await self._surroundings()
            if slept or now != before:
                self.now = now
                return Change(now, before.hosts - now.hosts, slept)

    async def _quiet(self) -> None:
        with trio.move_on_after(UNREST_SECONDS):
            quiet = False
            while not quiet:
                with trio.move_on_after(SETTLE_SECONDS) as pause:
                    await self._hint()
                quiet = pause.cancelled_caught

    async def _surroundings(self) -> Surroundings:
        source = await way_out()
        try:
            return Surroundings(tuple(self._look()), source)
        except ReachError:  # they are as they were, as far as we know
            return Surroundings(self.now.interfaces, source)

    def _slept(self) -> bool:
        before, self._ahead = self._ahead, self._clock() - trio.current_time()
        return self._ahead - before > SLEPT_SECONDS


@asynccontextmanager
async def open_changes() -> AsyncIterator[Changes]:
    """This machine's changes, as long as the ``async with`` block lives."""
    with ExitStack() as stack:
        sock = await _netlink()
        changes = Changes()
        if sock is not None:
            stack.enter_context(sock)
            changes = Changes(partial(_hint, sock))
        await changes.begin()
        yield changes


async def way_out() -> str | None:
    """The address that packets to the internet would come from; None: there is no route."""
    try:
        # A socket for datagrams that is connected sends nothing.
        with trio.socket.socket(trio.socket.AF_INET6, trio.socket.SOCK_DGRAM) as sock:
            await sock.connect(_SOMEWHERE)
            return str(sock.getsockname()[0].partition("%")[0])
    except OSError:
        return None


def network_of(host: str) -> str:
    """The /64 of an address, in which a machine has one stable and many temporary ones."""
    return str(ipaddress.IPv6Network((host, 64), strict=False))


async def _netlink() -> trio.socket.SocketType | None:
    """What the kernel says of addresses, routes and interfaces (rtnetlink(7)); None elsewhere."""
    if sys.platform != "linux":
        return None
    try:
        sock = trio.socket.socket(
            trio.socket.AF_NETLINK, trio.socket.SOCK_RAW | trio.socket.SOCK_CLOEXEC, _NETLINK_ROUTE
        )
    except OSError:
        return None
    try:
        await sock.bind((0, _LINK | _IPV6_ADDRESS | _IPV6_ROUTE))
    except OSError:  # some systems tell root only
        sock.close()
        return None
    except BaseException:
        sock.close()
        raise
    return sock


async def _hint(sock: trio.socket.SocketType) -> None:
    """Wait until the kernel says anything."""
    try:
        await sock.recv(65536)
    except OSError as error:
        if error.errno != errno.ENOBUFS:  # else it said more than the socket holds
            await trio.sleep_forever()
