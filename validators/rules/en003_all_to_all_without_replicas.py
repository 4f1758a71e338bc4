"""EN003."""

from collections.abc import Iterator

from validators.choices import engine_row
from validators.examples_moe import QWEN3_30B, asked, named, planned
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="EN003",
    stage="strategy",
    severity="warning",
    message="vLLM without attention replicas does not dispatch tokens; the plan has ep_lowering={lowering}",
    hint="set ep_lowering to replicated",
    sources=("vllm: config/parallel.py:788-793", "vllm: model_executor/layers/fused_moe/runner/moe_runner.py:483-517"),
    knowledge="vllm.md#all-to-all-backends",
    settles=("X16",),
    passes=lambda: named(
        "replicated tokens",
        lambda: planned(QWEN3_30B, asked(QWEN3_30B, engine="vllm"), tp=4, ep=4, ep_lowering="replicated"),
    ),
    fails=lambda: named(
        "all_to_all over tp ranks", lambda: planned(QWEN3_30B, asked(QWEN3_30B, engine="vllm"), tp=4, ep=4)
    ),
)
def all_to_all_without_replicas(subject: Subject) -> Iterator[Hit]:
    """With one attention replica all ranks hold the same tokens, so vLLM dispatches nothing and sums the experts' outputs."""
    row = engine_row(subject, "EN003")
    if row is None:
        return
    for path, pool in subject.pools():
        if (
            pool.experts is not None
            and pool.experts.ep_size > 1
            and pool.attention.dp_size * pool.attention.cp_size == 1
            and pool.ep_lowering not in row.lowerings_alone
        ):
            yield Hit(f"{path}/ep_lowering", lowering=pool.ep_lowering)
