"""Layers of sizes of their own, as an architecture search leaves them: built, proved, counted, priced and searched."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from knowledge.calibration import calibration
from knowledge.catalogue import find_model
from knowledge.resolve import resolve
from strategy.build import build
from strategy.dag import Dag
from strategy.execute import prove
from strategy.execute.scale import scale
from strategy.export import FORMATS, Plan
from strategy.export.costs import node_costs, node_sizes
from strategy.legality import illegal, legal_tp_sizes
from strategy.memory import (
    activation_bytes,
    handoff_bytes,
    kv_bytes_per_sequence,
    kv_bytes_per_token,
    layer_weight_bytes,
    stage_weight_bytes,
)
from strategy.model import GqaAttention, LayerShape, ModelSpec, Window
from strategy.parameters import growing_kv_bytes_per_token, parameters
from strategy.parameters import kv_bytes_per_token as kv_bytes_of_model
from strategy.passes import Pricer
from strategy.request import Precision, Problem, Request
from strategy.search import search
from strategy.search.stages import balanced_stages, layer_bytes
from strategy.strategy import AttentionMesh, Pool, Strategy
from strategy.work import Load
from validators.validate import validate

SHAPES = (
    LayerShape(range=(0, 1), intermediate_size=4096),
    LayerShape(range=(1, 3), num_kv_heads=4),
    LayerShape(range=(3, 5), intermediate_size=57_344),
    LayerShape(range=(5, 6), num_heads=16, num_kv_heads=2, intermediate_size=2048),
)
UNEVEN = ModelSpec(
    name="searched",
    hidden_size=4096,
    num_layers=8,
    vocab_size=32_000,
    attention=GqaAttention(num_heads=32, num_kv_heads=8, head_dim=128),
    intermediate_size=14_336,
    no_mixer_layers=(3, 4, 6),
    no_ffn_layers=(4, 6),
    layer_shapes=SHAPES,
)
HEADS = [(32, 8), (32, 4), (32, 4), None, None, (16, 2), None, (32, 8)]
WIDTHS = [4096, 14_336, 14_336, 57_344, None, 2048, None, 14_336]
BF16 = Precision(weights="bf16", activations="bf16", kv="bf16")
PLANS: dict[str, dict[str, Any]] = {
    "one device": {},
    "TP2": {"tp": 2},
    "TP4 repeats KV heads of one layer": {"tp": 4},
    "TP16 repeats KV heads of all layers": {"tp": 16},
    "TP2 x PP2": {"tp": 2, "pp": 2, "microbatches": 2},
    "megatron": {"tp": 4, "sp_kind": "megatron"},
    "FFN gathered over the stage": {"dp": 2, "tp": 2, "dense_ffn": "gathered"},
    "ring": {"tp": 2, "cp": 2, "sp_kind": "cp_ring", "cp_decode_use": "batch_shard"},
    "Ulysses": {"tp": 1, "cp": 2, "sp_kind": "cp_ulysses", "cp_decode_use": "replicate"},
    "weights sliced in decode": {"tp": 2, "cp": 2, "sp_kind": "cp_allgather", "cp_decode_use": "tp_slice"},
    "cache split by positions": {"tp": 16, "dcp_size": 2},
    "chunked": {"tp": 4, "chunk_tokens": 512},
}
SUPER, ULTRA = find_model("nemotron-super-49b"), find_model("nemotron-ultra-253b")


def pool(model: ModelSpec = UNEVEN, *, tp: int = 1, dp: int = 1, cp: int = 1, pp: int = 1, **fields: Any) -> Pool:
    each = model.num_layers // pp
    stages = tuple((n * each, n * each + each) for n in range(pp))
    mesh = AttentionMesh(dp_size=dp, tp_size=tp, cp_size=cp)
    return Pool(**{"pp_size": pp, "stages": stages, "attention": mesh, **fields})


def built(model: ModelSpec = UNEVEN, **degrees: Any) -> Dag:
    return build(model, Strategy(pools=(pool(model, **degrees),)))


def asked(model: ModelSpec | str, **fields: Any) -> Problem:
    request = {
        "model": model if isinstance(model, str) else model.model_dump(mode="json"),
        "cluster": {"gpu": "h200-sxm", "gpus_per_host": 8},
        "workload": {"isl": 4000, "osl": 500},
    }
    return resolve(Request.model_validate(request | fields)).problem


def attention_parameters(heads: int, kv_heads: int) -> int:
    return 4096 * (heads + 2 * kv_heads) * 128 + heads * 128 * 4096 + 4096


def ffn_parameters(width: int) -> int:
    return 3 * 4096 * width + 4096


# --- the sizes of a layer -----------------------------------------------------------------------------------------------------------


def test_a_layer_has_its_own_sizes_and_otherwise_those_of_the_model() -> None:
    found = [(view.attention.num_heads, view.intermediate_size) for view in map(UNEVEN.at, range(8))]

    assert (
        found == [(32, 4096), (32, 14_336), (32, 14_336), (32, 57_344), (32, 57_344), (16, 2048)] + [(32, 14_336)] * 2
    )
    assert UNEVEN.at(7) == UNEVEN.model_copy(update={"layer_shapes": ()})


def test_only_models_of_reasonable_depth_have_layers_of_their_own_sizes() -> None:
    deep = UNEVEN.model_dump(mode="json") | {"num_layers": 100_000_000}

    with pytest.raises(ValidationError, match="above 10000"):
        ModelSpec.model_validate(deep)

    even = UNEVEN.model_copy(update={"num_layers": 100_000_000, "layer_shapes": ()})
    assert even.by_size(range(100_000_000)) == {even: range(100_000_000)}


def test_runs_of_layers_part_where_sizes_change_and_stamps_do_not() -> None:
    assert [run[:2] for run in UNEVEN.alike_runs()] == [(0, 1), (1, 3), (3, 4), (4, 5), (5, 6), (6, 7), (7, 8)]
    assert [run[:2] for run in UNEVEN.layer_runs()] == [(0, 3), (3, 4), (4, 5), (5, 6), (6, 7), (7, 8)]


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        ([{"range": [2, 9]}], "must lie in order"),
        ([{"range": [2, 2]}], "must lie in order"),
        ([{"range": [2, 4]}, {"range": [3, 5]}], "must lie in order"),
        ([{"range": [0, 1], "num_kv_heads": 5}], "not a multiple"),
        ([{"range": [0, 1], "num_heads": 12}], "not a multiple"),
    ],
)
def test_shapes_that_contradict_the_model_are_refused(shapes: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        ModelSpec.model_validate(UNEVEN.model_dump(mode="json") | {"layer_shapes": shapes})


# --- built and proved ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("degrees", PLANS.values(), ids=PLANS.keys())
def test_what_is_built_computes_what_one_device_does_and_breaks_no_rule(degrees: dict[str, Any]) -> None:
    dag = built(**degrees)

    assert prove(dag, UNEVEN).passed
    assert not [finding for finding in validate(dag, UNEVEN).findings if finding.severity == "error"]


def test_a_cache_is_handed_over_layer_by_layer_between_pools_of_other_widths() -> None:
    prefill = pool(tp=2, name="prefill", phases=("prefill",), replicas=2)
    decode = pool(tp=4, name="decode", phases=("decode",))
    dag = build(UNEVEN, Strategy(pools=(prefill, decode)))

    assert prove(dag, UNEVEN).passed
    assert handoff_bytes(UNEVEN, BF16, prefill, 100) == 100 * kv_bytes_per_token(UNEVEN, BF16, prefill)[0]


def test_the_proof_keeps_sizes_apart_and_how_they_stand_to_the_ranks() -> None:
    small = scale(UNEVEN, Strategy(pools=(pool(tp=4),))).model
    kv_heads = [small.at(layer).attention.num_kv_heads for layer in (0, 1, 5)]  # type: ignore[union-attr]

    assert len({small.at(layer).intermediate_size for layer in (0, 1, 3)}) == 3
    assert kv_heads[0] % 4 == kv_heads[1] % 4 == 0
    assert kv_heads[2] == 2


def test_the_proof_runs_every_size_of_every_stage() -> None:
    """A weight that the real layer cannot split is found in whichever layer it stands."""
    odd = UNEVEN.model_copy(update={"layer_shapes": (*SHAPES[:3], LayerShape(range=(7, 8), intermediate_size=14_338))})

    proof = prove(build(odd, Strategy(pools=(pool(odd, tp=4),))), odd)

    assert not proof.passed
    assert proof.departure is not None
    assert proof.departure.layer == 7


def test_the_blocks_of_a_document_name_no_size() -> None:
    even = UNEVEN.model_copy(update={"layer_shapes": ()})

    assert built(tp=2).model_copy(update={"model": ""}) == built(even, tp=2).model_copy(update={"model": ""})


# --- legality -----------------------------------------------------------------------------------------------------------------------


def test_every_layer_must_split() -> None:
    assert legal_tp_sizes(UNEVEN, 64) == [1, 2, 4, 8, 16]  # layer 5 has 16 heads
    assert illegal(UNEVEN, pool(tp=32)) == "TP001"
    narrow = UNEVEN.model_copy(update={"layer_shapes": (LayerShape(range=(0, 1), intermediate_size=1000),)})
    assert illegal(narrow, pool(narrow, tp=16)) == "TP004"
    three = UNEVEN.model_copy(update={"layer_shapes": (LayerShape(range=(0, 1), num_heads=24, num_kv_heads=3),)})
    assert illegal(three, pool(three, tp=2)) == "TP002"


def test_sizes_of_halves_that_a_layer_lacks_bind_nothing() -> None:
    absent = UNEVEN.model_copy(update={"layer_shapes": (LayerShape(range=(6, 7), num_heads=30, num_kv_heads=3, intermediate_size=7),)})  # fmt: skip

    assert illegal(absent, pool(absent, tp=8)) is None


@pytest.mark.parametrize(("tp", "code", "told"), [(32, "TP001", "16"), (3, "TP001", "32")])
def test_a_rule_names_the_sizes_that_do_not_split(tp: int, code: str, told: str) -> None:
    findings = validate(built(tp=tp), UNEVEN).findings

    assert any(finding.code == code and told in finding.message for finding in findings)


def test_decode_context_parallelism_needs_copies_in_every_layer() -> None:
    assert illegal(UNEVEN, pool(tp=16, dcp_size=2)) is None
    assert illegal(UNEVEN, pool(tp=8, dcp_size=2)) == "AT007"  # the layers with 8 KV heads have one copy of each


# --- counted ------------------------------------------------------------------------------------------------------------------------


def test_parameters_add_up_layer_by_layer() -> None:
    attention = sum(attention_parameters(*heads) for heads in HEADS if heads)
    ffn = sum(ffn_parameters(width) for width in WIDTHS if width)

    assert parameters(UNEVEN) == attention + ffn + 2 * 32_000 * 4096 + 4096


def test_a_rank_holds_its_shard_of_every_layer() -> None:
    """KV heads below tp are copied: layer 5 has two of them on four ranks."""
    of_layer = [layer_weight_bytes(UNEVEN, BF16, pool(tp=4), layer) for layer in range(8)]

    assert of_layer[3] == 2 * (3 * 4096 * 57_344 / 4 + 4096)
    assert of_layer[4] == of_layer[6] == 0
    assert of_layer[5] == 2 * (4096 * (4 + 2) * 128 + 4 * 128 * 4096 + 3 * 4096 * 2048 / 4 + 2 * 4096)


def test_stages_are_balanced_by_the_weights_of_their_own_layers() -> None:
    first, second = balanced_stages(layer_bytes(UNEVEN, BF16), 2)
    held = stage_weight_bytes(UNEVEN, BF16, pool(pp=2, stages=(first, second)))

    assert (first, second) == ((0, 3), (3, 8))
    assert sum(held) == 2 * (parameters(UNEVEN))


def test_every_layer_caches_its_own_heads() -> None:
    of_stages = [2 * 128 * 2 * (8 + 4 + 4), 2 * 128 * 2 * (2 + 8)]

    assert kv_bytes_per_token(UNEVEN, BF16, pool(pp=2)) == of_stages
    assert kv_bytes_per_token(UNEVEN, BF16, pool(tp=4, pp=2)) == [2 * 128 * 2 * (2 + 1 + 1), 2 * 128 * 2 * (1 + 2)]
    assert kv_bytes_of_model(UNEVEN, 2.0) == sum(of_stages)
    assert kv_bytes_per_sequence(UNEVEN, BF16, pool(), 160) == [160 * sum(of_stages)]


def test_windows_bound_the_cache_of_their_own_layers() -> None:
    model = UNEVEN.model_copy(update={"window": Window(kind="sliding", size_tokens=64, layers=(1, 5))})
    each = 2 * 128 * 2

    assert kv_bytes_per_sequence(model, BF16, pool(), 160) == [each * (160 * (8 + 4 + 8) + 64 * (4 + 2))]
    assert growing_kv_bytes_per_token(model, 2.0) == pytest.approx(each * (8 + 4 + 8))
    assert prove(built(model, tp=2), model).passed


def test_a_wide_ffn_needs_room_between_its_matrices() -> None:
    """Ultra's widest FFN is 26 times its hidden size."""
    held = activation_bytes(ULTRA, BF16, pool(ULTRA, tp=8), 4000)

    assert held == 2 * 8192 * 3 * 425_984 / 8


