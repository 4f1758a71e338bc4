"""A run is one log: the same run gives the same scores, goes on where it stopped, is scored again without being solved, and fails honestly."""

import json
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from evals_support import CONFIG, entry, log_of

from evals import run as runner
from evals.log import Log, SuiteLog, read, write
from evals.run import Task, chosen_samples, configured, planned_suite, run, score, score_again, solve_sample
from evals.suite import Sample, Score, Suite, suites
from strategy.errors import InputError, MeshwrightError, UnreadableError


async def solve(sample: Sample, _proposer: str) -> dict[str, Any]:
    if sample.input == "crash":
        raise RuntimeError("no such luck")
    return {"half": sample.input / 2, "usage": {"input_tokens": 3, "output_tokens": 2, "calls": 1}}


def halved(sample: Sample, output: dict[str, Any]) -> Score:
    return Score("halved", float(output["half"] * 2 == sample.input))


TOY = Suite("toy", "halves", lambda: [Sample(f"n{n}", n) for n in range(10)], solve, (halved,))


def in_process(tasks: Any, _jobs: int) -> Any:
    for task in tasks:
        yield task, runner.solve_task(task)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Suite:
    monkeypatch.setattr(runner, "suites", lambda: {"toy": TOY})
    runner._samples_of.cache_clear()
    yield TOY
    runner._samples_of.cache_clear()


def test_a_log_reads_back_as_it_was_written(tmp_path: Path) -> None:
    log = log_of(entry("s", {"right": 1}, {"error": 0.25}), entry("t", {}, error="crashed"))

    assert read(write(log, tmp_path / "log.jsonl")) == log


def test_a_log_that_was_cut_off_loses_only_its_last_line(tmp_path: Path) -> None:
    path = write(log_of(entry("s", {"right": 1}), entry("t", {"right": 1})), tmp_path / "log.jsonl")
    text = path.read_text()
    path.write_text(text[: text.index('{"end"') - 20])

    found = read(path)

    assert [one.sample for one in found.suites[0].entries] == ["s"]
    assert not found.complete


@pytest.mark.parametrize("text", ["", "{}\n", '{"suite": {}}\n', "no json\n{}\n"])
def test_what_is_no_log_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(text)

    with pytest.raises(UnreadableError):
        read(path)


@pytest.mark.usefixtures("toy")
def test_a_run_keeps_what_it_was_run_with(tmp_path: Path) -> None:
    log = run(configured(["toy"], proposer="planner", jobs=1), tmp_path / "log.jsonl", spread=in_process)

    assert log.complete
    assert log.suites[0].passed
    assert (log.config.suites, log.config.proposer, log.config.seed) == (("toy",), "planner", 0)
    assert log.config.code
    assert log.config.version
    assert log.suites[0].entries[3].usage == {"input_tokens": 3, "output_tokens": 2, "calls": 1}


@pytest.mark.usefixtures("toy")
def test_a_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    config = configured(["toy"], proposer="planner", jobs=1)
    whole = run(config, path, spread=in_process)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:6], lines[6][:25]]))
    solved: list[str] = []

    again = run(config, path, resume=True, spread=in_process, progress=lambda _, one: solved.append(one.sample))

    assert solved == [f"n{n}" for n in range(4, 10)]
    assert [one.scores for one in again.suites[0].entries] == [one.scores for one in whole.suites[0].entries]
    assert again.complete


@pytest.mark.usefixtures("toy")
def test_a_run_of_something_else_is_not_gone_on_with(tmp_path: Path) -> None:
    config = configured(["toy"], proposer="planner", jobs=1)
    run(config, tmp_path / "log.jsonl", spread=in_process)

    with pytest.raises(InputError, match="another seed"):
        run(replace(config, seed=1), tmp_path / "log.jsonl", resume=True, spread=in_process)


def test_what_a_process_that_died_had_taken_is_given_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = [Task("toy", f"n{n}", "planner", 0) for n in range(5)]
    deaths = [3, 1]

    def dying(given: Any, _jobs: int) -> Any:
        for count, task in enumerate(given):
            if deaths and count == deaths[0]:
                deaths.pop(0)
                raise BrokenProcessPool
            yield task, entry(task.sample, {"right": 1})

    monkeypatch.setattr(runner, "_pooled", dying)

    assert [task for task, _ in runner.processes(tasks, 2)] == tasks
    deaths += [0, 0, 0]
    with pytest.raises(MeshwrightError, match="died 3 times"):
        list(runner.processes(tasks, 2))


