"""Records as MessagePack: what they look like, what is passed over, what is malformed."""

import struct
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fantom_trio.wire import RemoteProtocolError, Violation
from fantom_trio.wire.records import (
    MAX_CLOCK,
    MAX_ID,
    Ack,
    Bye,
    Hello,
    Knock,
    Ping,
    Pong,
    Record,
    Say,
    Verify,
    decode,
    encode,
)

EXAMPLES: list[tuple[Record, dict[str, Any]]] = [
    (
        Hello(31488, "0.1", 3, 2),
        {"type": "hello", "port": 31488, "version": "0.1", "received": 3, "shown": 2},
    ),
    (
        Hello(0, "", 0, 0, token=b"0123456789"),
        {
            "type": "hello",
            "port": 0,
            "version": "",
            "received": 0,
            "shown": 0,
            "token": b"0123456789",
        },
    ),
    (Say(MAX_ID, "привет 👋", MAX_CLOCK), {
        "type": "say", "id": MAX_ID, "text": "привет 👋", "at": MAX_CLOCK,
    }),
    (Ack(1), {"type": "ack", "shown": 1}),
    (Knock(65_535), {"type": "knock", "port": 65_535}),
    (Ping(), {"type": "ping"}),
    (Pong(), {"type": "pong"}),
    (Verify("code", "ask"), {"type": "verify", "how": "code", "step": "ask"}),
    (Verify("word", "a", b"\xff"), {"type": "verify", "how": "word", "step": "a", "data": b"\xff"}),
    (Bye("quit"), {"type": "bye", "reason": "quit"}),
]  # fmt: skip
examples = pytest.mark.parametrize(
    ("record", "fields"), EXAMPLES, ids=[fields["type"] for _, fields in EXAMPLES]
)


def decoded(data: bytes) -> Record | None:
    return decode(memoryview(data))


def pack(value: object) -> bytes:
    return msgspec.msgpack.encode(value)


def meaning(data: bytes) -> Record | Violation | None:
    try:
        return decoded(data)
    except RemoteProtocolError as error:
        return error.violation


def assert_malformed(data: bytes) -> None:
    assert meaning(data) is Violation.RECORD_MALFORMED


@examples
def test_a_record_is_a_map_with_its_type_first(record: Record, fields: dict[str, Any]) -> None:
    data = encode(record)
    assert msgspec.msgpack.decode(data) == fields
    assert data[1:6] == b"\xa4type"
    assert decoded(data) == record


def test_the_limits_are_those_of_the_protocol() -> None:
    assert MAX_ID == 2**63 - 1
    assert MAX_CLOCK == 253_402_300_799_999


@examples
def test_the_order_of_the_fields_is_free(record: Record, fields: dict[str, Any]) -> None:
    assert decoded(pack(dict(reversed(fields.items())))) == record


@examples
def test_an_unknown_field_is_ignored_wherever_it_stands(
    record: Record, fields: dict[str, Any]
) -> None:
    for value in (None, "ы", [{"a": [1.5, b"\xff"]}], -1, 2**64 - 1, {"type": "bye"}):
        assert decoded(pack({"later": value, **fields})) == record
        assert decoded(pack({**fields, "later": value})) == record


@examples
def test_a_missing_field_is_malformed(record: Record, fields: dict[str, Any]) -> None:
    for name in fields.keys() - {"token", "data"}:
        assert_malformed(pack({key: value for key, value in fields.items() if key != name}))


@examples
def test_a_record_that_is_cut_short_or_has_something_behind_it_is_malformed(
    record: Record, fields: dict[str, Any]
) -> None:
    data = encode(record)
    for size in range(len(data)):
        assert_malformed(data[:size])
    for more in (b"\0", b"\xc0", data):
        assert_malformed(data + more)


@pytest.mark.parametrize("type", ["later", "", "Say", "say ", "hello2", "ы" * 1000])
def test_an_unknown_type_is_passed_over(type: str) -> None:
    assert decoded(pack({"type": type})) is None
    assert decoded(pack({"id": -1, "text": None, "type": type, "at": [[]]})) is None


@pytest.mark.parametrize(
    "value",
    [{}, {"id": 1}, {"type": None}, {"type": 1}, {"type": b"ping"}, {"type": ["ping"]},
     {"type": {"type": "ping"}}, [], ["ping"], "ping", b"ping", 1, None, True, 1.5],
)  # fmt: skip
def test_without_a_type_that_is_text_a_record_is_malformed(value: object) -> None:
    assert_malformed(pack(value))


