"""TP015."""

from collections.abc import Iterator

from strategy.ops import DENSE_FFN_FIRST
from strategy.placement import refine
from validators.block_graph import phases_of
from validators.examples import dense, edit_node
from validators.examples_moe import named
from validators.mismatches import typed
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="TP015",
    stage="typing",
    severity="error",
    message="`{node}` splits `{weight}` by {found}",
    hint="set split of `{node}` to {needed}",
    sources=(
        "S1 TP Applicable operators",
        "S3 Tensor parallelism: KEY",
        "vllm: model_executor/layers/linear.py",
    ),
    knowledge="tensor-parallelism.md#column-then-row",
    passes=lambda: named("qkv by columns, attention_out by rows", lambda: dense(tp=4)),
    fails=lambda: named(
        "the output projection by columns", lambda: edit_node(dense(tp=4), "attention.o", split="column")
    ),
)
def unusual_split(subject: Subject) -> Iterator[Hit]:
    """The first matrix of a pair is cut by columns and the second by rows; another cut computes another function, or the same one on every rank."""
    yield from typed(subject, "TP015")
    if not subject.typing.mismatches:
        yield from _repeated(subject)


def _repeated(subject: Subject) -> Iterator[Hit]:
    """Dense FFNs that are whole on every rank, and not because each rank has tokens of its own (moe_dense_tp_size=1 of SGLang)."""
    for place in subject.places:
        node = place.node
        if node.op != "linear" or node.weight not in DENSE_FFN_FIRST or node.split != "replicated":
            continue
        for phase in phases_of(subject, place.block.name):
            digits = refine(subject.dag.strategy.pool_for(phase))
            lies = subject.typing.nodes.get((phase, place.block.name, node.id))
            if digits and lies and digits.of("tp") and lies.on(digits.of("tp")) == {"R"}:
                found = "replicated, on tokens that every tp rank has, so all of them compute all of it"
                yield Hit(
                    place.path, severity="warning", node=node.id, weight=node.weight, found=found, needed="column"
                )
                break
