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


def ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
    return done.stdout


class Host:
    """One namespace; ``command`` runs a command in it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def command(self, *words: str) -> list[str]:
        return ["ip", "netns", "exec", self.name, *words]

    def link_local(self) -> str:
        """The link-local address of its eth0, as the kernel prints it; empty while it has none."""
        shown = ip("-n", self.name, "-6", "-oneline", "address", "show", "dev", "eth0")
        return shown.partition("inet6 ")[2].partition("/")[0]


@contextmanager
def two_hosts() -> Iterator[tuple[Host, Host]]:
    """Two hosts on one cable, each with ``lo`` and ``eth0`` up."""
    names = [f"fantom-{os.getpid()}-{end}" for end in "ab"]
    try:
        for name in names:
            ip("netns", "add", name)
        ip("-n", names[0], "link", "add", "eth0", "type", "veth",
           "peer", "name", "eth0", "netns", names[1])  # fmt: skip
        for name in names:
            # No duplicate address detection: the addresses can be used at once.
            for where in ("all", "default", "eth0"):
                path = f"net.ipv6.conf.{where}.accept_dad=0"
                subprocess.run(
                    ["ip", "netns", "exec", name, "sysctl", "-qw", path], check=True, timeout=10
                )
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "link", "set", "eth0", "up")
        hosts = Host(names[0]), Host(names[1])
        deadline = time.monotonic() + 20
        while not all(host.link_local() for host in hosts):  # the kernel takes up to a second
            assert time.monotonic() < deadline, "the cable did not come up"
            time.sleep(0.05)
        yield hosts
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
