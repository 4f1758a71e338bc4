"""SP012."""

from collections.abc import Iterator

from validators.examples import dense, drop
from validators.examples_moe import named
from validators.mismatches import typed
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="SP012",
    stage="typing",
    severity="error",
    message="`{node}` reads {found}, needs {needed}",
    hint="insert all_gather over {axis} with dim tokens before `{node}`",
    sources=("vllm: compilation/sequence_parallelism.py@0736045f LastAllReduceRMSNormPattern",),
    knowledge="sequence-parallelism.md#last-positions-before-the-head",
    passes=lambda: named("tokens gathered before the head", lambda: dense(tp=4, sp_kind="megatron")),
    fails=lambda: named(
        "no all_gather before the head", lambda: drop(dense(tp=4, sp_kind="megatron"), "head_prefill.spread")
    ),
)
def token_shard_at_the_head(subject: Subject) -> Iterator[Hit]:
    """The last position of a sequence lies on one rank, and every tp rank needs it for its part of the vocabulary."""
    return typed(subject, "SP012")
