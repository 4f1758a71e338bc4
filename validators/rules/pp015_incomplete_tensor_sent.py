"""PP015."""

from collections.abc import Iterator

from validators.examples import dense, edit, example
from validators.mismatches import owned
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="PP015",
    stage="typing",
    severity="error",
    message="block `{block}`, {phase}: the next stage would receive {found}, and reads {needed}",
    hint="complete the tensor before `send`, or gather it behind `recv`",
    sources=(
        "vllm: distributed/parallel_state.py:1093-1106",
        "megatron: core/inference abstract_model_inference_wrapper.py:145-155",
    ),
    knowledge="pipeline-parallelism.md#nothing-partial-crosses-a-stage",
    passes=lambda: [example("the complete stream", dense)],
    fails=lambda: [
        example(
            "a slice sent and not gathered again",
            _sliced,
        ),
    ],
)
def incomplete_tensor_sent(subject: Subject) -> Iterator[Hit]:
    """Nothing Partial crosses a boundary, and shards are shards of the same ranks on both sides or gathered on the far one."""
    for m in owned(subject, "PP015"):
        yield Hit(m.path, block=m.block, phase=m.phase, found=m.found, needed=m.needed or "a complete value")


def _sliced() -> Subject:
    nodes = [
        {"id": "slice", "op": "chunk", "axis": "tp", "dim": "tokens", "inputs": ["in"]},
        {"id": "send", "op": "send", "inputs": ["slice"]},
        {"id": "recv", "op": "recv", "inputs": ["pipeline:send"]},
    ]
    return edit(dense(), "/blocks/3/nodes", nodes)
