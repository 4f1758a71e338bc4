"""Layers with a state space (Mamba-2) in place of attention: counted, built, proved, handed over and priced; what is misplaced is caught."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from knowledge.calibration import calibration
from knowledge.catalogue import find_model
from knowledge.resolve import resolve
from strategy.build import build
from strategy.errors import InputError
from strategy.execute import handoff, prove, shards
from strategy.execute.weights import Recurrence
from strategy.legality import illegal, legal_tp_sizes
from strategy.memory import handoff_bytes, kv_bytes_per_sequence, stage_weight_bytes
from strategy.model import GatedDeltaNet, GqaAttention, Mamba2, ModelSpec, Moe
from strategy.parameters import linear_parameters, parameters, state_bytes, weight_bytes
from strategy.request import Precision, Request
from strategy.search import search
from strategy.strategy import AttentionMesh, ExpertMesh, Pool, Strategy
from strategy.work import Load, entry_flow, walk, work_context
from validators.validate import validate

BF16 = Precision(weights="bf16", activations="bf16", kv="bf16")
NET = Mamba2(num_heads=128, head_dim=64, num_groups=8, state_size=128, chunk_tokens=128)
STATE = 4 * 128 * 64 * 128 + 2 * 3 * (128 * 64 + 2 * 8 * 128)
"""Bytes of the state of one sequence in one layer."""
MODEL = ModelSpec(
    name="hybrid", hidden_size=4096, num_layers=8, vocab_size=131_072, intermediate_size=21_504,
    attention=GqaAttention(num_heads=32, num_kv_heads=8, head_dim=128), linear=NET, linear_layers=(0, 1, 2, 4, 5, 6),
)  # fmt: skip
MOE = MODEL.model_copy(
    update={
        "name": "hybrid-moe", "intermediate_size": None,
        "moe": Moe(num_experts=64, top_k=10, expert_intermediate_size=768, shared_intermediate_size=1536),
    }
)  # fmt: skip


def pool(model: ModelSpec = MODEL, *, tp: int = 1, dp: int = 1, pp: int = 1, **fields: Any) -> Pool:
    each = model.num_layers // pp
    experts = None if model.moe is None else ExpertMesh(ep_size=tp * dp)
    defaults: dict[str, Any] = {
        "pp_size": pp, "stages": tuple((n * each, n * each + each) for n in range(pp)), "experts": experts,
        "attention": AttentionMesh(dp_size=dp, tp_size=tp), "ep_lowering": "replicated" if dp == 1 else "all_to_all",
    }  # fmt: skip
    return Pool(**{**defaults, **fields})


def single_group(model: ModelSpec) -> ModelSpec:
    """B and C that all heads share, as in Granite 4 H."""
    name = f"{model.name}-single"
    return model.model_copy(update={"name": name, "linear": NET.model_copy(update={"num_groups": 1})})


def two_pools() -> Strategy:
    prefill = pool(tp=2, name="prefill", phases=("prefill",), replicas=2)
    return Strategy(pools=(prefill, pool(tp=8, name="decode", phases=("decode",))))


# --- the model ----------------------------------------------------------------------------------------------------------------------


def test_a_layer_has_the_parameters_of_its_projections_convolution_and_heads() -> None:
    inner, channels = 128 * 64, 128 * 64 + 2 * 8 * 128
    projections = 4096 * (inner + channels + 128) + inner * 4096
    inside = channels * 4 + channels + 3 * 128 + inner

    assert linear_parameters(MODEL) == {"attention": projections, "norm": 4096 + inside}
    assert state_bytes(NET) == STATE


def test_a_state_may_be_kept_in_16_bits() -> None:
    half = NET.model_copy(update={"state_dtype": "bf16"})

    assert STATE - state_bytes(half) == 2 * 128 * 64 * 128


@pytest.mark.parametrize(
    "net", [NET, GatedDeltaNet(num_key_heads=4, num_value_heads=8, key_head_dim=16, value_head_dim=8)]
)
def test_a_recurrence_is_read_back_as_the_kind_it_is(net: Any) -> None:
    stated = MODEL.model_copy(update={"linear": net}).model_dump(mode="json")

    assert ModelSpec.model_validate(stated).linear == net


def test_a_field_that_a_state_space_lacks_is_told() -> None:
    stated = MODEL.model_dump(mode="json")
    stated["linear"]["num_key_heads"] = 4

    with pytest.raises(ValueError, match="num_key_heads"):
        ModelSpec.model_validate(stated)


# --- built and proved ---------------------------------------------------------------------------------------------------------------


PLANS: list[dict[str, Any]] = [
    {},
    {"tp": 4},
    {"tp": 8},
    {"tp": 2, "dp": 2},
    {"tp": 2, "pp": 2, "microbatches": 2},
    {"tp": 4, "chunk_tokens": 512},
    {"tp": 4, "sp_kind": "megatron"},
]


@pytest.mark.parametrize("fields", PLANS)
@pytest.mark.parametrize("model", [MODEL, MOE], ids=lambda model: model.name)
def test_canonical_plans_give_what_one_device_gives(model: ModelSpec, fields: dict[str, Any]) -> None:
    exchanged = {"ep_lowering": "all_to_all"} if model.moe and "sp_kind" in fields else {}
    dag = build(model, Strategy(pools=(pool(model, **fields, **exchanged),)))

    verdict = validate(dag, model)

    assert verdict.errors == ()
    assert verdict.proof is not None
    assert verdict.proof.passed
    assert verdict.proof.max_abs_error < 1e-9


def test_its_blocks_are_named_for_it() -> None:
    dag = build(MODEL, Strategy(pools=(pool(tp=4),)))

    assert [stamp.blocks for stamp in dag.branches.decode.layers[:2]] == [("state_space", "ffn"), ("attention", "ffn")]
    assert {link.source for link in dag.links if "state_space" in link.source} == {
        "prefill.state_space.state",
        "decode.state_space.state",
    }


def test_states_are_handed_to_a_pool_of_another_width() -> None:
    dag = build(MODEL, two_pools())

    assert validate(dag, MODEL).errors == ()
    assert prove(dag, MODEL).passed


@pytest.mark.parametrize("fields", [*PLANS, {"tp": 32}, {"tp": 16, "dp": 2}])
@pytest.mark.parametrize("name", ["hybrid", "hybrid-moe"])
def test_one_group_for_all_heads_is_normed_over_all_ranks(name: str, fields: dict[str, Any]) -> None:
    model = single_group(MODEL if name == "hybrid" else MOE)
    exchanged = {"ep_lowering": "all_to_all"} if model.moe and "sp_kind" in fields else {}
    dag = build(model, Strategy(pools=(pool(model, **fields, **exchanged),)))

    verdict = validate(dag, model)

    assert verdict.errors == ()
    assert verdict.proof is not None
    assert verdict.proof.passed
    block = dag.block("state_space") or dag.block("state_space_decode")
    assert block is not None
    assert any(node.id == "squares" for node in block.nodes) == (fields.get("tp", 1) > 1)


def test_a_single_group_is_handed_to_a_pool_of_another_width() -> None:
    model = single_group(MODEL)
    dag = build(model, two_pools())

    assert validate(dag, model).errors == ()
    assert prove(dag, model).passed


def test_a_single_group_is_repeated_on_every_rank() -> None:
    model = single_group(MODEL)
    repeated, layers = 2 * 128, 6

    alone, split = (stage_weight_bytes(model, BF16, pool(model, tp=tp))[0] for tp in (1, 4))
    whole_everywhere = 8 * 2 * 4096 + 4096 + layers * repeated * (4096 + 5)
    states = [kv_bytes_per_sequence(model, BF16, pool(model, tp=tp), 0)[0] for tp in (1, 4)]

    assert alone == weight_bytes(model, BF16)
    assert 4 * split == pytest.approx(alone + 3 * 2 * whole_everywhere)
    assert 4 * states[1] == states[0] + 3 * layers * 2 * 3 * repeated


def test_squares_of_a_norm_are_four_bytes_a_token() -> None:
    model = single_group(MODEL)
    one = pool(model, tp=4)
    block = build(model, Strategy(pools=(one,))).block("state_space")
    assert block is not None
    ctx = work_context(model, BF16, one, "decode", Load(8.0, 1.0, 1000.0))
    entering = entry_flow(ctx)._replace(width=model.hidden_size, element_bytes=2)
    found = {node.id: work for node, work in walk(block, entering, ctx)}

    assert found["squares"].message_bytes == 8 * 4
    assert found["reduce"].message_bytes == 8 * 4096 * 2
    assert found["project"].output.width == (2 * 128 * 64 + 128) / 4 + 2 * 128


def test_an_estimate_says_what_was_not_fitted_and_that_prefixes_need_snapshots() -> None:
    request = {
        "model": "nemotron-nano-9b-v2", "cluster": {"gpu": "h100-sxm", "gpus_per_host": 1},
        "workload": {"isl": 4000, "osl": 500, "prefix_hit_ratio": 0.5},
    }  # fmt: skip
    problem = resolve(Request.model_validate(request)).problem
    found = search(problem, calibration())

    assert found.estimate is not None
    assert any("none of their kernels was fitted" in note for note in found.estimate.notes)
    assert any("kept a snapshot of its states" in note for note in found.estimate.notes)


BLOCKS: dict[str, dict[str, Any]] = {
    "nemotron-h-8b": {"tp": 4},
    "nemotron-3-nano-30b-a3b": {"tp": 2, "dp": 2},
    "nemotron-3-super-120b-a12b-nvfp4": {"tp": 4, "dp": 2},
    "nemotron-3-ultra-550b-a55b": {"tp": 8, "pp": 2, "microbatches": 2},
    "granite-4.0-h-tiny": {"tp": 4},
}


@pytest.mark.parametrize("name", BLOCKS)
def test_records_of_the_catalogue_are_proved(name: str) -> None:
    model = find_model(name)
    dag = build(model, Strategy(pools=(pool(model, **BLOCKS[name]),)))

    verdict = validate(dag, model)

    assert verdict.errors == ()
    assert verdict.proof is not None
    assert verdict.proof.passed


UNNORMED: list[tuple[str, dict[str, Any]]] = [
    ("attend", {"partial": None}),
    ("squares", {"inputs": ("project",)}),
    ("squares", {"axis": "ep"}),
    ("normed", {"inputs": ("attend", "attend")}),
    ("normed", {"inputs": ("attend",)}),
    ("o", {"inputs": ("attend",)}),
]


@pytest.mark.parametrize(("node", "fields"), UNNORMED)
def test_a_norm_that_misses_the_heads_of_other_ranks_is_told_and_fails_the_proof(
    node: str, fields: dict[str, Any]
) -> None:
    model = single_group(MODEL)
    dag = build(model, Strategy(pools=(pool(model, tp=4),)))
    blocks = tuple(
        block.model_copy(
            update={"nodes": tuple(n.model_copy(update=fields) if n.id == node else n for n in block.nodes)}
        )
        if block.name == "state_space"
        else block
        for block in dag.blocks
    )
    broken = dag.model_copy(update={"blocks": blocks})

    assert validate(broken, model, prove=False).errors
    assert not prove(broken, model).passed


def test_a_norm_by_groups_waits_for_no_other_rank() -> None:
    dag = build(MODEL, Strategy(pools=(pool(tp=4),)))
    blocks = tuple(
        block.model_copy(
            update={
                "nodes": tuple(n.model_copy(update={"partial": True}) if n.id == "attend" else n for n in block.nodes)
            }
        )
        if block.name == "state_space"
        else block
        for block in dag.blocks
    )
    broken = dag.model_copy(update={"blocks": blocks})

    assert validate(broken, MODEL, prove=False).errors
    assert not prove(broken, MODEL).passed


def test_a_split_over_tokens_is_illegal_and_has_no_blocks() -> None:
    asked = pool(tp=4, dcp_size=4)

    assert illegal(MODEL, asked) == "AT012"
    with pytest.raises(InputError, match="state-space layers pass a state from token to token"):
        build(MODEL, Strategy(pools=(asked,)))


def test_tp_sizes_divide_the_groups() -> None:
    assert legal_tp_sizes(MODEL, 64) == [1, 2, 4, 8]
    assert illegal(MODEL, pool(tp=16)) == "AT011"
    assert legal_tp_sizes(single_group(MODEL), 64) == [1, 2, 4, 8, 16, 32]


def test_groups_that_are_cut_are_told_as_groups() -> None:
    dag = build(MODEL, Strategy(pools=(pool(tp=16),)))

    found = [finding.message for finding in validate(dag, MODEL, prove=False).errors if finding.code == "AT011"]

    assert found == ["attention tp_size=16 does not divide the 8 groups of the state-space layers"]


# --- mistakes -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("source", "target"), [("prefill", "decode"), ("decode", "decode"), ("prefill", "prefill")])
def test_a_state_that_is_not_handed_over_is_missed_by_rules_and_proof(source: str, target: str) -> None:
    dag = build(MODEL, Strategy(pools=(pool(tp=2, chunk_tokens=512),)))
    start, end = f"{source}.state_space.state", f"{target}.state_space"
    kept = tuple(link for link in dag.links if not (link.source.startswith(start) and link.target.startswith(end)))
    assert len(kept) == len(dag.links) - 1

    broken = dag.model_copy(update={"links": kept})

    assert not prove(broken, MODEL).passed
    assert validate(broken, MODEL, prove=False).errors


def rolled(found: Callable[..., Any], axis: int) -> Callable[..., Any]:
    return lambda *args: np.roll(found(*args), 1, axis=axis)


@pytest.mark.parametrize("wrong", ["heads of a rank", "columns of a rank", "convolution of a head", "bias of a head"])
def test_the_proof_sees_a_state_that_lies_elsewhere(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    """The executor itself made wrong: what a mistake of an engine's sharding would do."""
    if wrong == "heads of a rank":
        monkeypatch.setattr(handoff, "value_blocks", rolled(handoff.value_blocks, 0))
    elif wrong == "columns of a rank":
        monkeypatch.setattr(shards, "_linear_columns", rolled(shards._linear_columns, 1))
    else:
        name = "kernel_of_heads" if "convolution" in wrong else "shift_of_heads"
        found = getattr(Recurrence, name)
        monkeypatch.setattr(Recurrence, name, lambda own, net: np.roll(found(own, net), 1, axis=0))
    model = MODEL.model_copy(update={"name": wrong})

    assert not prove(build(model, two_pools()), model).passed


