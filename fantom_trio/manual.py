"""The man page, from the table of options and the registry of commands.

``python -m fantom_trio.manual`` writes it to stdout as roff, in English; see groff_man(7).
"""

import re
from collections.abc import Iterable, Iterator

from fantom_trio import __version__
from fantom_trio.options import (
    GROUPS,
    PEER_VARIABLE,
    Option,
    examples,
    group_title,
    table,
)
from fantom_trio.repl.slash import COMMANDS
from fantom_trio.tell import Exit

__all__ = ["EXIT_STATUS", "MORE", "escape", "page"]

#: What the page says of an option beyond the table's one line.
MORE = {
    "--local": "Your link-local address, which peers in the same network can dial.",
    "--loopback": "The address ::1: for trying things out.",
    "--address": "A port may stand in it, as in [2001:db8::5]:31488. With --once it is what the"
    " peer is told to answer to.",
    "--port": "Your router's firewall must let it in. With --once it is the port that the peer is"
    " told to answer to.",
    "--ip-service": "Asked over IPv6 and https when the listener starts and when your network"
    " changes. It has no part in the chat.",
    "--invited-only": "With --follow, an invite for one peer is printed on stderr.",
    "--once": "PEER is an address, such as [2001:db8::7]:31488, or an invite. Without TEXT,"
    " standard input is sent, but for one line break at its end. Others on this machine can read"
    f" what stands in the call: keep an invite in a file (--peer-file) or in {PEER_VARIABLE}.",
    "--peer-file": "The file holds an address or an invite.",
    "--lines": "A message for each line, as in tail -f log | fantom-trio --once PEER --lines. An"
    " empty line is an empty message.",
    "--open-port": "With PCP (RFC 6887), on Linux. The port is given back at the end; what the"
    " router answers is said, with --follow on stderr.",
    "--timeout": "At most 86400, which is a day. With --once it is for the link, and again for each"
    " receipt; in the chat, for how long a /connect goes on while nobody answers.",
    "--follow": "A line break within a message stays one, so that a message may take several lines:"
    " --json keeps each in one. A text over 61,000 bytes comes in pieces. A message is acknowledged"
    " to its sender when it is written. To a terminal it is written so that it can only be read, to"
    " a pipe or a file as it came.",
    "--json": "With --once it is one object, printed at the end: delivered, peer, link, verified,"
    " messages (how many were acknowledged), unconfirmed, exit (the code) and problem (a sentence,"
    " or null). With --follow it is one object a line for each message: from, at (UTC), text,"
    " verified, link, fingerprint and damaged (it was not UTF-8).",
    "--demo": "Both ends are on this machine, and nothing goes out.",
    "--completion": "See SHELL COMPLETION.",
}

#: What each exit code means.
EXIT_STATUS = {
    Exit.DONE: "All went well. With --once: the peer acknowledged all of it; a classic peer, which"
    " acknowledges nothing, read to the end and closed.",
    Exit.UNWRITTEN: "Standard output took no more, or there is none.",
    Exit.USAGE: "The call is wrong, or there is no address or port to listen on.",
    Exit.UNREACHED: "The peer could not be reached.",
    Exit.HANDSHAKE: "Somebody answered, but not as who they should be, or the handshake failed.",
    Exit.UNACKNOWLEDGED: "Sent, but not acknowledged in time.",
    Exit.INTERRUPTED: "Interrupted. Other signals, too, end with 128 and their number.",
}

_DESCRIPTION = (
    "fantom-trio is a chat between two people with nobody in between: a direct TCP connection over"
    " IPv6 from one terminal to another, encrypted from end to end. There is no server, no account"
    " and no contact book. Keys and messages live in memory and are gone when the program ends.",
    "Without --once and --follow it is a chat. Its first lines show the address to give to your"
    " peer; one of you types /connect with the address of the other, who answers with /switch 1,"
    " and both write. A line goes to the peer that the prompt names, and nothing but you changes"
    " who that is; only the first whom you dial, or who is verified, gets the prompt by itself.",
    "With --once it sends from a script, with --follow it receives. Then stdout carries messages"
    " only; what else there is to say goes to stderr.",
)

_KEYS = (
    ("Enter", "sends the line."),
    ("Alt-Enter", "breaks the line within the message."),
    ("Tab", "completes commands, peers and languages."),
    ("Alt-1 to Alt-9", "switch to a peer by its number."),
    ("Alt-A", "switches to the next peer with unread messages."),
    ("Up, Down", "go through the lines of this run."),
    ("Ctrl-R", "searches the lines of this run."),
    ("Ctrl-L", "draws the screen anew."),
    ("Ctrl-C", "clears the line."),
    ("Ctrl-D", "on an empty line: leaves."),
)

_ENVIRONMENT = (
    (PEER_VARIABLE, "PEER for --once, when neither the call nor --peer-file names one."),
    ("NO_COLOR", "When it is set and not empty, nothing is coloured."),
    ("TERM", "When it is unset, dumb or unknown, the chat does without prompt and toolbar."),
    (
        "LC_ALL, LC_MESSAGES, LANG",
        "The first that is set gives the language, as long as /lang has not chosen one: Russian for"
        " ru, else English.",
    ),
    ("XDG_CONFIG_HOME", "Where the folder of the language file is; ~/.config without it."),
)

_FILES = (
    (
        "~/.config/fantom-trio/language",
        "The language chosen with /lang. Nothing else is ever written.",
    ),
)

