"""The port in the router's firewall, on a clock that jumps and with a router in memory."""

import errno
import itertools
import os
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from fantom_trio.nursery import (
    Granted,
    Lost,
    NoRouter,
    PcpResult,
    Refused,
    RouterNotTold,
    Silent,
)
from fantom_trio.nursery import router as router_module
from fantom_trio.nursery.port_mapping import (
    DEAF,
    FAREWELL,
    LIFETIME,
    LOOK_AGAIN,
    SILENCE,
    STAMPEDE,
    Nudge,
    PortEvent,
    keep_open,
    port_nonce,
)
from fantom_trio.nursery.router import (
    Channel,
    Ear,
    NotTold,
    default_router,
    open_announcements,
    open_udp,
    router_of,
)
from fantom_trio.wire import Endpoint
from fantom_trio.wire.pcp import ANNOUNCE_PORT
from tests.nursery.ends import PATIENCE
from tests.pcp_server import ANSWER, NOT_AUTHORIZED, Router

LISTENER = Endpoint("2001:db8::5", 31488)
HERE = (LISTENER.host, LISTENER.port)
GATEWAY = Endpoint("fe80::1", 5351, "eth0")
OTHER = Endpoint("fe80::2", 5351, "eth0")
NONCE = port_nonce()


class Line(Channel):
    """A cable to a router."""

    def __init__(self, network: "Network", router: Router) -> None:
        self.closed = False
        self.sent: list[bytes] = []
        self._network = network
        self._router = router
        self._in: trio.MemorySendChannel[bytes | OSError]
        self._out: trio.MemoryReceiveChannel[bytes | OSError]
        self._in, self._out = trio.open_memory_channel[bytes | OSError](1000)

    async def send(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        assert not self.closed
        if self._network.stuck:
            await trio.sleep_forever()
        self.sent.append(data)
        if self._network.has_no_pcp:
            self.says(OSError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED)))
        elif answer := self._router.answer(data, LISTENER.host, self._network.clock()):
            for _ in range(self._network.copies):
                self.says(answer)

    def says(self, packet: bytes | OSError) -> None:
        self._in.send_nowait(packet)

    async def receive(self) -> bytes:
        packet = await self._out.receive()
        if isinstance(packet, OSError):
            raise packet
        return packet

    def close(self) -> None:
        self.closed = True


class Hall(Ear):
    """Where a router says something to all."""

    def __init__(self) -> None:
        self.closed = False
        self.says, self._out = trio.open_memory_channel[bytes](100)

    async def receive(self) -> bytes:
        return await self._out.receive()

    def close(self) -> None:
        self.closed = True


class Network:
    """Routers, which of them is the default one, and what was told about them."""

    def __init__(self, router: Router) -> None:
        self.routers = {GATEWAY: router, OTHER: Router()}
        self.default: Endpoint | None = GATEWAY
        self.has_no_pcp = False
        #: A packet cannot even be sent.
        self.stuck = False
        #: How often each answer comes.
        self.copies = 1
        self.unusable = False
        #: For how long this machine slept.
        self.slept = 0.0
        self.nudge = Nudge()
        #: The port of announcements belongs to somebody else.
        self.deaf = False
        self.halls: list[Hall] = []
        self.lines: list[Line] = []
        self.told: list[PortEvent] = []
        self.told_at: list[float] = []

    async def tell(self, event: PortEvent) -> None:
        await trio.lowlevel.checkpoint()
        self.told.append(event)
        self.told_at.append(trio.current_time())

    async def open(self, own: Endpoint, router: Endpoint) -> Channel:
        await trio.lowlevel.checkpoint()
        if self.unusable:
            raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
        assert own == LISTENER
        self.lines.append(Line(self, self.routers[router]))
        return self.lines[-1]

    async def listen(self, router: Endpoint) -> Ear:
        await trio.lowlevel.checkpoint()
        assert router in self.routers
        if self.deaf:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        self.halls.append(Hall())
        return self.halls[-1]

    def clock(self) -> float:
        """It goes on while the machine sleeps, as the router's does."""
        return 1000 + trio.current_time() + self.slept

    def announce(self, router: Router, times: int = 1) -> None:
        for _ in range(times):
            self.halls[-1].says.send_nowait(router.announcement(self.clock()))

    @asynccontextmanager
    async def keeping(self, seed: int = 1, nonce: bytes = NONCE) -> AsyncIterator[None]:
        async def keep() -> None:
            await keep_open(
                LISTENER, self.tell, nonce, self.nudge, rng=random.Random(seed),
                find_router=lambda own: self.default, open_channel=self.open,
                open_ear=self.listen, clock=self.clock,
            )  # fmt: skip

        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep)
            yield
            nursery.cancel_scope.cancel()
        assert all(line.closed for line in self.lines)
        assert all(hall.closed for hall in self.halls)


