"""AT011."""

from collections.abc import Iterator

from strategy.legality import linear_heads_divide
from strategy.model import Mamba2
from validators.choices import tp_choices
from validators.examples_moe import QWEN3_NEXT, named, planned, with_model
from validators.registry import Hit, rule
from validators.subject import Subject

_FEWER = QWEN3_NEXT.model_copy(
    update={"linear": QWEN3_NEXT.linear and QWEN3_NEXT.linear.model_copy(update={"num_key_heads": 8})}
)


@rule(
    code="AT011",
    stage="strategy",
    severity="error",
    message="attention tp_size={tp_size} does not divide the {key_heads} {of} of the {words} layers",
    hint="set attention.tp_size to one of {choices}",
    sources=(
        "vllm: model_executor/models/qwen3_next.py Qwen3NextGatedDeltaNet",
        "transformers: qwen3_next",
        "vllm: model_executor/layers/mamba/mamba_mixer2.py",
    ),
    knowledge="linear-attention.md#heads-over-tp",
    requires=frozenset({"TP001"}),
    passes=lambda: named("16 key heads over 16 ranks", lambda: planned(QWEN3_NEXT, tp=16, ep=16)),
    fails=lambda: named("8 key heads over 16 ranks", lambda: with_model(planned(QWEN3_NEXT, tp=16, ep=16), _FEWER)),
)
def uneven_linear_attention_heads(subject: Subject) -> Iterator[Hit]:
    """A rank holds whole key heads of a recurrence (groups of a state space), the heads that share them, and their states: only B and C of a single group are copied."""
    net = subject.model.linear
    for path, pool in subject.pools():
        if net is not None and not linear_heads_divide(subject.model, pool.attention.tp_size):
            yield Hit(
                f"{path}/attention/tp_size",
                tp_size=pool.attention.tp_size,
                key_heads=net.num_value_heads if net.repeated else net.num_key_heads,
                of="heads" if net.repeated else "groups" if isinstance(net, Mamba2) else "key heads",
                words=net.words,
                choices=tp_choices(subject),
            )
