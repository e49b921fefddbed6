"""The address service answers this or that: what the user reads, and where the program listens."""

import functools
import math
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trustme
from trio.testing import MockClock, wait_all_tasks_blocked

from fantom_trio.nursery import (
    ReachError,
    ReachProblem,
    Where,
)
from fantom_trio.nursery import own_address as own_address_module
from fantom_trio.nursery.reach import (
    SERVICE_TIMEOUT,
    Interface,
    public_address,
)
from fantom_trio.nursery.tcp import Tcp, TcpListener
from fantom_trio.wire import Endpoint
from tests.nursery.address_service import Names, http, mute, server_context, serving
from tests.nursery.ends import LOOPBACK, PATIENCE
from tests.repl.paper import chat, guest

OURS = "2001:db8::5"
MACHINE = (Interface("eth0", 2, True, False, (OURS, "fe80::5")),)
HINT = "If you know your address, start with --address ADDRESS."
#: Lines that come before.
WELCOME = 2
ALONE = "Until then only this machine can reach you."


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls(authority: trustme.CA) -> ssl.SSLContext:
    return server_context(authority, "localhost")


def nothing_nearby(interfaces: Sequence[Interface] | None = None) -> Endpoint:
    raise ReachError(ReachProblem.NO_LINK_LOCAL)


@pytest.fixture(autouse=True)
def ca(monkeypatch: pytest.MonkeyPatch, authority: trustme.CA, tmp_path: Path) -> Path:
    """A machine with one public address, that trusts the authority of these tests."""
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    ask = functools.partial(public_address, ca=path, interfaces=MACHINE)
    monkeypatch.setattr(own_address_module, "public_address", ask)
    monkeypatch.setattr(own_address_module, "link_local_address", nothing_nearby)
    return path


@pytest.fixture
def bound(monkeypatch: pytest.MonkeyPatch) -> list[Endpoint]:
    """Where the program listens; what is really bound is ``::1``."""
    endpoints: list[Endpoint] = []
    listen = Tcp.listen

    def bind(self: Tcp, endpoint: Endpoint) -> TcpListener:
        endpoints.append(endpoint)
        listener = listen(self, LOOPBACK)
        listener.endpoint = replace(endpoint, port=listener.endpoint.port)
        return listener

    monkeypatch.setattr(Tcp, "listen", bind)
    return endpoints


@asynccontextmanager
async def told(service: str, *lines: str, patience: float = PATIENCE) -> AsyncIterator[None]:
    """The user reads these lines on asking ``service``, and local peers come in all the same."""
    async with chat(where=Where(service=service), patience=patience) as (app, paper):
        assert paper.beginning.splitlines()[WELCOME:] == [
            f"Asking {service} for your public address …",
            *lines,
            ALONE,
            f"Listening on {app.node.listener}. Give your peer this address, or an /invite.",
        ]
        assert app.node.listener is not None
        assert app.node.listener.is_loopback
        await guest(app, paper, 40001, "I am next to you")
        yield


NOBODY_KNOWS = "The address service answered with no address: "


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (
            http("203.0.113.5"),
            "The address service answered with an IPv4 address, '203.0.113.5'.",
        ),
        (http("<html>Log in</html>"), f"{NOBODY_KNOWS}'<html>Log in</html>'"),
        (http("\x1b[2J\u202e"), f"{NOBODY_KNOWS}'\\x1b[2J\\xe2\\x80\\xae'"),
        (http("x" * 300), f"{NOBODY_KNOWS}over 256 bytes"),
        (
            http("", "302 Found", "Location: https://elsewhere.example/"),
            "The address service redirects to 'https://elsewhere.example/', and that is not"
            " followed.",
        ),
        (http("", "500 Oops"), "The address service answered with error 500."),
        (
            http("2001:db8::6"),
            "The address service says 2001:db8::6, which is no address of this machine: a VPN or a"
            " proxy stands between.",
        ),
    ],
    ids=["ipv4", "a page", "hostile", "too long", "a redirect", "an error", "another machine's"],
)
async def test_an_answer_that_is_no_use_is_told_in_a_sentence(
    tls: ssl.SSLContext, answer: bytes, sentence: str
) -> None:
    async with serving(tls, answer) as service, told(service.url, f"{sentence} {HINT}"):
        assert len(service.requests) == 1


