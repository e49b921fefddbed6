"""Our own address: an address service on this machine, and interfaces of several machines."""

import errno
import gc
import gzip
import os
import shutil
import socket
import ssl
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import trio
import trustme
from trio.testing import MockClock, wait_all_tasks_blocked

from fantom_trio.nursery import interfaces as interfaces_module
from fantom_trio.nursery.reach import (
    SERVICE_TIMEOUT,
    Interface,
    ReachError,
    ReachProblem,
    is_own_address,
    link_local_address,
    list_interfaces,
    public_address,
)
from fantom_trio.wire.address import Endpoint
from tests.nursery import interface_tables as tables
from tests.nursery.address_service import Handler, Names, http, mute, server_context, serving

OURS = "2001:db8::5"
OURS_TOO = "fd00:17::5"
MACHINE = (
    Interface("lo", 1, True, True, ("::1",)),
    Interface("eth0", 2, True, False, (OURS, OURS_TOO, "fe80::5")),
    Interface("eth1", 3, False, False, ("2001:db8::dead",)),
)
WITHOUT_IPV6 = (
    Interface("lo", 1, True, True, ("::1",)),
    Interface("eth0", 2, True, False, ("fe80::5",)),
    Interface("eth1", 3, False, False, ("2001:db8::dead",)),
)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture
def tls(authority: trustme.CA) -> ssl.SSLContext:
    return server_context(authority, "localhost")


async def failure(
    service: str, ca: Path | None, machine: Sequence[Interface] = MACHINE
) -> ReachError:
    """The error that asking ends with; its detail can always be printed."""
    with pytest.raises(ReachError) as caught:
        await public_address(service, ca=ca, interfaces=machine)
    error = caught.value
    assert error.detail.isprintable()
    assert len(error.detail) <= 100
    return error


# What it answers


@pytest.mark.parametrize(
    "answer",
    [OURS, f"{OURS}\n", "  2001:0DB8:0:0:0:0:0:5\r\n"],
    ids=["as ipify writes it", "with a newline", "uncompressed"],
)
async def test_an_address_of_this_machine_is_taken(
    tls: ssl.SSLContext, ca: Path, answer: str
) -> None:
    async with serving(tls, http(answer)) as service:
        assert await public_address(service.url, ca=ca, interfaces=MACHINE) == Endpoint(OURS, 0)
    assert len(service.requests) == 1


async def test_a_unique_local_address_of_this_machine_is_taken(
    tls: ssl.SSLContext, ca: Path
) -> None:
    async with serving(tls, http(OURS_TOO)) as service:
        assert await public_address(service.url, ca=ca, interfaces=MACHINE) == Endpoint(OURS_TOO, 0)


async def test_an_answer_in_chunks_is_put_together(tls: ssl.SSLContext, ca: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = b"6\r\n2001:d\r\n5\r\nb8::5\r\n0\r\n\r\n"
    async with serving(tls, head + chunks) as service:
        assert await public_address(service.url, ca=ca, interfaces=MACHINE) == Endpoint(OURS, 0)


@pytest.mark.parametrize("answer", ["203.0.113.5", "::ffff:203.0.113.5"])
async def test_an_ipv4_answer_is_told_apart(tls: ssl.SSLContext, ca: Path, answer: str) -> None:
    async with serving(tls, http(answer)) as service:
        error = await failure(service.url, ca)
    assert error.problem is ReachProblem.ANSWERED_IPV4
    assert answer in error.detail


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b" \r\n",
        b"<!DOCTYPE html><title>Log in</title>",
        b"\x1b]0;owned\x07\x1b[2J" + OURS.encode(),
        "\u202e2001:db8::5\u200b".encode(),
        b"\x00\xff\xfe\x9b31m",
        OURS.encode() + b"%\x1b[31m",
        b"[2001:db8::5]:31488",
        OURS.encode() + b"\n" + OURS.encode(),
        b"::",
        b"ff02::1",
        b"x" * 256,
        b"x" * 2**20,
    ],
    ids=lambda answer: repr(answer[:16]),
)
async def test_what_is_no_address_is_refused_and_never_shown_raw(
    tls: ssl.SSLContext, ca: Path, answer: bytes
) -> None:
    async with serving(tls, http(answer)) as service:
        error = await failure(service.url, ca)
    assert error.problem is ReachProblem.ANSWERED_GARBAGE
    assert error.detail.isascii()


