"""The prompt at the foot of a real terminal: prompt_toolkit in one worker thread.

``trio.run`` is outermost, and asyncio, which prompt_toolkit needs, has a thread of its own: so no
other loop can cut a ``finally`` of ours off. The thread and the tasks share what the lock guards,
and call each other through ``run_sync_soon`` and ``call_soon_threadsafe`` only.

Where the terminal does not read, the thread waits in a write, keys are not served, and writers
wait once the queue is full; Trio goes on. When ``run`` is cancelled, that write is given up after
a second, and with it what it had still to say.
"""

import asyncio
import base64
import math
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TextIO

import trio

from fantom_trio.repl.editor import Editor
from fantom_trio.repl.terminal import (
    LAST_WORDS,
    WIPE,
    Line,
    Outlet,
    Suggestion,
    Terminal,
    View,
    finished,
    has_style,
)

__all__ = ["ScreenTerminal"]

FRAME = 0.05  # seconds between two drawings of ours; keys are drawn at once
QUEUE_SIZE = 1 << 16  # characters: one frame's worth, so that a flood leaves keys their time
LINES_WAITING = 1000  # sent and not yet taken; more are refused with a bell, and stay in the line


@dataclass(eq=False, slots=True)
class _Question:
    prompt: str
    answered: trio.Event = field(default_factory=trio.Event)
    answer: str | None = None


