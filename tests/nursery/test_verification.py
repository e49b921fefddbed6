"""The rules around a verification: asks, tries, what is told, and somebody who tries to cheat."""

import contextlib
import hashlib
import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterable

import pytest

from fantom_trio.nursery.trials import MAX_TRIES, How, Trials, TrialsUsedUp
from fantom_trio.nursery.verification import (
    CodeReady,
    Failed,
    Matched,
    Outcome,
    Verification,
    Wished,
)
from fantom_trio.wire.records import Verify
from fantom_trio.wire.secret import Secret
from fantom_trio.wire.verify import Flaw, VerificationFailed, WordRun, code, prepare_word
from tests.wire.test_verify import RUNS, likely

HASH = bytes(range(64))
STEPS = ("commit", "nonce", "open", "a", "b", "confirm", "", "nonsense")


class Person:
    """A user at one end of a link, who sees what is told."""

    def __init__(
        self, *, initiator: bool, trials: Trials | None = None, handshake_hash: bytes = HASH
    ) -> None:
        self.trials = trials or Trials()
        self.verification = Verification(handshake_hash, initiator=initiator, trials=self.trials)
        self.told: list[Outcome] = []

    def ask(self, how: How, word: str = "mellon") -> list[Verify]:
        if how is How.CODE:
            return self.verification.ask_code()
        return self.verification.ask_word(prepare_word(word))

    def receive(self, records: Iterable[Verify]) -> list[Verify]:
        answers = []
        for record in records:
            sent, outcome = self.verification.received(record)
            answers += sent
            if outcome is not None:
                self.told.append(outcome)
        return answers

    def end(self) -> None:
        self.told += self.verification.end()

    def try_of(self, how: How) -> int:
        return self.trials.code if how is How.CODE else self.trials.word


def two_people() -> tuple[Person, Person]:
    return Person(initiator=True), Person(initiator=False)


def carry(sender: Person, receiver: Person, records: list[Verify], steps: int = 100) -> None:
    """Carry ``records``, and what they are answered with, for so many legs."""
    for _ in range(steps):
        records = receiver.receive(records)
        sender, receiver = receiver, sender


def verify(how: How, first: Person, second: Person, words: tuple[str, str] = ("a", "a")) -> None:
    """Both users want it, the first one first."""
    carry(first, second, first.ask(how, words[0]))
    carry(second, first, second.ask(how, words[1]))


def started(how: How, *, initiator: bool) -> Person:
    """Somebody who has sent the run's first message of their own, and waits for the next."""
    person, peer = two_people() if initiator else two_people()[::-1]
    person.receive(peer.ask(how))
    answers = person.ask(how)
    if not initiator:
        person.receive(peer.receive(answers))
    assert person.try_of(how) == 1
    person.told.clear()
    return person


def begun(how: How) -> Person:
    """A listener who asked, was asked, and has heard nothing more."""
    person = Person(initiator=False)
    person.ask(how)
    person.receive([record(how.value, "ask")])
    return person


def record(how: str, step: str, data: bytes | None = None) -> Verify:
    return Verify(how=how, step=step, data=data)


# What both want, and get.


@pytest.mark.parametrize("listener_first", [False, True])
def test_both_see_one_code_and_its_answer_closes_it(listener_first: bool) -> None:
    alice, bob = two_people()
    first, second = (bob, alice) if listener_first else (alice, bob)
    verify(How.CODE, first, second)
    shown = alice.verification.code
    assert shown is not None
    assert bob.verification.code == shown
    assert first.told == [CodeReady(shown)]
    assert second.told == [Wished(How.CODE), CodeReady(shown)]
    assert (alice.trials, bob.trials) == (Trials(code=1), Trials(code=1))
    alice.verification.settle_code()
    assert alice.verification.code is None
    assert bob.verification.code == shown
    with pytest.raises(LookupError):
        alice.verification.settle_code()


@pytest.mark.parametrize("listener_first", [False, True])
def test_the_same_word_verifies_both(listener_first: bool) -> None:
    alice, bob = two_people()
    first, second = (bob, alice) if listener_first else (alice, bob)
    verify(How.WORD, first, second, ("cafe\u0301", " caf\u00e9"))
    assert first.told == [Matched()]
    assert second.told == [Wished(How.WORD), Matched()]
    assert (alice.trials, bob.trials) == (Trials(word=1), Trials(word=1))


