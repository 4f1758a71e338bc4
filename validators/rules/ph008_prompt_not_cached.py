"""PH008."""

from collections.abc import Iterator

from validators.examples import dense, drop, edit, edit_node, example
from validators.links import cache_reader, mixing_shapes, nodes_of_layer
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="PH008",
    stage="graph",
    severity="error",
    message="layers of blocks {blocks}: {attentions} attention and {updates} kv_cache_update in prefill, where one of each is due",
    hint="{repair}",
    sources=("S1 §1.1",),
    knowledge="prefill.md#the-cache-is-built-here",
    requires=frozenset({"DG001", "DG002", "PP008"}),
    passes=lambda: [
        example("each layer writes its cache", dense),
        example(
            "ring attention in parts", lambda: dense(tp=2, pp=1, cp=2, sp_kind="cp_ring", cp_decode_use="replicate")
        ),
    ],
    fails=lambda: [
        example(
            "attention without its cache",
            lambda: edit_node(drop(dense(), "attention.kv"), "attention.attend", inputs=["qkv"]),
        ),
        example("layers without attention", lambda: edit(dense(), "/branches/prefill/layers/0/blocks", ["ffn"])),
    ],
)
def prompt_not_cached(subject: Subject) -> Iterator[Hit]:
    """Prefill leaves a complete cache: each layer writes K and V of the whole prompt, once."""
    for shape in mixing_shapes(subject, subject.dag.branches.prefill, "/branches/prefill"):
        attentions = len(nodes_of_layer(subject, shape.blocks, "attention"))
        updates = len(nodes_of_layer(subject, shape.blocks, "kv_cache_update"))
        read = cache_reader(subject, shape.blocks) is not None
        if updates != 1 or not read:
            repair = (
                _repair(updates)
                if read
                else "name one attention block in `blocks`; partial attentions meet in one attention_merge"
            )
            names = ", ".join(shape.blocks[:8]) or "none at all"
            yield Hit(shape.path, blocks=names, attentions=attentions or "no", updates=updates or "no", repair=repair)


def _repair(updates: int) -> str:
    if updates == 0:
        return "add a kv_cache_update behind K and V, and let attention read `sync:` of it"
    return "keep one kv_cache_update in the layer"