async def test_an_endless_answer_is_given_up_after_a_few_hundred_bytes(
    tls: ssl.SSLContext, ca: Path
) -> None:
    async def pour(stream: trio.abc.Stream) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await stream.send_all(b"2001:db8::5\n" * 1000)

    async with serving(tls, pour) as service:
        assert (await failure(service.url, ca)).detail == "over 256 bytes"
        await service.hung_up.wait()


async def test_a_packed_answer_is_not_unpacked(tls: ssl.SSLContext, ca: Path) -> None:
    bomb = gzip.compress(b" " * 20_000 + OURS.encode(), mtime=0)
    assert len(bomb) < 256
    async with serving(tls, http(bomb, "200 OK", "Content-Encoding: gzip")) as service:
        error = await failure(service.url, ca)
    assert error.problem is ReachProblem.ANSWERED_GARBAGE
    assert error.detail.startswith(r"'\x1f\x8b")


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-OpenSSH_9.6\r\n", b"", b"HTTP/1.1 \x1b[31m OK\r\n\r\n", http(OURS)[:-3]]
)
async def test_an_answer_that_is_no_http_is_garbage(
    tls: ssl.SSLContext, ca: Path, answer: bytes
) -> None:
    async with serving(tls, answer) as service:
        assert (await failure(service.url, ca)).problem is ReachProblem.ANSWERED_GARBAGE


@pytest.mark.parametrize("answer", ["2001:db8::6", "2001:db8::dead", "::1", "fe80::5"])
async def test_an_address_this_machine_does_not_have_is_refused(
    tls: ssl.SSLContext, ca: Path, answer: str
) -> None:
    async with serving(tls, http(answer)) as service:
        error = await failure(service.url, ca)
    assert (error.problem, error.detail) == (ReachProblem.NOT_OURS, answer)


@pytest.mark.parametrize("status", ["500 Internal Server Error", "404 Not Found", "204 None"])
async def test_a_status_other_than_200_is_an_error(
    tls: ssl.SSLContext, ca: Path, status: str
) -> None:
    async with serving(tls, http(OURS if status[0] != "2" else "", status)) as service:
        error = await failure(service.url, ca)
    assert (error.problem, error.detail) == (ReachProblem.STATUS, status[:3])


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
async def test_a_redirect_is_an_error_and_its_target_is_never_asked(
    tls: ssl.SSLContext, ca: Path, status: str
) -> None:
    async with (
        serving(tls, http(OURS)) as target,
        serving(tls, http("", status, f"Location: {target.url}")) as service,
    ):
        error = await failure(service.url, ca)
        assert error.problem is ReachProblem.REDIRECTED
        assert target.url in error.detail
        assert len(service.requests) == 1
        assert not target.connected.is_set()


@pytest.mark.parametrize(
    "headers", [(), ("Location: \x9b31m//\t[",), ("Location: x://" + "é" * 999,)]
)
async def test_a_redirect_to_nowhere_is_still_a_redirect(
    tls: ssl.SSLContext, ca: Path, headers: tuple[str, ...]
) -> None:
    async with serving(tls, http("", "302 Found", *headers)) as service:
        error = await failure(service.url, ca)
    assert error.problem is ReachProblem.REDIRECTED
    assert error.detail.isascii()


# Whether it can be asked at all


async def test_without_an_ipv6_address_nobody_is_asked(tls: ssl.SSLContext, ca: Path) -> None:
    async with serving(tls, http(OURS)) as service:
        error = await failure(service.url, ca, WITHOUT_IPV6)
        assert error.problem is ReachProblem.NO_IPV6
        assert not service.connected.is_set()


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:1/",
        "ftp://localhost/",
        "localhost",
        "",
        "https://",
        "https:///path",
        "https://[::1",
        "https://localhost:99999/",
        "https://local\x1b[31mhost/",
        "https://\u202elocalhost/",
    ],
)
async def test_only_an_https_url_is_asked(url: str, ca: Path) -> None:
    trio.socket.set_custom_hostname_resolver(Names())
    assert (await failure(url, ca)).problem is ReachProblem.SERVICE_URL


