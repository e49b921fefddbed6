"""Commands for the program itself, and what is drawn: bell, clipboard, QR code, an end at once."""

import math
import re
import subprocess
import sys

import pytest
from trio.testing import MockClock

from fantom_trio.nursery import Endpoint, Invite, LinkKind
from fantom_trio.repl import qr
from tests.nursery.ends import PATIENCE, settled_slots, slots_in_use
from tests.repl.paper import chat, guest, visitor
from tests.repl.test_native import couple

HERE = "It works on this machine only."
SGR = re.compile("\x1b\\[[0-9;]*m")
READER = """
import sys, zxingcpp
size = int(sys.argv[1]), int(sys.argv[2])
found = zxingcpp.read_barcode(memoryview(sys.stdin.buffer.read()).cast("B", size))
sys.stdout.write(found.text if found else "")
"""
#: Light is drawn: by cell, the brightness of the upper and the lower module.
MODULES = {"█": (255, 255), "▀": (255, 0), "▄": (0, 255), " ": (0, 0)}


def scanned(drawing: str, scale: int = 4) -> str:
    """What a reader makes of the drawing, as a camera sees it: on a dark screen."""
    rows: list[bytes] = []
    margin = 6 * scale
    for line in SGR.sub("", drawing).splitlines():
        for half in (0, 1):
            row = b"".join(bytes([MODULES[cell][half]]) * scale for cell in line)
            rows += [bytes(margin) + row + bytes(margin)] * scale
    rows = [bytes(len(rows[0]))] * margin + rows + [bytes(len(rows[0]))] * margin
    # In a process of its own: the library starts threads, and this one forks later.
    done = subprocess.run(
        [sys.executable, "-c", READER, f"{len(rows)}", f"{len(rows[0])}"],
        input=b"".join(rows), capture_output=True, timeout=PATIENCE, check=True,
    )  # fmt: skip
    return done.stdout.decode()


# Invites as pictures.


@pytest.mark.parametrize("host", ["::1", "2001:db8:1234:5678:9abc:def0:1234:5678"])
def test_a_drawn_invite_is_read_by_a_scanner(host: str) -> None:
    invite = str(Invite(Endpoint(host, 40000), bytes(range(20)), bytes(range(10))))
    drawing = qr.draw(invite)
    assert scanned(drawing.text) == invite
    lines = SGR.sub("", drawing.text).splitlines()
    assert {len(line) for line in lines} == {drawing.columns}
    assert (drawing.columns, drawing.rows) <= (41, 21)
    assert len(lines) == drawing.rows
    narrow = qr.draw(invite, 40)
    assert narrow.columns <= 40
    assert scanned(narrow.text) == invite


async def test_invite_qr_draws_the_invite_that_it_prints() -> None:
    async with chat(columns=80) as (_, paper):
        paper.enter("/invite --qr")
        await paper.until(lambda: "█\n" in paper.text)
        drawn = [
            line for line in SGR.sub("", paper.written).splitlines() if set(line) <= {*MODULES}
        ]
        printed = re.search("^fantom://.*$", paper.text, re.MULTILINE)
        assert printed is not None
        assert scanned("\n".join(drawn)) == printed[0]


@pytest.mark.parametrize("rows", [24, 23, 22])
async def test_the_picture_is_the_last_that_is_printed_and_on_the_screen_whole(rows: int) -> None:
    async with chat(columns=80) as (app, paper):
        app.node._links.listener = Endpoint("2001:db8:1234:5678:9abc:def0:1234:5678")
        paper.height = rows
        paper.enter("/invite --qr")
        await paper.until(lambda: "QR code" in paper.text or "█\n" in paper.text)
        assert "\nfantom://" in paper.text
        assert ("█" in paper.text) is (rows >= 23)
        if rows >= 23:
            assert set(SGR.sub("", paper.text).split("\n")[-22]) <= {*MODULES}


async def test_a_narrow_screen_gets_the_invite_without_its_picture() -> None:
    async with chat(columns=34) as (_, paper):
        paper.enter("/invite --qr")
        await paper.until(lambda: "QR code" in " ".join(paper.text.split()))
        assert "\nfantom://" in paper.text
        assert "█" not in paper.text
        assert "too small for the QR code" in " ".join(paper.text.split())


