"""The models prove what they say, are attacked where they are weakened, and follow the code."""

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from itertools import islice

import pytest

from fantom_trio.nursery.trials import MAX_TRIES, Trials, TrialsUsedUp
from fantom_trio.nursery.verification import (
    CodeReady,
    Failed,
    Verification,
)
from fantom_trio.wire import Link, RemoteProtocolError, Role, fingerprint
from fantom_trio.wire.delivery import Cursor, Delivery
from fantom_trio.wire.native import stays_initiator
from fantom_trio.wire.records import Hello, Say, Verify
from fantom_trio.wire.secret import KeyPair
from tests.model import spin
from tests.model.__main__ import main
from tests.model.spin import PROVED, RUNS, Run

pytestmark = pytest.mark.skipif(
    bool(spin.missing()), reason=f"not installed: {', '.join(spin.missing())}"
)

#: ``make model`` runs all of them, for two minutes.
TRIED = (
    "handshake", "handshake NO_SE", "code", "code NO_COMMITMENT", "code NO_LIMIT", "links 0-1-0-3",
    "links NO_JUDGE 0-0-0-3", "links NO_TIE 0-0-0-3", "links NO_IDS 2-1-0-2",
)  # fmt: skip
SHORT = [run for run in RUNS if run.name in TRIED]


@pytest.mark.slow
@pytest.mark.parametrize("run", SHORT, ids=lambda run: run.name)
def test_a_model_is_proved_and_a_weakened_one_is_attacked(run: Run) -> None:
    assert spin.search(run).found == run.expected


def test_every_model_is_proved_in_some_bounds_and_attacked_in_others() -> None:
    models = {path.stem for path in spin.FOLDER.glob("*.pml")}
    assert len(SHORT) == len(TRIED)
    assert {run.model for run in SHORT if run.expected == PROVED} == models
    assert {run.model for run in SHORT if run.expected != PROVED} == models


