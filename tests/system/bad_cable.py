"""A bad cable: a process between two TUN devices that delays, drops, reorders and damages packets.

It makes the devices ``cable0`` and ``cable1`` in its own network namespace, for others to move. A
line on its standard input is the ``Fault`` from there on, as JSON; each is answered, and so is its
start, with a line of what became of the packets so far. It ends with its input, and the devices
with it. Only the standard library is used here: it starts at once.
"""

import fcntl
import heapq
import itertools
import json
import os
import random
import selectors
import struct
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass

__all__ = ["DEVICES", "Fault"]

DEVICES = ("cable0", "cable1")

_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
#: Of an IPv6 header, bytes (RFC 8200, section 3).
_HEADER = 40
_TCP, _ICMPV6 = 6, 58
#: What an error about a packet may be long, bytes (RFC 4443, section 2.4).
_ERROR_SIZE = 1280
_LONGEST = 65536


@dataclass(frozen=True)
class Fault:
    """What becomes of packets, in either direction; times are seconds, shares from 0 to 1."""

    delay: float = 0
    #: The share that is held back for up to ``hold`` more, so that others overtake it.
    held: float = 0
    hold: float = 0
    lost: float = 0
    #: The share of TCP segments of which some bytes are changed: TCP's checksum finds that.
    damaged: float = 0
    #: A longer packet does not pass, and its sender hears so, as from a router.
    mtu: int = _LONGEST

    def as_line(self) -> str:
        """As the process reads it, without the line feed."""
        return json.dumps(asdict(self))


class Cable:
    """Carries packets from either device to the other, late or not at all."""

    def __init__(self, ends: tuple[int, int], seed: int) -> None:
        self.fault = Fault()
        self.became: Counter[str] = Counter()
        self._other = dict(zip(ends, reversed(ends), strict=True))
        #: Each kind of fault has numbers of its own, so that the same packets meet it every time.
        self._lost, self._damaged, self._held = (random.Random(seed + n) for n in range(3))
        self._serials = itertools.count()
        #: What is under way: when it is due, its serial, where to, and the packet.
        self._waiting: list[tuple[float, int, int, bytes]] = []
        self._latest = dict.fromkeys(ends, -1)

    def take(self, end: int) -> None:
        """One packet that the host at this end sent."""
        packet, fault = os.read(end, _LONGEST), self.fault
        if len(packet) > fault.mtu:
            self._give(end, "too big", too_big(packet, fault.mtu))
            return
        if self._lost.random() < fault.lost:
            self.became["lost"] += 1
            return
        if packet[6] == _TCP and self._damaged.random() < fault.damaged:
            self.became["damaged"] += 1
            packet = damaged(packet, self._held)
        due = time.monotonic() + fault.delay
        if self._held.random() < fault.held:
            due += self._held.uniform(0, fault.hold)
        heapq.heappush(self._waiting, (due, next(self._serials), self._other[end], packet))

    def give(self) -> float | None:
        """Hand over what is due; seconds until the next is, None while nothing is under way."""
        while self._waiting:
            due, serial, end, packet = self._waiting[0]
            if (seconds := due - time.monotonic()) > 0:
                return seconds
            heapq.heappop(self._waiting)
            self.became["overtaken"] += serial < self._latest[end]
            self._latest[end] = max(serial, self._latest[end])
            self._give(end, "passed", packet)
        return None

    def _give(self, end: int, became: str, packet: bytes) -> None:
        try:
            os.write(end, packet)
        except OSError:  # the device is down
            became = "lost"
        self.became[became] += 1


def damaged(packet: bytes, rng: random.Random) -> bytes:
    """Three bytes behind the IPv6 header, or up to the end, are others."""
    changed = bytearray(packet)
    for at in range(rng.randrange(_HEADER, len(packet)), len(packet))[:3]:
        changed[at] ^= rng.randrange(1, 256)
    return bytes(changed)


def too_big(packet: bytes, mtu: int) -> bytes:
    """The ICMPv6 message "Packet Too Big" for its sender (RFC 4443, section 3.2)."""
    source, destination = packet[8:24], packet[24:40]
    quoted = packet[: _ERROR_SIZE - _HEADER - 8]
    length = 8 + len(quoted)
    # It comes from whom the packet was for: any router between would do.
    pseudo = destination + source + struct.pack("!IxxxB", length, _ICMPV6)
    check = checksum(pseudo + struct.pack("!BBHI", 2, 0, 0, mtu) + quoted)
    header = struct.pack("!IHBB", 6 << 28, length, _ICMPV6, 64) + destination + source
    return header + struct.pack("!BBHI", 2, 0, check, mtu) + quoted


def checksum(data: bytes) -> int:
    """RFC 1071."""
    data += bytes(len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while carry := total >> 16:
        total = (total & 0xFFFF) + carry
    return total ^ 0xFFFF


def open_tun(name: str) -> int:
    """A TUN device of whole IPv6 packets; it is gone when the descriptor is closed."""
    end = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(end, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
    return end


def main(seed: int) -> None:
    """Until the end of standard input."""
    one, two = (open_tun(name) for name in DEVICES)
    cable = Cable((one, two), seed)
    with selectors.DefaultSelector() as selector:
        for descriptor in (0, one, two):
            selector.register(descriptor, selectors.EVENT_READ)
        faults = read_faults()
        tell(cable)
        while True:
            for key, _ in selector.select(cable.give()):
                if key.fd != 0:
                    cable.take(key.fd)
                    continue
                fault = next(faults, None)
                if fault is None:
                    return
                cable.fault = fault
                tell(cable)


def read_faults() -> Iterator[Fault]:
    """One line each: whoever writes them waits for the answer before the next."""
    while line := os.read(0, _LONGEST):
        yield Fault(**json.loads(line))


def tell(cable: Cable) -> None:
    print(json.dumps(cable.became), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
