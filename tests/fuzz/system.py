"""What the machine around us says: routers, the kernel's tables, the address service, a pipe."""

import contextlib
import random
import sys
from collections.abc import AsyncIterator, Coroutine
from functools import partial
from ipaddress import IPv6Address
from itertools import islice, pairwise
from typing import Any
from unittest import mock

import httpx
import trio
from hypothesis import strategies as st

from fantom_trio import lines
from fantom_trio.nursery import interfaces, reach
from fantom_trio.nursery import router as router_module
from fantom_trio.nursery.interfaces import Interface
from fantom_trio.wire import Endpoint
from fantom_trio.wire.pcp import (
    Answer,
    Epoch,
    MapRequest,
    PcpError,
    announced,
    lasting,
    pause_after,
    renewals,
    retransmissions,
)
from tests.fuzz.choices import Choices, compose, pieces
from tests.fuzz.harness import Harness, front_and_numbers

__all__ = ["LINES", "PCP", "SERVICE", "TABLES"]

OWN = Endpoint("2001:db8::5", 31488)

# A router's answers.

REQUEST = MapRequest(OWN, bytes(range(12)), 7200, OWN)


def run_pcp(data: bytes) -> None:
    """Packets of a router, one after the other; numbers: their lengths, and the time between."""
    choices, epoch, now = Choices(data), Epoch(), 0.0
    while True:
        size = choices.number(8)
        packet = choices.take(60 + 4 * size) if size else choices.rest()
        expected = _read_answer(packet)
        try:
            answer: Answer | None = REQUEST.answer(packet)
        except PcpError:
            answer = None
        assert answer == expected
        try:
            told: int | None = announced(packet)
        except PcpError:
            told = None
        assert told == _read_announcement(packet)
        if answer is not None:
            now += choices.number(256)
            _check_times(answer, epoch, now)
        if not len(choices):
            return


def _read_answer(data: bytes) -> Answer | None:
    """The packet of RFC 6887, sections 7.2 and 11.1, field by field."""
    if len(data) % 4 or not 8 <= len(data) <= 1100 or data[1] < 0x80:
        return None
    if data[0] != 2:
        return Answer(1, 0, None) if data[3] == 1 else None
    if data[1] != 0x81 or len(data) < 60:
        return None
    if (data[24:36], data[36], data[40:42]) != (REQUEST.nonce, 6, (31488).to_bytes(2, "big")):
        return None
    if not _has_whole_options(data, 60):
        return None
    lifetime, epoch = int.from_bytes(data[4:8], "big"), int.from_bytes(data[8:12], "big")
    if data[3]:
        return Answer(data[3], lifetime, epoch)
    port, host = int.from_bytes(data[42:44], "big"), IPv6Address(data[44:60])
    if not port or host.ipv4_mapped or host.is_multicast or host.is_unspecified:
        return None
    return Answer(0, lifetime, epoch, Endpoint(str(host), port))


def _read_announcement(data: bytes) -> int | None:
    """The same of sections 7.2 and 14.1."""
    good = not len(data) % 4 and 24 <= len(data) <= 1100 and data[:2] == b"\2\x80" and not data[3]
    return int.from_bytes(data[8:12], "big") if good and _has_whole_options(data, 24) else None


def _has_whole_options(data: bytes, at: int) -> bool:
    while at < len(data):
        if data[at] < 0x80:
            return False
        at += 4 + (int.from_bytes(data[at + 2 : at + 4], "big") + 3) // 4 * 4
    return at == len(data)


def _check_times(answer: Answer, epoch: Epoch, now: float) -> None:
    assert 30 <= pause_after(answer) <= 1800
    lifetime, rng = lasting(answer.lifetime), random.Random(1)
    assert 8 <= lifetime <= 86400
    times = [0.0, *islice(renewals(lifetime, rng), 100)]
    assert len(times) < 40, "renewed without end"
    assert all(at + 4 <= later < lifetime for at, later in pairwise(times))
    assert all(1 < wait < 1200 for wait in islice(retransmissions(rng), 12))
    if answer.epoch is not None:
        goes_on = epoch.goes_on(answer.epoch, now)
        assert epoch.goes_on(answer.epoch, now), "it forgot within no time"
        assert epoch.fits(answer.epoch, now)
        assert goes_on or epoch.goes_on(answer.epoch + 10, now + 10)


