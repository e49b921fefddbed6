"""What went wrong, as one sentence for a person: what failed, and what to try."""

import enum
from collections.abc import Iterable
from typing import TYPE_CHECKING, assert_never

from fantom_trio.nursery import (
    AddressError,
    AddressProblem,
    DialError,
    DialProblem,
    Ending,
    Endpoint,
    ListenError,
    ReachError,
    ReachProblem,
    Violation,
    Why,
    secrets_are_locked,
)
from fantom_trio.repl import sanitize
from fantom_trio.repl.languages import _

if TYPE_CHECKING:
    from fantom_trio.nursery import Failed

__all__ = [
    "Gap",
    "explain_address",
    "explain_dial",
    "explain_ending",
    "explain_failed",
    "explain_gaps",
    "explain_listen",
    "explain_reach",
    "explain_shortage",
    "explain_violation",
]


class Gap(enum.Enum):
    """A way out of this process that the system did not let us close."""

    #: Other processes of the same user may read its memory.
    MEMORY = enum.auto()
    CORES = enum.auto()


def explain_address(error: AddressError) -> str:
    """Why a text is no endpoint or invite, and what to write."""
    text = sanitize.line(error.text)
    match error.problem:
        case AddressProblem.EMPTY:
            return _("An address is missing: write it as [2001:db8::1]:31488.")
        case AddressProblem.MALFORMED:
            return _("“{text}” is no IPv6 address: write it as [2001:db8::1]:31488.", text=text)
        case AddressProblem.IPV4:
            return _("“{text}” is an IPv4 address, and this is IPv6 only.", text=text)
        case AddressProblem.NOT_A_PEER:
            return _(
                "“{text}” is a group or reserved address, which no peer can have:"
                " ask your peer for theirs.", text=text)  # fmt: skip
        case AddressProblem.PORT:
            return _("“{text}” has a port that is not between 1 and 65535.", text=text)
        case AddressProblem.ZONE:
            return _(
                "What follows % in “{text}” is no network interface of this machine:"
                " name your own, as in [fe80::1%eth0]:31488.", text=text)  # fmt: skip
        case AddressProblem.INVITE:
            return _(
                "“{text}” is a damaged invite: copy all of it again,"
                " or ask your peer for a new one.", text=text)  # fmt: skip
    assert_never(error.problem)


def explain_violation(violation: Violation) -> str:
    """What a peer did that ended its link, as a clause after the peer's name."""
    match violation:
        case Violation.NOT_A_HANDSHAKE:
            return _("it sent something else than a handshake")
        case Violation.LINE_TOO_LONG:
            return _("it sent a handshake that is too long")
        case Violation.CLOSED_IN_HANDSHAKE:
            return _("it closed the link before the handshake was complete")
        case Violation.KEY_LENGTH:
            return _("it sent a key that is not 32 bytes long")
        case Violation.KEY_WEAK:
            return _("it sent a key that would give no secret")
        case Violation.KEY_REFLECTED:
            return _("it sent your own key back")
        case Violation.WROTE_AFTER_ACK:
            return _("it wrote on a link that only you may write on")
        case Violation.FRAME_EMPTY:
            return _("it sent an empty frame")
        case Violation.FRAME_TOO_LONG:
            return _("it announced a frame of over 64 KiB")
        case Violation.FRAME_WITHOUT_NUL:
            return _("it sent a frame without a sender")
        case Violation.BOX_SHORT:
            return _("it sent a frame that is too short to hold a message")
        case Violation.BAD_MAC:
            return _("it sent a message that was not encrypted for this link, or was changed")
        case Violation.REPLAY:
            return _("it sent a message a second time")
        case Violation.CLOSED_IN_FRAME:
            return _("it closed the link in the middle of a message")
        case Violation.NOT_NATIVE:
            return _("it answered as a classic peer, which cannot show who it is")
        case Violation.NOT_INVITED:
            return _("it came as a classic peer, and you let in only the invited")
        case Violation.OTHER_IDENTITY:
            return _("it is somebody else than expected")
        case Violation.OWN_IDENTITY:
            return _("it has your own identity")
        case Violation.FRAME_LENGTH:
            return _("it announced a frame of a wrong length")
        case Violation.KEM_KEY:
            return _("it sent a post-quantum key that is none")
        case Violation.PADDING:
            return _("it sent a record that was not padded as it must be")
        case Violation.RECORD_MALFORMED:
            return _("it sent a record that cannot be read")
        case Violation.RECORD_OUT_OF_PLACE:
            return _("it sent a record where it has no place")
        case Violation.STREAM_TAG:
            return _("it sent a record under the wrong tag")
        case Violation.AFTER_BYE:
            return _("it wrote on after its goodbye")
        case Violation.ID_SKIPPED:
            return _("it left out a message")
        case Violation.COUNT_IMPOSSIBLE:
            return _("it confirmed messages that you never sent")
        case Violation.TOO_MUCH_UNSHOWN:
            return _("it sent more than may wait unconfirmed")
    assert_never(violation)