@pytest.mark.parametrize("host", ["a..b", ".a", "a" * 64 + ".b"])
async def test_a_host_name_that_cannot_be_one_is_an_error_of_the_url(
    tls: ssl.SSLContext, ca: Path, host: str
) -> None:
    async with serving(tls, http(OURS), Names(**{host: ["::1"]})) as service:
        error = await failure(f"https://{host}:{service.port}/", ca)
    assert error.problem is ReachProblem.SERVICE_URL


async def test_a_name_that_does_not_exist_is_unreachable(ca: Path) -> None:
    trio.socket.set_custom_hostname_resolver(Names())
    error = await failure("https://address.example/", ca)
    assert error.problem is ReachProblem.UNREACHABLE
    assert error.detail == "Name or service not known"


async def test_a_refused_connection_is_unreachable(ca: Path) -> None:
    with socket.socket(socket.AF_INET6) as bound:  # the port is taken but nobody listens
        bound.bind(("::1", 0))
        error = await failure(f"https://[::1]:{bound.getsockname()[1]}/", ca)
    assert error.problem is ReachProblem.UNREACHABLE
    assert error.detail == os.strerror(errno.ECONNREFUSED)


async def test_a_connection_that_breaks_is_unreachable(tls: ssl.SSLContext, ca: Path) -> None:
    async def reset(stream: trio.abc.Stream) -> None:
        assert isinstance(stream, trio.SSLStream)
        await stream.receive_some()
        stream.transport_stream.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )

    async with serving(tls, reset) as service:
        error = await failure(service.url, ca)
    assert error.problem is ReachProblem.UNREACHABLE
    assert error.detail == "Connection reset by peer"


async def test_a_service_without_tls_is_told_apart(ca: Path) -> None:
    async def talk(stream: trio.abc.Stream) -> None:
        await stream.receive_some()
        await stream.send_all(http(OURS))

    async with serving(None, talk) as service:
        assert (await failure(service.url, ca)).problem is ReachProblem.TLS


async def test_an_error_that_is_being_handled_already_is_not_mistaken_for_the_cause(
    ca: Path,
) -> None:
    trio.socket.set_custom_hostname_resolver(Names(localhost=["127.0.0.1"]))
    try:
        raise ssl.SSLCertVerificationError("an older trouble")
    except ssl.SSLCertVerificationError:
        error = await failure("https://localhost:1/", ca)
    assert error.problem is ReachProblem.UNREACHABLE


# Over IPv6 only


def nobody_came(listener: socket.socket) -> bool:
    listener.setblocking(False)
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return True
    return False


@pytest.mark.parametrize("url", ["https://localhost:{}/", "https://127.0.0.1:{}/"])
async def test_a_service_with_ipv4_alone_is_not_connected_to(ca: Path, url: str) -> None:
    trio.socket.set_custom_hostname_resolver(Names(localhost=["127.0.0.1"]))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        error = await failure(url.format(listener.getsockname()[1]), ca)
        assert error.problem is ReachProblem.UNREACHABLE
        assert error.detail == "it has no IPv6 address"
        assert nobody_came(listener)


async def test_a_service_with_both_is_asked_over_ipv6(tls: ssl.SSLContext, ca: Path) -> None:
    both = Names(localhost=["127.0.0.1", "::1"])
    async with serving(tls, http(OURS), both) as service:
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", service.port))
            except OSError:
                pytest.skip("another program has the port over IPv4")
            listener.listen()
            assert await public_address(service.url, ca=ca, interfaces=MACHINE) == Endpoint(OURS, 0)
            assert nobody_came(listener)


# Whose certificate it shows


async def test_an_unknown_authority_is_not_trusted(ca: Path) -> None:
    stranger = server_context(trustme.CA(), "localhost")
    async with serving(stranger, http(OURS)) as service:
        error = await failure(service.url, ca)
    assert error.problem is ReachProblem.CERTIFICATE
    assert error.detail
    assert service.requests == []


