"""Verifying a peer, with somebody in between who drops, changes, repeats and makes up steps.

SPAKE2 is replaced by a hash of the word and of what was said: the real one takes milliseconds.
"""

import hashlib
from collections import deque
from unittest import mock

from hypothesis import strategies as st

from fantom_trio.nursery.trials import MAX_TRIES, How, Trials, TrialsUsedUp
from fantom_trio.nursery.verification import (
    CodeReady,
    Failed,
    Matched,
    Outcome,
    Verification,
    Wished,
)
from fantom_trio.wire import Secret, Verify, verify
from fantom_trio.wire.records import encode
from tests.fuzz.choices import Choices, compose
from tests.fuzz.harness import Harness, all_wiped, front_and_numbers

__all__ = ["VERIFY"]

HOWS = ("code", "word", "", "later")
STEPS = ("ask", "commit", "nonce", "open", "a", "b", "confirm", "")
SIZES = (0, 32, 33, 65, 1, 31, 64, 66, 1024)


class _Spake:
    """The interface of the library's, and ways to fail as various as its own."""

    letter, other = b"A", b"B"

    def __init__(self, word: bytes, *, idA: bytes, idB: bytes) -> None:  # noqa: N803
        self._word = hashlib.sha256(word).digest()
        self._ids = idA + idB

    def start(self) -> bytes:
        self._ours = self.letter + hashlib.sha256(self.letter + self._ids).digest()
        return self._ours

    def finish(self, theirs: bytes) -> bytes:
        if not theirs.startswith(self.other):
            raise AssertionError("the wrong side")
        if theirs[-1] == 0:
            raise ValueError("no point")
        both = b"".join(sorted((self._ours, theirs)))
        return hashlib.sha256(self._word + self._ids + both).digest()


class _SpakeB(_Spake):
    letter, other = b"B", b"A"


class _Side:
    """One of the two, and what its user saw."""

    def __init__(self, hashed: bytes, *, initiator: bool) -> None:
        self.trials = Trials()
        self.verification = Verification(hashed, initiator=initiator, trials=self.trials)
        #: What its user did, what was told of each way, and the words that were typed.
        self.asks = 0
        #: Links that there were, this one among them: each begins anew.
        self.links = 1
        self.told: list[Outcome] = []
        self.words: set[bytes] = set()

    def ask_code(self) -> list[Verify]:
        self.asks += 1
        try:
            return self.verification.ask_code()
        except TrialsUsedUp:
            assert self.trials.code >= MAX_TRIES
            return []

    def ask_word(self, word: bytes) -> list[Verify]:
        self.asks += 1
        self.words.add(word)
        secret = Secret.copy_of(word)
        try:
            return self.verification.ask_word(secret)
        except TrialsUsedUp:
            assert self.trials.word >= MAX_TRIES
            assert secret.wiped
            return []

    def receive(self, record: Verify) -> list[Verify]:
        answers, outcome = self.verification.received(record)
        if outcome is not None:
            self.told.append(outcome)
        return answers

    def relink(self) -> None:
        self.links += 1
        self.verification.end()

    def settle(self) -> None:
        if self.verification.code is not None:
            self.verification.settle_code()

    def check(self) -> None:
        assert self.trials.code <= MAX_TRIES
        assert self.trials.word <= MAX_TRIES
        # A peer cannot fill the screen.
        assert len(self.told) <= len(How) * (self.links + 2 * self.asks), self.told
        failed = [each for each in self.told if isinstance(each, Failed)]
        assert len(failed) <= 2 * self.asks, "failed, and nobody had asked"
        codes = [each for each in self.told if isinstance(each, CodeReady)]
        assert len(codes) <= self.trials.code, "a code that was not counted"
        assert all(len(each.code) == 8 and each.code.isdecimal() for each in codes)
        wished = [each for each in self.told if isinstance(each, Wished)]
        assert len(wished) <= 2 * (self.links + self.asks)


def run(data: bytes) -> None:
    """Numbers: whether somebody is in between, then who does what."""
    choices = Choices(data)
    between = choices.flag()
    hashes = [bytes(64), bytes([between]) * 64]
    with all_wiped(), mock.patch.multiple("spake2", SPAKE2_A=_Spake, SPAKE2_B=_SpakeB):
        _talk(choices, [_Side(hashes[0], initiator=True), _Side(hashes[1], initiator=False)])


