"""``--once``: one message to one peer, and an exit code that says what became of it."""

import enum
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

__all__ = ["Exit", "send_once"]


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
        _say(explain_dial(error, peer))
        return Exit.HANDSHAKE if error.problem.answered else Exit.UNREACHED
    where = sanitize.line(str(peer))
    try:
        with trio.fail_after(timeout):
            connection.link.say(text)
            await connection.send()
            await connection.send_eof()
            while not isinstance((await connection.receive())[-1], PeerClosed):
                pass
    except trio.TooSlowError:
        _say(_("Sent to {where}, but it did not confirm in {n:g} seconds: it may have arrived."
               " Try a longer --timeout.", where=where, n=timeout))  # fmt: skip
        return Exit.UNACKNOWLEDGED
    except ConnectionLost:
        _say(_("Sent to {where}, but the connection broke before it confirmed: it may have"
               " arrived.", where=where))  # fmt: skip
        return Exit.UNACKNOWLEDGED
    except RemoteProtocolError as error:
        _say(_("Sent to {where}, but it did not confirm: {why}.",
               where=where, why=explain_violation(error.violation)))  # fmt: skip
        return Exit.UNACKNOWLEDGED
    finally:
        connection.close()
    _say(_("Delivered to {where}: a classic peer, which cannot be verified, read it and closed.",
           where=where))  # fmt: skip
    return Exit.DELIVERED


def _say(text: str) -> None:
    """To stderr: stdout is for payload, and this mode has none."""
    print(f"fantom-trio: {text}", file=sys.stderr)