# --- counted and priced -------------------------------------------------------------------------------------------------------------


def test_weights_on_one_rank_are_the_model_and_split_evenly_over_tp() -> None:
    alone = stage_weight_bytes(MODEL, BF16, pool())[0]
    split = stage_weight_bytes(MODEL, BF16, pool(tp=4))[0]
    norms = 8 * 2 * 4096 + 4096

    assert alone == weight_bytes(MODEL, BF16) == 2 * parameters(MODEL)
    assert 4 * split == alone + 3 * 2 * norms


def test_a_sequence_takes_its_tokens_in_attention_layers_and_its_states_once() -> None:
    short, long = (kv_bytes_per_sequence(MODEL, BF16, pool(tp=2), tokens)[0] for tokens in (1024, 2048))

    assert short == 2 * 2 * 4 * 128 * 2 * 1024 + 6 * STATE / 2
    assert long - short == 2 * 2 * 4 * 128 * 2 * 1024
    assert handoff_bytes(MODEL, BF16, pool(tp=2), 1024) == short


def recurrence(batch: float, context: float, phase: Any = "decode") -> Any:
    one = pool(tp=4)
    block = build(MODEL, Strategy(pools=(one,))).block("state_space")
    assert block is not None
    ctx = work_context(MODEL, BF16, one, phase, Load(batch, 1.0 if phase == "decode" else context, context))
    entering = entry_flow(ctx)._replace(width=MODEL.hidden_size, element_bytes=2)
    return next(work for node, work in walk(block, entering, ctx) if node.id == "attend")


def test_a_decode_step_reads_and_writes_each_state_whatever_the_context() -> None:
    one, other = recurrence(8.0, 1000.0), recurrence(8.0, 100_000.0)
    inner, channels = 128 * 64, 128 * 64 + 2 * 8 * 128

    assert one == other
    assert one.io_bytes == 2 * 8 * STATE / 4 + 8 * (inner + channels + 128 + inner) / 4 * 2
    assert one.flops == 8 * (5 * 128 * 64 * 128 + 2 * 4 * channels) / 4


def test_prefill_grows_with_the_prompt_alone() -> None:
    one, twice = recurrence(1.0, 4096.0, "prefill"), recurrence(1.0, 8192.0, "prefill")
    inner, channels = 128 * 64, 128 * 64 + 2 * 8 * 128
    of_token = 2 * 4 * channels + 2 * 128 * (8 * 128 + inner) + 4 * 128 * 64 * 128

    assert twice.flops == 2 * one.flops
    assert one.flops == 4096 * of_token / 4
    assert twice.io_bytes - one.io_bytes == pytest.approx(one.io_bytes - 2 * STATE / 4)
