"""``--follow``: what comes in goes to stdout, and only then does its sender hear that it did."""

import os
import select
import sys
from collections.abc import Awaitable, Callable
from weakref import WeakKeyDictionary

import trio

from fantom_trio.nursery import (
    Conversation,
    Endpoint,
    LinkEnded,
    ListenError,
    Message,
    Node,
    NotShown,
    ReachError,
    Received,
    open_node,
)
from fantom_trio.repl import sanitize
from fantom_trio.repl.explain import explain_listen, explain_reach
from fantom_trio.repl.languages import _, n_
from fantom_trio.tell import Exit, tell

__all__ = ["follow"]


async def follow(
    find: Callable[[], Awaitable[Endpoint]], *, invited_only: bool, count: int | None
) -> Exit:
    """Listen where ``find`` says and print each message, until there were ``count``.

    A line each: a line break within a message stays one, and a text over 61,000 bytes comes in
    pieces. Cancelled in the middle of a write, what stdout took may not be acknowledged.
    """
    if sys.stdout is None:
        tell(_("There is no standard output to write to."))
        return Exit.USAGE
    try:
        endpoint = await find()
    except ReachError as error:
        tell(explain_reach(error))
        return Exit.USAGE
    async with open_node(invited_only=invited_only, acknowledge=False) as node:
        try:
            where = await node.listen(endpoint)
        except ListenError as error:
            tell(explain_listen(error))
            return Exit.USAGE
        tell(_("Listening on {where}.", where=where))
        if invited_only:
            tell(_("Only who brings this is let in, and nobody after them: {invite}",
                   invite=node.invite(where)))  # fmt: skip
        try:
            await _Follower(node, sys.stdout.fileno(), count).run()
        except BrokenPipeError:  # whoever read us has enough
            return Exit.DONE
        except OSError as error:
            tell(
                _("Standard output takes no more: {detail}.", detail=os.strerror(error.errno or 0))
            )
            return Exit.UNWRITTEN
    return Exit.DONE


class _Follower:
    """Writes the messages of every conversation, each once and in its order."""

    def __init__(self, node: Node, output: int, count: int | None) -> None:
        self._node = node
        self._output = output
        self._to_terminal = os.isatty(output)
        self._left = count
        #: How many of the messages that a history ever had are done with.
        self._done: WeakKeyDictionary[Conversation, int] = WeakKeyDictionary()

    async def run(self) -> None:
        """Until enough is written; raises ``OSError`` when stdout takes no more."""
        async for event in self._node.events:
            if isinstance(event, (Received, NotShown)):
                await self._write_new(event.conversation)
                if self._left == 0:
                    return
            if isinstance(event, (Received, NotShown, LinkEnded)) and event.conversation:
                self._close_if_over(event.conversation)

    async def _write_new(self, conversation: Conversation) -> None:
        """All that stands in the history now: an event may tell less than that, or tell it late."""
        until = _count(conversation)
        while self._done.get(conversation, 0) < until and self._left != 0:
            batch = self._next_batch(conversation)
            lines = b"".join(self._line(message) for message in batch)
            # In a thread, for only that can wait for every kind of file.
            await trio.to_thread.run_sync(_write, self._output, lines, abandon_on_cancel=True)
            self._done[conversation] += len(batch)
            if self._left is not None:
                self._left -= len(batch)
            if batch[-1].id:
                self._node.handed_over(conversation, batch[-1])

    def _next_batch(self, conversation: Conversation) -> list[Message]:
        """The next messages to write, at least one."""
        history = conversation.history
        done = self._done.get(conversation, 0)
        if done < history.dropped:  # never of a native peer: it waits for us
            tell(
                n_(
                    "{n} message from {name} was lost: standard output was too slow.",
                    "{n} messages from {name} were lost: standard output was too slow.",
                    history.dropped - done,
                    name=conversation.label,
                )
            )
            done = history.dropped
        self._done[conversation] = done
        batch, size = [], 0
        for message in history.latest(_count(conversation) - done)[: self._left]:
            batch.append(message)
            size += message.size
            if size >= self._node.limits.batch_bytes:
                break
        return batch

    def _line(self, message: Message) -> bytes:
        text = message.text
        if self._to_terminal:
            text = "\n".join(sanitize.block(text))
        return text.encode() + b"\n"

    def _close_if_over(self, conversation: Conversation) -> None:
        """Whoever is gone, and written down, leaves no text in memory."""
        done = self._done.get(conversation, 0) == _count(conversation)
        if done and not (conversation.online or conversation.dialing):
            self._node.close(conversation)


def _count(conversation: Conversation) -> int:
    """How many messages its history ever had."""
    return conversation.history.dropped + len(conversation.history)


def _write(output: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(output, left) :]
        except BlockingIOError:  # somebody who shares it made it so
            select.select([], [output], [])
