"""PH011."""

from collections.abc import Iterator

from strategy.legality import divisors, kv_transfer_compatible
from strategy.model import GqaAttention
from validators.examples import DENSE, disaggregated, example
from validators.registry import Hit, rule
from validators.subject import Subject

TWELVE_HEADS = DENSE.model_copy(
    update={"attention": GqaAttention(num_heads=12, num_kv_heads=12, head_dim=32), "intermediate_size": 768}
)


@rule(
    code="PH011",
    stage="strategy",
    severity="error",
    message="tp_size {prefill} in prefill and {decode} in decode: KV shards of one side are not whole shards of the other",
    hint="choose tp sizes of which one divides the other; for decode: {choices}, or a multiple of {prefill}",
    sources=(
        "ray: serving_patterns/prefill_decode/builder.py:82-115",
        "vllm: distributed/kv_transfer/kv_connector/utils.py:524-541",
    ),
    knowledge="disaggregation.md#matching-tensor-parallel-sizes",
    requires=frozenset({"DG009"}),
    passes=lambda: [example("4 to 2", disaggregated)],
    fails=lambda: [
        example("4 to 6, with 12 heads", lambda: disaggregated(4, 6, TWELVE_HEADS)),
    ],
)
def pools_that_cannot_hand_over(subject: Subject) -> Iterator[Hit]:
    """Disaggregated pools hand the cache over rank by rank, and pools are disjoint because they are laid out one after the other."""
    strategy = subject.dag.strategy
    if not strategy.disaggregated:
        return
    prefill, decode = strategy.pool_for("prefill"), strategy.pool_for("decode")
    if not kv_transfer_compatible(prefill, decode):
        tp = prefill.attention.tp_size
        place = strategy.pools.index(decode)
        choices = ", ".join(str(n) for n in divisors(tp))
        yield Hit(
            f"/strategy/pools/{place}/attention/tp_size", prefill=tp, decode=decode.attention.tp_size, choices=choices
        )
