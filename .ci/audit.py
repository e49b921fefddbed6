"""Known vulnerabilities of what the program needs: ``audit.py INSTALL… -- AUDIT…``.

``INSTALL`` is a command that installs ``pip-audit`` with pip, ``AUDIT`` one that runs it and prints
its JSON. The build fails for a vulnerability, and for whatever breaks down on the way, but not
where there is nobody to ask: then one line says why nothing was audited.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

#: A reason of pip's for going on without a page of an index, in its log.
_UNFETCHED = re.compile(r"Could not fetch URL \S+: (.*) - skipping$", re.MULTILINE)
#: Such a reason where nobody is there, and where the index does not have the package.
_ABSENT = re.compile(r"(proxy )?connection error: |timed out|.* didn't respond within|404 Client")
#: Whoever answers cannot prove to be the one that was asked.
_UNTRUSTED = re.compile(r"SSLError|CERTIFICATE_VERIFY_FAILED|confirming the ssl certificate")
#: The exception that pip-audit ends with where the service cannot be asked: requests' own names.
_UNREACHABLE = re.compile(
    r"requests\.exceptions\.(ConnectionError|ConnectTimeout|ReadTimeout|ProxyError): "
    r"|.*Could not connect to \w+'s vulnerability feed"
)
_REFUSED = re.compile(r"HTTPError: (\d{3}.*?) for url")
#: Why pip-audit looked at no more of a package, where its service does not have it.
_NOT_THERE = "Dependency not found on PyPI"


def main(commands: Sequence[str]) -> int:
    """Run the two ``commands`` and return the exit code."""
    end = commands.index("--")
    code = _install(commands[:end])
    return _audit(commands[end + 1 :]) if code is None else code


def _install(command: Sequence[str]) -> int | None:
    """An exit code if there is nothing to audit with."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "pip.log")
        # Of a page that an index refuses pip tells its log alone, and "no matching" everybody else.
        env = {"PIP_RETRIES": "1", **os.environ, "PIP_PROGRESS_BAR": "off", "PIP_LOG": str(log)}
        ended = subprocess.run(command, stderr=subprocess.PIPE, text=True, env=env, check=False)  # noqa: S603
        if not ended.returncode:
            return None
        unfetched = _UNFETCHED.findall(log.read_text()) if log.exists() else []
    said = ended.stderr
    if "DO NOT MATCH THE HASHES" in said:
        return _failed("a package for it is not the one that is pinned: its hash is another", said)
    if _UNTRUSTED.search("\n".join([said, *unfetched])):
        return _failed("the package index's certificate cannot be trusted", said)
    if refusals := [each for each in unfetched if not _ABSENT.match(each)]:
        return _failed(f"the package index did not do as we asked: {refusals[0]}", said)
    if "No matching distribution found" in said:
        return _skipped("it is not installed, and no package index that is in reach offers it")
    return _failed("it could not be installed", said)


def _audit(command: Sequence[str]) -> int:
    try:
        audit = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    except FileNotFoundError:
        return _failed("it was installed, and is not there", "")
    try:
        dependencies = json.loads(audit.stdout)["dependencies"]
    except ValueError:
        return _explain_silence(audit.stderr)
    found = [
        f"{each['name']} {each['version']}: {flaw['id']}, fixed in {_versions(flaw)}"
        for each in dependencies
        for flaw in each.get("vulns", ())
    ]
    if found:
        return _failed("known vulnerabilities", "\n".join(found), len(found))
    if audit.returncode:
        return _failed(f"it ended with {audit.returncode}", audit.stderr)
    # pip-audit itself takes an unknown package for a good one.
    unknown = [each for each in dependencies if "skip_reason" in each]
    audited = len(dependencies) - len(unknown)
    absent = [each for each in unknown if each["skip_reason"].startswith(_NOT_THERE)]
    if absent and len(absent) == len(dependencies):
        return _skipped("the registry in use tells nothing of vulnerabilities")
    if unknown:
        names = ", ".join(each["name"] for each in unknown)
        return _failed(f"nothing is known of {names}", unknown[0]["skip_reason"])
    if not audited:
        return _failed("it looked at no package", audit.stderr)
    print(f"pip-audit: {audited} packages without a known vulnerability")
    return 0


def _explain_silence(said: str) -> int:
    """No JSON came."""
    if _UNTRUSTED.search(said):
        return _failed("the vulnerability service's certificate cannot be trusted", said, 1)
    if refusal := _REFUSED.search(said):
        return _failed(f"the vulnerability service did not do as we asked: {refusal[1]}", "")
    if any(_UNREACHABLE.match(line) for line in said.splitlines()):
        return _skipped("the vulnerability service cannot be reached")
    return _failed("it broke down", said or "it said nothing")


def _skipped(why: str) -> int:
    print(f"pip-audit: skipped, {why}")
    return 0


def _failed(why: str, said: str = "", lines: int = 6) -> int:
    """The last ``lines`` of what was ``said`` stand below."""
    print("\n  ".join([f"pip-audit: {why}", *said.strip().splitlines()[-lines:]]), file=sys.stderr)
    return 1


def _versions(flaw: dict[str, list[str]]) -> str:
    return ", ".join(flaw.get("fix_versions", ())) or "no version yet"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
