"""What the screen shows: messages, events, prompt and toolbar as styled text.

Everything that came from a peer passes ``sanitize`` here, and reaches the terminal no other way.
"""

import time
from collections.abc import Iterable, Sequence
from typing import assert_never

from wcwidth import wcswidth, wrap

from fantom_trio.nursery import (
    AlreadyUp,
    CodeReady,
    Conversation,
    Delivered,
    DialFailed,
    Dialing,
    DialProblem,
    Failed,
    HistoryFull,
    How,
    LinkEnded,
    LinkKind,
    LinkUp,
    Matched,
    Merged,
    Message,
    NodeEvent,
    NotShown,
    Received,
    Redialing,
    Role,
    Sent,
    State,
    Verifying,
    Why,
    Wished,
)
from fantom_trio.repl import sanitize
from fantom_trio.repl.explain import explain_dial, explain_ending, explain_failed
from fantom_trio.repl.languages import _, n_
from fantom_trio.repl.terminal import Fragments

__all__ = [
    "NOTICE_INDENT",
    "code",
    "event",
    "fold",
    "kind_name",
    "message",
    "messages",
    "notice",
    "prompt",
    "rule",
    "toolbar",
]

#: A message's text has at least so many columns beside the name, or begins below it, this far in.
_LEAST_WIDTH = 16
_NARROW_INDENT = 6
#: Where the text of a notice begins: after "12:04 · ".
NOTICE_INDENT = 8

_DIM, _BOLD, _CYAN, _RED, _OFF = (f"\x1b[{n}m" for n in ("2", "1", "36", "31", "0"))


def fold(text: str, columns: int | None, indent: int = 0) -> str:
    """Each line at most ``columns`` wide, broken between words, ``indent`` from the second on."""
    if columns is None or columns <= indent + 10:
        return text
    lines: list[str] = []
    for line in text.rstrip("\n").split("\n"):
        lines += wrap(line, columns, subsequent_indent=" " * indent) or [""]
    return "\n".join(lines) + "\n"


def clock(at: float) -> str:
    """``at``, seconds since the epoch, as the wall clock shows it."""
    return time.strftime("%H:%M", time.localtime(at))


def name(conversation: Conversation) -> str:
    """A conversation's name or address, safe to print."""
    return sanitize.isolate(sanitize.line(conversation.label))


def kind_name(kind: LinkKind) -> str:
    """What a link speaks, for people."""
    match kind:
        case LinkKind.CLASSIC:
            return _("classic link")
        case LinkKind.NATIVE:
            return _("native link")
    assert_never(kind)


def _mark(*, verified: bool) -> str:
    """What stands beside a native peer."""
    return "✓" if verified else "?"


def messages(
    conversation: Conversation,
    them: Iterable[Message],
    columns: int | None,
    *,
    states: bool = False,
) -> str:
    """Messages of one conversation, a line or more each.

    ``states`` adds how far ours came, and whether a native peer was verified when it wrote.
    """
    return "".join(message(conversation, each, columns, states=states) for each in them)


def message(
    conversation: Conversation, it: Message, columns: int | None, *, states: bool = False
) -> str:
    """``12:04 bob  hi``, further lines indented below the first, all at most ``columns`` wide.

    Were the terminal to wrap them, a peer could write into the column where times and names stand.
    """
    if it.state is State.NOTED:
        return fold(notice(it.text, it.at), columns, NOTICE_INDENT)
    who, colour = (_("you"), _DIM) if it.mine else (name(conversation), _CYAN)
    # A classic peer has no mark: nothing it says has a number.
    mark = f" {_mark(verified=it.verified)}" if states and not it.mine and it.id else ""
    indent = max(wcswidth(f"{clock(it.at)} {who}{mark}  "), 0)
    lines = sanitize.block(it.text)
    if columns is not None:
        if indent > columns - _LEAST_WIDTH:  # the text begins below the name
            lines.insert(0, "")
            indent = _NARROW_INDENT
        width = max(columns - indent, 1)
        lines = [part for line in lines for part in _parts(line, width)]
    lines = [sanitize.isolate(line) for line in lines]
    if states and it.mine:
        lines[-1] += f" {_DIM}({_state(it.state)}){_OFF}"
    if it.damaged:
        # Not inside the f-string: texts are collected from the source, and not from there.
        damaged = _("damaged on the way: it was not UTF-8")
        lines[-1] += f" {_DIM}({damaged}){_OFF}"
    styled = f"{_DIM}{clock(it.at)}{_OFF} {colour}{who}{_OFF}{mark}  "
    return styled + f"\n{' ' * indent}".join(lines) + "\n"