@pytest.fixture
def router() -> Router:
    return Router(lifetime=LIFETIME)


@pytest.fixture
def network(router: Router) -> Network:
    return Network(router)


def lifetimes(router: Router) -> list[int]:
    return [lifetime for _, lifetime in router.heard]


def pauses(router: Router) -> list[float]:
    times = [at for at, _ in router.heard]
    return [after - before for before, after in itertools.pairwise(times)]


GRANTED = Granted(LISTENER, LIFETIME)
AGAIN = Granted(LISTENER, LIFETIME, again=True)


async def test_the_port_is_opened_and_given_back_at_the_end(
    network: Network, router: Router, autojump_clock: MockClock
) -> None:
    async with network.keeping():
        await trio.sleep(1)
        assert network.told == [GRANTED]
        assert router.opened.keys() == {HERE}
        assert lifetimes(router) == [LIFETIME]
    assert router.opened == {}
    assert lifetimes(router) == [LIFETIME, 0]
    assert network.told == [GRANTED]


@pytest.mark.parametrize("seed", range(5))
async def test_it_is_renewed_in_time_without_a_word(
    network: Network, router: Router, seed: int, autojump_clock: MockClock
) -> None:
    async with network.keeping(seed):
        await trio.sleep(20 * LIFETIME)
        assert network.told == [GRANTED]
        assert 32 <= len(router.heard) <= 41
        assert all(LIFETIME / 2 <= pause <= LIFETIME * 5 / 8 for pause in pauses(router))
        assert len({router.opened[HERE]}) == len(network.lines) == 1


async def test_a_renewal_that_is_lost_is_sent_again_before_the_end(
    network: Network, router: Router, autojump_clock: MockClock
) -> None:
    async with network.keeping():
        await trio.sleep(1)
        router.silent = True
        await trio.sleep(LIFETIME * 7 / 8)
        assert len(router.heard) == 3
        router.silent = False
        await trio.sleep(LIFETIME / 16)
        assert len(router.heard) == 4
        assert network.told == [GRANTED]


async def test_a_router_that_falls_silent_is_told_when_the_port_is_closed(
    network: Network, router: Router, autojump_clock: MockClock
) -> None:
    async with network.keeping():
        await trio.sleep(1)
        router.silent = True
        await trio.sleep(LIFETIME + SILENCE + 1)
        assert network.told == [GRANTED, Silent()]
        assert network.told_at[1] == pytest.approx(LIFETIME + SILENCE)
        router.silent = False
        await trio.sleep(120)
        assert network.told == [GRANTED, Silent(), AGAIN]


async def test_a_silent_router_is_told_once_and_asked_ever_less_often(
    network: Network, router: Router, autojump_clock: MockClock
) -> None:
    router.silent = True
    async with network.keeping():
        await trio.sleep(SILENCE - 0.1)
        assert network.told == []
        await trio.sleep(0.2)
        assert network.told == [Silent()]
        await trio.sleep(24 * 3600)
        assert network.told == [Silent()]
        assert 85 <= len(router.heard) <= 110
        assert 2.7 <= pauses(router)[0] <= 3.3
        assert 900 <= pauses(router)[-1] <= 1130
        router.silent = False
        await trio.sleep(1130)
        assert network.told == [Silent(), GRANTED]


