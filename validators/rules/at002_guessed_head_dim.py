"""AT002."""

from collections.abc import Iterator

from validators.examples import DENSE, dense
from validators.examples_moe import named
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="AT002",
    stage="strategy",
    severity="error",
    message="head_dim is {found} for this DAG, and the model it names states {stated}",
    hint="take head_dim from the model's configuration, not hidden_size / num_heads",
    sources=("config.json of Qwen3-32B (128, not 5120/64) and gpt-oss (64, not 2880/64)",),
    knowledge="attention.md#head-dimension",
    passes=lambda: named("as the configuration states", lambda: _inline(32)),
    fails=lambda: named("hidden size over heads", lambda: _inline(64)),
)
def guessed_head_dim(subject: Subject) -> Iterator[Hit]:
    """Heads need not add up to the hidden size; the configuration says how wide they are."""
    attention, given = subject.model.attention, subject.dag.model
    if attention.kind != "gqa" or not isinstance(given, dict):
        return
    inner = given.get("attention")
    stated = inner.get("head_dim") if isinstance(inner, dict) else given.get("head_dim")
    if isinstance(stated, int) and stated != attention.head_dim:
        yield Hit("/model/head_dim", found=attention.head_dim, stated=stated)


def _inline(stated: int) -> Subject:
    base = dense()
    config = {"hidden_size": DENSE.hidden_size, "num_attention_heads": DENSE.attention.num_heads, "head_dim": stated}
    return Subject(base.dag.model_copy(update={"model": config}), base.model)
