"""Commands: a function's signature and docstring become its parser, its completion and its help.

A parameter's type says what is read for it: ``Conversation`` a number or the start of a name,
``Endpoint`` an address of one or two words, ``Invite`` an invite, ``Literal`` one of its words,
``int`` a number, ``str`` a word, and ``Annotated[str, "as"]`` the word after ``as``. A default
makes it optional; what is optional gives way to the next one's words.
"""

import difflib
import inspect
import typing
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Struct

from fantom_trio.nursery import AddressError, Conversation, Endpoint, Invite, is_invite
from fantom_trio.repl import sanitize
from fantom_trio.repl.explain import explain_address
from fantom_trio.repl.languages import _
from fantom_trio.repl.terminal import Suggestion

__all__ = ["Command", "CommandError", "Commands", "Snapshot", "find_peer"]

#: Digits; Python itself refuses to read a few thousand.
_LONGEST_NUMBER = 18

Handler: TypeAlias = Callable[..., Awaitable[None]]


class CommandError(Exception):
    """What a person wrote cannot be done; the text is a sentence for them."""

    def __init__(self, text: str) -> None:
        # What they wrote is in it, and may have been pasted.
        super().__init__(sanitize.line(text))


class Snapshot(Struct, frozen=True):
    """What completion may suggest; immutable, because another thread reads it."""

    peers: tuple[str, ...] = ()


class Parameter(Struct, frozen=True):
    """One parameter of a command, and how it is read from words."""

    name: str
    kinds: tuple[Any, ...]
    keyword: str
    optional: bool

    @property
    def usage(self) -> str:
        """As it stands in the help."""
        names = {Conversation: "PEER", Endpoint: "ADDRESS", Invite: "INVITE"}
        parts: list[str] = []
        for kind in self.kinds:
            parts += _words(kind) or [names.get(kind, self.name.upper())]
        text = " ".join(filter(None, [self.keyword, "|".join(parts)]))
        return f"[{text}]" if self.optional else text

    @property
    def words(self) -> list[str]:
        """Those of its ``Literal``."""
        return [word for kind in self.kinds for word in _words(kind)]

    def read(self, words: list[str], peers: Sequence[Conversation]) -> object:
        """Take what belongs to it from ``words``; raises ``CommandError``."""
        if Endpoint in self.kinds:
            # "as" begins the name; all before it is the address, port included, or an invite that
            # was broken into lines.
            stop = words.index("as") if "as" in words[1:] else len(words)
            text, words[:stop] = " ".join(words[:stop]), []
            try:
                if Invite in self.kinds and is_invite(text):
                    return Invite.parse(text)
                return Endpoint.parse(text)
            except AddressError as error:
                raise CommandError(explain_address(error)) from None
        word = words.pop(0)
        if word in self.words:
            return word
        for kind in self.kinds:
            if kind is Conversation:
                return find_peer(word, peers)
            if kind is str:
                return word
            if kind is int and word.isascii() and word.isdecimal() and len(word) <= _LONGEST_NUMBER:
                return int(word)
        if int in self.kinds:
            raise CommandError(_("“{word}” is no number.", word=word))
        raise CommandError(
            _("“{word}” is none of: {choices}.", word=word, choices=", ".join(self.words))
        )

    def suggest(self, snapshot: Snapshot) -> Iterable[str]:
        """Words that may stand for it."""
        for kind in self.kinds:
            yield from _words(kind)
            if kind is Conversation:
                yield from snapshot.peers


class Command(Struct, frozen=True):
    """One command: its name without the slash, its handler, and what follows from that."""

    name: str
    handler: Handler
    parameters: tuple[Parameter, ...]
    #: Its docstring's first line, in English: what it does.
    summary: str
    #: The rest of the docstring, as one paragraph.
    detail: str

    @property
    def usage(self) -> str:
        """Name and parameters, as a person types them."""
        return " ".join(["/" + self.name, *(p.usage for p in self.parameters)])

    def read(self, words: list[str], peers: Sequence[Conversation]) -> dict[str, object]:
        """The handler's arguments; raises ``CommandError``."""
        arguments: dict[str, object] = {}
        for parameter, following in zip_longest(self.parameters, self.parameters[1:]):
            if words and _gives_way(parameter, words[0], following):
                continue
            if parameter.keyword:
                if not words or words[0] != parameter.keyword:
                    continue
                words.pop(0)
            if words:
                arguments[parameter.name] = parameter.read(words, peers)
            elif parameter.keyword or not parameter.optional:
                raise CommandError(_("Something is missing: {usage}", usage=self.usage))
        if words:
            raise CommandError(
                _("“{word}” is too much here: {usage}", word=" ".join(words), usage=self.usage)
            )
        return arguments

    def expected(self, words: Sequence[str]) -> Sequence[Parameter]:
        """What the word after these ``words`` may be for; where each is of one word."""
        rest = list(self.parameters)
        for word in words:
            while len(rest) > 1 and _gives_way(rest[0], word, rest[1]):
                del rest[0]
            del rest[:1]
        return rest[: 2 if rest and rest[0].optional else 1]


