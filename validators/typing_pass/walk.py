"""The walk: every block in every use it is put to, the residual stream from block to block."""

from collections.abc import Hashable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

from strategy.dag import AnyNode, Block, Branch, edges
from strategy.layers import FfnKind, MixerKind
from strategy.placement import Digits, Placement, refine
from strategy.strategy import Phase, Pool
from validators.block_graph import MOST_NODES
from validators.subject import Subject
from validators.typing_pass.communication import COMMUNICATION
from validators.typing_pass.compute import COMPUTE
from validators.typing_pass.site import Site, StopNode
from validators.typing_pass.tensors import Mismatch, Tensor, Typing

OPS = {**COMPUTE, **COMMUNICATION}
READS_CACHE = frozenset({"attention", "attention_merge"})
"""Ops to which a sync edge from a cache update brings the cache; for all others it is an order."""

Values = dict[str, Tensor | None]
"""By node of a block what it yields, None where that could not be typed; `in` is the stream that it reads."""
MAX_KNOWN = 2_048
"""Uses of blocks that are remembered."""
_SOUND: dict[Hashable, Values] = {}
"""What the nodes of a block yield in a use in which nothing was wrong, by all that it depends on."""


def type_dag(subject: Subject) -> Typing:
    """Type every block in every use it is put to. Needs a DAG whose structure, degrees and meshes are sound.

    A branch is judged with the residual stream lying everywhere as the strategy implies, which names a mistake where it was made.
    Only where a block leaves the stream otherwise is the stream followed from layer to layer as it really lies: when that meets
    nothing, the branch is sound all the same.
    """
    found: dict[tuple[str, str, str, str], Mismatch] = {}
    outputs: dict[tuple[Phase, str], Placement] = {}
    nodes: dict[tuple[Phase, str, str], Placement] = {}
    for phase, branch, _ in subject.branches():
        pool = subject.dag.strategy.pool_for(phase)
        digits = refine(pool)
        if digits is None:
            continue
        walk = Walk(subject, phase, pool, digits)
        walk.branch(branch)
        if walk.strayed:
            follower = Walk(subject, phase, pool, digits, follows=True)
            follower.branch(branch)
            walk = walk if follower.mismatches else follower
        outputs.update(walk.outputs)
        nodes.update(walk.nodes)
        for m in walk.mismatches:
            found.setdefault((m.kind, m.path, m.axis, m.needed), m)
    return Typing(tuple(found.values()), outputs, nodes)


