"""The network interfaces of this machine, and the IPv6 addresses that each has."""

import ipaddress
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from fantom_trio.nursery.errors import ReachError, ReachProblem
from fantom_trio.wire.address import Endpoint

__all__ = ["Interface", "list_interfaces", "port_holder"]

#: What Linux knows of each address, flags of linux/if_addr.h among it; psutil does not tell them.
_LINUX_TABLE = Path("/proc/net/if_inet6")
_TEMPORARY, _OPTIMISTIC, _DEPRECATED, _TENTATIVE = 0x01, 0x04, 0x20, 0x40


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface: ``addresses`` are its IPv6 ones, canonical and without zone.

    ``index`` is 0 where the system does not tell it. Among the addresses the ``temporary`` ones
    (RFC 8981) change within a day, and the ``deprecated`` ones (RFC 4862, section 5.5.4) are on
    their way out: both are told by Linux only.
    """

    name: str
    index: int
    is_up: bool
    is_loopback: bool
    addresses: tuple[str, ...]
    temporary: frozenset[str] = frozenset()
    deprecated: frozenset[str] = frozenset()

    def has(self, endpoint: Endpoint) -> bool:
        """It has that address; a zone, where there is one, must be its name or index."""
        zones = ("", self.name, str(self.index))
        return endpoint.host in self.addresses and endpoint.zone in zones


def list_interfaces() -> list[Interface]:
    """All interfaces, by index; raises ``ReachError``.

    An address that the system still looks for duplicates of cannot be used, and is left out.
    """
    try:
        import psutil  # only here and only now: a program that is given its address needs no list

        rows, stats = psutil.net_if_addrs(), psutil.net_if_stats()
    except Exception as error:  # the system's, or psutil's own
        raise ReachError(ReachProblem.INTERFACES, str(error)) from error
    flags = _linux_flags()
    interfaces = []
    for name in rows:
        hosts: dict[str, int] = {}
        for row in rows[name]:
            if row.family == socket.AF_INET6:
                host = row.address.partition("%")[0]  # a zone or none, as the system likes
                host = str(ipaddress.IPv6Address(host))
                flag = flags.get((name, host), 0)
                if flag & (_TENTATIVE | _OPTIMISTIC) != _TENTATIVE:
                    hosts[host] = flag
        is_loopback = "::1" in hosts  # Windows has no flags
        if name in stats:
            is_loopback |= "loopback" in stats[name].flags.split(",")
        is_up = name in stats and stats[name].isup
        interfaces.append(
            Interface(
                name, _index(name), is_up, is_loopback, tuple(hosts),
                temporary=frozenset(host for host, flag in hosts.items() if flag & _TEMPORARY),
                deprecated=frozenset(host for host, flag in hosts.items() if flag & _DEPRECATED),
            )
        )  # fmt: skip
    return sorted(interfaces, key=lambda interface: interface.index)


def _linux_flags() -> dict[tuple[str, str], int]:
    """By interface and address; empty where the system tells none."""
    flags = {}
    try:
        for line in _LINUX_TABLE.read_text().splitlines():
            host, _, _, _, flag, name = line.split()
            flags[name, str(ipaddress.IPv6Address(int(host, 16)))] = int(flag, 16)
    except (OSError, ValueError):  # another system, or one that keeps the table to itself
        pass
    return flags


def port_holder(endpoint: Endpoint) -> str | None:
    """The program that listens there; empty where the system keeps its name to itself.

    None where nobody listens, or where even that is not told. It looks at every process there is:
    best in a thread.
    """
    import psutil

    try:
        for row in psutil.net_connections("tcp6"):
            if (
                row.status == psutil.CONN_LISTEN
                and row.laddr
                and row.laddr.port == endpoint.port
                and row.laddr.ip.partition("%")[0] in (endpoint.host, "::")
            ):
                return psutil.Process(row.pid).name() if row.pid else ""
    except Exception:  # the system's, or psutil's own: some systems tell root only
        return None
    return None


def _index(name: str) -> int:
    """The system's number for an interface, 0 where it has none."""
    if sys.platform == "win32":
        # socket.if_nametoindex wants "ethernet_32770" there; psutil gives "Ethernet", an alias.
        import ctypes

        helper = ctypes.WinDLL("iphlpapi")
        luid, index = ctypes.c_uint64(), ctypes.c_ulong()
        failed = helper.ConvertInterfaceAliasToLuid(name, ctypes.byref(luid))
        failed = failed or helper.ConvertInterfaceLuidToIndex(
            ctypes.byref(luid), ctypes.byref(index)
        )
        return 0 if failed else index.value
    try:
        return socket.if_nametoindex(name)
    except OSError:  # it went away a moment ago
        return 0
