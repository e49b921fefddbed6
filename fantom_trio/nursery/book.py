"""Every conversation, and whose it is: a native peer by its identity, a classic one by address."""

from collections import defaultdict, deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from operator import attrgetter

from fantom_trio.nursery.admission import group_of, of_the_largest
from fantom_trio.nursery.conversation import Conversation, ConversationKey
from fantom_trio.nursery.identity import PeerIdentity
from fantom_trio.nursery.limits import Limits
from fantom_trio.wire import Endpoint

__all__ = ["Binding", "Book"]

#: Of a native peer on this machine that nobody can dial: any number of them are there.
_NOWHERE = ConversationKey.of(Endpoint("::1", 0))

_number = attrgetter("number")

#: Numbers that are kept out of use.
_MAX_RETIRED = 4096


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
    """The conversations by their numbers.

    Whose a link is, is found at once, however many there are: what a stranger's handshake costs
    does not grow with the number of our friends.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._by_number: dict[int, Conversation] = {}
        self._by_identity: dict[PeerIdentity, Conversation] = {}
        #: By fingerprint: with whom an invite says will answer, but nobody did yet.
        self._expected: dict[bytes, Conversation] = {}
        #: With a classic peer, or with whoever will answer at an address.
        self._at: dict[ConversationKey, Conversation] = {}
        #: Native ones by where they were met last, unless that is only this machine.
        self._natives: defaultdict[ConversationKey, set[Conversation]] = defaultdict(set)
        #: Those that were strange when they were last looked at.
        self._strangers: dict[Conversation, None] = {}
        #: The lowest is given out first.
        self._free_numbers: list[int] = []
        #: Of strangers who made room: what the user was told of the number holds for nobody else.
        self._retired: deque[int] = deque()

    def __iter__(self) -> Iterator[Conversation]:
        return iter(sorted(self._by_number.values(), key=_number))

    def __contains__(self, conversation: Conversation) -> bool:
        return self._by_number.get(conversation.number) is conversation

    @property
    def identities(self) -> Collection[PeerIdentity]:
        """Those that have a conversation."""
        return self._by_identity.keys()

    def remove(self, conversation: Conversation, *, retire: bool = False) -> None:
        """Forget it; its number is free again, or after thousands of others: ``retire``."""
        if conversation not in self:
            return
        del self._by_number[conversation.number]
        if retire:
            self._retired.append(conversation.number)
            if len(self._retired) > _MAX_RETIRED:
                heappush(self._free_numbers, self._retired.popleft())
        else:
            heappush(self._free_numbers, conversation.number)
        self._strangers.pop(conversation, None)
        if conversation.identity is not None:
            del self._by_identity[conversation.identity]
            self._leave(conversation)
        elif conversation.expected is not None:
            del self._expected[conversation.expected]
        else:
            del self._at[conversation.key]

    def classic(self, endpoint: Endpoint) -> Conversation:
        """The conversation of the classic peer at an address, or with whoever will answer there."""
        key = ConversationKey.of(endpoint)
        found = self._at.get(key)
        if found is None:
            found = self._at[key] = self._new(key)
        return found

    def to_dial(self, endpoint: Endpoint, expected: bytes | None) -> Conversation:
        """The conversation that a dial belongs to until we know who answers.

        ``expected`` is the fingerprint in an invite. A native peer whose listener is known is
        taken to be there still.
        """
        if expected is None:
            at_home = [each for each in self._by_identity.values() if each.endpoint == endpoint]
            return max(at_home, key=_number, default=None) or self.classic(endpoint)
        for each, conversation in self._by_identity.items():
            if each.fingerprint == expected:
                return conversation
        known = self._expected.get(expected)
        if known is None:
            known = self._expected[expected] = self._new(ConversationKey.of(endpoint))
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
        known = self._by_identity.get(identity)
        if known is not None:
            self._move(known, key)
            if dialed is not None and dialed is not known and dialed.kind is None:
                known.absorb(dialed)
                self.remove(dialed)
                return Binding(known, absorbed=dialed)
            return Binding(known)
        # Who cannot be dialed, as one who sent a single message, is not known to be anywhere.
        at = {*self._natives.get(key, ()), *filter(None, [self._at.get(key)])}
        met = [each for each in at if each.kind is not None and each.endpoint is not None]
        if dialed is None or dialed.kind is not None or dialed not in self:
            dialed = self._that_waits_for(identity, key)
        conversation = dialed
        if conversation is None:
            conversation = self._new(key)
        elif conversation.expected is not None:
            del self._expected[conversation.expected]
        else:
            del self._at[conversation.key]
        self._by_identity[identity] = conversation
        conversation.belongs_to(identity)
        self._move(conversation, key)
        return Binding(conversation, stranger_at=max(met, key=_number, default=None))

    def _that_waits_for(self, identity: PeerIdentity, key: ConversationKey) -> Conversation | None:
        expecting = self._expected.get(identity.fingerprint) if self._expected else None
        waiting = [each for each in (expecting, self._at.get(key)) if each and each.kind is None]
        return min(waiting, key=_number, default=None)

    def _move(self, conversation: Conversation, key: ConversationKey) -> None:
        """A native peer was met at ``key``."""
        self._leave(conversation)
        conversation.key = key
        if key != _NOWHERE:
            self._natives[key].add(conversation)

    def _leave(self, conversation: Conversation) -> None:
        there = self._natives[conversation.key]
        there.discard(conversation)
        if not there:
            del self._natives[conversation.key]

    def surplus(self) -> Sequence[Conversation]:
        """Conversations with strangers beyond the bound, and the room of all others shared out.

        Of the /64 that has most of them: first one without a link, then one without a word that is
        unread, then the one that was silent longest. Who knocks under many names pays for it.
        """
        strangers = self._strange()
        surplus = []
        while len(strangers) > self._limits.strangers:
            groups = ((each, group_of(Endpoint(each.key.host))) for each in strangers)
            largest = of_the_largest(groups)
            first = min(largest, key=lambda each: (each.online, each.unread > 0, each.heard))
            strangers.remove(first)
            surplus.append(first)
        self._share_out(strangers)
        return surplus

    def may_redial(self, conversation: Conversation) -> bool:
        """It is still open; and strangers who break their links do not have us dial everywhere."""
        if conversation not in self or not conversation.strange:
            return conversation in self
        dialed = sum(each.outgoing is not None for each in self._strange())
        return dialed < self._limits.stranger_dials

    def _strange(self) -> list[Conversation]:
        """Who is a stranger no more never is one again."""
        for each in [each for each in self._strangers if not each.strange]:
            del self._strangers[each]
        return list(self._strangers)

    def _share_out(self, strangers: Sequence[Conversation]) -> None:
        """Each remembers as much as any other: one that says more forgets its own words."""
        limits, count = self._limits, max(1, len(strangers))
        messages = min(limits.history_messages, limits.strangers_messages // count)
        size = min(limits.history_bytes, limits.strangers_bytes // count)
        for each in strangers:
            if (each.history.most_messages, each.history.most_bytes) != (messages, size):
                each.history.bound(messages, size)

    def _new(self, key: ConversationKey) -> Conversation:
        free = self._free_numbers
        number = heappop(free) if free else len(self._by_number) + len(self._retired) + 1
        new = self._by_number[number] = Conversation(key, number, self._limits)
        self._strangers[new] = None
        return new
