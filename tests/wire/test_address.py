"""Endpoints as people and frames write them."""

import ipaddress

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fantom_trio.wire import AddressError, AddressProblem, Endpoint


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("[2001:db8::1]:31488", Endpoint("2001:db8::1", 31488)),
        ("2001:db8::1 31490", Endpoint("2001:db8::1", 31490)),
        ("[2001:db8::1] 31490", Endpoint("2001:db8::1", 31490)),
        ("2001:db8::1", Endpoint("2001:db8::1", 31488)),
        ("[::1]", Endpoint("::1", 31488)),
        ("  [::1]:40000  ", Endpoint("::1", 40000)),
        ("[fe80::1%eth0]:31488", Endpoint("fe80::1", 31488, "eth0")),
        ("fe80::1%eth0 31488", Endpoint("fe80::1", 31488, "eth0")),
        ("fe80::1%12", Endpoint("fe80::1", 31488, "12")),
        ("fe80::1%eth0.100", Endpoint("fe80::1", 31488, "eth0.100")),
        ("fe80::1%eth0:31488", Endpoint("fe80::1", 31488, "eth0")),
        ("2001:db8::1:31488", Endpoint("2001:db8::1", 31488)),
        ("2001:DB8:0:0::0001", Endpoint("2001:db8::1", 31488)),
        ("::1%lo", Endpoint("::1", 31488)),
        ("localhost", Endpoint("localhost", 31488)),
        ("Bob.Example.ORG:40000", Endpoint("bob.example.org", 40000)),
        ("bob.example 40000", Endpoint("bob.example", 40000)),
    ],
)
def test_what_people_write_is_read(text: str, endpoint: Endpoint) -> None:
    assert Endpoint.parse(text) == endpoint


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", AddressProblem.EMPTY),
        ("   ", AddressProblem.EMPTY),
        ("192.0.2.1", AddressProblem.IPV4),
        ("192.0.2.1:31488", AddressProblem.IPV4),
        ("192.0.2.1 31488", AddressProblem.IPV4),
        ("[192.0.2.1]:31488", AddressProblem.IPV4),
        ("[::ffff:192.0.2.1]:31488", AddressProblem.IPV4),
        ("[::]:31488", AddressProblem.NOT_A_PEER),
        ("ff02::1%eth0", AddressProblem.NOT_A_PEER),
        ("[::1]:0", AddressProblem.PORT),
        ("[::1]:65536", AddressProblem.PORT),
        ("[::1]:http", AddressProblem.PORT),
        ("[::1]:", AddressProblem.PORT),
        ("[::1]:٣١٤٨٨", AddressProblem.PORT),
        ("::1 port", AddressProblem.PORT),
        ("[::1", AddressProblem.MALFORMED),
        ("[::1]31488x", AddressProblem.MALFORMED),
        ("::1 31488 extra", AddressProblem.MALFORMED),
        ("12345", AddressProblem.MALFORMED),
        ("2001:db8::1::2", AddressProblem.MALFORMED),
        ("300.1.2.3", AddressProblem.MALFORMED),
        ("bob%eth0", AddressProblem.MALFORMED),
        ("fe80::1%", AddressProblem.ZONE),
        ("fe80::1%a\x1b[31m", AddressProblem.ZONE),
        ("fe80::1%eth\udcff", AddressProblem.ZONE),  # a byte that is not UTF-8
        ("-bob.example", AddressProblem.MALFORMED),
        ("bo\u017f.example", AddressProblem.MALFORMED),
        ("boo\u212a.example", AddressProblem.MALFORMED),
        (f"{'a7' * 16}.{'B2' * 8}", AddressProblem.INVITE),
        (f"{'a7' * 16}.{'b2' * 8}.", AddressProblem.INVITE),
        (f"{'a7' * 16}.{'b2' * 8}:31488", AddressProblem.INVITE),
    ],
)
def test_what_is_no_endpoint_is_refused_with_its_reason(text: str, problem: AddressProblem) -> None:
    with pytest.raises(AddressError) as caught:
        Endpoint.parse(text)
    assert caught.value.problem is problem


@pytest.mark.parametrize(
    "host", [f"{'a' * 32}.{'b' * 15}", f"{'a' * 32}.{'b' * 17}", f"{'a' * 31}.{'b' * 16}", "a1.b1"]
)
def test_a_name_that_only_resembles_the_end_of_an_invite_stays_a_name(host: str) -> None:
    assert Endpoint.parse(host) == Endpoint(host)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[2001:db8::1]:31488/codes.token", "[2001:db8::1]:31488/…"),
        ("antom://[2001:db8::1]:31488/codes.token", "antom://[2001:db8::1]:31488/…"),
        ("fantom:/[2001:db8::1]:31488/codes.token", "fantom:/…"),
        ("https://bob.example", "https://bob.example"),
        ("bob/\ncodes.token", "bob/…"),
        ("bob smith", "bob smith"),
        (f"{'a7' * 16}.{'b2' * 8}", "…"),
        (f"{'a7' * 16}.{'b2' * 8}]:31488/", "…]:31488/…"),
    ],
)
def test_an_error_shows_what_was_read_but_nothing_that_may_be_a_token(
    text: str, shown: str
) -> None:
    with pytest.raises(AddressError) as caught:
        Endpoint.parse(text)
    assert caught.value.text == shown
    assert str(caught.value) == f"{caught.value.problem.value}: {shown!r}"


@pytest.mark.parametrize(
    ("client_id", "endpoint"),
    [
        (b"::1:31490", Endpoint("::1", 31490)),
        (b"2001:db8::7:31488", Endpoint("2001:db8::7", 31488)),
        (b"fe80::1%eth0:31488", Endpoint("fe80::1", 31488, "eth0")),
        (b"fe80::1:31488", Endpoint("fe80::1", 31488)),
        (b"::1:0", Endpoint("::1", 0)),
    ],
)
def test_a_client_id_is_read_and_written_the_same(client_id: bytes, endpoint: Endpoint) -> None:
    assert Endpoint.parse_client_id(client_id) == endpoint
    assert endpoint.client_id == client_id


@pytest.mark.parametrize(
    "client_id", [b"", b"::1", b":31488", b"bob:31488", b"::1:65536", b"10.0.0.1:31488", b"\xff:1"]
)
def test_a_client_id_that_is_none_is_refused(client_id: bytes) -> None:
    with pytest.raises(AddressError):
        Endpoint.parse_client_id(client_id)


@given(st.ip_addresses(v=6), st.integers(1, 65535))
def test_what_we_print_we_read_again(address: ipaddress.IPv6Address, port: int) -> None:
    assume(not (address.is_multicast or address.is_unspecified or address.ipv4_mapped))
    endpoint = Endpoint.parse(f"[{address}]:{port}")
    assert Endpoint.parse(str(endpoint)) == endpoint
    assert Endpoint.parse_client_id(endpoint.client_id) == endpoint


@given(st.text(max_size=40))
def test_any_text_is_an_endpoint_or_an_address_error(text: str) -> None:
    try:
        endpoint = Endpoint.parse(text)
    except AddressError:
        return
    assert Endpoint.parse(str(endpoint)) == endpoint
