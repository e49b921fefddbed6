"""Which of our listeners has its port open in the router's firewall: the one that is up."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

import trio

from fantom_trio.nursery.own_address import (
    AddressBack,
    AddressGone,
    AddressMoved,
    AddressNews,
    ListeningAt,
)
from fantom_trio.nursery.port_mapping import Nudge, PortEvent, keep_open, port_nonce
from fantom_trio.wire import Endpoint

__all__ = ["NobodyBefore", "OpenPort", "PortNews"]


@dataclass(frozen=True, slots=True)
class NobodyBefore:
    """No router stands before an address that only this network or this machine can dial."""


#: What ``OpenPort`` tells.
PortNews: TypeAlias = PortEvent | NobodyBefore


class OpenPort:
    """Keeps the listener's port open; ``tell`` hears what becomes of it, and of which listener."""

    def __init__(self, tell: Callable[[PortNews, Endpoint], Awaitable[None]]) -> None:
        self._tell = tell
        #: One for all ports: where the router did not hear that we gave one back, it is still ours.
        self._nonce = port_nonce()
        self._listener: Endpoint | None = None
        self._scope = trio.CancelScope()
        self._nudge = Nudge()

    async def run(self) -> NoReturn:
        """Ask the router and go on asking; cancelled, the port is given back."""
        while True:
            # The earlier port is given back by now: else that would be what the router hears last.
            with trio.CancelScope() as self._scope:
                await self._keep(self._listener)

    def follow(self, news: AddressNews) -> None:
        """The listener is up somewhere, or nobody can dial it any more."""
        match news:
            case ListeningAt(where) | AddressMoved(where) | AddressBack(where):
                self._change(where)
            case AddressGone():
                self._change(None)

    def stop(self) -> None:
        """Give the port back, if there is one, until there is a listener again."""
        self._change(None)

    def look_again(self) -> None:
        """This machine woke, or its network changed: ask at once."""
        self._nudge.give()

    def _change(self, listener: Endpoint | None) -> None:
        self._listener = listener
        self._scope.cancel()

    async def _keep(self, listener: Endpoint | None) -> None:
        async def tell(event: PortEvent) -> None:
            assert listener is not None
            await self._tell(event, listener)

        self._nudge = Nudge()
        if listener is None:
            await trio.sleep_forever()
        elif listener.is_link_local or listener.is_loopback:
            await self._tell(NobodyBefore(), listener)
            await trio.sleep_forever()
        else:
            await keep_open(listener, tell, self._nonce, self._nudge)