async def test_the_certificate_of_another_host_is_not_trusted(
    authority: trustme.CA, ca: Path
) -> None:
    other = server_context(authority, "elsewhere.example")
    async with serving(other, http(OURS)) as service:
        error = await failure(service.url, ca)
    assert error.problem is ReachProblem.CERTIFICATE
    assert "localhost" in error.detail
    assert service.requests == []


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_an_unusable_file_of_authorities_is_an_error(
    tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    trio.socket.set_custom_hostname_resolver(Names())
    error = await failure("https://localhost/", path)
    assert error.problem is ReachProblem.CERTIFICATE
    assert error.detail.startswith("ca.pem: ")


# What the environment says


async def test_proxies_of_the_environment_are_ignored(
    tls: ssl.SSLContext, ca: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        proxy = f"http://127.0.0.1:{closed.getsockname()[1]}"
        for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy)
        netrc = tmp_path / ".netrc"
        netrc.write_text("machine localhost login somebody password something\n")
        netrc.chmod(0o600)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("NETRC", str(netrc))
        async with serving(tls, http(OURS)) as service:
            assert await public_address(service.url, ca=ca, interfaces=MACHINE) == Endpoint(OURS, 0)
        assert b"authorization" not in service.requests[0].lower()


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
async def test_authorities_of_the_environment_are_not_trusted(
    tls: ssl.SSLContext, ca: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, str(ca))
    async with serving(tls, http(OURS)) as service:
        assert (await failure(service.url, None)).problem is ReachProblem.CERTIFICATE


async def test_a_missing_file_of_authorities_in_the_environment_does_no_harm(
    tls: ssl.SSLContext, ca: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nothing"))
    async with serving(tls, http(OURS)) as service:
        assert await public_address(service.url, ca=ca, interfaces=MACHINE) == Endpoint(OURS, 0)


async def test_the_request_says_nothing_of_this_program(tls: ssl.SSLContext, ca: Path) -> None:
    async with serving(tls, http(OURS)) as service:
        await public_address(service.url, ca=ca, interfaces=MACHINE)
    assert b"fantom" not in service.requests[0].lower()


# How long it takes


async def mute_after_tls(stream: trio.abc.Stream) -> None:
    while await stream.receive_some():
        pass


async def mute_after_the_head(stream: trio.abc.Stream) -> None:
    await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n2001")
    await mute_after_tls(stream)


SILENCES = pytest.mark.parametrize("silence", [mute, mute_after_tls, mute_after_the_head])


@SILENCES
async def test_a_service_that_falls_silent_is_given_up_after_five_seconds(
    tls: ssl.SSLContext, ca: Path, mock_clock: MockClock, silence: Handler
) -> None:
    errors = []

    async with serving(tls, silence) as service, trio.open_nursery() as nursery:

        async def ask() -> None:
            errors.append(await failure(service.url, ca))

        nursery.start_soon(ask)
        await service.connected.wait()
        await wait_all_tasks_blocked(0.02)
        mock_clock.jump(SERVICE_TIMEOUT - 0.1)
        await wait_all_tasks_blocked(0.02)
        assert errors == []
        mock_clock.jump(0.2)
        await wait_all_tasks_blocked(0.02)
        nursery.cancel_scope.cancel()
    assert [(e.problem, e.detail) for e in errors] == [(ReachProblem.TIMED_OUT, "5 s")]


async def test_a_service_that_drips_is_given_up_after_five_seconds(
    tls: ssl.SSLContext, ca: Path, mock_clock: MockClock
) -> None:
    async def drip(stream: trio.abc.Stream) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n")
        for _ in range(99):
            await stream.send_all(b" ")
            await wait_all_tasks_blocked(0.02)
            mock_clock.jump(1)

    async with serving(tls, drip) as service:
        assert (await failure(service.url, ca)).problem is ReachProblem.TIMED_OUT
        assert trio.current_time() < 10


async def test_a_name_that_is_looked_up_forever_is_given_up_after_five_seconds(
    ca: Path, autojump_clock: MockClock
) -> None:
    class Slow(Names):
        async def getaddrinfo(self, *_args: object) -> list[object]:  # type: ignore[override]
            await trio.sleep_forever()
            raise AssertionError

    trio.socket.set_custom_hostname_resolver(Slow())
    assert (await failure("https://localhost/", ca)).problem is ReachProblem.TIMED_OUT
    assert trio.current_time() == SERVICE_TIMEOUT


@SILENCES
async def test_cancellation_passes_through_and_leaves_no_connection(
    tls: ssl.SSLContext, ca: Path, silence: Handler
) -> None:
    async with serving(tls, silence) as service:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:

                async def ask() -> None:
                    await public_address(service.url, ca=ca, interfaces=MACHINE)

                nursery.start_soon(ask)
                await service.connected.wait()
                await wait_all_tasks_blocked(0.02)
                scope.cancel()
        assert scope.cancelled_caught
        gc.collect()
        if silence is not mute:
            await service.hung_up.wait()


# What the interfaces have


def machine(rows: Sequence[tables.Row], monkeypatch: pytest.MonkeyPatch) -> list[Interface]:
    """``list_interfaces()`` on a recorded machine."""
    mac = SimpleNamespace(family=psutil.AF_LINK, address="02:00:00:00:00:00")
    ipv4 = SimpleNamespace(family=socket.AF_INET, address="192.0.2.7")
    addresses = {
        name: [mac, ipv4, *(SimpleNamespace(family=socket.AF_INET6, address=a) for a in hosts)]
        for name, _, _, _, hosts in rows
    }
    stats = {name: SimpleNamespace(isup=up, flags=flags) for name, _, up, flags, _ in rows}
    indexes = {name: index for name, index, _, _, _ in rows}
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: addresses)
    monkeypatch.setattr(psutil, "net_if_stats", lambda: stats)
    monkeypatch.setattr(interfaces_module, "_index", indexes.__getitem__)
    return list_interfaces()


@pytest.mark.parametrize(
    ("rows", "platform", "expected"),
    [
        (tables.LINUX_LAPTOP, "linux", Endpoint("fe80::8e16:45ff:fe0a:7", 0, "wlp2s0")),
        (tables.MACOS_WITH_T2, "darwin", Endpoint("fe80::1c3b:a4d0:77e2:90ab", 0, "6")),
        (tables.WINDOWS_WITH_HYPER_V, "win32", Endpoint("fe80::d9b2:44e1:7c30:7", 0, "21")),
        (tables.WINDOWS_IN_RUSSIAN, "win32", Endpoint("fe80::61f:b3c2:9a01:3", 0, "14")),
    ],
    ids=["linux laptop", "macos with t2", "windows with hyper-v", "windows in russian"],
)
def test_the_first_real_interface_gives_the_link_local_address(
    monkeypatch: pytest.MonkeyPatch,
    rows: Sequence[tables.Row],
    platform: str,
    expected: Endpoint,
) -> None:
    assert link_local_address(machine(rows, monkeypatch), platform=platform) == expected


@pytest.mark.parametrize(
    ("rows", "platform"),
    [
        ((), "linux"),
        (tables.LINUX_SERVER_DOWN, "linux"),
        (tables.MACOS_OFFLINE, "darwin"),
        (tables.WINDOWS_WITH_HYPER_V[:-2], "win32"),
        (tables.WINDOWS_IN_RUSSIAN[:-1], "win32"),
    ],
    ids=["nothing", "linux down", "macos offline", "windows virtual", "windows in russian"],
)
def test_without_a_real_interface_there_is_no_link_local_address(
    monkeypatch: pytest.MonkeyPatch, rows: Sequence[tables.Row], platform: str
) -> None:
    with pytest.raises(ReachError) as caught:
        link_local_address(machine(rows, monkeypatch), platform=platform)
    assert caught.value.problem is ReachProblem.NO_LINK_LOCAL


LINUX_VIRTUAL = "lo lowpan0 virbr0 docker0 tun0 tap0 veth1a2b br-0f1e vmnet8 virtual0 myVirtual1"
LINUX_REAL = "eth0 enp3s0 wlan0 wlp2s0 usb0 br0 bond0 wwan0"


@pytest.mark.parametrize("name", LINUX_VIRTUAL.split())
def test_a_virtual_interface_is_passed_over_on_linux(name: str) -> None:
    interfaces = [
        Interface(name, 2, True, False, ("fe80::2",)),
        Interface("eth0", 3, True, False, ("fe80::3",)),
    ]
    assert link_local_address(interfaces, platform="linux") == Endpoint("fe80::3", 0, "eth0")


@pytest.mark.parametrize("name", LINUX_REAL.split())
def test_a_real_interface_is_taken_on_linux(name: str) -> None:
    interfaces = [Interface(name, 2, True, False, ("2001:db8::2", "fe80::2", "fe80::3"))]
    assert link_local_address(interfaces, platform="linux") == Endpoint("fe80::2", 0, name)


def test_an_interface_without_a_number_is_passed_over_where_the_number_is_the_zone() -> None:
    interfaces = [Interface("en0", 0, True, False, ("fe80::2",))]
    with pytest.raises(ReachError):
        link_local_address(interfaces, platform="darwin")


def test_a_recorded_machine_is_read_with_its_zones_taken_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    interfaces = {each.name: each for each in machine(tables.MACOS_WITH_T2, monkeypatch)}
    assert interfaces["lo0"] == Interface("lo0", 1, True, True, ("::1", "fe80::1"))
    assert interfaces["gif0"] == Interface("gif0", 2, False, False, ())
    assert interfaces["en0"].addresses == ("fe80::1c3b:a4d0:77e2:90ab", "2001:db8:7::a1")


# As Linux writes them: address, index, prefix length, scope, flags, name.
IF_INET6 = """\
20010db8001200000000000000000005 04 40 00 00 wlp2s0
20010db8001200007c1a22fffe010009 04 40 00 21 wlp2s0
fe800000000000008e1645fffe0a0007 04 40 20 40 wlp2s0
fe80000000000000505400fffe120001 03 40 20 c4 virbr0
fe800000000000000042c1fffe220003 06 40 20 80 wlp2s0
"""


def test_linux_tells_which_addresses_are_temporary_on_their_way_out_or_not_to_be_used_yet(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    table = tmp_path / "if_inet6"
    table.write_text(IF_INET6)
    monkeypatch.setattr(interfaces_module, "_LINUX_TABLE", table)
    found = {each.name: each for each in machine(tables.LINUX_LAPTOP, monkeypatch)}
    wifi = found["wlp2s0"]
    assert wifi.addresses == ("2001:db8:12::5", "2001:db8:12:0:7c1a:22ff:fe01:9")
    assert wifi.temporary == wifi.deprecated == {"2001:db8:12:0:7c1a:22ff:fe01:9"}
    # An optimistic one (RFC 4429) is in use while duplicates are looked for.
    assert found["virbr0"].addresses == ("fe80::5054:ff:fe12:1",)
    # Flags belong to an interface and its address.
    assert found["br-1f0a77c2d9e1"].addresses == ("fe80::42:c1ff:fe22:3",)


@pytest.mark.parametrize("table", ["", "no table of ours", IF_INET6[:60]])
def test_what_linux_does_not_tell_is_not_known(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, table: str
) -> None:
    file = tmp_path / "if_inet6"
    if table:
        file.write_text(table)
    monkeypatch.setattr(interfaces_module, "_LINUX_TABLE", file)
    found = machine(tables.LINUX_LAPTOP, monkeypatch)
    assert not any(each.temporary or each.deprecated for each in found)
    assert sum(len(each.addresses) for each in found) == 10


def test_loopback_is_known_without_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    loopback = [i.name for i in machine(tables.WINDOWS_WITH_HYPER_V, monkeypatch) if i.is_loopback]
    assert loopback == ["Loopback Pseudo-Interface 1"]


def test_loopback_is_known_without_an_ipv6_address(monkeypatch: pytest.MonkeyPatch) -> None:
    [interface] = machine([("lo", 1, True, "up,loopback,running", ())], monkeypatch)
    assert interface.is_loopback


def test_interfaces_that_cannot_be_read_are_an_error_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def denied() -> None:
        raise PermissionError(13, "Permission denied\x1b[31m")

    monkeypatch.setattr(psutil, "net_if_stats", denied)
    with pytest.raises(ReachError) as caught:
        list_interfaces()
    assert caught.value.problem is ReachProblem.INTERFACES
    assert caught.value.detail == "[Errno 13] Permission denied\\x1b[31m"


def test_the_loopback_of_this_machine_is_found() -> None:
    [loopback] = [each for each in list_interfaces() if each.is_loopback]
    assert loopback.is_up
    assert "::1" in loopback.addresses
    assert socket.if_indextoname(loopback.index) == loopback.name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (OURS, True),
        ("2001:DB8:0::5", True),
        (OURS_TOO, True),
        ("::1", True),
        ("fe80::5", True),
        ("fe80::5%eth0", True),
        ("fe80::5%2", True),
        ("fe80::5%eth1", False),
        ("2001:db8::6", False),
        ("2001:db8::dead", False),
        ("localhost", False),
    ],
)
def test_own_addresses_are_those_of_interfaces_that_are_up(text: str, expected: bool) -> None:
    assert is_own_address(Endpoint.parse(text), MACHINE) is expected


