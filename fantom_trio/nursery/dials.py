"""The dials under way: whose peer a link that comes in may be."""

from collections.abc import Collection

from fantom_trio.nursery.approach import Approach
from fantom_trio.nursery.connection import Connection
from fantom_trio.nursery.conversation import Conversation, Outgoing
from fantom_trio.wire import Endpoint, fingerprint

__all__ = ["Dials"]


class Dials:
    """Each from its first packet until it is answered, found by the address and port it goes to."""

    def __init__(self) -> None:
        self._under_way: dict[tuple[str, int], dict[Outgoing, Conversation]] = {}

    def begin(self, outgoing: Outgoing, conversation: Conversation) -> None:
        """It is under way, for ``conversation``."""
        place = (outgoing.endpoint.host, outgoing.endpoint.port)
        self._under_way.setdefault(place, {})[outgoing] = conversation

    def end(self, outgoing: Outgoing) -> None:
        """It was answered, or given up."""
        place = (outgoing.endpoint.host, outgoing.endpoint.port)
        del self._under_way[place][outgoing]
        if not self._under_way[place]:
            del self._under_way[place]

    def go_out_from(self, listener: Endpoint | None) -> None:
        """We listen there now."""
        for approach in self._approaches():
            approach.moved(listener)

    def lose(self, hosts: Collection[str]) -> None:
        """No interface has these addresses any more."""
        for approach in self._approaches():
            if approach.source is not None and approach.source.host in hosts:
                approach.lost_source()

    def _approaches(self) -> list[Approach]:
        dials = [dial for each in self._under_way.values() for dial in each]
        return [dial.approach for dial in dials if dial.approach is not None]

    def to(self, connection: Connection) -> Conversation | None:
        """The one whose peer we dial, where this link came from that very address and port."""
        place = (connection.peer.host, connection.peer.port)
        fitting = [
            conversation
            for dial, conversation in self._under_way.get(place, {}).items()
            if conversation.outgoing is dial
            if dial.expected in (None, fingerprint(connection.identity))
        ]
        return min(fitting, key=lambda each: each.number, default=None)
