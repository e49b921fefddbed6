"""Commands for being reached: own addresses, the listener, what is in the way."""

from dataclasses import replace
from typing import Literal

from fantom_trio.nursery import (
    LISTENER_PORTS,
    Endpoint,
    ReachError,
    list_interfaces,
)
from fantom_trio.repl import sanitize
from fantom_trio.repl.app import App
from fantom_trio.repl.commands import CommandError
from fantom_trio.repl.doctor import examine
from fantom_trio.repl.explain import explain_reach
from fantom_trio.repl.languages import _
from fantom_trio.repl.slash.registry import COMMANDS


@COMMANDS.add
async def address(app: App) -> None:
    """your addresses; copies the one in use

    A star marks the address that you listen on. It goes to the clipboard of your terminal,
    which may ignore that.
    """
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
    elif app.terminal.copy(str(listener)):
        await app.print(
            _(
                "{where} is sent to your terminal's clipboard; some terminals ignore that.",
                where=listener,
            )
        )


@COMMANDS.add
async def doctor(app: App) -> None:
    """finds out why nobody can reach you

    It looks at your addresses, the route, the listener, the firewall and the clock, and
    says what to do. A verified peer who is connected is asked to dial back.
    """
    await examine(app)


@COMMANDS.add
async def listen(app: App, port: int | Literal["off"] | None = None) -> None:
    """starts, moves or stops the listener

    While it is off nobody can dial you; open links stay, and you can dial others.
    """
    if port == "off":
        app.own.stop_finding()
        await app.node.stop_listening()
        await app.print(_("Nobody can dial you now; open links stay open."))
        return
    if isinstance(port, int) and port not in LISTENER_PORTS:
        raise CommandError(_("The port must be between 30000 and 65535."))
    app.node.own_port = port or app.node.own_port
    if app.own.known is None:
        app.own.find()
    else:
        await app.own.listen(replace(app.own.known, port=app.node.own_port))
