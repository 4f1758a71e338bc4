"""Work per node against the golden values of the templates (S1 §10), and how tokens spread through a block."""

from collections.abc import Iterator

import numpy as np
import pytest

from knowledge.resolve import resolve_model
from strategy.build import build
from strategy.dag import AnyNode, Block, Dag
from strategy.model import ModelSpec
from strategy.request import Precision
from strategy.strategy import AttentionMesh, DispatchModes, ExpertMesh, Phase, Pool, Strategy
from strategy.work import (
    Load,
    Work,
    WorkContext,
    combine_bytes_per_token,
    cross_host_fraction,
    dispatch_bytes_per_token,
    distinct_destinations,
    entry_flow,
    walk,
    work_context,
)

BF16 = Precision(weights="bf16", activations="bf16", kv="bf16")
FP8 = Precision(weights="fp8", activations="bf16", kv="bf16")
LLAMA = resolve_model("llama-3.1-70b")
QWEN = resolve_model("qwen3-235b-a22b")
DEEPSEEK = resolve_model("deepseek-v3")

LLAMA_TP8 = Pool(stages=((0, 80),), attention=AttentionMesh(tp_size=8))
QWEN_A2_T4_EP8 = Pool(stages=((0, 94),), attention=AttentionMesh(dp_size=2, tp_size=4), experts=ExpertMesh(ep_size=8))
DEEPSEEK_DP8_EP8 = Pool(stages=((0, 61),), attention=AttentionMesh(dp_size=8), experts=ExpertMesh(ep_size=8))
DEEPSEEK_TP8_EP8 = Pool(
    stages=((0, 61),), attention=AttentionMesh(tp_size=8), experts=ExpertMesh(ep_size=8), ep_lowering="replicated"
)
DECODE_64 = Load(64, 1, 4096)


def works(model: ModelSpec, precision: Precision, pool: Pool, phase: Phase, load: Load) -> dict[str, Work]:
    """Work of every node of the last layer kind and the head, by `block part.node`."""
    dag = build(model, Strategy(pools=(pool,)))
    ctx = work_context(model, precision, pool, phase, load)
    return {node.id: work for node, work in _walk_layer(dag, phase, ctx)}


def _walk_layer(dag: Dag, phase: Phase, ctx: WorkContext) -> Iterator[tuple[AnyNode, Work]]:
    branch, flow = dag.branch(phase), entry_flow(ctx)
    for name in (branch.embed, *branch.layers[-1].blocks):
        block = dag.block(name)
        assert block is not None
        found = list(walk(block, flow, ctx))
        flow = next(work.output for node, work in found if node.id == block.output)
        yield from found


@pytest.mark.parametrize(
    ("node", "flops", "weight_bytes", "io_bytes"),
    [
        ("qkv", 1_342_177_280, 20_971_520, 1_212_416),
        ("attend", 1_073_741_824, 0, 134_479_872),
        ("o", 1_073_741_824, 16_777_216, 1_179_648),
        ("gate_up", 7_516_192_768, 117_440_512, 1_966_080),
        ("down", 3_758_096_384, 58_720_256, 1_507_328),
    ],
)
def test_g1_dense_decode_is_exact(node: str, flops: int, weight_bytes: int, io_bytes: int) -> None:
    work = works(LLAMA, BF16, LLAMA_TP8, "decode", DECODE_64)[node]

    assert (work.flops, work.weight_bytes, work.io_bytes) == (flops, weight_bytes, io_bytes)


@pytest.mark.parametrize(
    ("phase", "load", "size"), [("decode", DECODE_64, 1_048_576), ("prefill", Load(1, 8192, 8192), 134_217_728)]
)
def test_g1_and_g2_all_reduces_carry_the_whole_hidden_state(phase: Phase, load: Load, size: int) -> None:
    dag = build(LLAMA, Strategy(pools=(LLAMA_TP8,)))
    found = list(_walk_layer(dag, phase, work_context(LLAMA, BF16, LLAMA_TP8, phase, load)))

    reduces = [work.message_bytes for node, work in found if node.op == "all_reduce"]

    assert reduces == [size] * 3  # embedding, attention, FFN


