"""Native links through whole nodes: whose conversation it is, who is let in, which link stays."""

import itertools
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from fantom_trio.nursery import (
    AlreadyUp,
    CodeReady,
    Conversation,
    Delivered,
    DialFailed,
    Dialing,
    DialProblem,
    Endpoint,
    Failed,
    Invite,
    LinkEnded,
    LinkKind,
    LinkUp,
    Matched,
    Merged,
    Node,
    NotLinked,
    OutboxFull,
    Received,
    Redialing,
    Sent,
    State,
    Verifying,
    Violation,
    Why,
    Wished,
    open_node,
    prepare_word,
)
from fantom_trio.nursery.limits import Limits
from tests.nursery.ends import PATIENCE, listening_node, next_event, next_texts, peer_listener
from tests.nursery.ends import answer as answer_classic
from tests.nursery.memory_network import MemoryNetwork

ALICE, BOB, CAROL = "2001:db8::a", "2001:db8::b", "2001:db8::c"
AT_ALICE, AT_BOB, AT_CAROL = Endpoint(ALICE, 40001), Endpoint(BOB, 40002), Endpoint(CAROL, 40003)

TWO_HOURS = 7200


@pytest.fixture
def network() -> MemoryNetwork:
    return MemoryNetwork(random.Random(7), (0.01, 0.05))


@asynccontextmanager
async def node_at(
    network: MemoryNetwork, where: Endpoint, *, listening: bool = True, invited_only: bool = False
) -> AsyncIterator[Node]:
    with trio.fail_after(TWO_HOURS):  # on a clock that jumps
        async with open_node(
            network=network.host(where.host), rng=random.Random(1), invited_only=invited_only
        ) as node:
            if listening:
                await node.listen(where)
            yield node


async def meet(
    alice: Node, bob: Node, where: Endpoint = AT_BOB
) -> tuple[Conversation, Conversation]:
    """Alice dials Bob; each one's conversation."""
    alice.connect(where)
    here = (await next_event(alice, LinkUp)).conversation
    return here, (await next_event(bob, LinkUp)).conversation


# One duplex link.


