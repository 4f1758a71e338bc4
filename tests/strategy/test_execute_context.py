"""Sequence, context and decode context parallelism: every combination equals one device, and broken exchanges do not."""

import copy
from typing import Any

import numpy as np
import pytest

from strategy.build import build
from strategy.dag import Dag
from strategy.execute import prove
from strategy.execute.batch import shards_of
from strategy.execute.reference import run_reference
from strategy.execute.scale import prompt_lengths, scale
from strategy.execute.weights import Weights
from strategy.model import GqaAttention, MlaAttention, ModelSpec, Moe, Window
from strategy.result import Proof
from strategy.strategy import AttentionMesh, ExpertMesh, Pool, Strategy

GQA = ModelSpec(
    name="gqa",
    hidden_size=4096,
    num_layers=8,
    vocab_size=128_256,
    attention=GqaAttention(num_heads=32, num_kv_heads=8, head_dim=128),
    intermediate_size=14_336,
)
LATENT = MlaAttention(
    num_heads=32, q_lora_rank=1536, kv_lora_rank=512, qk_nope_head_dim=128, qk_rope_head_dim=64, v_head_dim=128
)
MOE = Moe(num_experts=64, top_k=6, expert_intermediate_size=1536, shared_intermediate_size=2048)
MLA = GQA.model_copy(update={"name": "mla", "attention": LATENT})
GQA_MOE = GQA.model_copy(update={"name": "gqa-moe", "moe": MOE, "dense_layers": (0,)})
MLA_MOE = MLA.model_copy(update={"name": "mla-moe", "moe": MOE, "dense_layers": (0,)})
FEW_HEADS = GQA.model_copy(update={"attention": GqaAttention(num_heads=32, num_kv_heads=2, head_dim=128)})
WINDOWED = GQA.model_copy(update={"window": Window(kind="sliding", size_tokens=128, layers=(1, 3, 5, 7))})
LIMITED = MLA_MOE.model_copy(update={"moe": MOE.model_copy(update={"num_expert_groups": 8, "top_k_groups": 2})})
DENSE, SPARSE = (GQA, MLA), (GQA_MOE, MLA_MOE)


def pool(*, dp=1, cp=1, tp=1, pp=1, experts=None, **fields) -> Pool:
    """`experts` is (dp_size, ep_size, tp_size)."""
    stages = ((0, 8),) if pp == 1 else ((0, 3), (3, 8))
    mesh = None if experts is None else ExpertMesh(dp_size=experts[0], ep_size=experts[1], tp_size=experts[2])
    attention = AttentionMesh(dp_size=dp, cp_size=cp, tp_size=tp)
    return Pool(stages=stages, pp_size=pp, attention=attention, experts=mesh, **fields)


def plan(**degrees) -> Strategy:
    return Strategy(pools=(pool(**degrees),))


def outcome(model: ModelSpec, strategy: Strategy) -> Proof:
    proof = prove(build(model, strategy), model)
    assert proof.departure is None
    return proof


