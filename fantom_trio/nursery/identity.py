"""The identities we met: what must be known of each for as long as the program runs."""

import math
from collections import Counter
from collections.abc import Collection
from typing import TypeAlias

from fantom_trio.nursery.limits import Limits
from fantom_trio.nursery.message import Message
from fantom_trio.nursery.trials import Trials
from fantom_trio.wire import Delivery, Endpoint, fingerprint

__all__ = ["Identities", "PeerIdentity"]


#: An address and its zone.
_Place: TypeAlias = tuple[str, str]


class PeerIdentity:
    """One peer's static key, and what outlives its links and conversations."""

    __slots__ = (
        "_homes", "_verified", "acknowledged_at", "addresses", "answers_from", "code_shown",
        "delivery", "distrusted", "key", "knocks_from", "token", "trials",
    )  # fmt: skip

    def __init__(
        self, key: bytes, *, verified: bool = False, homes: Counter[_Place] | None = None
    ) -> None:
        #: 32 bytes.
        self.key = key
        self.delivery: Delivery[Message] = Delivery()
        self.trials = Trials()
        #: The user saw that a code differed: no invite makes up for that.
        self.distrusted = False
        #: A code was shown, and the user has not answered.
        self.code_shown = False
        #: What its invite gave us to present, if there was one.
        self.token: bytes | None = None
        #: When it last acknowledged something, by ``connection.tick``.
        self.acknowledged_at = 0
        #: On Trio's clock: when its ``knock`` is answered at the soonest, and we may send ours.
        self.answers_from = -math.inf
        self.knocks_from = -math.inf
        #: Where it was linked from last.
        self.addresses: tuple[_Place, ...] = ()
        self._verified = verified
        #: How many verified ones there are at each address.
        self._homes = homes

    @property
    def verified(self) -> bool:
        """We know who it is: by invite, code or word."""
        return self._verified

    @verified.setter
    def verified(self, verified: bool) -> None:
        if verified != self._verified:
            here = self.addresses
            self.addresses = self._lives_at(())
            self._verified = verified
            self.addresses = self._lives_at(here)

    def linked(self, peer: Endpoint, most: int) -> None:
        """A link is up, and ``peer`` is its other end: the last of ``most`` addresses."""
        place = (peer.host, peer.zone)
        others = [each for each in self.addresses if each != place]
        self.addresses = self._lives_at((*others, place)[-most:])

    def _lives_at(self, addresses: tuple[_Place, ...]) -> tuple[_Place, ...]:
        """``addresses``, once they are counted instead of those before."""
        if self._verified and self._homes is not None:
            self._homes.subtract(self.addresses)
            for gone in self.addresses:
                if not self._homes[gone]:
                    del self._homes[gone]
            self._homes.update(addresses)
        return addresses

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
        #: How many of them are verified, at each address.
        self._homes: Counter[_Place] = Counter()

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: bytes) -> PeerIdentity | None:
        """The identity, if it was met before."""
        return self._known.get(key)

    def meet(self, key: bytes) -> PeerIdentity:
        """The identity, new or not."""
        identity = self._known.pop(key, None) or PeerIdentity(key, homes=self._homes)
        self._known[key] = identity
        return identity

    def linked(self, identity: PeerIdentity, peer: Endpoint) -> None:
        """A link with ``identity`` is up, and ``peer`` is its other end."""
        identity.linked(peer, self._limits.addresses)

    def know(self, peer: Endpoint) -> bool:
        """A verified identity is, or was, linked from that address."""
        return (peer.host, peer.zone) in self._homes

    def forget_strangers(self, keep: Collection[PeerIdentity]) -> None:
        """Those that were met longest ago, beyond the bound; never one whom the user judged.

        ``keep``, which finds each at once, have a conversation. Who is forgotten begins anew, and
        where it wrote to us before must do so as well: its program holds that we know how far it
        got.
        """
        if len(self._known) - len(keep) <= self._limits.identities:
            return
        loose = [
            each
            for each in self._known.values()
            if not (each.verified or each.distrusted or each in keep)
        ]
        for each in loose[: max(0, len(loose) - self._limits.identities)]:
            del self._known[each.key]
