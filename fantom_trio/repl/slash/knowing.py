"""Commands for knowing who a peer is: invites, the code, the shared word."""

from typing import Literal

from fantom_trio.nursery import (
    Conversation,
    How,
    InvitesFull,
    LinkKind,
    NotLinked,
    TrialsUsedUp,
    prepare_word,
)
from fantom_trio.repl import qr, render
from fantom_trio.repl.app import App
from fantom_trio.repl.commands import CommandError
from fantom_trio.repl.languages import _, n_
from fantom_trio.repl.slash.registry import COMMANDS

#: Rows below what is printed: the prompt and the toolbar.
FOOT = 2


@COMMANDS.add
async def invite(app: App, how: Literal["--qr", "off"] | None = None) -> None:
    """makes an invite for one person; off revokes

    It says where you are and proves who you are; whoever comes with it first counts as
    verified. --qr draws it for a phone. Send it by a way that nobody else reads.
    """
    if how == "off":
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
    if how == "--qr":
        await _draw(app, str(made))


async def _draw(app: App, text: str) -> None:
    """The last that is printed: it must be on the screen whole, prompt and toolbar below."""
    columns, rows = app.terminal.columns, app.terminal.rows
    drawing = qr.draw(text, columns)
    fits = columns is None or drawing.columns <= columns
    if fits and (rows is None or drawing.rows + FOOT <= rows):
        await app.write(drawing.text)
        return
    await app.print(
        _(
            "The screen is too small for the QR code, which takes {columns} columns and {rows}"
            " rows.",
            columns=drawing.columns,
            rows=drawing.rows + FOOT,
        )
    )


@COMMANDS.add
async def verify(
    app: App,
    peer: Conversation | None = None,
    answer: Literal["yes", "no", "--word"] | None = None,
) -> None:
    """makes sure who a peer is

    Both type it and compare eight digits by another way, e.g. on the phone; then yes or no.
    With --word both type a word that only the two of you know. A classic link cannot be
    verified.
    """
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
    elif verification.waits(How.CODE):  # else the peer has asked already, and the code comes now
        await app.print(
            _("The code comes as soon as {name} has typed /verify as well.", name=render.name(peer))
        )


async def _ask_word(app: App, peer: Conversation) -> None:
    _session, verification = app.node.verification(peer)  # before anybody types a secret
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
    if not verification.waits(How.WORD):
        return
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
