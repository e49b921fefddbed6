"""Hosts whose addresses change, and whose cable is pulled, while two programs chat."""

import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace

import trio

from fantom_trio.nursery import Endpoint, Invite
from tests.system.namespaces import Host, ip, needs_namespaces, two_hosts
from tests.system.program import PATIENCE, PROGRAM, Program, running

ALICE, ALICE_LATER, BOB = "2001:db8:a::1", "2001:db8:a2::1", "2001:db8:b::1"
NEW_LINK_LOCAL = "fe80::aa"
#: The program on a machine that sleeps for an hour whenever it gets the signal, as far as it can
#: tell from the clock.
SLEEPER = """
import signal, sys, time
from fantom_trio.cli import main
slept, real = 0, time.clock_gettime
def sleep(*_):
    global slept
    slept += 3600
def clock(number):
    return real(number) + (slept if number == time.CLOCK_BOOTTIME else 0)
signal.signal(signal.SIGUSR1, sleep)
time.clock_gettime = clock
sys.exit(main())
"""


@contextmanager
def far_apart() -> Iterator[tuple[Host, Host]]:
    """Two hosts, each with a public address in a network of its own and a route to everywhere."""
    with two_hosts() as hosts:
        for host, address in zip(hosts, (ALICE, BOB), strict=True):
            add(host, address)
            ip("-n", host.name, "-6", "route", "add", "default", "dev", "eth0")
        yield hosts


def add(host: Host, address: str) -> None:
    ip("-n", host.name, "address", "add", f"{address}/64", "dev", "eth0", "nodad")


def remove(host: Host, address: str) -> None:
    ip("-n", host.name, "address", "delete", f"{address}/64", "dev", "eth0")


@asynccontextmanager
async def at(host: Host, *where: str) -> AsyncIterator[tuple[Program, Endpoint]]:
    async with running(*where, command=host.command(*PROGRAM)) as program:
        yield program, await program.expect_listener()


async def meet(alice: Program, bob: Program, there: Endpoint) -> None:
    """They chat, and both know that the other one got it."""
    await alice.say(f"/connect {there} as bob")
    await alice.expect("bob is here: native link")
    await bob.expect("connected to you: native link")
    await bob.say("/switch 1")
    await say_and_hear(alice, bob, "hello 1", "hello 2")
    await say_and_hear(bob, alice, "hello back")


async def say_and_hear(one: Program, other: Program, *texts: str) -> None:
    for text in texts:
        await one.say(text)
    await hear(other, *texts)


async def hear(program: Program, *texts: str, notice: str = "") -> None:
    """Each once and in this order, and the notice before, between or after them."""
    heard = ""
    for text in texts:
        heard += await program.expect(f"  {text}\n")
    assert not any(f"  {text}\n" in heard for text in texts)
    if notice not in heard:
        await program.expect(notice)


@needs_namespaces
async def test_a_program_follows_its_address_and_what_was_written_meanwhile_arrives() -> None:
    with two_hosts() as (one, two):
        async with at(one, "--local") as (alice, here), at(two, "--local") as (bob, there):
            await meet(alice, bob, there)
            remove(one, here.host)
            await alice.expect(f"{here} is no address of this machine any more")
            for text in ("meanwhile 1", "meanwhile 2"):
                await alice.say(text)
                await bob.say(f"bob's {text}")
            add(one, NEW_LINK_LOCAL)
            now = Endpoint(NEW_LINK_LOCAL, 31488, "eth0")
            notice = f"Your address changed: you listen on {now} now, {here} is gone. Give"
            await hear(alice, "bob's meanwhile 1", "bob's meanwhile 2", notice=notice)
            await hear(bob, "meanwhile 1", "meanwhile 2")
            await say_and_hear(alice, bob, "after 1")
            await say_and_hear(bob, alice, "after 2")
            await alice.say("/address")
            await alice.expect(f"* {now}  eth0")
            # Where it says that it listens, it does.
            await bob.say("/disconnect")
            await bob.say(f"/connect {now}")
            await alice.expect("connected to you: native link")


@needs_namespaces
async def test_a_follower_moves_too_and_its_invite_stays_the_same_one() -> None:
    with two_hosts() as (one, two):
        command = one.command(*PROGRAM)
        async with running(
            "--follow", "--local", "--invited-only",
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, command=command,
        ) as follower:  # fmt: skip
            here, invite = await listening_and_invite(follower)
            remove(one, here.host)
            await follower.errors.expect(f"{here} is no address of this machine any more")
            add(one, NEW_LINK_LOCAL)
            now, invite_now = await listening_and_invite(follower)
            assert now == Endpoint(NEW_LINK_LOCAL, 31488, "eth0")
            assert invite_now == replace(invite, endpoint=replace(now, zone=""))
            own = f"[{two.link_local()}%eth0]:31488"
            await send_once(two, invite_now, "after", "--address", own)
            assert await follower.output.expect("\n") == "after"


