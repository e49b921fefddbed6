"""What a screen terminal draws at its foot, and what each key does. Knows no thread and no Trio."""

import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import TextIO

from prompt_toolkit import utils
from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.clipboard import InMemoryClipboard
from prompt_toolkit.filters import Condition, has_completions, has_focus
from prompt_toolkit.formatted_text import fragment_list_width
from prompt_toolkit.history import DummyHistory
from prompt_toolkit.input.typeahead import clear_typeahead
from prompt_toolkit.input.vt100 import Vt100Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout import (
    BufferControl,
    ConditionalContainer,
    Dimension,
    FormattedTextControl,
    HSplit,
    Layout,
    VerticalAlign,
    VSplit,
    Window,
)
from prompt_toolkit.layout.menus import CompletionsMenuControl
from prompt_toolkit.layout.processors import BeforeInput, PasswordProcessor
from prompt_toolkit.widgets import SearchToolbar

from fantom_trio.repl.buffers import LineBuffer, LineControl, Recent, ShowOdd, Suggestions
from fantom_trio.repl.drawing import Drawing, Paper
from fantom_trio.repl.languages import _, n_
from fantom_trio.repl.terminal import Line, Outlet, Suggestion, View

__all__ = ["Editor"]

LINE_ROWS = 10  # of the input line, and never more than half the screen
MENU_ROWS = 6  # of the completions
ANNOUNCED_LINES = 5  # of text; more are counted below it

_SURROGATES = re.compile("[\ud800-\udfff]")  # bytes that are no UTF-8
_RESET = "\x1b[0m"
_RESTORE = f"\x1b[?2004l\x1b[?7h\x1b[?25h{_RESET}"  # paste as keys, wrap, show the cursor


