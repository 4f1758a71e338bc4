"""The accepted scores: what CI holds every change against. The fast suites run here, and their times are printed after the tests; the others
run with `python -m evals run all`."""

import subprocess
import sys
from pathlib import Path

import pytest
from evals_support import FAST_RUN

from evals.baseline import BASELINE, accepted_suites
from evals.suite import suites

FAST = ("cost", "exports", "prompts", "published", "retrieval", "rulebook", "understanding")
LIMIT_BYTES = 400_000


def test_the_fast_suites_have_a_baseline() -> None:
    assert set(FAST) <= accepted_suites().keys() <= suites().keys(), "run them and `python -m evals accept`"


def test_the_baseline_is_small_and_of_the_planner() -> None:
    assert sum(path.stat().st_size for path in BASELINE.glob("*.json")) < LIMIT_BYTES
    assert {one.proposer for one in accepted_suites().values()} == {"planner"}


def test_nothing_got_worse_in_the_fast_suites(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    command = [sys.executable, "-m", "evals", "run", *FAST, "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)

    pytestconfig.stash[FAST_RUN] = done.stdout
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
