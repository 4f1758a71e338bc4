"""SP015."""

from collections.abc import Iterator
from typing import get_args

from strategy.legality import cp_decode_declared
from strategy.strategy import AttentionMesh, CpDecodeUse
from validators.examples_moe import LLAMA_8B, named, planned, with_pool
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="SP015",
    stage="strategy",
    severity="error",
    message="pool `{pool}` also decodes, and nothing says what its {cp} cp ranks do then",
    hint="set cp_decode_use to one of {choices}",
    sources=("vllm: config/parallel.py:631-642", "sglang: layers/cp/cp_decode_attn_tp.py:1-60"),
    knowledge="sequence-parallelism.md#what-the-ranks-do-in-decode",
    settles=("X29",),
    requires=frozenset({"DA001", "DG009", "SP002"}),
    passes=lambda: named("no cp ranks", lambda: planned(LLAMA_8B, tp=8)),
    fails=lambda: named(
        "cp ranks in a colocated pool",
        lambda: with_pool(
            planned(LLAMA_8B, tp=2), attention=AttentionMesh(tp_size=2, cp_size=4), sp_kind="cp_allgather"
        ),
    ),
)
def unsaid_decode_use(subject: Subject) -> Iterator[Hit]:
    """Context parallelism ends with prefill, its ranks do not."""
    for path, pool in subject.pools():
        if not cp_decode_declared(pool):
            choices = ", ".join(get_args(CpDecodeUse))
            yield Hit(f"{path}/cp_decode_use", pool=pool.name, cp=pool.attention.cp_size, choices=choices)
