"""``--once``: one message to one peer, and an exit code that says what became of it."""

import contextlib
import enum
import os
import sys

import trio

from fantom_trio.nursery import (
    ConnectionLost,
    DialError,
    Endpoint,
    Limits,
    PeerClosed,
    RemoteProtocolError,
    dial,
    look_up,
)
from fantom_trio.repl import sanitize
from fantom_trio.repl.explain import explain_dial, explain_violation
from fantom_trio.repl.languages import _

__all__ = ["Exit", "send_once", "tell"]


class Exit(enum.IntEnum):
    """The exit codes of the pipe modes."""

    DELIVERED = 0
    USAGE = 2
    UNREACHED = 3
    HANDSHAKE = 4
    UNACKNOWLEDGED = 5
    INTERRUPTED = 130


async def send_once(
    peer: Endpoint, text: str, *, own: Endpoint | None, own_port: int, timeout: float
) -> Exit:
    """Dial ``peer`` from any port, say ``text``, and wait for its receipt.

    A classic peer has no better one than this: it read to our end and closed. ``timeout`` seconds
    are for connecting, and as many again for the receipt. Cancelled, some, all or none of the text
    went out; the keys are wiped.
    """
    try:
        deadline = trio.current_time() + timeout
        connection = await dial(
            await look_up(peer, timeout),
            own=own,
            own_port=own_port,
            limits=Limits(connect_seconds=timeout, handshake_seconds=timeout),
            deadline=deadline,
        )
    except DialError as error:
        tell(explain_dial(error, peer))
        return Exit.HANDSHAKE if error.problem.answered else Exit.UNREACHED
    where = sanitize.line(str(peer))
    sent = False
    try:
        with trio.fail_after(timeout):
            connection.link.say(text)
            await connection.send()
            sent = True
            await connection.send_eof()
            while not isinstance((await connection.receive())[-1], PeerClosed):
                pass
    except (trio.TooSlowError, ConnectionLost) as error:
        if not sent:
            tell(_("The link to {where} broke, or was too slow, before all was sent: try again,"
                   " or with a longer --timeout.", where=where))  # fmt: skip
        elif isinstance(error, trio.TooSlowError):
            tell(_("Sent to {where}, but it did not confirm in {n:g} seconds: it may have arrived."
                   " Try a longer --timeout.", where=where, n=timeout))  # fmt: skip
        else:
            tell(_("Sent to {where}, but the connection broke before it confirmed: it may have"
                   " arrived.", where=where))  # fmt: skip
        return Exit.UNACKNOWLEDGED
    except RemoteProtocolError as error:
        tell(_("Sent to {where}, but it did not confirm: {why}.",
               where=where, why=explain_violation(error.violation)))  # fmt: skip
        return Exit.UNACKNOWLEDGED
    finally:
        connection.close()
    tell(_("Delivered to {where}: a classic peer, which cannot be verified, read it and closed.",
           where=where))  # fmt: skip
    return Exit.DELIVERED


def tell(text: str) -> None:
    """One sentence to stderr, where there is one: stdout is for payload, and this mode has none."""
    if sys.stderr is not None:
        # Straight to the descriptor: what a closed pipe does not take must not fail again at exit.
        with contextlib.suppress(OSError):
            os.write(sys.stderr.fileno(), f"fantom-trio: {sanitize.line(text)}\n".encode())
