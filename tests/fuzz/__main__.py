"""``python -m tests.fuzz``: run the harnesses for a while, and print what came of it."""

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from tests.fuzz import corpus, guided
from tests.fuzz.harness import Harness
from tests.fuzz.harnesses import HARNESSES
from tests.fuzz.outcome import ROW, Outcome, search

WORK = Path(".fuzz")


def main() -> int:
    """1 where something was found."""
    options = _options()
    harnesses = [HARNESSES[name] for name in options.harness or HARNESSES]
    if options.replay:
        for each in harnesses:
            each.run(options.replay.read_bytes())
        return 0
    if options.keep:
        for each in harnesses:
            files, size = corpus.keep(each, options.work / "corpus" / each.name)
            print(f"{each.name:<10} {files:>3} files, {size:>6,} bytes", flush=True)
        return 0
    if guided.is_there():
        print("atheris is there: the search goes by coverage.")
    else:
        print("atheris is not installed: known inputs are changed at random instead.")
    outcomes = _run(harnesses, options.seconds, options.processes, options.work)
    if options.json:
        options.json.write_text(json.dumps([each.row for each in outcomes], indent=1) + "\n")
    broken = False
    for outcome in outcomes:
        if outcome.search.finding is not None:
            print(f"\n{outcome.name}: {outcome.file}\n{outcome.search.finding.error}")
            broken = True
    return int(broken)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("harness", nargs="*", help=f"of {', '.join(HARNESSES)}; without one: all")
    parser.add_argument("--seconds", type=float, default=60, help="for all together")
    parser.add_argument("--processes", type=int, default=2, help="that run side by side")
    parser.add_argument("--work", type=Path, default=WORK, help="for what is reached and found")
    parser.add_argument("--json", type=Path, help="the table, for programs")
    parser.add_argument("--keep", action="store_true", help="only choose the corpus anew")
    parser.add_argument("--replay", type=Path, help="only run one input")
    options = parser.parse_args()
    if unknown := set(options.harness) - set(HARNESSES):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    return options


def _run(harnesses: Sequence[Harness], seconds: float, processes: int, work: Path) -> list[Outcome]:
    """Each gets its share of the time of all processes."""
    shares = sum(each.share for each in harnesses)
    processes = min(processes, len(harnesses))
    begun, outcomes = time.monotonic(), list[Outcome]()
    print(ROW.format("harness", "executions", "per s", "new", "result"), flush=True)
    # Processes, because a harness replaces parts of modules while it runs.
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        running = [
            pool.submit(search, each.name, seconds * processes * each.share / shares, work)
            for each in sorted(harnesses, key=lambda each: -each.share)
        ]
        for done in as_completed(running):
            outcomes.append(done.result())
            print(outcomes[-1], flush=True)
    total, lasted = sum(each.search.executions for each in outcomes), time.monotonic() - begun
    entries = sum(each.entries for each in outcomes)
    print(ROW.format("all", f"{total:,}", f"{total / lasted:,.0f}", entries, f"in {lasted:.0f} s"))
    return outcomes


if __name__ == "__main__":
    sys.exit(main())
