"""The environment beside that of the tests which looks at the supply chain: see the Makefile."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from tests.wheel import ROOT

#: ``VENV`` and ``AUDIT`` of the Makefile.
VENV, AUDIT = Path(sys.prefix), Path(f"{sys.prefix}-audit")


def make(
    *arguments: str, folder: Path = ROOT, env: Mapping[str, str] = MappingProxyType({})
) -> "subprocess.CompletedProcess[str]":
    """``make`` with these environments, as if no other ``make`` had begun us."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ["make", "--silent", "-C", str(folder), f"VENV={VENV}", f"AUDIT={AUDIT}", *arguments],
        env={**kept, **env},
        capture_output=True,
        text=True,
    )


def audit_program(name: str) -> Path:
    """A program of it, which is made where it is not there yet; without a network, a skip."""
    if not (VENV / ".made").exists():  # make would make it anew
        pytest.skip("the environment of the tests is none of make's")
    with (VENV / ".made").open() as one_at_a_time:
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
        made = make(str(AUDIT / ".made"))
    if "No matching distribution found" in made.stderr:
        pytest.skip("no package index offers what looks at the supply chain")
    assert not made.returncode, made.stderr
    return AUDIT / "bin" / name
