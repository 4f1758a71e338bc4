"""RY007."""

from collections.abc import Iterator

from validators.deployments import configs, hit
from validators.examples_claims import ray
from validators.examples_moe import named
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="RY007",
    stage="strategy",
    severity="error",
    message="{what}",
    hint="{repair}",
    sources=("S2 Synchronization", "ray: dp_server.py:283-287"),
    knowledge="ray-serve.md#ranks-and-gangs",
    passes=lambda: named("all there", lambda: ray(replica_ranks=[0, 1])),
    fails=lambda: named("one of two", lambda: ray(replica_ranks=[0])),
)
def incomplete_gang(subject: Subject) -> Iterator[Hit]:
    """A group serves when all its attention replicas are there: one that is missing stops the collectives of the others."""
    for config in configs(subject):
        ranks = config.data.get("replica_ranks")
        if isinstance(ranks, list) and len(ranks) < config.dp_size:
            what = f"{len(ranks)} of {config.dp_size} replicas are there"
            yield hit(config, "replica_ranks", what, "start all of them")
