"""From a key press to its echo in a real pseudo-terminal, while messages come in."""

import os
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pexpect
import psutil

from fantom_trio.wire import Link, Role

__all__ = ["Echo", "beside_a_flood", "key_to_echo"]

#: Messages are sent in bursts this many times a second.
BURSTS = 100
#: Seconds of flood before memory is looked at: 10,000 messages are remembered.
WARM_UP = 4.0


@dataclass(frozen=True)
class Echo:
    """What a typist felt, in milliseconds, and how the program's memory went, in MiB."""

    median: float
    p99: float
    longest: float
    grown: float


def key_to_echo(keys: int, messages_a_second: int) -> Echo:
    """``keys`` key presses, from each to its echo, while a peer writes."""
    with running() as (program, port), flood(program, port, 40000, messages_a_second):
        _pass(program, WARM_UP)  # until the history is full, memory grows by what is remembered
        before = _memory(program)
        times = _press(program, keys)
        grown = _memory(program) - before
    p99 = statistics.quantiles(times, n=100)[98]
    return Echo(statistics.median(times), p99, max(times), grown)


def beside_a_flood(messages: int, messages_a_second: int) -> list[float]:
    """Milliseconds until a message of one peer is on the screen while another peer writes."""
    times = []
    with running() as (program, port), socket.create_connection(("::1", port)) as sock:
        link = _greet(sock, 40001)
        link.say("the first one makes the conversation, and is looked at")
        sock.sendall(link.data_to_send())
        program.expect(b"looked at", timeout=20)
        with flood(program, port, 40000, messages_a_second):
            for number in range(messages):
                text = f"message {number} beside the flood"
                start = time.perf_counter()
                link.say(text)
                sock.sendall(link.data_to_send())
                program.expect_exact(text.encode(), timeout=20)
                times.append(1000 * (time.perf_counter() - start))
                _pass(program, 0.1)
    return times


@contextmanager
def running() -> "Iterator[tuple[pexpect.spawn[bytes], int]]":
    """The program in a pseudo-terminal, and the port where it listens."""
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
            yield program, port
        finally:
            program.close(force=True)


@contextmanager
def flood(
    program: "pexpect.spawn[bytes]", port: int, client: int, messages_a_second: int
) -> Iterator[None]:
    """A peer who writes so much, from when its first message is on the screen."""
    stop = threading.Event()
    peer = threading.Thread(target=_flood, args=(port, client, messages_a_second, stop))
    peer.start()
    try:
        program.expect(b"connected to you", timeout=20)
        yield
    finally:
        stop.set()
        _drain(program, peer)


def _press(program: "pexpect.spawn[bytes]", keys: int) -> list[float]:
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
    return times


def _memory(program: "pexpect.spawn[bytes]") -> float:
    return float(psutil.Process(program.pid).memory_info().rss) / 2**20


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


def _flood(port: int, client: int, messages_a_second: int, stop: threading.Event) -> None:
    with socket.create_connection(("::1", port)) as sock:
        link = _greet(sock, client)
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


def _greet(sock: socket.socket, client: int) -> Link:
    """The handshake of a classic peer that says it listens on ``client``."""
    link = Link(Role.DIALER, f"::1:{client}".encode())
    sock.sendall(link.data_to_send())
    link.receive_data(sock.recv(2048))
    return link


def _free_port() -> int:
    with socket.socket(socket.AF_INET6) as sock:
        sock.bind(("::1", 0))
        port: int = sock.getsockname()[1]
        return port
