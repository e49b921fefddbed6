"""``--once`` as a script uses it: real processes, their exit codes and what they print."""

import functools
import json
import os
import re
import signal
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from fantom_trio.nursery import Endpoint, Invite, Node, open_node
from fantom_trio.once import Outcome, send_once
from fantom_trio.tell import Exit
from tests.nursery.ends import (
    LOOPBACK,
    PATIENCE,
    Peer,
    answer,
    listening_node,
    next_texts,
    peer_listener,
    slots_in_use,
)
from tests.system.program import PROGRAM, environment, following, running
from tests.wire.native_ends import NativePeer


async def once(
    *arguments: str,
    options: Sequence[str] = (),
    stdin: bytes = b"",
    env: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run it to its end; nothing ever stands on stdout."""
    with trio.fail_after(PATIENCE):
        done: subprocess.CompletedProcess[bytes] = await trio.run_process(
            [*PROGRAM, *options, *([] if "--once" in arguments else ["--once"]), *arguments],
            stdin=stdin,
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            env=environment(env),
        )
    assert done.stdout == b""
    return done


def sentences(done: subprocess.CompletedProcess[bytes]) -> list[str]:
    """The lines on stderr."""
    lines = done.stderr.decode().splitlines()
    assert all(line.startswith("fantom-trio: ") for line in lines)
    return [line.removeprefix("fantom-trio: ") for line in lines]


def sentence(done: subprocess.CompletedProcess[bytes]) -> str:
    """The one line on stderr."""
    (line,) = sentences(done)
    return line


async def test_a_line_from_a_pipe_is_shown_at_the_peer_and_exits_0() -> None:
    async with listening_node() as node:
        done = await once(str(node.listener), stdin=b"hi\n")
        assert done.returncode == 0
        assert sentence(done) == f"Delivered to {node.listener}: a native peer, not verified."
        assert await next_texts(node, 1) == ["hi"]


async def test_a_classic_peer_reads_to_our_end_and_closes() -> None:
    async with peer_listener() as (where, listener), trio.open_nursery() as nursery:

        async def read() -> None:
            peer = await answer(listener)
            assert await peer.read_text() == "hi"
            assert await peer.read_end() == b""
            peer.close()

        nursery.start_soon(read)
        done = await once(str(where), "hi")
        assert done.returncode == 0
        assert sentence(done).startswith(f"Delivered to {where}: a classic peer, which cannot be")


async def test_text_from_an_argument_wins_over_standard_input() -> None:
    async with listening_node() as node:
        done = await once(str(node.listener), "привет из аргумента", stdin=b"ignored")
        assert done.returncode == 0
        assert await next_texts(node, 1) == ["привет из аргумента"]


async def test_only_one_final_line_break_is_the_shell_s() -> None:
    async with listening_node() as node:
        await once(str(node.listener), stdin=b"two\nlines\n\n")
        assert await next_texts(node, 1) == ["two\nlines\n"]


async def test_a_message_over_a_frame_arrives_in_pieces_in_order() -> None:
    text = "".join(f"{number} ы👋\n" for number in range(30_000))
    async with listening_node() as node:
        done = await once(str(node.listener), stdin=text.encode())
        assert done.returncode == 0
        heard = ""
        while len(heard) < len(text) - 1:
            heard += "".join(await next_texts(node, 1))
        assert heard == text.removesuffix("\n")


async def test_the_client_id_is_our_address_and_the_port_we_were_given() -> None:
    async with peer_listener() as (where, listener), trio.open_nursery() as nursery:
        send = functools.partial(once, str(where), "hi", options=["--port", "40321"])
        nursery.start_soon(send)
        peer = await answer(listener)
        assert await peer.read_text() == "hi"
        assert peer.client_id_seen == b"::1:40321"
        peer.close()


async def test_nobody_there_exits_3() -> None:
    async with peer_listener() as (where, _):
        pass
    done = await once(str(where), "hi")
    assert done.returncode == 3
    assert sentence(done).startswith(f"Nobody listens at {where}: check the port")


async def test_an_unknown_name_exits_3() -> None:
    done = await once("no-such-name.invalid", "hi")
    assert done.returncode == 3
    assert "no-such-name.invalid:31488" in sentence(done)  # not known, or no name server here


async def test_a_peer_that_is_no_fantom_chat_exits_4() -> None:
    async with peer_listener() as (where, listener), trio.open_nursery() as nursery:

        async def smtp() -> None:
            await Peer(await listener.accept()).stream.send_all(b"220 smtp.example ESMTP\r\n")

        nursery.start_soon(smtp)
        done = await once(str(where), "hi")
        assert done.returncode == 4
        assert "is no Fantom Chat" in sentence(done)
        assert "something else than a handshake" in sentence(done)


async def test_a_peer_that_keeps_resetting_exits_4_and_names_the_likely_cause() -> None:
    async with peer_listener() as (where, listener), trio.open_nursery() as nursery:

        async def reset() -> None:
            while True:
                peer = Peer(await listener.accept())
                peer.stream.socket.setsockopt(
                    trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
                peer.close()

        nursery.start_soon(reset)
        done = await once(str(where), "hi")
        nursery.cancel_scope.cancel()
        assert done.returncode == 4
        assert "another link with you" in sentence(done)


async def test_a_peer_that_answers_nothing_exits_4_after_the_timeout() -> None:
    async with peer_listener() as (where, _):
        done = await once(str(where), "hi", options=["--timeout", "0.3"])
        assert done.returncode == 4
        assert "took the connection and then said nothing" in sentence(done)


async def test_a_peer_that_never_closes_exits_5_after_the_timeout() -> None:
    async with peer_listener() as (where, listener), trio.open_nursery() as nursery:
        nursery.start_soon(answer, listener)
        done = await once(str(where), "hi", options=["--timeout", "0.5"])
        assert done.returncode == 5
        assert "did not confirm in 0.5 seconds" in sentence(done)


async def test_a_peer_that_dies_before_it_read_exits_5() -> None:
    async with peer_listener() as (where, listener), trio.open_nursery() as nursery:

        async def die() -> None:
            peer = await answer(listener)
            await trio.lowlevel.wait_readable(peer.stream.socket)
            peer.close()  # with unread bytes: a reset

        nursery.start_soon(die)
        done = await once(str(where), "hi")
        assert done.returncode == 5
        assert "broke before it confirmed" in sentence(done)


@pytest.mark.parametrize(
    ("arguments", "stdin", "text"),
    [
        (["192.0.2.1", "hi"], b"", "“192.0.2.1” is an IPv4 address, and this is IPv6 only."),
        (["[::1]:99999", "hi"], b"", "“[::1]:99999” has a port that is not between 1 and 65535."),
        (["[::1"], b"hi", "“[::1” is no IPv6 address: write it as [2001:db8::1]:31488."),
        (["::1"], b"", "There is nothing to send: give TEXT, or something on standard input."),
        (["::1"], b"\xff\xfe", "Standard input is not UTF-8 text."),
        (
            ["a\x1b[31m"],
            b"hi",
            "“a‹U+001B›[31m” is no IPv6 address: write it as [2001:db8::1]:31488.",
        ),
    ],
)
async def test_a_wrong_call_exits_2_with_one_sentence(
    arguments: list[str], stdin: bytes, text: str
) -> None:
    done = await once(*arguments, stdin=stdin)
    assert done.returncode == 2
    assert sentence(done) == text


async def test_an_interrupt_exits_130_and_a_termination_143() -> None:
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        async with peer_listener() as (where, listener):
            with trio.fail_after(PATIENCE):
                process = await trio.lowlevel.open_process(
                    [*PROGRAM, "--once", str(where), "hi"], stderr=subprocess.DEVNULL
                )
                await answer(listener)
                process.send_signal(number)
                assert await process.wait() == code


async def test_the_languages_speak_here_too() -> None:
    async with peer_listener() as (where, _):
        pass
    done = await once(str(where), "hi", env={"LC_ALL": "ru_RU.UTF-8"})
    assert done.returncode == 3
    assert "никто не" in sentence(done)


async def test_nothing_is_written_to_files(tmp_path: Path) -> None:
    async with listening_node() as node:
        env = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")}
        assert (await once(str(node.listener), "hi", env=env)).returncode == 0
    assert not os.listdir(tmp_path)


async def test_closed_standard_streams_change_no_exit_code() -> None:
    async with listening_node() as node:
        for redirection in (">&-", "2>&-", "2>/dev/full", ">&- 2>&-"):
            command = f'"$0" -m fantom_trio --once "$1" "$2" {redirection}'
            with trio.fail_after(PATIENCE):
                done = await trio.run_process(
                    ["sh", "-c", command, sys.executable, str(node.listener), redirection],
                    capture_stdout=True,
                    check=False,
                )
            assert (done.returncode, done.stdout) == (0, b"")
            assert await next_texts(node, 1) == [redirection]
        done = await trio.run_process(
            ["sh", "-c", '"$0" -m fantom_trio --once "$1" <&-', sys.executable, "::1"],
            capture_stderr=True,
            check=False,
        )
        assert done.returncode == 2
        assert "nothing to send" in sentence(done)


async def test_a_given_address_and_port_are_the_client_id() -> None:
    for options in (["--address", "::1", "--port", "40322"], ["--address", "[::1]:40322"]):
        async with peer_listener() as (where, listener), trio.open_nursery() as nursery:
            nursery.start_soon(functools.partial(once, str(where), "hi", options=options))
            peer = await answer(listener)
            assert await peer.read_text() == "hi"
            assert peer.client_id_seen == b"::1:40322"
            peer.close()


# Invites.


@asynccontextmanager
async def inviting_node(*, invited_only: bool = False) -> AsyncIterator[tuple[Node, Invite]]:
    """A node, and an invite of its own."""
    async with open_node(invited_only=invited_only) as node:
        yield node, node.invite(await node.listen(LOOPBACK))


def forged(invite: Invite, where: Endpoint | None = None) -> str:
    """It names somebody else, or another place."""
    changed = replace(invite, fingerprint=bytes(20)) if where is None else invite
    return str(replace(changed, endpoint=where or invite.endpoint))


async def test_an_invite_proves_who_it_is_and_one_in_the_call_is_warned_of() -> None:
    async with inviting_node(invited_only=True) as (node, invite):
        done = await once(str(invite), "hi")
        assert done.returncode == 0
        warning, delivered = sentences(done)
        assert warning.startswith("Others on this machine can read the invite in the list")
        assert delivered == f"Delivered to {node.listener}: a native peer, verified by its invite."
        assert [message.verified for message in node.conversations[0].history] == [True]


async def test_an_invite_from_a_file_or_the_environment_is_nobody_s_to_see(tmp_path: Path) -> None:
    file = tmp_path / "bob.invite"
    async with open_node(invited_only=True) as node:
        where = await node.listen(LOOPBACK)
        for arguments, stdin in (
            (["--once", "--peer-file", str(file), "by file, first"], b""),
            (["--peer-file", str(file), "--once", "by file, last"], b""),
            (["--once", "--peer-file", str(file)], b"by file, from a pipe"),
            (["--once"], b"by environment"),
            (["--once", "--", "by environment, as argument"], b""),
        ):
            invite = str(node.invite(where))
            file.write_text(f"{invite}\nand a second line\n")
            env = {"FANTOM_TRIO_PEER": "" if "--peer-file" in arguments else invite}
            done = await once(*arguments, stdin=stdin, env=env)
            assert done.returncode == 0
            assert sentence(done).endswith("verified by its invite.")
            assert await next_texts(node, 1) == [stdin.decode() or arguments[-1]]


async def test_a_peer_in_the_call_wins_over_the_environment() -> None:
    async with listening_node() as node:
        env = {"FANTOM_TRIO_PEER": "[::1]:9"}
        assert (await once(str(node.listener), stdin=b"hi", env=env)).returncode == 0
        assert (await once(str(node.listener), "hi", env=env)).returncode == 0


async def test_an_invite_that_names_somebody_else_exits_4_and_tells_them_nothing() -> None:
    seen = b""

    async def impostor(listener: trio.SocketListener) -> None:
        nonlocal seen
        peer = Peer(await listener.accept())
        line = await peer.read_line()
        await peer.stream.send_all(NativePeer().answer(line))
        seen = line + await peer.read_end()

    async with (
        inviting_node() as (_, invite),
        peer_listener() as (where, listener),
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(impostor, listener)
        done = await once(forged(invite, where), "hi")
        assert done.returncode == 4
        assert sentences(done)[1].startswith(f"Somebody else answers at {where}")
    assert re.fullmatch(rb"HANDSHAKE [A-Za-z0-9+/]{43}= ~~\n", seen)


async def test_an_invite_that_is_wrong_exits_4_and_the_node_hears_no_message() -> None:
    async with inviting_node() as (node, invite):
        done = await once(forged(invite), "hi")
        assert done.returncode == 4
        assert sentences(done)[1].startswith(f"Somebody else answers at {node.listener}")
        assert not node.conversations


async def test_a_classic_peer_where_an_invite_expects_another_exits_4_and_is_told_nothing() -> None:
    seen = b""

    async def classic(listener: trio.SocketListener) -> None:
        nonlocal seen
        seen = await (await answer(listener)).read_end()

    async with (
        inviting_node() as (_, invite),
        peer_listener() as (where, listener),
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(classic, listener)
        done = await once(forged(invite, where), "hi")
        assert done.returncode == 4
        assert sentences(done)[1].startswith(f"{where} answers as a classic peer")
    assert seen == b""


async def test_who_is_not_invited_or_too_late_exits_4() -> None:
    async with inviting_node(invited_only=True) as (node, invite):
        done = await once(str(node.listener), "hi")
        assert done.returncode == 4
        assert sentence(done).startswith(f"{node.listener} lets in only the invited")
        assert (await once(str(invite), "the first")).returncode == 0
        done = await once(str(invite), "the second")
        assert done.returncode == 4
        assert sentences(done)[1].startswith(f"{node.listener} lets in only the invited")
        assert await next_texts(node, 1) == ["the first"]


async def test_an_invite_serves_a_script_many_times_where_others_are_let_in_too() -> None:
    async with inviting_node() as (node, invite):
        for text in ("by token", "by fingerprint"):
            done = await once(str(invite), text)
            assert done.returncode == 0
            assert sentences(done)[1].endswith("a native peer, verified by its invite.")
            assert await next_texts(node, 1) == [text]
        assert [each.verified for each in node.conversations] == [True, False]
        assert (await once(forged(invite), "to somebody else")).returncode == 4


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--once"], "PEER is missing: give an address or an invite, --peer-file FILE, or the"),
        (["--once", "--", "hi"], "PEER is missing: give an address or an invite, --peer-file FI"),
        (["--once", "::1", "hi", "--peer-file", "f"], "PEER stands in the call and in --peer-fi"),
        (["--once", "--peer-file", "/nonexistent/f"], "Cannot read /nonexistent/f: No such file"),
        (["--once", "--peer-file", "/dev/zero", "hi"], "“‹U+0000›‹U+0000›"),
        (["--once", "--peer-file", "/dev/null", "hi"], "An address is missing"),
        (["--once", "fantom://[::1]:30000/geheim.geheim", "hi"], "“fantom://[::1]:30000/…” is a d"),
        (["--peer-file", "f"], "--peer-file needs --once beside it."),
        (["--count", "1"], "--count needs --follow beside it."),
        (["--follow", "--timeout", "1"], "--timeout does nothing beside --follow."),
        (["--once", "::1", "hi", "--invited-only"], "--invited-only is for who listens, and --on"),
        (["--once", "::1", "h\udcff"], "TEXT is not UTF-8 text."),
        (["--once", "::1", "hi", "--follow"], "--once, --follow and --demo do not go together."),
        (["--follow", "--count", "0"], "--count: the number must be 1 or more."),
    ],
)
async def test_a_call_that_names_no_peer_or_two_exits_2(arguments: list[str], text: str) -> None:
    with trio.fail_after(PATIENCE):
        done = await trio.run_process(
            [*PROGRAM, *arguments], env=environment(), capture_stderr=True, check=False
        )
    assert done.returncode == 2
    assert sentence(done).startswith(text)


async def test_our_identity_is_wiped_in_every_case() -> None:
    before = slots_in_use()

    async def send(where: Endpoint, text: str, timeout: float) -> Exit:
        return await send_once(where, text, Outcome(), own=None, own_port=31488, timeout=timeout)

    async with peer_listener() as (where, _):
        assert await send(where, "hi", timeout=0.1) == Exit.HANDSHAKE
        assert slots_in_use() == before
    async with peer_listener() as (where, listener), trio.open_nursery() as nursery:
        nursery.start_soon(functools.partial(send, where, "hi", timeout=10))
        await (await answer(listener)).read_text()
        assert slots_in_use() > before
        nursery.cancel_scope.cancel()
    assert slots_in_use() == before
    assert await send(where, "hi", timeout=1) == Exit.UNREACHED
    assert slots_in_use() == before


@pytest.mark.parametrize(
    "arguments", [["--x\x1b[2J"], ["foo\x1b[2J"], ["--port", "80"], ["--address", "::", "--demo"]]
)
async def test_a_wrong_option_is_one_sentence_that_can_only_be_read(arguments: list[str]) -> None:
    done = await trio.run_process([*PROGRAM, *arguments], capture_stderr=True, check=False)
    assert done.returncode == 2
    assert sentence(done).isprintable()


# What is told by --json.


async def outcome(
    *arguments: str, stdin: bytes = b"", env: dict[str, str] | None = None
) -> tuple[dict[str, Any], list[str]]:
    """The one object on stdout, and the sentences on stderr."""
    with trio.fail_after(PATIENCE):
        done = await trio.run_process(
            [*PROGRAM, "--json", *arguments], stdin=stdin, capture_stdout=True,
            capture_stderr=True, check=False, env=environment(env),
        )  # fmt: skip
    (line,) = done.stdout.decode().splitlines()
    found = json.loads(line)
    assert found["exit"] == done.returncode
    assert found["delivered"] is (done.returncode == 0)
    return found, sentences(done)


async def test_as_json_it_is_told_who_confirmed_how_much(tmp_path: Path) -> None:
    async with inviting_node() as (node, invite):
        where = str(node.listener)
        delivered = {
            "delivered": True, "peer": where, "link": "native", "verified": False, "messages": 1,
            "unconfirmed": 0, "exit": 0, "problem": None,
        }  # fmt: skip
        found, told = await outcome("--once", where, "hi")
        assert found == delivered
        assert told == [f"Delivered to {where}: a native peer, not verified."]
        long = b"x" * 200_000
        assert (await outcome("--once", where, stdin=long))[0] == delivered
        env = {"FANTOM_TRIO_PEER": str(invite)}
        found, _ = await outcome("--once", "--lines", stdin=b"a\nb\n", env=env)
        assert found == delivered | {"verified": True, "messages": 2}
        assert "token" not in str(found)


async def test_as_json_a_classic_peer_is_called_so() -> None:
    async with peer_listener() as (where, listener), trio.open_nursery() as nursery:

        async def read() -> None:
            peer = await answer(listener)
            await peer.read_end()
            peer.close()

        nursery.start_soon(read)
        found, _ = await outcome("--once", str(where), "hi")
        assert (found["link"], found["verified"], found["messages"]) == ("classic", False, 1)


async def test_as_json_every_failure_is_one_object_with_its_sentence() -> None:
    async with peer_listener() as (gone, _):
        pass
    async with peer_listener() as (silent, _), following() as (_, blocked):
        for code, arguments, stdin, peer in (
            (2, ["--once", "192.0.2.1", "hi"], b"", None),
            (2, ["--once"], b"", None),
            (2, ["--once", "::1", "--address", "no address"], b"hi", None),
            (2, ["--once", "--peer-file", "/nonexistent/\x1b"], b"hi", None),
            (2, ["--once", "::1"], b"", "[::1]:31488"),
            (2, ["--once", "::1"], b"\xff", "[::1]:31488"),
            (2, ["--once", str(blocked), "--lines"], b"\xff", str(blocked)),
            (3, ["--once", str(gone), "hi"], b"", str(gone)),
            (4, ["--once", str(silent), "hi", "--timeout", "0.3"], b"", str(silent)),
            (5, ["--once", str(blocked), "--timeout", "0.3"], b"x" * 300_000, str(blocked)),
        ):
            found, (told,) = await outcome(*arguments, stdin=stdin)
            assert found["exit"] == code
            assert found["problem"] == told
            assert found["problem"].isprintable()
            assert (found["peer"], found["messages"]) == (peer, 0)


@pytest.mark.parametrize("where", ["before there is a link", "with a link", "at the keyboard"])
async def test_as_json_an_interrupt_is_one_object_too(where: str) -> None:
    async with peer_listener() as (peer, listener), running(
        "--once", str(peer), *([] if "keyboard" in where else ["hi"]), "--json",
        stderr=subprocess.PIPE,
    ) as program:  # fmt: skip
        if where == "at the keyboard":
            await program.say("x" * 200_000)  # more than a pipe holds: it reads
        elif where == "with a link":
            await answer(listener)
        else:
            Peer(await listener.accept())
        assert await program.end(signal.SIGINT) == 130
        found = json.loads(await program.output.rest())
        assert (found["exit"], found["problem"]) == (130, "A signal ended it.")
        assert await program.errors.rest() == ""


async def test_as_json_a_standard_output_that_takes_nothing_exits_1() -> None:
    async with listening_node() as node:
        for redirection, code, told in (
            (">&-", 1, ["There is no standard output to write to."]),
            ("| true", 0, []),
            (">/dev/full", 1, ["Standard output takes no more: No space left on device."]),
        ):
            done = await trio.run_process(
                ["sh", "-c", f'"$0" -m fantom_trio --json --once "$1" hi {redirection}',
                 sys.executable, str(node.listener)],
                env=environment(), capture_stdout=True, capture_stderr=True, check=False,
            )  # fmt: skip
            assert (done.returncode, done.stdout) == (code, b"")
            assert sentences(done)[1:] == told
            assert await next_texts(node, 1) == ["hi"]
