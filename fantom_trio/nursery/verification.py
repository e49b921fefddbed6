"""Verifying a peer on one link: who has asked, which run is under way, how many tries are left.

Each way, code and word, has asks and a run of its own, and both may go on side by side. A run
begins when both users have asked, and uses up both asks; nothing but another ask on both sides
begins the next. A link keeps its records in order, so both sides count the same runs: an ask that
arrives during a run says that the peer's own run is over, and belongs to the next one.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from msgspec import Struct

from fantom_trio.nursery.trials import How, Trials, TrialsUsedUp
from fantom_trio.wire.records import Verify
from fantom_trio.wire.secret import Secret
from fantom_trio.wire.verify import CodeRun, Flaw, Move, VerificationFailed, WordRun

__all__ = [
    "CodeReady",
    "Failed",
    "Matched",
    "Outcome",
    "Verification",
    "Wished",
]


class Wished(Struct, frozen=True):
    """The peer asked and our user has not: a line on the screen, nothing more."""

    how: How


class CodeReady(Struct, frozen=True):
    """The code to compare. Only our own user's "same" verifies the peer."""

    code: str


class Matched(Struct, frozen=True):
    """The peer has the word: it is verified now."""


class Failed(Struct, frozen=True):
    """A run proved nothing; ``flaw`` is None where the link ended first."""

    how: How
    flaw: Flaw | None


Outcome: TypeAlias = Wished | CodeReady | Matched | Failed


@dataclass(slots=True)
class _Way:
    """Where one way stands on this link. Asks that a run has used up are not counted here."""

    #: Our user asked, and the peer was told.
    asked: bool = False
    #: The peer asked; said to the user once.
    wished: bool = False
    #: What our user typed for the run to come, which takes it over.
    word: Secret | None = field(default=None, repr=False)
    run: CodeRun | WordRun | None = None
    #: The run is one of ``Trials``: something of ours went out in it.
    counted: bool = False

    def drop_word(self) -> None:
        if self.word is not None:
            self.word.wipe()
            self.word = None

    def drop_run(self) -> None:
        if isinstance(self.run, WordRun):
            self.run.wipe()
        self.run, self.counted = None, False

    def forget(self) -> None:
        self.asked = self.wished = False
        self.drop_word()
        self.drop_run()


