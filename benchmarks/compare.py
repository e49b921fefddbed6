"""This tree beside another commit: the same measuring, in turn, in fresh processes."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from benchmarks.table import Benchmark, Row, Spread

__all__ = ["tell"]

_HERE = Path(__file__).parent

#: The figures of the rows, by name: this tree's, and the commit's.
_Pair = tuple[dict[str, float], dict[str, float]]


def tell(commit: str, benchmarks: Sequence[Benchmark], runs: int) -> None:
    """Print for each row how many times as good this tree is: more than 1 is better.

    What the commit cannot do, or this tree, fails in words of its own and is left out.
    """
    with tempfile.TemporaryDirectory() as folder:
        base = _tree(commit, Path(folder) / "base")
        # Away from both trees, or the one here would be measured twice.
        away = Path(folder) / "away"
        shutil.copytree(_HERE, away / "benchmarks")
        print(f"{'this tree / ' + commit:54}{'min':>8}{'median':>8}{'max':>8}")
        for benchmark in benchmarks:
            pairs = [_pair(away, base, benchmark, base_first=n % 2 == 1) for n in range(runs)]
            for row in benchmark.rows:
                print(_line(row, pairs), flush=True)


def _pair(away: Path, base: Path, benchmark: Benchmark, *, base_first: bool) -> _Pair:
    """Ours and theirs, in either order: the first is no better off than the second."""
    if base_first:
        theirs = _run(away, base, benchmark)
        return _run(away, _HERE.parent, benchmark), theirs
    return _run(away, _HERE.parent, benchmark), _run(away, base, benchmark)


def _tree(commit: str, folder: Path) -> Path:
    """The program as it was: no worktree, which git would remember if we were interrupted."""
    archive = subprocess.run(
        ["git", "archive", "--format=tar", commit, "fantom_trio"],
        cwd=_HERE.parent, check=True, capture_output=True,
    )  # fmt: skip
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as tar:
        tar.extractall(folder, filter="data")
    return folder


def _run(away: Path, tree: Path, benchmark: Benchmark) -> dict[str, float]:
    """One run of every row, by name; nothing where it failed."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--json", "--runs", "1", benchmark.name],
        cwd=away, env={**os.environ, "PYTHONPATH": str(tree)}, stdout=subprocess.PIPE, check=False,
    )  # fmt: skip
    if done.returncode:
        return {}
    return {each["row"]: each["figures"]["median"] for each in json.loads(done.stdout)["rows"]}


def _line(row: Row, pairs: Sequence[_Pair]) -> str:
    ratios = [
        ours[row.name] / theirs[row.name]
        for ours, theirs in pairs
        if ours.get(row.name) and theirs.get(row.name)
    ]
    if not ratios:
        return f"{row.name:54}  one of the two could not be measured"
    if not row.more_is_better:
        ratios = [1 / each for each in ratios]
    spread = Spread.of(ratios)
    return f"{row.name:54}{spread.min:8.2f}{spread.median:8.2f}{spread.max:8.2f}"