async def test_a_router_without_pcp_is_told_at_once(
    network: Network, autojump_clock: MockClock
) -> None:
    network.has_no_pcp = True
    async with network.keeping():
        await trio.sleep(1)
        assert network.told == [Silent()]
        await trio.sleep(600)
        # The answer that never came is no reason to ask in a flood.
        assert 7 <= len(network.lines[0].sent) <= 9
        network.has_no_pcp = False
        await trio.sleep(800)
        assert network.told == [Silent(), GRANTED]


async def test_a_port_that_is_open_is_not_called_closed_over_an_error_on_the_way(
    network: Network, autojump_clock: MockClock
) -> None:
    async with network.keeping():
        await trio.sleep(1)
        network.has_no_pcp = True
        await trio.sleep(LIFETIME - 10)
        assert network.told == [GRANTED]
        await trio.sleep(20)
        assert network.told == [GRANTED, Silent()]


async def test_a_refusal_is_told_once_and_asked_again_when_the_router_says(
    network: Network, router: Router, autojump_clock: MockClock
) -> None:
    router.refuses, router.error_lifetime = NOT_AUTHORIZED, 300
    async with network.keeping():
        await trio.sleep(950)
        assert network.told == [Refused(PcpResult.NOT_AUTHORIZED, NOT_AUTHORIZED)]
        assert pauses(router) == [pytest.approx(300)] * 3
        router.refuses = 0
        await trio.sleep(300)
        assert network.told[1:] == [GRANTED]
        assert len(router.heard) == 5


async def test_a_port_that_is_not_renewed_is_given_back_all_the_same(
    network: Network, router: Router, autojump_clock: MockClock
) -> None:
    async with network.keeping():
        await trio.sleep(1)
        router.refuses = 8
        await trio.sleep(LIFETIME * 5 / 8)
        assert router.opened.keys() == {HERE}
        router.refuses = 0
    assert router.opened == {}


async def test_an_answer_that_comes_twice_counts_once(
    network: Network, router: Router, autojump_clock: MockClock
) -> None:
    network.copies, router.refuses, router.error_lifetime = 3, 8, 100
    async with network.keeping():
        await trio.sleep(90)
        router.refuses = 0
        await trio.sleep(20)
        # The copies of the refusal are not taken for the answer to what is asked now.
        assert network.told == [Refused(PcpResult.NO_RESOURCES, 8), GRANTED]
        await trio.sleep(10 * LIFETIME)
        assert len(network.told) == 2
        assert 17 <= len(router.heard) <= 23


async def test_a_renewal_that_is_refused_is_told(
    network: Network, router: Router, autojump_clock: MockClock
) -> None:
    async with network.keeping():
        await trio.sleep(1)
        router.refuses, router.error_lifetime = 10, 600
        await trio.sleep(LIFETIME * 5 / 8)
        assert network.told == [GRANTED, Refused(PcpResult.USER_EX_QUOTA, 10)]
        router.refuses = 0
        await trio.sleep(600)
        assert network.told[2:] == [AGAIN]


async def test_a_router_that_restarted_is_noticed_with_the_next_answer(
    network: Network, router: Router, autojump_clock: MockClock
) -> None:
    async with network.keeping():
        await trio.sleep(1000)
        router.reboot(network.clock())
        await trio.sleep(LIFETIME)
        assert network.told == [GRANTED, Lost(), AGAIN]
        assert router.opened.keys() == {HERE}
        await trio.sleep(10 * LIFETIME)
        assert len(network.told) == 3


async def test_a_restarted_router_that_speaks_first_is_asked_at_once_but_not_by_all_together(
    network: Network, router: Router, autojump_clock: MockClock
) -> None:
    async with network.keeping():
        await trio.sleep(1000)
        packet = bytearray(
            router.answer(network.lines[0].sent[0], LISTENER.host, network.clock()) or b""
        )
        router.heard.pop()
        router.reboot(network.clock())
        ANSWER.pack_into(packet, 0, *(*ANSWER.unpack(packet)[:5], 0, *ANSWER.unpack(packet)[6:]))
        network.lines[0].says(bytes(packet))
        await trio.sleep(STAMPEDE)
        assert network.told == [GRANTED, Lost(), AGAIN]
        assert 0.01 < network.told_at[2] - network.told_at[1] < STAMPEDE
        assert len(router.heard) == 2
        assert router.opened.keys() == {HERE}


