"""What the pipe modes share: exit codes, sentences on stderr, and payload on stdout."""

import contextlib
import enum
import functools
import os
import select
import sys
from collections.abc import Callable, Mapping

from fantom_trio.repl import sanitize
from fantom_trio.repl.languages import _

__all__ = ["Exit", "as_json", "tell", "unwritten", "write"]

#: JSON lets these stand, and much that reads line by line takes them for the end of a line.
_LINE_BREAKS = {ord(char): f"\\u{ord(char):04x}" for char in "\x85\u2028\u2029"}


class Exit(enum.IntEnum):
    """The exit codes of the pipe modes."""

    DONE = 0
    #: What came in could not be written down.
    UNWRITTEN = 1
    USAGE = 2
    UNREACHED = 3
    HANDSHAKE = 4
    UNACKNOWLEDGED = 5
    INTERRUPTED = 130


def tell(text: str) -> None:
    """One sentence to stderr, where there is one: stdout is for payload."""
    if sys.stderr is not None:
        # Straight to the descriptor: what a closed pipe does not take must not fail again at exit.
        with contextlib.suppress(OSError):
            os.write(sys.stderr.fileno(), f"fantom-trio: {sanitize.line(text)}\n".encode())


def unwritten(error: OSError | None) -> Exit:
    """Say that standard output takes no more, or that there is none; the exit code for that."""
    if error is None:
        tell(_("There is no standard output to write to."))
    else:
        detail = os.strerror(error.errno or 0)
        tell(_("Standard output takes no more: {detail}.", detail=detail))
    return Exit.UNWRITTEN


@functools.cache
def _encoders() -> tuple[Callable[[object], str], Callable[[object], str]]:
    """The second one gives ASCII; imported when somebody wants JSON."""
    import json

    return json.JSONEncoder(ensure_ascii=False).encode, json.JSONEncoder().encode


def as_json(fields: Mapping[str, object], *, to_terminal: bool) -> bytes:
    """``fields`` as one line of JSON, in UTF-8.

    For a terminal it is ASCII where anything in it could do more than be read: the same JSON.
    """
    encode, encode_in_ascii = _encoders()
    line = encode(fields)
    if to_terminal and sanitize.line(line) != line:
        line = encode_in_ascii(fields)
    elif not line.isascii():
        line = line.translate(_LINE_BREAKS)
    return line.encode() + b"\n"


def write(output: int, data: bytes) -> None:
    """All of ``data``, however long that takes. Raises ``OSError``."""
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(output, left) :]
        except BlockingIOError:  # somebody who shares it made it so
            select.select([], [output], [])