def _talk(choices: Choices, sides: list[_Side]) -> None:
    lines: list[deque[Verify]] = [deque(), deque()]  # to each
    tampered = sides[0].verification._hash != sides[1].verification._hash
    while len(choices):
        step, at = choices.number(10), choices.number(2)
        side, to_it, from_it = sides[at], lines[at], lines[1 - at]
        if step == 0:
            from_it += side.ask_code()
        elif step == 1:
            from_it += side.ask_word(b"word" if choices.flag() else b"other")
        elif step == 2:
            side.settle()
        elif step in (3, 4, 5) and to_it:
            from_it += side.receive(to_it.popleft())
        elif step == 6 and to_it:
            tampered = True
            change = choices.number(4)
            if change == 0:
                to_it.popleft()
            elif change == 1:
                to_it.appendleft(to_it[0])
            else:
                to_it[0] = _changed(to_it[0], choices)
        elif step == 7:
            tampered = True
            from_it += side.receive(_made_up(choices))
        elif step == 8 and choices.number(8) == 0:
            tampered = True
            side.relink()
        for each in sides:
            each.check()
        assert all(len(encode(record)) <= 1200 for line in lines for record in line)
    while not tampered and any(lines):
        for at in range(2):
            while lines[at]:
                lines[1 - at] += sides[at].receive(lines[at].popleft())
    _judge(sides, tampered=tampered)
    for each in sides:
        failed = each.verification.end()
        assert len(failed) <= len(How)
        assert each.verification.end() == []
        assert each.verification.code is None


def _judge(sides: list[_Side], *, tampered: bool) -> None:
    one, other = sides
    matched = [any(isinstance(told, Matched) for told in each.told) for each in sides]
    same_hash = one.verification._hash == other.verification._hash
    if any(matched):
        assert one.words & other.words, "words that differ match"
        assert same_hash, "it matches with somebody in between"
    codes = [[each.code for each in side.told if isinstance(each, CodeReady)] for side in sides]
    if not tampered:
        assert codes[0] == codes[1], "the codes differ, and nobody is in between"
        flaws = {told.flaw for side in sides for told in side.told if isinstance(told, Failed)}
        assert flaws <= {verify.Flaw.WORD_DIFFERS}, flaws
        assert matched[0] == matched[1]
    elif not same_hash:
        assert not set(codes[0]) & set(codes[1]), "the codes agree with somebody in between"


def _changed(record: Verify, choices: Choices) -> Verify:
    how, step = choices.pick((record.how, *HOWS)), choices.pick((record.step, *STEPS))
    data = bytearray(record.data or b"")
    if data:
        data[choices.number(256) % len(data)] ^= choices.number(256)
    return Verify(how, step, bytes(data) if choices.number(8) else None)


def _made_up(choices: Choices) -> Verify:
    how, step, size = choices.pick(HOWS), choices.pick(STEPS), choices.pick(SIZES)
    data = choices.take(size).ljust(size, b"\1")
    return Verify(how, step, None if choices.flag() else data)


# Where a search begins.

_PASS = (3, 0, 3, 1) * 4
VERIFY = Harness(
    "verify", run,
    [
        compose(b"", 0, 0, 0, 0, 1, *_PASS, 2, 0, 2, 1),
        compose(b"", 0, 1, 0, 1, 1, 1, 1, *_PASS),
        compose(b"", 0, 1, 0, 1, 1, 1, 0, *_PASS, 1, 1, 1, 1, 0, 1, *_PASS),
        compose(b"", 1, 0, 0, 0, 1, *_PASS, 2, 0, 2, 1),
        compose(b"", 1, 1, 0, 1, 1, 1, 1, *_PASS),
        compose(b"", 0, *(0, 0, 0, 1, *_PASS, 2, 0, 2, 1) * 4),
        compose(b"", 0, *(1, 0, 1, 1, 1, 1, *_PASS) * 4),
        compose(b"A" * 33, 0, 1, 1, 1, 7, 1, 1, 0, 0, 1, 7, 1, 1, 4, 2, 0, 7, 1, 1, 6, 1, 0),
        compose(b"A" * 32, 0, 0, 0, 7, 0, 0, 0, 0, 1, 7, 0, 0, 2, 1, 0),
        compose(b"A" * 70, 0, 1, 0, 1, 7, 0, 1, 0, 0, 1, 7, 0, 1, 5, 6, 0),
        compose(b"B" * 32 + b"\0" * 40, 0, 1, 0, 1, 7, 0, 1, 0, 0, 1, 7, 0, 1, 5, 3, 0),
        compose(b"", 0, 0, 0, 0, 1, 3, 1, 6, 0, 2, 0, 0, 0, 9, 1, *_PASS),
    ],
    front_and_numbers(st.binary(max_size=70), most=120), longest=500,
)  # fmt: skip
