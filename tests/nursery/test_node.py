"""A node and its peers on real sockets."""

import base64
import errno
import socket
import struct
from dataclasses import replace

import pytest
import trio

from fantom_trio.demo import echo
from fantom_trio.nursery import (
    AlreadyUp,
    Delivered,
    DialFailed,
    Dialing,
    DialProblem,
    HistoryFull,
    Limits,
    LinkEnded,
    LinkUp,
    ListenError,
    NotShown,
    NoWayBack,
    OutboxFull,
    Received,
    Sent,
    State,
    Why,
    open_node,
)
from fantom_trio.nursery import tcp as tcp_module
from fantom_trio.nursery.conversation import Conversation, Outgoing
from fantom_trio.nursery.tcp import index_of
from fantom_trio.nursery.teller import Teller
from fantom_trio.wire import Endpoint, LinkKind, Role, Violation
from tests.nursery.ends import (
    LOOPBACK,
    PATIENCE,
    Peer,
    answer,
    listening_node,
    next_event,
    next_texts,
    peer_listener,
    settled_slots,
    slots_in_use,
)

# Talking.


async def test_two_nodes_talk_both_ways_on_one_native_link() -> None:
    with trio.fail_after(PATIENCE):
        async with listening_node() as alice, listening_node() as bob:
            assert bob.listener is not None
            alice.connect(bob.listener, "bob")
            assert (await next_event(alice, Dialing)).endpoint == bob.listener
            up = await next_event(alice, LinkUp)
            assert (up.role, up.kind, up.first) == (Role.DIALER, LinkKind.NATIVE, True)
            assert up.conversation.label == "bob"

            message = alice.say(up.conversation, "hello")
            states = [message.state]
            assert (await next_event(alice, Sent)).messages == [message]
            heard = await next_event(bob, Received)
            assert (await next_event(alice, Delivered)).messages == [message]
            states.append(message.state)
            assert states == [State.WAITING, State.DELIVERED]
            assert [m.text for m in heard.messages] == ["hello"]
            assert heard.conversation.endpoint == alice.listener

            bob.say(heard.conversation, "hi yourself")
            assert await next_texts(alice, 1) == ["hi yourself"]
            assert heard.conversation.outgoing is None
            assert len(alice.conversations) == len(bob.conversations) == 1
            assert len(up.conversation.links) == len(heard.conversation.links) == 1


async def test_a_conversation_holds_one_outgoing_link() -> None:
    with trio.fail_after(PATIENCE):
        async with listening_node() as node, peer_listener() as (where, listener):
            node.connect(where)
            peer = await answer(listener)
            conversation = (await next_event(node, LinkUp)).conversation
            for text in ("one", "two", "three"):
                node.say(conversation, text)
            node.connect(where)
            await next_event(node, AlreadyUp)
            assert [await peer.read_text() for _ in range(3)] == ["one", "two", "three"]
            with trio.move_on_after(0.05) as nobody_else:
                await listener.accept()
            assert nobody_else.cancelled_caught


async def test_lines_written_while_dialing_go_out_in_order_when_it_is_up() -> None:
    with trio.fail_after(PATIENCE):
        async with listening_node() as node, peer_listener() as (where, listener):
            node.connect(where)
            conversation = (await next_event(node, Dialing)).conversation
            for number in range(20):
                node.say(conversation, str(number))
            assert conversation.undelivered == 20
            peer = await answer(listener)
            assert [await peer.read_text() for _ in range(20)] == [str(n) for n in range(20)]


async def test_a_classic_listener_is_dialed_from_our_listening_port_too() -> None:
    with trio.fail_after(PATIENCE):
        async with listening_node() as node, peer_listener() as (where, listener):
            assert node.listener is not None
            node.connect(where)
            peer = await answer(listener)
            assert (await next_event(node, LinkUp)).kind is LinkKind.CLASSIC
            assert peer.stream.socket.getpeername()[:2] == ("::1", node.listener.port)
            node.say(node.conversations[0], "from our own port")
            assert await peer.read_text() == "from our own port"