BAD_IDS: list[object] = [
    0,
    -1,
    -(2**63),
    MAX_ID + 1,
    2**64 - 1,
    1.0,
    1.5,
    True,
    None,
    "1",
    b"\1",
    [],
    {},
]
BAD_COUNTS = [bad for bad in BAD_IDS if bad != 0]
NO_TEXTS: list[object] = [None, 1, 1.5, b"text", [], {}, True]
LONG_WORD = "x" * 65
BAD_FIELDS: dict[tuple[str, str], list[object]] = {
    ("hello", "port"): [-1, 65_536, 2**63, 1.0, None, "1", True],
    ("hello", "version"): [*NO_TEXTS, LONG_WORD],
    ("hello", "received"): [*BAD_COUNTS],
    ("hello", "shown"): [*BAD_COUNTS],
    ("hello", "token"): [b"", b"x" * 9, b"x" * 11, "x" * 10, 1, [], [0] * 10],
    ("say", "id"): [*BAD_IDS],
    ("say", "text"): [*NO_TEXTS],
    ("say", "at"): [-1, MAX_CLOCK + 1, 2**64 - 1, 1.0, float("nan"), None, "0", True],
    ("ack", "shown"): [*BAD_IDS],
    ("knock", "port"): [0, -1, 65_536, 1.0, None, "1", True],
    ("verify", "how"): [*NO_TEXTS, LONG_WORD],
    ("verify", "step"): [*NO_TEXTS, LONG_WORD],
    ("verify", "data"): [bytes(1025), "", 1, [], {}],
    ("bye", "reason"): [*NO_TEXTS, LONG_WORD],
}
WHOLE = {fields["type"]: fields for _, fields in EXAMPLES}


@pytest.mark.parametrize(("type", "field"), BAD_FIELDS)
def test_a_field_of_the_wrong_kind_or_beyond_its_limits_is_malformed(type: str, field: str) -> None:
    for value in BAD_FIELDS[type, field]:
        assert_malformed(pack({**WHOLE[type], field: value}))


@pytest.mark.parametrize(
    ("type", "field", "values"),
    [
        ("hello", "port", [0, 1, 65_535]),
        ("hello", "version", ["", "ы" * 64]),
        ("hello", "received", [0, MAX_ID]),
        ("hello", "shown", [0, MAX_ID]),
        ("hello", "token", [None, bytes(10)]),
        ("say", "id", [1, MAX_ID]),
        ("say", "text", ["", "\0\x1b[2J\u202e", "x" * 61_000]),
        ("say", "at", [0, MAX_CLOCK]),
        ("ack", "shown", [1, MAX_ID]),
        ("knock", "port", [1, 65_535]),
        ("verify", "data", [None, b"", bytes(1024)]),
        ("bye", "reason", ["", "x" * 64]),
    ],
)
def test_a_field_at_its_limits_is_read(type: str, field: str, values: list[object]) -> None:
    for value in values:
        record = decoded(pack({**WHOLE[type], field: value}))
        assert getattr(record, field) == value


# MessagePack that no encoder of ours would write.

