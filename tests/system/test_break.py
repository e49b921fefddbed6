"""A cable pulled for a minute, in real time: all that was written meanwhile arrives once."""

import re

import pytest
import trio

from tests.system.namespaces import ip, needs_namespaces, two_hosts
from tests.system.program import PROGRAM, running

#: Longer than a silent link is taken for alive.
BREAK_SECONDS = 60
#: After it: redialing pauses up to 16 s by then, and the kernel gives the addresses back.
RECOVERY_SECONDS = 60
LINES = 12


@needs_namespaces
@pytest.mark.slow
async def test_what_is_written_during_a_break_arrives_once_and_in_order() -> None:
    with two_hosts() as (one, two):
        async with (
            running("--local", command=one.command(*PROGRAM)) as alice,
            running("--local", command=two.command(*PROGRAM)) as bob,
        ):
            await alice.expect_listener()
            there = await bob.expect_listener()
            await alice.say(f"/connect {there} as bob")
            await alice.expect("bob is here: native link")
            await alice.say("before the break")
            await bob.expect("to answer: /switch 1")
            await bob.say("/switch 1")
            await bob.expect("before the break")
            ip("-n", two.name, "link", "set", "eth0", "down")
            for number in range(LINES):
                await alice.say(f"line {number} of alice")
                await bob.say(f"line {number} of bob")
                await trio.sleep(BREAK_SECONDS / LINES)
            ip("-n", two.name, "link", "set", "eth0", "up")
            await alice.say("alice is done")
            await bob.say("bob is done")
            for program, peer in ((bob, "alice"), (alice, "bob")):
                with trio.fail_after(RECOVERY_SECONDS):
                    shown = await program.output.expect(f"{peer} is done")
                lines = re.findall(rf"line \d+ of {peer}", shown)
                assert lines == [f"line {number} of {peer}" for number in range(LINES)]
