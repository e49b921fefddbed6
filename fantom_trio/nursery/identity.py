"""The identities we met: what must be known of each for as long as the program runs."""

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from fantom_trio.nursery.limits import Limits
from fantom_trio.nursery.message import Message
from fantom_trio.nursery.trials import Trials
from fantom_trio.wire import Delivery, Endpoint, fingerprint

__all__ = ["Identities", "PeerIdentity"]


@dataclass(eq=False)
class PeerIdentity:
    """One peer's static key, and what outlives its links and conversations."""

    #: 32 bytes.
    key: bytes
    delivery: Delivery[Message] = field(default_factory=Delivery)
    trials: Trials = field(default_factory=Trials)
    #: We know who it is: by invite, code or word.
    verified: bool = False
    #: The user saw that a code differed: no invite makes up for that.
    distrusted: bool = False
    #: A code was shown, and the user has not answered.
    code_shown: bool = False
    #: What its invite gave us to present, if there was one.
    token: bytes | None = field(default=None, repr=False)
    #: When it last acknowledged something, by ``connection.tick``.
    acknowledged_at: int = 0
    #: On Trio's clock: when its ``knock`` is answered at the soonest, and when we may send ours.
    answers_from: float = -math.inf
    knocks_from: float = -math.inf
    #: Where it was linked from last, by address and zone.
    addresses: deque[tuple[str, str]] = field(default_factory=deque)

    def invited(self) -> None:
        """An invite says who it is."""
        self.verified = not self.distrusted

    @property
    def fingerprint(self) -> bytes:
        """What an invite calls it, 20 bytes."""
        return fingerprint(self.key)


class Identities:
    """The identities that got as far as a ``hello``, by their keys; the latest met last."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._known: dict[bytes, PeerIdentity] = {}

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: bytes) -> PeerIdentity | None:
        """The identity, if it was met before."""
        return self._known.get(key)

    def meet(self, key: bytes) -> PeerIdentity:
        """The identity, new or not."""
        identity = self._known.pop(key) if key in self._known else PeerIdentity(key)
        self._known[key] = identity
        return identity

    def linked(self, identity: PeerIdentity, peer: Endpoint) -> None:
        """A link with ``identity`` is up, and ``peer`` is its other end."""
        place = (peer.host, peer.zone)
        if place in identity.addresses:
            identity.addresses.remove(place)
        identity.addresses.append(place)
        while len(identity.addresses) > self._limits.addresses:
            identity.addresses.popleft()

    def know(self, peer: Endpoint) -> bool:
        """A verified identity is, or was, linked from that address."""
        place = (peer.host, peer.zone)
        return any(each.verified and place in each.addresses for each in self._known.values())

    def forget_strangers(self, keep: Iterable[PeerIdentity | None]) -> None:
        """Those that were met longest ago, beyond the bound; never one whom the user judged.

        ``keep`` have a conversation. Who is forgotten begins anew, and where it wrote to us before
        must do so as well: its program holds that we know how far it got.
        """
        if len(self._known) <= self._limits.identities:
            return
        kept = set(map(id, keep))
        loose = [
            each
            for each in self._known.values()
            if not (each.verified or each.distrusted or id(each) in kept)
        ]
        for each in loose[: max(0, len(loose) - self._limits.identities)]:
            del self._known[each.key]
