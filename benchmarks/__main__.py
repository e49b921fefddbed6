"""``make bench``: the table."""

import argparse
import json
import statistics
import sys
from collections.abc import Callable

from benchmarks.echo import key_to_echo
from benchmarks.receive import received, unsealed

RUNS = 5


def rate(
    name: str, measure: Callable[[], float], limit: Callable[[], float], unit: str
) -> dict[str, object]:
    """A row of ``RUNS`` pairs: what we reach and what the limit is, in turn."""
    pairs = [(measure(), limit()) for _ in range(RUNS)]
    reached = [pair[0] for pair in pairs]
    ratios = [pair[0] / pair[1] for pair in pairs]
    return {
        "row": name, "unit": unit,
        "min": min(reached), "median": statistics.median(reached), "max": max(reached),
        "of limit": statistics.median(ratios),
    }  # fmt: skip


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
    for at, name in ((0, "median"), (1, "p99")):
        busy = [pair[0][at] for pair in pairs]
        ratios = [pair[0][at] / pair[1][at] for pair in pairs]
        table.append({
            "row": f"key to echo at 5,000 messages/s, {name}", "unit": "ms",
            "min": min(busy), "median": statistics.median(busy), "max": max(busy),
            "of limit": statistics.median(ratios),
        })  # fmt: skip
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
    print(f"{'':42} {'min':>10} {'median':>10} {'max':>10}  unit        of its limit")
    for row in table:
        numbers = " ".join(f"{row[key]:>10,.1f}" for key in ("min", "median", "max"))
        print(f"{row['row']:42} {numbers}  {row['unit']:10}  {row['of limit']:.2f}")
    print("limit: libsodium alone on the same bytes; for keys, the same with nothing coming in")


if __name__ == "__main__":
    main()