SAY_WITH = b"\x84\xa4type\xa3say\xa2id\1\xa2at\0\xa4text"
UNPAIRED = [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80"]
OPEN_ENDED = [
    b"\xdf\xff\xff\xff\xff",
    b"\xdd\xff\xff\xff\xff",
    b"\xdb\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\xc9\xff\xff\xff\xff\1",
]
DEEP = [b"\x91" * 60_000, b"\x81\xa1x" * 20_000]


@pytest.mark.parametrize("text", UNPAIRED)
def test_a_text_that_is_not_utf8_is_malformed(text: bytes) -> None:
    assert_malformed(SAY_WITH + bytes([0xA0 + len(text)]) + text)
    assert_malformed(b"\x81\xa4type" + bytes([0xA0 + len(text)]) + text)


@pytest.mark.parametrize("value", [*OPEN_ENDED, *DEEP, b"\xc1", b"\xc0\xc0"])
@pytest.mark.parametrize("head", [b"", b"\x82\xa4type\xa4ping\xa1x", b"\x82\xa4type\xa5later\xa1x"])
def test_what_promises_more_than_there_is_or_is_too_deep_is_malformed(
    head: bytes, value: bytes
) -> None:
    assert_malformed(head + value)


def test_values_may_be_written_longer_than_need_be() -> None:
    long = b"\xdf\0\0\0\4\xd9\4type\xdb\0\0\0\3say\xda\0\2id\xcf" + struct.pack(">Q", 7)
    long += b"\xa2at\xd3" + struct.pack(">q", 9) + b"\xa4text\xd9\0"
    assert decoded(long) == Say(7, "", 9)


def test_keys_that_are_no_text_are_malformed() -> None:
    assert_malformed(b"\x82\xa4type\xa4ping\1\xc0")
    assert_malformed(b"\x82\1\xc0\xa4type\xa4ping")


def test_a_type_that_is_written_twice_gives_one_record_or_none() -> None:
    for first, second in (("ping", "later"), ("ping", "say"), ("say", "ping")):
        data = b"\x82" + 2 * b"%s"
        both = data % tuple(b"\xa4type" + pack(each) for each in (first, second))
        assert meaning(both) in (Ping(), None, Violation.RECORD_MALFORMED)


# Any bytes.

IDS = range(1, MAX_ID + 1)
COUNTS = range(MAX_ID + 1)
FIELDS: dict[str, dict[str, Any]] = {
    "hello": {
        "port": range(65_536),
        "version": (str, 0, 64),
        "received": COUNTS,
        "shown": COUNTS,
        "token": (bytes, 10, 10, None),
    },
    "say": {"id": IDS, "text": (str, 0, 1 << 20), "at": range(MAX_CLOCK + 1)},
    "ack": {"shown": IDS},
    "knock": {"port": range(1, 65_536)},
    "ping": {},
    "pong": {},
    "verify": {"how": (str, 0, 64), "step": (str, 0, 64), "data": (bytes, 0, 1024, None)},
    "bye": {"reason": (str, 0, 64)},
}


def fits(value: object, rule: Any) -> bool:
    """What the protocol's table says of a field's value, in another form than ours."""
    if isinstance(rule, range):
        return type(value) is int and value in rule
    kind, least, most, *optional = rule
    return (value is None and bool(optional)) or (
        type(value) is kind and least <= len(value) <= most  # type: ignore[arg-type]
    )


def expected_of(fields: dict[str, Any]) -> str:
    type_ = fields.get("type")
    if not isinstance(type_, str):
        return "malformed"
    if type_ not in FIELDS:
        return "passed over"
    for name, rule in FIELDS[type_].items():
        optional = isinstance(rule, tuple) and len(rule) == 4
        if not fits(fields[name], rule) if name in fields else not optional:
            return "malformed"
    return type_


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.sampled_from([0, 1, 10, 65_535, 65_536, MAX_CLOCK, MAX_CLOCK + 1, MAX_ID, MAX_ID + 1])
    | st.floats()
    | st.text(max_size=70)
    | st.binary(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
good_values = {
    "port": st.integers(1, 65_535),
    "version": st.text(max_size=64),
    "received": st.integers(0, MAX_ID),
    "shown": st.integers(1, MAX_ID),
    "token": st.binary(min_size=10, max_size=10),
    "id": st.integers(1, MAX_ID),
    "text": st.text(),
    "at": st.integers(0, MAX_CLOCK),
    "how": st.text(max_size=64),
    "step": st.text(max_size=64),
    "data": st.binary(max_size=1024),
    "reason": st.text(max_size=64),
}
maps = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from([*FIELDS]) | st.sampled_from([*FIELDS]) | values,
        **{name: good | good | good | values for name, good in good_values.items()},
        "later": values,
    },
)


@pytest.mark.fuzz
@given(fields=maps)
def test_a_map_is_read_passed_over_or_malformed_as_the_table_of_records_says(
    fields: dict[str, Any],
) -> None:
    found, expected = meaning(pack(fields)), expected_of(fields)
    if expected == "passed over":
        assert found is None
    elif expected == "malformed":
        assert found is Violation.RECORD_MALFORMED
    else:
        assert type(found).__name__.lower() == expected


@pytest.mark.fuzz
@given(data=st.binary(max_size=200))
def test_any_bytes_are_a_record_nothing_or_malformed(data: bytes) -> None:
    found = meaning(data)
    assert found is Violation.RECORD_MALFORMED or isinstance(found, Record | None)


@pytest.mark.fuzz
@given(
    number=st.integers(0, len(EXAMPLES) - 1),
    changes=st.lists(st.tuples(st.integers(0, 80), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_a_changed_record_is_a_record_nothing_or_malformed(
    number: int, changes: list[tuple[int, int]]
) -> None:
    data = bytearray(encode(EXAMPLES[number][0]))
    for at, byte in changes:
        data[at % len(data)] = byte
    found = meaning(bytes(data))
    if isinstance(found, Violation):
        assert found is Violation.RECORD_MALFORMED
    else:
        assert found is None or decoded(encode(found)) == found


def test_a_record_is_read_out_of_memory_that_is_overwritten_afterwards() -> None:
    data = bytearray(encode(Verify("word", "a", bytes(range(33)))) + encode(Say(1, "hi", 0)))
    size = len(encode(Verify("word", "a", bytes(33))))
    records = [decode(memoryview(data)[:size]), decode(memoryview(data)[size:])]
    data[:] = bytes(len(data))
    assert records == [Verify("word", "a", bytes(range(33))), Say(1, "hi", 0)]


def test_neither_a_token_nor_what_a_verification_sends_shows() -> None:
    token, data = b"\xaatokentok\xbb", b"\xaadata"
    for record in (Hello(0, "", 1, 2, token=token), Verify("word", "a", data)):
        for shown in (repr(record), str(record), f"{record}"):
            assert "tok" not in shown.lower()
            assert "data" not in shown
            assert "\\xaa" not in shown