WITHOUT_CONTEXT = {
    "1 TP": (DENSE, {"tp": 2}),
    "3 PP": (DENSE, {"pp": 2}),
    "4 EP": (SPARSE, {"dp": 2, "experts": (1, 2, 1)}),
    "5a TP x SP": (DENSE, {"tp": 2, "sp_kind": "megatron"}),
    "6 TP x PP": (DENSE, {"tp": 2, "pp": 2}),
    "7a TP x EP, replicated": (SPARSE, {"tp": 2, "experts": (1, 2, 1), "ep_lowering": "replicated"}),
    "7b TP x EP, chunked": (SPARSE, {"tp": 2, "experts": (1, 2, 1)}),
    "7c TP x EP, orthogonal": (SPARSE, {"dp": 2, "tp": 2, "experts": (1, 4, 1)}),
    "7c TP x EP, expert TP": (SPARSE, {"dp": 2, "tp": 2, "experts": (1, 2, 2)}),
    "10 PP x EP": (SPARSE, {"pp": 2, "dp": 2, "experts": (1, 2, 1), "dp_layout": "inner"}),
    "11 TP x SP x PP": (DENSE, {"tp": 2, "pp": 2, "sp_kind": "megatron"}),
    "12a TP x SP x EP": (SPARSE, {"tp": 2, "experts": (1, 2, 1), "sp_kind": "megatron"}),
    "13 TP x PP x EP": (SPARSE, {"tp": 2, "pp": 2, "dp": 2, "experts": (1, 4, 1)}),
    "15 TP x SP x PP x EP": (SPARSE, {"tp": 2, "pp": 2, "experts": (1, 2, 1), "sp_kind": "megatron"}),
}
WITH_CONTEXT = {
    "2 SP": (DENSE, {}),
    "2 SP, experts repeated": (SPARSE, {"experts": (2, 1, 1)}),
    "2 SP, expert TP over it": (SPARSE, {"experts": (1, 1, 2), "ep_lowering": "all_gather"}),
    "5b TP x SP": (DENSE, {"tp": 2}),
    "5b TP x SP, expert TP": (SPARSE, {"tp": 2, "experts": (2, 1, 2), "ep_lowering": "replicated"}),
    "8 SP x PP": (DENSE, {"pp": 2}),
    "9 SP x EP": (SPARSE, {"experts": (1, 2, 1)}),
    "11 TP x SP x PP": (DENSE, {"tp": 2, "pp": 2}),
    "12b TP x SP x EP": (SPARSE, {"tp": 2, "experts": (1, 4, 1)}),
    "12b TP x SP x EP, all_gather": (SPARSE, {"tp": 2, "experts": (1, 4, 1), "ep_lowering": "all_gather"}),
    "14 SP x PP x EP": (SPARSE, {"pp": 2, "experts": (1, 2, 1)}),
    "15 TP x SP x PP x EP": (SPARSE, {"tp": 2, "pp": 2, "experts": (1, 4, 1)}),
}
KINDS = ("cp_allgather", "cp_ring", "cp_ulysses")
USES = ("replicate", "batch_shard", "tp_slice")


@pytest.mark.parametrize(("models", "degrees"), WITHOUT_CONTEXT.values(), ids=WITHOUT_CONTEXT)
def test_every_combination_without_context_parallelism_equals_one_device(models, degrees):
    for model in models:
        assert outcome(model, plan(**degrees)).max_abs_error < 1e-12


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(("models", "degrees"), WITH_CONTEXT.values(), ids=WITH_CONTEXT)
def test_every_combination_with_context_parallelism_equals_one_device(models, degrees, use, kind):
    for model in models:
        if (kind, model.attention.kind) != ("cp_ulysses", "mla"):
            proof = outcome(model, plan(cp=2, sp_kind=kind, cp_decode_use=use, **degrees))
            assert proof.max_abs_error < 1e-12


