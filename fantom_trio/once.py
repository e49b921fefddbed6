"""``--once``: messages to one peer, and an exit code that says what became of them."""

import os
import sys

import trio
from msgspec import Struct, field

from fantom_trio.lines import Lines
from fantom_trio.nursery import (
    Connection,
    DialError,
    DialProblem,
    Endpoint,
    Greeter,
    Invite,
    KeyPair,
    Limits,
    LinkKind,
    Piece,
    Receipt,
    Source,
    Why,
    deliver,
    dial,
    look_up,
)
from fantom_trio.repl import sanitize
from fantom_trio.repl.explain import explain_dial, explain_ending
from fantom_trio.repl.languages import _, n_
from fantom_trio.tell import Exit, as_json, tell, unwritten, write

__all__ = ["Outcome", "send_once"]


class Outcome(Struct):
    """What became of a call, filled in as it goes on: what ``--json`` prints.

    ``delivered``: everything was confirmed, and the exit code is 0. ``peer``: the address that was
    dialed, null when the call named none. ``link``: ``native``, ``classic``, or null while there
    was none. ``verified``: an invite proved who it is. ``messages``: how many were confirmed, a
    long one counted once; ``unconfirmed``: how many more were read to be sent. ``exit``: the exit
    code. ``problem``: the sentence that says what went wrong, or null.
    """

    peer: Endpoint | None = None
    kind: LinkKind | None = None
    verified: bool = False
    receipt: Receipt = field(default_factory=Receipt)
    problem: str | None = None

    @property
    def unconfirmed(self) -> int:
        """Of how many messages that were taken the peer said nothing."""
        return self.receipt.taken - self.receipt.delivered

    def fail(self, problem: str) -> None:
        """Tell what went wrong, now and in the JSON."""
        self.problem = sanitize.line(problem)
        tell(problem)

    def interrupted(self, *, lines: bool) -> None:
        """A signal ended it; of lines it is told how many came how far."""
        self.problem = _("A signal ended it.")
        if lines and self.peer is not None:
            self.fail(
                _("A signal ended it. Lines delivered to {where}: {delivered}, not confirmed:"
                  " {unconfirmed}.", where=self.peer, delivered=self.receipt.delivered,
                  unconfirmed=self.unconfirmed)
            )  # fmt: skip

    def print(self, code: int) -> int:
        """One JSON object on stdout; the exit code, which says so where stdout took none."""
        if sys.stdout is None:
            failed = unwritten(None)
            return code or failed
        output = sys.stdout.fileno()
        fields = {
            "delivered": code == Exit.DONE,
            "peer": None if self.peer is None else str(self.peer),
            "link": None if self.kind is None else self.kind.value,
            "verified": self.verified,
            "messages": self.receipt.delivered,
            "unconfirmed": self.unconfirmed,
            "exit": int(code),
            "problem": self.problem,
        }
        try:
            write(output, as_json(fields, to_terminal=os.isatty(output)))
        except BrokenPipeError:  # whoever read us has enough
            pass
        except OSError as error:
            failed = unwritten(error)
            return code or failed
        return code


async def send_once(
    peer: Endpoint | Invite,
    messages: str | Lines,
    outcome: Outcome,
    *,
    own: Endpoint | None,
    own_port: int,
    timeout: float,
) -> Exit:
    """Dial ``peer`` from any port, say one text or each line as it comes, and wait for the receipt.

    ``timeout`` seconds are for connecting, and as many for the receipt; of lines, for the next
    receipt while one is due. Our identity lives no longer than this. Cancelled, some, all or none
    of it went out, ``outcome`` says how much was confirmed, and the keys are wiped.
    """
    endpoint = peer.endpoint if isinstance(peer, Invite) else peer
    limits = Limits(connect_seconds=timeout, handshake_seconds=timeout)
    identity = KeyPair.generate()
    source = messages.read if isinstance(messages, Lines) else _source(messages)
    try:
        connection = await _connect(peer, identity, limits, own, own_port, timeout)
        outcome.kind = connection.link.kind
        outcome.verified = isinstance(peer, Invite)  # who is not the invited is not let in here
        await deliver(connection, source, outcome.receipt, seconds=timeout, limits=limits)
    except DialError as error:
        outcome.fail(explain_dial(error, endpoint))
        return Exit.HANDSHAKE if error.problem.answered else Exit.UNREACHED
    finally:
        identity.wipe()
    where = sanitize.line(str(endpoint))
    lines = isinstance(messages, Lines)
    if outcome.receipt.ending is not None:
        outcome.fail((_lines_lost if lines else _undelivered)(outcome, where, timeout))
        return Exit.UNACKNOWLEDGED
    if isinstance(messages, Lines) and messages.problem:
        outcome.fail(_unreadable(messages.problem, outcome.receipt.delivered, where))
        return Exit.USAGE
    tell(_lines_delivered(outcome, where) if lines else _delivered(outcome, where))
    return Exit.DONE


