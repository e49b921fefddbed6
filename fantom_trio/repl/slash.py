"""The commands themselves. A handler's docstring is its help, in English, translated when shown."""

from dataclasses import replace
from typing import Annotated, Literal

from fantom_trio.nursery import (
    LISTENER_PORTS,
    Conversation,
    Endpoint,
    Invite,
    InvitesFull,
    LinkKind,
    NotLinked,
    ReachError,
    TrialsUsedUp,
    list_interfaces,
    prepare_word,
)
from fantom_trio.repl import languages, render, sanitize
from fantom_trio.repl.app import App
from fantom_trio.repl.commands import CommandError, Commands
from fantom_trio.repl.explain import explain_reach
from fantom_trio.repl.languages import _, n_

__all__ = ["COMMANDS"]

COMMANDS = Commands()

_LONGEST_NAME = 32


@COMMANDS.add
async def connect(app: App, peer: Endpoint | Invite, name: Annotated[str, "as"] = "") -> None:
    """dials an address, or who made an invite, and names them if you like"""
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
    """makes a peer the one who gets your lines; without PEER, the next who has unread messages"""
    if peer is None:
        unread = [each for each in app.node.conversations if each.unread]
        later = [each for each in unread if app.active and each.number > app.active.number]
        if not unread:
            raise CommandError(_("Nothing is unread."))
        peer = (later or unread)[0]
    await app.activate(peer)


@COMMANDS.add
async def peers(app: App) -> None:
    """lists the peers, the latest first"""
    if not app.node.conversations:
        raise CommandError(_("There is no peer yet: /connect ADDRESS finds one."))

    def latest(peer: Conversation) -> float:
        return peer.history.last_said.at if peer.history.last_said else 0.0

    for peer in sorted(app.node.conversations, key=latest, reverse=True):
        await app.print(_describe(peer))


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
async def lang(app: App, language: Literal["en", "ru", "sindarin"]) -> None:
    """changes the language, for the next run as well"""
    languages.use(language)
    app.refresh()
    try:
        languages.remember(language)
    except OSError as error:
        detail = sanitize.line(error.strerror or "")
        raise CommandError(
            _("The language is changed, but not remembered: {detail}.", detail=detail)
        ) from None
    await app.print(_("The language is English now."))


@COMMANDS.add
async def address(app: App) -> None:
    """shows the addresses of this machine; a star marks the one you listen on"""
    listener = app.node.listener
    try:
        interfaces = list_interfaces()
    except ReachError as error:
        raise CommandError(explain_reach(error)) from None
    for interface in interfaces:
        for host in interface.addresses:
            endpoint = Endpoint(host, app.node.own_port)
            if endpoint.is_link_local:
                endpoint = replace(endpoint, zone=interface.name)
            used = listener is not None and endpoint == listener
            if interface.is_up and (used or not endpoint.is_loopback):
                await app.print(
                    f"{'*' if used else ' '} {endpoint}  {sanitize.line(interface.name)}"
                )
    if listener is None:
        await app.print(_("Nobody can dial you: /listen starts the listener."))


@COMMANDS.add
async def listen(app: App, port: int | Literal["off"] | None = None) -> None:
    """starts the listener, moves it to another port, or stops it"""
    if port == "off":
        app.stop_finding()
        await app.node.stop_listening()
        await app.print(_("Nobody can dial you now; open links stay open."))
        return
    if isinstance(port, int) and port not in LISTENER_PORTS:
        raise CommandError(_("The port must be between 30000 and 65535."))
    app.node.own_port = port or app.node.own_port
    if app.own_address is None:
        app.find_own_address()
    else:
        await app.start_listener(replace(app.own_address, port=app.node.own_port))


@COMMANDS.add
async def name(app: App, peer: Conversation, name: str) -> None:
    """calls a peer by a name of your choice"""
    _check_name(app, name, peer)
    peer.name = name
    app.refresh()
    await app.print(
        _("Peer {number} is called {name} from here on.", number=peer.number, name=name)
    )


@COMMANDS.add
async def history(app: App, count: int = 20) -> None:
    """shows the last messages with the active peer, how far yours came, and who was verified"""
    peer = app.require_active()
    await app.write(render.rule(peer))
    if peer.history.dropped:
        await app.print(_("The oldest messages are forgotten: {n} so far.", n=peer.history.dropped))
    await app.write(
        render.messages(peer, peer.history.latest(count), app.terminal.columns, states=True)
    )


@COMMANDS.add
async def disconnect(app: App, peer: Conversation | None = None) -> None:
    """closes the links with a peer, and gives up connecting; the messages stay"""
    peer = peer or app.require_active()
    if not app.node.disconnect(peer):
        raise CommandError(_("{name} is not connected.", name=render.name(peer)))


@COMMANDS.add
async def close(app: App, peer: Conversation | None = None) -> None:
    """closes the links with a peer, and forgets all messages"""
    peer = peer or app.require_active()
    label = render.name(peer)
    app.node.close(peer)
    app.forget(peer)
    await app.print(_("The conversation with {name} is closed and forgotten.", name=label))


