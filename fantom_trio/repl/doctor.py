"""``/doctor``: what was found out, a line each, with what to do about it."""

import enum
import time
import weakref
from typing import assert_never

from fantom_trio.nursery import (
    AddressKind,
    Clock,
    DialBack,
    DialProblem,
    Endpoint,
    Finding,
    Knocked,
    Listening,
    NobodyToAsk,
    NoListener,
    NoPublicAddress,
    OwnAddresses,
    Route,
    SelfDial,
    Service,
    Step,
    Stuck,
    Unknown,
    Where,
    diagnose,
)
from fantom_trio.repl import render, sanitize
from fantom_trio.repl.app import App
from fantom_trio.repl.commands import CommandError
from fantom_trio.repl.explain import explain_gaps, explain_reach
from fantom_trio.repl.languages import _
from fantom_trio.repl.own_address import explain_absence

__all__ = ["examine"]

#: Seconds by which a clock may be wrong: two messages are rarely nearer to each other.
CLOCK_SECONDS = 30

#: Those whose examination is under way.
_busy = weakref.WeakSet[App]()


class _Mark(enum.Enum):
    """How bad it is."""

    GOOD = "✓"
    DOUBTFUL = "!"
    BAD = "✗"


async def examine(app: App) -> None:
    """Find out why nobody can reach us, beside the prompt, and print what there is to say.

    Raises ``CommandError`` while that is under way.
    """
    if app in _busy:
        raise CommandError(_("The doctor is still at work: wait for what it says."))
    await app.print(_("Looking for what keeps others from reaching you: a few seconds …"))
    _busy.add(app)
    app.start_soon(_examine, app)


async def _examine(app: App) -> None:
    where = app.where
    service = where.service if where.mode == "public" else None
    try:
        findings = await diagnose(
            app.node, internet=_is_wide(where), service=service, wanted=app.own.known
        )
    finally:
        _busy.discard(app)
    for gap in explain_gaps(app.gaps):
        await app.print(f"{_Mark.DOUBTFUL.value} {gap}")
    for finding in findings:
        mark, text = _explain(finding, where)
        await app.print(f"{mark.value} {text}", alarm=mark is _Mark.BAD)


def _is_wide(where: Where) -> bool:
    """People from everywhere are to reach us."""
    match where.mode:
        case "given":
            assert where.address is not None
            return not (where.address.is_link_local or where.address.is_loopback)
        case "public":
            return True
    return False


def _explain(finding: Finding, where: Where) -> tuple[_Mark, str]:
    match finding:
        case OwnAddresses():
            return _explain_addresses(finding)
        case NoPublicAddress():
            return _Mark.BAD, _(
                "This machine has no public IPv6 address: ask your provider or router for one."
            )
        case Unknown():
            mark = _Mark.BAD if finding.step is Step.ADDRESSES else _Mark.DOUBTFUL
            return mark, explain_reach(finding.error)
        case Route():
            return _explain_route(finding)
        case Listening():
            return _explain_listening(finding, where)
        case NoListener():
            return _Mark.BAD, _explain_no_listener(finding)
        case Service():
            return _explain_service(finding)
        case Clock():
            return _explain_clock(finding)
        case SelfDial():
            return _explain_self_dial(finding)
        case DialBack():
            return _explain_dial_back(finding, where)
        case NobodyToAsk():
            return _Mark.DOUBTFUL, _(
                "Only a verified peer can tell whether a firewall keeps others out: /connect to"
                " one who has fantom-trio, /verify each other, then /doctor again."
            )
        case Stuck() if finding.place:
            return _Mark.DOUBTFUL, _(
                "A bug in fantom-trio ended one of the checks: {place}", place=finding.place
            )
        case Stuck():
            return _Mark.DOUBTFUL, _("One of the checks did not end in time: try /doctor again.")
    assert_never(finding)


def _explain_addresses(finding: OwnAddresses) -> tuple[_Mark, str]:
    addresses = ", ".join(map(_host, finding.addresses))
    match finding.kind:
        case AddressKind.TEREDO | AddressKind.SIX_TO_FOUR:
            return _Mark.DOUBTFUL, _(
                "{addresses} comes from a {tunnel} tunnel, which few peers can reach: ask your"
                " provider for IPv6 of its own.",
                addresses=addresses,
                tunnel=finding.kind.value,
            )
        case AddressKind.UNIQUE_LOCAL:
            text = _("Private IPv6, for your own networks: {addresses}", addresses=addresses)
        case AddressKind.LINK_LOCAL:
            text = _("Link-local IPv6, for the same network only: {addresses}", addresses=addresses)
        case AddressKind.GLOBAL | AddressKind.LOOPBACK:
            text = _("Public IPv6, for everybody: {addresses}", addresses=addresses)
    return _Mark.GOOD, text


def _explain_route(finding: Route) -> tuple[_Mark, str]:
    if finding.source is None:
        return _Mark.BAD, _(
            "There is no route to the IPv6 internet: turn IPv6 on in your router, or ask your"
            " provider for it."
        )
    source = sanitize.line(finding.source)
    if AddressKind.of(finding.source) in (AddressKind.UNIQUE_LOCAL, AddressKind.LINK_LOCAL):
        return _Mark.DOUBTFUL, _(
            "There is a route to the IPv6 internet, but this machine would use it from {source},"
            " where no answer arrives: ask your provider or router for a public address.",
            source=source,
        )
    return _Mark.GOOD, _("There is a route to the IPv6 internet, from {source}.", source=source)


