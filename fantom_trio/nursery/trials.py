"""The tries of verifying that an identity has left. Every link counts them; few verify anybody."""

import enum

from msgspec import Struct

__all__ = ["MAX_TRIES", "How", "Trials", "TrialsUsedUp"]

#: Of each way, per identity: a man in the middle has one guess a try.
MAX_TRIES = 3


class How(enum.Enum):
    """The two ways; the values are the wire's."""

    CODE = "code"
    WORD = "word"


class TrialsUsedUp(Exception):
    """This identity had its tries of this way: only a new identity can be verified by it."""


class Trials(Struct):
    """The tries of one identity. They outlive its links, and success gives none back."""

    code: int = 0
    word: int = 0

    def used_up(self, how: How) -> bool:
        """Whether no try of this way is left."""
        return (self.code if how is How.CODE else self.word) >= MAX_TRIES

    def count(self, how: How) -> None:
        """One more."""
        if how is How.CODE:
            self.code += 1
        else:
            self.word += 1
