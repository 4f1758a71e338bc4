"""The typing pass: silent on every canonical DAG, one mismatch for one mistake."""

from itertools import product

import pytest

from knowledge.catalogue import find_model
from strategy.build import build
from strategy.dag import AnyNode, Dag
from strategy.strategy import AttentionMesh, ExpertMesh, Pool, Strategy
from validators.subject import Subject
from validators.typing_pass import Mismatch, type_dag

MODELS = {name: find_model(name) for name in ("deepseek-v3", "qwen3-235b-a22b", "llama-3.1-70b", "gpt-oss-120b")}
MESHES = [
    ((1, 8), (1, 8, 1), "replicated"), ((1, 8), (1, 1, 8), "replicated"), ((1, 8), (1, 2, 4), "replicated"), ((1, 8), (2, 4, 1), "replicated"),
    ((4, 2), (4, 2, 1), "replicated"), ((8, 1), (1, 8, 1), "all_to_all"), ((8, 1), (1, 8, 1), "all_gather"), ((4, 2), (1, 8, 1), "all_to_all"),
    ((4, 2), (1, 8, 1), "all_gather"), ((4, 2), (1, 2, 4), "all_to_all"), ((4, 2), (1, 2, 4), "all_gather"), ((4, 2), (2, 4, 1), "all_to_all"),
    ((4, 2), (2, 2, 2), "all_gather"), ((1, 8), (1, 8, 1), "all_to_all"), ((1, 8), (1, 8, 1), "all_gather"), ((4, 2), (8, 1, 1), "all_to_all"),
    ((1, 1), (1, 1, 1), "replicated"),
]  # fmt: skip


def subject(name: str, **fields: object) -> Subject:
    model = MODELS[name]
    pool = Pool.model_validate({"stages": ((0, model.num_layers),), **fields})
    return Subject(build(model, Strategy(pools=(pool,))), model)


def moe(name: str, mesh: tuple[tuple[int, int], tuple[int, int, int], str], **fields: object) -> Subject:
    (dp, tp), (moe_dp, ep, moe_tp), lowering = mesh
    experts = ExpertMesh(dp_size=moe_dp, ep_size=ep, tp_size=moe_tp)
    return subject(
        name, attention=AttentionMesh(dp_size=dp, tp_size=tp), experts=experts, ep_lowering=lowering, **fields
    )


@pytest.mark.parametrize("mesh", MESHES)
@pytest.mark.parametrize("name", ["deepseek-v3", "qwen3-235b-a22b"])
def test_canonical_moe_dags_are_well_typed(name: str, mesh: tuple[tuple[int, int], tuple[int, int, int], str]) -> None:
    for order, place in product(("moe_tp_fastest", "ep_fastest"), ("local", "gathered")):
        assert moe(name, mesh, moe_layout=order, dense_ffn=place, lm_head=place).typing.mismatches == ()


@pytest.mark.parametrize("sp_kind", ["none", "megatron"])
@pytest.mark.parametrize("tp_size", [1, 2, 8, 16])
def test_canonical_dense_dags_are_well_typed(tp_size: int, sp_kind: str) -> None:
    half = {"pp_size": 2, "stages": ((0, 40), (40, 80))}

    assert (
        subject("llama-3.1-70b", attention=AttentionMesh(tp_size=tp_size), sp_kind=sp_kind, **half).typing.mismatches
        == ()
    )


def edited(before: Subject, block: str, **changes: dict[str, object] | None) -> list[Mismatch]:
    """Mismatches after some nodes of a block were changed, or dropped (None) and their consumers joined to their first input."""

    def change(node: AnyNode) -> dict[str, object]:
        fields = {**node.model_dump(), **(changes.get(node.id) or {})}
        inputs = [str(i) for i in fields["inputs"]]  # type: ignore[attr-defined]
        return {**fields, "inputs": [bridge.get(i, i) for i in inputs]}

    found = before.dag.block(block)
    assert found is not None
    bridge = {node.id: node.inputs[0] for node in found.nodes if changes.get(node.id, {}) is None}
    nodes = [change(node) for node in found.nodes if node.id not in bridge]
    document = before.dag.model_dump()
    for one in document["blocks"]:
        if one["name"] == block:
            one["nodes"] = nodes
    return list(type_dag(Subject(Dag.model_validate(document), before.model)).mismatches)