def _source(text: str) -> Source:
    pieces = [Piece(text)]

    async def source() -> list[Piece]:
        return [pieces.pop()] if pieces else []

    return source


async def _connect(
    peer: Endpoint | Invite,
    identity: KeyPair,
    limits: Limits,
    own: Endpoint | None,
    own_port: int,
    timeout: float,
) -> Connection:
    """Raises ``DialError``."""
    invite, endpoint = (peer, peer.endpoint) if isinstance(peer, Invite) else (None, peer)
    deadline = trio.current_time() + timeout

    async def connect(token: bytes | None) -> Connection:
        return await dial(
            await look_up(endpoint, timeout),
            Greeter(identity, token=token),
            own=own,
            own_port=own_port,
            limits=limits,
            expected=invite.fingerprint if invite is not None else None,
            deadline=deadline,
        )

    try:
        return await connect(invite.token if invite is not None else None)
    except DialError as error:
        if invite is None or error.problem is not DialProblem.TURNED_AWAY:
            raise
        # Its token let an earlier run in, whose identity is gone. It still proves who is
        # there, and whoever lets in more than the invited takes us without it.
        return await connect(None)


# What is told.


def _delivered(outcome: Outcome, where: str) -> str:
    if outcome.kind is LinkKind.CLASSIC:
        return _(
            "Delivered to {where}: a classic peer, which cannot be verified, read it and closed.",
            where=where,
        )
    if not outcome.verified:
        return _("Delivered to {where}: a native peer, not verified.", where=where)
    return _("Delivered to {where}: a native peer, verified by its invite.", where=where)


def _undelivered(outcome: Outcome, where: str, timeout: float) -> str:
    receipt = outcome.receipt
    assert receipt.ending is not None
    why = receipt.ending.why
    if not receipt.sent and why in (Why.SLOW, Why.LOST):
        return _(
            "The link to {where} broke, or was too slow, before all was sent: try again,"
            " or with a longer --timeout.", where=where)  # fmt: skip
    if not receipt.sent:
        return _(
            "Not all was sent to {where}: {why}.", where=where, why=explain_ending(receipt.ending)
        )
    match why:
        case Why.SLOW:
            return _(
                "Sent to {where}, but it did not confirm in {n:g} seconds: it may have arrived."
                " Try a longer --timeout.", where=where, n=timeout)  # fmt: skip
        case Why.LOST:
            return _(
                "Sent to {where}, but the connection broke before it confirmed: it may have"
                " arrived.", where=where)  # fmt: skip
    return _(
        "Sent to {where}, but it did not confirm: {why}.",
        where=where, why=explain_ending(receipt.ending))  # fmt: skip


def _lines_delivered(outcome: Outcome, where: str) -> str:
    count = outcome.receipt.delivered
    if outcome.kind is LinkKind.CLASSIC:
        return n_(
            "{n} line delivered to {where}: a classic peer, which cannot be verified, read it"
            " and closed.",
            "{n} lines delivered to {where}: a classic peer, which cannot be verified, read them"
            " and closed.", count, where=where)  # fmt: skip
    if not outcome.verified:
        return n_(
            "{n} line delivered to {where}: a native peer, not verified.",
            "{n} lines delivered to {where}: a native peer, not verified.",
            count, where=where)  # fmt: skip
    return n_(
        "{n} line delivered to {where}: a native peer, verified by its invite.",
        "{n} lines delivered to {where}: a native peer, verified by its invite.",
        count, where=where)  # fmt: skip


def _lines_lost(outcome: Outcome, where: str, timeout: float) -> str:
    receipt = outcome.receipt
    assert receipt.ending is not None
    counts = {"delivered": receipt.delivered, "unconfirmed": outcome.unconfirmed}
    if receipt.ending.why is Why.SLOW:
        return _(
            "{where} confirmed nothing for {n:g} seconds: lines delivered: {delivered}, not"
            " confirmed: {unconfirmed}. Try a longer --timeout.",
            where=where, n=timeout, **counts)  # fmt: skip
    return _(
        "No more lines get to {where}: {why}. Delivered: {delivered}, not confirmed:"
        " {unconfirmed}.", where=where, why=explain_ending(receipt.ending), **counts)  # fmt: skip


def _unreadable(problem: str, delivered: int, where: str) -> str:
    return n_(
        "{problem} {n} line before it was delivered to {where}.",
        "{problem} {n} lines before it were delivered to {where}.",
        delivered, problem=problem, where=where)  # fmt: skip
