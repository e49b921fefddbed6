"""What people type and paste, and what peers write: addresses, invites, commands, messages."""

import json
import re
import unicodedata
from dataclasses import replace
from ipaddress import IPv6Address

from hypothesis import strategies as st

from fantom_trio.nursery import Conversation, Limits
from fantom_trio.nursery.conversation import ConversationKey
from fantom_trio.repl import kinds, sanitize
from fantom_trio.repl.commands import CommandError, Snapshot
from fantom_trio.repl.slash import COMMANDS
from fantom_trio.tell import as_json
from fantom_trio.wire import AddressError, Endpoint, Invite, is_invite
from tests.fuzz.choices import Choices, compose
from tests.fuzz.harness import Harness, front_and_numbers

__all__ = ["ADDRESSES", "COMMAND_LINES", "INVITES", "JSON", "SANITIZE"]


def _typed(data: bytes) -> str:
    """What Python makes of a terminal's bytes."""
    return data.decode("utf-8", "surrogateescape")


# Addresses and invites.


def run_addresses(data: bytes) -> None:
    """What is read is printed, and read again from that: as a person writes it, and as a frame."""
    for typed in (True, False):
        try:
            endpoint = Endpoint.parse(_typed(data)) if typed else Endpoint.parse_client_id(data)
        except AddressError as error:
            assert len(str(error)) <= 100 + 10 * len(data)  # noqa: PT017
            continue
        _check_endpoint(endpoint)


def _check_endpoint(endpoint: Endpoint) -> None:
    assert 0 <= endpoint.port <= 65535
    if endpoint.is_name:
        assert re.fullmatch(r"[a-z0-9_.-]{1,254}", endpoint.host)
        assert not endpoint.zone
    else:
        address = IPv6Address(endpoint.host)
        assert str(address) == endpoint.host, "not canonical"
        assert not any((address.is_multicast, address.is_unspecified, address.ipv4_mapped))
        assert address.is_link_local or not endpoint.zone
        assert Endpoint.parse_client_id(endpoint.client_id) == endpoint
    assert re.fullmatch(r"[^\s%\[\]/\x00-\x1f\x7f-\x9f\ud800-\udfff]{0,32}", endpoint.zone)
    if endpoint.port:
        assert Endpoint.parse(str(endpoint)) == endpoint


_TOKEN = re.compile(r"[A-Za-z2-7]{32}\.[A-Za-z2-7]{16}")


def run_invites(data: bytes) -> None:
    """What is read is printed, and read again; what is not read never shows its token."""
    text = _typed(data)
    try:
        invite = Invite.parse(text)
    except AddressError as error:
        assert repr(error.text) in str(error)  # noqa: PT017
        assert not _TOKEN.search(error.text), "an error shows a token"  # noqa: PT017
        return
    assert is_invite(text)
    _check_endpoint(invite.endpoint)
    assert (len(invite.fingerprint), len(invite.token)) == (20, 10)
    near = replace(invite, endpoint=replace(invite.endpoint, zone=""))
    assert Invite.parse(str(invite)) == near
    assert Invite.parse(f"<{str(invite).upper()}>\n") == near
    assert repr(invite.token) not in repr(invite)


