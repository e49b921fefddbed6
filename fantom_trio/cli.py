"""Options and exit codes, the program's only ``trio.run``, and the choice of what it runs."""

import argparse
import contextlib
import functools
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import NoReturn

import trio

from fantom_trio import __version__
from fantom_trio.follow import follow
from fantom_trio.nursery import (
    DEFAULT_PORT,
    DEFAULT_SERVICE,
    LISTENER_PORTS,
    AddressError,
    AddressProblem,
    Endpoint,
    Invite,
    ListenError,
    ReachError,
    is_invite,
    link_local_address,
    open_node,
    public_address,
    with_zone,
)
from fantom_trio.once import send_once
from fantom_trio.repl import languages
from fantom_trio.repl.explain import explain_address, explain_listen
from fantom_trio.repl.languages import _
from fantom_trio.tell import Exit, tell

__all__ = ["main"]

#: Where ``--once`` finds its peer when nothing else names one.
PEER_VARIABLE = "FANTOM_TRIO_PEER"
#: The longest line of a peer file, bytes: an invite has no more than 120.
PEER_FILE_BYTES = 4096
#: Seconds that ``--once`` waits for the link, and as many for the receipt.
TIMEOUT = 10.0
#: ``--once`` without a PEER behind it.
_NO_PEER = object()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code."""
    languages.use(languages.preferred())
    options = _parser().parse_args(arguments)
    try:
        code = _run(options)
    except KeyboardInterrupt:  # before or after trio.run
        code = Exit.INTERRUPTED
    # A closed pipe ends quietly: nothing may fail when Python flushes at exit.
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return code


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """A wrong call is one sentence, as every other failure is."""
        tell(f"{message}. " + _("--help shows what there is."))
        sys.exit(Exit.USAGE)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="fantom-trio",
        description=_("A chat between two people with nobody in between: IPv6, encrypted."),
        epilog=_(
            "examples:\n"
            "  fantom-trio                                    be reached at your public address\n"
            "  fantom-trio --local                            on the local network only\n"
            "  fantom-trio --once '[2001:db8::7]:31488' hi    send one message and leave\n"
            "  date | fantom-trio --once '[::1]:31488'        send what comes in\n"
            "  fantom-trio --once --peer-file bob.invite hi   send it to nobody but Bob\n"
            "  fantom-trio --follow > log                     write down what others send"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"fantom-trio {__version__}")
    own = parser.add_mutually_exclusive_group()
    own.add_argument("--local", action="store_true", help=_("listen on the local network only"))
    own.add_argument("--loopback", action="store_true", help=_("listen on this machine only"))
    own.add_argument(
        "--address", metavar="ADDR", help=_("your own address; nobody is asked for it")
    )
    own.add_argument(
        "--demo", action="store_true", help=_("chat with a built-in peer that says everything back")
    )
    parser.add_argument(
        "--port", type=_port, metavar="N",
        help=_("the port to be reached at, 30000 to 65535 ({n})", n=DEFAULT_PORT),
    )  # fmt: skip
    parser.add_argument(
        "--ip-service", metavar="URL", default=DEFAULT_SERVICE,
        help=_("who is asked for your public address ({url})", url=DEFAULT_SERVICE),
    )  # fmt: skip
    parser.add_argument(
        "--invited-only", action="store_true", help=_("let in only peers that bring an invite")
    )
    parser.add_argument(
        "--once", nargs="?", const=_NO_PEER, metavar="PEER",
        help=_("send TEXT, or standard input, to PEER, an address or an invite, and leave"),
    )  # fmt: skip
    parser.add_argument("text", nargs="?", metavar="TEXT", help=_("the message for --once"))
    parser.add_argument(
        "--peer-file", metavar="FILE",
        help=_("take PEER from the first line of FILE; without both, --once takes it from the"
               " environment variable {name}", name=PEER_VARIABLE),
    )  # fmt: skip
    parser.add_argument(
        "--timeout", type=_seconds, metavar="S",
        help=_("with --once: seconds to wait for the link, and as many for the receipt ({n:g})",
               n=TIMEOUT),
    )  # fmt: skip
    parser.add_argument(
        "--follow", action="store_true", help=_("print each message that comes in, a line each")
    )
    parser.add_argument(
        "--count", type=_number, metavar="N", help=_("with --follow: leave after N messages")
    )
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) not in LISTENER_PORTS:
        raise argparse.ArgumentTypeError(_("the port must be between 30000 and 65535"))
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds <= 86400:
        raise argparse.ArgumentTypeError(_("the time must be over 0 and at most 86400 seconds"))
    return seconds


def _number(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(_("the number must be 1 or more"))
    return int(text)


def _run(options: argparse.Namespace) -> int:
    if wrong := _misfit(options):
        return _wrong(wrong)
    try:
        own = _own_address(options)
        if options.follow:
            return trio.run(_interruptible, _follow, options, own)
        if options.once is None:
            return trio.run(_repl, options, own)
        named, text = _peer_and_text(options)
        peer = Invite.parse(named) if is_invite(named) else Endpoint.parse(named)
    except AddressError as error:
        return _wrong(explain_address(error))
    except _WrongCall as error:
        return _wrong(str(error))
    if isinstance(peer, Invite) and options.once == named:
        tell(_("Others on this machine can read the invite in the list of processes: --peer-file"
               " and the environment variable {name} keep it out of there.",
               name=PEER_VARIABLE))  # fmt: skip
    if text is None:
        try:
            text = _standard_input()
        except UnicodeDecodeError:
            return _wrong(_("Standard input is not UTF-8 text."))
    if not text:
        return _wrong(_("There is nothing to send: give TEXT, or something on standard input."))
    port = _own_port(options, own)
    if own is not None:
        with contextlib.suppress(ReachError):  # without a list of interfaces it stays as it is
            own = with_zone(own)
    send = functools.partial(send_once, own=own, own_port=port, timeout=options.timeout or TIMEOUT)
    return trio.run(_interruptible, send, peer, text)


class _WrongCall(Exception):
    """Its text says what is wrong with the call."""


def _misfit(options: argparse.Namespace) -> str:
    """What does not go together, if anything."""
    modes = [options.once is not None, options.follow, options.demo]
    if sum(modes) > 1:
        return _("--once, --follow and --demo do not go together.")
    once, follows, _demo = modes
    if options.text is not None and not once:
        return _("“{text}” belongs to no option: --once PEER TEXT sends a message.",
                 text=options.text)  # fmt: skip
    for option, given, fits, mode in (
        ("--peer-file", options.peer_file is not None, once, "--once"),
        ("--timeout", options.timeout is not None, once, "--once"),
        ("--count", options.count is not None, follows, "--follow"),
    ):
        if given and not fits:
            return _("{option} needs {mode} beside it.", option=option, mode=mode)
    if options.invited_only and once:
        return _("--invited-only is for who listens, and --once does not.")
    if options.text is not None and not _is_text(options.text):
        return _("TEXT is not UTF-8 text.")
    return ""


def _is_text(argument: str) -> bool:
    """Python has put lone surrogates where an argument is not UTF-8."""
    return argument.isascii() or not any("\ud800" <= char <= "\udfff" for char in argument)


def _peer_and_text(options: argparse.Namespace) -> tuple[str, str | None]:
    """Whom ``--once`` means, and TEXT if it is in the call.

    Raises ``_WrongCall``. Nothing around the call changes what the words in it mean.
    """
    peer = None if options.once is _NO_PEER else options.once
    text = options.text
    if options.peer_file is not None:
        if peer is not None and text is not None:
            raise _WrongCall(_("PEER stands in the call and in --peer-file: give one of them."))
        return _first_line(options.peer_file), peer if text is None else text
    if peer is None:
        peer = os.environ.get(PEER_VARIABLE)
    if peer is None:
        raise _WrongCall(
            _("PEER is missing: give an address or an invite, --peer-file FILE, or the environment"
              " variable {name}.", name=PEER_VARIABLE)
        )  # fmt: skip
    return peer, text


def _first_line(file: str) -> str:
    """Raises ``_WrongCall``."""
    try:
        with open(file, "rb") as opened:
            return opened.readline(PEER_FILE_BYTES).decode("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        detail = error.strerror if isinstance(error, OSError) else _("it is not UTF-8 text")
        raise _WrongCall(_("Cannot read {file}: {detail}.", file=file, detail=detail)) from None


def _own_address(options: argparse.Namespace) -> Endpoint | None:
    if options.address is None:
        return None
    own = Endpoint.parse(options.address)
    if own.is_name:
        raise AddressError(AddressProblem.MALFORMED, options.address)
    if (options.port or own.port) not in LISTENER_PORTS:
        raise AddressError(AddressProblem.PORT, options.address)
    # A port may stand in either place; the option counts.
    return replace(own, port=options.port or own.port)


def _own_port(options: argparse.Namespace, own: Endpoint | None) -> int:
    """The port to be reached at."""
    return own.port if own else options.port or DEFAULT_PORT


def _wrong(text: str) -> int:
    tell(text)
    return Exit.USAGE


def _standard_input() -> str:
    """All of it, but for one line break at the end: that is the shell's. Before ``trio.run``."""
    if sys.stdin is None:
        return ""
    if sys.stdin.isatty():
        tell(_("Write the message, and end it with Ctrl-D on a line of its own."))
    text = sys.stdin.buffer.read().decode("utf-8")
    return text.removesuffix("\n").removesuffix("\r")


