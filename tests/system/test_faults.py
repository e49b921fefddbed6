"""Two real programs on native links over bad networks: what they say arrives, once, in order.

Alice – a bad cable – a router – Bob: network namespaces all of them. Each case has its own, and
200 messages go both ways while it lasts. ``make fuzz`` prints how long it took to recover.
"""

import codecs
import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from tests.system import bad_cable
from tests.system.bad_cable import DEVICES, Fault
from tests.system.namespaces import Host, ip, needs_namespaces
from tests.system.program import PROGRAM, Program, running

pytestmark = [
    pytest.mark.fuzz,
    needs_namespaces,
    pytest.mark.skipif(
        not os.access("/dev/net/tun", os.R_OK | os.W_OK), reason="a bad cable needs /dev/net/tun"
    ),
    pytest.mark.skipif(
        shutil.which("nft") is None or shutil.which("conntrack") is None,
        reason="a router that forgets needs nftables' nft, and conntrack",
    ),
]

FUZZING = os.environ.get("HYPOTHESIS_PROFILE") == "fuzz"
#: Seconds that the link is down, or the peer stopped: a native link is dead after 45.
OUTAGE = 60 if FUZZING else 15
#: Seconds until a router is up again.
REBOOT = 20 if FUZZING else 5
#: Seconds of talk before something happens, and after it; the latter is all where nothing does.
LEAD, TALK = 2, 20 if FUZZING else 4
#: Messages of each side.
COUNT = 100
#: Bytes of a message: the longest does not fit into one packet.
SIZES = (10, 40, 200, 2000)
#: Seconds for everything to arrive: only a failing test waits so long.
PATIENCE = 90
AT_ONCE = 3

ALICE, BOB = "2001:db8:a::1", "2001:db8:b::1"
#: Where they are after a move.
ALICE_MOVED, BOB_MOVED = "2001:db8:c::1", "2001:db8:d::1"
PORT = 31488
#: What Alice's router lets through: what she begins, and what answers it.
FIREWALL = f"""
table inet filter {{
    chain forward {{
        type filter hook forward priority 0; policy drop;
        meta l4proto ipv6-icmp accept
        ct state invalid drop
        ct state established,related accept
        iifname {DEVICES[1]} accept
    }}
}}
"""
GOOD = Fault()


class Talker:
    """One of the two: says numbered messages, and reads the screen."""

    #: A message of the other's, as it is shown.
    SHOWN = re.compile(r"^\d\d:\d\d (?!you )\S+  (\d{3} .*)$", re.MULTILINE)

    def __init__(self, program: Program, seed: int) -> None:
        sizes = random.Random(seed)
        self.program = program
        self.texts = [f"{n:03} ".ljust(sizes.choice(SIZES), "x") for n in range(COUNT)]
        self.said = 0
        self.screen = ""
        #: When each message of the other's was there, on Trio's clock.
        self.times: list[float] = []
        self._more, self._over = trio.Event(), False

    async def read(self) -> None:
        """The screen, until the program ends."""
        assert self.program.process.stdout is not None
        decode = codecs.getincrementaldecoder("utf-8")().decode
        while data := await self.program.process.stdout.receive_some():
            self.screen += decode(data)
            self.times += [trio.current_time()] * (len(self.heard) - len(self.times))
            self._more.set()
        self._over = True
        self._more.set()

    @property
    def heard(self) -> list[str]:
        return self.SHOWN.findall(self.screen)

    @property
    def notices(self) -> str:
        """What the screen shows besides messages."""
        return "\n".join(line for line in self.screen.splitlines() if " · " in line)

    async def sees(self, text: str) -> None:
        await self._until(lambda: text in self.screen)

    async def hears(self, count: int) -> None:
        await self._until(lambda: len(self.times) >= count)

    async def _until(self, holds: Callable[[], bool]) -> None:
        with trio.move_on_after(PATIENCE):
            while not holds() and not self._over:
                self._more = trio.Event()
                await self._more.wait()
        assert holds(), f"{len(self.times)} heard, {self.said} said, and:\n{self.notices}"

    async def talk(self, until: int, seconds: float) -> None:
        """Say the messages up to this number, evenly over this time."""
        pause = seconds / (until - self.said)
        while self.said < until:
            await trio.sleep(pause)
            await self.program.say(self.texts[self.said])
            self.said += 1

    async def connect(self, address: str) -> None:
        await self.program.say(f"/connect [{address}]:{PORT}")
        await self.sees("native link")

    async def answer(self) -> None:
        """Choose the one who came."""
        await self.sees("to answer: /switch 1")
        await self.program.say("/switch 1")

    async def leave(self) -> None:
        await self.program.say("/quit")
        await self.program.process.wait()

    def heard_all_of(self, texts: list[str]) -> None:
        """Nothing lost, nothing twice, nothing out of order."""
        numbers = [text[:3] for text in self.heard]
        assert numbers == [text[:3] for text in texts], self.notices
        assert self.heard == texts

    def links(self) -> set[tuple[str, str]]:
        """The established TCP connections of its host: this end, and that."""
        table = Path(f"/proc/{self.program.pid}/net/tcp6").read_text().splitlines()[1:]
        rows = [line.split() for line in table]
        return {(here, there) for _, here, there, state, *_ in rows if state == "01"}

    def damaged(self) -> int:
        """How many segments the TCP of its host threw away for their checksum."""
        table = Path(f"/proc/{self.program.pid}/net/snmp").read_text()
        names, values = (line.split() for line in table.splitlines() if line.startswith("Tcp:"))
        return int(values[names.index("InCsumErrors")])


