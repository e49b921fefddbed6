"""Commands: what a person types, what a handler gets, and what is suggested on the way."""

import contextlib
import unicodedata
from collections.abc import Sequence
from inspect import iscoroutinefunction
from typing import Annotated, Any, Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fantom_trio.nursery import Conversation, Endpoint, Invite, Limits
from fantom_trio.nursery.conversation import ConversationKey
from fantom_trio.repl.commands import Command, CommandError, Commands, Snapshot
from fantom_trio.repl.slash import COMMANDS

MADE_UP = Commands()


@MADE_UP.add
async def fly(app: object, where: Endpoint, name: Annotated[str, "as"] = "") -> None:
    """goes somewhere

    and comes back.
    """


@MADE_UP.add
async def paint(app: object, colour: Literal["red", "green"], coats: int = 1) -> None:
    """gives it a colour"""


@MADE_UP.add
async def parrot(app: object, peer: Conversation, word: str = "") -> None:
    """says it again"""


@MADE_UP.add
async def lamp(app: object, level: int | Literal["off", "on"] | None = None) -> None:
    """makes light"""


@MADE_UP.add
async def nod(
    app: object, peer: Conversation | None = None, way: Literal["up", "--down"] | None = None
) -> None:
    """moves its head"""


@MADE_UP.add
async def visit(app: object, whom: Endpoint | Invite) -> None:
    """rings the bell"""


@MADE_UP.add
async def exit_(app: object) -> None:
    """leaves"""


def peer(number: int, host: str, name: str = "", port: int = 0) -> Conversation:
    return Conversation(ConversationKey(host, port), number, Limits(), name=name)


BOB = peer(1, "2001:db8::7", "bob")
BOBBY = peer(2, "2001:db8::8", "Bobby")
INVITE = f"fantom://[2001:db8::7]:31488/{'a' * 32}.{'b' * 16}"
NAMELESS = peer(3, "fd00::9")
LOCAL = peer(4, "::1", port=40001)
LOCAL_TOO = peer(15, "::1", port=40002)
PEERS = (BOB, BOBBY, NAMELESS, LOCAL, LOCAL_TOO)


def read(line: str, commands: Commands = MADE_UP, peers: Sequence[Conversation] = PEERS) -> Any:
    """Name and arguments."""
    command, arguments = commands.parse(line, peers)
    return command.name, dict(arguments)


def refusal(line: str, commands: Commands = MADE_UP, peers: Sequence[Conversation] = PEERS) -> str:
    with pytest.raises(CommandError) as caught:
        commands.parse(line, peers)
    return str(caught.value)


# What a signature becomes.


def test_a_usage_is_made_of_the_signature() -> None:
    assert [command.usage for command in MADE_UP] == [
        "/exit",
        "/fly ADDRESS [as NAME]",
        "/lamp [LEVEL|off|on]",
        "/nod [PEER] [up|--down]",
        "/paint red|green [COATS]",
        "/parrot PEER [WORD]",
        "/visit ADDRESS|INVITE",
    ]
    assert MADE_UP.find("fly").summary == "goes somewhere"
    assert MADE_UP.find("exit").handler is exit_


def test_the_real_usages_are_those_people_know() -> None:
    assert [command.usage for command in COMMANDS] == [
        "/address",
        "/bell [on|off]",
        "/burn",
        "/clear",
        "/close [PEER]",
        "/connect ADDRESS|INVITE [as NAME]",
        "/disconnect [PEER]",
        "/doctor",
        "/help [COMMAND]",
        "/history [COUNT] [whole]",
        "/invite [--qr|off]",
        "/lang en|ru|sindarin|tengwar",
        "/listen [PORT|off]",
        "/name PEER NAME",
        "/peers [all]",
        "/quit",
        "/switch [PEER]",
        "/verify [PEER] [yes|no|--word]",
    ]


@pytest.mark.parametrize("command", list(COMMANDS), ids=lambda command: command.name)
def test_every_command_says_in_one_line_what_it_does(command: Command) -> None:
    assert iscoroutinefunction(command.handler)
    assert command.summary
    assert command.summary[0].islower()  # it goes on after the usage
    assert not command.summary.endswith(".")
    assert len(command.summary) <= 44  # beside the longest usage, in 80 columns
    assert command.detail.endswith(".")


