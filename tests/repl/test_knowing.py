"""Knowing who it is: invites, codes and words, typed on two screens."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from fantom_trio.nursery import MAX_TRIES, Endpoint, Invite
from fantom_trio.repl.app import App
from tests.nursery import ends
from tests.nursery.ends import peer_listener
from tests.repl.paper import Paper, chat, connected, visitor
from tests.repl.test_native import couple, where

RED = "\x1b[31m"
CODE = re.compile(
    r"compare these eight digits with (\S+) by another way, e\.g\. on the phone: (\d{4} \d{4}) —"
    r" /verify (\d) yes if they are the same, /verify \d no if not\n"
)
KNOWN = "native link, verified"


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[App, Paper, App, Paper]]:
    """Alice and Bob, who call each other so."""
    async with couple() as (alice_app, alice, bob_app, bob):
        bob.enter("/name 1 alice")
        await bob.sees("Peer 1 is called alice from here on.")
        yield alice_app, alice, bob_app, bob


async def code_of(paper: Paper) -> str:
    await paper.until(lambda: CODE.search(paper.text) is not None)
    found = CODE.search(paper.text)
    assert found is not None
    paper.written = ""
    return found[2]


async def ask_both(alice: Paper, bob: Paper) -> None:
    alice.enter("/verify")
    await alice.sees("The code comes as soon as bob has typed /verify as well.")
    await bob.sees("alice wants to compare a code with you: /verify 1 shows it")
    bob.enter("/verify")
    assert await code_of(alice) == await code_of(bob)


# The code.


async def test_who_sees_the_same_code_and_says_so_marks_the_peer_verified() -> None:
    async with pair() as (_, alice, _, bob):
        bob.enter("before")
        await alice.sees("bob  before")
        await ask_both(alice, bob)
        assert (alice.prompt, bob.prompt) == ("1 bob ? ▸ ", "1 alice ? ▸ ")
        alice.enter("/verify yes")
        await alice.sees("bob is verified for as long as its program runs.")
        assert (alice.prompt, bob.prompt) == ("1 bob ✓ ▸ ", "1 alice ? ▸ ")
        bob.enter("/verify alice yes")
        await bob.sees("alice is verified for as long as its program runs.")
        assert bob.prompt == "1 alice ✓ ▸ "
        bob.enter("after")
        await alice.sees("bob  after")
        alice.enter("/history 2")
        await alice.sees("bob ?  before", "bob ✓  after")


async def test_a_wish_to_verify_asks_nothing_and_leaves_the_line_alone() -> None:
    async with pair() as (_, alice, _, bob):
        bob.line = "half a li"
        alice.enter("/verify --word")
        alice.whisper("swordfish")
        await bob.sees(
            "alice wants to compare a shared word with you: /verify 1 --word asks you for it"
        )
        assert (bob.line, bob.question) == ("half a li", "")


async def test_a_code_is_shown_again_until_it_is_answered() -> None:
    async with pair() as (_, alice, _, bob):
        alice.enter("/verify")
        bob.enter("/verify")
        code = await code_of(alice)
        alice.enter("/verify 1")
        assert await code_of(alice) == code
        alice.enter("/verify yes")
        await alice.sees("bob is verified for as long as its program runs.")
        for word in ("yes", "no"):
            alice.enter(f"/verify {word}")
            await alice.sees("There is no code to compare: /verify asks for one.")


async def test_who_sees_another_code_ends_the_link_and_nothing_dials_again() -> None:
    async with pair() as (alice_app, alice, _, bob):
        await ask_both(alice, bob)
        alice.enter("/verify no")
        await alice.until(lambda: "bob is gone: you closed the link\n" in alice.text)
        assert (
            "The codes differ: somebody may be between you and bob, and the link is closed; trust"
            " nothing that came over it, and ask for an invite by another way.\n"
        ) in alice.text
        assert f"{RED}The codes differ" in alice.written
        assert "could not be verified" not in alice.text
        assert alice.prompt == "1 bob ? offline ▸ "
        assert not alice_app.node.conversations[0].dialing
        await bob.until(lambda: "tries again" in bob.text)
        assert f"{RED}alice could not be verified" in bob.written
        await bob.sees(
            "alice is gone: it said goodbye",
            "alice could not be verified: the link ended before you both had compared the code;"
            " /verify 1 tries again as soon as they do",
        )


async def test_codes_are_compared_three_times_and_no_more() -> None:
    async with pair() as (_, alice, _, bob):
        for _try in range(MAX_TRIES):
            alice.enter("/verify")
            bob.enter("/verify")
            assert await code_of(alice) == await code_of(bob)
            for paper, name in ((alice, "bob"), (bob, "alice")):
                paper.enter("/verify yes")
                await paper.sees(f"{name} is verified for as long as its program runs.")
        alice.enter("/verify")
        await alice.sees(
            "You compared codes with bob too often: compare a word with /verify --word, or ask for"
            " an invite."
        )


async def test_another_than_the_active_peer_is_verified_by_number_or_name() -> None:
    async with pair() as (alice_app, alice, _, bob):
        await visitor(alice_app, 40001, "hi")
        await alice.shows(" +1 ")
        alice.enter("/switch 2")
        await alice.shows("2 [::1]:40001 classic ▸ ")
        bob.enter("/verify")
        await alice.sees("bob wants to compare a code with you: /verify 1 shows it")
        alice.enter("/verify 1")
        await code_of(alice)
        alice.enter("/verify bob yes")
        await alice.sees("bob is verified for as long as its program runs.")
        assert alice.prompt == "2 [::1]:40001 classic ▸ "


# The word.


async def test_who_has_the_same_word_is_verified_on_both_sides() -> None:
    async with pair() as (_, alice, _, bob):
        alice.enter("/verify --word")
        await alice.until(lambda: alice.question == "The word that you both know: ")
        alice.whisper(" swordfish ")
        await alice.sees("The word is compared as soon as bob has typed /verify --word as well.")
        bob.enter("/verify --word")
        bob.whisper("swordfish")
        await alice.sees("bob has the same word: verified for as long as its program runs")
        await bob.until(lambda: "alice has the same word: verified" in bob.text)
        assert (alice.prompt, bob.prompt) == ("1 bob ✓ ▸ ", "1 alice ✓ ▸ ")
        assert "swordfish" not in alice.text + bob.text


async def test_another_word_is_an_alarm_and_three_are_the_end() -> None:
    async with pair() as (_, alice, _, bob):
        for _try in range(MAX_TRIES):
            for paper, word in ((alice, "swordfish"), (bob, "goldfish")):
                paper.enter("/verify 1 --word")
                paper.whisper(word)
            for paper, name in ((alice, "bob"), (bob, "alice")):
                await paper.sees(
                    f"{name} could not be verified: the word is another one there, or somebody is"
                    " in between; /verify 1 --word tries again as soon as they do"
                )
        alice.enter("/verify --word")
        alice.whisper("goldfish")
        await alice.sees(
            "You compared words with bob too often: compare a code with /verify, or ask for an"
            " invite."
        )
        assert alice.prompt == "1 bob ? ▸ "


async def test_who_declines_to_give_the_word_sends_nothing() -> None:
    async with pair() as (_, alice, _, bob):
        alice.enter("/verify --word")
        alice.whisper(None)
        alice.enter("hello")
        await bob.until(lambda: "hello\n" in bob.text)
        assert alice.text == "you  hello\n"
        alice.enter("/verify --word")
        alice.whisper("  ")
        await alice.sees("A shared word has at least 1 letter and at most 256 bytes.")
        alice.enter("hello again")
        await bob.until(lambda: "hello again\n" in bob.text)
        assert "wants" not in bob.text


async def test_a_link_that_ends_while_the_word_is_typed_is_told() -> None:
    async with pair() as (_, alice, _, bob):
        alice.enter("/verify --word")
        await alice.until(lambda: bool(alice.question))
        bob.enter("/disconnect")
        await alice.sees("bob is gone: it said goodbye")
        alice.whisper("swordfish")
        await alice.sees("bob is not connected: /connect ADDRESS, and verify then.")


# Who cannot be verified.


@pytest.mark.parametrize("answer", ["", "yes", "no", "--word"])
async def test_a_classic_peer_cannot_be_verified(answer: str) -> None:
    async with chat() as (_, paper), peer_listener() as (at_bob, listener):
        await connected(paper, at_bob, listener, "bob")
        paper.enter(f"/verify {answer}")
        await paper.sees("bob speaks the classic link, which cannot be verified.")
        assert paper.question == ""


@pytest.mark.parametrize("answer", ["", "yes", "no", "--word"])
async def test_who_is_not_connected_cannot_be_verified(answer: str) -> None:
    async with pair() as (_, alice, _, _):
        alice.enter("/disconnect")
        await alice.sees("bob is gone: you closed the link")
        alice.enter(f"/verify {answer}")
        await alice.sees("bob is not connected: /connect ADDRESS, and verify then.")
        assert alice.question == ""


# Invites.


async def invite_from(paper: Paper, *further: str) -> str:
    """What ``/invite`` prints, alone on its line."""
    paper.enter("/invite")
    await paper.until(lambda: paper.text.endswith("\n".join(["", *further, ""])))
    intro, invite, *rest = paper.text.splitlines()
    assert intro.startswith("Give this to one person")
    assert rest == list(further)
    paper.written = ""
    return invite


HERE = "It works on this machine only."


async def test_an_invite_verifies_both_at_once() -> None:
    async with chat() as (alice_app, alice), chat() as (_, bob):
        invite = await invite_from(bob, HERE)
        assert invite == str(Invite.parse(invite))
        alice.enter(f"/connect {invite} as bob")
        await alice.sees(f"bob is here: {KNOWN}")
        await bob.sees(f"[::1]:{where(alice_app).port} connected to you: {KNOWN}")
        assert alice.prompt == "1 bob ✓ ▸ "
        bob.enter("welcome")
        await alice.sees("bob  welcome")
        alice.enter("/history 1")
        await alice.sees("bob ✓  welcome")


async def test_an_invite_that_a_mail_program_broke_works_all_the_same() -> None:
    async with chat() as (_, alice), chat() as (_, bob):
        invite = await invite_from(bob, HERE)
        alice.enter(f"/connect <{invite[:40]} {invite[40:]}> as bob")
        await alice.sees(f"bob is here: {KNOWN}")


async def test_an_invite_to_somebody_who_is_connected_already_verifies_them() -> None:
    async with couple() as (_, alice, _, bob):
        invite = await invite_from(bob, HERE)
        alice.enter(f"/connect {invite} as robert")
        await alice.until(lambda: f"robert is here: {KNOWN}" in alice.text)
        assert alice.prompt == "1 robert ✓ ▸ "
        await bob.shows("✓ ▸ ")


async def test_a_second_person_with_an_invite_is_turned_away_and_both_are_told() -> None:
    async with (
        chat() as (_, alice),
        chat() as (_, mallory),
        chat() as (_, bob),
    ):
        invite = await invite_from(bob, HERE)
        alice.enter(f"/connect {invite}")
        await alice.shows("✓ ▸ ")
        bob.written = ""
        mallory.enter(f"/connect {invite} as bob")
        at_bob = Invite.parse(invite).endpoint
        await mallory.until(lambda: "lets in" in mallory.text)
        await mallory.sees(
            f"{at_bob} lets in only the invited, and your invite, if you have one, was used by"
            " somebody else or revoked: ask your peer for a new one."
        )
        await bob.until(lambda: "turned away" in bob.text)
        assert bob.text.endswith(
            " was turned away: its invite was revoked, or used by somebody else before\n"
        )
        assert RED in bob.written
        assert mallory.prompt == "(nobody) ▸ "


async def test_revoked_invites_let_nobody_in_and_are_counted() -> None:
    async with chat() as (_, alice), chat() as (_, bob):
        invite = await invite_from(bob, HERE)
        bob.enter("/invite off")
        await bob.sees("1 invite is revoked; whoever it let in stays.")
        await invite_from(bob, HERE)
        await invite_from(bob, HERE)
        bob.enter("/invite off")
        await bob.sees("2 invites are revoked; whoever they let in stays.")
        alice.enter(f"/connect {invite}")
        await alice.until(lambda: "lets in only the invited" in alice.text)


async def test_an_invite_needs_a_listener() -> None:
    async with chat() as (_, paper):
        paper.enter("/listen off")
        await paper.sees("Nobody can dial you now; open links stay open.")
        paper.enter("/invite")
        await paper.sees("Nobody can dial you, with an invite or without: /listen first.")


async def test_an_invite_for_one_network_says_where_the_interface_goes() -> None:
    async with chat() as (app, paper):
        app.node._links.listener = Endpoint("fe80::1", 31488, "eth0")
        invite = await invite_from(
            paper,
            "It works on this network only, and your peer puts their own interface into it:"
            " fantom://[fe80::1%eth0]…",
        )
        assert invite.startswith("fantom://[fe80::1]:31488/")


async def test_an_invite_for_the_internet_needs_no_more_words() -> None:
    async with chat(columns=40) as (app, paper):
        app.node._links.listener = Endpoint("2001:db8::5")
        paper.enter("/invite")
        await paper.until(lambda: "fantom://" in paper.text)
        assert re.search(
            r"\nfantom://\[2001:db8::5\]:31488/[a-z2-7]{32}\.[a-z2-7]{16}\n$", paper.text
        )


async def test_too_many_invites_are_told_how_to_get_rid_of_them() -> None:
    async with chat() as (app, paper):
        for _ in range(256):
            app.node.invite(where(app))
        paper.enter("/invite")
        await paper.sees(
            "Too many invites are open: /invite off revokes them, and then make a new one."
        )


async def test_an_invite_that_somebody_else_answers_sends_nothing() -> None:
    async with chat() as (_, alice), chat() as (_, bob), chat() as (eve_app, eve):
        invite = replace(Invite.parse(await invite_from(bob, HERE)), endpoint=where(eve_app))
        alice.enter(f"/connect {invite} as bob")
        await alice.sees(
            f"Somebody else answers at {where(eve_app)} than the one you mean: nothing was sent;"
            " ask your peer for a new invite. /connect ADDRESS meets whoever is there."
        )
        assert alice.prompt == "(nobody) ▸ "
        assert eve.prompt == bob.prompt == "(nobody) ▸ "


async def test_an_invite_that_a_classic_peer_answers_is_not_taken_for_a_link() -> None:
    async with chat() as (_, alice), chat() as (_, bob), peer_listener() as (at_eve, listener):
        invite = replace(Invite.parse(await invite_from(bob, HERE)), endpoint=at_eve)
        alice.enter(f"/connect {invite} as bob")
        peer = await ends.answer(listener)
        await alice.sees(
            f"{at_eve} answers as a classic peer, so that nobody can check who it is: nothing was"
            " sent; ask your peer for a new invite. /connect ADDRESS meets whoever is there."
        )
        assert await peer.read_end() == b""


async def test_a_damaged_invite_is_told_without_its_token() -> None:
    async with chat() as (_, alice), chat() as (_, bob):
        invite = await invite_from(bob, HERE)
        alice.enter(f"/connect {invite[:-1]}")
        address = invite.rpartition("/")[0]
        await alice.sees(
            f"“{address}/…” is a damaged invite: copy all of it again, or ask your peer for a new"
            " one."
        )


async def test_the_own_invite_is_for_others() -> None:
    async with chat() as (app, paper):
        invite = await invite_from(paper, HERE)
        paper.enter(f"/connect {invite}")
        await paper.sees(f"{where(app)} is your own address: ask your peer for theirs.")


async def test_a_name_for_an_invited_peer_is_its_own_again() -> None:
    async with chat() as (_, alice), chat() as (_, bob):
        invite = await invite_from(bob, HERE)
        for _try in range(2):
            alice.enter(f"/connect {invite} as bob")
            await alice.until(lambda: "bob is here" in alice.text)
        await alice.sees("bob is connected already")
        alice.enter("/connect [2001:db8::7] as bob")
        await alice.sees("Peer 1 is called bob already.")