MORE = {
    "three ranks of a ring": (GQA, {"cp": 3, "tp": 2, "sp_kind": "cp_ring", "cp_decode_use": "batch_shard"}),
    "contiguous shards": (MLA, {"cp": 2, "tp": 2, "sp_kind": "cp_ring", "cp_order": "contiguous"}),
    "contiguous shards of head shards": (GQA, {"cp": 4, "sp_kind": "cp_ulysses", "cp_order": "contiguous"}),
    "Ulysses with fewer KV heads than ranks": (FEW_HEADS, {"cp": 4, "tp": 2, "sp_kind": "cp_ulysses"}),
    "sliced decode with fewer KV heads than ranks": (
        FEW_HEADS,
        {"cp": 4, "tp": 2, "sp_kind": "cp_allgather", "cp_decode_use": "tp_slice"},
    ),
    "sliding windows over shards": (WINDOWED, {"cp": 2, "tp": 2, "sp_kind": "cp_ring"}),
    "uneven stages and replicas": (GQA, {"cp": 2, "pp": 2, "replicas": 3, "sp_kind": "cp_allgather"}),
    "64 ranks of rings": (MLA, {"cp": 8, "tp": 8, "sp_kind": "cp_ring"}),
    "64 ranks": (MLA, {"cp": 8, "tp": 8, "sp_kind": "cp_allgather", "cp_decode_use": "batch_shard"}),
    "DCP": (FEW_HEADS, {"tp": 8, "dcp_size": 4}),
    "DCP of latents": (MLA, {"tp": 8, "dcp_size": 8}),
    "DCP x PP x megatron": (FEW_HEADS, {"tp": 4, "pp": 2, "dcp_size": 2, "sp_kind": "megatron"}),
    "DCP inside cp replicas": (
        MLA,
        {"tp": 4, "cp": 2, "dcp_size": 2, "sp_kind": "cp_allgather", "cp_decode_use": "dcp"},
    ),
    "DCP over cp ranks": (MLA, {"cp": 2, "dcp_size": 2, "sp_kind": "cp_ring", "cp_decode_use": "dcp"}),
    "DCP over cp and tp ranks": (
        MLA,
        {"cp": 2, "tp": 2, "dcp_size": 4, "sp_kind": "cp_allgather", "cp_decode_use": "dcp"},
    ),
    "DCP with experts": (MLA_MOE, {"dp": 2, "tp": 4, "dcp_size": 4, "experts": (1, 8, 1)}),
    "chunks": (GQA, {"tp": 4, "chunk_tokens": 512}),
    "chunks of latents": (MLA, {"tp": 4, "pp": 2, "chunk_tokens": 512}),
    "chunks in token shards": (GQA, {"tp": 4, "chunk_tokens": 512, "sp_kind": "megatron"}),
    "chunks in cp shards": (
        MLA,
        {"cp": 2, "tp": 2, "chunk_tokens": 512, "sp_kind": "cp_allgather", "cp_decode_use": "batch_shard"},
    ),
    "chunks in head shards": (GQA, {"cp": 2, "chunk_tokens": 512, "sp_kind": "cp_ulysses"}),
    "chunks into a DCP cache": (FEW_HEADS, {"tp": 4, "dcp_size": 2, "chunk_tokens": 512}),
    "windows and chunks": (WINDOWED, {"tp": 2, "chunk_tokens": 512}),
    "node-limited routing": (LIMITED, {"dp": 4, "experts": (1, 4, 1), "redundant_experts": 8}),
}


@pytest.mark.parametrize(("model", "degrees"), MORE.values(), ids=MORE)
def test_wider_and_mixed_plans_equal_one_device(model, degrees):
    assert outcome(model, plan(**degrees)).max_abs_error < 1e-12


TWO_POOLS = {
    "cp to DCP": (FEW_HEADS, {"cp": 2, "tp": 2, "sp_kind": "cp_allgather"}, {"tp": 4, "dcp_size": 2}),
    "a ring over stages to DCP": (FEW_HEADS, {"cp": 4, "pp": 2, "sp_kind": "cp_ring"}, {"tp": 8, "dcp_size": 4}),
    "head shards to stages": (GQA, {"cp": 2, "tp": 2, "sp_kind": "cp_ulysses"}, {"tp": 4, "pp": 2, "replicas": 3}),
    "chunks to split batches": (
        GQA,
        {"tp": 2, "chunk_tokens": 512},
        {"cp": 2, "tp": 2, "cp_decode_use": "batch_shard"},
    ),
    "chunks to sliced attention": (
        GQA,
        {"tp": 2, "chunk_tokens": 512},
        {"cp": 2, "tp": 2, "cp_decode_use": "tp_slice"},
    ),
    "latents to DCP": (MLA, {"cp": 3, "sp_kind": "cp_allgather", "cp_order": "contiguous"}, {"tp": 4, "dcp_size": 4}),
    "cp to attention DP": (
        MLA_MOE,
        {"cp": 2, "tp": 2, "sp_kind": "cp_allgather", "experts": (1, 4, 1)},
        {"dp": 8, "experts": (1, 8, 1)},
    ),
}