async def _follow(options: argparse.Namespace, own: Endpoint | None) -> int:
    async def find() -> Endpoint:
        if own is not None:
            return with_zone(own)
        if options.loopback:
            address = Endpoint("::1", 0)
        elif options.local:
            address = link_local_address()
        else:
            address = await public_address(options.ip_service)
        return replace(address, port=_own_port(options, own))

    return await follow(find, invited_only=options.invited_only, count=options.count)


async def _repl(options: argparse.Namespace, own: Endpoint | None) -> int:
    # Imported here: a pipe need not wait for prompt_toolkit.
    from fantom_trio.demo import echo
    from fantom_trio.repl.app import App, Where
    from fantom_trio.repl.slash import COMMANDS

    mode = "given" if own else "local" if options.local else "loopback"
    if not (own or options.local or options.loopback or options.demo):
        mode = "public"
    where = Where(mode, own, options.ip_service)
    port = 0 if options.demo else _own_port(options, own)

    async def run() -> int:
        async with (
            open_node(own_port=port, invited_only=options.invited_only) as node,
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
            await App(node, where, COMMANDS, first_peer=first_peer).run()
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
                    code = 128 + number
                    nursery.cancel_scope.cancel()

            nursery.start_soon(watch)
            code = await run(*arguments)
            nursery.cancel_scope.cancel()
    return code
