import pytest

from strategy.hardware import Cluster
from strategy.legality import (
    even_stages,
    fp8_block_columns,
    fp8_block_rows,
    illegal,
    legal_ep_sizes,
    legal_moe_tp_sizes,
    legal_tp_sizes,
    padded_vocab,
    ranges_cover,
    replicated_lowering_ok,
    uncovered_layers,
)
from strategy.model import GqaAttention, ModelSpec, Moe
from strategy.request import Precision
from strategy.strategy import AttentionMesh, ExpertMesh, Pool
from validators.examples import DENSE, FP8_BLOCK, GPU, MOE, pool
from validators.examples_moe import DEEPSEEK_V3

FP8 = Precision(weights="fp8", activations="bf16", kv="bf16")
POWERS = {2**n for n in range(10)}


def gqa(
    heads: int, kv: int, ff: int | None, vocab: int, *, head_dim: int = 128, moe: Moe | None = None, layers: int = 32
) -> ModelSpec:
    attention = GqaAttention(num_heads=heads, num_kv_heads=kv, head_dim=head_dim)
    return ModelSpec(
        name="m",
        hidden_size=4096,
        num_layers=layers,
        vocab_size=vocab,
        attention=attention,
        intermediate_size=ff,
        moe=moe,
        checkpoint=FP8_BLOCK,
    )


def routed(experts: int, width: int) -> Moe:
    return Moe(num_experts=experts, top_k=2, expert_intermediate_size=width)


MODELS = {
    "llama-3.1-8b": (gqa(32, 8, 14_336, 128_256), [1, 2, 4, 8, 16, 32]),
    "llama-3.1-405b": (gqa(128, 8, 53_248, 128_256), [1, 2, 4, 8, 16, 32, 64, 128]),
    "llama-4-scout": (gqa(40, 8, 8192, 202_048), [1, 2, 4, 8]),
    "qwen3-coder-480b": (gqa(96, 8, None, 151_936, moe=routed(160, 2560)), [1, 2, 4, 8, 16, 32]),
    "mixtral-8x22b": (gqa(48, 8, None, 32_768, moe=routed(8, 16_384)), [1, 2, 4, 8, 16]),
    "minimax-m2.5": (gqa(48, 8, None, 200_064, moe=routed(256, 1536)), [1, 2, 4, 8, 16, 24, 48]),
    "deepseek-v3": (DEEPSEEK_V3, [1, 2, 4, 8, 16, 32, 64, 128]),
}


@pytest.mark.parametrize("name", MODELS)
def test_legal_tp_sizes_are_those_of_the_published_models(name: str) -> None:
    model, expected = MODELS[name]

    # Mixtral-8x22B: 48 heads would also allow 24 and 48, which 8 KV heads allow as well, but the vocabulary does not.
    assert legal_tp_sizes(model, 128) == expected


def test_tp_sizes_stop_at_the_limit() -> None:
    assert legal_tp_sizes(DEEPSEEK_V3, 8) == [1, 2, 4, 8]


@pytest.mark.parametrize(
    ("layers", "engine", "sizes"),
    [
        (61, "vllm", [15, 15, 16, 15]),
        (61, "sglang", [15, 15, 15, 16]),
        (61, "trtllm", [16, 15, 15, 15]),
        (126, "vllm", [31, 32, 32, 31]),
        (126, "sglang", [31, 31, 32, 32]),
        (126, "trtllm", [32, 32, 31, 31]),
        (80, None, [20, 20, 20, 20]),
    ],
)
def test_a_remainder_of_layers_goes_where_the_engine_puts_it(layers: int, engine: str | None, sizes: list[int]) -> None:
    stages = even_stages(layers, 4, engine)  # type: ignore[arg-type]

    assert [end - start for start, end in stages] == sizes
    assert ranges_cover(stages, layers)


def test_uncovered_layers_are_told_as_runs_whatever_their_size() -> None:
    assert uncovered_layers([(0, 16), (17, 32)], 32) == ([(16, 17)], [])
    assert uncovered_layers([(0, 20), (17, 34)], 32) == ([], [(17, 20), (32, 34)])
    assert uncovered_layers([], 3) == ([(0, 3)], [])
    assert uncovered_layers([(0, 10**8)], 4) == ([], [(4, 10**8)])


@pytest.mark.parametrize(
    ("vocab", "tp", "engine", "rows"),
    [
        (128_256, 8, "vllm", 128_256),
        (151_552, 24, "vllm", 151_552),
        (151_552, 24, "sglang", 152_064),
        (50_257, 3, None, 50_304),
    ],
)
def test_vocabularies_are_padded_as_the_engine_does(vocab: int, tp: int, engine: str | None, rows: int) -> None:
    assert padded_vocab(vocab, tp, engine) == rows  # type: ignore[arg-type]