def _explain_listening(finding: Listening, where: Where) -> tuple[_Mark, str]:
    at = sanitize.line(str(finding.endpoint))
    if not finding.is_ours:
        return _Mark.BAD, explain_absence(at, given=where.mode == "given")
    match AddressKind.of(finding.endpoint.host):
        case AddressKind.LOOPBACK:
            text = _("You listen on {where}: only this machine can reach you.", where=at)
        case AddressKind.LINK_LOCAL:
            text = _("You listen on {where}: only the same network can reach you.", where=at)
        case AddressKind.UNIQUE_LOCAL:
            text = _("You listen on {where}: only your own networks can reach you.", where=at)
        case _:
            return _Mark.GOOD, _("You listen on {where}.", where=at)
    if where.mode != "public":
        return _Mark.GOOD, text
    hint = _("As soon as this machine has a public address, you listen there instead.")
    return _Mark.DOUBTFUL, f"{text} {hint}"


def _explain_no_listener(finding: NoListener) -> str:
    if finding.holder is None:
        return _("Nobody can dial you: /listen starts the listener.")
    if not finding.holder:
        return _(
            "Nobody can dial you: another program has port {port}; /listen PORT takes another one.",
            port=finding.port,
        )
    return _(
        "Nobody can dial you: {program} has port {port}; end it, or take another one with"
        " /listen PORT.",
        program=sanitize.line(finding.holder),
        port=finding.port,
    )


def _explain_service(finding: Service) -> tuple[_Mark, str]:
    address = _host(finding.address)
    if finding.used:
        return _Mark.GOOD, _(
            "The address service sees you come from {address}, where you listen.", address=address
        )
    return _Mark.DOUBTFUL, _(
        "The address service sees you come from {address}, where you do not listen: the address to"
        " give to your peers is the one that /address shows.",
        address=address,
    )


def _explain_clock(finding: Clock) -> tuple[_Mark, str]:
    now = time.time()
    if finding.ahead is None:
        return _Mark.DOUBTFUL, _(
            "There is nothing to compare your clock with: make sure that it is {time}.",
            time=_date(now),
        )
    if abs(finding.ahead) <= CLOCK_SECONDS:
        return _Mark.GOOD, _("Your clock is right.")
    return _Mark.DOUBTFUL, _(
        "By your clock it is {ours}, by the address service's {theirs}: set yours, or certificates"
        " fail and messages have wrong times.",
        ours=_date(now),
        theirs=_date(now - finding.ahead),
    )


def _explain_self_dial(finding: SelfDial) -> tuple[_Mark, str]:
    at, error = sanitize.line(str(finding.endpoint)), finding.error
    if error is None and finding.took:
        return _Mark.GOOD, _(
            "Your listener answers this machine, which says nothing of the firewalls on the way."
        )
    if error is None:
        return _Mark.BAD, _(
            "Something takes connections to {where} before your listener gets them: /listen PORT"
            " tries another port.",
            where=at,
        )
    if error.problem in (DialProblem.TIMEOUT, DialProblem.FORBIDDEN):
        return _Mark.BAD, _(
            "The firewall of this machine keeps even itself from {where}: open TCP port {port}"
            " there.",
            where=at,
            port=finding.endpoint.port,
        )
    return _Mark.BAD, _(
        "Even this machine cannot connect to {where} ({detail}): /listen off, and then /listen,"
        " starts the listener again.",
        where=at,
        detail=sanitize.line(error.detail),
    )


def _explain_dial_back(finding: DialBack, where: Where) -> tuple[_Mark, str]:
    name, port = render.name(finding.conversation), finding.endpoint.port
    match finding.outcome:
        case Knocked.DIALED_BACK if finding.near and _is_wide(where):
            return _Mark.GOOD, _(
                "{name} dialed you back over your own network; whether your router lets others in,"
                " only a peer elsewhere can tell.",
                name=name,
            )
        case Knocked.DIALED_BACK:
            return _Mark.GOOD, _("{name} dialed you back: others can reach you.", name=name)
        case Knocked.NOTHING_CAME if finding.near:
            return _Mark.BAD, _(
                "{name} was asked to dial you back, and nothing came: open TCP port {port} in the"
                " firewall of this machine, or let {name} /verify you first.",
                name=name,
                port=port,
            )
        case Knocked.NOTHING_CAME:
            return _Mark.BAD, _(
                "{name} was asked to dial you back, and nothing came: open TCP port {port} for"
                " {address} in your router's IPv6 firewall and on this machine, or let {name}"
                " /verify you first.",
                name=name,
                port=port,
                address=_host(finding.endpoint),
            )
        case Knocked.TOO_SOON:
            return _Mark.DOUBTFUL, _(
                "{name} was asked to dial you back a moment ago: /doctor again in a minute.",
                name=name,
            )
        case Knocked.LINK_ENDED:
            return _Mark.DOUBTFUL, _(
                "The link with {name} ended before it could dial you back: /doctor again when they"
                " are there.",
                name=name,
            )
    assert_never(finding.outcome)


def _host(endpoint: Endpoint) -> str:
    """An address of ours without its port."""
    return sanitize.line(endpoint.host + (endpoint.zone and f"%{endpoint.zone}"))


def _date(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
