"""DA006."""

from collections.abc import Iterator

from strategy.mesh import Axis
from strategy.strategy import Pool
from validators.block_graph import collective_axis, crosses_replicas
from validators.examples import drop, moe
from validators.examples_moe import named
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="DA006",
    stage="graph",
    severity="error",
    message="{phase}: {dp_size} attention replicas meet in `{node}` ({op}), yet no step_sync over dp precedes it",
    hint="add {{id: sync, op: step_sync, axis: dp, inputs: [ingress]}} to block `{embed}` and read sync:sync in its embedding",
    sources=(
        "vllm: docs/serving/data_parallel_deployment.md",
        "vllm: config/parallel.py:163-164,869-894",
        "vllm: v1/engine/core.py:2503-2507",
    ),
    knowledge="data-parallel-attention.md#steps-are-aligned",
    settles=("X18",),
    passes=lambda: named("a step_sync before the layers", moe),
    fails=lambda: named("no step_sync", lambda: drop(moe(), "embed.sync")),
)
def unaligned_replicas(subject: Subject) -> Iterator[Hit]:
    """Replicas that meet in collectives agree on token counts first; one that has no work runs a dummy batch, or the others hang."""
    told: set[str] = set()
    for phase, branch, path in subject.branches():
        pool = subject.dag.strategy.pool_for(phase)
        if pool.attention.dp_size == 1 or _synchronised(subject, branch.embed, pool):
            continue
        places = (place for name in sorted(subject.block_names(phase)) for place in subject.places_of(name))
        node = next((p.node for p in places if _over_replicas(pool, collective_axis(p.node))), None)
        if node is not None and branch.embed not in told:
            told.add(branch.embed)
            yield Hit(
                f"{path}/embed",
                phase=phase,
                dp_size=pool.attention.dp_size,
                node=node.id,
                op=node.op,
                embed=branch.embed,
            )


def _synchronised(subject: Subject, embed: str, pool: Pool) -> bool:
    """Whether the block that opens a step aligns all replicas."""
    nodes = (place.node for place in subject.places_of(embed))
    return any(node.op == "step_sync" and _over_replicas(pool, node.axis) for node in nodes)


def _over_replicas(pool: Pool, axis: Axis | None) -> bool:
    return axis is not None and crosses_replicas(pool, axis)