@pytest.mark.parametrize(("model", "prefill", "decode"), TWO_POOLS.values(), ids=TWO_POOLS)
def test_pools_of_different_shapes_hand_over_the_cache(model, prefill, decode):
    pools = (pool(name="p", phases=("prefill",), **prefill), pool(name="d", phases=("decode",), **decode))

    assert outcome(model, Strategy(pools=pools)).max_abs_error < 1e-12


class Edit:
    """A built document to break: nodes by `block.node`."""

    def __init__(self, model: ModelSpec, **degrees: Any) -> None:
        self.model = model
        self.document = copy.deepcopy(build(model, plan(**degrees)).model_dump(mode="json"))

    def node(self, reference: str) -> dict[str, Any]:
        block, node = reference.split(".")
        nodes = next(found["nodes"] for found in self.document["blocks"] if found["name"] == block)
        return next(found for found in nodes if found["id"] == node)

    def set(self, reference: str, **fields: Any) -> "Edit":
        self.node(reference).update(fields)
        return self

    def pool(self, **fields: Any) -> "Edit":
        self.document["strategy"]["pools"][0].update(fields)
        return self

    def unlink(self, index: int) -> "Edit":
        del self.document["links"][index]
        return self

    def prove(self) -> Proof:
        return prove(Dag.model_validate(self.document), self.model)


def gathered(**fields: Any) -> Edit:
    return Edit(GQA, **{"cp": 2, "tp": 2, "sp_kind": "cp_allgather", **fields})


def ring(**fields: Any) -> Edit:
    return Edit(GQA, **{"cp": 3, "tp": 2, "sp_kind": "cp_ring", **fields})


def ulysses(**fields: Any) -> Edit:
    return Edit(GQA, **{"cp": 2, "tp": 2, "sp_kind": "cp_ulysses", **fields})


def latents(**fields: Any) -> Edit:
    return Edit(MLA, **{"cp": 2, "tp": 2, "sp_kind": "cp_ring", **fields})


def dcp(**fields: Any) -> Edit:
    return Edit(FEW_HEADS, **{"tp": 4, "dcp_size": 2, **fields})


