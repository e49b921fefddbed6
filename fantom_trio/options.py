"""The options, in one table: their parser, ``--help``, completion and the man page come from it."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from msgspec import Struct

from fantom_trio import __version__
from fantom_trio.nursery import DEFAULT_PORT, DEFAULT_SERVICE, LISTENER_PORTS, Limits
from fantom_trio.repl.languages import _
from fantom_trio.tell import Exit, unwritten

__all__ = [
    "ALTERNATIVES",
    "FILE",
    "GROUPS",
    "NO_PEER",
    "PEER_VARIABLE",
    "SHELLS",
    "TIMEOUT",
    "Option",
    "WrongCall",
    "examples",
    "group_title",
    "help_text",
    "read_options",
    "table",
]

#: Where ``--once`` finds its peer when nothing else names one.
PEER_VARIABLE = "FANTOM_TRIO_PEER"
#: Seconds that ``--once`` waits for the link, and as many for the receipt.
TIMEOUT = 10.0
#: ``--once`` without a PEER behind it.
NO_PEER = object()
#: Digits; Python itself refuses to read a few thousand.
_LONGEST_NUMBER = 18
#: What ``--completion`` takes.
SHELLS = ("bash", "zsh", "fish")
#: ``Option.values`` of one that takes the name of a file.
FILE = "file"

GROUPS = ("listen", "send", "follow", "other")
#: Of each of these, a call has one at most.
ALTERNATIVES = (
    ("--once", "--follow", "--demo"),
    ("--local", "--loopback", "--address", "--demo"),
)


class WrongCall(Exception):
    """Its text says what is wrong with the call; ``as_json``: the caller wants an object."""

    as_json = False


class Option(Struct, frozen=True):
    """One option; ``help`` is in the language that was in use when the table was made."""

    name: str
    group: str
    help: str
    #: What ``--help`` calls its value; without one it is a switch.
    metavar: str = ""
    short: str = ""
    #: Its value may be left out.
    bare: bool = False
    #: What its value may be, for completion: some words, ``FILE``, or whatever it is.
    values: tuple[str, ...] | str = ()
    #: Makes the value of the word in the call; raises ``ValueError`` with a clause.
    read: Callable[[str], object] = str
    #: It means something beside one of these only.
    needs: tuple[str, ...] = ()
    #: Beside one of these it would do nothing.
    idle_beside: tuple[str, ...] = ()

    @property
    def usage(self) -> str:
        """As ``--help`` shows it."""
        names = f"{self.short}, {self.name}" if self.short else self.name
        return f"{names} {self.metavar}".rstrip()

    @property
    def dest(self) -> str:
        """Its name in the ``Namespace``."""
        return self.name.removeprefix("--").replace("-", "_")


def table() -> tuple[Option, ...]:
    """Every option, in the order and the language in which they are shown."""
    return (
        Option(
            "--local", "listen", _("listen on the local network only"), idle_beside=("--once",)
        ),
        Option("--loopback", "listen", _("listen on this machine only"), idle_beside=("--once",)),
        Option("--address", "listen", _("this is your address: nobody is asked for it"), "ADDR"),
        Option(
            "--port", "listen", _("listen on this port, 30000 to 65535 ({n})", n=DEFAULT_PORT), "N",
            read=_port, idle_beside=("--demo",),
        ),
        Option(
            "--ip-service", "listen", _("who tells your address ({url})", url=DEFAULT_SERVICE),
            "URL", idle_beside=("--local", "--loopback", "--address", "--demo", "--once"),
        ),
        Option(
            "--open-port", "listen", _("ask the router to let that port in (PCP)"),
            idle_beside=("--local", "--loopback", "--demo", "--once"),
        ),
        Option(
            "--invited-only", "listen", _("let in only peers that bring an invite"),
            idle_beside=("--once",),
        ),
        Option(
            "--once", "send", _("send TEXT, or standard input, and leave"), "PEER [TEXT]", bare=True
        ),
        Option(
            "--peer-file", "send", _("take PEER from the first line of FILE"), "FILE",
            values=FILE, needs=("--once",),
        ),
        Option(
            "--lines", "send", _("send each line of standard input as it comes"),
            needs=("--once",),
        ),
        Option(
            "--timeout", "send",
            _("give up after S seconds: --once {n:g}, /connect {many:g}", n=TIMEOUT,
              many=Limits().punch_seconds), "S",
            read=_seconds, idle_beside=("--follow", "--demo"),
        ),
        Option("--follow", "follow", _("print what comes in, a line for each message")),
        Option(
            "--count", "follow", _("leave after N messages"), "N",
            read=_number, needs=("--follow",),
        ),
        Option(
            "--json", "other", _("with --once or --follow: print JSON"),
            needs=("--once", "--follow"),
        ),
        Option("--demo", "other", _("try it with a built-in peer that echoes you")),
        Option(
            "--completion", "other", _("print completion for {shells}", shells=", ".join(SHELLS)),
            "SHELL", values=SHELLS, read=_shell,
        ),
        Option("--version", "other", _("print the version")),
        Option("--help", "other", _("print this help"), short="-h"),
    )  # fmt: skip


def group_title(group: str) -> str:
    """What stands in front of a group of options, in the language in use."""
    titles = {
        "listen": _("Listen"),
        "send": _("Send"),
        "follow": _("Follow"),
        "other": _("Other"),
    }
    return titles[group]


def examples() -> tuple[tuple[str, str], ...]:
    """Calls, and what each does in the language in use."""
    return (
        ("fantom-trio", _("chat across the internet")),
        ("fantom-trio --once '[2001:db8::7]:31488' hi", _("send one message")),
        ("make | fantom-trio --once --peer-file bob", _("send its output to Bob")),
    )


def help_text() -> str:
    """``--help``: a screen of 80 columns and 24 rows, with a row left for the next prompt."""
    options = table()
    titles = {group: group_title(group) for group in GROUPS}
    aside = max(map(len, [*titles.values(), _("Examples")])) + 2
    width = max(len(each.usage) for each in options) + 2
    rows = [_("A chat between two people with nobody in between: IPv6, encrypted.")]
    for group in GROUPS:
        title = titles[group]
        for each in options:
            if each.group == group:
                rows.append(f"{title:<{aside}}{each.usage:<{width}}{each.help}")
                title = ""
    title = _("Examples")
    width = max(len(call) for call, _what in examples()) + 2
    for call, what in examples():
        rows.append(f"{title:<{aside}}{call:<{width}}{what}")
        title = ""
    rows.append(_("PEER is an address or an invite; --once without one takes {name}.",
                  name=PEER_VARIABLE))  # fmt: skip
    return "\n".join(rows)


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of a call, which fit together.

    Raises ``WrongCall``, or ``SystemExit`` where the call only wants something printed.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _read(words)
    except WrongCall as error:
        wrong = WrongCall(" ".join([str(error), _("--help shows what there is.")]))
        wrong.as_json = {"--once", "--json"} <= set(words)
        raise wrong from None


def _read(words: list[str]) -> argparse.Namespace:
    options = table()
    before = words[: words.index("--")] if "--" in words else words
    if "-h" in before or "--help" in before:  # also behind a call that is wrong
        _print(help_text())
    try:
        found, odd = _parser(options).parse_known_args(words)
    except argparse.ArgumentError as error:
        raise WrongCall(_wrong_value(options, before, error.argument_name or "")) from None
    if found.version:
        _print(f"fantom-trio {__version__}")
    if wrong := _left_over(options, found, before, [word for word in odd if word != "--"]):
        raise WrongCall(wrong)
    for each in options:
        word = getattr(found, each.dest)
        if isinstance(word, str):
            try:
                setattr(found, each.dest, each.read(word))
            except ValueError as error:
                raise WrongCall(f"{each.name}: {error}.") from None
    if wrong := _misfit(options, found) or _misfit_once(found):
        raise WrongCall(wrong)
    if found.completion is not None:
        from fantom_trio.completion import script  # which needs this table

        _print(script(found.completion))
    if found.ip_service is None:
        found.ip_service = DEFAULT_SERVICE
    return found


def _parser(options: Sequence[Option]) -> argparse.ArgumentParser:
    """Splits the words and no more: what it would say of a wrong call is English."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for each in options:
        # Not the short names: Pythons disagree on what ``-help`` is then, and -h is seen before.
        if each.bare:
            parser.add_argument(each.name, nargs="?", const=NO_PEER)
        elif each.metavar:
            parser.add_argument(each.name)
        else:
            parser.add_argument(each.name, action="store_true")
    parser.add_argument("text", nargs="?")
    return parser


