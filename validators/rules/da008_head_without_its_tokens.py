"""DA008."""

from collections.abc import Iterator

from validators.examples import drop, moe
from validators.examples_moe import named
from validators.mismatches import typed
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="DA008",
    stage="typing",
    severity="error",
    message="`{node}` reads {found}, needs {needed}, under lm_head: gathered",
    hint="gather rows over dp before the head and keep the own rows after it, or set lm_head to local",
    sources=(
        "sglang: arg_groups/overrides.py:1422-1445",
        "sglang: layers/logits_processor.py:479-488",
    ),
    knowledge="data-parallel-attention.md#lm-head-choices",
    passes=lambda: named("rows gathered over dp", lambda: moe(lm_head="gathered")),
    fails=lambda: named(
        "no gather before a head that is split over the stage",
        lambda: drop(drop(moe(lm_head="gathered"), "head_prefill.rows"), "head_prefill.own_rows"),
    ),
)
def head_without_its_tokens(subject: Subject) -> Iterator[Hit]:
    """An LM head under DP attention is split over the replica's own ranks, or over the stage, and then needs the rows of all replicas."""
    return typed(subject, "DA008")
