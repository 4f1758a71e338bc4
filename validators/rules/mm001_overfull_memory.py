"""MM001."""

from collections.abc import Iterator

from strategy.memory import StageMemory, pool_max_concurrency, stage_memory
from strategy.request import Problem, Workload
from strategy.strategy import Pool
from validators.choices import decodes
from validators.examples_moe import LLAMA_8B, asked, named, planned
from validators.nearest import nearest_fit
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
        stages = stage_memory(problem, pool, subject.dag)
        overfull = [(stage, memory) for stage, memory in enumerate(stages) if memory.kv_budget_bytes <= 0]
        for stage, memory in overfull:
            yield Hit(
                f"{path}/stages/{stage}",
                pool=pool.name,
                stage=stage,
                what=_excess(problem, memory),
                change=_split(subject, problem, pool, memory),
            )
        concurrency = problem.workload.concurrency
        if overfull or concurrency is None or not decodes(pool):
            continue
        room = pool_max_concurrency(problem, pool, subject.dag)
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


def _excess(problem: Problem, memory: StageMemory) -> str:
    """What the stage needs before any cache, and what there is."""
    weights_gb, used_gb = memory.weights_bytes / 1e9, _used_gb(memory)
    return (
        f"{used_gb:.1f} GB before any cache ({weights_gb:.1f} GB of weights) on a GPU of "
        f"{problem.cluster.gpu.memory_gb:g} GB of which {_usable_gb(problem, memory):.1f} GB may be used"
    )


def _split(subject: Subject, problem: Problem, pool: Pool, memory: StageMemory) -> str:
    """How far the weights have to be split further for anything to be left."""
    weights_gb = memory.weights_bytes / 1e9
    room_gb = _usable_gb(problem, memory) - (_used_gb(memory) - weights_gb)
    if room_gb <= 0:
        return "use a GPU with more memory, or shorter prefill passes (chunk_tokens)"
    times = int(weights_gb / room_gb) + 1
    more = f"split the weights over at least {times} times more ranks (tp_size, pp_size, ep_size), or quantise them"
    return f"{more}{nearest_fit(subject, pool)}"


def _used_gb(memory: StageMemory) -> float:
    return (memory.weights_bytes + memory.activation_bytes + memory.comm_bytes + memory.runtime_bytes) / 1e9


def _usable_gb(problem: Problem, memory: StageMemory) -> float:
    """What an engine may fill: a share of the GPU, or (TensorRT-LLM, whose share is of what is left) all of it."""
    if problem.engine == "trtllm":
        return problem.cluster.gpu.memory_gb
    return _used_gb(memory) + memory.kv_budget_bytes / 1e9
