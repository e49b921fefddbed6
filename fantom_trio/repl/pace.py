"""How often others may be told of: whoever comes as often as they like cannot scroll the screen."""

import enum
import math

import trio

from fantom_trio.nursery import LinkEnded, LinkUp, NodeEvent, Why
from fantom_trio.repl.bounds import (
    ALARM_SECONDS,
    STRANGER_NOTICES,
    STRANGER_SECONDS,
    TURNED_AWAY_NOTICES,
    TURNED_AWAY_SECONDS,
)

__all__ = ["Kind", "Notices", "Pace", "kind_of"]


class Pace:
    """So many at once, and then one in so many seconds; the others are counted."""

    def __init__(self, most: int, seconds: float) -> None:
        self._most, self._seconds = most, seconds
        self._room: float = most
        self._at = -math.inf
        self._left_out = 0

    def take(self) -> int | None:
        """How many were left out since the last that was not; None: so is this one."""
        now = trio.current_time()
        self._room = min(self._most, self._room + (now - self._at) / self._seconds)
        self._at = now
        if self._room < 1:
            self._left_out += 1
            return None
        self._room -= 1
        left_out, self._left_out = self._left_out, 0
        return left_out


class Kind(enum.Enum):
    """Notices about strangers that have a pace together; none of them can hide one of another."""

    #: Of a conversation that the user took no notice of: arrivals, departures, wishes.
    MET = enum.auto()
    TURNED_AWAY = enum.auto()
    #: Who came with an invite of ours that somebody else used, or none that is known.
    BAD_INVITE = enum.auto()
    BUG = enum.auto()
    #: At the address of a peer that the user knows.
    IN_A_KNOWN_PLACE = enum.auto()


_ALARM = (1, ALARM_SECONDS)
_PACES = {
    Kind.MET: (STRANGER_NOTICES, STRANGER_SECONDS),
    Kind.TURNED_AWAY: (TURNED_AWAY_NOTICES, TURNED_AWAY_SECONDS),
    Kind.BAD_INVITE: _ALARM,
    Kind.BUG: _ALARM,
    Kind.IN_A_KNOWN_PLACE: _ALARM,
}


def kind_of(event: NodeEvent) -> Kind | None:
    """None: it is about somebody whom the user knows, or about ourselves."""
    if isinstance(event, LinkEnded) and event.conversation is None:
        alarms = {Why.BAD_INVITE: Kind.BAD_INVITE, Why.BUG: Kind.BUG}
        return alarms.get(event.ending.why, Kind.TURNED_AWAY)
    conversation = getattr(event, "conversation", None)
    if conversation is None or not conversation.strange:
        return None
    known_place = isinstance(event, LinkUp) and event.stranger_at is not None
    return Kind.IN_A_KNOWN_PLACE if known_place else Kind.MET


class Notices:
    """The paces of all kinds."""

    def __init__(self) -> None:
        self._paces = {kind: Pace(*pace) for kind, pace in _PACES.items()}

    def take(self, kind: Kind | None) -> int | None:
        """As ``Pace.take``; what is about no stranger is never left out."""
        return 0 if kind is None else self._paces[kind].take()