# What a line becomes.


@pytest.mark.parametrize(
    ("line", "name", "arguments"),
    [
        ("/exit", "exit", {}),
        ("/fly ::1", "fly", {"where": Endpoint("::1")}),
        ("/fly [2001:db8::1]:40001", "fly", {"where": Endpoint("2001:db8::1", 40001)}),
        ("/fly 2001:db8::1 40001", "fly", {"where": Endpoint("2001:db8::1", 40001)}),
        ("/fly [fe80::1%eth0] 40001", "fly", {"where": Endpoint("fe80::1", 40001, "eth0")}),
        ("/fly ::1 as bob", "fly", {"where": Endpoint("::1"), "name": "bob"}),
        ("/fly ::1 40001 as as", "fly", {"where": Endpoint("::1", 40001), "name": "as"}),
        ("/fly as", "fly", {"where": Endpoint("as")}),
        ("/paint red", "paint", {"colour": "red"}),
        ("/paint green 12", "paint", {"colour": "green", "coats": 12}),
        ("/paint red 007", "paint", {"colour": "red", "coats": 7}),
        ("/lamp", "lamp", {}),
        ("/lamp 5", "lamp", {"level": 5}),
        ("/lamp off", "lamp", {"level": "off"}),
        ("/nod", "nod", {}),
        ("/nod bob", "nod", {"peer": BOB}),
        ("/nod up", "nod", {"way": "up"}),
        ("/nod bob --down", "nod", {"peer": BOB, "way": "--down"}),
        (f"/visit {INVITE}", "visit", {"whom": Invite.parse(INVITE)}),
        (f"/visit <{INVITE[:50]} {INVITE[50:]}>", "visit", {"whom": Invite.parse(INVITE)}),
        ("/visit ::1", "visit", {"whom": Endpoint("::1")}),
        ("/parrot 2 hello", "parrot", {"peer": BOBBY, "word": "hello"}),
        ("/parrot\t bob \u3000 hello ", "parrot", {"peer": BOB, "word": "hello"}),
        ("  /fly   ::1   40001   as   bob  ", "fly",
         {"where": Endpoint("::1", 40001), "name": "bob"}),
    ],
)  # fmt: skip
def test_a_line_is_read_as_its_command_wants_it(
    line: str, name: str, arguments: dict[str, object]
) -> None:
    assert read(line) == (name, arguments)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("/fly", "Something is missing: /fly ADDRESS [as NAME]"),
        ("/fly ::1 as", "Something is missing: /fly ADDRESS [as NAME]"),
        ("/fly ::1 as bob smith", "“smith” is too much here: /fly ADDRESS [as NAME]"),
        ("/fly 192.0.2.1 40001", "“192.0.2.1 40001” is an IPv4 address, and this is IPv6 only."),
        ("/fly ::1 bob", "“::1 bob” has a port that is not between 1 and 65535."),
        (
            "/fly to the moon",
            "“to the moon” is no IPv6 address: write it as [2001:db8::1]:31488.",
        ),
        ("/paint", "Something is missing: /paint red|green [COATS]"),
        ("/paint blue", "“blue” is none of: red, green."),
        ("/paint RED", "“RED” is none of: red, green."),
        ("/paint red many", "“many” is no number."),
        ("/paint red -1", "“-1” is no number."),
        ("/paint red ٣", "“٣” is no number."),
        ("/paint red 1 2 3", "“2 3” is too much here: /paint red|green [COATS]"),
        ("/lamp dim", "“dim” is no number."),
        ("/nod up up", "“up” is too much here: /nod [PEER] [up|--down]"),
        ("/nod up bob", "“bob” is too much here: /nod [PEER] [up|--down]"),
        ("/nod bob down", "“down” is none of: up, --down."),
        ("/nod down", "There is no peer “down”: /peers lists them."),
        (
            f"/fly {INVITE}",
            f"“{INVITE[:28]}/…” is no IPv6 address: write it as [2001:db8::1]:31488.",
        ),
        (
            f"/visit {INVITE[:-1]}",
            f"“{INVITE[:28]}/…” is a damaged invite: copy all of it again, or ask your peer for a"
            " new one.",
        ),
        ("/exit now", "“now” is too much here: /exit"),
    ],
)
def test_what_cannot_be_read_is_told_in_a_sentence(line: str, sentence: str) -> None:
    assert refusal(line) == sentence


