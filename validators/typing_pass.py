"""The typing pass: one walk over the blocks decides most TP, SP, EP, DA and CM rules.

Every tensor has a *content* (what it means: the residual stream, normalised hidden states, a delta to be added, ...) and a
*placement* (how it lies over the ranks, `strategy.placement`). Each op states what it needs and what it yields, in the tables
below. Where need and fact differ there is a `Mismatch`: it names the edge, both sides and the repair, so a rule only has to choose
which mismatches are its own (`Typing.of(kind)`), and says nothing more about placement.

Kinds of mismatch
    partial      an op met an unreduced sum (facts: `producer`, the node that left it; `axis`; `consumer_role` of what met it)
    sharded      an op needs what a shard does not have: `letter` T (tokens) or F (features) on `axis`
    placements   the inputs of an add or a dispatch lie differently
    not_partial  all_reduce or reduce_scatter over `axis` of a tensor that is complete there, or whose tokens differ there
    not_sharded  all_gather or combine over `axis` of a tensor that is not sharded so
    order        slices of `axis` would not be the rows that the ranks own
    content      the tensor means something else than the op needs (`needed`, `found`)
    split        the weight cannot be split that way
    weight       the weight does not exist in this model
    ffn_kind     dense FFN weights in an MoE layer, or the reverse
    router_weight  router weights applied twice, or never
    duplicate    (warning) tokens replicated over part of an EP group are dispatched more than once
    all_rows     (warning) the LM head runs on every prompt position
    stream       what leaves a block is not what the next one reads

A node that follows a mismatch is not typed again (its inputs are unknown), and the next block starts from what it should read, so one
mistake is told once and two mistakes are told both.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from strategy.dag import (
    AllGather,
    AllReduce,
    AllToAll,
    AnyNode,
    AttentionNode,
    Block,
    Broadcast,
    Chunk,
    Embedding,
    Expert,
    Linear,
    Norm,
    ReduceScatter,
    edges,
)  # fmt: skip
from strategy.mesh import Axis
from strategy.model import FfnKind, ModelSpec
from strategy.ops import WeightSpec, model_weights
from strategy.placement import WORDS, Digits, Letter, Placement, refine
from strategy.strategy import Phase, Pool
from validators.subject import Subject

MismatchKind = Literal[
    "partial", "sharded", "placements", "not_partial", "not_sharded", "order", "content", "split", "weight", "ffn_kind",
    "router_weight", "duplicate", "all_rows", "stream",
]  # fmt: skip


@dataclass(frozen=True)
class Mismatch:
    """One edge on which need and fact differ."""

    kind: MismatchKind
    phase: Phase
    block: str
    node: str
    op: str
    path: str
    """JSON pointer of the node."""
    axis: str = ""
    letter: Letter | None = None
    producer: str = ""
    """For `partial`: what left the sum: a weight name, `embedding` or `expert`."""
    producer_node: str = ""
    weight: str = ""
    """Weight of the consuming linear or norm."""
    source: str = ""
    """The input on which it happened."""
    needed: str = ""
    found: str = ""
    repair: str = ""
    layer_kind: FfnKind | None = None


Content = str
"""One of: ids, normed:<weight>, qkv, qkv_a, kv_a, latent, query, absorbed_query, expanded_kv, kv_state, context, latent_context,
gate_up, activated, shared_gate_up, shared_activated, routing, dispatched, pair, expert_out, last, logits, token; `residual` and
`delta` carry their parts beside."""


@dataclass(frozen=True)
class Tensor:
    """What a node yields."""

    content: Content
    placement: Placement
    parts: frozenset[str] = frozenset()
    """Sub-layers that a residual or delta already contains, of the current layer."""
    producer: str = ""
    producer_node: str = ""
    home: Placement | None = None
    """For tokens at their experts: how they lay before dispatch."""
    weighted: bool = True
    """Whether router weights are in."""
    last_only: bool = False
    """One row a sequence."""

    def words(self) -> str:
        """The content as people say it."""
        if self.content in ("residual", "delta"):
            done = ", ".join(sorted(self.parts)) or "nothing yet"
            return (
                f"the residual stream (with {done} of this layer)"
                if self.content == "residual"
                else f"the output of {done}"
            )
        return CONTENT_WORDS.get(self.content.partition(":")[0], self.content).format(self.content.partition(":")[2])


CONTENT_WORDS = {
    "ids": "token ids",
    "normed": "hidden states normalised by `{}`",
    "qkv": "Q, K and V",
    "qkv_a": "the low-rank query and latent",
    "kv_a": "the latent before its norm",
    "latent": "the normalised latent",
    "q_latent": "the normalised low-rank query",
    "query": "Q",
    "absorbed_query": "Q in latent space",
    "expanded_kv": "K and V expanded from the latent",
    "kv_state": "the KV cache",
    "context": "the attention output per head",
    "latent_context": "the attention output in latent space",
    "gate_up": "gate and up",
    "activated": "activated features",
    "shared_gate_up": "gate and up of the shared experts",
    "shared_activated": "activated features of the shared experts",
    "routing": "the router's choice",
    "dispatched": "tokens at their experts",
    "pair": "hidden states with the router's choice",
    "expert_out": "expert outputs that have not come back to their tokens",
    "logits": "logits",
    "token": "sampled tokens",
}

LINEAR: dict[str, tuple[str, str, str]] = {
    # weight: (content needed, content yielded, part of the layer it completes)
    "qkv": ("normed:attention_norm", "qkv", ""),
    "qkv_a": ("normed:attention_norm", "qkv_a", ""),
    "q": ("normed:attention_norm", "query", ""),
    "kv_a": ("normed:attention_norm", "kv_a", ""),
    "q_b": ("q_latent", "query", ""),
    "kv_b": ("latent", "expanded_kv", ""),
    "w_uk": ("query", "absorbed_query", ""),
    "w_uv": ("latent_context", "context", ""),
    "attention_out": ("context", "delta", "attention"),
    "gate_up": ("normed:ffn_norm", "gate_up", ""),
    "down": ("activated", "delta", "ffn"),
    "shared_gate_up": ("normed:ffn_norm", "shared_gate_up", ""),
    "shared_down": ("shared_activated", "delta", "shared experts"),
    "lm_head": ("normed:final_norm", "logits", ""),
}
BATCHED_OVER_HEADS = frozenset({"w_uk", "w_uv"})
STREAM_NORMS: dict[str, frozenset[str]] = {
    "attention_norm": frozenset(),
    "ffn_norm": frozenset({"attention"}),
    "final_norm": frozenset(),
}
INNER_NORMS: dict[str, tuple[frozenset[str], str]] = {
    "q_a_norm": (frozenset({"qkv_a"}), "q_latent"),
    "kv_a_norm": (frozenset({"qkv_a", "kv_a"}), "latent"),
}
ACTIVATIONS = {"gate_up": "activated", "shared_gate_up": "shared_activated"}


@dataclass(frozen=True)
class Typing:
    """Outcome of the pass."""

    mismatches: tuple[Mismatch, ...] = ()
    outputs: dict[tuple[Phase, str], Placement] = field(default_factory=dict)
    """Placement that leaves each block."""

    def of(self, *kinds: MismatchKind) -> list[Mismatch]:
        """Mismatches of these kinds, in document order of discovery."""
        return [m for m in self.mismatches if m.kind in kinds]


class _StopNode(Exception):  # noqa: N818 (a signal, not an error)
    """The node at hand has been reported; what follows from it is unknown."""


def type_dag(subject: Subject) -> Typing:
    """Type every block in every use it is put to. Needs a DAG whose structure, degrees and meshes are sound."""
    found: dict[tuple[str, str, str, str], Mismatch] = {}
    outputs: dict[tuple[Phase, str], Placement] = {}
    for phase, branch, _ in subject.branches():
        pool = subject.dag.strategy.pool_for(phase)
        digits = refine(pool)
        if digits is None:
            continue
        walk = _Walk(subject, phase, pool, digits)
        stream = walk.use(branch.embed, walk.ids(), None)
        stream = walk.checked(branch.embed, stream, walk.entry(), None)
        known: dict[tuple[tuple[str, ...], FfnKind, Placement], Placement] = {}
        for stamp in branch.layers:
            for kind in sorted(
                {subject.model.ffn_kind(layer) for layer in range(*stamp.range) if layer < subject.model.num_layers}
            ):
                key = (stamp.blocks, kind, stream.placement)
                if key not in known:
                    known[key] = walk.layer(stamp.blocks, kind, stream).placement
                stream = replace(stream, placement=known[key])
        if branch.boundary is not None and pool.pp_size > 1:
            walk.checked(branch.boundary, walk.use(branch.boundary, stream, None), stream, None)
        token = walk.use(branch.head, stream, None)
        walk.checked_token(branch.head, token)
        outputs.update(walk.outputs)
        for m in walk.mismatches:
            found.setdefault((m.kind, m.path, m.axis, m.needed), m)
    return Typing(tuple(found.values()), outputs)


class _Walk:
    """Types the blocks of one branch."""

    def __init__(self, subject: Subject, phase: Phase, pool: Pool, digits: Digits) -> None:
        self.subject = subject
        self.model: ModelSpec = subject.model
        self.phase: Phase = phase
        self.pool = pool
        self.digits = digits
        self.weights = model_weights(subject.model)
        self.paths = {(place.block.name, place.node.id): place.path for place in subject.places}
        self.mismatches: list[Mismatch] = []
        self.outputs: dict[tuple[Phase, str], Placement] = {}
        self.block: Block
        self.kind: FfnKind | None = None

    # What enters and leaves

    def tokens(self) -> Placement:
        """Where tokens are at first: every attention replica has its own, cp ranks have shards of a prompt."""
        letters: tuple[Letter, ...] = tuple("R" for _ in self.digits.sizes)
        placement = Placement(letters).with_letter(self.digits.of("dp"), "T")
        if self.phase == "prefill" and self.pool.sp_kind.startswith("cp_"):
            placement = placement.with_letter(self.digits.of("cp"), "T")
        return placement

    def ids(self) -> Tensor:
        return Tensor("ids", self.tokens())

    def entry(self) -> Tensor:
        """The residual stream as the first layer should read it."""
        placement = self.tokens()
        if self.phase == "prefill" and self.pool.sp_kind == "megatron" and self.digits.of("tp"):
            cut = placement.cut_rows(self.digits.of("tp"))
            placement = cut or placement
        return Tensor("residual", placement)

    def layer(self, blocks: Sequence[str], kind: FfnKind, stream: Tensor) -> Tensor:
        """Type one layer and return the stream that leaves it."""
        entry, current = stream, stream
        for index, name in enumerate(blocks):
            out = self.use(name, current, kind)
            last = index == len(blocks) - 1
            if out is None:
                current = replace(current, parts=self._expected_parts(blocks, index))
            elif out.content != "residual":
                self._stream(name, "the residual stream", out.words(), kind)
                current = replace(current, parts=self._expected_parts(blocks, index))
            elif out.parts == current.parts:
                self._stream(
                    name, "the residual stream with a sub-layer added", "the residual stream as it came in", kind
                )
                current = replace(current, parts=self._expected_parts(blocks, index))
            else:
                current = out
            if last and current.parts:
                missing = sorted(self.parts_of_layer(kind) - current.parts)
                self._stream(name, f"{' and '.join(missing)} added to the residual stream", current.words(), kind)
                current = replace(current, parts=frozenset())
        if current.placement != entry.placement:
            self._stream(blocks[-1], self.say(entry.placement), self.say(current.placement), kind)
            current = entry
        return current

    def _expected_parts(self, blocks: Sequence[str], index: int) -> frozenset[str]:
        """Parts the stream should have after a block that could not be typed."""
        return frozenset() if index == len(blocks) - 1 else frozenset({"attention"})

    def parts_of_layer(self, kind: FfnKind) -> frozenset[str]:
        """What a finished layer has added to the residual stream."""
        if kind == "dense":
            return frozenset({"attention", "ffn"})
        shared = self.model.moe is not None and self.model.moe.shared_intermediate_size > 0
        return frozenset({"attention", "experts", *(["shared experts"] if shared else [])})

    def checked(self, name: str, out: Tensor | None, expected: Tensor, kind: FfnKind | None) -> Tensor:
        """Report a block that does not leave `expected`, and go on from there."""
        if out is not None and (out.content != expected.content or out.parts != expected.parts):
            self._stream(name, expected.words(), out.words(), kind)
        elif out is not None and out.placement != expected.placement:
            self._block_placement(name, out, expected, kind)
        return expected

    def _block_placement(self, name: str, out: Tensor, expected: Tensor, kind: FfnKind | None) -> None:
        partial = [d for d, letter in enumerate(out.placement.letters) if letter == "P"]
        self.block, self.kind = self._named(name), kind
        node = next((n for n in self.block.nodes if n.id == self.block.output), self.block.nodes[-1])
        if partial:
            self.report(node, "partial", axis=self.digits.named(tuple(partial)), producer=out.producer, producer_node=out.producer_node,
                         repair=f"all_reduce over {self.digits.named(tuple(partial))}")  # fmt: skip
        else:
            self._stream(name, self.say(expected.placement), self.say(out.placement), kind)

    def checked_token(self, name: str, out: Tensor | None) -> None:
        """The head must leave each rank the sampled tokens of its own sequences."""
        if out is None:
            return
        if out.content != "token":
            self._stream(name, "sampled tokens", out.words(), None)
            return
        own = self.tokens().with_letter(self.digits.of("cp"), "R")
        if out.placement != own:
            self._stream(name, self.say(own), self.say(out.placement), None)

    def _named(self, name: str) -> Block:
        block = self.subject.dag.block(name)
        if block is None:
            raise _StopNode
        return block

    def use(self, name: str, stream: Tensor, kind: FfnKind | None) -> Tensor | None:
        """Type a block that reads `stream`; None when its output could not be typed."""
        block = self.subject.dag.block(name)
        if block is None:
            return None
        self.block, self.kind = block, kind
        values: dict[str, Tensor | None] = {"in": stream}
        for node in _in_order(block):
            values[node.id] = self._typed(node, values)
        out = values.get(block.output)
        if out is not None:
            self.outputs[self.phase, name] = out.placement
        return out

    def _typed(self, node: AnyNode, values: dict[str, Tensor | None]) -> Tensor | None:
        data: list[tuple[str, Tensor]] = []
        for edge in edges(node):
            value = values.get(edge.source)
            if value is None:
                return None
            if edge.kind == "sync" and value.content != "latent" and not value.content.startswith("kv"):
                continue
            state = edge.kind == "sync"
            data.append((edge.source, replace(value, content="kv_state") if state else value))
        try:
            return _OPS[node.op](self, node, data)
        except _StopNode:
            return None

    # Reports

    def say(self, placement: Placement) -> str:
        """A placement in words, by axis."""
        words = []
        for letter in ("P", "T", "F", "E", "R"):
            on = tuple(d for d, found in enumerate(placement.letters) if found == letter)
            if on and (letter != "R" or len(on) == len(placement.letters)):
                words.append(f"{WORDS[letter]} over {self.digits.named(on)}")
        text = ", ".join(words) or "Replicated"
        return (
            text
            if not placement.rows
            else f"{text} (rows gathered over {self.digits.named(frozenset(placement.rows))})"
        )

    def report(self, node: AnyNode, kind: MismatchKind, **facts: object) -> None:
        path = self.paths.get((self.block.name, node.id), "/blocks")
        weight = str(getattr(node, "weight", ""))
        self.mismatches.append(
            Mismatch(kind=kind, phase=self.phase, block=self.block.name, node=node.id, op=node.op, path=path, weight=weight,
                     layer_kind=self.kind, **facts)  # type: ignore[arg-type]
        )  # fmt: skip

    def stop(self, node: AnyNode, kind: MismatchKind, **facts: object) -> _StopNode:
        """Report and give up on this node."""
        self.report(node, kind, **facts)
        return _StopNode()

    def _stream(self, name: str, needed: str, found: str, kind: FfnKind | None) -> None:
        block = self.subject.dag.block(name)
        if block is None:
            return
        self.block, self.kind = block, kind
        node = next((n for n in block.nodes if n.id == block.output), block.nodes[-1])
        self.report(node, "stream", needed=needed, found=found)

    # Needs

    def need_content(self, node: AnyNode, source: str, value: Tensor, *wanted: str) -> None:
        """The input must mean one of `wanted`."""
        if value.content not in wanted:
            needed = " or ".join(Tensor(w, value.placement).words() for w in wanted)
            raise self.stop(node, "content", source=source, needed=needed, found=value.words())

    def need_complete(self, node: AnyNode, source: str, value: Tensor, digits: tuple[int, ...] | None = None) -> None:
        """No unreduced sum on `digits` (everywhere when None)."""
        letters = value.placement.letters
        on = tuple(d for d in (range(len(letters)) if digits is None else digits) if letters[d] == "P")
        if on:
            axis = self.digits.named(on)
            raise self.stop(
                node, "partial", axis=axis, source=source, producer=value.producer, producer_node=value.producer_node,
                needed="a complete value", found=self.say(value.placement), repair=f"all_reduce over {axis}",
            )  # fmt: skip

    def need_letter(
        self, node: AnyNode, source: str, value: Tensor, digits: tuple[int, ...], allowed: Iterable[Letter], repair: str
    ) -> None:
        """Only `allowed` letters on `digits`."""
        self.need_complete(node, source, value, digits)
        bad = tuple(d for d in digits if value.placement.letters[d] not in allowed)
        if bad:
            letter = value.placement.letters[bad[0]]
            axis = self.digits.named(bad)
            raise self.stop(
                node, "sharded", axis=axis, letter=letter, source=source, needed=" or ".join(WORDS[a] for a in allowed),
                found=f"{WORDS[letter]} over {axis}", repair=repair,
            )  # fmt: skip

    def need_whole_features(self, node: AnyNode, source: str, value: Tensor) -> None:
        """Complete hidden vectors: neither Partial nor split by features, wherever the tokens are."""
        everywhere = tuple(range(len(value.placement.letters)))
        self.need_complete(node, source, value)
        self.need_letter(node, source, value, everywhere, ("R", "T"), "all_gather of the features")

    def single(self, node: AnyNode, data: list[tuple[str, Tensor]]) -> tuple[str, Tensor]:
        """The one data input of a node."""
        if len(data) != 1:
            raise self.stop(node, "content", needed="one data input", found=f"{len(data)}")
        return data[0]

    def split_axis(self, weight: str) -> Axis:
        """The axis over which a column or row split of `weight` goes."""
        gathered = self.pool.attention.dp_size > 1 and (
            (self.pool.dense_ffn == "gathered" and weight in ("gate_up", "down")) or (self.pool.lm_head == "gathered" and weight == "lm_head")
        )  # fmt: skip
        return "stage" if gathered else "tp"

    def weight(self, node: Linear | Norm) -> WeightSpec:
        """The weight a node names, if this model has it and the layer is of its kind."""
        spec = self.weights.get(node.weight)
        if spec is None:
            raise self.stop(node, "weight", needed=", ".join(sorted(self.weights)), found=node.weight)
        self.need_layer_kind(node, {"dense_ffn": "dense", "shared_expert": "moe"}.get(spec.weight_class))
        return spec

    def need_layer_kind(self, node: AnyNode, wanted: str | None) -> None:
        """FFN nodes stand in layers of their kind."""
        if wanted is not None and self.kind is not None and wanted != self.kind:
            raise self.stop(node, "ffn_kind", needed=self.kind, found=wanted)


def _in_order(block: Block) -> list[AnyNode]:
    """Nodes so that inputs come first (documents may list them in any order); cycles are DG003's business."""
    by_id = {node.id: node for node in block.nodes}
    done: dict[str, bool] = {}
    order: list[AnyNode] = []
    stack: list[tuple[AnyNode, bool]] = [(node, False) for node in reversed(block.nodes)]
    while stack:
        node, expanded = stack.pop()
        if expanded:
            order.append(node)
            done[node.id] = True
        elif node.id not in done:
            done[node.id] = False
            stack.append((node, True))
            stack += [(by_id[e.source], False) for e in edges(node) if e.source in by_id and e.source not in done]
    return order


