"""``--follow``: what comes in goes to stdout, and only then does its sender hear that it did."""

import base64
import os
import stat
import sys
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from weakref import WeakKeyDictionary

import trio

from fantom_trio.nursery import (
    AddressBack,
    AddressGone,
    AddressMoved,
    AddressNews,
    AddressUnknown,
    AskingService,
    CannotListen,
    Conversation,
    DescriptorsOut,
    Endpoint,
    Invite,
    LinkEnded,
    LinkKind,
    ListeningAt,
    Message,
    Node,
    NotShown,
    OpenPort,
    OwnAddress,
    PortNews,
    Received,
    Where,
    open_node,
)
from fantom_trio.repl import sanitize
from fantom_trio.repl.explain import explain_listen, explain_reach, explain_shortage
from fantom_trio.repl.languages import _, n_
from fantom_trio.repl.own_address import explain_gone
from fantom_trio.repl.port_mapping import explain_port
from fantom_trio.tell import Exit, as_json, tell, unwritten, write

__all__ = ["follow"]


async def follow(
    where: Where,
    *,
    own_port: int,
    invited_only: bool,
    count: int | None,
    json: bool = False,
) -> Exit:
    """Listen at ``where`` and print each message, until there were ``count``.

    A line each: a line break within a message stays one, and a text over 61,000 bytes comes in
    pieces. With ``json`` an object a line: ``from``, the sender's address; ``at``, when it came on
    our clock, ISO 8601 in UTC to the millisecond; ``text``; ``verified``, true when an invite
    proved who it is; ``link``, ``native`` or ``classic``; ``fingerprint`` of a native sender, as
    an invite writes it, else null; ``damaged``, true when the text was not UTF-8 and holds U+FFFD.
    Cancelled in the middle of a write, what stdout took may not be acknowledged.
    """
    if sys.stdout is None:
        return unwritten(None)
    async with (
        open_node(own_port=own_port, invited_only=invited_only, acknowledge=False) as node,
        trio.open_nursery() as nursery,
    ):
        output, code = sys.stdout.fileno(), Exit.DONE
        nursery.start_soon(_until_nobody_reads, output, nursery.cancel_scope)
        place = _Place(node, nursery.cancel_scope, invited_only=invited_only)
        port = OpenPort(_tell_port) if where.open_port else None
        await nursery.start(OwnAddress(node, where, place.tell, port).run)
        try:
            await _Follower(node, output, count, json).run()
        except BrokenPipeError:  # whoever read us has enough
            pass
        except OSError as error:
            code = unwritten(error)
        nursery.cancel_scope.cancel()
    return Exit.USAGE if place.is_nowhere else code


class _Place:
    """Where we are followed from, told on stderr; without a place at first it ends ``scope``."""

    def __init__(self, node: Node, scope: trio.CancelScope, *, invited_only: bool) -> None:
        self._node = node
        self._scope = scope
        self._invited_only = invited_only
        self._invite: Invite | None = None
        self._listens = False
        #: There was none to begin with.
        self.is_nowhere = False

    async def tell(self, news: AddressNews) -> None:
        """For ``OwnAddress``."""
        match news:
            case AskingService():
                pass
            case AddressUnknown():
                await self._nowhere(explain_reach(news.error))
            case CannotListen():
                if self._listens:
                    tell(explain_listen(news.error))
                else:
                    await self._nowhere(explain_listen(news.error))
            case AddressGone():
                for text, _alarm in explain_gone(news):
                    tell(text)
            case ListeningAt() | AddressMoved() | AddressBack():
                self._listens = True
                tell(_("Listening on {where}.", where=news.where))
                if self._invited_only:
                    self._tell_invite(news.where)

    async def _nowhere(self, text: str) -> None:
        tell(text)
        self.is_nowhere = True
        self._scope.cancel()
        await trio.sleep_forever()

    def _tell_invite(self, where: Endpoint) -> None:
        """The same one wherever we are: it lets in one identity and no second one."""
        invite = self._invite or self._node.invite(where)
        self._invite = replace(invite, endpoint=where)
        tell(_("Only who brings this is let in, and nobody after them: {invite}",
               invite=self._invite))  # fmt: skip