# Peers.


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("1", BOB),
        ("15", LOCAL_TOO),
        ("bob", BOB),  # though it begins Bobby as well
        ("Bobby", BOBBY),
        ("bobb", BOBBY),
        ("BOBB", BOBBY),
        ("2001:db8::7", BOB),
        ("2001:DB8::8", BOBBY),
        ("fd", NAMELESS),
        ("[fd", NAMELESS),
        ("[::1]:40001", LOCAL),
        ("[::1]:40002", LOCAL_TOO),
    ],
)
def test_a_peer_is_found_by_number_name_or_a_beginning(word: str, found: Conversation) -> None:
    assert read(f"/parrot {word}") == ("parrot", {"peer": found})


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("bo", "“bo” could be: 1 bob, 2 Bobby."),
        ("2001", "“2001” could be: 1 bob, 2 Bobby."),
        ("[::1", "“[::1” could be: 4 [::1]:40001, 15 [::1]:40002."),
        ("alice", "There is no peer “alice”: /peers lists them."),
        ("5", "There is no peer “5”: /peers lists them."),
        ("01", "There is no peer “01”: /peers lists them."),
    ],
)
def test_a_peer_who_is_not_meant_clearly_is_not_guessed(word: str, sentence: str) -> None:
    assert refusal(f"/parrot {word}") == sentence


def test_an_address_of_two_peers_is_not_guessed_and_a_name_is() -> None:
    twins = (peer(1, "fd00::9"), peer(2, "fd00::9"), peer(3, "fd00::9", "bob"))
    sentence = "“[fd00::9]” could be: 1 [fd00::9], 2 [fd00::9]."
    assert refusal("/parrot [fd00::9]", peers=twins) == sentence
    assert read("/parrot 2", peers=twins) == ("parrot", {"peer": twins[1]})
    assert read("/parrot bob", peers=twins) == ("parrot", {"peer": twins[2]})


def test_a_whole_address_is_meant_and_not_the_start_of_another() -> None:
    portless = peer(5, "::1")
    assert read("/parrot [::1]", peers=(LOCAL, portless)) == ("parrot", {"peer": portless})


def test_before_anybody_is_there_the_way_to_find_one_is_told() -> None:
    sentence = "There is no peer yet: /connect ADDRESS finds one."
    assert refusal("/parrot bob", peers=()) == sentence


# Names of commands.


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("/conect ::1", "There is no /conect. Did you mean /connect?"),
        ("/swich bob", "There is no /swich. Did you mean /switch?"),
        ("/hist", "There is no /hist. Did you mean /history?"),
        ("/d", "There is no /d. Did you mean /disconnect, /doctor?"),
        ("/Quit", "There is no /Quit. Did you mean /quit?"),
        ("/xyzzy", "There is no /xyzzy. /help lists what there is."),
        ("/", "There is no /. /help lists what there is."),
        ("/ quit", "There is no /. /help lists what there is."),
    ],
)
def test_what_names_no_command_is_told_the_nearest_one(line: str, sentence: str) -> None:
    assert refusal(line, COMMANDS) == sentence


# On the way.

SNAPSHOT = Snapshot(("bob", "Bobby", "3"))


def completed(before: str, commands: Commands = MADE_UP) -> list[str]:
    """What the line would be after each suggestion."""
    return [
        before[: len(before) - each.replaces] + each.text
        for each in commands.complete(before, SNAPSHOT)
    ]