def explain_ending(ending: Ending) -> str:
    """Why a link ended, as a clause after the peer's name."""
    match ending.why:
        case Why.CLOSED:
            return _("it closed the link")
        case Why.LOST:
            return _("the connection broke")
        case Why.SLOW:
            return _("it did not complete the handshake in 10 seconds")
        case Why.DISCONNECTED:
            return _("you closed the link")
        case Why.EVICTED:
            return _("its unfinished handshake was dropped for newer ones")
        case Why.CROWDED:
            return _("there are too many links already")
        case Why.TOO_OFTEN:
            return _("too many connections came from its network at once")
        case Why.BUG:
            return _("a bug in fantom-trio ended the link: {place}", place=ending.place)
        case Why.VIOLATION:
            assert ending.violation is not None
            return explain_violation(ending.violation)
        case Why.LEFT:
            return _("it said goodbye")
        case Why.REPLACED:
            return _("a newer link took the place of this one")
        case Why.SILENT:
            return _("nothing came from it for too long")
        case Why.TURNED_AWAY:
            return _("it does not let you in without an invite")
        case Why.UNINVITED:
            return _("it brought no invite, and you let in only the invited")
        case Why.BAD_INVITE:
            return _("its invite was revoked, or used by somebody else before")
    assert_never(ending.why)


def explain_dial(error: DialError, endpoint: Endpoint) -> str:
    """Why a peer was not reached, and what to try."""
    where = sanitize.line(str(endpoint))
    if error.source is not None:
        return _explain_punching(error, error.source, where)
    match error.problem:
        case DialProblem.NAME_UNKNOWN:
            return _(
                "The name {where} is not known here: check it, or use the address.", where=where
            )
        case DialProblem.NO_NAME_SERVER:
            return _(
                "No name server answered for {where}: check your network, or use the address.",
                where=where)  # fmt: skip
        case DialProblem.IPV4_ONLY:
            return _(
                "The name {where} has an IPv4 address only, and this is IPv6 only:"
                " ask your peer for an IPv6 address.", where=where)  # fmt: skip
        case DialProblem.NO_ZONE:
            return _(
                "{where} is valid on one network only: add your own interface,"
                " as in [fe80::1%eth0]:31488.", where=where)  # fmt: skip
        case DialProblem.OWN:
            return _("{where} is your own address: ask your peer for theirs.", where=where)
        case DialProblem.NO_ROUTE:
            return _(
                "There is no IPv6 route to {where}: check the address and your network.",
                where=where)  # fmt: skip
        case DialProblem.UNREACHABLE:
            return _(
                "A router says that there is no way to {where}: check the address, and that your"
                " peer is online.", where=where)  # fmt: skip
        case DialProblem.FORBIDDEN:
            return _(
                "A firewall forbids the way to {where}: your peer's must let its port in,"
                " or yours must let you out.", where=where)  # fmt: skip
        case DialProblem.REFUSED:
            return _(
                "Nobody listens at {where}: check the port, and that your peer is there.",
                where=where)  # fmt: skip
        case DialProblem.TIMEOUT:
            return _(
                "{where} did not answer: your peer is away, or a firewall drops what comes in;"
                " let your peer dial you.", where=where)  # fmt: skip
        case DialProblem.FAILED:
            return _(
                "The system could not connect to {where} ({detail}):"
                " check the address and your network.",
                where=where, detail=sanitize.line(error.detail))  # fmt: skip
        case DialProblem.BUSY:
            return _(
                "{where} broke off the handshake: a Fantom Chat does so while it holds another"
                " link with you; close that one, or try again shortly.", where=where)  # fmt: skip
        case DialProblem.SLOW:
            return _(
                "{where} took the connection and then said nothing: check the port, or try again"
                " shortly.", where=where)  # fmt: skip
        case DialProblem.VIOLATION:
            assert error.violation is not None
            return _(
                "{where} is no Fantom Chat, or something between you changes the handshake: {why}.",
                where=where, why=explain_violation(error.violation))  # fmt: skip
        case DialProblem.DOWNGRADED:
            return _(
                "{where} answers as a classic peer, so that nobody can check who it is: nothing was"
                " sent; ask your peer for a new invite.", where=where)  # fmt: skip
        case DialProblem.OTHER_IDENTITY:
            return _(
                "Somebody else answers at {where} than the one you mean: nothing was sent;"
                " ask your peer for a new invite.", where=where)  # fmt: skip
        case DialProblem.TURNED_AWAY:
            return _(
                "{where} lets in only the invited, and your invite, if you have one, was used by"
                " somebody else or revoked: ask your peer for a new one.", where=where)  # fmt: skip
        case DialProblem.BAD_INVITE:
            return _(
                "{where} showed an invite of yours that was revoked, or used by somebody else:"
                " give your peer a new one.", where=where)  # fmt: skip
        case DialProblem.GIVEN_UP:
            return _("Gave up connecting to {where}.", where=where)
    assert_never(error.problem)