def _print(text: str) -> NoReturn:
    """To stdout, whole, and leave; raises ``SystemExit``. A closed pipe ends quietly."""
    code = Exit.DONE
    if sys.stdout is not None:
        data = f"{text}\n".encode(sys.stdout.encoding, "replace")
        try:
            while data:
                data = data[os.write(sys.stdout.fileno(), data) :]
        except BrokenPipeError:
            pass
        except OSError as error:
            code = unwritten(error)
    sys.exit(code)


def _port(word: str) -> int:
    if not _is_number(word) or int(word) not in LISTENER_PORTS:
        raise ValueError(_("the port must be between 30000 and 65535"))
    return int(word)


def _seconds(word: str) -> float:
    try:
        seconds = float(word)
    except ValueError:
        seconds = 0
    if not 0 < seconds <= 86400:
        raise ValueError(_("the time must be over 0 and at most 86400 seconds"))
    return seconds


def _number(word: str) -> int:
    if not _is_number(word) or int(word) == 0:
        raise ValueError(_("the number must be 1 or more"))
    return int(word)


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdecimal() and len(word) <= _LONGEST_NUMBER


def _shell(word: str) -> str:
    if word not in SHELLS:
        raise ValueError(_("the shell must be one of {shells}", shells=", ".join(SHELLS)))
    return word


