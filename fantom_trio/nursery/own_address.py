"""Where we can be reached: finds our address out, listens there, and moves when it changes."""

import ipaddress
import math
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import trio
from msgspec import Struct

from fantom_trio.nursery.changes import Surroundings, network_of, open_changes, way_out
from fantom_trio.nursery.errors import ListenError, ReachError, ReachProblem
from fantom_trio.nursery.limits import DEFAULT_SERVICE
from fantom_trio.nursery.node import Node
from fantom_trio.nursery.reach import (
    link_local_address,
    public_address,
    with_zone,
)
from fantom_trio.wire import Endpoint

if TYPE_CHECKING:
    from fantom_trio.nursery.open_port import OpenPort

__all__ = [
    "AddressBack",
    "AddressGone",
    "AddressMoved",
    "AddressNews",
    "AddressUnknown",
    "AskingService",
    "CannotListen",
    "ListeningAt",
    "OwnAddress",
    "Where",
]

#: Seconds between two questions to the address service; doubled after each failure, to the longest.
SHORTEST_PAUSE = 10
LONGEST_PAUSE = 600
#: What is given out of the addresses that are valid everywhere.
_GLOBAL = ipaddress.IPv6Network("2000::/3")
#: What may be over in a moment: the service is asked again, though our network is the same.
_PASSING = (ReachProblem.UNREACHABLE, ReachProblem.TIMED_OUT, ReachProblem.STATUS)


class Where(Struct, frozen=True):
    """Where the user wants to be reached: a given address, or a mode that finds one."""

    mode: str = "public"  # or "local", "loopback", "given"
    address: Endpoint | None = None
    service: str = DEFAULT_SERVICE
    #: The router is asked to let the listener's port in.
    open_port: bool = False


class AskingService(Struct, frozen=True):
    """The address service at that URL is being asked, for the first time."""

    service: str


class AddressUnknown(Struct, frozen=True):
    """The wanted address was not found; until it is, ``near`` has to do."""

    error: ReachError
    near: Endpoint


class ListeningAt(Struct, frozen=True):
    """Others can dial us there."""

    where: Endpoint


class CannotListen(Struct, frozen=True):
    """The listener did not move there; one that was up before stays."""

    error: ListenError


class AddressGone(Struct, frozen=True):
    """No interface has it any more, and nobody can dial us; ``error`` says why there is no other.

    ``given``: no other one is looked for.
    """

    where: Endpoint
    given: bool
    error: ReachError


class AddressMoved(Struct, frozen=True):
    """The listener moved to ``where``; ``gone`` is where it was, if no interface has that now."""

    where: Endpoint
    gone: Endpoint | None


class AddressBack(Struct, frozen=True):
    """An interface has an address again that was told as gone."""

    where: Endpoint


#: What ``OwnAddress`` tells.
AddressNews: TypeAlias = (
    AskingService
    | AddressUnknown
    | ListeningAt
    | CannotListen
    | AddressGone
    | AddressMoved
    | AddressBack
)


class Asking:
    """When the address service is to be asked again: seldom, and not about what it said already.

    A network is the /64 that packets to the internet come from; None: there is no way there.
    """

    def __init__(self) -> None:
        self._answered: str | None = None
        self._failed: str | None = None
        self._last = -math.inf
        self._pause: float = SHORTEST_PAUSE

    def due(self, network: str | None) -> float:
        """When, on Trio's clock; infinity while there is nothing to ask."""
        if network is None or network == self._answered:
            return math.inf
        return self._last + (self._pause if network == self._failed else SHORTEST_PAUSE)

    def begin(self) -> None:
        """It is asked now."""
        self._last = trio.current_time()

    def answered(self, network: str | None) -> None:
        """It said all that it has to say of ``network``."""
        self._answered, self._failed, self._pause = network, None, SHORTEST_PAUSE

    def failed(self, network: str | None) -> None:
        """It may say more the next time."""
        longer = network == self._failed
        self._pause = min(2 * self._pause, LONGEST_PAUSE) if longer else SHORTEST_PAUSE
        self._answered, self._failed = None, network

    def forget(self) -> None:
        """What it said is of no use any more."""
        self._answered = None