async def test_a_restarted_router_without_pcp_is_told_at_once(
    network: Network, router: Router, autojump_clock: MockClock
) -> None:
    async with network.keeping():
        await trio.sleep(1000)
        packet = router.answer(network.lines[0].sent[0], LISTENER.host, 0.0)
        assert packet is not None
        network.has_no_pcp = True
        network.lines[0].says(packet)
        await trio.sleep(STAMPEDE + 1)
        assert network.told == [GRANTED, Lost(), Silent()]


async def test_a_router_that_had_nothing_to_forget_is_not_said_to_have_forgotten(
    network: Network, router: Router, autojump_clock: MockClock
) -> None:
    router.refuses, router.error_lifetime = NOT_AUTHORIZED, 1800
    async with network.keeping():
        await trio.sleep(3600 + 1)
        router.reboot(network.clock())
        router.refuses = 0
        await trio.sleep(1800)
        assert network.told == [Refused(PcpResult.NOT_AUTHORIZED, NOT_AUTHORIZED), GRANTED]


async def test_the_port_that_the_router_chose_is_told_and_wished_for_again(
    network: Network, router: Router, autojump_clock: MockClock
) -> None:
    router.port = 40_000
    async with network.keeping():
        await trio.sleep(LIFETIME)
        assert network.told == [Granted(Endpoint(LISTENER.host, 40_000), LIFETIME)]
        assert router.wished == [LISTENER.port, 40_000]
        router.port = 40_001
        await trio.sleep(LIFETIME)
        assert network.told[1:] == [Granted(Endpoint(LISTENER.host, 40_001), LIFETIME, True)]


async def test_a_restarted_router_that_refuses_now_is_told_so(
    network: Network, router: Router, autojump_clock: MockClock
) -> None:
    async with network.keeping():
        await trio.sleep(1000)
        router.reboot(network.clock())
        router.refuses = NOT_AUTHORIZED
        await trio.sleep(LIFETIME)
        assert network.told[1:] == [Lost(), Refused(PcpResult.NOT_AUTHORIZED, NOT_AUTHORIZED)]


async def test_what_is_no_answer_changes_nothing(
    network: Network, router: Router, autojump_clock: MockClock
) -> None:
    async with network.keeping():
        await trio.sleep(10)
        good = router.answer(network.lines[0].sent[0], LISTENER.host, network.clock())
        assert good is not None
        refusal = good[:3] + bytes([NOT_AUTHORIZED]) + good[4:]
        forged = refusal[:24] + bytes(12) + refusal[36:]
        for packet in (b"", b"\0" * 8, good[:-4], forged, forged[:8] + bytes(4) + forged[12:]):
            network.lines[0].says(packet)
        await trio.sleep(1)
        assert network.told == [GRANTED]
        # As a control: the same with the right nonce counts.
        network.lines[0].says(refusal)
        await trio.sleep(1)
        assert network.told[1:] == [Refused(PcpResult.NOT_AUTHORIZED, NOT_AUTHORIZED)]


# The machine sleeps, or its network changes.


async def test_after_a_sleep_the_port_is_asked_for_at_once_and_without_a_word(
    network: Network, router: Router, autojump_clock: MockClock
) -> None:
    async with network.keeping():
        await trio.sleep(1000)
        network.slept = 2 * LIFETIME  # the mapping is gone, and half of it is left on Trio's clock
        router.opened.clear()
        network.nudge.give()
        await trio.sleep(0.1)
        assert router.opened.keys() == {HERE}
        # The router did not restart: it only went on.
        assert network.told == [GRANTED]
        await trio.sleep(20 * LIFETIME)
        assert network.told == [GRANTED]
        assert 32 <= len(router.heard) <= 43


