"""``--once`` as a script uses it: real processes, their exit codes and what they print."""

import functools
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

from tests.nursery.ends import PATIENCE, Peer, answer, listening_node, next_texts, peer_listener

PROGRAM = [sys.executable, "-m", "fantom_trio"]


async def once(
    *arguments: str,
    options: Sequence[str] = (),
    stdin: bytes = b"",
    env: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run ``--once`` to its end; nothing ever stands on stdout."""
    with trio.fail_after(PATIENCE):
        done: subprocess.CompletedProcess[bytes] = await trio.run_process(
            [*PROGRAM, *options, "--once", *arguments],
            stdin=stdin,
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            env={**os.environ, "LANG": "C.UTF-8", "XDG_CONFIG_HOME": "/nonexistent", **(env or {})},
        )
    assert done.stdout == b""
    return done


def sentence(done: subprocess.CompletedProcess[bytes]) -> str:
    """The one line on stderr."""
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("fantom-trio: ")
    return line.removeprefix("fantom-trio: ")


async def test_a_line_from_a_pipe_is_shown_at_the_peer_and_exits_0() -> None:
    async with listening_node() as node:
        done = await once(str(node.listener), stdin=b"hi\n")
        assert done.returncode == 0
        assert sentence(done).startswith(f"Delivered to {node.listener}: a classic peer")
        assert await next_texts(node, 1) == ["hi"]


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
    done = await once(str(where), "hi", env={"LANG": "ru_RU.UTF-8"})
    assert done.returncode == 3
    assert "Никто не" in sentence(done)


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


@pytest.mark.parametrize(
    "arguments", [["--x\x1b[2J"], ["foo\x1b[2J"], ["--port", "80"], ["--address", "::", "--demo"]]
)
async def test_a_wrong_option_is_one_sentence_that_can_only_be_read(arguments: list[str]) -> None:
    done = await trio.run_process([*PROGRAM, *arguments], capture_stderr=True, check=False)
    assert done.returncode == 2
    assert sentence(done).isprintable()