async def test_our_client_id_is_our_listener() -> None:
    with trio.fail_after(PATIENCE):
        async with listening_node() as node, peer_listener() as (where, listener):
            node.connect(where)
            peer = await answer(listener)
            node.say((await next_event(node, LinkUp)).conversation, "hi")
            await peer.read_text()
            assert node.listener is not None
            assert peer.client_id_seen == f"::1:{node.listener.port}".encode()


async def test_without_a_listener_the_client_id_has_our_address_and_the_port_we_were_given() -> (
    None
):
    with trio.fail_after(PATIENCE):
        async with open_node(own_port=40123) as node, peer_listener() as (where, listener):
            node.connect(where)
            peer = await answer(listener)
            node.say((await next_event(node, LinkUp)).conversation, "hi")
            await peer.read_text()
            assert peer.client_id_seen == b"::1:40123"


async def test_local_peers_are_told_apart_by_the_client_id_of_their_first_frame() -> None:
    with trio.fail_after(PATIENCE):
        async with listening_node() as node:
            alice = await Peer.meet_node(node, b"::1:40001")
            bob = await Peer.meet_node(node, b"::1:40002")
            await bob.say("from bob")
            first = (await next_event(node, LinkUp)).conversation
            await next_event(node, Received)
            await alice.say("from alice")
            second = (await next_event(node, LinkUp)).conversation
            assert (first.label, second.label) == ("[::1]:40002", "[::1]:40001")
            assert (first.number, second.number) == (1, 2)
            # A later frame under another id stays where the link belongs.
            await bob.stream.send_all(bob.frame("still bob", client_id=b"::1:40001"))
            heard = await next_event(node, Received)
            while heard.messages[0].text != "still bob":
                heard = await next_event(node, Received)
            assert heard.conversation is first
            assert first.endpoint == Endpoint("::1", 40002)


async def test_a_second_incoming_link_is_accepted_beside_the_first() -> None:
    with trio.fail_after(PATIENCE):
        async with listening_node() as node:
            one, two = await Peer.meet_node(node), await Peer.meet_node(node)
            await one.say("first link")
            assert await next_texts(node, 1) == ["first link"]
            await two.say("second link")
            assert await next_texts(node, 1) == ["second link"]
            (conversation,) = node.conversations
            assert len(conversation.incoming) == 2
            two.close()
            assert not (await next_event(node, LinkEnded)).last
            one.close()
            assert (await next_event(node, LinkEnded)).last


async def test_a_frame_that_names_another_host_counts_for_the_socket_s_address() -> None:
    with trio.fail_after(PATIENCE):
        async with listening_node() as node:
            peer = await Peer.meet_node(node, b"2001:db8::bad:40001")
            await peer.say("who am I?")
            conversation = (await next_event(node, Received)).conversation
            assert conversation.endpoint == Endpoint("::1", 40001)


async def test_a_peer_without_a_readable_client_id_is_heard_but_cannot_be_answered() -> None:
    with trio.fail_after(PATIENCE):
        async with listening_node() as node:
            peer = await Peer.meet_node(node, b"no idea")
            await peer.say("hi")
            conversation = (await next_event(node, Received)).conversation
            with pytest.raises(NoWayBack):
                node.say(conversation, "lost?")
            assert len(conversation.history) == 1


async def test_all_that_was_sent_before_a_close_is_heard() -> None:
    with trio.fail_after(PATIENCE):
        async with listening_node() as node:
            peer = await Peer.meet_node(node)
            await peer.say(*map(str, range(1000)))
            peer.close()
            assert await next_texts(node, 1000) == [str(n) for n in range(1000)]
            ended = await next_event(node, LinkEnded)
            assert (ended.ending.why, ended.last) == (Why.CLOSED, True)


async def test_the_listener_closes_when_it_has_read_to_our_end() -> None:
    with trio.fail_after(PATIENCE):
        async with listening_node() as node:
            peer = await Peer.meet_node(node)
            await peer.say("bye")
            await peer.stream.send_eof()
            assert await peer.read_end() == b""


# Ends.


