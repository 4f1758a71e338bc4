"""EN018."""

from collections.abc import Iterator

from strategy.engine_limits import HANDOFFS
from strategy.strategy import Strategy, describe_strategy
from validators.choices import engine_row
from validators.examples import about, disaggregated, example, problem
from validators.nearest import pools_to_set
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="EN018",
    stage="strategy",
    severity="error",
    message="vLLM cannot hand the cache over: {why}",
    hint="use {nearest}, {repair}",
    sources=(
        "vllm: distributed/kv_transfer/kv_connector/v1/nixl/connector.py:107-125",
        "vllm: distributed/kv_transfer/kv_connector/v1/nixl/base_worker.py:871-889,2727-2730",
    ),
    knowledge="vllm.md#disaggregated-serving-in-vllm",
    requires=frozenset({"DG009", "PH011"}),
    passes=lambda: [
        example("as many tp ranks on both sides", lambda: about(disaggregated(4, 4), problem(engine="vllm")))
    ],
    fails=lambda: [
        example(
            "a prefill rank for half a KV head, a decode rank for two",
            lambda: about(disaggregated(8, 2), problem(engine="vllm", hosts=2)),
        )
    ],
)
def handoff_that_vllm_lacks(subject: Subject) -> Iterator[Hit]:
    """NIXL in vLLM moves whole KV heads to ranks that hold at least as many, and knows no stages or cp ranks that receive."""
    row, strategy = engine_row(subject, "EN018"), subject.dag.strategy
    if row is None or row.handoff is None or not strategy.disaggregated:
        return
    found = HANDOFFS[row.handoff](subject.model, strategy.pool_for("prefill"), strategy.pool_for("decode"))
    if found is not None:
        why, pair = found
        changed = [pool for pool in pair if pool not in strategy.pools]
        nearest = describe_strategy(Strategy(pools=pair))
        yield Hit("/strategy/pools", why=why, nearest=nearest, repair=pools_to_set(changed))
