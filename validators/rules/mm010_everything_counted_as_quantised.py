"""MM010."""

from collections.abc import Iterator

from strategy.parameters import parameters_by_class
from strategy.quantisation import quantised_bytes
from validators.estimates import estimate_hits
from validators.examples_claims import estimated
from validators.examples_moe import LLAMA_8B, asked, named, planned, with_checkpoint
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="MM010",
    stage="memory",
    severity="error",
    message="claimed are {claimed}, right are {right}",
    hint="{cause}",
    sources=("config.json quantization_config.modules_to_not_convert", "aiconfigurator: sdk/models/deepseek.py"),
    knowledge="memory.md#quantised-bytes",
    passes=lambda: named(
        "scales and bf16 modules counted",
        lambda: estimated(_quantised()),
    ),
    fails=lambda: named("fp8 everywhere", _all_quantised),
)
def everything_counted_as_quantised(subject: Subject) -> Iterator[Hit]:
    """A quantised checkpoint leaves the embedding, head, norms and router alone, and its scales take room."""
    return estimate_hits(subject, "MM010")


def _quantised() -> Subject:
    model = with_checkpoint(LLAMA_8B, weights="fp8")
    return planned(model, asked(model), tp=2)


def _all_quantised() -> Subject:
    base = _quantised()
    right = estimated(base).claims.estimate
    assert right is not None
    everywhere = sum(parameters_by_class(base.model).values()) * quantised_bytes(base.model.checkpoint) / 2e9
    return estimated(base, scale={"weights": everywhere / right.memory_gb.weights})
