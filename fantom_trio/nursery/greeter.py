"""What we say first on a native link, and whom we let in."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from fantom_trio import __version__
from fantom_trio.nursery.connection import Why
from fantom_trio.nursery.identity import Identities
from fantom_trio.nursery.invites import Invites
from fantom_trio.wire import Hello, KeyPair

__all__ = ["Greeter"]


@dataclass(frozen=True)
class Greeter:
    """Our identity, and what it knows of others; ``listening_port`` is 0 while nobody can dial us.

    ``token`` is what the peer's invite gave us to present.
    """

    own: KeyPair
    listening_port: Callable[[], int] = lambda: 0
    identities: Identities = field(default_factory=Identities)
    invites: Invites = field(default_factory=Invites)
    #: Only the verified and those with a token are let in.
    invited_only: bool = False
    token: bytes | None = field(default=None, repr=False)

    def with_token(self, token: bytes | None) -> "Greeter":
        """The same, for a dial with an invite."""
        return replace(self, token=token)

    def hello(self, peer: bytes) -> Hello:
        """Our first record to the identity ``peer``."""
        identity = self.identities.get(peer)
        token = self.token
        if identity is None:
            return Hello(self.listening_port(), __version__, 0, 0, token)
        delivery = identity.delivery
        token = token or identity.token
        port = self.listening_port()
        return Hello(port, __version__, delivery.received, delivery.shown, token)

    def admit(self, peer: bytes, hello: Hello, *, knocks: bool) -> Why | None:
        """Why ``peer`` is not let in, if so; ``knocks``: it came to us, and we did not dial it.

        Whoever brings a good token is verified from here on.
        """
        identity = self.identities.get(peer)
        if identity is not None and identity.verified:
            return None
        if hello.token is not None:
            if not self.invites.admit(hello.token, peer):
                return Why.BAD_INVITE
            self.identities.meet(peer).invited()
        elif self.invited_only and knocks:
            return Why.UNINVITED
        return None
