"""What ``/doctor`` prints: a line for every finding, and what to do."""

import re
import time
from collections.abc import Sequence
from typing import get_args

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from fantom_trio.nursery import (
    AddressKind,
    Clock,
    Conversation,
    DialBack,
    DialError,
    DialProblem,
    Endpoint,
    Finding,
    Knocked,
    Limits,
    Listening,
    NobodyToAsk,
    NoListener,
    NoPublicAddress,
    OwnAddresses,
    ReachError,
    ReachProblem,
    Route,
    SelfDial,
    Service,
    Step,
    Stuck,
    Unknown,
    Where,
)
from fantom_trio.nursery.conversation import ConversationKey
from fantom_trio.repl import doctor
from fantom_trio.repl.commands import CommandError
from fantom_trio.repl.doctor import examine
from tests.repl.paper import Paper, chat

OURS, ULA, NEAR = "2001:db8::5", "fd00:17::5", "fe80::5"
AT_OURS = Endpoint(OURS, 31488)
PUBLIC, LOCAL = Where(), Where("local")
HELLO = "Looking for what keeps others from reaching you: a few seconds …"
BOB = Conversation(ConversationKey("2001:db8:b::b", 0), 1, Limits(), name="bob")
REFUSED = DialError(DialProblem.REFUSED, "Connection refused")


class Doctor:
    """Finds what a test says, and remembers what it was told."""

    def __init__(self, *findings: Finding) -> None:
        self.findings = findings
        self.told: dict[str, object] = {}
        self.may_end = trio.Event()

    async def diagnose(self, node: object, **told: object) -> Sequence[Finding]:
        self.told = told
        await self.may_end.wait()
        return self.findings


async def lines(
    monkeypatch: pytest.MonkeyPatch, where: Where, *findings: Finding
) -> tuple[list[str], Paper]:
    """What is printed below the first line, and the paper."""
    chief = Doctor(*findings)
    chief.may_end.set()
    monkeypatch.setattr(doctor, "diagnose", chief.diagnose)
    async with chat() as (app, paper):
        app.where = where
        await examine(app)
        await wait_all_tasks_blocked()
    first, *rest = paper.text.splitlines()
    assert first == HELLO
    return rest, paper


