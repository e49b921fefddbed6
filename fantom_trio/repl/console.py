"""Which of the two terminals fits standard input and output."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TextIO

from fantom_trio.repl.terminal import Suggestion, Terminal, is_capable

__all__ = ["is_screen", "open_terminal"]


def is_screen(stdin: TextIO | None, stdout: TextIO | None) -> bool:
    """Both ends are a terminal that can move its cursor."""
    return is_capable() and all(
        stream is not None and not stream.closed and stream.isatty() for stream in (stdin, stdout)
    )


def open_terminal(
    *,
    completer: Callable[[str], Sequence[Suggestion]] = lambda before: (),
    shortcuts: Mapping[str, str] | None = None,
    stdin: TextIO | None = None,
    stdout: TextIO | None = None,
) -> Terminal:
    """The terminal that fits standard input and output.

    ``completer`` gets the text before the cursor and is called from another thread: it reads
    immutable snapshots only, and quickly. ``shortcuts`` maps keys, such as ``"alt-1"`` or
    ``"f1"``, to the line they send.
    """
    stdin, stdout = stdin or sys.stdin, stdout or sys.stdout
    # Imported here: a pipe need not wait for prompt_toolkit, a tenth of a second.
    if stdin is not None and stdout is not None and is_screen(stdin, stdout):
        from fantom_trio.repl.screen import ScreenTerminal

        return ScreenTerminal(
            completer=completer, shortcuts=shortcuts or {}, stdin=stdin, stdout=stdout
        )
    from fantom_trio.repl.plain import PlainTerminal

    return PlainTerminal(stdin=stdin, stdout=stdout)
