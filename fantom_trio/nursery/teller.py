"""What happened, on its way to the screen: nothing queues without end, nothing stalls for long."""

import time
from collections.abc import Callable, Sequence

import trio

from fantom_trio.nursery.conversation import Conversation
from fantom_trio.nursery.events import HistoryFull, NodeEvent, NotShown, Received
from fantom_trio.nursery.limits import Limits
from fantom_trio.nursery.message import Message

__all__ = ["Events", "Teller"]


class Events(trio.abc.ReceiveChannel[NodeEvent]):
    """What happened, oldest first; whoever waits for room hears of each that is taken."""

    def __init__(self, channel: trio.MemoryReceiveChannel[NodeEvent]) -> None:
        self._channel = channel
        self._taken = trio.Event()

    async def receive(self) -> NodeEvent:
        """The next; cancelled, it has taken none."""
        event = await self._channel.receive()
        self._taken.set()
        return event

    def receive_nowait(self) -> NodeEvent:
        """The next; raises ``trio.WouldBlock`` where there is none."""
        event = self._channel.receive_nowait()
        self._taken.set()
        return event

    @property
    def waiting(self) -> int:
        """How many there are."""
        return self._channel.statistics().current_buffer_used

    async def next_taken(self) -> None:
        """Wait until one is taken."""
        self._taken = trio.Event()
        await self._taken.wait()

    async def aclose(self) -> None:
        """Nothing is told any more."""
        await self._channel.aclose()


class Teller:
    """The bounded channel of events; ``events`` must be read, or sockets are not read either.

    ``now`` is the clock of the messages, in seconds since the epoch.
    """

    def __init__(
        self, nursery: trio.Nursery, limits: Limits, now: Callable[[], float] = time.time
    ) -> None:
        self.limits = limits
        self.now = now
        #: Where strangers' news waits, one after the other.
        self._strangers = trio.Lock()
        self._nursery = nursery
        self._tell, channel = trio.open_memory_channel[NodeEvent](limits.events)
        self.events = Events(channel)

    async def tell(self, event: NodeEvent) -> None:
        """Wait until there is room for ``event``."""
        await self._tell.send(event)

    async def offer(self, event: NodeEvent) -> bool:
        """Tell, but wait for a slow screen no longer than a peer bears; False: it was not told."""
        try:
            # Also where the link has just ended: a cancelled wait would not even try.
            self._tell.send_nowait(event)
        except trio.WouldBlock:
            with trio.move_on_after(self.limits.stall_seconds):
                await self._tell.send(event)
                return True
            return False
        return True

    async def tell_of(self, conversation: Conversation, event: NodeEvent) -> None:
        """Wait until there is room for what ``conversation``'s peer did, stranger or not."""
        if not conversation.strange:
            await self.tell(event)
            return
        while not await self._offer_of_stranger(event):
            pass

    async def offer_of(self, conversation: Conversation, event: NodeEvent) -> bool:
        """The same, but for no longer than a peer bears; False: it was not told."""
        offer = self._offer_of_stranger if conversation.strange else self.offer
        return await offer(event)

    async def _offer_of_stranger(self, event: NodeEvent) -> bool:
        if not (self._busy or self._strangers.locked()) and self.try_tell(event):
            return True
        with trio.move_on_after(self.limits.stall_seconds):
            async with self._strangers:
                while self._busy:
                    await self.events.next_taken()
                await self._tell.send(event)
                return True
        return False

    async def mention_of(self, conversation: Conversation, event: NodeEvent) -> bool:
        """Offer it, but what a stranger did only if that keeps nobody else's news waiting.

        Strangers would wait with their words in hand, as many as there are links.
        """
        return self.try_mention(event) if conversation.strange else await self.offer(event)

    async def report_of(self, conversation: Conversation, event: NodeEvent) -> None:
        """The same, but what a known peer did waits until there is room."""
        if conversation.strange:
            self.try_mention(event)
        else:
            await self.tell(event)

    def try_mention(self, event: NodeEvent) -> bool:
        """Tell what a stranger did, if that keeps nobody else's news waiting; False: it does."""
        return not self._busy and self.try_tell(event)

    @property
    def _busy(self) -> bool:
        """Before it stands as much as strangers may put there; the rest is for those we know."""
        most = min(self.limits.stranger_events, self.limits.events)
        return 0 < most <= self.events.waiting

    def try_tell(self, event: NodeEvent) -> bool:
        """Tell, if there is room now; False: it was not told."""
        try:
            self._tell.send_nowait(event)
        except trio.WouldBlock:
            return False
        return True

    async def received(self, conversation: Conversation, messages: Sequence[Message]) -> None:
        """``messages`` stand in the history: to the screen, or say how many it missed."""
        told = False
        try:
            told = await self.mention_of(conversation, Received(conversation, messages))
        finally:  # the link may have ended meanwhile
            if not told:
                conversation.not_shown += len(messages)
                if conversation.not_shown == len(messages):
                    self._nursery.start_soon(self._tell_not_shown, conversation)
        await self.tell_if_full(conversation)

    async def tell_if_full(self, conversation: Conversation) -> None:
        """Once; where the screen has no room now, with what comes next."""
        if conversation.history.dropped and not conversation.told_full:
            conversation.told_full = await self.offer_of(conversation, HistoryFull(conversation))

    async def _tell_not_shown(self, conversation: Conversation) -> None:
        """As soon as the screen has room; one such task a conversation."""
        while count := conversation.not_shown:
            await self.tell_of(conversation, NotShown(conversation, count))
            conversation.not_shown -= count
