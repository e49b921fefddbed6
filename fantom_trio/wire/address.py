"""Endpoints: an IPv6 address (or a name), a port, and a zone where the address needs one.

People write ``[2001:db8::1]:31488``, ``2001:db8::1 31488``, ``[fe80::1%eth0]:31488`` or a name; the
classic wire writes ``fe80::1%eth0:31488`` (RFC 4007 zones, no brackets). A port that is left out is
31488.
"""

import enum
import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache

__all__ = [
    "DEFAULT_PORT",
    "AddressError",
    "AddressProblem",
    "Endpoint",
    "canonical_host",
    "is_link_local",
]

DEFAULT_PORT = 31488
#: Addresses of which it is remembered whether they are link-local.
REMEMBERED = 1024

_PORT = re.compile(r"[0-9]{1,5}")
_ZONE = re.compile(r"[^\s%\[\]/\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,32}")
_NAME = re.compile(  # ASCII: to a regex that ignores case, the long ſ is an s
    r"(?=[^.]*[a-z]|.*\.[^.]*[a-z])[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9])?\.?", re.I | re.A
)
# Fingerprint and token without their address: as a name, a name server would get them.
_END_OF_INVITE = re.compile(r"[A-Za-z2-7]{32}\.[A-Za-z2-7]{16}\.?")
_BEHIND_A_SLASH = re.compile(r"\A((?:[a-z]+://)?+[^/]*)/.*", re.I | re.S)


class AddressProblem(enum.Enum):
    """Why a text is no endpoint; the value is a short clause for logs."""

    EMPTY = "nothing was given"
    MALFORMED = "not an IPv6 address"
    IPV4 = "an IPv4 address"
    NOT_A_PEER = "an address no single peer can have"
    PORT = "a port outside 1 to 65535"
    ZONE = "a zone that is no interface name"
    INVITE = "an invite that is damaged"


class AddressError(ValueError):
    """A text is no endpoint or invite: ``problem`` says why, ``text`` is what was read.

    What stands behind a slash is left out, and what looks like the end of an invite: people pass
    errors on, and there is a token in it.
    """

    def __init__(self, problem: AddressProblem, text: str) -> None:
        text = _END_OF_INVITE.sub("…", _BEHIND_A_SLASH.sub(r"\1/…", text))
        super().__init__(f"{problem.value}: {text!r}")
        self.problem = problem
        self.text = text


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to dial.

    ``host`` is an IPv6 address in its canonical text (RFC 5952) without zone, or a host name;
    ``port`` is 0 to 65535 (0: the system chooses); ``zone`` is an interface name or index, empty
    for every address but link-local ones.
    """

    host: str
    port: int = DEFAULT_PORT
    zone: str = ""

    @classmethod
    def parse(cls, text: str) -> "Endpoint":
        """Read what a person wrote; raises ``AddressError``."""
        text = text.strip()
        if not text:
            raise AddressError(AddressProblem.EMPTY, text)
        host, port = _split(text)
        if _END_OF_INVITE.fullmatch(host):
            raise AddressError(AddressProblem.INVITE, "…")
        if port and not (_PORT.fullmatch(port) and 1 <= int(port) <= 65535):
            raise AddressError(AddressProblem.PORT, text)
        host, percent, zone = host.partition("%")
        if percent and not _ZONE.fullmatch(zone):
            raise AddressError(AddressProblem.ZONE, text)
        try:
            address = canonical_host(host)
        except AddressError as error:
            if (
                error.problem is not AddressProblem.MALFORMED
                or percent
                or not _NAME.fullmatch(host)
            ):
                raise AddressError(error.problem, text) from None
            address = host.lower()
        number = int(port) if port else DEFAULT_PORT
        return cls(address, number, zone if is_link_local(address) else "")

    @classmethod
    def parse_client_id(cls, data: bytes) -> "Endpoint":
        """Read ``address:port`` as a classic frame carries it; raises ``AddressError``."""
        text = data.decode("utf-8", "replace")
        host, colon, port = text.rpartition(":")
        if not colon or not _PORT.fullmatch(port) or int(port) > 65535:
            raise AddressError(AddressProblem.PORT, text)
        host, _, zone = host.strip("[]").partition("%")
        address = canonical_host(host)
        if zone and not _ZONE.fullmatch(zone):
            raise AddressError(AddressProblem.ZONE, text)
        return cls(address, int(port), zone if is_link_local(address) else "")

    @property
    def client_id(self) -> bytes:
        """``address:port`` as a classic frame carries it, zone included."""
        return f"{self._scoped}:{self.port}".encode()

    @property
    def is_name(self) -> bool:
        """A host name, to be looked up, not an address."""
        return ":" not in self.host

    @property
    def is_loopback(self) -> bool:
        """This machine itself, ``::1``."""
        return self.host == "::1"

    @property
    def is_link_local(self) -> bool:
        """An ``fe80::/10`` address, which means something only together with a zone."""
        return is_link_local(self.host)

    @property
    def _scoped(self) -> str:
        return f"{self.host}%{self.zone}" if self.zone else self.host

    def __str__(self) -> str:
        """The form people copy: ``[fe80::1%eth0]:31488``."""
        return f"{self.host}:{self.port}" if self.is_name else f"[{self._scoped}]:{self.port}"


def canonical_host(text: str) -> str:
    """An IPv6 address without zone in its canonical text; raises ``AddressError``."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise AddressError(AddressProblem.MALFORMED, text) from None
    if "%" in text:  # the library takes any characters for a zone
        raise AddressError(AddressProblem.MALFORMED, text)
    if address.version == 4 or address.ipv4_mapped is not None:
        raise AddressError(AddressProblem.IPV4, text)
    if address.is_multicast or address.is_unspecified:
        raise AddressError(AddressProblem.NOT_A_PEER, text)
    return str(address)


@lru_cache(maxsize=REMEMBERED)
def is_link_local(host: str) -> bool:
    """True for an address in ``fe80::/10``; a name is none."""
    return ":" in host and ipaddress.IPv6Address(host).is_link_local


def _split(text: str) -> tuple[str, str]:
    """Host and port as written; the port is empty where there is none."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        rest = rest.strip()
        if not bracket or (rest[:1] not in ("", ":") and not rest.isdecimal()):
            raise AddressError(AddressProblem.MALFORMED, text)
        if rest == ":":
            raise AddressError(AddressProblem.PORT, text)
        return host.strip(), rest.removeprefix(":").strip()
    words = text.split()
    if len(words) == 2:
        return words[0], words[1]
    if len(words) > 2:
        raise AddressError(AddressProblem.MALFORMED, text)
    host, colon, port = text.rpartition(":")
    # Five digits are never a group of an address: Fantom Chat prints addresses in this form.
    if colon and (":" not in host or (len(port) == 5 and port.isdecimal())):
        return host, port
    return text, ""