def test_fp8_blocks_limit_tp_as_published_for_deepseek_and_qwen3_32b() -> None:
    qwen = gqa(64, 8, 25_600, 151_936)

    def sizes(model: ModelSpec) -> list[int]:
        meshes = [
            (tp, Pool(stages=((0, model.num_layers),), attention=AttentionMesh(tp_size=tp)))
            for tp in legal_tp_sizes(model, 64)
        ]
        return [tp for tp, one in meshes if fp8_block_rows(model, one, FP8) and fp8_block_columns(model, one, FP8)]

    assert sizes(DEEPSEEK_V3) == [1, 2, 4, 8, 16]
    assert sizes(qwen) == [1, 2, 4, 8]


@pytest.mark.parametrize(
    ("width", "expected"), [(1536, [1, 2, 4]), (768, [1, 2]), (1408, [1]), (2048, [1, 2, 4, 8, 16])]
)
def test_fp8_blocks_limit_expert_tp_as_published(width: int, expected: list[int]) -> None:
    model = gqa(64, 4, None, 151_936, moe=routed(128, width))

    assert [n for n in legal_moe_tp_sizes(model, 64, FP8) if n in POWERS] == expected


def test_ep_sizes_are_the_divisors_of_the_experts() -> None:
    assert legal_ep_sizes(gqa(96, 8, None, 151_936, moe=routed(160, 2560)), 40) == [1, 2, 4, 5, 8, 10, 16, 20, 32, 40]
    assert legal_ep_sizes(DENSE, 8) == [1]


def test_replicated_tokens_reach_their_experts_only_inside_one_tp_group() -> None:
    def on(dp: int, cp: int, tp: int, ep: int, moe_tp: int) -> bool:
        width = dp * cp * tp
        experts = ExpertMesh(dp_size=width // (ep * moe_tp), ep_size=ep, tp_size=moe_tp)
        return replicated_lowering_ok(
            Pool(stages=((0, 4),), attention=AttentionMesh(dp_size=dp, cp_size=cp, tp_size=tp), experts=experts)
        )

    assert on(1, 1, 8, 4, 2)
    assert on(2, 1, 4, 2, 1)
    assert not on(2, 1, 2, 4, 1)
    assert on(1, 2, 4, 2, 1)
    assert not on(1, 2, 2, 4, 1)


@pytest.mark.parametrize(
    ("model", "one", "code"),
    [
        (DENSE, pool(DENSE, tp=4, pp=2), None),
        (MOE, pool(MOE, dp=4, ep=4), None),
        (DENSE, pool(DENSE, tp=3), "TP001"),
        (DENSE, pool(DENSE, tp=2, experts=ExpertMesh(ep_size=2)), "EP001"),
        (MOE, pool(MOE, dp=4, ep=4, experts=None), "CH009"),
        (MOE, pool(MOE, dp=4, experts=ExpertMesh(ep_size=8)), "DA001"),
        (MOE, pool(MOE, dp=3, ep=3), "EP005"),
        (MOE, pool(MOE, dp=16, ep=16), "EP006"),
        (MOE, pool(MOE, dp=4, ep=4, redundant_experts=3), "EP016"),
        (MOE, pool(MOE, dp=2, ep=2, ep_lowering="replicated"), "EP003"),
        (DENSE, pool(DENSE, pp=2, stages=((0, 4),)), "PP003"),
        (DENSE, pool(DENSE, pp=2, stages=((2, 4), (0, 2))), "PP004"),
        (DENSE, pool(DENSE, pp=2, stages=((0, 2), (3, 4))), "PP002"),
        (DENSE, pool(DENSE, sp_kind="megatron"), "SP002"),
        (DENSE, pool(DENSE, tp=2, dp=2, sp_kind="megatron"), "SP011"),
        (DENSE, pool(DENSE, cp=2, sp_kind="cp_ring"), "SP015"),
        (DENSE, pool(DENSE, tp=4, dcp_size=3), "AT006"),
        (DENSE, pool(DENSE, tp=4, dcp_size=2), "AT007"),
    ],
)
def test_the_first_broken_rule_of_a_strategy_is_named(model: ModelSpec, one: Pool, code: str | None) -> None:
    assert illegal(model, one) == code


@pytest.mark.parametrize(("one", "gpus_per_host", "hosts", "code"), [
    (pool(DENSE, tp=4, pp=2), 8, 1, None),
    (pool(DENSE, tp=4, pp=2), 4, 1, "CH007"),
    (pool(DENSE, tp=4, pp=1), 6, 1, None),
    (pool(DENSE, tp=4, pp=1, replicas=3), 6, 2, "RL007"),
    (pool(DENSE, tp=1, pp=3), 2, 2, "RL009"),
])  # fmt: skip
def test_cluster_rules_are_asked_with_a_cluster(one: Pool, gpus_per_host: int, hosts: int, code: str | None) -> None:
    assert illegal(DENSE, one, cluster=Cluster(gpu=GPU, gpus_per_host=gpus_per_host, hosts=hosts)) == code


def test_quantisation_rules_are_asked_with_a_precision() -> None:
    one = Pool(stages=((0, 61),), attention=AttentionMesh(tp_size=32), experts=ExpertMesh(ep_size=32))

    assert illegal(DEEPSEEK_V3, one) is None
    assert illegal(DEEPSEEK_V3, one, FP8) == "QZ001"
