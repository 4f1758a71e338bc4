"""PH009."""

from collections.abc import Iterator

from strategy.dag import edges
from validators.examples import dense, edit_node, example
from validators.links import kv_pairs
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="PH009",
    stage="graph",
    severity="error",
    message="block `{block}`: `{node}` does not wait for `{update}`, so it may read the cache before this token is in it",
    hint="let `{node}` {change}",
    sources=("S1 §7.2", "S4: updates of the cache are committed first"),
    knowledge="decode.md#write-before-read",
    requires=frozenset({"DG001", "DG002", "DG012"}),
    passes=lambda: [example("attention waits for the cache", dense)],
    fails=lambda: [example("attention reads Q alone", lambda: edit_node(dense(), "attention.attend", inputs=["qkv"]))],
)
def attention_before_cache(subject: Subject) -> Iterator[Hit]:
    """A token attends to itself too, so its K and V are in the cache before attention reads it."""
    told: set[str] = set()
    for _phase, branch, _path in subject.branches():
        for update, reader in kv_pairs(subject, branch):
            waits = {edge.source for edge in edges(reader.node) if edge.kind == "sync"}
            same_block = update.block.name == reader.block.name
            if same_block and update.node.id not in waits and reader.path not in told:
                told.add(reader.path)
                as_data = update.node.id in {edge.source for edge in edges(reader.node)}
                change = f"read `sync:{update.node.id}`" + (f" instead of `{update.node.id}`" if as_data else "")
                yield Hit(
                    f"{reader.path}/inputs",
                    block=reader.block.name,
                    node=reader.node.id,
                    update=update.node.id,
                    change=change,
                )