def test_a_differing_word_is_told_on_both_sides_and_costs_each_a_try() -> None:
    alice, bob = two_people()
    verify(How.WORD, alice, bob, ("mellon", "melon"))
    assert alice.told == [Failed(How.WORD, Flaw.WORD_DIFFERS)]
    assert bob.told == [Wished(How.WORD), Failed(How.WORD, Flaw.WORD_DIFFERS)]
    assert (alice.trials, bob.trials) == (Trials(word=1), Trials(word=1))
    verify(How.WORD, alice, bob, ("mellon", "mellon"))
    assert alice.told[-1] == bob.told[-1] == Matched()


@pytest.mark.parametrize("how", list(How))
def test_asks_that_cross_begin_one_run(how: How) -> None:
    alice, bob = two_people()
    from_alice, from_bob = alice.ask(how), bob.ask(how)
    to_bob, to_alice = alice.receive(from_bob), bob.receive(from_alice)
    assert to_alice == []
    carry(alice, bob, to_bob)
    assert alice.told == bob.told
    assert [type(each) for each in alice.told] == [CodeReady if how is How.CODE else Matched]


def test_one_asks_for_a_code_and_the_other_for_a_word_and_both_come_to_their_end() -> None:
    alice, bob = two_people()
    from_alice, from_bob = alice.ask(How.CODE), bob.ask(How.WORD)
    carry(alice, bob, from_alice)
    carry(bob, alice, from_bob)
    assert (alice.told, bob.told) == ([Wished(How.WORD)], [Wished(How.CODE)])
    # Both give in at once: two runs side by side, their steps mixed.
    to_bob, to_alice = alice.ask(How.WORD), bob.ask(How.CODE)
    while to_bob or to_alice:
        to_bob, to_alice = alice.receive(to_alice), bob.receive(to_bob)
    for person in (alice, bob):
        assert {type(each) for each in person.told} == {Wished, CodeReady, Matched}
        assert person.trials == Trials(code=1, word=1)
    assert alice.verification.code == bob.verification.code


# Asking.


@pytest.mark.parametrize("how", list(How))
def test_asking_twice_sends_one_ask(how: How) -> None:
    person = Person(initiator=True)
    assert person.ask(how) == [record(how.value, "ask")]
    assert person.ask(how) == []


@pytest.mark.parametrize("how", list(How))
def test_asking_during_a_run_sends_nothing_and_keeps_the_run(how: How) -> None:
    alice, bob = two_people()
    alice.ask(how)
    records = alice.receive(bob.ask(how))
    assert alice.ask(how) == []
    bob.receive([record(how.value, "ask")])
    assert bob.ask(how) == []
    carry(alice, bob, records)
    assert [type(each) for each in alice.told] == [CodeReady if how is How.CODE else Matched]


def test_asking_while_a_code_waits_sends_nothing_and_keeps_the_code() -> None:
    alice, bob = two_people()
    verify(How.CODE, alice, bob)
    shown = alice.verification.code
    assert alice.ask(How.CODE) == []
    assert alice.verification.code == shown


def test_a_word_typed_again_before_the_run_replaces_the_first() -> None:
    alice, bob = two_people()
    first, second = prepare_word("melon"), prepare_word("mellon")
    asks = alice.verification.ask_word(first)
    assert alice.verification.ask_word(second) == []
    assert first.wiped
    assert not second.wiped
    bob.receive(asks)
    carry(bob, alice, bob.ask(How.WORD, "mellon"))
    assert alice.told == [Matched()]


@pytest.mark.parametrize("how", list(How))
def test_a_wish_is_told_once_until_our_user_reacts(how: How) -> None:
    alice, bob = two_people()
    for _ in range(100):
        assert bob.receive([record(how.value, "ask")]) == []
    assert bob.told == [Wished(how)]
    alice.ask(how)
    carry(bob, alice, bob.ask(how))
    bob.receive([record(how.value, "ask")] * 100)
    assert Counter(map(type, bob.told))[Wished] == 2


@pytest.mark.parametrize("how", list(How))
@pytest.mark.parametrize("initiator", [False, True])
def test_nothing_restarts_without_both_users(how: How, initiator: bool) -> None:
    person = started(how, initiator=initiator)
    person.receive([record(how.value, "nonsense", b"")])
    assert person.told == [Failed(how, Flaw.OUT_OF_TURN)]
    assert person.ask(how) == [record(how.value, "ask")]  # the peer's ask was used up
    again = started(how, initiator=initiator)
    again.receive([record(how.value, "nonsense", b"")])
    assert again.receive([record(how.value, "ask")]) == []  # and so was ours
    assert again.told[1:] == [Wished(how)]