@pytest.mark.parametrize(
    ("node", "flops"),
    [
        ("qkv", "1.718e+11"),
        ("attend", "1.374e+11"),
        ("o", "1.374e+11"),
        ("gate_up", "9.621e+11"),
        ("down", "4.810e+11"),
    ],
)
def test_g2_dense_prefill_to_printed_precision(node: str, flops: str) -> None:
    assert f"{works(LLAMA, BF16, LLAMA_TP8, 'prefill', Load(1, 8192, 8192))[node].flops:.3e}" == flops


@pytest.mark.parametrize(
    ("node", "flops", "weights"),
    [
        ("qkv", "1.208e+09", "18.87"),
        ("attend", "2.147e+09", "0.00"),
        ("o", "1.074e+09", "16.78"),
        ("experts", "4.832e+09", "603.82"),
    ],
)
def test_g3_grouped_queries_with_experts_over_attention_replicas(node: str, flops: str, weights: str) -> None:
    work = works(QWEN, BF16, QWEN_A2_T4_EP8, "decode", DECODE_64)[node]

    assert (f"{work.flops:.3e}", f"{work.weight_bytes / 1e6:.2f}") == (flops, weights)


def test_g3_dispatch_and_combine_bytes_are_exact() -> None:
    decode = works(QWEN, BF16, QWEN_A2_T4_EP8, "decode", DECODE_64)
    ctx = work_context(QWEN, BF16, QWEN_A2_T4_EP8, "decode", DECODE_64)
    fp8 = work_context(QWEN, FP8, QWEN_A2_T4_EP8, "decode", DECODE_64)

    assert decode["dispatch"].message_bytes == 1_050_624
    assert decode["combine"].message_bytes == 1_048_576
    assert int(16 * dispatch_bytes_per_token(ctx, "throughput", with_routing=False)) == 612_360
    assert 16 * dispatch_bytes_per_token(fp8, "low_latency", with_routing=True) == 542_720
    assert 16 * combine_bytes_per_token(fp8, "low_latency") == 1_048_576


def test_g3_gathered_dispatch_carries_every_token_and_its_routing() -> None:
    pool = QWEN_A2_T4_EP8.model_copy(update={"ep_lowering": "all_gather"})

    decode = works(QWEN, BF16, pool, "decode", DECODE_64)

    assert decode["dispatch"].message_bytes == 1_056_768
    assert decode["combine"].message_bytes == 128 * 4096 * 2


@pytest.mark.parametrize(
    ("node", "flops", "weights"),
    [
        ("qkv_a", "1.938e+09", 15.14),
        ("q_b", "4.832e+09", 37.75),
        ("w_uk", "1.074e+09", 8.39),
        ("attend", "7.301e+10", 0.0),
        ("w_uv", "1.074e+09", 8.39),
        ("o", "1.503e+10", 117.4),
        ("experts", "4.510e+10", 1409),
    ],
)
def test_g4_latent_attention_with_data_parallel_ranks(node: str, flops: str, weights: float) -> None:
    work = works(DEEPSEEK, FP8, DEEPSEEK_DP8_EP8, "decode", DECODE_64)[node]

    assert f"{work.flops:.3e}" == flops
    assert work.weight_bytes / 1e6 == pytest.approx(weights, rel=1e-3)  # the golden figure leaves the block scales out


def test_g4_low_latency_messages_and_cache_reads_are_exact() -> None:
    decode = works(DEEPSEEK, FP8, DEEPSEEK_DP8_EP8, "decode", DECODE_64)

    assert decode["dispatch"].message_bytes == 3_792_896
    assert decode["combine"].message_bytes == 7_340_032
    assert f"{decode['attend'].io_bytes / 1e6:.1f}" == "319.8"


def test_g5_tensor_parallel_ranks_each_read_the_whole_latent_cache() -> None:
    decode = works(DEEPSEEK, FP8, DEEPSEEK_TP8_EP8, "decode", DECODE_64)

    assert f"{decode['attend'].flops:.3e}" == "9.127e+09"
    assert f"{decode['attend'].io_bytes / 1e6:.1f}" == "304.2"
    assert f"{decode['experts'].flops:.3e}" == "5.637e+09"
    assert decode["experts"].weight_bytes / 1e6 == pytest.approx(1225, rel=1e-3)
    assert decode["reduce"].message_bytes == 917_504


