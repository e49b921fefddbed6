"""Which messages a link still has to carry: each once, in order, whatever links are cut."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fantom_trio.wire import LocalProtocolError, RemoteProtocolError, Violation, delivery
from fantom_trio.wire.delivery import FRAME_BYTES, WINDOW_BYTES, WINDOW_MESSAGES, Cursor, Delivery
from fantom_trio.wire.records import MAX_TEXT, Hello, Say

ALL = 1 << 30


def hello(received: int = 0, shown: int = 0) -> Hello:
    return Hello(0, "", received, shown)


def hello_of(theirs: Delivery[str]) -> Hello:
    return hello(theirs.received, theirs.shown)


def with_queue(*texts: str) -> Delivery[str]:
    """A delivery where each text waits, itself as its message."""
    ours: Delivery[str] = Delivery()
    for at, text in enumerate(texts):
        ours.queue(text, at, text)
    return ours


def started(ours: Delivery[str], received: int = 0, shown: int = 0) -> Cursor:
    cursor, _ = ours.start(hello(received, shown), maybe_stale=False)
    return cursor


def says(ours: Delivery[str], cursor: Cursor, most: int = ALL) -> list[Say]:
    return [say for say, _ in ours.next_says(cursor, most)]


def ids(found: list[Say]) -> list[int]:
    return [say.id for say in found]


def impossible(ours: Delivery[str], received: int, shown: int, *, maybe_stale: bool) -> bool:
    """True where this ``hello`` ends the link."""
    try:
        ours.start(hello(received, shown), maybe_stale=maybe_stale)
    except RemoteProtocolError as error:
        return error.violation is Violation.COUNT_IMPOSSIBLE
    return False


# Ours.


def test_messages_are_counted_from_1_and_carried_in_their_order() -> None:
    ours = with_queue("a", "b", "c")
    assert ours.next_says(started(ours), ALL) == [
        (Say(1, "a", 0), "a"),
        (Say(2, "b", 1), "b"),
        (Say(3, "c", 2), "c"),
    ]


def test_what_a_link_carried_it_does_not_carry_again() -> None:
    ours = with_queue("a", "b")
    cursor = started(ours)
    assert ids(says(ours, cursor)) == [1, 2]
    assert says(ours, cursor) == []
    ours.queue("c", 0, "c")
    assert ids(says(ours, cursor)) == [3]


def test_a_batch_ends_with_the_message_that_fills_it() -> None:
    ours = with_queue("x" * 10, "x" * 10, "x" * 10, "x" * 10)
    cursor = started(ours)
    frame = FRAME_BYTES + 10
    assert ids(says(ours, cursor, 1)) == [1]
    assert ids(says(ours, cursor, frame + 1)) == [2, 3]
    assert ids(says(ours, cursor, frame)) == [4]


def test_what_waits_is_counted_until_it_is_acknowledged() -> None:
    ours = with_queue("a", "ыы", "")
    assert (ours.pending, ours.pending_bytes, ours.unsent) == (3, 5, True)
    says(ours, started(ours))
    assert (ours.pending, ours.pending_bytes, ours.unsent) == (3, 5, False)
    ours.acknowledge(1)
    assert (ours.pending, ours.pending_bytes) == (2, 4)
    ours.acknowledge(3)
    assert (ours.pending, ours.pending_bytes) == (0, 0)


def test_an_acknowledgement_delivers_all_up_to_it_once() -> None:
    ours = with_queue("a", "b", "c")
    says(ours, started(ours))
    assert ours.acknowledge(2) == ["a", "b"]
    assert ours.acknowledge(2) == []
    assert ours.acknowledge(1) == []
    assert ours.acknowledged == 2
    assert ours.acknowledge(3) == ["c"]


def test_an_acknowledgement_of_what_was_never_sent_is_refused() -> None:
    ours = with_queue("x" * 10, "x" * 10)
    says(ours, started(ours), 1)
    with pytest.raises(RemoteProtocolError) as caught:
        ours.acknowledge(2)
    assert caught.value.violation is Violation.COUNT_IMPOSSIBLE
    assert ours.acknowledge(1) == ["x" * 10]


@pytest.mark.parametrize("character", ["x", "ы", "€", "👋"])
def test_a_long_text_goes_in_pieces_and_is_delivered_with_the_last(character: str) -> None:
    text = character * (2 * MAX_TEXT // len(character.encode()) + 5)
    ours = with_queue("before", text, "after")
    carried = ours.next_says(started(ours), ALL)
    pieces = carried[1:-1]
    assert "".join(say.text for say, _ in pieces) == text
    assert len(pieces) == 3
    assert all(len(say.text.encode()) <= MAX_TEXT for say, _ in pieces)
    assert {say.at for say, _ in pieces} == {1}
    assert [message for _, message in pieces] == [None, None, text]
    assert ids([say for say, _ in carried]) == [1, 2, 3, 4, 5]
    assert ours.acknowledge(3) == ["before"]
    assert ours.acknowledge(4) == [text]


def test_an_empty_text_is_a_message_too() -> None:
    ours = with_queue("")
    assert says(ours, started(ours)) == [Say(1, "", 0)]
    assert ours.acknowledge(1) == [""]


def test_an_unpaired_surrogate_becomes_a_question_mark() -> None:
    ours = with_queue("a\udc80b")
    assert says(ours, started(ours)) == [Say(1, "a?b", 0)]


# A new link.


def test_a_new_link_carries_exactly_what_is_missing() -> None:
    for received in range(4):
        for shown in range(received + 1):
            ours = with_queue("1", "2", "3")
            says(ours, started(ours))
            ours.queue("4", 0, "4")
            cursor, delivered = ours.start(hello(received, shown), maybe_stale=False)
            assert delivered == ["1", "2", "3"][:shown]
            assert ids(says(ours, cursor)) == [*range(received + 1, 5)]


def test_a_hello_that_knows_more_than_was_sent_is_refused() -> None:
    ours = with_queue("x", "x", "x")
    says(ours, started(ours), 2 * FRAME_BYTES)
    assert impossible(ours, 3, 0, maybe_stale=True)
    assert impossible(ours, 3, 3, maybe_stale=True)
    assert impossible(Delivery(), 1, 0, maybe_stale=True)
    assert not impossible(ours, 2, 2, maybe_stale=False)


def test_a_hello_that_showed_more_than_it_received_is_refused() -> None:
    ours = with_queue("a", "b")
    says(ours, started(ours))
    assert impossible(ours, 1, 2, maybe_stale=True)
    assert ours.pending == 2, "nothing was delivered by it"


def test_a_hello_that_forgot_what_it_acknowledged_is_refused() -> None:
    ours = with_queue("a", "b", "c")
    says(ours, started(ours))
    ours.acknowledge(2)
    assert impossible(ours, 1, 1, maybe_stale=False)
    assert impossible(ours, 0, 0, maybe_stale=False)
    assert not impossible(ours, 2, 0, maybe_stale=False)


def test_a_hello_may_be_older_than_another_link_s_acknowledgement() -> None:
    ours = with_queue("a", "b", "c", "d")
    says(ours, started(ours))
    ours.acknowledge(3)
    cursor, delivered = ours.start(hello(1, 1), maybe_stale=True)
    assert delivered == []
    assert ids(says(ours, cursor)) == [4]


def test_what_two_links_carry_both_is_taken_once() -> None:
    ours, theirs = with_queue("a", "b"), Delivery[str]()
    cursors = started(ours), started(ours)
    carried = [say for cursor in cursors for say in says(ours, cursor)]
    assert ids(carried) == [1, 2, 1, 2]
    assert [theirs.take(say) for say in carried] == [True, True, False, False]


def test_each_link_has_its_own_place() -> None:
    ours = with_queue("a", "b", "c")
    old, new = started(ours), started(ours)
    assert ids(says(ours, old, 2 * FRAME_BYTES)) == [1, 2]
    assert ids(says(ours, new)) == [1, 2, 3]
    assert ids(says(ours, old)) == [3]


def test_a_link_that_lags_behind_unsays_nothing_of_another() -> None:
    ours = with_queue("a", "b", "c")
    old, new = started(ours), started(ours)
    assert ids(says(ours, new)) == [1, 2, 3]
    assert ids(says(ours, old, 1)) == [1]
    assert not ours.unsent
    assert ours.acknowledge(3) == ["a", "b", "c"]


def test_a_link_passes_over_what_another_one_s_acknowledgement_settled() -> None:
    ours = with_queue("a", "b", "c", "d")
    old, new = started(ours), started(ours)
    assert len(says(ours, new, 3 * FRAME_BYTES)) == 3
    ours.acknowledge(2)
    assert ids(says(ours, old)) == [3, 4]
    ours.acknowledge(4)
    assert says(ours, old) == says(ours, new) == []
    ours.queue("e", 0, "e")
    assert ids(says(ours, new)) == ids(says(ours, old)) == [5]


def test_a_link_whose_queue_was_emptied_by_another_goes_on_behind_it() -> None:
    ours = with_queue("a", "b")
    old, new = started(ours), started(ours)
    says(ours, new)
    ours.acknowledge(2)
    assert says(ours, old) == []
    assert old == Cursor(3)


# To forget.


def test_what_no_link_carried_can_be_forgotten_and_its_ids_are_free_again() -> None:
    ours = with_queue("aa", "b", "c")
    cursor = started(ours)
    assert ids(says(ours, cursor, 1)) == [1]
    ours.forget()
    assert (ours.pending, ours.pending_bytes, ours.unsent) == (1, 2, False)
    assert says(ours, cursor) == []
    ours.queue("d", 9, "d")
    assert says(ours, cursor) == [Say(2, "d", 9)]
    assert ours.pending_bytes == 3


def test_what_a_link_carried_is_carried_again_and_nobody_is_told() -> None:
    ours = with_queue("a", "b")
    says(ours, started(ours))
    ours.forget()
    cursor = started(ours, received=1)
    assert ours.next_says(cursor, ALL) == [(Say(2, "b", 1), None)]
    assert ours.acknowledge(2) == []
    assert ours.pending == 0


def test_to_forget_everything_is_to_begin_anew() -> None:
    ours = with_queue("a", "b")
    ours.forget()
    ours.forget()
    assert ours.pending == ours.pending_bytes == 0
    ours.queue("c", 0, "c")
    assert says(ours, started(ours)) == [Say(1, "c", 0)]


# The peer's.


def taken(count: int) -> Delivery[str]:
    theirs: Delivery[str] = Delivery()
    for id in range(1, count + 1):
        assert theirs.take(Say(id, "x", 0))
    return theirs


def test_the_next_message_is_taken_and_a_former_one_passed_over() -> None:
    theirs = taken(3)
    for id in (1, 2, 3):
        assert not theirs.take(Say(id, "another text", 0))
    assert theirs.received == 3
    assert theirs.take(Say(4, "x", 0))
    assert theirs.received == 4


@pytest.mark.parametrize("id", [5, 6, 2**63 - 1])
def test_a_gap_ends_the_link_and_nothing_is_taken(id: int) -> None:
    theirs = taken(3)
    with pytest.raises(RemoteProtocolError) as caught:
        theirs.take(Say(id, "x", 0))
    assert caught.value.violation is Violation.ID_SKIPPED
    assert theirs.received == 3


def test_messages_are_shown_in_order_and_only_those_that_came() -> None:
    theirs = taken(3)
    theirs.show(2)
    theirs.show(2)
    assert (theirs.received, theirs.shown) == (3, 2)
    for id in (0, 1, 4):
        with pytest.raises(LocalProtocolError, match=f"message {id} cannot"):
            theirs.show(id)
    theirs.show(3)
    assert theirs.shown == 3


# The window.


def too_much(theirs: Delivery[str], say: Say) -> bool:
    try:
        theirs.take(say)
    except RemoteProtocolError as error:
        return error.violation is Violation.TOO_MUCH_UNSHOWN
    return False


def test_the_window_is_1024_messages_or_a_mebibyte_of_text() -> None:
    assert (WINDOW_MESSAGES, WINDOW_BYTES) == (1024, 1 << 20)


def test_the_sender_stops_after_1024_messages_and_the_receiver_takes_no_more() -> None:
    ours, theirs = with_queue(*["x"] * 1100), Delivery[str]()
    cursor = started(ours)
    carried = says(ours, cursor)
    assert ids(carried) == [*range(1, 1025)]
    assert says(ours, cursor) == []
    assert all(theirs.take(say) for say in carried)
    assert too_much(theirs, Say(1025, "x", 0))
    assert theirs.received == 1024
    theirs.show(3)
    ours.acknowledge(3)
    more = says(ours, cursor)
    assert ids(more) == [1025, 1026, 1027]
    assert all(theirs.take(say) for say in more)
    assert too_much(theirs, Say(1028, "x", 0))


def test_the_sender_stops_at_a_mebibyte_and_the_receiver_takes_no_more() -> None:
    texts = ["x" * MAX_TEXT] * 20
    room = WINDOW_BYTES - 17 * MAX_TEXT
    ours, theirs = with_queue(*texts), Delivery[str]()
    cursor = started(ours)
    carried = says(ours, cursor)
    assert len(carried) == 17
    assert all(theirs.take(say) for say in carried)
    assert too_much(theirs, Say(18, "x" * (room + 1), 0))
    assert not too_much(theirs, Say(18, "x" * room, 0))
    assert too_much(theirs, Say(19, "x", 0))
    assert not too_much(theirs, Say(19, "", 0)), "an empty text adds nothing"
    ours.acknowledge(1)
    assert ids(says(ours, cursor)) == [18]


def test_bytes_count_in_utf8_on_both_sides() -> None:
    text = "👋" * (MAX_TEXT // 4)
    ours, theirs = with_queue(*[text] * 20), Delivery[str]()
    carried = says(ours, started(ours))
    assert len(carried) == WINDOW_BYTES // len(text.encode())
    assert all(theirs.take(say) for say in carried)
    assert too_much(theirs, Say(len(carried) + 1, text, 0))


def test_the_text_that_exactly_fills_the_window_is_sent_and_taken() -> None:
    room = WINDOW_BYTES - 17 * MAX_TEXT
    ours, theirs = with_queue(*["x" * MAX_TEXT] * 17, "x" * room, "x"), Delivery[str]()
    carried = says(ours, started(ours))
    assert ids(carried) == [*range(1, 19)]
    assert all(theirs.take(say) for say in carried)


def test_a_new_link_does_not_widen_the_window() -> None:
    ours, theirs = with_queue(*["x"] * 2000), Delivery[str]()
    for say in says(ours, started(ours)):
        theirs.take(say)
    cursor = started(ours, theirs.received, theirs.shown)
    assert says(ours, cursor) == []
    theirs.show(1)
    cursor = started(ours, theirs.received, theirs.shown)
    assert ids(says(ours, cursor)) == [1025]


def test_a_message_that_came_twice_counts_once() -> None:
    theirs: Delivery[str] = Delivery()
    for id in range(1, 18):
        assert theirs.take(Say(id, "x" * MAX_TEXT, 0))
        assert not theirs.take(Say(id, "x" * MAX_TEXT, 0))


# Two of them, joined by links that are cut.


@dataclass(eq=False)
class End:
    """One end of one link, as whoever holds a ``Delivery`` uses it."""

    side: "Side"
    #: What is under way to this end, in order.
    coming: list[object]
    going: list[object]
    #: This end still thinks that the link is up.
    up: bool = True
    #: What was ours before the link was: a link that saw more acknowledged may meet an old hello.
    acknowledged_before: int = 0
    cursor: Cursor | None = None


@dataclass(eq=False)
class Side:
    name: str
    delivery: Delivery[str] = field(default_factory=Delivery)
    ends: list[End] = field(default_factory=list)
    #: The text that the peer must get, and whose messages we are to hear of; what came of them.
    said: str = ""
    messages: list[str] = field(default_factory=list)
    delivered: list[str] = field(default_factory=list)
    taken: str = ""

    def receive(self, end: End) -> None:
        match end.coming.pop(0):
            case Hello() as each:
                stale = self.delivery.acknowledged > end.acknowledged_before
                end.cursor, delivered = self.delivery.start(each, maybe_stale=stale)
                self.delivered += delivered
            case Say() as each:
                if self.delivery.take(each):
                    self.taken += each.text
            case int(shown):
                self.delivered += self.delivery.acknowledge(shown)

    def write(self, end: End, most: int) -> None:
        if end.cursor is not None:
            end.going += [say for say, _ in self.delivery.next_says(end.cursor, most)]


SMALL_WINDOW, SMALL_BYTES, SMALL_TEXT = 5, 60, 20


class LinksThatAreCut(RuleBasedStateMachine):
    """Two sides; links come up, carry some of what is written, and die, told or silently."""

    def __init__(self) -> None:
        super().__init__()
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr(delivery, "WINDOW_MESSAGES", SMALL_WINDOW)
        self._patch.setattr(delivery, "WINDOW_BYTES", SMALL_BYTES)
        self._patch.setattr(delivery, "FRAME_BYTES", 0)
        self._patch.setattr(delivery, "MAX_TEXT", SMALL_TEXT)
        self.sides = (Side("a"), Side("b"))
        self.number = 0

    @property
    def ends_up(self) -> list[End]:
        return [end for side in self.sides for end in side.ends if end.up]

    def end(self, number: int) -> End:
        return self.ends_up[number % len(self.ends_up)]

    @rule(second=st.booleans(), sizes=st.lists(st.integers(0, 50), min_size=1, max_size=4))
    def queue(self, second: bool, sizes: list[int]) -> None:
        side = self.sides[second]
        for size in sizes:
            self.number += 1
            text = f"{self.number}ы".ljust(size, "👋")
            side.said += text
            side.messages.append(text)
            side.delivery.queue(text, 0, text)

    @rule(second=st.booleans(), really=st.integers(0, 3))
    def forget(self, second: bool, really: int) -> None:
        if really:
            return
        side = self.sides[second]
        queue = side.delivery._queue
        before = "".join(entry.say.text for entry in queue)
        side.delivery.forget()
        after = "".join(entry.say.text for entry in queue)
        assert before.startswith(after)
        side.said = side.said.removesuffix(before.removeprefix(after))
        side.messages = list(side.delivered)

    @precondition(lambda self: len(self.ends_up) < 6)
    @rule(greeted=st.booleans())
    def open_link(self, greeted: bool) -> None:
        ways: tuple[list[object], list[object]] = ([], [])
        for side, coming, going in zip(self.sides, ways, reversed(ways), strict=True):
            ours = side.delivery
            side.ends.append(End(side, coming, going, acknowledged_before=ours.acknowledged))
            going.append(hello_of(ours))
        if greeted:
            for side in self.sides:
                side.receive(side.ends[-1])

    @precondition(lambda self: self.ends_up)
    @rule(number=st.integers(0, 5), most=st.sampled_from([1, 30, 1000]))
    def write(self, number: int, most: int) -> None:
        end = self.end(number)
        end.side.write(end, most)

    @precondition(lambda self: self.ends_up)
    @rule(number=st.integers(0, 5), count=st.sampled_from([1, 2, 3, 20]))
    def receive(self, number: int, count: int) -> None:
        end = self.end(number)
        for _ in range(min(count, len(end.coming))):
            end.side.receive(end)

    @precondition(lambda self: self.ends_up)
    @rule(number=st.integers(0, 5), count=st.integers(0, 6))
    def show(self, number: int, count: int) -> None:
        """Hand some over, and say so on one link."""
        end = self.end(number)
        theirs = end.side.delivery
        theirs.show(min(theirs.received, theirs.shown + count))
        if theirs.shown:
            end.going.append(theirs.shown)

    @precondition(lambda self: self.ends_up)
    @rule(number=st.integers(0, 5), trouble=st.sampled_from(["none", "none", "cut", "given up"]))
    def fail(self, number: int, trouble: str) -> None:
        """A link dies: silently, so that what is under way is lost, or for one of its ends.

        What an end wrote before it gave up may still arrive, and the other may not know.
        """
        end = self.end(number)
        if trouble == "cut":
            del end.coming[len(end.coming) // 2 :]
            end.coming, self.other(end).going = list(end.coming), []
        elif trouble == "given up":
            end.up = False
            end.coming.clear()

    def other(self, end: End) -> End:
        one, two = self.sides
        mine, others = (one, two) if end.side is one else (two, one)
        return others.ends[mine.ends.index(end)]

    @invariant()
    def nothing_is_taken_twice_or_out_of_order(self) -> None:
        for side, peer in pairs(self.sides):
            assert side.said.startswith(peer.taken)
            assert side.delivered == side.messages[: len(side.delivered)]
            assert side.delivery.acknowledged <= peer.delivery.shown

    @invariant()
    def no_more_is_unshown_than_the_window_allows(self) -> None:
        for side in self.sides:
            ours = side.delivery
            assert ours.received - ours.shown <= SMALL_WINDOW
            assert ours._unshown_bytes <= SMALL_BYTES

    def teardown(self) -> None:
        try:
            self.bring_home()
        finally:
            self._patch.undo()

    def bring_home(self) -> None:
        """One last link that lives: everything arrives by it."""
        for end in self.ends_up:
            end.up = False
        self.open_link(greeted=True)
        for _ in range(20 + 60 * self.number):
            for end in self.ends_up:
                end.side.write(end, 1 << 20)
                while end.coming:
                    end.side.receive(end)
                theirs = end.side.delivery
                theirs.show(theirs.received)
                if theirs.shown:
                    end.going.append(theirs.shown)
            if not any(side.delivery.pending for side in self.sides):
                break
        for side, peer in pairs(self.sides):
            assert peer.taken == side.said
            assert side.delivered == side.messages


def pairs(sides: tuple[Side, Side]) -> Iterator[tuple[Side, Side]]:
    yield sides
    yield sides[1], sides[0]


TestLinksThatAreCut = pytest.mark.fuzz(LinksThatAreCut.TestCase)
TestLinksThatAreCut.settings = settings(stateful_step_count=40)
