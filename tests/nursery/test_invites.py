"""Who a token lets in."""

import hmac
from collections.abc import Callable

import pytest

from fantom_trio.nursery.invites import Invites, InvitesFull

ALICE, BOB = bytes([1]) * 32, bytes([2]) * 32


def test_every_token_is_new_and_10_bytes_long() -> None:
    invites = Invites()
    tokens = {invites.new() for _ in range(200)}
    assert len(tokens) == 200
    assert {len(token) for token in tokens} == {10}
    # Each byte of a fixed or counted part would have few values.
    assert all(len({token[at] for token in tokens}) > 60 for at in range(10))


def test_the_first_identity_owns_a_token_and_may_present_it_again() -> None:
    invites = Invites()
    token = invites.new()
    assert [invites.admit(token, ALICE) for _ in range(3)] == [True, True, True]


def test_a_second_identity_is_refused_and_takes_nothing_from_the_first() -> None:
    invites = Invites()
    token = invites.new()
    assert invites.admit(token, ALICE)
    assert not invites.admit(token, BOB)
    assert invites.admit(token, ALICE)
    assert not invites.admit(token, BOB)


def test_each_token_has_an_owner_of_its_own() -> None:
    invites = Invites()
    first, second = invites.new(), invites.new()
    assert invites.admit(second, BOB)
    assert invites.admit(first, ALICE)
    assert not invites.admit(first, BOB)
    assert not invites.admit(second, ALICE)


@pytest.mark.parametrize(
    "change",
    [
        lambda token: b"",
        lambda token: token[:-1],
        lambda token: token + b"\0",
        lambda token: bytes(10),
        lambda token: bytes([token[0] ^ 1]) + token[1:],
        lambda token: token[:-1] + bytes([token[-1] ^ 0x80]),
    ],
    ids=["empty", "shorter", "longer", "zeros", "first bit", "last bit"],
)
def test_a_token_that_was_not_given_out_lets_nobody_in(change: Callable[[bytes], bytes]) -> None:
    invites = Invites()
    token = invites.new()
    assert not invites.admit(change(token), BOB)
    assert invites.admit(token, ALICE), "nobody owns it yet"


def test_a_token_of_another_run_lets_nobody_in() -> None:
    assert not Invites().admit(Invites().new(), ALICE)


def test_revoking_closes_every_token_owned_ones_too() -> None:
    invites = Invites()
    owned, unused = invites.new(), invites.new()
    assert invites.admit(owned, ALICE)
    assert invites.revoke() == 2
    assert not invites.admit(owned, ALICE)
    assert not invites.admit(unused, BOB)
    assert invites.revoke() == 0


def test_what_is_made_after_revoking_is_good() -> None:
    invites = Invites()
    invites.new()
    invites.revoke()
    assert invites.admit(invites.new(), ALICE)


def test_with_256_open_no_more_are_made_and_none_is_lost() -> None:
    invites = Invites()
    tokens = [invites.new() for _ in range(256)]
    assert invites.admit(tokens[0], ALICE)
    with pytest.raises(InvitesFull):
        invites.new()
    assert all(invites.admit(token, ALICE) for token in tokens)
    assert invites.revoke() == 256
    assert invites.admit(invites.new(), BOB)


def test_a_token_is_compared_with_every_open_one_whichever_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    invites = Invites()
    tokens = [invites.new() for _ in range(10)]
    compared: list[tuple[bytes, bytes]] = []
    original = hmac.compare_digest

    def compare(ours: bytes, theirs: bytes) -> bool:
        compared.append((ours, theirs))
        return original(ours, theirs)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    for presented in (tokens[0], tokens[9], bytes(10)):
        compared.clear()
        invites.admit(presented, ALICE)
        assert compared == [(token, presented) for token in tokens]


def test_no_token_shows() -> None:
    invites = Invites()
    token = invites.new()
    assert invites.admit(token, ALICE)
    for shown in (repr(invites), str(invites), repr(InvitesFull())):
        assert token.hex() not in shown
        assert repr(token) not in shown
