"""The REST interface, over the real application."""

import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from api.errors import UnavailableError
from api.state.threads import Threads
from strategy.dag import Dag
from strategy.export import document, to_yaml
from strategy.result import Result

JSON = {"Content-Type": "application/json"}
REQUEST = {
    "model": "llama-3.1-8b",
    "cluster": {"gpu": "l40s", "gpus_per_host": 1, "hosts": 1},
    "workload": {"isl": 1024, "osl": 128, "concurrency": 4},
}


def test_a_request_gets_a_proved_plan(client: TestClient) -> None:
    answer = client.post("/v1/strategies", json=REQUEST)

    result = Result.model_validate(answer.json())
    assert answer.status_code == 200
    assert result.status == "valid"
    assert result.proof is not None
    assert result.proof.passed


def test_words_mean_the_same_as_the_object(client: TestClient) -> None:
    text = "Llama 3.1 8B on 1x L40S, 1024 tokens in, 128 out, concurrency 4"

    worded, exact = (client.post("/v1/strategies", json=body).json() for body in ({"text": text}, REQUEST))

    assert worded["strategy"] == exact["strategy"]


def test_what_cannot_fit_is_an_answer_not_an_error(client: TestClient) -> None:
    answer = client.post("/v1/strategies", json={**REQUEST, "model": "llama-3.1-70b"})

    assert answer.status_code == 200
    assert answer.json()["status"] == "infeasible"
    assert answer.json()["infeasible"]["limits"]


def test_a_valid_dag_is_told_so_as_json_and_as_yaml(client: TestClient, dag: Dag) -> None:
    as_json = client.post("/v1/validate", json=document(dag))
    as_yaml = client.post("/v1/validate", content=to_yaml(dag), headers={"Content-Type": "application/yaml"})

    assert as_json.json()["valid"] is True
    assert as_yaml.json() == as_json.json()


def test_a_missing_collective_is_found_where_it_is_missing(client: TestClient, dag: Dag) -> None:
    broken = to_yaml(dag).replace("inputs: [in, reduce]", "inputs: [in, o]", 1)

    answer = client.post("/v1/validate", content=broken, headers={"Content-Type": "application/yaml"}).json()

    errors = [finding for finding in answer["findings"] if finding["severity"] == "error"]
    assert answer["valid"] is False
    assert any(finding["path"].startswith("/blocks/1/nodes/") for finding in errors)


def test_a_result_can_be_validated_as_it_came(client: TestClient) -> None:
    planned = client.post("/v1/strategies", json=REQUEST).content

    answer = client.post("/v1/validate", content=planned, headers=JSON)

    assert answer.json()["valid"] is True


def test_a_point_has_a_price(client: TestClient) -> None:
    planned = client.post("/v1/strategies", json=REQUEST).json()
    point = {"request": REQUEST, "strategy": planned["strategy"], "concurrency": 2}

    answer = client.post("/v1/estimate", json=point).json()

    assert answer["concurrency"] == 2
    assert 0 < answer["tpot_ms"] < answer["ttft_ms"]


@pytest.mark.parametrize(("to", "start"), [("json", "{"), ("yaml", "version: 1"), ("mermaid", "flowchart")])
def test_a_dag_can_be_exported(client: TestClient, dag: Dag, to: str, start: str) -> None:
    answer = client.post(f"/v1/export/{to}", json=document(dag))

    assert answer.status_code == 200
    assert answer.text.startswith(start)


