"""Every row of the table, with what it is to reach."""

import statistics
from collections.abc import Callable, Sequence

from benchmarks import echo, handshakes, limits, memory, native, receive, start
from benchmarks.table import Benchmark, Goal, Row

__all__ = ["BENCHMARKS", "chosen"]

#: What our frames of 100 bytes of text take on the wire: classic, native.
CLASSIC_FRAME, NATIVE_FRAME = 154, 1_045
#: And those of 60,000 bytes.
LONG_CLASSIC_FRAME, LONG_NATIVE_FRAME = 60_054, 61_461
#: The padded records in the native ones.
NATIVE_RECORD, LONG_NATIVE_RECORD = 1_024, 61_440
LONG = 0.06  # MB of a long text


def _one(measure: Callable[[], float], factor: float = 1) -> Callable[[], Sequence[float]]:
    return lambda: (factor * measure(),)


def _classic_keys(sides: int) -> Callable[[], Sequence[float]]:
    """Handshakes a second; ``sides`` of them on one core, or in turn."""
    return lambda: (1 / (sides * limits.classic_keys(2_000)),)


def _native_keys(together: Callable[[tuple[float, float]], float]) -> Callable[[], Sequence[float]]:
    return lambda: (1 / together(limits.native_keys(500)),)


def _echo(keys: int, messages_a_second: int) -> Callable[[], Sequence[float]]:
    def measure() -> Sequence[float]:
        felt = echo.key_to_echo(keys, messages_a_second)
        return felt.median, felt.p99, felt.longest

    return measure


def _beside(messages_a_second: int) -> Callable[[], Sequence[float]]:
    def measure() -> Sequence[float]:
        times = echo.beside_a_flood(20, messages_a_second)
        return statistics.median(times), max(times)

    return measure


def _raw(sizes: tuple[int, ...], at_once: int) -> dict[str, Callable[[], Sequence[float]]]:
    return {"raw TCP, as many bytes": _one(lambda: limits.greeted(sizes, 1_000, at_once))}


_RAW_1, _RAW_8 = _raw(limits.CLASSIC_LINES, 1), _raw(limits.CLASSIC_LINES, 8)
_RAW_NATIVE_1, _RAW_NATIVE_8 = _raw(limits.NATIVE_LINES, 1), _raw(limits.NATIVE_LINES, 8)

