"""A network in memory, on Trio's clock: whole nodes talk over it, and it fails as networks do.

What it does follows from the seed: how long each piece travels and how much a read gets. Pieces
stay in order. ``cut`` is silent, as a router that died: nobody is told anything. A ``firewall``
lets in what answers, and two dials that meet between their listening ports become one connection.
"""

import contextlib
import errno
import itertools
import math
import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import trio

from fantom_trio.nursery.errors import (
    ConnectionLost,
    DialError,
    DialProblem,
    ListenError,
    PortTaken,
)
from fantom_trio.nursery.network import Listener, Stream
from fantom_trio.wire import Endpoint

#: Bytes on their way and unread, of one direction; then its writer waits.
BUFFER_BYTES = 64 * 1024
#: A system whose packet was answered with a reset of something old sends it again.
RESEND_SECONDS = 1


@dataclass
class Firewall:
    """Before a host: what comes in unasked is dropped, or answered with ``answer``.

    A packet from inside lets the answers in for as long as it ``remembers``, seconds.
    """

    answer: DialProblem | None = None
    remembers: float = 60
    _until: dict[tuple[Endpoint, Endpoint], float] = field(default_factory=dict)

    def open(self, here: Endpoint, there: Endpoint) -> None:
        """Something went out."""
        self._until[here, there] = trio.current_time() + self.remembers

    def lets_in(self, here: Endpoint, there: Endpoint) -> bool:
        """It answers something."""
        return trio.current_time() <= self._until.get((here, there), -math.inf)


class MemoryNetwork:
    """Hosts, and what lies between them. A piece travels for one of ``delay``'s seconds."""

    def __init__(self, rng: random.Random, delay: tuple[float, float] = (0.0, 0.0)) -> None:
        self.rng = rng
        self.delay = delay
        #: So much of all reads gets all that is there; the others a part of it.
        self.whole_reads = 0.0
        #: How long the ports of a connection are taken, where it was closed first, seconds.
        self.time_wait = 0.0
        self.firewalls: dict[str, Firewall] = {}
        self.hosts: dict[str, Host] = {}
        self._cuts: set[frozenset[str]] = set()
        self._wires: list[_Wire] = []

    def host(self, address: str) -> "Host":
        """The one with this address: the network of one node."""
        return self.hosts.setdefault(address, Host(self, address))

    def cut(self, one: str, other: str) -> None:
        """What is under way between the two hosts vanishes, and so does all that follows."""
        self._cuts.add(frozenset((one, other)))
        for wire in self._between(one, other):
            wire.lose_what_is_under_way()

    def heal(self, one: str, other: str) -> None:
        """New connections work again, and old ones that lost nothing; the others stay dead."""
        self._cuts.discard(frozenset((one, other)))
        for wire in self._between(one, other):
            wire.acknowledge()

    def passes(self, one: str, other: str) -> bool:
        """There is no cut between the two."""
        return frozenset((one, other)) not in self._cuts

    def send_first(self, here: Endpoint, there: Endpoint) -> None:
        """The first packet of a connection leaves for ``there``."""
        if firewall := self.firewalls.get(here.host):
            firewall.open(here, there)

    def lets_in(self, here: Endpoint, there: Endpoint) -> bool:
        """The first packet of a connection, from ``there``, comes in; raises ``DialError``."""
        firewall = self.firewalls.get(here.host)
        return firewall is None or firewall.lets_in(here, there)

    def travel_time(self) -> float:
        """Seconds for one piece, one way."""
        return self.rng.uniform(*self.delay)

    def join(self, client: Endpoint, server: Endpoint) -> tuple["MemoryStream", "MemoryStream"]:
        """The two ends of a new connection."""
        wire = _Wire(self, client, server)
        self._wires = [each for each in self._wires if not each.over] + [wire]
        return wire.ends

    def _between(self, one: str, other: str) -> list["_Wire"]:
        hosts = {one, other}
        return [wire for wire in self._wires if {end.here.host for end in wire.ends} == hosts]


class _Dial:
    """A connection that is not there yet: its first packet was sent."""

    def __init__(self, here: Endpoint, there: Endpoint) -> None:
        self.ends = here, there
        self.scope = trio.CancelScope()
        #: The peer's first packet met ours.
        self.met: MemoryStream | None = None

    def meet(self, stream: "MemoryStream") -> None:
        self.met = stream
        self.scope.cancel()


