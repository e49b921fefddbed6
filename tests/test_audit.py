"""``make lint`` fails for a known vulnerability, and not where there is nobody to ask for one."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.wheel import ROOT


def audit(stdout: str, stderr: str = "", code: int = 0) -> tuple[int, str]:
    """Exit code and words after a pip-audit that says this."""
    said = f"import sys; print({stdout!r}); print({stderr!r}, file=sys.stderr); sys.exit({code})"
    return run(sys.executable, "-c", said)


def run(*command: str) -> tuple[int, str]:
    ended = subprocess.run(
        [sys.executable, ROOT / ".ci" / "audit.py", *command],
        capture_output=True,
        text=True,
    )
    return ended.returncode, ended.stdout + ended.stderr


def told(*dependencies: Mapping[str, object]) -> str:
    return json.dumps({"dependencies": dependencies, "fixes": []})


GOOD = {"name": "trio", "version": "0.35.0", "vulns": []}
FLAW = {"id": "PYSEC-2026-1", "fix_versions": ["1.3"], "description": ""}
BAD = {"name": "attrs", "version": "1.2", "vulns": [FLAW]}
UNKNOWN = {"name": "httpx", "skip_reason": "Dependency not found on PyPI"}


def test_no_known_vulnerability_is_told_with_how_many_packages_were_looked_at() -> None:
    assert audit(told(GOOD, GOOD)) == (0, "pip-audit: 2 packages without a known vulnerability\n")


def test_a_known_vulnerability_fails_and_is_named() -> None:
    code, words = audit(told(GOOD, BAD, UNKNOWN), code=1)
    assert code == 1
    assert "attrs 1.2: PYSEC-2026-1, fixed in 1.3" in words


def test_one_package_that_nothing_is_known_of_fails() -> None:
    code, words = audit(told(GOOD, UNKNOWN))
    assert (code, words) == (1, "pip-audit: nothing is known of httpx\n")


def test_a_registry_that_tells_nothing_of_any_package_is_no_clean_audit() -> None:
    code, words = audit(told(UNKNOWN, UNKNOWN))
    assert code == 0
    assert words == "pip-audit: skipped, the registry in use tells nothing of vulnerabilities\n"


def test_without_a_network_one_line_says_that_it_was_skipped() -> None:
    trace = "Traceback …\nrequests.exceptions.ConnectionError: Max retries exceeded"
    code, words = audit("", trace, code=1)
    assert code == 0
    assert words == "pip-audit: skipped, the vulnerability service cannot be reached\n"


def test_an_audit_that_breaks_down_fails() -> None:
    assert audit("", "pip-audit: error: no such option", code=2)[0] == 2
    assert audit("", code=0)[0] == 1


def test_where_it_is_not_installed_one_line_says_so(tmp_path: Path) -> None:
    code, words = run(str(tmp_path / "pip-audit"))
    assert code == 0
    assert words.count("\n") == 1
    assert "skipped" in words
