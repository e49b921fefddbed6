"""The address service: a TLS server on ``::1`` that answers whatever a test says."""

import gc
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio
import trustme

Handler = Callable[[trio.abc.Stream], Awaitable[None]]


@dataclass
class Service:
    """Where it is, and what it was asked so far."""

    port: int
    connected: trio.Event = field(default_factory=trio.Event)
    hung_up: trio.Event = field(default_factory=trio.Event)
    requests: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/"


class Names(trio.abc.HostnameResolver):
    """The only names there are; nothing is looked up outside."""

    def __init__(self, **addresses: Sequence[str]) -> None:
        self.addresses = addresses

    async def getaddrinfo(  # type: ignore[override]
        self,
        host: bytes,
        port: int,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> list[tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int]]]:
        await trio.lowlevel.checkpoint()
        found = self.addresses.get(host.decode("ascii"))
        if found is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))
            if ":" in address
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in found
        ]

    async def getnameinfo(self, sockaddr: object, flags: int) -> tuple[str, str]:
        raise NotImplementedError


def server_context(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


@asynccontextmanager
async def serving(
    tls: ssl.SSLContext | None, answer: bytes | Handler, names: Names | None = None
) -> AsyncIterator[Service]:
    """Serves on ::1 until the block ends; without ``tls`` the answer goes out in the clear."""
    [listener] = await trio.open_tcp_listeners(0, host="::1")
    service = Service(listener.socket.getsockname()[1])
    trio.socket.set_custom_hostname_resolver(names or Names(localhost=["::1"]))

    async def handle(raw: trio.SocketStream) -> None:
        stream = trio.SSLStream(raw, tls, server_side=True, https_compatible=True) if tls else raw
        try:
            if callable(answer):
                service.connected.set()
                await answer(stream)
                return
            request = b""
            while not request.endswith(b"\r\n\r\n"):
                if not (data := await stream.receive_some()):
                    return
                request += data
            service.requests.append(request)
            service.connected.set()
            await stream.send_all(answer)
        except trio.BrokenResourceError:
            pass
        finally:
            service.hung_up.set()
            await trio.aclose_forcefully(stream)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, handle, [listener])
        yield service
        nursery.cancel_scope.cancel()
    gc.collect()  # a socket left open warns here, in the test that left it


def http(body: bytes | str, status: str = "200 OK", *headers: str) -> bytes:
    content = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(content)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + content


async def mute(stream: trio.abc.Stream) -> None:
    await trio.sleep_forever()
