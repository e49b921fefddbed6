"""Invites as they are printed, and as people paste them."""

import base64
import contextlib
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fantom_trio.wire import AddressError, AddressProblem, Endpoint
from fantom_trio.wire.invite import Invite, fingerprint, is_invite

WHERE = Endpoint("2001:db8::1", 31488)
INVITE = Invite(WHERE, bytes(range(20)), bytes(range(0xF6, 0x100)))
# By base32 of GNU coreutils.
WHO = "aaaqeayeaudaocajbifqydiob4ibceqt"
TOKEN = "6337r6p27p6p37x7"
TEXT = f"fantom://[2001:db8::1]:31488/{WHO}.{TOKEN}"
#: The characters next to base32 in a reader's eyes, or in a careless decoder.
NOT_BASE32 = "0189-_=+/.% \xe9\u0131\u017f\u212a\uff41\u0663"


def codes(text: str) -> Invite:
    """What an invite with ``text`` behind the slash is read as."""
    return Invite.parse(f"fantom://[2001:db8::1]:31488/{text}")


def refused(text: str) -> AddressError:
    with pytest.raises(AddressError) as caught:
        Invite.parse(text)
    return caught.value


# Printed.


def test_an_invite_is_printed_as_the_wire_s_specification_has_it() -> None:
    assert str(INVITE) == TEXT


def test_a_fingerprint_is_blake2b_with_a_digest_of_20_bytes() -> None:
    # Computed by libsodium's crypto_generichash (https://doc.libsodium.org/hashing).
    expected = "b1b133b99f516e6c82ceda892ef5af50fa4b4e71"
    assert fingerprint(bytes(range(32))).hex() == expected


def test_the_zone_of_the_one_who_invites_is_not_printed() -> None:
    there = Endpoint("fe80::1", 40000, "eth0")
    assert str(replace(INVITE, endpoint=there)) == f"fantom://[fe80::1]:40000/{WHO}.{TOKEN}"


def test_the_token_shows_in_the_text_and_nowhere_else() -> None:
    shown = repr(INVITE)
    assert "endpoint=" in shown
    assert "fingerprint=" in shown
    for secret in (TOKEN, INVITE.token.hex(), repr(INVITE.token)):
        assert secret not in shown
        assert secret not in repr({"invite": [INVITE]})


# Pasted.


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        f"  {TEXT}\r\n",
        TEXT.upper(),
        TEXT.replace("fantom", "Fantom"),
        TEXT.replace(":31488", ""),
        f"<{TEXT}>",
        f" < {TEXT} >\n",
        TEXT.replace("/a", "/\n   a"),
        TEXT.replace("fantom", "fan\r\ntom"),
        TEXT.replace("db8", "d\xa0b8"),
        "\n".join(TEXT),
        TEXT.replace("2001:db8::1", "2001:DB8:0::0001"),
        TEXT.replace("[2001:db8::1]", "2001:db8::1"),
    ],
    ids=ascii,
)
def test_an_invite_is_read_however_it_was_pasted(text: str) -> None:
    assert is_invite(text)
    assert Invite.parse(text) == INVITE


def test_a_reader_s_own_zone_is_kept() -> None:
    text = f"fantom://[fe80::1%wlan0]:40000/{WHO}.{TOKEN}"
    assert Invite.parse(text).endpoint == Endpoint("fe80::1", 40000, "wlan0")


def test_a_name_may_stand_for_the_address() -> None:
    text = f"fantom://Bob.Example:40000/{WHO}.{TOKEN}"
    assert Invite.parse(text).endpoint == Endpoint("bob.example", 40000)


@pytest.mark.parametrize(
    "text", ["fantom://", "FANTOM://x", " fantom://", "<fantom://", "<<fantom://", "fan\ntom:// x"]
)
def test_what_begins_as_an_invite_is_meant_as_one(text: str) -> None:
    assert is_invite(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "fantom",
        "fantom:/x",
        "fantom.example",
        "[::1]:31488",
        "https://x",
        "x fantom://",
        f"{WHO}.{TOKEN}",
    ],
)
def test_what_begins_otherwise_is_none(text: str) -> None:
    assert not is_invite(text)
    error = refused(text)
    assert (error.problem, error.text) == (AddressProblem.INVITE, "…")


