"""One message of a conversation, and how far it came."""

import enum
import sys

from msgspec import Struct

__all__ = ["Message", "State"]

#: About what a ``str`` takes beside its text; of a short one nothing else counts.
_HEADER_BYTES = 128


class State(enum.Enum):
    """How far a message came."""

    RECEIVED = "received"
    WAITING = "waiting"
    #: A link took it.
    SENT = "sent"
    #: The peer acknowledged it.
    DELIVERED = "delivered"
    #: Nobody wrote it: something that happened to the conversation, told where it happened.
    NOTED = "noted"


class Message(Struct, eq=False, gc=False):
    """One message; ``at`` is seconds since the epoch on our own clock.

    It refers to nothing that refers to it: the garbage collector need not look at thousands.
    """

    text: str
    at: float
    state: State
    #: It was not UTF-8 and holds replacements.
    damaged: bool = False
    #: It is on the screen.
    shown: bool = False
    #: The peer was verified when it came; never changes afterwards.
    verified: bool = False
    #: The number under which a native peer said it, 0 for every other message.
    id: int = 0

    @property
    def mine(self) -> bool:
        """We wrote it."""
        return self.state in (State.WAITING, State.SENT, State.DELIVERED)

    @property
    def size(self) -> int:
        """Bytes of memory, about: what counts against the bounds.

        One character beyond the first 65,536 makes Python keep four bytes for each of the text.
        """
        if self.text.isascii():
            return len(self.text)
        encoded = len(self.text.encode("utf-8", "replace"))
        return max(encoded, sys.getsizeof(self.text) - _HEADER_BYTES)
