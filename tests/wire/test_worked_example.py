"""The worked example of ``docs/protocol.md``: computed by the reference, spoken by our own link.

After a change that was meant, ``python -m tests.wire.test_worked_example`` writes the blocks of the
document, and the file with every value in full, anew.
"""

import base64
import functools
import json
import re
import secrets
import textwrap
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import spake2  # type: ignore[import-untyped]
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from nacl import bindings
from spake2 import SPAKE2_A, SPAKE2_B

from fantom_trio.wire import (
    Endpoint,
    HandshakeDone,
    Link,
    LinkKind,
    Role,
    Said,
    ciphers,
    kem,
    records,
    secret,
    verify,
)
from fantom_trio.wire.invite import Invite, fingerprint
from fantom_trio.wire.secret import KeyPair, Secret
from fantom_trio.wire.verify import CodeRun, WordRun
from tests.wire import reference
from tests.wire.reference import Fields, Handshake, Keys, Values, line, public_key

DOCUMENT = Path(__file__).parents[2] / "docs" / "protocol.md"
FULL = Path(__file__).with_name("worked_example.json")

#: A block of the document, and what stands for a number of bytes elsewhere in it.
BLOCK = re.compile(r"(?<=^```example )([a-z0-9 ]+)\n(.*?)(?=^```$)", re.M | re.S)
HEX = re.compile(r"\b[0-9a-f]{16,}\b", re.I)
#: More than this is abbreviated in the document, bytes or characters.
LONG = 160

Example = dict[str, Values]


def given(name: str, size: int = 32) -> bytes:
    """What one would draw at random."""
    return reference.sha256(b"fantom/2 example: " + name.encode())[:size]


ALICE = Keys(given("alice static"), given("alice ephemeral"))
BOB = Keys(given("bob static"), given("bob ephemeral"))
BOB_DIALING, LISTENER_1X = given("bob dialing"), given("classic listener")
KEM_SEED, KEM_RANDOMNESS = given("kem d") + given("kem z"), given("kem m")
HEADERS = {"alice": given("alice header", 24), "bob": given("bob header", 24)}
TOKEN = given("token", 10)
NONCES = given("n_I"), given("n_R")
WORD = " Lo\u0301rien "
SCALARS = tuple(int.from_bytes(given(name), "big") % reference.ORDER for name in "xy")

AT = 1_750_000_000_000
RECORDS: tuple[tuple[str, Fields], ...] = (
    ("alice", {"type": "hello", "port": 0, "version": "0.1.0", "received": 0,
               "shown": 0, "token": TOKEN}),
    ("bob", {"type": "hello", "port": 31488, "version": "0.1.0", "received": 0,
             "shown": 0}),
    ("alice", {"type": "say", "id": 1, "text": "hello, Bob", "at": AT}),
    ("bob", {"type": "ack", "shown": 1}),
    ("bob", {"type": "say", "id": 1, "text": "привет 👋", "at": AT + 4711}),
    ("alice", {"type": "ack", "shown": 1}),
    ("alice", {"type": "say", "id": 2, "text": "0123456789abcdef" * 200, "at": AT + 60_000}),
    ("bob", {"type": "ack", "shown": 2}),
    ("alice", {"type": "bye", "reason": "quit"}),
    ("bob", {"type": "bye", "reason": "quit"}),
)  # fmt: skip
OTHER_RECORDS: dict[str, Fields] = {
    "ping": {"type": "ping"},
    "pong": {"type": "pong"},
    "knock": {"type": "knock", "port": 31488},
    "verify ask": {"type": "verify", "how": "word", "step": "ask"},
    "verify nonce": {"type": "verify", "how": "code", "step": "nonce", "data": NONCES[1]},
}


# The example.


def example() -> Example:
    """Every value, by section and name."""
    line_1 = line("HANDSHAKE", public_key(ALICE.ephemeral))
    hands = Handshake(line_1, ALICE, BOB, KEM_SEED, KEM_RANDOMNESS)
    word = unicodedata.normalize("NFC", WORD).strip().encode()
    return {
        "keys": _keys(),
        "message 1": {"line": line_1, **hands.message_1},
        "message 2": hands.message_2,
        "message 3": hands.message_3,
        "split": {
            **hands.split,
            **{f"header of {who}": header for who, header in HEADERS.items()},
            **{f"frame of {who}": reference.frame(header) for who, header in HEADERS.items()},
        },
        "records": _records(hands),
        "other records": {name: reference.pack(each) for name, each in OTHER_RECORDS.items()},
        "code": reference.code(hands.hash, *NONCES),
        "word": {"typed": WORD, **reference.spake2(word, hands.hash, *SCALARS)},
        "simultaneous open": _simultaneous_open(line_1),
        "classic": {
            "line": line_1,
            "listener private": LISTENER_1X,
            "answer": line("HANDSHAKE_ACK", public_key(LISTENER_1X), ""),
            **reference.classic(
                ALICE.ephemeral, LISTENER_1X, "2001:db8::a:1ce:31488", given("nonce", 24), "hi"
            ),
        },
    }