# Ops: what each needs and yields. The first group neither moves data nor changes a placement.

_Data = list[tuple[str, Tensor]]


def _ingress(walk: _Walk, _node: AnyNode, _data: _Data) -> Tensor:
    return walk.ids()


def _step_sync(walk: _Walk, _node: AnyNode, _data: _Data) -> Tensor:
    return Tensor("sync", walk.tokens())


def _embedding(walk: _Walk, node: AnyNode, data: _Data) -> Tensor:
    assert isinstance(node, Embedding)
    source, ids = walk.single(node, data)
    walk.need_content(node, source, ids, "ids")
    placement = ids.placement.with_letter(walk.digits.of("tp"), "P") if node.split == "vocab" else ids.placement
    return Tensor("residual", placement, producer="embedding", producer_node=node.id)


def _norm(walk: _Walk, node: AnyNode, data: _Data) -> Tensor:
    assert isinstance(node, Norm)
    source, value = walk.single(node, data)
    spec = walk.weight(node)
    if spec.weight_class != "norm":
        raise walk.stop(
            node,
            "weight",
            needed=", ".join(w for w, s in walk.weights.items() if s.weight_class == "norm"),
            found=node.weight,
        )
    walk.need_whole_features(node, source, value)
    if node.weight in INNER_NORMS:
        wanted, content = INNER_NORMS[node.weight]
        walk.need_content(node, source, value, *sorted(wanted))
        return replace(value, content=content)
    walk.need_content(node, source, value, "residual")
    if value.parts != STREAM_NORMS[node.weight] or (node.weight == "final_norm") != (walk.kind is None):
        needed = Tensor("residual", value.placement, STREAM_NORMS[node.weight]).words()
        raise walk.stop(node, "content", source=source, needed=needed, found=value.words())
    return replace(value, content=f"normed:{node.weight}", parts=frozenset())


