"""What a row is, how it is measured, and how it is printed."""

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field

__all__ = ["Benchmark", "Goal", "Measured", "Row", "Spread", "lines", "measured"]

#: One figure for each row that it measures.
Measure = Callable[[], Sequence[float]]


@dataclass(frozen=True)
class Goal:
    """What a row is to reach, by its median; ``of_limit`` and ``beyond`` by its first limit."""

    at_least: float | None = None
    at_most: float | None = None
    of_limit: float | None = None
    #: So much more than the limit at most, in the row's own unit.
    beyond: float | None = None

    def __str__(self) -> str:
        parts = {
            "at least {:,g}": self.at_least,
            "at most {:,g}": self.at_most,
            "{:g} of the limit": self.of_limit,
            "the limit + {:g}": self.beyond,
        }
        return ", ".join(text.format(n) for text, n in parts.items() if n is not None)

    def reached(self, figure: float, ratio: float | None, limit: float | None) -> bool:
        """``figure``, ``ratio`` and ``limit`` are medians."""
        return (
            (self.at_least is None or figure >= self.at_least)
            and (self.at_most is None or figure <= self.at_most)
            and (self.of_limit is None or (ratio is not None and ratio >= self.of_limit))
            and (self.beyond is None or (limit is not None and figure <= limit + self.beyond))
        )


@dataclass(frozen=True)
class Row:
    """One line of the table; ``more_is_better`` is false for a time or a size."""

    name: str
    unit: str
    more_is_better: bool = True
    goal: Goal = Goal()


@dataclass(frozen=True)
class Benchmark:
    """What is measured in one go, beside what limits it; the first limit is the one of the goal."""

    name: str
    rows: Sequence[Row]
    measure: Measure
    limits: Mapping[str, Measure] = field(default_factory=dict)


@dataclass(frozen=True)
class Spread:
    """Of all runs."""

    min: float
    median: float
    max: float

    @classmethod
    def of(cls, figures: Sequence[float]) -> "Spread":
        """At least one."""
        return cls(min(figures), statistics.median(figures), max(figures))


@dataclass(frozen=True)
class Measured:
    """A row's figures, and for each limit what it was and the ratio in each run."""

    benchmark: str
    row: Row
    figures: Spread
    limits: Mapping[str, Spread]
    ratios: Mapping[str, Spread]

    @property
    def reached(self) -> bool | None:
        """None where there is no goal."""
        if not str(self.row.goal):
            return None
        limit = next(iter(self.limits.values()), None)
        ratio = next(iter(self.ratios.values()), None)
        return self.row.goal.reached(
            self.figures.median,
            None if ratio is None else ratio.median,
            None if limit is None else limit.median,
        )

    def as_json(self) -> dict[str, object]:
        """What ``--json`` prints for the row."""
        limits = {
            name: {"figures": asdict(each), "ratio": asdict(self.ratios[name])}
            for name, each in self.limits.items()
        }
        return {
            "benchmark": self.benchmark, "row": self.row.name, "unit": self.row.unit,
            "more is better": self.row.more_is_better, "figures": asdict(self.figures),
            "limits": limits, "goal": str(self.row.goal) or None, "reached": self.reached,
        }  # fmt: skip


def measured(benchmark: Benchmark, runs: int) -> list[Measured]:
    """``runs`` times what we reach and what each limit is, in turn."""
    reached: list[Sequence[float]] = []
    limits: dict[str, list[Sequence[float]]] = {name: [] for name in benchmark.limits}
    for _ in range(runs):
        reached.append(benchmark.measure())
        for name, limit in benchmark.limits.items():
            limits[name].append(limit())
    table = []
    for at, row in enumerate(benchmark.rows):
        figures = [run[at] for run in reached]
        of_row = {name: [run[at] for run in each] for name, each in limits.items()}
        ratios = {
            name: Spread.of([_ratio(*pair) for pair in zip(figures, each, strict=True)])
            for name, each in of_row.items()
        }
        spreads = {name: Spread.of(each) for name, each in of_row.items()}
        table.append(Measured(benchmark.name, row, Spread.of(figures), spreads, ratios))
    return table


def _ratio(figure: float, limit: float) -> float:
    return figure / limit if limit else math.inf


_HEAD = f"{'':54}{'min':>10}{'median':>11}{'max':>11}"


def lines(table: Sequence[Measured]) -> Iterator[str]:
    """For people: each row, and below it its limits with the ratio to each."""
    yield f"{_HEAD}  unit{'':10}to reach"
    for each in table:
        mark = {None: "", True: ": reached", False: ": missed"}[each.reached]
        spread = _spread(each.figures)
        yield f"{each.row.name:54}{spread}  {each.row.unit:12}  {each.row.goal}{mark}".rstrip()
        for name, limit in each.limits.items():
            ratio = each.ratios[name]
            of = f"{ratio.median:.2f} ({ratio.min:.2f} to {ratio.max:.2f})"
            if each.row.goal.beyond is not None:
                of += f", {each.figures.median - limit.median:+,.0f} {each.row.unit}"
            yield f"{'    ' + name:54}{_spread(limit)}  {'ratio to it':12}  {of}"


def _spread(spread: Spread) -> str:
    digits = 0 if spread.median >= 1000 else 1 if spread.median >= 10 else 3
    return "".join(
        f"{number:>{width},.{digits}f}"
        for number, width in ((spread.min, 10), (spread.median, 11), (spread.max, 11))
    )
