"""What a flood costs those who chat: strangers by the thousand, a peer that never stops talking."""

import itertools
import os
import re
import shutil
import statistics
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from fantom_trio.nursery import (
    Conversation,
    Delivered,
    Endpoint,
    Invite,
    LinkUp,
    Node,
    OutboxFull,
    State,
    open_node,
)
from tests.nursery.ends import Peer, next_event
from tests.system.attack import ENOUGH_BYTES, ENOUGH_LINKS, TALKERS
from tests.system.namespaces import Host, ip, needs_namespaces, two_hosts
from tests.system.program import PATIENCE, PROGRAM, Program, free_port, running

ALICE, BOB = "2001:db8:a::1", "2001:db8:b::1"
ATTACKERS = "2001:db8:bad::/48"
MEBIBYTE = 1024 * 1024
FUZZING = os.environ.get("HYPOTHESIS_PROFILE") == "fuzz"
#: Characters of what a program said.
KEPT = 100_000


def resident(pid: int) -> int:
    """Bytes of its memory that are in RAM."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


@contextmanager
def besieged() -> Iterator[tuple[Host, Host]]:
    """Alice's host, and one that Bob shares with attackers who have a /48."""
    with two_hosts() as (one, other):
        for host, address, peer in ((one, ALICE, BOB), (other, BOB, ALICE)):
            host.add_address(f"{address}/64", "eth0")
            ip("-n", host.name, "-6", "route", "add", f"{peer}/64", "dev", "eth0")
        ip("-n", other.name, "-6", "route", "add", "local", ATTACKERS, "dev", "lo")
        ip("-n", one.name, "-6", "route", "add", ATTACKERS, "via", BOB, "dev", "eth0")
        yield one, other


@dataclass
class Chat:
    """Messages from one program to another, and how long each took, seconds."""

    source: Program
    sink: Program
    tag: str
    took: list[float] = field(default_factory=list)
    #: The message under way is the last one; it has to arrive, too.
    over: bool = False

    async def run(self, pause: float) -> None:
        for number in itertools.count():
            if self.over:
                return
            text = f"{self.tag}-{number}."
            began = trio.current_time()
            await self.source.say(text)
            await self.sink.expect(text)
            self.took.append(trio.current_time() - began)
            await trio.sleep(pause)


async def become_verified(host: Program, guest: Program) -> None:
    await host.say("/invite")
    await host.expect("fantom://")
    rest = (await host.expect("\n")).strip()
    await guest.say(f"/connect fantom://{rest}")
    for program in (host, guest):
        await program.expect("native link, verified")


class Siege:
    """Alice and Bob, who chat with each other, and whoever attacks Alice meanwhile."""

    def __init__(self, alice: Program, bob: Program, there: Endpoint, attackers: Host) -> None:
        self.alice = alice
        self.chats = Chat(alice, bob, "to-bob"), Chat(bob, alice, "to-alice")
        self._there = there
        self._attackers = attackers
        self._before = self._most = resident(alice.pid)

    async def attack(self, what: str, *numbers: object) -> list[int]:
        """What the attackers' program says in the end."""
        # Attackers bring machines of their own: theirs is not to slow down Alice's.
        program = ["nice", "-n", "10", sys.executable, "-m", "tests.system.attack"]
        arguments = [what, str(self._there), *map(str, numbers)]
        done = await trio.run_process(
            self._attackers.command(*program, *arguments), capture_stdout=True
        )
        return [int(number) for number in done.stdout.split()]

    async def watch(self) -> None:
        """Alice's memory, until it is cancelled."""
        while True:
            self._most = max(self._most, resident(self.alice.pid))
            await trio.sleep(0.1)

    def judge(self) -> None:
        """Nobody noticed anything. What was said before is not counted."""
        for chat in self.chats:
            p99 = statistics.quantiles(chat.took, n=100)[98]
            print(f"{chat.tag}: {len(chat.took)} messages, p99 {p99 * 1000:.1f} ms,",
                  f"longest {max(chat.took) * 1000:.1f} ms")  # fmt: skip
            assert len(chat.took) > 20
            assert p99 < 0.1
            assert max(chat.took) < 1
        grown = self._most - self._before
        print(f"resident: {self._before / MEBIBYTE:.1f} MiB, and {grown / MEBIBYTE:.1f} more")
        assert grown < 50 * MEBIBYTE


