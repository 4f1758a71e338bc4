"""The proof passes for sound documents, hand-written and built, and says what it ran."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from strategy.build import build
from strategy.dag import Dag
from strategy.errors import InputError
from strategy.execute import prove
from strategy.execute.ranks import Ranks
from strategy.execute.reference import run_reference
from strategy.execute.scale import MAX_WIDTH, prompt_lengths, scale
from strategy.execute.shards import Shards
from strategy.execute.weights import Weights
from strategy.model import GqaAttention, ModelSpec, Moe, Window
from strategy.strategy import AttentionMesh, ExpertMesh, Pool, Strategy
from validators.examples_moe import DEEPSEEK_V3

DOCUMENTS = Path(__file__).parent / "documents"
LLAMA_70B = ModelSpec(
    name="llama-3.1-70b",
    hidden_size=8192,
    num_layers=80,
    vocab_size=128_256,
    attention=GqaAttention(num_heads=64, num_kv_heads=8, head_dim=128),
    intermediate_size=28_672,
)
QWEN_235B = ModelSpec(
    name="qwen3-235b-a22b",
    hidden_size=4096,
    num_layers=94,
    vocab_size=151_936,
    attention=GqaAttention(num_heads=64, num_kv_heads=4, head_dim=128, qk_norm=True),
    intermediate_size=None,
    moe=Moe(num_experts=128, top_k=8, expert_intermediate_size=1536),
)
NO_QUERY_LATENT = DEEPSEEK_V3.model_copy(
    update={"attention": DEEPSEEK_V3.attention.model_copy(update={"q_lora_rank": None, "num_heads": 16})}
)
EVERY_SECOND = tuple(range(0, 80, 2))
SLIDING = LLAMA_70B.model_copy(update={"window": Window(kind="sliding", size_tokens=128, layers=EVERY_SECOND)})
CHUNKED = LLAMA_70B.model_copy(update={"window": Window(kind="chunked", size_tokens=8192, layers=EVERY_SECOND)})
TIED = LLAMA_70B.model_copy(update={"tie_word_embeddings": True})
LLAMA_SMALL = LLAMA_70B.model_copy(update={"hidden_size": 64, "vocab_size": 128, "intermediate_size": 128})


def load(name: str) -> Dag:
    return Dag.model_validate(yaml.safe_load((DOCUMENTS / name).read_text()))


def pool(model, *, dp=1, tp=1, pp=1, experts=None, **fields) -> Pool:
    """`experts` is (dp_size, ep_size, tp_size)."""
    each = -(-model.num_layers // pp)
    stages = tuple((s * each, min(model.num_layers, (s + 1) * each)) for s in range(pp))
    mesh = None if experts is None else ExpertMesh(dp_size=experts[0], ep_size=experts[1], tp_size=experts[2])
    return Pool(stages=stages, pp_size=pp, attention=AttentionMesh(dp_size=dp, tp_size=tp), experts=mesh, **fields)


def plan(model, **degrees) -> Strategy:
    return Strategy(pools=(pool(model, **degrees),))


def split_pools(model, prefill, decode) -> Strategy:
    return Strategy(
        pools=(
            pool(model, name="prefill", phases=("prefill",), **prefill),
            pool(model, name="decode", phases=("decode",), **decode),
        )
    )


SOUND = {
    "one device": (LLAMA_70B, plan(LLAMA_70B)),
    "TP8": (LLAMA_70B, plan(LLAMA_70B, tp=8)),
    "TP16 repeats KV heads": (LLAMA_70B, plan(LLAMA_70B, tp=16)),
    "PP4": (LLAMA_70B, plan(LLAMA_70B, pp=4)),
    "TP4 x PP2": (LLAMA_70B, plan(LLAMA_70B, tp=4, pp=2)),
    "four replicas": (LLAMA_70B, plan(LLAMA_70B, tp=2, replicas=4)),
    "dense DP attention": (LLAMA_70B, plan(LLAMA_70B, dp=2, tp=2)),
    "megatron": (LLAMA_70B, plan(LLAMA_70B, tp=8, sp_kind="megatron")),
    "sliding windows": (SLIDING, plan(SLIDING, tp=4)),
    "chunked windows": (CHUNKED, plan(CHUNKED, tp=4, pp=2)),
    "tied embeddings": (TIED, plan(TIED, tp=4)),
    "all_to_all": (QWEN_235B, plan(QWEN_235B, dp=8, experts=(1, 8, 1))),
    "all_to_all, tokens chunked over tp": (QWEN_235B, plan(QWEN_235B, dp=2, tp=4, experts=(1, 8, 1))),
    "all_to_all, expert TP": (QWEN_235B, plan(QWEN_235B, dp=2, tp=4, experts=(1, 4, 2))),
    "all_to_all, expert TP, ep fastest": (
        QWEN_235B,
        plan(QWEN_235B, dp=2, tp=4, experts=(1, 4, 2), moe_layout="ep_fastest"),
    ),
    "all_gather": (QWEN_235B, plan(QWEN_235B, dp=2, tp=4, experts=(1, 8, 1), ep_lowering="all_gather")),
    "all_gather, expert TP": (QWEN_235B, plan(QWEN_235B, dp=2, tp=4, experts=(1, 4, 2), ep_lowering="all_gather")),
    "all_gather, expert DP": (QWEN_235B, plan(QWEN_235B, dp=2, tp=4, experts=(2, 2, 2), ep_lowering="all_gather")),
    "replicated": (QWEN_235B, plan(QWEN_235B, tp=8, experts=(1, 8, 1), ep_lowering="replicated")),
    "replicated, expert TP": (QWEN_235B, plan(QWEN_235B, tp=8, experts=(1, 4, 2), ep_lowering="replicated")),
    "megatron with experts": (QWEN_235B, plan(QWEN_235B, tp=8, experts=(1, 8, 1), sp_kind="megatron")),
    "MLA DP16 EP16": (DEEPSEEK_V3, plan(DEEPSEEK_V3, dp=16, experts=(1, 16, 1))),
    "MLA TP8 replicated": (DEEPSEEK_V3, plan(DEEPSEEK_V3, tp=8, experts=(1, 8, 1), ep_lowering="replicated")),
    "MLA DP2 TP8 EP16": (DEEPSEEK_V3, plan(DEEPSEEK_V3, dp=2, tp=8, experts=(1, 16, 1))),
    "MLA DP x EP x PP": (DEEPSEEK_V3, plan(DEEPSEEK_V3, dp=8, experts=(1, 8, 1), pp=2, dp_layout="inner")),
    "MLA, dense FFN and head gathered": (
        DEEPSEEK_V3,
        plan(DEEPSEEK_V3, dp=4, tp=2, experts=(1, 8, 1), dense_ffn="gathered", lm_head="gathered"),
    ),
    "MLA, redundant experts": (DEEPSEEK_V3, plan(DEEPSEEK_V3, dp=32, experts=(1, 32, 1), redundant_experts=32)),
    "MLA, 256 ranks": (DEEPSEEK_V3, plan(DEEPSEEK_V3, dp=32, tp=8, experts=(1, 256, 1))),
    "MLA without a query latent": (NO_QUERY_LATENT, plan(NO_QUERY_LATENT, dp=2, tp=2, experts=(1, 4, 1))),
    "disaggregated": (LLAMA_70B, split_pools(LLAMA_70B, {"tp": 4}, {"tp": 16, "pp": 2})),
    "disaggregated MLA": (
        DEEPSEEK_V3,
        split_pools(
            DEEPSEEK_V3, {"dp": 2, "tp": 4, "experts": (1, 8, 1)}, {"dp": 16, "experts": (1, 16, 1), "replicas": 2}
        ),
    ),
}


@pytest.mark.parametrize(("model", "strategy"), SOUND.values(), ids=SOUND)
def test_the_canonical_dag_equals_one_device(model, strategy):
    proof = prove(build(model, strategy), model)

    assert proof.departure is None
    assert proof.passed
    assert proof.max_abs_error < 1e-12
    assert proof.sequences >= 2


@pytest.mark.parametrize(
    ("document", "model", "ranks"),
    [("llama-3.1-70b-tp4-pp2.yaml", LLAMA_70B, 8), ("deepseek-v3-dp16-ep16.yaml", DEEPSEEK_V3, 16)],
)
def test_a_hand_written_document_equals_one_device(document, model, ranks):
    proof = prove(load(document), model)

    assert proof.departure is None
    assert (proof.passed, proof.ranks, proof.steps) == (True, ranks, 2)


def test_more_decode_steps_and_another_seed_pass_too():
    proof = prove(load("llama-3.1-70b-tp4-pp2.yaml"), LLAMA_70B, seed=7, steps=5)

    assert proof.passed
    assert proof.steps == 5


def test_one_decode_step_is_refused_because_it_tries_no_loop_edge():
    with pytest.raises(InputError, match="at least 2"):
        prove(load("llama-3.1-70b-tp4-pp2.yaml"), LLAMA_70B, steps=1)


def test_the_same_document_gives_the_same_proof():
    dag = build(QWEN_235B, SOUND["all_to_all, expert TP"][1])

    assert prove(dag, QWEN_235B) == prove(dag, QWEN_235B)


@pytest.mark.parametrize(
    ("degrees", "model"),
    [
        ({"dp": 64, "experts": (1, 64, 1)}, DEEPSEEK_V3),
        ({"dp": 32, "tp": 8, "experts": (1, 256, 1)}, DEEPSEEK_V3),
        ({"tp": 64}, LLAMA_70B),
        ({"dp": 4, "tp": 16, "experts": (1, 32, 2)}, QWEN_235B),
    ],
)
def test_a_scaled_mesh_keeps_how_degrees_relate(degrees, model):
    real = pool(model, **degrees)

    small = scale(model, Strategy(pools=(real,))).pools["prefill"]

    assert small.width <= MAX_WIDTH
    assert small.experts is None or small.experts.width == small.width
    assert relations(small) == relations(real)


def relations(of: Pool) -> list[bool]:
    mesh = of.experts or ExpertMesh()
    sizes = [of.attention.dp_size, of.attention.tp_size, mesh.ep_size, mesh.tp_size, mesh.dp_size]
    return [a > b for a in sizes for b in sizes] + [size > 1 for size in sizes]


def test_prompts_differ_in_length_and_fill_every_replica_equally():
    scaled = scale(DEEPSEEK_V3, plan(DEEPSEEK_V3, dp=2, tp=4, experts=(1, 8, 1)))

    lengths = prompt_lengths(scaled)

    assert len(set(lengths.tolist())) > 2
    assert len(set(lengths.reshape(2, -1).sum(axis=1).tolist())) == 1


def test_the_reference_does_not_look_ahead():
    scaled = scale(SLIDING, plan(SLIDING))
    weights = Weights(scaled.model, 0)
    prompt = np.array([3, 1, 4, 1, 5, 9, 2, 6])
    changed = np.array([3, 1, 4, 1, 5, 9, 2, 7])

    first, second = (run_reference(scaled.model, (0, 1), weights, [tokens], 2).logits for tokens in (prompt, changed))

    assert np.allclose(first[0, :7], second[0, :7], rtol=0, atol=1e-12)
    assert np.abs(first[0, 7] - second[0, 7]).max() > 1e-3


def test_a_window_hides_older_tokens_from_the_reference():
    scaled = scale(SLIDING, plan(SLIDING))
    weights = Weights(scaled.model, 0)
    prompt, changed = np.array([3, 1, 4, 1, 5, 9]), np.array([8, 1, 4, 1, 5, 9])

    seen, unseen = (
        np.abs(
            run_reference(scaled.model, layers, weights, [prompt], 2).logits[0, 5]
            - run_reference(scaled.model, layers, weights, [changed], 2).logits[0, 5]
        ).max()
        for layers in ((1,), (0,))
    )

    assert seen > 1e-6
    assert unseen < 1e-12


def edited(name: str, changes: dict[str, list[str] | str]) -> Dag:
    """A document with the nodes of some blocks replaced, each written as YAML."""
    document = yaml.safe_load((DOCUMENTS / name).read_text())
    for block in document["blocks"]:
        if block["name"] in changes:
            block["nodes"] = [yaml.safe_load(f"{{{node}}}") for node in changes[block["name"]]]
            block["output"] = block["nodes"][-1]["id"]
    return Dag.model_validate(document)


ATTENTION = [
    "id: norm, op: norm, weight: attention_norm, inputs: [in]",
    "id: qkv, op: linear, weight: qkv, split: column, inputs: [norm]",
    "id: kv, op: kv_cache_update, inputs: [qkv]",
    "id: attend, op: attention, inputs: ['sync:kv', qkv]",
]
OTHER_SPELLINGS = {
    "an all_reduce written as scatter and gather": {
        "attention": [
            *ATTENTION,
            "id: o, op: linear, weight: attention_out, split: row, inputs: [attend]",
            "id: scatter, op: reduce_scatter, axis: tp, dim: tokens, inputs: [o]",
            "id: gather, op: all_gather, axis: tp, dim: tokens, inputs: [scatter]",
            "id: add, op: add, inputs: [gather, in]",
        ]
    },
    "heads gathered before a whole attention_out": {
        "attention": [
            *ATTENTION,
            "id: heads, op: all_gather, axis: tp, dim: heads, inputs: [attend]",
            "id: o, op: linear, weight: attention_out, split: replicated, inputs: [heads]",
            "id: add, op: add, inputs: [in, o]",
        ]
    },
    "an embedding that every rank has": {
        "embed": [
            "id: ingress, op: ingress",
            "id: embedding, op: embedding, split: replicated, inputs: [ingress]",
        ]
    },
    "a quarter of the tokens sent by each rank": {
        "boundary": [
            "id: chunk, op: chunk, axis: tp, dim: tokens, inputs: [in]",
            "id: send, op: send, inputs: [chunk]",
            "id: recv, op: recv, inputs: ['pipeline:send']",
            "id: gather, op: all_gather, axis: tp, dim: tokens, inputs: [recv]",
        ]
    },
    "nodes listed backwards": {
        "embed": [
            "id: reduce, op: all_reduce, axis: tp, inputs: [embedding]",
            "id: embedding, op: embedding, split: vocab, inputs: [ingress]",
            "id: ingress, op: ingress",
            "id: out, op: broadcast, axis: tp, inputs: [reduce]",
        ]
    },
}


@pytest.mark.parametrize("changes", OTHER_SPELLINGS.values(), ids=OTHER_SPELLINGS)
def test_another_way_to_write_the_same_computation_passes(changes):
    proof = prove(edited("llama-3.1-70b-tp4-pp2.yaml", changes), LLAMA_70B)

    assert proof.departure is None


def test_prefill_may_use_the_absorbed_form():
    document = yaml.safe_load((DOCUMENTS / "deepseek-v3-dp16-ep16.yaml").read_text())
    decode = next(block for block in document["blocks"] if block["name"] == "mla_decode")
    prefill = next(block for block in document["blocks"] if block["name"] == "mla_prefill")
    prefill["nodes"] = decode["nodes"]

    assert prove(Dag.model_validate(document), DEEPSEEK_V3).passed


@pytest.mark.parametrize(("by_experts", "by_combine"), [(True, False), (False, True), (True, True), (False, False)])
def test_router_weights_are_applied_by_the_experts_or_by_the_combine(by_experts, by_combine):
    document = yaml.safe_load((DOCUMENTS / "deepseek-v3-dp16-ep16.yaml").read_text())
    moe = next(block for block in document["blocks"] if block["name"] == "moe")
    next(node for node in moe["nodes"] if node["op"] == "expert")["apply_router_weight"] = by_experts
    if by_combine:
        next(node for node in moe["nodes"] if node.get("role") == "combine")["apply_router_weight"] = True

    assert prove(Dag.model_validate(document), DEEPSEEK_V3).passed == (by_experts != by_combine)


def with_split(dag: Dag, name: str, split: str) -> Dag:
    """The same document with another split of one weight."""
    data = dag.model_dump(mode="json")
    for block in data["blocks"]:
        for node in block["nodes"]:
            if node.get("weight") == name:
                node["split"] = split
    return Dag.model_validate(data)


def test_what_one_proof_keeps_for_the_next_hides_no_mistake_of_it():
    strategy = plan(DEEPSEEK_V3, dp=2, tp=4, experts=(1, 8, 1))
    sound = build(DEEPSEEK_V3, strategy)
    broken = with_split(sound, "attention_out", "replicated")

    told = [prove(dag, DEEPSEEK_V3) for dag in (broken, sound, broken, sound)]

    assert [proof.passed for proof in told] == [False, True, False, True]
    assert told[:2] == told[2:]


def test_shards_are_kept_only_while_they_are_small():
    pool = plan(LLAMA_70B, tp=4).pools[0]
    shards = Shards(LLAMA_SMALL, LLAMA_70B, Weights(LLAMA_SMALL, seed=0), Ranks(pool, pool))
    held = shards.take("qkv", "column", 0)

    shards.forget_beyond(held.nbytes)
    assert shards.take("qkv", "column", 0) is held

    shards.forget_beyond(held.nbytes - 1)
    assert shards.take("qkv", "column", 0) is not held
