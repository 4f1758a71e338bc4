"""AT001."""

from collections.abc import Iterator

from validators.choices import divisor_choices
from validators.examples import DENSE, dense
from validators.examples_moe import named, with_model
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="AT001",
    stage="strategy",
    severity="error",
    message="{heads} query heads do not share {kv_heads} KV heads evenly",
    hint="correct the model: num_kv_heads is one of {choices}",
    sources=("vllm: model_executor/layers/attention/attention.py:329", "sglang: configs/beam.py:180"),
    knowledge="attention.md#grouped-query-attention",
    passes=lambda: named("8 over 4", dense),
    fails=lambda: named("8 over 3", _three_kv_heads),
)
def uneven_query_groups(subject: Subject) -> Iterator[Hit]:
    """Each KV head serves the same number of query heads; model files are checked when read, models made in memory here."""
    attention = subject.model.attention
    if attention.kind == "gqa" and attention.num_heads % attention.num_kv_heads:
        choices = divisor_choices(attention.num_heads, attention.num_heads)
        yield Hit("/model", heads=attention.num_heads, kv_heads=attention.num_kv_heads, choices=choices)


def _three_kv_heads() -> Subject:
    attention = DENSE.attention.model_copy(update={"num_kv_heads": 3})
    return with_model(dense(tp=1, pp=1), DENSE.model_copy(update={"attention": attention}))
