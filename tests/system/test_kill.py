"""Kill -9 at each step of the protocol and at random moments: what ``--once`` says is true.

Each case is two real processes, ``--once`` and ``--follow``, with a relay between them that counts
what passes. Either of the two is killed; nobody can clean up after that.
"""

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal

import pytest
import trio

from fantom_trio.nursery import Endpoint, Greeter, KeyPair, Limits, Piece, Receipt, deliver, dial
from tests.system.program import PATIENCE, PROGRAM, Program, following, running

FUZZING = os.environ.get("HYPOTHESIS_PROFILE") == "fuzz"
CASES = min(200, int(os.environ.get("FUZZ_EXAMPLES", "200"))) if FUZZING else 20
#: Cases in one test: no test may last longer than a hanging one.
BLOCK = 20
#: Pairs of processes at once: what one waits for, another computes.
AT_ONCE = 3
#: The longest text of one message.
PIECE_BYTES = 61_000

Side = Literal["sender", "receiver"]

#: A follower with a bug: it acknowledges first, and writes a second later.
HASTY = [
    sys.executable,
    "-c",
    """
import sys, time
from fantom_trio import cli, follow
open_node, write = follow.open_node, follow.write
def late(*arguments):
    time.sleep(1)
    write(*arguments)
follow.open_node = lambda **options: open_node(**{**options, "acknowledge": True})
follow.write = late
sys.exit(cli.main(sys.argv[1:]))
""",
]


@dataclass(frozen=True)
class Step:
    """When the line or frame of that number, from ``side``, has ``passed`` or is about to."""

    side: Side
    number: int
    passed: bool


@dataclass(frozen=True)
class Moment:
    """So many seconds after the start of ``--once``, or after its first byte."""

    seconds: float
    connected: bool


@dataclass(frozen=True)
class Case:
    number: int
    victim: Side
    #: None: nobody is killed.
    when: Step | Moment | None
    pieces: int = 2

    @property
    def texts(self) -> list[str]:
        """The messages that it takes."""
        pieces = [f"{self.number}.{piece} ".ljust(PIECE_BYTES, "x") for piece in range(self.pieces)]
        return [*pieces[:-1], pieces[-1][:20_000] + " end"]


@dataclass
class Outcome:
    """What was to be seen from outside."""

    case: Case
    #: Who was killed in time.
    dead: Side | None
    #: The exit code of ``--once``, and its stderr.
    code: int
    errors: str
    #: What the follower wrote.
    written: str
    #: Seconds from the start to the first byte, and from there to the end.
    times: tuple[float, float]

    def check(self) -> None:
        """Whatever happened, each message stands there once or not, and nobody was told wrong."""
        lines = [text + "\n" for text in self.case.texts]
        assert "".join(lines).startswith(self.written)
        if self.dead == "sender":
            return
        assert re.fullmatch(r"fantom-trio: [^\n]+\.\n", self.errors)
        if self.dead == "receiver":
            assert self.code in (0, 4, 5)
        else:
            assert self.code == 0
        if self.code == 0:
            assert self.written == "".join(lines), "it was not delivered"


class Relay:
    """Carries whole lines and frames both ways, and says before and after each that it does."""

    def __init__(self, there: Endpoint, passes: Callable[[Step], None]) -> None:
        self._there = there
        self._passes = passes
        self.connected = trio.Event()
        self.connected_at = 0.0

    async def serve(self, sender: trio.SocketStream) -> None:
        self.connected_at = self.connected_at or trio.current_time()
        self.connected.set()
        async with sender:
            with contextlib.suppress(OSError):  # the receiver is dead: so is this connection
                receiver = await trio.open_tcp_stream(self._there.host, self._there.port)
                async with receiver, trio.open_nursery() as nursery:
                    nursery.start_soon(self._carry, "receiver", receiver, sender, nursery)
                    await self._carry("sender", sender, receiver, nursery)

    async def _carry(
        self, side: Side, source: trio.SocketStream, sink: trio.SocketStream, both: trio.Nursery
    ) -> None:
        waiting, number = b"", 0
        try:
            while data := await source.receive_some():
                waiting += data
                while size := _size_of_first(waiting, number == 0):
                    step = Step(side, number, passed=False)
                    self._passes(step)
                    await sink.send_all(waiting[:size])
                    self._passes(replace(step, passed=True))
                    waiting, number = waiting[size:], number + 1
            await sink.send_all(waiting)
            await sink.send_eof()
        except trio.BrokenResourceError:
            both.cancel_scope.cancel()


def _size_of_first(data: bytes, line: bool) -> int:
    """How many bytes the line or frame at the beginning has; 0 while it is not complete."""
    size = data.find(b"\n") + 1 if line else 4 + int.from_bytes(data[:4], "big")
    return size if len(data) >= max(size, 4) else 0


