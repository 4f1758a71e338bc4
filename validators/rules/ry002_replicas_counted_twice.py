"""RY002."""

from collections.abc import Iterator

from validators.deployments import configs, gangs, hit
from validators.examples_claims import ray
from validators.examples_moe import named
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="RY002",
    stage="strategy",
    severity="error",
    message="{what}",
    hint="{repair}",
    sources=("S2 note", "ray: dp_server.py:273-281"),
    knowledge="ray-serve.md#replica-counts",
    settles=("X17",),
    requires=frozenset(["RY001"]),
    passes=lambda: named("left out", ray),
    fails=lambda: named("four groups where one is planned", lambda: ray(deployment_config={"num_replicas": 4})),
)
def replicas_counted_twice(subject: Subject) -> Iterator[Hit]:
    """A group of attention replicas is one deployment: Ray makes its replicas from data_parallel_size."""
    for config in configs(subject):
        given = config.part("deployment_config").get("num_replicas")
        if config.dp_size == 1 or given is None or given == "auto":
            continue
        right = config.pool.replicas if gangs(subject) else config.dp_size
        if given != right:
            what = f"num_replicas {str(given)[:40]} starts {given if not gangs(subject) else config.groups * config.dp_size} replicas"
            yield hit(config, "deployment_config/num_replicas", what, f"delete it, or write {right}")
