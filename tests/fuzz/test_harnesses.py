"""The test of the tests: a bug in each parser, as people write them, is found by its harness.

Each is sought from the corpus, as in any search, within so many executions.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from types import SimpleNamespace

import pytest

from fantom_trio import lines, tell
from fantom_trio.nursery import Piece, reach, router
from fantom_trio.nursery.admission import Admission, _Place, group_of
from fantom_trio.nursery.connection import Connection, Why
from fantom_trio.nursery.crowd import Crowd
from fantom_trio.repl import commands, kinds
from fantom_trio.wire import (
    Delivery,
    Endpoint,
    address,
    ciphers,
    classic,
    invite,
    native,
    pcp,
    records,
    stream,
    verify,
)
from fantom_trio.wire.frames import MAX_LINE, ReceiveBuffer
from tests.fuzz import corpus
from tests.fuzz.blind import search
from tests.fuzz.harnesses import HARNESSES
from tests.fuzz.system import MAX_TEXT

Patch = pytest.MonkeyPatch


def a_line_may_be_one_byte_longer(patch: Patch) -> None:
    line = ReceiveBuffer.line

    def longer(self: ReceiveBuffer) -> bytes | None:
        return None if len(self) == MAX_LINE and b"\n" not in self.data else line(self)

    patch.setattr(ReceiveBuffer, "line", longer)


def an_initiator_keeps_its_keys_after_an_error(patch: Patch) -> None:
    patch.setattr(native.Initiator, "wipe", lambda self: None)


def a_full_set_of_nonces_takes_the_one_before_with_it(patch: Patch) -> None:
    none = property(lambda self: set(), lambda self, nonces: None)
    patch.setattr(classic.Reader, "_seen_before", none)


def what_was_opened_stays_in_its_room(patch: Patch) -> None:
    rooms: list[bytearray] = []
    patch.setattr(ciphers, "_rooms", rooms)
    patch.setattr(ciphers, "give_back", lambda room, used: rooms.append(room))


def a_frame_with_nothing_in_it_is_opened(patch: Patch) -> None:
    patch.setattr(stream, "FRAME_LENGTHS", stream.FRAME_LENGTHS | {17})


def a_decoder_s_own_error_gets_out(patch: Patch) -> None:
    patch.setattr(records, "_type_of", lambda data: records._head_decoder.decode(data).type)


def one_message_more_than_was_sent_is_acknowledged(patch: Patch) -> None:
    acknowledge = Delivery.acknowledge

    def trust(self: Delivery[int], shown: int) -> list[int]:
        if shown == self._sent + 1:
            self.acknowledged = shown
        return acknowledge(self, min(shown, self._sent) if shown == self._sent + 1 else shown)

    patch.setattr(Delivery, "acknowledge", trust)


def a_confirmation_is_compared_by_its_length(patch: Patch) -> None:
    same = SimpleNamespace(compare_digest=lambda one, other: len(one) == len(other))
    patch.setattr(verify, "hmac", same)


def a_zone_may_be_what_no_encoding_can_write(patch: Patch) -> None:
    patch.setattr(address, "_ZONE", re.compile(r"[^\s%\[\]/\x00-\x1f\x7f-\x9f]{1,32}"))


def a_token_may_be_one_character_longer(patch: Patch) -> None:
    patch.setattr(invite, "_CODES", re.compile(r"([A-Za-z2-7]{32})\.([A-Za-z2-7]{16,17})"))


def one_bidi_control_is_forgotten(patch: Patch) -> None:
    patch.setitem(kinds.LETTERS, 0x202E, "e")


def a_line_separator_stays_in_json(patch: Patch) -> None:
    patch.setattr(tell, "_LINE_BREAKS", {0x85: "\\u0085"})


def a_number_may_be_as_long_as_one_likes(patch: Patch) -> None:
    patch.setattr(commands, "_LONGEST_NUMBER", 10_000)


def an_option_may_be_cut_off(patch: Patch) -> None:
    def check(data: bytes, at: int) -> None:
        while at < len(data):
            code, length = pcp._OPTION.unpack_from(data, at)
            if not code & 0x80:
                raise pcp.PcpError(f"option {code}")
            at += 4 + length + -length % 4

    patch.setattr(pcp, "_check_options", check)


def a_table_of_another_form_is_an_error(patch: Patch) -> None:
    def read(own: Endpoint) -> Endpoint | None:
        try:
            return router.router_of(own, router._ROUTES.read_text(), router._ADDRESSES.read_text())
        except OSError:
            return None

    patch.setattr(router, "default_router", read)


def an_answer_may_be_as_long_as_one_likes(patch: Patch) -> None:
    patch.setattr(reach, "MAX_ANSWER", 1 << 20)


def a_long_line_is_cut_within_a_character(patch: Patch) -> None:
    def split(self: lines.Lines, data: bytes) -> list[Piece]:
        *whole, self._rest = (self._rest + data).split(b"\n")
        pieces = self._decoded(whole)
        while len(self._rest) > MAX_TEXT and not self._over:
            piece, self._rest = self._rest[:MAX_TEXT], self._rest[MAX_TEXT:]
            pieces += self._decoded([piece], last=False)
        return pieces

    patch.setattr(lines.Lines, "_split", split)


def handshakes_are_not_counted(patch: Patch) -> None:
    patch.setattr(Admission, "_make_room_for", lambda self, place: None)


def what_is_silent_keeps_its_keys(patch: Patch) -> None:
    close = Connection.close

    def forget(self: Connection) -> None:
        if self.ending is not None and self.ending.why is Why.SILENT:
            self._stream.abort()
        else:
            close(self)

    patch.setattr(Connection, "close", forget)


def a_known_address_is_a_stranger_s(patch: Patch) -> None:
    place_of = Admission._place_of

    def strange(self: Admission, peer: Endpoint) -> _Place:
        place = place_of(self, peer)
        return replace(place, known=False, group=group_of(peer))

    patch.setattr(Admission, "_place_of", strange)


def a_known_address_shares_with_its_64(patch: Patch) -> None:
    place_of = Admission._place_of

    def shared(self: Admission, peer: Endpoint) -> _Place:
        return replace(place_of(self, peer), group=group_of(peer))

    patch.setattr(Admission, "_place_of", shared)


def the_oldest_of_all_makes_room(patch: Patch) -> None:
    def evict_oldest(self: Admission, connections: Iterable[Connection]) -> bool:
        if self._places:
            self._evict(next(iter(self._places)))
        return bool(self._places)

    patch.setattr(Admission, "_evict_of_the_largest", evict_oldest)


def a_verified_peer_s_link_makes_room_for_a_stranger(patch: Patch) -> None:
    patch.setattr(Crowd, "_is_strange", lambda self, connection: True)


#: Executions until it is found, at most.
BUGS: list[tuple[str, Callable[[Patch], None], int]] = [
    ("listener", a_line_may_be_one_byte_longer, 3000),
    ("dialer", an_initiator_keeps_its_keys_after_an_error, 3000),
    ("classic", a_full_set_of_nonces_takes_the_one_before_with_it, 20_000),
    ("classic", what_was_opened_stays_in_its_room, 3000),
    ("native", what_was_opened_stays_in_its_room, 3000),
    ("native", a_frame_with_nothing_in_it_is_opened, 20_000),
    ("records", a_decoder_s_own_error_gets_out, 20_000),
    ("delivery", one_message_more_than_was_sent_is_acknowledged, 20_000),
    ("verify", a_confirmation_is_compared_by_its_length, 20_000),
    ("addresses", a_zone_may_be_what_no_encoding_can_write, 20_000),
    ("invites", a_token_may_be_one_character_longer, 20_000),
    ("sanitize", one_bidi_control_is_forgotten, 20_000),
    ("json", a_line_separator_stays_in_json, 20_000),
    ("commands", a_number_may_be_as_long_as_one_likes, 20_000),
    ("pcp", an_option_may_be_cut_off, 20_000),
    ("tables", a_table_of_another_form_is_an_error, 20_000),
    ("service", an_answer_may_be_as_long_as_one_likes, 3000),
    ("lines", a_long_line_is_cut_within_a_character, 20_000),
    ("node", handshakes_are_not_counted, 300),
    ("node", what_is_silent_keeps_its_keys, 300),
    ("node", a_known_address_is_a_stranger_s, 300),
    ("node", a_known_address_shares_with_its_64, 300),
    ("node", the_oldest_of_all_makes_room, 300),
    ("node", a_verified_peer_s_link_makes_room_for_a_stranger, 300),
]


@pytest.mark.parametrize(
    ("name", "plant", "most"), BUGS, ids=lambda each: getattr(each, "__name__", None)
)
def test_a_bug_is_found_from_the_corpus(
    name: str, plant: Callable[[Patch], None], most: int, monkeypatch: Patch
) -> None:
    plant(monkeypatch)
    harness = HARNESSES[name]
    done = search(harness, corpus.starts(harness), seed=7, executions=most)
    assert done.finding is not None, f"{most} executions, and nothing found"
    print(f"{name}: {done.executions} executions, {done.seconds:.1f} s")


def test_each_parser_has_a_bug_to_be_found() -> None:
    assert {name for name, _, _ in BUGS} == set(HARNESSES)
