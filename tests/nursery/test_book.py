"""Whose a link is: found without looking at all the others."""

import sys
from types import FrameType
from typing import Any

import pytest

from fantom_trio.nursery.book import Book
from fantom_trio.nursery.conversation import Conversation
from fantom_trio.nursery.identity import PeerIdentity
from fantom_trio.nursery.limits import Limits
from fantom_trio.wire import Endpoint

LIMITS = Limits()


def endpoint(number: int) -> Endpoint:
    return Endpoint(f"2001:db8:0:{number:x}::1", 40000)


def met(book: Book, number: int) -> Conversation:
    """A native peer whom the user answered."""
    identity = PeerIdentity(number.to_bytes(32, "big"))
    conversation = book.bind(identity, endpoint(number), None).conversation
    conversation.want()
    return conversation


def steps(book: Book, number: int) -> int:
    """Lines and calls of Python for a newcomer, from the link to its end, each time in a loop."""
    count = 0

    def on_step(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        count += event in ("call", "line")
        return on_step

    before = sys.gettrace()
    sys.settrace(on_step)
    try:
        conversation = met(book, number)
        book.surplus()
        book.classic(endpoint(number + 1))
        book.remove(conversation)
        book.remove(book.classic(endpoint(number + 1)))
    finally:
        sys.settrace(before)
    return count


def test_what_a_newcomer_costs_does_not_grow_with_the_friends() -> None:
    few, many = Book(LIMITS), Book(LIMITS)
    for book, size in (few, 10), (many, 3000):
        for number in range(size):
            met(book, number)
        book.surplus()
    assert 0 < steps(many, 60_000) <= steps(few, 60_000) + 50


def test_the_lowest_free_number_is_given_out_first() -> None:
    book = Book(LIMITS)
    conversations = [met(book, number) for number in range(5)]
    assert [each.number for each in book] == [1, 2, 3, 4, 5]
    for each in conversations[3], conversations[1]:
        book.remove(each)
    assert [met(book, number).number for number in (10, 11, 12)] == [2, 4, 6]
    assert [each.number for each in book] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("count", [1, 129, 200])
def test_strangers_beyond_the_bound_are_surplus_and_friends_never(count: int) -> None:
    book = Book(LIMITS)
    friends = [met(book, number) for number in range(300)]
    for number in range(1000, 1000 + count):
        book.bind(PeerIdentity(number.to_bytes(32, "big")), endpoint(number), None)
    surplus = book.surplus()
    assert len(surplus) == max(0, count - LIMITS.strangers)
    assert not set(surplus) & set(friends)


def test_the_number_of_a_stranger_who_made_room_is_nobody_else_s_for_long() -> None:
    book = Book(Limits())
    first = met(book, 1)
    book.remove(first, retire=True)
    numbers = set()
    for number in range(2, 4098):
        conversation = met(book, number)
        numbers.add(conversation.number)
        book.remove(conversation, retire=True)
    assert first.number not in numbers
    assert len(numbers) == 4096
    assert met(book, 5000).number == first.number
