"""What becomes of the listener's port in the router's firewall, in words."""

from typing import assert_never

from fantom_trio.nursery import (
    Endpoint,
    Granted,
    Lost,
    NobodyBefore,
    NoRouter,
    PcpResult,
    PortNews,
    Refused,
    RouterNotTold,
    Silent,
)
from fantom_trio.repl import sanitize
from fantom_trio.repl.languages import _

__all__ = ["explain_port"]


def explain_port(news: PortNews, listener: Endpoint) -> str:
    """What the router said to opening the port of ``listener``, and what is left to do."""
    match news:
        case Granted():
            where = sanitize.line(str(news.external))
            if news.external != listener:
                return _(
                    "Your router lets peers in at {where}, which is not where you listen: give your"
                    " peer that address.",
                    where=where,
                )
            if news.again:
                return _("Your router has opened {where} to your peers again.", where=where)
            return _(
                "Your router has opened {where} to your peers; it is closed when you leave.",
                where=where,
            )
        case Lost():
            return _(
                "Your router has forgotten the open port, as one does that restarted: asking again."
            )
        case NobodyBefore():
            return _(
                "No router stands before {where}: there is no port to open for others.",
                where=sanitize.line(str(listener)),
            )
        case Silent():
            text = _("Your router does not answer when it is asked to open a port (PCP).")
        case NoRouter():
            text = _("There is no IPv6 router that could be asked to open a port.")
        case RouterNotTold():
            text = _("Only on Linux can this program ask a router to open a port.")
        case Refused():
            return _explain_refused(news, listener)
        case _:
            assert_never(news)
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
