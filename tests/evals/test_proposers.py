"""The suites run with a language model on the loopback and with its recording, and say the same; a run that is killed leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from evals.faulty.server import serving
from evals.log import Log, read
from evals.loopback import NAME, read_and_answer

ASKED = ("llm", "scenarios", "prompts", "--samples", "1", "--jobs", "1")
"""Two suites that ask the model, one that does not."""


def evals(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "evals", *map(str, arguments)]
    env = {**os.environ, **environment}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=600)


def only_log(folder: Path) -> Log:
    return read(next(folder.glob("*.jsonl")))


def scores(log: Log) -> list[tuple[str, str, float]]:
    return [(e.sample, s.scorer, s.value) for suite in log.suites for e in suite.entries for s in e.scores]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Log]:
    """A run against a model on the loopback, and its recording."""
    folder = tmp_path_factory.mktemp("llm")
    with serving({NAME: read_and_answer}) as server:
        endpoint = {"MESHWRIGHT_LLM__BASE_URL": server.base_url(NAME), "MESHWRIGHT_LLM__MODEL": NAME}
        options = ("--proposer", "llm", "--out", folder, "--baseline", folder)
        evals("run", *ASKED, *options, MESHWRIGHT_RECORD=str(folder / "rec.json"), **endpoint)
    return folder / "rec.json", only_log(folder)


def test_a_model_on_the_loopback_is_asked_and_scored(recorded: tuple[Path, Log]) -> None:
    _, log = recorded

    assert log.complete
    assert [(suite.name, suite.skipped) for suite in log.suites] == [("llm", ""), ("scenarios", ""), ("prompts", "")]
    assert [suite.passed for suite in log.suites] == [True, True, True]
    assert log.suites[0].entries[0].usage["calls"] >= 1
    assert log.suites[0].entries[0].output["origin"] == "llm"


def test_its_recording_gives_the_same_scores_without_it(recorded: tuple[Path, Log], tmp_path: Path) -> None:
    recording, log = recorded

    evals("run", *ASKED, "--proposer", f"recorded:{recording}", "--out", tmp_path, "--baseline", tmp_path)

    again = only_log(tmp_path)
    assert scores(again) == scores(log)
    assert again.suites[0].entries[0].usage == log.suites[0].entries[0].usage


def test_a_recording_without_an_answer_fails_and_says_so(recorded: tuple[Path, Log], tmp_path: Path) -> None:
    options = ("--samples", "1", "--seed", "3", "--out", tmp_path, "--baseline", tmp_path)

    done = evals("run", "llm", "--proposer", f"recorded:{recorded[0]}", *options)

    assert done.returncode == 1
    assert "has no answer to this prompt" in done.stdout


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(done: Callable[[], bool], seconds: float = 60.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if done():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads the children of a process from /proc")
def test_a_run_that_is_killed_leaves_no_process_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    options = ("rulebook", "--out", str(tmp_path), "--baseline", str(tmp_path))
    command = [sys.executable, "-m", "evals", "run", *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        assert until(lambda: any(p.read_text().count('{"entry"') > 20 for p in tmp_path.glob("*.jsonl")), 300.0)
        workers = children(process.pid)
        process.send_signal(signal.SIGKILL)
    left = only_log(tmp_path)

    assert workers
    assert until(lambda: not any(map(alive, workers)))
    assert not left.complete
    evals("run", "--resume", *options)
    again = only_log(tmp_path)
    assert again.complete
    before = {entry.sample: entry.ms for entry in left.suites[0].entries}
    assert {entry.sample: entry.ms for entry in again.suites[0].entries if entry.sample in before} == before
