"""The identities we met: what must be known of each for as long as the program runs."""

import math
from dataclasses import dataclass, field

from fantom_trio.nursery.message import Message
from fantom_trio.nursery.verification import Trials
from fantom_trio.wire import Delivery, fingerprint

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

    def invited(self) -> None:
        """An invite says who it is."""
        self.verified = not self.distrusted

    @property
    def fingerprint(self) -> bytes:
        """What an invite calls it, 20 bytes."""
        return fingerprint(self.key)


class Identities:
    """Every identity that ever got as far as a ``hello``, by its key."""

    def __init__(self) -> None:
        self._known: dict[bytes, PeerIdentity] = {}

    def get(self, key: bytes) -> PeerIdentity | None:
        """The identity, if it was met before."""
        return self._known.get(key)

    def meet(self, key: bytes) -> PeerIdentity:
        """The identity, new or not."""
        return self._known.setdefault(key, PeerIdentity(key))
