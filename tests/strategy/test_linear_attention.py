"""Layers with a recurrence in place of attention: built, proved, counted and priced; what loses or misplaces a state is caught."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from knowledge.calibration import calibration
from knowledge.catalogue import find_model
from knowledge.resolve import resolve
from strategy.build import build
from strategy.cost import estimate
from strategy.dag import Dag
from strategy.errors import InputError
from strategy.execute import handoff, prove, shards
from strategy.execute.weights import Recurrence
from strategy.legality import illegal, legal_tp_sizes
from strategy.memory import handoff_bytes, kv_bytes_per_sequence, stage_weight_bytes
from strategy.model import ModelSpec
from strategy.parameters import (
    active_parameters,
    kv_bytes_per_token,
    parameters,
    state_bytes_per_sequence,
    weight_bytes,
)
from strategy.request import Precision, Problem, Request
from strategy.search import search
from strategy.strategy import AttentionMesh, ExpertMesh, Pool, Strategy
from strategy.work import Load, entry_flow, walk, work_context
from validators.validate import validate

NEXT = find_model("qwen3-next-80b-a3b")
DENSE = find_model("qwen3.5-27b")
BF16 = Precision(weights="bf16", activations="bf16", kv="bf16")
STATE = 4 * 32 * 128 * 128 + 2 * 3 * 8192
"""Bytes of Qwen3-Next's state of one sequence in one layer."""


def shortened(model: ModelSpec) -> ModelSpec:
    """Two rounds of three recurrences and an attention."""
    return model.model_copy(update={"num_layers": 8, "linear_layers": (0, 1, 2, 4, 5, 6)})


SMALL = shortened(NEXT)


def pool(model: ModelSpec = SMALL, *, tp: int = 1, dp: int = 1, pp: int = 1, **fields: Any) -> Pool:
    each = model.num_layers // pp
    experts = None if model.moe is None else ExpertMesh(ep_size=tp * dp)
    defaults: dict[str, Any] = {
        "pp_size": pp, "stages": tuple((n * each, n * each + each) for n in range(pp)), "experts": experts,
        "attention": AttentionMesh(dp_size=dp, tp_size=tp), "ep_lowering": "replicated" if dp == 1 else "all_to_all",
    }  # fmt: skip
    return Pool(**{**defaults, **fields})


def two_pools() -> Strategy:
    prefill = pool(tp=2, name="prefill", phases=("prefill",), replicas=2)
    return Strategy(pools=(prefill, pool(tp=4, dp=2, name="decode", phases=("decode",))))


def problem(**fields: Any) -> Problem:
    request = {
        "model": "qwen3-next-80b-a3b",
        "cluster": {"gpu": "h200-sxm", "gpus_per_host": 8},
        "workload": {"isl": 4000, "osl": 500},
    }
    return resolve(Request.model_validate(request | fields)).problem


# --- the model ----------------------------------------------------------------------------------------------------------------------


def test_parameters_are_those_published_but_for_the_gates_left_out() -> None:
    output_gate, shared_expert_gate = 12 * 2048 * 16 * 256, 48 * 2048

    assert parameters(NEXT) + output_gate + shared_expert_gate == 79_674_391_296
    assert active_parameters(NEXT) + output_gate + shared_expert_gate == 3_874_929_408


def test_only_attention_layers_keep_tokens_and_states_have_one_size() -> None:
    assert kv_bytes_per_token(NEXT, 2) == 12 * 2 * 2 * 256 * 2
    assert state_bytes_per_sequence(NEXT) == 36 * STATE


def test_layers_alternate_in_runs() -> None:
    assert SMALL.layer_runs() == [
        (0, 3, "linear", "moe"), (3, 4, "attention", "moe"), (4, 7, "linear", "moe"), (7, 8, "attention", "moe"),
    ]  # fmt: skip


