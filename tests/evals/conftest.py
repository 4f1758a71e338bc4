import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from evals_support import FAST_RUN


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """What the fast suites said, and how long each took."""
    told = config.stash.get(FAST_RUN, "")
    if told:
        terminalreporter.section("evals: the fast suites against the baseline")
        terminalreporter.write(told)
