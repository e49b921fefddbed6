"""The listener's socket, and why there is none."""

import errno
import os
import socket
import sys

from fantom_trio.nursery.connection import index_of
from fantom_trio.wire import Endpoint

__all__ = ["ListenError", "listening_socket"]


class ListenError(Exception):
    """The listener could not start: the port is in use, the address is not ours, or ``detail``."""

    def __init__(self, endpoint: Endpoint, error: OSError) -> None:
        # Python gives an unknown interface no number.
        number = error.errno or errno.ENODEV
        self.endpoint = endpoint
        self.in_use = number == errno.EADDRINUSE
        self.no_such_address = number in (
            errno.EADDRNOTAVAIL,
            errno.EAFNOSUPPORT,  # a kernel without IPv6
            errno.ENODEV,
        ) or (number == errno.EINVAL and endpoint.is_link_local)
        self.detail = os.strerror(number)
        super().__init__(f"cannot listen on {endpoint}: {self.detail}")


def listening_socket(endpoint: Endpoint) -> socket.socket:
    """A socket that listens, non-blocking; raises ``ListenError``."""
    try:
        sock = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    except OSError as error:
        raise ListenError(endpoint, error) from None
    try:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if sys.platform == "win32":  # pragma: no cover
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:  # a restart need not wait for old connections to time out
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        index = index_of(endpoint.zone) if endpoint.zone else 0
        sock.bind((endpoint.host, endpoint.port, 0, index))
        sock.listen(128)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise ListenError(endpoint, error) from None
    return sock
