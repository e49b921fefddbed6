"""Who came to us and is not known, and what they did: for the user to look at."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

from fantom_trio.nursery.admission import group_of
from fantom_trio.nursery.connection import Ending, Why
from fantom_trio.nursery.limits import Limits
from fantom_trio.wire import Endpoint, LinkKind, Violation

__all__ = ["Deed", "Stranger", "Strangers"]

#: A link that was up, unverified; a fault, in the handshake or later; why else it was ended.
Deed: TypeAlias = LinkKind | Violation | Why


@dataclass(frozen=True, slots=True)
class Stranger:
    """One network that somebody came from, at some moment of this run, whom nobody verified.

    ``network`` is a /64, for one person may have all of it; link-local and loopback addresses stand
    for themselves, with their ``zone``. ``hosts`` are the first addresses in it that connected;
    ``and_more`` says that others did as well.

    ``knocks`` are its connections, from ``first_at`` to ``last_at``, seconds since the epoch.
    ``deeds`` says how often each thing happened, in the order in which each happened first. A
    connection that is still in its handshake did nothing yet.
    """

    network: str
    zone: str
    hosts: tuple[str, ...]
    and_more: bool
    first_at: float
    last_at: float
    knocks: int
    deeds: Mapping[Deed, int]


@dataclass(slots=True)
class _Entry:
    zone: str
    first_at: float
    last_at: float
    knocks: int = 0
    and_more: bool = False
    #: A set that knows who was first.
    hosts: dict[str, None] = field(default_factory=dict)
    deeds: Counter[Deed] = field(default_factory=Counter)


class Strangers:
    """The log, by network: else whoever has one would have all of the log.

    The one that was quiet longest is dropped when it is full.
    """

    def __init__(self, limits: Limits, now: Callable[[], float]) -> None:
        self._limits = limits
        self._now = now
        self._entries: dict[str, _Entry] = {}

    def knocked(self, peer: Endpoint) -> None:
        """A connection came."""
        network, now = group_of(peer), self._now()
        entry = self._entries.pop(network, None) or _Entry(peer.zone, now, now)
        entry.last_at = now
        entry.knocks += 1
        if peer.host not in entry.hosts:
            if len(entry.hosts) < self._limits.stranger_hosts:
                entry.hosts[peer.host] = None
            else:
                entry.and_more = True
        self._entries[network] = entry
        if len(self._entries) > self._limits.stranger_log:
            del self._entries[next(iter(self._entries))]

    def linked(self, peer: Endpoint, kind: LinkKind) -> None:
        """A link is up, and we do not know with whom."""
        self._note(peer, kind)

    def ended(self, peer: Endpoint, ending: Ending) -> None:
        """Its handshake failed, or its link ended in a way that is worth a word."""
        self._note(peer, ending.violation or ending.why)

    def _note(self, peer: Endpoint, deed: Deed) -> None:
        entry = self._entries.get(group_of(peer))
        if entry is not None:
            entry.deeds[deed] += 1

    def clear(self) -> None:
        """Forget them all."""
        self._entries.clear()

    def snapshot(self, known: Callable[[Endpoint], bool]) -> tuple[Stranger, ...]:
        """Those of whose addresses one at least is not ``known`` by now, the latest first."""
        return tuple(
            Stranger(
                network, entry.zone, tuple(entry.hosts), entry.and_more,
                entry.first_at, entry.last_at, entry.knocks,
                MappingProxyType(dict(entry.deeds)),
            )
            for network, entry in reversed(self._entries.items())
            if entry.and_more
            or not all(known(Endpoint(host, 0, entry.zone)) for host in entry.hosts)
        )  # fmt: skip
