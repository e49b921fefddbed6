"""What is written above the prompt: notices, and messages piece by piece."""

import time
from collections.abc import Iterable, Sequence
from itertools import chain

import trio

from fantom_trio.nursery import Conversation, Message
from fantom_trio.repl import layout, render, transcript
from fantom_trio.repl.languages import _
from fantom_trio.repl.terminal import Terminal

__all__ = ["Page"]


class Page:
    """One text after the other, however long it takes to write one."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal
        self._turn = trio.Lock()

    def notice(self, text: str, *, alarm: bool = False) -> str:
        """A notice of our own, as rows."""
        text = render.notice(text, time.time(), alarm=alarm)
        return layout.fold(text, self.terminal.columns, render.NOTICE_INDENT)

    async def print(self, text: str, *, alarm: bool = False) -> None:
        """A notice of our own."""
        await self.write(self.notice(text, alarm=alarm))

    async def write(self, text: str, indent: int | None = None) -> None:
        """Styled, sanitised lines; with ``indent`` they are folded to the width of the screen."""
        if indent is not None:
            text = layout.fold(text, self.terminal.columns, indent)
        await self.write_pieces([text])

    async def write_pieces(self, pieces: Iterable[str]) -> None:
        """Whole lines, and nothing else between them; each piece is made when it is its turn.

        Other tasks run before each. Cancelled, the pieces up to there stand on the screen.
        """
        async with self._turn:
            await self._put(pieces)

    async def write_messages(
        self, peer: Conversation, them: Sequence[Message], head: str = ""
    ) -> None:
        """The latest of ``them`` below ``head``, as many as may come at once."""
        columns = self.terminal.columns
        async with self._turn:
            shown = await transcript.latest(them, columns)
            first = [head]
            if earlier := len(them) - len(shown):
                text = _("{n} earlier messages: /history {all}", n=earlier,
                         all=transcript.place(peer, them[0]))  # fmt: skip
                first.append(self.notice(text))
            await self._put(chain(first, transcript.messages(peer, shown, columns)))

    async def _put(self, pieces: Iterable[str]) -> None:
        for piece in pieces:
            if piece:
                await self.terminal.write(piece)
