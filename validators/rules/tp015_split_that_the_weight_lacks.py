"""TP015."""

from collections.abc import Iterator

from validators.block_graph import known_weight, pools_at
from validators.choices import listed
from validators.examples_moe import LLAMA_8B, named, planned, with_node
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="TP015",
    stage="graph",
    severity="error",
    message="`{node}` splits `{weight}` by {split}; that weight is split by {choices}",
    hint="set split of `{node}` to {choices}",
    sources=("S1 TP Applicable operators", "S3 Tensor parallelism: KEY", "vllm: model_executor/layers/linear.py"),
    knowledge="tensor-parallelism.md#column-then-row",
    passes=lambda: named("qkv by columns, o by rows", lambda: planned(LLAMA_8B, tp=4)),
    fails=lambda: named(
        "the output projection by columns",
        lambda: with_node(planned(LLAMA_8B, tp=4), "attention", "o", split="column"),
    ),
)
def split_that_the_weight_lacks(subject: Subject) -> Iterator[Hit]:
    """First matrices of a pair are cut by columns, second ones by rows: anything else computes another function or the same one on every rank."""
    for place in subject.places:
        node = place.node
        spec = known_weight(subject, node)
        if node.op != "linear" or spec is None or spec.weight_class == "norm" or spec.splits == ("replicated",):
            continue  # TP014 and AT003 speak of those
        if node.split not in spec.splits and any(pool.width > 1 for pool in pools_at(subject, place)):
            choices = listed(spec.splits)
            yield Hit(f"{place.path}/split", node=node.id, weight=spec.name, split=node.split, choices=choices)
