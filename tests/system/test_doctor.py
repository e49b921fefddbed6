"""``/doctor`` on hosts whose network has something missing, or a firewall."""

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
import trio

from tests.system.namespaces import Host, ip, needs_namespaces, two_hosts
from tests.system.program import PROGRAM, Program, running

needs_nft = pytest.mark.skipif(shutil.which("nft") is None, reason="a firewall needs nftables' nft")

#: What an ordinary router or desktop has: out goes everything, in comes what answers it.
STATEFUL = """
table inet filter {
    chain input {
        type filter hook input priority 0; policy drop;
        iif lo accept
        meta l4proto ipv6-icmp accept
        ct state established,related accept
    }
}
"""
ALICE, BOB = "2001:db8:a::1", "2001:db8:b::1"
LOOKING = "a few seconds …"


@contextmanager
def far_apart() -> Iterator[tuple[Host, Host]]:
    """Two hosts, each with a public address in a network of its own and a route to everywhere."""
    with two_hosts() as hosts:
        for host, address in zip(hosts, (ALICE, BOB), strict=True):
            ip("-n", host.name, "address", "add", f"{address}/64", "dev", "eth0", "nodad")
            ip("-n", host.name, "-6", "route", "add", "default", "dev", "eth0")
        yield hosts


@asynccontextmanager
async def at(host: Host, address: str) -> AsyncIterator[Program]:
    """The program, which listens there."""
    async with running("--address", address, command=host.command(*PROGRAM)) as program:
        await program.expect_listener()
        yield program


async def invite(host: Program, guest: Program) -> None:
    """The guest dials with an invite: both are verified."""
    await host.say("/invite")
    await host.expect("fantom://")
    rest = (await host.expect("\n")).strip()
    await guest.say(f"/connect fantom://{rest}")
    for program in (host, guest):
        await program.expect("native link, verified")


async def findings(program: Program, last: str) -> list[str]:
    """What the doctor says, to the line that ``last`` stands in."""
    await program.say("/doctor")
    await program.expect(LOOKING)
    said = await program.expect(last) + last + await program.expect("\n")
    return [line.partition(" · ")[2] for line in said.splitlines() if " · " in line]


@needs_namespaces
async def test_a_host_that_can_be_reached_hears_so() -> None:
    with far_apart() as (one, two):
        async with at(one, ALICE) as alice, at(two, BOB) as bob:
            await invite(alice, bob)
            found = await findings(alice, "dialed you back")
            assert [line for line in found if "Link-local" not in line] == [
                f"✓ Public IPv6, for everybody: {ALICE}",
                f"✓ There is a route to the IPv6 internet, from {ALICE}.",
                f"✓ You listen on [{ALICE}]:31488.",
                "✓ Your listener answers this machine, which says nothing of the firewalls on the"
                " way.",
                f"✓ [{BOB}] dialed you back: others can reach you.",
            ]
            # Neither noticed anything of it: the next line is what comes next.
            await alice.say("hello")
            assert "\n" not in (await bob.expect("hello")).strip("\n")


@needs_namespaces
@needs_nft
async def test_a_firewall_that_lets_nobody_in_is_suspected() -> None:
    with far_apart() as (one, two):
        await trio.run_process(one.command("nft", "-f", "-"), stdin=STATEFUL.encode())
        async with at(one, ALICE) as alice, at(two, BOB) as bob:
            await invite(bob, alice)
            found = await findings(alice, "nothing came")
            assert found[-2:] == [
                "✓ Your listener answers this machine, which says nothing of the firewalls on the"
                " way.",
                f"✗ [{BOB}] was asked to dial you back, and nothing came: open TCP port 31488 for"
                f" {ALICE} in your router's IPv6 firewall and on this machine, or let [{BOB}]"
                " /verify you first.",
            ]
            # The other way nothing is in the way.
            assert (await findings(bob, "dialed you back"))[-1].startswith("✓")