@pytest.mark.parametrize(
    "path", ["/v1/rules", "/v1/catalog/models", "/v1/catalog/gpus", "/healthz", "/readyz", "/openapi.json", "/docs"]
)
def test_what_can_be_read_is_read(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 200


def test_the_api_can_be_read_without_scripts_or_other_hosts(client: TestClient) -> None:
    answer = client.get("/docs")
    text = answer.text

    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "<script" not in text
    assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", text)
    for path, item in client.get("/openapi.json").json()["paths"].items():
        for method in item:
            assert f"<b>{method.upper()}</b> <code>{path}</code></h2>" in text
    anchors = set(re.findall(r'href="#([^"]+)"', text))
    assert len(anchors) > 50
    assert anchors <= set(re.findall(r'id="([^"]+)"', text))
    assert client.get("/redoc").status_code == 404
    assert client.get("/docs", headers={"If-None-Match": answer.headers["etag"]}).status_code == 304


def test_a_record_is_found_by_any_of_its_names(client: TestClient) -> None:
    by_key, by_id = (client.get(f"/v1/catalog/models/{name}") for name in ("llama-3.1-8b", "meta-llama/Llama-3.1-8B"))

    assert by_key.json() == by_id.json()
    assert by_key.json()["num_layers"] == 32


def test_a_cited_section_can_be_read(client: TestClient) -> None:
    found = client.get("/v1/knowledge", params={"ref": "collectives.md#message-sizes"}).json()

    assert (found["page"], found["title"]) == ("Collectives", "Message sizes")
    assert "all-reduce" in found["text"]


def test_a_section_that_is_not_there_is_told_with_what_may_be_meant(client: TestClient) -> None:
    answer = client.get("/v1/knowledge", params={"ref": "collectives.md#message-size"})

    assert_problem(answer, 404)
    assert "collectives.md#message-sizes" in str(answer.json())


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/v1/rules/XX999", 404),
        ("GET", "/v1/catalog/models/llama-9", 404),
        ("GET", "/v1/knowledge", 422),
        ("GET", "/v1/catalog/cars", 422),
        ("GET", "/v1/strategies", 405),
        ("DELETE", "/v1/rules", 405),
        ("POST", "/v1/export/vhdl", 404),
    ],
)
def test_a_wrong_address_is_a_problem(client: TestClient, method: str, path: str, status: int) -> None:
    answer = client.request(method, path, json=REQUEST if method == "POST" else None)

    assert_problem(answer, status)


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        (b"", 400, ""),
        (b"{", 400, ""),
        (b'{"a": 1, "a": 2}', 400, ""),
        (b'{"model": NaN}', 400, ""),
        (b"[" * 100_000, 400, ""),
        (b"\xff\xfe", 400, ""),
        (json.dumps({**REQUEST, "model": "\ud800"}).encode(), 400, ""),
        (
            json.dumps(
                {**REQUEST, "model": {"architectures": ["LlamaForCausalLM"], "_name_or_path": "\udfff"}}
            ).encode(),
            400,
            "",
        ),
        (json.dumps({**REQUEST, "\ud800": 1}).encode(), 400, ""),
        (json.dumps({"text": "Llama 3.1 8B\0"}).encode(), 400, ""),
        (b"[]", 422, ""),
        (b"{}", 422, "/model"),
        (b'{"text": ""}', 422, "/text"),
        (json.dumps({**REQUEST, "modle": 1}).encode(), 422, "/modle"),
        (json.dumps({**REQUEST, "workload": {"isl": "many", "osl": 1}}).encode(), 422, "/workload/isl"),
        (json.dumps({**REQUEST, "model": "lama-3.1-8c"}).encode(), 422, "/model"),
        (json.dumps({**REQUEST, "cluster": {"gpu": "h1000"}}).encode(), 422, "/cluster/gpu"),
    ],
)
def test_a_body_that_cannot_be_used_is_a_problem_that_points_at_it(
    client: TestClient, body: bytes, status: int, pointer: str
) -> None:
    answer = client.post("/v1/strategies", content=body, headers=JSON)

    assert_problem(answer, status)
    assert pointer in [place["pointer"] for place in answer.json()["errors"]] if pointer else True


def test_a_parameter_that_cannot_be_used_is_told_with_its_value(client: TestClient) -> None:
    answer = client.get("/v1/runs?limit=1000")

    assert_problem(answer, 422)
    assert answer.json()["errors"] == [
        {"pointer": "/query/limit", "detail": "Input should be less than or equal to 100, got '1000'"}
    ]


