"""DP011."""

from collections.abc import Iterator

from validators.block_graph import phases_of
from validators.examples import insert, moe
from validators.examples_moe import named
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="DP011",
    stage="graph",
    severity="error",
    message="`{node}` is a routing node in block `{block}`, which {phase} does not stamp onto layers",
    hint="remove `{node}` there: routing chooses experts inside an MoE layer; where requests enter is an ingress node",
    sources=("S1 DAG node types", "S3 Load Balancer / Router"),
    knowledge="data-parallelism.md#ingress-is-not-routing",
    settles=("X20",),
    requires=frozenset({"DG002"}),
    passes=lambda: named("routing inside MoE layers", moe),
    fails=lambda: named(
        "a router of requests before the embedding",
        lambda: insert(moe(), "embed.ingress", id="router", op="routing", inputs=["ingress"]),
    ),
)
def routing_outside_layers(subject: Subject) -> Iterator[Hit]:
    """Routing is the MoE router; the router of requests is not part of a step."""
    for block, node, path in subject.places:
        if node.op != "routing":
            continue
        for phase in phases_of(subject, block.name):
            branch = subject.dag.branch(phase)
            if block.name in (branch.embed, branch.head, branch.boundary):
                yield Hit(path, node=node.id, block=block.name, phase=phase)
                break
