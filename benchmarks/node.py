"""The other process: a node that listens on loopback and reads what it is told.

``python -m benchmarks.node`` says its port. ``--bare`` is what Trio alone needs for a connection:
a task and a socket, which read and do nothing else.
"""

import sys

import trio

from benchmarks import where
from benchmarks.processes import many_descriptors
from fantom_trio.nursery import Endpoint, Limits, LinkUp, open_node

__all__: list[str] = []


async def _node() -> None:
    # All are wanted, so that none is turned out: strangers are bounded, friends are not.
    async with open_node(Limits(links=100_000)) as node, trio.open_nursery() as nursery:
        nursery.start_soon(_until_the_end, nursery.cancel_scope)
        print((await node.listen(Endpoint("::1", 0))).port, flush=True)
        async for event in node.events:
            if isinstance(event, LinkUp):
                event.conversation.want()


async def _bare() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_until_the_end, nursery.cancel_scope)
        (listener,) = await trio.open_tcp_listeners(0, host="::1")
        print(listener.socket.getsockname()[1], flush=True)
        await trio.serve_listeners(_read, [listener])


async def _read(stream: trio.SocketStream) -> None:
    await stream.send_all(b".")  # we are there
    while await stream.receive_some():
        pass


async def _until_the_end(scope: trio.CancelScope) -> None:
    """Of standard input: whoever started us is done."""
    await trio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)
    scope.cancel()


if __name__ == "__main__":
    many_descriptors()
    main = _bare if "--bare" in sys.argv else _node
    where.run("the node", lambda: trio.run(main))
