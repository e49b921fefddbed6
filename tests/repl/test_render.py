"""What the screen shows: where a message stands, and that nobody but us moves or colours it."""

import re
import time
import typing
import unicodedata
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wcwidth import wcswidth

from fantom_trio.nursery import (
    AlreadyUp,
    CodeReady,
    Connection,
    Conversation,
    Delivered,
    DescriptorsOut,
    DialError,
    DialFailed,
    Dialing,
    DialProblem,
    Ending,
    Endpoint,
    Failed,
    Flaw,
    HistoryFull,
    How,
    Limits,
    LinkEnded,
    LinkKind,
    LinkUp,
    Matched,
    Merged,
    Message,
    NodeEvent,
    NotShown,
    Received,
    Redialing,
    Role,
    Sent,
    State,
    Unanswered,
    Verifying,
    Violation,
    Why,
    Wished,
)
from fantom_trio.nursery.conversation import ConversationKey
from fantom_trio.nursery.identity import PeerIdentity
from fantom_trio.repl import layout, render, sanitize, transcript
from fantom_trio.repl.terminal import Fragments
from fantom_trio.wire import Link

OWN_COLOURS = re.compile("\x1b\\[(?:0|1|2|31|33|36)m")
#: Four minutes past twelve, on whatever clock this machine goes by.
NOON = time.mktime((2030, 1, 1, 12, 4, 0, 0, 0, -1))
BIDI = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067")
THERE = Endpoint("2001:db8::7", 40001)


def plain(text: str) -> str:
    return OWN_COLOURS.sub("", text)


def conversation(name: str = "", host: str = "2001:db8::7", number: int = 1) -> Conversation:
    return Conversation(ConversationKey(host, 0), number, Limits(), name=name)


def online(peer: Conversation) -> Conversation:
    """As far as the screen looks at it."""
    unused: Any = SimpleNamespace(here=THERE)
    peer.incoming.append(Connection(unused, Link(Role.LISTENER), THERE))
    return peer


def native(peer: Conversation, *, verified: bool = False) -> Conversation:
    peer.belongs_to(PeerIdentity(bytes(32), verified=verified))
    return peer


def event_line(event: NodeEvent) -> str:
    """What the screen says of an event."""
    text, alarm = render.event(event)
    return render.notice(text, NOON, alarm=alarm) if text else ""


def said(text: str, state: State = State.RECEIVED, *, damaged: bool = False) -> Message:
    return Message(text, NOON, state, damaged)


def printed(
    peer: Conversation, message: Message, columns: int | None, *, states: bool = False
) -> str:
    """One message as it is printed; ``states``: by /history."""
    if states:
        return "".join(transcript.history(peer, [message], columns, whole=False))
    return "".join(transcript.messages(peer, [message], columns))


def shown(peer: Conversation, message: Message, *, states: bool = False) -> list[str]:
    """The lines of one message without their colours."""
    text = plain(printed(peer, message, None, states=states))
    assert text.endswith("\n")
    return text[:-1].split("\n")


# Messages.


@pytest.mark.parametrize(
    ("name", "message", "lines"),
    [
        ("bob", said("hi"), ["12:04 bob  hi"]),
        ("", said("hi"), ["12:04 [2001:db8::7]  hi"]),
        ("bob", said("hi", State.SENT), ["12:04 you  hi"]),
        ("bob", said(""), ["12:04 bob  "]),
        ("bob", said("one\ntwo\n\nfour\n"), [
            "12:04 bob  one",
            "           two",
            "           ",
            "           four",
        ]),
        ("天地", said("one\ntwo"), ["12:04 天地  one", "            two"]),
        ("é👋🏽", said("one\r\ntwo"), ["12:04 é👋🏽  one", "           two"]),
        ("bob", said("one\ntwo", State.WAITING), ["12:04 you  one", "           two"]),
        ("bob", said("12:05 bob\r12:05 you  forged\x1b[2J"),
         ["12:04 bob  12:05 bob‹U+000D›12:05 you  forged‹U+001B›[2J"]),
        ("bob", said("left שלום\nright"), ["12:04 bob  \u2068left שלום\u2069", "           right"]),
        ("bob", said("caf\ufffd", damaged=True),
         ["12:04 bob  caf\ufffd (damaged on the way: it was not UTF-8)"]),
        ("bob", said("caf\ufffd\nau lait", damaged=True),
         ["12:04 bob  caf\ufffd", "           au lait (damaged on the way: it was not UTF-8)"]),
    ],
)  # fmt: skip
def test_time_and_name_come_first_and_further_lines_stand_below_the_text(
    name: str, message: Message, lines: list[str]
) -> None:
    assert shown(conversation(name), message) == lines