@pytest.mark.parametrize("how", list(How))
@pytest.mark.parametrize("initiator", [False, True])
def test_an_ask_during_a_run_ends_it_and_stands_for_the_next(how: How, initiator: bool) -> None:
    person = started(how, initiator=initiator)
    assert person.receive([record(how.value, "ask")] * 100) == []
    assert person.told == [Failed(how, Flaw.OUT_OF_TURN)]
    steps = [each.step for each in person.ask(how)]
    assert steps == (["ask", "commit" if how is How.CODE else "a"] if initiator else ["ask"])


# What a peer may do wrong.


@pytest.mark.parametrize("how", [*(how.value for how in How), "", "nonsense"])
@pytest.mark.parametrize("initiator", [False, True])
def test_steps_that_nobody_asked_for_are_passed_over(how: str, initiator: bool) -> None:
    person = Person(initiator=initiator)
    noise = [
        record(how, step, data) for step in STEPS for data in (None, b"", bytes(32), bytes(33))
    ]
    assert person.receive([*noise, record(how, "ask", b"data")]) == []
    assert person.told == []
    assert person.trials == Trials()


@pytest.mark.parametrize("how", list(How))
@pytest.mark.parametrize("step", STEPS)
def test_a_step_before_the_peer_asked_fails_once_and_costs_nothing(how: How, step: str) -> None:
    for initiator in (False, True):
        person = Person(initiator=initiator)
        person.ask(how)
        assert person.receive([record(how.value, step, bytes(32))] * 100) == []
        assert person.told == [Failed(how, Flaw.OUT_OF_TURN)]
        assert person.trials == Trials()


@pytest.mark.parametrize("how", list(How))
@pytest.mark.parametrize("initiator", [False, True])
def test_whatever_comes_in_a_run_is_told_once_and_never_raised(how: How, initiator: bool) -> None:
    for step, data in itertools.product(STEPS, (None, b"", bytes(32), bytes(33), bytes(65))):
        person = started(how, initiator=initiator)
        due = ("nonce", "b") if initiator else ("open", "confirm")
        if how is How.CODE and initiator and (step, data) == ("nonce", bytes(32)):
            continue  # that is an honest one
        assert person.receive([record(how.value, step, data)] * 100) == []
        [failed] = person.told
        assert isinstance(failed, Failed)
        assert failed.how is how
        if step not in due:
            assert failed.flaw is (Flaw.MALFORMED if data is None else Flaw.OUT_OF_TURN)
        assert person.try_of(how) == 1


def test_an_unknown_way_fails_what_our_user_takes_and_nothing_else() -> None:
    person = Person(initiator=True)
    for how in How:
        person.ask(how)
    assert person.receive([record("palantir", "ask")] * 100) == []
    assert person.told == [Failed(How.CODE, Flaw.MALFORMED), Failed(How.WORD, Flaw.MALFORMED)]
    for how in How:
        running = started(how, initiator=True)
        running.receive([record("palantir", "nonsense")])
        assert running.told == [Failed(how, Flaw.MALFORMED)]


@pytest.mark.parametrize("how", list(How))
def test_a_first_step_that_is_malformed_costs_no_try(how: How) -> None:
    person = begun(how)
    assert person.receive([record(how.value, "commit" if how is How.CODE else "a", b"?")]) == []
    assert person.told == [Failed(how, Flaw.MALFORMED)]
    assert person.trials == Trials()


# The link's end.


@pytest.mark.parametrize("how", list(How))
@pytest.mark.parametrize("initiator", [False, True])
def test_a_run_that_is_cut_is_told_once(how: How, initiator: bool) -> None:
    person = started(how, initiator=initiator)
    for _ in range(2):
        person.end()
    assert person.told == [Failed(how, None)]


def test_a_code_that_nobody_answered_fails_with_its_link_and_an_answered_one_does_not() -> None:
    alice, bob = two_people()
    verify(How.CODE, alice, bob)
    alice.verification.settle_code()
    for person in (alice, bob):
        person.told.clear()
        person.end()
        assert person.verification.code is None
    assert alice.told == []
    assert bob.told == [Failed(How.CODE, None)]


def test_both_runs_that_are_cut_are_told() -> None:
    alice, bob = two_people()
    for how in How:
        alice.receive(bob.ask(how))
        alice.ask(how)
    alice.told.clear()
    alice.end()
    assert alice.told == [Failed(How.CODE, None), Failed(How.WORD, None)]


@pytest.mark.parametrize("how", list(How))
def test_what_had_not_begun_ends_without_a_word(how: How) -> None:
    asked, wished = two_people()
    wished.receive(asked.ask(how))
    listener = begun(how)
    for person in (asked, wished, listener):
        person.told.clear()
        person.end()
        assert person.told == []
        assert person.trials == Trials()


