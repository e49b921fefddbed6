"""What ``/peers`` tells of strangers: a line each."""

import time
from collections.abc import Iterator, Sequence
from itertools import islice

from fantom_trio.nursery import (
    Conversation,
    Deed,
    Ending,
    LinkKind,
    Stranger,
    Violation,
    Why,
)
from fantom_trio.repl import render, sanitize
from fantom_trio.repl.explain import explain_ending, explain_violation
from fantom_trio.repl.languages import _, n_

__all__ = ["LATEST", "describe", "explain_deed", "list_strangers"]

#: So many are listed where not all are asked for: the conversations above stay on the screen.
LATEST = 10
#: So many kinds of things are told of each: one that tries them all gets no more room.
_DEEDS = 4


def list_strangers(
    strangers: Sequence[Stranger],
    conversations: Sequence[Conversation],
    *,
    now: float,
    everyone: bool,
) -> str:
    """A line for each of ``strangers``, who are in their order, below a heading; empty for none.

    Whoever only had links, and shares the address with somebody whom the user took notice of, is
    most likely that person, who is listed with the ``conversations`` already.
    """
    heeded = {each.key.host for each in conversations if not each.strange}
    them = [
        each
        for each in strangers
        if each.and_more or not heeded.issuperset(each.hosts) or not _only_linked(each)
    ]
    if not them:
        return ""
    shown = them if everyone else them[:LATEST]
    lines = [_("Strangers who came to you, the latest first:")]
    lines += [describe(each, now) for each in shown]
    if left := len(them) - len(shown):
        more = n_("… {n} more: {command}", "… {n} more: {command}", left, command="/peers all")
        lines.append(more)
    return "\n".join(lines)


def _only_linked(stranger: Stranger) -> bool:
    return all(isinstance(deed, LinkKind) for deed in stranger.deeds)


def describe(stranger: Stranger, now: float) -> str:
    """Where one came from, how often and when, and what came of it; ``now`` as its times."""
    first, last = _moment(stranger.first_at, now), _moment(stranger.last_at, now)
    when = first if first == last else f"{first} – {last}"
    knocks = n_("{n} connection, {when}", "{n} connections, {when}", stranger.knocks, when=when)
    return " · ".join([*_place(stranger), knocks, *_deeds(stranger)])


def _place(stranger: Stranger) -> Iterator[str]:
    """The address, or the network and how many addresses of it came."""
    count = len(stranger.hosts)
    if count == 1 and not stranger.and_more:
        zone = f"%{stranger.zone}" if stranger.zone else ""
        yield sanitize.line(f"[{stranger.hosts[0]}{zone}]")
        return
    yield stranger.network
    if stranger.and_more:
        yield n_("more than {n} address", "more than {n} addresses", count)
    else:
        yield n_("{n} address", "{n} addresses", count)


def _moment(at: float, now: float) -> str:
    """The program may run for days."""
    then = time.localtime(at)
    is_today = then[:3] == time.localtime(now)[:3]
    return render.clock(at) if is_today else time.strftime("%Y-%m-%d %H:%M", then)


def _deeds(stranger: Stranger) -> Iterator[str]:
    if not stranger.deeds:
        yield _("it has done nothing yet")
    for deed, count in islice(stranger.deeds.items(), _DEEDS):
        text = explain_deed(deed)
        if count > 1:
            text = n_("{deed} ({n} time)", "{deed} ({n} times)", count, deed=text)
        yield text
    if (left := len(stranger.deeds) - _DEEDS) > 0:
        yield n_("… {n} more", "… {n} more", left)


def explain_deed(deed: Deed) -> str:
    """What came of a connection, as a clause."""
    match deed:
        case LinkKind():
            return render.kind_name(deed)
        case Violation():
            return explain_violation(deed)
        case Why.BUG:  # its place was told when it happened
            return _("a bug in fantom-trio ended the link")
        case Why():
            return explain_ending(Ending(deed))