async def test_reconnecting_continues_the_conversation() -> None:
    with trio.fail_after(PATIENCE):
        async with listening_node() as node, peer_listener() as (where, listener):
            node.connect(where, "bob")
            peer = await answer(listener)
            conversation = (await next_event(node, LinkUp)).conversation
            node.say(conversation, "before")
            await peer.read_text()
            peer.close()
            assert (await next_event(node, LinkEnded)).last
            assert not conversation.online
            node.connect(where)
            await answer(listener)
            again = await next_event(node, LinkUp)
            assert again.conversation is conversation
            assert again.first
            assert [m.text for m in conversation.history] == ["before"]
            assert conversation.label == "bob"


async def test_writing_to_a_peer_who_went_away_dials_again() -> None:
    with trio.fail_after(PATIENCE):
        async with listening_node() as node, peer_listener() as (where, listener):
            node.connect(where)
            (await answer(listener)).close()
            conversation = (await next_event(node, LinkEnded)).conversation
            assert conversation is not None
            node.say(conversation, "are you there?")
            assert await (await answer(listener)).read_text() == "are you there?"


async def test_a_line_that_cannot_be_sent_waits_for_the_next_link() -> None:
    with trio.fail_after(PATIENCE):
        async with listening_node() as node:
            async with peer_listener() as (where, listener):
                node.connect(where)
                (await answer(listener)).close()
                conversation = (await next_event(node, LinkEnded)).conversation
            assert conversation is not None
            message = node.say(conversation, "keep this")
            failed = await next_event(node, DialFailed)
            assert failed.error.problem is DialProblem.REFUSED
            assert (message.state, conversation.undelivered) == (State.WAITING, 1)
            peer = await Peer.meet_node(node, f"::1:{where.port}".encode())
            await peer.say("I am back, but you have to dial me")
            assert (await next_event(node, Received)).conversation is conversation


async def test_disconnect_ends_both_directions_and_keeps_the_history() -> None:
    with trio.fail_after(PATIENCE):
        async with listening_node() as node, peer_listener() as (where, listener):
            node.connect(where)
            out = await answer(listener)
            conversation = (await next_event(node, LinkUp)).conversation
            into = await Peer.meet_node(node, out.client_id)
            await into.say("hello")
            await next_event(node, Received)
            assert node.disconnect(conversation)
            endings = [await next_event(node, LinkEnded) for _ in range(2)]
            assert {e.ending.why for e in endings} == {Why.DISCONNECTED}
            assert [e.last for e in endings].count(True) >= 1
            await out.read_end()
            await into.read_end()
            assert not node.disconnect(conversation)
            assert len(conversation.history) == 1
            assert node.conversations == [conversation]


async def test_disconnect_gives_up_dialing() -> None:
    with trio.fail_after(PATIENCE):
        async with listening_node() as node, peer_listener() as (where, listener):
            node.connect(where)
            conversation = (await next_event(node, Dialing)).conversation
            Peer(await listener.accept())  # and no answer
            assert node.disconnect(conversation)
            failed = await next_event(node, DialFailed)
            assert failed.error.problem is DialProblem.GIVEN_UP
            assert not conversation.dialing
            assert node.conversations == []


async def test_close_forgets_the_conversation() -> None:
    with trio.fail_after(PATIENCE):
        async with listening_node() as node:
            peer = await Peer.meet_node(node)
            await peer.say("secret")
            conversation = (await next_event(node, Received)).conversation
            node.close(conversation)
            assert (node.conversations, len(conversation.history)) == ([], 0)
            await peer.read_end()
            peer = await Peer.meet_node(node)
            await peer.say("again")
            assert (await next_event(node, Received)).conversation is not conversation
            assert [c.number for c in node.conversations] == [1]


async def test_a_reset_is_told_as_a_broken_connection() -> None:
    with trio.fail_after(PATIENCE):
        async with listening_node() as node:
            peer = await Peer.meet_node(node)
            await peer.say("hi")
            await next_event(node, Received)
            reset(peer)
            assert (await next_event(node, LinkEnded)).ending.why is Why.LOST


