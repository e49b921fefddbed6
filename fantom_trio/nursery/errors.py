"""What can go wrong with the network, on either side of its seam."""

import enum
import errno
import os

from fantom_trio.wire import Endpoint, Violation

__all__ = [
    "ConnectionLost",
    "DialError",
    "DialProblem",
    "ListenError",
    "PortTaken",
    "ReachError",
    "ReachProblem",
    "SourceGone",
]

#: Characters: it ends a sentence on the screen.
MAX_DETAIL = 100


class ConnectionLost(Exception):
    """The network or the peer's system ended the connection, not the peer's word."""


class PortTaken(Exception):
    """Between the same two addresses and ports there is a connection, or was one a moment ago."""


class SourceGone(Exception):
    """No interface has the address that we were to dial from."""


class DialProblem(enum.Enum):
    """Which step of dialing failed; the value is a short clause for logs."""

    NAME_UNKNOWN = "the name is not known"
    NO_NAME_SERVER = "no name server answered"
    IPV4_ONLY = "the name has no IPv6 address"
    NO_ZONE = "a link-local address needs the name of an interface"
    OWN = "this is our own listener"
    NO_ROUTE = "there is no IPv6 route to it"
    UNREACHABLE = "a router says that there is no way to it"
    FORBIDDEN = "a firewall forbids it"
    REFUSED = "nobody listens on that port"
    TIMEOUT = "nobody answered"
    FAILED = "the system refused"
    BUSY = "it broke off the handshake"
    SLOW = "it did not complete the handshake in time"
    VIOLATION = "it is no Fantom Chat"
    DOWNGRADED = "it answers as a classic peer, and an identity is expected"
    OTHER_IDENTITY = "it is somebody else"
    TURNED_AWAY = "it does not let us in"
    BAD_INVITE = "it presents an invite that is not good"
    GIVEN_UP = "we gave up"

    @property
    def answered(self) -> bool:
        """Somebody was there, and the handshake failed."""
        return self in _ANSWERED

    @property
    def final(self) -> bool:
        """Another try would end the same way: somebody must do something first."""
        return self in _FINAL

    @property
    def passing(self) -> bool:
        """A firewall or router on the way does so, and may let the next packet through."""
        return self in _PASSING


_FINAL = (
    DialProblem.OWN,
    DialProblem.VIOLATION,
    DialProblem.DOWNGRADED,
    DialProblem.OTHER_IDENTITY,
    DialProblem.TURNED_AWAY,
    DialProblem.BAD_INVITE,
)
_PASSING = (DialProblem.TIMEOUT, DialProblem.FORBIDDEN, DialProblem.UNREACHABLE)
_ANSWERED = (DialProblem.BUSY, DialProblem.SLOW, *_FINAL[1:])


class DialError(Exception):
    """Dialing failed; ``detail`` is the system's word, ``violation`` the peer's fault, if any.

    ``source``: our listener, if we dialed from there, for ``seconds`` in all, and a firewall may
    be the cause.
    """

    def __init__(
        self, problem: DialProblem, detail: str = "", violation: Violation | None = None
    ) -> None:
        super().__init__(f"{problem.value}{detail and ': '}{detail}")
        self.problem = problem
        self.detail = detail
        self.violation = violation
        self.source: Endpoint | None = None
        self.seconds = 0.0


class ListenError(Exception):
    """The listener could not start: the port is in use, the address is not ours, or ``detail``."""

    def __init__(self, endpoint: Endpoint, error: OSError) -> None:
        # Python gives an unknown interface no number.
        number = error.errno or errno.ENODEV
        self.endpoint = endpoint
        self.in_use = number == errno.EADDRINUSE
        self.no_such_address = number in (
            errno.EADDRNOTAVAIL,
            errno.EAFNOSUPPORT,  # a kernel without IPv6
            errno.ENODEV,
        ) or (number == errno.EINVAL and endpoint.is_link_local)
        self.detail = os.strerror(number)
        super().__init__(f"cannot listen on {endpoint}: {self.detail}")


class ReachProblem(enum.Enum):
    """Why our own address is not known; the value is a short clause for logs."""

    INTERFACES = "the interfaces cannot be read"
    NO_IPV6 = "this machine has no IPv6 address"
    NO_LINK_LOCAL = "no real interface has a link-local address"
    SERVICE_URL = "the address service is no https URL"
    UNREACHABLE = "the address service cannot be reached"
    TIMED_OUT = "the address service did not answer in time"
    TLS = "the address service did not complete TLS"
    CERTIFICATE = "the address service's certificate is not trusted"
    REDIRECTED = "the address service sent us elsewhere"
    STATUS = "the address service answered with an error"
    ANSWERED_IPV4 = "the address service answered with an IPv4 address"
    ANSWERED_GARBAGE = "the address service answered with no address"
    NOT_OURS = "the address service answered with an address this machine does not have"


class ReachError(Exception):
    """``problem`` says why, ``detail`` ends the sentence: short, printable, possibly empty."""

    def __init__(self, problem: ReachProblem, detail: str = "") -> None:
        # The last guard: no control or bidi character gets past here, whoever wrote it.
        shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in detail[:MAX_DETAIL])
        self.problem = problem
        self.detail = shown[:MAX_DETAIL]
        super().__init__(f"{problem.value}: {self.detail}" if detail else problem.value)
