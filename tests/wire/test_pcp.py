"""PCP: packets against bytes written down by hand, and what a router may not say."""

import contextlib
import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fantom_trio.wire import Endpoint
from fantom_trio.wire.pcp import (
    Answer,
    Epoch,
    MapRequest,
    PcpError,
    PcpResult,
    announced,
    lasting,
    pause_after,
    renewals,
    retransmissions,
)

NONCE = bytes(range(0xA0, 0xAC))
LISTENER = Endpoint("2001:db8::5", 31488)
REQUEST = MapRequest(LISTENER, NONCE, 7200, LISTENER)
HOST = "20010db8 00000000 00000000 00000005"
#: MAP's part: nonce, protocol and reserved bytes, both ports, the external address.
BODY = f"a0a1a2a3 a4a5a6a7 a8a9aaab 06000000 7b007b00 {HOST}"
GRANTED = bytes.fromhex(f"02810000 00000e10 000f4240 {'00000000' * 3} {BODY}")
ANSWER = Answer(0, 3600, 1_000_000, LISTENER)


def changed(at: int, *values: int) -> bytes:
    return GRANTED[:at] + bytes(values) + GRANTED[at + len(values) :]


# Requests.


def test_a_request_is_its_header_and_what_map_adds() -> None:
    assert REQUEST.encode() == bytes.fromhex(f"02010000 00001c20 {HOST} {BODY}")


def test_without_a_wish_the_external_side_is_zero() -> None:
    packet = MapRequest(LISTENER, NONCE, 7200).encode()
    assert packet[:42] == REQUEST.encode()[:42]
    assert packet[42:] == bytes(18)


def test_giving_back_asks_for_no_time_and_wishes_for_nothing() -> None:
    packet = REQUEST.end().encode()
    assert packet[4:8] == bytes(4)
    assert packet[24:42] == REQUEST.encode()[24:42]
    assert packet[42:] == bytes(18)


# Answers.


def test_what_was_granted_is_read() -> None:
    assert REQUEST.answer(GRANTED) == ANSWER
    assert ANSWER.result is PcpResult.SUCCESS


def test_the_router_may_choose_another_address_and_port() -> None:
    assert REQUEST.answer(changed(42, 0x9C, 0x40)).external == Endpoint("2001:db8::5", 40000)
    assert REQUEST.answer(changed(59, 9)).external == Endpoint("2001:db8::9", 31488)


@pytest.mark.parametrize("result", [each for each in PcpResult if 0 < each < 256])
def test_a_refusal_is_read_and_has_no_external_side(result: PcpResult) -> None:
    answer = REQUEST.answer(changed(3, result))
    assert answer == Answer(int(result), 3600, 1_000_000)
    assert answer.result is result


def test_a_refusal_without_a_name_keeps_its_code() -> None:
    answer = REQUEST.answer(changed(3, 200))
    assert (answer.code, answer.result) == (200, PcpResult.UNKNOWN)


def test_reserved_bytes_count_for_nothing() -> None:
    packet = bytearray(GRANTED)
    for at in (2, *range(12, 24), *range(37, 40)):
        packet[at] = 0xFF
    assert REQUEST.answer(bytes(packet)) == ANSWER


@pytest.mark.parametrize(
    "packet",
    [
        bytes.fromhex("00810001 00001234"),  # NAT-PMP's
        changed(0, 1, 0x81, 0, 1),
        changed(0, 3, 0x81, 0, 1),
        changed(0, 3, 0x80, 0, 1)[:24],
    ],
)
def test_a_router_of_another_version_says_so(packet: bytes) -> None:
    answer = REQUEST.answer(packet)
    assert answer.result is PcpResult.UNSUPP_VERSION
    assert (answer.epoch, answer.external) == (None, None)


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        GRANTED[:4],
        GRANTED[:24],
        GRANTED[:56],
        GRANTED[:-1],
        GRANTED + b"\0",
        GRANTED + b"\x80\0\4\x10" + bytes(1040),
        REQUEST.encode(),
        changed(0, 1),
        changed(0, 0),
        changed(1, 0x80),
        changed(1, 0x82),
        changed(24, 0),
        changed(35, 0),
        changed(36, 17),
        changed(40, 0),
        changed(42, 0, 0),
        changed(44, *bytes(16)),
        changed(44, *bytes(10), 0xFF, 0xFF, 192, 0, 2, 1),
        changed(44, 0xFF),
        GRANTED + bytes(4),
        GRANTED + bytes.fromhex("01000010") + bytes(16),
        GRANTED + bytes.fromhex("03000014") + bytes(20),
        GRANTED + bytes.fromhex("80000005 00000000"),
        GRANTED + bytes.fromhex("80000004"),
    ],
    ids=[
        "nothing",
        "a word",
        "a header alone",
        "cut off",
        "a byte too few",
        "a byte too many",
        "over 1100 bytes",
        "a request",
        "version 1",
        "version 0",
        "an announcement",
        "a peer's",
        "another nonce",
        "another end of the nonce",
        "udp",
        "another port",
        "external port 0",
        "no external address",
        "an external ipv4 address",
        "a group",
        "option 0",
        "a third party",
        "a filter",
        "an option cut off in its padding",
        "an option cut off",
    ],
)
def test_what_is_no_answer_is_refused(packet: bytes) -> None:
    with pytest.raises(PcpError):
        REQUEST.answer(packet)


