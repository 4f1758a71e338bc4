"""CM001."""

from collections.abc import Iterator

from strategy.mesh import axis_size
from validators.block_graph import collective_axis
from validators.examples import dense, edit, example
from validators.registry import Hit, rule
from validators.subject import PHASES, Subject


@rule(
    code="CM001",
    stage="graph",
    severity="warning",
    message="block `{block}`: `{node}` is a collective over {axis}, which has one rank in {phase}",
    hint="delete `{node}`: an axis of one rank has no collectives",
    sources=("vllm: model_executor/layers/linear.py:1817",),
    knowledge="combinations.md#degree-one-does-not-exist",
    requires=frozenset({"DG001"}),
    passes=lambda: [example("tp_size 4", dense)],
    fails=lambda: [
        example(
            "the DAG of tp_size 4 at tp_size 1",
            lambda: edit(dense(), "/strategy/pools/0/attention", {"dp_size": 1, "cp_size": 1, "tp_size": 1}),
        ),
    ],
)
def collective_of_one_rank(subject: Subject) -> Iterator[Hit]:
    """A collective joins at least two ranks; Partial over one rank is Replicated."""
    told: set[str] = set()
    for phase in PHASES:
        pool = subject.dag.strategy.pool_for(phase)
        for place in (p for p in subject.places if p.block.name in subject.block_names(phase) and p.path not in told):
            axis = collective_axis(place.node)
            if axis is not None and axis_size(pool, axis) == 1:
                told.add(place.path)
                yield Hit(place.path, block=place.block.name, node=place.node.id, axis=axis, phase=phase)
