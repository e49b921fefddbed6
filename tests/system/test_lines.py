"""``--once --lines`` as a script uses it: real processes, lines that come when they come."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import psutil
import pytest
import trio

from fantom_trio.lines import READ_SIZE, Lines
from fantom_trio.nursery import Endpoint, Limits, open_node
from tests.nursery.ends import (
    LOOPBACK,
    PATIENCE,
    answer,
    listening_node,
    next_texts,
    peer_listener,
)
from tests.system.program import PROGRAM, Heard, Program, environment, following, running
from tests.system.test_once import once, sentence

FUZZING = os.environ.get("HYPOTHESIS_PROFILE") == "fuzz"
#: How many go through in one test.
MANY = int(os.environ.get("FUZZ_LINES", "1000000" if FUZZING else "30000"))
#: What a process may grow by once it has begun, bytes: a chunk or two of either end's heap.
SLACK = 6 * 1024 * 1024


@asynccontextmanager
async def sending(there: Endpoint, *options: str) -> AsyncIterator[Program]:
    async with running(
        "--once", str(there), "--lines", *options, stderr=subprocess.PIPE
    ) as program:
        yield program


async def sent(there: Endpoint, stdin: bytes, *options: str) -> subprocess.CompletedProcess[bytes]:
    return await once(str(there), stdin=stdin, options=["--lines", *options])


async def told(program: Program) -> str:
    """Its one sentence on stderr, and nothing on stdout."""
    assert await program.output.rest() == ""
    return (await program.errors.rest()).removeprefix("fantom-trio: ").removesuffix("\n")


async def outcome(program: Program) -> dict[str, Any]:
    """The one object on stdout."""
    line = await program.output.rest()
    assert line.endswith("}\n")
    found: dict[str, Any] = json.loads(line)
    return found


async def test_each_line_is_there_before_the_next_is_written() -> None:
    async with listening_node() as node:
        assert node.listener is not None
        async with sending(node.listener) as program:
            for text in ("one", "два", "/three"):
                await program.say(text)
                assert await next_texts(node, 1) == [text]
            await program.hang_up()
            assert await program.end() == 0
            assert await told(program) == (
                f"3 lines delivered to {node.listener}: a native peer, not verified."
            )
    assert len(node.conversations) == 1


async def test_at_a_person_s_terminal_each_line_is_one_message() -> None:
    async with running("--loopback", "--port", "30996") as program:
        there = await program.expect_listener()
        assert (await sent(there, b"first\nsecond\n")).returncode == 0
        await program.expect("is gone: it said goodbye")
        await program.say("/switch 1")
        for text in ("first", "second"):
            before = await program.expect(text + "\n")
            assert before.endswith("[::1]  ")


@pytest.mark.parametrize(
    ("stdin", "texts"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"a\n\nb\n\n", ["a", "", "b", ""]),
        (b"dos\r\nunix\nmac\rold", ["dos", "unix", "mac\rold"]),
        ("ы".encode() * 61_001 + b"\nend", ["ы" * 30_500, "ы" * 30_500, "ы", "end"]),
        (b"x" * 61_000 + b"\n", ["x" * 61_000]),
    ],
    ids=["nothing", "an empty line", "empty lines", "line ends", "a long line", "a full one"],
)
async def test_what_is_a_line(stdin: bytes, texts: list[str], tmp_path: Path) -> None:
    file = tmp_path / "in"
    file.write_bytes(stdin)
    # What a stranger says stands in line until both are over.
    async with listening_node(Limits(stranger_events=Limits().events)) as node:
        assert (await sent(node.listener or LOOPBACK, stdin)).returncode == 0
        with file.open("rb") as opened, trio.fail_after(PATIENCE):
            done = await trio.run_process(
                [*PROGRAM, "--once", str(node.listener), "--lines"], stdin=opened,
                env=environment(), capture_stderr=True,
            )  # fmt: skip
        count = len(stdin.splitlines()) - stdin.count(b"\rold")
        assert sentence(done).startswith(f"{count} line")
        assert await next_texts(node, 2 * len(texts)) == 2 * texts


async def test_a_line_that_is_not_text_ends_it_and_those_before_it_are_delivered() -> None:
    async with listening_node() as node:
        done = await sent(node.listener or LOOPBACK, b"one\ntwo\nthr\xffee\nfour\n")
        assert done.returncode == 2
        assert sentence(done) == (
            "Line 3 of standard input is not UTF-8 text. 2 lines before it were delivered to"
            f" {node.listener}."
        )
        assert await next_texts(node, 2) == ["one", "two"]


@pytest.mark.parametrize(
    ("redirection", "text"),
    [
        ("<&-", "There is no standard input to read lines from."),
        ("0>/dev/null", "Cannot read standard input: Bad file descriptor. 0 lines before it were"),
    ],
)
async def test_a_standard_input_that_cannot_be_read_exits_2(redirection: str, text: str) -> None:
    async with listening_node() as node:
        with trio.fail_after(PATIENCE):
            done = await trio.run_process(
                ["sh", "-c", f'"$0" -m fantom_trio --once "$1" --lines {redirection}',
                 sys.executable, str(node.listener)],
                env=environment(), capture_stderr=True, check=False,
            )  # fmt: skip
        assert done.returncode == 2
        assert sentence(done).startswith(text)


async def test_a_text_in_the_call_is_refused_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "peer"
    file.write_text("[::1]:31488\n")
    for arguments in (["--once", "::1", "hi"], ["--once", "hi", "--peer-file", str(file)]):
        done = await once(*arguments, options=["--lines"])
        assert done.returncode == 2
        assert "--lines" in sentence(done)


async def test_who_types_is_told_how_to_end_it() -> None:
    ours, theirs = pty.openpty()
    async with listening_node() as node, trio.lowlevel.FdStream(ours) as keyboard:
        process = await trio.lowlevel.open_process(
            [*PROGRAM, "--once", str(node.listener), "--lines"],
            stdin=theirs, stderr=subprocess.PIPE, env=environment(),
        )  # fmt: skip
        os.close(theirs)
        assert process.stderr is not None
        errors = Heard(process.stderr)
        async with process.stderr:
            await errors.expect(
                "Each line is sent as you write it: end with Ctrl-D on a line of its own."
            )
            await keyboard.send_all(b"typed\n")
            assert await next_texts(node, 1) == ["typed"]
            await keyboard.send_all(b"\x04")
            await errors.expect("1 line delivered to")
            with trio.fail_after(PATIENCE):
                assert await process.wait() == 0


# How it ends otherwise.


async def test_a_peer_that_leaves_while_no_line_comes_exits_5() -> None:
    async with following("--count", "1") as (follower, there), sending(there, "--json") as program:
        await program.say("one")
        assert await follower.end() == 0
        assert await program.end() == 5
        assert await outcome(program) == {
            "delivered": False, "peer": str(there), "link": "native", "verified": False,
            "messages": 1, "unconfirmed": 0, "exit": 5,
            "problem": f"No more lines get to {there}: it said goodbye."
                       " Delivered: 1, not confirmed: 0.",
        }  # fmt: skip


async def test_a_peer_that_is_killed_exits_5_and_the_rest_is_counted() -> None:
    async with following() as (follower, there), sending(there) as program:
        await program.say("one")
        await follower.expect("one\n")
        await follower.end(signal.SIGKILL)
        assert await program.end() == 5
        text = await told(program)
        assert text.startswith(f"No more lines get to {there}: ")
        # What is written may be killed before it is acknowledged.
        delivered, unconfirmed = re.findall(r"[a-z]: (\d+)", text)
        assert int(delivered) + int(unconfirmed) == 1


async def test_a_peer_that_confirms_nothing_for_long_exits_5() -> None:
    piece = "x" * 60_000  # a pipe holds one of these
    async with following() as (follower, there), sending(there, "--timeout", "0.5") as program:
        for _ in range(5):
            await program.say(piece)
        assert await program.end() == 5
        text = await told(program)
        assert text.startswith(f"{there} confirmed nothing for 0.5 seconds: lines delivered: 1, ")
        assert await follower.expect("\n") == piece


async def test_nobody_there_exits_3_before_a_line_is_read() -> None:
    async with peer_listener() as (there, _):
        pass
    async with sending(there, "--json") as program:
        assert await program.end() == 3
        found = await outcome(program)
        assert (found["exit"], found["link"], found["messages"]) == (3, None, 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_at_once_and_what_came_how_far_is_told(
    number: signal.Signals,
) -> None:
    piece = "x" * 60_000
    async with following() as (follower, there), sending(there, "--json") as program:
        await program.say("one")
        await follower.expect("one\n")
        for _ in range(3):
            await program.say(piece)
        await follower.expect(piece[:1000])
        assert await program.end(number) == 128 + number
        found = await outcome(program)
        assert found["exit"] == 128 + number
        assert 1 <= found["messages"] <= found["messages"] + found["unconfirmed"] <= 4
        assert found["problem"] == (
            f"A signal ended it. Lines delivered to {there}: {found['messages']}, not confirmed:"
            f" {found['unconfirmed']}."
        )


async def test_a_classic_peer_confirms_all_lines_with_its_close() -> None:
    async with peer_listener() as (where, listener), sending(where) as program:
        peer = await answer(listener)
        for text in ("one", "", "three"):
            await program.say(text)
            assert await peer.read_text() == text
        await program.hang_up()
        assert await peer.read_end() == b""
        peer.close()
        assert await program.end() == 0
        assert await told(program) == (
            f"3 lines delivered to {where}: a classic peer, which cannot be verified, read them"
            " and closed."
        )


async def test_a_classic_peer_that_closes_before_the_end_exits_5() -> None:
    async with peer_listener() as (where, listener), sending(where) as program:
        peer = await answer(listener)
        await program.say("one")
        assert await peer.read_text() == "one"
        peer.close()
        assert await program.end() == 5
        assert await told(program) == (
            f"No more lines get to {where}: it closed the link. Delivered: 0, not confirmed: 1."
        )


async def test_an_invite_proves_who_gets_the_lines() -> None:
    async with open_node(invited_only=True) as node:
        invite = node.invite(await node.listen(LOOPBACK))
        env = {"FANTOM_TRIO_PEER": str(invite)}
        done = await once("--once", stdin=b"a\nb\n", options=["--lines"], env=env)
        assert done.returncode == 0
        assert sentence(done).endswith("a native peer, verified by its invite.")
        assert await next_texts(node, 2) == ["a", "b"]


# Memory.


def a_line(number: int) -> bytes:
    """Every one its own, and some empty, long, or both ends of what UTF-8 holds."""
    if number % 1000 == 7:
        return b"\n"
    long = "ы👋" * 600 if number % 5000 == 11 else ""
    return f"line {number} {long}привет\n".encode()


@pytest.mark.fuzz
async def test_many_lines_arrive_as_they_went_and_neither_side_grows(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    with file.open("wb") as out:
        out.writelines(map(a_line, range(MANY)))
    size, went, came = file.stat().st_size, sha256(file.read_bytes()), sha256()
    read, write = os.pipe()
    seen = 0
    samples: list[list[int]] = []
    async with (
        trio.lowlevel.FdStream(read) as output,
        following("--count", str(MANY), stdout=write) as (follower, there),
    ):
        os.close(write)
        with file.open("rb") as into:
            sender = await trio.lowlevel.open_process(
                [*PROGRAM, "--once", str(there), "--lines"],
                stdin=into, stderr=subprocess.DEVNULL, env=environment(),
            )  # fmt: skip
        watched = [psutil.Process(each.pid) for each in (sender, follower)]
        with trio.fail_after(PATIENCE + MANY / 1000):
            while data := await output.receive_some():
                came.update(data)
                seen += len(data)
                # From the first tenth on, nothing that goes through stays in memory.
                if len(samples) < 9 and seen > size * (len(samples) + 1) // 10:
                    samples.append([each.memory_info().rss for each in watched])
            assert await sender.wait() == 0
        assert await follower.end() == 0
    assert (seen, came.digest()) == (size, went.digest())
    for first, *later in zip(*samples, strict=True):
        assert max(later) - first < SLACK


async def test_an_input_without_end_is_not_read_faster_than_it_is_confirmed() -> None:
    async with following() as (follower, there):
        zeros = os.open("/dev/zero", os.O_RDONLY)
        sender = await trio.lowlevel.open_process(
            [*PROGRAM, "--once", str(there), "--lines"],
            stdin=zeros, stderr=subprocess.DEVNULL, env=environment(),
        )  # fmt: skip
        os.close(zeros)
        size = psutil.Process(sender.pid)
        for _ in range(5):  # an endless line comes in pieces
            assert await follower.expect("\n") == "\0" * 61_000
        before = size.memory_info().rss
        for _ in range(100):
            assert await follower.expect("\n") == "\0" * 61_000
        assert size.memory_info().rss - before < SLACK
        sender.send_signal(signal.SIGINT)
        with trio.fail_after(PATIENCE):
            assert await sender.wait() == 130


async def test_a_read_that_is_cancelled_loses_nothing() -> None:
    read, write = os.pipe()
    lines = Lines(read)
    os.write(write, b"be")
    with trio.move_on_after(0.01):
        assert await lines.read() == []
    os.write(write, b"gun\n" + b"x" * READ_SIZE)
    found = await lines.read()
    os.close(write)
    found += await lines.read()
    assert [piece.text for piece in found] == ["begun", "x" * READ_SIZE]
    assert await lines.read() == []
    os.close(read)