class Editor:
    """An input line under a prompt, a toolbar below it; all of it in one thread, its own.

    ``submit`` takes a line, or returns False where there is no room for it.
    """

    def __init__(
        self,
        *,
        completer: Callable[[str], Sequence[Suggestion]],
        shortcuts: Mapping[str, str],
        submit: Callable[[Line], bool],
        answer: Callable[[str | None], None],
        stdin: TextIO,
        stdout: TextIO,
        outlet: Outlet,
    ) -> None:
        self.view = View()
        self._drawing = self._shown = self.view
        self._question: str | None = None
        self._taken = False  # the text in the buffer was sent
        self._submit = submit
        self._answer = answer
        self._output = Paper(stdout, outlet, lost=self.quit)
        self._recent = Recent()
        self._line = LineBuffer(
            completer=Suggestions(completer),
            history=self._recent,
            accept_handler=self._accept_line,
        )
        self._secret = Buffer(
            history=DummyHistory(), multiline=False, accept_handler=self._accept_secret
        )
        self.app = _Application(
            layout=self._layout(),
            key_bindings=self._keys(shortcuts),
            # Nothing of prompt and toolbar stays behind.
            erase_when_done=True,
            include_default_pygments_style=False,
            input=Vt100Input(stdin),
            output=self._output,
            # A signal tells of another size (screen.py), but not to a program that is stopped.
            terminal_size_polling_interval=5,
            before_render=self._before_render,
            after_render=self._after_render,
        )
        self.app.renderer = self._renderer = Drawing(self.app.renderer.style, self._output)
        # An Escape alone, which closes the menu, is waited for; Escape and then a key is Alt.
        self.app.ttimeoutlen, self.app.timeoutlen = 0.05, 0.5

    async def run(self) -> None:
        """Until ``quit``; raises ``EOFError`` when the terminal is gone."""
        try:
            await self.app.run_async(handle_sigint=False, set_exception_handler=False)
        finally:
            # prompt_toolkit keeps what it did not get to for the next application.
            clear_typeahead(self.app.input)

    @property
    def is_settled(self) -> bool:
        """``draw`` may be called: the terminal is not just getting another width."""
        return self._renderer.is_settled

    def draw(self, text: str = "") -> None:
        """Print ``text`` above the prompt and draw anew, in one write."""
        # Not run_in_terminal: it leaves raw mode, in which a Ctrl-C is a key and not a signal.
        with self._output.held():
            if text:
                self._renderer.erase()
                self._output.write_raw(text + _RESET)
            self.app._redraw()

    def redraw(self) -> None:
        """Forget what was drawn, and draw."""
        with self._output.held():
            if self.is_settled:
                self._renderer.erase()
            self.app._redraw()

    def ask(self, question: str | None) -> None:
        """Put the secret's line in the place of the input line, or take it away."""
        if question is None and self._question is None:
            return  # it was answered
        self._question = question
        self._secret.reset()
        self.app.layout.search_links.clear()  # ends a search
        self.app.layout.focus(self._line if question is None else self._secret)

    def give_back(self, text: str) -> None:
        """Put ``text`` into the input line, unless something else is being typed there."""
        if self.is_line_empty:
            self._line.insert_text(text)
            self.app.invalidate()

    def forget(self) -> None:
        """Drop what was typed: lines sent and searched for, the half-typed one, undo, what was cut.

        A question stays, what was typed in answer to it does not.
        """
        self._recent.forget()
        for buffer in (self._line, self._secret, self._search.search_buffer):
            buffer.reset()
        self._search.control.searcher_search_state.text = ""
        self.app.clipboard = InMemoryClipboard()
        self.app.emacs_state.macro = []
        # Private, and gone one day perhaps: it keeps whole lines, with their widths.
        getattr(utils, "_CHAR_SIZES_CACHE", {}).clear()
        self.app.invalidate()

    @property
    def is_line_empty(self) -> bool:
        """Nothing is being typed; readable from any thread."""
        return self._taken or not self._line.text

    def quit(self) -> None:
        """End ``run``, now or as soon as it began to wait; more than once is fine."""
        if self.app.future is not None and not self.app.future.done():
            self.app.exit()

    def restore(self) -> None:
        """The modes a shell expects, also after a failure within a drawing."""
        self._output.write_raw(_RESTORE)
        self._output.flush()

    def _before_render(self, app: Application[None]) -> None:
        self._drawing = self.view

    def _after_render(self, app: Application[None]) -> None:
        if self._renderer.is_drawn:
            self._shown = self._drawing

    def _accept_line(self, buffer: Buffer) -> bool:
        text = _SURROGATES.sub("\ufffd", buffer.text)
        # The buffer is emptied when this returns; who gets the line may look before that.
        self._taken = True
        if not text.strip() or self._submit(Line(text, self._shown.context)):
            return False
        self._taken = False
        self._output.bell()
        return True  # the text stays

    def _accept_secret(self, buffer: Buffer) -> bool:
        self._answer(_SURROGATES.sub("\ufffd", buffer.text))
        self.ask(None)
        return False

    def _decline(self, event: KeyPressEvent) -> None:
        self._answer(None)
        self.ask(None)

    def _layout(self) -> Layout:
        asking = Condition(lambda: self._question is not None)
        announced = Condition(lambda: self._lines() > ANNOUNCED_LINES)
        self._search = SearchToolbar(
            Buffer(history=DummyHistory()),
            backward_search_prompt=lambda: _("search back: "),
            forward_search_prompt=lambda: _("search on: "),
            ignore_case=True,
        )
        line = LineControl(
            self._line,
            input_processors=[ShowOdd()],
            search_buffer_control=self._search.control,
            preview_search=True,
        )
        secret = BufferControl(
            self._secret,
            input_processors=[PasswordProcessor(), BeforeInput(lambda: self._question or "")],
        )
        # Beside the line or above it, not in its first row, which a long text scrolls away: who
        # gets a line must always be seen.
        prompt = FormattedTextControl(lambda: list(self._drawing.prompt))
        beside = Window(prompt, dont_extend_width=True, dont_extend_height=True)
        above = Condition(self._is_prompt_wide)
        toolbar = FormattedTextControl(lambda: list(self._drawing.toolbar))
        content = HSplit(
            [
                ConditionalContainer(
                    HSplit(
                        [
                            ConditionalContainer(Window(prompt, height=1), above),
                            VSplit(
                                [
                                    ConditionalContainer(beside, ~above),
                                    Window(
                                        line,
                                        height=self._rows,
                                        wrap_lines=True,
                                        dont_extend_height=True,
                                    ),
                                ]
                            ),
                        ]
                    ),
                    ~asking,
                ),
                ConditionalContainer(Window(secret, height=1), asking),
                ConditionalContainer(
                    Window(
                        CompletionsMenuControl(),
                        height=Dimension(min=0, max=MENU_ROWS),
                        dont_extend_height=True,
                    ),
                    has_completions,
                ),
                self._search,
                ConditionalContainer(
                    Window(FormattedTextControl(self._announcement), dont_extend_height=True),
                    announced & ~asking,
                ),
                ConditionalContainer(
                    Window(toolbar, height=1), Condition(lambda: bool(self._drawing.toolbar))
                ),
            ],
            align=VerticalAlign.TOP,
        )
        return Layout(content, focused_element=line)

    def _lines(self) -> int:
        return self._line.text.removesuffix("\n").count("\n") + 1

    def _announcement(self) -> str:
        text = n_(
            "{n} line, one message: Enter sends it, Ctrl-C drops it",
            "{n} lines, one message: Enter sends it, Ctrl-C drops it",
            self._lines(),
        )
        return textwrap.fill(text, self._output.get_size().columns)

    def _is_prompt_wide(self) -> bool:
        width = fragment_list_width(list(self._drawing.prompt))
        return width > self._output.get_size().columns // 2

    def _rows(self) -> Dimension:
        return Dimension(min=1, max=max(1, min(LINE_ROWS, self._output.get_size().rows // 2)))

    def _keys(self, shortcuts: Mapping[str, str]) -> KeyBindings:
        keys = KeyBindings()
        on_line = has_focus(self._line)
        on_secret = has_focus(self._secret)
        empty = Condition(lambda: not self._line.text)

        @keys.add("enter", filter=on_line | on_secret)
        def send(event: KeyPressEvent) -> None:
            event.current_buffer.validate_and_handle()
            self._taken = False

        @keys.add("escape", "enter", filter=on_line)
        def break_line(event: KeyPressEvent) -> None:
            event.current_buffer.newline(copy_margin=False)

        # Eager: with a selection it would wait for a second key.
        @keys.add("c-c", filter=on_line, eager=True)
        def clear(event: KeyPressEvent) -> None:
            event.current_buffer.reset()

        @keys.add("c-d", filter=on_line & empty)
        def end(event: KeyPressEvent) -> None:
            self.quit()

        @keys.add("c-d", filter=on_line & ~empty)
        def delete(event: KeyPressEvent) -> None:
            event.current_buffer.delete()

        @keys.add("c-l")
        def redraw(event: KeyPressEvent) -> None:
            self.redraw()

        keys.add("c-c", filter=on_secret, eager=True)(self._decline)
        keys.add("c-d", filter=on_secret & Condition(lambda: not self._secret.text))(self._decline)

        @keys.add("escape", filter=on_line & has_completions)
        def close_menu(event: KeyPressEvent) -> None:
            event.current_buffer.cancel_completion()

        # Would insert ^Z, send the line with another after it, send it as a comment.
        @keys.add("c-z")
        @keys.add("c-o")
        @keys.add("escape", "#")
        def nothing(event: KeyPressEvent) -> None:
            pass

        def shortcut(line: str) -> Callable[[KeyPressEvent], None]:
            def handler(event: KeyPressEvent) -> None:
                if not self._submit(Line(line, self._shown.context)):
                    self._output.bell()

            return handler

        for name, line in shortcuts.items():
            pressed = ("escape", name[4:]) if name.startswith("alt-") else (name,)
            keys.add(*pressed, filter=on_line)(shortcut(line))
        return keys


class _Application(Application[None]):
    def _on_resize(self) -> None:
        # Found out by looking once in a while: to be drawn when it may be, and not erased before.
        self.invalidate()
