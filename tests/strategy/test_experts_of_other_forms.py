"""Experts of two matrices, and experts in a latent space of their own: counted, built, proved, judged and priced as what they are."""

from typing import Any

import pytest

from strategy.build import build
from strategy.dag import Dag
from strategy.execute import prove
from strategy.memory import stage_weight_bytes
from strategy.model import GqaAttention, ModelSpec, Moe
from strategy.ops import ffn_weights
from strategy.parameters import active_parameters, expert_parameters, parameters, weight_bytes
from strategy.request import Precision
from strategy.strategy import AttentionMesh, ExpertMesh, Pool, Strategy
from strategy.work import Load, Work, entry_flow, walk, work_context
from validators.validate import validate

BF16 = Precision(weights="bf16", activations="bf16", kv="bf16")
MOE = Moe(num_experts=64, top_k=6, expert_intermediate_size=1856, shared_intermediate_size=3712)
UNGATED = ModelSpec(
    name="two-matrices", hidden_size=2688, num_layers=4, vocab_size=131_072, intermediate_size=None, ffn_gated=False,
    attention=GqaAttention(num_heads=32, num_kv_heads=2, head_dim=128), moe=MOE,
)  # fmt: skip
LATENT = UNGATED.model_copy(update={"name": "latent", "moe": MOE.model_copy(update={"latent_size": 1024})})
GATED_LATENT = LATENT.model_copy(update={"name": "gated-latent", "ffn_gated": True})
MODELS = [UNGATED, LATENT, GATED_LATENT]
PLANS: dict[str, dict[str, Any]] = {
    "one device": {},
    "TP4 with EP4 in it": {"tp": 4, "ep": 4, "ep_lowering": "replicated"},
    "TP4 with experts cut": {"tp": 4, "moe_tp": 4, "ep_lowering": "replicated"},
    "TP2 x DP2, sums inside": {"tp": 2, "dp": 2, "ep": 2, "moe_dp": 2, "ep_lowering": "replicated"},
    "EP by all_to_all": {"tp": 2, "dp": 2, "ep": 4, "ep_lowering": "all_to_all"},
    "EP by all_to_all, experts cut": {"tp": 2, "dp": 2, "ep": 2, "moe_tp": 2, "ep_lowering": "all_to_all"},
    "EP by all_gather": {"dp": 4, "ep": 4, "ep_lowering": "all_gather"},
    "megatron": {"tp": 4, "ep": 4, "sp_kind": "megatron", "ep_lowering": "all_to_all"},
}


def pool(
    model: ModelSpec, *, tp: int = 1, dp: int = 1, ep: int = 1, moe_tp: int = 1, moe_dp: int = 1, **fields: Any
) -> Pool:
    experts = ExpertMesh(dp_size=moe_dp, ep_size=ep, tp_size=moe_tp)
    mesh = AttentionMesh(dp_size=dp, tp_size=tp)
    return Pool(stages=((0, model.num_layers),), attention=mesh, experts=experts, **fields)


def built(model: ModelSpec, **degrees: Any) -> Dag:
    return build(model, Strategy(pools=(pool(model, **degrees),)))


def works(model: ModelSpec, **degrees: Any) -> dict[str, Work]:
    dag = built(model, **degrees)
    ctx = work_context(model, BF16, dag.strategy.pools[0], "decode", Load(64, 1, 4096))
    block = dag.block("moe")
    assert block is not None
    return {node.id: work for node, work in walk(block, entry_flow(ctx)._replace(width=model.hidden_size), ctx)}


def test_an_expert_without_a_gate_has_two_matrices() -> None:
    assert expert_parameters(UNGATED) == 2 * 2688 * 1856
    assert ffn_weights(UNGATED)["shared_up"].parameters == 2688 * 3712
    assert parameters(UNGATED) - active_parameters(UNGATED) == 4 * (64 - 6) * 2 * 2688 * 1856


def test_experts_in_a_latent_space_are_as_narrow_as_it_and_have_two_projections_beside_them() -> None:
    assert expert_parameters(LATENT) == 2 * 1024 * 1856
    assert parameters(UNGATED) - parameters(LATENT) == 4 * (64 * 2 * (2688 - 1024) * 1856 - 2 * 2688 * 1024)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_one_rank_holds_the_whole_model(model: ModelSpec) -> None:
    assert stage_weight_bytes(model, BF16, pool(model))[0] == weight_bytes(model, BF16)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_canonical_plans_give_what_one_device_gives(model: ModelSpec, plan: str) -> None:
    dag = built(model, **PLANS[plan])

    verdict = validate(dag, model)

    assert verdict.errors == ()
    assert verdict.proof is not None
    assert verdict.proof.passed


def edited(dag: Dag, node: str, **fields: Any) -> Dag:
    document = dag.model_dump(mode="json")
    nodes = next(block for block in document["blocks"] if block["name"] == "moe")["nodes"]
    next(n for n in nodes if n["id"] == node).update(fields)
    return Dag.model_validate(document)


@pytest.mark.parametrize(
    ("node", "fields"),
    [
        ("experts", {"inputs": ["norm", "routing"]}),
        ("latent_in", {"inputs": ["in"]}),
        ("latent_out", {"inputs": ["norm"]}),
        ("latent_out", {"weight": "latent_in"}),
        ("shared_up", {"weight": "latent_in"}),
        ("merge", {"inputs": ["experts", "shared_down"]}),
        ("routing", {"inputs": ["latent_in"]}),
        ("latent_in", {"split": "column"}),
    ],
)
def test_what_does_not_pass_the_latent_space_as_it_must_is_told_and_fails_the_proof(
    node: str, fields: dict[str, Any]
) -> None:
    broken = edited(built(LATENT, **PLANS["TP4 with EP4 in it"]), node, **fields)

    assert validate(broken, LATENT, prove=False).errors
    assert not prove(broken, LATENT).passed


def test_a_latent_dispatch_moves_latent_tokens_and_its_experts_read_narrow_weights() -> None:
    plain, latent = (works(model, **PLANS["EP by all_to_all"]) for model in (UNGATED, LATENT))
    header = 16  # of a message of the low-latency kernels

    assert latent["experts"].weight_bytes == pytest.approx(plain["experts"].weight_bytes * 1024 / 2688)
    ratio = (2 * 1024 + header) / (2 * 2688 + header)
    assert latent["dispatch"].message_bytes == pytest.approx(plain["dispatch"].message_bytes * ratio)
    assert latent["combine"].message_bytes == pytest.approx(plain["combine"].message_bytes * 1024 / 2688)


def test_experts_of_two_matrices_read_and_compute_two_thirds() -> None:
    gated = UNGATED.model_copy(update={"ffn_gated": True})
    plain, more = (
        works(UNGATED, dp=4, ep=4, ep_lowering="all_to_all"),
        works(gated, dp=4, ep=4, ep_lowering="all_to_all"),
    )

    assert plain["experts"].weight_bytes == pytest.approx(more["experts"].weight_bytes * 2 / 3)
    assert plain["experts"].flops == pytest.approx(more["experts"].flops * 2 / 3)
