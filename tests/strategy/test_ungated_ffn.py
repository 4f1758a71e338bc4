"""FFNs of two matrices (up, activation, down): counted, built, proved, judged and priced as what they are."""

from collections.abc import Callable
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
from strategy.memory import repeated_ffn_bytes, stage_weight_bytes
from strategy.model import GqaAttention, ModelSpec
from strategy.ops import model_weights
from strategy.parameters import parameters, weight_bytes
from strategy.request import Precision, Request
from strategy.strategy import AttentionMesh, Pool, Strategy
from strategy.work import Load, Work, entry_flow, walk, work_context
from validators.validate import validate

NEMOTRON = ModelSpec(
    name="nemotron-4-340b",
    hidden_size=18_432,
    num_layers=96,
    vocab_size=256_000,
    attention=GqaAttention(num_heads=96, num_kv_heads=8, head_dim=192),
    intermediate_size=73_728,
    ffn_gated=False,
)
SMALL = NEMOTRON.model_copy(update={"num_layers": 4})
GATED = SMALL.model_copy(update={"ffn_gated": True})
BF16 = Precision(weights="bf16", activations="bf16", kv="bf16")
PLANS: dict[str, dict[str, Any]] = {
    "one device": {},
    "TP8": {"tp": 8},
    "TP2 x PP2": {"tp": 2, "pp": 2, "microbatches": 2},
    "attention DP": {"dp": 2, "tp": 2},
    "FFN gathered over the stage": {"dp": 2, "tp": 2, "dense_ffn": "gathered"},
    "megatron": {"tp": 4, "sp_kind": "megatron"},
    "context parallel": {"tp": 2, "cp": 2, "sp_kind": "cp_ring", "cp_decode_use": "dcp"},
    "chunked": {"tp": 4, "chunk_tokens": 512},
}


def pool(model: ModelSpec = SMALL, *, tp: int = 1, dp: int = 1, cp: int = 1, pp: int = 1, **fields: Any) -> Pool:
    each = model.num_layers // pp
    stages = tuple((n * each, n * each + each) for n in range(pp))
    mesh = AttentionMesh(dp_size=dp, tp_size=tp, cp_size=cp)
    return Pool(pp_size=pp, stages=stages, attention=mesh, **fields)


def built(model: ModelSpec = SMALL, **degrees: Any) -> Dag:
    return build(model, Strategy(pools=(pool(model, **degrees),)))


def edited(dag: Dag, change: Callable[[list[dict[str, Any]]], None]) -> Dag:
    """`dag` with the nodes of its FFN block changed."""
    document = dag.model_dump(mode="json")
    change(next(block for block in document["blocks"] if block["name"] == "ffn")["nodes"])
    return Dag.model_validate(document)


def works(model: ModelSpec, tp: int) -> dict[str, Work]:
    dag = built(model, tp=tp)
    ctx = work_context(model, BF16, dag.strategy.pools[0], "decode", Load(64, 1, 4096))
    block = dag.block("ffn")
    assert block is not None
    return {node.id: work for node, work in walk(block, entry_flow(ctx)._replace(width=model.hidden_size), ctx)}


# --- counted ------------------------------------------------------------------------------------------------------------------------


def test_nemotron_has_the_parameters_that_its_maker_states() -> None:
    assert parameters(NEMOTRON) / 1e9 == pytest.approx(341.0, rel=0.01)


@settings(max_examples=50, deadline=None)
@given(h=st.integers(1, 64), f=st.integers(1, 64), layers=st.integers(1, 8), tp=st.sampled_from((1, 2, 4, 8)))
def test_without_a_gate_exactly_one_matrix_a_layer_is_gone(h: int, f: int, layers: int, tp: int) -> None:
    gated = GATED.model_copy(update={"hidden_size": h, "intermediate_size": 8 * f, "num_layers": layers})
    plain = gated.model_copy(update={"ffn_gated": False})
    matrix = 8 * h * f * layers

    assert parameters(gated) - parameters(plain) == matrix
    assert weight_bytes(gated, BF16) - weight_bytes(plain, BF16) == 2 * matrix
    held = [stage_weight_bytes(model, BF16, pool(model, tp=tp))[0] for model in (gated, plain)]
    assert held[0] - held[1] == 2 * matrix / tp


