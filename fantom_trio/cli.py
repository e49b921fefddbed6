"""Options and exit codes, the program's only ``trio.run``, and the choice of what it runs."""

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import trio

from fantom_trio.hardening import harden, overwrite_freed, report
from fantom_trio.lines import Lines, Unreadable, read_text
from fantom_trio.nursery import (
    DEFAULT_PORT,
    LISTENER_PORTS,
    AddressError,
    AddressProblem,
    Endpoint,
    Invite,
    Limits,
    ListenError,
    ReachError,
    is_invite,
)
from fantom_trio.once import Outcome, send_once
from fantom_trio.options import NO_PEER, PEER_VARIABLE, TIMEOUT, WrongCall, read_options
from fantom_trio.repl import languages
from fantom_trio.repl.explain import Gap, explain_address, explain_listen
from fantom_trio.repl.languages import _
from fantom_trio.start import importing
from fantom_trio.tell import Exit, tell

if TYPE_CHECKING:
    from fantom_trio.nursery import Where

__all__ = ["main"]

#: The longest line of a peer file, bytes: an invite has no more than 120.
PEER_FILE_BYTES = 4096
#: A higher exit code is this and the number of the signal that ended us.
SIGNALLED = 128
#: The exit code after a bug of ours: what Python's own is for an exception.
CRASHED = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code."""
    gaps = harden()
    languages.use(languages.preferred())
    try:
        code = _run(read_options(arguments), gaps)
    except WrongCall as error:
        code = int(Exit.USAGE)
        outcome = Outcome()
        outcome.fail(str(error))
        if error.as_json:
            code = outcome.print(code)
    except KeyboardInterrupt:  # before or after trio.run
        code = Exit.INTERRUPTED
    except Exception as error:
        report(error)
        code = CRASHED
    # A closed pipe ends quietly: nothing may fail when Python flushes at exit.
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return code


def _run(options: argparse.Namespace, gaps: Sequence[Gap]) -> int:
    """Raises ``WrongCall``."""
    if options.once is not None:
        return _once(options)
    own = _own_address(options)
    if options.follow:
        return trio.run(_interruptible, _follow, options, own)
    code = trio.run(_repl, options, own, gaps)
    overwrite_freed()
    return code


def _once(options: argparse.Namespace) -> int:
    """Whatever becomes of it, one JSON object is the last word where that is wanted."""
    outcome = Outcome()
    try:
        code = _send(options, outcome)
    except WrongCall as error:
        outcome.fail(str(error))
        code = Exit.USAGE
    except KeyboardInterrupt:  # before or after trio.run
        code = Exit.INTERRUPTED
    except Exception as error:
        report(error)
        outcome.problem = _("A bug in fantom-trio ended it.")
        code = CRASHED
    if code > SIGNALLED:
        outcome.interrupted(lines=options.lines)
    return outcome.print(code) if options.json else code


def _send(options: argparse.Namespace, outcome: Outcome) -> int:
    """Raises ``WrongCall``."""
    own = _own_address(options)
    named, text = _peer_and_text(options)
    try:
        peer = Invite.parse(named) if is_invite(named) else Endpoint.parse(named)
    except AddressError as error:
        raise WrongCall(explain_address(error)) from None
    outcome.peer = peer.endpoint if isinstance(peer, Invite) else peer
    if isinstance(peer, Invite) and options.once == named:
        tell(_("Others on this machine can read the invite in the list of processes: --peer-file"
               " and the environment variable {name} keep it out of there.",
               name=PEER_VARIABLE))  # fmt: skip
    if text is None:
        _expect_input(lines=options.lines)
    port = _own_port(options, own)
    if own is not None:
        from fantom_trio.nursery import with_zone  # few who send name an address of theirs

        with contextlib.suppress(ReachError):  # without a list of interfaces it stays as it is
            own = with_zone(own)

    async def run() -> int:
        messages: str | Lines = ""
        try:
            if options.lines:
                messages = Lines(sys.stdin.fileno())
            else:
                messages = await read_text(sys.stdin.fileno()) if text is None else text
        except Unreadable as error:
            outcome.fail(str(error))
        else:
            if messages:
                return await send_once(
                    peer, messages, outcome,
                    own=own, own_port=port, timeout=options.timeout or TIMEOUT,
                )  # fmt: skip
            outcome.fail(_nothing_to_send())
        return Exit.USAGE

    return trio.run(_interruptible, run)


def _expect_input(*, lines: bool) -> None:
    """Raises ``WrongCall`` where standard input is missing."""
    if sys.stdin is None:
        raise WrongCall(
            _("There is no standard input to read lines from.") if lines else _nothing_to_send()
        )
    if sys.stdin.isatty():
        tell(
            _("Each line is sent as you write it: end with Ctrl-D on a line of its own.")
            if lines
            else _("Write the message, and end it with Ctrl-D on a line of its own.")
        )


def _nothing_to_send() -> str:
    return _("There is nothing to send: give TEXT, or something on standard input.")


def _peer_and_text(options: argparse.Namespace) -> tuple[str, str | None]:
    """Whom ``--once`` means, and TEXT if it is in the call.

    Raises ``WrongCall``. Nothing around the call changes what the words in it mean.
    """
    peer = None if options.once is NO_PEER else options.once
    text = options.text
    if options.peer_file is not None:
        if peer is not None and text is not None:
            raise WrongCall(_("PEER stands in the call and in --peer-file: give one of them."))
        return _first_line(options.peer_file), peer if text is None else text
    if peer is None:
        peer = os.environ.get(PEER_VARIABLE)
    if peer is None:
        raise WrongCall(
            _("PEER is missing: give an address or an invite, --peer-file FILE, or the environment"
              " variable {name}.", name=PEER_VARIABLE)
        )  # fmt: skip
    return peer, text


def _first_line(file: str) -> str:
    """Raises ``WrongCall``."""
    try:
        with open(file, "rb") as opened:
            return opened.readline(PEER_FILE_BYTES).decode("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        detail = error.strerror if isinstance(error, OSError) else _("it is not UTF-8 text")
        raise WrongCall(_("Cannot read {file}: {detail}.", file=file, detail=detail)) from None


def _own_address(options: argparse.Namespace) -> Endpoint | None:
    """Raises ``WrongCall``."""
    if options.address is None:
        return None
    try:
        own = Endpoint.parse(options.address)
        if own.is_name:
            raise AddressError(AddressProblem.MALFORMED, options.address)
        if (options.port or own.port) not in LISTENER_PORTS:
            raise AddressError(AddressProblem.PORT, options.address)
    except AddressError as error:
        raise WrongCall(explain_address(error)) from None
    # A port may stand in either place; the option counts.
    return replace(own, port=options.port or own.port)


def _own_port(options: argparse.Namespace, own: Endpoint | None) -> int:
    """The port to be reached at."""
    return own.port if own else options.port or DEFAULT_PORT


def _where(options: argparse.Namespace, own: Endpoint | None) -> "Where":
    """Where the user wants to be reached."""
    from fantom_trio.nursery import Where

    mode = "given" if own else "local" if options.local else "loopback"
    if not (own or options.local or options.loopback or options.demo):
        mode = "public"
    return Where(mode, own, options.ip_service, options.open_port)


async def _follow(options: argparse.Namespace, own: Endpoint | None) -> int:
    from fantom_trio.follow import follow  # which --once need not wait for

    return await follow(
        _where(options, own),
        own_port=_own_port(options, own),
        invited_only=options.invited_only,
        count=options.count,
        json=options.json,
    )


async def _repl(options: argparse.Namespace, own: Endpoint | None, gaps: Sequence[Gap]) -> int:
    # Imported here: a pipe need not wait for prompt_toolkit.
    with importing():
        from fantom_trio.demo import echo
        from fantom_trio.nursery import open_node
        from fantom_trio.repl.app import App
        from fantom_trio.repl.slash import COMMANDS

    where = _where(options, own)
    limits = Limits() if options.timeout is None else Limits(punch_seconds=options.timeout)
    port = 0 if options.demo else _own_port(options, own)

    async def run() -> int:
        async with (
            open_node(limits, own_port=port, invited_only=options.invited_only) as node,
            open_node() if options.demo else contextlib.nullcontext() as other,
            trio.open_nursery() as n,
        ):
            first_peer = None
            if other is not None:
                try:
                    first_peer = await n.start(echo, other)
                except ListenError as error:
                    tell(_no_loopback(error))
                    return Exit.USAGE
            with importing():  # of the terminal that fits
                app = App(node, where, COMMANDS, first_peer=first_peer, gaps=gaps)
            await app.run()
            n.cancel_scope.cancel()
        return 0

    return await _interruptible(run)


def _no_loopback(error: ListenError) -> str:
    if error.no_such_address:
        return _(
            "The demo needs the IPv6 loopback address ::1, which this machine does not have: try"
            " “ip link set lo up” and “sysctl -w net.ipv6.conf.lo.disable_ipv6=0”."
        )
    return explain_listen(error)


async def _interruptible(run: Callable[..., Awaitable[int]], *arguments: object) -> int:
    """``run`` until a signal cancels it: then everything is wiped, and the code says which."""
    code = 0
    ends = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    with trio.open_signal_receiver(*ends) as received:
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                nonlocal code
                async for number in received:
                    code = SIGNALLED + number
                    nursery.cancel_scope.cancel()

            nursery.start_soon(watch)
            code = await run(*arguments)
            nursery.cancel_scope.cancel()
    return code
