"""RY003."""

from collections.abc import Iterator

from validators.deployments import configs, gangs, hit
from validators.examples_claims import old_ray
from validators.examples_moe import named
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="RY003",
    stage="strategy",
    severity="error",
    message="{what}",
    hint="{repair}",
    sources=("S2 note", "ray: dp_server.py:254-272"),
    knowledge="ray-serve.md#autoscaling",
    passes=lambda: named("a fixed group", old_ray),
    fails=lambda: named(
        "autoscaling in the Ray of the guide",
        lambda: old_ray(deployment_config={"autoscaling_config": {"min_replicas": 1}}),
    ),
)
def autoscaled_gang(subject: Subject) -> Iterator[Hit]:
    """Older Ray cannot scale a group of attention replicas, whose ranks come and go together."""
    for config in configs(subject):
        scaled = "autoscaling_config" in config.part("deployment_config")
        if config.dp_size > 1 and scaled and not gangs(subject):
            what = "autoscaling_config is set for attention replicas, and this Ray has groups of fixed size only"
            yield hit(config, "deployment_config/autoscaling_config", what, "delete it")