async def test_the_end_of_the_node_wipes_every_key_and_closes_every_socket() -> None:
    before = settled_slots()
    with trio.fail_after(PATIENCE):
        async with listening_node() as node, peer_listener() as (where, listener):
            node.connect(where)
            out = await answer(listener)
            into, half = await Peer.meet_node(node), await Peer.dial(node)
            await next_event(node, LinkUp)
            await trio.testing.wait_all_tasks_blocked()
            assert slots_in_use() >= before + 2
            node._nursery.cancel_scope.cancel()
            for peer in (out, into, half):
                await peer.read_end()
    assert slots_in_use() == before


def reset(peer: Peer) -> None:
    """Close without a goodbye: the other side gets a RST."""
    linger = struct.pack("ii", 1, 0)
    peer.stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    peer.close()


# What a bad peer does ends its own link and no other, with an event that says why.


def bad_key(size: int, key: bytes | None = None) -> bytes:
    key = bytes(range(1, size + 1)) if key is None else key
    return b"HANDSHAKE " + base64.b64encode(key) + b"\n"


@pytest.mark.parametrize(
    ("data", "violation"),
    [
        (b"\0\0\0\5hello", Violation.NOT_A_HANDSHAKE),
        (b"GET / HTTP/1.1\r\n\r\n", Violation.NOT_A_HANDSHAKE),
        (b"HANDSHAKE " + b"A" * 2038, Violation.LINE_TOO_LONG),
        (bad_key(0), Violation.KEY_LENGTH),
        (bad_key(16), Violation.KEY_LENGTH),
        (bad_key(31), Violation.KEY_LENGTH),
        (bad_key(33), Violation.KEY_LENGTH),
        (bad_key(64), Violation.KEY_LENGTH),
        (bad_key(32, bytes(32)), Violation.KEY_WEAK),
    ],
)
async def test_a_bad_handshake_ends_that_link_alone(data: bytes, violation: Violation) -> None:
    with trio.fail_after(PATIENCE):
        async with listening_node() as node:
            good = await Peer.meet_node(node)
            bad = await Peer.dial(node)
            await bad.stream.send_all(data)
            ended = await next_event(node, LinkEnded)
            assert (ended.ending.why, ended.ending.violation) == (Why.VIOLATION, violation)
            assert ended.conversation is None
            assert ended.peer == Endpoint("::1", bad.stream.socket.getsockname()[1])
            assert await bad.read_end() == b""
            await good.say("unharmed")
            assert await next_texts(node, 1) == ["unharmed"]


