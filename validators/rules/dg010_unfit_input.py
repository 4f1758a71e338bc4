"""DG010."""

from collections.abc import Iterator

from validators.examples import dense, drop, edit_node, example
from validators.mismatches import owned
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="DG010",
    stage="typing",
    severity="error",
    message="block `{block}`, {phase}: `{node}` needs {needed} and gets {found}",
    hint="connect `{node}` to the node that yields {needed}",
    sources=("astra-sim: workload/Workload.cc issue_comp", "shapes of the model's weights"),
    knowledge="dag-document.md#tensor-agreement",
    passes=lambda: [example("each op reads what it computes on", dense)],
    fails=lambda: [
        example("down reads gate and up before the activation", lambda: drop(dense(), "ffn.act")),
        example(
            "the FFN projects with the weight of attention", lambda: edit_node(dense(), "ffn.gate_up", weight="qkv")
        ),
    ],
)
def unfit_input(subject: Subject) -> Iterator[Hit]:
    """What a node reads is what its op computes on, in meaning and in shape."""
    for m in owned(subject, "DG010"):
        yield Hit(m.path, block=m.block, phase=m.phase, node=m.node, needed=m.needed, found=m.found)
