"""Layers without attention, without an FFN, or with neither: built, proved, counted and judged."""

from typing import Any

import pytest
from pydantic import ValidationError

from knowledge.calibration import calibration
from knowledge.resolve import resolve
from strategy.build import build
from strategy.cost import estimate
from strategy.dag import Dag
from strategy.execute import prove
from strategy.expand import expand
from strategy.export import FORMATS, Plan
from strategy.export.costs import node_costs
from strategy.memory import kv_bytes_per_sequence, kv_bytes_per_token, stage_weight_bytes
from strategy.model import GqaAttention, ModelSpec, Window
from strategy.parameters import kv_bytes_per_token as kv_bytes_of_model
from strategy.parameters import parameters
from strategy.request import Precision, Problem, Request
from strategy.search import search
from strategy.strategy import AttentionMesh, Pool, Strategy
from validators.validate import validate

WHOLE = ModelSpec(
    name="llama-like",
    hidden_size=4096,
    num_layers=8,
    vocab_size=32_000,
    attention=GqaAttention(num_heads=32, num_kv_heads=8, head_dim=128),
    intermediate_size=14_336,
)
HOLES = WHOLE.model_copy(update={"no_mixer_layers": (1, 3, 4, 6), "no_ffn_layers": (3, 5)})
BF16 = Precision(weights="bf16", activations="bf16", kv="bf16")
ATTENTION = 4096 * (32 + 2 * 8) * 128 + 32 * 128 * 4096 + 4096
FFN = 3 * 4096 * 14_336 + 4096
OUTSIDE = 2 * 32_000 * 4096 + 4096
PLANS: dict[str, dict[str, Any]] = {
    "one device": {},
    "TP2": {"tp": 2},
    "TP16 repeats KV heads": {"tp": 16},
    "TP2 x PP2": {"tp": 2, "pp": 2, "microbatches": 2},
    "megatron": {"tp": 4, "sp_kind": "megatron"},
    "FFN gathered over the stage": {"dp": 2, "tp": 2, "dense_ffn": "gathered"},
    "ring": {"tp": 2, "cp": 2, "sp_kind": "cp_ring", "cp_decode_use": "batch_shard"},
    "chunked": {"tp": 4, "chunk_tokens": 512},
}


def pool(model: ModelSpec = HOLES, *, tp: int = 1, dp: int = 1, cp: int = 1, pp: int = 1, **fields: Any) -> Pool:
    each = model.num_layers // pp
    stages = tuple((n * each, n * each + each) for n in range(pp))
    mesh = AttentionMesh(dp_size=dp, tp_size=tp, cp_size=cp)
    return Pool(pp_size=pp, stages=stages, attention=mesh, **fields)


def built(model: ModelSpec = HOLES, **degrees: Any) -> Dag:
    return build(model, Strategy(pools=(pool(model, **degrees),)))


def stamped(dag: Dag, index: int, blocks: list[str]) -> Dag:
    """`dag` with other blocks in one stamp of both phases."""
    document = dag.model_dump(mode="json")
    for branch in document["branches"].values():
        branch["layers"][index]["blocks"] = blocks
    return Dag.model_validate(document)


def asked(model: ModelSpec, **fields: Any) -> Problem:
    request = {
        "model": model.model_dump(mode="json"),
        "cluster": {"gpu": "h200-sxm", "gpus_per_host": 8},
        "workload": {"isl": 4000, "osl": 500},
    }
    return resolve(Request.model_validate(request | fields)).problem


def codes(dag: Dag, model: ModelSpec = HOLES) -> set[str]:
    return {finding.code for finding in validate(dag, model).findings if finding.severity == "error"}


# --- built and proved ---------------------------------------------------------------------------------------------------------------


def test_a_stamp_names_the_blocks_that_its_layers_have() -> None:
    both, attention, ffn = ("attention", "ffn"), ("attention",), ("ffn",)

    layers = built().branches.prefill.layers

    assert [stamp.blocks for stamp in layers] == [both, ffn, both, (), ffn, attention, ffn, both]


@pytest.mark.parametrize("degrees", PLANS.values(), ids=PLANS.keys())
def test_what_is_built_computes_what_one_device_does_and_breaks_no_rule(degrees: dict[str, Any]) -> None:
    dag = built(**degrees)

    assert prove(dag, HOLES).passed
    assert codes(dag) == set()