class Verification:
    """What one link does to verify its peer; every record it returns is to be sent, in order.

    ``initiator`` is the handshake's, after a tie too; ``trials`` are those of the peer's identity.
    A try counts when our first message of the run goes out: commitment, nonce, or SPAKE2 message.
    """

    def __init__(self, handshake_hash: bytes, *, initiator: bool, trials: Trials) -> None:
        self._hash = handshake_hash
        self._initiator = initiator
        self._trials = trials
        self._ways = {how: _Way() for how in How}
        self._code: str | None = None

    @property
    def code(self) -> str | None:
        """The code that waits for our user's answer."""
        return self._code

    def waits(self, how: How) -> bool:
        """Our user has asked, and the peer has not."""
        return self._ways[how].asked

    def ask_code(self) -> list[Verify]:
        """Our user wants a code; raises ``TrialsUsedUp``.

        Nothing is sent while that is asked already, under way, or a code waits for its answer.
        """
        return [] if self._code is not None else self._ask(How.CODE)

    def ask_word(self, word: Secret) -> list[Verify]:
        """Our user typed the shared word; raises ``TrialsUsedUp``. ``word`` is wiped in any case.

        It replaces one that still waits for the peer to ask, without another ask. While a run is
        under way nothing changes.
        """
        way = self._ways[How.WORD]
        way.drop_word()
        if way.run is not None:
            word.wipe()
            return []
        way.word = word
        return self._ask(How.WORD)

    def settle_code(self) -> None:
        """Our user has compared the code, which waits no more; raises ``LookupError`` without one.

        "Same" is the caller's to mark, "different" the caller's to end the link.
        """
        if self._code is None:
            raise LookupError("no code waits")
        self._code = None

    def received(self, record: Verify) -> tuple[list[Verify], Outcome | None]:
        """Take the peer's step: what to answer, and what to tell.

        What a peer does wrong fails what our user has asked for, and a wish is told once until our
        user reacts. The rest is passed over, asks too once the tries are used up: a peer cannot
        fill the screen.
        """
        how = self._way_meant(record.how)
        if how is None:
            return [], None
        way = self._ways[how]
        if not way.counted and self._trials.used_up(how):
            way.forget()  # what was asked here cannot begin: another link had the last try
            return [], None
        if record.how != how.value:
            return self._fail(how, Flaw.MALFORMED)
        if record.step == "ask" and record.data is None:
            return self._peer_asked(how, way)
        if way.run is None:
            return self._fail(how, Flaw.OUT_OF_TURN) if way.asked else ([], None)
        if record.data is None:
            return self._fail(how, Flaw.MALFORMED)
        try:
            moves = way.run.receive(record.step, record.data)
        except VerificationFailed as failed:
            return self._fail(how, failed.flaw, failed.answer)
        return self._moved(how, way, moves)

    def end(self) -> list[Failed]:
        """The link is gone: what our user must be told, at most once for each way; idempotent.

        A run that was counted failed. So did a code that nobody answered: it spoke of this link,
        and nobody here can tell whether the peer's user ever saw one. What was only asked for is
        forgotten without a word.
        """
        failed = [
            Failed(how, None)
            for how, way in self._ways.items()
            if way.counted or (how is How.CODE and self._code is not None)
        ]
        for way in self._ways.values():
            way.forget()
        self._code = None
        return failed

    def _way_meant(self, name: str) -> How | None:
        """An unknown way fails the one that our user takes, the code's first, and else nothing."""
        for how in How:
            if how.value == name:
                return how
        for how, way in self._ways.items():
            if way.asked or way.run is not None:
                return how
        return None

    def _ask(self, how: How) -> list[Verify]:
        way = self._ways[how]
        if way.run is None and self._trials.used_up(how):
            way.forget()
            raise TrialsUsedUp
        if way.run is not None or way.asked:
            return []
        way.asked = True
        ask = Verify(how=how.value, step="ask")
        return [ask, *self._begin(how, way)] if way.wished else [ask]

    def _peer_asked(self, how: How, way: _Way) -> tuple[list[Verify], Outcome | None]:
        if way.run is not None:
            told = self._fail(how, Flaw.OUT_OF_TURN)
            way.wished = True
            return told
        known, way.wished = way.wished, True
        if way.asked:
            return self._begin(how, way), None
        return [], None if known else Wished(how)

    def _begin(self, how: How, way: _Way) -> list[Verify]:
        """Both have asked."""
        way.asked = way.wished = False
        if how is How.CODE:
            way.run = CodeRun(self._hash, initiator=self._initiator)
        else:
            assert way.word is not None
            way.run = WordRun(self._hash, way.word, initiator=self._initiator)
            way.word = None
        return self._moved(how, way, way.run.start())[0]

    def _moved(
        self, how: How, way: _Way, moves: Iterable[Move]
    ) -> tuple[list[Verify], Outcome | None]:
        run = way.run
        assert run is not None
        if run.tried and not way.counted:
            way.counted = True
            self._trials.count(how)
        told: Outcome | None = None
        if isinstance(run, CodeRun):
            if run.code is not None:
                self._code = run.code
                told = CodeReady(run.code)
        elif run.matched:
            told = Matched()
        if told is not None:
            way.drop_run()
        return _records(how, moves), told

    def _fail(
        self, how: How, flaw: Flaw, answer: Iterable[Move] = ()
    ) -> tuple[list[Verify], Outcome | None]:
        self._ways[how].forget()
        return _records(how, answer), Failed(how, flaw)


def _records(how: How, moves: Iterable[Move]) -> list[Verify]:
    return [Verify(how=how.value, step=step, data=data) for step, data in moves]
