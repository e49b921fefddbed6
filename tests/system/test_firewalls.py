"""Two programs behind two routers, whose firewalls let in only what answers.

Host – router – router – host, each in a network namespace of its own, nftables on both routers.
"""

import os
import shutil
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

import pytest
import trio

from tests.system.namespaces import HOME_ADDRESSES, Host, ip, needs_namespaces, two_homes
from tests.system.program import PATIENCE, PROGRAM, Program, running

pytestmark = [
    needs_namespaces,
    pytest.mark.skipif(shutil.which("nft") is None, reason="a firewall needs nftables' nft"),
]

FUZZING = os.environ.get("HYPOTHESIS_PROFILE") == "fuzz"
#: Seconds from the first /connect to the second.
APART = 60 if FUZZING else 24
ALICE, BOB = HOME_ADDRESSES
#: What every home router does: out goes everything, in comes what answers it.
STATEFUL = """
table inet filter {{
    chain forward {{
        type filter hook forward priority 0; policy drop;
        ct state established,related accept
        iifname "lan" accept
        {rest}
    }}
}}
"""
#: A host to which nothing comes.
DEAF = """
table ip6 deaf { chain input { type filter hook input priority 0; meta l4proto tcp drop; }; }
"""
DROP, RESET = "", "reject with tcp reset"
PROHIBIT = "reject with icmpv6 type admin-prohibited"
NO_ROUTE = "reject with icmpv6 type no-route"
LINKED = "native link, not verified"
#: A node that dials alone, for three seconds: what it was told in the end.
ALONE = """
import trio
from fantom_trio.nursery import DialFailed, Endpoint, Limits, open_node
from fantom_trio.repl.explain import explain_dial

async def main():
    async with open_node(Limits(punch_seconds=3)) as node:
        await node.listen(Endpoint("{own}", 31488))
        node.connect(Endpoint("{peer}", 31488))
        async for event in node.events:
            if isinstance(event, DialFailed):
                print(explain_dial(event.error, event.endpoint))
                return

trio.run(main)
"""


@contextmanager
def homes(alice: str | None, bob: str | None) -> Iterator[tuple[Host, Host]]:
    """The hosts; each router's firewall ends with that rule, None: it has none."""
    with two_homes() as pairs:
        for (_, router), rest in zip(pairs, (alice, bob), strict=True):
            if rest is not None:
                router.run("nft", "-f", "-", stdin=STATEFUL.format(rest=rest))
        yield pairs[0][0], pairs[1][0]


@asynccontextmanager
async def programs(hosts: tuple[Host, Host]) -> AsyncIterator[tuple[Program, Program]]:
    async with AsyncExitStack() as stack:
        both = []
        for host, address in zip(hosts, HOME_ADDRESSES, strict=True):
            command = host.command(*PROGRAM)
            program = await stack.enter_async_context(
                running("--address", address, command=command)
            )
            await program.expect_listener()
            both.append(program)
        yield both[0], both[1]


async def they_talk(alice: Program, bob: Program) -> None:
    for one, other in ((alice, bob), (bob, alice)):
        await one.say(f"hello from {one.pid}")
        await other.expect(f"hello from {one.pid}")


@pytest.mark.parametrize("rule", [DROP, PROHIBIT], ids=["drop", "prohibit"])
@pytest.mark.parametrize("alice_first", [True, False])
async def test_both_type_connect_and_they_talk(rule: str, alice_first: bool) -> None:
    with homes(rule, rule) as hosts:
        async with programs(hosts) as (alice, bob):
            first, later = (alice, bob) if alice_first else (bob, alice)
            to_first, to_later = (ALICE, BOB) if alice_first else (BOB, ALICE)
            await first.say(f"/connect {to_later}")
            # The line to send to the peer, as it is.
            await first.expect(f"ask your peer to /connect you now: [{to_first}]:31488")
            await later.say(f"/connect {to_first}")
            began = time.monotonic()
            for program in (first, later):
                await program.expect(LINKED)
            assert time.monotonic() - began < 3
            await they_talk(alice, bob)


@pytest.mark.slow
@pytest.mark.fuzz
@pytest.mark.parametrize("alice_first", [True, False] if FUZZING else [True])
async def test_a_while_apart_is_soon_enough(alice_first: bool) -> None:
    with homes(DROP, DROP) as hosts:
        async with programs(hosts) as (alice, bob):
            first, later = (alice, bob) if alice_first else (bob, alice)
            to_first, to_later = (ALICE, BOB) if alice_first else (BOB, ALICE)
            began = trio.current_time()
            await first.say(f"/connect {to_later}")
            await first.expect("for 3 s")
            await first.expect("connect you now")
            for seconds in range(23, APART, 20):
                await first.expect(f"for {seconds} s")
            await trio.sleep_until(began + APART)
            await later.say(f"/connect {to_first}")
            for program in (first, later):
                await program.expect(LINKED)
            print(f"linked {trio.current_time() - began - APART:.1f} s after the second /connect")
            await they_talk(alice, bob)


