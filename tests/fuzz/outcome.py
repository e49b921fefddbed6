"""One harness, searched for a while: a row of the runner's table."""

import time
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz import blind, corpus, guided
from tests.fuzz.blind import Finding, Search
from tests.fuzz.harnesses import HARNESSES

__all__ = ["ROW", "Outcome", "search"]

ROW = "{:<10} {:>12} {:>8} {:>7}  {}"


@dataclass(frozen=True)
class Outcome:
    """What came of it."""

    name: str
    search: Search
    #: New entries in the corpus that it works with.
    entries: int
    #: Where the input is that broke something.
    file: Path | None = None

    def __str__(self) -> str:
        search = self.search
        rate = search.executions / max(search.seconds, 0.001)
        result = "nothing broken" if search.finding is None else f"BROKEN: {self.file}"
        return ROW.format(self.name, f"{search.executions:,}", f"{rate:,.0f}", self.entries, result)

    @property
    def row(self) -> dict[str, object]:
        """For programs."""
        return {
            "harness": self.name,
            "executions": self.search.executions,
            "seconds": round(self.search.seconds, 1),
            "new": self.entries,
            "broken": self.search.finding is not None,
        }


def search(name: str, seconds: float, work: Path) -> Outcome:
    """By coverage, where that can be; what is reached and found goes to ``work``."""
    harness = HARNESSES[name]
    found, folder = work / "found" / name, work / "corpus" / name
    folder.mkdir(parents=True, exist_ok=True)
    before = set(folder.iterdir())
    if guided.is_there():
        kept = corpus.FOLDER / name
        done = guided.search(harness, [folder, *[kept] * kept.is_dir()], seconds, found)
    else:
        done = blind.search(harness, corpus.starts(harness), time.time_ns(), seconds=seconds)
    entries = len(set(folder.iterdir()) - before)
    file = _written(done.finding, found) if done.finding is not None else None
    return Outcome(name, done, entries, file)


def _written(finding: Finding, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / corpus.name_of(finding.data)
    file.write_bytes(finding.data)
    return file
