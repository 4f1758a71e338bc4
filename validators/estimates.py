"""Figures that a document claims for its plan, against what its shapes allow: each wrong figure belongs to the rule of its usual cause.

Memory is compared with the exact sum over weights and caches. Times are compared with bounds that no implementation beats: weights are
read once a step on every stage, a prompt's arithmetic runs at most at peak, a collective moves its bytes at most at link speed.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

from strategy.memory import max_concurrency, memory_gb, stage_memory, stage_weight_bytes
from strategy.model import Dtype
from strategy.parameters import active_parameters, parameters_by_class
from strategy.parameters import weight_bytes as model_bytes
from strategy.quantisation import element_bytes, quantised_bytes
from strategy.request import Problem
from strategy.result import Estimate
from strategy.strategy import Pool
from validators.registry import Hit
from validators.subject import Subject

TOLERANCE = 0.02
MARGIN = 0.95
"""Bounds are told only when a figure is clearly below them."""


class Fault(NamedTuple):
    """One figure that cannot be right, with the code of the rule that names its cause."""

    code: str
    path: str
    claimed: str
    right: str
    cause: str


def estimate_hits(subject: Subject, code: str) -> Iterator[Hit]:
    """The figures that belong to `code`."""
    for fault in subject.estimate_faults:
        if fault.code == code:
            yield Hit(fault.path, claimed=fault.claimed, right=fault.right, cause=fault.cause)


def estimate_faults(subject: Subject) -> tuple[Fault, ...]:
    """Every figure of the claims that cannot be right. Needs a request: without one no figure means anything."""
    if subject.problem is None:
        return ()
    claims = subject.claims
    if claims.estimate is None and (claims.layout is None or not (claims.layout.weights_gb or claims.layout.tflop)):
        return ()
    return tuple(_Audit(subject, subject.problem).faults())


def _near(a: float, b: float) -> bool:
    return abs(a - b) <= TOLERANCE * max(abs(a), abs(b))


class _Audit:
    def __init__(self, subject: Subject, problem: Problem) -> None:
        self.subject, self.problem = subject, problem
        self.model, self.strategy = problem.model, subject.dag.strategy
        self.layout, self.estimate = subject.claims.layout, subject.claims.estimate

    def faults(self) -> Iterator[Fault]:
        if self.estimate is not None:
            yield from self._weights(self.estimate)
            yield from self._cache(self.estimate)
            yield from self._reserve(self.estimate)
            yield from self._concurrency(self.estimate)
            yield from self._step(self.estimate)
            yield from self._prompt(self.estimate)
            yield from self._links(self.estimate)
        yield from self._sums()

    # --- memory -------------------------------------------------------------------------------------------------------

    @cached_property
    def fullest(self) -> Pool:
        """The pool with the fullest rank."""
        return max(self.strategy.pools, key=lambda pool: max(self._stages(pool)))

    def _stages(self, pool: Pool) -> list[float]:
        return [size / 1e9 for size in stage_weight_bytes(self.model, self.problem.precision, pool)]

    def _weights(self, said: Estimate) -> Iterator[Fault]:
        claimed, stages = said.memory_gb.weights, self._stages(self.fullest)
        if _near(claimed, max(stages)):
            return
        code, cause = self._cause_of_weights(claimed, self.fullest, stages)
        yield Fault(code, "/estimate/memory_gb/weights", f"{claimed:.1f} GB", f"{max(stages):.1f} GB", cause)

    def _cause_of_weights(self, claimed: float, pool: Pool, stages: list[float]) -> tuple[str, str]:
        total = model_bytes(self.model, self.problem.precision) / 1e9
        if len(stages) > 1 and _near(claimed, sum(stages) / len(stages)):
            return "MM008", "it is the mean over stages; the fullest one must fit"
        everywhere = sum(parameters_by_class(self.model).values()) * quantised_bytes(self.model.checkpoint) / 1e9
        shipped = self.problem.precision.weights == self.model.checkpoint.weights and not _near(everywhere, total)
        shares = (max(stages) * everywhere / total, everywhere / pool.ranks_per_replica)
        if shipped and any(_near(claimed, share) for share in shares):
            return (
                "MM010",
                "it counts every weight as quantised; embedding, head, norms and router are not, and scales take room",
            )
        if _near(claimed, total / pool.ranks_per_replica) and pool.attention.dp_size > 1:
            return (
                "MM005",
                "it divides all weights by the ranks; attention replicas hold copies of the attention weights",
            )
        return (
            "MM002",
            "add up what the fullest rank holds: shards, copies of KV heads, latent projections, norms, router, both ends",
        )

    def _cache(self, said: Estimate) -> Iterator[Fault]:
        claimed = said.memory_gb.kv
        right = memory_gb(self.problem, self.strategy, said.concurrency).kv
        if _near(claimed, right) or claimed == right:
            return
        code, cause = self._cause_of_cache(claimed, right)
        yield Fault(code, "/estimate/memory_gb/kv", f"{claimed:.2f} GB", f"{right:.2f} GB", cause)

    def _cause_of_cache(self, claimed: float, right: float) -> tuple[str, str]:
        pool = self.strategy.pool_for("decode")
        whole = self.model.model_copy(update={"window": None})
        if self.model.window is not None:
            full = memory_gb(self.problem.model_copy(update={"model": whole}), self.strategy, 1).kv
            windowed = memory_gb(self.problem, self.strategy, 1).kv
            if _near(claimed / right, full / windowed):
                return "AT009", "it counts the whole context for layers that see a window only"
        shards = pool.attention.cp_size if pool.sp_kind.startswith("cp_") else pool.attention.tp_size
        if pool.sp_kind != "none" and self.model.attention.kind == "gqa" and _near(claimed * shards, right):
            return "SP010", "it divides the cache by the token shards of prefill, and every rank keeps all positions"
        return (
            "MM003",
            "2 x KV heads of the rank x head_dim x layers of the stage per token; a latent is not divided by tp, only dcp divides positions",
        )

    def _reserve(self, said: Estimate) -> Iterator[Fault]:
        right = memory_gb(self.problem, self.strategy, said.concurrency).other
        if said.memory_gb.other < right / 2:
            claimed = f"{said.memory_gb.other:.2f} GB"
            yield Fault(
                "MM009",
                "/estimate/memory_gb/other",
                claimed,
                f"{right:.2f} GB",
                "context, graphs, NCCL and fragmentation take room",
            )

    def _concurrency(self, said: Estimate) -> Iterator[Fault]:
        right = max_concurrency(self.problem, self.strategy)
        if said.max_concurrency > max(right + 1, right * (1 + TOLERANCE)):
            engine = self.problem.engine or "vllm"
            cause = f"{engine} may use a fraction of {'what is free' if engine == 'trtllm' else 'all memory'}, and not the other way round"
            yield Fault(
                "MM007", "/estimate/max_concurrency", f"{said.max_concurrency:,} sequences", f"{right:,}", cause
            )

    # --- time ---------------------------------------------------------------------------------------------------------

    def _step(self, said: Estimate) -> Iterator[Fault]:
        pool = self.strategy.pool_for("decode")
        stages = [self._read_ms(pool, stage) for stage in range(len(pool.stages))]
        path, claimed = "/estimate/tpot_ms", f"{said.tpot_ms:.2f} ms"
        if said.tpot_ms >= MARGIN * sum(stages):
            return
        bound = f"at least {sum(stages):.2f} ms"
        replicas = pool.replicas * pool.attention.dp_size
        if replicas > 1 and said.tpot_ms >= MARGIN * sum(stages) / replicas:
            yield Fault(
                "CS005",
                path,
                claimed,
                bound,
                "replicas add throughput; a sequence still takes a whole step on one of them",
            )
        elif len(stages) > 1:
            yield Fault(
                "CS004", path, claimed, bound, "a token passes all stages one after the other: their times add up"
            )
        else:
            yield Fault(
                "CS006", path, claimed, bound, "a step reads the weights of every layer once, however small the batch"
            )

    def _read_ms(self, pool: Pool, stage: int) -> float:
        """Time to read what every step of a stage reads: attention and dense weights of its layers."""
        memory = stage_memory(self.problem, pool)[stage]
        start, end = pool.stages[stage]
        experts = 0.0
        if self.model.moe is not None:
            layers = sum(self.model.ffn_kind(layer) == "moe" for layer in range(start, min(end, self.model.num_layers)))
            one = parameters_by_class(self.model).get("expert", 0) / max(1, self.model.num_moe_layers)
            share = layers * one / max(1, pool.width // (pool.experts.dp_size if pool.experts else 1))
            experts = share * max(element_bytes(self.problem.precision.weights), 0.5) * 1.1
        table = self.model.vocab_size * self.model.hidden_size * 4 / pool.attention.tp_size if stage == 0 else 0.0
        return max(0.0, memory.weights_bytes - experts - table) / (self.problem.cluster.gpu.memory_tb_per_s * 1e9)

    @property
    def prompt_tokens(self) -> float:
        """New tokens of one prompt."""
        return self.problem.workload.isl * (1 - self.problem.workload.prefix_hit_ratio)

    def _logical_tflop(self) -> float:
        """Matrix products of the layers for one prompt, in 10^12."""
        counts = parameters_by_class(self.model)
        outside = counts.get("embedding", 0) + counts.get("lm_head", 0) + counts.get("norm", 0)
        return 2 * (active_parameters(self.model) - outside) * self.prompt_tokens / 1e12

    def _prompt(self, said: Estimate) -> Iterator[Fault]:
        pool, gpu = self.strategy.pool_for("prefill"), self.problem.cluster.gpu
        dtypes: tuple[Dtype, ...] = ("bf16", "fp8", "nvfp4")
        peak = max(gpu.tflops(dtype) or 0.0 for dtype in dtypes)
        bound = self._logical_tflop() / (peak * pool.ranks_per_replica) * 1e3
        if said.ttft_ms < MARGIN * bound:
            cause = (
                "the first token waits for the whole prompt: t = all new tokens in prefill, one per sequence in decode"
            )
            yield Fault("CS006", "/estimate/ttft_ms", f"{said.ttft_ms:.2f} ms", f"at least {bound:.2f} ms", cause)

    def _links(self, said: Estimate) -> Iterator[Fault]:
        shares = [share for share in said.breakdown if share.phase == "decode"]
        pool, gpu = self.strategy.pool_for("decode"), self.problem.cluster.gpu
        tp = pool.attention.tp_size
        if not shares or tp == 1:
            return
        batch = said.concurrency / (pool.replicas * pool.attention.dp_size * max(pool.pp_size, pool.microbatches))
        size = max(1.0, batch) * self.model.hidden_size * element_bytes(self.problem.precision.activations)
        bound = self.model.summing_layers * (tp - 1) / tp * size / (gpu.scale_up_gb_per_s * 1e6)
        claimed = sum(share.ms for share in shares if share.kind == "communication")
        if claimed < MARGIN * bound and batch >= 1:
            cause = "each layer sums the attention output over tp, and (g-1)/g of it crosses a link even with in-switch reduction"
            yield Fault(
                "CS003", "/estimate/breakdown", f"{claimed:.3f} ms of communication", f"at least {bound:.3f} ms", cause
            )

    # --- sums over ranks ----------------------------------------------------------------------------------------------

    def _sums(self) -> Iterator[Fault]:
        if self.layout is None:
            return
        if self.layout.weights_gb:
            yield from self._sum_of_weights(sum(self.layout.weights_gb))
        if self.layout.tflop:
            yield from self._sum_of_arithmetic(sum(self.layout.tflop))

    def _sum_of_weights(self, claimed: float) -> Iterator[Fault]:
        right = sum(sum(self._stages(pool)) * pool.width * pool.replicas for pool in self.strategy.pools)
        if _near(claimed, right):
            return
        copies = sum(pool.replicas for pool in self.strategy.pools)
        once = copies * model_bytes(self.model, self.problem.precision) / 1e9
        shared = any(pool.attention.dp_size > 1 for pool in self.strategy.pools) and _near(claimed, once)
        cause = (
            "each attention replica holds attention weights of its own" if shared
            else "shards of a tensor add up to the tensor, times its copies"
        )  # fmt: skip
        yield Fault(
            "DA005" if shared else "CS001", "/layout/weights_gb", f"{claimed:.1f} GB in all", f"{right:.1f} GB", cause
        )

    def _sum_of_arithmetic(self, claimed: float) -> Iterator[Fault]:
        least = self._logical_tflop()
        most = 2 * least + self._attention_tflop()
        if not MARGIN * least <= claimed <= most:
            right = f"{least:.2f} to {most:.2f} TFLOP"
            cause = (
                "the shares of the ranks add up to the arithmetic of the prompt; only copied projections are done twice"
            )
            yield Fault("CS002", "/layout/tflop", f"{claimed:.2f} TFLOP in all", right, cause)

    def _attention_tflop(self) -> float:
        attention = self.model.attention
        width = (
            attention.head_dim if attention.kind == "gqa" else attention.qk_nope_head_dim + attention.qk_rope_head_dim
        )
        return 4 * self.model.num_layers * attention.num_heads * width * self.prompt_tokens**2 / 1e12
