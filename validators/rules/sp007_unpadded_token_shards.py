"""SP007."""

from collections.abc import Iterator

from strategy.strategy import Pool
from validators.examples_moe import LLAMA_8B, asked, named, planned
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="SP007",
    stage="strategy",
    severity="warning",
    message="prefill passes of {tokens} tokens do not split evenly over {ways} token shards: engines pad them to {padded}",
    hint="set chunk_tokens to {padded}",
    sources=("vllm: models/utils.py:1144-1151", "megatron: arguments.py:1335-1338"),
    knowledge="sequence-parallelism.md#padding",
    passes=lambda: named(
        "2048 tokens over 8 ranks",
        lambda: planned(LLAMA_8B, asked(LLAMA_8B), tp=8, sp_kind="megatron", chunk_tokens=2048),
    ),
    fails=lambda: named(
        "1001 tokens over 8 ranks",
        lambda: planned(LLAMA_8B, asked(LLAMA_8B), tp=8, sp_kind="megatron", chunk_tokens=1001),
    ),
)
def unpadded_token_shards(subject: Subject) -> Iterator[Hit]:
    """Token shards are equal: causal context parallelism gives each rank two of them, one early and one late."""
    for path, pool in subject.pools():
        ways = _shards(pool)
        if pool.chunk_tokens is not None and pool.chunk_tokens % ways:
            padded = -(-pool.chunk_tokens // ways) * ways
            yield Hit(f"{path}/chunk_tokens", tokens=pool.chunk_tokens, ways=ways, padded=padded)


def _shards(pool: Pool) -> int:
    if pool.sp_kind == "none":
        return 1
    return pool.attention.tp_size if pool.sp_kind == "megatron" else 2 * pool.attention.cp_size
