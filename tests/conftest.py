"""What holds for every test: hypothesis profiles, and no silent skip in CI."""

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# A test says how many cases it wants; the fuzz profile goes on for as long as `make fuzz` lasts.
settings.register_profile("default", deadline=None, max_examples=300)
settings.register_profile(
    "fuzz",
    deadline=None,
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "20000")),
    suppress_health_check=list(HealthCheck),
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    if skipped and os.environ.get("CI") == "true":
        terminalreporter.write_line(
            f"{len(skipped)} skipped, which is a failure under CI=true", red=True
        )


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter: Any = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:
        return  # one of several processes, whose results are counted elsewhere
    if os.environ.get("CI") == "true" and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
