"""TP016."""

from collections.abc import Iterator

from validators.examples import dense, insert
from validators.examples_moe import named
from validators.mismatches import typed
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="TP016",
    stage="typing",
    severity="error",
    message="`{node}` adds {needed} and {found} (from `{source}`)",
    hint="bring both inputs of `{node}` to one placement: gather or chunk `{source}` first",
    sources=(
        "vllm: models/deepseek_v2.py:411-434",
        "sglang: layers/layer_boundary/contracts.py:145-170",
    ),
    knowledge="placement-algebra.md#residual-adds",
    passes=lambda: named("one placement at every add", lambda: dense(sp_kind="megatron")),
    fails=lambda: named("a whole tensor added to token shards", _whole_onto_shards),
)
def differing_addends(subject: Subject) -> Iterator[Hit]:
    """Adding tensors that lie differently over the ranks adds rows or features that do not belong together."""
    return typed(subject, "TP016")


def _whole_onto_shards() -> Subject:
    base = dense(sp_kind="megatron")
    return insert(
        base, "attention_prefill.reduce", id="whole", op="all_gather", axis="tp", dim="tokens", inputs=["reduce"]
    )
