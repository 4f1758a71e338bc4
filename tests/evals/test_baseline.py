"""The accepted scores: what CI holds every change against. The fast suites run here, the others with `python -m evals run all`."""

import subprocess
import sys
from pathlib import Path

from evals.baseline import BASELINE, accepted_suites
from evals.suite import suites

FAST = ("rulebook", "prompts", "published")
LIMIT_BYTES = 300_000


def test_the_fast_suites_have_a_baseline() -> None:
    assert set(FAST) <= accepted_suites().keys() <= suites().keys(), "run them and `python -m evals accept`"


def test_the_baseline_is_small_and_of_the_planner() -> None:
    assert sum(path.stat().st_size for path in BASELINE.glob("*.json")) < LIMIT_BYTES
    assert {one.proposer for one in accepted_suites().values()} == {"planner"}


def test_nothing_got_worse_in_the_fast_suites(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "evals", "run", *FAST, "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)

    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
