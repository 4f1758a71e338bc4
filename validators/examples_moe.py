"""Subjects with real model shapes and GPUs, for rules whose examples are better told in known numbers."""

from collections.abc import Callable, Sequence
from typing import Any

from strategy.hardware import Cluster, GpuSpec
from strategy.model import Checkpoint, GatedDeltaNet, GqaAttention, MlaAttention, ModelSpec, Moe
from strategy.request import Precision, Problem, Workload
from strategy.strategy import Strategy
from validators.examples import FP8_BLOCK, GPU, plan, pool, problem
from validators.registry import Example
from validators.subject import Subject

LLAMA_8B = ModelSpec(
    name="llama-3.1-8b",
    hidden_size=4096,
    num_layers=32,
    vocab_size=128_256,
    attention=GqaAttention(num_heads=32, num_kv_heads=8, head_dim=128),
    intermediate_size=14_336,
)
"""Dense, grouped-query."""

QWEN3_30B = ModelSpec(
    name="qwen3-30b-a3b",
    hidden_size=2048,
    num_layers=48,
    vocab_size=151_936,
    attention=GqaAttention(num_heads=32, num_kv_heads=4, head_dim=128, qk_norm=True),
    intermediate_size=None,
    moe=Moe(num_experts=128, top_k=8, expert_intermediate_size=768),
)
"""Every layer MoE, grouped-query, no shared expert."""

DEEPSEEK_V3 = ModelSpec(
    name="deepseek-v3",
    hidden_size=7168,
    num_layers=61,
    vocab_size=129_280,
    attention=MlaAttention(
        num_heads=128, q_lora_rank=1536, kv_lora_rank=512, qk_nope_head_dim=128, qk_rope_head_dim=64, v_head_dim=128
    ),
    intermediate_size=18_432,
    moe=Moe(
        num_experts=256,
        top_k=8,
        expert_intermediate_size=2048,
        shared_intermediate_size=2048,
        num_expert_groups=8,
        top_k_groups=4,
    ),
    dense_layers=(0, 1, 2),
    checkpoint=FP8_BLOCK,
)
"""MLA, three dense layers, a shared expert, fp8 blocks."""

QWEN3_NEXT = ModelSpec(
    name="qwen3-next-80b-a3b",
    hidden_size=2048,
    num_layers=48,
    vocab_size=151_936,
    attention=GqaAttention(num_heads=16, num_kv_heads=2, head_dim=256, qk_norm=True),
    intermediate_size=None,
    moe=Moe(num_experts=512, top_k=10, expert_intermediate_size=512, shared_intermediate_size=512),
    linear=GatedDeltaNet(num_key_heads=16, num_value_heads=32, key_head_dim=128, value_head_dim=128),
    linear_layers=tuple(layer for layer in range(48) if layer % 4 != 3),
)
"""Three of four layers with a recurrence, the fourth with attention; every layer MoE."""

A100 = GPU.model_copy(update={"key": "a100", "name": "A100", "arch": "sm80", "bf16_tflops": 312.0, "fp8_tflops": None})
"""A device without fp8 arithmetic."""
V100 = GPU.model_copy(update={"key": "v100-32g-sxm", "name": "V100 SXM2 32 GB", "arch": "sm70", "fp8_tflops": None})
"""A device that engines have left behind, and without bf16."""
HALF = Precision(weights="fp16", activations="fp16", kv="fp16")


def with_checkpoint(model: ModelSpec, **fields: Any) -> ModelSpec:
    """The same model from another checkpoint."""
    return model.model_copy(update={"checkpoint": Checkpoint(**fields)})


def asked(model: ModelSpec, *, gpu: GpuSpec = GPU, hosts: int = 1, **fields: Any) -> Problem:
    """A request for `model` as its checkpoint ships, 64 in flight, on hosts of eight GPUs; `fields` replaces any field."""
    weights = model.checkpoint.weights
    defaults: dict[str, Any] = {
        "cluster": Cluster(gpu=gpu, gpus_per_host=8, hosts=hosts),
        "workload": Workload(isl=4096, osl=512, concurrency=64),
        "precision": Precision(weights=weights, activations="bf16", kv="bf16"),
        "max_model_len": 8192,
    }
    return problem(model, **{**defaults, **fields})


def planned(model: ModelSpec, request: Problem | None = None, **degrees: Any) -> Subject:
    """The canonical DAG of one pool, by the degrees that `examples.pool` takes."""
    return plan(model, pool(model, **degrees), problem=request)


def with_pool(base: Subject, **changes: Any) -> Subject:
    """The same DAG under a strategy with other fields in its first pool: for what has no canonical DAG."""
    first, *rest = base.dag.strategy.pools
    strategy = Strategy(pools=(first.model_copy(update=changes), *rest))
    return Subject(base.dag.model_copy(update={"strategy": strategy}), base.model, base.problem)


def with_model(base: Subject, model: ModelSpec) -> Subject:
    """The same DAG, judged as one of another model."""
    return Subject(base.dag.model_copy(update={"model": model.name}), model, base.problem)


def named(name: str, make: Callable[[], Subject]) -> Sequence[Example]:
    """One example, which is all that most rules need."""
    return (Example(name, make),)
