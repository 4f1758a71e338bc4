"""EN018."""

from collections.abc import Iterator

from strategy.engine_limits import HANDOFFS
from strategy.strategy import Strategy, describe_strategy
from validators.choices import engine_row
from validators.examples import MLA, about, disaggregated, example, plan, pool, problem
from validators.nearest import pools_to_set
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="EN018",
    stage="strategy",
    severity="error",
    message="{engine} cannot hand the cache over: {why}",
    hint="use {nearest}, {repair}",
    sources=(
        "vllm: distributed/kv_transfer/kv_connector/v1/nixl/connector.py:107-125",
        "vllm: distributed/kv_transfer/kv_connector/v1/nixl/base_worker.py:871-889,2727-2730",
        "vllm: distributed/kv_transfer/kv_connector/v1/nixl/tp_mapping.py:96",
        "sglang: srt/disaggregation/common/conn.py:531-549,1411-1420",
    ),
    knowledge="disaggregation.md#matching-tensor-parallel-sizes",
    requires=frozenset({"DG009", "PH011"}),
    passes=lambda: [
        example("as many tp ranks on both sides", lambda: about(disaggregated(4, 4), problem(engine="vllm")))
    ],
    fails=lambda: [
        example(
            "a prefill rank for half a KV head, a decode rank for two",
            lambda: about(disaggregated(8, 2), problem(engine="vllm", hosts=2)),
        ),
        example("a shared cache for ranks that do not share it", _shared_in_prefill),
    ],
)
def handoff_that_the_engine_lacks(subject: Subject) -> Iterator[Hit]:
    """A connector moves heads, stages and shared positions of the cache only between pools that it knows how to match."""
    row, strategy = engine_row(subject, "EN018"), subject.dag.strategy
    if row is None or row.handoff is None or not strategy.disaggregated:
        return
    found = HANDOFFS[row.handoff](subject.model, strategy.pool_for("prefill"), strategy.pool_for("decode"))
    if found is not None:
        why, pair = found
        changed = [pool for pool in pair if pool not in strategy.pools]
        nearest = describe_strategy(Strategy(pools=pair))
        yield Hit("/strategy/pools", engine=row.title, why=why, nearest=nearest, repair=pools_to_set(changed))


def _shared_in_prefill() -> Subject:
    shared = pool(MLA, tp=2, moe_tp=2, dcp_size=2, ep_lowering="replicated", name="prefill", phases=("prefill",))
    whole = pool(MLA, tp=2, moe_tp=2, ep_lowering="replicated", name="decode", phases=("decode",))
    return about(plan(MLA, shared, whole), problem(MLA, engine="sglang"))
