"""RL009."""

from collections.abc import Iterator

from strategy.legality import replica_aligned_with_hosts
from validators.examples import dense, example, problem
from validators.nearest import nearest_fit
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="RL009",
    stage="layout",
    severity="error",
    message="a replica of {ranks} ranks needs {hosts} hosts of {gpus} GPUs, which cannot hold the same number of ranks each",
    hint="choose degrees whose product is a multiple of {hosts}{nearest}",
    sources=("sglang: arg_groups/validation_hook.py:178-181", "vllm: config/parallel.py:827-835"),
    knowledge="rank-layout.md#hosts",
    requires=frozenset({"RL007"}),
    passes=lambda: [
        example("two stages on two hosts", lambda: dense(tp=4, pp=2, problem=problem(gpus_per_host=4, hosts=2)))
    ],
    fails=lambda: [
        example("three stages on two hosts", lambda: dense(tp=1, pp=3, problem=problem(gpus_per_host=2, hosts=2)))
    ],
)
def replica_uneven_over_hosts(subject: Subject) -> Iterator[Hit]:
    """A replica that spans hosts puts the same number of ranks on each."""
    if subject.problem is None:
        return
    per_host = subject.problem.cluster.gpus_per_host
    for path, pool in subject.pools():
        if not replica_aligned_with_hosts(pool, per_host):
            hosts = -(-pool.ranks_per_replica // per_host)
            nearest = nearest_fit(subject, pool)
            yield Hit(path, ranks=pool.ranks_per_replica, hosts=hosts, gpus=per_host, nearest=nearest)