@pytest.mark.parametrize(
    ("state", "line"),
    [
        (State.WAITING, "12:04 you  hi (waiting)"),
        (State.SENT, "12:04 you  hi (sent)"),
        (State.DELIVERED, "12:04 you  hi (delivered)"),
        (State.RECEIVED, "12:04 bob  hi"),
    ],
)
def test_the_history_says_how_far_ours_came(state: State, line: str) -> None:
    assert shown(conversation("bob"), said("hi", state), states=True) == [line]


def came(text: str, *, verified: bool) -> Message:
    """From a native peer."""
    return Message(text, NOON, State.RECEIVED, verified=verified, id=7)


def test_the_history_says_under_which_mark_a_message_came() -> None:
    bob = native(conversation("bob"), verified=True)
    assert shown(bob, came("hi\nthere", verified=False), states=True) == [
        "12:04 bob ?  hi", "             there",
    ]  # fmt: skip
    assert shown(bob, came("hi", verified=True), states=True) == ["12:04 bob ✓  hi"]
    assert shown(bob, came("hi", verified=True)) == ["12:04 bob  hi"]


def test_what_a_peer_writes_about_states_is_not_in_our_colour() -> None:
    honest = printed(conversation("bob"), said("hi", State.SENT), None, states=True)
    forged = printed(conversation("bob"), said("hi (sent)"), None, states=True)
    assert "\x1b[2m(sent)\x1b[0m" in honest
    assert "hi (sent)\n" in forged


def test_several_messages_stand_below_each_other() -> None:
    them = [said("one"), said("two\nlines", State.SENT), said("three")]
    text = plain("".join(transcript.messages(conversation("bob"), them, None)))
    assert text == ("12:04 bob  one\n12:04 you  two\n           lines\n12:04 bob  three\n")


def test_a_rule_names_the_peer_whose_messages_follow() -> None:
    assert plain(render.rule(conversation("bob", number=3))).startswith("── 3 bob ──")


# Whatever a peer sends.

HOSTILE = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("\x1b[2J31m0\x9b\x07\r\n\t\x08\x85\u2028\u2029\u202e\u2066\u2068\u200b"),
        st.sampled_from("天한שم\u0301\u0e47👋\u200d\ufe0f\U0001f3fd:12 ·\u2069"),
    ),
    max_size=60,
)
MESSAGES = st.builds(
    Message,
    HOSTILE,
    st.just(NOON),
    st.sampled_from([State.RECEIVED, State.WAITING, State.SENT, State.DELIVERED]),
    st.booleans(),
)
ENDPOINTS = st.builds(Endpoint, HOSTILE, st.integers(0, 65535), HOSTILE)
CONVERSATIONS = st.builds(
    lambda host, port, name: Conversation(ConversationKey(host, port), 1, Limits(), name=name),
    HOSTILE, st.integers(0, 65535), HOSTILE,
)  # fmt: skip
DIAL_ERRORS = st.builds(
    DialError, st.sampled_from(DialProblem), HOSTILE, st.sampled_from(Violation)
)
ENDINGS = st.builds(
    Ending, st.sampled_from(Why), st.sampled_from(Violation), st.just("X at y.py:1")
)
OUTCOMES = st.one_of(
    st.builds(Wished, st.sampled_from(How)),
    st.builds(CodeReady, st.just("12345678")),
    st.just(Matched()),
    st.builds(Failed, st.sampled_from(How), st.none() | st.sampled_from(Flaw)),
)
EVENTS: dict[type, st.SearchStrategy[NodeEvent]] = {
    Dialing: st.builds(Dialing, CONVERSATIONS, ENDPOINTS),
    DialFailed: st.builds(DialFailed, st.none() | CONVERSATIONS, ENDPOINTS, DIAL_ERRORS),
    AlreadyUp: st.builds(AlreadyUp, CONVERSATIONS),
    LinkUp: st.builds(
        LinkUp,
        CONVERSATIONS,
        st.sampled_from(Role),
        st.sampled_from(LinkKind),
        st.booleans(),
        st.none() | CONVERSATIONS,
    ),
    Redialing: st.builds(Redialing, CONVERSATIONS, ENDPOINTS),
    Merged: st.builds(Merged, CONVERSATIONS, CONVERSATIONS),
    Delivered: st.builds(Delivered, CONVERSATIONS, st.lists(MESSAGES)),
    Verifying: st.builds(Verifying, CONVERSATIONS, OUTCOMES),
    LinkEnded: st.builds(
        LinkEnded,
        st.none() | CONVERSATIONS,
        ENDPOINTS,
        st.sampled_from(Role),
        ENDINGS,
        st.booleans(),
    ),
    Received: st.builds(Received, CONVERSATIONS, st.lists(MESSAGES)),
    NotShown: st.builds(NotShown, CONVERSATIONS, st.integers(1, 10**6)),
    Sent: st.builds(Sent, CONVERSATIONS, st.lists(MESSAGES)),
    HistoryFull: st.builds(HistoryFull, CONVERSATIONS),
    DescriptorsOut: st.builds(DescriptorsOut),
    Unanswered: st.builds(Unanswered, CONVERSATIONS, ENDPOINTS, ENDPOINTS, st.floats(0, 1000)),
}


