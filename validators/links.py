"""Links as rules read them: each end resolved to its phase and template node, and the links that a DAG has to have."""

from collections.abc import Iterator
from functools import cached_property
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


Pairs = list[tuple[Place, Place]]
"""(kv_cache_update, what reads the cache)."""


class Links:
    """The links of a DAG, with the rule that refuses each of those that have no business there."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject

    @cached_property
    def joined(self) -> tuple[Joined, ...]:
        """Links both ends of which exist."""
        return tuple(joined_links(self.subject))

    @cached_property
    def caches(self) -> dict[Phase, Pairs]:
        """By phase: what writes the cache of each kind of layer, and what reads it there."""
        return {phase: kv_pairs(self.subject, branch) for phase, branch, _ in self.subject.branches()}

    @cached_property
    def handoffs(self) -> Pairs:
        """What writes the cache of a layer in prefill, and what reads it there in decode."""
        return _common_layers(*(_by_layers(self.subject, branch) for _, branch, _ in self.subject.branches()))

    @cached_property
    def _handed(self) -> frozenset[tuple[str, str]]:
        return _ends(self.handoffs)

    @cached_property
    def _kept(self) -> dict[Phase, frozenset[tuple[str, str]]]:
        return {phase: _ends(pairs) for phase, pairs in self.caches.items()}

    @cached_property
    def refused(self) -> dict[str, str]:
        """Code of the rule that refuses a link, by the link's pointer."""
        found = {joined.path: self._refused_by(joined) for joined in self.joined}
        for index, link in enumerate(self.subject.dag.links):
            if None in (end_of(self.subject, link.source), end_of(self.subject, link.target)):
                found[f"/links/{index}"] = "DG004"
        return {path: code for path, code in found.items() if code}

    def _refused_by(self, joined: Joined) -> str:
        phases, loop = (joined.source.phase, joined.target.phase), joined.link.loop
        ends = (joined.source.place.path, joined.target.place.path)
        if phases == ("decode", "prefill"):
            return "PH003"
        if phases[0] == phases[1] and not loop:
            return "PH001"
        if phases == ("prefill", "decode"):
            kept = carries_token(joined) or (carries_kv(joined) and (ends in self._handed or not self._handed))
            return "PH002" if loop or not kept else ""
        if phases == ("prefill", "prefill"):
            return "" if ends in self._kept["prefill"] else "PH010"
        return "" if ends in self._kept["decode"] or carries_token(joined) else "PH005"

    def lacks(self, source: str, target: str) -> bool:
        """Whether nothing stands in for a link that is missing: a link that is refused and has one of its ends is told by itself."""
        return source not in self._refused_ends and target not in self._refused_ends

    @cached_property
    def _refused_ends(self) -> frozenset[str]:
        links = [self.subject.dag.links[int(path.rpartition("/")[2])] for path in self.refused]
        return frozenset(end for link in links for end in (link.source, link.target))


def _ends(pairs: Pairs) -> frozenset[tuple[str, str]]:
    return frozenset((writer.path, reader.path) for writer, reader in pairs)


def _by_layers(subject: Subject, branch: Branch) -> list[tuple[int, int, Place, Place]]:
    """Layers from and to, with what writes and what reads their cache, ascending."""
    shapes = {stamp.blocks: _cache_of(subject, stamp.blocks) for stamp in branch.layers}
    found = [(*stamp.range, *pair) for stamp in branch.layers if (pair := shapes[stamp.blocks]) is not None]
    return sorted(found, key=lambda entry: entry[:2])


def _common_layers(prefill: list[tuple[int, int, Place, Place]], decode: list[tuple[int, int, Place, Place]]) -> Pairs:
    """Writers of prefill with the readers of decode that share a layer with them."""
    found: dict[tuple[str, str], tuple[Place, Place]] = {}
    i = j = 0
    while i < len(prefill) and j < len(decode):
        (start, end, writer, _), (other_start, other_end, _, reader) = prefill[i], decode[j]
        if max(start, other_start) < min(end, other_end):
            found.setdefault((writer.path, reader.path), (writer, reader))
        i, j = (i + 1, j) if end <= other_end else (i, j + 1)
    return list(found.values())


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


def mixing_shapes(subject: Subject, branch: Branch, path: str) -> list[LayerShape]:
    """The same of layers that mix tokens: some models have layers without attention and recurrence."""
    model = subject.model
    if not model.no_mixer_layers:
        return layer_shapes(branch, path)
    found: dict[tuple[str, ...], LayerShape] = {}
    for index, stamp in enumerate(branch.layers):
        if any(model.mixer(layer) != "none" for layer in range(*stamp.range)):
            found.setdefault(stamp.blocks, LayerShape(stamp.blocks, f"{path}/layers/{index}"))
    return list(found.values())


def kv_pairs(subject: Subject, branch: Branch) -> Pairs:
    """(kv_cache_update, what reads the cache) of each kind of layer, where a layer has one of each."""
    found: dict[tuple[str, str], tuple[Place, Place]] = {}
    for shape in layer_shapes(branch, ""):
        if (pair := _cache_of(subject, shape.blocks)) is not None:
            found.setdefault((pair[0].path, pair[1].path), pair)
    return list(found.values())


def _cache_of(subject: Subject, blocks: tuple[str, ...]) -> tuple[Place, Place] | None:
    """What writes the cache of a layer and what reads it; None unless it has one of each."""
    updates = nodes_of_layer(subject, blocks, "kv_cache_update")
    reader = cache_reader(subject, blocks)
    return (updates[0], reader) if len(updates) == 1 and reader is not None else None


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
