"""PCP, the Port Control Protocol (RFC 6887): how a router is asked to let one TCP port in.

Packets of the MAP opcode, what a router says of itself (ANNOUNCE), and the rules about time, as far
as a client needs them. Every packet is a header of 24 bytes and, of MAP, 36 more; numbers are
big-endian.
"""

import enum
import ipaddress
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from fantom_trio.wire.address import AddressError, Endpoint, canonical_host

__all__ = [
    "ANNOUNCE_GROUP",
    "ANNOUNCE_PORT",
    "MAX_PACKET",
    "NONCE_BYTES",
    "SERVER_PORT",
    "Answer",
    "Epoch",
    "MapRequest",
    "PcpError",
    "PcpResult",
    "announced",
    "lasting",
    "pause_after",
    "renewals",
    "retransmissions",
]

#: Where a router listens for requests, UDP.
SERVER_PORT = 5351
#: To whom, and to which UDP port there, a router says that it restarted (section 14.1).
ANNOUNCE_GROUP, ANNOUNCE_PORT = "ff02::1", 5350
#: The longest packet, bytes of UDP payload (section 7).
MAX_PACKET = 1100
#: What ties answers and later requests to the first one.
NONCE_BYTES = 12

_VERSION = 2
_ANNOUNCE, _MAP = 0, 1
_ANSWER = 0x80  # in the byte of the opcode
_TCP = 6
# Version, opcode, result, lifetime; then a request has the client's address, an answer its epoch.
_REQUEST = struct.Struct(">BBxxI16s")
_HEADER = struct.Struct(">BBxBII12x")
# Nonce, protocol, internal port, external port, external address.
_BODY = struct.Struct(">12sB3xHH16s")
_OPTION = struct.Struct(">BxH")
_OPTIONAL = 0x80  # in the code of an option
#: NAT-PMP, which PCP grew out of, answers a newer version so briefly (appendix A).
_OLD_HEADER_BYTES = 8

# Seconds, each with its section.
_FIRST_WAIT, _LONGEST_WAIT, _JITTER = 3.0, 1024.0, 0.1  # 8.1.1: IRT, MRT, RAND
_RENEWAL_PAUSE = 4.0  # 11.2.1
_LONGEST_LIFETIME = 24 * 3600  # 15
_SHORT_ERROR, _LONG_ERROR = 30, 30 * 60  # 7.4, 15


class PcpError(Exception):
    """A packet is no answer to the request."""


class PcpResult(enum.IntEnum):
    """What a router says to a request (section 7.4)."""

    SUCCESS = 0
    UNSUPP_VERSION = 1
    NOT_AUTHORIZED = 2
    MALFORMED_REQUEST = 3
    UNSUPP_OPCODE = 4
    UNSUPP_OPTION = 5
    MALFORMED_OPTION = 6
    NETWORK_FAILURE = 7
    NO_RESOURCES = 8
    UNSUPP_PROTOCOL = 9
    USER_EX_QUOTA = 10
    CANNOT_PROVIDE_EXTERNAL = 11
    ADDRESS_MISMATCH = 12
    EXCESSIVE_REMOTE_PEERS = 13
    #: A code that the RFC does not name.
    UNKNOWN = 256

    @property
    def is_short(self) -> bool:
        """The trouble may pass by itself soon."""
        return self in _SHORT


_SHORT = (
    PcpResult.NETWORK_FAILURE,
    PcpResult.NO_RESOURCES,
    PcpResult.USER_EX_QUOTA,
    PcpResult.CANNOT_PROVIDE_EXTERNAL,
)
_NAMED = {int(result): result for result in PcpResult}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a router answered. ``lifetime``: seconds, of the mapping or else of the error.

    ``code`` is the result as it came. ``external`` is where peers get in; None unless it succeeded.
    ``epoch`` is how long the router has known its mappings, in seconds; None in another version.
    """

    code: int
    lifetime: int
    epoch: int | None
    external: Endpoint | None = None

    @property
    def result(self) -> PcpResult:
        """The code's meaning."""
        return _NAMED.get(self.code, PcpResult.UNKNOWN)


