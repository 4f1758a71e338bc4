"""Logs made by hand, for what is said about logs."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from evals.log import Config, Entry, Log, SuiteLog
from evals.suite import Score, measure

FAST_RUN = pytest.StashKey[str]()
"""Where the fast suites' table waits for the end of the tests."""
CONFIG = Config(suites=("toy",), proposer="planner", started="2026-01-02T03:04:05+00:00", version="0", code="c", jobs=1)


def entry(
    sample: str, checks: Mapping[str, float], measures: Mapping[str, float] | None = None, *, error: str = ""
) -> Entry:
    scores = [Score(name, value, f"{name} said {value:g}") for name, value in checks.items()]
    scores += [measure(name, value, better="lower") for name, value in (measures or {}).items()]
    output = {"summary": f"outcome of {sample}"}
    return Entry(sample, output, tuple(scores), 12.0, error, f"input of {sample}")


def log_of(*entries: Entry, config: Config = CONFIG, skipped: str = "", path: Path | None = None) -> Log:
    suite = SuiteLog("toy", "a toy", tuple(one.sample for one in entries), skipped, entries)
    return Log(config, (suite,), 1.0, path)
