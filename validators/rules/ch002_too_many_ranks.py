"""CH002."""

import json
from collections.abc import Iterator

from validators.examples import dense, edit, example
from validators.registry import Hit, rule
from validators.subject import Subject

MAX_RANKS = 1 << 20


@rule(
    code="CH002",
    stage="strategy",
    severity="error",
    message="the strategy has {world:,} ranks: {sum}; at most {limit:,} can be laid out",
    hint="lower a degree: the world is the sum over pools of replicas x pp_size x dp_size x cp_size x tp_size, for instance: {repair}",
    sources=(
        "S3 Key Formulas",
        "vllm: config/parallel.py:964-968, 627-629",
        "megatron: core/parallel_state.py:813-826",
    ),
    knowledge="combinations.md#world-size",
    settles=("X22",),
    passes=lambda: [example("8 ranks", dense)],
    fails=lambda: [
        example(
            "two degrees of 4096",
            lambda: edit(
                edit(dense(), "/strategy/pools/0/replicas", 4096), "/strategy/pools/0/attention/dp_size", 4096
            ),
        )
    ],
)
def too_many_ranks(subject: Subject) -> Iterator[Hit]:
    """The world is the product of the degrees of each pool; expert degrees overlay the same ranks and do not multiply it."""
    strategy = subject.dag.strategy
    if strategy.world_size > MAX_RANKS:
        parts = [
            f"{p.replicas} x {p.pp_size} x {p.attention.dp_size} x {p.attention.cp_size} x {p.attention.tp_size}"
            for p in strategy.pools
        ]
        yield Hit(
            "/strategy/pools",
            world=strategy.world_size,
            sum=" + ".join(parts),
            limit=MAX_RANKS,
            repair=_repair(subject),
        )


def _repair(subject: Subject) -> str:
    """The largest pool without the copies that multiply it."""
    pool = max(subject.dag.strategy.pools, key=lambda one: one.world_size)
    attention = json.dumps({**pool.attention.model_dump(), "dp_size": 1})
    return f'set pool `{pool.name}` to {{"replicas": 1, "attention": {attention}}}'
