"""The wheel and its bill of materials: whoever makes them gets the same bytes, with all in them."""

import json
import os
import platform
import re
import shutil
import subprocess
import time
import zipfile
from pathlib import Path

from tests.audit_environment import AUDIT, audit_program, make
from tests.wheel import EPOCH, ROOT, build, install


def copy_of_the_source(into: Path) -> Path:
    """What the repository holds, without what was built or cached in it."""
    into.mkdir(parents=True)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, into)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "fantom_trio", into / "fantom_trio", ignore=ignored)
    return into


def test_two_builds_elsewhere_later_and_under_another_umask_are_equal_in_every_byte(
    tmp_path: Path,
) -> None:
    here = copy_of_the_source(tmp_path / "here")
    there = copy_of_the_source(tmp_path / "somewhere" / "else" / "altogether")
    later = time.time() + 100_000_000
    for file in there.rglob("*"):
        file.chmod(file.stat().st_mode | 0o070)
        os.utime(file, (later, later))
    env = {"SOURCE_DATE_EPOCH": EPOCH}
    one = build(tmp_path, here, umask=0o022, env={**env, "TZ": "UTC", "LC_ALL": "C"})
    one = one.rename(tmp_path / "one.whl")
    other = build(tmp_path, there, umask=0o077, env={**env, "TZ": "Asia/Tokyo", "HOME": "/"})
    assert one.read_bytes() == other.read_bytes()


def test_the_wheel_holds_the_package_its_texts_and_nothing_else(tmp_path: Path) -> None:
    wheel = build(tmp_path, env={})
    with zipfile.ZipFile(wheel) as opened:
        names = {Path(name) for name in opened.namelist()}
    package = {
        file.relative_to(ROOT)
        for file in (ROOT / "fantom_trio").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert {name for name in names if name.parts[0] == "fantom_trio"} == package
    rest = names - package
    assert {name.parts[0] for name in rest} == {f"{wheel.name.rsplit('-', 3)[0]}.dist-info"}
    assert {"LICENSE", "METADATA", "RECORD", "WHEEL"} <= {name.name for name in rest}
    assert any(name.suffix == ".mo" for name in package)


def test_what_was_installed_from_the_wheel_runs(tmp_path: Path) -> None:
    programs = install(build(tmp_path, env={}), tmp_path / "environment")
    told = subprocess.run(
        [programs / "fantom-trio", "--version"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": ""},
        check=True,
        capture_output=True,
        text=True,
    )
    assert told.stdout.startswith("fantom-trio ")
    assert told.stderr == ""


# The bill of materials.


def bill(source: Path, into: Path, **env: str) -> bytes:
    """What ``make sbom`` writes, of a tree that may be anywhere."""
    made = make("sbom", f"SBOM={into}", folder=source, env=env)
    assert not made.returncode, made.stderr
    return into.read_bytes()


def pinned() -> dict[tuple[str, str], set[str]]:
    """The hashes of each package and version that a user installs."""
    text = (ROOT / "requirements" / "run.txt").read_text().replace("\\\n", " ")
    lines = [line.split() for line in text.splitlines() if "==" in line]
    return {
        (name, version): {each.removeprefix("--hash=sha256:") for each in hashes}
        for (name, version), hashes in ((first.split("=="), rest) for first, *rest in lines)
    }


def test_the_bill_of_materials_lists_what_is_pinned_and_names_nobody_s_machine(
    tmp_path: Path,
) -> None:
    audit_program("cyclonedx-py")
    elsewhere = tmp_path / "somewhere" / "else"
    elsewhere.mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "README.md", "requirements"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, elsewhere / name)
    one = bill(ROOT, tmp_path / "one.json", TZ="UTC", PIP_INDEX_URL="https://mirror.invalid/simple")
    other = bill(elsewhere, tmp_path / "other.json", TZ="Asia/Tokyo", HOME="/")
    assert one == other

    listed = {
        (each["name"], each["version"]): {
            hashed["content"]
            for reference in each["externalReferences"]
            for hashed in reference["hashes"]
        }
        for each in json.loads(one)["components"]
    }
    assert listed == pinned()
    assert len(listed) > 20

    text = one.decode()
    for folder in (ROOT, AUDIT, Path.home(), tmp_path):
        assert str(folder) not in text
    assert not re.search(rf"\b{re.escape(platform.node())}\b", text)
    # What it does name are the tool's own homes, and where the packages are by default.
    hosts = set(re.findall(r"https?://([^/\"]+)", text))
    assert hosts == {
        "pypi.org",
        "github.com",
        "cyclonedx.org",
        "cyclonedx-bom-tool.readthedocs.io",
        "cyclonedx-python-library.readthedocs.io",
    }
