"""SP009."""

from collections.abc import Iterator

from validators.examples import dense
from validators.examples_moe import named
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="SP009",
    stage="strategy",
    severity="warning",
    message="pool `{pool}`: each of {cp} cp ranks holds one run of the prompt, and the last one does most of the attention",
    hint="set cp_order to zigzag",
    sources=("vllm: v1/worker/gpu/pcp_manager.py:266-310", "sglang: layers/cp/zigzag.py"),
    knowledge="sequence-parallelism.md#balanced-shards",
    passes=lambda: named("a chunk from either end", lambda: _cp("zigzag")),
    fails=lambda: named("one run each", lambda: _cp("contiguous")),
)
def unbalanced_token_shards(subject: Subject) -> Iterator[Hit]:
    """Under a causal mask late positions see more than early ones, so a rank takes a chunk from either end of the prompt."""
    for path, pool in subject.pools():
        spread = pool.attention.cp_size > 1 and pool.sp_kind in ("cp_allgather", "cp_ring")
        if spread and pool.cp_order == "contiguous":
            yield Hit(f"{path}/cp_order", pool=pool.name, cp=pool.attention.cp_size)


def _cp(order: str) -> Subject:
    return dense(tp=1, pp=1, cp=2, sp_kind="cp_allgather", cp_decode_use="replicate", cp_order=order)