def test_layers_with_a_window_and_layers_without_attention_stand_beside_each_other() -> None:
    model = HOLES.model_copy(update={"window": Window(kind="sliding", size_tokens=128, layers=(0, 2, 5))})

    assert prove(built(model, tp=2), model).passed


def test_a_layer_that_is_nothing_has_no_node() -> None:
    expanded = expand(built(tp=2, pp=2))

    assert 3 not in set(expanded.layer.tolist())
    assert expanded.is_topological()


# --- mistakes -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("index", "blocks", "code"),
    [
        (1, ["attention", "ffn"], "AT010"),
        (5, ["attention", "ffn"], "EP014"),
        (3, ["ffn"], "EP014"),
        (0, ["ffn"], "PH008"),
        (1, [], "DG000"),
        (0, [], "DG000"),
    ],
)
def test_blocks_that_the_model_does_not_have_there_are_refused_by_rule_and_by_proof(
    index: int, blocks: list[str], code: str
) -> None:
    dag = stamped(built(tp=2), index, blocks)

    assert code in codes(dag)
    assert not prove(dag, HOLES).passed


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"no_mixer_layers": (8,)}, "below num_layers"),
        ({"no_ffn_layers": (9,)}, "below num_layers"),
        ({"no_mixer_layers": tuple(range(8))}, "one that mixes tokens"),
        ({"no_mixer_layers": (1,), "window": {"kind": "sliding", "size_tokens": 4, "layers": (1,)}}, "no attention"),
        ({"no_ffn_layers": (1,), "parallel_block": "one_norm"}, "in every layer"),
    ],
)
def test_a_model_that_contradicts_itself_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        ModelSpec.model_validate(WHOLE.model_dump(mode="json") | fields)


# --- counted ------------------------------------------------------------------------------------------------------------------------


def test_parameters_are_those_of_the_halves_that_exist() -> None:
    assert parameters(HOLES) == 4 * ATTENTION + 6 * FFN + OUTSIDE


def test_every_stage_holds_the_weights_of_its_own_halves() -> None:
    first, second = stage_weight_bytes(HOLES, BF16, pool(pp=2))

    assert first == 2 * (2 * ATTENTION + 3 * FFN + 32_000 * 4096)
    assert second == 2 * (2 * ATTENTION + 3 * FFN + 32_000 * 4096 + 4096)


def test_only_layers_with_attention_have_a_cache() -> None:
    each = 2 * 8 * 128 * 2

    assert kv_bytes_of_model(HOLES, 2.0) == 4 * each
    assert kv_bytes_per_token(HOLES, BF16, pool(pp=2)) == [2 * each, 2 * each]
    assert kv_bytes_per_sequence(HOLES, BF16, pool(), 160) == [4 * each * 160]


def test_a_pass_costs_what_its_halves_cost() -> None:
    """What holes take away is what the same layers cost elsewhere."""
    precision, cal = {"weights": "bf16", "kv": "bf16"}, calibration()

    def decode_ms(model: ModelSpec) -> float:
        problem = asked(model, precision=precision)
        return estimate(build(model, Strategy(pools=(pool(model, tp=2),))), problem, cal, concurrency=16).tpot_ms

    no_attention = WHOLE.model_copy(update={"no_mixer_layers": (1, 3, 4, 6)})
    no_ffn = WHOLE.model_copy(update={"no_ffn_layers": (3, 5)})
    saved = decode_ms(WHOLE) - decode_ms(no_attention) + decode_ms(WHOLE) - decode_ms(no_ffn)

    assert decode_ms(WHOLE) - decode_ms(HOLES) == pytest.approx(saved, rel=0.02)


# --- searched and exported ----------------------------------------------------------------------------------------------------------


def test_such_a_model_is_planned_priced_and_exported_in_every_format() -> None:
    problem = asked(HOLES)
    best = search(problem, calibration()).best
    assert best is not None
    dag = build(problem.model, best.strategy)

    assert validate(dag, problem.model, problem=problem).valid
    plan = Plan(dag, problem.model, problem, node_costs(dag, problem, calibration()))
    assert all(exporter.write(plan) for exporter in FORMATS.values())