_GRANTED = (
    b"\2\x81\0\0" + (3600).to_bytes(4, "big") + (10**6).to_bytes(4, "big") + bytes(12)
    + REQUEST.nonce + b"\6\0\0\0" + 2 * (31488).to_bytes(2, "big") + IPv6Address(OWN.host).packed
)  # fmt: skip
_PCP_WORDS = [
    b"\2\x81\0\0", b"\0\x81\0\1", _GRANTED[24:44], _GRANTED[44:], _GRANTED[:24], b"\x80\0\0\4",
    b"\x83\0\4\x0c", b"\0" * 10 + b"\xff\xff\1\2\3\4", b"\xff\xff\xff\xff",
]  # fmt: skip
PCP = Harness(
    "pcp", run_pcp,
    [
        compose(_GRANTED, 0), compose(_GRANTED[:3] + b"\2" + _GRANTED[4:], 0),
        compose(b"\0\x81\0\1" + bytes(4), 0), compose(_GRANTED + b"\x80\0\0\5" + bytes(8), 0),
        compose(_GRANTED + b"\x81\0\0\0" + _GRANTED, 1, 5, 0, 9),
        compose(b"\2\x80" + _GRANTED[2:24], 0),
        compose(b"\2\x80" + _GRANTED[2:24] + b"\xff\0\0\3abcd", 0),
        compose(_GRANTED + b"\1\0\0\0", 0), compose(_GRANTED[:59], 0), compose(_GRANTED[:44], 0),
        compose(_GRANTED + b"\x80\0\4\x0c" + bytes(1036), 0),
    ],
    front_and_numbers(
        st.lists(st.sampled_from([_GRANTED, *_PCP_WORDS]) | st.binary(max_size=12), max_size=4)
        .map(b"".join), most=6,
    ),
    _PCP_WORDS, longest=1300,
)  # fmt: skip


# The kernel's tables.


class _Table:
    """A file in /proc."""

    def __init__(self, text: str) -> None:
        self._text = text

    def read_text(self) -> str:
        return self._text


def run_tables(data: bytes) -> None:
    """Routes and addresses, behind a form feed; whatever stands there, nothing is raised."""
    routes, _, addresses = data.decode("utf-8", "replace").partition("\f")
    with (
        mock.patch.object(router_module, "_ROUTES", _Table(routes)),
        mock.patch.object(router_module, "_ADDRESSES", _Table(addresses)),
        mock.patch.object(interfaces, "_LINUX_TABLE", _Table(addresses)),
        mock.patch.object(sys, "platform", "linux"),
    ):
        router = router_module.default_router(OWN)
        flags = interfaces._linux_flags()
    if router is not None:
        address = IPv6Address(router.host)
        assert f"{int(address):x}" in routes.lower().replace("_", "")
        assert router.port == 5351
        assert not router.zone or (router.zone in routes and router.is_link_local)
    assert len(flags) <= addresses.count("\n") + addresses.count("\r") + len(addresses) // 10 + 1
    for (name, host), flag in flags.items():
        assert str(IPv6Address(host)) == host
        assert name in addresses
        assert isinstance(flag, int)


_NOWHERE, _GATEWAY = "0" * 32, "fe80000000000000021122fffe334455"
_ROUTE = f"{_NOWHERE} 00 {_NOWHERE} 00 {_GATEWAY} 00000400 00000001 00000000 00000003 eth0\n"
_REJECTS = f"{_NOWHERE} 00 {_NOWHERE} 00 {_NOWHERE} ffffffff 00000001 00000000 00200200 lo\n"
_ADDRESS = "20010db8000000000000000000000005 02 40 00 80 eth0\n"
_LOOPBACK = "00000000000000000000000000000001 01 80 10 80 lo\n"
_TABLES = [
    f"{_ROUTE}\f{_ADDRESS}{_LOOPBACK}", f"{_REJECTS}\f{_LOOPBACK}", f"{_REJECTS}{_ROUTE}\f", "\f",
    _ROUTE.replace("00000400", "00000100").replace("eth0", "wlan0") + f"{_ROUTE}\f{_ADDRESS}",
    f"20010db8{'0' * 24} 40 {_ROUTE[36:]}\f{_ADDRESS}",
    f"{_NOWHERE} 00 20010db8{'0' * 24} 20 {_ROUTE[72:]}\f{_ADDRESS}",
]  # fmt: skip
_TABLE_WORDS = [
    *map(str.encode, (_NOWHERE, _GATEWAY, _ROUTE, _ADDRESS, _LOOPBACK)), b" 00 ", b" 80 ", b"\f",
    b"\n", b"eth0", b"00000003", b"00000203", b"f" * 33, b"-1", b"0x", b"\x1c", b"\xe2\x80\xa8",
]  # fmt: skip
TABLES = Harness(
    "tables", run_tables, [each.encode() for each in _TABLES],
    st.lists(st.sampled_from(_TABLE_WORDS) | st.binary(max_size=6), max_size=12).map(b"".join),
    _TABLE_WORDS, longest=1000,
)  # fmt: skip


