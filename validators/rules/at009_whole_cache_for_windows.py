"""AT009."""

from collections.abc import Iterator

from strategy.memory import memory_gb
from strategy.model import Window
from validators.estimates import estimate_hits
from validators.examples_claims import estimated
from validators.examples_moe import LLAMA_8B, asked, named, planned
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="AT009",
    stage="memory",
    severity="warning",
    message="claimed are {claimed}, right are {right}",
    hint="{cause}",
    sources=("aiconfigurator: perf_database/attention.rs:845-872",),
    knowledge="attention.md#sliding-windows-and-chunks",
    passes=lambda: named("windows counted", lambda: estimated(_windowed())),
    fails=lambda: named("the whole context for each layer", _unwindowed),
)
def whole_cache_for_windows(subject: Subject) -> Iterator[Hit]:
    """Layers with a window keep and read at most the window."""
    return estimate_hits(subject, "AT009")


def _windowed() -> Subject:
    window = Window(kind="sliding", size_tokens=1024, layers=tuple(range(0, 32, 2)))
    model = LLAMA_8B.model_copy(update={"window": window})
    return planned(model, asked(model), tp=2)


def _unwindowed() -> Subject:
    base = _windowed()
    assert base.problem is not None
    whole = base.problem.model_copy(update={"model": base.model.model_copy(update={"window": None})})
    full, right = (memory_gb(problem, base.dag.strategy, 1).kv for problem in (whole, base.problem))
    return estimated(base, scale={"kv": full / right})
