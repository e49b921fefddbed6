"""From a key press to its echo in a real pseudo-terminal, while messages come in."""

import os
import socket
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import pexpect

from fantom_trio.wire import Link, Role

__all__ = ["key_to_echo"]

#: Messages are sent in bursts this many times a second.
BURSTS = 100


def key_to_echo(keys: int, messages_a_second: int) -> tuple[float, float]:
    """Median and 99th percentile of ``keys`` key presses, in milliseconds."""
    port = _free_port()
    with tempfile.TemporaryDirectory() as home:
        program: pexpect.spawn[bytes] = pexpect.spawn(
            sys.executable,
            ["-m", "fantom_trio", "--loopback", "--port", str(port)],
            env={**os.environ, "TERM": "xterm", "XDG_CONFIG_HOME": home, "LC_ALL": "C.UTF-8",
                 "PYTHONPATH": str(Path(__file__).parents[1])},
            dimensions=(40, 120),
        )  # fmt: skip
        program.delaybeforesend = None
        try:
            program.expect_exact(f"Listening on [::1]:{port}".encode(), timeout=20)
            stop = threading.Event()
            peer = threading.Thread(target=_flood, args=(port, messages_a_second, stop))
            peer.start()
            try:
                return _press(program, keys)
            finally:
                stop.set()
                _drain(program, peer)
        finally:
            program.close(force=True)


def _press(program: "pexpect.spawn[bytes]", keys: int) -> tuple[float, float]:
    program.expect(b"connected to you", timeout=20)
    times = []
    for number in range(keys):
        key = chr(0x4E00 + number).encode()  # each its own, so that its echo is told from others
        start = time.perf_counter()
        program.send(key)
        program.expect_exact(key, timeout=20)
        times.append(1000 * (time.perf_counter() - start))
        if number % 20 == 19:
            program.send(b"\x03")  # Ctrl-C: the line stays short
        _pass(program, 0.02)
    return statistics.median(times), statistics.quantiles(times, n=100)[98]


def _pass(program: "pexpect.spawn[bytes]", seconds: float) -> None:
    """Let time go by as a typist does, and read what is printed meanwhile."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        try:
            program.read_nonblocking(1 << 16, timeout=left)
        except pexpect.TIMEOUT:
            return


def _drain(program: "pexpect.spawn[bytes]", peer: threading.Thread) -> None:
    while peer.is_alive():
        _pass(program, 0.05)


def _flood(port: int, messages_a_second: int, stop: threading.Event) -> None:
    link = Link(Role.DIALER, b"::1:40000")
    with socket.create_connection(("::1", port)) as sock:
        sock.sendall(link.data_to_send())
        link.receive_data(sock.recv(2048))
        start, sent = time.monotonic(), 0
        link.say("the first one makes the conversation")
        while not stop.is_set():
            due = int((time.monotonic() - start) * messages_a_second)
            for number in range(sent, due):
                link.say(f"message {number} of many, as long as a line in a chat is")
            sent = max(sent, due)
            if data := link.data_to_send():
                sock.sendall(data)
            time.sleep(1 / BURSTS)


def _free_port() -> int:
    with socket.socket(socket.AF_INET6) as sock:
        sock.bind(("::1", 0))
        port: int = sock.getsockname()[1]
        return port