class ScreenTerminal(Terminal):
    """Runs once. Keys: see ``Editor``; the rest is in ``Terminal``."""

    def __init__(
        self,
        *,
        completer: Callable[[str], Sequence[Suggestion]],
        shortcuts: Mapping[str, str],
        stdin: TextIO,
        stdout: TextIO,
    ) -> None:
        self._styled = has_style(stdout)
        self._outlet = Outlet(stdout)
        self._editor = Editor(
            completer=completer,
            shortcuts=shortcuts,
            submit=self._submit,
            answer=self._answer,
            stdin=stdin,
            stdout=stdout,
            outlet=self._outlet,
        )
        self._sender, self._receiver = trio.open_memory_channel[Line](math.inf)
        self._free = threading.Semaphore(LINES_WAITING)
        self._token: trio.lowlevel.TrioToken | None = None
        self._failure: BaseException | None = None  # the thread's, until it ended
        self._drawn = -math.inf  # the thread's: when it drew last

        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None  # only while it can be called
        self._stopping = False
        self._due = False  # a drawing is on its way
        self._over = False
        self._view = View()
        self._question: _Question | None = None
        self._asked: _Question | None = None  # on the screen
        self._queue: list[str] = []
        self._queued = 0
        self._room: trio.Event | None = None  # set when the queue was emptied

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        self._token = trio.lowlevel.current_trio_token()
        failure = None
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._stop_when_cancelled)
                nursery.start_soon(self._watch_size)
                # A limiter of its own: no look-up of a name can keep the prompt waiting.
                failure = await trio.to_thread.run_sync(
                    self._work, task_status, limiter=trio.CapacityLimiter(1)
                )
                nursery.cancel_scope.cancel()
        finally:
            self._finish()
            if failure is not None:
                raise failure

    async def read_line(self) -> Line:
        line = await self._receiver.receive()
        self._free.release()
        return line

    async def read_secret(self, prompt: str) -> str | None:
        if self._question is not None:
            raise trio.BusyResourceError("another secret is being asked for")
        question = _Question(prompt)
        with self._lock:
            self._question = question
            self._wake()
        try:
            if not self._over:
                await question.answered.wait()
        finally:
            with self._lock:
                self._question = None
                self._wake()
        if self._over:
            raise trio.EndOfChannel
        return question.answer

    async def write(self, text: str) -> None:
        text = finished(text, styled=self._styled)
        if not self._over:
            await trio.lowlevel.checkpoint()
        while (room := self._offer(text)) is not None:
            # Nothing was written if this is cancelled.
            await room.wait()

    def show(self, view: View) -> None:
        with self._lock:
            self._view = view
            self._wake()

    @property
    def columns(self) -> int | None:
        return self._outlet.size.columns

    @property
    def rows(self) -> int | None:
        return self._outlet.size.lines

    @property
    def line_is_empty(self) -> bool:
        return self._editor.is_line_empty

    def give_back(self, text: str) -> None:
        self._call(self._editor.give_back, text)

    def bell(self) -> None:
        self._put("\a")

    def clear(self) -> None:
        with self._lock:
            if not self._over:
                self._queue, self._queued = [WIPE], 0
                self._wake()
                return
        self._outlet.write(WIPE, patience=LAST_WORDS)

    def forget(self) -> None:
        with self._lock:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._editor.forget)
            else:
                self._editor.forget()
        self.clear()

    def copy(self, text: str) -> bool:
        self._put(f"\x1b]52;c;{base64.b64encode(text.encode()).decode()}\a")
        return True

    # What follows is called in Trio's thread.

    async def _watch_size(self) -> None:
        # prompt_toolkit, in its thread, cannot get the signal, and would look once in a while.
        if hasattr(signal, "SIGWINCH"):
            with trio.open_signal_receiver(signal.SIGWINCH) as received:
                async for _number in received:
                    self._call(self._editor.app.invalidate)

    async def _stop_when_cancelled(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            self._outlet.give_up_in(LAST_WORDS)
            with self._lock:
                self._stopping = True
                if self._loop is not None:
                    self._loop.call_soon_threadsafe(self._editor.quit)

    def _finish(self) -> None:
        """Show what is left, and let go whoever waits."""
        with self._lock:
            self._over = True
            left, self._queue = "".join(self._queue), []
        self._outlet.write(left, patience=LAST_WORDS)
        self._sender.close()
        if self._room is not None:
            self._room.set()
        if self._question is not None:
            self._question.answered.set()

    def _offer(self, text: str) -> trio.Event | None:
        """Queue ``text``, or write it where all is over. Full: what to wait for."""
        with self._lock:
            if not self._over:
                # A writer never waits for an application that is not up.
                if self._loop is not None and self._queued >= QUEUE_SIZE:
                    self._room = self._room or trio.Event()
                    return self._room
                self._queue.append(text)
                self._queued += len(text)
                self._wake()
                return None
        self._outlet.write(text, patience=LAST_WORDS)
        return None

    def _call(self, function: Callable[..., object], *arguments: object) -> None:
        """In the application's thread, if it is up."""
        with self._lock:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(function, *arguments)

    def _put(self, sequence: str) -> None:
        with self._lock:
            if not self._over:
                self._queue.append(sequence)
                self._wake()

    def _wake(self) -> None:
        """Have the application draw what is new; the lock is held. Callable from both threads."""
        if self._loop is not None and not self._due:
            self._due = True
            self._loop.call_soon_threadsafe(self._schedule)

    @staticmethod
    def _take_answer(question: _Question, answer: str | None) -> None:
        question.answer = answer
        question.answered.set()

    # What follows is called in the application's thread.

    def _work(self, task_status: trio.TaskStatus[None]) -> BaseException | None:
        try:
            asyncio.run(self._serve(task_status))
        except BaseException as error:
            return error
        finally:
            self._outlet.give_up_in(LAST_WORDS)
            self._editor.restore()
        return None

    async def _serve(self, task_status: trio.TaskStatus[None]) -> None:
        loop = asyncio.get_running_loop()
        # Without this a failed callback would be printed and forgotten.
        loop.set_exception_handler(self._failed)
        with self._lock:
            if self._stopping:
                return
            # What is called from now on waits for the first drawing: until then ``run`` does not.
            self._loop = loop
            self._editor.view = self._view
            self._wake()
        self._call_trio(task_status.started)
        try:
            await self._editor.run()
        except EOFError:
            pass
        finally:
            with self._lock:
                self._loop = None
        if self._failure is not None:
            raise self._failure

    def _failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception") or RuntimeError(context["message"])
        self._failure = self._failure or error
        self._editor.quit()

    def _schedule(self) -> None:
        loop = asyncio.get_running_loop()
        loop.call_at(max(loop.time(), self._drawn + FRAME), self._draw)

    def _draw(self) -> None:
        if self._editor.app.is_done:
            return  # the queue is for _finish
        if not self._editor.is_settled:
            asyncio.get_running_loop().call_later(FRAME, self._draw)
            return
        with self._lock:
            self._due = False
            text, self._queue, self._queued = "".join(self._queue), [], 0
            room, self._room = self._room, None
            self._editor.view = self._view
            question = self._question
        try:
            if question is not self._asked:
                self._asked = question
                self._editor.ask(None if question is None else question.prompt)
            self._editor.draw(text)
        finally:
            self._drawn = asyncio.get_running_loop().time()
            if room is not None:
                self._call_trio(room.set)

    def _submit(self, line: Line) -> bool:
        if not self._free.acquire(blocking=False):
            return False
        self._call_trio(self._sender.send_nowait, line)
        return True

    def _answer(self, text: str | None) -> None:
        if self._asked is not None:
            self._call_trio(self._take_answer, self._asked, text)

    def _call_trio(self, function: Callable[..., object], *arguments: object) -> None:
        assert self._token is not None
        self._token.run_sync_soon(function, *arguments)