# --- priced -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [UNEVEN, SUPER, ULTRA], ids=lambda model: model.name)
def test_products_of_a_step_are_those_of_all_matrices(model: ModelSpec) -> None:
    """Two operations for each weight of a matrix and token, and each read once: what a step multiplies is exact in sum."""
    problem = asked(model, precision={"weights": "bf16", "kv": "bf16"}, constraints={"fix": {"tp_size": 1}})
    priced = Pricer(built(model), "decode", problem, calibration()).price(Load(1.0, 1.0, 1000.0))
    linear = [row for row, one in enumerate(priced.priced) if one.node.op == "linear"]
    flops = sum(priced.counts[row].sum() * float(np.max(priced.priced[row].work.flops)) for row in linear)
    read = sum(priced.counts[row].sum() * float(np.max(priced.priced[row].work.weight_bytes)) for row in linear)
    norms = model.hidden_size * (1 + model.attention_layers + model.ffn_layers)
    matrices = parameters(model) - norms - model.vocab_size * model.hidden_size

    assert flops == 2 * matrices
    assert read == 2 * matrices


def test_attention_reads_the_caches_of_all_layers() -> None:
    problem = asked(UNEVEN, precision={"weights": "bf16", "kv": "bf16"})
    priced = Pricer(built(), "decode", problem, calibration()).price(Load(1.0, 1.0, 1000.0))
    attends = [row for row, one in enumerate(priced.priced) if one.node.op == "attention"]
    moved = sum(priced.counts[row].sum() * float(np.max(priced.priced[row].work.io_bytes)) for row in attends)
    queries = 2 * 2 * 128 * sum(heads[0] for heads in HEADS if heads)

    assert moved == 1000 * kv_bytes_of_model(UNEVEN, 2.0) + queries