def test_the_word_is_wiped_whatever_happens() -> None:
    def asked(word: Secret, trials: Trials | None = None) -> Person:
        person = Person(initiator=False, trials=trials)
        person.verification.ask_word(word)
        return person

    words = [prepare_word("mellon") for _ in range(7)]
    asked(words[0]).end()
    waiting = asked(words[1])
    waiting.receive([record("word", "ask")])
    assert not words[1].wiped
    waiting.end()
    failing = asked(words[2])
    failing.receive([record("word", "ask"), record("word", "nonsense")])
    with pytest.raises(TrialsUsedUp):
        asked(words[3], Trials(word=3))
    trials = Trials()
    outrun = asked(words[4], trials)
    trials.word = 3
    outrun.receive([record("word", "ask")])
    running = begun(How.WORD)
    running.verification.ask_word(words[5])
    asked(words[6]).receive([record("word", "commit", b"")])
    assert all(word.wiped for word in words)


# Three tries.


@pytest.mark.parametrize("how", list(How))
def test_there_are_three_tries_and_links_give_none_back(how: How) -> None:
    trials, told = (Trials(), Trials()), []
    for _ in range(MAX_TRIES):
        alice = Person(initiator=True, trials=trials[0])
        bob = Person(initiator=False, trials=trials[1])
        verify(how, alice, bob, ("mellon", "melon"))
        told.append(type(alice.told[0]))
        alice.end()
    assert told == [CodeReady if how is How.CODE else Failed] * 3
    assert [getattr(each, how.value) for each in trials] == [3, 3]
    last = Person(initiator=True, trials=trials[0])
    with pytest.raises(TrialsUsedUp):
        last.ask(how)
    assert last.receive([record(how.value, "ask")] * 3) == []
    assert last.told == []
    other = How.WORD if how is How.CODE else How.CODE
    assert last.ask(other) == [record(other.value, "ask")]


@pytest.mark.parametrize("how", list(How))
@pytest.mark.parametrize("initiator", [False, True])
def test_the_third_try_itself_comes_to_its_end(how: How, initiator: bool) -> None:
    trials = Trials(code=2, word=2)
    person = Person(initiator=initiator, trials=trials)
    peer = Person(initiator=not initiator)
    verify(how, person, peer)
    assert person.told == [
        CodeReady(peer.verification.code or "") if how is How.CODE else Matched()
    ]
    assert person.try_of(how) == 3


@pytest.mark.parametrize("how", list(How))
@pytest.mark.parametrize("initiator", [False, True])
def test_an_ask_on_a_second_link_gives_no_fourth_try(how: How, initiator: bool) -> None:
    trials = Trials(code=2, word=2)
    other = Person(initiator=initiator, trials=trials)
    other.ask(how)
    running = Person(initiator=False, trials=trials)
    running.ask(how)
    running.receive([record(how.value, "ask")])
    verify(how, Person(initiator=initiator, trials=trials), Person(initiator=not initiator))
    assert other.try_of(how) == 3
    peer = Person(initiator=True)
    peer.receive([record(how.value, "ask")])
    asks_and_more = peer.ask(how)
    assert other.receive(asks_and_more) == []
    assert running.receive(asks_and_more[1:]) == []
    assert other.told == running.told == []
    assert other.try_of(how) == 3


# A man in the middle of the word, and one who guesses it.


def test_a_man_in_the_middle_who_passes_the_steps_on_is_caught_by_the_word() -> None:
    alice = Person(initiator=True, handshake_hash=bytes(64))
    bob = Person(initiator=False, handshake_hash=HASH)
    verify(How.WORD, alice, bob, ("mellon", "mellon"))
    for person in (alice, bob):
        assert person.told[-1] == Failed(How.WORD, Flaw.WORD_DIFFERS)
        assert person.trials == Trials(word=1)


def guess(victim: Person, word: str, *, initiator: bool) -> str:
    """What somebody learns who tries ``word`` on a victim who asked."""
    mallory = WordRun(HASH, prepare_word(word), initiator=initiator)
    moves = mallory.start()
    records = victim.receive([record("word", "ask")])
    records += victim.receive(record("word", *move) for move in moves)
    while records:
        try:
            [move] = mallory.receive(records[0].step, records[0].data or b"")
        except VerificationFailed:
            return "wrong"
        records = victim.receive([record("word", *move)])
    return "right" if mallory.matched else "no answer"