def assert_harmless(text: str) -> None:
    """Printable text in our own colours; isolates only in pairs and within their line."""
    for line in plain(text).split("\n"):
        assert {unicodedata.category(char) for char in line}.isdisjoint({"Cc", "Cs", "Zl", "Zp"})
        assert not set(line) & BIDI
        assert re.sub("[^\u2068\u2069]", "", line).replace("\u2068\u2069", "") == ""


@settings(max_examples=300)
@given(CONVERSATIONS, MESSAGES, st.booleans())
def test_a_message_holds_our_colours_only_and_keeps_out_of_the_time_s_column(
    peer: Conversation, message: Message, states: bool
) -> None:
    text = printed(peer, message, None, states=states)
    assert_harmless(text)
    first, *further = shown(peer, message, states=states)
    who = "you" if message.mine else render.name(peer)
    head = f"12:04 {who}  "
    assert first.startswith(head)
    for line in further:
        assert line.startswith(" " * wcswidth(head))


@settings(max_examples=300)
@given(st.one_of(*EVENTS.values()))
def test_an_event_holds_our_colours_only_and_is_one_notice(event: NodeEvent) -> None:
    text = event_line(event)
    assert_harmless(text)
    assert not text or re.fullmatch(r"12:04 · [^\n]+\n", plain(text))


@settings(max_examples=300)
@given(st.lists(CONVERSATIONS, max_size=3), st.integers(0, 3))
def test_prompt_and_toolbar_are_one_line_of_plain_text(peers: list[Conversation], at: int) -> None:
    active = peers[at] if at < len(peers) else None
    for fragments in (render.prompt(active), render.toolbar(peers, active, "en")):
        text = "".join(text for _, text in fragments)
        assert_harmless(text)
        assert "\x1b" not in text
        assert "\n" not in text


# Events.


def test_every_event_is_rendered() -> None:
    assert set(EVENTS) == set(typing.get_args(NodeEvent))


BOB = conversation("bob")
CAROL = native(conversation("carol", number=2))
DAVE = native(conversation(number=3), verified=True)
REFUSED = DialError(DialProblem.REFUSED)


def patient(count: int) -> Conversation:
    peer = conversation("bob")
    for _ in range(count):
        peer.write("hi", NOON)
    return peer


