"""EP015."""

from collections.abc import Iterator

from validators.examples import edit_node, moe
from validators.examples_moe import named
from validators.mismatches import typed
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="EP015",
    stage="typing",
    severity="error",
    message="`{node}` ({op}): found {found}, needed {needed}",
    hint="let shared_gate_up read what routing reads, reduce shared_down if it is Partial, and add it once to the combined experts",
    sources=(
        "vllm: model_executor/layers/fused_moe/runner/moe_runner.py:429-515",
        "vllm: models/deepseek_v2.py:359-372",
    ),
    knowledge="moe.md#shared-experts",
    passes=lambda: named("shared experts beside the routed ones", moe),
    fails=lambda: named(
        "shared experts behind dispatch", lambda: edit_node(moe(), "moe.shared_gate_up", inputs=["dispatch"])
    ),
)
def shared_experts_off_their_place(subject: Subject) -> Iterator[Hit]:
    """Shared experts read the tokens before they are dispatched, and their output is added, complete, exactly once."""
    return typed(subject, "EP015")
