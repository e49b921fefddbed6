"""Who came to us and is not known, and what they did: for the user to look at."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

from fantom_trio.nursery.connection import Ending, Why
from fantom_trio.nursery.limits import Limits
from fantom_trio.wire import Endpoint, LinkKind, Violation

__all__ = ["Deed", "Stranger", "Strangers"]

#: A link that was up, unverified; a fault, in the handshake or later; why else it was ended.
Deed: TypeAlias = LinkKind | Violation | Why


@dataclass(frozen=True, slots=True)
class Stranger:
    """One address that nobody verified came from, at some moment of this run.

    ``knocks`` are its connections, from ``first_at`` to ``last_at``, seconds since the epoch.
    ``deeds`` says how often each thing happened, in the order in which each happened first. A
    connection that is still in its handshake did nothing yet.
    """

    host: str
    zone: str
    first_at: float
    last_at: float
    knocks: int
    deeds: Mapping[Deed, int]


@dataclass(slots=True)
class _Entry:
    first_at: float
    last_at: float
    knocks: int = 0
    deeds: Counter[Deed] = field(default_factory=Counter)


class Strangers:
    """The log, by address and zone; the one that was quiet longest is dropped when it is full."""

    def __init__(self, limits: Limits, now: Callable[[], float]) -> None:
        self._limits = limits
        self._now = now
        self._entries: dict[tuple[str, str], _Entry] = {}

    def knocked(self, peer: Endpoint) -> None:
        """A connection came."""
        place, now = (peer.host, peer.zone), self._now()
        entry = self._entries.pop(place, None) or _Entry(now, now)
        entry.last_at = now
        entry.knocks += 1
        self._entries[place] = entry
        if len(self._entries) > self._limits.stranger_log:
            del self._entries[next(iter(self._entries))]

    def linked(self, peer: Endpoint, kind: LinkKind) -> None:
        """A link is up, and we do not know with whom."""
        self._note(peer, kind)

    def ended(self, peer: Endpoint, ending: Ending) -> None:
        """Its handshake failed, or its link ended in a way that is worth a word."""
        self._note(peer, ending.violation or ending.why)

    def _note(self, peer: Endpoint, deed: Deed) -> None:
        entry = self._entries.get((peer.host, peer.zone))
        if entry is not None:
            entry.deeds[deed] += 1

    def clear(self) -> None:
        """Forget them all."""
        self._entries.clear()

    def snapshot(self, known: Callable[[Endpoint], bool]) -> tuple[Stranger, ...]:
        """Those at addresses that are not ``known`` by now, the one that came last first."""
        return tuple(
            Stranger(
                *place, entry.first_at, entry.last_at, entry.knocks,
                MappingProxyType(dict(entry.deeds)),
            )
            for place, entry in reversed(self._entries.items())
            if not known(Endpoint(place[0], 0, place[1]))
        )  # fmt: skip
