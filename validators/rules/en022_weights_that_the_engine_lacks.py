"""EN022."""

from collections.abc import Iterator

from strategy.capabilities import able_on, runs_on, takes_weights
from strategy.request import Precision
from validators.choices import engine_row, listed
from validators.examples_moe import A100, LLAMA_8B, asked, named, planned, with_checkpoint
from validators.registry import Hit, rule
from validators.subject import Subject

_FP8 = with_checkpoint(LLAMA_8B, weights="fp8")
_FP8_WEIGHTS = Precision(weights="fp8", activations="bf16", kv="bf16")


@rule(
    code="EN022",
    stage="strategy",
    severity="error",
    message="{engine} {version} has no kernels for {weights} weights on {gpu} ({arch})",
    hint="name an engine that has ({able}), or serve weights of another type",
    sources=(
        "tensorrt-llm: docs/source/features/quantization.md (Hardware Support Matrix)",
        "vllm: model_executor/layers/quantization/fp8.py:147, mxfp4.py:72",
        "sglang: srt/layers/quantization/fp8.py:329-337, mxfp4.py:339, modelopt_quant.py:1550",
    ),
    knowledge="quantisation.md#what-the-device-supports",
    passes=lambda: named(
        "fp8 weights on sm80 in vLLM",
        lambda: planned(_FP8, asked(_FP8, engine="vllm", gpu=A100, precision=_FP8_WEIGHTS)),
    ),
    fails=lambda: named(
        "fp8 weights on sm80 in TensorRT-LLM",
        lambda: planned(_FP8, asked(_FP8, engine="trtllm", gpu=A100, precision=_FP8_WEIGHTS)),
    ),
)
def weights_that_the_engine_lacks(subject: Subject) -> Iterator[Hit]:
    """Small weights need kernels of the engine for the generation of the device: where it cannot multiply in them, some engines unpack them, others refuse to load."""
    row = engine_row(subject, "EN022")
    if row is None or subject.problem is None:
        return
    gpu, weights = subject.problem.cluster.gpu, subject.problem.precision.weights
    if runs_on(row, gpu) and not takes_weights(row, gpu, weights):
        able = listed(able_on(gpu, weights))
        yield Hit(
            "/strategy", engine=row.title, version=row.version, weights=weights, gpu=gpu.name, arch=gpu.arch, able=able
        )
