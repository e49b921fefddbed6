"""``--once``: one message to one peer, and an exit code that says what became of it."""

import time

import trio

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
    Receipt,
    Why,
    deliver,
    dial,
    look_up,
)
from fantom_trio.repl import sanitize
from fantom_trio.repl.explain import explain_dial, explain_ending
from fantom_trio.repl.languages import _
from fantom_trio.tell import Exit, tell

__all__ = ["send_once"]


async def send_once(
    peer: Endpoint | Invite, text: str, *, own: Endpoint | None, own_port: int, timeout: float
) -> Exit:
    """Dial ``peer`` from any port, say ``text``, and wait for its receipt.

    ``timeout`` seconds are for connecting, and as many again for the receipt. Our identity lives
    no longer than this. Cancelled, some, all or none of the text went out; the keys are wiped.
    """
    invite, endpoint = (peer, peer.endpoint) if isinstance(peer, Invite) else (None, peer)
    limits = Limits(connect_seconds=timeout, handshake_seconds=timeout)
    identity = KeyPair.generate()
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
        try:
            connection = await connect(invite.token if invite is not None else None)
        except DialError as error:
            if invite is None or error.problem is not DialProblem.TURNED_AWAY:
                raise
            # Its token let an earlier run in, whose identity is gone. It still proves who is
            # there, and whoever lets in more than the invited takes us without it.
            connection = await connect(None)
        now = int(time.time() * 1000)
        receipt = await deliver(connection, text, now, seconds=timeout, limits=limits)
    except DialError as error:
        tell(explain_dial(error, endpoint))
        return Exit.HANDSHAKE if error.problem.answered else Exit.UNREACHED
    finally:
        identity.wipe()
    where = sanitize.line(str(endpoint))
    if not receipt.delivered:
        tell(_undelivered(receipt, where, timeout))
        return Exit.UNACKNOWLEDGED
    tell(_delivered(connection, invite, where))
    return Exit.DONE


def _delivered(connection: Connection, invite: Invite | None, where: str) -> str:
    if connection.link.kind is LinkKind.CLASSIC:
        return _(
            "Delivered to {where}: a classic peer, which cannot be verified, read it and closed.",
            where=where,
        )
    if invite is None:
        return _("Delivered to {where}: a native peer, not verified.", where=where)
    return _("Delivered to {where}: a native peer, verified by its invite.", where=where)


def _undelivered(receipt: Receipt, where: str, timeout: float) -> str:
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
