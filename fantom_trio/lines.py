"""Standard input: all of it as one text, or each line as a message of its own."""

import os

from fantom_trio.nursery import MAX_TEXT, Piece
from fantom_trio.repl.languages import _
from fantom_trio.repl.standard_input import read_some

__all__ = ["Lines", "Unreadable", "read_text"]

READ_SIZE = 16 * 1024


class Unreadable(Exception):
    """Its text says what is wrong with standard input."""


class Lines:
    """Reads no further than it is asked to, so that its memory is the same for any input.

    A line ends with LF or CR LF, the last one also with the input; an empty line is an empty
    message. A line over 61,000 bytes comes in pieces. ``problem`` says what ended it, if it was
    not the end of the input; ``count`` is how many lines came before that.
    """

    def __init__(self, stdin: int) -> None:
        self._stdin = stdin
        #: The begun line.
        self._rest = b""
        self._over = False
        self.count = 0
        self.problem = ""

    async def read(self) -> list[Piece]:
        """The pieces of one read or more, nothing at the end. Nothing is lost when cancelled."""
        pieces: list[Piece] = []
        while not pieces and not self._over:
            try:
                data = await _read(self._stdin)
            except Unreadable as error:
                self._stop(str(error))
                break
            pieces = self._split(data) if data else self._finish()
        return pieces

    def _finish(self) -> list[Piece]:
        self._over = True
        return self._decoded([self._rest]) if self._rest else []

    def _split(self, data: bytes) -> list[Piece]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        pieces = self._decoded(lines)
        while len(self._rest) > MAX_TEXT and not self._over:
            stop = MAX_TEXT
            while self._rest[stop] & 0xC0 == 0x80 and stop > MAX_TEXT - 4:
                stop -= 1  # in the middle of a character
            piece, self._rest = self._rest[:stop], self._rest[stop:]
            pieces += self._decoded([piece], last=False)
        return pieces

    def _decoded(self, lines: list[bytes], *, last: bool = True) -> list[Piece]:
        pieces = []
        for line in lines:
            try:
                text = line.decode()
            except UnicodeDecodeError:
                self._stop(
                    _("Line {n} of standard input is not UTF-8 text.", n=self.count + 1)
                )  # fmt: skip
                break
            pieces.append(Piece(text.removesuffix("\r") if last else text, last))
            self.count += last
        return pieces

    def _stop(self, problem: str) -> None:
        self.problem = problem
        self._over = True


async def read_text(stdin: int) -> str:
    """All of it, but for one line break at the end: that is the shell's. Raises ``Unreadable``."""
    chunks = []
    while data := await _read(stdin):
        chunks.append(data)
    try:
        text = b"".join(chunks).decode()
    except UnicodeDecodeError:
        raise Unreadable(_("Standard input is not UTF-8 text.")) from None
    return text.removesuffix("\n").removesuffix("\r")


async def _read(stdin: int) -> bytes:
    """What is there, empty at the end. Raises ``Unreadable``."""
    try:
        return await read_some(stdin, READ_SIZE)
    except OSError as error:
        detail = os.strerror(error.errno or 0)
        raise Unreadable(_("Cannot read standard input: {detail}.", detail=detail)) from None