@pytest.mark.parametrize(
    ("before", "lines"),
    [
        ("/", ["/exit", "/fly ", "/lamp ", "/nod ", "/paint ", "/parrot ", "/visit "]),
        ("/pa", ["/paint ", "/parrot "]),
        ("/par", ["/parrot "]),
        ("/xyzzy", []),
        ("/parrot ", ["/parrot bob", "/parrot Bobby", "/parrot 3"]),
        ("/parrot B", ["/parrot bob", "/parrot Bobby"]),
        ("/parrot   bobb", ["/parrot   Bobby"]),
        ("/parrot bob ", []),
        ("/paint ", ["/paint red", "/paint green"]),
        ("/paint g", ["/paint green"]),
        ("/lamp o", ["/lamp off", "/lamp on"]),
        ("/nod ", ["/nod up", "/nod --down", "/nod bob", "/nod Bobby", "/nod 3"]),
        ("/nod u", ["/nod up"]),
        ("/nod bob ", ["/nod bob up", "/nod bob --down"]),
        ("/nod up ", []),
        ("/visit ", []),
        ("/fly ", []),
        ("/exit ", []),
        ("/exit now ", []),
        ("/xyzzy ", []),
        ("hello /pa", []),
        ("//pa", []),
        ("", []),
    ],
)
def test_the_rest_of_a_line_is_suggested(before: str, lines: list[str]) -> None:
    assert completed(before) == lines


def test_commands_and_languages_are_suggested_with_their_help() -> None:
    (suggestion,) = COMMANDS.complete("/disc", SNAPSHOT)
    assert suggestion.help == COMMANDS.find("disconnect").summary
    assert completed("/lang ", COMMANDS) == [
        "/lang en", "/lang ru", "/lang sindarin", "/lang tengwar",
    ]  # fmt: skip
    assert completed("/switch b", COMMANDS) == ["/switch bob", "/switch Bobby"]
    assert completed("/help c", COMMANDS) == ["/help clear", "/help close", "/help connect"]
    assert completed("/help connect ", COMMANDS) == []


# Anything.

WORDS = st.one_of(
    st.sampled_from(["as", "off", "red", "bob", "1", "::1", "[::1]:40001", "[", "]", "%", ":"]),
    st.sampled_from(["/", "fe80::1%", "1.2.3.4", "0", "²", "٣", "\x1b[2J", "\u202e", "{n}", "%s"]),
    st.text(max_size=8),
)
NAMES = st.sampled_from([c.name for c in (*COMMANDS, *MADE_UP)])
LINES = st.one_of(
    st.builds(lambda name, words: " ".join([name, *words]), NAMES, st.lists(WORDS, max_size=4)),
    st.text(),
)


@pytest.mark.parametrize("commands", [COMMANDS, MADE_UP], ids=["real", "made up"])
@settings(max_examples=500)
@given(LINES)
@example("history " + "9" * 5000)
@example("lamp " + "9" * 5000)
def test_any_line_is_a_command_or_a_sentence(commands: Commands, line: str) -> None:
    with contextlib.suppress(CommandError):
        command, arguments = commands.parse("/" + line, PEERS)
        known = {parameter.name for parameter in command.parameters}
        needed = {p.name for p in command.parameters if not (p.optional or p.keyword)}
        assert needed <= set(arguments) <= known


@settings(max_examples=300)
@given(LINES)
@example("\x1b[2J")
@example("fly \u202e")
@example("paint \x07")
@example("paint red \x1b[31m1")
@example("parrot \x9b31m")
@example("exit \x1b]0;owned\x07")
def test_a_sentence_shows_what_was_typed_and_does_not_do_it(line: str) -> None:
    """It may have been pasted."""
    sentence = ""
    try:
        MADE_UP.parse("/" + line, PEERS)
    except CommandError as error:
        sentence = str(error)
    categories = {unicodedata.category(char) for char in sentence}
    assert categories.isdisjoint({"Cc", "Cs", "Zl", "Zp"})
    assert "\u202e" not in sentence


@settings(max_examples=300)
@given(LINES)
def test_any_line_can_be_completed(line: str) -> None:
    for suggestion in COMMANDS.complete("/" + line, SNAPSHOT):
        assert suggestion.replaces <= len(line) + 1