def _explain_punching(error: DialError, own: Endpoint, where: str) -> str:
    """Why nobody was reached from the listening port, and what each side can do."""
    fields = {"where": where, "seconds": round(error.seconds)}
    match error.problem:
        case DialProblem.REFUSED:
            return _(
                "Nobody listens at {where}, or a firewall there refuses everybody, and that may"
                " never be passed: check the port and that your peer is there, or let your peer"
                " /connect you: {own}", where=where, own=sanitize.line(str(own)))  # fmt: skip
        case DialProblem.FORBIDDEN:
            why = _("Firewalls forbade the way to {where} for {seconds} s.", **fields)
        case DialProblem.UNREACHABLE:
            why = _(
                "Routers said for {seconds} s that there is no way to {where}: check the address.",
                **fields)  # fmt: skip
        case _:
            why = _(
                "{where} did not answer for {seconds} s: your peer is away, or your peer's firewall"
                " drops what comes in.", **fields)  # fmt: skip
    if error.problem is DialProblem.TIMEOUT:
        why += " " + _(
            "Where one of you left a moment ago, routers may take two minutes to forget that:"
            " /listen PORT takes a port they do not know.")  # fmt: skip
    ask = {"own": sanitize.line(str(own)), "port": own.port, "seconds": round(error.seconds)}
    if error.seconds < 60:
        return why + " " + _(
            "Let your peer type /connect {own} within {seconds} s of your next /connect, as long as"
            " your --timeout is, or open TCP port {port} in your router and let your peer dial"
            " you.", **ask)  # fmt: skip
    return why + " " + _(
        "Let your peer type /connect {own} within a minute of your next /connect, or open TCP port"
        " {port} in your router and let your peer dial you.", **ask)  # fmt: skip


def explain_failed(failed: "Failed") -> str:
    """Why a verification proved nothing, as a clause, and what to try."""
    from fantom_trio.nursery import Flaw, How  # which --once never needs

    match failed.flaw:
        case None if failed.how is How.CODE:
            return _("the link ended before you both had compared the code")
        case None:
            return _("the link ended before the word was compared")
        case Flaw.WORD_DIFFERS:
            return _("the word is another one there, or somebody is in between")
        case Flaw.COMMITMENT_BROKEN:
            return _("the code was tampered with, and somebody may be in between")
        case Flaw.OUT_OF_TURN | Flaw.MALFORMED:
            return _("the steps of the two programs did not fit together")
    assert_never(failed.flaw)


