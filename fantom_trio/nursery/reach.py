"""Our own address: what a service sees us come from, or what the interfaces have.

Public mode asks the address service, over IPv6 alone. Link-local mode asks nobody. Whatever
goes wrong is a ``ReachError``; what other libraries raise is mapped here.
"""

import ipaddress
import ssl
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from fantom_trio.nursery.errors import ReachError, ReachProblem
from fantom_trio.nursery.interfaces import Interface, list_interfaces, port_holder
from fantom_trio.nursery.limits import DEFAULT_SERVICE
from fantom_trio.wire.address import AddressError, AddressProblem, Endpoint, canonical_host

if TYPE_CHECKING:
    import httpx

__all__ = [
    "SERVICE_TIMEOUT",
    "Interface",
    "ReachError",
    "ReachProblem",
    "ServiceReport",
    "ask_service",
    "is_own_address",
    "link_local_address",
    "list_interfaces",
    "own_addresses",
    "port_holder",
    "public_address",
    "with_zone",
]

SERVICE_TIMEOUT = 5.0  # seconds for name, connection, TLS and answer together
MAX_ANSWER = 256  # bytes: five times the longest address
CALENDAR = range(32_503_680_000)  # seconds since 1970 that every system can show: to the year 3000

_VIRTUAL_ON_LINUX = ("lo", "virbr", "docker", "tun", "tap", "veth", "br-", "vmnet")
# Windows names its adapters in its own language; the rest are VPNs, bridges and pseudo-interfaces.
_REAL_ON_WINDOWS = (
    *("ethernet", "wi-fi", "wlan", "local area connection", "wireless network connection"),
    *("подключение по локальной сети", "беспроводная сеть", "беспроводное сетевое соединение"),
)
# The asterisk is in the names of Wi-Fi Direct's adapters: "Local Area Connection* 1".
_VIRTUAL_ON_WINDOWS = ("*", "virtual", "vmware", "hyper-v", "bluetooth", "loopback", "tap", "vpn")
# The same on every Mac with a T2 chip: a link to the chip itself, listed before the real ones.
_T2_CHIP = "fe80::aede:48ff:fe00:1122"


@dataclass(frozen=True, slots=True)
class ServiceReport:
    """What the address service said: where it sees us come from, with port 0, and what time it is.

    ``ahead``: how many seconds our clock is ahead of the service's, to about one; None where it
    gave no time.
    """

    address: Endpoint
    ahead: float | None


def is_own_address(endpoint: Endpoint, interfaces: Sequence[Interface] | None = None) -> bool:
    """True if an interface that is up has that address; the port does not matter.

    A zone, where there is one, must be that interface's name or index. Raises ``ReachError``.
    """
    return any(
        interface.is_up and interface.has(endpoint)
        for interface in (list_interfaces() if interfaces is None else interfaces)
    )


def with_zone(endpoint: Endpoint) -> Endpoint:
    """One of our own addresses with its interface's zone where it needs one and has none.

    Raises ``ReachError``; what is no address of ours comes back as it is.
    """
    if endpoint.is_link_local and not endpoint.zone:
        for interface in list_interfaces():
            if interface.is_up and endpoint.host in interface.addresses:
                return replace(endpoint, zone=_zone(interface, sys.platform))
    return endpoint


def link_local_address(
    interfaces: Sequence[Interface] | None = None, *, platform: str = sys.platform
) -> Endpoint:
    """The first link-local address of a real interface, with its zone and port 0.

    The zone is the interface's name on Linux, its index elsewhere. Raises ``ReachError``.
    """
    for endpoint in own_addresses(interfaces, platform=platform):
        if endpoint.is_link_local:
            return endpoint
    raise ReachError(ReachProblem.NO_LINK_LOCAL)


