"""The two tasks of a native link: one reads and never waits for the other, which writes."""

import trio

from fantom_trio.nursery.connection import Ending, Why, tick
from fantom_trio.nursery.conversation import Conversation
from fantom_trio.nursery.errors import ConnectionLost
from fantom_trio.nursery.events import Delivered, Sent, Verifying
from fantom_trio.nursery.message import Message, State
from fantom_trio.nursery.session import Session
from fantom_trio.nursery.teller import Teller
from fantom_trio.nursery.verification import CodeReady, Matched
from fantom_trio.wire import (
    Ack,
    Bye,
    Event,
    Knock,
    PeerClosed,
    Ping,
    Pong,
    Record,
    RemoteProtocolError,
    Say,
    Verify,
)

__all__ = ["converse"]


async def converse(
    session: Session, conversation: Conversation, teller: Teller, *, acknowledge: bool = True
) -> None:
    """Both directions, until one side says ``bye`` or the link dies.

    ``acknowledge``: what stands in the history counts as handed over; otherwise somebody else says
    so. Cancelled from outside, the link says ``bye`` as far as the system takes it at once.
    """
    session.pulse.watch(session.patience)
    try:
        async with trio.open_nursery() as nursery:
            reader = _Reader(session, conversation, teller, nursery, acknowledge)
            nursery.start_soon(_Writer(session, conversation, teller).run)
            with session.connection.ends():
                await reader.run()
    finally:
        session.pulse.forget(session.patience)
        if session.connection.ending is None and session.connection.link.can_send:
            session.connection.link.send_all([*_take_pending(session), Bye("quit")])
            session.connection.send_now()
        session.outcomes.extend(session.end_verification())


class _Reader:
    """Takes what comes; what it has to answer it leaves to the writer."""

    __slots__ = (
        "_acknowledge", "_connection", "_conversation", "_delivery", "_nursery", "_session",
        "_teller",
    )  # fmt: skip

    def __init__(
        self,
        session: Session,
        conversation: Conversation,
        teller: Teller,
        nursery: trio.Nursery,
        acknowledge: bool,
    ) -> None:
        self._session = session
        self._nursery = nursery
        self._connection = session.connection
        self._delivery = session.identity.delivery
        self._conversation = conversation
        self._teller = teller
        self._acknowledge = acknowledge

    async def run(self) -> None:
        patience = self._session.patience
        while not self._session.peer_left:
            patience.begin()
            events = await self._connection.receive()
            patience.heard()
            await self._take(events)
            if not self._conversation.strange:
                self._connection.turns = None

    async def _take(self, events: list[Event]) -> None:
        """All of one read; where it ends in a fault, what came before counts."""
        messages: list[Message] = []
        delivered: list[Message] = []
        fault: Exception | None = None
        identity, now, take = self._session.identity, self._teller.now(), self._delivery.take
        try:
            for event in events:
                match event:
                    case Say() if self._session.leaving is None:
                        # Else it was not taken, and comes again on another link.
                        if take(event):
                            new = Message(event.text, now, State.RECEIVED, id=event.id)
                            new.verified = identity.verified
                            messages.append(new)
                    case Ack():
                        delivered += self._delivery.acknowledge(event.shown)
                        self._session.identity.acknowledged_at = tick()
                    case Ping():
                        self._session.pong = True
                    case Verify() if self._session.leaving is None:
                        self._verify(event)
                    case Knock() if self._session.leaving is None:
                        self._answer(event)
                    case Bye():
                        self._bye(event)
                    case PeerClosed() if not self._session.peer_left:
                        raise ConnectionLost
        except (RemoteProtocolError, ConnectionLost) as error:
            fault = error
        if messages:
            if not self._acknowledge:
                self._conversation.history.kept_after = self._delivery.shown
            self._conversation.history.extend(messages)
            if self._acknowledge:
                self._delivery.show(messages[-1].id)
        # Before any wait: the link may end while a slow screen is told.
        self._conversation.delivered(delivered)
        self._session.wake()
        await self._tell(messages, delivered)
        if fault is not None:
            raise fault

    def _verify(self, record: Verify) -> None:
        """What comes of it counts now; what is not told when the link ends is told then."""
        identity = self._session.identity
        steps, outcome = self._session.verification.received(record)
        self._session.verify(steps)
        if isinstance(outcome, Matched):
            identity.verified, identity.distrusted = True, False
        elif isinstance(outcome, CodeReady):
            identity.code_shown = True
        if outcome is not None:
            self._session.outcomes.append(outcome)

    def _answer(self, knock: Knock) -> None:
        """Dial back, but for nobody we do not know, and seldom: we dial where others say."""
        identity, now = self._session.identity, trio.current_time()
        if identity.verified and now >= identity.answers_from:
            identity.answers_from = now + self._teller.limits.knock_seconds
            self._nursery.start_soon(self._session.dial_back, knock.port)

    async def _tell(self, messages: list[Message], delivered: list[Message]) -> None:
        if messages:
            await self._teller.received(self._conversation, messages)
        if delivered:
            await self._teller.offer(Delivered(self._conversation, delivered))
        while self._session.outcomes:
            told = Verifying(self._conversation, self._session.outcomes[0])
            await self._teller.tell_of(self._conversation, told)
            del self._session.outcomes[0]

    def _bye(self, bye: Bye) -> None:
        self._session.peer_left = True
        if self._session.leaving is not None:  # ours went out, or will: this answers it
            self._session.wake()
            return
        why = _WHY_LEFT.get(bye.reason, Why.LEFT)
        self._session.leave("quit", Ending(why))