def _linear(walk: _Walk, node: AnyNode, data: _Data) -> Tensor:
    assert isinstance(node, Linear)
    source, value = walk.single(node, data)
    spec = walk.weight(node)
    if node.weight not in LINEAR:
        raise walk.stop(node, "weight", needed=", ".join(w for w in LINEAR if w in walk.weights), found=node.weight)
    needed, content, part = LINEAR[node.weight]
    walk.need_content(node, source, value, needed)
    axis = walk.split_axis(node.weight)
    digits = walk.digits.of(axis)
    if digits and node.split not in spec.splits:
        raise walk.stop(node, "split", axis=axis, needed=" or ".join(spec.splits), found=node.split)
    placement = _linear_placement(walk, node, source, value, axis)
    if node.weight == "lm_head" and walk.phase == "prefill" and not value.last_only:
        walk.report(node, "all_rows")
    partial = any(letter == "P" for letter in placement.letters)
    producer, producer_node = (node.weight, node.id) if partial else ("", "")
    return Tensor(
        content, placement, frozenset([part] if part else []), producer, producer_node, last_only=value.last_only
    )


def _linear_placement(walk: _Walk, node: Linear, source: str, value: Tensor, axis: Axis) -> Placement:
    digits = walk.digits.of(axis)
    elsewhere = tuple(d for d in range(len(walk.digits.sizes)) if d not in digits)
    walk.need_letter(node, source, value, elsewhere, ("R", "T"), "all_gather of the features")
    if node.split == "row":
        walk.need_letter(node, source, value, digits, ("F",), f"a column split before `{node.id}`")
        return value.placement.with_letter(digits, "P")
    if node.split == "column" and node.weight in BATCHED_OVER_HEADS:
        walk.need_letter(node, source, value, digits, ("F",), f"heads split over {axis}")
        return value.placement
    if node.split == "column":
        walk.need_letter(node, source, value, digits, ("R",), f"all_gather over {axis} before `{node.id}`")
        return value.placement.with_letter(digits, "F")
    walk.need_letter(node, source, value, digits, ("R", "T"), "all_gather of the features")
    return value.placement