async def play(case: Case, folder: Path, command: Sequence[str] = PROGRAM) -> Outcome:
    """Kill as ``case`` says; a follower that lives must serve others then."""
    file = folder / f"{case.number}"
    out = os.open(file, os.O_WRONLY | os.O_CREAT)
    programs: dict[Side, Program] = {}
    killed = False

    def kill() -> None:
        nonlocal killed
        programs[case.victim].process.send_signal(signal.SIGKILL)
        killed = True

    def passes(step: Step) -> None:
        if step == case.when and not killed:
            kill()

    async def kill_at(moment: Moment) -> None:
        if moment.connected:
            await relay.connected.wait()
        await trio.sleep(moment.seconds)
        kill()

    async with following(stdout=out, command=command) as (follower, there):
        os.close(out)
        relay = Relay(there, passes)
        async with trio.open_nursery() as nursery:
            (listener,) = await trio.open_tcp_listeners(0, host="::1")
            nursery.start_soon(trio.serve_listeners, relay.serve, [listener])
            where = f"[::1]:{listener.socket.getsockname()[1]}"
            begun = trio.current_time()
            async with running(
                "--once", where, "".join(case.texts), "--timeout", "20", stderr=subprocess.PIPE
            ) as once:
                programs |= {"sender": once, "receiver": follower}
                if isinstance(case.when, Moment):
                    nursery.start_soon(kill_at, case.when)
                code = await once.end()
                ended = trio.current_time()
                errors = await once.errors.rest()
            nursery.cancel_scope.cancel()
        dead: Side | None = "sender" if code == -signal.SIGKILL else None
        if killed and case.victim == "receiver":
            dead = "receiver"
        else:
            await say(there, "after")
            assert await follower.end(signal.SIGTERM) == 143
    written = file.read_text()
    if dead != "receiver":
        assert written.endswith("after\n")
        written = written.removesuffix("after\n")
    times = (relay.connected_at - begun, ended - relay.connected_at)
    return Outcome(case, dead, code, errors, written, times)


async def say(there: Endpoint, text: str) -> None:
    """Say it as a peer that nobody kills."""
    identity = KeyPair.generate()
    connection = await dial(there, Greeter(identity), own=None, own_port=31488, limits=Limits())
    waiting, receipt = [[Piece(text)]], Receipt()

    async def source() -> list[Piece]:
        return waiting.pop() if waiting else []

    await deliver(connection, source, receipt, seconds=PATIENCE, limits=Limits())
    identity.wipe()
    assert receipt.delivered == 1


def every_step() -> list[tuple[Side, Step]]:
    """Who is killed, and when: each step once before any comes a second time.

    What passes is from the sender its line, message 3, the stream's header, ``hello``, two ``say``
    and ``bye``, and from the receiver its line, the header, ``hello`` and the acknowledgement.
    """
    sides: tuple[Side, Side] = ("sender", "receiver")
    rng = random.Random(1)
    rounds: list[list[tuple[Side, Step]]] = [[], [], [], []]
    for side, count in zip(sides, (7, 4), strict=True):
        for number in range(count):
            ways = [(v, Step(side, number, p)) for v in sides for p in (False, True)]
            for each, way in zip(rounds, rng.sample(ways, 4), strict=True):
                each.insert(0, way)  # the last steps, in which the truth is decided, come first
    return [way for each in rounds for way in each]


def cases(count: int, start: float, talk: float) -> Iterator[Case]:
    """Three quarters steps, if there are so many, and the rest random moments.

    ``--once`` takes ``start`` seconds to its first byte and ``talk`` seconds from there, or longer
    while others run.
    """
    rng = random.Random(2)
    steps = every_step()[: count * 3 // 4]
    for number, (victim, step) in enumerate(steps):
        yield Case(number, victim, step)
    for number in range(len(steps), count):
        connected = rng.random() < 0.75
        moment = Moment(rng.uniform(0, 2 * talk if connected else start + talk), connected)
        yield Case(number, rng.choice(("sender", "receiver")), moment, rng.choice((1, 2)))


@pytest.mark.fuzz
@pytest.mark.parametrize("block", range(0, CASES, BLOCK))
async def test_once_never_exits_0_for_what_was_not_written_and_nothing_is_written_twice(
    block: int, tmp_path: Path
) -> None:
    whole = await play(Case(-1, "sender", None), tmp_path)
    whole.check()
    assert (whole.dead, whole.code) == (None, 0)
    outcomes: list[Outcome] = []
    at_once = trio.CapacityLimiter(AT_ONCE)

    async def check(case: Case) -> None:
        async with at_once:
            outcome = await play(case, tmp_path)
            outcomes.append(outcome)
            try:
                outcome.check()
            except AssertionError as error:
                raise AssertionError(f"{case}: {outcome.code} {outcome.errors!r}") from error

    async with trio.open_nursery() as nursery:
        for case in islice(cases(CASES, *whole.times), block, block + BLOCK):
            nursery.start_soon(check, case)
    # The cases do what they are for: whoever was to die at a step died.
    assert all(
        outcome.dead == outcome.case.victim
        for outcome in outcomes
        if isinstance(outcome.case.when, Step)
    )
    if block == 0:
        assert {5, -signal.SIGKILL} <= {outcome.code for outcome in outcomes}


async def test_a_follower_that_acknowledges_before_it_writes_is_found_out(tmp_path: Path) -> None:
    case = Case(0, "receiver", Step("receiver", 3, passed=True), pieces=1)
    honest = await play(case, tmp_path)
    assert (honest.dead, honest.code) == ("receiver", 0)
    honest.check()
    hasty = await play(replace(case, number=1), tmp_path, HASTY)
    assert (hasty.dead, hasty.code) == ("receiver", 0)
    with pytest.raises(AssertionError, match="it was not delivered"):
        hasty.check()
