"""EN023."""

from collections.abc import Iterator

from strategy.capabilities import able_on
from validators.choices import engine_of
from validators.examples import GPU
from validators.examples_moe import HALF, LLAMA_8B, V100, asked, named, planned
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="EN023",
    stage="strategy",
    severity="warning",
    message="no release of an engine that plans can be exported to runs on {gpu} ({arch}) with {weights} weights",
    hint="price and prove the plan here; to deploy it, take an older release of an engine and set the degrees by hand",
    sources=(
        "vllm: docs/getting_started/installation/gpu.cuda.inc.md",
        "sglang: srt/model_executor/model_runner_components/load_model_utils.py:91",
        "tensorrt-llm: docs/source/legacy/reference/support-matrix.md",
    ),
    knowledge="engines.md#what-each-engine-can-express",
    passes=lambda: named("a GPU of today", lambda: planned(LLAMA_8B, asked(LLAMA_8B, gpu=GPU), tp=2)),
    fails=lambda: named(
        "a GPU older than every engine", lambda: planned(LLAMA_8B, asked(LLAMA_8B, gpu=V100, precision=HALF), tp=2)
    ),
)
def no_engine_for_the_accelerator(subject: Subject) -> Iterator[Hit]:
    """A plan for a device that engines have left behind is sound arithmetic that nothing serves."""
    if subject.problem is None or engine_of(subject) is not None:
        return
    gpu, weights = subject.problem.cluster.gpu, subject.problem.precision.weights
    if not able_on(gpu, weights):
        yield Hit("/strategy", gpu=gpu.name, arch=gpu.arch, weights=weights)
