"""Generated and hostile requests; the eval suite sends thousands, this a taste of them."""

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest
from service_support import wait_for

from evals.service.benches import tracebacks
from evals.service.fuzz import fuzz
from evals.service.hostile import attack
from evals.service.processes import Process, running


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A process without a language model, so that every request has its answer soon."""
    folder = tmp_path_factory.mktemp("attacked")
    process = Process("serve", {"MESHWRIGHT_DATABASE": f"sqlite:{folder}/meshwright.sqlite3"}, folder)
    with running(process):
        yield process


def test_generated_requests_get_the_answers_that_the_document_describes(api: Process) -> None:
    report = fuzz(api.url, requests=150, seed=3)

    assert report.faults == []
    assert report.requests > 100
    assert {200, 404, 422} <= set(report.statuses)


def test_hostile_requests_are_answered_in_words_and_in_time(api: Process) -> None:
    assert attack(api.url, every=4) == []
    assert httpx.get(f"{api.url}/readyz").status_code == 200
    assert tracebacks(api) == []


def left(api: Process) -> float:
    """Clients that left `/v1/validate` before their answer."""
    total = 'meshwright_requests_total{method="POST",route="/v1/validate",status="499"} '
    lines = httpx.get(f"{api.url}/metrics").text.splitlines()
    return sum(float(line.removeprefix(total)) for line in lines if line.startswith(total))


def test_a_client_that_leaves_in_the_middle_of_its_body_is_no_fault_of_the_service(api: Process) -> None:
    head = "POST /v1/validate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n"
    before = left(api)
    with socket.create_connection((urlsplit(api.url).hostname, urlsplit(api.url).port)) as leaving:
        leaving.sendall(f'{head}{{"dag": '.encode())

    assert httpx.get(f"{api.url}/readyz").status_code == 200
    assert wait_for(lambda: left(api) == before + 1, 5)
    assert tracebacks(api) == []


def test_every_example_of_the_document_works(api: Process) -> None:
    document = httpx.get(f"{api.url}/openapi.json").json()
    sent = 0
    for path, operations in document["paths"].items():
        examples = operations.get("post", {}).get("requestBody", {}).get("content", {}).get("application/json", {})
        for name, example in examples.get("examples", {}).items():
            answer = httpx.post(api.url + path.replace("{to}", "mermaid"), json=example["value"], timeout=60)
            assert answer.status_code == 200, f"{path} {name}: {answer.text[:300]}"
            sent += 1

    assert sent >= 7
