"""The program on a terminal made of paper, and who comes to see it."""

import functools
import itertools
import math
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio
from trio.testing import wait_all_tasks_blocked

from fantom_trio.nursery import Conversation, Endpoint, Limits, NodeEvent, Where, open_node
from fantom_trio.repl.app import App
from fantom_trio.repl.slash import COMMANDS
from fantom_trio.repl.terminal import Line, Terminal, View
from tests.nursery.ends import PATIENCE, Peer, answer


class Paper(Terminal):
    """Holds what was written; a test presses Enter."""

    def __init__(self, columns: int | None = None) -> None:
        self.written = ""
        #: What was written until the program listened.
        self.beginning = ""
        self.view = View()
        #: What is being typed, and what is asked for without showing it.
        self.line = ""
        self.question = ""
        #: How often it rang, what was copied, and what else was done to the screen.
        self.rung = 0
        self.copied: list[str] = []
        self.done: list[str] = []
        self._columns = columns
        #: How high the screen is.
        self.height = 24
        self._keyboard, self._lines = trio.open_memory_channel[Line](math.inf)
        self._whisper, self._secrets = trio.open_memory_channel[str | None](math.inf)
        self._changed = trio.Event()

    # What a test does and sees.

    def enter(self, text: str, to: Conversation | None = None) -> None:
        """Press Enter while the prompt names ``to``, or whom it names now."""
        self.line = ""
        self._keyboard.send_nowait(Line(text, to or self.view.context))

    def whisper(self, secret: str | None) -> None:
        """Answer what is asked for without showing it; None declines."""
        self._whisper.send_nowait(secret)

    def hang_up(self) -> None:
        self._keyboard.close()

    @property
    def text(self) -> str:
        """Without colours, times and the dot of a notice."""
        text = re.sub("\x1b\\[[0-9]+m", "", self.written)
        return re.sub("^[0-9]{2}:[0-9]{2} (· )?", "", text, flags=re.MULTILINE)

    @property
    def prompt(self) -> str:
        return "".join(text for _, text in self.view.prompt)

    @property
    def toolbar(self) -> str:
        return "".join(text for _, text in self.view.toolbar)

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed = trio.Event()
            await self._changed.wait()

    async def shows(self, text: str) -> None:
        """This stands in the prompt or the toolbar."""
        await self.until(lambda: text in self.prompt or text in self.toolbar)

    async def sees(self, *lines: str) -> None:
        """These lines, one below the other; all up to there counts as read."""
        block = "\n".join(["", *lines, ""])
        await self.until(lambda: block in f"\n{self.text}")
        self.written = ""

    # What the program does.

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        await trio.sleep_forever()

    async def read_line(self) -> Line:
        return await self._lines.receive()

    async def read_secret(self, prompt: str) -> str | None:
        self.question = prompt
        self._changed.set()
        try:
            return await self._secrets.receive()
        finally:
            self.question = ""

    async def write(self, text: str) -> None:
        await trio.lowlevel.checkpoint()
        self.written += text
        self._changed.set()

    def show(self, view: View) -> None:
        self.view = view
        self._changed.set()

    @property
    def columns(self) -> int | None:
        return self._columns

    @property
    def rows(self) -> int | None:
        return self.height if self._columns is not None else None

    @property
    def line_is_empty(self) -> bool:
        return not self.line

    def give_back(self, text: str) -> None:
        self.line = self.line or text

    def bell(self) -> None:
        self.rung += 1

    def clear(self) -> None:
        self.done.append("clear")
        self._changed.set()

    def forget(self) -> None:
        self.done.append("forget")
        self._changed.set()

    def copy(self, text: str) -> bool:
        self.copied.append(text)
        return True


@asynccontextmanager
async def chat(
    limits: Limits | None = None,
    where: Where | None = None,
    *,
    columns: int | None = None,
    patience: float = PATIENCE,
) -> AsyncIterator[tuple[App, Paper]]:
    """The program on ``::1``; each message is a minute later than the one before."""
    minutes = functools.partial(next, itertools.count(0, 60))
    paper = Paper(columns)
    with trio.fail_after(patience):
        async with (
            open_node(limits, own_port=0, now=minutes) as node,
            trio.open_nursery() as nursery,
        ):
            app = App(node, where or Where("loopback"), COMMANDS, terminal=paper)
            nursery.start_soon(app.run)
            await paper.until(lambda: "\nListening on [" in paper.text)
            paper.beginning, paper.written = paper.text, ""
            try:
                yield app, paper
            finally:
                app.stop()
                while Peer.alive:
                    Peer.alive.pop().close()


async def visitor(app: App, port: int, *texts: str) -> Peer:
    """A peer who dials the program and says something."""
    peer = await Peer.meet_node(app.node, f"::1:{port}".encode())
    await peer.say(*texts)
    return peer


async def guest(app: App, paper: Paper, port: int, *texts: str) -> Peer:
    """A visitor whom the user chose, and whose texts were read."""
    peer = await visitor(app, port, *texts)
    await paper.shows(f"[::1]:{port}")
    (number,) = [each.number for each in app.node.conversations if each.key.port == port]
    await choose(paper, number)
    await paper.until(lambda: f"[::1]:{port}  {texts[-1]}\n" in paper.text)
    paper.written = ""
    return peer


async def choose(paper: Paper, number: int) -> None:
    """Answer whoever came."""
    paper.enter(f"/switch {number}")
    await paper.until(lambda: paper.prompt.startswith(f"{number} "))


async def tell(app: App, event: NodeEvent) -> None:
    """As if it had happened."""
    await app.node._teller.tell(event)
    await wait_all_tasks_blocked()


async def connected(
    paper: Paper, where: Endpoint, listener: trio.SocketListener, name: str
) -> Peer:
    paper.enter(f"/connect {where} as {name}")
    peer = await answer(listener)
    await paper.sees(f"{name} is here: classic link, the peer cannot be verified")
    return peer
