"""AT012."""

from collections.abc import Iterator

from strategy.legality import states_stay_whole
from validators.examples_moe import QWEN3_NEXT, named, planned, with_pool
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="AT012",
    stage="strategy",
    severity="error",
    message="{field}={size}: {layers} layers of {model} pass a state from token to token, which no shard of the tokens can start from",
    hint="set {field} to 1; tp_size splits the states by heads, attention dp_size by sequences",
    sources=("S1 §6 (cp and dcp shard tokens)", "transformers: qwen3_next torch_recurrent_gated_delta_rule"),
    knowledge="linear-attention.md#no-split-over-tokens",
    passes=lambda: named("TP8", lambda: planned(QWEN3_NEXT, tp=8, ep=8, ep_lowering="replicated")),
    fails=lambda: named(
        "TP8 with DCP4", lambda: with_pool(planned(QWEN3_NEXT, tp=8, ep=8, ep_lowering="replicated"), dcp_size=4)
    ),
)
def recurrence_over_token_shards(subject: Subject) -> Iterator[Hit]:
    """Context parallelism and decode context parallelism give ranks tokens of one sequence, and a recurrence needs them in turn."""
    for path, pool in subject.pools():
        if states_stay_whole(subject.model, pool):
            continue
        field, size = (
            ("attention/cp_size", pool.attention.cp_size) if pool.attention.cp_size > 1 else ("dcp_size", pool.dcp_size)
        )
        layers = len(subject.model.linear_layers)
        yield Hit(f"{path}/{field}", field=field.replace("/", "."), size=size, layers=layers, model=subject.model.name)
