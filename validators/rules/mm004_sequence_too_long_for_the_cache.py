"""MM004."""

from collections.abc import Iterator

from strategy.memory import kv_bytes_per_sequence, stage_memory
from validators.examples_moe import LLAMA_8B, asked, named, planned
from validators.nearest import nearest_fit
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="MM004",
    stage="memory",
    severity="error",
    message="pool `{pool}`, stage {stage}: one sequence of {tokens:,} tokens takes {needed:.1f} GB of cache, {budget:.1f} GB are left",
    hint="lower max_model_len to about {most:,} tokens, or raise tp_size (up to the KV heads), pp_size or dcp_size{nearest}",
    sources=("vllm: v1/kv_cache_interface.py:643-648",),
    knowledge="memory.md#one-full-sequence-must-fit",
    requires=frozenset({"MM001"}),
    passes=lambda: named("131072 tokens on 80 GB", lambda: planned(LLAMA_8B, asked(LLAMA_8B, max_model_len=131_072))),
    fails=lambda: named("1000000 tokens on 80 GB", lambda: planned(LLAMA_8B, asked(LLAMA_8B, max_model_len=1_000_000))),
)
def sequence_too_long_for_the_cache(subject: Subject) -> Iterator[Hit]:
    """A sequence is never split over replicas or in time: its whole cache has to lie on the ranks of its stage."""
    problem = subject.problem
    if problem is None:
        return
    for path, pool in subject.pools():
        tokens = problem.max_model_len
        needs = kv_bytes_per_sequence(problem.model, problem.precision, pool, tokens)
        for stage, (needed, memory) in enumerate(zip(needs, stage_memory(problem, pool), strict=True)):
            if 0 < memory.kv_budget_bytes < needed:
                yield Hit(
                    f"{path}/stages/{stage}",
                    pool=pool.name,
                    stage=stage,
                    tokens=tokens,
                    needed=needed / 1e9,
                    budget=memory.kv_budget_bytes / 1e9,
                    most=int(tokens * memory.kv_budget_bytes / needed),
                    nearest=nearest_fit(subject, pool),
                )
