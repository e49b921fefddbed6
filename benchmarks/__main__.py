"""``make bench``: the table."""

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Sequence

from benchmarks.echo import beside_a_flood, key_to_echo
from benchmarks.receive import received, unsealed

RUNS = 5


def row(
    name: str, unit: str, reached: Sequence[float], limits: Sequence[float] = ()
) -> dict[str, object]:
    """One row: what was reached in each run, beside the limit in the same run, if it has one."""
    ratios = [one / other for one, other in zip(reached, limits, strict=False)]
    return {
        "row": name, "unit": unit,
        "min": min(reached), "median": statistics.median(reached), "max": max(reached),
        "of limit": statistics.median(ratios) if ratios else None,
    }  # fmt: skip


def rate(
    name: str, measure: Callable[[], float], limit: Callable[[], float], unit: str
) -> dict[str, object]:
    """A row of ``RUNS`` pairs: what we reach and what the limit is, in turn."""
    pairs = [(measure(), limit()) for _ in range(RUNS)]
    return row(name, unit, *zip(*pairs, strict=True))


def rows() -> list[dict[str, object]]:
    """Every row of the table."""
    table = [
        rate("classic messages received, 100 bytes", lambda: received(100, 100_000),
             lambda: unsealed(100, 100_000), "messages/s"),
        rate("classic messages received, 60,000 bytes",
             lambda: received(60_000, 2_000) * 0.06, lambda: unsealed(60_000, 2_000) * 0.06,
             "MB/s"),
    ]  # fmt: skip
    pairs = [(key_to_echo(200, 5_000), key_to_echo(100, 0)) for _ in range(RUNS)]
    for field, name in (("median", "median"), ("p99", "p99"), ("longest", "longest")):
        busy = [getattr(pair[0], field) for pair in pairs]
        idle = [getattr(pair[1], field) for pair in pairs]
        table.append(row(f"key to echo at 5,000 messages/s, {name}", "ms", busy, idle))
    table.append(row("memory gained meanwhile", "MiB", [pair[0].grown for pair in pairs]))
    beside = [(beside_a_flood(20, 5_000), beside_a_flood(20, 0)) for _ in range(RUNS)]
    for name, figure in (("median", statistics.median), ("longest", max)):
        table.append(row(
            f"another peer's message on the screen, {name}", "ms",
            [figure(pair[0]) for pair in beside], [figure(pair[1]) for pair in beside],
        ))  # fmt: skip
    return table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args()
    table = rows()
    if options.json:
        json.dump({"python": sys.version.split()[0], "rows": table}, sys.stdout, indent=1)
        print()
        return
    print(f"{'':46} {'min':>10} {'median':>10} {'max':>10}  unit        of its limit")
    for each in table:
        numbers = " ".join(f"{each[key]:>10,.1f}" for key in ("min", "median", "max"))
        ratio = "" if each["of limit"] is None else f"{each['of limit']:.2f}"
        print(f"{each['row']:46} {numbers}  {each['unit']:10}  {ratio}")
    print("limit: libsodium alone on the same bytes; for keys, the same with nothing coming in")


if __name__ == "__main__":
    main()