@pytest.mark.parametrize(("linear", "layers"), [(NEXT.linear, ()), (None, (0,)), (NEXT.linear, (48,))])
def test_a_recurrence_and_its_layers_belong_together(linear: Any, layers: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="linear_layers"):
        ModelSpec.model_validate({**NEXT.model_dump(), "linear": linear, "linear_layers": layers})


# --- built and proved ---------------------------------------------------------------------------------------------------------------


def test_a_document_has_a_block_and_links_for_each_kind_of_layer() -> None:
    dag = build(NEXT, Strategy(pools=(pool(NEXT, tp=4, chunk_tokens=512),)))

    assert len(dag.branches.prefill.layers) == 24
    assert [stamp.blocks for stamp in dag.branches.decode.layers[:2]] == [
        ("linear_attention", "moe"),
        ("attention", "moe"),
    ]
    state, attend = "linear_attention.state", "linear_attention.attend"
    assert {(link.source, link.target, link.loop) for link in dag.links if "linear" in link.source} == {
        (f"prefill.{state}", f"prefill.{attend}", True),
        (f"prefill.{state}", f"decode.{attend}", False),
        (f"decode.{state}", f"decode.{attend}", True),
    }


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"tp": 4},
        {"tp": 16},
        {"tp": 2, "dp": 4},
        {"tp": 2, "pp": 2, "microbatches": 2},
        {"tp": 4, "chunk_tokens": 512},
        {"tp": 4, "sp_kind": "megatron", "ep_lowering": "all_to_all"},
        {"dp": 8, "ep_lowering": "all_gather", "dp_layout": "inner"},
    ],
)
def test_canonical_plans_give_what_one_device_gives(fields: dict[str, Any]) -> None:
    dag = build(SMALL, Strategy(pools=(pool(**fields),)))

    verdict = validate(dag, SMALL)

    assert verdict.errors == ()
    assert verdict.proof is not None
    assert verdict.proof.passed
    assert verdict.proof.max_abs_error < 1e-9


def test_states_are_handed_to_a_pool_of_another_width() -> None:
    dag = build(SMALL, two_pools())

    assert validate(dag, SMALL).errors == ()
    assert prove(dag, SMALL).passed


def test_a_dense_model_with_three_value_heads_a_key_head_is_proved() -> None:
    model = shortened(DENSE)

    assert prove(build(model, Strategy(pools=(pool(model, tp=4),))), model).passed


@pytest.mark.parametrize(
    "fields",
    [
        {
            "attention": AttentionMesh(cp_size=2, tp_size=2),
            "sp_kind": "cp_allgather",
            "cp_decode_use": "replicate",
            "experts": ExpertMesh(ep_size=4),
            "ep_lowering": "all_to_all",
        },
        {"tp": 4, "dcp_size": 4},
    ],
)
def test_a_split_over_tokens_is_illegal_and_has_no_blocks(fields: dict[str, Any]) -> None:
    asked = pool(**fields)

    assert illegal(SMALL, asked) == "AT012"
    with pytest.raises(InputError, match="from token to token"):
        build(SMALL, Strategy(pools=(asked,)))


def test_tp_sizes_divide_the_key_heads() -> None:
    fewer = SMALL.model_copy(update={"linear": NEXT.linear and NEXT.linear.model_copy(update={"num_key_heads": 4})})

    assert legal_tp_sizes(SMALL, 64) == [1, 2, 4, 8, 16]
    assert legal_tp_sizes(fewer, 64) == [1, 2, 4]
    assert illegal(fewer, pool(fewer, tp=8)) == "AT011"


# --- mistakes -----------------------------------------------------------------------------------------------------------------------


def without(dag: Dag, source: str, target: str) -> Dag:
    kept = tuple(link for link in dag.links if not (link.source.startswith(source) and link.target.startswith(target)))
    assert len(kept) == len(dag.links) - 1
    return dag.model_copy(update={"links": kept})


