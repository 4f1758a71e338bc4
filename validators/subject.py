"""What a rule looks at: a DAG, its model, and the request it answers when there is one."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from strategy.dag import AnyNode, Block, Branch, Dag, Stamp, stamps
from strategy.model import ModelSpec
from strategy.request import Problem
from strategy.strategy import Phase, Pool

if TYPE_CHECKING:
    from validators.typing_pass import Typing

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
