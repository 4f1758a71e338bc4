"""What a rule looks at: a DAG, its model, and the request it answers when there is one."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from strategy.dag import AnyNode, Block, Branch, Dag, Stamp, stamps
from strategy.model import ModelSpec
from strategy.request import Problem
from strategy.result import Proof
from strategy.strategy import Phase, Pool
from validators.claims import NO_CLAIMS, Claims

if TYPE_CHECKING:
    from validators.block_graph import BlockGraph
    from validators.estimates import Fault as EstimateFault
    from validators.layouts import Fault as LayoutFault
    from validators.links import Links
    from validators.typing_pass import Mismatch, Typing

PHASES: tuple[Phase, ...] = ("prefill", "decode")


class Place(NamedTuple):
    """A template node and where it stands in the document."""

    block: Block
    node: AnyNode
    path: str
    """JSON pointer of the node."""


@dataclass(frozen=True)
class Subject:
    """A DAG under judgement. `problem` is None when no request came with it: rules about a cluster then have nothing to say."""

    dag: Dag
    model: ModelSpec
    problem: Problem | None = None
    claims: Claims = NO_CLAIMS
    """What the document says beside the DAG: ranks written out, a deployment, an estimate, accepted warnings."""

    @cached_property
    def layout_faults(self) -> "tuple[LayoutFault, ...]":
        """Differences between written ranks and those of the strategy, found once for all rules."""
        from validators.layouts import layout_faults

        return layout_faults(self)

    @cached_property
    def estimate_faults(self) -> "tuple[EstimateFault, ...]":
        """Figures of an estimate that cannot be right, found once for all rules."""
        from validators.estimates import estimate_faults

        return estimate_faults(self)

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """Every template node with its pointer."""
        return tuple(
            Place(block, node, f"/blocks/{b}/nodes/{n}")
            for b, block in enumerate(self.dag.blocks)
            for n, node in enumerate(block.nodes)
        )

    @cached_property
    def typing(self) -> "Typing":
        """The typing pass, run once however many rules read it."""
        from validators.typing_pass import type_dag

        return type_dag(self)

    @cached_property
    def mismatches_by_code(self) -> "dict[str, list[Mismatch]]":
        """What the typing pass met, by the code of the rule that speaks of it, in the order in which it was met."""
        from validators.mismatches import by_code

        return by_code(self)

    @cached_property
    def links(self) -> "Links":
        """The links, read once for all rules."""
        from validators.links import Links

        return Links(self)

    @cached_property
    def graphs(self) -> "tuple[BlockGraph, ...]":
        """The graph of every block, in document order."""
        from validators.block_graph import block_graph

        return tuple(block_graph(block, index) for index, block in enumerate(self.dag.blocks))

    def reads(self, block: Block) -> dict[str, list[str]]:
        """As `order.sources`, of a block of this DAG."""
        return self._reads[id(block)]

    @cached_property
    def _reads(self) -> dict[int, dict[str, list[str]]]:
        from validators.order import sources

        return {id(block): sources(block) for block in self.dag.blocks}

    @cached_property
    def proof(self) -> Proof:
        """The DAG run on virtual ranks against one device, once. A DAG that cannot run has a failed proof."""
        from validators.proofs import proof_of

        return proof_of(self.dag, self.model)

    @property
    def proof_if_run(self) -> Proof | None:
        """The proof, if a rule asked for it."""
        return self.__dict__.get("proof")

    @cached_property
    def by_name(self) -> dict[tuple[str, str], Place]:
        """Template nodes by block name and id; the first of several."""
        found: dict[tuple[str, str], Place] = {}
        for place in self.places:
            found.setdefault((place.block.name, place.node.id), place)
        return found

    def places_of(self, block: str) -> tuple[Place, ...]:
        """Nodes of a block by its name; none when there is no such block."""
        return self._places_by_block.get(block, ())

    @cached_property
    def _places_by_block(self) -> dict[str, tuple[Place, ...]]:
        found: dict[str, list[Place]] = {}
        for place in self.places:
            found.setdefault(place.block.name, []).append(place)
        return {name: tuple(places) for name, places in found.items()}

    def places_of_op(self, block: str, op: str) -> tuple[Place, ...]:
        """Nodes of one op in a block, in document order."""
        return self._places_by_op.get((block, op), ())

    @cached_property
    def _places_by_op(self) -> dict[tuple[str, str], tuple[Place, ...]]:
        found: dict[tuple[str, str], list[Place]] = {}
        for place in self.places:
            found.setdefault((place.block.name, place.node.op), []).append(place)
        return {key: tuple(places) for key, places in found.items()}

    def block_names(self, phase: Phase) -> frozenset[str]:
        """Names of the blocks that a branch uses, the boundary among them."""
        return self._block_names[phase]

    @cached_property
    def _block_names(self) -> dict[Phase, frozenset[str]]:
        names = {}
        for phase, branch, _ in self.branches():
            layers = {name for stamp in branch.layers for name in stamp.blocks}
            names[phase] = frozenset({*layers, branch.embed, branch.head, *filter(None, [branch.boundary])})
        return names

    def pools_of(self, block: str) -> tuple[Pool, ...]:
        """Pools on which a block runs, each once."""
        return self._pools_by_block.get(block, ())

    @cached_property
    def _pools_by_block(self) -> dict[str, tuple[Pool, ...]]:
        found: dict[str, dict[str, Pool]] = {}
        for phase, names in self._block_names.items():
            pool = self.dag.strategy.pool_for(phase)
            for name in names:
                found.setdefault(name, {})[pool.name] = pool
        return {name: tuple(pools.values()) for name, pools in found.items()}

    def pools(self) -> Iterator[tuple[str, Pool]]:
        """Every pool with its JSON pointer."""
        for index, pool in enumerate(self.dag.strategy.pools):
            yield f"/strategy/pools/{index}", pool

    def branches(self) -> Iterator[tuple[Phase, Branch, str]]:
        """Both branches with their JSON pointers."""
        for phase in PHASES:
            yield phase, self.dag.branch(phase), f"/branches/{phase}"

    def stamped(self, phase: Phase) -> tuple[Stamp, ...]:
        """Every use of a block in the branch of a phase."""
        return self._stamped[phase]

    @cached_property
    def _stamped(self) -> dict[Phase, tuple[Stamp, ...]]:
        return {phase: tuple(stamps(self.dag.branch(phase))) for phase in PHASES}
