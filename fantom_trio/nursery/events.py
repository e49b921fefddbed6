"""What a node tells, in the order in which it came to be."""

from collections.abc import Sequence
from typing import TypeAlias

from msgspec import Struct  # made in a fortieth of the time that a dataclass takes

from fantom_trio.nursery.connection import Ending
from fantom_trio.nursery.conversation import Conversation
from fantom_trio.nursery.errors import DialError
from fantom_trio.nursery.message import Message
from fantom_trio.nursery.verification import Outcome
from fantom_trio.wire import Endpoint, LinkKind, Role

__all__ = [
    "AlreadyUp",
    "Delivered",
    "DescriptorsOut",
    "DialFailed",
    "Dialing",
    "HistoryFull",
    "LinkEnded",
    "LinkUp",
    "Merged",
    "NodeEvent",
    "NotShown",
    "Received",
    "Redialing",
    "Sent",
    "Unanswered",
    "Verifying",
]


class Dialing(Struct, frozen=True):
    """We began to dial the conversation's peer."""

    conversation: Conversation
    endpoint: Endpoint


class Unanswered(Struct, frozen=True):
    """Nobody answered our dial for so many seconds; a dial to ``own``, our listener, would help."""

    conversation: Conversation
    endpoint: Endpoint
    own: Endpoint
    seconds: float


class DialFailed(Struct, frozen=True):
    """We could not reach a peer; without a conversation where not even a name was found."""

    conversation: Conversation | None
    endpoint: Endpoint
    error: DialError


class AlreadyUp(Struct, frozen=True):
    """We were asked to dial, and our link to that peer is up."""

    conversation: Conversation


class LinkUp(Struct, frozen=True):
    """A link belongs to a conversation and can be used. ``first``: none was up before.

    ``stranger_at``: a conversation with somebody else that has the same address.
    """

    conversation: Conversation
    role: Role
    kind: LinkKind
    first: bool
    stranger_at: Conversation | None = None


class Merged(Struct, frozen=True):
    """The peer we dialed in ``gone`` is the one of ``conversation``, where all goes on."""

    gone: Conversation
    conversation: Conversation


class Redialing(Struct, frozen=True):
    """The last link of a conversation broke: we dial until one is up, or the user stops it."""

    conversation: Conversation
    endpoint: Endpoint


class LinkEnded(Struct, frozen=True):
    """A link is gone and its keys are wiped. ``last``: no other one of the conversation is up.

    Without a conversation it was a stranger who never got as far as one.
    """

    conversation: Conversation | None
    peer: Endpoint
    role: Role
    ending: Ending
    last: bool


class Received(Struct, frozen=True):
    """The peer said these, all of one read; they stand in the history."""

    conversation: Conversation
    messages: Sequence[Message]


class NotShown(Struct, frozen=True):
    """So many messages stand in the history that the screen was too slow to take."""

    conversation: Conversation
    count: int


class Sent(Struct, frozen=True):
    """A link took these of our messages."""

    conversation: Conversation
    messages: Sequence[Message]


class Delivered(Struct, frozen=True):
    """The peer acknowledged these of our messages."""

    conversation: Conversation
    messages: Sequence[Message]


class Verifying(Struct, frozen=True):
    """Something came of a verification: a wish, a code to compare, a match, a failure."""

    conversation: Conversation
    outcome: Outcome


class HistoryFull(Struct, frozen=True):
    """The conversation began to forget its oldest messages; told once."""

    conversation: Conversation


class DescriptorsOut(Struct, frozen=True):
    """The system gave no descriptor for whoever knocked; told once a minute at most.

    They wait, and are let in as soon as there is one.
    """


NodeEvent: TypeAlias = (
    Dialing
    | Unanswered
    | DialFailed
    | Redialing
    | AlreadyUp
    | LinkUp
    | Merged
    | LinkEnded
    | Received
    | NotShown
    | Sent
    | Delivered
    | Verifying
    | HistoryFull
    | DescriptorsOut
)
