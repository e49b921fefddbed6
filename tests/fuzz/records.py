"""Records by themselves: what any bytes mean, and what a peer's counts do to a delivery."""

from typing import Any

import msgspec
from hypothesis import strategies as st

from fantom_trio.wire import (
    Cursor,
    Delivery,
    Hello,
    RemoteProtocolError,
    Say,
    Violation,
)
from fantom_trio.wire.delivery import WINDOW_BYTES, WINDOW_MESSAGES
from fantom_trio.wire.records import MAX_CLOCK, MAX_ID, MAX_TEXT, Record, decode, encode
from tests.fuzz.choices import Choices, compose
from tests.fuzz.harness import Harness, front_and_numbers
from tests.fuzz.sessions import RECORD_WORDS
from tests.wire.test_records import expected_of

__all__ = ["DELIVERY", "RECORDS"]


def run_records(data: bytes) -> None:
    """A record, nothing or malformed, as the protocol's table says; what is read is written."""
    meaning = _meaning(data)
    try:
        fields = msgspec.msgpack.decode(data)
    except Exception:  # in a field that is ignored, too
        return
    if not isinstance(fields, dict):
        assert meaning == "malformed", f"{meaning} is no map"
    elif _written(data) == len(fields) and all(isinstance(key, str) for key in fields):
        assert str(meaning or "passed over") == expected_of(fields)


def _written(data: bytes) -> int:
    """How many keys a map has, those counted that are written twice."""
    head, size = data[0], {0xDE: 2, 0xDF: 4}.get(data[0], 0)
    return int.from_bytes(data[1 : 1 + size], "big") if size else head & 0x0F


def _meaning(data: bytes) -> str | None:
    try:
        record = decode(memoryview(data))
    except RemoteProtocolError as error:
        assert error.violation is Violation.RECORD_MALFORMED  # noqa: PT017
        return "malformed"
    if record is None:
        return None
    assert isinstance(record, Record)
    assert decode(memoryview(encode(record))) == record
    assert len(repr(record)) < 400 or isinstance(record, Say)
    return type(record).__name__.lower()


#: Ids and counts of a peer: small ones, and those at the edges.
COUNTS = (*range(12), WINDOW_MESSAGES, WINDOW_MESSAGES + 1, MAX_ID - 1, MAX_ID)
IMPOSSIBLE = (
    Violation.COUNT_IMPOSSIBLE, Violation.ID_SKIPPED, Violation.TOO_MUCH_UNSHOWN,
)  # fmt: skip
SIZES = (0, 1, 7, 300, MAX_TEXT - 1, MAX_TEXT, MAX_TEXT + 1, 3 * MAX_TEXT)


def run_delivery(data: bytes) -> None:
    """Numbers: what both sides do, and with which counts."""
    choices, delivery, model = Choices(data), Delivery[int](), _Model()
    cursors = [Cursor(1)]
    while len(choices):
        step, count = choices.number(8), choices.pick(COUNTS)
        try:
            if step == 0:
                _queue(delivery, model, choices.pick(SIZES))
            elif step == 1:
                _carry(delivery, model, choices.pick(cursors[-4:]), choices.pick(SIZES))
            elif step == 2:
                model.delivered += delivery.acknowledge(count)
            elif step == 3:
                shown, stale = choices.pick(COUNTS), choices.flag()
                hello = Hello(0, "", count, shown)
                cursor, delivered = delivery.start(hello, maybe_stale=stale)
                cursors.append(cursor)
                model.delivered += delivered
            elif step in (4, 5):
                id = delivery.received + 1 if step == 4 else max(1, count)
                _take(delivery, model, Say(id, "x" * choices.pick(SIZES[:-1]), 0))
            elif step == 6:
                delivery.show(delivery.received)
                model.shown()
            elif count == 0:
                delivery.forget()
                model.forgotten = True
        except RemoteProtocolError as error:
            assert error.violation in IMPOSSIBLE  # noqa: PT017
        model.check(delivery)


