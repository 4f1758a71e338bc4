"""PH007."""

from collections.abc import Iterator

from validators.examples import dense, drop, drop_link, edit, edit_node, example, mla
from validators.links import mixing_shapes, nodes_of_layer, reference
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="PH007",
    stage="graph",
    severity="error",
    message="{what}",
    hint="{repair}",
    sources=("S1 §7.2",),
    knowledge="decode.md#the-cache-is-an-input",
    requires=frozenset({"DG001", "DG002", "PP008"}),
    passes=lambda: [example("each layer reads its own cache", dense), example("MLA", mla)],
    fails=lambda: [
        example("the prompt is forgotten", lambda: drop_link(dense(), "prefill.kv", "decode.attend")),
        example("the prompt is forgotten in the layers of one block", _without_the_late_layers),
        example("decode writes no cache", _without_decode_cache),
    ],
)
def decode_without_history(subject: Subject) -> Iterator[Hit]:
    """Attention in decode reads the cache of its own layer: the prompt's, from prefill, and that of each step before."""
    yield from _blind_layers(subject)
    handed = {
        (j.source.place.path, j.target.place.path)
        for j in subject.links.joined
        if (j.source.phase, j.target.phase) == ("prefill", "decode")
    }
    for writer, reader in subject.links.handoffs:
        names = reference("prefill", writer), reference("decode", reader)
        if (writer.path, reader.path) not in handed and subject.links.lacks(*names):
            what = f"`{names[1]}` does not see the cache that `{names[0]}` built"
            yield Hit("/links", what=what, repair=f"add {{source: {names[0]}, target: {names[1]}, kind: sync}}")


def _blind_layers(subject: Subject) -> Iterator[Hit]:
    """Layers of decode with attention and no cache of their own; a block that prefill uses too is PH008's."""
    told: set[str] = set()
    for shape in mixing_shapes(subject, subject.dag.branches.decode, "/branches/decode"):
        readers = nodes_of_layer(subject, shape.blocks, "attention")
        updates = nodes_of_layer(subject, shape.blocks, "kv_cache_update")
        for reader in readers:
            shared = reader.block.name in subject.block_names("prefill")
            if not updates and not shared and reader.path not in told:
                told.add(reader.path)
                what = f"`{reference('decode', reader)}` has no cache: its layer holds no kv_cache_update"
                yield Hit(
                    reader.path,
                    what=what,
                    repair="add a kv_cache_update behind K and V, and let attention read `sync:` of it",
                )
        if not readers:
            what = f"layers of blocks {', '.join(shape.blocks) or 'none at all'} have no attention in decode"
            yield Hit(shape.path, what=what, repair="name an attention block in `blocks`")


def _without_the_late_layers() -> Subject:
    """Prefill has an attention block of its own for the last layers, and no link from it."""
    subject = dense(pp=1)
    late = subject.dag.blocks[[block.name for block in subject.dag.blocks].index("attention")].model_dump(mode="json")
    added = edit(subject, "/blocks/-", {**late, "name": "late"})
    layers = [{"range": [0, 3], "blocks": ["attention", "ffn"]}, {"range": [3, 4], "blocks": ["late", "ffn"]}]
    return edit(added, "/branches/prefill/layers", layers)


def _without_decode_cache() -> Subject:
    blind = edit_node(drop(mla(), "mla_decode.kv"), "mla_decode.attend", inputs=["w_uk"])
    return drop_link(drop_link(blind, "prefill.kv", "decode.attend"), "decode.kv", "decode.attend", loop=True)
