"""Which listener's port is asked for, and when it is given back."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from fantom_trio.nursery import (
    AddressBack,
    AddressGone,
    AddressMoved,
    AddressNews,
    Endpoint,
    Granted,
    ListeningAt,
    NobodyBefore,
    OpenPort,
    PortNews,
    ReachError,
    ReachProblem,
    open_port,
)
from fantom_trio.nursery.port_mapping import (
    Nudge,
    Nudged,
    PortEvent,
)

LISTENER, ANOTHER = Endpoint("2001:db8::5", 31488), Endpoint("2001:db8::6", 31500)
GONE = AddressGone(LISTENER, False, ReachError(ReachProblem.NO_IPV6))


class Router:
    """Stands in for all that is behind ``keep_open``."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.nonces: set[bytes] = set()
        self.told: list[tuple[PortNews, Endpoint]] = []
        self.says: Callable[[PortEvent], Awaitable[None]]

    async def keep_open(
        self,
        listener: Endpoint,
        tell: Callable[[PortEvent], Awaitable[None]],
        nonce: bytes,
        nudge: Nudge,
    ) -> None:
        self.says = tell
        self.nonces.add(nonce)
        self.done.append(f"open {listener.port}")
        try:
            while True:
                try:
                    with nudge.heard(3600):
                        await trio.sleep_forever()
                except Nudged:
                    self.done.append(f"look {listener.port}")
        finally:
            with trio.CancelScope(shield=True):
                await wait_all_tasks_blocked()
            self.done.append(f"close {listener.port}")

    async def tell(self, news: PortNews, listener: Endpoint) -> None:
        await trio.lowlevel.checkpoint()
        self.told.append((news, listener))

    @asynccontextmanager
    async def asked(self) -> AsyncIterator[OpenPort]:
        async with trio.open_nursery() as nursery:
            port = OpenPort(self.tell)
            nursery.start_soon(port.run)
            yield port
            nursery.cancel_scope.cancel()

    async def after(self, *steps: Callable[[], None]) -> list[str]:
        """What is done when these steps were taken in one moment."""
        for step in steps:
            step()
        await wait_all_tasks_blocked(0.05)
        done, self.done = self.done, []
        return done


@pytest.fixture
def router(monkeypatch: pytest.MonkeyPatch) -> Router:
    router = Router()
    monkeypatch.setattr(open_port, "keep_open", router.keep_open)
    return router


def follows(port: OpenPort, news: AddressNews) -> Callable[[], None]:
    return lambda: port.follow(news)


@pytest.mark.parametrize(
    "news", [ListeningAt(LISTENER), AddressMoved(LISTENER, None), AddressBack(LISTENER)]
)
async def test_the_port_is_open_while_the_listener_is_up(router: Router, news: AddressNews) -> None:
    async with router.asked() as port:
        assert await router.after() == []
        assert await router.after(follows(port, news)) == ["open 31488"]
        await router.says(Granted(LISTENER, 7200))
        assert router.told == [(Granted(LISTENER, 7200), LISTENER)]
        assert await router.after(port.stop, port.stop) == ["close 31488"]
        assert await router.after(follows(port, news)) == ["open 31488"]
    assert router.done == ["close 31488"]


async def test_an_address_that_is_gone_has_no_port_to_ask_for(router: Router) -> None:
    async with router.asked() as port:
        await router.after(follows(port, ListeningAt(LISTENER)))
        assert await router.after(follows(port, GONE)) == ["close 31488"]
        assert await router.after(follows(port, AddressBack(LISTENER))) == ["open 31488"]


async def test_an_old_port_is_given_back_before_a_new_one_is_asked_for(router: Router) -> None:
    async with router.asked() as port:
        await router.after(follows(port, ListeningAt(LISTENER)))
        moves = follows(port, AddressMoved(LISTENER, None)), follows(port, ListeningAt(ANOTHER))
        assert await router.after(*moves) == ["close 31488", "open 31500"]
        # Else the router would take us for somebody else, where it did not hear the first end.
        assert len(router.nonces) == 1


async def test_a_change_of_the_network_reaches_who_asks_and_nobody_later(router: Router) -> None:
    async with router.asked() as port:
        assert await router.after(port.look_again) == []
        assert await router.after(follows(port, ListeningAt(LISTENER))) == ["open 31488"]
        assert await router.after(port.look_again, port.look_again) == ["look 31488"]


@pytest.mark.parametrize("listener", [Endpoint("::1", 31488), Endpoint("fe80::5", 31488, "eth0")])
async def test_where_no_router_stands_before_none_is_asked(
    router: Router, listener: Endpoint
) -> None:
    async with router.asked() as port:
        assert await router.after(follows(port, ListeningAt(listener))) == []
        assert router.told == [(NobodyBefore(), listener)]