def ended(
    why: Why, peer: Conversation | None = BOB, *, last: bool = True, place: str = ""
) -> LinkEnded:
    ending = Ending(why, Violation.BAD_MAC if why is Why.VIOLATION else None, place)
    return LinkEnded(peer, THERE, Role.LISTENER, ending, last)


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (Dialing(BOB, THERE), "connecting to [2001:db8::7]:40001 … /disconnect to give up"),
        (
            DialFailed(None, Endpoint("bob.example", 40001), DialError(DialProblem.IPV4_ONLY)),
            "The name bob.example:40001 has an IPv4 address only, and this is IPv6 only:"
            " ask your peer for an IPv6 address.",
        ),
        (
            DialFailed(BOB, THERE, REFUSED),
            "Nobody listens at [2001:db8::7]:40001: check the port, and that your peer is there.",
        ),
        (
            DialFailed(patient(1), THERE, REFUSED),
            "Nobody listens at [2001:db8::7]:40001: check the port, and that your peer is there."
            " 1 message waits: write another to try again, or /connect ADDRESS.",
        ),
        (
            DialFailed(patient(2), THERE, REFUSED),
            "Nobody listens at [2001:db8::7]:40001: check the port, and that your peer is there."
            " 2 messages wait: write another to try again, or /connect ADDRESS.",
        ),
        (AlreadyUp(BOB), "bob is connected already"),
        (
            LinkUp(BOB, Role.DIALER, LinkKind.CLASSIC, first=True),
            "bob is here: classic link, the peer cannot be verified",
        ),
        (
            LinkUp(BOB, Role.LISTENER, LinkKind.CLASSIC, first=True),
            "bob connected to you: classic link, the peer cannot be verified",
        ),
        (LinkUp(BOB, Role.LISTENER, LinkKind.CLASSIC, first=False), ""),
        (
            LinkUp(CAROL, Role.DIALER, LinkKind.NATIVE, first=True),
            "carol is here: native link, not verified (/verify)",
        ),
        (LinkUp(CAROL, Role.DIALER, LinkKind.NATIVE, first=False), ""),
        (
            LinkUp(DAVE, Role.LISTENER, LinkKind.NATIVE, first=True),
            "[2001:db8::7] connected to you: native link, verified",
        ),
        (
            LinkUp(DAVE, Role.DIALER, LinkKind.NATIVE, first=False),  # by an invite, it may be
            "[2001:db8::7] is here: native link, verified",
        ),
        (
            LinkUp(DAVE, Role.DIALER, LinkKind.NATIVE, first=True, stranger_at=BOB),
            "3 [2001:db8::7] is not the 1 bob you knew: a stranger is at this address now, native"
            " link, verified",
        ),
        (
            Redialing(CAROL, THERE),
            "connecting to [2001:db8::7]:40001 again until carol is there … /disconnect to give up",
        ),
        (
            Merged(DAVE, CAROL),
            "3 [2001:db8::7] is the peer you know as 2 carol: all goes on there",
        ),
        (Delivered(CAROL, [said("hi", State.DELIVERED)]), ""),
        (
            DialFailed(patient(2), THERE, DialError(DialProblem.TURNED_AWAY)),
            "[2001:db8::7]:40001 lets in only the invited, and your invite, if you have one, was"
            " used by somebody else or revoked: ask your peer for a new one."
            " 2 messages stay queued.",
        ),
        (
            Verifying(CAROL, Wished(How.CODE)),
            "carol wants to compare a code with you: /verify 2 shows it",
        ),
        (
            Verifying(CAROL, Wished(How.WORD)),
            "carol wants to compare a shared word with you: /verify 2 --word asks you for it",
        ),
        (
            Verifying(CAROL, CodeReady("00123456")),
            "compare these eight digits with carol by another way, e.g. on the phone: 0012 3456 —"
            " /verify 2 yes if they are the same, /verify 2 no if not",
        ),
        (
            Verifying(CAROL, Matched()),
            "carol has the same word: verified for as long as its program runs",
        ),
        (
            Verifying(CAROL, Failed(How.CODE, Flaw.COMMITMENT_BROKEN)),
            "carol could not be verified: the code was tampered with, and somebody may be in"
            " between; /verify 2 tries again as soon as they do",
        ),
        (
            Verifying(CAROL, Failed(How.WORD, None)),
            "carol could not be verified: the link ended before the word was compared;"
            " /verify 2 --word tries again as soon as they do",
        ),
        (ended(Why.SILENT), "bob is gone: nothing came from it for too long"),
        (
            ended(Why.SILENT, last=False),
            "one of two links with bob is gone: nothing came from it for too long",
        ),
        (ended(Why.REPLACED, last=False), ""),
        (ended(Why.CLOSED), "bob is gone: it closed the link"),
        (ended(Why.CLOSED, last=False), ""),
        (ended(Why.DISCONNECTED, last=False), ""),
        (ended(Why.LOST), "bob is gone: the connection broke"),
        (ended(Why.LOST, last=False), "one of two links with bob is gone: the connection broke"),
        (
            ended(Why.VIOLATION, last=False),
            "one of two links with bob is gone: it sent a message that was not encrypted for this"
            " link, or was changed",
        ),
        (
            ended(Why.BUG, place="IndexError at node.py:7"),
            "bob is gone: a bug in fantom-trio ended the link: IndexError at node.py:7",
        ),
        (
            ended(Why.SLOW, None),
            "[2001:db8::7]:40001 was turned away: it did not complete the handshake in 10 seconds",
        ),
        (
            NotShown(BOB, 1),
            "1 message from bob came too fast to be shown: /history 1 shows it",
        ),
        (
            NotShown(BOB, 12),
            "12 messages from bob came too fast to be shown: /history 12 shows them",
        ),
        (
            HistoryFull(BOB),
            "the history of bob is full: the oldest messages are forgotten from here on",
        ),
        (
            DescriptorsOut(),
            "The system lets this program open no more connections, so newcomers wait: some must"
            " end, or start it again with a higher “ulimit -n”.",
        ),
        (
            ended(Why.CROWDED, None),
            "[2001:db8::7]:40001 was turned away: there are too many links already",
        ),
        (
            ended(Why.TOO_OFTEN, None),
            "[2001:db8::7]:40001 was turned away: too many connections came from its network at"
            " once",
        ),
        (Received(BOB, [said("hi")]), ""),
        (Sent(BOB, [said("hi", State.SENT)]), ""),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_an_event_is_told_in_one_line_or_needs_no_words(event: NodeEvent, line: str) -> None:
    assert plain(event_line(event)) == (f"12:04 · {line}\n" if line else "")


