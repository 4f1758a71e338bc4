"""Links as rules read them: each end resolved to its phase and template node, and the links that a DAG has to have."""

from collections.abc import Iterator
from typing import NamedTuple

from strategy.dag import AttentionNode, Branch, Link
from strategy.strategy import Phase
from validators.subject import PHASES, Place, Subject


class End(NamedTuple):
    """One end of a link."""

    phase: Phase
    place: Place


class Joined(NamedTuple):
    """A link whose two ends exist."""

    link: Link
    path: str
    """JSON pointer of the link."""
    source: End
    target: End


def split_reference(text: str) -> tuple[str, str, str] | None:
    """Phase, block and node of `branch.block.node`, or None when the text has another form."""
    parts = text.split(".")
    return (parts[0], parts[1], parts[2]) if len(parts) == 3 else None


def end_of(subject: Subject, text: str) -> End | None:
    """What a reference names: a node of a block that the branch uses."""
    parts = split_reference(text)
    if parts is None or parts[0] not in PHASES:
        return None
    phase: Phase = "prefill" if parts[0] == "prefill" else "decode"
    place = subject.by_name.get((parts[1], parts[2]))
    return End(phase, place) if place is not None and parts[1] in subject.block_names(phase) else None


def joined_links(subject: Subject) -> Iterator[Joined]:
    """Every link both ends of which exist (the others are DG002's)."""
    for index, link in enumerate(subject.dag.links):
        source, target = end_of(subject, link.source), end_of(subject, link.target)
        if source is not None and target is not None:
            yield Joined(link, f"/links/{index}", source, target)


def carries_kv(joined: Joined) -> bool:
    """Whether a link brings the cache of a layer to attention of the same layer."""
    return joined.source.place.node.op == "kv_cache_update" and joined.target.place.node.op in (
        "attention",
        "attention_merge",
    )


def carries_token(joined: Joined) -> bool:
    """Whether a link brings sampled tokens to where ids enter."""
    return (joined.source.place.node.op, joined.target.place.node.op) == ("sample", "ingress")


def nodes_of_op(subject: Subject, block: str, op: str) -> tuple[Place, ...]:
    """Nodes of one op in a block."""
    return subject.places_of_op(block, op)


class LayerShape(NamedTuple):
    """Distinct layers of a branch: blocks in order, and the pointer of the first stamp that has them."""

    blocks: tuple[str, ...]
    path: str


def layer_shapes(branch: Branch, path: str) -> list[LayerShape]:
    """The different block lists of a branch, without unrolling its ranges."""
    found: dict[tuple[str, ...], LayerShape] = {}
    for index, stamp in enumerate(branch.layers):
        found.setdefault(stamp.blocks, LayerShape(stamp.blocks, f"{path}/layers/{index}"))
    return list(found.values())


def kv_pairs(subject: Subject, branch: Branch) -> list[tuple[Place, Place]]:
    """(kv_cache_update, what reads the cache) of each kind of layer, where a layer has one of each."""
    found: dict[tuple[str, str], tuple[Place, Place]] = {}
    for shape in layer_shapes(branch, ""):
        updates = nodes_of_layer(subject, shape.blocks, "kv_cache_update")
        reader = cache_reader(subject, shape.blocks)
        if len(updates) == 1 and reader is not None:
            found.setdefault((updates[0].path, reader.path), (updates[0], reader))
    return list(found.values())


def nodes_of_layer(subject: Subject, blocks: tuple[str, ...], op: str) -> list[Place]:
    """Nodes of one op in a layer; of a block that a layer repeats, each time."""
    return [place for block in blocks for place in nodes_of_op(subject, block, op)]


def cache_reader(subject: Subject, blocks: tuple[str, ...]) -> Place | None:
    """The node of a layer that reads the cache: its attention, or what merges the partial ones (ring); None when that is not one node."""
    readers = nodes_of_layer(subject, blocks, "attention")
    if len(readers) > 1 and all(isinstance(p.node, AttentionNode) and p.node.partial for p in readers):
        readers = nodes_of_layer(subject, blocks, "attention_merge")
    return readers[0] if len(readers) == 1 else None


def reference(phase: Phase, place: Place) -> str:
    """How a document names a node: `branch.block.node`."""
    return f"{phase}.{place.block.name}.{place.node.id}"
