"""``make bench``: the table."""

import argparse
import json
import os
import sys

from benchmarks import compare, growth, where
from benchmarks.rows import BENCHMARKS, chosen
from benchmarks.table import lines, measured

RUNS = 5


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = ", ".join(each.name for each in BENCHMARKS)
    parser.add_argument("row", nargs="*", help=f"only rows whose name begins so: {names}")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"of each row ({RUNS})")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--growth", action="store_true", help="how the cost grows, instead")
    which.add_argument("--profile", action="store_true", help="where the time goes, instead")
    which.add_argument("--compare", metavar="COMMIT", help="this tree beside that commit, instead")
    options = parser.parse_args()
    try:
        benchmarks = chosen(options.row)
    except KeyError as error:
        parser.error(f"no row begins with {error.args[0]!r}: there are {names}")
    if options.growth:
        growth.tell()
    elif options.profile:
        where.tell(benchmarks)
    elif options.compare:
        compare.tell(options.compare, benchmarks, options.runs)
    elif options.json:
        table = [row for each in benchmarks for row in measured(each, options.runs)]
        system = {"python": sys.version.split()[0], "cores": os.cpu_count(), "runs": options.runs}
        json.dump({**system, "rows": [each.as_json() for each in table]}, sys.stdout, indent=1)
        print()
    else:
        head = True
        for each in benchmarks:
            for line in list(lines(measured(each, options.runs)))[0 if head else 1 :]:
                print(line, flush=True)
            head = False


if __name__ == "__main__":
    main()