def _keys() -> Values:
    found: Values = {}
    for who, keys in (("alice", ALICE), ("bob", BOB)):
        for kind, private in keys._asdict().items():
            found |= {f"{who} {kind} private": private, f"{who} {kind} public": public_key(private)}
    judge = min(("alice", "bob"), key=lambda who: found[f"{who} static public"])
    mark = reference.blake2b(public_key(BOB.static), size=20)
    codes = ".".join(base64.b32encode(each).decode().lower() for each in (mark, TOKEN))
    return found | {
        "kem d": KEM_SEED[:32], "kem z": KEM_SEED[32:], "kem m": KEM_RANDOMNESS,
        "judge": judge, "fingerprint of bob": mark, "token": TOKEN,
        "invite": f"fantom://[2001:db8::b0b]:31488/{codes}",
    }  # fmt: skip


def _records(hands: Handshake) -> Values:
    streams = {
        who: reference.Stream(key, header)
        for (who, header), key in zip(HEADERS.items(), hands.keys, strict=True)
    }
    found: Values = {}
    additional = dict.fromkeys(streams, hands.hash)
    for number, (who, fields) in enumerate(RECORDS, 1):
        plaintext = reference.pack(fields)
        padded = reference.padded(plaintext)
        tag = reference.FINAL if fields["type"] == "bye" else reference.REKEY
        sealed = streams[who].push(padded, tag, additional[who])
        additional[who] = b""
        found |= {
            f"{number} from": f"{who}, {fields['type']!s}, tag {tag}, padded to {len(padded)}",
            f"{number} record": plaintext,
            f"{number} frame": reference.frame(sealed),
        }
    return found


def _simultaneous_open(line_1: str) -> Values:
    e_a, e_b = (public_key(private) for private in (ALICE.ephemeral, BOB_DIALING))
    assert reference.sha256(e_a) < reference.sha256(e_b)
    line_b = line("HANDSHAKE", e_b)
    hands = Handshake(line_1 + line_b, ALICE, BOB, KEM_SEED, KEM_RANDOMNESS)
    return {
        "bob dialing private": BOB_DIALING, "line of alice": line_1, "line of bob": line_b,
        "hash of alice": reference.sha256(e_a), "hash of bob": reference.sha256(e_b),
        "prologue": hands.message_1["prologue"], "bob answers": hands.message_2["line"],
        "alice's frame": hands.message_3["frame"], "h": hands.hash,
    }  # fmt: skip


# How it is written down.


def rendered(values: Values) -> str:
    """A block of the document: long values as their beginning, size and SHA-256."""
    width = max(map(len, values)) + 2
    return "".join(
        f"{name if not at else '':{width}}{row}\n"
        for name, value in values.items()
        for at, row in enumerate(_rows(value))
    )


def _rows(value: bytes | str) -> Iterator[str]:
    data = value.encode() if isinstance(value, str) else value
    beginning = value if len(data) <= LONG else value[:64]
    if isinstance(beginning, str):
        yield json.dumps(beginning)
    else:
        yield from textwrap.wrap(beginning.hex(), 64)
    if len(data) > LONG:
        yield f"… {len(data)} bytes, SHA-256"
        yield reference.sha256(data).hex()


def in_full(found: Example) -> dict[str, dict[str, str]]:
    """What the file holds: bytes in hex, text as it is."""
    return {
        section: {
            name: each if isinstance(each, str) else each.hex() for name, each in all_.items()
        }
        for section, all_ in found.items()
    }


def write() -> None:
    """Write the document's blocks and the file anew."""
    found = example()
    text = DOCUMENT.read_text()
    DOCUMENT.write_text(BLOCK.sub(lambda each: f"{each[1]}\n{rendered(found[each[1]])}", text))
    FULL.write_text(json.dumps(in_full(found), indent=1) + "\n")


# The document and the file hold what the reference computes.


@pytest.fixture(scope="module")
def computed() -> Example:
    return example()


def test_every_value_in_the_document_is_the_reference_s(computed: Example) -> None:
    blocks = BLOCK.findall(DOCUMENT.read_text())
    assert [name for name, _ in blocks] == list(computed)
    for name, block in blocks:
        assert block == rendered(computed[name])