@asynccontextmanager
async def chatting() -> AsyncIterator[Siege]:
    """Each message waits for the one before: one that does not arrive ends it all."""
    with besieged() as (one, other):
        async with (
            running("--address", ALICE, command=one.command(*PROGRAM)) as alice,
            running("--address", BOB, command=other.command(*PROGRAM)) as bob,
            trio.open_nursery() as nursery,
        ):
            there = await alice.expect_listener()
            await bob.expect_listener()
            await become_verified(alice, bob)
            siege = Siege(alice, bob, there, other)
            nursery.start_soon(siege.watch)
            with trio.fail_after(240):
                async with trio.open_nursery() as chatting:
                    for chat in siege.chats:
                        chatting.start_soon(chat.run, 0.05)
                    await trio.sleep(1)
                    for chat in siege.chats:
                        chat.took.clear()
                    yield siege
                    for chat in siege.chats:
                        chat.over = True
            nursery.cancel_scope.cancel()


@needs_namespaces
@pytest.mark.parametrize(
    ("count", "claims", "per_second"),
    [(10_000, 400, 350) if FUZZING else (500, 100, 250)],
)
async def test_a_flood_from_200_networks_does_not_disturb_two_verified_peers(
    count: int, claims: int, per_second: int
) -> None:
    made: list[int] = []
    async with chatting() as siege:

        async def flood(way: str, count: int, rate: float) -> None:
            made.extend(await siege.attack("knock", way, count, rate))

        async with trio.open_nursery() as flooding:
            flooding.start_soon(flood, "half_open", count, per_second)
            flooding.start_soon(flood, "slow", count, per_second)
            for way in ("classic", "native"):
                flooding.start_soon(flood, way, claims, claims * per_second / count)
        assert sum(made) == 2 * count + 2 * claims  # nobody was too slow to be taken
        siege.judge()


#: All ways at once, from many networks and from one, and each by itself.
TALKS = [(",".join(TALKERS), 300, 200), (",".join(TALKERS), 60, 1)]
TALKS += [(way, 300, 200) for way in TALKERS]
FEW = [("classic_empty", 1, 1), ("classic_empty", 2, 2)]


@needs_namespaces
@pytest.mark.parametrize(
    ("ways", "strangers", "networks"),
    [*FEW, *TALKS] if FUZZING else [FEW[0], (",".join(TALKERS), 60, 20)],
    ids=lambda each: str(each) if str(each) in TALKERS else None,
)
async def test_strangers_who_talk_without_pause_do_not_disturb_two_verified_peers(
    ways: str, strangers: int, networks: int
) -> None:
    async with chatting() as siege:
        seconds = 20 if FUZZING else 4
        links, written = await siege.attack("talk", ways, strangers, networks, seconds)
        print(f"{ways}: {strangers} strangers of {networks} /64s had {links} links,",
              f"and wrote {written / MEBIBYTE:.0f} MiB")  # fmt: skip
        assert links >= min(strangers, ENOUGH_LINKS)
        assert written > ENOUGH_BYTES
        siege.judge()


# Descriptors.


@pytest.mark.skipif(shutil.which("prlimit") is None, reason="needs util-linux's prlimit")
async def test_without_descriptors_it_stays_up_says_so_and_recovers() -> None:
    command = ["prlimit", "--nofile=64", *PROGRAM]
    port = str(free_port())
    silent: list[trio.SocketStream] = []

    async def take(stream: trio.SocketStream) -> None:
        """Let it dial us, and say nothing."""
        silent.append(stream)
        await trio.sleep_forever()

    async with (
        trio.open_nursery() as nursery,
        running("--loopback", "--port", port, command=command) as alice,
    ):
        there = await alice.expect_listener()
        nobodies = [trio.socket.socket(trio.socket.AF_INET6) for _ in range(60)]
        for nobody in nobodies:
            await nobody.bind(("::1", 0))
            nobody.listen(1)
            nursery.start_soon(
                trio.serve_listeners, take, [trio.SocketListener(nobody)]
            )  # fmt: skip
            await alice.say(f"/connect [::1]:{nobody.getsockname()[1]}")
        await alice.expect("Too many open files")
        sock = trio.socket.socket(trio.socket.AF_INET6)
        await sock.connect((there.host, there.port))
        peer = Peer(trio.SocketStream(sock))
        await alice.expect("The system lets this program open no more connections")
        await peer.stream.send_all(peer.handshake())
        with trio.fail_after(30):
            peer.meet(await peer.read_line())  # as soon as a dial was given up
        await peer.say("I am in")
        # Whoever is busy telling of failed dials says nothing of a stranger, but has the message.
        heard = False
        with trio.fail_after(30):
            while not heard:
                await alice.say("/switch [::1]:40000")
                await alice.say("/history")  # it may have come when the screen had no room for it
                with trio.move_on_after(1):
                    again = await alice.expect("I am in")
                    heard = True
        assert "open no more connections" not in again
        await alice.say("/quit")
        assert await alice.end() == 0
        peer.close()
        nursery.cancel_scope.cancel()


