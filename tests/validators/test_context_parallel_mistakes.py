"""Mistakes in ring, chunked and decode context parallelism: the rules and the proof refuse each, independently."""

from typing import Any

import pytest

from knowledge.catalogue import find_model
from strategy.build import build
from strategy.dag import Dag
from strategy.execute import prove
from strategy.export import document
from strategy.strategy import AttentionMesh, ExpertMesh, Pool, Strategy
from validators.validate import validate

RING = {"attention": AttentionMesh(cp_size=3, tp_size=2), "sp_kind": "cp_ring", "cp_decode_use": "replicate"}
CP = {"attention": AttentionMesh(cp_size=2, tp_size=2), "experts": ExpertMesh(ep_size=4), "cp_decode_use": "replicate"}
MLA_RING = {**CP, "sp_kind": "cp_ring"}
MLA_CHUNKS = {"attention": AttentionMesh(dp_size=2, tp_size=2), "experts": ExpertMesh(ep_size=4), "chunk_tokens": 256}
MLA_CP_CHUNKS = {**CP, "sp_kind": "cp_allgather", "chunk_tokens": 256}
DCP = {
    "attention": AttentionMesh(tp_size=8),
    "experts": ExpertMesh(ep_size=8),
    "ep_lowering": "replicated",
    "dcp_size": 4,
}


@pytest.mark.parametrize(
    ("name", "fields", "block", "node", "change"),
    [
        ("llama-3.1-70b", RING, "attention_prefill", "kv", {"inputs": ["qkv", "send_1", "recv_2"]}),
        ("llama-3.1-70b", RING, "attention_prefill", "attend_1", {"inputs": ["qkv", "send_1"]}),
        ("llama-3.1-70b", RING, "attention_prefill", "send_2", {"inputs": ["send_1"]}),
        (
            "llama-3.1-70b",
            RING,
            "attention_prefill",
            "attend",
            {"inputs": ["attend_0", "attend_1", "attend_1", "sync:kv"]},
        ),
        ("deepseek-v3", MLA_RING, "mla_prefill", "kv_b_0", {"inputs": ["kv"]}),
        ("deepseek-v3", MLA_CHUNKS, "mla_prefill", "kv_b", {"inputs": ["kv_norm"]}),
        ("deepseek-v3", MLA_CP_CHUNKS, "mla_prefill", "kv_b", {"inputs": ["kv_gather"]}),
        ("deepseek-v3", DCP, "mla_decode", "lse", {"axis": "cp"}),
        ("deepseek-v3", DCP, "mla_decode", "lse", {"axis": "dp"}),
    ],
)
def test_rules_and_proof_refuse_it(
    name: str, fields: dict[str, Any], block: str, node: str, change: dict[str, Any]
) -> None:
    model = find_model(name)
    pool = Pool.model_validate({"stages": ((0, model.num_layers),), **fields})
    broken = document(build(model, Strategy(pools=(pool,))))
    target = next(n for b in broken["blocks"] if b["name"] == block for n in b["nodes"] if n["id"] == node)
    target.update(change)
    dag = Dag.model_validate(broken)

    errors = [f for f in validate(dag, model, prove=False).findings if f.severity == "error"]

    assert errors
    assert not prove(dag, model).passed
