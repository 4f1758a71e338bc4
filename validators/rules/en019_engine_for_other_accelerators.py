"""EN019."""

from collections.abc import Iterator

from strategy.capabilities import able_on, runs_on
from validators.choices import engine_row, listed
from validators.examples import GPU
from validators.examples_moe import HALF, LLAMA_8B, V100, asked, named, planned
from validators.registry import Hit, rule
from validators.subject import Subject

MI300X = GPU.model_copy(update={"key": "mi300x", "name": "MI300X", "arch": "gfx942"})


@rule(
    code="EN019",
    stage="strategy",
    severity="error",
    message="{engine} {version} does not run on {gpu} ({arch})",
    hint="name an engine that does ({able}), or none",
    sources=(
        "tensorrt-llm: docs/source/legacy/reference/support-matrix.md",
        "vllm: docs/getting_started/installation/gpu.cuda.inc.md",
        "sglang: srt/model_executor/model_runner_components/load_model_utils.py:91",
        "sglang: sgl-kernel/setup_rocm.py",
    ),
    knowledge="engines.md#what-each-engine-can-express",
    passes=lambda: named("an NVIDIA GPU", lambda: planned(LLAMA_8B, asked(LLAMA_8B, engine="trtllm"), tp=2)),
    fails=lambda: [
        *named("an AMD GPU", lambda: planned(LLAMA_8B, asked(LLAMA_8B, engine="trtllm", gpu=MI300X), tp=2)),
        *named(
            "a GPU older than its kernels",
            lambda: planned(LLAMA_8B, asked(LLAMA_8B, engine="vllm", gpu=V100, precision=HALF), tp=2),
        ),
    ],
)
def engine_for_other_accelerators(subject: Subject) -> Iterator[Hit]:
    """An engine runs on the accelerators that it has kernels for, from a generation on; TPUs are served by plugins and forks whose flags we do not write."""
    row = engine_row(subject, "EN019")
    if row is None or subject.problem is None or runs_on(row, subject.problem.cluster.gpu):
        return
    gpu = subject.problem.cluster.gpu
    yield Hit(
        "/strategy", engine=row.title, version=row.version, gpu=gpu.name, arch=gpu.arch, able=listed(able_on(gpu))
    )