class _Model:
    """What must be true of a delivery, kept in the simplest way."""

    def __init__(self) -> None:
        self.queued = 0
        self.delivered: list[int] = []
        self.forgotten = False
        self.highest_sent = 0
        self.unshown: list[int] = []

    def shown(self) -> None:
        self.unshown = []

    def check(self, delivery: Delivery[int]) -> None:
        assert self.delivered == sorted(set(self.delivered)), "delivered twice or out of order"
        assert delivery.acknowledged <= self.highest_sent, "acknowledged and never sent"
        assert len(self.unshown) <= WINDOW_MESSAGES
        assert sum(self.unshown) <= WINDOW_BYTES
        assert 0 <= delivery.shown <= delivery.received <= MAX_ID
        assert delivery.pending_bytes == sum(len(each.say.text) for each in delivery._queue)
        waiting = [each.message for each in delivery._queue if each.message is not None]
        if not self.forgotten:
            assert self.delivered + waiting == list(range(self.queued)), "a message is lost"


def _queue(delivery: Delivery[int], model: _Model, size: int) -> None:
    if delivery.pending < 2 * WINDOW_MESSAGES:
        delivery.queue("x" * size, 0, model.queued)
        model.queued += 1


def _carry(delivery: Delivery[int], model: _Model, cursor: Cursor, most: int) -> None:
    says = delivery.next_says(cursor, most)
    ids = [say.id for say, _ in says]
    assert ids == list(range(ids[0], ids[0] + len(ids))) if ids else True, "ids have a gap"
    assert all(len(encode(say)) <= 61_439 for say, _ in says), "a say is too long for a record"
    assert all(id > delivery.acknowledged for id in ids), "sent again, and acknowledged"
    assert not ids or ids[-1] <= delivery.acknowledged + WINDOW_MESSAGES, "over the window"
    model.highest_sent = max([model.highest_sent, *ids])


def _take(delivery: Delivery[int], model: _Model, say: Say) -> None:
    before = delivery.received
    if delivery.take(say):
        assert say.id == before + 1 == delivery.received
        model.unshown.append(len(say.text))
    else:
        assert say.id <= before == delivery.received


# Where a search begins, and what it is made of.

_EXAMPLES: list[dict[str, Any]] = [
    {"type": "hello", "port": 31488, "version": "0.1", "received": 3, "shown": 2},
    {"type": "hello", "port": 0, "version": "", "received": 0, "shown": 0, "token": bytes(10)},
    {"type": "say", "id": 1, "text": "привет", "at": MAX_CLOCK},
    {"type": "ack", "shown": 7},
    {"type": "knock", "port": 31488},
    {"type": "ping"},
    {"type": "pong", "later": {"more": [None, 1.5, True]}},
    {"type": "verify", "how": "word", "step": "a", "data": bytes(33)},
    {"type": "bye", "reason": "x" * 64},
    {"type": "later"},
    {"type": "ack", "shown": MAX_ID},
    {"type": "knock", "port": 65_535},
]
_fields = st.dictionaries(
    st.sampled_from([name for example in _EXAMPLES for name in example]),
    st.integers(-1, 1 << 64 - 1) | st.text(max_size=70) | st.binary(max_size=12) | st.none(),
)
_maps = st.builds(lambda base, more: {**base, **more}, st.sampled_from(_EXAMPLES), _fields)
RECORDS = Harness(
    "records", run_records, [msgspec.msgpack.encode(each) for each in _EXAMPLES],
    _maps.map(msgspec.msgpack.encode) | st.binary(), RECORD_WORDS, longest=1500,
)  # fmt: skip
DELIVERY = Harness(
    "delivery", run_delivery,
    [
        compose(b"", 0, 0, 2, 1, 0, 0, 4, 2, 1, 4, 0, 2, 6, 0),
        compose(b"", 4, 0, 1, 4, 0, 2, 5, 3, 1, 5, 9, 1, 6, 0, 3, 1, 1, 0),
        compose(b"", 0, 0, 7, 1, 0, 0, 7, 3, 2, 1, 1, 1, 0, 1, 7),
        compose(b"", *(4, 0, 5) * 20),
        compose(b"", *(0, 0, 5) * 20, *(1, 0, 0, 7) * 3, 7, 0),
    ],
    front_and_numbers(st.just(b""), most=200), longest=400,
)  # fmt: skip
