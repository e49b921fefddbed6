"""The REPL: one loop shows events, the other reads lines."""

import contextlib
import math
import time
import weakref
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import trio

from fantom_trio import __version__
from fantom_trio.nursery import (
    AddressBack,
    AddressMoved,
    AddressNews,
    Conversation,
    DialFailed,
    Dialing,
    Endpoint,
    LinkEnded,
    LinkUp,
    ListeningAt,
    Merged,
    Message,
    Node,
    NodeEvent,
    NotShown,
    NoWayBack,
    OutboxFull,
    OwnAddress,
    Received,
    State,
    Where,
    Why,
)
from fantom_trio.repl import languages, layout, render
from fantom_trio.repl.commands import CommandError, Commands, Snapshot
from fantom_trio.repl.console import open_terminal
from fantom_trio.repl.explain import Gap, explain_gaps
from fantom_trio.repl.languages import _, n_
from fantom_trio.repl.own_address import explain_news
from fantom_trio.repl.strangers import Pace
from fantom_trio.repl.terminal import Line, Suggestion, Terminal, View

if TYPE_CHECKING:
    from fantom_trio.nursery import OpenPort, PortNews

__all__ = ["App"]

#: What Alt and a key send, without touching the half-typed line.
SHORTCUTS = {**{f"alt-{n}": f"/switch {n}" for n in range(1, 10)}, "alt-a": "/switch"}
#: Seconds between two notices about strangers of one kind; those between are counted.
STRANGER_PAUSE = 10
#: Seconds between two rings for strangers, all of them together.
STRANGER_SILENCE = 60
#: Unread messages that a switch prints; the rest is in the history.
UNREAD_SHOWN = 500


