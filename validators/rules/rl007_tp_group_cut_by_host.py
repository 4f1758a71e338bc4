"""RL007."""

from collections.abc import Iterator

from strategy.legality import divisors, tp_aligned_with_hosts
from validators.examples import dense, example, problem
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="RL007",
    stage="layout",
    severity="error",
    message="tp_size {tp} and hosts of {gpus} GPUs: a tp group is cut unevenly by the edge of a host",
    hint="use a tp_size that divides {gpus} ({choices}) or a multiple of {gpus}",
    sources=(
        "ray: serving_patterns/data_parallel/dp_server.py:173-199",
        "vllm: distributed/parallel_state.py:2107-2110",
    ),
    knowledge="rank-layout.md#hosts",
    passes=lambda: [example("4 in 8", lambda: dense(problem=problem()))],
    fails=lambda: [example("4 in 6", lambda: dense(pp=1, replicas=3, problem=problem(gpus_per_host=6, hosts=2)))],
)
def tp_group_cut_by_host(subject: Subject) -> Iterator[Hit]:
    """A tp group fills hosts, or several fill one."""
    if subject.problem is None:
        return
    per_host = subject.problem.cluster.gpus_per_host
    for path, pool in subject.pools():
        tp = pool.attention.tp_size
        if not tp_aligned_with_hosts(pool, per_host):
            choices = ", ".join(str(n) for n in divisors(per_host))
            yield Hit(f"{path}/attention/tp_size", tp=tp, gpus=per_host, choices=choices)
