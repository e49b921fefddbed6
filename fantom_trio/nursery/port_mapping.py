"""Our port in the router's firewall: opened, kept open, and given back (PCP, RFC 6887)."""

import contextlib
import math
import random
import secrets
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from typing import NoReturn, TypeAlias

import trio

from fantom_trio.nursery.changes import never_still
from fantom_trio.nursery.router import (
    Channel,
    Ear,
    NotTold,
    default_router,
    open_announcements,
    open_udp,
)
from fantom_trio.wire import Endpoint
from fantom_trio.wire.pcp import (
    NONCE_BYTES,
    Answer,
    Epoch,
    MapRequest,
    PcpError,
    PcpResult,
    announced,
    lasting,
    pause_after,
    renewals,
    retransmissions,
)

__all__ = [
    "Granted",
    "Lost",
    "NoRouter",
    "Nudge",
    "PortEvent",
    "Refused",
    "RouterNotTold",
    "Silent",
    "keep_open",
    "port_nonce",
]

# All in seconds.
LIFETIME = 7200  # what we ask for: section 15 recommends to renew about once an hour
SILENCE = 30.0  # then a router that says nothing is told, or one that is gone
LOOK_AGAIN = 60.0  # for a router where there is none
STAMPEDE = 5.0  # of all those whose router forgot them: section 14.1.3
DEAF = 2 * STAMPEDE  # after an announcement: it comes ten times, and anybody can forge it
FAREWELL = 1.0


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
    """There is no default router; it is looked for again."""


@dataclass(frozen=True, slots=True)
class RouterNotTold:
    """This system does not tell which router to ask; that is all."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The router forgot the open port, as it does when it restarts; it is asked again at once."""


PortEvent: TypeAlias = Granted | Refused | Silent | NoRouter | RouterNotTold | Lost


class Nudge:
    """Makes ``keep_open`` look around and ask again at once: things may be other than they were."""

    def __init__(self) -> None:
        self._given = False
        self._wait = trio.CancelScope()

    def give(self) -> None:
        """At any time, from any task; several before it is heard are one."""
        self._given = True
        self._wait.cancel()

    @contextlib.contextmanager
    def heard(self, seconds: float) -> Iterator[None]:
        """Wait within for so long at most; raises ``Nudged`` where one is given before that."""
        self._wait = trio.CancelScope(deadline=trio.current_time() + max(0, seconds))
        if self._given:
            self._wait.cancel()
        with self._wait:
            yield
        if self._given:
            self._given = False
            raise Nudged


class Nudged(Exception):
    """A nudge was given."""


async def keep_open(
    listener: Endpoint,
    tell: Callable[[PortEvent], Awaitable[None]],
    nonce: bytes,
    nudge: Nudge | None = None,
    *,
    rng: random.Random | None = None,
    find_router: Callable[[Endpoint], Endpoint | None] = default_router,
    open_channel: Callable[[Endpoint, Endpoint], Awaitable[Channel]] = open_udp,
    open_ear: Callable[[Endpoint], Awaitable[Ear]] = open_announcements,
    clock: Callable[[], float] = never_still,
) -> NoReturn:
    """Ask the default router to let peers in to ``listener``, a public address, until cancelled.

    ``tell`` hears what changes: not every renewal, and nothing twice in a row. ``nonce`` is a
    ``port_nonce``, the same one for as long as the program runs. A ``nudge`` is for when this
    machine woke or its network changed: until then, Trio's clock may have stood still. Cancelled,
    it sends the packet that gives the port back and closes its sockets, within a second; whether
    the router heard that is not waited for. ``rng`` spreads requests over time; ``clock``, in
    seconds, goes on while the machine sleeps, as a router does.
    """
    rng, nudge = rng or random.SystemRandom(), nudge or Nudge()
    ways = find_router, open_channel, open_ear
    await _Keeper(listener, tell, nonce, nudge, rng, clock, *ways).run()


def port_nonce() -> bytes:
    """What nobody else knows: a router renews and closes a port only for who opened it."""
    return secrets.token_bytes(NONCE_BYTES)


class _Moved(Exception):
    """Another router is the default one, or none."""


