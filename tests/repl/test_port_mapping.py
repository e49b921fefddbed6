"""What is said about the port in the router's firewall, and who asks for it when."""

from collections.abc import Awaitable, Callable
from typing import get_args

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from fantom_trio.nursery import (
    Endpoint,
    Granted,
    ListeningAt,
    Lost,
    NobodyBefore,
    NoRouter,
    PcpResult,
    PortNews,
    Refused,
    RouterNotTold,
    Silent,
    Where,
    open_port,
)
from fantom_trio.nursery.port_mapping import (
    Nudge,
    PortEvent,
)
from fantom_trio.repl.port_mapping import explain_port
from tests.repl.paper import chat

LISTENER, ANOTHER = Endpoint("2001:db8::5", 31488), Endpoint("2001:db8::6", 31500)
BY_HAND = "Open TCP port 31488 for 2001:db8::5 in your router's IPv6 firewall by hand."
NEWS: list[PortNews] = [
    Granted(LISTENER, 7200),
    Granted(LISTENER, 7200, again=True),
    Granted(ANOTHER, 7200),
    Lost(),
    Silent(),
    NoRouter(),
    RouterNotTold(),
    NobodyBefore(),
    *(Refused(result, int(result)) for result in PcpResult if result),
]


class Router:
    """Stands in for all that is behind ``keep_open``."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.tell: Callable[[PortEvent], Awaitable[None]]
        self.nudge: Nudge

    async def keep_open(
        self,
        listener: Endpoint,
        tell: Callable[[PortEvent], Awaitable[None]],
        nonce: bytes,
        nudge: Nudge,
    ) -> None:
        self.tell, self.nudge = tell, nudge
        self.done.append(f"open {listener.port}")
        try:
            await trio.sleep_forever()
        finally:
            self.done.append(f"close {listener.port}")


@pytest.fixture
def router(monkeypatch: pytest.MonkeyPatch) -> Router:
    router = Router()
    monkeypatch.setattr(open_port, "keep_open", router.keep_open)
    return router


def test_every_event_is_a_sentence_of_its_own() -> None:
    assert {type(news) for news in NEWS} == set(get_args(PortNews))
    texts = [explain_port(news, LISTENER) for news in NEWS]
    assert all(text.endswith(".") and "\n" not in text for text in texts)
    # Several refusals mean the same to a person.
    assert len(set(texts)) == len(NEWS) - 4


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (
            Granted(LISTENER, 7200),
            "Your router has opened [2001:db8::5]:31488 to your peers; it is closed when you"
            " leave.",
        ),
        (
            Granted(LISTENER, 7200, again=True),
            "Your router has opened [2001:db8::5]:31488 to your peers again.",
        ),
        (
            Granted(ANOTHER, 7200, again=True),
            "Your router lets peers in at [2001:db8::6]:31500, which is not where you listen: give"
            " your peer that address.",
        ),
        (
            Silent(),
            f"Your router does not answer when it is asked to open a port (PCP). {BY_HAND}",
        ),
        (
            RouterNotTold(),
            f"Only on Linux can this program ask a router to open a port. {BY_HAND}",
        ),
        (
            Refused(PcpResult.UNSUPP_VERSION, 1),
            f"Your router cannot open a TCP port when a program asks for it (PCP). {BY_HAND}",
        ),
        (
            Refused(PcpResult.CANNOT_PROVIDE_EXTERNAL, 11),
            "Your router has given port 31488 to somebody else: /listen PORT takes another one.",
        ),
        (
            Refused(PcpResult.UNKNOWN, 77),
            f"Your router refuses to open the port (PCP error 77). {BY_HAND}",
        ),
    ],
)
def test_a_sentence_says_what_became_of_it_and_what_to_do(event: PortEvent, text: str) -> None:
    assert explain_port(event, LISTENER) == text


async def test_what_the_router_says_is_printed(router: Router) -> None:
    async with chat(where=Where("loopback", open_port=True)) as (app, paper):
        await app.own.announce(ListeningAt(LISTENER))
        await wait_all_tasks_blocked(0.05)
        for event in (Granted(LISTENER, 7200), Lost(), RouterNotTold()):
            await router.tell(event)
            assert explain_port(event, LISTENER) in paper.text


async def test_an_address_without_a_router_before_it_is_told(router: Router) -> None:
    async with chat(where=Where("loopback", open_port=True)) as (app, paper):
        local = Endpoint("fe80::5", 31488, "eth0")
        await app.own.announce(ListeningAt(local))
        await paper.sees(f"No router stands before {local}: there is no port to open for others.")
        assert router.done == []


async def test_the_end_of_the_program_gives_the_port_back(router: Router) -> None:
    async with chat(where=Where("loopback", open_port=True)) as (app, _):
        await app.own.announce(ListeningAt(LISTENER))
        await wait_all_tasks_blocked(0.05)
    assert router.done == ["open 31488", "close 31488"]


async def test_the_router_is_asked_once_the_listener_is_up_if_that_is_wanted(
    router: Router,
) -> None:
    for wanted in (False, True):
        async with chat(where=Where("loopback", open_port=wanted)) as (app, paper):
            await app.own.announce(ListeningAt(LISTENER))
            await wait_all_tasks_blocked(0.05)
            assert router.done[:1] == ["open 31488"] * wanted
            paper.enter("/listen off")
            await paper.sees("Nobody can dial you now; open links stay open.")
            await wait_all_tasks_blocked(0.05)
            assert router.done[1:] == ["close 31488"] * wanted
