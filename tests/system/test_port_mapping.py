"""A port opened in a real firewall: a host, its router that speaks PCP, and somebody outside."""

import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
import trio

from fantom_trio.nursery.port_mapping import STAMPEDE
from tests.pcp_server import FORGED
from tests.system.namespaces import Host, ip, needs_namespaces
from tests.system.program import PATIENCE, PROGRAM, Program, environment, running

pytestmark = [
    needs_namespaces,
    pytest.mark.skipif(shutil.which("nft") is None, reason="a firewall needs nftables' nft"),
]

HOST, OUTSIDE, PORT = "2001:db8:a::1", "2001:db8:b::1", 31488
ROUTER = "fe80::1"
WHERE = f"[{HOST}]:{PORT}"

#: What a home router has, and a set of those who asked it for more.
FIREWALL = """
table inet filter {
    set opened {
        type ipv6_addr . inet_service
        flags timeout
    }
    chain forward {
        type filter hook forward priority 0; policy drop;
        ct state established,related accept
        iifname lan accept
        ip6 daddr . tcp dport @opened accept
    }
}
"""

#: A listener whose port is kept open until its standard input ends; argument: seconds of silence.
LISTENER = """
import sys, trio
from fantom_trio.nursery import Endpoint, port_mapping
from fantom_trio.nursery.port_mapping import keep_open, port_nonce
from fantom_trio.repl.port_mapping import explain_port

port_mapping.SILENCE = float(sys.argv[3])
listener = Endpoint(sys.argv[1], int(sys.argv[2]))

async def tell(event):
    print(explain_port(event, listener), flush=True)

async def main():
    async with trio.open_nursery() as nursery:
        await nursery.start(serve)
        nursery.start_soon(keep_open, listener, tell, port_nonce())
        await trio.to_thread.run_sync(sys.stdin.read)
        nursery.cancel_scope.cancel()

async def serve(task_status):
    listeners = await trio.open_tcp_listeners(listener.port, host=listener.host)
    await trio.serve_listeners(answer, listeners, task_status=task_status)

async def answer(stream):
    await stream.send_all(b"hello")
    await stream.aclose()

trio.run(main)
"""
#: What two hear at once of what is announced; argument: who announces it.
EARS = """
import sys, trio
from fantom_trio.nursery import Endpoint
from fantom_trio.nursery.router import open_announcements

async def main():
    ears = [await open_announcements(Endpoint.parse(sys.argv[1])) for _ in range(2)]
    print("ready", flush=True)
    while True:
        print(*[(await ear.receive()).hex() for ear in ears], flush=True)

trio.run(main)
"""
DIAL = "import socket, sys; s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 1);\
 sys.exit(s.recv(5) != b'hello')"
OPENED = f"Your router has opened {WHERE} to your peers; it is closed when you leave.\n"
BY_HAND = f" Open TCP port {PORT} for {HOST} in your router's IPv6 firewall by hand.\n"


