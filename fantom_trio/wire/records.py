"""What two of ours say on a native link: MessagePack maps with a string ``type``.

An unknown type is skipped and an unknown field ignored, so that a later version can say more.
"""

from typing import Annotated, TypeAlias, get_args

import msgspec
from msgspec import Meta, Struct

from fantom_trio.wire.errors import RemoteProtocolError, Violation

__all__ = [
    "MAX_TEXT",
    "Ack",
    "Bye",
    "Hello",
    "Knock",
    "Ping",
    "Pong",
    "Record",
    "Say",
    "Verify",
    "decode",
    "encode",
]

#: The longest text of a ``say``, bytes of UTF-8: a record of at most 61,439 bytes holds it.
MAX_TEXT = 61_000
MAX_ID = 2**63 - 1
#: The end of the year 9999, which is the last that Python's calendar knows.
MAX_CLOCK = 253_402_300_799_999

Id = Annotated[int, Meta(ge=1, le=MAX_ID)]
#: An id, or 0 before the first.
Count = Annotated[int, Meta(ge=0, le=MAX_ID)]
Port = Annotated[int, Meta(ge=0, le=65_535)]
Word = Annotated[str, Meta(max_length=64)]


class Hello(Struct, frozen=True, gc=False, tag_field="type", tag="hello", omit_defaults=True):
    """The first record each way: ``port`` of the own listener (0: none), and how far the peer's
    messages came: taken in up to ``received``, handed over up to ``shown``."""

    port: Port
    version: Word
    received: Count
    shown: Count
    #: What an invite carries, 10 bytes.
    token: Annotated[bytes, Meta(min_length=10, max_length=10)] | None = None

    def __repr__(self) -> str:
        return f"<Hello received={self.received} shown={self.shown}>"  # whoever has a token is in


class Say(Struct, frozen=True, gc=False, tag_field="type", tag="say"):
    """One message; ``at`` is the sender's clock, milliseconds since the epoch."""

    id: Id
    text: str
    at: Annotated[int, Meta(ge=0, le=MAX_CLOCK)]


class Ack(Struct, frozen=True, gc=False, tag_field="type", tag="ack"):
    """Every message up to ``shown`` was handed over."""

    shown: Id


class Knock(Struct, frozen=True, gc=False, tag_field="type", tag="knock"):
    """Please dial me back at this port of my address."""

    port: Annotated[int, Meta(ge=1, le=65_535)]


class Ping(Struct, frozen=True, gc=False, tag_field="type", tag="ping"):
    """Are you there?"""


class Pong(Struct, frozen=True, gc=False, tag_field="type", tag="pong"):
    """I am."""


class Verify(Struct, frozen=True, gc=False, tag_field="type", tag="verify", omit_defaults=True):
    """A step of a verification."""

    how: Word
    step: Word
    data: Annotated[bytes, Meta(max_length=1024)] | None = None

    def __repr__(self) -> str:
        return f"<Verify {self.how!r} {self.step!r}>"


class Bye(Struct, frozen=True, gc=False, tag_field="type", tag="bye"):
    """The last record each way; ``reason`` is a short word."""

    reason: Word


Record: TypeAlias = Hello | Say | Ack | Knock | Ping | Pong | Verify | Bye


class _Head(Struct):
    type: str


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Record] = msgspec.msgpack.Decoder(Record)
_head_decoder = msgspec.msgpack.Decoder(_Head)
_TYPES = {str(each.__struct_config__.tag) for each in get_args(Record)}


def encode(record: Record) -> bytes:
    """One MessagePack map."""
    return _encoder.encode(record)


def decode(data: memoryview) -> Record | None:
    """The record in ``data``; None for a type that we do not know.

    Raises ``RemoteProtocolError`` for anything else that is no record.
    """
    try:
        return _decoder.decode(data)
    except Exception:  # a decoder has more ways to fail than its documentation
        if _type_of(data) in _TYPES:
            raise RemoteProtocolError(Violation.RECORD_MALFORMED) from None
        return None


def _type_of(data: memoryview) -> str:
    try:
        return _head_decoder.decode(data).type
    except Exception:
        raise RemoteProtocolError(Violation.RECORD_MALFORMED) from None