@pytest.mark.parametrize("initiator", [False, True])
def test_who_guesses_the_word_has_three_guesses_for_an_identity(initiator: bool) -> None:
    def learnt(word: str, trials: Trials) -> str:
        victim = Person(initiator=not initiator, trials=trials)
        with contextlib.suppress(TrialsUsedUp):
            victim.ask(How.WORD, "mellon")
        answer = guess(victim, word, initiator=initiator)
        assert (Matched() in victim.told) is (answer == "right")
        return answer

    trials = Trials()
    guesses = ("speak", "friend", "enter", "mellon", "mellon")
    assert [learnt(each, trials) for each in guesses] == ["wrong"] * 3 + ["no answer"] * 2
    assert trials == Trials(word=3)
    if initiator:
        assert learnt("mellon", Trials(word=2)) == "right"


# A man in the middle of the code, who dialed both and so is the initiator on either link: it knows
# both codes before it opens anything, cuts where they differ, and tries again. A hit is one code,
# cut to three digits, on both screens.


class Victim:
    """Somebody who never gives up: each failure is followed by a new link and another /verify.

    When the tries are used up Mallory has to come as somebody new.
    """

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.seen: list[Outcome] = []
        self.identities = 1
        self.trials = Trials()

    def meet(self) -> None:
        """A new link, and the user types /verify on it."""
        self.hash = self.dice.randbytes(64)
        if self.trials.used_up(How.CODE):
            self.trials = Trials()
            self.identities += 1
        self.person = Person(initiator=False, trials=self.trials, handshake_hash=self.hash)
        self.person.ask(How.CODE)

    def peek(self) -> str:
        """Mallory's view of a new run, up to where it alone knows the code."""
        self.meet()
        self.nonce = self.dice.randbytes(32)
        committed = hashlib.blake2b(b"fantom/2 commit" + self.hash + self.nonce, digest_size=32)
        steps = [record("code", "ask"), record("code", "commit", committed.digest())]
        [answer] = self.person.receive(steps)
        assert answer.data is not None
        return code(self.hash, self.nonce, answer.data, digits=3)

    def show(self) -> str:
        """Mallory opens, and the code is on the screen."""
        self.person.receive([record("code", "open", self.nonce)])
        return (self.person.verification.code or "")[-3:]

    def part(self) -> None:
        """The link ends, a code that was shown being settled."""
        if self.person.verification.code is not None:
            self.person.verification.settle_code()
        self.person.end()
        self.seen += self.person.told


class Trusting(Victim):
    """The weakened rule: a run that is cut is not told and not counted, and begins again."""

    def part(self) -> None:
        super().part()
        self.trials = Trials()
        if self.seen[-1] == Failed(How.CODE, None):
            self.seen.pop()


Attack = Callable[[Victim, Victim], bool]


def cuts_both(alice: Victim, bob: Victim) -> bool:
    """Commit to both, and open where both codes are one."""
    hit = alice.peek() == bob.peek()
    if hit:
        assert alice.show() == bob.show()
    alice.part()
    bob.part()
    return hit


def cuts_one(alice: Victim, bob: Victim) -> bool:
    """Alice's code stands on her screen, and Bob is tried."""
    if not alice.seen:
        alice.peek()
        alice.seen.append(CodeReady(alice.show()))
    hit = bob.peek() == alice.seen[0].code  # type: ignore[union-attr]
    if hit:
        assert bob.show() == alice.seen.pop().code  # type: ignore[union-attr]
    bob.part()
    return hit


@pytest.mark.parametrize("attack", [cuts_both, cuts_one])
def test_who_cuts_and_retries_has_one_guess_in_a_thousand_for_each_run_that_is_seen(
    attack: Attack,
) -> None:
    dice = random.Random(7)
    alice, bob = Victim(dice), Victim(dice)
    hits = sum(attack(alice, bob) for _ in range(RUNS))
    assert hits in likely(RUNS)
    # Bob saw every single run, and no more than three of one identity.
    assert Counter(map(type, bob.seen)) == Counter({Failed: RUNS - hits, CodeReady: hits})
    assert bob.identities == -(-RUNS // MAX_TRIES)
    if attack is cuts_both:
        assert len(alice.seen) == RUNS


@pytest.mark.parametrize("attack", [cuts_both, cuts_one])
def test_with_silent_retries_the_same_attacker_hits_in_the_only_run_that_is_seen(
    attack: Attack,
) -> None:
    """It misses with 0.999^20,000, once in 500 million times."""
    for seed in range(5):
        dice = random.Random(seed)
        alice, bob = Trusting(dice), Trusting(dice)
        assert any(attack(alice, bob) for _ in range(20_000))
        assert [type(each) for each in bob.seen] == [CodeReady]
        assert bob.identities == 1
