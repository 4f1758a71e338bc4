"""What real deployments do is not forbidden, and what plans written by language models get wrong is caught (cautions of the peers)."""

import json

import pytest

from validators.claims import Claims
from validators.documents import read_document
from validators.examples import MLA, MOE, about, dense, edit, insert, mla, moe, plan, pool, problem
from validators.examples_claims import estimated, llama
from validators.subject import Subject
from validators.validate import validate


def codes(subject: Subject, claims: Claims | None = None, *, prove: bool = False) -> set[str]:
    verdict = validate(subject.dag, subject.model, subject.problem, prove=prove, claims=claims or subject.claims)
    return {finding.code for finding in verdict.errors}


def test_token_shards_of_prefill_do_not_keep_a_pool_from_decoding() -> None:
    assert codes(dense(tp=4, pp=1, sp_kind="megatron"), prove=True) == set()


@pytest.mark.parametrize("dcp", [2, 4])
def test_context_parallelism_in_decode_is_legal(dcp: int) -> None:
    assert codes(mla(tp=4, dp=1, ep=4, ep_lowering="replicated", dcp_size=dcp), prove=True) == set()


@pytest.mark.parametrize("use", ["batch_shard", "replicate", "tp_slice"])
def test_context_parallel_ranks_decode_in_any_declared_way(use: str) -> None:
    assert codes(dense(tp=2, pp=1, cp=2, sp_kind="cp_allgather", cp_decode_use=use), prove=True) == set()


def test_attention_replicas_may_meet_in_experts() -> None:
    assert codes(moe(tp=1, dp=4, ep=4), prove=True) == set()


def test_the_gpu_count_is_not_the_product_of_all_degrees() -> None:
    subject = about(moe(tp=2, dp=4, ep=8), problem(MOE, gpus_per_host=8))

    assert subject.dag.strategy.world_size == 8
    assert codes(subject) == set()


def test_copies_of_experts_need_only_fill_the_slots_evenly() -> None:
    uneven = MOE.moe.model_copy(update={"num_experts": 6}) if MOE.moe else None
    model = MOE.model_copy(update={"moe": uneven})

    assert codes(plan(model, pool(model, dp=4, ep=4, redundant_experts=2)), prove=True) == set()
    assert codes(plan(model, pool(model, dp=4, ep=4, redundant_experts=1))) == {"EP016"}


def test_prefill_and_decode_pools_may_differ_in_every_degree() -> None:
    prefill = pool(MLA, tp=4, dp=1, ep=2, moe_tp=2, name="prefill", phases=("prefill",), ep_lowering="replicated")
    decode = pool(MLA, tp=1, dp=8, pp=2, ep=8, name="decode", phases=("decode",))

    assert codes(plan(MLA, prefill, decode), prove=True) == set()


def test_an_exchange_in_a_circle_is_a_cycle() -> None:
    looped = edit(moe(), "/blocks/3/nodes", [
        {"id": "norm", "op": "norm", "weight": "ffn_norm", "inputs": ["in"]},
        {"id": "routing", "op": "routing", "inputs": ["norm"]},
        {"id": "dispatch", "op": "all_to_all", "axis": "ep", "role": "dispatch", "inputs": ["norm", "routing", "sync:combine"]},
        {"id": "experts", "op": "expert", "apply_router_weight": True, "inputs": ["dispatch"]},
        {"id": "combine", "op": "all_to_all", "axis": "ep", "role": "combine", "inputs": ["experts", "routing"]},
        {"id": "add", "op": "add", "inputs": ["in", "combine"]},
    ])  # fmt: skip

    assert codes(looped) == {"DG003"}


def test_ranks_left_out_of_every_group_are_missed() -> None:
    subject = dense(tp=2, pp=4, replicas=3)
    claims = Claims.model_validate({"layout": {"groups": {"tp": [[0, 1]]}}})

    assert codes(subject, claims) == {"TP012"}


def test_stages_that_do_not_hand_on_are_missed() -> None:
    subject = dense(tp=1, pp=4)
    claims = Claims.model_validate({"layout": {"sends": [[0, 1]]}})

    assert codes(subject, claims) == {"PP014"}
    assert codes(edit(subject, "/branches/prefill/boundary", None)) == {"PP005"}


@pytest.mark.parametrize("op", ["gradient_all_reduce", "optimizer_step", "backward"])
def test_training_has_no_ops_here(op: str) -> None:
    document = dense().dag.model_dump(mode="json", exclude_none=True)
    document["blocks"][2]["nodes"].append({"id": "extra", "op": op, "inputs": ["add"]})

    assert [f.code for f in read_document(json.dumps(document)).findings] == ["DG005"]


@pytest.mark.parametrize(
    ("scale", "fields", "code"),
    [
        ({"weights": 10.0}, {}, "MM002"),
        ({"kv": 3.0}, {}, "MM003"),
        ({}, {"max_concurrency": 1_000_000}, "MM007"),
    ],
)
def test_memory_that_is_claimed_and_not_there_is_caught(
    scale: dict[str, float], fields: dict[str, int], code: str
) -> None:
    assert codes(estimated(llama(tp=2), scale=scale, **fields)) == {code}


@pytest.mark.parametrize("field", ["ttft_ms", "tpot_ms"])
def test_times_that_no_gpu_reaches_are_told(field: str) -> None:
    subject = estimated(llama(tp=2), **{field: 0.06})

    found = validate(subject.dag, subject.model, subject.problem, prove=False, claims=subject.claims).findings

    assert "CS006" in {finding.code for finding in found}


def test_a_second_sum_over_replicas_of_attention_is_not_excused_by_coupling() -> None:
    mixed = insert(moe(), "attention.o", id="mix", op="all_reduce", axis="dp", inputs=["o"])

    assert codes(mixed) == {"DP004"}


def test_an_estimate_without_a_request_is_not_judged() -> None:
    subject = estimated(llama(tp=2), tpot_ms=0.001)

    assert codes(Subject(subject.dag, subject.model, None, subject.claims)) == set()