class Host:
    """A machine with one address: the ``Network`` of one node."""

    def __init__(self, network: MemoryNetwork, address: str) -> None:
        self.address = address
        self.listeners: dict[int, MemoryListener] = {}
        #: Every stream that began or ended here, oldest first.
        self.streams: list[MemoryStream] = []
        self._network = network
        self._ports = itertools.count(49152)
        #: What we dial, and, seen from here, what others dial and is not accepted yet.
        self._dials: list[_Dial] = []
        self._half_open: list[tuple[Endpoint, Endpoint]] = []

    async def connect(
        self, endpoint: Endpoint, own: Endpoint | None, seconds: float
    ) -> "MemoryStream":
        """One round trip; then both ends have it. The address of ``own`` is not looked at."""
        port = own.port if own is not None and own.port else next(self._ports)
        dial = _Dial(Endpoint(self.address, port), endpoint)
        if self._is_taken(*dial.ends):
            raise PortTaken
        self._dials.append(dial)
        stream: MemoryStream | None = None
        try:
            with trio.move_on_after(seconds):
                with dial.scope:
                    stream = await self._shake_hands(*dial.ends)
                stream = dial.met or stream
        finally:
            self._dials.remove(dial)
            if dial.met is not None and stream is None:  # we gave up in that moment
                dial.met.reset()
                dial.met.close()
        if stream is None:
            raise DialError(DialProblem.TIMEOUT)
        return stream

    async def _shake_hands(self, here: Endpoint, there: Endpoint) -> "MemoryStream":
        self._network.send_first(here, there)
        await self._travel(there.host)  # also where nobody has that address
        host = self._network.hosts.get(there.host) or await trio.sleep_forever()
        await self._pass_firewall(here, there)
        while stale := host._used(there, here):
            stale.reset()
            await trio.sleep(RESEND_SECONDS)
        other = next((each for each in host._dials if each.ends == (there, here)), None)
        if other is not None:
            client, server = self._join(host, here, there)
            other.meet(server)
        with host._opens_half(there, here):
            try:
                await self._travel(there.host)
            except BaseException:
                if other is not None:
                    client.reset()
                    client.close()
                raise
        if other is not None:
            return client
        listener = host.listeners.get(there.port)
        if listener is None:
            raise DialError(DialProblem.REFUSED)
        client, server = self._join(host, here, there)
        listener.take(server)
        return client

    async def _pass_firewall(self, here: Endpoint, there: Endpoint) -> None:
        if not self._network.lets_in(there, here):
            answer = self._network.firewalls[there.host].answer
            if answer is None:
                await trio.sleep_forever()
            else:
                await self._travel(there.host)
                raise DialError(answer)

    def _join(
        self, host: "Host", here: Endpoint, there: Endpoint
    ) -> tuple["MemoryStream", "MemoryStream"]:
        client, server = self._network.join(here, there)
        self.streams.append(client)
        host.streams.append(server)
        return client, server

    def _is_taken(self, here: Endpoint, there: Endpoint) -> bool:
        """There is a connection between the two, or was a moment ago."""
        under_way = [*(dial.ends for dial in self._dials), *self._half_open]
        if self._used(here, there) is not None or (here, there) in under_way:
            return True
        since = trio.current_time() - self._network.time_wait
        mine = (each for each in self.streams if (each.here, each.peer) == (here, there))
        return any(each.waits_since > since for each in mine)

    def _used(self, here: Endpoint, there: Endpoint) -> "MemoryStream | None":
        """The connection between the two, as this host has it."""
        for each in self.streams:
            if (each.here, each.peer) == (here, there) and not each.is_gone:
                return each
        return None

    @contextlib.contextmanager
    def _opens_half(self, here: Endpoint, there: Endpoint) -> Iterator[None]:
        self._half_open.append((here, there))
        try:
            yield
        finally:
            self._half_open.remove((here, there))

    async def _travel(self, to: str) -> None:
        await trio.sleep(self._network.travel_time())
        if not self._network.passes(self.address, to):
            await trio.sleep_forever()

    def listen(self, endpoint: Endpoint) -> "MemoryListener":
        """On this host's own address alone."""
        if endpoint.host != self.address:
            raise ListenError(endpoint, OSError(errno.EADDRNOTAVAIL, "not ours"))
        port = endpoint.port or next(self._ports)
        if port in self.listeners:
            raise ListenError(endpoint, OSError(errno.EADDRINUSE, "in use"))
        self.listeners[port] = MemoryListener(self, Endpoint(endpoint.host, port, endpoint.zone))
        return self.listeners[port]


