"""EN021."""

from collections.abc import Iterator

from strategy.capabilities import begins
from strategy.engine_limits import all_to_all_takes
from strategy.model import ModelSpec
from strategy.request import Engine
from strategy.strategy import EpLowering
from validators.choices import engine_row
from validators.examples_moe import QWEN3_30B, asked, planned
from validators.registry import Example, Hit, rule
from validators.subject import Subject

GPT_OSS = QWEN3_30B.model_copy(update={"name": "gpt-oss-120b", "hidden_size": 2880})
ODD = QWEN3_30B.model_copy(update={"name": "qwen3-odd", "hidden_size": 2304})


def _spread(model: ModelSpec, engine: Engine, lowering: EpLowering) -> Subject:
    return planned(model, asked(model, engine=engine), dp=8, ep=8, ep_lowering=lowering)


@rule(
    code="EN021",
    stage="strategy",
    severity="error",
    message="{engine} has no all_to_all for {model}{why}",
    hint="set ep_lowering to {instead}",
    sources=(
        "sglang: models/gpt_oss.py forward, models/mixtral.py, models/llama4.py",
        "deepep: csrc/kernels/legacy/launch.cuh SWITCH_HIDDEN",
        "vllm: fused_moe/prepare_finalize/deepep_ll.py",
    ),
    knowledge="expert-parallelism.md#low-latency-and-throughput-kernels",
    passes=lambda: (
        Example("gpt-oss by all_gather in SGLang", lambda: _spread(GPT_OSS, "sglang", "all_gather")),
        Example("gpt-oss by all_to_all in vLLM, which pads", lambda: _spread(GPT_OSS, "vllm", "all_to_all")),
    ),
    fails=lambda: (
        Example("gpt-oss by all_to_all in SGLang", lambda: _spread(GPT_OSS, "sglang", "all_to_all")),
        Example("a hidden size without kernels in SGLang", lambda: _spread(ODD, "sglang", "all_to_all")),
    ),
)
def all_to_all_that_a_model_lacks(subject: Subject) -> Iterator[Hit]:
    """The model's code raises, or sums experts of its own only; low-latency kernels are compiled for a list of hidden sizes."""
    row = engine_row(subject, "EN021")
    if row is None:
        return
    for path, pool in subject.pools():
        if not all_to_all_takes(row, subject.model, pool):
            listed = begins(subject.model.name, row.all_to_all_lacking)
            sizes = ", ".join(map(str, row.low_latency_hidden))
            alone = pool.attention.dp_size * pool.attention.cp_size == 1
            yield Hit(
                f"{path}/ep_lowering",
                engine=row.title,
                model=subject.model.name,
                why=""
                if listed
                else f": no low-latency kernels for hidden_size {subject.model.expert_features}, only for {sizes}",
                instead="replicated" if alone else "all_gather",
            )