async def test_only_one_side_need_be_reachable(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with (
        node_at(network, AT_ALICE, listening=False) as alice,
        node_at(network, AT_BOB) as bob,
    ):
        here, there = await meet(alice, bob)
        assert there.endpoint is None  # nobody listens there
        bob.say(there, "hello")
        assert await next_texts(alice, 1) == ["hello"]
        alice.say(here, "hi")
        assert await next_texts(bob, 1) == ["hi"]


async def test_states_go_from_waiting_over_sent_to_delivered(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with node_at(network, AT_ALICE) as alice, node_at(network, AT_BOB) as bob:
        here, _ = await meet(alice, bob)
        message = alice.say(here, "hello")
        states = [message.state]
        await next_event(alice, Sent)
        states.append(message.state)
        assert here.undelivered == 1
        await next_event(alice, Delivered)
        states.append(message.state)
        assert states == [State.WAITING, State.SENT, State.DELIVERED]
        assert here.undelivered == 0


async def test_two_dials_that_cross_become_one_link_and_one_conversation(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with node_at(network, AT_ALICE) as alice, node_at(network, AT_BOB) as bob:
        alice.connect(AT_BOB, "bob")
        bob.connect(AT_ALICE, "alice")
        await trio.sleep(10)
        (here,), (there,) = alice.conversations, bob.conversations
        assert (here.label, there.label) == ("bob", "alice")
        (one,), (other,) = here.links, there.links
        assert one.link.hash == other.link.hash
        alice.say(here, "still here?")
        assert await next_texts(bob, 1) == ["still here?"]


async def test_the_judge_alone_closes_the_older_link(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with node_at(network, AT_ALICE) as alice, node_at(network, AT_BOB) as bob:
        here, there = await meet(alice, bob)
        older = here.links[0].link.hash
        bob.disconnect(there)
        await next_event(bob, LinkEnded)
        alice._links.dial(here)
        await next_event(alice, LinkUp)
        bob._links.dial(there)
        await trio.sleep(5)
        (one,), (other,) = here.links, there.links
        assert one.link.hash == other.link.hash != older


# Conversations are keyed by identity.


async def test_the_same_peer_from_a_new_address_continues_its_conversation(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with node_at(network, AT_ALICE) as alice, node_at(network, AT_BOB) as bob:
        here, there = await meet(alice, bob)
        alice.say(here, "from the old address")
        await next_event(alice, Delivered)
        # Alice is somewhere else from here on, with the same identity.
        alice._links._network = network.host(CAROL)
        alice.disconnect(here)
        await next_event(bob, LinkEnded)
        alice.say(here, "from the new one")
        assert await next_texts(bob, 1) == ["from the new one"]
        assert len(there.history) == 2
        assert bob.conversations == [there]
        assert there.key.host == CAROL


async def test_somebody_new_at_a_known_address_is_a_stranger(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with node_at(network, AT_ALICE) as alice:
        async with node_at(network, AT_BOB) as bob:
            here, there = await meet(alice, bob)
            here.name = "bob"
            bob.disconnect(there)
            await next_event(alice, LinkEnded)
        kept = alice.say(here, "for Bob alone")
        async with node_at(network, AT_BOB) as mallory:
            failed = await next_event(alice, DialFailed)
            while failed.error.problem is DialProblem.REFUSED:
                alice._links.dial(here)
                failed = await next_event(alice, DialFailed)
            assert failed.error.problem is DialProblem.OTHER_IDENTITY
            assert kept.state is State.WAITING

            alice.connect(AT_BOB, "newcomer")  # the user's own wish: whoever is there
            up = await next_event(alice, LinkUp)
            assert up.conversation is not here
            assert up.stranger_at is here
            assert (up.conversation.name, here.name, here.online) == ("newcomer", "bob", False)
            alice.say(up.conversation, "who are you?")
            assert await next_texts(mallory, 1) == ["who are you?"]


async def test_a_new_address_that_is_a_known_peer_s_is_merged_with_what_waits(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with node_at(network, AT_ALICE) as alice, node_at(network, AT_BOB) as bob:
        here, there = await meet(alice, bob)
        alice.disconnect(here)
        await next_event(alice, LinkEnded)
        await bob.stop_listening()
        bob._network = network.host(CAROL)
        await bob.listen(AT_CAROL)
        alice.connect(AT_CAROL, "bob")
        await trio.testing.wait_all_tasks_blocked()
        dialed = next(each for each in alice.conversations if each is not here)
        alice.say(dialed, "is it you?")
        merged = await next_event(alice, Merged)
        assert (merged.gone, merged.conversation) == (dialed, here)
        assert alice.conversations == [here]
        assert here.label == "bob"
        assert await next_texts(bob, 1) == ["is it you?"]
        assert there.online


# Breaks.


async def test_what_was_written_during_a_break_arrives_once_and_in_order(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with node_at(network, AT_ALICE) as alice, node_at(network, AT_BOB) as bob:
        here, there = await meet(alice, bob)
        network.cut(ALICE, BOB)
        for number in range(20):
            alice.say(here, f"a{number}")
            bob.say(there, f"b{number}")
            await trio.sleep(3)
        await next_event(alice, Redialing)
        network.heal(ALICE, BOB)
        assert await next_texts(bob, 20) == [f"a{number}" for number in range(20)]
        assert await next_texts(alice, 20) == [f"b{number}" for number in range(20)]
        await trio.sleep(120)
        assert (here.undelivered, there.undelivered) == (0, 0)
        (one,), (other,) = here.links, there.links
        assert one.link.hash == other.link.hash


async def test_redialing_waits_longer_each_time_and_disconnect_stops_it(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with node_at(network, AT_ALICE) as alice:
        async with node_at(network, AT_BOB) as bob:
            here, _ = await meet(alice, bob)
            network.cut(ALICE, BOB)
        network.heal(ALICE, BOB)
        await next_event(alice, Redialing)
        tries: list[float] = []
        dial = alice._links._dial

        async def counted(*arguments: object) -> object:
            tries.append(trio.current_time())
            return await dial(*arguments)  # type: ignore[arg-type]

        alice._links._dial = counted  # type: ignore[assignment, method-assign]
        await trio.sleep(600)
        pauses = [later - earlier for earlier, later in itertools.pairwise(tries)]
        assert pauses[0] < 5  # where nobody listens a try takes 1.5 s, before that is believed
        assert all(25 < pause < 61 for pause in pauses[8:])
        assert here.dialing
        alice.disconnect(here)
        count = len(tries)
        await trio.sleep(600)
        assert len(tries) == count
        assert not here.dialing


async def test_goodbye_is_not_dialed_after(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with node_at(network, AT_ALICE) as alice, node_at(network, AT_BOB) as bob:
        here, there = await meet(alice, bob)
        alice.disconnect(here)
        assert (await next_event(bob, LinkEnded)).ending.why is Why.LEFT
        assert (await next_event(alice, LinkEnded)).ending.why is Why.DISCONNECTED
        await trio.sleep(300)
        assert not any((here.online, here.dialing, there.online, there.dialing))


async def test_a_silent_link_is_asked_for_a_sign_of_life_and_lives(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with node_at(network, AT_ALICE) as alice, node_at(network, AT_BOB) as bob:
        here, _ = await meet(alice, bob)
        before = here.links[0].link.hash
        await trio.sleep(3600)
        assert here.links[0].link.hash == before


async def test_a_full_queue_takes_nothing_and_says_so(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with (
        open_node(Limits(outbox_messages=3), network=network.host(ALICE)) as alice,
        node_at(network, AT_BOB) as bob,
    ):
        here, _ = await meet(alice, bob)
        network.cut(ALICE, BOB)
        for text in ("one", "two", "three"):
            alice.say(here, text)
        with pytest.raises(OutboxFull):
            alice.say(here, "four")
        assert here.undelivered == 3


async def test_what_was_forgotten_before_it_was_sent_never_arrives(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with node_at(network, AT_ALICE) as alice, node_at(network, AT_BOB) as bob:
        here, there = await meet(alice, bob)
        alice.say(here, "kept")
        await next_event(alice, Delivered)
        alice.disconnect(here)
        await next_event(alice, LinkEnded)
        network.cut(ALICE, BOB)
        alice.say(here, "never sent")
        alice.close(here)
        network.heal(ALICE, BOB)
        again, _ = await meet(alice, bob)
        alice.say(again, "after it")
        assert await next_texts(bob, 1) == ["after it"]
        assert [message.text for message in there.history] == ["kept", "after it"]


# Who is let in.


async def test_an_invite_verifies_both_sides(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with node_at(network, AT_ALICE) as alice, node_at(network, AT_BOB) as bob:
        invite = bob.invite(AT_BOB)
        alice.connect(invite, "bob")
        here = (await next_event(alice, LinkUp)).conversation
        there = (await next_event(bob, LinkUp)).conversation
        assert here.verified
        assert there.verified
        bob.say(there, "welcome")
        (message,) = (await next_event(alice, Received)).messages
        assert message.verified
        alice.connect(invite)
        assert (await next_event(alice, AlreadyUp)).conversation is here


async def test_an_invite_lets_one_identity_in_and_that_one_again(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with node_at(network, AT_BOB) as bob, node_at(network, AT_ALICE) as alice:
        invite = bob.invite(AT_BOB)
        alice.connect(invite)
        here = (await next_event(alice, LinkUp)).conversation
        alice.disconnect(here)
        await next_event(alice, LinkEnded)
        alice.connect(invite)
        assert (await next_event(alice, LinkUp)).conversation is here
        async with node_at(network, AT_CAROL) as thief:
            thief.connect(invite)
            failed = await next_event(thief, DialFailed)
            assert failed.error.problem is DialProblem.TURNED_AWAY
            while (ended := await next_event(bob, LinkEnded)).conversation is not None:
                pass
            assert ended.ending.why is Why.BAD_INVITE
        assert bob.revoke_invites() == 1


async def test_a_revoked_invite_lets_nobody_in(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with node_at(network, AT_BOB) as bob, node_at(network, AT_ALICE) as alice:
        invite = bob.invite(AT_BOB)
        assert bob.revoke_invites() == 1
        alice.connect(invite)
        assert (await next_event(alice, DialFailed)).error.problem is DialProblem.TURNED_AWAY


async def test_an_invite_is_not_for_whoever_stands_at_its_address(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with node_at(network, AT_ALICE) as alice:
        async with node_at(network, AT_BOB) as bob:
            invite = bob.invite(AT_BOB)
        async with node_at(network, AT_BOB) as mallory:
            alice.connect(invite)
            failed = await next_event(alice, DialFailed)
            assert failed.error.problem is DialProblem.OTHER_IDENTITY
            ended = await next_event(mallory, LinkEnded)
            assert ended.ending.violation is Violation.CLOSED_IN_HANDSHAKE
            assert not mallory.conversations


async def test_with_invited_only_nobody_else_gets_as_far_as_our_hello(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with (
        node_at(network, AT_BOB, invited_only=True) as bob,
        node_at(network, AT_ALICE) as alice,
    ):
        alice.connect(AT_BOB)
        assert (await next_event(alice, DialFailed)).error.problem is DialProblem.TURNED_AWAY
        assert (await next_event(bob, LinkEnded)).ending.why is Why.UNINVITED
        alice.connect(bob.invite(AT_BOB))
        assert (await next_event(alice, LinkUp)).conversation.verified


async def test_an_invite_of_our_own_is_told_as_such(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with node_at(network, AT_ALICE) as alice:
        alice.connect(alice.invite(AT_BOB))
        assert (await next_event(alice, DialFailed)).error.problem is DialProblem.OWN


# Verifying.


async def outcomes(node: Node, kind: type[object]) -> object:
    while not isinstance(outcome := (await next_event(node, Verifying)).outcome, kind):
        pass
    return outcome


async def test_both_sides_see_the_same_code_and_each_user_decides(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with node_at(network, AT_ALICE) as alice, node_at(network, AT_BOB) as bob:
        here, there = await meet(alice, bob)
        bob.say(there, "before")
        await next_event(alice, Received)
        alice.ask_code(here)
        assert isinstance((await next_event(bob, Verifying)).outcome, Wished)
        bob.ask_code(there)
        codes = [await outcomes(node, CodeReady) for node in (alice, bob)]
        assert codes[0] == codes[1]
        assert not here.verified
        alice.same_code(here)
        assert (here.verified, there.verified) == (True, False)
        bob.say(there, "after")
        await next_event(alice, Received)
        assert [m.verified for m in here.history if not m.mine] == [False, True]


async def test_the_same_word_verifies_both_and_another_neither(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with node_at(network, AT_ALICE) as alice, node_at(network, AT_BOB) as bob:
        here, there = await meet(alice, bob)
        alice.ask_word(here, prepare_word("swordfish"))
        bob.ask_word(there, prepare_word("sawfish"))
        await trio.sleep(5)
        assert not any((here.verified, there.verified))
        alice.ask_word(here, prepare_word("swordfish"))
        bob.ask_word(there, prepare_word("swordfish"))
        await outcomes(alice, Matched)
        await outcomes(bob, Matched)
        assert here.verified
        assert there.verified


async def test_a_verified_identity_stays_so_when_its_conversation_is_closed(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with node_at(network, AT_ALICE) as alice, node_at(network, AT_BOB) as bob:
        alice.connect(bob.invite(AT_BOB))
        here = (await next_event(alice, LinkUp)).conversation
        alice.close(here)
        await next_event(alice, LinkEnded)
        alice.connect(AT_BOB)
        up = await next_event(alice, LinkUp)
        assert up.conversation is not here
        assert up.conversation.verified


async def test_a_different_code_ends_the_link_and_takes_the_mark_back(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with node_at(network, AT_ALICE) as alice, node_at(network, AT_BOB) as bob:
        alice.connect(bob.invite(AT_BOB))
        here = (await next_event(alice, LinkUp)).conversation
        there = (await next_event(bob, LinkUp)).conversation
        alice.ask_code(here)
        bob.ask_code(there)
        await outcomes(alice, CodeReady)
        states = [here.verified]
        alice.different_code(here)
        states.append(here.verified)
        assert states == [True, False]
        assert (await next_event(bob, LinkEnded)).ending.why is Why.LEFT
        # The invite that it owns does not give the mark back, whoever dials.
        bob.say(there, "trust me again")
        (message,) = (await next_event(alice, Received)).messages
        assert not message.verified
        alice.disconnect(here)
        await next_event(alice, LinkEnded)
        alice.connect(bob.invite(AT_BOB))
        await next_event(alice, LinkUp)
        assert not here.verified


async def test_no_counts_for_a_code_whose_link_is_gone(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with node_at(network, AT_ALICE) as alice, node_at(network, AT_BOB) as bob:
        alice.connect(bob.invite(AT_BOB))
        here = (await next_event(alice, LinkUp)).conversation
        there = (await next_event(bob, LinkUp)).conversation
        with pytest.raises(LookupError):
            alice.different_code(here)
        alice.ask_code(here)
        bob.ask_code(there)
        await outcomes(alice, CodeReady)
        bob.disconnect(there)
        await next_event(alice, LinkEnded)
        assert isinstance(await outcomes(alice, Failed), Failed)
        with pytest.raises(NotLinked):
            alice.same_code(here)
        alice.different_code(here)
        assert not here.verified


async def test_an_invite_is_kept_until_its_peer_is_there(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with (
        node_at(network, AT_BOB, listening=False, invited_only=True) as bob,
        node_at(network, AT_ALICE) as alice,
    ):
        alice.connect(bob.invite(AT_BOB))
        await next_event(alice, Dialing)
        (here,) = alice.conversations
        alice.say(here, "are you there?")
        assert (await next_event(alice, DialFailed)).error.problem is DialProblem.REFUSED
        await bob.listen(AT_BOB)
        alice.say(here, "and now?")
        assert await next_texts(bob, 2) == ["are you there?", "and now?"]
        assert here.verified
        assert bob.conversations[0].verified


async def test_a_peer_that_does_not_read_cannot_keep_a_link_that_we_leave(
    network: MemoryNetwork, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with node_at(network, AT_ALICE) as alice, node_at(network, AT_BOB) as bob:
        here, _ = await meet(alice, bob)

        async def never(data: object) -> None:
            await trio.sleep_forever()

        monkeypatch.setattr(here.links[0]._stream, "send_all", never)
        alice.say(here, "into a full window")
        await trio.sleep(1)
        alice.disconnect(here)
        begun = trio.current_time()
        assert (await next_event(alice, LinkEnded)).ending.why is Why.DISCONNECTED
        assert trio.current_time() - begun < 5


async def test_an_invite_with_a_dead_address_leaves_the_known_one(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with node_at(network, AT_ALICE) as alice, node_at(network, AT_BOB) as bob:
        here, _ = await meet(alice, bob)
        alice.connect(bob.invite(AT_CAROL), "robert")
        assert (await next_event(alice, DialFailed)).error.problem is DialProblem.TIMEOUT
        assert (here.endpoint, here.name) == (AT_BOB, "")


async def test_without_a_link_nothing_can_be_verified(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with node_at(network, AT_ALICE) as alice, node_at(network, AT_BOB) as bob:
        here, _ = await meet(alice, bob)
        alice.disconnect(here)
        with pytest.raises(NotLinked):
            alice.ask_code(here)
        word = prepare_word("swordfish")
        with pytest.raises(NotLinked):
            alice.ask_word(here, word)
        assert word.wiped
        with pytest.raises(NotLinked):
            alice.same_code(here)


# Classic peers notice nothing.


async def test_a_classic_listener_gets_a_classic_link() -> None:
    with trio.fail_after(PATIENCE):
        async with listening_node() as node, peer_listener() as (where, listener):
            node.connect(where)
            peer = await answer_classic(listener)
            up = await next_event(node, LinkUp)
            assert (up.kind, up.conversation.kind) == (LinkKind.CLASSIC, LinkKind.CLASSIC)
            node.say(up.conversation, "hello")
            assert await peer.read_text() == "hello"


async def test_an_invite_is_never_answered_by_a_classic_peer() -> None:
    with trio.fail_after(PATIENCE):
        async with listening_node() as node, peer_listener() as (where, listener):
            node.connect(Invite(where, bytes(20), bytes(10)))
            peer = await answer_classic(listener)
            failed = await next_event(node, DialFailed)
            assert failed.error.problem is DialProblem.DOWNGRADED
            assert await peer.read_end() == b""


async def test_what_waits_goes_out_before_no_goodbye(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    """Two seconds is all that a goodbye has, and a slow line sends little in them."""
    async with node_at(network, AT_ALICE) as alice, node_at(network, AT_BOB) as bob:
        here, there = await meet(alice, bob)
        for _ in range(10):
            alice.say(here, "x" * 60_000)
        alice.disconnect(here)
        assert (await next_event(bob, LinkEnded)).ending.why is Why.LEFT
        assert not there.history
        assert here.undelivered == 10
