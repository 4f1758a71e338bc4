"""SP006."""

from collections.abc import Iterator

from validators.examples import drop, example, moe
from validators.mismatches import typed
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="SP006",
    stage="typing",
    severity="error",
    message="block `{block}`, {phase}: at `{node}` one input is {needed}, the other {found}: what came back from the experts is still a shard of the tokens",
    hint="add an all_gather of tokens over the axis of the chunk, between combine and `{node}`",
    sources=("S1 §6.3.2", "vllm: model_executor/models/deepseek_v2.py:419-432"),
    knowledge="sequence-parallelism.md#with-experts",
    passes=lambda: [example("chunk, experts, gather", lambda: moe(tp=2, dp=2))],
    fails=lambda: [example("the gather left out", lambda: drop(moe(tp=2, dp=2), "moe.regather"))],
)
def tokens_not_brought_back_from_experts(subject: Subject) -> Iterator[Hit]:
    """Tokens are whole before routing and lie after combine as the residual stream does."""
    return typed(subject, "SP006")