class _Keeper:
    """One listener's port, whatever becomes of the router."""

    def __init__(
        self,
        listener: Endpoint,
        tell: Callable[[PortEvent], Awaitable[None]],
        nonce: bytes,
        nudge: Nudge,
        rng: random.Random,
        clock: Callable[[], float],
        find_router: Callable[[Endpoint], Endpoint | None],
        open_channel: Callable[[Endpoint, Endpoint], Awaitable[Channel]],
        open_ear: Callable[[Endpoint], Awaitable[Ear]],
    ) -> None:
        self._listener = listener
        self._tell = tell
        self._nonce = nonce
        self._nudge = nudge
        self._rng = rng
        #: All times here are its.
        self._clock = clock
        self._find_router = find_router
        self._open_channel = open_channel
        self._open_ear = open_ear
        self._last: PortEvent | None = None
        self._was_granted = False

    async def run(self) -> NoReturn:
        """Until cancelled."""
        while True:
            try:
                router = await self._router_there()
            except NotTold:
                await self._say(RouterNotTold())
                await trio.sleep_forever()
            try:
                channel = await self._open_channel(self._listener, router)
            except OSError:  # our address is gone: whoever listens on it hears of that
                await self._pause(LOOK_AGAIN)
                continue
            await self._use(router, channel)

    async def _router_there(self) -> Endpoint:
        """The default router, as soon as there is one; raises ``NotTold``."""
        # One that was there may be back in a moment: a cable, another Wi-Fi.
        patience = SILENCE if isinstance(self._last, Granted) else 0
        patient_until = self._clock() + patience
        while (router := self._find_router(self._listener)) is None:
            left = patient_until - self._clock()
            if left <= 0:
                await self._say(NoRouter())
            await self._pause(left if left > 0 else LOOK_AGAIN)
        return router

    async def _pause(self, seconds: float) -> None:
        """For so long, or until a nudge."""
        with contextlib.suppress(Nudged), self._nudge.heard(seconds):
            await trio.sleep_forever()

    async def _use(self, router: Endpoint, channel: Channel) -> None:
        """One router, for as long as it is the default one."""
        self._router, self._channel, self._epoch = router, channel, Epoch()
        self._request = MapRequest(self._listener, self._nonce, LIFETIME, self._listener)
        #: We wait for an answer: what comes otherwise is the router's own word.
        self._awaited = False
        #: When the mapping ends; in the past where there is none.
        self._good_until = -math.inf
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._hear_all, nursery)
                with contextlib.suppress(_Moved):
                    await self._talk()
                nursery.cancel_scope.cancel()
        finally:
            # In any case: what was refused may be open from before, an answer may be on its way.
            with trio.move_on_after(FAREWELL, shield=True), contextlib.suppress(OSError):
                await channel.send(self._request.end().encode())
            channel.close()

    async def _talk(self) -> NoReturn:
        """Raises ``_Moved``."""
        while True:
            with contextlib.suppress(Nudged):
                answer: Answer | None = await self._ask()
                while answer is not None:
                    answer = await self._obey(answer)

    async def _hear_all(self, nursery: trio.Nursery) -> None:
        """Ask again when the router says to all that it restarted (section 14.1).

        Anybody in its network can say so in its name: what counts is what it answers.
        """
        deaf_until = -math.inf
        with contextlib.suppress(OSError):  # no ear, no interface: the next renewal has to do
            ear = await self._open_ear(self._router)
            with contextlib.closing(ear):
                while True:
                    packet, now = await ear.receive(), self._clock()
                    if now >= deaf_until and self._is_news(packet, now):
                        deaf_until = now + DEAF
                        nursery.start_soon(self._ask_soon)

    def _is_news(self, packet: bytes, now: float) -> bool:
        """The router restarted, or speaks at last."""
        try:
            epoch = announced(packet)
        except PcpError:
            return False
        return isinstance(self._last, Silent) or not self._epoch.fits(epoch, now)

    async def _ask_soon(self) -> None:
        """Not together with all others who heard it."""
        await trio.sleep(self._rng.uniform(0, STAMPEDE))
        self._nudge.give()

    async def _ask(self) -> Answer:
        """Ask until there is an answer (section 8.1.1)."""
        quiet_at = max(self._clock() + SILENCE, self._good_until)
        waits = retransmissions(self._rng)
        while True:
            await self._send()
            again = self._clock() + next(waits)
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
        return await self._answer(self._clock() + pause_after(answer))

    async def _hold(self, external: Endpoint, lifetime: int) -> Answer | None:
        """Renew what was granted (section 11.2.1); None when it ended all the same."""
        granted_at = self._clock()
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
            if self._clock() >= self._good_until:
                await self._say(Silent())
            with self._nudge.heard(until - self._clock()):
                await trio.sleep_forever()
            return None
        if answer is None:
            return None
        awaited, self._awaited = self._awaited, False
        if answer.epoch is None or self._epoch.goes_on(answer.epoch, self._clock()):
            return answer
        self._good_until = -math.inf
        if isinstance(self._last, Granted):
            await self._say(Lost())
        if awaited:  # it answered after it forgot
            return answer
        await trio.sleep(self._rng.uniform(0, STAMPEDE))
        return await self._ask()

    async def _receive(self, until: float) -> Answer | None:
        with self._nudge.heard(until - self._clock()):
            while True:
                with contextlib.suppress(PcpError):
                    return self._request.answer(await self._channel.receive())
        return None

    async def _say(self, event: PortEvent) -> None:
        if event != self._last:
            self._last = event
            await self._tell(event)
