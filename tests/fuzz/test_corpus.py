"""Every harness over all that is kept, and a short search from there; ``make fuzz`` goes on."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import corpus
from tests.fuzz.blind import search
from tests.fuzz.harnesses import HARNESSES

#: For each harness.
SHORT_SECONDS = 0.2
DRAWN = 20 if settings().max_examples < 1000 else settings().max_examples // 10
#: For all together.
MOST_BYTES = 300_000

SAID = HARNESSES["classic"].seeds[0]

every_harness = pytest.mark.parametrize("name", HARNESSES)


@every_harness
def test_what_is_kept_breaks_nothing_and_neither_does_a_short_search(name: str) -> None:
    harness = HARNESSES[name]
    starts = corpus.starts(harness)
    for data in starts:
        harness.run(data)
    finding = search(harness, starts, seed=1, seconds=SHORT_SECONDS).finding
    assert finding is None, f"{finding.data!r}\n{finding.error}"


@pytest.mark.fuzz
@every_harness
@given(st.data())
@settings(max_examples=DRAWN, suppress_health_check=list(HealthCheck))
def test_what_is_built_for_a_harness_breaks_nothing(name: str, data: st.DataObject) -> None:
    HARNESSES[name].run(data.draw(HARNESSES[name].strategy))


@every_harness
def test_what_is_kept_is_little_and_called_by_what_is_in_it(name: str) -> None:
    files = sorted((corpus.FOLDER / name).iterdir())
    assert 0 < len(files) <= corpus.MOST_FILES
    assert [file.name for file in files] == [corpus.name_of(file.read_bytes()) for file in files]
    assert max(file.stat().st_size for file in files) <= HARNESSES[name].longest


def test_the_whole_corpus_is_small_and_belongs_to_a_harness() -> None:
    assert {folder.name for folder in corpus.FOLDER.iterdir()} == set(HARNESSES)
    assert sum(file.stat().st_size for file in corpus.FOLDER.rglob("*")) < MOST_BYTES


def test_what_a_run_reaches_is_told_by_its_lines() -> None:
    nothing, said = (corpus.reached(HARNESSES["classic"], data) for data in (b"", SAID))
    assert {Path(file).name for file, *_ in said - nothing} >= {"classic.py", "frames.py"}


def test_the_runner_prints_a_table_and_writes_it_for_programs(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable, "-m", "tests.fuzz", "--seconds", "0.5", "--processes", "1",
            "--work", tmp_path / "work", "--json", tmp_path / "table.json", "addresses", "pcp",
        ],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "table.json").read_text())
    assert {row["harness"] for row in rows} == {"addresses", "pcp"}
    assert all(row["executions"] > 10 and not row["broken"] for row in rows)
    assert "nothing broken" in done.stdout
