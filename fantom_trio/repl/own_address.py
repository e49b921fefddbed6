"""Where we can be reached: finds our address out, listens there, and moves when it changes."""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import trio

from fantom_trio.nursery import (
    DEFAULT_SERVICE,
    Endpoint,
    ListenError,
    ReachError,
    ReachProblem,
    Surroundings,
    link_local_address,
    network_of,
    open_changes,
    public_address,
    way_out,
    with_zone,
)
from fantom_trio.repl.explain import explain_listen, explain_reach
from fantom_trio.repl.languages import _

if TYPE_CHECKING:
    from fantom_trio.repl.app import App

__all__ = ["OwnAddress", "Where"]

#: Seconds between two questions to the address service; doubled after each failure, to the longest.
SHORTEST_PAUSE = 10
LONGEST_PAUSE = 600
#: What may be over in a moment: the service is asked again, though our network is the same.
_PASSING = (ReachProblem.UNREACHABLE, ReachProblem.TIMED_OUT, ReachProblem.STATUS)
#: What goes without saying where our address is gone and no other one is there.
_NO_ADDRESS = (ReachProblem.NO_IPV6, ReachProblem.NO_LINK_LOCAL, ReachProblem.NOT_OURS)


@dataclass(frozen=True, slots=True)
class Where:
    """Where the user wants to be reached: a given address, or a mode that finds one."""

    mode: str = "public"  # or "local", "loopback", "given"
    address: Endpoint | None = None
    service: str = DEFAULT_SERVICE
    #: The router is asked to let the listener's port in.
    open_port: bool = False


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
    """Our address, and the listener on it; what becomes of both is printed."""

    def __init__(self, app: "App", where: Where) -> None:
        #: Where we listen, or would: with the port that was asked for. None until it is found out.
        self.known: Endpoint | None = None
        self._app = app
        self._where = where
        self._keeper: trio.CancelScope | None = None
        #: ``known`` is what the user wants; else it is the best there was instead.
        self._wanted = True
        #: An interface has it; one had it at some time; the user knows that it is gone.
        self._here = self._was_here = self._told_gone = False
        self._now = Surroundings()
        self._changed = trio.Event()
        self._asking = Asking()

    async def watch(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Notice it when our addresses change and when this machine slept; never returns."""
        async with open_changes() as changes:
            self._now = changes.now
            task_status.started()
            while True:
                change = await changes.next()
                if change.slept:
                    self._app.node.woke()
                    self._asking.forget()
                self._app.node.moved(change.gone)
                self._now = change.now
                self._changed.set()

    def find(self) -> None:
        """Find out where we can be reached, and listen there, from now on; all of it is told."""
        if self._keeper is None:
            self._keeper = trio.CancelScope()
            self._app.start_soon(self._keep, self._keeper)

    def stop_finding(self) -> None:
        """What is found out from here on is of no interest."""
        if self._keeper is not None:
            self._keeper.cancel()
            self._keeper = None

    async def listen_again(self) -> None:
        """The user wants to be reached, at the port that the node has now."""
        known, unkept = self.known, self._keeper is None
        if known is not None and unkept and self._was_here and not self._now.has(known):
            self.known = known = None  # it went while nobody looked
        if known is not None:
            await self.listen(replace(known, port=self._app.node.own_port))
        self.find()

    async def listen(self, endpoint: Endpoint) -> None:
        """Listen on ``endpoint``, and say where or why not."""
        bound = await self._bind(endpoint)
        if bound is not None:
            await self._tell(
                _("Listening on {where}. Give your peer this address, or an /invite.", where=bound),
                bound,
            )

    async def _keep(self, scope: trio.CancelScope) -> None:
        with scope:
            if self.known is None:
                address, self._wanted = await self._found()
                await self.listen(replace(address, port=self._app.node.own_port))
            while self._where.mode != "loopback":
                with trio.move_on_at(await self._catch_up()):
                    await self._changed.wait()
                self._changed = trio.Event()

    # The first time.

    async def _found(self) -> tuple[Endpoint, bool]:
        """Our address; False: it is not the wanted one, which could not be found."""
        app = self._app
        try:
            return await self._find(), True
        except ReachError as error:
            await app.print(explain_reach(error), alarm=True)
            address = _nearest()
            nearby = (
                _("Until then only this machine can reach you.")
                if address.is_loopback
                else _("Until then only peers on the same network can reach you.")
            )
            await app.print(nearby)
            return address, False

    async def _find(self) -> Endpoint:
        match self._where.mode:
            case "loopback":
                return Endpoint("::1", 0)
            case "local":
                return link_local_address()
            case "given":
                assert self._where.address is not None
                return with_zone(self._where.address)
        await self._app.print(
            _("Asking {service} for your public address …", service=self._where.service)
        )
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
            where = self._app.node.listener or known
            text = (
                _(
                    "{where} is no address of this machine any more: nobody can dial you until it"
                    " is back.",
                    where=where,
                )
                if self._where.mode == "given"
                else _(
                    "{where} is no address of this machine any more: nobody can dial you until it"
                    " has another one.",
                    where=where,
                )
            )
            await self._app.print(text, alarm=True)
            if error.problem not in _NO_ADDRESS:
                await self._app.print(explain_reach(error), alarm=True)

    async def _move(self, found: Endpoint, *, wanted: bool = True) -> None:
        old, is_first, still_here = self._app.node.listener, not self._wanted, self._here
        found = replace(found, port=self._app.node.own_port)
        self._wanted = wanted
        if old is None or is_first:
            if old != found:
                await self.listen(found)
            return
        where = await self._bind(found)
        if where is not None and where != old:
            text = (
                _(
                    "Your address changed: you listen on {where} now. Give your peer this one, or"
                    " an /invite.",
                    where=where,
                )
                if still_here
                else _(
                    "Your address changed: you listen on {where} now, {old} is gone. Give your peer"
                    " the new one, or an /invite.",
                    where=where,
                    old=old,
                )
            )
            await self._tell(text, where)

    async def _come_back(self, known: Endpoint) -> None:
        told, node = self._told_gone, self._app.node
        if not told and node.listener is not None and not known.is_link_local:
            return
        # A listener of a link-local address belongs to an interface that may be another one now.
        await node.stop_listening()
        known = replace(known, port=node.own_port)
        if not told:
            await self.listen(known)
        elif (where := await self._bind(known)) is not None:
            await self._tell(
                _("{where} is an address of this machine again: others can dial you.", where=where),
                where,
            )

    # The listener.

    async def _tell(self, text: str, where: Endpoint) -> None:
        await self._app.print(text)
        self._app.listening(where)
        self._app.node.moved()  # whom we dial again is dialed from there

    async def _bind(self, endpoint: Endpoint) -> Endpoint | None:
        """Listen on ``endpoint``; None, and the user was told why, where that does not work."""
        app = self._app
        self.known, self._told_gone = endpoint, False
        self._here = self._was_here = self._now.has(endpoint)
        try:
            return await app.node.listen(endpoint)
        except ListenError as error:
            text = explain_listen(error)
            if error.in_use:
                text += " " + _("Then: /listen PORT")
            await app.print(text, alarm=True)
            return None


def _nearest(now: Surroundings | None = None) -> Endpoint:
    try:
        return link_local_address(None if now is None else now.interfaces)
    except ReachError:
        return Endpoint("::1", 0)
