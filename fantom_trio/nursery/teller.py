"""What happened, on its way to the screen: nothing queues without end, nothing stalls for long."""

import time
from collections.abc import Callable, Sequence

import trio

from fantom_trio.nursery.conversation import Conversation
from fantom_trio.nursery.events import HistoryFull, NodeEvent, NotShown, Received
from fantom_trio.nursery.limits import Limits
from fantom_trio.nursery.message import Message

__all__ = ["Teller"]


class Teller:
    """The bounded channel of events; ``events`` must be read, or sockets are not read either.

    ``now`` is the clock of the messages, in seconds since the epoch.
    """

    def __init__(
        self, nursery: trio.Nursery, limits: Limits, now: Callable[[], float] = time.time
    ) -> None:
        self.limits = limits
        self.now = now
        self._nursery = nursery
        self._tell: trio.MemorySendChannel[NodeEvent]
        self.events: trio.MemoryReceiveChannel[NodeEvent]
        self._tell, self.events = trio.open_memory_channel(limits.events)

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

    async def mention(self, event: NodeEvent) -> bool:
        """Offer what a stranger did, as long as that keeps nobody else's news waiting."""
        return not self._busy and await self.offer(event)

    def try_mention(self, event: NodeEvent) -> bool:
        """The same, without a wait."""
        return not self._busy and self.try_tell(event)

    @property
    def _busy(self) -> bool:
        """Before it stands as much as strangers may put there; the rest is for those we know."""
        return self._tell.statistics().current_buffer_used >= self.limits.stranger_events

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
            told = await self.offer(Received(conversation, messages))
        finally:  # the link may have ended meanwhile
            if not told:
                conversation.not_shown += len(messages)
                if conversation.not_shown == len(messages):
                    self._nursery.start_soon(self._tell_not_shown, conversation)
        await self.tell_if_full(conversation)

    async def tell_if_full(self, conversation: Conversation) -> None:
        """Once; where the screen has no room now, with what comes next."""
        if conversation.history.dropped and not conversation.told_full:
            conversation.told_full = await self.offer(HistoryFull(conversation))

    async def _tell_not_shown(self, conversation: Conversation) -> None:
        """As soon as the screen has room; one such task a conversation."""
        while count := conversation.not_shown:
            await self._tell.send(NotShown(conversation, count))
            conversation.not_shown -= count