_ADDRESSES = [
    b"[2001:db8::1]:31488", b"2001:db8::1 31488", b"[fe80::1%eth0]:31488", b"fe80::1%eth0:31488",
    b"example.org:4000", b"example.org", b"::1", b"[::1", b"[::1]:", b"::ffff:1.2.3.4", b"1.2.3.4",
    b"ff02::1", b"::", b"2001:db8::1:31488", b"a" * 254, b"[::1]:65535", b"[::1]:65536", b"::1:0",
]  # fmt: skip
_ADDRESS_WORDS = [
    b"fe80::", b"%", b"%25", b"eth0", b"[", b"]", b"]:", b":", b"::", b"31488", b"65535", b"65536",
    b"0", b"00080", b"::ffff:", b"1.2.3.4", b"64:ff9b::", b"xn--", b".", b"-", b"_", b"\xc2\xa0",
    b"\xd9\xa1", b"\xef\xbc\x91", b" ", b"\t", b"2001:db8::", b"a" * 63,
]  # fmt: skip
_CODES = b"a" * 32 + b"." + b"b2" * 8
_INVITES = [
    *(b"fantom://" + address + b"/" + _CODES for address in _ADDRESSES[:7]),
    b"<FANTOM://[::1]:5/" + _CODES.upper() + b">\r\n", b"fantom://" + _CODES,
    b"fantom://[::1]:5/" + _CODES[:-1], b"fantom://[::1]:5/" + _CODES + b"/" + _CODES,
    b"fantom://" + _CODES + b"/" + _CODES, b"fan\ntom://[::1]/" + _CODES, b"fantom://",
]  # fmt: skip
_INVITE_WORDS = [
    *_ADDRESS_WORDS, b"fantom://", b"FANTOM://", b"/", b"<", b">", b"\n", _CODES, _CODES[:33],
    _CODES[33:], b"a" * 32,
]  # fmt: skip


def _texts_of(seeds: list[bytes], words: list[bytes]) -> st.SearchStrategy[bytes]:
    return st.lists(
        st.sampled_from(words) | st.sampled_from(seeds) | st.binary(max_size=8), max_size=8
    ).map(b"".join)


ADDRESSES = Harness(
    "addresses", run_addresses, _ADDRESSES, _texts_of(_ADDRESSES, _ADDRESS_WORDS), _ADDRESS_WORDS,
    longest=300,
)  # fmt: skip
INVITES = Harness(
    "invites", run_invites, _INVITES, _texts_of(_INVITES, _INVITE_WORDS), _INVITE_WORDS,
    longest=400,
)  # fmt: skip


# What reaches the screen.

#: One character of each kind, and those at the edges of kinds: a byte chooses one.
_ALPHABET = sorted(
    {
        *"ab1#*: \t\n\r\x00\x1b\x7f\x85\x9b‹›U+é\u0301\u0323\u1161\u11a8\u1100\u064b\u0e47\u093e",
        *"\xad\u034f\u061c\u200b\u200c\u200d\u200e\u202a\u202e\u2028\u2060\u2066\u2069\u3164\ufe00",
        *"\ufe0e\ufe0f\ufeff\ufffc\ufffd\ufdd0\ud800\udfff\U000e0001\U000e0067\U000e007f\U000e0100",
        *"\u180b\u180e\u2d7f\u2d30\U0001107f\U00011052\U00016fe4\U00018b00\u20e3\u1820مשक天ก語",
        *"\U0001f469\U0001f3fd\U0001f467\U0001f680\U0001f3f4\U0001f1e9\U0001f1ea❤✈",
        *"\U000e0062\U000e0073\U000e0063\U000e0074\U000e0065\U000e006e\U000e0077\U000e006c\u1734",
        *(
            chr(ord(edge) + step)
            for members in kinds.KINDS.values()
            for edge in members
            if edge not in "-\n"
            for step in (-1, 0, 1)
            if 0 <= ord(edge) + step < 0x110000
        ),
    }
)
_BIDI = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_UNSEEN = set("\xad\u034f\u115f\u1160\u200b\u2060\u2061\u2062\u2063\u2064\u3164\ufeff\uffa0")
_BAD = {"Cc", "Cs", "Zl", "Zp"}
_HARMLESS_TAGS = [
    "\U0001f3f4" + "".join(chr(0xE0000 + ord(char)) for char in region) + "\U000e007f"
    for region in ("gbeng", "gbsct", "gbwls")
]


