"""Run every model and print a table: ``python -m tests.model``, or ``make model``.

Ends with 1 where a proof fails, or where a weakened variant is not attacked as it must be.
"""

import sys

from tests.model.spin import RUNS, Bounds, missing, search

FORMAT = "{:9}  {:20}  {:8}  {:>9}  {:>6}  {:>7}  {:4}  {}"


def main() -> int:
    """The exit status."""
    if lacking := missing():
        print(f"The models need {' and '.join(lacking)}: apt install spin gcc", file=sys.stderr)
        return 1
    print(FORMAT.format("model", "variant", "bounds", "states", "depth", "seconds", "", "found"))
    failed = 0
    for run in RUNS:
        result = search(run)
        good = result.found == run.expected
        failed += not good
        print(
            FORMAT.format(
                run.model,
                run.variant,
                " ".join(map(str, run.bounds or ())),
                f"{result.states:,}",
                f"{result.depth:,}",
                f"{result.seconds:.1f}",
                "good" if good else "BAD",
                result.found if good else f"{result.found}; expected: {run.expected}",
            ),
            flush=True,
        )
    print(f"{len(RUNS)} searches, {failed} of them bad. Bounds: {', '.join(Bounds._fields)}.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