@pytest.mark.parametrize(
    ("event", "loud"),
    [
        (DialFailed(BOB, THERE, REFUSED), True),
        (ended(Why.VIOLATION), True),
        (ended(Why.BUG, None), True),
        (ended(Why.VIOLATION, None), False),  # strangers do that all day
        (ended(Why.BAD_INVITE, None), True),
        (LinkUp(DAVE, Role.LISTENER, LinkKind.NATIVE, first=True), False),
        (LinkUp(DAVE, Role.LISTENER, LinkKind.NATIVE, True, stranger_at=BOB), True),
        (Verifying(CAROL, Wished(How.WORD)), False),
        (Verifying(CAROL, Failed(How.WORD, Flaw.WORD_DIFFERS)), True),
        (ended(Why.LOST), False),
        (AlreadyUp(BOB), False),
    ],
)
def test_red_is_for_what_the_user_should_look_at(event: NodeEvent, loud: bool) -> None:
    assert ("\x1b[31m" in event_line(event)) is loud


# Prompt and toolbar.


def words(fragments: Fragments) -> str:
    return "".join(text for _, text in fragments)


@pytest.mark.parametrize(
    ("active", "prompt"),
    [
        (None, "(nobody) ▸ "),
        (conversation("bob"), "1 bob offline ▸ "),
        (conversation(number=2), "2 [2001:db8::7] offline ▸ "),
        (CAROL, "2 carol ? offline ▸ "),
        (DAVE, "3 [2001:db8::7] ✓ offline ▸ "),
    ],
)
def test_the_prompt_names_who_gets_the_line(active: Conversation | None, prompt: str) -> None:
    assert words(render.prompt(active)) == prompt


async def test_the_prompt_says_what_kind_of_link_there_is() -> None:
    assert words(render.prompt(online(conversation("bob")))) == "1 bob classic ▸ "
    assert words(render.prompt(online(native(conversation("bob"))))) == "1 bob ? ▸ "
    verified = online(native(conversation("bob"), verified=True))
    assert words(render.prompt(verified)) == "1 bob ✓ ▸ "


async def test_only_who_is_verified_has_the_colour_of_it() -> None:
    prompts = [
        render.prompt(online(native(conversation("bob"), verified=verified)))
        for verified in (False, True)
    ]
    assert [prompt[1][0] for prompt in prompts] == ["ansiyellow", "ansigreen"]


async def test_the_toolbar_has_every_peer_what_is_unread_and_what_waits() -> None:
    bob, alice, carol = patient(2), online(conversation("alice", number=2)), patient(1)
    carol.number, carol.name = 3, "carol"
    alice.unread, carol.unread = 3, 1
    fragments = render.toolbar([bob, alice, carol], bob, "ru")
    assert words(fragments) == " 1 bob offline  2 alice +3  3 carol +1 offline   3 undelivered  ru "
    styles = {text.split()[1]: style for style, text in fragments[:3]}
    assert styles == {"bob": "bold", "alice": "ansiyellow", "carol": "ansiyellow"}


def test_the_toolbar_of_nobody_is_the_language() -> None:
    assert words(render.toolbar([], None, "en")).strip() == "en"


def crowd(count: int) -> list[Conversation]:
    return [conversation(f"peer{number}", number=number) for number in range(1, count + 1)]