def test_a_chat_is_answered_when_it_cannot_be_kept(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_: object) -> None:
        raise UnavailableError("the database does not answer", retry_after_s=5)

    monkeypatch.setattr(Threads, "keep", full)
    said = {"role": "user", "content": "Llama 3.1 8B on 1 L40S, 1k in, 100 out"}

    answer = client.post("/v1/chat/completions", json={"model": "meshwright", "messages": [said]})

    assert answer.status_code == 200, answer.text
    assert "**valid**" in answer.json()["choices"][0]["message"]["content"]


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.sampled_from(["bf16", "h100-sxm", "pp"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
PLACES = [
    ("model",),
    ("cluster",),
    ("cluster", "gpu"),
    ("cluster", "hosts"),
    ("workload", "isl"),
    ("workload", "osl"),
    ("slo",),
]
PLACES += [
    ("precision",),
    ("precision", "kv"),
    ("constraints", "fix", "tp_size"),
    ("constraints", "forbid"),
    ("objective",),
    ("extra",),
]


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.sampled_from(PLACES), value=JUNK)
def test_no_junk_in_any_place_is_a_fault_of_ours(client: TestClient, place: tuple[str, ...], value: object) -> None:
    body = json.loads(json.dumps(REQUEST))
    inner = body
    for key in place[:-1]:
        inner = inner.setdefault(key, {})
    inner[place[-1]] = value

    answer = client.post("/v1/strategies", json=body)

    assert answer.status_code < 500, answer.text
    if answer.status_code != 200:
        assert_problem(answer, answer.status_code)


def test_a_syntax_error_has_a_line_and_a_column(client: TestClient) -> None:
    answer = client.post("/v1/strategies", content=b'{\n  "text": oops\n}', headers=JSON)

    assert [(place["line"], place["column"]) for place in answer.json()["errors"]] == [(2, 11)]


def test_a_body_beyond_the_limit_is_refused_with_and_without_its_length(client: TestClient) -> None:
    data = b'{"text": "' + b"x" * 400_000 + b'"}'

    stated = client.post("/v1/strategies", content=data, headers=JSON)
    streamed = client.post("/v1/strategies", content=iter([data[:200_000], data[200_000:]]), headers=JSON)

    assert_problem(stated, 413)
    assert_problem(streamed, 413)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_body_of_another_type_is_refused(client: TestClient, kind: str) -> None:
    answer = client.post("/v1/strategies", content=b"{}", headers={"Content-Type": kind})

    assert_problem(answer, 415)


def test_a_strategy_that_is_not_legal_is_not_priced(client: TestClient) -> None:
    pool = {"stages": [[0, 32]], "attention": {"tp_size": 7}}

    answer = client.post("/v1/estimate", json={"request": REQUEST, "strategy": {"pools": [pool]}})

    assert_problem(answer, 422)
    assert "TP001" in answer.json()["detail"]


def test_the_llm_proposer_without_an_endpoint_says_how_to_set_one(client: TestClient) -> None:
    answer = client.post("/v1/strategies?proposer=llm", json=REQUEST)

    assert_problem(answer, 422)
    assert "MESHWRIGHT_LLM__BASE_URL" in answer.text


def test_every_body_is_described_in_the_openapi_document(client: TestClient) -> None:
    described = client.get("/openapi.json").json()

    for path in ("/v1/strategies", "/v1/validate", "/v1/estimate", "/v1/export/{to}"):
        schema = described["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        for choice in schema["anyOf"]:
            assert choice["$ref"].rpartition("/")[2] in described["components"]["schemas"]


def assert_problem(answer: Any, status: int) -> None:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "detail", "instance"} <= answer.json().keys()
    assert answer.json()["status"] == status
    assert "Traceback" not in answer.text


def test_an_export_of_several_files_lists_them(client: TestClient, dag: Dag) -> None:
    scripts = client.post(
        "/v1/export/sglang",
        json={
            "dag": {**document(dag)},
            "request": {**REQUEST, "cluster": {"gpu": "l40s", "gpus_per_host": 2, "hosts": 2}},
        },
    )
    traces = client.post("/v1/export/chakra", json=document(dag))

    told = scripts.json()["files"]
    assert [file["name"] for file in told] == ["host0.sh", "host1.sh"]
    assert "--nnodes 2" in told[1]["text"]
    assert {file["name"]: set(file) for file in traces.json()["files"]}["trace.3.et"] == {
        "name",
        "media_type",
        "base64",
    }


def test_a_plan_that_an_engine_cannot_express_is_a_problem_with_the_nearest_one(client: TestClient, dag: Dag) -> None:
    answer = client.post("/v1/export/llm-d", json=document(dag))

    assert_problem(answer, 422)
    assert "cannot express this plan" in answer.json()["detail"]
    assert "nearest plan" in answer.text
