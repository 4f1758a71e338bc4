"""PP007."""

from collections.abc import Iterator

from validators.examples import beside, dense, example
from validators.layouts import layout_hits
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="PP007",
    stage="layout",
    severity="error",
    message="{what}",
    hint="{repair}",
    sources=("S1 §4.3", "vllm: v1/worker/gpu/pp_utils.py:56-98"),
    knowledge="pipeline-parallelism.md#no-skipped-or-backward-edges",
    passes=lambda: [example("straight on", lambda: beside(dense(tp=2, pp=2), layout={"sends": [[0, 2], [1, 3]]}))],
    fails=lambda: [example("back", lambda: beside(dense(tp=2, pp=2), layout={"sends": [[0, 2], [1, 3], [2, 0]]}))],
)
def send_to_an_earlier_stage(subject: Subject) -> Iterator[Hit]:
    """Activations never flow back; only the sampled token returns, by a loop link."""
    yield from layout_hits(subject, "PP007")
