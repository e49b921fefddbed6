"""Every conversation, and whose it is: a native peer by its identity, a classic one by address."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from fantom_trio.nursery.admission import group_of, of_the_largest
from fantom_trio.nursery.conversation import Conversation, ConversationKey
from fantom_trio.nursery.identity import PeerIdentity
from fantom_trio.nursery.limits import Limits
from fantom_trio.wire import Endpoint, LinkKind

__all__ = ["Binding", "Book"]

Fits = Callable[[Conversation], bool]


@dataclass(frozen=True, slots=True)
class Binding:
    """Where a native link belongs.

    ``absorbed``: a conversation that turned out to be with the same peer, and is gone.
    ``stranger_at``: one with somebody else, who was met at this address before.
    """

    conversation: Conversation
    absorbed: Conversation | None = None
    stranger_at: Conversation | None = None


class Book:
    """The conversations by their numbers."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._by_number: dict[int, Conversation] = {}

    def __iter__(self) -> Iterator[Conversation]:
        return iter(sorted(self._by_number.values(), key=lambda each: each.number))

    def __contains__(self, conversation: Conversation) -> bool:
        return self._by_number.get(conversation.number) is conversation

    def remove(self, conversation: Conversation) -> None:
        """Forget it; its number is free again."""
        if conversation in self:
            del self._by_number[conversation.number]

    def classic(self, endpoint: Endpoint) -> Conversation:
        """The conversation of the classic peer at an address, or with whoever will answer there."""
        key = ConversationKey.of(endpoint)
        return self._first(
            lambda each: (
                each.key == key and each.expected is None and each.kind is not LinkKind.NATIVE
            )
        ) or self._new(key)

    def to_dial(self, endpoint: Endpoint, expected: bytes | None) -> Conversation:
        """The conversation that a dial belongs to until we know who answers.

        ``expected`` is the fingerprint in an invite. A native peer whose listener is known is
        taken to be there still.
        """
        if expected is None:
            at_home = self._last(
                lambda each: each.kind is LinkKind.NATIVE and each.endpoint == endpoint
            )
            return at_home or self.classic(endpoint)
        known = self._first(
            lambda each: (
                each.expected == expected
                if each.identity is None
                else each.identity.fingerprint == expected
            )
        )
        if known is None:
            known = self._new(ConversationKey.of(endpoint))
            known.expected = expected
        return known

    def bind(
        self, identity: PeerIdentity, endpoint: Endpoint, dialed: Conversation | None
    ) -> Binding:
        """The conversation of ``identity``, met at ``endpoint``, perhaps for the first time.

        ``dialed`` is the one that we dialed for. A conversation that waits for its first link is
        taken for it: the one that we dialed, or one that expects this peer, or this address.
        """
        key = ConversationKey.of(endpoint)
        known = self._first(lambda each: each.identity is identity)
        if known is not None:
            if dialed is not None and dialed is not known and dialed.kind is None:
                known.absorb(dialed)
                self.remove(dialed)
                return Binding(known, absorbed=dialed)
            return Binding(known)
        # Who cannot be dialed, as one who sent a single message, is not known to be anywhere.
        stranger_at = self._last(
            lambda each: each.key == key and each.kind is not None and each.endpoint is not None
        )
        if dialed is None or dialed.kind is not None:
            dialed = self._first(lambda each: _waits_for(each, identity, key))
        conversation = dialed or self._new(key)
        conversation.belongs_to(identity)
        return Binding(conversation, stranger_at=stranger_at)

    def surplus(self) -> Sequence[Conversation]:
        """Conversations with strangers beyond the bound, and the room of all others shared out.

        Of the /64 that has most of them: first one without a link, then one without a word that is
        unread, then the one that was silent longest. Who knocks under many names pays for it.
        """
        strangers = {each: group_of(Endpoint(each.key.host)) for each in self if each.strange}
        surplus = []
        while len(strangers) > self._limits.strangers:
            largest = of_the_largest(strangers.items())
            first = min(largest, key=lambda each: (each.online, each.unread > 0, each.heard))
            del strangers[first]
            surplus.append(first)
        self._share_out(list(strangers))
        return surplus

    def may_redial(self, conversation: Conversation) -> bool:
        """It is still open; and strangers who break their links do not have us dial everywhere."""
        dialed = sum(each.strange and each.outgoing is not None for each in self)
        few = not conversation.strange or dialed < self._limits.stranger_dials
        return few and conversation in self

    def _share_out(self, strangers: Sequence[Conversation]) -> None:
        """Each remembers as much as any other: one that says more forgets its own words."""
        limits, count = self._limits, max(1, len(strangers))
        messages = min(limits.history_messages, limits.strangers_messages // count)
        size = min(limits.history_bytes, limits.strangers_bytes // count)
        for each in strangers:
            each.history.bound(messages, size)

    def _new(self, key: ConversationKey) -> Conversation:
        number = next(n for n in itertools.count(1) if n not in self._by_number)
        self._by_number[number] = Conversation(key, number, self._limits)
        return self._by_number[number]

    def _first(self, fits: Fits) -> Conversation | None:
        return next(filter(fits, self), None)

    def _last(self, fits: Fits) -> Conversation | None:
        return next(filter(fits, reversed(list(self))), None)


def _waits_for(each: Conversation, identity: PeerIdentity, key: ConversationKey) -> bool:
    if each.kind is not None:
        return False
    if each.expected is not None:
        return each.expected == identity.fingerprint
    return each.key == key