@dataclass
class Scene:
    """The network of one case."""

    alice: Host
    router: Host
    bob: Host
    cable: Program
    #: What became of the packets, as of the last ``set``.
    became: dict[str, int] = field(default_factory=dict)

    async def set(self, fault: Fault) -> None:
        """The cable is so from here on."""
        await self.cable.say(fault.as_line())
        self.became = json.loads(await self.cable.expect("\n"))

    @asynccontextmanager
    async def at(self, host: Host, address: str, seed: int) -> AsyncIterator[Talker]:
        """The program, which listens there; it has to be told to leave."""
        command = host.command(*PROGRAM)
        async with (
            running("--address", address, "--port", str(PORT), command=command) as program,
            trio.open_nursery() as nursery,
        ):
            talker = Talker(program, seed)
            nursery.start_soon(talker.read)
            await talker.sees(f"Listening on [{address}]:{PORT}.")
            yield talker


@contextmanager
def three_hosts(number: int) -> Iterator[tuple[Host, Host, Host]]:
    """Alice's, the router and Bob's, with nothing between them yet."""
    names = [f"fantom-{os.getpid()}-{number}-{end}" for end in "arb"]
    try:
        for name in names:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        yield Host(names[0]), Host(names[1]), Host(names[2])
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


@asynccontextmanager
async def network(seed: int, firewall: str = "") -> AsyncIterator[Scene]:
    """Three hosts that can reach each other over a good cable."""
    relay = [sys.executable, bad_cable.__file__, str(seed)]
    with three_hosts(seed) as (alice, router, bob):
        async with running(command=router.command(*relay)) as cable:
            await cable.expect("\n")  # its devices are there
            near, far = DEVICES
            ip("-n", router.name, "link", "set", near, "netns", alice.name, "name", "eth0")
            ip("-n", router.name, "link", "add", "bob", "type", "veth",
               "peer", "name", "eth0", "netns", bob.name)  # fmt: skip
            for host, device in ((alice, "eth0"), (router, far), (router, "bob"), (bob, "eth0")):
                ip("-n", host.name, "link", "set", device, "up")
            ip("-n", router.name, "address", "add", "fe80::1/64", "dev", "bob", "nodad")
            for device, addresses in ((far, (ALICE, ALICE_MOVED)), ("bob", (BOB, BOB_MOVED))):
                for address in addresses:
                    ip("-n", router.name, "route", "add", address, "dev", device)
            ip("-n", alice.name, "address", "add", ALICE, "dev", "eth0", "nodad")
            ip("-n", alice.name, "-6", "route", "add", "default", "dev", "eth0")
            ip("-n", bob.name, "address", "add", BOB, "dev", "eth0", "nodad")
            ip("-n", bob.name, "route", "add", "default", "via", "fe80::1", "dev", "eth0")
            await trio.run_process(router.command("nft", "-f", "-"), stdin=firewall.encode())
            await set_up(router, "net.ipv6.conf.all.forwarding=1")
            yield Scene(alice, router, bob, cable)


