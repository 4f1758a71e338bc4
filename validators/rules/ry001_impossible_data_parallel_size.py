"""RY001."""

from collections.abc import Iterator

from validators.deployments import configs, hit
from validators.examples_claims import ray, ray_engine
from validators.examples_moe import named
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="RY001",
    stage="strategy",
    severity="error",
    message="{what}",
    hint="{repair}",
    sources=("S2 Required parameters", "ray: dp_server.py:247-251"),
    knowledge="ray-serve.md#replica-counts",
    passes=lambda: named("two", ray),
    fails=lambda: named("none", lambda: ray_engine(data_parallel_size=0)),
)
def impossible_data_parallel_size(subject: Subject) -> Iterator[Hit]:
    """data_parallel_size is a positive whole number."""
    for config in configs(subject):
        size = config.engine.get("data_parallel_size", 1)
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            what = f"data_parallel_size is {str(size)[:40]}"
            yield hit(config, "engine_kwargs/data_parallel_size", what, "write a whole number of at least one")
