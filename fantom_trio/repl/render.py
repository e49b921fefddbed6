"""What the screen shows: events, prompt and toolbar as styled text; messages: ``transcript``.

Everything that came from a peer passes ``sanitize`` here, and reaches the terminal no other way.
"""

import time
from collections.abc import Iterable, Sequence
from typing import assert_never

from fantom_trio.nursery import (
    AlreadyUp,
    CodeReady,
    Conversation,
    Delivered,
    DescriptorsOut,
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
    NodeEvent,
    NotShown,
    Received,
    Redialing,
    Role,
    Sent,
    Unanswered,
    Verifying,
    Why,
    Wished,
)
from fantom_trio.repl import layout, sanitize
from fantom_trio.repl.explain import explain_dial, explain_ending, explain_failed, explain_shortage
from fantom_trio.repl.languages import _, n_
from fantom_trio.repl.terminal import Fragments

__all__ = [
    "BOLD",
    "CYAN",
    "DIM",
    "NOTICE_INDENT",
    "OFF",
    "clock",
    "code",
    "event",
    "kind_name",
    "mark",
    "name",
    "notice",
    "prompt",
    "rule",
    "toolbar",
]

#: Where the text of a notice begins: after "12:04 · ".
NOTICE_INDENT = 8
#: Cells of a name or address in the prompt, and in the toolbar at most and at least.
_PROMPT_LABEL = 32
_LABEL_WIDTH = 24
_LEAST_LABEL = 8

DIM, BOLD, CYAN, RED, OFF = (f"\x1b[{n}m" for n in ("2", "1", "36", "31", "0"))


def clock(at: float) -> str:
    """``at``, seconds since the epoch, as the wall clock shows it."""
    return time.strftime("%H:%M", time.localtime(at))


def name(conversation: Conversation, room: int | None = None) -> str:
    """A conversation's name or address, safe to print, in ``room`` cells if that is given."""
    text = sanitize.line(conversation.label)
    if room is not None and layout.cells(sanitize.isolate(text)) > room:
        room -= 2 * sanitize.is_turning(text)
        if not conversation.name and text.isascii():  # what tells addresses apart is at their end
            text = f"{text[: room // 2]}…{text[len(text) - (room - 1) // 2 :]}"
        else:
            text = layout.cut(text, room)
    return sanitize.isolate(text)


def kind_name(kind: LinkKind) -> str:
    """What a link speaks, for people."""
    match kind:
        case LinkKind.CLASSIC:
            return _("classic link")
        case LinkKind.NATIVE:
            return _("native link")
    assert_never(kind)


def mark(*, verified: bool) -> str:
    """What stands beside a native peer."""
    return "✓" if verified else "?"


def notice(text: str, at: float, *, alarm: bool = False) -> str:
    """``12:04 · something happened``; ``text`` may have several lines."""
    colour = RED if alarm else DIM
    lines = text.split("\n")
    return (
        f"{DIM}{clock(at)} ·{OFF} {colour}"
        + f"{OFF}\n{' ' * NOTICE_INDENT}{colour}".join(lines)
        + f"{OFF}\n"
    )


def rule(conversation: Conversation) -> str:
    """The line that says whose messages follow."""
    return f"{DIM}──{OFF} {BOLD}{_numbered(conversation)}{OFF} {DIM}{'─' * 20}{OFF}\n"


