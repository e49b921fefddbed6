"""Reading a descriptor as a task, whatever it is: a pipe, a terminal, a file."""

import os

import trio

__all__ = ["read_some"]


async def read_some(fd: int, size: int) -> bytes:
    """At most ``size`` bytes of what is there, empty at the end; cancelled, it has read nothing.

    Raises ``OSError``, or ``ValueError`` for what is no descriptor.
    """
    while True:
        try:
            await trio.lowlevel.wait_readable(fd)
        except PermissionError:  # a regular file or /dev/null: epoll has no use for it
            await trio.lowlevel.checkpoint()
        try:
            return os.read(fd, size)
        except BlockingIOError:  # somebody who shares it was faster
            continue
