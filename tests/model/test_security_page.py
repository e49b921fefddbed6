"""What docs/security.md says of the code is there: its tests, its files and its bounds."""

import re
from pathlib import Path

import pytest

from fantom_trio.nursery import invites, trials
from fantom_trio.nursery.limits import Limits
from fantom_trio.wire import classic, delivery, frames
from tests.model.spin import RUNS

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "security.md").read_text()
NAMED = re.findall(r"`([^`\n]+)`", PAGE)
PLACES = {
    "classic": classic,
    "frames": frames,
    "delivery": delivery,
    "limits": Limits(),
    "invites": invites,
    "trials": trials,
}
BOUNDS = re.findall(r"^\| ([\d,]+)[^|]*\|[^|]*\| `(\w+)\.(\w+)` \|", PAGE, re.MULTILINE)


def test_every_test_that_the_page_names_is_there() -> None:
    code = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    tests = {name for name in NAMED if name.startswith("test_")}
    assert len(tests) > 30
    assert [name for name in tests if f"def {name}(" not in code] == []


def test_every_file_that_the_page_names_is_there() -> None:
    files = {name.split()[0] for name in NAMED if re.match(r"[\w/]+\.(py|pml)\b", name)}
    assert len(files) > 20
    folders = ROOT, ROOT / "fantom_trio", ROOT / "tests", ROOT / "tests" / "model"
    assert [each for each in files if not any((at / each).exists() for at in folders)] == []


def test_every_variant_that_the_page_names_is_searched() -> None:
    variants = {word for run in RUNS for word in run.variant.split()}
    named = {name for name in NAMED if re.fullmatch(r"NO_[A-Z]+|LATE|FALLBACK", name)}
    assert len(named) > 5
    assert named <= variants


@pytest.mark.parametrize(("value", "place", "name"), BOUNDS, ids=lambda each: each)
def test_a_bound_on_the_page_is_the_one_in_the_code(value: str, place: str, name: str) -> None:
    assert getattr(PLACES[place], name) == int(value.replace(",", ""))


def test_the_page_has_every_bound_of_its_table() -> None:
    section = PAGE.partition("## Bounds")[2].partition("## ")[0]
    assert len(BOUNDS) == len(re.findall(r"^\| [\d,]+", section, re.MULTILINE)) > 20