def _activation(walk: _Walk, node: AnyNode, data: _Data) -> Tensor:
    source, value = walk.single(node, data)
    walk.need_complete(node, source, value)
    walk.need_content(node, source, value, *ACTIVATIONS)
    return replace(value, content=ACTIVATIONS[value.content])


def _kv_cache_update(walk: _Walk, node: AnyNode, data: _Data) -> Tensor:
    source, value = walk.single(node, data)
    walk.need_complete(node, source, value)
    mla = walk.model.attention.kind == "mla"
    walk.need_content(node, source, value, "latent" if mla else "qkv")
    walk.need_letter(node, source, value, walk.digits.of("cp"), ("R",), "all_gather over cp of the new K and V")
    if mla:
        walk.need_letter(node, source, value, walk.digits.of("tp"), ("R",), "a replicated latent")
    return replace(value, content="latent" if mla else "kv")


def _attention(walk: _Walk, node: AnyNode, data: _Data) -> Tensor:
    assert isinstance(node, AttentionNode)
    needs = _attention_needs(walk, node)
    by_content = {value.content: (source, value) for source, value in data}
    for wanted in needs:
        if wanted not in by_content or len(data) != len(needs):
            found = ", ".join(value.words() for _, value in data) or "nothing"
            needed = " and ".join(Tensor(w, walk.tokens()).words() for w in needs)
            raise walk.stop(node, "content", needed=needed, found=found)
    for source, value in data:
        walk.need_complete(node, source, value)
    source, query = by_content[needs[0]]
    walk.need_letter(node, source, query, walk.digits.of("tp"), ("F",), "heads split over tp")
    for wanted in needs[1:]:
        other_source, other = by_content[wanted]
        tokens = [(d, letter) for d, letter in enumerate(other.placement.letters) if d not in walk.digits.of("tp")]
        if any(
            letter != query.placement.letters[d] and not (d in walk.digits.of("cp") and letter == "R")
            for d, letter in tokens
        ):
            raise walk.stop(
                node,
                "placements",
                source=other_source,
                needed=walk.say(query.placement),
                found=walk.say(other.placement),
            )
    return Tensor("latent_context" if node.form == "absorbed" else "context", query.placement)


