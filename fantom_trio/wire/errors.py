"""What can go wrong on a link, by who is at fault.

``RemoteProtocolError`` is the peer's fault and ends that link alone; ``LocalProtocolError`` is ours
and is a bug. Any other exception out of ``wire`` is a bug too.
"""

import enum

__all__ = ["LocalProtocolError", "ProtocolError", "RemoteProtocolError", "Violation"]


class Violation(enum.Enum):
    """What the peer did; the value is a short clause for logs."""

    NOT_A_HANDSHAKE = "sent something else before the handshake"
    LINE_TOO_LONG = "sent a handshake line over the limit"
    CLOSED_IN_HANDSHAKE = "closed before the handshake was complete"
    KEY_LENGTH = "sent a public key that is not 32 bytes"
    KEY_WEAK = "sent a public key that gives no secret"
    KEY_REFLECTED = "sent our own public key back"
    WROTE_AFTER_ACK = "wrote after its acknowledgement"
    FRAME_EMPTY = "sent a frame of length 0"
    FRAME_TOO_LONG = "announced a frame over the limit"
    FRAME_WITHOUT_NUL = "sent a frame without a client id"
    BOX_SHORT = "sent a box shorter than its nonce and tag"
    BAD_MAC = "sent a box that does not open"
    REPLAY = "sent a box a second time"
    CLOSED_IN_FRAME = "closed in the middle of a frame"


class ProtocolError(Exception):
    """The link broke the protocol; it can only be wiped now."""


class LocalProtocolError(ProtocolError):
    """We asked a link for something its state does not allow: a bug of ours."""


class RemoteProtocolError(ProtocolError):
    """The peer broke the protocol: ``violation`` says how."""

    def __init__(self, violation: Violation) -> None:
        super().__init__(f"the peer {violation.value}")
        self.violation = violation
