"""Subjects that the rules about splitting show as examples: real model shapes, the canonical DAG of a strategy, and ways to break it."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from pydantic import TypeAdapter

from strategy.build import build
from strategy.dag import AnyNode, Block, Dag
from strategy.hardware import Cluster, GpuSpec
from strategy.legality import even_stages
from strategy.model import Checkpoint, GqaAttention, MlaAttention, ModelSpec, Moe, Provenance
from strategy.request import Engine, Precision, Problem, Workload
from strategy.strategy import AttentionMesh, ExpertMesh, Pool, Strategy
from validators.registry import Example
from validators.subject import Subject

_NODE: TypeAdapter[AnyNode] = TypeAdapter(AnyNode)
_FP8 = Checkpoint(weights="fp8", block=(128, 128))

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
    checkpoint=_FP8,
)
"""MLA, three dense layers, a shared expert, fp8 blocks."""

H100 = GpuSpec(
    key="h100-sxm",
    name="H100 SXM",
    arch="sm90",
    memory_gb=80,
    memory_tb_per_s=3.35,
    bf16_tflops=989,
    fp8_tflops=1979,
    scale_up="nvlink",
    scale_up_gb_per_s=450,
    scale_up_domain=8,
    nic_gb_per_s=50,
    gpus_per_host=8,
    provenance=Provenance(source="example", status="derived"),
)
A100 = H100.model_copy(
    update={"key": "a100-80g-sxm", "name": "A100 SXM", "arch": "sm80", "bf16_tflops": 312, "fp8_tflops": None}
)


def as_fp8(model: ModelSpec) -> ModelSpec:
    """The same model from a checkpoint with fp8 blocks of 128 x 128."""
    return model.model_copy(update={"checkpoint": _FP8})


def problem(
    model: ModelSpec,
    *,
    gpu: GpuSpec = H100,
    hosts: int = 1,
    engine: Engine | None = None,
    concurrency: int | None = 64,
    activations: str = "bf16",
    kv: str = "bf16",
    max_model_len: int = 8192,
) -> Problem:
    """A request for `model` on `hosts` hosts of eight GPUs, 4096 tokens in and 512 out."""
    precision = Precision.model_validate({"weights": model.checkpoint.weights, "activations": activations, "kv": kv})
    return Problem(
        model=model,
        cluster=Cluster(gpu=gpu, gpus_per_host=gpu.gpus_per_host, hosts=hosts),
        workload=Workload(isl=4096, osl=512, concurrency=concurrency),
        precision=precision,
        engine=engine,
        max_model_len=max_model_len,
    )


def pool(
    model: ModelSpec, *, tp: int = 1, dp: int = 1, pp: int = 1, ep: int | None = None, moe_tp: int = 1, **fields: Any
) -> Pool:
    """A pool by its degrees: layers spread evenly, the expert mesh filled up with copies (`moe_dp`) to the stage width."""
    attention = AttentionMesh(dp_size=dp, tp_size=tp)
    experts = None
    if model.moe is not None:
        used = (ep or 1) * moe_tp
        experts = ExpertMesh(dp_size=max(1, attention.width // used), ep_size=ep or 1, tp_size=moe_tp)
    stages = even_stages(model.num_layers, pp)
    return Pool.model_validate(
        {"pp_size": pp, "stages": stages, "attention": attention, "experts": experts, **fields}
    )


def planned(model: ModelSpec, asked: Problem | None = None, **degrees: Any) -> Subject:
    """The canonical DAG of one pool (see `pool` for the degrees)."""
    strategy = Strategy(pools=(pool(model, **degrees),))
    return Subject(dag=build(model, strategy), model=model, problem=asked)


def with_pool(base: Subject, **changes: Any) -> Subject:
    """The same DAG under a strategy with other fields in its first pool: for what no canonical DAG exists."""
    first, *rest = base.dag.strategy.pools
    strategy = Strategy(pools=(first.model_copy(update=changes), *rest))
    return _with_dag(base, base.dag.model_copy(update={"strategy": strategy}))


def with_model(base: Subject, model: ModelSpec) -> Subject:
    """The same DAG, judged as one of another model."""
    return Subject(dag=base.dag.model_copy(update={"model": model.name}), model=model, problem=base.problem)


def with_node(base: Subject, block: str, node_id: str, **changes: Any) -> Subject:
    """One node with other fields."""

    def change(nodes: list[AnyNode]) -> list[AnyNode]:
        return [n.model_copy(update=changes) if n.id == node_id else n for n in nodes]

    return _with_nodes(base, block, change)


def without_node(base: Subject, block: str, node_id: str) -> Subject:
    """One node left out: who read it now reads what it read first."""

    def remove(nodes: list[AnyNode]) -> list[AnyNode]:
        gone = next(n for n in nodes if n.id == node_id)
        return [_renamed(n, node_id, gone.inputs[0]) for n in nodes if n.id != node_id]

    graph = next(b for b in base.dag.blocks if b.name == block)
    first_input = next(n for n in graph.nodes if n.id == node_id).inputs[0]
    return _with_nodes(base, block, remove, output={node_id: first_input})


def with_node_after(base: Subject, block: str, after: str, node_id: str, op: str, **fields: Any) -> Subject:
    """A node put between `after` and everything that read it."""

    def insert(nodes: list[AnyNode]) -> list[AnyNode]:
        made = _NODE.validate_python({"id": node_id, "op": op, "inputs": (after,), **fields})
        place = next(i for i, n in enumerate(nodes) if n.id == after) + 1
        moved = [_renamed(n, after, node_id) for n in nodes]
        return [*moved[:place], made, *moved[place:]]

    return _with_nodes(base, block, insert, output={after: node_id})


def with_extra_node(base: Subject, block: str, node_id: str, op: str, **fields: Any) -> Subject:
    """A node added at the end of a block."""
    return _with_nodes(
        base, block, lambda nodes: [*nodes, _NODE.validate_python({"id": node_id, "op": op, **fields})]
    )


def named(name: str, make: Callable[[], Subject]) -> Sequence[Example]:
    """The one example of a rule that needs no more."""
    return (Example(name, make),)


def _with_nodes(
    base: Subject,
    block: str,
    change: Callable[[list[AnyNode]], list[AnyNode]],
    output: Mapping[str, str] = MappingProxyType({}),
) -> Subject:
    changed = []
    for one in base.dag.blocks:
        if one.name == block:
            nodes = tuple(change(list(one.nodes)))
            one = Block(name=block, nodes=nodes, output=output.get(one.output, one.output))
        changed.append(one)
    return _with_dag(base, base.dag.model_copy(update={"blocks": tuple(changed)}))


def _with_dag(base: Subject, dag: Dag) -> Subject:
    return Subject(dag=dag, model=base.model, problem=base.problem)


def _renamed(node: AnyNode, old: str, new: str) -> AnyNode:
    inputs = tuple(_renamed_input(text, old, new) for text in node.inputs)
    return node.model_copy(update={"inputs": inputs})


def _renamed_input(text: str, old: str, new: str) -> str:
    prefix, colon, source = text.rpartition(":")
    return f"{prefix}{colon}{new}" if source == old else text