async def test_a_restart_in_the_sleep_is_told(
    network: Network, router: Router, autojump_clock: MockClock
) -> None:
    async with network.keeping():
        await trio.sleep(1000)
        network.slept = LIFETIME
        router.reboot(network.clock() - 60)
        network.nudge.give()
        await trio.sleep(0.1)
        assert network.told == [GRANTED, Lost(), AGAIN]


async def test_a_network_that_is_not_back_at_once_after_a_sleep_is_asked_until_it_is(
    network: Network, router: Router, autojump_clock: MockClock
) -> None:
    async with network.keeping():
        await trio.sleep(1)
        router.silent = True
        network.slept = 600
        network.nudge.give()
        await trio.sleep(SILENCE + 1)
        router.silent = False
        await trio.sleep(60)
        assert 4 <= len(router.heard) <= 6
        # It was open all the time, as far as we know.
        assert network.told == [GRANTED]


async def test_after_a_sleep_a_silent_router_is_told_when_the_port_is_surely_closed(
    network: Network, router: Router, autojump_clock: MockClock
) -> None:
    async with network.keeping():
        await trio.sleep(1)
        router.silent = True
        network.slept = 2 * LIFETIME
        network.nudge.give()
        await trio.sleep(SILENCE + 0.1)
        assert network.told == [GRANTED, Silent()]


@pytest.mark.parametrize(
    "wait", ["no router", "no address", "silence", "no service", "a refusal", "a lost renewal"]
)
async def test_a_nudge_ends_every_wait(
    network: Network, router: Router, wait: str, autojump_clock: MockClock
) -> None:
    network.default = None if wait == "no router" else GATEWAY
    network.unusable = wait == "no address"
    router.silent = wait == "silence"
    network.has_no_pcp = wait == "no service"
    router.refuses = NOT_AUTHORIZED if wait == "a refusal" else 0
    router.error_lifetime = 1800
    async with network.keeping():
        await trio.sleep(LOOK_AGAIN * 20 + 1)
        if wait == "a lost renewal":
            router.silent = True
            await trio.sleep(LIFETIME * 5 / 8)
            router.opened.clear()
        network.default, network.unusable = GATEWAY, False
        network.has_no_pcp = router.silent = False
        router.refuses = 0
        await trio.sleep(0.1)
        assert HERE not in router.opened
        for _ in range(3):
            network.nudge.give()
        await trio.sleep(0.1)
        assert router.opened.keys() == {HERE}
        heard = len(router.heard)
        await trio.sleep(10)
        assert len(router.heard) == heard


async def test_a_router_that_is_gone_for_a_moment_is_not_told(
    network: Network, router: Router, autojump_clock: MockClock
) -> None:
    async with network.keeping():
        for there in (GATEWAY, OTHER):
            await trio.sleep(100)
            network.default = None
            network.nudge.give()
            await trio.sleep(SILENCE - 1)
            network.default = there
            network.nudge.give()
            await trio.sleep(0.1)
            assert network.routers[there].opened.keys() == {HERE}
        assert network.told == [GRANTED]
        network.default = None
        network.nudge.give()
        await trio.sleep(SILENCE - 1)
        assert network.told == [GRANTED]
        await trio.sleep(2)
        assert network.told == [GRANTED, NoRouter()]


# What the router says to all.


async def test_an_announced_restart_is_asked_about_once_and_not_by_all_together(
    network: Network, router: Router, autojump_clock: MockClock
) -> None:
    async with network.keeping():
        await trio.sleep(1000)
        router.reboot(network.clock())
        network.announce(router, times=10)
        await trio.sleep(0.01)
        assert len(router.heard) == 1
        await trio.sleep(STAMPEDE)
        assert network.told == [GRANTED, Lost(), AGAIN]
        assert router.opened.keys() == {HERE}
        for _ in range(10):
            await trio.sleep(DEAF)
            network.announce(router)
        await trio.sleep(DEAF)
        assert len(router.heard) == 2


