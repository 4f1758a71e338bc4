"""RY009."""

from collections.abc import Iterator

from validators.deployments import configs, hit
from validators.examples_claims import ray, ray_engine
from validators.examples_moe import named
from validators.registry import Hit, rule
from validators.subject import Subject

SIZES = ("tensor_parallel_size", "data_parallel_size", "pipeline_parallel_size")


@rule(
    code="RY009",
    stage="strategy",
    severity="error",
    message="{what}",
    hint="{repair}",
    sources=("ray: docs data-parallel-attention.md", "ray: engines/vllm/vllm_models.py:250-274"),
    knowledge="ray-serve.md#gpu-count",
    requires=frozenset(["RY001"]),
    passes=lambda: named("as planned", ray),
    fails=lambda: named("eight tp ranks where two are planned", lambda: ray_engine(tensor_parallel_size=8)),
)
def other_number_of_gpus(subject: Subject) -> Iterator[Hit]:
    """A group takes dp x tp x pp GPUs, as the plan does."""
    for config in configs(subject):
        mesh, pp = config.pool.attention, config.pool.pp_size
        started = config.dp_size * config.gpus_per_replica
        planned = mesh.dp_size * mesh.tp_size * pp
        if started != planned and not any(isinstance(config.engine.get(key), bool) for key in SIZES):
            what = f"the file starts {started} GPUs for a group, the plan has {planned}"
            repair = f"set tensor_parallel_size {mesh.tp_size}, data_parallel_size {mesh.dp_size}, pipeline_parallel_size {pp}"
            yield hit(config, "engine_kwargs", what, repair)