def run_sanitize(data: bytes) -> None:
    """Numbers: text as UTF-8, or a character for each two bytes, of those that are special."""
    choices = Choices(data)
    if choices.flag():
        codes = choices.rest()
        text = "".join(
            _ALPHABET[int.from_bytes(codes[at : at + 2], "little") % len(_ALPHABET)]
            for at in range(0, len(codes), 2)
        )
    else:
        text = _with_surrogates(choices.rest())
    _check_shown(text, [sanitize.line(text)])
    lines = sanitize.block(text)
    assert len(lines) <= text.count("\n") + 1
    _check_shown(text, lines)
    for line in lines:
        isolated = sanitize.isolate(line)
        assert isolated in (line, f"\u2068{line}\u2069")
        turning = any(unicodedata.bidirectional(char) in ("R", "AL") for char in line)
        assert not turning or sanitize.is_turning(line) or _unassigned_turn(line)


def _with_surrogates(data: bytes) -> str:
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace")


def _unassigned_turn(line: str) -> bool:
    """Right-to-left blocks that hold nothing but what Python alone knows as such."""
    return all(
        sanitize.is_turning(char) or unicodedata.category(char) == "Cn"
        for char in line
        if unicodedata.bidirectional(char) in ("R", "AL")
    )


def _check_shown(text: str, lines: list[str]) -> None:
    assert sum(map(len, lines)) <= 10 * len(text), "a character takes more than its number"
    for line in lines:
        for flag in _HARMLESS_TAGS:
            line = line.replace(flag, flag[0])
        for char in line:
            assert unicodedata.category(char) not in _BAD, f"{char!r} reaches the screen"
            assert char not in _BIDI, f"{char!r} turns what follows"
            assert char not in _UNSEEN, f"{char!r} is not seen"
            assert not 0xE0000 <= ord(char) < 0xE0100, "a tag reaches the screen"
        marks = 0
        for char in line:
            marks = marks + 1 if unicodedata.combining(char) else 0
            assert marks <= sanitize.MARKS_ON_ONE_BASE, "marks are heaped up"
        assert not line or not unicodedata.combining(line[0]), "a mark without a base"
        assert sanitize.line(line) == line, "twice is not once"


_SAMPLES = [
    "Съешь ещё", "می‌خواهم", "שלום 5", "क्‍ष", "e\u0302\u0301", "\u0301accent", "a" + "\u0301" * 10,
    "\u200d".join("\U0001f469\U0001f469\U0001f467"), "\u200d".join(["\U0001f469"] * 12),
    "1\ufe0f\u20e3",
    "\x1b[2Jgone", "safe\rEVIL", "\u202egnp.exe", "two\r\nlines\n", "half \ud83d", *_HARMLESS_TAGS,
    "\U0001f3f4\U000e0075\U000e0073", "葛\U000e0100\U000e0101", "\u1100" + "\u1161" * 9, "‹U+202E›",
]  # fmt: skip
SANITIZE = Harness(
    "sanitize", run_sanitize,
    [
        *(compose(text.encode("utf-8", "surrogatepass"), 0) for text in _SAMPLES),
        *(
            compose(
                b"".join(
                    _ALPHABET.index(char).to_bytes(2, "little") for char in text
                    if char in _ALPHABET
                ), 1,
            ) for text in _SAMPLES
        ),
    ],
    front_and_numbers(
        st.lists(st.sampled_from(_ALPHABET), max_size=20)
        .map("".join).map(lambda text: text.encode("utf-8", "surrogatepass")), most=1,
    ),
    [
        *(each.encode("utf-8", "surrogatepass") for each in _SAMPLES),
        *(_ALPHABET.index(char).to_bytes(2, "little") for char in "a\u0301\u200d\U0001f469\ufe0f"),
    ], longest=400,
)  # fmt: skip