P, D = "attention_prefill", "attention_decode"
BROKEN = {
    "only the shard's K and V": (gathered().set(f"{P}.kv", inputs=["qkv"]), f"prefill.{P}.attend"),
    "K and V gathered over tp": (gathered().set(f"{P}.kv_gather", axis="tp"), f"prefill.{P}.kv"),
    "queries from the gathered K and V": (
        gathered().set(f"{P}.attend", inputs=["kv_gather", "sync:kv"]),
        f"prefill.{P}.attend",
    ),
    "last tokens not gathered": (
        gathered().set("head_prefill.lm_head", inputs=["last"]),
        "prefill.head_prefill.sample",
    ),
    "batches cut without whole caches": (
        Edit(GQA, cp=2, sp_kind="cp_ring", cp_decode_use="batch_shard").set(f"{D}.kv", inputs=["qkv"]),
        f"decode.{D}.attend",
    ),
    "sliced attention not summed over cp": (
        gathered(cp_decode_use="tp_slice").set(f"{D}.reduce", inputs=["o"]),
        f"decode.{D}.reduce",
    ),
    "whole attention summed over cp": (gathered(cp_decode_use="tp_slice").pool(cp_decode_use="replicate"), None),
    "sliced attention said to be whole": (gathered().pool(cp_decode_use="tp_slice"), None),
    "a step of the ring left out": (ring().set(f"{P}.attend", inputs=["attend_0", "attend_1"]), f"prefill.{P}.attend"),
    "a step of the ring twice": (
        ring().set(f"{P}.attend", inputs=["attend_0", "attend_1", "attend_2", "attend_2"]),
        f"prefill.{P}.attend",
    ),
    "the ring turned once": (ring().set(f"{P}.recv_2", inputs=["pipeline:send_1"]), f"prefill.{P}.kv"),
    "one shard attended to twice": (
        ring().set(f"{P}.attend_2", inputs=["qkv", "recv_1"]),
        f"prefill.{P}.attend",
    ),
    "a ring that does not go round": (ring().set(f"{P}.send_1", axis=None), f"prefill.{P}.send_1"),
    "a finished attention merged": (ring().set(f"{P}.attend_1", partial=None), f"prefill.{P}.attend_1"),
    "parts added instead of merged": (ring().set(f"{P}.o", inputs=["attend_0"]), f"prefill.{P}.o"),
    "part of the ring cached": (ring().set(f"{P}.kv", inputs=["qkv", "recv_1"]), f"decode.{D}.attend"),
    "a shard cached twice": (ring().set(f"{P}.kv", inputs=["qkv", "recv_1", "recv_2", "recv_1"]), f"prefill.{P}.kv"),
    "the neighbour's latent expanded twice": (
        latents().set("mla_prefill.kv_b_0", inputs=["recv_1"]),
        "prefill.mla_prefill.attend",
    ),
    "every step expands the whole cache": (
        latents().set("mla_prefill.kv_b_0", inputs=["kv"]),
        "prefill.mla_prefill.attend",
    ),
    "tokens not traded for heads": (ulysses().set(f"{P}.attend", inputs=["qkv", "sync:kv"]), f"prefill.{P}.to_tokens"),
    "heads not traded back": (ulysses().set(f"{P}.o", inputs=["attend"]), f"prefill.{P}.o"),
    "heads traded over tp": (ulysses().set(f"{P}.to_heads", axis="tp"), f"prefill.{P}.to_heads"),
    "half of the heads cached": (ulysses().set(f"{P}.kv", inputs=["to_heads"]), f"decode.{D}.attend"),
    "attention over a share of the positions only": (
        dcp().set(f"{D}.attend", partial=None),
        f"decode.{D}.lse",
    ),
    "Q not gathered": (dcp().set(f"{D}.attend", inputs=["qkv", "sync:kv"]), f"decode.{D}.lse"),
    "outputs not rescaled": (dcp().set(f"{D}.rescale", inputs=["attend"]), None),
    "only the rank's own log-sum-exp": (dcp().set(f"{D}.lse", axis="dp"), f"decode.{D}.to_heads"),
    "no sum over the shares": (dcp().set(f"{D}.to_heads", axis="dp"), None),
    "outputs scattered by tokens": (dcp().set(f"{D}.to_heads", dim="tokens"), None),
    "chunks that do not see each other": (Edit(GQA, tp=2, chunk_tokens=512).unlink(0), "prefill.attention.attend"),
    "latents of the newest chunk alone": (
        Edit(MLA, tp=2, chunk_tokens=512).set("mla_prefill.kv_b", inputs=["kv_norm"]),
        "prefill.mla_prefill.attend",
    ),
    "chunks of latents that do not see each other": (
        Edit(MLA, tp=2, chunk_tokens=512).unlink(0),
        "prefill.mla_prefill.attend",
    ),
    "only the last chunk handed over": (Edit(GQA, tp=2, chunk_tokens=512).unlink(1), "decode.attention.attend"),
}


@pytest.mark.parametrize(("edit", "node"), BROKEN.values(), ids=BROKEN)
def test_a_broken_exchange_is_rejected_where_it_breaks(edit, node):
    proof = edit.prove()

    assert not proof.passed
    assert proof.departure is not None
    assert proof.departure.detail
    assert node is None or proof.departure.node == node


def test_dcp_groups_must_fill_an_attention_replica():
    proof = dcp().pool(dcp_size=3).prove()

    assert proof.departure is not None
    assert "do not form groups of dcp_size=3" in proof.departure.detail


def test_heads_that_do_not_split_over_cp_are_named_with_their_number():
    proof = ulysses(cp=3).prove()

    assert proof.departure is not None
    assert proof.departure.detail == "16 heads of a rank do not split over 3 ranks"


