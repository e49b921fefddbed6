"""A small program on the terminal under test: it says what it got, and does what it is told."""

import os
import signal
import sys
from collections.abc import Sequence

import trio

from fantom_trio.repl.console import open_terminal
from fantom_trio.repl.terminal import Suggestion, Terminal, View

COMMANDS = ("/flood", "/fail", "/help", "/view", "/views")


def complete(before: str) -> Sequence[Suggestion]:
    if before == "boom":
        raise ZeroDivisionError("in the completer")
    return [
        Suggestion(command, len(before), f"help on {command}")
        for command in COMMANDS
        if command.startswith(before)
    ]


def view(name: str) -> View:
    return View((("bold", f"{name}> "),), (("reverse", f" {name} | " + "toolbar " * 30),), name)


async def act(terminal: Terminal, nursery: trio.Nursery, text: str) -> None:
    command, *words = text.split(maxsplit=1)
    argument = words[0] if words else ""
    if command == "/view":
        terminal.show(view(argument))
    elif command == "/views":
        nursery.start_soon(change_views, terminal)
    elif command == "/broken":
        terminal.show(View((("no such style", "x"),)))
    elif command == "/flood":
        nursery.start_soon(flood, terminal, int(argument))
    elif command == "/quiet":
        nursery.cancel_scope.cancel()
    elif command == "/fail":
        raise ZeroDivisionError("in a task")
    elif command == "/lines":
        for number in range(int(argument)):
            await terminal.write(f"line {number};")
    elif command == "/clear":
        terminal.clear()
    elif command == "/forget":
        terminal.forget()
    elif command in ("/clear-and-end", "/forget-and-end"):
        terminal.clear() if command == "/clear-and-end" else terminal.forget()
        nursery.cancel_scope.cancel()
    elif command == "/secret":
        await terminal.write(f"secret {await terminal.read_secret('word? ')!r}")
    elif command == "/copy":
        terminal.copy(argument)
        terminal.bell()


async def flood(terminal: Terminal, lines: int) -> None:
    """5,000 lines a second; without end if ``lines`` is 0."""
    start, done = trio.current_time(), 0
    while not lines or done < lines:
        await terminal.write(f"\x1b[1mflood\x1b[0m {done} " + "." * 40)
        done += 1
        if done % 50 == 0:
            await trio.sleep_until(start + done / 5000)
    await terminal.write("flood ends")


async def change_views(terminal: Terminal) -> None:
    for number in range(1000):
        terminal.show(view(f"view{number}"))
        await trio.sleep(0.001)
    terminal.show(view("last"))


async def answer(terminal: Terminal) -> None:
    count = 0
    # A nursery whose end takes the floods along.
    async with trio.open_nursery() as nursery:
        try:
            while True:
                line = await terminal.read_line()
                count += 1
                lines = line.text.split("\n")
                await terminal.write(f"#{count} {line.context}: {lines[0]} +{len(lines) - 1}")
                if line.text.startswith("/"):
                    await act(terminal, nursery, line.text)
        except trio.EndOfChannel:
            nursery.cancel_scope.cancel()


async def main(terminal: Terminal) -> None:
    received: list[int] = []
    async with trio.open_nursery() as nursery:
        scope = nursery.cancel_scope
        nursery.start_soon(watch_signals, scope, received)
        terminal.show(view("start"))
        await terminal.write(f"pid {os.getpid()} up")
        await nursery.start(lambda task_status: terminal.run(task_status=task_status))
        await answer(terminal)
        scope.cancel()
    for number in received:
        await terminal.write(f"signal {number}")
    await terminal.write("goodbye")


async def watch_signals(scope: trio.CancelScope, received: list[int]) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        async for number in signals:
            received.append(number)
            scope.cancel()


if __name__ == "__main__":
    keys = {f"alt-{number}": f"/view {number}" for number in range(1, 10)} | {"alt-a": "/help"}
    trio.run(main, open_terminal(completer=complete, shortcuts=keys))
    assert (
        "prompt_toolkit" in sys.modules or not sys.stdout.isatty() or "dumb" in os.environ["TERM"]
    )
