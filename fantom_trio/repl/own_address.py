"""Where we can be reached: finds our address out, and listens there."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import trio

from fantom_trio.nursery import (
    DEFAULT_SERVICE,
    Endpoint,
    ListenError,
    ReachError,
    link_local_address,
    public_address,
    with_zone,
)
from fantom_trio.repl.explain import explain_listen, explain_reach
from fantom_trio.repl.languages import _

if TYPE_CHECKING:
    from fantom_trio.repl.app import App

__all__ = ["OwnAddress", "Where"]


@dataclass(frozen=True, slots=True)
class Where:
    """Where the user wants to be reached: a given address, or a mode that finds one."""

    mode: str = "public"  # or "local", "loopback", "given"
    address: Endpoint | None = None
    service: str = DEFAULT_SERVICE


class OwnAddress:
    """Our address, and the listener on it; what becomes of both is printed."""

    def __init__(self, app: "App", where: Where) -> None:
        #: Without a listener's port; None while it is not known.
        self.known: Endpoint | None = None
        self._app = app
        self._where = where
        self._finder: trio.CancelScope | None = None

    def find(self) -> None:
        """Find out where we can be reached, and listen there; both are told when they are known."""
        if self._finder is None:
            self._finder = trio.CancelScope()
            self._app.start_soon(self._find_and_listen, self._finder)

    def stop_finding(self) -> None:
        """What is found out from here on is of no interest."""
        if self._finder is not None:
            self._finder.cancel()
            self._finder = None

    async def listen(self, endpoint: Endpoint) -> None:
        """Listen on ``endpoint``, and say where or why not."""
        app = self._app
        self.known = endpoint
        try:
            bound = await app.node.listen(endpoint)
        except ListenError as error:
            text = explain_listen(error)
            if error.in_use:
                text += " " + _("Then: /listen PORT")
            await app.print(text, alarm=True)
            return
        await app.print(
            _("Listening on {where}. Give your peer this address, or an /invite.", where=bound)
        )
        app.listening(bound)

    async def _find_and_listen(self, scope: trio.CancelScope) -> None:
        with scope:
            address = await self._found()
            await self.listen(replace(address, port=self._app.node.own_port))
        if self._finder is scope:
            self._finder = None

    async def _found(self) -> Endpoint:
        app = self._app
        try:
            return await self._find()
        except ReachError as error:
            await app.print(explain_reach(error), alarm=True)
            address = _nearest()
            nearby = (
                _("Until then only this machine can reach you.")
                if address.is_loopback
                else _("Until then only peers on the same network can reach you.")
            )
            await app.print(nearby)
            return address

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
        return await public_address(self._where.service)


def _nearest() -> Endpoint:
    try:
        return link_local_address()
    except ReachError:
        return Endpoint("::1", 0)
