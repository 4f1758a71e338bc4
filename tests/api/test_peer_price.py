"""`cost_backend`: another cost model's figures come with its name and version, ours beside them at the same load."""

from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient

import knowledge.aiconfigurator
from api import render, service
from knowledge.aiconfigurator import Package
from strategy.dag import Dag
from strategy.errors import InputError
from strategy.result import PeerEstimate

REQUEST = {
    "model": "llama-3.1-8b",
    "cluster": {"gpu": "h100-sxm", "gpus_per_host": 8, "hosts": 1},
    "workload": {"isl": 1024, "osl": 128},
    "engine": "vllm",
}
POINT = {
    "request": REQUEST,
    "strategy": {"pools": [{"replicas": 4, "attention": {"tp_size": 2}}]},
    "concurrency": 33,
    "cost_backend": "aiconfigurator@0.27.0",
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What a package in the place of the real one was asked."""
    calls: list[dict[str, Any]] = []

    def estimate(_model: str, _system: str, **fields: Any) -> SimpleNamespace:
        calls.append(fields)
        modes = dict.fromkeys(("gemm", "kvcache", "fmha", "moe"), "bfloat16")
        raw = {
            "tokens/s/gpu": 500.0,
            "seq/s": 8.0,
            "num_total_gpus": 2,
            "concurrency": fields["batch_size"],
            "memory": 20.0,
        }
        return SimpleNamespace(
            mode="agg", ttft=100.0, tpot=10.0, raw=raw | modes, per_ops_data={"genonly_step": {"generation_attention": 2.0}},
            per_ops_source={"genonly_step": {"generation_attention": "silicon"}}, kv_cache_warning="its cache is full",
        )  # fmt: skip

    package = Package(
        version="0.12.0",
        models=frozenset({"meta-llama/Llama-3.1-8B"}),
        architectures=frozenset({"LlamaForCausalLM"}),
        databases=lambda: {"h100_sxm": {"vllm": ["0.24.0", "0.27.0"]}},
        latest=lambda _system, _engine: "0.24.0",
        estimate=estimate,
    )
    monkeypatch.setattr(knowledge.aiconfigurator, "installed", lambda: package)
    return calls


def test_both_prices_are_told_at_the_load_that_it_can_be_asked_for(
    client: TestClient, asked: list[dict[str, Any]]
) -> None:
    answer = client.post("/v1/estimate", json=POINT).json()

    assert asked[0]["backend_version"] == "0.27.0"
    assert asked[0]["batch_size"] == 8
    assert (answer["cost_backend"], answer["version"]) == ("aiconfigurator", "0.12.0")
    assert (answer["gpus"], answer["concurrency"], answer["requests_per_s"]) == (8, 32, 32.0)
    assert answer["ours"]["concurrency"] == 32
    assert answer["ours"]["gpus"] == 8
    assert "its cache is full" in answer["notes"]


def test_a_terminal_shows_both_side_by_side(asked: list[dict[str, Any]]) -> None:
    found = service.price(service.fit(service.Point, POINT, "the point"))

    assert isinstance(found, PeerEstimate)
    shown = render.text(render.peer_estimate(found))
    assert "aiconfigurator 0.12.0" in shown
    assert "10.0 ms" in shown
    assert "silicon" in shown
    assert asked


def test_a_graph_of_ones_own_has_no_price_there(asked: list[dict[str, Any]], dag: Dag) -> None:
    changed = dag.model_copy(update={"blocks": dag.blocks[::-1]})
    request = {**REQUEST, "model": dag.model}

    usual = service.Point.model_validate({**POINT, "request": request, "strategy": None, "dag": dag})
    own = usual.model_copy(update={"dag": changed})

    assert isinstance(service.price(usual), PeerEstimate)
    with pytest.raises(InputError, match="not the usual one"):
        service.price(own)
    assert len(asked) == 1


@pytest.mark.parametrize("name", ["other", "aiconfigurator@", "aiconfigurator@0.1 0", "meshwright@1"])
def test_a_backend_that_does_not_exist_is_refused(client: TestClient, name: str) -> None:
    answer = client.post("/v1/estimate", json={**POINT, "cost_backend": name})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/cost_backend"
