"""Stored runs over a real socket: accepted, followed, found again, cancelled."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from service_support import ASYNC, REQUEST, SOON_S, ended, events, hold, start, wait_for

from evals.service.model import SlowModel
from evals.service.processes import Process
from strategy.result import Result

CHAT = {"model": "meshwright-llm", "messages": [{"role": "user", "content": "Llama 3.1 8B on 1 L40S"}]}


def test_a_run_is_accepted_at_once_and_ends_with_the_result(http: httpx.Client) -> None:
    answer = http.post("/v1/strategies", json=REQUEST, headers=ASYNC)

    run = ended(http, answer.headers["location"])
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "respond-async"
    assert run["status"] == "done"
    assert Result.model_validate(run["result"]).status == "valid"


def test_a_run_tells_each_step_once_and_ends_with_its_result(http: httpx.Client) -> None:
    told = events(http.post("/v1/strategies/stream", json=REQUEST).text)

    assert [number for number, _, _ in told] == list(range(1, len(told) + 1))
    assert [kind for _, kind, _ in told if kind != "findings"] == ["understood", "retrieved", "attempt", "result"]
    assert told[-1][2]["status"] == "valid"


def test_who_comes_back_reads_on_where_they_stopped(http: httpx.Client) -> None:
    streamed = http.post("/v1/strategies/stream", json=REQUEST)
    address = f"{streamed.headers['location']}/events"

    again, rest = http.get(address), http.get(address, headers={"Last-Event-ID": "2"})

    assert events(again.text) == events(streamed.text)
    assert events(rest.text) == events(streamed.text)[2:]


def test_a_request_that_names_what_nobody_knows_is_refused_before_it_is_stored(http: httpx.Client) -> None:
    answer = http.post("/v1/strategies", json={**REQUEST, "model": "llama-9"}, headers=ASYNC)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/model"


def test_the_same_key_gets_the_same_run_and_another_request_is_refused(http: httpx.Client) -> None:
    key = {"Idempotency-Key": "pipeline-7"}

    first = http.post("/v1/strategies", json=REQUEST, headers=key)
    again = http.post("/v1/strategies", json=REQUEST, headers=key)
    other = http.post("/v1/strategies", json={**REQUEST, "objective": "latency"}, headers=key)

    assert first.json() == again.json()
    assert first.headers["location"] == again.headers["location"]
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert other.status_code == 422
    assert "Idempotency-Key" in other.json()["detail"]


def test_one_key_sent_ten_times_at_once_starts_one_run(http: httpx.Client) -> None:
    def ask(_: int) -> str:
        return start(http, **{"Idempotency-Key": "all-at-once"})

    with ThreadPoolExecutor(10) as pool:
        addresses = set(pool.map(ask, range(10)))

    assert len(addresses) == 1


def test_runs_are_listed_newest_first_a_page_at_a_time(http: httpx.Client) -> None:
    made = [start(http).rpartition("/")[2] for _ in range(5)]

    first = http.get("/v1/runs?limit=3").json()
    second = http.get(f"/v1/runs?limit=2&before={first['next']}").json()

    assert [run["id"] for run in (*first["runs"], *second["runs"])] == made[::-1]
    assert all(ended(http, f"/v1/runs/{run_id}")["status"] == "done" for run_id in made)


def test_a_cancelled_run_stops_its_call(http: httpx.Client, model: SlowModel) -> None:
    address = start(http, "llm")
    assert wait_for(lambda: model.open == 1, 20)

    http.delete(address)

    assert wait_for(lambda: model.open == 0, SOON_S)
    assert ended(http, address)["status"] == "cancelled"
    assert events(http.get(f"{address}/events").text)[-1][1] == "cancelled"
    assert http.delete(address).status_code == 200


def test_a_run_that_is_done_cannot_be_cancelled(http: httpx.Client) -> None:
    address = start(http)
    ended(http, address)

    assert http.delete(address).status_code == 409


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/strategies?proposer=llm", REQUEST),
        ("/v1/strategies/stream?proposer=llm", REQUEST),
        ("/v1/chat/completions", CHAT),
        ("/v1/chat/completions", {**CHAT, "stream": True}),
    ],
)
def test_a_client_that_leaves_stops_its_call(api: Process, model: SlowModel, path: str, body: object) -> None:
    with hold(api.url, path, body):
        assert wait_for(lambda: model.open == 1, 20)

    assert wait_for(lambda: model.open == 0, SOON_S)


def test_runs_are_kept_in_a_file_in_wal_mode(api: Process, http: httpx.Client) -> None:
    ended(http, start(http))
    file = next(Path(api.log).parent.glob("*.sqlite3"))

    with sqlite3.connect(file) as connection:
        assert connection.execute("pragma journal_mode").fetchone() == ("wal",)
        assert connection.execute("select count(*) from runs where status = 'done'").fetchone()[0] > 0


def test_no_checkpoint_outlives_its_run(api: Process, http: httpx.Client) -> None:
    ended(http, start(http))
    file = next(Path(api.log).parent.glob("*.sqlite3"))

    def left() -> int:
        with sqlite3.connect(file) as connection:
            running = "select id from runs where status in ('queued', 'running')"
            sql = f"select count(*) from checkpoints where thread_id not in ({running})"
            return int(connection.execute(sql).fetchone()[0])

    assert wait_for(lambda: left() == 0, 5)


def test_what_is_secret_is_neither_logged_nor_answered(api: Process, http: httpx.Client) -> None:
    answers = [http.get(path).text for path in ("/v1/runs", "/metrics", "/openapi.json", "/readyz")]

    assert "sk-never-shown" not in "".join([*answers, api.log.read_text()])
