"""CH007."""

from collections.abc import Iterator

from strategy.legality import fits_cluster
from validators.examples import dense, example, problem
from validators.nearest import nearest_fit
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="CH007",
    stage="strategy",
    severity="error",
    message="the strategy has {world} ranks, the cluster {gpus} GPUs",
    hint="{repair}",
    sources=("vllm: config/parallel.py:1066-1077",),
    knowledge="combinations.md#world-size",
    requires=frozenset({"CH002"}),
    passes=lambda: [example("8 ranks on 8 GPUs", lambda: dense(problem=problem()))],
    fails=lambda: [example("8 ranks on 4 GPUs", lambda: dense(problem=problem(gpus_per_host=4)))],
)
def more_ranks_than_gpus(subject: Subject) -> Iterator[Hit]:
    """Each rank is a GPU of the cluster; GPUs that stay idle are worth a warning unless the fewest were asked for."""
    if subject.problem is None:
        return
    world, cluster = subject.dag.strategy.world_size, subject.problem.cluster
    if not fits_cluster(world, cluster):
        yield Hit(
            "/strategy/pools",
            world=world,
            gpus=cluster.gpus,
            repair=f"lower a degree until {cluster.gpus} GPUs are enough{_nearest(subject)}",
        )
    elif world < cluster.gpus and subject.problem.objective != "min_gpus":
        idle = cluster.gpus - world
        repair = f"{idle} GPUs stay idle: raise a degree, or add replicas where {world} divides {cluster.gpus}"
        yield Hit("/strategy/pools", severity="warning", world=world, gpus=cluster.gpus, repair=repair)


def _nearest(subject: Subject) -> str:
    """What would fit in the place of the largest pool."""
    largest = max(subject.dag.strategy.pools, key=lambda pool: pool.world_size)
    return nearest_fit(subject, largest)