DENSE_TP = subject("llama-3.1-70b", attention=AttentionMesh(tp_size=8))
DEEPSEEK = moe("deepseek-v3", ((8, 2), (1, 16, 1), "all_to_all"))
REPLICATED = moe("deepseek-v3", ((1, 8), (1, 8, 1), "replicated"))


@pytest.mark.parametrize(
    ("before", "block", "changes", "kind", "node"),
    [
        (DENSE_TP, "attention", {"reduce": None}, "partial", "add"),
        (DENSE_TP, "ffn", {"reduce": None}, "partial", "add"),
        (DENSE_TP, "embed", {"embedding": {"split": "replicated"}}, "not_partial", "reduce"),
        (DENSE_TP, "attention", {"o": {"split": "column"}}, "split", "o"),
        (DENSE_TP, "attention", {"o": {"weight": "down"}}, "content", "o"),
        (DENSE_TP, "attention", {"norm": None}, "content", "qkv"),
        (DENSE_TP, "attention", {"norm": {"weight": "ffn_norm"}}, "content", "norm"),
        (DENSE_TP, "attention", {"add": {"inputs": ("reduce", "reduce")}}, "content", "add"),
        (DENSE_TP, "head_decode", {"gather": None}, "sharded", "sample"),
        (DENSE_TP, "head_decode", {"gather": {"dim": "tokens"}}, "not_sharded", "gather"),
        (DENSE_TP, "head_prefill", {"last": None}, "content", "sample"),
        (DEEPSEEK, "mla_decode", {"reduce": {"axis": "dp"}}, "not_partial", "reduce"),
        (DEEPSEEK, "mla_decode", {"reduce": {"axis": "stage"}}, "not_partial", "reduce"),
        (DEEPSEEK, "mla_decode", {"attend": {"form": "expanded"}}, "content", "attend"),
        (DEEPSEEK, "mla_prefill", {"qkv_a": {"split": "column"}}, "split", "qkv_a"),
        (DEEPSEEK, "moe", {"combine": None}, "content", "merge"),
        (DEEPSEEK, "moe", {"dispatch": None}, "content", "experts"),
        (DEEPSEEK, "moe", {"regather": None}, "placements", "add"),
        (DEEPSEEK, "moe", {"merge": {"inputs": ("combine", "combine")}}, "content", "merge"),
        (DEEPSEEK, "moe", {"shared_gate_up": {"split": "column"}}, "sharded", "shared_gate_up"),
        (REPLICATED, "moe", {"reduce": None}, "partial", "add"),
        (REPLICATED, "moe", {"experts": {"apply_router_weight": False}}, "router_weight", "add"),
        (REPLICATED, "moe", {"shared_down": {"split": "replicated"}}, "sharded", "shared_down"),
    ],
)
def test_one_mistake_is_one_mismatch(
    before: Subject, block: str, changes: dict[str, dict[str, object] | None], kind: str, node: str
) -> None:
    found = [m for m in edited(before, block, **changes) if m.kind not in ("duplicate", "all_rows")]

    assert {(m.kind, m.node) for m in found} == {(kind, node)}


def test_two_mistakes_in_two_blocks_are_both_told() -> None:
    broken = edited(DENSE_TP, "attention", reduce=None)
    again = DENSE_TP.dag.model_dump()
    for block in again["blocks"]:
        for n in block["nodes"]:
            if block["name"] in ("attention", "ffn") and n["id"] == "add":
                n["inputs"] = ("in", "o" if block["name"] == "attention" else "down")
        block["nodes"] = [
            n for n in block["nodes"] if not (n["id"] == "reduce" and block["name"] in ("attention", "ffn"))
        ]
    both = type_dag(Subject(Dag.model_validate(again), DENSE_TP.model)).mismatches

    assert [m.producer for m in broken] == ["attention_out"]
    assert [m.producer for m in both] == ["attention_out", "down"]


def test_a_block_that_adds_nothing_to_the_stream_is_told() -> None:
    document = DENSE_TP.dag.model_dump()
    for block in document["blocks"]:
        if block["name"] == "attention":
            block["output"] = "norm"
    found = type_dag(Subject(Dag.model_validate(document), DENSE_TP.model)).mismatches

    assert [(m.kind, m.block) for m in found] == [("stream", "attention")]


def test_dispatching_replicated_tokens_is_told_as_waste() -> None:
    found = edited(DEEPSEEK, "moe", chunk=None, regather=None)

    assert [(m.kind, m.axis) for m in found] == [("duplicate", "tp")]