def test_no_value_stands_in_the_document_outside_of_what_is_checked() -> None:
    assert not HEX.findall(BLOCK.sub("", DOCUMENT.read_text()))


def test_the_file_holds_every_value_in_full(computed: Example) -> None:
    assert json.loads(FULL.read_text()) == in_full(computed)


def test_the_reference_s_stream_is_libsodium_s_at_every_length() -> None:
    key, header = given("key"), given("header", 24)
    ours = reference.Stream(key, header)
    state = bindings.crypto_secretstream_xchacha20poly1305_state()
    bindings.crypto_secretstream_xchacha20poly1305_init_pull(state, header, key)
    for size, tag, data in ((0, 2, b""), (5, 0, b"ad"), (1024, 2, given("ad") * 2), (17, 3, b"")):
        sealed = ours.push(bytes(size), tag, data)
        opened = bindings.crypto_secretstream_xchacha20poly1305_pull(state, sealed, data)
        assert opened == (bytes(size), tag)


# Our link, against the bytes in the file.

RECORDED: dict[str, dict[str, str]] = json.loads(FULL.read_text())


def data(section: str, name: str) -> bytes:
    return bytes.fromhex(RECORDED[section][name])


def text(section: str, name: str) -> bytes:
    return RECORDED[section][name].encode()


def pair(section: str, name: str) -> KeyPair:
    return KeyPair(Secret.copy_of(data(section, name)))


def public(who: str) -> bytes:
    return data("keys", f"{who} static public")


