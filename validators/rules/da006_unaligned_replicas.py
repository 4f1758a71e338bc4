"""DA006."""

from collections.abc import Iterator

from strategy.dag import AnyNode, Branch
from strategy.mesh import Axis
from strategy.strategy import Pool
from validators.block_graph import collective_axis, crosses_replicas
from validators.examples import drop, edit_node, insert, moe
from validators.examples_moe import named
from validators.order import flipped, reached, sources
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
    requires=frozenset({"DG002", "SP011"}),
    passes=lambda: [
        *named("a step_sync before the layers", moe),
        *named("a step_sync in the block where replicas meet", _aligned_at_the_experts),
    ],
    fails=lambda: named("no step_sync", lambda: drop(moe(), "embed.sync")),
)
def unaligned_replicas(subject: Subject) -> Iterator[Hit]:
    """Replicas that meet in collectives agree on token counts first; one that has no work runs a dummy batch, or the others hang."""
    told: set[str] = set()
    for phase, branch, path in subject.branches():
        pool = subject.dag.strategy.pool_for(phase)
        if pool.attention.dp_size == 1 or branch.embed in told:
            continue
        node = _first_meeting(subject, branch, pool)
        if node is not None:
            told.add(branch.embed)
            yield Hit(
                f"{path}/embed",
                phase=phase,
                dp_size=pool.attention.dp_size,
                node=node.id,
                op=node.op,
                embed=branch.embed,
            )


def _first_meeting(subject: Subject, branch: Branch, pool: Pool) -> AnyNode | None:
    """The collective in which replicas meet that have not agreed; None when they agree before the first one."""
    for name in dict.fromkeys([branch.embed, *(name for stamp in branch.layers for name in stamp.blocks), branch.head]):
        if (block := subject.dag.block(name)) is None:
            continue
        syncs = [node.id for node in block.nodes if node.op == "step_sync" and _over_replicas(pool, node.axis)]
        aligned = reached(flipped(sources(block)), syncs)
        for node in block.nodes:
            if _over_replicas(pool, collective_axis(node)) and node.id not in aligned:
                return node
        if syncs:
            return None
    return None


def _over_replicas(pool: Pool, axis: Axis | None) -> bool:
    return axis is not None and crosses_replicas(pool, axis)


def _aligned_at_the_experts() -> Subject:
    late = insert(drop(moe(), "embed.sync"), "moe.norm", id="sync", op="step_sync", axis="dp", inputs=["in"])
    return edit_node(late, "moe.dispatch", inputs=["norm", "routing", "sync:sync"])
