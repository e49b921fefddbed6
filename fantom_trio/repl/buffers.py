"""The line that is being typed: what it remembers, how it is completed, how it is shown."""

import re
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.history import History
from prompt_toolkit.layout import BufferControl, UIContent
from prompt_toolkit.layout.processors import Processor, Transformation, TransformationInput

from fantom_trio.repl.terminal import Suggestion

__all__ = ["LineBuffer", "LineControl", "Recent", "ShowOdd", "Suggestions"]

HISTORY_LINES = 1000  # kept in memory, and nowhere else

_ODD = re.compile("[\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e0fff]")


class Suggestions(Completer):
    """What ``complete`` finds for the text before the cursor."""

    def __init__(self, complete: Callable[[str], Sequence[Suggestion]]) -> None:
        self._complete = complete

    def get_completions(self, document: Document, event: CompleteEvent) -> Iterable[Completion]:
        # Text of several lines is never a command.
        if "\n" not in document.text:
            for found in self._complete(document.text_before_cursor):
                yield Completion(found.text, -found.replaces, display_meta=found.help)


class LineBuffer(Buffer):
    """Has its history at once: loaded after the next drawing, Up would miss it in fast typing."""

    def reset(self, document: Document | None = None, append_to_history: bool = False) -> None:
        """An empty line, or ``document``, after all that is remembered."""
        super().reset(document, append_to_history)
        lines = self.history.get_strings()
        self._working_lines.extendleft(reversed(lines))
        self.working_index = len(lines)

    def load_history_if_not_yet_loaded(self) -> None:
        """Nothing: ``reset`` did."""


class Recent(History):
    """The lines of this run, for Up and Ctrl-R; never in a file."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: deque[str] = deque(maxlen=HISTORY_LINES)

    def get_strings(self) -> list[str]:
        """The oldest first."""
        return list(self._lines)

    def append_string(self, string: str) -> None:
        """Remember a line; the oldest goes when there are too many."""
        self._lines.append(string)

    def load_history_strings(self) -> Iterable[str]:
        """There is nothing to load them from."""
        return self.get_strings()

    def store_string(self, string: str) -> None:
        """Nowhere."""

    def forget(self) -> None:
        """Drop them all."""
        self._lines.clear()


class LineControl(BufferControl):
    """Draws the blank under the cursor at the end of a line, too.

    Else the cursor may stand behind all that is drawn, and terminals that wrap it anew do not agree
    on where it goes then.
    """

    def create_content(self, width: int, height: int, preview_search: bool = False) -> UIContent:
        """The lines, each with that blank."""
        content = super().create_content(width, height, preview_search)
        get_line = content.get_line
        content.get_line = lambda number: [*get_line(number)[:-1], ("fg:default", " ")]
        return content


class ShowOdd(Processor):
    """Pasted characters that are not seen, or turn the line round, are drawn as U+FFFD."""

    def apply_transformation(self, transformation_input: TransformationInput) -> Transformation:
        """One for one: the cursor's column stays."""
        shown: StyleAndTextTuples = [
            (fragment[0], _ODD.sub("\ufffd", fragment[1]))
            for fragment in transformation_input.fragments
        ]
        return Transformation(shown)
