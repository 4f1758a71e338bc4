"""RY004."""

from collections.abc import Iterator

from validators.deployments import configs, gangs, gpus_per_host, hit
from validators.examples_claims import old_ray
from validators.examples_moe import named
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="RY004",
    stage="strategy",
    severity="error",
    message="{what}",
    hint="{repair}",
    sources=("S2 Required parameters", "ray (older): data_parallel/builder.py build_dp_deployment"),
    knowledge="ray-serve.md#replicas-per-host",
    passes=lambda: named("two on a host", old_ray),
    fails=lambda: named(
        "eight of two GPUs on a host of eight", lambda: old_ray(experimental_configs={"dp_size_per_node": 8})
    ),
)
def replicas_per_host_that_do_not_fit(subject: Subject) -> Iterator[Hit]:
    """Older Ray is told how many attention replicas share a host; they divide the group and fit its GPUs."""
    for config in configs(subject):
        size = config.part("experimental_configs").get("dp_size_per_node")
        if config.dp_size == 1 or gangs(subject):
            continue
        most = max(1, gpus_per_host(subject) // config.gpus_per_replica)
        whole = isinstance(size, int) and not isinstance(size, bool) and 0 < size <= most
        if not isinstance(size, int) or not whole or config.dp_size % size:
            what = (
                f"dp_size_per_node is {str(size)[:40]} for {config.dp_size} replicas of {config.gpus_per_replica} GPUs"
            )
            repair = f"write a divisor of {config.dp_size} of at most {most}"
            yield hit(config, "experimental_configs/dp_size_per_node", what, repair)
