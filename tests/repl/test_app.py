"""The two loops with a real node and hand-written peers, on a terminal made of paper."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked
from wcwidth import wcswidth

from fantom_trio.nursery import (
    Conversation,
    Endpoint,
    Limits,
    LinkKind,
    LinkUp,
    Message,
    NotShown,
    Received,
    Role,
    State,
    Where,
    open_node,
)
from fantom_trio.nursery.conversation import ConversationKey
from fantom_trio.repl import languages
from fantom_trio.repl.app import SHORTCUTS, App
from fantom_trio.repl.bounds import PRINTED_ROWS
from fantom_trio.repl.slash import COMMANDS
from tests.nursery.ends import PATIENCE, Peer, answer, peer_listener
from tests.repl.paper import Paper, chat, choose, connected, guest, tell, visitor

NOBODY = "(nobody) ▸ "
THERE = Endpoint("2001:db8::7", 40001)


@pytest.fixture(autouse=True)
def _english(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    yield
    languages.use("en")


# Whose turn it is.


async def test_a_stranger_never_gets_the_prompt_and_it_is_said_how_to_answer() -> None:
    async with chat() as (app, paper):
        assert paper.prompt == NOBODY
        peer = await visitor(app, 40001, "hi")
        await paper.shows(" 1 [::1]:40001 +1 ")
        assert paper.text == (
            "[::1]:40001 connected to you: classic link, the peer cannot be verified;"
            " to answer: /switch 1\n"
        )
        await peer.say("are you there?")
        await paper.shows(" 1 [::1]:40001 +2 ")
        assert paper.prompt == NOBODY
        paper.enter("/switch 1")
        await paper.sees("[::1]:40001  hi", "[::1]:40001  are you there?")
        assert paper.prompt == "1 [::1]:40001 classic ▸ "
        assert "+" not in paper.toolbar


async def test_whom_the_user_dials_first_becomes_active_also_where_a_stranger_waits() -> None:
    async with chat() as (app, paper), peer_listener() as (where, listener):
        await visitor(app, 40001, "hi")
        await paper.shows(" 1 [::1]:40001 +1 ")
        await connected(paper, where, listener, "bob")
        assert paper.prompt == "2 bob classic ▸ "


async def test_while_something_is_typed_not_even_somebody_known_becomes_active() -> None:
    async with chat() as (app, paper):
        paper.line = "half a li"
        peer = await visitor(app, 40001, "hi")
        await paper.shows(" 1 [::1]:40001 +1 ")
        app.node.conversations[0].name = "bob"
        await peer.say("it is me")
        await paper.shows(" 1 bob +2 ")
        assert paper.prompt == NOBODY
        paper.line = ""
        await peer.say("are you there?")
        await paper.sees("bob  are you there?")
        assert paper.prompt == "1 bob classic ▸ "


async def test_a_line_while_nobody_is_active_comes_back_and_says_whom_to_choose() -> None:
    async with chat() as (app, paper):
        await visitor(app, 40001, "hi")
        await paper.shows("[::1]:40001 +1 ")
        paper.enter("hello?")
        await paper.sees("No peer is active: /switch 1 to talk with [::1]:40001.")
        assert paper.line == "hello?"
        for port in range(40002, 40006):
            await visitor(app, port, "hi")
            await paper.shows(f"[::1]:{port} +1 ")
        app.node.conversations[3].name = "bob"
        app.node.conversations[0].unread = 0
        paper.enter("hello?")
        await paper.sees(
            "No peer is active: /switch PEER to talk with one of them: 4 bob, 2 [::1]:40002,"
            " 3 [::1]:40003, … 2 more."
        )
        assert paper.line == "hello?"


async def test_others_only_raise_their_counter() -> None:
    async with chat() as (app, paper):
        await guest(app, paper, 40001, "from one")
        two = await visitor(app, 40002, "from two")
        await paper.shows(" 2 [::1]:40002 +1 ")
        await two.say("again", "and again")
        await paper.shows(" 2 [::1]:40002 +3 ")
        two.close()
        await paper.sees("[::1]:40002 is gone: it closed the link")
        assert "from two" not in paper.text
        assert paper.prompt == "1 [::1]:40001 classic ▸ "


async def test_a_failed_first_connect_leaves_nobody_active() -> None:
    async with chat() as (app, paper):
        async with peer_listener() as (where, _):
            pass
        paper.enter(f"/connect {where} as bob")
        await paper.sees(f"Nobody listens at {where}: check the port, and that your peer is there.")
        await paper.shows(NOBODY)
        assert app.node.conversations == []
        await guest(app, paper, 40001, "hi")


async def test_a_failed_connect_keeps_a_line_that_waits() -> None:
    async with chat() as (_, paper), peer_listener() as (where, listener):
        peer = await connected(paper, where, listener, "bob")
        peer.close()
        await listener.aclose()
        await paper.sees("bob is gone: it closed the link")
        paper.enter("keep this")
        await paper.sees(
            f"Nobody listens at {where}: check the port, and that your peer is there."
            " 1 message waits: write another to try again, or /connect ADDRESS."
        )
        assert paper.prompt == "1 bob offline ▸ "
        assert "  1 undelivered" in paper.toolbar


async def test_a_first_connect_that_is_given_up_leaves_nobody_active() -> None:
    async with chat() as (app, paper), peer_listener() as (where, _):
        paper.enter(f"/connect {where} as bob")
        await paper.sees(f"connecting to {where} … /disconnect to give up")
        assert paper.prompt == "1 bob offline ▸ "
        paper.enter("/disconnect")
        await wait_all_tasks_blocked()
        assert app.node.conversations == []
        assert paper.prompt == NOBODY


async def test_what_is_told_late_about_a_closed_conversation_does_not_bring_it_back() -> None:
    async with chat() as (app, paper):
        await guest(app, paper, 40001, "hi")
        closed = app.node.conversations[0]
        paper.enter("/close")
        await paper.sees("The conversation with [::1]:40001 is closed and forgotten.")
        await tell(app, LinkUp(closed, Role.DIALER, LinkKind.CLASSIC, first=True))
        assert paper.prompt == NOBODY
        await tell(app, Received(closed, [Message("too late", 0, State.RECEIVED)]))
        assert paper.prompt == NOBODY
        assert "too late" not in paper.text


async def leave_nobody(app: App, paper: Paper) -> None:
    """Close the active one, who was the last."""
    paper.enter("/close")
    await paper.shows(NOBODY)
    assert app.node.conversations == []


async def test_after_the_first_one_no_stranger_becomes_active_either() -> None:
    async with chat() as (app, paper):
        await guest(app, paper, 40001, "hi")
        await leave_nobody(app, paper)
        await visitor(app, 40002, "and now me")
        await paper.shows(" 1 [::1]:40002 +1 ")
        assert paper.prompt == NOBODY
        paper.enter("/switch 1")
        await paper.shows("1 [::1]:40002 classic ▸ ")


async def test_a_stranger_is_not_the_first_after_somebody_who_was_dialed() -> None:
    async with chat() as (app, paper), peer_listener() as (where, listener):
        await connected(paper, where, listener, "bob")
        await leave_nobody(app, paper)
        await visitor(app, 40001, "hi")
        await paper.shows(" 1 [::1]:40001 +1 ")
        assert paper.prompt == NOBODY


async def test_whom_the_user_dials_becomes_active_where_strangers_do_not() -> None:
    async with chat() as (app, paper), peer_listener() as (where, listener):
        await guest(app, paper, 40001, "hi")
        await leave_nobody(app, paper)
        await connected(paper, where, listener, "bob")
        assert paper.prompt == "1 bob classic ▸ "


async def test_who_comes_later_and_is_known_becomes_active() -> None:
    async with chat() as (app, paper):
        await guest(app, paper, 40001, "hi")
        await leave_nobody(app, paper)
        peer = await visitor(app, 40002, "hi")
        await paper.shows(" 1 [::1]:40002 +1 ")
        app.node.conversations[0].name = "bob"
        await peer.say("me again")
        await paper.shows("1 bob classic ▸ ")


# Lines.


async def test_a_line_goes_to_whom_the_prompt_named_when_enter_was_pressed() -> None:
    async with (
        chat() as (_, paper),
        peer_listener() as (at_bob, bob_listens),
        peer_listener() as (at_carol, carol_listens),
    ):
        bob = await connected(paper, at_bob, bob_listens, "bob")
        carol = await connected(paper, at_carol, carol_listens, "carol")
        named = paper.view.context
        assert isinstance(named, Conversation)
        paper.enter("/switch carol")
        paper.enter("first for bob")
        await paper.shows("2 carol classic ▸ ")
        paper.enter("for bob", to=named)
        paper.enter("really for carol")
        assert [await bob.read_text() for _ in range(2)] == ["first for bob", "for bob"]
        assert await carol.read_text() == "really for carol"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("hello", "hello"),
        ("//quit", "/quit"),
        ("///", "//"),
        (" /quit", " /quit"),
        ("/quit\nnow", "/quit\nnow"),
        ("//quit\nnow", "//quit\nnow"),
        ("…/quit", "…/quit"),
    ],
)
async def test_what_is_no_command_is_sent_as_it_is(line: str, text: str) -> None:
    async with chat() as (_, paper), peer_listener() as (where, listener):
        peer = await connected(paper, where, listener, "bob")
        paper.enter(line)
        assert await peer.read_text() == text
        first, *further = text.split("\n")
        await paper.sees(f"you  {first}", *(f"{'':11}{each}" for each in further))


async def test_a_line_for_nobody_comes_back() -> None:
    async with chat() as (_, paper):
        paper.enter("into the void")
        await paper.sees("Nobody is there to get this: /connect ADDRESS first.")
        assert paper.line == "into the void"


async def test_a_line_to_a_closed_conversation_comes_back_as_it_was_typed() -> None:
    async with chat() as (app, paper):
        await guest(app, paper, 40001, "hi")
        paper.enter("/close")
        paper.enter("//are you there?")  # the prompt has not changed yet
        await paper.sees("Nobody is there to get this: /connect ADDRESS first.")
        assert paper.line == "//are you there?"
        assert paper.prompt == NOBODY


async def test_a_line_that_is_too_much_comes_back() -> None:
    limits = Limits(outbox_messages=2)
    async with chat(limits) as (_, paper), peer_listener() as (where, _listener):
        paper.enter(f"/connect {where} as bob")
        await paper.sees(f"connecting to {where} … /disconnect to give up")
        for text in ("one", "two", "three"):
            paper.enter(text)
        await paper.sees(
            "you  one", "you  two", "2 messages wait for bob already: this one was not taken."
        )
        assert paper.line == "three"
        assert "  2 undelivered" in paper.toolbar


async def test_a_line_to_a_peer_without_a_port_comes_back() -> None:
    async with chat() as (app, paper):
        peer = await Peer.meet_node(app.node, b"no idea")
        await peer.say("hi")
        await paper.shows(" 1 [::1] +1 ")
        await choose(paper, 1)
        paper.enter("who are you?")
        await paper.sees("[::1] gave no port to answer to: ask for the address and /connect to it.")
        assert paper.line == "who are you?"


async def test_a_command_that_is_none_is_told_and_nothing_is_sent() -> None:
    async with chat() as (_, paper):
        paper.enter("/quti")
        await paper.sees("There is no /quti. Did you mean /quit?")
        assert paper.line == ""


async def test_a_number_beyond_all_measure_does_no_harm() -> None:
    async with chat() as (_, paper):
        for count in ("9" * 99, "9" * 5000):
            paper.enter(f"/history {count}")
        paper.enter("/switch")
        await paper.until(lambda: "Nothing is unread.\n" in paper.text)


# Unread.


async def test_a_switch_prints_what_was_unread_and_no_more() -> None:
    async with chat() as (app, paper):
        await guest(app, paper, 40001, "from one")
        two = await visitor(app, 40002, "hello", "you there?")
        await paper.shows(" 2 [::1]:40002 +2 ")
        paper.enter("/switch 2")
        await paper.sees(
            f"── 2 [::1]:40002 {'─' * 20}", "[::1]:40002  hello", "[::1]:40002  you there?"
        )
        assert paper.prompt == "2 [::1]:40002 classic ▸ "
        assert "+" not in paper.toolbar
        await two.say("there you are")
        await paper.sees("[::1]:40002  there you are")
        paper.enter("/switch 1")
        paper.enter("/switch 2")
        await paper.until(lambda: paper.text.count("── ") == 2)
        await wait_all_tasks_blocked()
        assert "there" not in paper.text


async def test_a_switch_without_a_peer_goes_to_the_next_unread_one() -> None:
    async with chat() as (app, paper):
        await guest(app, paper, 40001, "hi")
        for port in (40002, 40003):
            await visitor(app, port, "hi")
            await paper.shows(f"[::1]:{port} +1 ")
        paper.enter("/switch 2")
        await paper.shows("2 [::1]:40002 classic ▸ ")
        app.node.conversations[0].unread = 1
        for number in (3, 1):
            paper.enter("/switch")
            await paper.shows(f"{number} [::1]:4000{number} classic ▸ ")
        paper.enter("/switch")
        await paper.sees("Nothing is unread.")
        assert paper.prompt.startswith("1 ")


async def test_of_many_unread_messages_the_latest_are_printed() -> None:
    many = PRINTED_ROWS + 2
    async with chat() as (app, paper):
        await guest(app, paper, 40001, "hi")
        await visitor(app, 40002, *map(str, range(many)))
        await paper.shows(f"+{many} ")
        paper.enter("/switch 2")
        await paper.until(lambda: f"[::1]:40002  {many - 1}\n" in paper.text)
        told = re.search(r"2 earlier messages: (/history \d+)\n\[::1\]:40002  2\n", paper.text)
        assert told is not None
        paper.written = ""
        paper.enter(told[1])
        await paper.until(lambda: f"[::1]:40002  {many - 1}\n" in paper.text)
        assert paper.text.startswith(f"── 2 [::1]:40002 {'─' * 20}\n[::1]:40002  0\n")


async def test_what_comes_in_during_a_switch_is_shown_once() -> None:
    async with chat() as (app, paper):
        await guest(app, paper, 40001, "hi")
        await visitor(app, 40002, "first")
        await paper.shows("+1 ")
        two = app.node.conversations[1]
        # The next one stands in the history, and its event is on the way.
        second = Message("second", 0, State.RECEIVED)
        two.history.append(second)
        paper.enter("/switch 2")
        await paper.shows("2 [::1]:40002 classic ▸ ")
        await wait_all_tasks_blocked()
        await tell(app, Received(two, [second]))
        assert re.findall("first|second", paper.text) == ["first", "second"]


async def test_what_the_screen_was_too_slow_for_is_told_or_unread() -> None:
    async with chat() as (app, paper):
        await guest(app, paper, 40001, "hi")
        await visitor(app, 40002, "hi")
        await paper.shows("[::1]:40002")
        one, two = app.node.conversations
        await paper.shows("+1 ")
        paper.written = ""
        await tell(app, NotShown(two, 3))
        assert " 2 [::1]:40002 +4 " in paper.toolbar
        assert paper.text == ""
        await tell(app, NotShown(one, 3))
        await paper.sees(
            "3 messages from [::1]:40001 came too fast to be shown: /history 3 shows them"
        )
        assert " 1 [::1]:40001  2" in paper.toolbar


# Commands.


async def test_another_language_counts_at_once_and_is_remembered(tmp_path: Path) -> None:
    async with chat() as (_, paper):
        paper.enter("/lang ru")
        await paper.shows("(никто) ▸ ")
        assert paper.toolbar.strip() == "ru"
        assert (tmp_path / "config" / "fantom-trio" / "language").read_text() == "ru\n"
        paper.enter("/lang en")
        await paper.shows(NOBODY)
        await paper.sees("The language is English now.")


async def test_a_language_that_cannot_be_remembered_counts_until_the_end(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("a file in the way")
    async with chat() as (_, paper):
        paper.enter("/lang en")
        await paper.sees("The language is changed, but not remembered: Not a directory.")


async def test_a_disconnected_peer_stays_with_all_that_was_said() -> None:
    async with chat() as (_, paper), peer_listener() as (where, listener):
        peer = await connected(paper, where, listener, "bob")
        paper.enter("hello")
        assert await peer.read_text() == "hello"
        paper.enter("/disconnect")
        await paper.sees("bob is gone: you closed the link")
        assert await peer.read_end() == b""
        assert paper.prompt == "1 bob offline ▸ "
        paper.enter("/disconnect bob")
        await paper.sees("bob is not connected.")
        paper.enter("/history")
        await paper.sees("you  hello (sent)")
        paper.enter("again")
        assert await (await answer(listener)).read_text() == "again"


async def test_the_same_connect_works_again_after_a_disconnect() -> None:
    async with chat() as (_, paper), peer_listener() as (where, listener):
        await connected(paper, where, listener, "bob")
        paper.enter("/disconnect")
        await paper.sees("bob is gone: you closed the link")
        paper.enter(f"/connect {where} as bob")
        await wait_all_tasks_blocked()
        assert "already" not in paper.text
        await answer(listener)
        await paper.sees("bob is here: classic link, the peer cannot be verified")


async def test_a_closed_conversation_is_forgotten_and_its_number_free() -> None:
    async with chat() as (app, paper):
        peer = await guest(app, paper, 40001, "secret")
        await visitor(app, 40002, "hi")
        await paper.shows("+1 ")
        paper.enter("/close 1")
        await paper.sees("The conversation with [::1]:40001 is closed and forgotten.")
        assert await peer.read_end() == b""
        assert paper.prompt == NOBODY  # whoever is left does not move up
        await visitor(app, 40003, "hi")
        await paper.shows(" 1 [::1]:40003")
        assert paper.prompt == NOBODY  # nor does who comes
        paper.enter("/switch 1")
        await paper.shows("1 [::1]:40003 classic ▸ ")


@pytest.mark.parametrize("name", ["bob", "боб", "天地", "x" * 32, "b0b", "é", "you", "o'brien-2"])
async def test_a_peer_gets_a_name(name: str) -> None:
    async with chat() as (app, paper):
        await guest(app, paper, 40001, "hi")
        paper.enter(f"/name 1 {name}")
        await paper.sees(f"Peer 1 is called {name} from here on.")
        assert paper.prompt == f"1 {name} classic ▸ "
        assert [each.text for each in app._complete("/switch ")] == [name]
        paper.enter(f"/name {name} {name}")  # its own name is not taken
        await paper.sees(f"Peer 1 is called {name} from here on.")


UNSEEN = "A name is at most 32 characters that can be seen."


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("x" * 33, UNSEEN),
        ("b\u200bob", UNSEEN),
        ("\u202ebob", UNSEEN),
        ("b\x07b", UNSEEN),
        ("\u0301bob", UNSEEN),
        ("12", "“12” could be taken for a number or an address."),
        ("٣", "“٣” could be taken for a number or an address."),
        ("[bob]", "“[bob]” could be taken for a number or an address."),
        ("/bob", "“/bob” could be taken for a number or an address."),
        ("fd00::1", "“fd00::1” could be taken for a number or an address."),
        ("carol", "Peer 2 is called carol already."),
    ],
)
@pytest.mark.parametrize("command", ["/name 1", "/connect [2001:db8::7]:40009 as"])
async def test_a_name_can_be_seen_and_mistaken_for_nothing(
    command: str, name: str, sentence: str
) -> None:
    async with chat() as (app, paper):
        for port in (40001, 40002):
            await visitor(app, port, "hi")
            await paper.shows(f"[::1]:{port}")
        app.node.conversations[1].name = "carol"
        paper.enter(f"{command} {name}")
        await paper.sees(sentence)
        assert [each.label for each in app.node.conversations] == ["[::1]:40001", "carol"]


async def test_the_history_says_how_far_each_message_came() -> None:
    limits = Limits(history_messages=4)  # one of them that bob is here
    async with chat(limits) as (_, paper), peer_listener() as (where, listener):
        paper.enter(f"/connect {where} as bob")
        await paper.sees(f"connecting to {where} … /disconnect to give up")
        paper.enter("early")
        paper.enter("/history")
        await paper.sees(f"── 1 bob {'─' * 20}", "you  early (waiting)")
        peer = await answer(listener)
        assert await peer.read_text() == "early"
        await paper.until(lambda: "undelivered" not in paper.toolbar)
        for text in ("two", "three", "four"):
            paper.enter(text)
            assert await peer.read_text() == text
        await paper.until(lambda: "undelivered" not in paper.toolbar)
        await paper.sees(
            "the history of bob is full: the oldest messages are forgotten from here on"
        )
        paper.enter("/history 2")
        await paper.sees(
            f"── 1 bob {'─' * 20}",
            "The oldest messages are forgotten: 1 so far.",
            "you  three (sent)",
            "you  four (sent)",
        )


@pytest.mark.parametrize("command", ["/history", "/disconnect", "/close"])
async def test_what_is_about_the_active_peer_needs_one(command: str) -> None:
    async with chat() as (_, paper):
        paper.enter(command)
        await paper.sees("There is no peer yet: /connect ADDRESS finds one.")


async def test_peers_are_listed_with_those_we_know_before_strangers_and_the_latest_first() -> None:
    async with chat() as (app, paper), peer_listener() as (where, listener):
        paper.enter("/peers")
        await paper.sees("There is no peer yet: /connect ADDRESS finds one.")
        await connected(paper, where, listener, "bob")
        one = await visitor(app, 40001, "one")
        await paper.shows(" 2 [::1]:40001 +1 ")
        two = await visitor(app, 40002, "two")
        await paper.shows(" 3 [::1]:40002 +1 ")
        await one.say("one again")
        await paper.shows(" 2 [::1]:40001 +2 ")
        two.close()
        await paper.sees("[::1]:40002 is gone: it closed the link")
        paper.enter("/peers")
        await paper.until(lambda: paper.text.count("\n") == 3)
        assert re.sub("[0-9]{2}:[0-9]{2}\n", "12:04\n", paper.text) == (
            f"1 bob · {where} · classic link · only you write to them · not verified\n"
            "2 [::1]:40001 · [::1]:40001 · classic link · only they write to you · not verified"
            " · 2 unread · last message 12:04\n"
            "3 [::1]:40002 · [::1]:40002 · classic link · offline · not verified · 1 unread"
            " · last message 12:04\n"
        )


async def test_help_names_every_command_on_a_line_of_its_own_and_fits_24_rows() -> None:
    for language in ("en", "ru", "sindarin"):
        async with chat(columns=80) as (_, paper):
            languages.use(language)
            paper.enter("/help")
            await paper.until(lambda: "Alt-A" in paper.text)
            languages.use("en")
            lines = paper.text.rstrip().split("\n")
            for command, line in zip(COMMANDS, lines, strict=False):
                assert line.startswith(f"{command.usage} ")
            assert max(map(wcswidth, lines)) <= 80
            assert len(lines) <= 22  # beside prompt and toolbar


async def test_help_on_a_narrow_screen_has_the_summaries_below() -> None:
    async with chat(columns=40) as (_, paper):
        paper.enter("/help")
        await paper.until(lambda: "Alt-A" in paper.text)
        assert "\n/burn\n    wipes everything and ends at once\n" in paper.text
        assert max(map(wcswidth, paper.text.split("\n"))) <= 40


async def test_help_tells_more_about_one_command() -> None:
    async with chat() as (_, paper):
        for name in ("/lang", "lang"):
            paper.enter(f"/help {name}")
            await paper.sees(
                "/lang en|ru|sindarin|tengwar",
                "        changes the language, also for the next run",
                "        tengwar is Sindarin in its own letters, for terminals with a font that has"
                " them at U+E000.",
            )


async def test_the_listener_stops_starts_and_moves() -> None:
    async with chat() as (app, paper):
        listener = app.node.listener
        assert listener is not None
        paper.enter("/address")
        await paper.until(lambda: f"* {listener}  lo" in paper.text)
        paper.enter("/listen off")
        await paper.sees("Nobody can dial you now; open links stay open.")
        assert app.node.listener is None
        paper.enter("/address")
        await paper.sees("Nobody can dial you: /listen starts the listener.")
        for port in (0, 80, 29999, 65536):
            paper.enter(f"/listen {port}")
            await paper.sees("The port must be between 30000 and 65535.")
        paper.enter("/listen")
        await paper.sees(f"Listening on {listener}. Give your peer this address, or an /invite.")
        async with peer_listener() as (taken, _):
            paper.enter(f"/listen {taken.port}")
            await paper.sees(
                f"Port {taken.port} is in use, perhaps by another fantom-trio: choose another one,"
                " 30000 to 65535. Then: /listen PORT"
            )
            assert app.node.listener == listener


# The end.


@pytest.mark.parametrize("end", [lambda paper: paper.enter("/quit"), Paper.hang_up])
async def test_quit_and_the_end_of_input_end_the_program(end: Callable[[Paper], None]) -> None:
    paper = Paper()
    with trio.fail_after(PATIENCE):
        async with open_node(own_port=0) as node:
            end(paper)
            await App(node, Where("loopback"), COMMANDS, terminal=paper).run()
    assert "/quit leaves\n" in paper.text


def test_every_shortcut_is_a_command() -> None:
    peers = [Conversation(ConversationKey("::1", n), n, Limits()) for n in range(1, 10)]
    switched = [COMMANDS.parse(SHORTCUTS[f"alt-{peer.number}"], peers)[1] for peer in peers]
    assert switched == [{"peer": peer} for peer in peers]
    assert COMMANDS.parse(SHORTCUTS["alt-a"], peers)[1] == {}
