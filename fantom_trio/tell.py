"""What the pipe modes share: exit codes, and sentences on stderr."""

import contextlib
import enum
import os
import sys

from fantom_trio.repl import sanitize

__all__ = ["Exit", "tell"]


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
