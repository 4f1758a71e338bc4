"""RY005."""

from collections.abc import Iterator

from validators.deployments import configs, hit
from validators.examples_claims import ray
from validators.examples_moe import named
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="RY005",
    stage="strategy",
    severity="error",
    message="{what}",
    hint="{repair}",
    sources=("S2 Deployment configuration", "ray: core/server/llm_server.py:788-794"),
    knowledge="ray-serve.md#placement-groups",
    passes=lambda: named("left to Ray", ray),
    fails=lambda: named("SPREAD", lambda: ray(deployment_config={"placement_group_strategy": "SPREAD"})),
)
def placement_that_ray_decides(subject: Subject) -> Iterator[Hit]:
    """Ray packs a group by itself; a placement of its own in deployment_config undoes that."""
    for config in configs(subject):
        for key in ("placement_group_strategy", "placement_group_bundles"):
            if key in config.part("deployment_config"):
                yield hit(config, f"deployment_config/{key}", f"{key} is set, and Ray sets it", "delete it")