def explain_shortage() -> str:
    """Why whoever knocks must wait, and what to try."""
    return _(
        "The system lets this program open no more connections, so newcomers wait: some must end,"
        " or start it again with a higher “ulimit -n”."
    )


def explain_listen(error: ListenError) -> str:
    """Why nobody can dial us, and what to try."""
    where = sanitize.line(str(error.endpoint))
    if error.in_use:
        return _(
            "Port {port} is in use, perhaps by another fantom-trio: choose another one,"
            " 30000 to 65535.", port=error.endpoint.port)  # fmt: skip
    if error.no_such_address:
        return _(
            "{where} is no address of this machine: choose one of its own, or none, and it is"
            " found out.", where=where)  # fmt: skip
    return _(
        "Cannot listen on {where} ({detail}): try another port, 30000 to 65535.",
        where=where, detail=sanitize.line(error.detail))  # fmt: skip


def explain_reach(error: ReachError) -> str:
    """Why our own address is not known, and what to try."""
    why = _reach_problem(error)
    if error.problem is ReachProblem.NO_LINK_LOCAL:
        return why
    return why + " " + _("If you know your address, start with --address ADDRESS.")


def _reach_problem(error: ReachError) -> str:
    detail = sanitize.line(error.detail).rstrip(".")
    match error.problem:
        case ReachProblem.INTERFACES:
            return _("The network interfaces cannot be read: {detail}.", detail=detail)
        case ReachProblem.NO_IPV6:
            return _(
                "This machine has no public IPv6 address: ask your provider or router for one."
            )
        case ReachProblem.NO_LINK_LOCAL:
            return _(
                "No network interface has a link-local IPv6 address:"
                " join a network, or enable IPv6."
            )
        case ReachProblem.SERVICE_URL:
            return _(
                "The address service must be an https:// address, not {detail}.", detail=detail
            )
        case ReachProblem.UNREACHABLE:
            return _("The address service cannot be reached over IPv6 ({detail}).", detail=detail)
        case ReachProblem.TIMED_OUT:
            return _("The address service did not answer within 5 seconds.")
        case ReachProblem.TLS:
            return _("The address service does not speak TLS ({detail}).", detail=detail)
        case ReachProblem.CERTIFICATE:
            return _("The address service's certificate is not valid ({detail}).", detail=detail)
        case ReachProblem.REDIRECTED:
            return _(
                "The address service redirects to {detail}, and that is not followed.",
                detail=detail,
            )
        case ReachProblem.STATUS:
            return _("The address service answered with error {detail}.", detail=detail)
        case ReachProblem.ANSWERED_IPV4:
            return _("The address service answered with an IPv4 address, {detail}.", detail=detail)
        case ReachProblem.ANSWERED_GARBAGE:
            return _("The address service answered with no address: {detail}", detail=detail)
        case ReachProblem.NOT_OURS:
            return _(
                "The address service says {detail}, which is no address of this machine:"
                " a VPN or a proxy stands between.", detail=detail)  # fmt: skip
    assert_never(error.problem)


def explain_gaps(gaps: Iterable[Gap]) -> list[str]:
    """How keys and texts may leave memory: by these ``gaps``, or because keys are not locked."""
    told = [_explain_gap(gap) for gap in gaps]
    if not secrets_are_locked():
        told.append(
            _(
                "The system does not let this program lock its memory: keys may be written to swap."
                " “ulimit -l” shows how much it lets you lock."
            )
        )
    return told


def _explain_gap(gap: Gap) -> str:
    match gap:
        case Gap.MEMORY:
            return _(
                "The system does not let this program close its memory: other programs of yours may"
                " read keys and messages in it. Run none that you do not trust."
            )
        case Gap.CORES:
            return _(
                "The system does not let this program turn core dumps off: a crash may write keys"
                " and messages to disk. “ulimit -c 0” before the start turns them off."
            )
    assert_never(gap)
