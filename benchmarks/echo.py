"""From a key press to its echo in a real pseudo-terminal, while messages come in."""

import socket
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pexpect
import psutil

from benchmarks.receive import greet
from benchmarks.start import free_port, in_a_terminal, pass_time

__all__ = ["Echo", "beside_a_flood", "grown", "key_to_echo"]

#: Messages are sent in bursts this many times a second.
BURSTS = 100
#: Seconds of flood before memory is looked at: 10,000 messages are remembered.
WARM_UP = 4.0


@dataclass(frozen=True)
class Echo:
    """What a typist felt, in milliseconds."""

    median: float
    p99: float
    longest: float


def key_to_echo(keys: int, messages_a_second: int) -> Echo:
    """``keys`` key presses, from each to its echo, while a peer writes."""
    with running() as (program, port), flood(program, port, 40000, messages_a_second):
        _answer(program)
        pass_time(program, WARM_UP)
        times = _press(program, keys)
    p99 = statistics.quantiles(times, n=100)[98]
    return Echo(statistics.median(times), p99, max(times))


def grown(seconds: float, messages_a_second: int) -> float:
    """MiB that the program gained in that time, while a peer writes."""
    with running() as (program, port), flood(program, port, 40000, messages_a_second):
        _answer(program)
        pass_time(program, WARM_UP)  # until the history is full, memory grows by what it holds
        before = _memory(program)
        pass_time(program, seconds)
        return _memory(program) - before


def beside_a_flood(messages: int, messages_a_second: int) -> list[float]:
    """Milliseconds until a message of one peer is on the screen while another peer writes."""
    times = []
    with running() as (program, port), socket.create_connection(("::1", port)) as sock:
        link = greet(sock, 40001)
        link.say("the first one makes the conversation, and is looked at")
        sock.sendall(link.data_to_send())
        program.expect(b"connected to you", timeout=20)
        _answer(program)
        program.expect(b"looked at", timeout=20)
        with flood(program, port, 40000, messages_a_second):
            for number in range(messages):
                text = f"message {number} beside the flood"
                start = time.perf_counter()
                link.say(text)
                sock.sendall(link.data_to_send())
                program.expect_exact(text.encode(), timeout=20)
                times.append(1000 * (time.perf_counter() - start))
                pass_time(program, 0.1)
    return times


@contextmanager
def running() -> "Iterator[tuple[pexpect.spawn[bytes], int]]":
    """The program in a pseudo-terminal, and the port where it listens."""
    port = free_port()
    with in_a_terminal("-m", "fantom_trio", "--loopback", "--port", str(port)) as program:
        program.expect_exact(f"Listening on [::1]:{port}".encode(), timeout=20)
        yield program, port


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


def _answer(program: "pexpect.spawn[bytes]") -> None:
    """Make the first who came active: what that one writes is printed."""
    program.send(b"/switch 1\r")
    program.expect_exact("──".encode(), timeout=20)  # the rule above what it wrote


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
        pass_time(program, 0.02)
    return times


def _memory(program: "pexpect.spawn[bytes]") -> float:
    return float(psutil.Process(program.pid).memory_info().rss) / 2**20


def _drain(program: "pexpect.spawn[bytes]", peer: threading.Thread) -> None:
    while peer.is_alive():
        pass_time(program, 0.05)


def _flood(port: int, client: int, messages_a_second: int, stop: threading.Event) -> None:
    with socket.create_connection(("::1", port)) as sock:
        link = greet(sock, client)
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