def run_json(data: bytes) -> None:
    """A message as ``--json`` prints it: one line, the same text, harmless on a terminal."""
    choices = Choices(data)
    to_terminal, errors = choices.flag(), choices.pick(("replace", "surrogateescape"))
    text = choices.rest().decode("utf-8", errors)
    if errors == "surrogateescape":  # no peer's text has a surrogate: UTF-8 cannot carry one
        text = text.encode("utf-8", "replace").decode()
    line = as_json({"text": text, "n": len(text)}, to_terminal=to_terminal).decode()
    assert line.endswith("\n")
    assert line.splitlines() == [line[:-1]], "more than one line"
    assert json.loads(line) == {"text": text, "n": len(text)}
    if to_terminal:
        assert sanitize.line(line[:-1]) == line[:-1], "it does more than be read"


JSON = Harness(
    "json", run_json,
    [compose(text.encode("utf-8", "replace"), each, 0) for text in _SAMPLES for each in (0, 1)],
    front_and_numbers(st.text(max_size=20).map(str.encode), most=2),
    [b"\x85", b"\xc2\x85", b"\xe2\x80\xa8", b"\xe2\x80\xa9", b"\"", b"\\", b"\\u2028", b"\x1b[2J"],
    longest=400,
)  # fmt: skip


# The command line.


def _peer(number: int, host: str, name: str = "", port: int = 0) -> Conversation:
    return Conversation(ConversationKey(host, port), number, Limits(), name=name)


PEERS = (
    _peer(1, "2001:db8::7", "bob"), _peer(2, "2001:db8::8", "Bobby"), _peer(3, "fd00::9"),
    _peer(4, "::1", port=40001), _peer(15, "::1", "天地", port=40002),
)  # fmt: skip
_SNAPSHOT = Snapshot(tuple(peer.label for peer in PEERS))


def run_commands(data: bytes) -> None:
    """A line behind a slash: a command and its arguments, or a sentence that is harmless."""
    line = "/" + _typed(data)
    try:
        command, arguments = COMMANDS.parse(line, PEERS)
    except CommandError as error:
        told = str(error)
        assert told, "an error without a word"
        assert sanitize.line(told) == told, "what was pasted reaches the screen"
    else:
        assert COMMANDS.by_name[command.name] is command
        names = {parameter.name: parameter for parameter in command.parameters}
        assert set(arguments) <= set(names), "an argument that nobody takes"
        required = {name for name, each in names.items() if not each.optional}
        assert required <= set(arguments), "an argument is missing"
        for value in arguments.values():
            assert isinstance(value, Conversation | Endpoint | Invite | str | int)
            assert not isinstance(value, int) or 0 <= value < 10**18
    for suggestion in COMMANDS.complete(line, _SNAPSHOT):
        assert 0 <= suggestion.replaces <= len(line)
        start = len(line) - suggestion.replaces
        assert suggestion.text.lower().startswith(line[start:].lower())


_LINES = [
    b"connect [2001:db8::1]:31488 as bob", b"connect fantom://[::1]:5/" + _CODES + b" as bob",
    b"switch 1", b"switch bo", b"name bob robert", b"history 20", b"history x", b"disconnect",
    b"close bobby", b"help connect", b"", b" ", b"/", b"conect ::1", b"verify bob", b"lang ru",
    b"connect as as as", b"history " + b"9" * 19, b"peers 5", b"switch \xe5\xa4\xa9",
]  # fmt: skip
_LINE_WORDS = [
    *(name.encode() for name in COMMANDS.by_name), b" as ", b" ", b"bob", b"bobby", b"1", b"15",
    b"::1", b"[::1]:5", b"fantom://", b"/" + _CODES, b"on", b"off", b"\xe2\x80\xae", b"\x1b[31m",
    *(
        word.encode() for command in COMMANDS.by_name.values()
        for parameter in command.parameters for word in parameter.words
    ),
]  # fmt: skip
COMMAND_LINES = Harness(
    "commands", run_commands, _LINES, _texts_of(_LINES, _LINE_WORDS), _LINE_WORDS, longest=300
)
