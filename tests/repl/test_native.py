"""Two of ours on one screen each: marks, states, breaks, strangers, and one peer met twice."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from fantom_trio.nursery import (
    Conversation,
    Ending,
    Endpoint,
    Limits,
    Merged,
    Node,
    Received,
    Why,
    open_node,
)
from fantom_trio.nursery.conversation import ConversationKey
from fantom_trio.repl.app import App
from tests.nursery.ends import LOOPBACK, answer, next_event
from tests.repl.paper import Paper, chat, choose, tell, visitor

NEW = "native link, not verified (/verify)"


def where(app: App) -> Endpoint:
    assert app.node.listener is not None
    return app.node.listener


async def meet(alice: Paper, bob_app: App, name: str = "bob") -> None:
    """Alice dials Bob and calls him so."""
    alice.enter(f"/connect {where(bob_app)} as {name}")
    await alice.sees(f"{name} is here: {NEW}")


@asynccontextmanager
async def couple(limits: Limits | None = None) -> AsyncIterator[tuple[App, Paper, App, Paper]]:
    """Alice and Bob with a native link between them."""
    async with chat(limits) as (alice_app, alice), chat(limits) as (bob_app, bob):
        await meet(alice, bob_app)
        await bob.sees(
            f"[::1]:{where(alice_app).port} connected to you: {NEW}; to answer: /switch 1"
        )
        await choose(bob, 1)
        await bob.sees(f"── 1 [::1]:{where(alice_app).port} {'─' * 20}")
        yield alice_app, alice, bob_app, bob


@asynccontextmanager
async def quiet_peer(app: App) -> AsyncIterator[tuple[Node, Conversation]]:
    """A node without a screen that dialed the program, acknowledges nothing and hears nothing."""
    async with open_node(own_port=0, acknowledge=False) as node:
        await node.listen(LOOPBACK)
        node.connect(where(app))
        while not (node.conversations and node.conversations[0].online):
            await node.events.receive()
        yield node, node.conversations[0]


@asynccontextmanager
async def listening(endpoint: Endpoint) -> AsyncIterator[trio.SocketListener]:
    """A listening socket where a node listened before."""
    sock = trio.socket.socket(trio.socket.AF_INET6)
    sock.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_REUSEADDR, 1)
    await sock.bind((endpoint.host, endpoint.port))
    sock.listen()
    async with trio.SocketListener(sock) as listener:
        yield listener


def break_link(app: App) -> None:
    """No goodbye, as when a cable is pulled; this side dials no more."""
    peer = app.node.conversations[0]
    peer.endpoint = None
    for session in peer.sessions:
        session.connection.end(Ending(Why.LOST))


# The link.


async def test_two_of_ours_talk_over_one_link_and_both_prompts_say_that_it_is_not_verified() -> (
    None
):
    async with couple() as (alice_app, alice, _, bob):
        port = where(alice_app).port
        assert alice.prompt == "1 bob ? ▸ "
        assert bob.prompt == f"1 [::1]:{port} ? ▸ "
        alice.enter("hello")
        await bob.sees(f"[::1]:{port}  hello")
        bob.enter("hi!\ntwo lines")
        await alice.sees("you  hello", "bob  hi!", f"{'':11}two lines")


async def test_the_history_says_what_was_delivered_and_what_came_unverified() -> None:
    async with couple() as (_, alice, _, bob):
        alice.enter("hello")
        await bob.until(lambda: "hello" in bob.text)
        bob.enter("hi!\ntwo lines")
        await alice.until(lambda: "two lines" in alice.text)
        await alice.until(lambda: "undelivered" not in alice.toolbar)
        alice.enter("/history")
        await alice.sees(
            f"bob is here: {NEW}", "you  hello (delivered)", "bob ?  hi!", f"{'':13}two lines"
        )


async def test_what_the_peer_has_not_acknowledged_is_counted_and_stays_sent() -> None:
    async with chat() as (app, paper), quiet_peer(app) as (node, conversation):
        await paper.shows(" 1 ")
        await choose(paper, 1)
        for text in ("one", "two", "three"):
            paper.enter(text)
        await paper.until(lambda: "you  three" in paper.text)
        received: list[str] = []
        while len(received) < 3:
            event = await next_event(node, Received)
            received += [message.text for message in event.messages]
            last = event.messages[-1]
        assert "  3 undelivered" in paper.toolbar
        paper.enter("/history")
        await paper.sees("you  one (sent)", "you  two (sent)", "you  three (sent)")
        paper.enter("/peers")
        await paper.until(lambda: "not verified · 3 undelivered · last message" in paper.text)
        node.handed_over(conversation, last)
        await paper.until(lambda: "undelivered" not in paper.toolbar)
        paper.enter("/history 2")
        await paper.sees("you  two (delivered)", "you  three (delivered)")


async def test_a_line_that_is_too_much_for_a_native_peer_comes_back() -> None:
    limits = Limits(outbox_messages=2)
    async with chat(limits) as (app, paper), quiet_peer(app):
        await paper.shows(" 1 ")
        await choose(paper, 1)
        paper.enter("/name 1 bob")
        for text in ("one", "two", "three"):
            paper.enter(text)
        await paper.sees("2 messages wait for bob already: this one was not taken.")
        assert paper.line == "three"


async def test_peers_are_listed_with_their_link_and_whether_they_are_verified() -> None:
    async with couple() as (alice_app, alice, bob_app, bob):
        alice.enter("/peers")
        await alice.sees(f"1 bob · {where(bob_app)} · native link · not verified")
        alice_app.node.conversations[0].identity.verified = True  # type: ignore[union-attr]
        alice.enter("/disconnect")
        await alice.sees("bob is gone: you closed the link")
        assert alice.prompt == "1 bob ✓ offline ▸ "
        alice.enter("/peers")
        await alice.sees(f"1 bob · {where(bob_app)} · native link · offline · verified")
        await bob.sees(f"[::1]:{where(alice_app).port} is gone: it said goodbye")


async def test_what_is_written_to_a_peer_that_is_offline_goes_out_on_a_new_link() -> None:
    async with couple() as (alice_app, alice, _, bob):
        alice.enter("/disconnect")
        await alice.sees("bob is gone: you closed the link")
        alice.enter("are you there?")
        await bob.sees(f"[::1]:{where(alice_app).port}  are you there?")
        await alice.shows("1 bob ? ▸ ")


# Breaks.


async def test_a_link_that_breaks_is_dialed_again_and_that_is_told_once() -> None:
    limits = Limits(first_pause=0.01)
    async with couple(limits) as (_, alice, bob_app, _):
        break_link(bob_app)
        again = f"connecting to {where(bob_app)} again until bob is there … /disconnect to give up"
        await alice.until(lambda: f"bob is here: {NEW}\n" in alice.text)
        assert sorted(alice.text.splitlines()) == [
            "bob is gone: the connection broke", f"bob is here: {NEW}", again,
        ]  # fmt: skip
        assert alice.prompt == "1 bob ? ▸ "


async def test_dialing_again_scrolls_nothing_and_ends_with_disconnect() -> None:
    limits = Limits(first_pause=0.001, longest_pause=0.002, retry_pauses=())
    async with couple(limits) as (alice_app, alice, bob_app, bob):
        at_bob = where(bob_app)
        bob.enter("/listen off")
        await bob.sees("Nobody can dial you now; open links stay open.")
        break_link(bob_app)
        await alice.until(lambda: " again until bob is there" in alice.text)
        await alice.until(lambda: "is gone" in alice.text)
        alice.written = ""
        assert alice.prompt == "1 bob ? offline ▸ "
        async with listening(at_bob) as listener:
            for _ in range(20):
                await (await listener.accept()).aclose()
        assert alice.text == ""
        alice.enter("/peers")
        await alice.sees(f"1 bob · {at_bob} · native link · connecting · not verified")
        alice.enter("/disconnect")
        await alice.sees(f"Gave up connecting to {at_bob}.")
        assert not alice_app.node.conversations[0].dialing


async def test_who_quits_says_goodbye_and_is_not_dialed_again() -> None:
    async with chat() as (alice_app, alice):
        async with chat() as (bob_app, bob):
            await meet(alice, bob_app)
            await bob.shows(" 1 ")
            await choose(bob, 1)
            bob.enter("the last word")
            bob.enter("/quit")
            await bob.until(lambda: "the last word" in bob.text)
        await alice.sees("bob  the last word", "bob is gone: it said goodbye")
        assert alice.prompt == "1 bob ? offline ▸ "
        assert not alice_app.node.conversations[0].dialing


# Who it is.


async def test_a_new_peer_at_a_known_address_is_told_as_a_stranger() -> None:
    async with chat() as (_, alice):
        async with chat() as (bob_app, _):
            await meet(alice, bob_app)
            at_bob = where(bob_app)
        await alice.sees("bob is gone: it said goodbye")
        async with chat() as (eve_app, eve):
            await eve_app.node.stop_listening()
            await eve_app.own.listen(at_bob)
            alice.enter("for bob alone")
            await alice.sees(
                "you  for bob alone",
                f"connecting to {at_bob} … /disconnect to give up",
                f"Somebody else answers at {at_bob} than the one you mean: nothing was sent; ask"
                " your peer for a new invite. /connect ADDRESS meets whoever is there."
                " 1 message stays queued.",
            )
            alice.enter(f"/connect {at_bob}")
            await alice.until(lambda: "stranger" in alice.text)
            assert "\x1b[31m2 [::1]" in alice.written
            await alice.sees(
                f"2 [::1]:{at_bob.port} is not the 1 bob you knew: a stranger is at this address"
                f" now, {NEW}"
            )
            assert alice.prompt == "1 bob ? offline ▸ "
            await eve.until(lambda: "connected to you" in eve.text)
            await choose(eve, 1)
            assert "for bob alone" not in eve.text


async def test_a_classic_peer_at_a_known_address_gets_nothing_that_was_meant_for_another() -> None:
    async with chat() as (_, alice):
        async with chat() as (bob_app, _):
            await meet(alice, bob_app)
            at_bob = where(bob_app)
        await alice.sees("bob is gone: it said goodbye")
        async with listening(at_bob) as listener:
            alice.enter("for bob alone")
            peer = await answer(listener)
            await alice.until(lambda: "1 message stays queued." in alice.text)
            assert f"{at_bob} answers as a classic peer, so that nobody" in alice.text
            assert await peer.read_end() == b""


async def test_a_peer_who_is_met_at_another_address_is_the_same_conversation() -> None:
    async with chat() as (alice_app, alice), chat() as (bob_app, bob):
        alice.line = "half a li"
        bob.enter(f"/connect {where(alice_app)} as alice")
        await bob.sees(f"alice is here: {NEW}")
        bob.enter("hi")
        await alice.shows("+1")
        await bob_app.own.listen(LOOPBACK)
        assert alice.prompt == "(nobody) ▸ "
        alice.enter(f"/connect {where(bob_app)} as robert")
        await alice.until(lambda: "robert  hi" in alice.text)
        text = re.sub("[0-9]{5}", "PORT", alice.text)
        assert "2 robert is the peer you know as 1 robert: all goes on there\n── 1 robert" in text
        assert alice.prompt == "1 robert ? ▸ "
        assert "+" not in alice.toolbar
        alice.enter("hello")
        await bob.sees("alice  hello")


async def test_a_line_for_a_conversation_that_went_on_in_another_goes_there() -> None:
    async with couple() as (alice_app, alice, _, bob):
        (known,) = alice_app.node.conversations
        gone = Conversation(ConversationKey("2001:db8::7", 0), 2, Limits(), name="robert")
        alice_app.active = gone
        await tell(alice_app, Merged(gone, known))
        assert alice_app.active is known
        await alice.sees(
            "2 robert is the peer you know as 1 bob: all goes on there", f"── 1 bob {'─' * 20}"
        )
        alice.enter("hello", to=gone)
        await bob.until(lambda: "hello\n" in bob.text)
        assert alice.line == ""
        alice.enter("/history 2")
        await alice.sees(
            "2 robert is the peer you know as 1 bob: all goes on there", "you  hello (delivered)"
        )


async def test_another_conversation_that_went_on_elsewhere_changes_nothing_for_the_active() -> None:
    async with couple() as (alice_app, alice, _, _):
        (known,) = alice_app.node.conversations
        await visitor(alice_app, 40001, "hi")
        await alice.shows("+1")
        alice.enter("/switch 2")
        await alice.shows("2 [::1]:40001 classic ▸ ")
        alice.written = ""
        gone = Conversation(ConversationKey("2001:db8::7", 0), 3, Limits())
        await tell(alice_app, Merged(gone, known))
        await alice.sees("3 [2001:db8::7] is the peer you know as 1 bob: all goes on there")
        assert alice.prompt == "2 [::1]:40001 classic ▸ "


@pytest.mark.parametrize("way", ["name", "number"])
async def test_two_peers_at_one_address_are_told_apart_by_their_numbers(way: str) -> None:
    async with couple() as (alice_app, alice, _, _):
        twins = [Conversation(ConversationKey("2001:db8::7", 0), n, Limits()) for n in (7, 8)]
        alice_app.node._book._by_number |= {each.number: each for each in twins}
        if way == "number":
            alice.enter("/switch 8")
            await alice.shows("8 [2001:db8::7] offline ▸ ")
        else:
            alice.enter("/switch [2001:db8::7]")
            await alice.sees("“[2001:db8::7]” could be: 7 [2001:db8::7], 8 [2001:db8::7].")