def frame_of(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


def flipped(frame: bytes) -> bytes:
    return frame[:-1] + bytes([frame[-1] ^ 1])


NONCE = bytes(24)


@pytest.mark.parametrize(
    ("bad_frames", "violation"),
    [
        (lambda peer: [bytes(4)], Violation.FRAME_EMPTY),
        (lambda peer: [struct.pack(">I", 65_537)], Violation.FRAME_TOO_LONG),
        (lambda peer: [b"\xff\xff\xff\xff"], Violation.FRAME_TOO_LONG),
        (lambda peer: [frame_of(b"no nul here")], Violation.FRAME_WITHOUT_NUL),
        (lambda peer: [frame_of(b"::1:1\0" + bytes(39))], Violation.BOX_SHORT),
        (lambda peer: [flipped(peer.frame("x"))], Violation.BAD_MAC),
        (lambda peer: [peer.frame("a", nonce=NONCE)] * 2, Violation.REPLAY),
    ],
)
async def test_a_bad_frame_ends_that_link_alone(bad_frames: object, violation: Violation) -> None:
    with trio.fail_after(PATIENCE):
        async with listening_node() as node:
            good, bad = await Peer.meet_node(node), await Peer.meet_node(node, b"::1:40666")
            await bad.say("so far so good")
            assert await next_texts(node, 1) == ["so far so good"]
            for frame in bad_frames(bad):  # type: ignore[operator]
                await bad.stream.send_all(frame)
            ended = await next_event(node, LinkEnded)
            assert (ended.ending.why, ended.ending.violation) == (Why.VIOLATION, violation)
            assert ended.conversation is not None
            assert ended.conversation.label == "[::1]:40666"
            await bad.read_end()
            await good.say("unharmed")
            assert await next_texts(node, 1) == ["unharmed"]


async def test_text_that_is_not_utf8_is_heard_and_the_link_kept() -> None:
    with trio.fail_after(PATIENCE):
        async with listening_node() as node:
            peer = await Peer.meet_node(node)
            await peer.stream.send_all(peer.frame(b"\xffabc"))
            (message,) = (await next_event(node, Received)).messages
            assert (message.text, message.damaged) == ("\ufffdabc", True)
            await peer.say("still here")
            assert await next_texts(node, 1) == ["still here"]


async def test_a_handshake_dripped_over_ten_seconds_is_ended(
    mock_clock: trio.testing.MockClock,
) -> None:
    async with listening_node() as node:
        peer = await Peer.dial(node)
        line = peer.handshake()
        for at in range(9):
            await peer.stream.send_all(line[at : at + 1])
            await trio.testing.wait_all_tasks_blocked(0.01)
            mock_clock.jump(1)
            await trio.testing.wait_all_tasks_blocked(0.01)
        assert len(node.admission) == 1
        mock_clock.jump(1.01)
        ended = await next_event(node, LinkEnded)
        assert ended.ending.why is Why.SLOW
        assert await peer.read_end() == b""


async def test_a_bug_in_one_connection_touches_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    with trio.fail_after(PATIENCE):
        async with listening_node() as node:
            good, bad = await Peer.meet_node(node), await Peer.meet_node(node, b"::1:40666")
            received = Teller.received

            async def broken(self: Teller, conversation: Conversation, messages: object) -> None:
                if conversation.label == "[::1]:40666":
                    raise ZeroDivisionError("a value that must not show")
                await received(self, conversation, messages)  # type: ignore[arg-type]

            monkeypatch.setattr(Teller, "received", broken)
            before = settled_slots()
            await bad.say("boom")
            ended = await next_event(node, LinkEnded)
            assert ended.ending.why is Why.BUG
            assert ended.ending.place.startswith("ZeroDivisionError at test_node.py:")
            assert "value" not in ended.ending.place
            assert slots_in_use() == before - 1
            await bad.read_end()
            await good.say("unharmed")
            assert await next_texts(node, 1) == ["unharmed"]


# Dialing.


async def test_what_cannot_be_dialed_says_which_step_failed() -> None:
    with trio.fail_after(PATIENCE):
        async with listening_node() as node:
            async with peer_listener() as (where, _):
                pass
            assert node.listener is not None
            for endpoint, problem in (
                (where, DialProblem.REFUSED),
                (node.listener, DialProblem.OWN),
                (Endpoint("fe80::1", 31488, "nowhere0"), DialProblem.NO_ZONE),
                (Endpoint("fe80::1", 31488), DialProblem.NO_ZONE),
            ):
                node.connect(endpoint)
                failed = await next_event(node, DialFailed)
                assert failed.error.problem is problem
                assert not failed.error.problem.answered
            assert node.conversations == []


async def test_a_mistyped_address_leaves_no_conversation_but_a_written_line_keeps_it() -> None:
    with trio.fail_after(PATIENCE):
        async with listening_node() as node:
            async with peer_listener() as (where, _):
                pass
            node.connect(where)
            await next_event(node, DialFailed)
            assert node.conversations == []
            node.connect(where)
            node.say((await next_event(node, Dialing)).conversation, "do not lose this")
            failed = await next_event(node, DialFailed)
            assert node.conversations == [failed.conversation]


async def test_a_listener_that_resets_is_tried_again_with_fresh_keys() -> None:
    with trio.fail_after(PATIENCE):
        async with listening_node() as node, peer_listener() as (where, listener):
            node.connect(where)
            lines = []
            for _ in range(2):
                refused = Peer(await listener.accept())
                lines.append(await refused.read_line())
                reset(refused)
            peer = await answer(listener)
            node.say((await next_event(node, LinkUp)).conversation, "third time lucky")
            assert await peer.read_text() == "third time lucky"
            assert len(set(lines)) == 2


async def test_a_listener_that_always_resets_is_busy() -> None:
    with trio.fail_after(PATIENCE):
        async with listening_node() as node, peer_listener() as (where, listener):
            node.connect(where)
            for _ in range(4):
                reset(Peer(await listener.accept()))
            error = (await next_event(node, DialFailed)).error
            assert error.problem is DialProblem.BUSY
            assert error.problem.answered


async def test_a_listener_that_is_no_fantom_chat_is_refused() -> None:
    with trio.fail_after(PATIENCE):
        async with listening_node() as node, peer_listener() as (where, listener):
            node.connect(where)
            stream = Peer(await listener.accept()).stream
            await stream.send_all(b"220 smtp.example ESMTP\r\n")
            error = (await next_event(node, DialFailed)).error
            assert error.problem is DialProblem.VIOLATION
            assert error.violation is Violation.NOT_A_HANDSHAKE


async def test_a_silent_listener_is_given_up_after_ten_seconds(
    mock_clock: trio.testing.MockClock,
) -> None:
    before = settled_slots()
    async with listening_node() as node, peer_listener() as (where, listener):
        node.connect(where)
        peer = Peer(await listener.accept())
        await peer.read_line()
        await trio.testing.wait_all_tasks_blocked(0.01)
        mock_clock.jump(10.01)
        assert (await next_event(node, DialFailed)).error.problem is DialProblem.SLOW
        assert slots_in_use() == before + 1  # the node's identity
    assert slots_in_use() == before


async def test_a_new_address_for_the_same_peer_takes_over_from_a_dial_under_way() -> None:
    with trio.fail_after(PATIENCE):
        async with listening_node() as node:
            silent = Endpoint("fd00::1234", 40000)
            # Nothing of ours answers at that address; only the bookkeeping is looked at here.
            conversation = node._book.classic(silent)
            conversation.endpoint = silent
            conversation.outgoing = first = Outgoing(silent)
            node.connect(replace(silent, port=40001))
            await trio.testing.wait_all_tasks_blocked()
            assert first.scope.cancel_called
            assert conversation.endpoint == replace(silent, port=40001)
            node.disconnect(conversation)


# The listener.


async def test_a_port_in_use_is_said_and_the_old_listener_stays() -> None:
    async with listening_node() as node, listening_node() as other:
        assert node.listener is not None
        assert other.listener is not None
        with pytest.raises(ListenError) as caught:
            await node.listen(other.listener)
        assert caught.value.in_use
        peer = await Peer.meet_node(node)
        peer.close()


async def test_the_listener_moves_and_links_stay() -> None:
    with trio.fail_after(PATIENCE):
        async with listening_node() as node:
            peer = await Peer.meet_node(node)
            old = node.listener
            assert old is not None
            new = await node.listen(LOOPBACK)
            assert new != old
            await peer.say("still connected")
            assert await next_texts(node, 1) == ["still connected"]
            (await Peer.meet_node(node)).close()
            await node.stop_listening()
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(OSError, match="failed"):
                await trio.open_tcp_stream("::1", new.port)
            assert await node.listen(new) == new
            assert await node.listen(new) == new  # a second time changes nothing


async def test_an_address_that_is_not_ours_is_said() -> None:
    async with open_node() as node:
        with pytest.raises(ListenError) as caught:
            await node.listen(Endpoint("2001:db8::1", 0))
        assert caught.value.no_such_address
        with pytest.raises(ListenError) as caught:
            await node.listen(Endpoint("fe80::1", 0, "nowhere0"))
        assert caught.value.no_such_address


# Bounds.


async def test_the_oldest_incomplete_handshake_makes_room() -> None:
    with trio.fail_after(PATIENCE):
        async with listening_node(Limits(handshakes=3)) as node:
            done = await Peer.meet_node(node)
            halves = []
            for _ in range(3):
                halves.append(await Peer.dial(node))
                await trio.testing.wait_all_tasks_blocked(0.01)
            assert len(node.admission) == 3
            newcomer = await Peer.meet_node(node, b"::1:40999")
            ended = await next_event(node, LinkEnded)
            assert ended.ending.why is Why.EVICTED
            assert ended.peer.port == halves[0].stream.socket.getsockname()[1]
            await halves[0].read_end()
            await newcomer.say("in")
            assert await next_texts(node, 1) == ["in"]
            await done.say("complete ones are not counted")
            assert await next_texts(node, 1) == ["complete ones are not counted"]
            assert len(node.admission) == 2


async def test_64_handshakes_may_be_incomplete_by_default() -> None:
    assert Limits().handshakes == 64
    with trio.fail_after(PATIENCE):
        async with listening_node() as node:
            halves = [await Peer.dial(node) for _ in range(70)]
            for _ in range(6):
                assert (await next_event(node, LinkEnded)).ending.why is Why.EVICTED
            assert len(node.admission) == 64
            for peer in halves:
                peer.close()


async def test_a_full_outbox_takes_nothing_more_and_loses_nothing() -> None:
    with trio.fail_after(PATIENCE):
        limits = Limits(outbox_messages=3)
        async with listening_node(limits) as node, peer_listener() as (where, listener):
            node.connect(where)
            conversation = (await next_event(node, Dialing)).conversation
            for text in "abc":
                node.say(conversation, text)
            with pytest.raises(OutboxFull):
                node.say(conversation, "d")
            peer = await answer(listener)
            assert [await peer.read_text() for _ in range(3)] == ["a", "b", "c"]
            assert [m.text for m in conversation.history] == ["a", "b", "c"]


async def test_a_full_history_is_told_once() -> None:
    with trio.fail_after(PATIENCE):
        async with listening_node(Limits(history_messages=10)) as node:
            peer = await Peer.meet_node(node)
            await peer.say(*map(str, range(30)))
            full = await next_event(node, HistoryFull)
            await peer.say("more", "and more")
            await peer.stream.send_eof()
            told = 0
            while not isinstance(event := await node.events.receive(), LinkEnded):
                told += isinstance(event, HistoryFull)
            assert told == 0
            assert len(full.conversation.history) == 10
            assert [m.text for m in full.conversation.history][-2:] == ["more", "and more"]


async def test_a_stalled_screen_does_not_stall_the_link_and_is_told_what_it_missed(
    mock_clock: trio.testing.MockClock,
) -> None:
    async with listening_node(Limits(events=0)) as node:
        peer = await Peer.meet_node(node)
        await peer.say("a stranger's word")
        await node.events.receive()  # with no room at all, of a stranger one of three
        node.conversations[0].want()
        await peer.say("seen")
        while (await next_event(node, Received)).messages[0].text != "seen":
            pass
        for text in ("missed", "missed too"):
            await peer.say(text)
            await trio.testing.wait_all_tasks_blocked(0.01)
            mock_clock.jump(1.01)
            await trio.testing.wait_all_tasks_blocked(0.01)
        await peer.say("seen again")
        missed, seen = 0, False
        while missed < 2 or not seen:
            event = await node.events.receive()
            missed += event.count if isinstance(event, NotShown) else 0
            seen = seen or (isinstance(event, Received) and event.messages[0].text == "seen again")
        assert missed == 2
        (conversation,) = node.conversations
        assert [m.text for m in conversation.history][-3:] == ["missed", "missed too", "seen again"]


async def test_a_stranger_s_words_wait_for_no_screen(mock_clock: trio.testing.MockClock) -> None:
    """They would all be in memory, each with a task that waits."""
    async with listening_node(Limits(events=1)) as node:
        peer = await Peer.meet_node(node)
        texts = [f"text {number}" for number in range(6)]
        for text in texts:
            await peer.say(text)
            await trio.testing.wait_all_tasks_blocked(0.01)
        (conversation,) = node.conversations
        assert [m.text for m in conversation.history] == texts
        told = 0
        while told < len(texts):
            event = await node.events.receive()
            told += event.count if isinstance(event, NotShown) else 0
            told += len(event.messages) if isinstance(event, Received) else 0
        assert told == len(texts)


async def test_what_a_stalled_screen_missed_is_told_when_the_peer_says_no_more(
    mock_clock: trio.testing.MockClock,
) -> None:
    async with listening_node(Limits(events=0)) as node:
        peer = await Peer.meet_node(node)
        await peer.say("a stranger's word")
        await node.events.receive()
        node.conversations[0].want()
        await peer.say("seen")
        while (await next_event(node, Received)).messages[0].text != "seen":
            pass
        await peer.say("missed")
        await trio.testing.wait_all_tasks_blocked(0.01)
        mock_clock.jump(1.01)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert (await next_event(node, NotShown)).count == 1


async def test_a_line_written_right_after_a_disconnect_is_dialed_for() -> None:
    with trio.fail_after(PATIENCE):
        async with listening_node() as node, peer_listener() as (where, listener):
            node.connect(where)
            first = await answer(listener)
            conversation = (await next_event(node, LinkUp)).conversation
            node.disconnect(conversation)
            node.say(conversation, "one more thing")
            assert await (await answer(listener)).read_text() == "one more thing"
            await first.read_end()


async def test_a_dial_that_took_over_leaves_one_link_that_can_be_ended() -> None:
    with trio.fail_after(PATIENCE):
        async with listening_node() as node, listening_node() as other:
            assert other.listener is not None
            for _ in range(30):
                node.connect(other.listener)
                node.disconnect((await next_event(node, Dialing)).conversation)
                node.connect(other.listener)
                conversation = (await next_event(node, LinkUp)).conversation
                while not conversation.online or conversation not in node.conversations:
                    conversation = (await next_event(node, LinkUp)).conversation
                assert len(conversation.links) == 1
                assert node.disconnect(conversation)
                while (await next_event(node, LinkEnded)).conversation is not conversation:
                    pass
                assert not conversation.online


async def test_two_moves_of_the_listener_at_once_leave_one() -> None:
    with trio.fail_after(PATIENCE):
        async with listening_node() as node:
            found: list[Endpoint] = []

            async def move() -> None:
                found.append(await node.listen(LOOPBACK))

            async with trio.open_nursery() as nursery:
                for _ in range(5):
                    nursery.start_soon(move)
            await node.stop_listening()
            for endpoint in found:
                with pytest.raises(OSError, match="failed"):
                    await trio.open_tcp_stream("::1", endpoint.port)


async def test_a_name_that_no_resolver_takes_ends_no_other_link() -> None:
    with trio.fail_after(PATIENCE):
        async with listening_node() as node:
            peer = await Peer.meet_node(node)
            for name in ("a..b", "x" * 70, "x" * 200):
                node.connect(Endpoint(name, 31488))
                assert (await next_event(node, DialFailed)).conversation is None
            await peer.say("unharmed")
            assert await next_texts(node, 1) == ["unharmed"]


async def test_a_kernel_without_ipv6_is_told_in_a_listen_and_in_a_dial_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_ipv6(*_arguments: object) -> None:
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")

    with trio.fail_after(PATIENCE):
        async with listening_node() as node:
            monkeypatch.setattr(trio.socket, "socket", no_ipv6)
            monkeypatch.setattr(tcp_module.socket, "socket", no_ipv6)  # type: ignore[attr-defined]
            with pytest.raises(ListenError) as caught:
                await node.listen(Endpoint("::1", 40000))
            assert caught.value.no_such_address
            node.connect(Endpoint("::1", 40001))
            assert (await next_event(node, DialFailed)).error.problem is DialProblem.NO_ROUTE
            monkeypatch.undo()


def test_an_interface_goes_by_its_name_or_its_index() -> None:
    index, name = min(socket.if_nameindex())
    assert index_of(name) == index_of(str(index)) == index
    for zone in ("nowhere0", "99999", "9" * 30):
        with pytest.raises(OSError):
            index_of(zone)


async def test_the_demo_s_echo_bears_a_peer_that_cannot_be_answered() -> None:
    with trio.fail_after(PATIENCE):
        async with open_node() as node, trio.open_nursery() as nursery:
            await nursery.start(echo, node)
            peer = await Peer.meet_node(node, b"no idea")
            await peer.say("echo?")
            async with peer_listener() as (where, listener):
                other = await Peer.meet_node(node, f"::1:{where.port}".encode())
                await other.say("echo!")
                assert await (await answer(listener)).read_text() == "echo!"
            while Peer.alive:
                Peer.alive.pop().close()
            nursery.cancel_scope.cancel()
