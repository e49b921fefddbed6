"""``--demo``: a second node in the same process that says everything back, over a real socket."""

import trio

from fantom_trio.nursery import Endpoint, Node, NoWayBack, OutboxFull, Received

__all__ = ["echo"]


async def echo(node: Node, *, task_status: trio.TaskStatus[Endpoint]) -> None:
    """Listen on a free port of ``::1`` and echo until cancelled; starts with the endpoint.

    Raises ``ListenError``.
    """
    task_status.started(await node.listen(Endpoint("::1", 0)))
    async for event in node.events:
        if isinstance(event, Received):
            for message in event.messages:
                try:
                    node.say(event.conversation, message.text)
                except (OutboxFull, NoWayBack):  # an echo that cannot keep up is silent
                    break