def _attention_needs(walk: _Walk, node: AttentionNode) -> tuple[str, ...]:
    if walk.model.attention.kind == "gqa":
        if node.form is not None:
            raise walk.stop(node, "content", needed="no `form` (only MLA has two)", found=f"form={node.form}")
        return ("qkv", "kv_state")
    if node.form is None:
        raise walk.stop(node, "content", needed="form: expanded or absorbed", found="no form")
    return ("query", "expanded_kv", "kv_state") if node.form == "expanded" else ("absorbed_query", "kv_state")


def _add(walk: _Walk, node: AnyNode, data: _Data) -> Tensor:
    if len(data) < 2:
        raise walk.stop(node, "content", needed="two inputs or more", found=f"{len(data)}")
    for source, value in data:
        walk.need_content(node, source, value, "residual", "delta")
    residuals = [value for _, value in data if value.content == "residual"]
    if residuals:
        for source, value in data:
            walk.need_complete(node, source, value)
    first_source, first = data[0]
    for source, value in data[1:]:
        if value.placement != first.placement:
            raise _differing(walk, node, first_source, first, source, value)
    if len(residuals) > 1:
        raise walk.stop(node, "content", needed="one residual stream", found=f"{len(residuals)}")
    weighted = all(value.weighted for _, value in data)
    if residuals and not weighted:
        raise walk.stop(node, "router_weight", needed="applied once", found="never applied")
    parts = _joined(walk, node, data)
    made = next((v for _, v in data if v.producer), first)
    if residuals and parts == walk.parts_of_layer(walk.kind or "dense"):
        parts = frozenset()
    content = "residual" if residuals else "delta"
    return Tensor(content, first.placement, parts, made.producer, made.producer_node, weighted=weighted)


