"""Commands for conversations: who is there, who gets the lines, what was said."""

import itertools
import time
from typing import Annotated, Literal

from fantom_trio.nursery import (
    Conversation,
    Endpoint,
    Invite,
    LinkKind,
)
from fantom_trio.repl import render, sanitize, transcript
from fantom_trio.repl.app import App
from fantom_trio.repl.bounds import NAME_CHARACTERS
from fantom_trio.repl.commands import CommandError
from fantom_trio.repl.languages import _, n_
from fantom_trio.repl.slash.registry import COMMANDS
from fantom_trio.repl.strangers import list_strangers


@COMMANDS.add
async def connect(app: App, peer: Endpoint | Invite, name: Annotated[str, "as"] = "") -> None:
    """dials an address or an invite

    The port is 31488 where none is given. An invite is checked before anything of yours is
    sent. /disconnect gives up.
    """
    if name:
        known = [each for each in app.node.conversations if _is_dialed(each, peer)]
        _check_name(app, name, known[0] if known else None)
    app.node.connect(peer, name)


def _is_dialed(conversation: Conversation, peer: Endpoint | Invite) -> bool:
    if isinstance(peer, Endpoint):
        return conversation.endpoint == peer
    identity = conversation.identity
    return peer.fingerprint == (identity.fingerprint if identity else conversation.expected)


@COMMANDS.add
async def switch(app: App, peer: Conversation | None = None) -> None:
    """who gets your lines; alone: the next unread

    PEER is a number, or the beginning of a name or address. What you have not read is
    printed. Alt-1 to Alt-9 and Alt-A do the same without touching the line that you are
    typing.
    """
    if peer is None:
        unread = [each for each in app.node.conversations if each.unread]
        later = [each for each in unread if app.active and each.number > app.active.number]
        if not unread:
            raise CommandError(_("Nothing is unread."))
        peer = (later or unread)[0]
    await app.activate(peer)


@COMMANDS.add
async def peers(app: App, strangers: Literal["all"] | None = None) -> None:
    """who is there, the latest first

    Each with its address, the kind of its link, whether it is verified, and what is unread
    or undelivered. Below them the strangers who came, and what they did: the latest ten,
    or all.
    """
    listed = list_strangers(
        app.node.strangers,
        app.node.conversations,
        now=time.time(),
        everyone=strangers == "all",
    )
    if not (app.node.conversations or listed):
        raise CommandError(_("There is no peer yet: /connect ADDRESS finds one."))

    def latest(peer: Conversation) -> float:
        return peer.history.last_said.at if peer.history.last_said else 0.0

    # However much strangers write, those we know stand above them.
    by_time = sorted(app.node.conversations, key=latest, reverse=True)
    for peer in sorted(by_time, key=lambda each: each.strange):
        await app.print(_describe(peer))
    if listed:
        await app.print(listed)


def _describe(peer: Conversation) -> str:
    parts = [f"{peer.number} {render.name(peer)}"]
    if peer.endpoint is not None:
        parts.append(sanitize.line(str(peer.endpoint)))
    else:
        parts.append(_("no address to answer to"))
    if peer.kind is not None:
        parts.append(render.kind_name(peer.kind))
    if peer.online and peer.kind is LinkKind.CLASSIC:
        if peer.outgoing is None or peer.dialing:
            parts.append(_("only they write to you"))
        elif peer.incoming:
            parts.append(_("both directions"))
        else:
            parts.append(_("only you write to them"))
    elif not peer.online:
        parts.append(_("connecting") if peer.dialing else _("offline"))
    parts.append(_("verified") if peer.verified else _("not verified"))
    if peer.unread:
        parts.append(_("{n} unread", n=peer.unread))
    if peer.undelivered:
        parts.append(n_("{n} undelivered", "{n} undelivered", peer.undelivered))
    if last := peer.history.last_said:
        parts.append(_("last message {time}", time=render.clock(last.at)))
    return " · ".join(parts)


@COMMANDS.add
async def name(app: App, peer: Conversation, name: str) -> None:
    """calls a peer by a name of your choice

    Nobody else sees the name, and it lasts as long as this run.
    """
    _check_name(app, name, peer)
    peer.name = name
    app.refresh()
    await app.print(
        _("Peer {number} is called {name} from here on.", number=peer.number, name=name)
    )


def _check_name(app: App, name: str, peer: Conversation | None) -> None:
    """A name is short, can be told from a number, an address and a command, and is not taken."""
    if not name.isprintable() or sanitize.line(name) != name or len(name) > NAME_CHARACTERS:
        raise CommandError(
            _("A name is at most {n} characters that can be seen.", n=NAME_CHARACTERS)
        )
    if name.isdecimal() or name[0] in "/[" or ":" in name:
        raise CommandError(_("“{name}” could be taken for a number or an address.", name=name))
    for other in app.node.conversations:
        if other is not peer and other.name == name:
            raise CommandError(
                _("Peer {number} is called {name} already.", number=other.number, name=name)
            )


@COMMANDS.add
async def history(app: App, count: int = 20, whole: Literal["whole"] | None = None) -> None:
    """the last messages, and how far yours came

    Yours are waiting, sent or delivered; a mark tells under which sign a peer's message
    came: ✓ verified, ? not verified. Of a long message the beginning is shown, unless you
    ask for all of it.
    """
    peer = app.require_active()
    head = [render.rule(peer)]
    if forgotten := peer.history.dropped:
        head.append(app.notice(_("The oldest messages are forgotten: {n} so far.", n=forgotten)))
    them = peer.history.latest(count)
    said = transcript.history(peer, them, app.terminal.columns, whole=whole is not None)
    await app.write_pieces(itertools.chain(head, said))


@COMMANDS.add
async def disconnect(app: App, peer: Conversation | None = None) -> None:
    """ends the links, or gives up connecting

    The messages stay, and what waits is sent with the next link. Without PEER it is the
    active one.
    """
    peer = peer or app.require_active()
    if not app.node.disconnect(peer):
        raise CommandError(_("{name} is not connected.", name=render.name(peer)))


@COMMANDS.add
async def close(app: App, peer: Conversation | None = None) -> None:
    """ends the links and forgets all messages

    What waits to be sent is dropped as well. Without PEER it is the active one.
    """
    peer = peer or app.require_active()
    label = render.name(peer)
    app.node.close(peer)
    app.forget(peer)
    await app.print(_("The conversation with {name} is closed and forgotten.", name=label))