def test_a_subset_is_the_same_for_the_same_seed_and_in_order() -> None:
    samples = [Sample(f"n{n}", n) for n in range(50)]

    found = chosen_samples(samples, 8, 3)

    assert found == chosen_samples(samples, 8, 3)
    assert [one.input for one in found] == sorted(one.input for one in found)
    assert found != chosen_samples(samples, 8, 4)
    assert chosen_samples(samples, 99, 3) == samples


def test_a_sample_that_crashes_fails_and_says_why() -> None:
    found = solve_sample(TOY, Sample("c", "crash"), "planner")

    assert not found.passed
    assert found.error == "RuntimeError: no such luck"


def test_a_scorer_that_cannot_read_an_output_fails_it() -> None:
    found = score(TOY.scorers, Sample("n", 1), {"nothing": 0})

    assert [(one.scorer, one.value) for one in found] == [("halved", 0.0)]


def test_a_sample_on_which_no_scorer_speaks_does_not_pass() -> None:
    assert not solve_sample(replace(TOY, scorers=(lambda _sample, _output: None,)), Sample("n", 1), "planner").passed


def test_a_suite_without_samples_does_not_pass() -> None:
    assert not SuiteLog("empty", "", ()).passed


def test_what_is_absent_skips_a_suite_with_its_reason() -> None:
    suite = replace(TOY, absent=lambda proposer: f"no folder for {proposer}")

    found = planned_suite(suite, CONFIG)

    assert (found.skipped, found.samples) == ("no folder for planner", ())


def test_two_samples_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two samples with the id `a`"):
        replace(TOY, samples=lambda: [Sample("a", 1), Sample("a", 2)]).all_samples(0)


@pytest.mark.usefixtures("toy")
def test_scoring_again_solves_nothing_and_uses_the_scorers_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = run(configured(["toy"], proposer="planner", jobs=1), tmp_path / "log.jsonl", spread=in_process)
    strict = replace(TOY, solve=None, scorers=(lambda sample, _output: Score("odd", sample.input % 2),))  # type: ignore[arg-type]
    monkeypatch.setattr(runner, "suites", lambda: {"toy": strict})
    runner._samples_of.cache_clear()

    again = score_again(log)

    assert [one.scores[0].value for one in again.suites[0].entries] == [0, 1] * 5
    assert [one.output for one in again.suites[0].entries] == [one.output for one in log.suites[0].entries]


def test_every_suite_has_a_name_of_its_own_and_says_what_it_is_about() -> None:
    found = suites()

    assert {"scenarios", "recipes", "search", "prompts", "published"} <= found.keys()
    assert [name for name, suite in found.items() if name != suite.name or not suite.about or not suite.scorers] == []


def evals(*arguments: str | Path, status: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "evals", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def scores_of(log: Log) -> dict[str, list[tuple[str, float]]]:
    return {one.sample: [(s.scorer, s.value) for s in one.scores] for suite in log.suites for one in suite.entries}


def test_run_report_score_and_accept_on_the_command_line(tmp_path: Path) -> None:
    folder, base = tmp_path / "runs", tmp_path / "base"
    options = ("--out", folder, "--baseline", base)

    assert "no baseline" in evals("run", "published", "--jobs", "2", *options).stdout
    log = read(next(folder.glob("*.jsonl")))
    assert log.complete
    assert log.path is not None
    page = log.path.with_suffix(".html").read_text()
    assert "gpt-oss-120b-tp1-h200" in page
    evals("accept", *options)
    assert "passed: nothing got worse" in evals("report", *options).stdout
    assert "0 of 6 samples are scored otherwise" in evals("score", log.path, "--baseline", base).stdout
    assert scores_of(read(log.path.with_suffix(".rescored.jsonl"))) == scores_of(log)

    spoiled = json.loads((base / "published.json").read_text())
    spoiled["scorers"]["throughput_error"]["values"] = [0.0] * 6
    (base / "published.json").write_text(json.dumps(spoiled))
    assert "regression" in evals("report", *options, status=1).stdout


def test_what_cannot_be_run_is_said_with_what_can(tmp_path: Path) -> None:
    assert "there are: " in evals("run", "nonsense", status=2).stderr
    assert "python -m evals run all" in evals("report", "--out", tmp_path, status=2).stderr