# The address service.

ADDRESSES = ("2001:db8::5", "fd00::1", "fe80::1")
INTERFACES = [Interface("eth0", 2, True, False, ADDRESSES)]
CHUNK = 64
#: Five times the longest address.
MAX_ANSWER = 256
SERVICES = (
    "https://api64.ipify.org", "https://[2001:db8::9]:1/", "https://a:99999", "http://a", "https://",
)  # fmt: skip
FAILURES = (
    httpx.RemoteProtocolError("told"), httpx.ConnectError("told"), httpx.ReadTimeout("told"),
    ValueError("a name"),
)  # fmt: skip


class _Body(httpx.AsyncByteStream):
    """An answer that comes in chunks; ``given`` is how much of it was read."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.given = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for at in range(0, len(self.data), CHUNK):
            await trio.lowlevel.checkpoint()
            self.given = at + CHUNK
            yield self.data[at : at + CHUNK]

    async def aclose(self) -> None:
        pass


def _no_context(**_: object) -> None:
    """The real one reads every certificate of the system."""


class _Transport(httpx.AsyncBaseTransport):
    def __init__(self, answer: httpx.Response | Exception, *_: object, **__: object) -> None:
        self._answer = answer

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def run_service(data: bytes) -> None:
    """Numbers: the service, the failure, the status; then the date, a NUL, and the body."""
    choices = Choices(data)
    service = choices.pick(SERVICES) if choices.number(8) == 1 else SERVICES[0]
    failure = choices.pick(FAILURES) if choices.number(8) == 1 else None
    status = choices.pick((200, 200, 200, 200, 204, 301, 404, 500))
    date, _, content = choices.rest().partition(b"\0")
    body = _Body(content * (1 + 40 * (choices.number(4) == 1)))
    headers = [(b"date", date), (b"location", date)]
    answer = failure or httpx.Response(status, headers=headers, stream=body)
    with (
        mock.patch.object(httpx, "create_ssl_context", _no_context),
        mock.patch.object(httpx, "AsyncHTTPTransport", partial(_Transport, answer)),
    ):
        try:
            report = trio.run(partial(reach.ask_service, service, interfaces=INTERFACES))
        except reach.ReachError as error:
            assert len(str(error)) <= 200 + 10 * (len(date) + MAX_ANSWER)  # noqa: PT017
        else:
            assert status == 200
            assert failure is None
            assert report.address.host in ADDRESSES[:2]
            assert report.address.port == 0
            assert report.ahead is None or abs(report.ahead) < 1e11
            assert IPv6Address(content.strip().decode()) == IPv6Address(report.address.host)
    assert body.given <= MAX_ANSWER + 2 * CHUNK, "an answer without end is read on"


_DATE = b"Mon, 23 Nov 2026 16:07:57 GMT"
_SERVICE_WORDS = [
    b"\0", b"Mon, ", b"Nov ", b" GMT", b" -0000", b" +9999", b"9999999999", b"2026", b"16:07:57",
    b"2001:db8::5", b"fd00::1", b"::ffff:1.2.3.4", b"1.2.3.4", b"fe80::1", b"%eth0", b"\n", b"\xff",
]  # fmt: skip
SERVICE = Harness(
    "service", run_service,
    [
        compose(_DATE + b"\0" + b"2001:db8::5\n", 0, 0, 0), compose(b"\0fd00::1", 0, 0, 0),
        compose(b"\x001.2.3.4", 0, 0, 0), compose(_DATE + b"\0fe80::1", 0, 0, 0),
        compose(_DATE + b"\0" + b"x" * 300, 0, 0, 0), compose(b"https://a/\0", 0, 0, 5),
        *(compose(_DATE + b"\0::1", 1, at, 0, 0) for at in range(len(SERVICES))),
        *(compose(_DATE + b"\0::1", 0, 1, at, 0) for at in range(len(FAILURES))),
        compose(b"\0y" * 30, 0, 0, 0, 1),
    ],
    front_and_numbers(
        st.lists(st.sampled_from([_DATE, *_SERVICE_WORDS]) | st.binary(max_size=6), max_size=8)
        .map(b"".join), most=6,
    ),
    _SERVICE_WORDS, longest=700,
)  # fmt: skip


# A pipe.

#: In place of 61,000: so that short lines are long ones.
MAX_TEXT = 16


def run_lines(data: bytes) -> None:
    """Numbers: where the pipe cuts. Whatever the cuts, the same lines come out."""
    choices = Choices(data)
    cuts = choices.cuts()
    stream = choices.rest()
    expected, is_text = _split(stream)
    for parts in ([stream] if stream else [], pieces(stream, cuts) if stream else []):
        found, begun, reader = _read_lines(parts)
        assert found == expected
        assert (reader.problem == "") is is_text
        assert not begun or not is_text, "a line without its end"
        assert reader.count == len(expected)
        assert _read_text(parts) == (_without_break(stream) if _is_text(stream) else None)


def _split(stream: bytes) -> tuple[list[str], bool]:
    """The lines before the first that is not UTF-8, and whether there is none."""
    found: list[str] = []
    for line in stream.removesuffix(b"\n").split(b"\n") if stream else []:
        if not _is_text(line):
            return found, False
        found.append(line.decode().removesuffix("\r"))
    return found, True


def _is_text(data: bytes) -> bool:
    with contextlib.suppress(UnicodeDecodeError):
        data.decode()
        return True
    return False


def _without_break(stream: bytes) -> str:
    return stream.decode().removesuffix("\n").removesuffix("\r")


def _read_lines(parts: list[bytes]) -> tuple[list[str], str, lines.Lines]:
    """Whole lines, and what was given out of one that did not end."""
    reader, found, begun = lines.Lines(0), list[str](), ""
    longest = max(map(len, parts), default=0)
    with (
        mock.patch.object(lines, "_read", _pipe(parts)),
        mock.patch.object(lines, "MAX_TEXT", MAX_TEXT),
    ):
        while some := _run(reader.read()):
            assert len(reader._rest) <= MAX_TEXT + longest, "a line without end is kept"
            for piece in some:
                assert len(piece.text.encode()) <= MAX_TEXT + longest
                begun += piece.text
                if piece.last:
                    found.append(begun)
                    begun = ""
        assert _run(reader.read()) == [], "something came after the end"
    return found, begun, reader


def _read_text(parts: list[bytes]) -> str | None:
    with mock.patch.object(lines, "_read", _pipe(parts)):
        try:
            return str(_run(lines.read_text(0)))
        except lines.Unreadable:
            return None


def _pipe(parts: list[bytes]) -> Any:
    left = iter([*parts, b"", b""])

    async def read(stdin: int) -> bytes:
        return next(left)

    return read


def _run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """One that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits")


_LINES = [
    compose(b"one\ntwo\r\n\nfour", 2, 0, 1, 0, 9), compose(b"", 0), compose(b"\n", 0),
    compose(b"x" * 40 + b"\n", 3, 0, 5, 0, 17, 0, 33), compose("ы".encode() * 30, 2, 0, 7, 0, 19),
    compose(b"a\n\xff\nb", 1, 0, 2), compose(b"y" * 20 + b"\xff" * 20, 1, 0, 18),
    compose(b"z" * 15 + b"\r\n" + b"z" * 16 + b"\r\n", 1, 0, 16), compose("👋".encode() * 9, 0),
]  # fmt: skip
_LINE_WORDS = [b"\n", b"\r\n", b"\r", b"\xff", "ы".encode(), "👋".encode(), b"x" * 16, b"\xe2\x80"]
LINES = Harness(
    "lines", run_lines, _LINES,
    front_and_numbers(
        st.lists(st.sampled_from(_LINE_WORDS) | st.binary(max_size=4), max_size=14).map(b"".join)
    ),
    _LINE_WORDS, longest=300,
)  # fmt: skip