class Person:
    """Alice or Bob with the example's randomness."""

    def __init__(self, who: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.who = who
        self.identity = pair("keys", f"{who} static private")
        self.ephemeral = pair("keys", f"{who} ephemeral private")
        header = data("split", f"header of {who}")
        seed = data("keys", "kem d") + data("keys", "kem z")
        private = SimpleNamespace(generate=lambda: MLKEM768PrivateKey.from_seed_bytes(seed))
        monkeypatch.setattr(KeyPair, "generate", lambda: self.ephemeral)
        monkeypatch.setattr(kem, "MLKEM768PrivateKey", private)
        monkeypatch.setattr(kem, "encapsulate", self._encapsulate)
        # Both ends of a stream have the same state; only the header of a writer's is drawn.
        monkeypatch.setattr(
            ciphers, "stream_sealer", lambda key: (ciphers.stream_opener(key, header), header)
        )

    @staticmethod
    def _encapsulate(public: bytes) -> tuple[bytes, Secret]:
        assert public == data("message 2", "kem ek")
        return data("message 3", "kem ciphertext"), Secret.copy_of(data("split", "kem secret"))

    def talk(self, link: Link) -> None:
        """Say what is ours, and read what is the other's."""
        for number, (who, _) in enumerate(RECORDS, 1):
            record = records.decode(memoryview(data("records", f"{number} record")))
            assert record is not None
            frame = data("records", f"{number} frame")
            if who == self.who:
                link.send(record)
                assert link.data_to_send() == frame
            else:
                assert link.receive_data(frame) == [record]


def test_our_dialer_speaks_and_understands_the_example(monkeypatch: pytest.MonkeyPatch) -> None:
    alice = Person("alice", monkeypatch)
    expected = data("keys", "fingerprint of bob")
    link = Link(Role.DIALER, identity=alice.identity, keys=alice.ephemeral, expected=expected)
    assert link.data_to_send() == text("message 1", "line")
    done = link.receive_data(text("message 2", "line"))
    assert done == [HandshakeDone(LinkKind.NATIVE, public("bob"))]
    assert link.hash == data("message 3", "h 3")
    assert link.data_to_send() == data("message 3", "frame") + data("split", "frame of alice")
    assert link.receive_data(data("split", "frame of bob")) == []
    alice.talk(link)


def test_our_listener_speaks_and_understands_the_example(monkeypatch: pytest.MonkeyPatch) -> None:
    bob = Person("bob", monkeypatch)
    link = Link(Role.LISTENER, identity=bob.identity)
    assert link.receive_data(text("message 1", "line")) == []
    assert link.data_to_send() == text("message 2", "line")
    done = link.receive_data(data("message 3", "frame") + data("split", "frame of alice"))
    assert done == [HandshakeDone(LinkKind.NATIVE, public("alice"))]
    assert link.hash == data("message 3", "h 3")
    assert link.data_to_send() == data("split", "frame of bob")
    bob.talk(link)


def test_our_dialers_that_meet_do_what_the_example_does(monkeypatch: pytest.MonkeyPatch) -> None:
    alice, bob = Person("alice", monkeypatch), Person("bob", monkeypatch)
    dialing = pair("simultaneous open", "bob dialing private")
    winner = Link(Role.DIALER, identity=alice.identity, keys=alice.ephemeral)
    loser = Link(Role.DIALER, identity=bob.identity, keys=dialing)
    assert winner.data_to_send() == text("simultaneous open", "line of alice")
    assert loser.data_to_send() == text("simultaneous open", "line of bob")
    assert loser.receive_data(text("simultaneous open", "line of alice")) == []
    answer = loser.data_to_send()
    assert answer == text("simultaneous open", "bob answers")
    assert dialing.private.wiped
    assert winner.receive_data(text("simultaneous open", "line of bob")) == []
    assert winner.data_to_send() == b""
    assert winner.receive_data(bytes(answer)) == [HandshakeDone(LinkKind.NATIVE, public("bob"))]
    frame = data("simultaneous open", "alice's frame")
    assert winner.data_to_send()[: len(frame)] == frame
    assert winner.hash == data("simultaneous open", "h")


def test_our_records_are_the_example_s_bytes() -> None:
    ours: dict[str, records.Record] = {
        "ping": records.Ping(),
        "pong": records.Pong(),
        "knock": records.Knock(31488),
        "verify ask": records.Verify("word", "ask"),
        "verify nonce": records.Verify("code", "nonce", data("code", "n_R")),
    }
    for name, record in ours.items():
        assert records.encode(record) == data("other records", name)


def test_our_invite_is_the_example_s() -> None:
    assert fingerprint(public("bob")) == data("keys", "fingerprint of bob")
    invite = Invite(Endpoint("2001:db8::b0b"), fingerprint(public("bob")), data("keys", "token"))
    assert str(invite) == RECORDED["keys"]["invite"]


def test_our_two_sides_get_the_example_s_code(monkeypatch: pytest.MonkeyPatch) -> None:
    nonces = iter((data("code", "n_I"), data("code", "n_R")))
    monkeypatch.setattr(secrets, "token_bytes", lambda size: next(nonces))
    h = data("message 3", "h 3")
    initiator, listener = CodeRun(h, initiator=True), CodeRun(h, initiator=False)
    [commit] = initiator.start()
    [nonce] = listener.receive(*commit)
    [opened] = initiator.receive(*nonce)
    assert listener.receive(*opened) == []
    values = {"commit": "commit", "nonce": "n_R", "open": "n_I"}
    assert [commit, nonce, opened] == [(step, data("code", name)) for step, name in values.items()]
    assert initiator.code == listener.code == RECORDED["code"]["code"]


def test_our_two_sides_compare_the_example_s_word(monkeypatch: pytest.MonkeyPatch) -> None:
    for side, name in ((SPAKE2_A, "x"), (SPAKE2_B, "y")):
        drawn = int.from_bytes(data("word", name), "little").to_bytes(64, "big")
        with_drawn = functools.partial(side, entropy_f=lambda size, drawn=drawn: drawn)
        monkeypatch.setattr(spake2, side.__name__, with_drawn)
    h = data("message 3", "h 3")
    typed = RECORDED["word"]["typed"]
    initiator = WordRun(h, verify.prepare_word(typed), initiator=True)
    listener = WordRun(h, verify.prepare_word(typed), initiator=False)
    [a] = initiator.start()
    [b] = listener.receive(*a)
    [confirm] = initiator.receive(*b)
    assert listener.receive(*confirm) == []
    assert [a, b, confirm] == [(step, data("word", step)) for step in ("a", "b", "confirm")]
    assert initiator.matched
    assert listener.matched


def test_the_example_s_line_serves_a_classic_listener_too(monkeypatch: pytest.MonkeyPatch) -> None:
    nonce, client_id = data("classic", "nonce"), text("classic", "client id")
    monkeypatch.setattr(secret, "random_nonce", lambda: nonce)
    listener = Link(Role.LISTENER, keys=pair("classic", "listener private"))
    identity, keys = (pair("keys", f"alice {kind} private") for kind in ("static", "ephemeral"))
    dialer = Link(Role.DIALER, client_id, identity=identity, keys=keys)
    assert dialer.data_to_send() == text("classic", "line")
    assert listener.receive_data(text("classic", "line")) == [HandshakeDone(LinkKind.CLASSIC)]
    assert listener.data_to_send() == text("classic", "answer")
    assert dialer.receive_data(text("classic", "answer")) == [HandshakeDone(LinkKind.CLASSIC)]
    dialer.say(RECORDED["classic"]["text"])
    assert dialer.data_to_send() == data("classic", "frame")
    said = Said(RECORDED["classic"]["text"], client_id)
    assert listener.receive_data(data("classic", "frame")) == [said]


if __name__ == "__main__":
    write()
