"""The whole program as people use it: real processes, each in a pseudo-terminal, on ``::1``."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.person import CTRL_C, CTRL_D, Person
from tests.system.user import PROGRAM, Sit, free_port


def test_the_demo_echoes_at_once_and_quit_restores_the_terminal(sit: Sit) -> None:
    user = sit("demo", "--demo")
    user.sees(re.escape("echo is here: native link, not verified (/verify)"))
    user.until(lambda: user.prompt.startswith("1 echo ? ▸"))
    user.enter("hello")
    user.sees("you  hello")
    user.sees("echo  hello")
    user.quit()


def test_two_people_talk_on_one_link(sit: Sit) -> None:
    alice, bob = sit("alice"), sit("bob")
    alice.until(lambda: alice.prompt == "(nobody) ▸")
    alice.enter(f"/connect {bob.address} as bob")
    alice.sees(re.escape(f"connecting to {bob.address} … /disconnect to give up"))
    alice.sees(re.escape("bob is here: native link, not verified (/verify)"))
    alice.until(lambda: alice.prompt == "1 bob ? ▸")
    alice.enter("hello bob")
    alice.sees("you  hello bob")
    bob.sees(re.escape(f"{alice.address} connected to you: native link"))
    bob.until(lambda: f" 1 {alice.address} +1 " in bob.toolbar)
    bob.enter("hello whoever you are")
    bob.sees(re.escape(f"No peer is active: /switch 1 to talk with {alice.address}."))
    bob.until(lambda: bob.prompt == "(nobody) ▸ hello whoever you are")
    bob.type("\x1b1")  # Alt-1 leaves the line as it is
    bob.sees(re.escape(f"{alice.address}  hello bob"))
    bob.until(lambda: bob.prompt == f"1 {alice.address} ? ▸ hello whoever you are")
    bob.enter("")
    alice.sees("bob  hello whoever you are")
    bob.enter("/name 1 alice")
    bob.until(lambda: bob.prompt == "1 alice ? ▸")
    bob.enter("привет, alice 👋")
    alice.sees("bob  привет, alice 👋")
    alice.enter("/peers")
    alice.sees(re.escape(f"1 bob · {bob.address} · native link · not verified"))
    alice.enter("/history")
    alice.until("hello bob (delivered)")
    alice.quit()
    bob.sees("alice is gone: it said goodbye")
    bob.quit()


def test_switching_keeps_two_peers_apart(sit: Sit) -> None:
    alice, bob, carol = sit("alice"), sit("bob"), sit("carol")
    alice.enter(f"/connect {bob.address} as bob")
    alice.sees("bob is here")
    alice.enter(f"/connect {carol.address} as carol")
    alice.sees("carol is here")
    alice.until(lambda: alice.prompt == "1 bob ? ▸")  # nothing but the user changes it
    for each in (bob, carol):
        each.until("to answer: /switch 1")
        each.enter("/switch 1")
        each.until("? ▸")
    alice.enter("for bob only")
    bob.until("for bob only")
    alice.enter("/switch carol")
    alice.until("── 2 carol")
    alice.until(lambda: alice.prompt == "2 carol ? ▸")
    alice.enter("for carol only")
    carol.until("for carol only")
    bob.enter("from bob, unread")
    alice.until(lambda: " 1 bob +1 " in alice.toolbar)
    carol.enter("from carol, seen")
    alice.sees("carol  from carol, seen")
    assert "from bob" not in alice.text
    alice.type("half a li\x1b1")  # Alt-1 in the middle of typing
    alice.until("── 1 bob")
    alice.sees("bob  from bob, unread")
    alice.until(lambda: alice.prompt == "1 bob ? ▸ half a li")
    alice.type("ne\r")
    bob.until("half a line")
    for user, other in ((bob, "carol only"), (carol, "bob only"), (carol, "half a line")):
        user.enter("/history")
        user.sees("you  ")
        assert other not in user.text
    assert "+" not in alice.toolbar


def test_languages_change_what_is_on_the_screen_and_are_remembered(
    sit: Sit, tmp_path: Path
) -> None:
    user = sit("user")
    user.enter("/lang ru")
    user.until(lambda: user.prompt == "(никто) ▸" and user.toolbar.strip() == "ru")
    user.enter("привет")
    user.until("/connect")
    assert "Nobody" not in user.text
    user.type(CTRL_C)
    user.enter("/lang sindarin")
    user.until(lambda: user.toolbar.strip() == "sindarin")
    assert "никто" not in user.prompt
    assert "nobody" not in user.prompt
    user.quit()
    written = [p for p in (tmp_path / "user").rglob("*") if p.is_file()]
    names = {str(p.relative_to(tmp_path / "user")) for p in written} - {"before", "after"}
    assert names == {"config/fantom-trio/language"}
    again = Person(tmp_path / "user", [*PROGRAM, "--loopback", "--port", str(user.port)])
    again.until("▸")
    again.until(lambda: again.text.endswith("sindarin"))
    again.close()


def test_a_killed_peer_is_told_within_a_second_and_comes_back_as_a_stranger(sit: Sit) -> None:
    alice, bob = sit("alice"), sit("bob")
    alice.enter(f"/connect {bob.address} as bob")
    alice.sees("bob is here")
    alice.enter("before")
    bob.until("to answer: /switch 1")
    bob.enter("/switch 1")
    bob.until("before")
    bob.enter("answer")
    alice.sees("bob  answer")
    os.kill(bob.pid, signal.SIGKILL)
    start = time.monotonic()
    alice.sees("bob is gone: (it closed the link|the connection broke)")
    assert time.monotonic() - start < 1
    alice.until(lambda: alice.prompt == "1 bob ? offline ▸")
    bob.until("[exit 137]")
    alice.enter("for the old bob alone")
    again = Person(bob.home, [*PROGRAM, "--loopback", "--port", str(bob.port)], columns=100)
    again.until("Listening on")
    alice.sees("Somebody else answers")  # dialed again by itself, and nothing was given away
    alice.enter(f"/connect {bob.address} as newcomer")
    alice.until("a stranger is at this address now")
    alice.enter("/history")
    alice.until("old bob alone (waiting)")  # its last line
    history = alice.text[alice.text.rindex("── 1 bob") :]
    assert re.findall(r"(before|answer|is gone|old bob alone \(waiting\))", history) == [
        "before", "answer", "is gone", "old bob alone (waiting)",
    ]  # fmt: skip
    alice.until(lambda: alice.prompt == "1 bob ? offline ▸")  # nothing but the user changes it
    alice.enter("/switch newcomer")
    alice.until(lambda: alice.prompt == "2 newcomer ? ▸")
    alice.enter("who are you?")
    again.until("to answer: /switch 1")
    again.type("\x1b1")
    again.until("who are you?")
    assert "for the old bob" not in again.text
    again.close()


def test_a_line_from_a_pipe_is_shown(sit: Sit) -> None:
    user = sit("user")
    done = subprocess.run(
        [*PROGRAM, "--once", user.address],
        input=b"hi\n",
        capture_output=True,
        check=False,
        timeout=20,
    )
    assert (done.returncode, done.stdout) == (0, b"")
    user.sees(r"\[::1\] is gone: it said goodbye")
    user.enter("/switch 1")
    user.sees(r"\[::1\]  hi")


def test_what_cannot_be_sent_comes_back_into_the_line(sit: Sit) -> None:
    user = sit("user")
    user.enter("into the void")
    user.sees("Nobody is there to get this: /connect ADDRESS first.")
    user.until(lambda: user.prompt == "(nobody) ▸ into the void")
    user.type(CTRL_C)
    user.enter("/connect 192.0.2.1")
    user.sees("“192.0.2.1” is an IPv4 address, and this is IPv6 only.")
    user.enter("/conect ::1")
    user.sees("There is no /conect. Did you mean /connect?")
    user.enter(f"/connect {user.address}")
    user.sees(re.escape(f"{user.address} is your own address: ask your peer for theirs."))
    user.type(CTRL_D)
    user.leave()


def test_a_slash_in_front_of_a_message_and_in_a_pasted_block(sit: Sit) -> None:
    user = sit("demo", "--demo")
    user.sees("echo is here")
    user.enter("//quit is no command here")
    user.sees("echo  /quit is no command here")
    user.paste("/quit\nnor here")
    user.until("nor here")
    user.type("\r")
    user.sees("echo  /quit\n +nor here")
    user.quit()


def test_a_port_in_use_is_one_sentence_with_a_way_out(sit: Sit) -> None:
    alice = sit("alice")
    (alice.home / "second").mkdir()
    bob = Person(
        alice.home / "second", [*PROGRAM, "--loopback", "--port", str(alice.port)], columns=100
    )
    bob.until(f"Port {alice.port} is in use, perhaps by another fantom-trio")
    port = free_port()
    bob.enter(f"/listen {port}")
    bob.until(f"Listening on [::1]:{port}")
    bob.enter("/listen off")
    bob.until("Nobody can dial you now")
    bob.enter("/listen 80")
    bob.until("The port must be between 30000 and 65535.")
    bob.close()


def test_hostile_text_reaches_the_screen_as_text(sit: Sit) -> None:
    user = sit("user")
    hostile = "\x1b[2J\x1b]0;owned\x07red\u202e\nalice  forged\r12:00 bob"
    subprocess.run([*PROGRAM, "--once", user.address, hostile], check=True, timeout=20)
    user.until("+1")
    user.enter("/switch 1")
    user.sees(
        r"\[::1\]  ‹U\+001B›\[2J‹U\+001B›\]0;owned‹U\+0007›red‹U\+202E›\n"
        r" {13}alice  forged‹U\+000D›12:00 bob"
    )
    assert b"owned\x07" not in user.seen
    assert b"\x1b[2J" not in user.seen


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_the_terminal_as_it_was(sit: Sit, number: signal.Signals) -> None:
    user = sit("demo", "--demo")
    user.type("half a line")
    user.until("half a line")
    os.kill(user.pid, number)
    user.leave(code=128 + number)
