"""MM001."""

from collections.abc import Iterator

from strategy.memory import StageMemory, pool_max_concurrency, stage_memory
from strategy.request import Problem, Workload
from validators.choices import decodes
from validators.examples_moe import LLAMA_8B, asked, named, planned
from validators.registry import Hit, rule
from validators.subject import Subject

_LLAMA_70B = LLAMA_8B.model_copy(
    update={
        "name": "llama-3.1-70b",
        "hidden_size": 8192,
        "num_layers": 80,
        "intermediate_size": 28_672,
        "attention": LLAMA_8B.attention.model_copy(update={"num_heads": 64}),
    }
)
_TOO_MANY = asked(LLAMA_8B, workload=Workload(isl=4096, osl=512, concurrency=4096))


@rule(
    code="MM001",
    stage="memory",
    severity="error",
    message="pool `{pool}`, stage {stage}: {what}",
    hint="{change}",
    sources=("vllm: v1/worker/gpu_worker.py:753-757", "aiconfigurator: sdk/memory.py kv_cache_budget_bytes"),
    knowledge="memory.md#the-budget",
    settles=("X21",),
    passes=lambda: named("70B over 4 x 80 GB", lambda: planned(_LLAMA_70B, asked(_LLAMA_70B), tp=4)),
    fails=lambda: [
        *named("70B in bf16 on 80 GB", lambda: planned(_LLAMA_70B, asked(_LLAMA_70B))),
        *named("4096 sequences at once on 80 GB", lambda: planned(LLAMA_8B, _TOO_MANY)),
    ],
)
def overfull_memory(subject: Subject) -> Iterator[Hit]:
    """Weights, activations, buffers and the cache share what the engine may use of each GPU, on the fullest rank of every stage."""
    problem = subject.problem
    if problem is None:
        return
    for path, pool in subject.pools():
        stages = stage_memory(problem, pool)
        overfull = [(stage, memory) for stage, memory in enumerate(stages) if memory.kv_budget_bytes <= 0]
        for stage, memory in overfull:
            yield Hit(f"{path}/stages/{stage}", pool=pool.name, stage=stage, **_overfull(problem, memory))
        concurrency = problem.workload.concurrency
        if overfull or concurrency is None or not decodes(pool):
            continue
        room = pool_max_concurrency(problem, pool)
        if 0 < room < concurrency:
            tightest = min(range(len(stages)), key=lambda stage: stages[stage].sequences)
            yield Hit(
                f"{path}/stages/{tightest}",
                severity="warning",
                pool=pool.name,
                stage=tightest,
                what=f"the cache holds {room:,} of {concurrency:,} concurrent sequences, the others wait",
                change=f"raise tp_size, pp_size or replicas, quantise the cache, or lower concurrency to {room:,}",
            )


def _overfull(problem: Problem, memory: StageMemory) -> dict[str, str]:
    """What the stage needs before any cache, and how far it has to be split."""
    gpu = problem.cluster.gpu
    used_gb = (memory.weights_bytes + memory.activation_bytes + memory.comm_bytes + memory.runtime_bytes) / 1e9
    usable_gb = used_gb + memory.kv_budget_bytes / 1e9 if problem.engine != "trtllm" else gpu.memory_gb
    other_gb = used_gb - memory.weights_bytes / 1e9
    share = memory.weights_bytes / 1e9 / max(usable_gb - other_gb, 1e-9)
    ways = f"at least {int(share) + 1} times more GPUs" if usable_gb > other_gb else "other GPUs"
    return {
        "what": f"{used_gb:.1f} GB before any cache ({memory.weights_bytes / 1e9:.1f} GB of weights) on a GPU of "
        f"{gpu.memory_gb:g} GB of which {usable_gb:.1f} GB may be used",
        "change": f"split the weights over {ways} (tp_size, pp_size, ep_size), or quantise them",
    }