def _wrong_value(options: Sequence[Option], words: Sequence[str], name: str) -> str:
    """A value is missing behind an option, or stands behind one that takes none."""
    (option,) = (each for each in options if each.name in name.split("/"))
    if option.metavar:
        return _("{option} needs a value: {usage}.", option=option.name, usage=option.usage)
    for word in words:
        # To argparse, -hello is -h with a value.
        if option.short and word.startswith(option.short) and word != option.short:
            return _unknown(options, word, words)
    return _("{option} takes no value.", option=option.name)


def _left_over(
    options: Sequence[Option], found: argparse.Namespace, before: Sequence[str], odd: Sequence[str]
) -> str:
    """What to say of words that belong nowhere, if there are any; ``before`` is all before --."""
    for word in odd:
        if word.startswith("-") and word in before:
            return _unknown(options, word, before)
    if found.text is not None and found.once is None:
        return _("“{text}” belongs to no option: --once PEER TEXT sends a message.",
                 text=found.text)  # fmt: skip
    if odd:
        return _("“{text}” is too much: a TEXT of several words stands in quotes.", text=odd[0])
    for option in ("--once", "--peer-file"):
        if sum(word.partition("=")[0] == option for word in before) > 1:
            return _("{option} stands twice in the call: one message goes to one peer.",
                     option=option)  # fmt: skip
    return ""


def _unknown(options: Sequence[Option], word: str, words: Sequence[str]) -> str:
    name = word.partition("=")[0]
    names = [each.name for each in options]
    import difflib  # for calls that are wrong

    near = difflib.get_close_matches(name, names, 1)
    if not near and len(name) > 2:
        near = [known for known in names if known.startswith(name)]
    if near:
        return _("There is no option {option}. Did you mean {near}?", option=name, near=near[0])
    if "--once" in words:
        return _("There is no option {option}; a TEXT that begins with a hyphen stands after --.",
                 option=name)  # fmt: skip
    return _("There is no option {option}.", option=name)


def _misfit(options: Sequence[Option], found: argparse.Namespace) -> str:
    """What does not go together or would do nothing, if anything."""
    given = {each.name for each in options if getattr(found, each.dest) not in (None, False)}
    if "--completion" in given and given != {"--completion"}:
        return _("--completion stands alone.")
    for names in ALTERNATIVES:
        if len(given.intersection(names)) > 1:
            *most, last = names
            return _("{most} and {last} do not go together.", most=", ".join(most), last=last)
    for each in options:
        if each.name not in given:
            continue
        if each.needs and not given.intersection(each.needs):
            *most, last = each.needs
            if most:
                return _("{option} needs {one} or {other} beside it.",
                         option=each.name, one=most[0], other=last)  # fmt: skip
            return _("{option} needs {mode} beside it.", option=each.name, mode=last)
        for other in each.idle_beside:
            if other in given and other == "--once":
                return _("{option} is for who listens, and --once does not.", option=each.name)
            if other in given:
                return _("{option} does nothing beside {other}.", option=each.name, other=other)
    return ""


def _misfit_once(found: argparse.Namespace) -> str:
    # With the peer in a file, the word behind --once is TEXT.
    texts = [found.text, found.once if found.peer_file is not None else None]
    given = [text for text in texts if isinstance(text, str)]
    if found.lines and given:
        return _("--lines sends standard input: TEXT has no place beside it.")
    if any("\ud800" <= char <= "\udfff" for text in given for char in text):
        # Python has put lone surrogates where an argument is not UTF-8.
        return _("TEXT is not UTF-8 text.")
    return ""
