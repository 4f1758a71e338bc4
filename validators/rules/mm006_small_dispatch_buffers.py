"""MM006."""

from collections.abc import Iterator

from strategy.memory import GIB, LOW_LATENCY_DISPATCH_TOKENS
from strategy.model import ModelSpec
from strategy.request import Workload
from strategy.strategy import Pool
from strategy.work import ROUTING_BYTES
from validators.choices import decodes
from validators.examples_moe import DEEPSEEK_V3, asked, named, planned
from validators.registry import Hit, rule
from validators.subject import Subject

_BUSY = asked(DEEPSEEK_V3, hosts=4, workload=Workload(isl=1024, osl=512, concurrency=16_384))


@rule(
    code="MM006",
    stage="memory",
    severity="warning",
    message="decode sends {tokens} tokens per rank, but low-latency all_to_all buffers are counted for {counted}: for {tokens} they take {gib:.1f} GiB",
    hint="keep concurrency at or below {most:,}, set dispatch_mode.decode to throughput, or leave {gib:.1f} GiB free",
    sources=("deepep: csrc/legacy/config.hpp LowLatencyLayout",),
    knowledge="memory.md#dispatch-buffers",
    requires=frozenset({"MM001"}),
    passes=lambda: named(
        "64 sequences over 32 ranks", lambda: planned(DEEPSEEK_V3, asked(DEEPSEEK_V3, hosts=4), dp=32, ep=32)
    ),
    fails=lambda: named("16384 sequences over 32 ranks", lambda: planned(DEEPSEEK_V3, _BUSY, dp=32, ep=32)),
)
def small_dispatch_buffers(subject: Subject) -> Iterator[Hit]:
    """Low-latency kernels keep a slot for every expert and token, sent and received, twice: their buffers grow with the tokens of a rank."""
    if subject.problem is None or subject.problem.workload.concurrency is None or subject.model.moe is None:
        return
    concurrency = subject.problem.workload.concurrency
    for path, pool in subject.pools():
        ranks = pool.replicas * pool.width
        tokens = -(-concurrency // ranks)
        if _dispatches_low_latency(pool) and tokens > LOW_LATENCY_DISPATCH_TOKENS:
            yield Hit(
                f"{path}/dispatch_mode/decode",
                tokens=tokens,
                counted=LOW_LATENCY_DISPATCH_TOKENS,
                gib=_buffer_bytes(subject.model, tokens) / GIB,
                most=LOW_LATENCY_DISPATCH_TOKENS * ranks,
            )


def _dispatches_low_latency(pool: Pool) -> bool:
    spread = pool.experts is not None and pool.experts.ep_size > 1 and pool.ep_lowering == "all_to_all"
    return spread and decodes(pool) and pool.dispatch_mode.decode == "low_latency"


def _buffer_bytes(model: ModelSpec, tokens: int) -> int:
    """Two sets of a send and a receive slot per expert and token: a bf16 hidden vector with its routing record."""
    num_experts = 0 if model.moe is None else model.moe.num_experts
    return 4 * num_experts * tokens * 2 * (model.expert_features + ROUTING_BYTES)