async def test_a_forged_announcement_costs_a_question_now_and_then_and_nothing_else(
    network: Network, router: Router, autojump_clock: MockClock
) -> None:
    forged = Router().announcement(0)
    async with network.keeping():
        await trio.sleep(1000)
        for _ in range(600):
            network.halls[0].says.send_nowait(forged)
            await trio.sleep(0.1)
        assert 60 / DEAF <= len(router.heard) - 1 <= 60 / DEAF + 1
        assert network.told == [GRANTED]


async def test_what_is_no_announcement_of_a_restart_is_not_asked_about(
    network: Network, router: Router, autojump_clock: MockClock
) -> None:
    async with network.keeping():
        await trio.sleep(1000)
        news = Router().announcement(0)
        for packet in (b"", news[:-4], news[:1] + b"\0" + news[2:], bytes(1104), bytes(60)):
            network.halls[0].says.send_nowait(packet)
        network.announce(router)
        await trio.sleep(DEAF)
        assert len(router.heard) == 1
        # As a control.
        network.halls[0].says.send_nowait(news)
        await trio.sleep(DEAF)
        assert len(router.heard) == 2


async def test_a_silent_router_that_announces_itself_is_asked(
    network: Network, router: Router, autojump_clock: MockClock
) -> None:
    router.silent = True
    async with network.keeping():
        await trio.sleep(3600)
        router.silent = False
        network.announce(router)
        await trio.sleep(STAMPEDE)
        assert network.told == [Silent(), GRANTED]


async def test_where_somebody_else_has_the_port_of_announcements_all_else_works(
    network: Network, router: Router, autojump_clock: MockClock
) -> None:
    network.deaf = True
    async with network.keeping():
        await trio.sleep(1000)
        router.reboot(network.clock())
        await trio.sleep(LIFETIME)
        assert network.told == [GRANTED, Lost(), AGAIN]


@pytest.mark.parametrize("lifetime", [0, 1, 8, 120])
async def test_a_short_lifetime_is_renewed_in_time_but_in_no_flood(
    network: Network, router: Router, lifetime: int, autojump_clock: MockClock
) -> None:
    router.lifetime = lifetime
    async with network.keeping():
        await trio.sleep(1200)
        assert network.told == [Granted(LISTENER, max(lifetime, 8))]
        assert all(4 <= pause <= max(5, lifetime * 5 / 8) for pause in pauses(router))


async def test_an_absurd_lifetime_is_renewed_within_a_day(
    network: Network, router: Router, autojump_clock: MockClock
) -> None:
    router.lifetime = 2**32 - 1
    async with network.keeping():
        await trio.sleep(24 * 3600)
        assert network.told == [Granted(LISTENER, 24 * 3600)]
        assert len(router.heard) == 2


async def test_without_a_router_one_is_looked_for_again(
    network: Network, router: Router, autojump_clock: MockClock
) -> None:
    network.default = None
    async with network.keeping():
        await trio.sleep(LOOK_AGAIN * 3 - 1)
        assert network.told == [NoRouter()]
        network.default = GATEWAY
        await trio.sleep(2)
        assert network.told == [NoRouter(), GRANTED]


async def test_another_default_router_is_asked_and_the_old_one_gets_its_port_back(
    network: Network, router: Router, autojump_clock: MockClock
) -> None:
    async with network.keeping():
        await trio.sleep(1)
        network.default = OTHER
        await trio.sleep(LIFETIME)
        assert router.opened == {}
        assert network.routers[OTHER].opened.keys() == {HERE}
        assert network.lines[0].closed
        # For the user nothing changed.
        assert network.told == [GRANTED]


async def test_an_address_that_is_gone_is_tried_again(
    network: Network, autojump_clock: MockClock
) -> None:
    network.unusable = True
    async with network.keeping():
        await trio.sleep(LOOK_AGAIN + 1)
        assert network.told == []
        network.unusable = False
        await trio.sleep(LOOK_AGAIN)
        assert network.told == [GRANTED]