def test_a_layer_without_attention_has_no_sum_of_attention() -> None:
    problem = asked(SUPER, precision={"weights": "bf16", "kv": "bf16"})
    priced = Pricer(built(SUPER, tp=8), "decode", problem, calibration()).price(Load(1.0, 1.0, 1000.0))
    runs: Counter[str] = Counter()
    for row, one in enumerate(priced.priced):
        runs[one.block.name] += int(priced.counts[row].sum()) * (one.node.op == "all_reduce")

    assert runs["attention"] == 49
    assert runs["ffn"] == 80


def test_traces_give_each_node_the_mean_of_its_layers() -> None:
    costs = node_sizes(built(), UNEVEN)
    down = next(cost for key, cost in costs.items() if key.node == "down" and key.phase == "decode")

    assert down.flops * 6 == pytest.approx(2 * 4096 * sum(width for width in WIDTHS if width))


# --- searched and exported ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [UNEVEN, SUPER], ids=lambda model: model.name)
def test_such_a_model_is_planned_priced_and_exported_in_every_format(model: ModelSpec) -> None:
    problem = asked(model)
    best = search(problem, calibration()).best
    assert best is not None
    dag = build(problem.model, best.strategy)

    assert validate(dag, problem.model, problem=problem).valid
    plan = Plan(dag, problem.model, problem, node_costs(dag, problem, calibration()))
    assert all(exporter.write(plan) for exporter in FORMATS.values())


def test_engines_are_told_to_trust_the_code_of_the_checkpoint() -> None:
    problem = asked("nemotron-super-49b")
    dag = build(problem.model, Strategy(pools=(pool(problem.model, tp=8),)))
    plan = Plan(dag, problem.model, problem)

    for engine in ("vllm", "sglang", "trtllm"):
        assert any("trust" in artifact.content for artifact in FORMATS[engine].write(plan))


def test_stages_of_ultra_are_uneven_in_layers_and_even_in_bytes() -> None:
    """81 of its 162 layers are nothing, and four FFNs behind them are as heavy as ten layers."""
    stages = balanced_stages(layer_bytes(ULTRA, BF16), 4)
    held = stage_weight_bytes(ULTRA, BF16, pool(ULTRA, tp=4, pp_size=4, stages=stages))

    assert {end - start for start, end in stages} != {40, 41}
    assert max(held) / min(held) < 1.15
    assert prove(build(ULTRA, Strategy(pools=(pool(ULTRA, tp=4, pp_size=4, stages=stages),))), ULTRA).passed