def _joined(walk: _Walk, node: AnyNode, data: _Data) -> frozenset[str]:
    """Parts of all inputs, each of which may occur once; attention is added before the FFN reads the stream."""
    parts: frozenset[str] = frozenset()
    for source, value in data:
        if parts & value.parts:
            raise walk.stop(
                node,
                "content",
                source=source,
                needed="each sub-layer added once",
                found=f"{value.words()} a second time",
            )
        parts |= value.parts
    if any(v.content == "residual" for _, v in data) and "attention" not in parts:
        raise walk.stop(
            node,
            "content",
            needed="the residual stream with attention of this layer",
            found=" and ".join(v.words() for _, v in data),
        )
    return parts


def _differing(walk: _Walk, node: AnyNode, first_source: str, first: Tensor, source: str, value: Tensor) -> _StopNode:
    """Two inputs that lie differently: an unreduced sum among complete values, or shards among whole tensors."""
    for name, one in ((first_source, first), (source, value)):
        other = value if one is first else first
        on = tuple(
            d for d, letter in enumerate(one.placement.letters) if letter == "P" and other.placement.letters[d] != "P"
        )
        if on:
            axis = walk.digits.named(on)
            return walk.stop(node, "partial", axis=axis, source=name, producer=one.producer, producer_node=one.producer_node,
                             needed=walk.say(other.placement), found=walk.say(one.placement), repair=f"all_reduce over {axis}")  # fmt: skip
    return walk.stop(
        node, "placements", source=source, needed=walk.say(first.placement), found=walk.say(value.placement)
    )


def _select_last(walk: _Walk, node: AnyNode, data: _Data) -> Tensor:
    source, value = walk.single(node, data)
    walk.need_complete(node, source, value)
    whole = (*walk.digits.of("tp"), *walk.digits.of("cp"))
    walk.need_letter(node, source, value, whole, ("R", "F"), "all_gather of the tokens")
    return replace(value, last_only=True)


def _sample(walk: _Walk, node: AnyNode, data: _Data) -> Tensor:
    source, value = walk.single(node, data)
    walk.need_complete(node, source, value)
    walk.need_content(node, source, value, "logits")
    everywhere = tuple(range(len(walk.digits.sizes)))
    walk.need_letter(node, source, value, everywhere, ("R", "T"), "all_gather of the vocabulary")
    if walk.phase == "prefill" and not value.last_only:
        raise walk.stop(
            node,
            "content",
            source=source,
            needed="logits of the last position of each sequence",
            found="logits of every position",
        )
    return Tensor("token", value.placement)


def _routing(walk: _Walk, node: AnyNode, data: _Data) -> Tensor:
    source, value = walk.single(node, data)
    walk.need_layer_kind(node, "moe")
    walk.need_whole_features(node, source, value)
    walk.need_content(node, source, value, "normed:ffn_norm")
    return Tensor("routing", value.placement)


def _expert(walk: _Walk, node: AnyNode, data: _Data) -> Tensor:
    assert isinstance(node, Expert)
    walk.need_layer_kind(node, "moe")
    for source, value in data:
        walk.need_complete(node, source, value)
    source, value = _expert_input(walk, node, data)
    inside = walk.digits.of("moe_tp")
    if value.content == "dispatched":
        walk.need_letter(node, source, value, inside, ("R",), "all_gather over moe_tp of the tokens")
        content, partial = "expert_out", inside
    else:
        group = (*walk.digits.of("ep"), *inside)
        walk.need_letter(node, source, value, group, ("R",), "all_to_all (dispatch) over ep")
        content, partial = "delta", group
    return Tensor(
        content, value.placement.with_letter(partial, "P"), frozenset({"experts"}), "expert" if partial else "", node.id,
        home=value.home, weighted=node.apply_router_weight,
    )  # fmt: skip