# The bell.


async def test_the_bell_rings_once_for_each_peer_who_is_not_looked_at() -> None:
    async with chat() as (app, paper):
        paper.enter("/bell")
        await paper.sees("The bell is off.")
        bob = await guest(app, paper, 40001, "hi")
        carol = await visitor(app, 40002, "silent")
        await paper.shows("2 [::1]:40002 +1")
        assert paper.rung == 0
        paper.enter("/switch 2")
        await paper.until(lambda: "silent" in paper.text)
        paper.enter("/bell on")
        await paper.until(lambda: "The bell rings once" in paper.text)
        await bob.say("one")
        await bob.say("two")
        await paper.shows("1 [::1]:40001 +2")
        await carol.say("to who looks")
        await paper.until(lambda: "to who looks" in paper.text)
        assert paper.rung == 1
        paper.enter("/switch 1")
        await paper.until(lambda: "two" in paper.text)
        await carol.say("ding")
        await paper.shows("2 [::1]:40002 +1")
        assert paper.rung == 2


async def test_strangers_ring_once_a_minute_however_many_they_are(mock_clock: MockClock) -> None:
    async with chat(patience=math.inf) as (app, paper):
        await guest(app, paper, 40001, "hi")
        paper.enter("/bell on")
        await paper.until(lambda: "The bell rings once" in paper.text)
        ports = iter(range(40002, 40010))

        async def comes() -> None:
            port = next(ports)
            await visitor(app, port, "look at me")
            await paper.shows(f"[::1]:{port} +1")

        await comes()
        await comes()
        assert paper.rung == 1
        mock_clock.jump(59.9)
        await comes()
        assert paper.rung == 1
        mock_clock.jump(0.2)
        await comes()
        assert paper.rung == 2


async def test_whom_the_user_knows_rings_beside_any_stranger(mock_clock: MockClock) -> None:
    async with chat(patience=math.inf) as (app, paper):
        await guest(app, paper, 40001, "hi")
        paper.enter("/bell on")
        await paper.until(lambda: "The bell rings once" in paper.text)
        bob, carol = [await visitor(app, port, "hello") for port in (40002, 40003)]
        await paper.shows("[::1]:40002 +1")
        await paper.shows("[::1]:40003 +1")
        assert paper.rung == 1
        for number, (peer, name) in enumerate([(bob, "bob"), (carol, "carol")], 2):
            conversation = app.node.conversations[number - 1]
            conversation.name, conversation.unread = name, 0
            await peer.say("it is me")
            await paper.shows(f"{number} {name} +1")
            assert paper.rung == number


# The screen.


async def test_the_address_in_use_goes_to_the_clipboard() -> None:
    async with chat() as (app, paper):
        paper.enter("/address")
        await paper.until(lambda: "clipboard" in paper.text)
        assert paper.copied == [str(app.node.listener)]
        paper.enter("/listen off")
        paper.enter("/address")
        await paper.until(lambda: "Nobody can dial you: /listen" in paper.text)
        assert len(paper.copied) == 1


async def test_clear_wipes_the_screen_and_keeps_the_conversations() -> None:
    async with chat() as (app, paper):
        await guest(app, paper, 40001, "kept")
        paper.enter("/clear")
        await paper.until(lambda: paper.done == ["clear"])
        said = app.node.conversations[0].history.last_said
        assert said is not None
        assert said.text == "kept"


async def test_burn_ends_everything_at_once_and_leaves_nothing() -> None:
    before = settled_slots()
    async with couple() as (app, alice, bob_app, bob):
        alice.enter("secret")
        await bob.until(lambda: "secret" in bob.text)
        peer = app.node.conversations[0]
        assert peer.kind is LinkKind.NATIVE
        alice.enter("/burn")
        await alice.until(lambda: alice.done == ["forget"])
        await bob.until(lambda: "is gone: " in bob.text)
        assert not app.node.conversations
        assert not len(peer.history)
        # No goodbye was said, so the other side does not know that it was meant.
        assert "it said goodbye" not in bob.text
        bob_app.stop()
    assert slots_in_use() == before