def event(it: NodeEvent) -> tuple[str, bool]:
    """What to say of an event, nothing where it needs no words; and whether it is an alarm."""
    match it:
        case Dialing():
            where = sanitize.line(str(it.endpoint))
            return _("connecting to {where} … /disconnect to give up", where=where), False
        case Unanswered():
            text = _(
                "no answer from {where} for {seconds} s: ask your peer to /connect you now: {own}",
                where=sanitize.line(str(it.endpoint)), seconds=round(it.seconds),
                own=sanitize.line(str(it.own)))  # fmt: skip
            return text, False
        case Redialing():
            text = _(
                "connecting to {where} again until {name} is there … /disconnect to give up",
                where=sanitize.line(str(it.endpoint)), name=name(it.conversation))  # fmt: skip
            return text, False
        case DialFailed():
            return _dial_failed(it), it.error.problem is not DialProblem.GIVEN_UP
        case AlreadyUp():
            return _("{name} is connected already", name=name(it.conversation)), False
        case LinkUp():
            return _link_up(it)
        case Merged():
            return _(
                "{gone} is the peer you know as {peer}: all goes on there",
                gone=_numbered(it.gone), peer=_numbered(it.conversation)), False  # fmt: skip
        case LinkEnded():
            return _link_ended(it)
        case NotShown():
            return n_(
                "{n} message from {name} came too fast to be shown: /history {n} shows it",
                "{n} messages from {name} came too fast to be shown: /history {n} shows them",
                it.count, name=name(it.conversation)), False  # fmt: skip
        case HistoryFull():
            return _(
                "the history of {name} is full: the oldest messages are forgotten from here on",
                name=name(it.conversation)), False  # fmt: skip
        case DescriptorsOut():
            return explain_shortage(), True
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
        them = {"peer": _numbered(it.conversation), "known": _numbered(it.stranger_at)}
        return _(
            "{peer} is not the {known} you knew: a stranger is at this address now, {what}",
            what=what, **them), True  # fmt: skip
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
    fragments = [("bold", f"{active.number} {name(active, _PROMPT_LABEL)}")]
    if active.kind is LinkKind.NATIVE:
        style = "ansigreen" if active.verified else "ansiyellow"
        fragments.append((style, " " + mark(verified=active.verified)))
    elif active.online:
        fragments.append(("ansiyellow", " " + _("classic")))
    if not active.online:
        fragments.append(("ansibrightblack", " " + _("offline")))
    return (*fragments, ("", " ▸ "))


def toolbar(
    conversations: Sequence[Conversation],
    active: Conversation | None,
    language: str,
    columns: int | None = None,
) -> Fragments:
    """Every peer with what is unread, what of ours still waits, and the language.

    In ``columns`` cells where there are so many peers: the active one and those with unread
    messages first, the others as ``… 7 more``; before the active one goes, the language does.
    """
    tail = [("", f"  {language} ")]
    if waiting := sum(each.undelivered for each in conversations):
        tail.insert(0, ("ansired", "  " + n_("{n} undelivered", "{n} undelivered", waiting)))
    if columns is None:
        return (*(_tab(each, active, _LABEL_WIDTH) for each in conversations), *tail)
    room = max(min(_LABEL_WIDTH, columns // 3), _LEAST_LABEL)
    ranked = sorted(conversations, key=lambda each: _rank(each, active))
    rest = _cells([_more(conversations)])
    if ranked and _cells([_tab(ranked[0], active, room), *tail]) + rest > columns:
        tail.pop()
    free = columns - _cells(tail)
    shown: dict[Conversation, tuple[str, str]] = {}
    for count, each in enumerate(ranked, 1):
        tab = _tab(each, active, room)
        if shown and _cells([tab]) + rest * (count < len(ranked)) > free:
            break
        shown[each] = tab
        free -= _cells([tab])
    parts = [shown[each] for each in conversations if each in shown]
    left = ranked[len(shown) :]
    return (*parts, *([_more(left)] if left else []), *tail)


def _rank(conversation: Conversation, active: Conversation | None) -> int:
    """How much the user wants to see it in the toolbar; the least number the most."""
    rank = 1 if conversation.unread else 2 if conversation.online else 3
    return 0 if conversation is active else rank + 3 * conversation.strange


def _tab(conversation: Conversation, active: Conversation | None, room: int) -> tuple[str, str]:
    """One peer in the toolbar."""
    text = f" {conversation.number} {name(conversation, room)}"
    if conversation.unread:
        text += f" +{conversation.unread}"
    if not conversation.online:
        text += " " + _("offline")
    style = "bold" if conversation is active else "ansiyellow" if conversation.unread else ""
    return style, text + " "


def _more(conversations: Sequence[Conversation]) -> tuple[str, str]:
    """The peers for whom there is no room in the toolbar."""
    text = " " + n_("… {n} more", "… {n} more", len(conversations))
    unread = sum(each.unread for each in conversations)
    return ("ansiyellow", f"{text} +{unread} ") if unread else ("", f"{text} ")


def _cells(fragments: Iterable[tuple[str, str]]) -> int:
    return sum(layout.cells(text) for _style, text in fragments)
