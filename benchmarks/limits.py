"""What nothing can be faster than: the kernel and libsodium alone, on the same bytes.

libsodium is called here without anything of ours between, from one warm buffer to another.
"""

import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from nacl._sodium import ffi, lib

from benchmarks.processes import OURS, Other, on

__all__ = [
    "CLASSIC_LINES",
    "NATIVE_LINES",
    "carried",
    "classic_keys",
    "greeted",
    "native_keys",
    "opened",
    "seconds_each",
    "streamed",
]

#: Each way of a classic handshake, bytes: the word, 32 bytes in base64, a newline.
CLASSIC_LINES = (55, 59)
#: Of a native one, as the dialer and the listener write it: lines, messages, headers, ``hello``.
NATIVE_LINES = (58, 1_726, 2_229, 1_073)


def seconds_each(action: Callable[[], object], count: int) -> float:
    """What one ``action`` of ``count`` takes, on the core of whoever measures."""
    with on(OURS):
        start = time.perf_counter()
        for _ in range(count):
            action()
        return (time.perf_counter() - start) / count


def opened(size: int, count: int) -> float:
    """Boxes of ``size`` bytes of text that ``crypto_secretbox_open_easy`` opens in a second."""
    key, nonce, text = bytes(32), bytes(24), ffi.new("unsigned char[]", size)
    box = ffi.new("unsigned char[]", size + 16)
    lib.crypto_secretbox_easy(box, text, size, nonce, key)
    length, call = size + 16, lib.crypto_secretbox_open_easy
    assert call(text, box, length, nonce, key) == 0
    return 1 / seconds_each(lambda: call(text, box, length, nonce, key), count)


def streamed(size: int, count: int) -> float:
    """Messages of ``size`` bytes a second through ``crypto_secretstream``, one end to a core."""
    state, key, header = (ffi.new("unsigned char[]", each) for each in (52, 32, 24))
    lib.crypto_secretstream_xchacha20poly1305_init_push(state, header, key)
    text, sealed = ffi.new("unsigned char[]", size), ffi.new("unsigned char[]", size + 17)
    first, start = ffi.new("unsigned char[]", size + 17), ffi.new("unsigned char[]", 52)
    null, rekey = ffi.NULL, 2
    ffi.memmove(start, state, 52)
    push = lib.crypto_secretstream_xchacha20poly1305_push
    pull = lib.crypto_secretstream_xchacha20poly1305_pull
    push(state, first, null, text, size, null, 0, rekey)
    pushing = seconds_each(lambda: push(state, sealed, null, text, size, null, 0, rekey), count)
    length = size + 17

    def pull_first() -> None:
        ffi.memmove(state, start, 52)
        pull(state, text, null, null, first, length, null, 0)

    pulling = seconds_each(pull_first, count)
    return 1 / max(pushing, pulling)


def carried(size: int, count: int) -> float:
    """Messages of ``size`` bytes a second over loopback TCP, written and read as blocks."""
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        port = server.getsockname()[1]
        with on(OURS), Other("limits", "write", port, size * count):
            sock, _ = server.accept()
            with sock:
                room = bytearray(256 * 1024)
                first = sock.recv_into(room)
                got, start = 0, time.perf_counter()
                while read := sock.recv_into(room):
                    got += read
                seconds = time.perf_counter() - start
    assert first + got == size * count
    return got / size / seconds


def _write(port: int, size: int) -> None:
    block = bytes(256 * 1024)
    with socket.create_connection(("::1", port)) as sock:
        while size > 0:
            sock.sendall(block[:size] if size < len(block) else block)
            size -= len(block)


def greeted(sizes: tuple[int, ...], count: int, at_once: int = 1) -> float:
    """Connections a second that are made, say as many bytes in turn, and are closed.

    ``at_once``: so many are begun before the first of them is answered.
    """
    with Other("limits", "answer", *sizes) as other:
        port = other.hear()

        def greet() -> None:
            begun = [socket.create_connection(("::1", port)) for _ in range(at_once)]
            for sock in begun:
                sock.sendall(bytes(sizes[0]))
            for sock in begun:
                with sock:
                    _turns(sock, sizes[1:], mine=False)

        return at_once / seconds_each(greet, max(1, count // at_once))


def _answer(sizes: Sequence[int]) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        print(server.getsockname()[1], flush=True)
        while True:
            sock, _ = server.accept()
            with sock:
                _turns(sock, sizes, mine=False)


def _turns(sock: socket.socket, sizes: Sequence[int], *, mine: bool) -> None:
    """Say so many bytes and hear so many, in turn."""
    for size in sizes:
        if mine:
            sock.sendall(bytes(size))
        else:
            left = size
            while left > 0:
                left -= len(sock.recv(left))
        mine = not mine


def classic_keys(count: int) -> float:
    """Seconds of the public-key operations of one side of a classic handshake."""
    public, private = ffi.new("unsigned char[]", 32), b"\1" * 32
    receive, send = ffi.new("unsigned char[]", 32), ffi.new("unsigned char[]", 32)
    lib.crypto_scalarmult_base(public, private)
    base, keys = lib.crypto_scalarmult_base, lib.crypto_kx_client_session_keys
    peer = bytes(ffi.buffer(public))
    return seconds_each(lambda: base(public, private), count) + seconds_each(
        lambda: keys(receive, send, public, private, peer), count
    )


def native_keys(count: int) -> tuple[float, float]:
    """Seconds of the public-key operations of a native handshake: the dialer's, the listener's."""
    public, private = ffi.new("unsigned char[]", 32), b"\1" * 32
    base, multiply = lib.crypto_scalarmult_base, lib.crypto_scalarmult
    base(public, private)
    peer, shared = bytes(ffi.buffer(public)), ffi.new("unsigned char[]", 32)
    pair = MLKEM768PrivateKey.generate()
    kem_public = pair.public_key().public_bytes_raw()
    _, ciphertext = pair.public_key().encapsulate()
    x25519 = seconds_each(lambda: base(public, private), count)
    x25519 += 3 * seconds_each(lambda: multiply(shared, private, peer), count)
    dialer = seconds_each(
        lambda: MLKEM768PublicKey.from_public_bytes(kem_public).encapsulate(), count
    )
    listener = seconds_each(
        lambda: MLKEM768PrivateKey.generate().public_key().public_bytes_raw(), count
    ) + seconds_each(lambda: pair.decapsulate(ciphertext), count)
    return x25519 + dialer, x25519 + listener


if __name__ == "__main__":
    what, *numbers = sys.argv[1:]
    if what == "write":
        _write(*map(int, numbers))
    else:
        threading.Thread(target=_answer, args=(list(map(int, numbers)),), daemon=True).start()
        sys.stdin.read()