@contextmanager
def behind_a_router() -> Iterator[tuple[Host, Host, Host]]:
    """A host, its router with a firewall, and a host beyond that."""
    names = [f"fantom-{os.getpid()}-{end}" for end in ("host", "router", "outside")]
    host, router, outside = hosts = Host(names[0]), Host(names[1]), Host(names[2])
    try:
        for name in names:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        for end, near in ((host, "lan"), (outside, "wan")):
            ip("-n", end.name, "link", "add", "eth0", "type", "veth",
               "peer", "name", near, "netns", router.name)  # fmt: skip
        for at, cable, *addresses in (
            (host, "eth0", f"{HOST}/64"),
            (router, "lan", "2001:db8:a::ff/64", f"{ROUTER}/64"),
            (router, "wan", "2001:db8:b::ff/64"),
            (outside, "eth0", f"{OUTSIDE}/64"),
        ):
            ip("-n", at.name, "link", "set", cable, "up")
            for address in addresses:
                ip("-n", at.name, "address", "add", address, "dev", cable, "nodad")
        run(router, "sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
        run(router, "nft", "-f", "-", text=FIREWALL)
        ip("-n", host.name, "-6", "route", "add", "default", "via", ROUTER, "dev", "eth0")
        ip("-n", outside.name, "-6", "route", "add", "default", "via", "2001:db8:b::ff")
        yield hosts
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


def run(host: Host, *words: str, text: str = "") -> None:
    subprocess.run(host.command(*words), input=text.encode(), check=True, timeout=10)


@asynccontextmanager
async def pcp(router: Host, *options: str) -> AsyncIterator[Program]:
    """The router's PCP server."""
    command = router.command(sys.executable, "-m", "tests.pcp_server", ROUTER, "lan")
    async with running(*options, command=command) as server:
        await server.expect("ready\n")
        yield server


@asynccontextmanager
async def listening(host: Host, *, silence: float = PATIENCE) -> AsyncIterator[Program]:
    command = host.command(sys.executable, "-c", LISTENER)
    async with running(HOST, str(PORT), str(silence), command=command) as program:
        yield program


async def can_dial(outside: Host) -> bool:
    command = outside.command(sys.executable, "-c", DIAL, HOST, str(PORT))
    with trio.fail_after(PATIENCE):
        done = await trio.run_process(command, check=False, capture_stderr=True)
    return done.returncode == 0


async def test_the_router_opens_the_port_and_gets_it_back() -> None:
    with behind_a_router() as (host, router, outside):
        async with pcp(router) as server, listening(host) as listener:
            assert await listener.expect("\n") + "\n" == OPENED
            await server.expect(f"opened {HOST} {PORT}\n")
            assert await can_dial(outside)
            await listener.hang_up()
            await server.expect(f"closed {HOST} {PORT}\n")
            assert await listener.end() == 0
        # As a control: without the router's leave nobody gets in.
        async with listening(host, silence=0.1) as listener:
            await listener.expect("\n")
            assert not await can_dial(outside)
            assert await can_dial(host)


async def test_a_router_that_refuses_says_why_and_stays_closed() -> None:
    with behind_a_router() as (host, router, outside):
        async with pcp(router, "--refuses", "2") as server, listening(host) as listener:
            assert await listener.expect("\n") + "\n" == (
                "Your router does not let this program open a port, or an earlier run still holds"
                " it: allow it in the router's settings (PCP), or wait two hours." + BY_HAND
            )
            assert not await can_dial(outside)
            await server.expect("heard\n")


@pytest.mark.parametrize("has_pcp", [True, False])
async def test_a_router_that_says_nothing_is_told(has_pcp: bool) -> None:
    silent = "Your router does not answer when it is asked to open a port (PCP)."
    with behind_a_router() as (host, router, outside):
        async with listening(host, silence=2 if has_pcp else PATIENCE) as listener:
            if has_pcp:  # it takes the question, and does not answer
                async with pcp(router, "--silent") as server:
                    await server.expect("heard\n")
                    said = await listener.expect("\n")
            else:  # its system says that nobody is there
                said = await listener.expect("\n")
            assert said + "\n" == silent + BY_HAND
            assert not await can_dial(outside)


async def test_a_router_that_restarts_is_asked_again() -> None:
    with behind_a_router() as (host, router, outside):
        # With so short a lifetime the next renewal is after 4 or 5 seconds.
        async with pcp(router, "--lifetime", "8") as server, listening(host) as listener:
            await listener.expect(OPENED)
            assert await can_dial(outside)
            await server.say("reboot")
            await server.expect(f"closed {HOST} {PORT}\n")
            await listener.expect(
                "Your router has forgotten the open port, as one does that restarted: asking"
                " again.\n"
                f"Your router has opened {WHERE} to your peers again.\n"
            )
            assert await can_dial(outside)


async def test_a_router_that_announces_its_restart_is_asked_within_seconds() -> None:
    with behind_a_router() as (host, router, outside):
        async with pcp(router) as server, listening(host) as listener:
            await listener.expect(OPENED)
            await server.say("reboot")
            await server.expect(f"closed {HOST} {PORT}\n")
            assert not await can_dial(outside)
            # The next renewal is half an hour away.
            await server.say("announce")
            with trio.fail_after(STAMPEDE + 5):
                await listener.expect(
                    "Your router has forgotten the open port, as one does that restarted: asking"
                    " again.\n"
                    f"Your router has opened {WHERE} to your peers again.\n"
                )
            assert await can_dial(outside)


async def test_every_program_hears_what_the_router_announces_and_nothing_that_others_do() -> None:
    with behind_a_router() as (host, router, _):
        command = host.command(sys.executable, "-c", EARS, f"[{ROUTER}%eth0]:5351")
        async with (
            pcp(router, "--also", "2001:db8:a::ff") as server,
            running(command=command) as ears,
        ):
            await ears.expect("ready\n")
            for _ in range(2):
                await server.say("announce")
                first, second = (await ears.expect("\n")).split()
                assert first == second
                assert bytes.fromhex(first)[:8] == FORGED[:8]
                assert bytes.fromhex(first) != FORGED


async def test_who_follows_behind_a_firewall_is_reached() -> None:
    with behind_a_router() as (host, router, outside):
        follow = ["--follow", "--count", "1", "--open-port", "--address", WHERE]
        command = host.command(*PROGRAM)
        async with (
            pcp(router) as server,
            running(*follow, command=command, stderr=subprocess.PIPE) as follower,
        ):
            assert await follower.errors.expect("\n") == f"fantom-trio: Listening on {WHERE}."
            assert await follower.errors.expect("\n") + "\n" == f"fantom-trio: {OPENED}"
            await server.expect(f"opened {HOST} {PORT}\n")
            sender = outside.command(*PROGRAM, "--once", WHERE, "hi")
            with trio.fail_after(PATIENCE):
                await trio.run_process(sender, env=environment())
            assert await follower.expect("\n") == "hi"
            assert await follower.end() == 0
            await server.expect(f"closed {HOST} {PORT}\n")


async def test_a_host_without_a_router_hears_so() -> None:
    with behind_a_router() as (host, _, _):
        ip("-n", host.name, "-6", "route", "delete", "default")
        async with listening(host) as listener:
            assert await listener.expect("\n") + "\n" == (
                "There is no IPv6 router that could be asked to open a port." + BY_HAND
            )