@COMMANDS.add
async def invite(app: App, off: Literal["off"] | None = None) -> None:
    """makes an invite, which lets one peer in and shows them who you are; off revokes all"""
    if off:
        count = app.node.revoke_invites()
        await app.print(
            n_(
                "{n} invite is revoked; whoever it let in stays.",
                "{n} invites are revoked; whoever they let in stays.",
                count,
            )
        )
        return
    listener = app.node.listener
    if listener is None:
        raise CommandError(_("Nobody can dial you, with an invite or without: /listen first."))
    try:
        made = app.node.invite(listener)
    except InvitesFull:
        raise CommandError(
            _("Too many invites are open: /invite off revokes them, and then make a new one.")
        ) from None
    await app.print(
        _(
            "Give this to one person, by a way that nobody else reads: whoever comes with it first"
            " counts as verified, and /connect with it proves to them that it is you."
        )
    )
    # Never folded, so that it is copied in one piece.
    await app.write(f"{made}\n")
    if listener.is_loopback:
        await app.print(_("It works on this machine only."))
    elif listener.is_link_local:
        await app.print(
            _(
                "It works on this network only, and your peer puts their own interface into it:"
                " fantom://[{host}%eth0]…",
                host=listener.host,
            )
        )


@COMMANDS.add
async def verify(
    app: App,
    peer: Conversation | None = None,
    answer: Literal["yes", "no", "--word"] | None = None,
) -> None:
    """makes sure who a peer is: by a code that you both compare, or by a word that you both know"""
    peer = peer or app.require_active()
    if peer.kind is LinkKind.CLASSIC:
        raise CommandError(
            _("{name} speaks the classic link, which cannot be verified.", name=render.name(peer))
        )
    try:
        if answer == "--word":
            await _ask_word(app, peer)
        elif answer is None:
            await _ask_code(app, peer)
        else:
            await _compared(app, peer, same=answer == "yes")
    except NotLinked:
        raise CommandError(
            _(
                "{name} is not connected: /connect ADDRESS, and verify then.",
                name=render.name(peer),
            )
        ) from None


async def _ask_code(app: App, peer: Conversation) -> None:
    _session, verification = app.node.verification(peer)
    try:
        app.node.ask_code(peer)
    except TrialsUsedUp:
        raise CommandError(
            _(
                "You compared codes with {name} too often: compare a word with /verify --word, or"
                " ask for an invite.",
                name=render.name(peer),
            )
        ) from None
    if verification.code is not None:
        await app.print(render.code(peer, verification.code))
    else:
        await app.print(
            _("The code comes as soon as {name} has typed /verify as well.", name=render.name(peer))
        )


async def _ask_word(app: App, peer: Conversation) -> None:
    app.node.verification(peer)  # before anybody types a secret
    text = await app.terminal.read_secret(_("The word that you both know: "))
    if text is None:
        return
    try:
        word = prepare_word(text)
    except ValueError:
        raise CommandError(
            _("A shared word has at least 1 letter and at most 256 bytes.")
        ) from None
    try:
        app.node.ask_word(peer, word)
    except TrialsUsedUp:
        raise CommandError(
            _(
                "You compared words with {name} too often: compare a code with /verify, or ask for"
                " an invite.",
                name=render.name(peer),
            )
        ) from None
    await app.print(
        _(
            "The word is compared as soon as {name} has typed /verify --word as well.",
            name=render.name(peer),
        )
    )


async def _compared(app: App, peer: Conversation, *, same: bool) -> None:
    """The user's answer to the code."""
    try:
        if same:
            app.node.same_code(peer)
        else:
            app.node.different_code(peer)
    except LookupError:
        raise CommandError(_("There is no code to compare: /verify asks for one.")) from None
    if same:
        await app.print(
            _("{name} is verified for as long as its program runs.", name=render.name(peer))
        )
        return
    await app.print(
        _(
            "The codes differ: somebody may be between you and {name}, and the link is closed;"
            " trust nothing that came over it, and ask for an invite by another way.",
            name=render.name(peer),
        ),
        alarm=True,
    )


@COMMANDS.add
async def help_(app: App, command: str = "") -> None:
    """shows what each command does"""
    if command:
        found = COMMANDS.find(command)
        await app.print(f"{found.usage}\n{_(found.summary)}")
        return
    width = max(len(each.usage) for each in COMMANDS)
    rows = [f"{each.usage:<{width}}  {_(each.summary)}" for each in COMMANDS]
    await app.write("\n".join(rows) + "\n", width + 2)
    rows = [""]
    rows.append(_("Enter sends; Alt-Enter breaks the line; // begins a message with a slash."))
    rows.append(_("Tab completes; Ctrl-R searches; Ctrl-C clears the line; Ctrl-D leaves."))
    rows.append(_("Alt-1 to Alt-9 switch to a peer; Alt-A goes to the next unread one."))
    await app.write("\n".join(rows) + "\n", 0)


@COMMANDS.add
async def quit_(app: App) -> None:
    """ends every link, wipes the keys and leaves"""
    app.stop()


def _check_name(app: App, name: str, peer: Conversation | None) -> None:
    """A name is short, can be told from a number, an address and a command, and is not taken."""
    if not name.isprintable() or sanitize.line(name) != name or len(name) > _LONGEST_NAME:
        raise CommandError(_("A name is at most {n} characters that can be seen.", n=_LONGEST_NAME))
    if name.isdecimal() or name[0] in "/[" or ":" in name:
        raise CommandError(_("“{name}” could be taken for a number or an address.", name=name))
    for other in app.node.conversations:
        if other is not peer and other.name == name:
            raise CommandError(
                _("Peer {number} is called {name} already.", number=other.number, name=name)
            )
