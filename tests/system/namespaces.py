"""Hosts made by the tests: network namespaces joined by a cable. Needs root and iproute2."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

needs_namespaces = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None,
    reason="network namespaces need root and iproute2's ip",
)


#: Of the two hosts of ``two_homes``.
HOME_ADDRESSES = ("2001:db8:a::1", "2001:db8:b::1")


def ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
    return done.stdout


class Host:
    """One namespace; ``command`` is a command that runs in it, ``run`` runs one."""

    def __init__(self, name: str) -> None:
        self.name = name

    def command(self, *words: str) -> list[str]:
        return ["ip", "netns", "exec", self.name, *words]

    def run(self, *words: str, stdin: str = "") -> None:
        subprocess.run(
            self.command(*words),
            input=stdin,
            check=True,
            text=True,
            capture_output=True,
            timeout=10,
        )

    def add_address(self, address: str, interface: str) -> None:
        ip("-n", self.name, "address", "add", address, "dev", interface, "nodad")

    def link_local(self) -> str:
        """The link-local address of its eth0, as the kernel prints it; empty while it has none."""
        shown = ip("-n", self.name, "-6", "-oneline", "address", "show", "dev", "eth0")
        return shown.partition("inet6 ")[2].partition("/")[0]


@contextmanager
def two_hosts() -> Iterator[tuple[Host, Host]]:
    """Two hosts on one cable, each with ``lo`` and ``eth0`` up."""
    with _namespaces("a", "b") as (one, other):
        _cable(one, "eth0", other, "eth0")
        deadline = time.monotonic() + 20
        while not (one.link_local() and other.link_local()):  # the kernel takes up to a second
            assert time.monotonic() < deadline, "the cable did not come up"
            time.sleep(0.05)
        yield one, other


@contextmanager
def two_homes() -> Iterator[tuple[tuple[Host, Host], tuple[Host, Host]]]:
    """Host – router – router – host, as two pairs of a host and its router.

    The hosts' ``eth0`` have ``HOME_ADDRESSES``; a router's ``lan`` leads to its host, its ``wan``
    to the other router. The routers let everything through.
    """
    with _namespaces("a", "ra", "rb", "b") as (one, its, theirs, other):
        homes = (one, its), (other, theirs)
        _cable(its, "wan", theirs, "wan")
        for (host, router), home in zip(homes, "ab", strict=True):
            _cable(host, "eth0", router, "lan")
            router.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
            host.add_address(f"2001:db8:{home}::1/64", "eth0")
            router.add_address(f"2001:db8:{home}::ff/64", "lan")
            router.add_address(f"2001:db8:f::{home}/64", "wan")
            ip("-n", host.name, "-6", "route", "add", "default", "via", f"2001:db8:{home}::ff")
        for router, away in ((its, "b"), (theirs, "a")):
            ip("-n", router.name, "-6", "route", "add", "default", "via", f"2001:db8:f::{away}")
        yield homes


@contextmanager
def _namespaces(*ends: str) -> Iterator[list[Host]]:
    hosts = [Host(f"fantom-{os.getpid()}-{end}") for end in ends]
    try:
        for host in hosts:
            ip("netns", "add", host.name)
            ip("-n", host.name, "link", "set", "lo", "up")
        yield hosts
    finally:
        for host in hosts:
            subprocess.run(["ip", "netns", "delete", host.name], check=False, capture_output=True)


def _cable(one: Host, here: str, other: Host, there: str) -> None:
    ip("-n", one.name, "link", "add", here, "type", "veth",
       "peer", "name", there, "netns", other.name)  # fmt: skip
    for host, interface in ((one, here), (other, there)):
        # No duplicate address detection: the addresses can be used at once.
        for where in ("all", "default", interface):
            host.run("sysctl", "-qw", f"net.ipv6.conf.{where}.accept_dad=0")
        ip("-n", host.name, "link", "set", interface, "up")