def _expert_input(walk: _Walk, node: AnyNode, data: _Data) -> tuple[str, Tensor]:
    """Tokens with the router's choice: from a dispatch in one tensor, or side by side."""
    contents = sorted(value.content for _, value in data)
    if contents in (["dispatched"], ["pair"]):
        return data[0]
    if contents == ["normed:ffn_norm", "routing"]:
        (_, first), (source, second) = data
        if first.placement != second.placement:
            raise walk.stop(
                node, "placements", source=source, needed=walk.say(first.placement), found=walk.say(second.placement)
            )
        return next((s, v) for s, v in data if v.content != "routing")
    found = " and ".join(value.words() for _, value in data) or "nothing"
    raise walk.stop(
        node, "content", needed="tokens from a dispatch, or hidden states and the router's choice", found=found
    )


# Communication


def _all_reduce(walk: _Walk, node: AnyNode, data: _Data) -> Tensor:
    assert isinstance(node, AllReduce)
    source, value = walk.single(node, data)
    digits = walk.digits.of(node.axis)
    _need_partial(walk, node, source, value, digits, node.axis)
    placement = value.placement.with_letter(digits, "R")
    return _after_reduce(value, placement)


def _after_reduce(value: Tensor, placement: Placement) -> Tensor:
    left = any(letter == "P" for letter in placement.letters)
    return replace(
        value,
        placement=placement,
        producer=value.producer if left else "",
        producer_node=value.producer_node if left else "",
    )


def _need_partial(walk: _Walk, node: AnyNode, source: str, value: Tensor, digits: tuple[int, ...], axis: str) -> None:
    bad = tuple(d for d in digits if value.placement.letters[d] != "P")
    if bad:
        on = walk.digits.named(bad)
        letter = value.placement.letters[bad[0]]
        raise walk.stop(
            node, "not_partial", axis=axis, letter=letter, source=source, producer=value.producer, needed=f"Partial over {axis}",
            found=f"{WORDS[letter]} over {on}" if letter != "R" else f"a value already complete over {on}",
            repair=_reduce_repair(walk, value),
        )  # fmt: skip


def _reduce_repair(walk: _Walk, value: Tensor) -> str:
    partial = tuple(d for d, letter in enumerate(value.placement.letters) if letter == "P")
    return f"use axis {walk.digits.named(partial)}" if partial else "remove it"


def _reduce_scatter(walk: _Walk, node: AnyNode, data: _Data) -> Tensor:
    assert isinstance(node, ReduceScatter)
    source, value = walk.single(node, data)
    digits = walk.digits.of(node.axis)
    _need_partial(walk, node, source, value, digits, node.axis)
    if not digits:
        return value
    if node.dim != "tokens":
        return _after_reduce(value, value.placement.with_letter(digits, "F"))
    placement = value.placement.cut_rows(digits)
    if placement is None:
        raise walk.stop(node, "order", axis=node.axis, source=source, found=walk.say(value.placement))
    return _after_reduce(value, placement)


def _all_gather(walk: _Walk, node: AnyNode, data: _Data) -> Tensor:
    assert isinstance(node, AllGather)
    source, value = _gather_input(walk, node, data)
    digits = walk.digits.of(node.axis)
    wanted: Letter = "T" if node.dim == "tokens" else "F"
    bad = tuple(d for d in digits if value.placement.letters[d] != wanted)
    if bad:
        walk.need_complete(node, source, value, digits)
        letter = value.placement.letters[bad[0]]
        raise walk.stop(
            node, "not_sharded", axis=node.axis, letter=letter, source=source, needed=f"Shard({node.dim}) over {node.axis}",
            found=f"{WORDS[letter]} over {walk.digits.named(bad)}", repair="remove it" if letter == "R" else f"gather {WORDS[letter]}",
        )  # fmt: skip
    if wanted == "F":
        _need_feature_dim(walk, node, source, value)
        return replace(value, placement=value.placement.with_letter(digits, "R"))
    return replace(value, placement=value.placement.gather_rows(digits))


FEATURE_DIMS = {"logits": "vocab", "qkv": "heads", "query": "heads", "context": "heads", "absorbed_query": "heads", "latent_context": "heads",
                "expanded_kv": "heads", "gate_up": "hidden", "activated": "hidden", "shared_gate_up": "hidden", "shared_activated": "hidden"}  # fmt: skip


def _need_feature_dim(walk: _Walk, node: AllGather, source: str, value: Tensor) -> None:
    dim = FEATURE_DIMS.get(value.content, "hidden")
    if walk.digits.of(node.axis) and node.dim != dim:
        raise walk.stop(
            node,
            "not_sharded",
            axis=node.axis,
            source=source,
            needed=f"Shard({node.dim}) over {node.axis}",
            found=f"Shard({dim})",
        )


def _gather_input(walk: _Walk, node: AllGather, data: _Data) -> tuple[str, Tensor]:
    """One tensor, or hidden states with the router's choice, which then travel together."""
    if len(data) == 2:
        (_, first), (source, second) = data
        hidden = next(((s, v) for s, v in data if v.content == "normed:ffn_norm"), None)
        if {first.content, second.content} != {"normed:ffn_norm", "routing"} or hidden is None:
            raise walk.stop(
                node,
                "content",
                needed="one input, or hidden states and the router's choice",
                found=f"{first.words()} and {second.words()}",
            )
        if first.placement != second.placement:
            raise walk.stop(
                node, "placements", source=source, needed=walk.say(first.placement), found=walk.say(second.placement)
            )
        return hidden[0], replace(hidden[1], content="pair")
    return walk.single(node, data)