def test_own_addresses_are_this_machines_unless_told_otherwise() -> None:
    assert is_own_address(Endpoint("::1"))
    assert not is_own_address(Endpoint("2001:db8:ffff::ffff"))


def test_a_detail_is_cut_and_printable() -> None:
    error = ReachError(ReachProblem.UNREACHABLE, "\x1b[31m\u202e\n\x9b Нет связи" + "x" * 500)
    assert error.detail.startswith("\\x1b[31m\\u202e\\n\\x9b Нет связи")
    assert len(error.detail) == 100
    assert str(error) == f"the address service cannot be reached: {error.detail}"


def test_the_slow_libraries_are_not_imported_before_they_are_needed() -> None:
    code = (
        "import sys, fantom_trio.nursery.reach; print({'httpx', 'psutil'} & set(sys.modules) or '')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.strip() == ""


# A real network of its own, gone with the process that lives in it

IN_A_NETWORK = """
import socket, sys, trio
from fantom_trio.nursery.reach import *
try:
    found = link_local_address()
    with socket.socket(socket.AF_INET6) as bound:
        bound.bind((found.host, 0, 0, socket.if_nametoindex(found.zone)))
    print(found.host, found.zone, is_own_address(found))
except ReachError as error:
    print(error.problem.name)
try:
    trio.run(public_address, "https://[2001:db8::1]/")
except ReachError as error:
    print(error.problem.name, error.detail)
"""


def in_a_network(*commands: str) -> list[str]:
    """What a program prints in a network that has nothing but what the commands make."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root on Linux makes networks")
    if not shutil.which("ip") or not shutil.which("unshare"):
        pytest.skip("ip or unshare is missing")
    if subprocess.run(["unshare", "-n", "true"], capture_output=True, timeout=10).returncode:
        pytest.skip("this root may not make networks")
    script = " && ".join([*commands, 'exec "$0" -c "$1"'])
    done = subprocess.run(
        ["unshare", "-n", "sh", "-c", script, sys.executable, IN_A_NETWORK],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


# The kernel's own addresses are not to be used for a second or two: these are from the start.
PAIR = (
    "ip link set lo up",
    "ip link add veth0 type veth peer name eth0",
    "ip link set veth0 addrgenmode none",
    "ip link set eth0 addrgenmode none",
)


def test_in_a_real_network_the_veth_is_passed_over_and_eth0_found() -> None:
    assert in_a_network(
        *PAIR,
        "ip addr add fe80::1:1/64 dev veth0 nodad",
        "ip addr add fe80::2:2/64 dev eth0 nodad",
        "ip link set veth0 up",
        "ip link set eth0 up",
    ) == ["fe80::2:2 eth0 True", "NO_IPV6 "]


def test_in_a_real_network_an_interface_that_is_down_is_passed_over() -> None:
    assert in_a_network(
        *PAIR, "ip addr add fe80::1:1/64 dev veth0 nodad", "ip link set veth0 up"
    ) == ["NO_LINK_LOCAL", "NO_IPV6 "]


def test_in_a_real_network_without_a_route_the_service_is_unreachable() -> None:
    *_, problem = in_a_network(
        *PAIR,
        "ip addr add fd00:17::2/64 dev eth0 nodad",
        "ip link set veth0 up",
        "ip link set eth0 up",
    )
    assert problem == f"UNREACHABLE {os.strerror(errno.ENETUNREACH)}"