async def set_up(host: Host, setting: str) -> None:
    await trio.run_process(host.command("sysctl", "-qw", setting))


@dataclass(frozen=True)
class Case:
    name: str
    #: The cable, all the time.
    fault: Fault = GOOD
    #: What must have become of some packets, or the case proves nothing.
    became: str = ""
    #: What happens while they talk. It returns when that is over, after so many seconds.
    happens: Callable[[Scene, Talker], Awaitable[None]] | None = None
    lasts: float = 0
    firewall: str = ""
    #: Seconds to recover in.
    within: float = PATIENCE


async def play(case: Case, seed: int) -> float:
    """Seconds from the end of the fault, or of the talk, until all that was said was heard."""
    async with network(seed, case.firewall) as scene:
        await scene.set(case.fault)
        async with (
            scene.at(scene.alice, ALICE, seed) as alice,
            scene.at(scene.bob, BOB, seed + 1) as bob,
        ):
            await alice.connect(BOB)
            await bob.answer()
            recovered = await talk(case, scene, alice, bob)
            await one_link(alice, bob)
            await scene.set(case.fault)
            assert not case.became or scene.became.get(case.became), scene.became
            if case.became == "damaged":
                assert alice.damaged() + bob.damaged() > 0
            for talker in (alice, bob):
                await talker.leave()
        alice.heard_all_of(bob.texts)
        bob.heard_all_of(alice.texts)
        assert recovered <= case.within, f"it took {recovered:.1f} s: {alice.notices}"
        return recovered


async def talk(case: Case, scene: Scene, alice: Talker, bob: Talker) -> float:
    over, said = 0.0, [COUNT - 1, COUNT - 1]
    seconds = LEAD + case.lasts + TALK if case.happens else TALK
    async with trio.open_nursery() as nursery:
        nursery.start_soon(talk_both, (alice, COUNT), (bob, COUNT), seconds)
        if case.happens is not None:
            await trio.sleep(LEAD)
            await case.happens(scene, bob)
            over, said = trio.current_time(), [alice.said, bob.said]
    over = over or trio.current_time()
    for talker in (alice, bob):
        await talker.hears(COUNT)
    # What is said first from then on comes after all that was said before.
    return max(bob.times[said[0]], alice.times[said[1]]) - over


async def talk_both(one: tuple[Talker, int], other: tuple[Talker, int], seconds: float) -> None:
    async with trio.open_nursery() as nursery:
        for talker, until in (one, other):
            nursery.start_soon(talker.talk, until, seconds)


async def one_link(alice: Talker, bob: Talker) -> None:
    """Exactly one survives; an end that only one side still has takes 45 seconds to die."""
    deadline = trio.current_time() + PATIENCE
    while True:
        ours, theirs = alice.links(), {(there, here) for here, there in bob.links()}
        if len(ours & theirs) == 1 and (ours == theirs or not FUZZING):
            return
        assert trio.current_time() < deadline, (ours, theirs)
        await trio.sleep(0.1)


# What happens.


async def link_goes_down(scene: Scene, bob: Talker) -> None:
    await scene.set(Fault(lost=1))
    await trio.sleep(OUTAGE)
    await scene.set(GOOD)


async def bob_is_stopped(scene: Scene, bob: Talker) -> None:
    bob.program.process.send_signal(signal.SIGSTOP)
    await trio.sleep(OUTAGE)
    bob.program.process.send_signal(signal.SIGCONT)


async def router_reboots(scene: Scene, bob: Talker) -> None:
    await scene.set(Fault(lost=1))
    await trio.sleep(REBOOT)
    await trio.run_process(scene.router.command("conntrack", "-F"), capture_stderr=True)
    await scene.set(GOOD)


