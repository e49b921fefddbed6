"""What docs/security.md says of the code is there: its tests, its files and its bounds."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from fantom_trio.nursery import (
    approach,
    doctor,
    errors,
    invites,
    port_mapping,
    reach,
    tcp,
    trials,
)
from fantom_trio.nursery.limits import Limits
from fantom_trio.repl import bounds, kinds, sanitize, screen, strangers
from fantom_trio.wire import (
    address,
    classic,
    delivery,
    events,
    frames,
    noise,
    pcp,
    records,
    stream,
)
from tests.model.spin import RUNS

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "security.md").read_text()
NAMED = re.findall(r"`([^`\n]+)`", PAGE)
#: Where a bound of the tables stands in the code, by the name before the dot.
PLACES = {
    "limits": Limits(),
    **{
        module.__name__.rpartition(".")[2]: module
        for module in (
            approach, doctor, errors, invites, port_mapping, reach, tcp, trials,
            bounds, kinds, sanitize, screen, strangers,
            address, classic, delivery, events, frames, noise, pcp, records, stream,
        )
    },
}  # fmt: skip
#: The first cell of a row, and the place and the name in its third one.
BOUNDS = re.findall(r"^\| ([\d,]+[^|]*|no|yes) \|[^|]*\| `(\w+)\.(\w+)` \|", PAGE, re.MULTILINE)


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


@pytest.mark.parametrize(("cell", "place", "name"), BOUNDS, ids=lambda each: each)
def test_a_bound_on_the_page_is_the_one_in_the_code(cell: str, place: str, name: str) -> None:
    told = [float(each.replace(",", "")) for each in re.findall(r"\d[\d,]*(?:\.\d+)?", cell)]
    value = getattr(PLACES[place], name)
    if isinstance(value, bool):
        assert cell == ("yes" if value else "no")
    else:
        assert told == list(value if isinstance(value, tuple) else (value,))


@pytest.mark.parametrize(
    ("place", "names"), [("limits", Limits.__struct_fields__), ("bounds", bounds.__all__)]
)
def test_the_page_has_every_bound_of_the_nursery_and_of_the_screen_once(
    place: str, names: Sequence[str]
) -> None:
    assert sorted(name for _, where, name in BOUNDS if where == place) == sorted(names)


def test_every_row_of_the_tables_is_compared() -> None:
    section = PAGE.partition("## Bounds")[2].partition("## ")[0]
    rows = [row for row in re.findall(r"^\| .*", section, re.MULTILINE) if "---" not in row]
    assert len(BOUNDS) == len([row for row in rows if not row.startswith("| bound |")])
