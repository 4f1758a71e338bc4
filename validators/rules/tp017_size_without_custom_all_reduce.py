"""TP017."""

from collections.abc import Iterator

from validators.choices import engine_of
from validators.examples_moe import LLAMA_8B, asked, named, planned
from validators.registry import Hit, rule
from validators.subject import Subject

CUSTOM_ALL_REDUCE_SIZES = (2, 4, 6, 8, 16)


@rule(
    code="TP017",
    stage="strategy",
    severity="info",
    message="vLLM has no custom all_reduce kernel for tp_size={tp_size}: small messages take NCCL's latency",
    hint="for lower decode latency use a tp_size from {choices}",
    sources=("vllm: distributed/device_communicators/custom_all_reduce.py:118",),
    knowledge="tensor-parallelism.md#custom-all-reduce-sizes",
    requires=frozenset({"TP001", "TP002"}),
    passes=lambda: named("TP8 on vLLM", lambda: planned(LLAMA_8B, asked(LLAMA_8B, engine="vllm"), tp=8)),
    fails=lambda: named("TP32 on vLLM", lambda: planned(LLAMA_8B, asked(LLAMA_8B, engine="vllm", hosts=4), tp=32)),
)
def size_without_custom_all_reduce(subject: Subject) -> Iterator[Hit]:
    """VLLM's low-latency all_reduce exists for some group sizes only."""
    if engine_of(subject) != "vllm":
        return
    for path, pool in subject.pools():
        tp_size = pool.attention.tp_size
        if tp_size > 1 and tp_size not in CUSTOM_ALL_REDUCE_SIZES:
            choices = ", ".join(str(size) for size in CUSTOM_ALL_REDUCE_SIZES)
            yield Hit(f"{path}/attention/tp_size", tp_size=tp_size, choices=choices)
