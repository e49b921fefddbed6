"""The benchmarks measure what they say: each runs here with a little, and its figure is sane."""

from collections.abc import Callable, Sequence

import pytest

from benchmarks import growth, handshakes, limits, memory, native, receive, start
from benchmarks.rows import BENCHMARKS, chosen
from benchmarks.table import Benchmark, Goal, Row, lines, measured


@pytest.mark.parametrize(
    "measure",
    [
        lambda: receive.received(100, 2_000),
        lambda: native.acknowledged(100, 200),
        lambda: handshakes.both_ours(handshakes.classic, 16, 1),
        lambda: handshakes.both_ours(handshakes.native, 16, 8),
        lambda: handshakes.raw_dialer(16, 8),
        lambda: limits.opened(100, 100),
        lambda: limits.streamed(1_024, 100),
        lambda: limits.carried(10_000, 200),
        lambda: limits.greeted(limits.NATIVE_LINES, 10),
        lambda: 1 / limits.classic_keys(10),
        lambda: 1 / max(limits.native_keys(10)),
    ],
)  # fmt: skip
def test_a_rate_is_one_that_a_machine_can_have(measure: Callable[[], float]) -> None:
    assert 10 < measure() < 100_000_000


def test_the_program_starts_no_sooner_than_what_it_imports() -> None:
    assert 10 < start.bare_once() < 10_000
    assert start.once() > 10
    assert 10 < start.bare_repl() < 10_000
    assert start.prompt_without_network() > 10


def test_the_idle_program_uses_less_than_a_core() -> None:
    assert 0 <= start.idle(2, 0.5, settle=0.5) < 100


def test_memory_is_looked_at_between_connections() -> None:
    assert len(memory.per_connection(60, 70)) == 2
    assert 0 < memory.resident([1, 2], bare=True)[0] < 1_000_000


def test_growth_has_a_line_for_each_number() -> None:
    (one, two) = growth.connections((1, 3), idle=0.1, messages=50)
    assert (one[0], two[0]) == (1, 3)
    assert all(figure > 0 for line in (one, two) for figure in line[:4])
    assert [line[1] for line in growth.history((10, 20_000))] == [10, 10_000]
    ((length, classic, _, both, _),) = growth.sizes((1_000,), total=300_000, most=1_000)
    assert length == 1_000
    assert min(classic, both) > 0


def test_a_row_stands_beside_its_limits_in_the_same_run() -> None:
    figures = iter([1.0, 3.0, 2.0])
    limit = iter([2.0, 3.0, 8.0])
    benchmark = Benchmark(
        "some", [Row("a row", "MB/s", goal=Goal(at_least=2, of_limit=0.6))],
        lambda: [next(figures)], {"a limit": lambda: [next(limit)]},
    )  # fmt: skip
    (row,) = measured(benchmark, 3)
    assert (row.figures.min, row.figures.median, row.figures.max) == (1, 2, 3)
    ratio = row.ratios["a limit"]
    assert (ratio.min, ratio.median, ratio.max) == (0.25, 0.5, 1)
    assert row.reached is False
    assert any("0.6 of the limit: missed" in line for line in lines([row]))
    assert row.as_json()["goal"] == "at least 2, 0.6 of the limit"


@pytest.mark.parametrize(
    ("goal", "figure", "limit", "reached"),
    [
        (Goal(at_least=2), 2, None, True),
        (Goal(at_most=2), 2.1, None, False),
        (Goal(of_limit=0.5), 4, 8, True),
        (Goal(of_limit=0.5), 4, None, False),
        (Goal(beyond=80), 180, 100, True),
        (Goal(beyond=80), 181, 100, False),
    ],
)
def test_a_goal_is_reached_or_missed(
    goal: Goal, figure: float, limit: float | None, reached: bool
) -> None:
    assert goal.reached(figure, None if limit is None else figure / limit, limit) is reached


def test_rows_are_chosen_by_how_their_names_begin() -> None:
    def names(*which: str) -> Sequence[str]:
        return [each.name for each in chosen(which)]

    assert names() == [each.name for each in BENCHMARKS]
    assert names("classic") == ["classic-100", "classic-60000"]
    with pytest.raises(KeyError):
        chosen(["nothing"])
    starts = [each.name for each in BENCHMARKS if names(each.name) != [each.name]]
    assert not starts, "each can be measured alone"