_MORE_EXAMPLES = (
    ("fantom-trio --local", "chat in your own network"),
    (
        "fantom-trio --once --peer-file bob --timeout 60 'the backup is done'",
        "send a message to a peer that may be slow to answer",
    ),
    ("tail -f log | fantom-trio --once --lines --peer-file bob", "send a log as it grows"),
    ("fantom-trio --follow --count 1 > note", "wait for one message"),
)

_COMPLETION = (
    ("bash", "in ~/.bashrc", "source <(fantom-trio --completion bash)"),
    ("zsh", "in ~/.zshrc, after compinit", "source <(fantom-trio --completion zsh)"),
    (
        "fish",
        "once",
        "fantom-trio --completion fish > ~/.config/fish/completions/fantom-trio.fish",
    ),
)

_SECURITY = (
    "Only the content is secret. Everybody on the way sees both addresses, the times and the"
    " sizes.",
    "A peer is its key, which is made anew in each run. Until you have verified it, somebody in"
    " between may read and write: the prompt shows ? for such a peer. An invite, eight digits"
    " compared with /verify, or a word that you both know find out, and the prompt shows ✓, a"
    " tick, for as long as the peer's program runs. A peer of Fantom Chat 1.x, shown as classic,"
    " cannot be verified.",
    "What a peer writes reaches your terminal as text: characters that could move, hide or recolour"
    " what stands there are shown by their number.",
    "The keys are wiped at the end, on every way out. The texts of messages cannot be wiped: they"
    " go when the program ends.",
)

#: Characters that roff would take for something else, or draw as something else.
_SPECIAL = {
    "\\": "\\e", "-": "\\-", "'": "\\(aq", '"': "\\(dq", "`": "\\(ga", "^": "\\(ha", "~": "\\(ti",
}  # fmt: skip


def escape(text: str) -> str:
    """``text`` so that roff shows it as it is, at any place of a line; the result is ASCII."""
    escaped = "".join(
        _SPECIAL.get(char) or (char if char.isascii() else f"\\[u{ord(char):04X}]") for char in text
    )
    # A control character of roff, but only where a line begins.
    return re.sub(r"(?m)^\.", r"\\&.", escaped)


def page() -> str:
    """The man page as roff; in English as long as no other language is in use."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield '.\\" Made by "make docs": change the source, not this.'
    yield f'.TH FANTOM\\-TRIO 1 "" "fantom\\-trio {escape(__version__)}" "User Commands"'
    yield from (".nh", ".ad l")  # what is copied from here must hold no hyphen of ours
    yield ".SH NAME"
    yield escape("fantom-trio") + " \\- " + escape("chat between two people, nobody in between")
    yield ".SH SYNOPSIS"
    yield from _synopsis()
    yield ".SH DESCRIPTION"
    yield from _paragraphs(_DESCRIPTION)
    yield ".SH OPTIONS"
    for group in GROUPS:
        yield f".SS {escape(group_title(group))}"
        for option in table():
            if option.group == group:
                yield from _option(option)
    yield ".SH IN THE CHAT"
    yield from _paragraphs(
        [
            "A line that begins with / is a command; // begins a message with a slash. PEER is the"
            " number of a peer, or the beginning of its name. What stands in brackets may be left"
            " out."
        ]
    )
    for command in COMMANDS:
        yield from _entry(command.usage, _sentence(command.summary))
    yield ".SH KEYS"
    for key, what in _KEYS:
        yield from _entry(key, _sentence(what))
    yield ".SH EXIT STATUS"
    for code in Exit:
        yield from _entry(str(int(code)), EXIT_STATUS[code])
    yield ".SH ENVIRONMENT"
    for name, what in _ENVIRONMENT:
        yield from _entry(name, what)
    yield ".SH FILES"
    for name, what in _FILES:
        yield from _entry(name, what)
    yield ".SH EXAMPLES"
    for call, what in (*examples(), *_MORE_EXAMPLES):
        yield from _example(_sentence(what), call)
    yield ".SH SHELL COMPLETION"
    for shell, where, call in _COMPLETION:
        yield from _example(f"For {shell}, {where}:", call)
    yield ".SH SECURITY"
    yield from _paragraphs(_SECURITY)
    yield ".SH SEE ALSO"
    yield escape("The native link is written out in docs/protocol.md of the source.")


def _synopsis() -> Iterator[str]:
    for words in ("[OPTION]…", "--once PEER [TEXT] [OPTION]…", "--follow [OPTION]…"):
        yield from (f".B {escape('fantom-trio')}", escape(words), ".br")


def _option(option: Option) -> Iterator[str]:
    said = [_sentence(option.help)]
    if option.needs and option.needs[0] not in option.help:
        said.append(f"Goes with {' or '.join(option.needs)}.")
    if more := MORE.get(option.name):
        said.append(more)
    yield from _entry(option.usage, " ".join(said))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].removesuffix(".") + "."


def _entry(tag: str, text: str) -> Iterator[str]:
    yield ".TP"
    yield f".B {escape(tag)}"
    yield escape(text)


def _example(what: str, call: str) -> Iterator[str]:
    yield ".PP"
    yield escape(what)
    yield from (".PP", ".RS 4", ".nf", escape(call), ".fi", ".RE")


def _paragraphs(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        yield ".PP"
        yield escape(text)


if __name__ == "__main__":
    print(page(), end="")
