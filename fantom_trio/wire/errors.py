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
    # The native link.
    NOT_NATIVE = "answered as a classic peer where an identity was expected"
    NOT_INVITED = "came as a classic peer, and only the invited are let in"
    OTHER_IDENTITY = "has another identity than was expected"
    OWN_IDENTITY = "has our own identity"
    FRAME_LENGTH = "announced a frame of a length that has no place here"
    KEM_KEY = "sent an ML-KEM key that is none"
    PADDING = "sent a record that is not padded"
    RECORD_MALFORMED = "sent a record that cannot be read"
    RECORD_OUT_OF_PLACE = "sent a record where it has no place"
    STREAM_TAG = "sent a record under the wrong tag"
    AFTER_BYE = "wrote after its goodbye"
    ID_SKIPPED = "left out a message"
    COUNT_IMPOSSIBLE = "acknowledged what was never sent"
    TOO_MUCH_UNSHOWN = "sent more than may wait unacknowledged"


class ProtocolError(Exception):
    """The link broke the protocol; it can only be wiped now."""


class LocalProtocolError(ProtocolError):
    """We asked a link for something its state does not allow: a bug of ours."""


class RemoteProtocolError(ProtocolError):
    """The peer broke the protocol: ``violation`` says how."""

    def __init__(self, violation: Violation) -> None:
        super().__init__(f"the peer {violation.value}")
        self.violation = violation