@pytest.mark.parametrize(("source", "target"), [("prefill", "decode"), ("decode", "decode"), ("prefill", "prefill")])
def test_a_state_that_is_not_handed_over_is_missed_by_rules_and_proof(source: str, target: str) -> None:
    dag = build(SMALL, Strategy(pools=(pool(tp=2, chunk_tokens=512),)))

    broken = without(dag, f"{source}.linear_attention.state", f"{target}.linear_attention")

    assert not prove(broken, SMALL).passed
    assert validate(broken, SMALL, prove=False).errors


def _edited(dag: Dag, node_id: str, **fields: Any) -> Dag:
    blocks = tuple(
        block.model_copy(
            update={"nodes": tuple(n.model_copy(update=fields) if n.id == node_id else n for n in block.nodes)}
        )
        if block.name == "linear_attention"
        else block
        for block in dag.blocks
    )
    return dag.model_copy(update={"blocks": blocks})


MISTAKES: list[tuple[str, dict[str, Any], str]] = [
    ("attend", {"form": None}, "AT010"),
    ("attend", {"partial": True}, ""),
    ("attend", {"inputs": ("project",)}, "PH009"),
    ("state", {"inputs": ("norm",)}, ""),
    ("project", {"split": "replicated"}, ""),
    ("project", {"weight": "qkv"}, "AT010"),
    ("o", {"weight": "attention_out"}, "AT010"),
]


@pytest.mark.parametrize(("node", "fields", "code"), MISTAKES)
def test_a_wrong_node_is_told_and_fails_the_proof(node: str, fields: dict[str, Any], code: str) -> None:
    broken = _edited(build(SMALL, Strategy(pools=(pool(tp=4),))), node, **fields)

    codes = {finding.code for finding in validate(broken, SMALL, prove=False).errors}

    assert codes
    assert not code or codes == {code}
    assert not prove(broken, SMALL).passed


def test_an_output_that_nobody_sums_is_that_of_attention() -> None:
    dag = build(SMALL, Strategy(pools=(pool(tp=4),)))
    summed = _edited(dag, "add", inputs=("in", "o"))
    blocks = tuple(
        block.model_copy(update={"nodes": tuple(n for n in block.nodes if n.id != "reduce")})
        if block.name == "linear_attention"
        else block
        for block in summed.blocks
    )
    broken = summed.model_copy(update={"blocks": blocks})

    assert {finding.code for finding in validate(broken, SMALL, prove=False).errors} == {"TP006"}
    assert not prove(broken, SMALL).passed


def rolled(found: Callable[..., Any], axis: int) -> Callable[..., Any]:
    return lambda *args: np.roll(found(*args), 1, axis=axis)


