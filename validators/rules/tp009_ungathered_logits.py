"""TP009."""

from collections.abc import Iterator

from validators.examples import dense, drop
from validators.examples_moe import named
from validators.mismatches import typed
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="TP009",
    stage="typing",
    severity="error",
    message="`{node}` samples from {found}, needs {needed}",
    hint="insert all_gather over {axis} with dim vocab before `{node}`",
    sources=(
        "S3 Tensor parallelism: all-gather box",
        "vllm: model_executor/layers/logits_processor.py:122-134",
    ),
    knowledge="tensor-parallelism.md#gather-the-vocabulary-before-sampling",
    passes=lambda: named("all_gather before sampling", lambda: dense(tp=4)),
    fails=lambda: named("no all_gather before sampling", lambda: drop(dense(tp=4), "head_prefill.gather")),
)
def ungathered_logits(subject: Subject) -> Iterator[Hit]:
    """The next token is the best of the whole vocabulary, of which a rank's shard of the head knows a part."""
    return typed(subject, "TP009")
