"""Known vulnerabilities of what the program needs: ``audit.py COMMAND…`` runs ``pip-audit``.

The build fails for a vulnerability, and for an audit that breaks down, but not where there is
nobody to ask: then one line says why nothing was audited.
"""

import json
import re
import subprocess
import sys
from collections.abc import Sequence

#: What stands in pip-audit's last words when the vulnerability service cannot be asked.
_UNREACHABLE = re.compile(r"ConnectionError|Timeout|NameResolution|ProxyError|SSLError|HTTPError")


def main(command: Sequence[str]) -> int:
    """Run ``command``, which prints pip-audit's JSON, and return the exit code."""
    try:
        audit = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    except FileNotFoundError:
        return _skipped("it is not installed, and could not be")
    try:
        dependencies = json.loads(audit.stdout)["dependencies"]
    except ValueError:
        words = audit.stderr.strip().splitlines() or ["it said nothing"]
        if _UNREACHABLE.search(words[-1]):
            return _skipped("the vulnerability service cannot be reached")
        print(f"pip-audit: {words[-1]}", file=sys.stderr)
        return audit.returncode or 1
    found = [
        f"{each['name']} {each['version']}: {flaw['id']}, fixed in {_versions(flaw)}"
        for each in dependencies
        for flaw in each.get("vulns", ())
    ]
    if found:
        print("pip-audit: known vulnerabilities", *found, sep="\n  ", file=sys.stderr)
        return 1
    # pip-audit itself takes an unknown package for a good one.
    unknown = [each["name"] for each in dependencies if "skip_reason" in each]
    audited = len(dependencies) - len(unknown)
    if not audited:
        return _skipped("the registry in use tells nothing of vulnerabilities")
    if unknown:
        print(f"pip-audit: nothing is known of {', '.join(unknown)}", file=sys.stderr)
        return 1
    print(f"pip-audit: {audited} packages without a known vulnerability")
    return 0


def _skipped(why: str) -> int:
    print(f"pip-audit: skipped, {why}")
    return 0


def _versions(flaw: dict[str, list[str]]) -> str:
    return ", ".join(flaw.get("fix_versions", ())) or "no version yet"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