async def listening_and_invite(follower: Program) -> tuple[Endpoint, Invite]:
    await follower.errors.expect("Listening on ")
    where = Endpoint.parse((await follower.errors.expect("\n")).removesuffix("."))
    await follower.errors.expect("nobody after them: ")
    return where, Invite.parse(await follower.errors.expect("\n"))


async def send_once(host: Host, peer: Invite | Endpoint, text: str, *more: str) -> None:
    with trio.fail_after(PATIENCE):
        await trio.run_process(host.command(*PROGRAM, *more, "--once", str(peer), text))


@needs_namespaces
async def test_a_follower_is_reached_where_it_moved() -> None:
    with far_apart() as (one, two):
        command = one.command(*PROGRAM)
        async with running(
            "--follow", "--address", ALICE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, command=command,
        ) as follower:  # fmt: skip
            await follower.errors.expect(f"Listening on [{ALICE}]:31488.")
            remove(one, ALICE)
            await follower.errors.expect("nobody can dial you until it is back")
            add(one, ALICE)
            await follower.errors.expect(f"Listening on [{ALICE}]:31488.")
            await send_once(two, Endpoint(ALICE, 31488), "after")
            assert await follower.output.expect("\n") == "after"


@needs_namespaces
async def test_an_interface_that_was_down_is_listened_on_again() -> None:
    with two_hosts() as (one, two):
        async with at(one, "--local") as (alice, here), at(two, "--local") as (bob, there):
            await meet(alice, bob, there)
            ip("-n", one.name, "link", "set", "eth0", "down")
            await alice.expect(f"{here} is no address of this machine any more")
            await alice.say("meanwhile 1")
            await bob.say("bob's meanwhile 1")
            ip("-n", one.name, "link", "set", "eth0", "up")
            notice = f"{here} is an address of this machine again"
            await hear(alice, "bob's meanwhile 1", notice=notice)
            await hear(bob, "meanwhile 1")
            await bob.say("/disconnect")
            await bob.say(f"/connect {here}")
            await alice.expect("connected to you: native link")


@needs_namespaces
async def test_an_interface_that_is_another_one_now_is_listened_on_again() -> None:
    with two_hosts() as (one, two):
        async with at(one, "--local") as (alice, here), at(two, "--local") as (bob, _):
            cable = ip("-n", one.name, "link", "show", "dev", "eth0")
            hardware = cable.partition("link/ether ")[2].split()[0]
            ip("-n", one.name, "link", "delete", "eth0")
            await alice.expect(f"{here} is no address of this machine any more")
            await bob.expect("is no address of this machine any more")
            ip("-n", one.name, "link", "add", "eth0", "address", hardware, "type", "veth",
               "peer", "name", "eth0", "netns", two.name)  # fmt: skip
            for host in (one, two):
                ip("-n", host.name, "link", "set", "eth0", "up")
            await alice.expect(f"{here} is an address of this machine again")
            await bob.expect("Your address changed: you listen on ")
            await bob.say(f"/connect {here}")
            await alice.expect("connected to you: native link")


@needs_namespaces
async def test_a_given_address_is_waited_for_and_the_link_takes_another_one() -> None:
    with far_apart() as (one, two):
        async with at(one, "--address", ALICE) as (alice, _), at(two, "--address", BOB) as (bob, b):
            await meet(alice, bob, b)
            add(one, ALICE_LATER)
            remove(one, ALICE)
            await alice.expect(
                f"[{ALICE}]:31488 is no address of this machine any more: nobody can dial you until"
                " it is back.\n"
            )
            await alice.say("from elsewhere")
            await hear(bob, "from elsewhere")
            assert ALICE_LATER in ip("netns", "exec", one.name, "ss", "-Htn6")
            add(one, ALICE)
            await alice.expect(f"[{ALICE}]:31488 is an address of this machine again")
            await say_and_hear(bob, alice, "welcome back")


@needs_namespaces
async def test_a_given_address_that_comes_late_is_listened_on() -> None:
    with far_apart() as (one, _):
        async with running("--address", ALICE_LATER, command=one.command(*PROGRAM)) as alice:
            await alice.expect("is no address of this machine: choose one of its own")
            add(one, ALICE_LATER)
            assert await alice.expect_listener() == Endpoint(ALICE_LATER, 31488)


@needs_namespaces
async def test_a_laptop_that_slept_makes_its_links_again() -> None:
    with far_apart() as (one, two):
        sleeper = one.command(sys.executable, "-c", SLEEPER)
        async with (
            running("--address", ALICE, command=sleeper) as alice,
            at(two, "--address", BOB) as (bob, there),
        ):
            await alice.expect_listener()
            await meet(alice, bob, there)
            alice.process.send_signal(signal.SIGUSR1)
            await alice.expect("nothing came from it for too long")
            await say_and_hear(alice, bob, "good morning")
            await say_and_hear(bob, alice, "slept well?")
