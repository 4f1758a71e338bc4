"""SP011."""

from collections.abc import Iterator

from strategy.legality import sp_without_dp_attention
from validators.examples import dense, moe
from validators.examples_moe import named, with_pool
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="SP011",
    stage="strategy",
    severity="error",
    message="sp_kind={kind} together with attention dp_size={dp}",
    hint="{repair}",
    sources=("sglang: arg_groups/layernorm_sp_hook.py (attn_dp_enabled)",),
    knowledge="sequence-parallelism.md#not-with-attention-data-parallelism",
    requires=frozenset({"SP002"}),
    passes=lambda: named("megatron without replicas", lambda: dense(sp_kind="megatron")),
    fails=lambda: named("megatron with two replicas", lambda: with_pool(moe(tp=2, dp=2, ep=4), sp_kind="megatron")),
)
def sequence_parallelism_with_attention_replicas(subject: Subject) -> Iterator[Hit]:
    """DP attention already gives ranks tokens of their own; splitting those again is a layout that no engine has."""
    for path, pool in subject.pools():
        if not sp_without_dp_attention(pool):
            either = "set sp_kind to none, or attention.dp_size to 1"  # without cp ranks; with them none would not fit either
            repair = either if pool.attention.cp_size == 1 else "set attention.dp_size to 1"
            yield Hit(f"{path}/sp_kind", kind=pool.sp_kind, dp=pool.attention.dp_size, repair=repair)