def _all_to_all(walk: _Walk, node: AnyNode, data: _Data) -> Tensor:
    assert isinstance(node, AllToAll)
    for source, value in data:
        if value.content != "expert_out":
            walk.need_complete(node, source, value)
    if node.role == "dispatch":
        return _dispatch(walk, node, data)
    if node.role == "combine":
        return _combine(walk, node, data)
    raise walk.stop(node, "content", needed="role dispatch or combine", found=f"role {node.role}")


def _dispatch(walk: _Walk, node: AllToAll, data: _Data) -> Tensor:
    contents = sorted(value.content for _, value in data)
    if contents != ["normed:ffn_norm", "routing"]:
        found = " and ".join(value.words() for _, value in data) or "nothing"
        raise walk.stop(node, "content", needed="hidden states and the router's choice", found=found)
    _, value = _expert_input(walk, node, data)
    if node.axis != "ep" and walk.digits.of(node.axis) != walk.digits.of("ep"):
        raise walk.stop(node, "content", needed="axis ep", found=f"axis {node.axis}")
    digits = walk.digits.of("ep")
    repeated = tuple(d for d in digits if value.placement.letters[d] == "R")
    if repeated:
        walk.report(
            node, "duplicate", axis=walk.digits.named(repeated), repair=f"chunk over {walk.digits.named(repeated)}"
        )
    return Tensor("dispatched", value.placement.with_letter(digits, "E"), home=value.placement, weighted=False)


def _combine(walk: _Walk, node: AllToAll, data: _Data) -> Tensor:
    outputs = [(source, value) for source, value in data if value.content == "expert_out"]
    routing = [value for _, value in data if value.content == "routing"]
    if len(outputs) != 1 or len(data) != len(outputs) + len(routing) or len(routing) != 1:
        found = " and ".join(value.words() for _, value in data) or "nothing"
        raise walk.stop(node, "content", needed="expert outputs and the router's choice", found=found)
    source, value = outputs[0]
    digits = walk.digits.of("ep")
    if node.axis != "ep" and walk.digits.of(node.axis) != digits:
        raise walk.stop(node, "content", needed="axis ep", found=f"axis {node.axis}")
    assert value.home is not None
    if routing[0].placement != value.home:
        raise walk.stop(
            node, "placements", source=source, needed=walk.say(value.home), found=walk.say(routing[0].placement)
        )
    placement = _returned(value, value.home, digits)
    if placement is None:
        raise walk.stop(node, "placements", source=source, needed=walk.say(value.home), found=walk.say(value.placement))
    return Tensor("delta", placement, value.parts, value.producer, value.producer_node, weighted=True)


def _returned(value: Tensor, home: Placement, ep_digits: tuple[int, ...]) -> Placement | None:
    """Where outputs lie once back at their tokens: as before dispatch, or still to be summed over ranks that had the same tokens."""
    letters: list[Letter] = []
    for d, before in enumerate(home.letters):
        after = value.placement.letters[d]
        if d not in ep_digits and after != before and not (after == "P" and before == "R"):
            return None
        letters.append(before if d in ep_digits else after)
    same_rows = (value.placement.rows, value.placement.cut) == (home.rows, home.cut)
    return replace(home, letters=tuple(letters)) if same_rows else None


def _chunk(walk: _Walk, node: AnyNode, data: _Data) -> Tensor:
    assert isinstance(node, Chunk)
    source, value = walk.single(node, data)
    digits = walk.digits.of(node.axis)
    walk.need_letter(node, source, value, digits, ("R",), "remove it")
    placement = value.placement.cut_rows(digits) if digits else value.placement
    if placement is None:
        raise walk.stop(node, "order", axis=node.axis, source=source, found=walk.say(value.placement))
    return replace(value, placement=placement)


def _broadcast(walk: _Walk, node: AnyNode, data: _Data) -> Tensor:
    assert isinstance(node, Broadcast)
    source, value = walk.single(node, data)
    walk.need_letter(node, source, value, walk.digits.of(node.axis), ("R",), "remove it")
    return value


def _send(walk: _Walk, node: AnyNode, data: _Data) -> Tensor:
    source, value = walk.single(node, data)
    walk.need_complete(node, source, value)
    return value


def _recv(walk: _Walk, node: AnyNode, data: _Data) -> Tensor:
    return walk.single(node, data)[1]


_OPS: dict[str, Callable[[_Walk, AnyNode, _Data], Tensor]] = {
    "ingress": _ingress,
    "step_sync": _step_sync,
    "embedding": _embedding,
    "norm": _norm,
    "linear": _linear,
    "activation": _activation,
    "kv_cache_update": _kv_cache_update,
    "attention": _attention,
    "add": _add,
    "select_last": _select_last,
    "sample": _sample,
    "routing": _routing,
    "expert": _expert,
    "all_reduce": _all_reduce,
    "reduce_scatter": _reduce_scatter,
    "all_gather": _all_gather,
    "all_to_all": _all_to_all,
    "chunk": _chunk,
    "broadcast": _broadcast,
    "send": _send,
    "recv": _recv,
}