@pytest.mark.parametrize(
    ("trusted", "name", "why"),
    [
        (False, "localhost", "unable to get local issuer certificate"),
        (
            True,
            "elsewhere.example",
            "Hostname mismatch, certificate is not valid for 'localhost'",
        ),
    ],
)
async def test_a_wrong_certificate_is_told_in_a_sentence(
    authority: trustme.CA, trusted: bool, name: str, why: str
) -> None:
    tls = server_context(authority if trusted else trustme.CA(), name)
    sentence = f"The address service's certificate is not valid ({why}). {HINT}"
    async with serving(tls, http(OURS)) as service, told(service.url, sentence):
        assert service.requests == []


async def test_a_service_without_tls_is_told_in_a_sentence() -> None:
    async def talk(stream: trio.abc.Stream) -> None:
        await stream.receive_some()
        await stream.send_all(http(OURS))

    async with serving(None, talk) as service, chat(where=Where(service=service.url)) as (_, paper):
        assert "\nThe address service does not speak TLS (" in paper.beginning


async def test_a_time_out_is_told_in_a_sentence(tls: ssl.SSLContext, mock_clock: MockClock) -> None:
    async with serving(tls, mute) as service, trio.open_nursery() as nursery:

        async def time_passes() -> None:
            await service.connected.wait()
            await wait_all_tasks_blocked(0.02)
            mock_clock.jump(SERVICE_TIMEOUT + 0.1)

        nursery.start_soon(time_passes)
        sentence = f"The address service did not answer within 5 seconds. {HINT}"
        async with told(service.url, sentence, patience=math.inf):
            pass


async def test_a_refused_connection_is_told_in_a_sentence() -> None:
    with socket.socket(socket.AF_INET6) as taken:  # nobody listens there
        taken.bind(("::1", 0))
        sentence = f"The address service cannot be reached over IPv6 (Connection refused). {HINT}"
        async with told(f"https://[::1]:{taken.getsockname()[1]}/", sentence):
            pass


async def test_an_unknown_name_is_told_in_a_sentence() -> None:
    trio.socket.set_custom_hostname_resolver(Names())
    why = "Name or service not known"
    sentence = f"The address service cannot be reached over IPv6 ({why}). {HINT}"
    async with told("https://address.example/", sentence):
        pass


async def test_what_is_no_https_is_told_in_a_sentence() -> None:
    sentence = "The address service must be an https:// address, not 'http://localhost/'."
    async with told("http://localhost/", f"{sentence} {HINT}"):
        pass


async def test_without_a_public_address_nobody_is_asked(
    tls: ssl.SSLContext, ca: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = (Interface("lo", 1, True, True, ("::1",)),)
    ask = functools.partial(public_address, ca=ca, interfaces=alone)
    monkeypatch.setattr(own_address_module, "public_address", ask)
    sentence = (
        "This machine has no public IPv6 address: ask your provider or router for one. " + HINT
    )
    async with serving(tls, http(OURS)) as service, told(service.url, sentence):
        assert not service.connected.is_set()


async def test_an_ipv6_answer_is_where_the_program_listens(
    tls: ssl.SSLContext, bound: list[Endpoint]
) -> None:
    async with (
        serving(tls, http(f"{OURS}\n")) as service,
        chat(where=Where(service=service.url)) as (app, paper),
    ):
        assert bound == [Endpoint(OURS, 0)]
        assert app.node.listener is not None
        assert paper.beginning.splitlines()[WELCOME:] == [
            f"Asking {service.url} for your public address …",
            f"Listening on [{OURS}]:{app.node.listener.port}. Give your peer this address, or an"
            " /invite.",
        ]
        paper.enter("/listen 40123")
        await paper.until(lambda: f"Listening on [{OURS}]:" in paper.text)
        assert bound[1:] == [Endpoint(OURS, 40123)]


async def test_a_machine_on_a_network_stays_there_for_its_neighbours(
    tls: ssl.SSLContext, bound: list[Endpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    nearby = Endpoint("fe80::5", 0, "eth0")
    monkeypatch.setattr(own_address_module, "link_local_address", lambda _=None: nearby)
    async with (
        serving(tls, http("203.0.113.5")) as service,
        chat(where=Where(service=service.url)) as (app, paper),
    ):
        assert bound == [nearby]
        assert paper.beginning.splitlines()[WELCOME + 2 :] == [
            "Until then only peers on the same network can reach you.",
            f"Listening on {app.node.listener}. Give your peer this address, or an /invite.",
        ]
        assert str(app.node.listener).startswith("[fe80::5%eth0]:")