@pytest.mark.parametrize(
    ("finding", "line"),
    [
        (
            OwnAddresses(AddressKind.GLOBAL, (Endpoint(OURS, 0), Endpoint("2001:db8::6", 0))),
            "✓ Public IPv6, for everybody: 2001:db8::5, 2001:db8::6",
        ),
        (
            OwnAddresses(AddressKind.UNIQUE_LOCAL, (Endpoint(ULA, 0),)),
            "✓ Private IPv6, for your own networks: fd00:17::5",
        ),
        (
            OwnAddresses(AddressKind.LINK_LOCAL, (Endpoint(NEAR, 0, "eth0"),)),
            "✓ Link-local IPv6, for the same network only: fe80::5%eth0",
        ),
        (
            OwnAddresses(AddressKind.TEREDO, (Endpoint("2001::5", 0),)),
            "! 2001::5 comes from a Teredo tunnel, which few peers can reach: ask your provider for"
            " IPv6 of its own.",
        ),
        (
            NoPublicAddress(),
            "✗ This machine has no public IPv6 address: ask your provider or router for one.",
        ),
        (
            Unknown(Step.ADDRESSES, ReachError(ReachProblem.INTERFACES, "denied")),
            "✗ The network interfaces cannot be read: denied. If you know your address, start with"
            " --address ADDRESS.",
        ),
        (
            Unknown(Step.SERVICE, ReachError(ReachProblem.TIMED_OUT)),
            "! The address service did not answer within 5 seconds. If you know your address, start"
            " with --address ADDRESS.",
        ),
        (Route(OURS), "✓ There is a route to the IPv6 internet, from 2001:db8::5."),
        (
            Route(ULA),
            "! There is a route to the IPv6 internet, but this machine would use it from"
            " fd00:17::5, where no answer arrives: ask your provider or router for a public"
            " address.",
        ),
        (
            Route(None),
            "✗ There is no route to the IPv6 internet: turn IPv6 on in your router, or ask your"
            " provider for it.",
        ),
        (Listening(AT_OURS, True), "✓ You listen on [2001:db8::5]:31488."),
        (
            Listening(AT_OURS, False),
            "✗ [2001:db8::5]:31488 is no address of this machine any more: nobody can dial you"
            " until it has another one.",
        ),
        (
            Listening(Endpoint("::1", 31488), True),
            "! You listen on [::1]:31488: only this machine can reach you. As soon as this"
            " machine has a public address, you listen there instead.",
        ),
        (
            Listening(Endpoint(NEAR, 31488, "eth0"), True),
            "! You listen on [fe80::5%eth0]:31488: only the same network can reach you. As soon"
            " as this machine has a public address, you listen there instead.",
        ),
        (
            Listening(Endpoint(ULA, 31488), True),
            "! You listen on [fd00:17::5]:31488: only your own networks can reach you. As soon"
            " as this machine has a public address, you listen there instead.",
        ),
        (NoListener(31488, None), "✗ Nobody can dial you: /listen starts the listener."),
        (
            NoListener(31488, ""),
            "✗ Nobody can dial you: another program has port 31488; /listen PORT takes another"
            " one.",
        ),
        (
            NoListener(31488, "nc\x1b[31m"),
            "✗ Nobody can dial you: nc‹U+001B›[31m has port 31488; end it, or take another one with"
            " /listen PORT.",
        ),
        (
            Service(Endpoint(OURS, 0), True),
            "✓ The address service sees you come from 2001:db8::5, where you listen.",
        ),
        (
            Service(Endpoint(OURS, 0), False),
            "! The address service sees you come from 2001:db8::5, where you do not listen: the"
            " address to give to your peers is the one that /address shows.",
        ),
        (Clock(30), "✓ Your clock is right."),
        (Clock(-30), "✓ Your clock is right."),
        (
            SelfDial(AT_OURS, None, True),
            "✓ Your listener answers this machine, which says nothing of the firewalls on the way.",
        ),
        (
            SelfDial(AT_OURS, None, False),
            "✗ Something takes connections to [2001:db8::5]:31488 before your listener gets them:"
            " /listen PORT tries another port.",
        ),
        (
            SelfDial(AT_OURS, REFUSED, False),
            "✗ Even this machine cannot connect to [2001:db8::5]:31488 (Connection refused):"
            " /listen off, and then /listen, starts the listener again.",
        ),
        (
            SelfDial(AT_OURS, DialError(DialProblem.TIMEOUT), False),
            "✗ The firewall of this machine keeps even itself from [2001:db8::5]:31488: open TCP"
            " port 31488 there.",
        ),
        (
            DialBack(BOB, AT_OURS, Knocked.DIALED_BACK, near=False),
            "✓ bob dialed you back: others can reach you.",
        ),
        (
            DialBack(BOB, AT_OURS, Knocked.DIALED_BACK, near=True),
            "✓ bob dialed you back over your own network; whether your router lets others in, only"
            " a peer elsewhere can tell.",
        ),
        (
            DialBack(BOB, AT_OURS, Knocked.NOTHING_CAME, near=False),
            "✗ bob was asked to dial you back, and nothing came: open TCP port 31488 for"
            " 2001:db8::5 in your router's IPv6 firewall and on this machine, or let bob /verify"
            " you first.",
        ),
        (
            DialBack(BOB, AT_OURS, Knocked.NOTHING_CAME, near=True),
            "✗ bob was asked to dial you back, and nothing came: open TCP port 31488 in the"
            " firewall of this machine, or let bob /verify you first.",
        ),
        (
            DialBack(BOB, AT_OURS, Knocked.TOO_SOON, near=False),
            "! bob was asked to dial you back a moment ago: /doctor again in a minute.",
        ),
        (
            DialBack(BOB, AT_OURS, Knocked.LINK_ENDED, near=False),
            "! The link with bob ended before it could dial you back: /doctor again when they are"
            " there.",
        ),
        (
            NobodyToAsk(),
            "! Only a verified peer can tell whether a firewall keeps others out: /connect to one"
            " who has fantom-trio, /verify each other, then /doctor again.",
        ),
        (
            Stuck(Step.ROUTE, "KeyError at doctor.py:7"),
            "! A bug in fantom-trio ended one of the checks: KeyError at doctor.py:7",
        ),
        (Stuck(Step.ROUTE, ""), "! One of the checks did not end in time: try /doctor again."),
    ],
    ids=lambda each: type(each).__name__ if not isinstance(each, str) else each[:1],
)
async def test_a_finding_is_a_line_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, finding: Finding, line: str
) -> None:
    printed, paper = await lines(monkeypatch, PUBLIC, finding)
    assert printed == [line]
    assert ("\x1b[31m" in paper.written) is line.startswith("✗")