@pytest.mark.parametrize("order", ["zigzag", "contiguous"])
@pytest.mark.parametrize("size", [1, 2, 3, 8])
@pytest.mark.parametrize(("start", "end"), [(0, 16), (5, 22), (0, 3)])
def test_shards_of_a_prompt_are_disjoint_and_cover_it(start, end, order, size):
    found = np.concatenate(shards_of(start, end, size, order))

    assert sorted(found.tolist()) == list(range(start, end))


def test_zigzag_gives_each_rank_a_chunk_from_either_end():
    assert [shard.tolist() for shard in shards_of(0, 8, 2, "zigzag")] == [[0, 1, 6, 7], [2, 3, 4, 5]]
    assert [shard.tolist() for shard in shards_of(0, 8, 2, "contiguous")] == [[0, 1, 2, 3], [4, 5, 6, 7]]


@pytest.mark.parametrize(
    ("model", "degrees"),
    [
        (MLA, {"cp": 8, "tp": 8, "dcp_size": 8}),
        (FEW_HEADS, {"cp": 4, "tp": 32, "dcp_size": 16}),
        (MLA_MOE, {"dp": 16, "tp": 8, "dcp_size": 2, "experts": (1, 128, 1)}),
    ],
)
def test_scaling_keeps_context_parallel_degrees_above_one(model, degrees):
    real = pool(**degrees)

    small = scale(model, Strategy(pools=(real,))).pools["decode"]

    assert (small.attention.cp_size > 1) == (real.attention.cp_size > 1)
    assert small.dcp_size > 1
    assert small.attention.tp_size % small.dcp_size == 0
    assert (small.dcp_size == small.attention.tp_size) == (real.dcp_size == real.attention.tp_size)


def test_prompts_of_cp_ranks_differ_in_length_and_every_chunk_has_tokens_of_each():
    scaled = scale(GQA, plan(cp=2, tp=2, sp_kind="cp_allgather", chunk_tokens=512))

    lengths = prompt_lengths(scaled)

    assert len(set(lengths.tolist())) > 1
    assert scaled.first_chunk is not None
    assert (lengths > scaled.first_chunk).all()


def test_node_limited_routing_reaches_few_groups():
    scaled = scale(LIMITED, plan(experts=(1, 1, 1))).model
    moe = scaled.moe
    assert moe is not None
    assert 1 <= moe.top_k_groups < moe.num_expert_groups
    unlimited = scaled.model_copy(update={"moe": moe.model_copy(update={"top_k_groups": moe.num_expert_groups})})
    prompt = np.arange(12)

    limited, free = (
        run_reference(model, (1,), Weights(model, 0), [prompt], 2).states["experts", 1] for model in (scaled, unlimited)
    )

    assert np.abs(limited - free).max() > 1e-3


def handed_over(link: dict[str, Any]) -> bool:
    return link["source"] == "prefill.attention_prefill.kv" and link["target"].startswith("decode.")


@pytest.mark.parametrize("order", ["contiguous", "zigzag"])
@pytest.mark.parametrize("cp", [2, 3, 4, 6])
@pytest.mark.parametrize("chunk", [None, 2048])
def test_decode_starts_inside_a_window(order, cp, chunk):
    """Or attention over chunks would need nothing of what prefill left, and a lost hand-over would not be seen."""
    kind = "cp_allgather" if chunk else "cp_ring"
    strategy = plan(cp=cp, sp_kind=kind, cp_decode_use="replicate", cp_order=order, chunk_tokens=chunk)
    model = GQA.model_copy(update={"window": Window(kind="chunked", size_tokens=64, layers=tuple(range(8)))})
    document = build(model, strategy).model_dump(mode="json")
    document["links"] = [link for link in document["links"] if not handed_over(link)]

    departure = prove(Dag.model_validate(document), model).departure
    assert departure is not None
    assert departure.node.startswith("decode.")
