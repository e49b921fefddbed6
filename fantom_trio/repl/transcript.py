"""What was said, as rows on the screen: within bounds, and piece by piece.

One message may be 60,000 line breaks: a history full of them, in one piece, would take seconds to
render and hundreds of megabytes, and leave nothing else in the scrollback.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import assert_never

import trio
from wcwidth import wcswidth

from fantom_trio.nursery import Conversation, Message, State
from fantom_trio.repl import layout, render, sanitize
from fantom_trio.repl.bounds import (
    HISTORY_ROWS,
    MESSAGE_CHARACTERS,
    MESSAGE_ROWS,
    PIECE_CHARACTERS,
    PRINTED_ROWS,
)
from fantom_trio.repl.languages import _, n_
from fantom_trio.repl.render import CYAN, DIM, NOTICE_INDENT, OFF

__all__ = ["history", "latest", "messages", "place"]

#: A message's text has at least so many columns beside the name, or begins below it, this far in.
_LEAST_WIDTH = 16
_NARROW_INDENT = 6
_LEAST_NAME = 8
#: As wide as a screen is taken to be where there is none.
_COLUMNS = 80


async def latest(them: Sequence[Message], columns: int | None) -> Sequence[Message]:
    """The last of ``them`` that take about ``PRINTED_ROWS``, at least one."""
    # No character takes more than a row.
    if sum([len(each.text) + 1 for each in them]) <= PRINTED_ROWS:
        return them
    rows = size = 0
    for count, each in enumerate(reversed(them)):
        rows += _rows_about(each, columns or _COLUMNS)
        if count and rows > PRINTED_ROWS:
            return them[-count:]
        size += len(each.text)
        if size >= PIECE_CHARACTERS:
            size = 0
            await trio.lowlevel.checkpoint()
    return them


def _rows_about(it: Message, columns: int) -> int:
    lines = sanitize.block(it.text[:MESSAGE_CHARACTERS])[:MESSAGE_ROWS]
    return min(sum([1 + len(line) // columns for line in lines]), MESSAGE_ROWS)


def place(conversation: Conversation, it: Message) -> int:
    """The number with which ``/history`` begins with ``it``, or with the first that is left."""
    everything = conversation.history
    return len(everything) - next((at for at, each in enumerate(everything) if each is it), 0)


def messages(
    conversation: Conversation, them: Iterable[Message], columns: int | None
) -> Iterator[str]:
    """Messages of one conversation, each within ``MESSAGE_ROWS`` and a row on what is left out."""
    return _pieces(
        part for each in them for part in _parts(conversation, each, columns, False, False)
    )


def history(
    conversation: Conversation, them: Sequence[Message], columns: int | None, *, whole: bool
) -> Iterator[str]:
    """The first of ``them`` that take about ``HISTORY_ROWS``, at least one, and how many are left.

    It adds how far ours came, and whether a native peer was verified when it wrote. ``whole``:
    nothing of a message is left out.
    """
    return _pieces(_history(conversation, them, columns, whole))


def _history(
    conversation: Conversation, them: Sequence[Message], columns: int | None, whole: bool
) -> Iterator[str]:
    rows = 0
    for left, each in zip(range(len(them), 0, -1), them, strict=True):
        if rows >= HISTORY_ROWS:
            text = n_(
                "{n} later message is left out: {command} shows it",
                "{n} later messages are left out: {command} goes on with them",
                left,
                command=_command(left, whole=whole),
            )
            yield layout.fold(render.notice(text, time.time()), columns, NOTICE_INDENT)
            return
        for part in _parts(conversation, each, columns, True, whole):
            rows += part.count("\n")
            yield part


def _pieces(parts: Iterable[str]) -> Iterator[str]:
    """The same text in pieces of ``PIECE_CHARACTERS`` or little more."""
    piece: list[str] = []
    size = 0
    for part in parts:
        piece.append(part)
        size += len(part)
        if size >= PIECE_CHARACTERS:
            yield "".join(piece)
            piece, size = [], 0
    if piece:
        yield "".join(piece)


def _parts(
    conversation: Conversation, it: Message, columns: int | None, states: bool, whole: bool
) -> Iterator[str]:
    """``12:04 bob  hi``, further lines indented below the first, all at most ``columns`` wide.

    Were the terminal to wrap them, a peer could write into the column where times and names stand.
    """
    if it.state is State.NOTED:
        yield layout.fold(render.notice(it.text, it.at), columns, NOTICE_INDENT)
        return
    who, colour = (_("you"), DIM) if it.mine else (render.name(conversation), CYAN)
    # A classic peer has no mark: nothing it says has a number.
    mark = f" {render.mark(verified=it.verified)}" if states and not it.mine and it.id else ""
    stamp = f"{render.clock(it.at)} "
    indent = max(wcswidth(f"{stamp}{who}{mark}  "), 0)
    turning = sanitize.is_turning(it.text)
    width = None
    is_below = False
    if columns is not None:
        # Some terminals begin a new row for a mark that follows the last column.
        columns -= 1
        head = layout.cells(f"{stamp}{who}{mark}  ")
        indent = min(indent, head)
        width = columns - head
        is_below = width < _LEAST_WIDTH  # the text begins below the name
        if is_below:
            indent = max(min(_NARROW_INDENT, columns - 2), 1)
            width = max(columns - indent, 2)
            if not it.mine:
                who = render.name(conversation, max(columns - len(f"{stamp}{mark}  "), _LEAST_NAME))
    start = f"{DIM}{stamp}{OFF}{colour}{who}{OFF}{mark}  "
    between = f"\n{' ' * indent}"
    if is_below:
        start += between
    room = None if width is None else max(width - 2 * turning, 2)
    left = 0
    if whole:
        runs = _all_rows(it.text, room, indent)
    else:
        rows, left = _first_rows(it.text, room)
        runs = iter([rows])
    rows = next(runs)
    for further in runs:
        yield start + between.join(map(sanitize.isolate, rows) if turning else rows) + "\n"
        start, rows = between[1:], further
    if turning:
        rows = [sanitize.isolate(row) for row in rows]
    if left:
        rows += _dim(_left_out(left, _command(place(conversation, it), whole=True)), width)
    for remark in _remarks(it, states=states):
        dim = _dim(remark, width)
        if width is None or layout.cells(f"{rows[-1]} {remark}") <= width:
            rows[-1] += f" {dim.pop(0)}"
        rows += dim
    yield start + between.join(rows) + "\n"


def _first_rows(text: str, room: int | None) -> tuple[list[str], int]:
    """As many as are shown, and how many lines are not shown to their end."""
    text = text.replace("\r\n", "\n").removesuffix("\n")
    total = ended = text.count("\n") + 1
    if len(text) > MESSAGE_CHARACTERS:
        ended = text.count("\n", 0, MESSAGE_CHARACTERS + 1)
    rows: list[str] = []
    for count, line in enumerate(sanitize.block(text[:MESSAGE_CHARACTERS] + "\n")):
        rows += [line] if room is None else layout.wrap([line], room)
        if len(rows) > MESSAGE_ROWS:
            return rows[:MESSAGE_ROWS], total - min(ended, count)
    return rows, total - ended


def _all_rows(text: str, room: int | None, indent: int) -> Iterator[list[str]]:
    """In runs of ``PIECE_CHARACTERS`` or little more, at least one."""
    run: list[str] = []
    size = 0
    for line in sanitize.block(text):
        run.append(line)
        size += indent + len(line) + 1
        if size >= PIECE_CHARACTERS:
            yield run if room is None else layout.wrap(run, room)
            run, size = [], 0
    if run:
        yield run if room is None else layout.wrap(run, room)


def _command(count: int, *, whole: bool) -> str:
    return f"/history {count} whole" if whole else f"/history {count}"


def _left_out(lines: int, command: str) -> str:
    return n_(
        "… {n} more line: {command} shows all",
        "… {n} more lines: {command} shows all",
        lines,
        command=command,
    )


def _dim(text: str, width: int | None) -> list[str]:
    """Our own words, as rows."""
    rows = [text] if width is None else layout.wrap([text], width)
    return [f"{DIM}{row}{OFF}" for row in rows]


def _remarks(it: Message, *, states: bool) -> Iterator[str]:
    """What we say of a message, behind it."""
    if states and it.mine:
        yield f"({_state(it.state)})"
    if it.damaged:
        # Not inside the f-string: texts are collected from the source, and not from there.
        damaged = _("damaged on the way: it was not UTF-8")
        yield f"({damaged})"


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
