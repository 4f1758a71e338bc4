"""Layers with attention and FFN side by side: one block, one sum over tp, proved against one device that adds both at once."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knowledge.calibration import calibration
from knowledge.resolve import resolve
from strategy.build import build
from strategy.cost import estimate
from strategy.dag import Dag
from strategy.execute import prove
from strategy.memory import stage_weight_bytes
from strategy.model import GqaAttention, ModelSpec, ParallelBlock, Window
from strategy.ops import model_weights
from strategy.parameters import parameters
from strategy.request import Precision, Problem, Request
from strategy.search import search
from strategy.strategy import AttentionMesh, Pool, Strategy
from validators.validate import validate

FALCON = ModelSpec(
    name="falcon-180b",
    hidden_size=14_848,
    num_layers=80,
    vocab_size=65_024,
    attention=GqaAttention(num_heads=232, num_kv_heads=8, head_dim=64),
    intermediate_size=59_392,
    ffn_gated=False,
    parallel_block="two_norms",
    tie_word_embeddings=True,
)
SMALL = FALCON.model_copy(
    update={"num_layers": 4, "attention": GqaAttention(num_heads=64, num_kv_heads=8, head_dim=64)}
)
COMMAND = SMALL.model_copy(update={"ffn_gated": True, "parallel_block": "one_norm"})
WINDOWED = COMMAND.model_copy(update={"window": Window(kind="sliding", size_tokens=128, layers=(0, 1, 2))})
MODELS = {"two norms": SMALL, "one norm, gated": COMMAND, "windows": WINDOWED}
BF16 = Precision(weights="bf16", activations="bf16", kv="bf16")
PLANS: dict[str, dict[str, Any]] = {
    "one device": {},
    "TP8": {"tp": 8},
    "TP16 repeats KV heads": {"tp": 16},
    "TP2 x PP2": {"tp": 2, "pp": 2, "microbatches": 2},
    "attention DP": {"dp": 2, "tp": 2},
    "FFN gathered over the stage": {"dp": 2, "tp": 2, "dense_ffn": "gathered"},
    "megatron": {"tp": 4, "sp_kind": "megatron"},
    "ring, sequences split in decode": {"tp": 2, "cp": 2, "sp_kind": "cp_ring", "cp_decode_use": "batch_shard"},
    "gathered context, weights sliced in decode": {
        "tp": 2,
        "cp": 2,
        "sp_kind": "cp_allgather",
        "cp_decode_use": "tp_slice",
    },
    "Ulysses": {"tp": 2, "cp": 2, "sp_kind": "cp_ulysses", "cp_decode_use": "replicate"},
    "cache split by positions": {"tp": 16, "dcp_size": 2},
    "chunked": {"tp": 4, "chunk_tokens": 512},
}


def pool(model: ModelSpec = SMALL, *, tp: int = 1, dp: int = 1, cp: int = 1, pp: int = 1, **fields: Any) -> Pool:
    each = model.num_layers // pp
    stages = tuple((n * each, n * each + each) for n in range(pp))
    mesh = AttentionMesh(dp_size=dp, tp_size=tp, cp_size=cp)
    return Pool(pp_size=pp, stages=stages, attention=mesh, **fields)


def built(model: ModelSpec = SMALL, **degrees: Any) -> Dag:
    return build(model, Strategy(pools=(pool(model, **degrees),)))


def collectives(dag: Dag, blocks: tuple[str, ...]) -> list[str]:
    ops = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all")
    return [node.op for block in dag.blocks if block.name in blocks for node in block.nodes if node.op in ops]


def edited(dag: Dag, changes: dict[str, dict[str, Any] | None]) -> Dag:
    """`dag` with the fields of nodes of its layer changed; None takes a node out."""
    document = dag.model_dump(mode="json")
    block = next(block for block in document["blocks"] if block["name"] == "parallel")
    kept = [node for node in block["nodes"] if changes.get(node["id"], {}) is not None]
    block["nodes"] = [{**node, **(changes.get(node["id"]) or {})} for node in kept]
    return Dag.model_validate(document)


def warned_of(model: ModelSpec, degrees: dict[str, Any]) -> set[str]:
    """What is said of the same degrees where the FFN follows attention."""
    sequential = model.model_copy(update={"parallel_block": None})
    return {finding.code for finding in validate(built(sequential, **degrees), sequential).findings}


def asked(model: ModelSpec, **fields: Any) -> Problem:
    request = {
        "model": model.model_dump(mode="json"),
        "cluster": {"gpu": "h200-sxm", "gpus_per_host": 8},
        "workload": {"isl": 4000, "osl": 500},
    }
    return resolve(Request.model_validate(request | fields)).problem


# --- counted ------------------------------------------------------------------------------------------------------------------------


def test_falcon_180b_has_its_published_size() -> None:
    assert parameters(FALCON) / 1e9 == pytest.approx(179.5, rel=0.01)


@settings(max_examples=30, deadline=None)
@given(h=st.integers(1, 500), layers=st.integers(1, 8), tp=st.sampled_from((1, 2, 4)))
def test_a_shared_norm_is_one_vector_less_in_each_layer_and_nothing_else_changes(h: int, layers: int, tp: int) -> None:
    def sizes(kind: ParallelBlock | None) -> tuple[int, float]:
        model = SMALL.model_copy(update={"hidden_size": h, "num_layers": layers, "parallel_block": kind})
        return parameters(model), stage_weight_bytes(model, BF16, pool(model, tp=tp))[0]

    one, two, sequential = sizes("one_norm"), sizes("two_norms"), sizes(None)

    assert two == sequential
    assert two[0] - one[0] == h * layers
    assert two[1] - one[1] == pytest.approx(2 * h * layers)


def test_what_cannot_stand_side_by_side_is_refused() -> None:
    from validators.examples import MLA, MOE

    for model in (MLA, MOE):
        with pytest.raises(ValueError, match="parallel_block"):
            ModelSpec.model_validate({**model.model_dump(), "parallel_block": "one_norm"})


# --- built and proved ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("degrees", PLANS.values(), ids=PLANS)
def test_canonical_plans_give_what_one_device_gives(degrees: dict[str, Any], model: ModelSpec) -> None:
    dag = built(model, **degrees)

    verdict = validate(dag, model)

    assert {stamp.blocks for stamp in dag.branches.decode.layers} in ({("parallel",)}, {("parallel_decode",)})
    assert verdict.errors == ()
    assert {finding.code for finding in verdict.findings} == warned_of(model, degrees)
    assert verdict.proof is not None
    assert verdict.proof.passed
    assert verdict.proof.max_abs_error < 1e-9


def test_a_layer_sums_once_over_tp_where_a_sequential_one_sums_twice() -> None:
    sequential = SMALL.model_copy(update={"parallel_block": None})

    assert collectives(built(tp=4), ("parallel",)) == ["all_reduce"]
    assert collectives(built(sequential, tp=4), ("attention", "ffn")) == ["all_reduce"] * 2
    assert sorted(collectives(built(COMMAND, tp=4, sp_kind="megatron"), ("parallel_prefill",))) == [
        "all_gather",
        "reduce_scatter",
    ]


def test_a_shared_norm_is_the_only_one() -> None:
    assert "ffn_norm" not in model_weights(COMMAND)
    assert {"attention_norm", "ffn_norm"} <= set(model_weights(SMALL))


# --- judged -------------------------------------------------------------------------------------------------------------------------


def test_each_half_summed_by_itself_is_sound_but_more_than_needed() -> None:
    document = built(tp=4).model_dump(mode="json")
    nodes = next(block for block in document["blocks"] if block["name"] == "parallel")["nodes"]
    nodes[-3:] = [
        {"id": "first", "op": "all_reduce", "axis": "tp", "inputs": ["o"]},
        {"id": "second", "op": "all_reduce", "axis": "tp", "inputs": ["down", "sync:first"]},
        {"id": "add", "op": "add", "inputs": ["in", "first", "second"]},
    ]

    verdict = validate(Dag.model_validate(document), SMALL)

    assert verdict.errors == ()
    assert verdict.proof is not None
    assert verdict.proof.passed
    assert {finding.code for finding in verdict.findings} == {"CM007"}


@pytest.mark.parametrize(
    ("model", "changes", "code"),
    [
        (SMALL, {"up": {"inputs": ["norm"]}, "ffn_norm": None}, "DG010"),
        (SMALL, {"qkv": {"inputs": ["ffn_norm"]}, "norm": None}, "DG010"),
        (SMALL, {"ffn_norm": {"weight": "attention_norm"}}, "DG010"),
        (COMMAND, {"norm": {"weight": "ffn_norm"}}, "DG014"),
        (SMALL, {"reduce": None, "add": {"inputs": ["in", "both"]}}, "TP006"),
        (COMMAND, {"act": {"inputs": ["qkv"]}, "gate_up": None}, "DG010"),
    ],
)
def test_mistakes_are_told(model: ModelSpec, changes: dict[str, dict[str, Any] | None], code: str) -> None:
    broken = edited(built(model, tp=4), changes)

    assert code in {finding.code for finding in validate(broken, model).errors}
    assert not prove(broken, model).passed


def test_an_ffn_behind_attention_is_another_function() -> None:
    sequential = built(SMALL.model_copy(update={"parallel_block": None}), tp=4)

    assert {finding.code for finding in validate(sequential, SMALL).errors} == {"DG010"}
    assert not prove(sequential, SMALL).passed


def test_an_ffn_side_by_side_is_another_function_where_it_should_follow() -> None:
    model = SMALL.model_copy(update={"parallel_block": None})

    assert {finding.code for finding in validate(built(tp=4), model).errors} == {"DG010"}
    assert not prove(built(tp=4), model).passed


# --- priced and searched ------------------------------------------------------------------------------------------------------------


def test_steps_save_one_sum_a_layer() -> None:
    times = []
    for kind in ("two_norms", None):
        problem = asked(FALCON.model_copy(update={"parallel_block": kind}))
        dag = built(problem.model, tp=8)
        times.append(estimate(dag, problem, calibration(), concurrency=16).tpot_ms)

    assert 0.8 < times[0] / times[1] < 1


def test_the_search_finds_sound_plans() -> None:
    problem = asked(FALCON.model_copy(update={"attention": SMALL.attention}))
    found = search(problem, calibration())

    assert found.best is not None
    dag = build(problem.model, found.best.strategy)
    assert validate(dag, problem.model, problem=problem).valid
