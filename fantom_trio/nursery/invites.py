"""The invites given out in this run of the program: each token lets one identity in."""

import hmac
import secrets

from fantom_trio.wire.invite import TOKEN_BYTES

__all__ = ["Invites", "InvitesFull"]

#: Every token that a stranger presents is compared with all of these.
MAX_OPEN = 256


class InvitesFull(Exception):
    """Too many tokens are open already; those that were given out stay good."""


class Invites:
    """The open tokens, and which identity owns each that was presented.

    A token stays open, and counts, when it is owned: its owner may present it again.
    """

    def __init__(self) -> None:
        self._owners: dict[bytes, bytes | None] = {}

    def new(self) -> bytes:
        """A fresh token, 10 random bytes; raises ``InvitesFull`` while 256 are open."""
        if len(self._owners) >= MAX_OPEN:
            raise InvitesFull
        token = secrets.token_bytes(TOKEN_BYTES)
        self._owners[token] = None
        return token

    def revoke(self) -> int:
        """Close every token, owned ones too, and say how many there were."""
        count = len(self._owners)
        self._owners.clear()
        return count

    def admit(self, token: bytes, identity: bytes) -> bool:
        """Whether ``token`` lets ``identity``, a static key, in: the first who presents it owns it.

        How long it takes tells nothing of the open tokens but how many there are.
        """
        # A list, so that a match does not end the comparing.
        matches = [each for each in self._owners if hmac.compare_digest(each, token)]
        if not matches:
            return False
        if self._owners[matches[0]] is None:
            self._owners[matches[0]] = identity
        return self._owners[matches[0]] == identity
