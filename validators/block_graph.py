"""Questions about the small graph inside one block, and about who uses the block. Safe on cyclic or dangling graphs."""

from collections.abc import Iterator

from strategy.dag import AnyNode, Block, edges
from strategy.mesh import Axis
from strategy.ops import COLLECTIVES, op_kind
from strategy.placement import refine
from strategy.strategy import Phase, Pool
from validators.subject import PHASES, Subject


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

    def _data_sources(self, node: AnyNode) -> list[str]:
        return [edge.source for edge in edges(node) if edge.kind == "data" and edge.source in self.nodes]

    def path_of(self, node: AnyNode) -> str:
        """JSON pointer of a node."""
        return f"{self.path}/nodes/{self._places[node.id]}"

    def of_op(self, *ops: str) -> list[AnyNode]:
        """Nodes of these ops, in document order."""
        return [node for node in self.block.nodes if node.op in ops]

    def upstream(self, node_id: str) -> list[AnyNode]:
        """Every node whose value `node_id` depends on, nearest first."""
        return self._reach(node_id, self.sources)

    def downstream(self, node_id: str) -> list[AnyNode]:
        """Every node that depends on the value of `node_id`, nearest first."""
        return self._reach(node_id, self.consumers)

    def producers(self, node_id: str) -> list[AnyNode]:
        """The nearest nodes upstream that are not communication or chunks: what the value was computed by."""
        return self._reach_computed(node_id, self.sources)

    def users(self, node_id: str) -> list[AnyNode]:
        """The nearest nodes downstream that are not communication or chunks: what the value is computed into."""
        return self._reach_computed(node_id, self.consumers)

    def _reach(self, start: str, step: dict[str, list[str]]) -> list[AnyNode]:
        seen: dict[str, None] = {}
        queue = list(step[start])
        while queue:
            node_id = queue.pop(0)
            if node_id not in seen:
                seen[node_id] = None
                queue += step[node_id]
        return [self.nodes[node_id] for node_id in seen]

    def _reach_computed(self, start: str, step: dict[str, list[str]]) -> list[AnyNode]:
        seen: dict[str, None] = {}
        found: list[AnyNode] = []
        queue = list(step[start])
        while queue:
            node_id = queue.pop(0)
            if node_id in seen:
                continue
            seen[node_id] = None
            if moves_only(self.nodes[node_id]):
                queue += step[node_id]
            else:
                found.append(self.nodes[node_id])
        return found


def moves_only(node: AnyNode) -> bool:
    """Whether a node brings values elsewhere without computing with them."""
    return op_kind(node.op) == "communication" or node.op == "chunk"


def collective_axis(node: AnyNode) -> Axis | None:
    """Axis of a collective, or None for every other node."""
    axis: Axis | None = getattr(node, "axis", None) if node.op in COLLECTIVES else None
    return axis


def role_of(node: AnyNode) -> str | None:
    """Whether a collective dispatches tokens to experts or combines what comes back."""
    return getattr(node, "role", None)


def weight_of(node: AnyNode) -> str | None:
    """Weight that a linear or norm names."""
    return getattr(node, "weight", None)


def graphs(subject: Subject) -> Iterator[BlockGraph]:
    """The graph of every block, in document order."""
    for index, block in enumerate(subject.dag.blocks):
        yield BlockGraph(block, index)


def phases_of(subject: Subject, block: str) -> list[Phase]:
    """Phases whose branch stamps `block`."""
    return [phase for phase in PHASES if block in subject.block_names(phase)]


def pools_of(subject: Subject, block: str) -> list[Pool]:
    """Pools on which `block` runs, each once."""
    pools = {p.name: p for p in (subject.dag.strategy.pool_for(phase) for phase in phases_of(subject, block))}
    return list(pools.values())


def crosses_replicas(pool: Pool, axis: Axis) -> bool:
    """Whether groups of `axis` hold ranks of several attention replicas."""
    digits = refine(pool)
    return digits is not None and bool(set(digits.of(axis)) & set(digits.of("dp")))