async def test_where_the_toolbar_has_no_room_the_active_peer_and_the_unread_ones_stay() -> None:
    peers = crowd(9)
    peers[7].unread = 2
    online(peers[5])
    peers[2].write("hi", NOON)
    assert words(render.toolbar(peers, peers[8], "en", 80)) == (
        " 6 peer6  8 peer8 +2 offline  9 peer9 offline  … 6 more   1 undelivered  en "
    )
    peers[1].unread = 11
    narrow = words(render.toolbar(peers, peers[8], "en", 58))
    assert narrow == " 9 peer9 offline  … 8 more +13   1 undelivered  en "
    # Before the active peer goes, the language does.
    assert words(render.toolbar(peers, peers[8], "en", 48)) == (
        " 9 peer9 offline  … 8 more +13   1 undelivered"
    )


def test_with_room_for_all_nothing_in_the_toolbar_collapses() -> None:
    peers = crowd(3)
    assert render.toolbar(peers, peers[0], "en", 200) == render.toolbar(peers, peers[0], "en")


def test_a_long_name_or_address_is_shortened_in_prompt_and_toolbar() -> None:
    somebody = conversation("a-name-of-thirty-two-characters!")
    assert words(render.prompt(somebody)) == "1 a-name-of-thirty-two-characters! offline ▸ "
    assert words(render.toolbar([somebody], None, "en")) == (
        " 1 a-name-of-thirty-two-ch… offline   en "
    )
    wide = conversation("語" * 32)
    assert words(render.prompt(wide)) == f"1 {'語' * 15}… offline ▸ "
    address = conversation(host="2001:db8:85a3:8d3:1319:8a2e:370:7348")
    assert words(render.prompt(address)) == "1 [2001:db8:85a3:8…:8a2e:370:7348] offline ▸ "
    assert words(render.toolbar([address], None, "en", 40)) == " 1 [2001:…:7348] offline   en "


# Narrow screens.


def test_a_notice_is_folded_between_words_and_below_its_text() -> None:
    text = render.notice("one two three four five six\nseven", NOON, alarm=True)
    folded = layout.fold(text, 24, render.NOTICE_INDENT)
    assert plain(folded).split("\n") == [
        "12:04 · one two three",
        "        four five six",
        "        seven",
        "",
    ]
    assert_harmless(folded)


@pytest.mark.parametrize("columns", [None, 0, 1, render.NOTICE_INDENT + 10])
def test_without_a_screen_or_room_nothing_is_folded(columns: int | None) -> None:
    text = render.notice("one two three four five six " * 9, NOON)
    assert layout.fold(text, columns, render.NOTICE_INDENT) == text


@settings(max_examples=300)
@given(st.text(st.characters(categories=["L", "N", "P", "Zs", "Mn"])), st.integers(19, 90))
def test_no_folded_line_is_wider_than_the_screen_and_nothing_is_lost(
    text: str, columns: int
) -> None:
    line = sanitize.line(text)
    folded = layout.fold(render.notice(line, NOON), columns, render.NOTICE_INDENT)
    first, *further = plain(folded).removesuffix("\n").split("\n")
    for each in (first, *further):
        assert wcswidth(each) <= columns
    assert first.startswith("12:04 ·")
    assert all(each.startswith(" " * render.NOTICE_INDENT) for each in further)
    assert_harmless(folded)
    assert "".join(plain(folded).split()) == "".join(f"12:04·{line}".split())


# Long lines: the terminal must never wrap what a peer wrote into the columns of time and name.


FORGERY = "x" * 29 + "12:05 carol  please send it here"


@pytest.mark.parametrize("columns", [20, 40, 80])
@pytest.mark.parametrize(
    "text", [FORGERY, "a b " * 60, "語" * 50, "x\n" + FORGERY, "👨‍👩‍👧‍👦" * 20]
)
def test_a_long_message_is_folded_under_itself(text: str, columns: int) -> None:
    peer = conversation("bob")
    shown = plain(printed(peer, said(text), columns)).removesuffix("\n").split("\n")
    assert all(wcswidth(line) <= columns for line in shown)
    assert all(line.startswith(" " * 6) for line in shown[1:])
    assert "".join("".join(shown).partition("bob")[2].split()) == "".join(text.split())


def test_beside_a_long_name_the_text_begins_below_it() -> None:
    peer = conversation("a-name-of-thirty-two-characters!")
    assert plain(printed(peer, said("hello"), 40)).split("\n")[1] == "      hello"


def test_what_happened_to_a_conversation_stands_in_its_history_as_a_notice() -> None:
    noted = said("bob is gone: it closed the link", State.NOTED)
    assert shown(conversation("bob"), noted) == ["12:04 · bob is gone: it closed the link"]