async def test_a_half_open_connection_that_is_given_up_leaves_the_port_free() -> None:
    with homes(None, None) as hosts:
        async with programs(hosts) as (alice, bob):
            hosts[1].run("nft", "-f", "-", stdin=DEAF)
            await alice.say(f"/connect {BOB}")
            await alice.expect("connecting")
            await bob.say(f"/connect {ALICE}")
            # Bob's packets arrive, and none of hers: after 10 s each begins anew.
            await trio.sleep(12)
            assert "FIN-WAIT" not in ip("netns", "exec", hosts[0].name, "ss", "-Htan6")
            hosts[1].run("nft", "flush", "ruleset")
            for program in (alice, bob):
                await program.expect(LINKED)
            await they_talk(alice, bob)


async def test_at_the_same_moment_is_one_link() -> None:
    with homes(DROP, DROP) as hosts:
        async with programs(hosts) as (alice, bob):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(alice.say, f"/connect {BOB}")
                nursery.start_soon(bob.say, f"/connect {ALICE}")
            for program in (alice, bob):
                await program.expect(LINKED)
            await they_talk(alice, bob)
            await alice.say("/disconnect")
            assert "is gone" not in alice.output.seen + bob.output.seen
            await bob.expect("is gone: it said goodbye")


@pytest.mark.parametrize("rule", [DROP, PROHIBIT, RESET], ids=["drop", "prohibit", "reset"])
async def test_with_one_router_open_the_closed_side_dials_and_it_works_at_once(rule: str) -> None:
    with homes(rule, None) as hosts:
        async with programs(hosts) as (alice, bob):
            began = time.monotonic()
            await alice.say(f"/connect {BOB}")
            await bob.expect(LINKED)
            assert time.monotonic() - began < 3
            await bob.say("/switch 1")
            await they_talk(alice, bob)


@pytest.mark.parametrize(
    ("rule", "cause"),
    [
        (DROP, f"[{BOB}]:31488 did not answer for 3 s"),
        (PROHIBIT, f"Firewalls forbade the way to [{BOB}]:31488 for "),
        (NO_ROUTE, "Routers said for "),
        (RESET, f"Nobody listens at [{BOB}]:31488, or a firewall there refuses everybody"),
    ],
    ids=["drop", "prohibit", "no route", "reset"],
)
async def test_who_dials_alone_hears_the_cause(rule: str, cause: str) -> None:
    with homes(rule, rule) as (alice, _), trio.fail_after(PATIENCE):
        script = ALONE.format(own=ALICE, peer=BOB)
        command = alice.command(sys.executable, "-c", script)
        done = await trio.run_process(command, capture_stdout=True)
        said = done.stdout.decode()
        assert said.startswith(cause)
        assert f"[{ALICE}]:31488" in said
        assert ("open TCP port 31488" in said) == (rule != RESET)


@pytest.mark.parametrize("timestamps", [1, 0])
async def test_ports_of_a_closed_link_do_not_delay_the_next(timestamps: int) -> None:
    # Without time stamps the system does not let a connection follow another on the same ports.
    with homes(None, None) as hosts:
        for host in hosts:
            host.run("sysctl", "-qw", f"net.ipv4.tcp_timestamps={timestamps}")
        async with programs(hosts) as (alice, bob):
            for _ in range(3):
                began = time.monotonic()
                await alice.say(f"/connect {BOB}")
                for program in (alice, bob):
                    await program.expect(LINKED)
                assert time.monotonic() - began < 1
                await alice.say("/disconnect")
                for program in (alice, bob):
                    await program.expect("is gone")


async def test_after_a_restart_on_the_same_port_both_type_connect_again() -> None:
    with homes(DROP, DROP) as hosts:
        async with programs(hosts) as (alice, bob):
            await alice.say(f"/connect {BOB}")
            await bob.say(f"/connect {ALICE}")
            for program in (alice, bob):
                await program.expect(LINKED)
            await bob.end(9)
            await alice.expect("is gone")
            command = hosts[1].command(*PROGRAM)
            async with running("--address", BOB, command=command) as again:
                await again.expect_listener()
                await again.say(f"/connect {ALICE}")
                # She dials the one that she knew.
                await alice.expect("Somebody else answers")
                await alice.say(f"/connect {BOB}")
                await alice.expect("a stranger is at this address now")
                await again.expect(LINKED)