def _parts(line: str, width: int) -> list[str]:
    """A sanitised line in pieces that fit, broken between words where there are any."""
    if len(line) <= width and (line.isascii() or wcswidth(line) <= width):
        return [line]
    return wrap(
        line, width, expand_tabs=False, replace_whitespace=False, drop_whitespace=False,
        break_on_hyphens=False,
    ) or [""]  # fmt: skip


def _state(state: State) -> str:
    match state:
        case State.WAITING:
            return _("waiting")
        case State.SENT:
            return _("sent")
        case State.DELIVERED:
            return _("delivered")
        case State.RECEIVED | State.NOTED:
            return ""
    assert_never(state)


def notice(text: str, at: float, *, alarm: bool = False) -> str:
    """``12:04 · something happened``; ``text`` may have several lines."""
    colour = _RED if alarm else _DIM
    lines = text.split("\n")
    return (
        f"{_DIM}{clock(at)} ·{_OFF} {colour}"
        + f"{_OFF}\n{' ' * NOTICE_INDENT}{colour}".join(lines)
        + f"{_OFF}\n"
    )


def rule(conversation: Conversation) -> str:
    """The line that says whose messages follow."""
    return f"{_DIM}──{_OFF} {_BOLD}{_numbered(conversation)}{_OFF} {_DIM}{'─' * 20}{_OFF}\n"


def event(it: NodeEvent) -> tuple[str, bool]:
    """What to say of an event, nothing where it needs no words; and whether it is an alarm."""
    match it:
        case Dialing():
            where = sanitize.line(str(it.endpoint))
            return _("connecting to {where} … /disconnect to give up", where=where), False
        case Redialing():
            text = _(
                "connecting to {where} again until {name} is there … /disconnect to give up",
                where=sanitize.line(str(it.endpoint)), name=name(it.conversation),
            )  # fmt: skip
            return text, False
        case DialFailed():
            return _dial_failed(it), it.error.problem is not DialProblem.GIVEN_UP
        case AlreadyUp():
            return _("{name} is connected already", name=name(it.conversation)), False
        case LinkUp():
            return _link_up(it)
        case Merged():
            text = _(
                "{gone} is the peer you know as {peer}: all goes on there",
                gone=_numbered(it.gone), peer=_numbered(it.conversation),
            )  # fmt: skip
            return text, False
        case LinkEnded():
            return _link_ended(it)
        case NotShown():
            text = n_(
                "{n} message from {name} came too fast to be shown: /history {n} shows it",
                "{n} messages from {name} came too fast to be shown: /history {n} shows them",
                it.count, name=name(it.conversation),
            )  # fmt: skip
            return text, False
        case HistoryFull():
            text = _(
                "the history of {name} is full: the oldest messages are forgotten from here on",
                name=name(it.conversation),
            )
            return text, False
        case Verifying():
            return _verifying(it)
        case Received() | Sent() | Delivered():
            return "", False
    assert_never(it)


def _numbered(conversation: Conversation) -> str:
    """Number and name: two peers may have one address, and no name."""
    return f"{conversation.number} {name(conversation)}"


def _dial_failed(it: DialFailed) -> str:
    text = explain_dial(it.error, it.endpoint)
    if it.error.problem in (DialProblem.OTHER_IDENTITY, DialProblem.DOWNGRADED):
        text += " " + _("/connect ADDRESS meets whoever is there.")
    waiting = it.conversation.undelivered if it.conversation else 0
    if waiting and it.error.problem.final:
        text += " " + n_("{n} message stays queued.", "{n} messages stay queued.", waiting)
    elif waiting:
        text += " " + n_(
            "{n} message waits: write another to try again, or /connect ADDRESS.",
            "{n} messages wait: write another to try again, or /connect ADDRESS.",
            waiting,
        )
    return text


