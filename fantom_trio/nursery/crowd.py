"""The links that peers dialed and that are up, and what is kept of whom when there are many."""

from collections.abc import Iterable

from fantom_trio.nursery.admission import group_of, of_the_largest
from fantom_trio.nursery.book import Book
from fantom_trio.nursery.connection import Connection, Ending, NotAdmitted, Why
from fantom_trio.nursery.conversation import Conversation
from fantom_trio.nursery.identity import Identities
from fantom_trio.nursery.limits import Limits
from fantom_trio.nursery.strangers import Strangers
from fantom_trio.nursery.turns import Turns
from fantom_trio.wire import LinkKind, Role

__all__ = ["Crowd"]


class Crowd:
    """As many links as there are descriptors for, and as many strangers as there is memory for.

    Only a stranger's link is turned out, whoever comes, or for a verified peer that of one who is
    not: of the /64 that has most of them the one that was silent longest. Were the newcomer refused
    instead, whoever took all the places first, and says nothing on them, would keep everybody out
    for good.
    """

    def __init__(
        self, limits: Limits, identities: Identities, book: Book, strangers: Strangers
    ) -> None:
        self._limits = limits
        self._identities = identities
        self._book = book
        self._strangers = strangers
        #: What those say who are not known is looked at in turns.
        self.turns = Turns(limits)
        self._groups: dict[Connection, str] = {}
        self._owners: dict[Connection, Conversation] = {}

    def __len__(self) -> int:
        return len(self._groups)

    def knocked(self, connection: Connection, handshakes: int, *, asked: bool) -> None:
        """Somebody connected, beside so many whose handshakes are under way.

        ``asked``: because we wanted a connection from there.
        """
        known = self._identities.know(connection.peer)
        few = handshakes < self._limits.handshakes_unhindered
        connection.turns = None if known or few else self.turns
        if not (known or asked):
            self._strangers.knocked(connection.peer)

    def enter(self, connection: Connection) -> None:
        """A place for ``connection`` until ``leave``; raises ``NotAdmitted``."""
        if len(self._groups) >= self._limits.links and not (
            self.make_room() or (self._is_verified(connection) and self._turn_out_unverified())
        ):
            raise NotAdmitted(Why.CROWDED)
        self._groups[connection] = group_of(connection.peer)

    def leave(self, connection: Connection) -> None:
        """It is up no more; idempotent."""
        self._groups.pop(connection, None)

    def make_room(self) -> bool:
        """Turn one stranger out; False: there is none."""
        return self._turn_out_of(each for each in self._groups if self._is_strange(each))

    def _turn_out_unverified(self) -> bool:
        """Whom the user took notice of goes for one that is verified, and for nobody else."""
        return self._turn_out_of(each for each in self._groups if not self._is_verified(each))

    def _turn_out_of(self, connections: Iterable[Connection]) -> bool:
        grouped = [(each, self._groups[each]) for each in connections]
        silent = min(of_the_largest(grouped), key=lambda each: each.heard, default=None)
        if silent is None:
            return False
        del self._groups[silent]
        silent.turn_out()
        return True

    def _is_strange(self, connection: Connection) -> bool:
        owner = self._owners.get(connection)
        return owner is None or owner.strange

    def _is_verified(self, connection: Connection) -> bool:
        if connection.link.kind is not LinkKind.NATIVE:
            return False
        identity = self._identities.get(connection.identity)
        return identity is not None and identity.verified

    def joined(self, connection: Connection, conversation: Conversation) -> None:
        """The link is ``conversation``'s from here on; whatever is too much for it goes."""
        self._owners[connection] = conversation
        connection.turns = self.turns if conversation.strange else None
        if conversation.identity is not None:
            self._identities.linked(conversation.identity, connection.peer)
        if connection.role is Role.LISTENER and not conversation.verified:
            assert connection.link.kind is not None
            self._strangers.linked(connection.peer, connection.link.kind)
        native = [session.connection for session in conversation.sessions]
        # One that says goodbye counts until it is gone: newer ones may come faster than that takes.
        links = [each for each in (*conversation.incoming, *native) if not each.scope.cancel_called]
        if len(links) > self._limits.links_of_peer:
            min(links, key=lambda each: each.began).turn_out()
        for each in self._book.surplus():
            each.stop_dialing()
            for link in each.links:
                link.turn_out()
            each.forget()
            self._book.remove(each, retire=True)
        self._identities.forget_strangers(self._book.identities)

    def left(self, connection: Connection, ending: Ending) -> Conversation | None:
        """The link is gone: whose it was, if it came so far."""
        conversation = self._owners.pop(connection, None)
        noted = conversation is None or ending.why in (Why.VIOLATION, Why.CROWDED)
        if noted and connection.role is Role.LISTENER:
            self._strangers.ended(connection.peer, ending)
        if conversation is not None:
            conversation.last_heard = max(conversation.last_heard, connection.heard)
        return conversation