# Damaged.


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("", AddressProblem.EMPTY),
        ("192.0.2.1:31488", AddressProblem.IPV4),
        ("[::ffff:192.0.2.1]", AddressProblem.IPV4),
        ("[ff02::1]:31488", AddressProblem.NOT_A_PEER),
        ("[2001:db8::1]:0", AddressProblem.PORT),
        ("[2001:db8::1]:65536", AddressProblem.PORT),
        ("[fe80::1%]:31488", AddressProblem.ZONE),
        ("[2001:db8::g]:31488", AddressProblem.MALFORMED),
        ("me@[2001:db8::1]:31488", AddressProblem.MALFORMED),
    ],
)
@pytest.mark.parametrize("behind", [f"{WHO}.{TOKEN}", "damaged"])
def test_an_address_that_is_none_keeps_its_own_problem(
    address: str, problem: AddressProblem, behind: str
) -> None:
    error = refused(f"fantom://{address}/{behind}")
    assert error.problem is problem
    assert error.text == f"fantom://{address}/…"


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        WHO,
        TOKEN,
        f"{WHO}{TOKEN}",
        f"{WHO}.",
        f".{TOKEN}",
        f"{TOKEN}.{WHO}",
        f"{WHO[1:]}.{TOKEN}",
        f"{WHO}a.{TOKEN}",
        f"{WHO}.{TOKEN[1:]}",
        f"{WHO}.{TOKEN}a",
        f"{WHO}.{TOKEN}.",
        f"{WHO}..{TOKEN}",
        f"/{WHO}.{TOKEN}",
        f"{WHO}.{TOKEN}/",
        f"{WHO}.{TOKEN}======",
        f"{WHO[:-1]}=.{TOKEN}",
        f"{WHO}.{TOKEN[:-1]}=",
    ],
)
def test_codes_of_another_form_are_a_damaged_invite(text: str) -> None:
    error = refused(f"fantom://[2001:db8::1]:31488/{text}")
    assert error.problem is AddressProblem.INVITE
    assert error.text == "fantom://[2001:db8::1]:31488/…"


@pytest.mark.parametrize("char", NOT_BASE32.replace(" ", ""), ids=ascii)
def test_a_character_outside_base32_is_damage_wherever_it_stands(char: str) -> None:
    whole = f"{WHO}.{TOKEN}"
    for at in range(len(whole)):
        if whole[at] != char:
            error = refused(f"fantom://[2001:db8::1]:31488/{whole[:at]}{char}{whole[at + 1 :]}")
            assert error.problem is AddressProblem.INVITE


def test_every_other_character_is_another_invite() -> None:
    """No spare bits: whatever is read differently is written differently."""
    whole, alphabet = f"{WHO}.{TOKEN}", "abcdefghijklmnopqrstuvwxyz234567"
    read = {
        codes(whole[:at] + char + whole[at + 1 :])
        for at in range(len(whole))
        if whole[at] != "."
        for char in alphabet
    }
    assert len(read) == 48 * 31 + 1


def test_without_a_slash_nothing_of_it_is_shown() -> None:
    for text in (TEXT.replace(f"/{WHO}", WHO), f"fantom://{WHO}.{TOKEN}", f"fantom://{TOKEN}"):
        error = refused(text)
        assert (error.problem, error.text) == (AddressProblem.INVITE, "fantom://…")


def test_codes_in_the_place_of_the_address_are_not_shown() -> None:
    error = refused(f"fantom://{WHO}.{TOKEN}/")
    assert (error.problem, error.text) == (AddressProblem.INVITE, "fantom://…/…")


# Any.


def can_be_invited_to(address: IPv4Address | IPv6Address) -> bool:
    with contextlib.suppress(AddressError):
        return Endpoint.parse(str(address)).host == str(address)
    return False


INVITES = st.builds(
    Invite,
    st.builds(
        Endpoint, st.ip_addresses(v=6).filter(can_be_invited_to).map(str), st.integers(1, 65535)
    ),
    st.binary(min_size=20, max_size=20),
    st.binary(min_size=10, max_size=10),
)


@given(INVITES, st.sampled_from(["", "eth0", "12"]))
def test_what_we_print_we_read_again(invite: Invite, zone: str) -> None:
    text = str(invite)
    assert Invite.parse(text) == Invite.parse(text.upper()) == invite
    assert str(replace(invite, endpoint=replace(invite.endpoint, zone=zone))) == text
    assert text == text.lower()
    assert len(text.rpartition("/")[2]) == 32 + 1 + 16


@given(
    st.one_of(
        st.text(),
        st.text().map("fantom://".__add__),
        st.text(alphabet="fantom:/[]<>%. \n\x1c2001db8" + NOT_BASE32).map("fantom://[::1".__add__),
        st.text().map(f"fantom://[::1]/{WHO}".__add__),
        st.text().map(lambda address: f"fantom://{address}/{WHO}.{TOKEN}"),
    )
)
def test_any_text_is_an_invite_or_an_address_error(text: str) -> None:
    try:
        invite = Invite.parse(text)
    except AddressError:
        return
    assert is_invite(text)
    zoneless = replace(invite, endpoint=replace(invite.endpoint, zone=""))
    assert Invite.parse(str(invite)) == zoneless


@given(INVITES, st.data())
def test_whatever_one_character_was_damaged_no_error_shows_the_token(
    invite: Invite, data: st.DataObject
) -> None:
    """As an invite, or as the address that it is taken for without its beginning."""
    text, token = str(invite), base64.b32encode(invite.token).decode().lower()
    at = data.draw(st.integers(0, len(text) - len(token) - 1))
    put = data.draw(st.sampled_from(["", "/", ".", ":", "]", "x", "\n", text[at] + "/", "é"]))
    damaged = text[:at] + put + text[at + 1 :]
    shown = ""
    try:
        Invite.parse(damaged) if is_invite(damaged) else Endpoint.parse(damaged)
    except AddressError as error:
        shown = f"{error} {error.text} {error!r}"
    assert token not in shown.lower()