async def _tell_port(news: PortNews, listener: Endpoint) -> None:
    tell(explain_port(news, listener))


async def _until_nobody_reads(output: int, scope: trio.CancelScope) -> None:
    """Cancel ``scope`` when the other end of the pipe is gone: the next message may never come."""
    if not stat.S_ISFIFO(os.fstat(output).st_mode):
        return
    await trio.lowlevel.wait_readable(output)  # never, but for an error
    scope.cancel()


class _Follower:
    """Writes the messages of every conversation, each once and in its order.

    A history holds what is still to be written: whatever is written leaves it.
    """

    def __init__(self, node: Node, output: int, count: int | None, json: bool) -> None:
        self._node = node
        self._output = output
        self._to_terminal = os.isatty(output)
        self._left = count
        self._line = self._json_line if json else self._text_line
        #: How many of a history's lost messages are told.
        self._told: WeakKeyDictionary[Conversation, int] = WeakKeyDictionary()

    async def run(self) -> None:
        """Until enough is written; raises ``OSError`` when stdout takes no more."""
        async for event in self._node.events:
            if isinstance(event, DescriptorsOut):
                tell(explain_shortage())
            if isinstance(event, (Received, NotShown)):
                await self._write_new(event.conversation)
                if self._left == 0:
                    return
            if isinstance(event, (Received, NotShown, LinkEnded)) and event.conversation:
                self._close_if_over(event.conversation)

    async def _write_new(self, conversation: Conversation) -> None:
        """All that stands in the history now: an event may tell less than that, or tell it late."""
        left = len(conversation.history)
        while left > 0 and conversation.history and self._left != 0:
            self._tell_lost(conversation)
            batch = self._take(conversation)
            lines = b"".join([self._line(conversation, message) for message in batch])
            # In a thread, for only that can wait for every kind of file.
            await trio.to_thread.run_sync(write, self._output, lines, abandon_on_cancel=True)
            left -= len(batch)
            if self._left is not None:
                self._left -= len(batch)
            if batch[-1].id:
                self._node.handed_over(conversation, batch[-1])

    def _take(self, conversation: Conversation) -> list[Message]:
        """The next messages to write, at least one, out of the history."""
        history = conversation.history
        batch, size = [], 0
        for message in islice(history, self._left):
            batch.append(message)
            size += message.size
            if size >= self._node.limits.batch_bytes:
                break
        rest = history.latest(len(history) - len(batch))
        history.clear()
        for message in rest:
            history.append(message)
        return batch

    def _tell_lost(self, conversation: Conversation) -> None:
        """Of a classic peer alone: a native one waits for us."""
        dropped = conversation.history.dropped
        lost = dropped - self._told.get(conversation, 0)
        self._told[conversation] = dropped
        if lost:
            tell(
                n_(
                    "{n} message from {name} was lost: standard output was too slow.",
                    "{n} messages from {name} were lost: standard output was too slow.",
                    lost,
                    name=conversation.label,
                )
            )

    def _text_line(self, _conversation: Conversation, message: Message) -> bytes:
        text = message.text
        if self._to_terminal:
            text = "\n".join(sanitize.block(text))
        return text.encode() + b"\n"

    def _json_line(self, conversation: Conversation, message: Message) -> bytes:
        identity = conversation.identity
        fields = {
            "from": conversation.label,
            "at": _clock(message.at),
            "text": message.text,
            "verified": message.verified,
            "link": (LinkKind.CLASSIC if identity is None else LinkKind.NATIVE).value,
            "fingerprint": None if identity is None else _in_base32(identity.fingerprint),
            "damaged": message.damaged,
        }
        return as_json(fields, to_terminal=self._to_terminal)

    def _close_if_over(self, conversation: Conversation) -> None:
        """Whoever is gone, and written down, is forgotten."""
        if not (conversation.history or conversation.online or conversation.dialing):
            self._node.close(conversation)


def _in_base32(fingerprint: bytes) -> str:
    return base64.b32encode(fingerprint).decode().lower()


def _clock(at: float) -> str:
    """ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
