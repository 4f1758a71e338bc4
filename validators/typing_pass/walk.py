"""The walk: every block in every use it is put to, the residual stream from block to block."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

from strategy.dag import AnyNode, Block, edges
from strategy.model import FfnKind
from strategy.placement import Placement, refine
from strategy.strategy import Phase
from validators.subject import Subject
from validators.typing_pass.communication import COMMUNICATION
from validators.typing_pass.compute import COMPUTE
from validators.typing_pass.site import Site, StopNode
from validators.typing_pass.tensors import Mismatch, Tensor, Typing

OPS = {**COMPUTE, **COMMUNICATION}
READS_CACHE = frozenset({"attention", "attention_merge"})
"""Ops to which a sync edge from a cache update brings the cache; for all others it is an order."""


def type_dag(subject: Subject) -> Typing:
    """Type every block in every use it is put to. Needs a DAG whose structure, degrees and meshes are sound."""
    found: dict[tuple[str, str, str, str], Mismatch] = {}
    outputs: dict[tuple[Phase, str], Placement] = {}
    nodes: dict[tuple[Phase, str, str], Placement] = {}
    for phase, branch, _ in subject.branches():
        pool = subject.dag.strategy.pool_for(phase)
        digits = refine(pool)
        if digits is None:
            continue
        walk = Walk(subject, phase, pool, digits)
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
        nodes.update(walk.nodes)
        for m in walk.mismatches:
            found.setdefault((m.kind, m.path, m.axis, m.needed), m)
    return Typing(tuple(found.values()), outputs, nodes)


class Walk(Site):
    """Types the blocks of one branch."""

    caches: AbstractSet[str] = frozenset()
    """Nodes of the block at hand whose value is the cache."""

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

    def checked(self, name: str, out: Tensor | None, expected: Tensor, kind: FfnKind | None) -> Tensor:
        """Report a block that does not leave `expected`, and go on from there."""
        if out is not None and (out.content != expected.content or out.parts != expected.parts):
            self._stream(name, expected.words(), out.words(), kind)
        elif out is not None and out.last_only:
            self._stream(name, "every position of the prompt", "the last position of each sequence", kind)
        elif out is not None and out.placement != expected.placement:
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
        values: dict[str, Tensor | None] = {"in": stream}
        self.caches = {node.id for node in block.nodes if node.op == "kv_cache_update"}
        for node in _in_order(block):
            values[node.id] = self._typed(node, values)
        self.nodes.update(((self.phase, name, node), v.placement) for node, v in values.items() if v is not None)
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
