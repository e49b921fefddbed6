"""The REPL: one loop shows events, the other reads lines."""

import contextlib
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
)
from fantom_trio.repl import languages, render
from fantom_trio.repl.bounds import RING_SECONDS
from fantom_trio.repl.commands import CommandError, Commands, Snapshot
from fantom_trio.repl.console import open_terminal
from fantom_trio.repl.explain import Gap, explain_gaps
from fantom_trio.repl.languages import _, n_
from fantom_trio.repl.own_address import explain_news
from fantom_trio.repl.pace import Notices, Pace, kind_of
from fantom_trio.repl.page import Page
from fantom_trio.repl.terminal import Line, Suggestion, Terminal, View

if TYPE_CHECKING:
    from fantom_trio.nursery import OpenPort, PortNews

__all__ = ["App"]

#: What Alt and a key send, without touching the half-typed line.
SHORTCUTS = {**{f"alt-{n}": f"/switch {n}" for n in range(1, 10)}, "alt-a": "/switch"}
#: Peers that are named where the user has to choose one.
PEERS_NAMED = 3


class App(Page):
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
        super().__init__(terminal or open_terminal(completer=self._complete, shortcuts=SHORTCUTS))
        self.node = node
        #: What could not be closed when the program started.
        self.gaps = gaps
        #: Where the user wants to be reached.
        self.where = where
        port = self._open_port() if where.open_port else None
        self.own = OwnAddress(node, where, self._tell_news, port)
        #: Ring for messages in conversations that are not active.
        self.bell = False
        self.active: Conversation | None = None
        #: Nobody was active yet, since there were no conversations.
        self._untouched = True
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
        self._notices = Notices()
        #: Strangers share one ring: there may be as many of them as one person likes.
        self._rings = Pace(1, RING_SECONDS)

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
                if not self.node.conversations:
                    raise CommandError(_("Nobody is there to get this: /connect ADDRESS first."))
                raise self._nobody_is_active()
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
        await self.write_messages(peer, [message])

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
            case Merged():
                self._merged[event.gone] = event.conversation
            case DialFailed() | LinkEnded() if event.conversation is not None:
                self._drop_if_closed(event.conversation)
        text, alarm = render.event(event)
        if text:
            await self._tell(event, text, alarm=alarm)
        if isinstance(event, LinkEnded) and event.last and event.conversation is not None:
            self._forget_if_empty(event.conversation)
        if isinstance(event, Merged) and self.active is event.gone:
            await self.activate(event.conversation)

    async def _tell(self, event: NodeEvent, text: str, *, alarm: bool) -> None:
        """A notice, unless there were too many about strangers a moment ago."""
        left_out = self._notices.take(kind_of(event))
        if left_out is None:
            return
        if isinstance(event, (LinkUp, LinkEnded, Merged)) and event.conversation is not None:
            # It belongs to the conversation, and stands in its history.
            note = Message(text, time.time(), State.NOTED, shown=True)
            event.conversation.history.append(note)
        if isinstance(event, LinkUp) and self.active is None:
            peer = event.conversation
            if peer in self.node.conversations:
                text = _("{news}; to answer: /switch {number}", news=text, number=peer.number)
        await self.print(text, alarm=alarm)
        if left_out:
            await self.print(
                n_(
                    "{n} more notice about strangers was left out before this: /peers lists them",
                    "{n} more notices about strangers were left out before this: /peers lists them",
                    left_out,
                )
            )

    async def _show_received(self, peer: Conversation, messages: Sequence[Message]) -> None:
        if peer not in self.node.conversations:  # closed a moment ago
            return
        self._meet(peer)
        if peer is self.active:
            new = [message for message in messages if not message.shown]
            for message in new:
                message.shown = True
            await self.write_messages(peer, new)
        else:
            self._count_unread(peer, len(messages))

    def _count_unread(self, peer: Conversation, count: int) -> None:
        """It rings for the first, and not again until the user has read it."""
        if self.bell and count and not peer.unread and self._may_ring(peer):
            self.terminal.bell()
        peer.unread += count

    def _may_ring(self, peer: Conversation) -> bool:
        return not peer.strange or self._rings.take() is not None

    # Whose turn it is: only the user changes it, but for the first whom they know or dialed.

    def _meet(self, peer: Conversation) -> None:
        """``peer`` is there; a stranger waits to be chosen, also where nobody else is."""
        if not peer.strange:
            self._activate_first(peer)

    def _activate_first(self, peer: Conversation) -> None:
        known = peer in self.node.conversations
        if self._untouched and known and self.terminal.line_is_empty:
            self._untouched = False
            peer.want()
            self.active = peer
            self.refresh()

    async def activate(self, peer: Conversation) -> None:
        """Make ``peer`` the active one and print what was unread."""
        peer.want()
        self.active = peer
        self._untouched = False
        unread, peer.unread = peer.unread, 0
        self.refresh()
        # Those whose event is still on the way as well: they are not shown again then.
        new = [each for each in peer.history if not each.mine and not each.shown] if unread else []
        for each in new:
            each.shown = True
        await self.write_messages(peer, new, render.rule(peer))

    def require_active(self) -> Conversation:
        """Whom the prompt named when Enter was pressed; raises ``CommandError``."""
        if self._named is None:
            raise self._nobody_is_active()
        return self._named

    def _nobody_is_active(self) -> CommandError:
        """Whom the user may choose: whoever they know, and whoever wrote, before the others."""
        peers = sorted(self.node.conversations, key=lambda each: (each.strange, not each.unread))
        if not peers:
            return CommandError(_("There is no peer yet: /connect ADDRESS finds one."))
        if len(peers) == 1:
            (peer,) = peers
            return CommandError(
                _("No peer is active: /switch {number} to talk with {name}.",
                  number=peer.number, name=peer.label)
            )  # fmt: skip
        them = [f"{peer.number} {peer.label}" for peer in peers[:PEERS_NAMED]]
        if left := len(peers) - len(them):
            them.append(n_("… {n} more", "… {n} more", left))
        return CommandError(
            _(
                "No peer is active: /switch PEER to talk with one of them: {peers}.",
                peers=", ".join(them),
            )
        )

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