@pytest.mark.parametrize(
    ("model", "parts", "expected"),
    [
        ("deepseek-v3", 2, 1.99), ("deepseek-v3", 8, 5.29), ("deepseek-v3", 64, 7.68), ("qwen3-235b-a22b", 8, 5.34),
        ("kimi-k2", 16, 6.50), ("gpt-oss-120b", 8, 3.34), ("mixtral-8x7b", 4, 1.86),
    ],
)  # fmt: skip
def test_distinct_destinations_match_the_table(model: str, parts: int, expected: float) -> None:
    moe = resolve_model(model).moe
    assert moe is not None

    assert distinct_destinations(moe, parts) == pytest.approx(expected, abs=0.005)


def test_node_limited_routing_bounds_what_leaves_a_host() -> None:
    moe = DEEPSEEK.moe
    assert moe is not None
    free = moe.model_copy(update={"num_expert_groups": 1, "top_k_groups": 1})

    assert cross_host_fraction(moe, 64, 8, "throughput") < cross_host_fraction(free, 64, 8, "throughput")
    assert cross_host_fraction(moe, 8, 1, "throughput") == 0


def test_one_walk_prices_a_grid_of_batches() -> None:
    batches = np.array([1.0, 16.0, 64.0])

    grid = works(DEEPSEEK, FP8, DEEPSEEK_DP8_EP8, "decode", Load(batches, 1, 4096))

    for column, batch in enumerate(batches):
        single = works(DEEPSEEK, FP8, DEEPSEEK_DP8_EP8, "decode", Load(float(batch), 1, 4096))
        for name, work in single.items():
            for amount, amounts in zip(work[1:], grid[name][1:], strict=True):
                assert np.broadcast_to(amounts, batches.shape)[column] == pytest.approx(amount)


def test_expert_tensor_parallelism_gathers_what_arrived_and_splits_the_width() -> None:
    mesh = ExpertMesh(ep_size=4, tp_size=2)
    pool = QWEN_A2_T4_EP8.model_copy(update={"experts": mesh, "dispatch_mode": DispatchModes(decode="throughput")})

    decode = works(QWEN, BF16, pool, "decode", DECODE_64)
    whole = works(QWEN, BF16, QWEN_A2_T4_EP8, "decode", DECODE_64)

    # Half the ranks in a group and half the width each: the same arithmetic per rank.
    assert decode["experts"].flops == pytest.approx(whole["experts"].flops)
    assert decode["expert_gather"].message_bytes > 0
    assert decode["combine"].output.share == pytest.approx(0.25)


def test_a_window_bounds_the_cache_that_decode_reads() -> None:
    model = resolve_model("gpt-oss-120b")
    pool = Pool(stages=((0, 36),), experts=ExpertMesh())
    node = next(n for n in _attention_block(model, pool).nodes if n.op == "attention")
    ctx = work_context(model, BF16, pool, "decode", DECODE_64)
    entering = entry_flow(ctx)._replace(width=model.hidden_size)

    def cache_bytes(context: WorkContext) -> float:
        return float({n.id: w for n, w in walk(_attention_block(model, pool), entering, context)}[node.id].flops)

    short = WorkContext(**{**vars(ctx), "window_tokens": 128})
    assert cache_bytes(ctx) / cache_bytes(short) == pytest.approx(4096 / 128)


def _attention_block(model: ModelSpec, pool: Pool) -> Block:
    block = build(model, Strategy(pools=(pool,))).block("attention")
    assert block is not None
    return block


def test_chunks_of_a_prompt_sum_to_the_whole_prompt() -> None:
    whole = works(LLAMA, BF16, LLAMA_TP8, "prefill", Load(1, 8192, 8192))["attend"].flops
    chunks = [works(LLAMA, BF16, LLAMA_TP8, "prefill", Load(1, 2048, 2048 * (i + 1)))["attend"].flops for i in range(4)]

    assert sum(float(np.asarray(chunk)) for chunk in chunks) == pytest.approx(float(np.asarray(whole)))