@pytest.mark.parametrize(("expected", "status"), [("both have one code", 0), (PROVED, 1)])
def test_what_is_not_found_as_expected_ends_with_1(
    expected: str, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = (Run("code", "NO_ATTACKER", expected=expected),)
    monkeypatch.setattr("tests.model.__main__.RUNS", runs)
    assert main() == status
    assert ("BAD" in capsys.readouterr().out) == bool(status)


def events_of(row: int, kinds: int, depth: int) -> Iterator[int]:
    """The row's digits, the last one first."""
    for _ in range(depth):
        row, event = divmod(row, kinds)
        yield event


# The verification by code.

HASH = bytes(64)
NONCE = b"1" * 32
COMMITMENT = hashlib.blake2b(b"fantom/2 commit" + HASH + NONCE, digest_size=32).digest()
STEPS = {
    1: ("ask", None),
    2: ("commit", COMMITMENT),
    3: ("nonce", NONCE),
    4: ("open", NONCE),
    5: ("open", b"2" * 32),
}


class Verified:
    """One side of the real thing, as ``code.pml`` sees it."""

    def __init__(self, role: int) -> None:
        self.initiator = bool(role & 1)
        self.trials = Trials(code=role >> 1 << 1)
        self.told = 0
        self._link()

    def _link(self) -> None:
        self.verification = Verification(HASH, initiator=self.initiator, trials=self.trials)
        (self.way, _) = self.verification._ways.values()

    def event(self, what: int) -> None:
        counted = self.way.counted
        told: object = None
        if what == 0:
            with contextlib.suppress(TrialsUsedUp):
                self.verification.ask_code()
        elif what == 6:
            told = next(iter(self.verification.end()), None)
            self._link()
        else:
            step, data = STEPS[what]
            told = self.verification.received(Verify("code", step, data))[1]
        self.told += counted and isinstance(told, CodeReady | Failed)

    def __str__(self) -> str:
        run = self.way.run
        due = "nothing" if run is None else run._due
        facts = self.way.asked, self.way.wished, self.way.counted, self.verification.code
        return f"{[bool(each) for each in facts]} {due} {self.trials.code} {self.told}"


def test_a_side_of_the_code_does_what_the_model_says_in_every_row_of_five_events() -> None:
    count = 0
    for role, row, *facts, due, trials, told in spin.rows("code"):
        real = Verified(int(role))
        for event in events_of(int(row), 7, 5):
            real.event(event)
        modelled = f"{[fact == '1' for fact in facts]} {due.lower()} {trials} {told}"
        assert str(real) == modelled, (role, row)
        count += 1
    assert count == 4 * 7**5


def test_the_tries_are_as_many_as_in_the_model() -> None:
    assert f"#define MAX_TRIES {MAX_TRIES} " in (spin.FOLDER / "code.pml").read_text()


# Delivery.


class Delivered:
    """The real thing with two links, as ``links.pml`` sees it."""

    def __init__(self) -> None:
        self.delivery: Delivery[int] = Delivery()
        self.cursors = [Cursor(1), Cursor(1)]
        self.written = 0
        self.lie = False

    def event(self, what: int) -> None:
        acts: list[Callable[[], object]] = [
            self._write,
            lambda: self._say(0),
            lambda: self._say(1),
            lambda: self.delivery.acknowledge(1),
            lambda: self.delivery.acknowledge(2),
            lambda: self._start(0, maybe_stale=False),
            lambda: self._start(1, maybe_stale=False),
            lambda: self._start(0, maybe_stale=True),
            lambda: self.delivery.take(Say(self.written + 1, "", 0)),
        ]
        try:
            acts[what]()
        except RemoteProtocolError:
            self.lie = True

    def _write(self) -> None:
        self.written += 1
        self.delivery.queue("x", 0, self.written)

    def _say(self, link: int) -> None:
        assert len(self.delivery.next_says(self.cursors[link], most_bytes=1)) <= 1

    def _start(self, received: int, *, maybe_stale: bool) -> None:
        hello = Hello(0, "", received, received)
        self.cursors[1], _ = self.delivery.start(hello, maybe_stale=maybe_stale)

    def __str__(self) -> str:
        delivery = self.delivery
        counts = self.written, delivery._sent, delivery.acknowledged, delivery.received
        nexts = [each.next_id for each in self.cursors]
        return " ".join(map(str, (*counts, *nexts, int(self.lie))))


def test_a_delivery_does_what_the_model_says_in_every_row_of_five_events() -> None:
    count = 0
    for row, *modelled in spin.rows("links"):
        real = Delivered()
        for event in events_of(int(row), 9, 5):
            if not real.lie:
                real.event(event)
        assert str(real) == " ".join(modelled), row
        count += 1
    assert count == 9**5


# The handshake.


def ordered_keys() -> list[KeyPair]:
    """LOW, Alice's, Bob's and HIGH, by their hashes."""
    keys = [KeyPair.generate() for _ in range(4)]
    return sorted(keys, key=lambda each: hashlib.sha256(each.public).digest())


def test_the_tie_falls_as_in_the_model() -> None:
    low, alice, bob, high = ordered_keys()
    keys = {"1": low, "2": high, "3": alice, "4": bob}
    rows = [row for what, *row in spin.rows("handshake") if what == "stays"]
    for own, peer, stays in rows:
        assert stays_initiator(keys[own].public, keys[peer].public) == (stays == "1")
    assert len(rows) == 16


def says_more(own: KeyPair, peer: KeyPair, expected: KeyPair | None) -> bool:
    """Whether message 3 goes out to a listener with that identity."""
    name = None if expected is None else fingerprint(expected.public)
    dialer = Link(Role.DIALER, identity=own, expected=name)
    listener = Link(Role.LISTENER, identity=peer)
    listener.receive_data(bytes(dialer.data_to_send()))
    with contextlib.suppress(RemoteProtocolError):
        dialer.receive_data(bytes(listener.data_to_send()))
    return bool(dialer.data_to_send())


def test_a_dial_says_more_to_whom_the_model_says_and_nobody_else() -> None:
    keys = dict(zip("123", islice(iter(KeyPair.generate, None), 3), strict=True))
    rows = [row for what, *row in spin.rows("handshake") if what == "checked"]
    for expected, peer, taken in rows:
        assert says_more(keys["1"], keys[peer], keys.get(expected)) == (taken == "1")
    assert len(rows) == 12
