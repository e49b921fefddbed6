"""``--local`` between two hosts on one network."""

import trio

from tests.system.namespaces import ip, needs_namespaces, two_hosts
from tests.system.program import PROGRAM, running


@needs_namespaces
async def test_two_hosts_find_their_link_local_addresses_and_chat() -> None:
    with two_hosts() as (one, two):
        async with (
            running("--local", command=one.command(*PROGRAM)) as alice,
            running("--local", command=two.command(*PROGRAM)) as bob,
        ):
            here, there = await alice.expect_listener(), await bob.expect_listener()
            assert str(here) == f"[{one.link_local()}%eth0]:31488"
            assert str(there) == f"[{two.link_local()}%eth0]:31488"
            await alice.say(f"/connect {there} as bob")
            await alice.expect("bob is here: native link")
            await alice.say("hello over the cable")
            await bob.expect("to answer: /switch 1")
            await bob.say("/switch 1")
            await bob.expect(f"[{here.host}]  hello over the cable")
            await bob.say("hello back")
            await alice.expect("bob  hello back")


@needs_namespaces
async def test_an_address_copied_with_the_other_host_s_zone_works() -> None:
    with two_hosts() as (one, two):
        async with (
            running("--local", command=one.command(*PROGRAM)) as alice,
            running("--local", command=two.command(*PROGRAM)) as bob,
        ):
            await alice.expect_listener()
            there = await bob.expect_listener()
            await alice.say(f"/connect [{there.host}%wlp3s0]:{there.port}")
            await alice.expect("is here: native link")
            await alice.say("/disconnect")
            await alice.expect("is gone")
            await alice.say(f"/connect {there.host}")
            await alice.expect("is here: native link")


@needs_namespaces
async def test_without_a_cable_the_program_still_runs_for_local_use() -> None:
    with two_hosts() as (one, _):
        ip("-n", one.name, "link", "delete", "eth0")
        async with running("--local", command=one.command(*PROGRAM)) as alice:
            await alice.expect("No network interface has a link-local IPv6 address: join a network")
            await alice.expect("Until then only this machine can reach you.")
            await alice.expect("Listening on [::1]:31488")
        async with running(command=one.command(*PROGRAM)) as alice:
            await alice.expect("This machine has no public IPv6 address")
            await alice.expect("Listening on [::1]:31488")


@needs_namespaces
async def test_once_works_over_the_cable() -> None:
    with two_hosts() as (one, two):
        async with running("--local", command=two.command(*PROGRAM)) as bob:
            there = await bob.expect_listener()
            peer = f"[{there.host}%eth0]:{there.port}"
            command = one.command(*PROGRAM)
            async with running("--once", peer, "one line", command=command) as once:
                assert await once.end() == 0
            await bob.expect("to answer: /switch 1")
            await bob.say("/switch 1")
            await bob.expect(f"[{one.link_local()}]  one line")


@needs_namespaces
async def test_the_demo_without_a_loopback_address_says_what_to_enable() -> None:
    with two_hosts() as (one, _):
        ip("-n", one.name, "link", "set", "lo", "down")
        done = await trio.run_process(
            one.command(*PROGRAM, "--demo"), capture_stderr=True, check=False
        )
        assert done.returncode == 2
        assert done.stderr.decode().startswith(
            "fantom-trio: The demo needs the IPv6 loopback address ::1, which this machine does"
            " not have: try “ip link set lo up”"
        )