@dataclass(frozen=True, slots=True)
class MapRequest:
    """Let TCP in to ``internal``, the address that the packet is sent from, for ``lifetime`` s.

    ``suggested`` is where from, if we have a wish. The same ``nonce`` renews or ends the mapping.
    """

    internal: Endpoint
    nonce: bytes
    lifetime: int
    suggested: Endpoint | None = None

    def end(self) -> "MapRequest":
        """The request that gives the mapping back (section 15.1)."""
        return replace(self, lifetime=0, suggested=None)

    def encode(self) -> bytes:
        """The packet (sections 7.1 and 11.1)."""
        external, port = bytes(16), 0
        if self.suggested is not None:
            external, port = _packed(self.suggested), self.suggested.port
        return _REQUEST.pack(_VERSION, _MAP, self.lifetime, _packed(self.internal)) + _BODY.pack(
            self.nonce, _TCP, self.internal.port, port, external
        )

    def answer(self, data: bytes) -> Answer:
        """Read what came from the router; raises ``PcpError`` where it does not answer this.

        Sections 7.2, 8.3, 9 and 11.4.
        """
        if len(data) % 4 or not _OLD_HEADER_BYTES <= len(data) <= MAX_PACKET:
            raise PcpError(f"a packet of {len(data)} bytes")
        version, opcode, code = data[0], data[1], data[3]
        if not opcode & _ANSWER:
            raise PcpError("a request")
        if version != _VERSION:
            # Of what else stands in another version's answer we know nothing.
            if code != PcpResult.UNSUPP_VERSION:
                raise PcpError(f"version {version}")
            return Answer(code, 0, None)
        if opcode != _ANSWER | _MAP:
            raise PcpError(f"opcode {opcode & ~_ANSWER}")
        if len(data) < _HEADER.size + _BODY.size:
            raise PcpError(f"a packet of {len(data)} bytes")
        lifetime, epoch = _HEADER.unpack_from(data)[3:]
        nonce, protocol, internal, port, address = _BODY.unpack_from(data, _HEADER.size)
        if (nonce, protocol, internal) != (self.nonce, _TCP, self.internal.port):
            raise PcpError("an answer to another request")
        _check_options(data, _HEADER.size + _BODY.size)
        external = _external(address, port) if code == PcpResult.SUCCESS else None
        return Answer(code, lifetime, epoch, external)


def announced(data: bytes) -> int:
    """The epoch that a router tells everybody, unasked (section 14.1); raises ``PcpError``.

    Nothing in the packet proves who sent it.
    """
    if len(data) % 4 or not _HEADER.size <= len(data) <= MAX_PACKET:
        raise PcpError(f"a packet of {len(data)} bytes")
    version, opcode, code, _lifetime, epoch = _HEADER.unpack_from(data)
    if (version, opcode, code) != (_VERSION, _ANSWER | _ANNOUNCE, PcpResult.SUCCESS):
        raise PcpError("no announcement")
    _check_options(data, _HEADER.size)
    return int(epoch)


def _packed(endpoint: Endpoint) -> bytes:
    return ipaddress.IPv6Address(endpoint.host).packed


def _external(address: bytes, port: int) -> Endpoint:
    try:
        host = canonical_host(str(ipaddress.IPv6Address(address)))
    except AddressError as error:
        raise PcpError(f"the external address is {error.problem.value}") from None
    if not port:
        raise PcpError("the external port is 0")
    return Endpoint(host, port)


def _check_options(data: bytes, at: int) -> None:
    """We ask for none: one that must be understood changes what the answer means (section 7.3)."""
    while at < len(data):
        code, length = _OPTION.unpack_from(data, at)
        if not code & _OPTIONAL:
            raise PcpError(f"option {code}, which was not asked for")
        at += _OPTION.size + length + -length % 4
    if at > len(data):
        raise PcpError("an option that is cut off")


class Epoch:
    """Notices by a router's epoch, which counts seconds, that it forgot its mappings."""

    def __init__(self) -> None:
        self._last: tuple[int, float] | None = None

    def goes_on(self, epoch: int, now: float) -> bool:
        """False when the router lost its state since the last answer (section 8.5).

        ``now`` is a clock of ours in seconds, one that goes on while the machine sleeps.
        """
        goes_on = self.fits(epoch, now)
        self._last = epoch, now
        return goes_on

    def fits(self, epoch: int, now: float) -> bool:
        """As ``goes_on``, of an epoch that may not be the router's own word: it is not kept."""
        last = self._last
        if last is None:
            return True
        if epoch < last[0] - 1:
            return False
        theirs, ours = epoch - last[0], now - last[1]
        return ours + 2 >= theirs - theirs / 16 and theirs + 2 >= ours - ours / 16


def retransmissions(rng: random.Random) -> Iterator[float]:
    """How many seconds to wait after each packet of an unanswered request (section 8.1.1)."""
    wait = _FIRST_WAIT
    while True:
        wait *= 1 + rng.uniform(-_JITTER, _JITTER)
        yield wait
        wait = min(2 * wait, _LONGEST_WAIT)


def lasting(lifetime: int) -> int:
    """For how many seconds we take a mapping for granted (section 15).

    So short a one that renewals would be a flood lasts until the next request may be sent.
    """
    return min(max(lifetime, int(2 * _RENEWAL_PAUSE)), _LONGEST_LIFETIME)


def renewals(lifetime: int, rng: random.Random) -> Iterator[float]:
    """When to renew a mapping, in seconds after it was granted (section 11.2.1).

    The last one is before its end, and they are at least 4 s apart.
    """
    left, last = 0.5, 0.0
    while True:
        at = lifetime * (1 - left + rng.uniform(0, left / 4))
        if at - last < _RENEWAL_PAUSE:
            return
        yield at
        left, last = left / 2, at


def pause_after(answer: Answer) -> int:
    """For how many seconds not to ask again what was refused (sections 7.4, 9 and 15)."""
    if not answer.lifetime:
        return _SHORT_ERROR if answer.result.is_short else _LONG_ERROR
    return min(max(answer.lifetime, _SHORT_ERROR), _LONG_ERROR)
