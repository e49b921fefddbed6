"""Commands for being reached: own addresses, the listener, what is in the way."""

from dataclasses import replace
from typing import Literal

from fantom_trio.nursery import (
    LISTENER_PORTS,
    Endpoint,
    Interface,
    ReachError,
    list_interfaces,
    network_of,
)
from fantom_trio.repl import sanitize
from fantom_trio.repl.app import App
from fantom_trio.repl.commands import CommandError
from fantom_trio.repl.explain import explain_reach
from fantom_trio.repl.languages import _
from fantom_trio.repl.own_address import explain_absence
from fantom_trio.repl.slash.registry import COMMANDS


@COMMANDS.add
async def address(app: App) -> None:
    """your addresses; copies the one in use

    A star marks the address that you listen on. It goes to the clipboard of your terminal,
    which may ignore that.
    """
    listener = app.node.listener
    try:
        interfaces = [each for each in list_interfaces() if each.is_up]
    except ReachError as error:
        raise CommandError(explain_reach(error)) from None
    for interface in interfaces:
        # The stable ones first; of those on their way out only the one that peers know.
        for host in sorted(interface.addresses, key=interface.temporary.__contains__):
            endpoint = Endpoint(host, app.node.own_port)
            if endpoint.is_link_local:
                endpoint = replace(endpoint, zone=interface.name)
            used = _is_at(listener, endpoint, interface)
            if used or not (endpoint.is_loopback or host in interface.deprecated):
                about = [sanitize.line(interface.name), *_lifetimes(interface, host)]
                await app.print(f"{'*' if used else ' '} {endpoint}  {', '.join(about)}")
    if listener is None:
        await app.print(_("Nobody can dial you: /listen starts the listener."))
    elif not any(interface.has(listener) for interface in interfaces):
        await app.print(explain_absence(str(listener), given=app.where.mode == "given"), alarm=True)
    elif app.terminal.copy(str(listener)):
        await app.print(
            _(
                "{where} is sent to your terminal's clipboard; some terminals ignore that.",
                where=listener,
            )
        )
    if listener is not None and (stable := _stable_instead(listener, interfaces)) is not None:
        await app.print(
            _(
                "{where} is temporary and changes within a day, {stable} does not: to be reached"
                " there, start with --address {stable}",
                where=listener,
                stable=stable,
            )
        )


def _is_at(listener: Endpoint | None, endpoint: Endpoint, interface: Interface) -> bool:
    """The listener's zone may be a name or an index."""
    if listener is None or listener.port != endpoint.port or not interface.has(listener):
        return False
    return listener.host == endpoint.host


def _lifetimes(interface: Interface, host: str) -> list[str]:
    words = []
    if host in interface.temporary:
        words.append(_("temporary"))
    if host in interface.deprecated:
        words.append(_("on its way out"))
    return words


def _stable_instead(listener: Endpoint, interfaces: list[Interface]) -> str | None:
    """A lasting address beside a temporary one that we listen on."""
    for interface in interfaces:
        if listener.host in interface.temporary:
            for host in interface.addresses:
                passing = host in interface.temporary | interface.deprecated
                same = network_of(host) == network_of(listener.host)
                if same and not passing:
                    return host
    return None


@COMMANDS.add
async def doctor(app: App) -> None:
    """finds out why nobody can reach you

    It looks at your addresses, the route, the listener, the firewall and the clock, and
    says what to do. A verified peer who is connected is asked to dial back.
    """
    from fantom_trio.repl.doctor import examine  # long, and often nobody asks

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
    await app.own.listen_again()