@dataclass
class Commands:
    """The registry: ``@commands.add`` puts a function into it."""

    by_name: dict[str, Command] = field(default_factory=dict)

    def add(self, handler: Handler) -> Handler:
        """Register ``handler`` under its own name, a final underscore removed."""
        _app, *declared = inspect.signature(handler).parameters.values()
        parameters = tuple(map(_parameter, declared))
        name = handler.__name__.rstrip("_")
        summary, _, detail = (inspect.getdoc(handler) or "").partition("\n")
        detail = " ".join(detail.split())
        self.by_name[name] = Command(name, handler, parameters, summary, detail)
        return handler

    def __iter__(self) -> typing.Iterator[Command]:
        return iter(self.by_name[name] for name in sorted(self.by_name))

    def find(self, name: str) -> Command:
        """The command of that name, slash or not; raises ``CommandError`` with the nearest ones."""
        name = name.removeprefix("/")
        if name in self.by_name:
            return self.by_name[name]
        near = [known for known in sorted(self.by_name) if name and known.startswith(name)]
        near = near or difflib.get_close_matches(name, self.by_name, 1, 0.6)
        if near:
            raise CommandError(
                _("There is no /{name}. Did you mean /{near}?", name=name, near=", /".join(near))
            )
        raise CommandError(_("There is no /{name}. /help lists what there is.", name=name))

    def parse(
        self, line: str, peers: Sequence[Conversation]
    ) -> tuple[Command, Mapping[str, object]]:
        """A command line as the command and its arguments; raises ``CommandError``."""
        name, *words = line.split()
        command = self.find(name)
        return command, command.read(words, peers)

    def complete(self, before: str, snapshot: Snapshot) -> list[Suggestion]:
        """Ways to go on after ``before``, the text left of the cursor."""
        if not before.startswith("/") or before.startswith("//"):
            return []
        *words, last = before.split(" ")
        if not words:
            return [
                Suggestion(f"/{command.name} " if command.parameters else f"/{command.name}",
                           len(last), _(command.summary))
                for command in self if command.name.startswith(last[1:])
            ]  # fmt: skip
        command = self.by_name.get(words[0][1:])
        if command is None:
            return []
        expected = command.expected([word for word in words[1:] if word])
        if command.name == "help" and expected:
            found: Iterable[str] = sorted(self.by_name)
        else:
            # Words before names: a menu has few rows, and peers may be many.
            expected = sorted(expected, key=lambda parameter: not parameter.words)
            found = (word for parameter in expected for word in parameter.suggest(snapshot))
        return [
            Suggestion(word, len(last)) for word in found if word.lower().startswith(last.lower())
        ]


def find_peer(word: str, peers: Sequence[Conversation]) -> Conversation:
    """The conversation of that number, name, or start of a name or address.

    Raises ``CommandError`` when there is none, or more than one.
    """
    for peer in peers:
        if word == str(peer.number) or word == peer.name:
            return peer
    starts = [peer for peer in peers if word == peer.label] or [
        peer
        for peer in peers
        if peer.label.lower().startswith(word.lower()) or peer.key.host.startswith(word.lower())
    ]
    if len(starts) == 1:
        return starts[0]
    if starts:
        labels = ", ".join(f"{peer.number} {peer.label}" for peer in starts)
        raise CommandError(_("“{word}” could be: {labels}.", word=word, labels=labels))
    if not peers:
        raise CommandError(_("There is no peer yet: /connect ADDRESS finds one."))
    raise CommandError(_("There is no peer “{word}”: /peers lists them.", word=word))


def _parameter(declared: inspect.Parameter) -> Parameter:
    hint, keyword = declared.annotation, ""
    if typing.get_origin(hint) is Annotated:
        hint, keyword = typing.get_args(hint)
    is_union = typing.get_origin(hint) in (UnionType, typing.Union)
    kinds = typing.get_args(hint) if is_union else (hint,)
    kinds = tuple(kind for kind in kinds if kind is not NoneType)
    optional = declared.default is not inspect.Parameter.empty
    return Parameter(declared.name, kinds, keyword, optional)


def _gives_way(parameter: Parameter, word: str, following: Parameter | None) -> bool:
    return parameter.optional and following is not None and word in following.words


def _words(kind: Any) -> list[str]:
    return list(typing.get_args(kind)) if typing.get_origin(kind) is Literal else []
