"""CH008."""

from collections.abc import Iterator

from strategy.legality import legal_tp_sizes
from strategy.strategy import Pool
from validators.examples import dense, example, problem
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="CH008",
    stage="strategy",
    severity="info",
    message="{pp_size} pipeline stages of tp_size 1, where a scale-up domain joins {domain} GPUs",
    hint="consider tp_size {tp} inside the domain: it lowers latency, stages only add room",
    sources=("S3 Rule of thumb",),
    knowledge="choosing.md#tp-first-then-pp-then-dp",
    passes=lambda: [example("tp inside the host", lambda: dense(tp=4, pp=2, problem=problem()))],
    fails=lambda: [
        example("four stages on one NVLink host", lambda: dense(tp=1, pp=4, problem=problem(gpus_per_host=4)))
    ],
)
def stages_where_tp_would_do(subject: Subject) -> Iterator[Hit]:
    """Split matrices inside a fast domain first, then layers across domains, then replicate."""
    if subject.problem is None or subject.problem.cluster.gpu.scale_up == "pcie":
        return
    domain = subject.problem.cluster.domain
    for path, pool in subject.pools():
        better = _better_tp(subject, pool, domain)
        if better:
            yield Hit(f"{path}/pp_size", pp_size=pool.pp_size, domain=domain, tp=better)


def _better_tp(subject: Subject, pool: Pool, domain: int) -> int | None:
    """The largest tp that could take ranks from the pipeline, or None when tp is used or nothing larger is legal."""
    if pool.pp_size == 1 or pool.attention.width > 1:
        return None
    sizes = [tp for tp in legal_tp_sizes(subject.model, min(domain, pool.pp_size)) if tp > 1 and pool.pp_size % tp == 0]
    return max(sizes, default=None)