def own_addresses(
    interfaces: Sequence[Interface] | None = None, *, platform: str = sys.platform
) -> list[Endpoint]:
    """Where others might find us, with port 0; raises ``ReachError``.

    Link-local addresses are those of real interfaces and have their zone; the others are those of
    every interface that is up.
    """
    found = []
    for interface in list_interfaces() if interfaces is None else interfaces:
        zone = _zone(interface, platform)
        is_near = zone != "0" and _is_real(interface, platform)
        for host in interface.addresses:
            endpoint = Endpoint(host, 0)
            if endpoint.is_link_local and is_near and host != _T2_CHIP:
                found.append(replace(endpoint, zone=zone))
            elif interface.is_up and _is_wide(host):
                found.append(endpoint)
    return found


async def public_address(
    service: str = DEFAULT_SERVICE,
    *,
    ca: Path | None = None,
    interfaces: Sequence[Interface] | None = None,
) -> Endpoint:
    """The address that ``service`` sees us come from, with port 0; raises ``ReachError``.

    The answer counts only if an interface has that address. ``ca`` is a file of certificates to
    trust besides the usual ones. Without a global or unique local address nobody is asked.
    Cancellation leaves nothing behind.
    """
    return (await ask_service(service, ca=ca, interfaces=interfaces)).address


async def ask_service(
    service: str = DEFAULT_SERVICE,
    *,
    ca: Path | None = None,
    interfaces: Sequence[Interface] | None = None,
) -> ServiceReport:
    """``public_address``, and how our clock compares with the service's; raises as that does."""
    if interfaces is None:
        interfaces = list_interfaces()
    ours = {host for each in interfaces if each.is_up for host in each.addresses if _is_wide(host)}
    if not ours:
        raise ReachError(ReachProblem.NO_IPV6)
    body, ahead = await _ask(service, ca)
    answer = body.strip().decode("latin-1")
    try:
        host = canonical_host(answer)
    except AddressError as error:
        is_ipv4 = error.problem is AddressProblem.IPV4
        problem = ReachProblem.ANSWERED_IPV4 if is_ipv4 else ReachProblem.ANSWERED_GARBAGE
        raise ReachError(problem, ascii(answer)) from None
    if host not in ours:
        raise ReachError(ReachProblem.NOT_OURS, host)
    return ServiceReport(Endpoint(host, 0), ahead)


async def _ask(service: str, ca: Path | None) -> tuple[bytes, float | None]:
    """What the service answers, at most ``MAX_ANSWER`` bytes, and how far ahead our clock is.

    Raises ``ReachError``.
    """
    # Half the time of a start, and only public mode needs it: on a thread, because the user types.
    context = await trio.to_thread.run_sync(_tls_context, ca, abandon_on_cancel=True)
    import httpx

    try:
        url = httpx.URL(service)
    except httpx.InvalidURL:
        raise ReachError(ReachProblem.SERVICE_URL, ascii(service)) from None
    if url.scheme != "https" or not url.host or not 1 <= (url.port or 443) <= 65535:
        raise ReachError(ReachProblem.SERVICE_URL, ascii(service))
    # What httpx says of itself by default: the service need not learn which program asks.
    headers = {"user-agent": f"python-httpx/{httpx.__version__}", "connection": "close"}
    request = httpx.Request("GET", url, headers=headers)
    sockets = AsyncExitStack()

    async def trace(event: str, info: Mapping[str, Any]) -> None:
        # httpcore forgets its socket when it is cancelled in the middle of a TLS handshake.
        if event == "connection.connect_tcp.complete":
            sockets.push_async_callback(info["return_value"].aclose)

    request.extensions["trace"] = trace
    try:
        with trio.fail_after(SERVICE_TIMEOUT):
            # A bare transport has no proxies, redirects, cookies or netrc to be turned off, and
            # from the address :: it can connect to an IPv6 address only.
            async with sockets, httpx.AsyncHTTPTransport(context, local_address="::") as transport:
                response = await transport.handle_async_request(request)
                async with aclosing(response):
                    ahead = _ahead_of(response.headers.get("date", ""))
                    return await _read(response), ahead
    except trio.TooSlowError:
        raise ReachError(ReachProblem.TIMED_OUT, f"{SERVICE_TIMEOUT:g} s") from None
    except httpx.RemoteProtocolError as error:
        raise ReachError(ReachProblem.ANSWERED_GARBAGE, str(error)) from error
    except httpx.TransportError as error:
        raise _explained(error) from error
    except ValueError as error:  # a host name that TLS or the resolver refuses to take
        raise ReachError(ReachProblem.SERVICE_URL, ascii(service)) from error