def test_an_option_that_may_be_ignored_is_ignored() -> None:
    for options in ("80000000", "ff000003 01020300", "81000004 00000000 80000001 00000000"):
        assert REQUEST.answer(GRANTED + bytes.fromhex(options)) == ANSWER


def test_the_longest_packet_is_read() -> None:
    packet = GRANTED + bytes.fromhex("8000040c") + bytes(1036)
    assert len(packet) == 1100
    assert REQUEST.answer(packet) == ANSWER


@pytest.mark.fuzz
@given(st.binary(max_size=1200))
def test_noise_raises_one_error_only(noise: bytes) -> None:
    for packet in (noise, GRANTED[:4] + noise, GRANTED[:44] + noise, GRANTED + noise):
        try:
            answer = REQUEST.answer(packet)
        except PcpError:
            continue
        assert (answer.external is not None) == (answer.result is PcpResult.SUCCESS)


@pytest.mark.fuzz
@given(st.lists(st.tuples(st.integers(0, 59), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_changed_answer_raises_one_error_only(changes: list[tuple[int, int]]) -> None:
    packet = bytearray(GRANTED)
    for at, value in changes:
        packet[at] = value
    try:
        answer = REQUEST.answer(bytes(packet))
    except PcpError:
        return
    assert pause_after(answer) <= 1800
    assert 8 <= lasting(answer.lifetime) <= 86400


@given(st.binary(min_size=12, max_size=12), st.integers(1, 65535), st.integers(0, 2**32 - 1))
def test_only_the_request_s_own_answer_is_taken(nonce: bytes, port: int, lifetime: int) -> None:
    request = MapRequest(Endpoint("2001:db8::5", port), nonce, lifetime)
    body = request.encode()[24:42] + b"\1\2" + request.encode()[8:24]
    answer = request.answer(GRANTED[:24] + body)
    assert answer.external == Endpoint("2001:db8::5", 258)
    if (nonce, port) != (NONCE, LISTENER.port):
        with pytest.raises(PcpError):
            REQUEST.answer(GRANTED[:24] + body)


# What a router says to all.

ANNOUNCEMENT = bytes.fromhex(f"02800000 00000000 000f4240 {'00000000' * 3}")


def test_an_announcement_has_the_epoch() -> None:
    assert announced(ANNOUNCEMENT) == 1_000_000
    assert announced(ANNOUNCEMENT[:4] + b"\0\0\0\7" + ANNOUNCEMENT[8:]) == 1_000_000
    assert announced(ANNOUNCEMENT + bytes.fromhex("ff000003 01020300")) == 1_000_000


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        ANNOUNCEMENT[:20],
        ANNOUNCEMENT + b"\0",
        ANNOUNCEMENT + bytes.fromhex("80000440") + bytes(1088),
        b"\1" + ANNOUNCEMENT[1:],
        b"\2\0" + ANNOUNCEMENT[2:],
        GRANTED,
        ANNOUNCEMENT[:3] + b"\1" + ANNOUNCEMENT[4:],
        ANNOUNCEMENT + bytes(4),
        ANNOUNCEMENT + bytes.fromhex("80000004"),
    ],
    ids=[
        "nothing",
        "cut off",
        "a byte too many",
        "over 1100 bytes",
        "version 1",
        "a request",
        "a map",
        "an error",
        "an option that was not asked for",
        "an option cut off",
    ],
)
def test_what_is_no_announcement_is_refused(packet: bytes) -> None:
    with pytest.raises(PcpError):
        announced(packet)


@pytest.mark.fuzz
@given(st.binary(max_size=1200))
def test_noise_in_an_announcement_raises_one_error_only(noise: bytes) -> None:
    for packet in (noise, ANNOUNCEMENT[:4] + noise, ANNOUNCEMENT + noise):
        with contextlib.suppress(PcpError):
            assert 0 <= announced(packet) < 2**32


# The epoch.


@pytest.mark.parametrize(
    ("theirs", "ours", "goes_on"),
    [
        (0, 0.0, True),
        (3600, 3600.0, True),
        (-1, 0.5, True),  # packets overtake each other
        (-2, 0.5, False),
        (-9000, 3600.0, False),
        (0, 3.0, False),  # it began anew, and came to the same second
        (0, 2.0, True),
        (3600 - 225, 3600.0, True),  # a slow clock: 1/16
        (3600 - 230, 3600.0, False),
        (3600 + 240, 3600.0, True),
        (3600 + 250, 3600.0, False),
    ],
)
def test_an_epoch_that_does_not_go_on_with_our_clock_is_noticed(
    theirs: int, ours: float, goes_on: bool
) -> None:
    epoch = Epoch()
    assert epoch.goes_on(10_000, 50.0)
    assert epoch.goes_on(10_000 + theirs, 50.0 + ours) is goes_on
    # From here on the new one counts.
    assert epoch.goes_on(10_000 + theirs + 60, 50.0 + ours + 60)


# Times.


@given(st.integers())
def test_pauses_double_up_to_seventeen_minutes(seed: int) -> None:
    waits = list(itertools.islice(retransmissions(random.Random(seed)), 14))
    assert 2.7 <= waits[0] <= 3.3
    for wait, following in itertools.pairwise(waits):
        wished = min(2 * wait, 1024)
        assert 0.9 * wished - 1e-6 <= following <= 1.1 * wished + 1e-6
    assert waits[-1] >= 1024 * 0.9


@given(st.integers(8, 86400), st.integers())
def test_renewals_come_ever_nearer_to_the_end_but_never_in_a_flood(
    lifetime: int, seed: int
) -> None:
    times = list(renewals(lifetime, random.Random(seed)))
    assert lifetime / 2 <= times[0] <= lifetime * 5 / 8
    for number, at in enumerate(times, 1):
        assert lifetime * (1 - 2**-number) <= at <= lifetime * (1 - 2**-number * 3 / 4)
    assert all(b - a >= 4 for a, b in itertools.pairwise([0.0, *times]))
    assert times[-1] < lifetime


def test_renewals_are_not_all_at_the_same_time() -> None:
    rng = random.Random(1)
    firsts = [next(renewals(7200, rng)) for _ in range(200)]
    assert min(firsts) < 7200 * 0.51
    assert max(firsts) > 7200 * 0.615


@pytest.mark.parametrize(
    ("granted", "counts"), [(0, 8), (5, 8), (120, 120), (7200, 7200), (2**32 - 1, 86400)]
)
def test_a_lifetime_is_taken_within_bounds(granted: int, counts: int) -> None:
    assert lasting(granted) == counts


@pytest.mark.parametrize(
    ("result", "lifetime", "pause"),
    [
        (PcpResult.NO_RESOURCES, 0, 30),
        (PcpResult.NETWORK_FAILURE, 1, 30),
        (PcpResult.USER_EX_QUOTA, 100, 100),
        (PcpResult.NOT_AUTHORIZED, 0, 1800),
        (PcpResult.NOT_AUTHORIZED, 60, 60),
        (PcpResult.NOT_AUTHORIZED, 2**32 - 1, 1800),
        (PcpResult.UNSUPP_VERSION, 0, 1800),
    ],
)
def test_what_was_refused_is_asked_again_when_the_router_says_within_bounds(
    result: PcpResult, lifetime: int, pause: int
) -> None:
    assert pause_after(Answer(int(result), lifetime, 1)) == pause


def test_an_epoch_that_is_only_looked_at_changes_nothing() -> None:
    epoch = Epoch()
    assert epoch.fits(0, 0.0)
    assert epoch.goes_on(1000, 0.0)
    assert not epoch.fits(0, 10.0)
    assert epoch.fits(1010, 10.0)
    assert epoch.goes_on(1020, 20.0)
