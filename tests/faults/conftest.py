"""What became of each fault, as a table: clean, needs a person, or lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from _pytest.terminal import TerminalReporter

from tests.labelling.conftest import api, price

__all__ = ["api", "price"]

CLEAN, PERSON, LOST = "clean", "needs a person", "lost"
LEAST_CLEAN = 117 / 120


@pytest.fixture
def person(request) -> Callable[[str], None]:
    """To be told what somebody has to do before it goes on; without that a fault is a clean one."""
    # A plain string: one that knows its parts does not go from one process to another.
    return lambda why: request.node.user_properties.append((PERSON, str(why)))


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    outcomes = _outcomes(terminalreporter)
    if not outcomes:
        return
    terminalreporter.section("faults")
    width = max(map(len, outcomes))
    for fault, (outcome, why) in sorted(outcomes.items()):
        terminalreporter.write_line(f"{fault:<{width}}  {outcome}{f': {why}' if why else ''}")
    counts = Counter(outcome for outcome, _ in outcomes.values())
    told = ", ".join(f"{counts[outcome]} {outcome}" for outcome in (CLEAN, PERSON, LOST))
    terminalreporter.write_line(f"{len(outcomes)} faults: {told}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail where too many faults need somebody; one that loses anything has failed by itself."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    outcomes = [outcome for outcome, _ in _outcomes(reporter).values()] if reporter else []
    if len(outcomes) >= 120 and outcomes.count(CLEAN) < LEAST_CLEAN * len(outcomes):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _outcomes(reporter: TerminalReporter) -> dict[str, tuple[str, str]]:
    """By fault: what became of it, and what somebody had to do."""
    outcomes = {}
    for kind in ("passed", "failed", "error"):
        for report in reporter.stats.get(kind, []):
            if not report.nodeid.startswith("tests/faults/") or (kind == "passed" and report.when != "call"):
                continue
            fault = report.nodeid.removeprefix("tests/faults/test_").replace(".py::test_", ": ").replace("_", " ")
            why = dict(report.user_properties).get(PERSON, "")
            outcomes[fault] = (LOST if kind != "passed" else PERSON if why else CLEAN, why)
    return outcomes
