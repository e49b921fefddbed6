"""That no stranger takes a place from a verified peer, looked at where places are given and taken.

What is wrong is raised within the task of a link, which ends by a bug then.
"""

from collections import Counter

from fantom_trio.nursery import Limits, Node
from fantom_trio.nursery.connection import Connection, NotAdmitted
from fantom_trio.wire import Endpoint

__all__ = ["KnownFirst"]


class KnownFirst:
    """Looks on while ``node`` admits handshakes and links, until that one is gone."""

    def __init__(self, node: Node, limits: Limits) -> None:
        self._node = node
        self._limits = limits
        self._admission, self._crowd = node.admission, node._links._crowd
        self._knocks: Counter[tuple[str, str]] = Counter()
        self._enter, self._evict = self._admission.enter, self._admission._evict
        self._make_room = self._crowd.make_room
        self._admission.enter = self._judge_entry  # type: ignore[method-assign]
        self._admission._evict = self._judge_eviction  # type: ignore[method-assign]
        self._crowd.make_room = self._judge_links  # type: ignore[method-assign]

    def _knows(self, peer: Endpoint) -> bool:
        return self._node.greeter.identities.know(peer)

    def _judge_entry(self, connection: Connection) -> None:
        place = (connection.peer.host, connection.peer.zone)
        self._knocks[place] += 1
        try:
            self._enter(connection)
        except NotAdmitted as refusal:
            own = self._knocks[place]
            if self._knows(connection.peer) and own <= self._limits.knocks_burst:
                raise AssertionError("known, and refused for what others do") from refusal
            raise

    def _judge_eviction(self, connection: Connection) -> None:
        waiting = [each.peer for each in self._admission._places]
        own = sum(each.host == connection.peer.host for each in waiting)
        # Of its own address the oldest makes room, whoever it is.
        if self._knows(connection.peer) and own < self._limits.handshakes_address:
            assert all(map(self._knows, waiting)), "known, and evicted before strangers"
        self._evict(connection)

    def _judge_links(self) -> bool:
        before = [each for each in self._crowd._groups if self._is_verified(each)]
        made = self._make_room()
        gone = [each for each in before if each not in self._crowd._groups]
        assert not gone, "verified, and turned out for a stranger"
        return made

    def _is_verified(self, connection: Connection) -> bool:
        owner = self._crowd._owners.get(connection)
        return owner is not None and owner.verified
