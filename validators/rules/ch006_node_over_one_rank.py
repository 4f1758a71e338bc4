"""CH006."""

from collections.abc import Iterator

from strategy.dag import Chunk, StepSync
from strategy.mesh import axis_size
from validators.examples import dense, edit, edit_node, example, insert
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="CH006",
    stage="graph",
    severity="warning",
    message="{what}",
    hint="{repair}",
    sources=("S1 §6",),
    knowledge="combinations.md#degree-one-does-not-exist",
    requires=frozenset({"DG001"}),
    passes=lambda: [example("a boundary between two stages", dense)],
    fails=lambda: [
        example(
            "token counts agreed among one replica",
            lambda: edit_node(
                insert(dense(), "embed.ingress", id="sync", op="step_sync", axis="dp", inputs=["ingress"]),
                "embed.embedding",
                inputs=["ingress", "sync:sync"],
            ),
        ),
        example(
            "a boundary with one stage",
            lambda: edit(edit(dense(), "/strategy/pools/0/pp_size", 1), "/strategy/pools/0/stages", [[0, 4]]),
        ),
    ],
)
def node_over_one_rank(subject: Subject) -> Iterator[Hit]:
    """A dimension of degree one carries no nodes."""
    told: set[str] = set()
    for phase, branch, path in subject.branches():
        pool = subject.dag.strategy.pool_for(phase)
        if branch.boundary is not None and pool.pp_size == 1:
            yield Hit(
                f"{path}/boundary",
                what=f"{phase} names a boundary, and its pool has one stage",
                repair="leave `boundary` out",
            )
        for name in sorted(subject.block_names(phase)):
            for place in subject.places_of(name):
                node = place.node
                if isinstance(node, Chunk | StepSync) and axis_size(pool, node.axis) == 1 and place.path not in told:
                    told.add(place.path)
                    what = f"block `{name}`: `{node.id}` works over {node.axis}, which has one rank in {phase}"
                    yield Hit(place.path, what=what, repair=f"delete `{node.id}`")
