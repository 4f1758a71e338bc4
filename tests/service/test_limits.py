"""A guarded process: keys, scopes, rates, quotas, and more requests than it takes on."""

import re
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partialmethod
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from service_support import ASYNC, REQUEST, SOON_S, hold, wait_for

from evals.service.model import SlowModel
from evals.service.processes import SOURCES, Process, running

MakeKey = Callable[..., str]


@pytest.fixture(scope="module")
def make_key(tmp_path_factory: pytest.TempPathFactory) -> MakeKey:
    folder = tmp_path_factory.mktemp("keys")

    def make(*arguments: str) -> str:
        made = subprocess.run(
            [sys.executable, "-m", "api.cli", "keys", *arguments],
            cwd=folder,
            env={"PYTHONPATH": str(SOURCES)},
            capture_output=True,
            text=True,
            check=True,
        )
        return made.stdout.strip()

    make.folder = folder  # type: ignore[attr-defined]
    return make


@pytest.fixture(scope="module")
def guarded(make_key: MakeKey, model: SlowModel) -> Iterator[Process]:
    folder: Path = make_key.folder  # type: ignore[attr-defined]
    settings = {
        "MESHWRIGHT_REQUIRE_KEYS": "true",
        "MESHWRIGHT_MCP": "true",
        "MESHWRIGHT_LLM__BASE_URL": model.url,
        "MESHWRIGHT_LLM__MODEL": "slow",
        "MESHWRIGHT_LLM_SLOTS": "1",
        "MESHWRIGHT_MAX_WAITING": "1",
    }
    process = Process("serve", settings, folder)
    with running(process):
        yield process


@dataclass(frozen=True)
class Client:
    """Someone with a key, or without."""

    url: str
    key: str

    def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        authorization = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        headers = authorization | options.pop("headers", {})
        return httpx.request(method, self.url + path, headers=headers, **{"timeout": 60, **options})

    get = partialmethod(send, "GET")
    post = partialmethod(send, "POST")
    delete = partialmethod(send, "DELETE")


def client(process: Process, key: str = "") -> Client:
    return Client(process.url, key)


@pytest.mark.parametrize("path", ["/v1/rules", "/v1/runs", "/v1/catalog/gpus", "/v1/models", "/metrics", "/mcp"])
@pytest.mark.parametrize("key", ["", "mw_000000000000_" + "a" * 43, "sk-something", "x" * 5_000])
def test_without_a_known_key_nothing_is_answered(guarded: Process, path: str, key: str) -> None:
    answer = client(guarded, key).get(path)

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_needs_no_key(guarded: Process, path: str) -> None:
    assert client(guarded).get(path).status_code == 200


def test_a_key_opens_what_its_scope_allows_until_it_is_revoked(guarded: Process, make_key: MakeKey) -> None:
    plan, admin = make_key("add", "pipeline"), make_key("add", "operator", "--scope", "admin")

    assert client(guarded, plan).get("/v1/rules").status_code == 200
    assert client(guarded, plan).get("/metrics").status_code == 403
    assert client(guarded, admin).get("/metrics").status_code == 200

    make_key("revoke", plan.split("_", 2)[1])

    assert client(guarded, plan).get("/v1/rules").status_code == 401


def test_a_run_is_seen_by_its_key_and_by_an_admin_only(guarded: Process, make_key: MakeKey) -> None:
    mine, other, admin = make_key("add", "a"), make_key("add", "b"), make_key("add", "c", "--scope", "admin")
    address = client(guarded, mine).post("/v1/strategies", json=REQUEST, headers=ASYNC).headers["location"]

    assert client(guarded, mine).get(address).status_code == 200
    assert client(guarded, admin).get(address).status_code == 200
    assert client(guarded, other).get(address).status_code == 404
    assert client(guarded, other).delete(address).status_code == 404
    assert client(guarded, other).get(f"{address}/events").status_code == 404
    assert client(guarded, other).get("/v1/runs").json()["runs"] == []


def test_the_rate_and_the_quota_of_a_key_hold(guarded: Process, make_key: MakeKey) -> None:
    slow, poor = make_key("add", "slow", "--rate-per-minute", "3"), make_key("add", "poor", "--plans-per-day", "1")

    rates = [client(guarded, slow).get("/v1/rules/TP001") for _ in range(4)]
    plans = [client(guarded, poor).post("/v1/strategies", json=REQUEST) for _ in range(2)]

    assert [answer.status_code for answer in rates] == [200, 200, 200, 429]
    assert [answer.status_code for answer in plans] == [200, 429]
    assert int(rates[-1].headers["retry-after"]) <= 20
    assert int(plans[-1].headers["retry-after"]) <= 86_400


def test_a_plan_beyond_the_quota_is_not_stored_and_its_key_can_be_sent_again(
    guarded: Process, make_key: MakeKey
) -> None:
    caller = client(guarded, make_key("add", "none-left", "--plans-per-day", "1"))
    sent = [
        caller.post("/v1/strategies", json=REQUEST, headers={**ASYNC, "Idempotency-Key": name})
        for name in ("first", "first", "second", "second")
    ]

    assert [answer.status_code for answer in sent] == [202, 202, 429, 429]
    assert len(caller.get("/v1/runs").json()["runs"]) == 1


def test_a_plan_over_mcp_counts_against_the_quota(guarded: Process, make_key: MakeKey) -> None:
    caller = client(guarded, make_key("add", "tools", "--plans-per-day", "1"))
    call = {"name": "plan", "arguments": {"request": "Llama 3.1 8B on 1 L40S, 1k in, 100 out"}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    headers = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-06-18"}

    told = [caller.post("/mcp", json=body, headers=headers).json()["result"] for _ in range(2)]

    assert [answer["isError"] for answer in told] == [False, True]
    assert "used up" in told[1]["content"][0]["text"]


def test_one_more_than_can_wait_is_told_when_to_come_again(
    guarded: Process, make_key: MakeKey, model: SlowModel
) -> None:
    key, path = make_key("add", "crowd"), "/v1/strategies?proposer=llm"
    answers: list[str] = []

    with ExitStack() as crowd:
        waiting = [crowd.enter_context(hold(guarded.url, path, REQUEST, key)) for _ in range(6)]
        while len(answers) < 4:
            answered, _, _ = select.select(waiting, [], [], 20)
            assert answered, f"{len(answers)} were answered"
            answers += [connection.recv(65_536).decode() for connection in answered]
            waiting = [connection for connection in waiting if connection not in answered]
        assert wait_for(lambda: model.open == 1, 20)

    assert all(answer.startswith("HTTP/1.1 503") for answer in answers)
    assert all(re.search(r"\r\nretry-after: [1-9]", answer) for answer in answers)
    assert wait_for(lambda: model.open == 0, SOON_S)


def test_the_facade_takes_the_key_as_openai_clients_send_it(guarded: Process, make_key: MakeKey) -> None:
    stranger = openai.OpenAI(base_url=f"{guarded.url}/v1", api_key="sk-no", max_retries=0)
    with stranger, pytest.raises(openai.AuthenticationError):
        stranger.models.list()
    with openai.OpenAI(base_url=f"{guarded.url}/v1", api_key=make_key("add", "chat"), max_retries=0) as known:
        assert known.models.list().data


def test_no_key_is_in_the_log_or_the_database(guarded: Process, make_key: MakeKey) -> None:
    secret = make_key("add", "quiet").split("_", 2)[2]
    client(guarded, f"mw_000000000000_{secret}").get("/v1/rules")
    folder = guarded.log.parent

    assert [path.name for path in folder.iterdir() if secret.encode() in path.read_bytes()] == []