_WHY_LEFT = {"replaced": Why.REPLACED, "refused": Why.TURNED_AWAY}


class _Writer:
    """Sends messages, acknowledgements and answers, all that is there in one write."""

    __slots__ = ("_connection", "_conversation", "_delivery", "_session", "_teller")

    def __init__(self, session: Session, conversation: Conversation, teller: Teller) -> None:
        self._session = session
        self._connection = session.connection
        self._delivery = session.identity.delivery
        self._conversation = conversation
        self._teller = teller

    async def run(self) -> None:
        link = self._connection.link
        with self._connection.ends():
            while link.can_send:
                records = _take_pending(self._session)
                carried = self._take_messages(records)
                if self._session.leaving is not None:
                    records.append(Bye(self._session.leaving))
                if not records:
                    await self._session.work()
                    continue
                link.send_all(records)
                await self._connection.send()
                await self._tell_sent(carried)
            if self._session.leaving is not None:
                while not self._session.peer_left:
                    await self._session.work()
                self._connection.scope.cancel()  # the ending was said with the leaving

    def _take_messages(self, records: list[Record]) -> list[Message | None]:
        """On the newest link, to ``records``; None for a piece that is not a message's last."""
        if self._conversation.session is not self._session:
            return []
        most = self._teller.limits.native_batch_bytes
        says = self._delivery.next_says(self._session.cursor, most)
        records += [say for say, _ in says]
        return [message for _, message in says]

    async def _tell_sent(self, carried: list[Message | None]) -> None:
        sent = [each for each in carried if each is not None and each.state is State.WAITING]
        for message in sent:
            message.state = State.SENT
        if sent:
            await self._teller.offer(Sent(self._conversation, sent))


def _take_pending(session: Session) -> list[Record]:
    """Everything but messages."""
    records, session.steps = session.steps, []
    if session.pong:
        records.append(Pong())
    if session.ping:
        records.append(Ping())
    if session.knock is not None:
        records.append(Knock(session.knock))
    session.ping, session.pong, session.knock = False, False, None
    shown = session.identity.delivery.shown
    if shown > session.acknowledged:
        records.append(Ack(shown))
        session.acknowledged = shown
    return records