async def strict_router_reboots(scene: Scene, bob: Talker) -> None:
    """It takes no connection for known whose beginning it has not seen."""
    await set_up(scene.router, "net.netfilter.nf_conntrack_tcp_loose=0")
    await router_reboots(scene, bob)


def moves(name: str, old: str, new: str) -> Callable[[Scene, Talker], Awaitable[None]]:
    async def happens(scene: Scene, bob: Talker) -> None:
        host = {"alice": scene.alice, "bob": scene.bob}[name].name
        ip("-n", host, "address", "add", new, "dev", "eth0", "nodad")
        ip("-n", host, "address", "delete", old, "dev", "eth0")

    return happens


CASES = [
    # The longest come first, so that all together last no longer than they must.
    Case(f"the link down {OUTAGE} s", GOOD, "lost", link_goes_down, OUTAGE),
    Case(f"the peer stopped {OUTAGE} s", happens=bob_is_stopped, lasts=OUTAGE),
    *([Case("a strict router rebooted", GOOD, "lost", strict_router_reboots, REBOOT, FIREWALL)]
      if FUZZING else []),
    Case("a router rebooted", GOOD, "lost", router_reboots, REBOOT, FIREWALL),
    Case("the dialer's address replaced", happens=moves("alice", ALICE, ALICE_MOVED), within=15),
    Case("the listener's address replaced", happens=moves("bob", BOB, BOB_MOVED), within=15),
    Case("300 ms of delay", Fault(delay=0.3), "passed"),
    Case("20 % lost", Fault(lost=0.2), "lost"),
    Case("30 % held back for up to 100 ms", Fault(held=0.3, hold=0.1), "overtaken"),
    Case("1 % damaged below TCP", Fault(damaged=0.01), "damaged"),
    Case("an MTU of 1280 on the way", Fault(mtu=1280), "too big"),
]  # fmt: skip

Tell = Callable[[str, float], None]


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Tell:
    """Prints how long a case took to recover; a short run shows it with ``-s``."""

    def tell_one(name: str, seconds: float) -> None:
        with capsys.disabled() if FUZZING else contextlib.nullcontext():
            print(f"\n{name:<40} {seconds:6.1f} s to recover", end="", flush=True)

    return tell_one


async def test_whatever_the_network_does_all_arrives_once_and_in_order(tell: Tell) -> None:
    waiting, failures = list(enumerate(CASES)), list[str]()

    async def play_some() -> None:
        while waiting:
            seed, case = waiting.pop(0)
            try:
                tell(case.name, await play(case, seed))
            except Exception as error:
                failures.append(case.name + "\n" + "".join(traceback.format_exception(error)))

    async with trio.open_nursery() as nursery:
        for _ in range(AT_ONCE):
            nursery.start_soon(play_some)
    assert not failures, "\n".join(failures)


async def test_a_peer_that_was_killed_and_restarted_is_a_stranger(tell: Tell) -> None:
    half, missed = COUNT // 2, COUNT // 2 + 10
    async with network(1) as scene, scene.at(scene.alice, ALICE, 1) as alice:
        async with scene.at(scene.bob, BOB, 2) as bob:
            await alice.connect(BOB)
            await bob.answer()
            await talk_both((alice, half), (bob, half), TALK / 2)
            await alice.hears(half)
            await bob.hears(half)
            bob.program.process.send_signal(signal.SIGKILL)
        await alice.sees("is gone")
        await alice.talk(missed, 1)
        async with scene.at(scene.bob, BOB, 2) as stranger:
            restarted = trio.current_time()
            await alice.sees("Somebody else")
            tell("the peer killed and restarted", told := trio.current_time() - restarted)
            stranger.said = half
            await stranger.connect(ALICE)
            await alice.sees("a stranger is at this address now")
            await alice.program.say("/switch 2")
            await talk_both((alice, COUNT), (stranger, COUNT), TALK / 2)
            await alice.hears(COUNT)
            await stranger.hears(COUNT - missed)
            await one_link(alice, stranger)
            await stranger.leave()
        await alice.leave()
    assert told <= 10
    bob.heard_all_of(alice.texts[:half])
    stranger.heard_all_of(alice.texts[missed:])
    alice.heard_all_of(bob.texts[:half] + stranger.texts[half:])