def _link_up(it: LinkUp) -> tuple[str, bool]:
    if it.kind is LinkKind.CLASSIC:
        what = _("classic link, the peer cannot be verified")
    elif it.conversation.verified:
        what = _("native link, verified")
    else:
        what = _("native link, not verified (/verify)")
    if it.stranger_at is not None:
        text = _(
            "{peer} is not the {known} you knew: a stranger is at this address now, {what}",
            peer=_numbered(it.conversation), known=_numbered(it.stranger_at), what=what,
        )  # fmt: skip
        return text, True
    if not it.first and not it.conversation.verified:
        return "", False  # else an invite may have verified it just now
    if it.role is Role.DIALER:
        return _("{name} is here: {what}", name=name(it.conversation), what=what), False
    return _("{name} connected to you: {what}", name=name(it.conversation), what=what), False


def _link_ended(it: LinkEnded) -> tuple[str, bool]:
    why = it.ending.why
    loud = why in (Why.BUG, Why.VIOLATION)
    if it.conversation is None:
        where = sanitize.line(str(it.peer))
        text = _("{where} was turned away: {why}", where=where, why=explain_ending(it.ending))
        # Strangers break rules all day; who has an invite of ours may have come by it anyhow.
        return text, why in (Why.BUG, Why.BAD_INVITE)
    fields = {"name": name(it.conversation), "why": explain_ending(it.ending)}
    if it.last:
        return _("{name} is gone: {why}", **fields), loud
    if loud or why in (Why.LOST, Why.SILENT):
        return _("one of two links with {name} is gone: {why}", **fields), loud
    return "", False


def code(conversation: Conversation, digits: str) -> str:
    """What to do with the code that waits for the user's answer."""
    return _(
        "compare these eight digits with {name} by another way, e.g. on the phone: {digits} —"
        " /verify {number} yes if they are the same, /verify {number} no if not",
        name=name(conversation), number=conversation.number, digits=f"{digits[:4]} {digits[4:]}",
    )  # fmt: skip


def _verifying(it: Verifying) -> tuple[str, bool]:
    outcome = it.outcome
    fields = {"name": name(it.conversation), "number": it.conversation.number}
    match outcome:
        case Wished(How.CODE):
            text = _("{name} wants to compare a code with you: /verify {number} shows it", **fields)
            return text, False
        case Wished():
            text = _(
                "{name} wants to compare a shared word with you:"
                " /verify {number} --word asks you for it", **fields)  # fmt: skip
            return text, False
        case CodeReady():
            return code(it.conversation, outcome.code), False
        case Matched():
            return _(
                "{name} has the same word: verified for as long as its program runs", **fields
            ), False
        case Failed(How.CODE):
            text = _(
                "{name} could not be verified: {why};"
                " /verify {number} tries again as soon as they do",
                why=explain_failed(outcome), **fields)  # fmt: skip
            return text, True
        case Failed():
            text = _(
                "{name} could not be verified: {why};"
                " /verify {number} --word tries again as soon as they do",
                why=explain_failed(outcome), **fields)  # fmt: skip
            return text, True
    assert_never(outcome)


def prompt(active: Conversation | None) -> Fragments:
    """Who gets the line: ``1 bob ? ▸``, ``1 bob ✓ offline ▸``, ``1 bob classic ▸``."""
    if active is None:
        return (("ansibrightblack", _("(nobody)")), ("", " ▸ "))
    fragments = [("bold", _numbered(active))]
    if active.kind is LinkKind.NATIVE:
        style = "ansigreen" if active.verified else "ansiyellow"
        fragments.append((style, " " + _mark(verified=active.verified)))
    elif active.online:
        fragments.append(("ansiyellow", " " + _("classic")))
    if not active.online:
        fragments.append(("ansibrightblack", " " + _("offline")))
    return (*fragments, ("", " ▸ "))


def toolbar(
    conversations: Sequence[Conversation], active: Conversation | None, language: str
) -> Fragments:
    """Every peer with what is unread, what of ours still waits, and the language."""
    parts: list[tuple[str, str]] = []
    for each in conversations:
        text = f" {_numbered(each)}"
        if each.unread:
            text += f" +{each.unread}"
        if not each.online:
            text += " " + _("offline")
        style = "bold" if each is active else "ansiyellow" if each.unread else ""
        parts.append((style, text + " "))
    if waiting := sum(each.undelivered for each in conversations):
        parts.append(("ansired", "  " + n_("{n} undelivered", "{n} undelivered", waiting)))
    parts.append(("", f"  {language} "))
    return tuple(parts)
