"""``--follow`` as a script uses it: what stands on stdout, and what its senders hear of it."""

import functools
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import TextIO

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from fantom_trio import follow
from fantom_trio.nursery import (
    Connection,
    Endpoint,
    Greeter,
    Invite,
    KeyPair,
    Limits,
    Node,
    Where,
    dial,
    open_node,
)
from fantom_trio.tell import Exit
from fantom_trio.wire import Ack, Bye, Event, Ping, Pong, Say, fingerprint
from tests.nursery.ends import LOOPBACK, PATIENCE, Peer
from tests.system.program import PROGRAM, environment, following, free_port, running
from tests.system.test_once import once, sentence

#: As much as one message holds: a pipe holds one of these, and no two.
PIECE = "x" * 61_000


class Sender:
    """A native peer held in the hand: it says pieces, and hears how many were acknowledged."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.acknowledged = connection.hello.shown

    async def say(self, *ids: int) -> None:
        for id in ids:
            self.connection.link.send(Say(id, PIECE, 1))
        await self.connection.send()

    async def hear(self, event: Event) -> None:
        """Read until ``event`` comes."""
        with trio.fail_after(PATIENCE):
            while True:
                events = await self.connection.receive()
                self.acknowledged = max(
                    [self.acknowledged, *(each.shown for each in events if isinstance(each, Ack))]
                )
                if event in events:
                    return

    async def ping(self) -> None:
        """The node answers whatever else it does; what it acknowledges at once comes before."""
        self.connection.link.send(Ping())
        await self.connection.send()
        await self.hear(Pong())


@asynccontextmanager
async def sender(there: Endpoint, identity: KeyPair) -> AsyncIterator[Sender]:
    connection = await dial(there, Greeter(identity), own=None, own_port=31488, limits=Limits())
    try:
        yield Sender(connection)
    finally:
        connection.close()


async def classic_peer(there: Endpoint) -> Peer:
    """A connection of a classic peer, its handshake done."""
    peer = Peer(await trio.open_tcp_stream(there.host, there.port))
    await peer.stream.send_all(peer.handshake())
    peer.meet(await peer.read_line())
    return peer


async def test_each_message_is_a_line_and_its_sender_hears_that_it_was_written() -> None:
    async with following() as (program, there):
        for text in ("привет", "two\nlines\n"):
            done = await once(str(there), text)
            assert done.returncode == 0
            assert sentence(done) == f"Delivered to {there}: a native peer, not verified."
            assert await program.expect(text + "\n") == ""
        assert await program.end(signal.SIGINT) == 130
        assert await program.errors.rest() == ""


async def test_it_ends_after_as_many_messages_as_were_wanted(tmp_path: Path) -> None:
    file = tmp_path / "out"
    with file.open("wb") as out:
        async with following("--count", "2", stdout=out.fileno()) as (program, there):
            assert (await once(str(there), "one")).returncode == 0
            assert (await once(str(there), "two")).returncode == 0
            assert await program.end() == 0
    assert file.read_text() == "one\ntwo\n"


async def test_what_goes_beyond_the_count_is_neither_written_nor_acknowledged() -> None:
    async with following("--count", "1") as (program, there):
        done = await once(str(there), 2 * PIECE)
        assert done.returncode == 5
        assert sentence(done).startswith(f"Sent to {there}, but it did not confirm: ")
        assert await program.end() == 0
        assert await program.output.rest() == PIECE + "\n"


async def test_nothing_is_acknowledged_before_it_is_written_while_the_link_goes_on() -> None:
    async with following() as (program, there), sender(there, KeyPair.generate()) as peer:
        await peer.say(1, 2, 3)
        await peer.ping()
        assert peer.acknowledged <= 1  # nobody reads, and no more fits
        assert await program.expect("\n") == PIECE
        await peer.ping()
        assert peer.acknowledged <= 2
        for _ in (2, 3):
            assert await program.expect("\n") == PIECE
        await peer.hear(Ack(3))


async def test_what_came_by_a_link_that_broke_is_written_once_and_acknowledged_on_the_next() -> (
    None
):
    identity = KeyPair.generate()
    async with following() as (program, there):
        async with sender(there, identity) as peer:
            await peer.say(1, 2, 3)
            await peer.ping()
        async with sender(there, identity) as peer:
            assert peer.connection.hello.received == 3
            assert peer.acknowledged <= 1
            await peer.say(1, 2, 3, 4)  # as if it had not heard that
            await peer.ping()
            for _ in (1, 2, 3, 4):
                assert await program.expect("\n") == PIECE
            await peer.hear(Ack(4))
        assert await program.end(signal.SIGTERM) == 143
        assert await program.output.rest() == ""
    identity.wipe()


async def test_senders_that_wait_for_a_slow_reader_are_all_served() -> None:
    codes = []
    texts = [f"{number}" * 61_000 for number in range(4)]

    async def send(there: Endpoint, text: str) -> None:
        codes.append((await once(str(there), text)).returncode)

    async with following() as (program, there):
        async with trio.open_nursery() as nursery:
            for text in texts:
                nursery.start_soon(send, there, text)
            assert sorted([(await program.expect("\n")) for _ in texts]) == texts
        assert codes == [0, 0, 0, 0]


async def test_a_sender_that_waits_in_vain_exits_5() -> None:
    async with following() as (_, there):
        data = (3 * PIECE).encode()
        done = await once(str(there), stdin=data, options=["--timeout", "0.5"])
        assert done.returncode == 5
        assert "did not confirm in 0.5 seconds: it may have arrived" in sentence(done)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_ends_it_while_nobody_reads(number: signal.Signals) -> None:
    async with following() as (program, there), sender(there, KeyPair.generate()) as peer:
        await peer.say(1, 2, 3)
        await peer.ping()
        assert await program.end(number) == 128 + number


async def test_a_closed_pipe_ends_it_quietly_and_at_once() -> None:
    async with following() as (program, there):
        assert (await once(str(there), "enough")).returncode == 0
        await program.output.expect("enough\n")
        await program.output.hang_up()
        assert await program.end() == 0  # without another message
        assert await program.errors.rest() == ""


async def test_a_full_disk_is_told_and_nothing_is_acknowledged() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    async with following(stdout=full) as (program, there):
        assert (await once(str(there), "hi")).returncode == 5
        assert await program.end() == 1
        assert await program.errors.rest() == (
            "fantom-trio: Standard output takes no more: No space left on device.\n"
        )
    os.close(full)


async def test_a_pipe_that_does_not_block_is_written_to_as_any_other() -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    async with (
        trio.lowlevel.FdStream(read) as output,
        following(stdout=write) as (_, there),
        sender(there, KeyPair.generate()) as peer,
    ):
        await peer.say(1, 2, 3)
        await peer.ping()
        data = b""
        with trio.fail_after(PATIENCE):
            while len(data) < 3 * 61_001:
                data += await output.receive_some()
        assert data == 3 * f"{PIECE}\n".encode()
    os.close(write)


async def test_a_terminal_gets_nothing_but_what_can_be_read() -> None:
    ours, theirs = pty.openpty()
    async with (
        trio.lowlevel.FdStream(ours) as screen,
        following("--count", "1", stdout=theirs) as (program, there),
    ):
        assert (await once(str(there), "red \x1b[31m\nאב", stdin=b"")).returncode == 0
        assert await program.end() == 0
        assert await screen.receive_some() == "red ‹U+001B›[31m\r\nאב\r\n".encode()
    os.close(theirs)


async def test_a_classic_peer_s_messages_are_printed_too() -> None:
    async with following("--count", "2") as (program, there):
        peer = await classic_peer(there)
        await peer.say("hi", "classic")
        assert await program.end() == 0
        assert await program.output.rest() == "hi\nclassic\n"
        peer.close()


async def test_as_json_each_message_is_one_line_that_says_who_and_when() -> None:
    text = "two\nlines, “ы👋”\r\x1b[31m\x85\u2028\u2029\0\x7f"
    before = time.time()
    async with following("--json", "--invited-only") as (program, _):
        await program.errors.expect("nobody after them: ")
        invite = (await program.errors.expect("\n")).strip()
        done = await once("--once", stdin=text.encode(), env={"FANTOM_TRIO_PEER": invite})
        assert done.returncode == 0
        line = await program.expect("\n")
        assert line.splitlines() == [line]
        found = json.loads(line)
        assert before - 1 < datetime.fromisoformat(found.pop("at")).timestamp() < time.time() + 1
        assert re.fullmatch("[a-z2-7]{32}", found.pop("fingerprint"))
        assert found == {
            "from": "[::1]", "text": text, "verified": True, "link": "native", "damaged": False,
        }  # fmt: skip


async def test_as_json_the_fingerprint_is_the_one_in_the_sender_s_invites() -> None:
    identity = KeyPair.generate()
    own = Invite(LOOPBACK, fingerprint(identity.public), bytes(10))
    async with (
        following("--json", "--count", "1") as (program, there),
        sender(there, identity) as peer,
    ):
        await peer.say(1)
        found = json.loads(await program.expect("\n"))
    assert found["verified"] is False
    assert f"/{found['fingerprint']}." in str(own)
    identity.wipe()


async def test_as_json_a_classic_peer_has_no_fingerprint_and_what_is_no_text_is_marked() -> None:
    async with following("--json", "--count", "2") as (program, there):
        peer = await classic_peer(there)
        await peer.say("hi")
        frame = peer.frame(b"\xff\xed\xa0\x80.")
        await peer.stream.send_all(frame)
        assert await program.end() == 0
        first, second = map(json.loads, (await program.output.rest()).splitlines())
        assert (first["from"], first["link"], first["fingerprint"]) == (
            "[::1]:40000", "classic", None,
        )  # fmt: skip
        assert (first["text"], first["damaged"]) == ("hi", False)
        assert (second["text"], second["damaged"]) == ("\ufffd" * 4 + ".", True)
        peer.close()


async def test_as_json_a_terminal_gets_ascii_where_the_text_could_do_more() -> None:
    ours, theirs = pty.openpty()
    async with (
        trio.lowlevel.FdStream(ours) as screen,
        following("--json", "--count", "2", stdout=theirs) as (program, there),
    ):
        for text in ("привет", "ы\x1b[31m\x9b\u202eab"):
            assert (await once(str(there), text)).returncode == 0
        assert await program.end() == 0
        data = (await screen.receive_some()).decode()
        first, second = data.splitlines()
        assert '"text": "привет"' in first
        assert '"text": "\\u044b\\u001b[31m\\u009b\\u202eab"' in second
        assert json.loads(second)["text"] == "ы\x1b[31m\x9b\u202eab"
    os.close(theirs)


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
async def test_a_reader_that_wants_one_line_ends_it_quietly(options: list[str]) -> None:
    port = str(free_port())
    command = f'"$0" -m fantom_trio --follow --loopback --port {port} {" ".join(options)}'
    command = f"{{ {command}; echo $? >&2; }} | head -n 1"
    async with running(
        command=["sh", "-c", command, sys.executable], stderr=subprocess.PIPE
    ) as program:
        await program.errors.expect("Listening on")
        done = await once(f"[::1]:{port}", options=["--lines"], stdin=b"x\n" * 100_000)
        assert done.returncode == 5
        assert await program.end() == 0
        assert (await program.output.rest()).count("\n") == 1
        assert await program.errors.rest() == f" [::1]:{port}.\n0\n"


@asynccontextmanager
async def following_here(
    monkeypatch: pytest.MonkeyPatch, stdout: TextIO, limits: Limits, count: int
) -> AsyncIterator[Node]:
    """``follow`` in this process, which ends by ``count``; its node."""
    node: Node | None = None
    listens = trio.Event()
    listen = Node.listen

    async def listen_and_tell(self: Node, endpoint: Endpoint) -> Endpoint:
        nonlocal node
        node = self
        where = await listen(self, endpoint)
        listens.set()
        return where

    async def run() -> None:
        code = await follow.follow(Where("loopback"), own_port=0, invited_only=False, count=count)
        assert code == Exit.DONE

    monkeypatch.setattr(Node, "listen", listen_and_tell)
    monkeypatch.setattr(follow, "open_node", functools.partial(open_node, limits))
    monkeypatch.setattr(sys, "stdout", stdout)
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            await listens.wait()
            assert node is not None
            yield node


async def test_what_a_classic_peer_floods_a_stalled_pipe_with_is_bounded_and_the_loss_told(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    read, write = os.pipe()
    limits = Limits(history_messages=10, events=1, stall_seconds=0.01)
    numbers: list[str] = []
    with os.fdopen(write, "w") as out:
        async with (
            trio.lowlevel.FdStream(read) as output,
            following_here(monkeypatch, out, limits, count=12) as node,
        ):
            peer = await Peer.meet_node(node)
            await peer.say(*(f"{number:05}" + "x" * 60_000 for number in range(100)))
            await peer.stream.send_eof()
            await peer.read_end()  # all was read
            data = b""
            while data.count(b"\n") < 12:
                data += await output.receive_some()
            numbers = [line[:5] for line in data.decode().splitlines()]
    # One fills the pipe, one is on its way, and ten is what the history holds.
    assert (numbers[0], numbers[2:]) == ("00000", [f"{number:05}" for number in range(90, 100)])
    told = re.findall(r"(\d+) messages? from \[::1\]:40000 w\w+ lost", capfd.readouterr().err)
    assert sum(map(int, told)) == 88


async def test_only_the_invited_are_let_in_where_that_is_wanted() -> None:
    async with following("--invited-only", "--count", "1") as (program, there):
        await program.errors.expect("Only who brings this is let in, and nobody after them: ")
        invite = (await program.errors.expect("\n")).strip()
        assert (await once(str(there), "uninvited")).returncode == 4
        env = {"FANTOM_TRIO_PEER": invite}
        done = await once("--once", stdin=b"invited", env=env)
        assert done.returncode == 0
        assert sentence(done).endswith("verified by its invite.")
        assert await program.end() == 0
        assert await program.output.rest() == "invited\n"


async def test_the_repl_lets_in_only_the_invited_where_that_is_wanted() -> None:
    async with running("--loopback", "--port", "30998", "--invited-only") as program:
        there = await program.expect_listener()
        assert (await once(str(there), "uninvited")).returncode == 4


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--address", "2001:db8::1"], "[2001:db8::1]:31488 is no address of this machine"),
        (["--ip-service", "http://x"], "The address service must be an https:// address"),
    ],
)
async def test_where_it_cannot_listen_it_says_so_and_exits_2(options: list[str], text: str) -> None:
    done = await trio.run_process(
        [*PROGRAM, "--follow", *options], env=environment(), capture_stdout=True,
        capture_stderr=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, b"")
    assert sentence(done).startswith(text)


async def test_a_port_in_use_exits_2() -> None:
    async with following() as (_, there):
        done = await trio.run_process(
            [*PROGRAM, "--follow", "--address", str(there)], env=environment(),
            capture_stderr=True, check=False,
        )  # fmt: skip
        assert done.returncode == 2
        assert sentence(done).startswith(f"Port {there.port} is in use")


async def test_without_standard_output_it_does_not_begin() -> None:
    done = await trio.run_process(
        ["sh", "-c", '"$0" -m fantom_trio --follow --loopback >&-', sys.executable],
        env=environment(), capture_stderr=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert sentence(done) == "There is no standard output to write to."


async def test_whoever_left_and_is_written_down_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = KeyPair.generate()
    file = tmp_path / "out"
    with file.open("w") as out:
        async with following_here(monkeypatch, out, Limits(), count=3) as node:
            assert node.listener is not None
            for id in (1, 2):
                async with sender(node.listener, identity) as peer:
                    assert peer.connection.hello.received == id - 1
                    await peer.say(id)
                    await peer.hear(Ack(id))
                    (conversation,) = node.conversations
                while node.conversations:
                    await wait_all_tasks_blocked()
                assert not conversation.history
            async with sender(node.listener, identity) as peer:
                await peer.say(3)
                await peer.hear(Bye("quit"))
    assert file.read_text() == 3 * f"{PIECE}\n"


async def test_what_is_written_is_not_remembered_while_the_sender_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "out"
    with file.open("w") as out:
        async with following_here(monkeypatch, out, Limits(), count=21) as node:
            assert node.listener is not None
            async with sender(node.listener, KeyPair.generate()) as peer:
                for id in range(1, 21):
                    await peer.say(id)
                    await peer.hear(Ack(id))
                    assert not node.conversations[0].history
                await peer.say(21)
                await peer.hear(Bye("quit"))
    assert file.read_text() == 21 * f"{PIECE}\n"