# A peer that never stops.


class Screen:
    """All that a program says: counted, and forgotten but for the last of it."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.messages = 0
        self._last = ""
        self._heard: dict[str, trio.Event] = {}

    async def read(self) -> None:
        rest = b""
        while data := await self.program.output.next():
            *lines, rest = (rest + data).split(b"\n")
            self.messages += sum(b"chatter " in line for line in lines)
            self._last = (self._last + data.decode("utf-8", "replace"))[-KEPT:]
            for text in [each for each in self._heard if each in self._last]:
                self._heard.pop(text).set()

    async def expect(self, text: str) -> str:
        """Wait for ``text``; what it said last, up to there."""
        if text not in self._last:
            self._heard[text] = trio.Event()
            with trio.fail_after(PATIENCE):
                await self._heard[text].wait()
        return self._last.partition(text)[0]

    async def answers(self, command: str) -> float:
        """Seconds until it says that there is no such command."""
        began = trio.current_time()
        await self.program.say(command)
        await self.expect(command)
        return trio.current_time() - began


@asynccontextmanager
async def guest(alice: Program) -> AsyncIterator[tuple[Node, Conversation]]:
    """A node of ours that an invite of Alice's let in."""
    async with open_node() as node:
        await alice.say("/invite")
        await alice.expect("fantom://")
        node.connect(Invite.parse("fantom://" + (await alice.expect("\n")).strip()))
        yield node, (await next_event(node, LinkUp)).conversation


async def say_all(node: Node, conversation: Conversation, texts: Iterable[str]) -> None:
    """As fast as they are taken, until all are delivered."""
    for text in texts:
        while True:
            try:
                last = node.say(conversation, text)
                break
            except OutboxFull:
                await next_event(node, Delivered)
    while last.state is not State.DELIVERED:
        await next_event(node, Delivered)


@pytest.mark.fuzz
async def test_a_peer_that_never_stops_costs_no_memory_and_keeps_nobody_waiting() -> None:
    count = 1_000_000 if FUZZING else 50_000
    async with (
        running("--loopback", "--port", str(free_port())) as alice,
        trio.open_nursery() as nursery,
    ):
        await alice.expect_listener()
        async with guest(alice) as (talker, to_alice), guest(alice) as (carol, from_carol):
            screen = Screen(alice)
            nursery.start_soon(screen.read)
            await say_all(talker, to_alice, (f"chatter {n}" for n in range(20_000)))
            before, most = resident(alice.pid), 0
            waited: list[float] = []

            async def watch() -> None:
                nonlocal most
                for number in itertools.count():
                    waited.append(await screen.answers(f"/probe{number}"))
                    most = max(most, resident(alice.pid))
                    await trio.sleep(0.2)

            began = trio.current_time()
            async with trio.open_nursery() as talking:
                talking.start_soon(watch)
                talking.start_soon(
                    say_all, carol, from_carol, (f"from carol {n}." for n in range(300))
                )
                await say_all(talker, to_alice, (f"chatter {n}" for n in range(count)))
                talking.cancel_scope.cancel()
            took = trio.current_time() - began
            await say_all(carol, from_carol, ["from carol, the last."])
            await alice.say("/switch 2")
            shown = await screen.expect("from carol, the last.")
            assert re.findall(r"from carol (\d+)\.", shown) == [str(n) for n in range(300)]
            print(f"{count} messages, {count / took:.0f} a second, {screen.messages} shown;")
            print(f"the prompt answered in {max(waited):.3f} s at most, {len(waited)} times;")
            print(f"resident: {before / MEBIBYTE:.1f} MiB, at most {most / MEBIBYTE:.1f} MiB")
            assert most - before < 8 * MEBIBYTE
            assert max(waited) < 1
            nursery.cancel_scope.cancel()
