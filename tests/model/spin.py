"""The models of this folder, run by ``spin``: what each proves, and what it finds where a rule is
weakened.

A model says what must hold in assertions, each with a comment of what it means when it fails. A
proof looks at every state that can be reached; a weakened variant must fail at the very assertion
that its rule is for, or its model would prove nothing.
"""

import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

__all__ = ["FOR_EVER", "PROVED", "RUNS", "Result", "Run", "missing", "rows", "search"]

FOLDER = Path(__file__).parent
TOOLS = ("spin", "gcc")

PROVED = "proved"
#: What a search says of a cycle: something goes on, and nothing comes of it.
FOR_EVER = "for ever"
#: One run, on one core.
MEMORY_MIB = 1000
SECONDS = 180
DEPTH = 100_000


class Bounds(NamedTuple):
    """Of ``links.pml``, where there is no attacker and no end to what may happen."""

    messages: int
    breaks: int
    hands: int
    connections: int


@dataclass(frozen=True)
class Run:
    """One search: ``variant`` and ``bounds`` are what the model is compiled with."""

    model: str
    variant: str = ""
    bounds: Bounds | None = None
    expected: str = PROVED

    @property
    def defines(self) -> list[str]:
        """For spin's preprocessor."""
        bounds = self.bounds._asdict() if self.bounds else {}
        values = [f"-D{name.upper()}={value}" for name, value in bounds.items()]
        return [*(f"-D{each}" for each in self.variant.split()), *values]

    @property
    def name(self) -> str:
        """What tells it from the others."""
        bounds = "-".join(map(str, self.bounds or ()))
        return " ".join(filter(None, (self.model, self.variant, bounds)))

    @property
    def ends(self) -> bool:
        """Every run of the model must end: its graph of states has no cycle."""
        return self.model == "links"


@dataclass(frozen=True)
class Result:
    """What a search found, and how much it looked at."""

    found: str
    states: int
    depth: int
    seconds: float


_CALM = Bounds(0, 0, 0, 3)
_LINKS = Bounds(0, 1, 0, 3)
_BY_HAND = Bounds(0, 2, 1, 2)
_TWO = Bounds(2, 1, 0, 2)

RUNS = (
    Run("handshake"),
    Run("handshake", "REACHED", expected="a link between two that are honest"),
    Run("handshake", "CROSSED", expected="a link on which two dials met"),
    Run("handshake", "NO_ES", expected="nobody is there with the same h"),
    Run("handshake", "NO_SE", expected="nobody is there with the same h"),
    Run("handshake", "NO_SECOND_LINE", expected="nobody is there with the same h"),
    Run("handshake", "NO_EXPECTED", expected="it is somebody else"),
    Run("handshake", "LATE", expected="message 3 goes to somebody else"),
    Run("handshake", "NO_MIRROR", expected="it is a mirror"),
    Run("handshake", "NO_KEM", expected="who breaks X25519 later reads it"),
    Run("handshake", "FALLBACK", expected="it turned classic"),
    Run("code"),
    Run("code", "NO_ATTACKER", expected="both have one code"),
    Run("code", "LUCK", expected="luck is all that it takes"),
    Run("code", "NO_COMMITMENT", expected="two codes are one without luck"),
    Run("code", "NO_HASH", expected="two codes are one without luck"),
    Run("code", "SILENT", expected="a guess that nobody saw"),
    Run("code", "NO_LIMIT", expected="more guesses than tries"),
    Run("links", "", _TWO),
    Run("links", "", _LINKS),
    Run("links", "", _BY_HAND),
    Run("links", "", Bounds(2, 2, 0, 2)),
    Run("links", "", Bounds(2, 1, 1, 2)),
    Run("links", "", Bounds(1, 1, 0, 3)),
    Run("links", "", Bounds(0, 2, 0, 3)),
    Run("links", "NO_JUDGE", _CALM, "two links stay"),
    Run("links", "BOTH_JUDGE", _CALM, FOR_EVER),
    Run("links", "BOTH_JUDGE NO_REDIAL", _CALM, "no link is left"),
    Run("links", "NO_TIE", _CALM, FOR_EVER),
    Run("links", "NO_RESUMES", _BY_HAND, "no link is left"),
    Run("links", "NO_RESEND", _TWO, "a message is lost"),
    Run("links", "NO_IDS", _TWO, "a message comes twice, or in another order"),
    Run("links", "NO_STALE", _TWO, "one of ours ends a link for what the other said"),
)


def missing() -> list[str]:
    """Which of the tools are not installed."""
    return [each for each in TOOLS if shutil.which(each) is None]


def search(run: Run) -> Result:
    """Look at every state, or find the one that must not be.

    Raises ``subprocess.SubprocessError`` where spin or the compiler fails, or it takes too long.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fantom-model-") as place:
        folder = Path(place)
        for each in (_source(run.model), *FOLDER.glob("*.inc")):
            shutil.copy(each, folder)
        source = _source(run.model).name
        _do(folder, "spin", *run.defines, "-a", source)
        kind = "-DNP" if run.ends else "-DSAFETY"
        pace = "-O1" if run.expected == PROVED else "-O0"  # a short search is over before -O1 is
        _do(folder, "gcc", pace, "-w", kind, f"-DMEMLIM={MEMORY_MIB}", "-o", "pan", "pan.c")
        said = _do(folder, "./pan", f"-m{DEPTH}", "-w22", *(["-l"] if run.ends else []))
        found = _found(said)
        if found == "assertion violated":
            found = _meaning(folder, run, source)
    states = re.search(r"(\d+) states, stored", said)
    depth = re.search(r"depth reached (\d+)", said)
    seconds = time.monotonic() - began
    return Result(found, int(states[1]) if states else 0, int(depth[1]) if depth else 0, seconds)


def rows(model: str) -> Iterator[list[str]]:
    """What a model's own rules make of each case in its table."""
    with tempfile.TemporaryDirectory(prefix="fantom-model-") as place:
        said = _do(Path(place), "spin", "-T", "-DTABLE", str(_source(model)))
    for line in said.splitlines():
        if line.startswith("row "):
            yield line.split()[1:]


def _source(model: str) -> Path:
    return FOLDER / f"{model}.pml"


def _do(folder: Path, *command: str) -> str:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    if done.returncode != 0:
        said = (done.stdout + done.stderr)[-2000:]
        raise subprocess.SubprocessError(f"{' '.join(command)}: {done.returncode}: {said}")
    return done.stdout + done.stderr


def _found(said: str) -> str:
    for trouble in ("out of memory", "max search depth too small", "memory limit", "aborted"):
        if trouble in said:
            return trouble
    if "non-progress cycle (at depth" in said:
        return FOR_EVER
    for fault in ("assertion violated", "invalid end state (at depth"):
        if f"pan:1: {fault}" in said:
            return fault
    return PROVED if "errors: 0" in said else said[-300:]


def _meaning(folder: Path, run: Run, source: str) -> str:
    """The comment at the assertion that failed."""
    replay = _do(folder, "spin", *run.defines, "-t", source)
    at = re.search(rf"{re.escape(source)}:(\d+), Error: assertion violated", replay)
    assert at is not None, replay[-300:]
    line = (folder / source).read_text().splitlines()[int(at[1]) - 1]
    comment = re.search(r"/\* (.*) \*/", line)
    return comment[1] if comment else line.strip()