BENCHMARKS = (
    Benchmark(
        "classic-100",
        [Row("classic, received, 100 bytes", "messages/s", goal=Goal(at_least=220_000))],
        _one(lambda: receive.received(100, 200_000)),
        {
            "libsodium alone": _one(lambda: limits.opened(100, 300_000)),
            "raw TCP": _one(lambda: limits.carried(CLASSIC_FRAME, 2_000_000)),
        },
    ),
    Benchmark(
        "classic-60000",
        [Row("classic, received, 60,000 bytes", "MB/s", goal=Goal(at_least=700, of_limit=0.5))],
        _one(lambda: receive.received(60_000, 5_000), LONG),
        {
            "libsodium alone": _one(lambda: limits.opened(60_000, 10_000), LONG),
            "raw TCP": _one(lambda: limits.carried(LONG_CLASSIC_FRAME, 10_000), LONG),
        },
    ),
    Benchmark(
        "native-100",
        [Row("native, sent and acknowledged, 100 bytes", "messages/s", goal=Goal(at_least=1e5))],
        _one(lambda: native.acknowledged(100, 50_000)),
        {
            "libsodium alone": _one(lambda: limits.streamed(NATIVE_RECORD, 100_000)),
            "raw TCP": _one(lambda: limits.carried(NATIVE_FRAME, 500_000)),
        },
    ),
    Benchmark(
        "native-60000",
        [Row("native, sent and acknowledged, 60,000 bytes", "MB/s", goal=Goal(of_limit=0.5))],
        _one(lambda: native.acknowledged(60_000, 3_000), LONG),
        {
            "libsodium alone": _one(lambda: limits.streamed(LONG_NATIVE_RECORD, 10_000), LONG),
            "raw TCP": _one(lambda: limits.carried(LONG_NATIVE_FRAME, 10_000), LONG),
        },
    ),
    Benchmark(
        "handshake-classic-1",
        [Row("classic handshakes, both ends ours, one by one", "a second",
             goal=Goal(at_least=1_500))],
        _one(lambda: handshakes.both_ours(handshakes.classic, 1_000, 1)),
        {**_RAW_1, "libsodium alone, one end after the other": _classic_keys(2)},
    ),
    Benchmark(
        "handshake-classic-8",
        [Row("classic handshakes, both ends ours, 8 at a time", "a second",
             goal=Goal(at_least=2_500))],
        _one(lambda: handshakes.both_ours(handshakes.classic, 2_000, 8)),
        {**_RAW_8, "libsodium alone, one end": _classic_keys(1)},
    ),
    Benchmark(
        "handshake-listener-1",
        [Row("classic handshakes, raw dialer, one by one", "a second", goal=Goal(at_least=2_900))],
        _one(lambda: handshakes.raw_dialer(2_000, 1)),
        {**_RAW_1, "libsodium alone, one end": _classic_keys(1)},
    ),
    Benchmark(
        "handshake-listener-8",
        [Row("classic handshakes, raw dialer, 8 at a time", "a second", goal=Goal(at_least=2_900))],
        _one(lambda: handshakes.raw_dialer(3_000, 8)),
        {**_RAW_8, "libsodium alone, one end": _classic_keys(1)},
    ),
    Benchmark(
        "handshake-native-1",
        [Row("native handshakes, both ends ours, one by one", "a second", goal=Goal(at_least=600))],
        _one(lambda: handshakes.both_ours(handshakes.native, 400, 1)),
        {**_RAW_NATIVE_1, "X25519 and ML-KEM alone, one end after the other": _native_keys(sum)},
    ),
    Benchmark(
        "handshake-native-8",
        [Row("native handshakes, both ends ours, 8 at a time", "a second",
             goal=Goal(at_least=1_200))],
        _one(lambda: handshakes.both_ours(handshakes.native, 800, 8)),
        {**_RAW_NATIVE_8, "X25519 and ML-KEM alone, the slower end": _native_keys(max)},
    ),
    Benchmark(
        "memory",
        [
            Row("memory per idle native connection, the first 1,000", "KiB", False,
                Goal(at_most=24)),
            Row("the same, from the 4,000th to the 5,000th", "KiB", False, Goal(at_most=24)),
        ],
        lambda: memory.per_connection(1_000, 4_000, 5_000)[::2],
        {"a task and a socket of Trio's":
            lambda: memory.per_connection(1_000, 4_000, 5_000, bare=True)[::2]},
    ),
    Benchmark(
        "once",
        [Row("--once on ::1, start to exit 0", "ms", False, Goal(beyond=80))],
        _one(start.once),
        {f"python -c '{start.ONCE_NEEDS}'": _one(start.bare_once)},
    ),
    Benchmark(
        "repl-start",
        [Row("REPL, start to usable prompt", "ms", False, Goal(beyond=100))],
        _one(start.prompt),
        {start.REPL_NEEDS: _one(start.bare_repl)},
    ),
    Benchmark(
        "repl-silence",
        [Row("the same, and who is asked for our address is silent", "ms", False,
             Goal(beyond=100))],
        _one(start.prompt_without_network),
        {start.REPL_NEEDS: _one(start.bare_repl)},
    ),
    Benchmark(
        "idle",
        [Row("idle REPL with 10 peers", "% of a core", False, Goal(at_most=0.1))],
        _one(lambda: start.idle(10, 30)),
        {"the same without peers": _one(lambda: start.idle(0, 30))},
    ),
    Benchmark(
        "echo",
        [
            Row(f"key to echo at 5,000 messages/s, {which}", "ms", False)
            for which in ("median", "p99", "longest")
        ],
        _echo(200, 5_000),
        {"the same with nothing coming in": _echo(100, 0)},
    ),
    Benchmark(
        "grown",
        [Row("memory gained at 5,000 messages/s in 10 s", "MiB", False)],
        lambda: (echo.grown(10, 5_000),),
    ),
    Benchmark(
        "beside",
        [
            Row(f"another peer's message on the screen, {which}", "ms", False)
            for which in ("median", "longest")
        ],
        _beside(5_000),
        {"the same with nothing coming in": _beside(0)},
    ),
)  # fmt: skip


def chosen(names: Sequence[str]) -> list[Benchmark]:
    """Those whose name begins with one of ``names``, all without any; raises ``KeyError``."""
    for name in names:
        if not any(each.name.startswith(name) for each in BENCHMARKS):
            raise KeyError(name)
    return [each for each in BENCHMARKS if not names or each.name.startswith(tuple(names))]