def _tls_context(ca: Path | None) -> ssl.SSLContext:
    """The certificates that are trusted, and ``ca``; raises ``ReachError``."""
    import httpcore  # noqa: F401 - which httpx would import with its first connection
    import httpx

    context = httpx.create_ssl_context(trust_env=False)
    if ca is not None:
        try:
            context.load_verify_locations(ca)
        except OSError as error:
            raise ReachError(ReachProblem.CERTIFICATE, f"{ca.name}: {error.strerror}") from error
    return context


async def _read(response: "httpx.Response") -> bytes:
    if response.is_redirect:
        location = response.headers.get("location", "")
        raise ReachError(ReachProblem.REDIRECTED, ascii(location))
    if response.status_code != 200:
        raise ReachError(ReachProblem.STATUS, str(response.status_code))
    answer = b""
    with trio.CancelScope() as enough:
        # Raw: what unpacks to more than it weighs would get past the bound.
        async for chunk in response.aiter_raw():
            answer += chunk
            if len(answer) > MAX_ANSWER:
                # No break: httpx leaves its iterators half read then, which Trio warns of.
                enough.cancel()
    if len(answer) > MAX_ANSWER:
        raise ReachError(ReachProblem.ANSWERED_GARBAGE, f"over {MAX_ANSWER} bytes")
    return answer


def _ahead_of(date: str) -> float | None:
    """Seconds that our clock is ahead of an HTTP date, which is cut to whole seconds."""
    try:
        from email.utils import mktime_tz, parsedate_tz  # as httpx, not before it is needed

        parsed = parsedate_tz(date)
        then = -1 if parsed is None else mktime_tz(parsed)
        return time.time() - then - 0.5 if then in CALENDAR else None
    except Exception:  # the parser has more ways to fail than its documentation
        return None


def _explained(error: BaseException) -> ReachError:
    """httpx keeps the cause under two or three of its own exceptions: the nearest one counts."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return ReachError(ReachProblem.CERTIFICATE, cause.verify_message)
        if isinstance(cause, ssl.SSLError):
            return ReachError(ReachProblem.TLS, (cause.reason or "").replace("_", " ").lower())
        if isinstance(cause, OSError) and cause.strerror:
            # Trio writes "Error connecting to (…): Connection refused".
            return ReachError(ReachProblem.UNREACHABLE, cause.strerror.rpartition(": ")[2])
    # Trio's refusal to connect from :: to an IPv4 address has no number.
    return ReachError(ReachProblem.UNREACHABLE, "it has no IPv6 address")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """From the outside in, as far as Trio's own account of its attempts."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            yield from error.exceptions
            return
        # httpcore raises "from None" what has a cause: only the context is left of it.
        error = error.__cause__ or error.__context__


def _is_wide(host: str) -> bool:
    """Valid beyond its link: a global or a unique local address."""
    address = ipaddress.IPv6Address(host)
    return not (address.is_loopback or address.is_link_local)


def _is_real(interface: Interface, platform: str) -> bool:
    """A cable or a radio, as far as the name tells."""
    name = interface.name.lower()
    if interface.is_loopback or not interface.is_up:
        return False
    if platform == "darwin":
        return name.startswith("en")
    if platform == "win32":
        is_virtual = any(word in name for word in _VIRTUAL_ON_WINDOWS)
        return name.startswith(_REAL_ON_WINDOWS) and not is_virtual
    return not name.startswith(_VIRTUAL_ON_LINUX) and "virtual" not in name


def _zone(interface: Interface, platform: str) -> str:
    return interface.name if platform.startswith("linux") else str(interface.index)
