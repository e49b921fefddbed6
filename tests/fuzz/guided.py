"""A search by coverage: libFuzzer drives a harness through ``atheris``, where that is installed."""

import importlib.util
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.fuzz.blind import Finding, Search
from tests.fuzz.harness import Harness

__all__ = ["is_there", "search"]

#: An input that takes so long, seconds, or so much memory, MiB, is a finding.
SLOW, BIG = 25, 2048
#: What it takes to begin, seconds.
BEGINNING = 5


def is_there() -> bool:
    """Whether ``atheris`` is installed."""
    return importlib.util.find_spec("atheris") is not None


def search(harness: Harness, folders: Sequence[Path], seconds: float, found: Path) -> Search:
    """Search in a process of its own; what is found goes to the folder ``found`` as well."""
    found.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as room:
        seeds, words = Path(room, "seeds"), Path(room, "words")
        seeds.mkdir()
        for number, seed in enumerate(harness.seeds):
            (seeds / str(number)).write_bytes(seed)
        words.write_text("".join(f"{_quoted(word)}\n" for word in harness.words))
        options = [
            f"-max_total_time={max(1, round(seconds - BEGINNING))}", f"-timeout={SLOW}",
            f"-max_len={harness.longest}", f"-rss_limit_mb={BIG}", f"-artifact_prefix={found}/",
            "-print_final_stats=1", *[f"-dict={words}"] * bool(harness.words),
        ]  # fmt: skip
        begun, before = time.monotonic(), set(found.iterdir())
        done = subprocess.run(
            [
                sys.executable, "-m", "tests.fuzz.driven", harness.name, *map(str, folders), seeds,
                *options,
            ],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
    told = done.stdout.decode("utf-8", "replace")
    lasted = time.monotonic() - begun
    count = re.search(r"stat::number_of_executed_units:\s*(\d+)", told)
    executions = int(count[1]) if count else 0
    if done.returncode == 0 and executions:
        return Search(executions, lasted)
    artifacts = sorted(set(found.iterdir()) - before)
    if not artifacts:
        raise RuntimeError(f"the search itself failed:\n{told[-3000:]}")
    return Search(executions, lasted, Finding(artifacts[0].read_bytes(), told[-3000:]))


def _quoted(word: bytes) -> str:
    return '"' + "".join(f"\\x{byte:02x}" for byte in word) + '"'