@pytest.mark.parametrize(
    "wrong", ["heads of a rank", "columns of a rank", "convolution of a head", "taps of the convolution"]
)
def test_the_proof_sees_a_state_that_lies_elsewhere(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    """The executor itself made wrong: what a mistake of an engine's sharding would do."""
    kernel = Recurrence.kernel_of_heads
    if wrong == "heads of a rank":
        monkeypatch.setattr(handoff, "value_blocks", rolled(handoff.value_blocks, 0))
    elif wrong == "columns of a rank":
        monkeypatch.setattr(shards, "_linear_columns", rolled(shards._linear_columns, 1))
    else:
        axis = 0 if wrong == "convolution of a head" else 2
        monkeypatch.setattr(Recurrence, "kernel_of_heads", lambda own, net: np.roll(kernel(own, net), 1, axis=axis))
    dag = build(SMALL.model_copy(update={"name": wrong}), two_pools())

    assert not prove(dag, SMALL.model_copy(update={"name": wrong})).passed


# --- counted and priced -------------------------------------------------------------------------------------------------------------


def test_weights_on_one_rank_are_the_model_and_split_evenly_over_tp() -> None:
    alone = stage_weight_bytes(NEXT, BF16, pool(NEXT))[0]
    split = stage_weight_bytes(NEXT, BF16, pool(NEXT, tp=4))[0]
    whole_everywhere = 48 * (2 * 2048 + 512 * 2048) + 2048 + 36 * 128
    kv_copies = 12 * 2048 * 2 * 256 * (4 - 2)

    assert alone == pytest.approx(weight_bytes(NEXT, BF16) - 12 * 2 * 256 * 2, rel=1e-9)
    assert 4 * split == pytest.approx(alone + 3 * 2 * whole_everywhere + 2 * kv_copies, rel=1e-6)


def test_a_sequence_takes_its_tokens_in_attention_layers_and_its_states_once() -> None:
    short, long = (kv_bytes_per_sequence(NEXT, BF16, pool(NEXT, tp=2), tokens)[0] for tokens in (1024, 2048))

    assert short == 12 * 2 * 256 * 2 * 1024 + 36 * STATE / 2
    assert long - short == 12 * 2 * 256 * 2 * 1024


def test_a_handover_moves_states_once_whatever_the_prompt() -> None:
    one = pool(NEXT, tp=2)

    assert handoff_bytes(NEXT, BF16, one, 1000) == 12 * 2 * 256 * 2 * 1000 + 36 * STATE / 2


def recurrence(batch: float, context: float, phase: Any = "decode") -> Any:
    one = pool(NEXT, tp=4)
    block = build(NEXT, Strategy(pools=(one,))).block("linear_attention")
    assert block is not None
    load = Load(batch, 1.0 if phase == "decode" else context, context)
    ctx = work_context(NEXT, BF16, one, phase, load)
    entering = replace_width(entry_flow(ctx), NEXT.hidden_size)
    return next(work for node, work in walk(block, entering, ctx) if node.id == "attend")


def replace_width(flow: Any, width: int) -> Any:
    return flow._replace(width=width, element_bytes=2)


def test_a_decode_step_reads_and_writes_each_state_whatever_the_context() -> None:
    one, other = recurrence(8.0, 1000.0), recurrence(8.0, 100_000.0)
    projected = 2 * 2048 + 2 * 4096 + 64

    assert one == other
    assert one.io_bytes == 2 * 8 * STATE / 4 + 8 * (projected + 4096) / 4 * 2
    assert one.flops == 8 * (7 * 32 * 128 * 128 + 2 * 4 * 8192) / 4


def test_prefill_grows_with_the_prompt_alone() -> None:
    one, twice = recurrence(1.0, 4096.0, "prefill"), recurrence(1.0, 8192.0, "prefill")

    assert twice.flops == 2 * one.flops
    assert twice.io_bytes - one.io_bytes == pytest.approx(one.io_bytes - 2 * STATE / 4)


def test_the_planner_finds_a_proved_plan_whose_price_is_that_of_its_dag() -> None:
    asked, constants = problem(), calibration()

    found = search(asked, constants)

    assert found.best is not None
    assert found.estimate is not None
    dag = build(NEXT, found.best.strategy)
    again = estimate(dag, asked, constants, concurrency=found.estimate.concurrency)
    assert again.tpot_ms == pytest.approx(found.estimate.tpot_ms, rel=0.01)
    assert again.ttft_ms == pytest.approx(found.estimate.ttft_ms, rel=0.01)
    assert validate(dag, NEXT, problem=asked).valid


def test_layers_that_alternate_cost_what_they_cost_in_any_order() -> None:
    """Stamps of one kind are priced together: the same layers in two runs take the same time."""
    asked, constants = problem(), calibration()
    plan = Strategy(pools=(pool(NEXT, tp=4),))
    sorted_layers = NEXT.model_copy(update={"linear_layers": tuple(range(36))})
    ours = estimate(build(NEXT, plan), asked, constants, concurrency=16)
    moved = estimate(
        build(sorted_layers, plan), asked.model_copy(update={"model": sorted_layers}), constants, concurrency=16
    )

    assert moved.tpot_ms == pytest.approx(ours.tpot_ms)
