"""The listener's port in the router's firewall: who asks for it, and what the router answered."""

from typing import TYPE_CHECKING, assert_never

import trio

from fantom_trio.nursery import (
    Endpoint,
    Granted,
    Lost,
    NoRouter,
    PcpResult,
    PortEvent,
    Refused,
    Silent,
    keep_open,
    port_nonce,
)
from fantom_trio.repl import sanitize
from fantom_trio.repl.languages import _

if TYPE_CHECKING:
    from fantom_trio.repl.app import App

__all__ = ["OpenPort", "explain_port"]


class OpenPort:
    """Keeps the listener's port open; what becomes of it is printed."""

    def __init__(self, app: "App") -> None:
        self._app = app
        self._scope = trio.CancelScope()
        #: One for all ports: where the router did not hear that we gave one back, it is still ours.
        self._nonce = port_nonce()
        #: Held until the port is given back, so that this is not what the router hears last.
        self._turn = trio.Lock()

    def start(self, listener: Endpoint) -> None:
        """Ask for the port of ``listener`` from here on, and give an earlier one back."""
        self.stop()
        self._scope = trio.CancelScope()
        self._app.start_soon(self._keep_open, listener, self._scope)

    def stop(self) -> None:
        """Give the port back, if there is one; the end of the program does so, too."""
        self._scope.cancel()

    async def _keep_open(self, listener: Endpoint, scope: trio.CancelScope) -> None:
        async def tell(event: PortEvent) -> None:
            alarm = not isinstance(event, (Granted, Lost))
            await self._app.print(explain_port(event, listener), alarm=alarm)

        with scope:
            if listener.is_link_local or listener.is_loopback:
                await self._app.print(
                    _(
                        "No router stands before {where}: there is no port to open for others.",
                        where=sanitize.line(str(listener)),
                    )
                )
                return
            async with self._turn:
                await keep_open(listener, tell, self._nonce)


def explain_port(event: PortEvent, listener: Endpoint) -> str:
    """What the router said to opening the port of ``listener``, and what is left to do."""
    match event:
        case Granted():
            where = sanitize.line(str(event.external))
            if event.external != listener:
                return _(
                    "Your router lets peers in at {where}, which is not where you listen: give your"
                    " peer that address.",
                    where=where,
                )
            if event.again:
                return _("Your router has opened {where} to your peers again.", where=where)
            return _(
                "Your router has opened {where} to your peers; it is closed when you leave.",
                where=where,
            )
        case Lost():
            return _(
                "Your router has forgotten the open port, as one does that restarted: asking again."
            )
        case Silent():
            text = _("Your router does not answer when it is asked to open a port (PCP).")
        case NoRouter():
            text = _("There is no IPv6 router that could be asked to open a port.")
        case Refused():
            return _explain_refused(event, listener)
        case _:
            assert_never(event)
    return f"{text} {_by_hand(listener)}"


def _explain_refused(event: Refused, listener: Endpoint) -> str:
    match event.result:
        case PcpResult.NO_RESOURCES | PcpResult.USER_EX_QUOTA:
            return _(
                "Your router cannot open any more ports now: close some in its settings; it will be"
                " asked again."
            )
        case PcpResult.NETWORK_FAILURE:
            return _(
                "Your router has no connection to the internet and opens no port: check it; it will"
                " be asked again."
            )
        case PcpResult.CANNOT_PROVIDE_EXTERNAL:
            return _(
                "Your router has given port {port} to somebody else: /listen PORT takes another"
                " one.",
                port=listener.port,
            )
        case PcpResult.NOT_AUTHORIZED:
            text = _(
                "Your router does not let this program open a port, or an earlier run still holds"
                " it: allow it in the router's settings (PCP), or wait two hours."
            )
        case PcpResult.ADDRESS_MISMATCH:
            text = _(
                "Your router sees another address than yours and opens no port: a second router or"
                " a VPN stands between."
            )
        case (
            PcpResult.UNSUPP_VERSION
            | PcpResult.UNSUPP_OPCODE
            | PcpResult.UNSUPP_OPTION
            | PcpResult.UNSUPP_PROTOCOL
        ):
            text = _("Your router cannot open a TCP port when a program asks for it (PCP).")
        case _:
            text = _("Your router refuses to open the port (PCP error {code}).", code=event.code)
    return f"{text} {_by_hand(listener)}"


def _by_hand(listener: Endpoint) -> str:
    return _(
        "Open TCP port {port} for {address} in your router's IPv6 firewall by hand.",
        port=listener.port,
        address=sanitize.line(listener.host),
    )