@pytest.mark.parametrize(
    ("where", "finding", "line"),
    [
        (
            Where("loopback"),
            Listening(Endpoint("::1", 31488), True),
            "✓ You listen on [::1]:31488: only this machine can reach you.",
        ),
        (
            LOCAL,
            Listening(Endpoint(NEAR, 31488, "eth0"), True),
            "✓ You listen on [fe80::5%eth0]:31488: only the same network can reach you.",
        ),
        (
            Where("given", Endpoint(ULA, 0)),
            Listening(Endpoint(ULA, 31488), True),
            "✓ You listen on [fd00:17::5]:31488: only your own networks can reach you.",
        ),
        (
            LOCAL,
            DialBack(BOB, Endpoint(NEAR, 31488, "eth0"), Knocked.DIALED_BACK, near=True),
            "✓ bob dialed you back: others can reach you.",
        ),
    ],
)
async def test_what_the_user_wanted_so_is_no_fault(
    monkeypatch: pytest.MonkeyPatch, where: Where, finding: Finding, line: str
) -> None:
    assert (await lines(monkeypatch, where, finding))[0] == [line]


@pytest.mark.parametrize("ahead", [3600.4, -3600.4])
async def test_a_clock_that_is_wrong_is_told_with_both_times(
    monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    ((line,), _) = await lines(monkeypatch, PUBLIC, Clock(ahead))
    found = re.fullmatch(
        "! By your clock it is (.+), by the address service's (.+): set yours, or certificates fail"
        " and messages have wrong times.",
        line,
    )
    assert found is not None
    ours, theirs = (
        time.mktime(time.strptime(each, "%Y-%m-%d %H:%M:%S")) for each in found.groups()
    )
    assert abs(ours - time.time()) < 60
    assert ours - theirs == pytest.approx(ahead, abs=1)


async def test_a_clock_that_nothing_confirms_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    ((line,), _) = await lines(monkeypatch, PUBLIC, Clock(None))
    assert re.fullmatch(
        "! There is nothing to compare your clock with: make sure that it is"
        r" [0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\.",
        line,
    )


@pytest.mark.parametrize(
    ("where", "internet", "service"),
    [
        (Where(service="https://a.example"), True, "https://a.example"),
        (Where("given", AT_OURS), True, None),
        (Where("given", Endpoint(NEAR, 0, "eth0")), False, None),
        (Where("given", Endpoint("::1", 0)), False, None),
        (LOCAL, False, None),
        (Where("loopback"), False, None),
    ],
)
async def test_the_service_is_asked_by_those_who_asked_it_before(
    monkeypatch: pytest.MonkeyPatch, where: Where, internet: bool, service: str | None
) -> None:
    chief = Doctor()
    monkeypatch.setattr(doctor, "diagnose", chief.diagnose)
    async with chat() as (app, _):
        app.where = where
        await examine(app)
        await wait_all_tasks_blocked()
        assert chief.told == {"internet": internet, "service": service, "wanted": app.own.known}


async def test_the_user_goes_on_while_the_doctor_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    chief = Doctor(Clock(0))
    monkeypatch.setattr(doctor, "diagnose", chief.diagnose)
    async with chat() as (app, paper):
        await examine(app)
        paper.enter("/peers")
        await paper.sees(HELLO, "There is no peer yet: /connect ADDRESS finds one.")
        with pytest.raises(CommandError, match="still at work"):
            await examine(app)
        chief.may_end.set()
        await paper.sees("✓ Your clock is right.")
        await examine(app)
        await paper.sees(HELLO, "✓ Your clock is right.")


async def test_two_programs_have_a_doctor_each(monkeypatch: pytest.MonkeyPatch) -> None:
    chief = Doctor()
    monkeypatch.setattr(doctor, "diagnose", chief.diagnose)
    async with chat() as (one, _), chat() as (other, _):
        await examine(one)
        await examine(other)


async def test_a_program_that_ends_ends_its_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "diagnose", Doctor().diagnose)
    async with chat() as (app, _):
        await examine(app)
        await wait_all_tasks_blocked()
    assert app not in doctor._busy


async def test_a_program_on_loopback_hears_that_its_listener_answers() -> None:
    async with chat() as (app, paper):
        await examine(app)
        at = app.node.listener
        await paper.until(lambda: "answers" in paper.text)
        assert [line for line in paper.text.splitlines() if "IPv6, for" not in line] == [
            HELLO,
            f"✓ You listen on {at}: only this machine can reach you.",
            "✓ Your listener answers this machine, which says nothing of the firewalls on the way.",
        ]


def test_nothing_is_a_finding_that_the_tests_forget() -> None:
    said = test_a_finding_is_a_line_that_says_what_to_do.pytestmark[0].args[1]  # type: ignore[attr-defined]
    kinds = {type(finding) for finding, _ in said} | {Clock}
    assert kinds == set(get_args(Finding))
