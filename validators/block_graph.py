"""Questions about the small graph inside one block, and about who uses the block. Safe on cyclic or dangling graphs."""

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, lru_cache
from types import MappingProxyType

from strategy.dag import AnyNode, Block, edges
from strategy.mesh import AXES, Axis
from strategy.ops import COLLECTIVES, op_kind
from strategy.placement import refine
from strategy.strategy import Phase, Pool
from validators.order import topological
from validators.subject import PHASES, Subject

MOST_NODES = 64
"""Of a block about which answers are remembered: plans are made of few small blocks, which return from document to document."""


class BlockGraph:
    """Data edges of one block, both ways. The residual stream `in` is not a node of it."""

    def __init__(self, block: Block, index: int = 0) -> None:
        self.block = block
        self.path = f"/blocks/{index}"
        """JSON pointer of the block."""
        self.nodes: dict[str, AnyNode] = {node.id: node for node in block.nodes}
        self.sources: dict[str, list[str]] = {node.id: self._data_sources(node) for node in block.nodes}
        self.consumers: dict[str, list[str]] = {node_id: [] for node_id in self.nodes}
        for node_id, sources in self.sources.items():
            for source in sources:
                self.consumers[source].append(node_id)
        self._places = {node.id: place for place, node in enumerate(block.nodes)}
        self._ops: dict[tuple[str, ...], int] = {}
        self._chosen: dict[frozenset[str], int] = {}

    def _data_sources(self, node: AnyNode) -> list[str]:
        return [edge.source for edge in edges(node) if edge.kind == "data" and edge.source in self.nodes]

    def path_of(self, node: AnyNode) -> str:
        """JSON pointer of a node."""
        return f"{self.path}/nodes/{self._places[node.id]}"

    def of_op(self, *ops: str) -> list[AnyNode]:
        """Nodes of these ops, in document order."""
        return [node for node in self.block.nodes if node.op in ops]

    def upstream(self, node_id: str, *ops: str) -> list[AnyNode]:
        """Nodes (of these ops, if any are named) whose value `node_id` depends on, in document order."""
        return self._listed(self._behind[node_id], ops)

    def downstream(self, node_id: str, *ops: str) -> list[AnyNode]:
        """Nodes (of these ops, if any are named) that depend on the value of `node_id`, in document order."""
        return self._listed(self._ahead[node_id], ops)

    def producers(self, node_id: str) -> list[AnyNode]:
        """The nearest nodes upstream that are not communication or chunks: what the value was computed by."""
        return self._listed(self._made_by[node_id], ())

    def users(self, node_id: str) -> list[AnyNode]:
        """The nearest nodes downstream that are not communication or chunks: what the value is computed into."""
        return self._listed(self._used_by[node_id], ())

    def near(self, node_id: str, wanted: frozenset[str]) -> bool:
        """Whether any producer or user of a node is in `wanted`."""
        if wanted not in self._chosen:
            self._chosen[wanted] = sum(1 << self._places[name] for name in wanted)
        return bool((self._made_by[node_id] | self._used_by[node_id]) & self._chosen[wanted])

    # Sets of nodes are integers with a bit for each place in the document: one `|` joins two sets of thousands of nodes.

    @cached_property
    def _behind(self) -> dict[str, int]:
        return self._sets(self.sources, through=lambda _: True, keep=lambda _: True)

    @cached_property
    def _ahead(self) -> dict[str, int]:
        return self._sets(self.consumers, through=lambda _: True, keep=lambda _: True)

    @cached_property
    def _made_by(self) -> dict[str, int]:
        return self._sets(self.sources, through=moves_only, keep=lambda node: not moves_only(node))

    @cached_property
    def _used_by(self) -> dict[str, int]:
        return self._sets(self.consumers, through=moves_only, keep=lambda node: not moves_only(node))

    def _sets(
        self, step: dict[str, list[str]], *, through: Callable[[AnyNode], bool], keep: Callable[[AnyNode], bool]
    ) -> dict[str, int]:
        """For each node those that steps lead to, past `through` nodes; nothing for nodes on or behind a cycle (DG003 tells it)."""
        found = dict.fromkeys(self.nodes, 0)
        for node_id in topological(step):
            for other in step[node_id]:
                node = self.nodes[other]
                found[node_id] |= (1 << self._places[other] if keep(node) else 0) | (
                    found[other] if through(node) else 0
                )
        return found

    def _listed(self, members: int, ops: tuple[str, ...]) -> list[AnyNode]:
        if ops:
            if ops not in self._ops:
                self._ops[ops] = sum(1 << place for place, node in enumerate(self.block.nodes) if node.op in ops)
            members &= self._ops[ops]
        found: list[AnyNode] = []
        while members:
            lowest = members & -members
            found.append(self.block.nodes[lowest.bit_length() - 1])
            members ^= lowest
        return found


def block_graph(block: Block, index: int) -> BlockGraph:
    """The graph of the block at `index`; that of a small block is remembered with all that was asked of it."""
    return _small_graph(block, index) if len(block.nodes) <= MOST_NODES else BlockGraph(block, index)


@lru_cache(maxsize=512)
def _small_graph(block: Block, index: int) -> BlockGraph:
    return BlockGraph(block, index)


def moves_only(node: AnyNode) -> bool:
    """Whether a node brings values elsewhere without computing with them."""
    return op_kind(node.op) == "communication" or node.op == "chunk"


def feeds_cache(graph: BlockGraph, node_id: str) -> bool:
    """Whether what a node yields goes into the cache and nowhere else."""
    return {user.op for user in graph.users(node_id)} == {"kv_cache_update"}


def collective_axis(node: AnyNode) -> Axis | None:
    """Axis of a collective, or None for every other node."""
    axis: Axis | None = vars(node).get("axis") if node.op in COLLECTIVES else None
    return axis


def role_of(node: AnyNode) -> str | None:
    """Whether a collective dispatches tokens to experts or combines what comes back."""
    return vars(node).get("role")


def weight_of(node: AnyNode) -> str | None:
    """Weight that a linear or norm names."""
    return vars(node).get("weight")


def graphs(subject: Subject) -> tuple[BlockGraph, ...]:
    """The graph of every block, in document order; made once for all rules."""
    return subject.graphs


def phases_of(subject: Subject, block: str) -> list[Phase]:
    """Phases whose branch stamps `block`."""
    return [phase for phase in PHASES if block in subject.block_names(phase)]


def replica_axes(pools: Iterable[Pool]) -> Mapping[Axis, int]:
    """Axes whose groups hold ranks of several attention replicas in one of the pools, with how many replicas that has."""
    return _replica_axes(tuple(pools))


@lru_cache(maxsize=256)
def _replica_axes(pools: tuple[Pool, ...]) -> Mapping[Axis, int]:
    found: dict[Axis, int] = {}
    for pool in pools:
        if pool.attention.dp_size > 1:
            found |= {
                axis: pool.attention.dp_size for axis in AXES if axis not in found and crosses_replicas(pool, axis)
            }
    return MappingProxyType(found)


def crosses_replicas(pool: Pool, axis: Axis) -> bool:
    """Whether groups of `axis` hold ranks of several attention replicas."""
    digits = refine(pool)
    return digits is not None and bool(set(digits.of(axis)) & set(digits.of("dp")))
