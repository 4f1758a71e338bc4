"""RY006."""

from collections.abc import Iterator

from validators.deployments import configs, hit
from validators.examples_claims import ray
from validators.examples_moe import named
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="RY006",
    stage="strategy",
    severity="error",
    message="{what}",
    hint="{repair}",
    sources=("S2 Rank assignment", "ray: dp_server.py:124-126"),
    knowledge="ray-serve.md#ranks-and-gangs",
    passes=lambda: named("0 and 1", lambda: ray(replica_ranks=[0, 1])),
    fails=lambda: named("0 twice", lambda: ray(replica_ranks=[0, 0])),
)
def repeated_replica_rank(subject: Subject) -> Iterator[Hit]:
    """Attention replicas have ranks of their own, 0 to dp - 1."""
    for config in configs(subject):
        ranks = config.data.get("replica_ranks")
        if not isinstance(ranks, list):
            continue
        wrong = [
            r for i, r in enumerate(ranks) if r in ranks[:i] or not isinstance(r, int) or not 0 <= r < config.dp_size
        ]
        if wrong:
            what = f"rank {str(wrong[0])[:40]} is given twice or does not exist"
            yield hit(config, "replica_ranks", what, f"give each replica one of 0 to {config.dp_size - 1}")