class MemoryListener(Listener):
    """What connected and is not accepted yet."""

    def __init__(self, host: Host, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._host = host
        self._send, self._waiting = trio.open_memory_channel["MemoryStream"](math.inf)

    def take(self, stream: "MemoryStream") -> None:
        """A client connected."""
        self._send.send_nowait(stream)

    async def accept(self) -> "MemoryStream":
        """The one that waited longest."""
        return await self._waiting.receive()

    async def aclose(self) -> None:
        """What was not accepted is reset."""
        if self._host.listeners.get(self.endpoint.port) is self:
            del self._host.listeners[self.endpoint.port]
            with contextlib.suppress(trio.WouldBlock):
                while True:
                    waiting = self._waiting.receive_nowait()
                    waiting.reset()
                    waiting.close()
        self._waiting.close()
        await trio.lowlevel.checkpoint()


@dataclass
class _Piece:
    """Bytes that arrive at ``at``, on Trio's clock."""

    at: float
    data: bytes


class _Wire:
    """One connection, seen from between its ends."""

    def __init__(self, network: MemoryNetwork, client: Endpoint, server: Endpoint) -> None:
        self.network = network
        #: Something was lost, and nothing passes ever again.
        self.dead = False
        self.ends = (MemoryStream(self, client, server), MemoryStream(self, server, client))
        self.ends[0].other, self.ends[1].other = self.ends[1], self.ends[0]

    @property
    def over(self) -> bool:
        return all(end.closed for end in self.ends)

    @property
    def passes(self) -> bool:
        one, other = self.ends
        return not self.dead and self.network.passes(one.here.host, other.here.host)

    def lose_what_is_under_way(self) -> None:
        for end in self.ends:
            self.dead |= end.lose_what_is_under_way()

    def acknowledge(self) -> None:
        for end in self.ends:
            end.acknowledge()


class MemoryStream(Stream):
    """One end of a connection in memory."""

    other: "MemoryStream"

    def __init__(self, wire: _Wire, here: Endpoint, peer: Endpoint) -> None:
        self.here = here
        self.peer = peer
        self.closed = False
        #: When this end was closed, before the other: its ports stay taken for a while.
        self.waits_since = -math.inf
        self._wire = wire
        # What is on its way to this end, or there already: bytes, then one of the two ends.
        self._inbox: deque[_Piece] = deque()
        self._eof_at = self._reset_at = math.inf
        self._latest = -math.inf
        #: Bytes that this end read and the other does not know of yet.
        self._unacknowledged = 0
        #: Bytes that this end wrote and, as far as it knows, the other did not read.
        self._unread_there = 0
        self._finished = False
        self._sending = self._receiving = False
        self._changed = trio.Event()

    # What a node does.

    async def receive_into(self, room: Callable[[], memoryview]) -> int:
        await trio.lowlevel.checkpoint()
        if self._receiving:
            raise trio.BusyResourceError("another task is reading")
        self._receiving = True
        try:
            while not self._readable():
                coming = self._inbox[0].at if self._inbox else min(self._eof_at, self._reset_at)
                await self._change(coming)
        finally:
            self._receiving = False
        view = room()
        if not self._inbox:
            return 0
        count = min(len(view), sum(len(piece.data) for piece in self._arrived()))
        network = self._wire.network
        if not network.whole_reads or network.rng.random() >= network.whole_reads:
            count = network.rng.randint(1, count)
        view[:count] = self._take(count)
        self._unacknowledged += count
        self.acknowledge()
        return count

    async def send_all(self, data: bytes | bytearray) -> None:
        await trio.lowlevel.checkpoint()
        if self._sending:
            raise trio.BusyResourceError("another task is writing")
        self._sending = True
        try:
            rest = memoryview(data)
            while True:
                self._refuse_to_write()
                rest = rest[self._write(rest) :]
                if not rest:
                    return
                await self._change(self._reset_at)
        finally:
            self._sending = False

    def send_now(self, data: bytes | bytearray) -> bool:
        try:
            self._refuse_to_write()
        except (trio.ClosedResourceError, ConnectionLost):
            return False
        return self._write(memoryview(data)) == len(data)

    async def send_eof(self) -> None:
        await trio.lowlevel.checkpoint()
        if not self._finished:
            self._refuse_to_write()
            self._finish()

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        if not self.other.closed and self._eof_at > trio.current_time() and not self.is_gone:
            self.waits_since = trio.current_time()
        if self._inbox:  # nobody will ever read it, and TCP says so
            self._inbox.clear()
            self._tell_reset()
        else:
            self._finish()
        self._notify()

    def abort(self) -> None:
        if not self.closed:
            self.reset()
            self.close()

    # What happens to it.

    @property
    def is_gone(self) -> bool:
        """Its system knows it no more: closed at both ends, or broken."""
        return self._reset_at <= trio.current_time() or (self.closed and self.other.closed)

    def reset(self) -> None:
        """The connection breaks: for this end now, for the other as soon as it hears of it."""
        self._inbox.clear()
        self._break(trio.current_time())
        self._tell_reset()

    def cut(self) -> None:
        """This connection alone carries nothing any more, and nobody is told."""
        self._wire.dead = True
        self._wire.lose_what_is_under_way()

    def lose_what_is_under_way(self) -> bool:
        """What has not arrived never will; True when there was anything."""
        now = trio.current_time()
        lost = False
        while self._inbox and self._inbox[-1].at > now:
            self._inbox.pop()
            lost = True
        if now < self._eof_at < math.inf:
            self._eof_at, lost = math.inf, True
        if now < self._reset_at < math.inf:
            self._reset_at, lost = math.inf, True
        self._notify()
        return lost

    def acknowledge(self) -> None:
        """Let the other end know what was read here, as soon as anything passes."""
        if self._wire.passes:
            self.other._unread_there -= self._unacknowledged
            self._unacknowledged = 0
            self.other._notify()

    # Its own affairs.

    def _readable(self) -> bool:
        """Bytes or the peer's end are there; raises when there will be nothing more."""
        if self.closed:
            raise trio.ClosedResourceError("this stream is closed")
        if any(self._arrived()):
            return True
        now = trio.current_time()
        if self._reset_at <= now:
            raise ConnectionLost
        return self._eof_at <= now

    def _arrived(self) -> Iterator[_Piece]:
        now = trio.current_time()
        return itertools.takewhile(lambda piece: piece.at <= now, self._inbox)

    def _take(self, count: int) -> bytes:
        taken = bytearray()
        while len(taken) < count:
            piece = self._inbox[0]
            missing = count - len(taken)
            taken += piece.data[:missing]
            piece.data = piece.data[missing:]
            if not piece.data:
                self._inbox.popleft()
        return bytes(taken)

    def _refuse_to_write(self) -> None:
        if self.closed or self._finished:
            raise trio.ClosedResourceError("this stream is closed for writing")
        if self._reset_at <= trio.current_time():
            raise ConnectionLost

    def _write(self, data: memoryview) -> int:
        """As much of ``data`` as there is room for, on its way or lost."""
        piece = bytes(data[: BUFFER_BYTES - self._unread_there])
        if not piece:
            return 0
        self._unread_there += len(piece)
        if not self._wire.passes:
            self._wire.dead = True
        elif self.other.closed:
            answer = self.other._arrival() + self._wire.network.travel_time()
            self._break(max(answer, self._latest))
        else:
            self.other._inbox.append(_Piece(self.other._arrival(), piece))
            self.other._notify()
        return len(piece)

    def _finish(self) -> None:
        """The peer reads our end, after all that was written."""
        if self._finished:
            return
        self._finished = True
        if not self._wire.passes:
            self._wire.dead = True
        else:
            self.other._eof_at = self.other._arrival()
            self.other._notify()

    def _tell_reset(self) -> None:
        if self._wire.passes:
            self.other._break(self.other._arrival())
        else:
            self._wire.dead = True

    def _arrival(self) -> float:
        """When something that is sent to this end now is there: never before what went earlier."""
        soonest = trio.current_time() + self._wire.network.travel_time()
        self._latest = max(self._latest, soonest)
        return self._latest

    def _break(self, at: float) -> None:
        self._reset_at = min(self._reset_at, at)
        self._notify()

    async def _change(self, until: float) -> None:
        """Something happens to this end, or that time comes."""
        with trio.move_on_at(until):
            await self._changed.wait()

    def _notify(self) -> None:
        changed, self._changed = self._changed, trio.Event()
        changed.set()
