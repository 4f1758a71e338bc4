"""EN019."""

from collections.abc import Iterator

from strategy.capabilities import able_on
from strategy.engine_limits import runs_on
from validators.choices import engine_row, listed
from validators.examples import GPU
from validators.examples_moe import LLAMA_8B, asked, named, planned
from validators.registry import Hit, rule
from validators.subject import Subject

MI300X = GPU.model_copy(update={"key": "mi300x", "name": "MI300X", "arch": "gfx942"})


@rule(
    code="EN019",
    stage="strategy",
    severity="error",
    message="{engine} does not run on {gpu}",
    hint="name an engine that does ({able}), or none",
    sources=(
        "tensorrt-llm: docs/source/legacy/reference/support-matrix.md",
        "vllm: docs/getting_started/installation/gpu.md",
    ),
    knowledge="engines.md#what-each-engine-can-express",
    passes=lambda: named("an NVIDIA GPU", lambda: planned(LLAMA_8B, asked(LLAMA_8B, engine="trtllm"), tp=2)),
    fails=lambda: named("an AMD GPU", lambda: planned(LLAMA_8B, asked(LLAMA_8B, engine="trtllm", gpu=MI300X), tp=2)),
)
def engine_for_other_accelerators(subject: Subject) -> Iterator[Hit]:
    """An engine runs on the accelerators that it has kernels for; TPUs are served by plugins and forks whose flags we do not write."""
    row = engine_row(subject, "EN019")
    if row is None or subject.problem is None or runs_on(row, subject.problem.cluster):
        return
    gpu = subject.problem.cluster.gpu
    yield Hit("/strategy", engine=row.title, gpu=gpu.name, able=listed(able_on(gpu.vendor)))