@needs_namespaces
async def test_peers_of_one_network_say_nothing_of_its_router() -> None:
    with far_apart() as (one, two):
        for host, neighbour in ((one, "2001:db8:c::1"), (two, "2001:db8:c::2")):
            ip("-n", host.name, "address", "add", f"{neighbour}/64", "dev", "eth0", "nodad")
        async with at(one, "2001:db8:c::1") as alice, at(two, "2001:db8:c::2") as bob:
            await invite(alice, bob)
            found = await findings(alice, "dialed you back")
            assert found[-1] == (
                "✓ [2001:db8:c::2] dialed you back over your own network; whether your router lets"
                " others in, only a peer elsewhere can tell."
            )


@needs_namespaces
async def test_a_peer_over_a_cable_dials_the_link_local_address_back() -> None:
    with two_hosts() as (one, two):
        async with (
            running("--local", command=one.command(*PROGRAM)) as alice,
            running("--local", command=two.command(*PROGRAM)) as bob,
        ):
            here = await alice.expect_listener()
            await bob.expect_listener()
            await alice.say("/invite")
            await alice.expect(f"fantom://[{here.host}]")
            rest = (await alice.expect("\n")).strip()
            await bob.say(f"/connect fantom://[{here.host}%eth0]{rest}")
            for program in (alice, bob):
                await program.expect("native link, verified")
            assert await findings(alice, "dialed you back") == [
                f"✓ Link-local IPv6, for the same network only: {one.link_local()}%eth0",
                f"✓ You listen on {here}: only the same network can reach you.",
                "✓ Your listener answers this machine, which says nothing of the firewalls on the"
                " way.",
                f"✓ [{two.link_local()}] dialed you back: others can reach you.",
            ]


@needs_namespaces
async def test_a_host_without_a_route_hears_so() -> None:
    with far_apart() as (one, _):
        ip("-n", one.name, "-6", "route", "delete", "default", "dev", "eth0")
        async with at(one, ALICE) as alice:
            found = await findings(alice, "verified peer")
            assert found[0] == f"✓ Public IPv6, for everybody: {ALICE}"
            assert (
                "✗ There is no route to the IPv6 internet: turn IPv6 on in your router, or ask your"
                " provider for it."
            ) in found


@needs_namespaces
async def test_a_host_without_a_public_address_hears_so_and_nobody_is_asked() -> None:
    with two_hosts() as (one, _):
        async with running(command=one.command(*PROGRAM)) as alice:
            here = await alice.expect_listener()
            assert await findings(alice, "verified peer") == [
                "✗ This machine has no public IPv6 address: ask your provider or router for one.",
                f"✓ Link-local IPv6, for the same network only: {one.link_local()}%eth0",
                "✗ There is no route to the IPv6 internet: turn IPv6 on in your router, or ask your"
                " provider for it.",
                f"! You listen on {here}: only the same network can reach you. As soon as this"
                " machine has a public address, you listen there instead.",
                "✓ Your listener answers this machine, which says nothing of the firewalls on the"
                " way.",
                "! Only a verified peer can tell whether a firewall keeps others out: /connect to"
                " one who has fantom-trio, /verify each other, then /doctor again.",
            ]


@needs_namespaces
async def test_a_program_whose_port_is_taken_hears_by_whom() -> None:
    with far_apart() as (one, _):
        async with at(one, ALICE):
            command = one.command(*PROGRAM)
            async with running("--address", ALICE, command=command) as second:
                await second.expect("Port 31488 is in use")
                found = await findings(second, "Nobody can dial you")
                assert found[-1].startswith("✗ Nobody can dial you: python")
                assert found[-1].endswith(
                    " has port 31488; end it, or take another one with /listen PORT."
                )


@needs_namespaces
async def test_a_host_whose_address_is_gone_hears_so() -> None:
    with far_apart() as (one, _):
        async with at(one, ALICE) as alice:
            ip("-n", one.name, "address", "delete", f"{ALICE}/64", "dev", "eth0")
            found = await findings(alice, "verified peer")
            assert (
                f"✗ [{ALICE}]:31488 is no address of this machine any more: nobody can dial you"
                " until it is back."
            ) in found