class Walk(Site):
    """Types the blocks of one branch."""

    caches: AbstractSet[str] = frozenset()
    """Nodes of the block at hand whose value is the cache."""

    def __init__(self, subject: Subject, phase: Phase, pool: Pool, digits: Digits, *, follows: bool = False) -> None:
        super().__init__(subject, phase, pool, digits)
        self.follows = follows
        """Whether the stream may lie otherwise from block to block, as long as each reader finds what it needs."""
        self.strayed = False
        """Whether a block left the stream complete, but not where the strategy has it."""
        self.layers_known: dict[tuple[tuple[str, ...], tuple[MixerKind, FfnKind], Placement], Placement] = {}

    def branch(self, branch: Branch) -> None:
        """Embedding, layers, boundaries, head."""
        stream = self.checked(branch.embed, self.use(branch.embed, self.ids(), None), self.entry(), None)
        stream = self._followed(branch, stream) if self.follows else self._as_implied(branch, stream)
        self.checked_token(branch.head, self.use(branch.head, stream, None))

    def _as_implied(self, branch: Branch, stream: Tensor) -> Tensor:
        """Each stamp once for each kind of layer, and the boundary once."""
        for stamp in branch.layers:
            layers = range(stamp.range[0], min(stamp.range[1], self.model.num_layers))
            for kinds in sorted({self.model.layer_kind(layer) for layer in layers}):
                stream = self._known_layer(stamp.blocks, kinds, stream)
        if branch.boundary is not None and self.pool.pp_size > 1:
            self.checked(branch.boundary, self.use(branch.boundary, stream, None), stream, None)
        return stream

    def _followed(self, branch: Branch, stream: Tensor) -> Tensor:
        """Every layer and every crossing in turn."""
        starts = {start for start, _ in self.pool.stages[1:]}
        for stamp in branch.layers:
            for layer in range(stamp.range[0], min(stamp.range[1], self.model.num_layers)):
                if layer in starts and branch.boundary is not None:
                    stream = self.checked(branch.boundary, self.use(branch.boundary, stream, None), stream, None)
                stream = self._known_layer(stamp.blocks, self.model.layer_kind(layer), stream)
        return stream

    def _known_layer(self, blocks: tuple[str, ...], kinds: tuple[MixerKind, FfnKind], stream: Tensor) -> Tensor:
        key = (blocks, kinds, stream.placement)
        if key not in self.layers_known:
            self.mixer, kind = kinds
            self.layers_known[key] = self.layer(blocks, kind, stream).placement
            self.mixer = None
        return replace(stream, placement=self.layers_known[key])

    def entry(self) -> Tensor:
        """The residual stream as the first layer should read it."""
        placement = self.tokens()
        if self.phase == "prefill" and self.pool.sp_kind == "megatron" and self.digits.of("tp"):
            cut = placement.cut_rows(self.digits.of("tp"))
            placement = cut or placement
        return Tensor("residual", placement)

    def layer(self, blocks: Sequence[str], kind: FfnKind, stream: Tensor) -> Tensor:
        """Type one layer and return the stream that leaves it."""
        current, whole = stream, self.parts_of_layer(kind)
        for index, name in enumerate(blocks):
            out = self.use(name, current, kind)
            due = whole if index == len(blocks) - 1 else frozenset()
            if out is not None and self._is_stream(name, out, current, due, kind):
                current = out
            else:
                current = replace(current, parts=due or frozenset({"attention"}))
        if current.placement != stream.placement and not self._strays(current.placement):
            self._stream(blocks[-1], self.say(stream.placement), self.say(current.placement), kind)
            current = stream
        return replace(current, parts=frozenset())

    def _is_stream(self, name: str, out: Tensor, before: Tensor, due: frozenset[str], kind: FfnKind) -> bool:
        """Whether a block of a layer leaves the residual stream with a sub-layer added, and with all that is due."""
        if out.content != "residual":
            self._stream(name, "the residual stream", out.words(), kind)
        elif out.parts == before.parts:
            self._stream(name, "the residual stream with a sub-layer added", "the residual stream as it came in", kind)
        elif due - out.parts:
            self._stream(
                name, f"{' and '.join(sorted(due - out.parts))} added to the residual stream", out.words(), kind
            )
        else:
            return True
        return False

    def _strays(self, placement: Placement) -> bool:
        """Whether a stream that lies otherwise than it should is let pass: a complete one, when streams are followed."""
        complete = "P" not in placement.letters
        self.strayed |= complete
        return self.follows and complete

    def checked(self, name: str, out: Tensor | None, expected: Tensor, kind: FfnKind | None) -> Tensor:
        """Report a block that does not leave `expected`, and go on from there."""
        if out is not None and (out.content != expected.content or out.parts != expected.parts):
            self._stream(name, expected.words(), out.words(), kind)
        elif out is not None and out.last_only:
            self._stream(name, "every position of the prompt", "the last position of each sequence", kind)
        elif out is not None and out.placement != expected.placement:
            if self._strays(out.placement):
                return replace(expected, placement=out.placement)
            self._block_placement(name, out, expected, kind)
        return expected

    def _block_placement(self, name: str, out: Tensor, expected: Tensor, kind: FfnKind | None) -> None:
        partial = [d for d, letter in enumerate(out.placement.letters) if letter == "P"]
        block = self.subject.dag.block(name)
        if block is None:
            return
        self.block, self.kind = block, kind
        node = next((n for n in block.nodes if n.id == block.output), block.nodes[-1])
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
        own = self.tokens()
        if self.phase == "prefill":
            own = own.gather_rows(self.digits.of("cp")) if "T" in own.on(self.digits.of("cp")) else own
        if out.placement != own:
            self._owners(name, own, out.placement)

    def _owners(self, name: str, own: Placement, found: Placement) -> None:
        """Ranks that sample other sequences than their own."""
        block = self.subject.dag.block(name)
        if block is None:
            return
        self.block, self.kind = block, None
        node = next((n for n in block.nodes if n.id == block.output), block.nodes[-1])
        differ = tuple(d for d, letter in enumerate(own.letters) if letter != found.letters[d])
        self.report(node, "owners", axis=self.digits.named(differ), needed=self.say(own), found=self.say(found))

    def use(self, name: str, stream: Tensor, kind: FfnKind | None) -> Tensor | None:
        """Type a block that reads `stream`; None when its output could not be typed."""
        block = self.subject.dag.block(name)
        if block is None:
            return None
        self.block, self.kind = block, kind
        values = self._values(block, stream)
        self.nodes.update(((self.phase, name, node), v.placement) for node, v in values.items() if v is not None)
        out = values.get(block.output)
        if out is not None:
            self.outputs[self.phase, name] = out.placement
        return out

    def _values(self, block: Block, stream: Tensor) -> Values:
        """What the nodes of a block yield, remembered where there was nothing to report: planned DAGs are made of the same few blocks."""
        use = (block, stream, self.model, self.phase, self.pool, self.kind, self.mixer)
        if (known := _SOUND.get(use)) is not None:
            return known
        values: Values = {"in": stream}
        self.caches = {node.id for node in block.nodes if node.op == "kv_cache_update"}
        reported = len(self.mismatches)
        for node in _in_order(block):
            values[node.id] = self._typed(node, values)
        if len(self.mismatches) == reported and len(block.nodes) <= MOST_NODES:
            if len(_SOUND) >= MAX_KNOWN:
                _SOUND.clear()
            _SOUND[use] = values
        return values

    def _typed(self, node: AnyNode, values: Values) -> Tensor | None:
        data: list[tuple[str, Tensor]] = []
        for edge in edges(node):
            value = values.get(edge.source)
            if value is None:
                return None
            if edge.kind == "sync" and edge.source not in self.caches:
                continue
            if value.content == "sync":
                self.report(
                    node, "content", source=edge.source, needed="a value", found="a step_sync, which yields none"
                )
                return None
            state = edge.kind == "sync"
            if state and node.op not in READS_CACHE:
                continue
            data.append((edge.source, replace(value, content="kv_state") if state else value))
        try:
            return OPS[node.op](self, node, data)
        except StopNode:
            return None

    def _stream(self, name: str, needed: str, found: str, kind: FfnKind | None) -> None:
        block = self.subject.dag.block(name)
        if block is None:
            return
        self.block, self.kind = block, kind
        node = next((n for n in block.nodes if n.id == block.output), block.nodes[-1])
        self.report(node, "stream", needed=needed, found=found)


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
