"""EP010."""

from collections.abc import Iterator

from validators.examples import drop, moe
from validators.examples_moe import named
from validators.mismatches import typed
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="EP010",
    stage="typing",
    severity="warning",
    message="`{node}` sends tokens that are Replicated over {axis}: every expert computes them once for each of those ranks",
    hint="insert {repair} (op chunk, dim tokens) before routing, and an all_gather of tokens over {axis} after combine",
    sources=("vllm: config/parallel.py:759-785 (use_sequence_parallel_moe)",),
    knowledge="expert-parallelism.md#chunk-tokens-before-dispatch",
    passes=lambda: named("tokens chunked over tp", lambda: moe(tp=2, dp=2, ep=4)),
    fails=lambda: named("tokens not chunked", lambda: drop(drop(moe(tp=2, dp=2, ep=4), "moe.chunk"), "moe.regather")),
)
def tokens_dispatched_twice(subject: Subject) -> Iterator[Hit]:
    """Ranks of a tp group hold the same tokens: dispatching all of them from each rank repeats the experts' work."""
    return typed(subject, "EP010")