@settings(max_examples=50, deadline=None)
@given(f=st.integers(1, 2000), tp=st.sampled_from((1, 2, 4, 8)))
def test_flops_and_bytes_are_those_of_two_products_and_a_function_of_one_input(f: int, tp: int) -> None:
    model = SMALL.model_copy(update={"intermediate_size": 8 * f})
    h, width = model.hidden_size, 8 * f // tp

    found, gated = works(model, tp), works(model.model_copy(update={"ffn_gated": True}), tp)

    assert found["up"].flops == found["down"].flops == 2 * 64 * h * width
    assert found["up"].weight_bytes == found["down"].weight_bytes == 2 * h * width
    assert found["up"].io_bytes == found["down"].io_bytes == 2 * 64 * (h + width)
    assert found["act"].io_bytes == 2 * 2 * 64 * width
    assert gated["gate_up"].flops == 2 * found["up"].flops
    assert gated["down"] == found["down"]


def test_ffns_that_every_rank_keeps_whole_count_two_matrices() -> None:
    def whole(nodes: list[dict[str, Any]]) -> None:
        for node in nodes:
            if node["op"] == "linear":
                node["split"] = "replicated"
        nodes[:] = [node for node in nodes if node["id"] != "reduce"]
        nodes[-1]["inputs"] = ["in", "down"]

    dag = edited(built(tp=4), whole)

    found = repeated_ffn_bytes(dag, asked().model_copy(update={"model": SMALL}), dag.strategy.pools[0])

    assert found == [pytest.approx(4 * 2 * 2 * 18_432 * 73_728 * 3 / 4)]


def test_a_model_that_does_not_say_is_gated_and_builds_what_it_always_did() -> None:
    document = {name: value for name, value in GATED.model_dump().items() if name != "ffn_gated"}
    model = ModelSpec.model_validate(document)

    assert model == GATED
    assert {"gate_up", "down"} <= set(model_weights(model))
    assert "up" not in model_weights(model)


# --- built, proved, judged ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("degrees", PLANS.values(), ids=PLANS)
def test_canonical_plans_give_what_one_device_gives(degrees: dict[str, Any]) -> None:
    dag = built(**degrees)

    verdict = validate(dag, SMALL)

    assert {"up", "down"} <= {getattr(node, "weight", "") for block in dag.blocks for node in block.nodes}
    assert verdict.errors == ()
    assert verdict.proof is not None
    assert verdict.proof.passed
    assert verdict.proof.max_abs_error < 1e-9


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"up": {"weight": "gate_up"}}, "DG014"),
        ({"up": {"split": "row"}}, "TP015"),
        ({"act": None, "down": {"inputs": ["up"]}}, "DG010"),
        ({"down": {"weight": "up"}}, "DG010"),
        ({"up": {"split": "replicated"}}, "TP010"),
        ({"reduce": None, "add": {"inputs": ["in", "down"]}}, "TP007"),
    ],
)
def test_mistakes_are_told_by_the_rule_that_speaks_of_them(fields: dict[str, dict[str, Any] | None], code: str) -> None:
    """`fields` of None take a node out."""

    def change(nodes: list[dict[str, Any]]) -> None:
        nodes[:] = [
            {**node, **(fields.get(node["id"]) or {})} for node in nodes if fields.get(node["id"], {}) is not None
        ]

    broken = edited(built(tp=4), change)

    assert code in {finding.code for finding in validate(broken, SMALL).errors}
    assert not prove(broken, SMALL).passed


def test_a_document_with_two_matrices_is_refused_for_a_model_with_three() -> None:
    verdict = validate(built(tp=4), GATED)

    assert {finding.code for finding in verdict.errors} == {"DG014"}


# --- priced -------------------------------------------------------------------------------------------------------------------------


def asked(**fields: Any) -> Any:
    request = {
        "model": NEMOTRON.model_dump(mode="json"),
        "cluster": {"gpu": "h200-sxm", "gpus_per_host": 8},
        "workload": {"isl": 4000, "osl": 500},
    }
    return resolve(Request.model_validate(request | fields)).problem


def test_steps_are_shorter_without_the_gate() -> None:
    times = []
    for model in (NEMOTRON, NEMOTRON.model_copy(update={"ffn_gated": True})):
        problem = asked().model_copy(update={"model": model})
        times.append(estimate(built(model, tp=8), problem, calibration(), concurrency=16).tpot_ms)

    assert 0.6 < times[0] / times[1] < 0.85
