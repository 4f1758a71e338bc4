"""QZ006."""

from collections.abc import Iterator

from strategy.hardware import GpuSpec
from strategy.legality import computes_in
from strategy.quantisation import FULL_PRECISIONS
from strategy.request import Precision
from validators.examples_moe import A100, LLAMA_8B, asked, named, planned, with_checkpoint
from validators.registry import Hit, rule
from validators.subject import Subject

_FP8 = with_checkpoint(LLAMA_8B, weights="fp8")
_FP8_MATHS = Precision(weights="fp8", activations="fp8", kv="bf16")


@rule(
    code="QZ006",
    stage="strategy",
    severity="error",
    message="{gpu} ({arch}) does not multiply in {dtype}: {consequence}",
    hint="{change}",
    sources=("vllm: config/vllm.py:927-936", "aiconfigurator: systems/*.yaml (no fp8_tc_flops for A100)"),
    knowledge="quantisation.md#what-the-device-supports",
    passes=lambda: named("fp8 on sm90", lambda: planned(_FP8, asked(_FP8, precision=_FP8_MATHS))),
    fails=lambda: [
        *named("fp8 activations on sm80", lambda: planned(_FP8, asked(_FP8, gpu=A100, precision=_FP8_MATHS))),
        *named("fp8 weights on sm80", lambda: planned(_FP8, asked(_FP8, gpu=A100))),
    ],
)
def precision_the_gpu_lacks(subject: Subject) -> Iterator[Hit]:
    """Operands need arithmetic on the device; weights alone may be kept small and unpacked, which saves memory and no time."""
    if subject.problem is None:
        return
    gpu, precision = subject.problem.cluster.gpu, subject.problem.precision
    if not computes_in(gpu, precision.activations):
        change = f"set precision.activations to {'bf16' if gpu.has_bf16 else 'fp16'}"
        yield _lacking(gpu, precision.activations, "activations cannot be in it", change, None)
    elif precision.weights not in FULL_PRECISIONS and not computes_in(gpu, precision.weights):
        consequence = "weights are unpacked to 16 bits before each product, which saves memory but no arithmetic"
        yield _lacking(gpu, precision.weights, consequence, "nothing to change unless prefill speed matters", "info")


def _lacking(gpu: GpuSpec, dtype: str, consequence: str, change: str, severity: str | None) -> Hit:
    facts = {"gpu": gpu.name, "arch": gpu.arch, "dtype": dtype, "consequence": consequence, "change": change}
    return Hit("/strategy", severity="info" if severity == "info" else None, **facts)