async def test_what_is_asked_and_not_yet_answered_is_given_back_too(
    network: Network, router: Router, autojump_clock: MockClock
) -> None:
    router.silent = True
    async with network.keeping():
        await trio.sleep(1)
    assert lifetimes(router) == [LIFETIME, 0]


async def test_giving_back_keeps_nobody_waiting(
    network: Network, router: Router, autojump_clock: MockClock
) -> None:
    async with network.keeping():
        await trio.sleep(1)
        network.stuck = True
        began = trio.current_time()
    assert trio.current_time() - began <= FAREWELL
    assert lifetimes(router) == [LIFETIME]


@pytest.mark.parametrize("checkpoints", range(12))
async def test_cancelled_at_any_moment_nothing_stays_open(
    network: Network, router: Router, checkpoints: int, autojump_clock: MockClock
) -> None:
    async with network.keeping():
        for _ in range(checkpoints):
            await trio.lowlevel.checkpoint()
    assert router.opened == {}


async def test_where_the_farewell_was_lost_only_the_same_nonce_opens_the_port_again(
    network: Network, router: Router, autojump_clock: MockClock
) -> None:
    async with network.keeping():
        await trio.sleep(1)
        network.stuck = True
    assert router.opened.keys() == {HERE}
    network.stuck = False
    async with network.keeping(nonce=port_nonce()):
        await trio.sleep(1)
        assert network.told[1:] == [Refused(PcpResult.NOT_AUTHORIZED, NOT_AUTHORIZED)]
    async with network.keeping():
        await trio.sleep(1)
        assert network.told[2:] == [GRANTED]
    assert router.opened == {}


# The real socket.


async def test_a_packet_comes_from_our_address_and_only_the_router_is_heard() -> None:
    with trio.fail_after(PATIENCE):
        server, stranger = (
            trio.socket.socket(trio.socket.AF_INET6, trio.socket.SOCK_DGRAM) for _ in range(2)
        )
        with server, stranger:
            for sock in (server, stranger):
                await sock.bind(("::1", 0))
            channel = await open_udp(
                Endpoint("::1", 31488), Endpoint("::1", server.getsockname()[1])
            )
            await channel.send(b"question")
            data, source = await server.recvfrom(99)
            assert (data, source[0]) == (b"question", "::1")
            await stranger.sendto(b"forged", source)
            await server.sendto(bytes(1200), source)
            assert len(await channel.receive()) == 1101
            channel.close()


async def test_a_port_that_nobody_has_is_an_error_and_a_foreign_address_too() -> None:
    with trio.fail_after(PATIENCE):
        with trio.socket.socket(trio.socket.AF_INET6, trio.socket.SOCK_DGRAM) as taken:
            await taken.bind(("::1", 0))
            port = taken.getsockname()[1]
        channel = await open_udp(Endpoint("::1", 1), Endpoint("::1", port))
        await channel.send(b"question")
        with pytest.raises(ConnectionRefusedError):
            await channel.receive()
        channel.close()
        for own, router in (
            (LISTENER, Endpoint("::1", port)),
            (Endpoint("::1", 1), Endpoint("fe80::1", port, "no-such-zone")),
        ):
            with pytest.raises(OSError):
                await open_udp(own, router)


async def test_announcements_that_cannot_be_heard_are_an_error() -> None:
    with trio.fail_after(PATIENCE):
        # Its interface is not known, or is none of ours.
        for router in (Endpoint("2001:db8::1", 5351), Endpoint("fe80::1", 5351, "no-such-zone")):
            with pytest.raises(OSError):
                await open_announcements(router)
        router = Endpoint("fe80::1", 5351, "lo")
        with trio.socket.socket(trio.socket.AF_INET6, trio.socket.SOCK_DGRAM) as taken:
            await taken.bind(("::", ANNOUNCE_PORT))
            with pytest.raises(OSError):
                await open_announcements(router)
        # As a control.
        (await open_announcements(router)).close()


# Which router.


