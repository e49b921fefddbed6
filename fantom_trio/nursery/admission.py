"""Who may knock: bounds on handshakes that are not complete, and on how often a network begins one.

A bound that is hit costs somebody of the group that hit it, so that a flood displaces itself first.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import trio

from fantom_trio.nursery.changes import network_of
from fantom_trio.nursery.connection import Connection, Ending, NotAdmitted, Why
from fantom_trio.nursery.limits import Limits
from fantom_trio.wire import Endpoint

__all__ = ["Admission", "group_of", "of_the_largest"]

M = TypeVar("M")


def group_of(peer: Endpoint) -> str:
    """Whoever has this address has all of its group: a /64.

    Of link-local addresses each is one, by its zone: all who share a cable have the same /64.
    """
    return _group_of(peer.host, peer.zone)


@lru_cache(maxsize=1024)
def _group_of(host: str, zone: str) -> str:
    peer = Endpoint(host, 0, zone)
    return f"{host}%{zone}" if peer.is_link_local or peer.is_loopback else network_of(host)


def of_the_largest(members: Iterable[tuple[M, str]]) -> list[M]:
    """Those of the groups that have most of them, in their order."""
    members = list(members)
    sizes = Counter(group for _, group in members)
    most = max(sizes.values(), default=0)
    return [member for member, group in members if sizes[group] == most]


@dataclass(frozen=True, slots=True)
class _Place:
    """What the bounds count a handshake by."""

    address: tuple[str, str]
    #: Its /64, or its address alone.
    group: str
    #: Only the bound in all holds for it.
    local: bool
    #: From the address of a verified peer.
    known: bool

    @property
    def strange(self) -> bool:
        return not (self.local or self.known)


class Admission:
    """The incoming handshakes that are not complete, oldest first.

    ``knows`` tells whether an address is one of a verified peer's. What such an address does is
    counted by the address: whoever else is in its /64 cannot use up its share.
    """

    def __init__(
        self, limits: Limits, knows: Callable[[Endpoint], bool] = lambda peer: False
    ) -> None:
        self._limits = limits
        self._knows = knows
        self._places: dict[Connection, _Place] = {}
        self._pace = _Pace(limits)

    def __len__(self) -> int:
        return len(self._places)

    def enter(self, connection: Connection) -> None:
        """A place for ``connection`` until ``leave``; whose it takes, ends as EVICTED.

        Raises ``NotAdmitted`` where its network comes too often, or only known ones have places.
        """
        place = self._place_of(connection.peer)
        if not place.local and not self._pace.allows(place.group):
            raise NotAdmitted(Why.TOO_OFTEN)
        self._make_room_for(place)
        self._places[connection] = place

    def leave(self, connection: Connection) -> None:
        """Its handshake is over; idempotent."""
        self._places.pop(connection, None)

    def make_room(self) -> bool:
        """Evict one stranger's handshake, whatever the bounds; False: there is none."""
        strange = [each for each, place in self._places.items() if place.strange]
        return self._evict_of_the_largest(strange)

    def _place_of(self, peer: Endpoint) -> _Place:
        address = (peer.host, peer.zone)
        local = peer.is_loopback and not self._limits.loopback_counts
        known = not local and self._knows(peer)
        group = f"{peer.host}%{peer.zone}" if known else group_of(peer)
        return _Place(address, group, local, known)

    def _make_room_for(self, new: _Place) -> None:
        limits, places = self._limits, self._places
        if not new.local:
            of_address = [c for c, each in places.items() if each.address == new.address]
            of_group = [c for c, each in places.items() if each.group == new.group]
            if len(of_address) >= limits.handshakes_address:
                self._evict(of_address[0])
            elif len(of_group) >= limits.handshakes_network:
                self._evict(of_group[0])
        strange = [connection for connection, each in places.items() if each.strange]
        full = len(places) >= limits.handshakes
        if new.strange and len(strange) >= limits.handshakes - limits.handshakes_kept:
            full = True
        if not full or self._evict_of_the_largest(strange):
            return
        if new.strange or not self._evict_of_the_largest(places):
            raise NotAdmitted(Why.CROWDED)

    def _evict_of_the_largest(self, connections: Iterable[Connection]) -> bool:
        """The oldest of the group with the most handshakes.

        Were it the oldest of all, one network that knocks faster than a handshake takes would push
        out everybody else; so it pushes out its own, until all hold as many as a newcomer.
        """
        largest = of_the_largest([(each, self._places[each].group) for each in connections])
        if largest:
            self._evict(largest[0])
        return bool(largest)

    def _evict(self, connection: Connection) -> None:
        del self._places[connection]
        connection.end(Ending(Why.EVICTED))


class _Pace:
    """A token bucket for each group, as the time when it will be full again."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._full_at: dict[str, float] = {}

    def allows(self, group: str) -> bool:
        """Take a token, if there is one."""
        limits, now = self._limits, trio.current_time()
        full_at = max(now, self._full_at.get(group, now)) + 1 / limits.knocks_per_second
        if full_at > now + limits.knocks_burst / limits.knocks_per_second:
            return False
        if group not in self._full_at and len(self._full_at) >= limits.networks:
            self._forget(now)
        self._full_at[group] = full_at
        return True

    def _forget(self, now: float) -> None:
        """The full buckets say nothing; without one, the fullest says least.

        An empty one goes last: to have it forgotten, all others must be emptied as well.
        """
        self._full_at = {group: at for group, at in self._full_at.items() if at > now}
        if len(self._full_at) >= self._limits.networks:
            del self._full_at[min(self._full_at, key=self._full_at.__getitem__)]
