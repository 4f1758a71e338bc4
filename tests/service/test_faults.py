"""Processes that die, and one that is asked to stop."""

import signal
from pathlib import Path

import httpx
from service_support import ended, start, wait_for

from evals.service.kills import kill_cluster, kill_single
from evals.service.model import slow_model
from evals.service.processes import Process, running


def test_no_run_is_lost_or_finished_twice_when_the_process_is_killed(tmp_path: Path) -> None:
    outcome = kill_single(tmp_path, kills=3, seed=1, by_wall=False)

    assert outcome.faults == []
    assert outcome.kills == 3
    assert outcome.accepted > 0


def test_no_run_is_lost_or_finished_twice_when_any_process_of_a_cluster_is_killed(
    tmp_path: Path, postgres_url: str
) -> None:
    outcome = kill_cluster(tmp_path, postgres_url, kills=3, seed=2, by_wall=False)

    assert outcome.faults == []
    assert outcome.kills == 3
    assert outcome.accepted > 0


def test_a_process_told_to_stop_gives_its_runs_back_and_the_next_one_ends_them(tmp_path: Path) -> None:
    with slow_model(3.0) as model:
        settings = {
            "MESHWRIGHT_DATABASE": f"sqlite:{tmp_path}/meshwright.sqlite3",
            "MESHWRIGHT_LLM__BASE_URL": model.url,
            "MESHWRIGHT_LLM__MODEL": "slow",
            "MESHWRIGHT_LOOP__MAX_ATTEMPTS": "4",
            "MESHWRIGHT_LOOP__SAME_CANDIDATE_LIMIT": "2",
            "MESHWRIGHT_DRAIN_S": "1",
        }
        process = Process("serve", settings, tmp_path)
        with running(process):
            with httpx.Client(base_url=process.url, timeout=60) as http:
                address = start(http, "llm")
                assert wait_for(lambda: model.open == 1, 10)
            status = process.terminate(wait_s=15)
            process.restart()
            process.ready()
            with httpx.Client(base_url=process.url, timeout=60) as http:
                run = ended(http, address)

    assert status == -signal.SIGTERM
    assert run["status"] == "done"
    assert run["result"]["origin"] == "planner_fallback"
    assert run["takeovers"] == 1


def test_a_database_that_cannot_be_opened_is_told_in_words(tmp_path: Path) -> None:
    process = Process("serve", {"MESHWRIGHT_DATABASE": f"sqlite:{tmp_path}"}, tmp_path)

    assert wait_for(lambda: not process.is_alive, 30)

    told = process.log.read_text()
    assert "cannot open the database file" in told
    assert "Traceback" not in told