def route(
    gateway: str,
    *,
    to: str = "0" * 32,
    bits: int = 0,
    source: str = "0" * 32,
    source_bits: int = 0,
    metric: int = 1024,
    flags: int = 3,
    zone: str = "eth0",
) -> str:
    return (
        f"{to} {bits:02x} {source} {source_bits:02x} {gateway} {metric:08x} 00000001 00000000"
        f" {flags:08x} {zone:>8}\n"
    )


def number(end: int, network: str = "fe80") -> str:
    return f"{network}{end:0{32 - len(network)}x}"


ADDRESSES = (
    "00000000000000000000000000000001 01 80 10 80       lo\n"
    "20010db8000000000000000000000005 02 40 00 00     eth0\n"
    "fe800000000000000000000000000005 02 40 20 80     eth0\n"
    "20010db8000100000000000000000005 03 40 00 00    wlan0\n"
)
NOT_DEFAULT = (
    route(number(0), to=number(0), bits=64, metric=1, flags=1)
    + route(number(9), to="20010db8" + "0" * 24, bits=32, metric=1)
    + route(number(8), metric=1, flags=1)
    + route(number(7), metric=1, flags=0x203)
    + route(number(6), metric=1, flags=2)
    + route(number(5), metric=1, source="fd" + "0" * 30, source_bits=8)
)


@pytest.mark.parametrize(
    ("routes", "router"),
    [
        ("", None),
        (NOT_DEFAULT, None),
        ("what a kernel would never write\n" + NOT_DEFAULT, None),
        (NOT_DEFAULT + route(number(1)), Endpoint("fe80::1", 5351, "eth0")),
        (
            route(number(1), metric=1024) + route(number(2), metric=100),
            Endpoint("fe80::2", 5351, "eth0"),
        ),
        (
            route(number(1), metric=0xFFFFFFFE) + route(number(3), metric=600),
            Endpoint("fe80::3", 5351, "eth0"),
        ),
        (
            route(number(3, "20010db8"), flags=0x400003),
            Endpoint("2001:db8::3", 5351),
        ),
        (
            route(number(1), source="20010db8" + "0" * 24, source_bits=64),
            Endpoint("fe80::1", 5351, "eth0"),
        ),
        # The other network is the better one, and our address is not in it.
        (
            route(number(2), metric=100, zone="wlan0") + route(number(1), metric=600),
            Endpoint("fe80::1", 5351, "eth0"),
        ),
        (route(number(2), zone="wlan0"), Endpoint("fe80::2", 5351, "wlan0")),
    ],
    ids=[
        "no route",
        "none by default",
        "an odd line",
        "one",
        "the least metric",
        "the least metric as a number",
        "a global gateway",
        "for our prefix only",
        "two networks",
        "another network alone",
    ],
)
def test_the_default_router_is_found_in_the_kernel_s_table(
    routes: str, router: Endpoint | None
) -> None:
    assert router_of(LISTENER, routes, ADDRESSES) == router


@pytest.mark.parametrize(
    ("routes", "addresses"),
    [
        (route(number(1)), ADDRESSES.replace("20010db8", "2001:db8:")),
        (route(number(1)).replace("00000400", "1024 m"), ADDRESSES),
        (route("gateway"), ADDRESSES),
        (route(number(1), source=number(1), source_bits=129), ADDRESSES),
    ],
    ids=["an address", "a column more", "a gateway", "a source"],
)
def test_tables_of_another_form_tell_of_no_router(
    routes: str, addresses: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, table in (("_ROUTES", routes), ("_ADDRESSES", addresses)):
        (tmp_path / name).write_text(table)
        monkeypatch.setattr(router_module, name, tmp_path / name)
    assert default_router(LISTENER) is None


async def test_a_system_that_does_not_tell_its_router_is_told_once(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(NotTold):
        default_router(LISTENER)
    told: list[PortEvent] = []
    nudge = Nudge()

    async def tell(event: PortEvent) -> None:
        told.append(event)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_open, LISTENER, tell, NONCE, nudge)
        for _ in range(3):
            await trio.sleep(LOOK_AGAIN)
            nudge.give()
        nursery.cancel_scope.cancel()
    assert told == [RouterNotTold()]