class OwnAddress:
    """Our address, and the listener on it; ``tell`` hears what becomes of both.

    ``port``, where there is one, is kept open in the router's firewall for wherever we listen.
    """

    def __init__(
        self,
        node: Node,
        where: Where,
        tell: Callable[[AddressNews], Awaitable[None]],
        port: "OpenPort | None" = None,
    ) -> None:
        #: Where we listen, or would: with the port that was asked for. None until it is found out.
        self.known: Endpoint | None = None
        self._node = node
        self._where = where
        self._tell = tell
        self._port = port
        self._nursery: trio.Nursery | None = None
        self._keeper: trio.CancelScope | None = None
        #: ``known`` is what the user wants; else it is the best there was instead.
        self._wanted = True
        #: An interface has it; one had it at some time; the user knows that it is gone.
        self._here = self._was_here = self._told_gone = False
        self._now = Surroundings()
        self._changed = trio.Event()
        self._asking = Asking()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen where we can be reached, and follow our addresses; never returns.

        Cancelled, the listener stays where it is.
        """
        async with trio.open_nursery() as self._nursery:
            if self._port is not None:
                self._nursery.start_soon(self._port.run)
            if self._where.mode != "loopback":
                await self._nursery.start(self._watch)
            self._find_out()
            task_status.started()
            await trio.sleep_forever()

    async def _watch(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Notice it when our addresses change and when this machine slept; never returns."""
        async with open_changes() as changes:
            self._now = changes.now
            task_status.started()
            while True:
                change = await changes.next()
                if change.slept:
                    self._node.woke()
                    self._asking.forget()
                self._node.moved(change.gone)
                self._now = change.now
                self._changed.set()
                if self._port is not None:
                    self._port.look_again()

    async def announce(self, news: AddressNews) -> None:
        """Tell it, and ask the router for the port of where we listen now."""
        await self._tell(news)
        if self._port is not None:
            self._port.follow(news)

    def _find_out(self) -> None:
        """Find out where we can be reached, and listen there, from now on."""
        assert self._nursery is not None
        if self._keeper is None:
            self._keeper = trio.CancelScope()
            self._nursery.start_soon(self._keep, self._keeper)

    def stop_finding(self) -> None:
        """What is found out from here on is of no interest, and an open port is given back."""
        if self._keeper is not None:
            self._keeper.cancel()
            self._keeper = None
        if self._port is not None:
            self._port.stop()

    async def listen_again(self) -> None:
        """The user wants to be reached, at the port that the node has now."""
        known, unkept = self.known, self._keeper is None
        if known is not None and unkept and self._was_here and not self._now.has(known):
            self.known = known = None  # it went while nobody looked
        if known is not None:
            await self.listen(replace(known, port=self._node.own_port))
        self._find_out()

    async def listen(self, endpoint: Endpoint) -> None:
        """Listen on ``endpoint``, and tell where or why not."""
        bound = await self._bind(endpoint)
        if bound is not None:
            await self._tell_place(ListeningAt(bound))

    async def _keep(self, scope: trio.CancelScope) -> None:
        with scope:
            if self.known is None:
                address, self._wanted = await self._found()
                await self.listen(replace(address, port=self._node.own_port))
            while self._where.mode != "loopback":
                with trio.move_on_at(await self._catch_up()):
                    await self._changed.wait()
                self._changed = trio.Event()

    # The first time.

    async def _found(self) -> tuple[Endpoint, bool]:
        """Our address; False: it is not the wanted one, which could not be found."""
        try:
            return await self._find(), True
        except ReachError as error:
            near = await self._next_best(error)
            await self.announce(AddressUnknown(error, near))
            return near, False

    async def _next_best(self, error: ReachError) -> Endpoint:
        """What others may reach us at, though nobody has confirmed it."""
        source = await way_out() if self._where.mode == "public" else None
        told = error.problem not in (ReachProblem.NOT_OURS, ReachProblem.ANSWERED_IPV4)
        if source is not None and told and ipaddress.IPv6Address(source) in _GLOBAL:
            return Endpoint(source, 0)
        return _nearest()

    async def _find(self) -> Endpoint:
        match self._where.mode:
            case "loopback":
                return Endpoint("::1", 0)
            case "local":
                return link_local_address()
            case "given":
                assert self._where.address is not None
                return with_zone(self._where.address)
        await self.announce(AskingService(self._where.service))
        source = await way_out()
        return await self._ask(None if source is None else network_of(source))

    async def _ask(self, network: str | None) -> Endpoint:
        """Raises ``ReachError``."""
        self._asking.begin()
        try:
            found = await public_address(self._where.service)
        except ReachError as error:
            if error.problem in _PASSING:
                self._asking.failed(network)
            elif error.problem is not ReachProblem.NO_IPV6:  # then nobody was asked
                self._asking.answered(network)
            raise
        self._asking.answered(network)
        return found

    # Ever after.

    async def _catch_up(self) -> float:
        """Go where we should listen now, and tell what changed; returns when to look again."""
        known = self.known
        assert known is not None
        back = not self._here and self._now.has(known)
        self._here = self._now.has(known)
        if back:
            await self._come_back(known)
        elif self._was_here and not self._here and not self._told_gone:
            self._asking.forget()
        self._was_here |= self._here
        source = self._now.source
        network = None if source is None else network_of(source)
        due = self._asking.due(network) if self._where.mode == "public" else -math.inf
        if trio.current_time() < due < math.inf:
            return due
        try:
            found = await self._find_again(known, network if due < math.inf else None)
        except ReachError as error:
            await self._stay(known, error)
        else:
            if found is not None:
                await self._move(found)
        return self._asking.due(network) if self._where.mode == "public" else math.inf

    async def _find_again(self, known: Endpoint, network: str | None) -> Endpoint | None:
        """Our address, where it is another one now; raises ``ReachError`` where there is none.

        ``network`` is what the address service is to be asked about, if anything.
        """
        in_place = self._here and self._wanted
        match self._where.mode:
            case "given" if not self._here:
                raise ReachError(ReachProblem.NOT_OURS)
            case "local" if not in_place:
                return link_local_address(self._now.interfaces)
            case "public" if network is not None:
                found = await self._ask(network)
                # Of one network the temporary addresses come and go: ours is as good.
                same = network_of(found.host) == network_of(known.host)
                return None if in_place and same else found
            case "public" if not in_place:
                raise ReachError(ReachProblem.NO_IPV6)
        return None

    async def _stay(self, known: Endpoint, error: ReachError) -> None:
        """The wanted address is not to be found."""
        near = _nearest(self._now)
        poor = known.is_loopback or not self._here
        if not self._wanted and poor and near.is_link_local:
            await self._move(near, wanted=False)
        elif self._was_here and not self._here and not self._told_gone:
            self._told_gone = True
            where = self._node.listener or known
            await self.announce(AddressGone(where, self._where.mode == "given", error))

    async def _move(self, found: Endpoint, *, wanted: bool = True) -> None:
        old, is_first, still_here = self._node.listener, not self._wanted, self._here
        found = replace(found, port=self._node.own_port)
        self._wanted = wanted
        if old is None or is_first:
            if old != found:
                await self.listen(found)
            return
        where = await self._bind(found)
        if where is not None and where != old:
            await self._tell_place(AddressMoved(where, None if still_here else old))

    async def _come_back(self, known: Endpoint) -> None:
        told, node = self._told_gone, self._node
        if not told and node.listener is not None and not known.is_link_local:
            return
        # A listener of a link-local address belongs to an interface that may be another one now.
        await node.stop_listening()
        known = replace(known, port=node.own_port)
        if not told:
            await self.listen(known)
        elif (where := await self._bind(known)) is not None:
            await self._tell_place(AddressBack(where))

    # The listener.

    async def _tell_place(self, news: ListeningAt | AddressMoved | AddressBack) -> None:
        await self.announce(news)
        self._node.moved()  # whom we dial again is dialed from there

    async def _bind(self, endpoint: Endpoint) -> Endpoint | None:
        """Listen on ``endpoint``; None, and the user was told why, where that does not work."""
        self.known, self._told_gone = endpoint, False
        self._here = self._was_here = self._now.has(endpoint)
        try:
            return await self._node.listen(endpoint)
        except ListenError as error:
            await self.announce(CannotListen(error))
            return None


def _nearest(now: Surroundings | None = None) -> Endpoint:
    try:
        return link_local_address(None if now is None else now.interfaces)
    except ReachError:
        return Endpoint("::1", 0)
