"""A router that speaks PCP (RFC 6887), for tests: it grants, refuses, says nothing, restarts.

``Router`` is only rules. ``python -m tests.pcp_server ADDRESS ZONE`` answers with them on UDP port
5351 and opens the set ``opened`` of nftables' table ``filter``; it prints what it does, and obeys
lines on its standard input: ``reboot``, and ``announce``, which tells everybody of the reboot.
"""

import argparse
import ipaddress
import socket
import struct
import subprocess
import sys
import threading
import time
from contextlib import ExitStack

PORT = 5351
ALL, ALL_PORT = "ff02::1", 5350
# Written down here anew, so that client and server do not share a mistake.
REQUEST = struct.Struct(">BBHI16s12sB3xHH16s")
ANSWER = struct.Struct(">BBBBII12x12sB3xHH16s")
ANNOUNCEMENT = struct.Struct(">BBBBII12x")
#: From who is not the router.
FORGED = ANNOUNCEMENT.pack(2, 0x80, 0, 0, 0, 0)
SUCCESS, UNSUPP_VERSION, NOT_AUTHORIZED, ADDRESS_MISMATCH = 0, 1, 2, 12


class Router:
    """The server's side of MAP; a test sets what it is like."""

    def __init__(self, *, lifetime: int = 3600, refuses: int = 0, silent: bool = False) -> None:
        self.lifetime = lifetime
        #: The result of every request, if not 0, and for how long it says that this holds.
        self.refuses = refuses
        self.error_lifetime = 30
        self.silent = silent
        #: Lets peers in at this port instead of the one that listens, if not 0.
        self.port = 0
        #: Whom it lets in: the nonce that opened each address and port.
        self.opened: dict[tuple[str, int], bytes] = {}
        #: The lifetime that each request asked for, and when it came.
        self.heard: list[tuple[float, int]] = []
        #: The external port that each request wished for.
        self.wished: list[int] = []
        self.began = 0.0

    def reboot(self, now: float) -> None:
        """Forget everything."""
        self.opened.clear()
        self.began = now

    def announcement(self, now: float) -> bytes:
        """What it says to all, unasked."""
        return ANNOUNCEMENT.pack(2, 0x80, 0, SUCCESS, 0, int(now - self.began))

    def answer(self, data: bytes, source: str, now: float) -> bytes | None:
        """What it says to a packet from ``source``; ``now`` in seconds."""
        version, opcode, _, lifetime, client, nonce, protocol, internal, port, external = (
            REQUEST.unpack(data)
        )
        assert (opcode, protocol) == (1, 6), "MAP for TCP"
        self.heard.append((now, lifetime))
        self.wished.append(port)
        if self.silent:
            return None
        at = source, internal
        result = self.refuses
        if version != 2:
            result = UNSUPP_VERSION
        elif ipaddress.IPv6Address(client) != ipaddress.IPv6Address(source):
            result = ADDRESS_MISMATCH
        elif self.opened.get(at, nonce) != nonce:
            result = NOT_AUTHORIZED
        if result:
            lifetime = self.error_lifetime
        elif lifetime:
            lifetime = self.lifetime
            self.opened[at] = nonce
            # A mere firewall changes nothing.
            port, external = self.port or internal, client
        else:
            assert (port, external) == (0, bytes(16)), "whoever gives back wishes for nothing"
            self.opened.pop(at, None)
        return ANSWER.pack(
            2, 0x81, 0, result, lifetime, int(now - self.began),
            nonce, protocol, internal, port, external,
        )  # fmt: skip


class Firewall:
    """The set of nftables that says who gets in; it closes by itself what was not renewed."""

    def __init__(self) -> None:
        self.opened: set[tuple[str, int]] = set()

    def follow(self, router: Router) -> None:
        """Open and close what the router has opened and closed, and print that."""
        for host, port in self.opened - router.opened.keys():
            nft(f"delete element inet filter opened {{ {host} . {port} }}", check=False)
            print("closed", host, port, flush=True)
        for host, port in router.opened:
            element = f"{host} . {port}"
            if (host, port) in self.opened:  # the kernel takes no new timeout for an old one
                nft(f"delete element inet filter opened {{ {element} }}", check=False)
            nft(f"add element inet filter opened {{ {element} timeout {router.lifetime}s }}")
            print("opened", host, port, flush=True)
        self.opened = set(router.opened)


def nft(command: str, *, check: bool = True) -> None:
    subprocess.run(["nft", command], check=check, timeout=10, capture_output=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("zone")
    parser.add_argument("--lifetime", type=int, default=3600)
    parser.add_argument("--refuses", type=int, default=0)
    parser.add_argument("--silent", action="store_true")
    parser.add_argument("--also", action="append", default=[], help="another address of its own")
    options = parser.parse_args()
    router = Router(lifetime=options.lifetime, refuses=options.refuses, silent=options.silent)
    # Up for an hour: else a restart could not be told from its first seconds.
    router.began = time.monotonic() - 3600
    firewall, turn = Firewall(), threading.Lock()

    def obey() -> None:
        for line in sys.stdin:
            with turn:
                if line == "reboot\n":
                    router.reboot(time.monotonic())
                    firewall.follow(router)
                else:
                    assert line == "announce\n"
                    for each in strangers:
                        each.sendto(FORGED, (ALL, ALL_PORT, 0, zone))
                    sock.sendto(router.announcement(time.monotonic()), (ALL, ALL_PORT, 0, zone))

    zone = socket.if_nametoindex(options.zone)
    strangers = []
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock, ExitStack() as stack:
        sock.bind((options.address, PORT, 0, zone))
        # Another port of the same address, and the same port of others.
        for address, port in ((options.address, 0), *((each, PORT) for each in options.also)):
            each = stack.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
            each.bind((address, port, 0, zone))
            strangers.append(each)
        threading.Thread(target=obey, daemon=True).start()
        print("ready", flush=True)
        while True:
            data, source = sock.recvfrom(2048)
            with turn:
                answer = router.answer(data, source[0], time.monotonic())
                firewall.follow(router)
                print("heard", flush=True)
            if answer is not None:
                sock.sendto(answer, source)


if __name__ == "__main__":
    main()