class App:
    """The state of the screen: whose turn it is, and what the user was told."""

    def __init__(
        self,
        node: Node,
        where: Where,
        commands: Commands,
        *,
        terminal: Terminal | None = None,
        first_peer: Endpoint | None = None,
        gaps: Sequence[Gap] = (),
    ) -> None:
        self.node = node
        #: What could not be closed when the program started.
        self.gaps = gaps
        self.terminal = terminal or open_terminal(completer=self._complete, shortcuts=SHORTCUTS)
        #: Where the user wants to be reached.
        self.where = where
        port = self._open_port() if where.open_port else None
        self.own = OwnAddress(node, where, self._tell_news, port)
        #: Ring for messages in conversations that are not active.
        self.bell = False
        self.active: Conversation | None = None
        #: Nobody was active yet, since there were no conversations.
        self._untouched = True
        #: Who was there before anybody else in this run; its number may be another's by now.
        self._first_met: weakref.ref[Conversation] | None = None
        #: Whom the prompt named when the line was sent that is being obeyed.
        self._named: Conversation | None = None
        self.snapshot = Snapshot()
        self._commands = commands
        self._first_peer = first_peer
        self._scope = trio.CancelScope()
        self._nursery: trio.Nursery | None = None
        #: Conversations that are gone, and where all goes on with the same peer: a line for the one
        #: may be on its way.
        self._merged = weakref.WeakKeyDictionary[Conversation, Conversation]()
        #: When strangers were told last, and how many were not, by why they were turned away.
        self._strangers: dict[Why, tuple[float, int]] = {}
        self._pace = Pace()
        #: When it rang for one last.
        self._rang_at = -math.inf

    async def run(self) -> None:
        """Until ``/quit`` or the end of input."""
        with self._scope:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                await nursery.start(self.terminal.run)
                self.refresh()
                await self._welcome()
                nursery.start_soon(self._show_events)
                await nursery.start(self.own.run)
                await self._read_lines()
                self.stop()

    def stop(self) -> None:
        """End the loops; the terminal is restored when ``run`` returns."""
        self._scope.cancel()

    def start_soon(self, errand: Callable[..., Awaitable[None]], *arguments: object) -> None:
        """Run what takes a while beside the prompt; it is cancelled when the program ends."""
        assert self._nursery is not None
        self._nursery.start_soon(errand, *arguments)

    def burn(self) -> None:
        """End everything now: no goodbye to anybody, nothing left in memory or on the screen."""
        self.node.burn()
        self.active = None
        self.refresh()
        self.terminal.forget()
        self.stop()

    # The two loops.

    async def _show_events(self) -> None:
        async for event in self.node.events:
            await self._show(event)
            if self.active is not None:  # strangers are forgotten where there are too many
                self._drop_if_closed(self.active)
            self.refresh()

    async def _read_lines(self) -> None:
        with contextlib.suppress(trio.EndOfChannel):
            while True:
                line = await self.terminal.read_line()
                try:
                    await self._obey(line)
                except CommandError as error:
                    await self.print(str(error), alarm=True)
                self.refresh()

    # Lines.

    async def _obey(self, line: Line) -> None:
        """A command, or a message to the peer that the prompt named when Enter was pressed."""
        text = line.text
        self._named = self._goes_on(line.context)
        if "\n" not in text:
            if text.startswith("//"):
                text = text[1:]
            elif text.startswith("/"):
                command, arguments = self._commands.parse(text, self.node.conversations)
                await command.handler(self, **arguments)
                return
        await self._send(line, text)

    def _goes_on(self, context: object) -> Conversation | None:
        """The conversation that a prompt named, or the one it became part of, while it is open."""
        while isinstance(context, Conversation) and context in self._merged:
            context = self._merged[context]
        is_open = isinstance(context, Conversation) and context in self.node.conversations
        return context if isinstance(context, Conversation) and is_open else None

    async def _send(self, line: Line, text: str) -> None:
        peer = self._named
        try:
            if peer is None:
                if self.node.conversations:
                    self.require_active()
                raise CommandError(_("Nobody is there to get this: /connect ADDRESS first."))
            try:
                message = self.node.say(peer, text)
            except OutboxFull:
                raise CommandError(
                    n_(
                        "{n} message waits for {name} already: this one was not taken.",
                        "{n} messages wait for {name} already: this one was not taken.",
                        peer.undelivered,
                        name=render.name(peer),
                    )
                ) from None
            except NoWayBack:
                raise CommandError(
                    _(
                        "{name} gave no port to answer to: ask for the address and /connect to it.",
                        name=render.name(peer),
                    )
                ) from None
        except CommandError:
            self.terminal.give_back(line.text)
            raise
        await self.write(render.message(peer, message, self.terminal.columns))

    # Events.

    async def _show(self, event: NodeEvent) -> None:
        match event:
            case Received():
                await self._show_received(event.conversation, event.messages)
                return
            case NotShown() if event.conversation is not self.active:
                self._count_unread(event.conversation, event.count)
                return
            case Dialing():
                self._activate_first(event.conversation)
            case LinkUp():
                self._meet(event.conversation)
            case LinkEnded(conversation=None):
                await self._show_stranger(event)
                return
            case Merged():
                self._merged[event.gone] = event.conversation
            case DialFailed() | LinkEnded() if event.conversation is not None:
                self._drop_if_closed(event.conversation)
        text, alarm = render.event(event)
        if text and not self._pace.is_too_much(event, self.active):
            if isinstance(event, (LinkUp, LinkEnded, Merged)) and event.conversation is not None:
                # It belongs to the conversation, and stands in its history.
                note = Message(text, time.time(), State.NOTED, shown=True)
                event.conversation.history.append(note)
            await self.print(text, alarm=alarm)
        if isinstance(event, LinkEnded) and event.last and event.conversation is not None:
            self._forget_if_empty(event.conversation)
        if isinstance(event, Merged) and self.active is event.gone:
            await self.activate(event.conversation)

    async def _show_received(self, peer: Conversation, messages: Sequence[Message]) -> None:
        if peer not in self.node.conversations:  # closed a moment ago
            return
        self._meet(peer)
        if peer is self.active:
            new = [message for message in messages if not message.shown]
            for message in new:
                message.shown = True
            await self.write(render.messages(peer, new, self.terminal.columns))
        else:
            self._count_unread(peer, len(messages))

    def _count_unread(self, peer: Conversation, count: int) -> None:
        """It rings for the first, and not again until the user has read it."""
        if self.bell and count and not peer.unread and self._may_ring(peer):
            self.terminal.bell()
        peer.unread += count

    def _may_ring(self, peer: Conversation) -> bool:
        """Strangers share one ring: there may be as many of them as one person likes."""
        if not peer.strange:
            return True
        now = trio.current_time()
        if now - self._rang_at < STRANGER_SILENCE:
            return False
        self._rang_at = now
        return True

    async def _show_stranger(self, event: LinkEnded) -> None:
        """Whoever scans our port must not be able to scroll the screen."""
        now, why = trio.current_time(), event.ending.why
        told, untold = self._strangers.get(why, (-math.inf, 0))
        if now - told < STRANGER_PAUSE:
            self._strangers[why] = (told, untold + 1)
            return
        self._strangers[why] = (now, 0)
        text, alarm = render.event(event)
        await self.print(text, alarm=alarm)
        if untold:
            await self.print(
                n_(
                    "{n} more stranger was turned away before this",
                    "{n} more strangers were turned away before this",
                    untold,
                )
            )

    # Whose turn it is: only the user changes it, but for the very first peer.

    def _meet(self, peer: Conversation) -> None:
        """``peer`` is there.

        Somebody who starts the program and gives their address away waits for the first who
        comes, a stranger yet; whoever comes later and is a stranger must wait to be chosen.
        """
        if self._first_met is None:
            self._first_met = weakref.ref(peer)
        if not peer.strange or self._first_met() is peer:
            self._activate_first(peer)

    def _activate_first(self, peer: Conversation) -> None:
        known = peer in self.node.conversations
        if self._untouched and known and self.terminal.line_is_empty:
            self._untouched = False
            self.active = peer
            self.refresh()

    async def activate(self, peer: Conversation) -> None:
        """Make ``peer`` the active one and print what was unread."""
        peer.want()
        self.active = peer
        self._untouched = False
        unread, peer.unread = peer.unread, 0
        self.refresh()
        await self.write(render.rule(peer))
        # Those whose event is still on the way as well: they are not shown again then.
        new = [each for each in peer.history if not each.mine and not each.shown] if unread else []
        for each in new:
            each.shown = True
        if earlier := len(new) - len(new[-UNREAD_SHOWN:]):
            await self.print(_("{n} earlier messages: /history {all}", n=earlier, all=len(new)))
        await self.write(render.messages(peer, new[-UNREAD_SHOWN:], self.terminal.columns))

    def require_active(self) -> Conversation:
        """Whom the prompt named when Enter was pressed; raises ``CommandError``."""
        if self._named is None:
            raise CommandError(_("No peer is active: /switch PEER makes one so."))
        return self._named

    def forget(self, peer: Conversation) -> None:
        """``peer`` was closed."""
        if self.active is peer:
            self.active = None
        self._untouched |= not self.node.conversations

    def _forget_if_empty(self, peer: Conversation) -> None:
        """Of who came, said nothing and cannot be dialed, nothing need stay."""
        silent = peer.history.last_said is None and not peer.name and not peer.verified
        gone = peer.endpoint is None and not peer.online and peer is not self.active
        if silent and gone:
            self.node.close(peer)

    def _drop_if_closed(self, peer: Conversation) -> None:
        if peer not in self.node.conversations:
            self.forget(peer)

    # The screen.

    async def _welcome(self) -> None:
        await self.write(
            _(
                "fantom-trio {version} · /help lists the commands, /quit leaves\n"
                "Trust no one you have not checked. Your address and your peer's are visible to"
                " the network; only what you write is secret. Nothing is stored: when this program"
                " ends, the keys and every message are gone.",
                version=__version__,
            )
            + "\n",
            indent=0,
        )
        for gap in explain_gaps(self.gaps):
            await self.print(gap, alarm=True)

    def _open_port(self) -> "OpenPort":
        """Few ask for that, and only they import it."""
        from fantom_trio.nursery import OpenPort

        return OpenPort(self._tell_port)

    async def _tell_news(self, news: AddressNews) -> None:
        """What became of our address."""
        for text, alarm in explain_news(news):
            await self.print(text, alarm=alarm)
        listens = isinstance(news, (ListeningAt, AddressMoved, AddressBack))
        if listens and self._first_peer is not None:
            self.node.connect(self._first_peer, "echo")
            self._first_peer = None

    async def _tell_port(self, news: "PortNews", listener: Endpoint) -> None:
        from fantom_trio.nursery import Granted, Lost, NobodyBefore
        from fantom_trio.repl.port_mapping import explain_port

        alarm = not isinstance(news, (Granted, Lost, NobodyBefore))
        await self.print(explain_port(news, listener), alarm=alarm)

    async def print(self, text: str, *, alarm: bool = False) -> None:
        """A notice of our own."""
        await self.write(render.notice(text, time.time(), alarm=alarm), render.NOTICE_INDENT)

    async def write(self, text: str, indent: int | None = None) -> None:
        """Styled, sanitised lines; with ``indent`` they are folded to the width of the screen."""
        if text and indent is not None:
            text = layout.fold(text, self.terminal.columns, indent)
        if text:
            await self.terminal.write(text)

    def refresh(self) -> None:
        """Draw prompt and toolbar for what is true now."""
        peers = self.node.conversations
        self.snapshot = Snapshot(tuple(peer.name or str(peer.number) for peer in peers))
        self.terminal.show(
            View(
                prompt=render.prompt(self.active),
                toolbar=render.toolbar(
                    peers, self.active, languages.current(), self.terminal.columns
                ),
                context=self.active,
            )
        )

    def _complete(self, before: str) -> list[Suggestion]:
        """For the terminal's thread: reads the snapshot only."""
        return self._commands.complete(before, self.snapshot)
