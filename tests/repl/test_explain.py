"""Whatever goes wrong has its sentence, in every language, and nobody else can write in it."""

import enum
import errno
import re
import unicodedata
from collections.abc import Iterator

import pytest

from fantom_trio.nursery import (
    AddressError,
    AddressProblem,
    DialError,
    DialProblem,
    Ending,
    Endpoint,
    Failed,
    Flaw,
    How,
    ListenError,
    ReachError,
    ReachProblem,
    Violation,
    Why,
)
from fantom_trio.repl import languages
from fantom_trio.repl.explain import (
    explain_address,
    explain_dial,
    explain_ending,
    explain_failed,
    explain_listen,
    explain_reach,
    explain_violation,
)

HOSTILE = "\x1b[2J\x9b31m\u202e\x07\r\n12:04 bob  hi"
PLACE = "IndexError at conversation.py:188"


@pytest.fixture(params=languages.LANGUAGES)
def _language(request: pytest.FixtureRequest) -> Iterator[None]:
    languages.use(request.param)
    yield
    languages.use("en")


THERE = Endpoint("2001:db8::7", 40001)
#: Host and zone as only a broken program could make them.
NOWHERE = Endpoint(HOSTILE, 40001, HOSTILE)
LISTEN_ERRORS = [errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES]
EVERYTHING = pytest.mark.parametrize(
    "problem",
    [*AddressProblem, *Violation, *Why, *DialProblem, *ReachProblem, *Flaw, *LISTEN_ERRORS],
    ids=lambda problem: errno.errorcode[problem] if isinstance(problem, int) else str(problem),
)


def told(problem: object, text: str, where: Endpoint) -> str:
    """The sentence for it; ``text`` and ``where`` come from somebody else."""
    match problem:
        case AddressProblem():
            return explain_address(AddressError(problem, text))
        case Violation():
            return explain_violation(problem)
        case Why():
            return explain_ending(Ending(problem, Violation.BAD_MAC, PLACE))
        case DialProblem():
            return explain_dial(DialError(problem, text, Violation.REPLAY), where)
        case Flaw():
            return explain_failed(Failed(How.CODE, problem))
        case ReachProblem():
            return explain_reach(ReachError(problem, text))
        case int():
            return explain_listen(ListenError(where, OSError(problem, text)))
    raise AssertionError(problem)


@pytest.mark.usefixtures("_language")
@EVERYTHING
def test_everything_that_goes_wrong_has_its_sentence(problem: object) -> None:
    sentence = told(problem, "{text}", THERE)
    assert sentence == sentence.strip()
    assert len(sentence.split()) >= 2
    assert not re.search("[{}]", sentence.replace("{text}", ""))
    if not isinstance(problem, (Why, Violation, Flaw)):  # those are clauses after a name
        assert sentence.removesuffix(".").endswith("{text}") or sentence[-1] in ".?"


@pytest.mark.usefixtures("_language")
@EVERYTHING
def test_what_others_wrote_is_shown_and_does_nothing(problem: object) -> None:
    sentence = told(problem, HOSTILE, NOWHERE)
    categories = {unicodedata.category(char) for char in sentence}
    assert categories.isdisjoint({"Cc", "Cs", "Zl", "Zp"})
    assert "\u202e" not in sentence


@pytest.mark.usefixtures("_language")
@pytest.mark.parametrize("problems", [AddressProblem, Violation, Why, DialProblem, ReachProblem])
def test_no_two_things_that_go_wrong_are_told_alike(problems: type[enum.Enum]) -> None:
    assert len({told(problem, "text", THERE) for problem in problems}) == len(problems)


@pytest.mark.usefixtures("_language")
def test_a_verification_that_the_link_s_end_cut_says_what_was_cut() -> None:
    assert len({explain_failed(Failed(how, None)) for how in How}) == 2


@pytest.mark.parametrize("number", [errno.ENODEV, None])
def test_an_interface_that_is_gone_is_an_address_we_do_not_have(number: int | None) -> None:
    error = OSError(number, "") if number else OSError("no interface with this name")
    expected = told(errno.EADDRNOTAVAIL, "", THERE)
    assert explain_listen(ListenError(THERE, error)) == expected


@pytest.mark.parametrize("problem", ReachProblem)
def test_what_an_address_would_solve_says_how_to_give_one(problem: ReachProblem) -> None:
    hint = "If you know your address, start with --address ADDRESS."
    expected = problem is not ReachProblem.NO_LINK_LOCAL
    assert (hint in explain_reach(ReachError(problem))) is expected


def test_a_bug_is_told_with_its_place() -> None:
    assert told(Why.BUG, "", THERE) == f"a bug in fantom-trio ended the link: {PLACE}"
