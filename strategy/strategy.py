"""A parallel strategy: pools of GPUs, each with two meshes over the same ranks of a pipeline stage."""

from typing import Literal

from pydantic import Field, model_validator

from strategy.values import Count, Degree, Frozen, Size

Phase = Literal["prefill", "decode"]
SpKind = Literal["none", "megatron", "cp_allgather", "cp_ring", "cp_ulysses"]
EpLowering = Literal["all_to_all", "all_gather", "replicated"]
DispatchMode = Literal["throughput", "low_latency"]
CpDecodeUse = Literal["batch_shard", "replicate", "tp_slice", "dcp"]
LayerRange = tuple[Count, Count]
"""Half-open: `[0, 40]` is layers 0 to 39."""


class AttentionMesh(Frozen):
    """How one stage's ranks split attention; the product of the degrees is the stage width W."""

    dp_size: Degree = 1
    cp_size: Degree = 1
    tp_size: Degree = 1

    @property
    def width(self) -> int:
        """Ranks of a stage."""
        return self.dp_size * self.cp_size * self.tp_size


class ExpertMesh(Frozen):
    """How the same ranks split the experts; the product of the degrees is W as well."""

    dp_size: Degree = 1
    ep_size: Degree = 1
    tp_size: Degree = 1

    @property
    def width(self) -> int:
        """Ranks of a stage."""
        return self.dp_size * self.ep_size * self.tp_size


class DispatchModes(Frozen):
    """Which kind of all_to_all kernel each phase uses."""

    prefill: DispatchMode = "throughput"
    decode: DispatchMode = "low_latency"


class Pool(Frozen):
    """Identical replicas that serve the same phases."""

    name: str = Field(default="serve", min_length=1, max_length=64, pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$")
    phases: tuple[Phase, ...] = ("prefill", "decode")
    replicas: Degree = 1
    """Independent data parallelism, outermost: no communication between replicas."""
    pp_size: Degree = 1
    stages: tuple[LayerRange, ...] = Field(max_length=4096)
    attention: AttentionMesh = AttentionMesh()
    experts: ExpertMesh | None = None
    """None for dense models."""
    sp_kind: SpKind = "none"
    """Prefill only."""
    dp_layout: Literal["outer", "inner"] = "outer"
    """outer: attention replicas hold consecutive stages (vLLM); inner: they sit inside each stage (SGLang, TensorRT-LLM)."""
    ep_lowering: EpLowering = "all_to_all"
    dcp_size: Degree = 1
    """Decode context parallelism: KV sequence-sharded over TP ranks."""
    redundant_experts: Count = 0
    dense_ffn: Literal["local", "gathered"] = "local"
    """What a dense FFN does under DP attention: stays in the replica, or gathers tokens over the stage."""
    lm_head: Literal["local", "gathered"] = "local"
    moe_layout: Literal["moe_tp_fastest", "ep_fastest"] = "moe_tp_fastest"
    """Rank order of the expert mesh: SGLang's, or TensorRT-LLM's."""
    cp_order: Literal["zigzag", "contiguous"] = "zigzag"
    """Which positions of a prompt a cp rank holds: two chunks, one from either end (balanced under a causal mask), or one run."""
    cp_decode_use: CpDecodeUse | None = None
    """What the cp ranks of a colocated pool do in decode."""
    dispatch_mode: DispatchModes = DispatchModes()
    microbatches: Degree = 1
    """Batches in flight over the pipeline stages."""
    chunk_tokens: Size | None = None
    """Tokens of one prefill chunk; None runs a prompt in one piece."""

    @property
    def width(self) -> int:
        """Ranks of one stage, W."""
        return self.attention.width

    @property
    def ranks_per_replica(self) -> int:
        """Ranks of one independent replica."""
        return self.pp_size * self.width

    @property
    def world_size(self) -> int:
        """Ranks of the pool."""
        return self.replicas * self.ranks_per_replica


class Strategy(Frozen):
    """One pool when colocated, two (prefill, decode) when disaggregated."""

    pools: tuple[Pool, ...] = Field(min_length=1, max_length=2)

    @model_validator(mode="after")
    def _distinct_names(self) -> "Strategy":
        names = [pool.name for pool in self.pools]
        if len(set(names)) != len(names):
            raise ValueError(f"pool names must differ, got {names}")
        return self

    @property
    def world_size(self) -> int:
        """GPUs in use."""
        return sum(pool.world_size for pool in self.pools)

    @property
    def disaggregated(self) -> bool:
        """Whether prefill and decode have pools of their own."""
        return len(self.pools) > 1

    def pool_for(self, phase: Phase) -> Pool:
        """The pool that serves `phase` (the first one when none claims it)."""
        return next((pool for pool in self.pools if phase in pool.phases), self.pools[0])

    def first_rank(self, pool: Pool) -> int:
        """Global rank at which `pool` starts; pools are laid out in order."""
        start = 0
        for other in self.pools:
            if other.name == pool.name:
                return start
            start += other.world_size
        raise ValueError(f"pool `{pool.name}` is not in this strategy")


def combination(pool: Pool, phase: Phase = "prefill") -> tuple[str, ...]:
    """The source documents' name of the combination: the members of TP, SP, PP, EP with a degree above one."""
    attention, experts = pool.attention, pool.experts
    tp = attention.tp_size > 1 or (experts is not None and experts.tp_size > 1)
    sp = phase == "prefill" and pool.sp_kind != "none"
    active = {"TP": tp, "SP": sp, "PP": pool.pp_size > 1, "EP": experts is not None and experts.ep_size > 1}
    return tuple(name for name, on in active.items() if on)


def describe(pool: Pool) -> str:
    """A pool in one line, as engineers say it: `TP8 x PP2, 2 replicas`."""
    attention, experts = pool.attention, pool.experts
    degrees = [
        ("DPattn", attention.dp_size),
        ("CP", attention.cp_size),
        ("TP", attention.tp_size),
        ("PP", pool.pp_size),
    ]
    if experts is not None:
        degrees += [("EP", experts.ep_size), ("ETP", experts.tp_size), ("EDP", experts.dp_size)]
    text = " x ".join(f"{name}{size}" for name, size in degrees if size > 1) or "one GPU"
    if pool.dcp_size > 1:
        text += f", DCP{pool.dcp_size}"
    return text if pool.replicas == 1 else f"{pool.replicas} replicas of {text}"


def describe_strategy(strategy: Strategy) -> str:
    """A whole strategy in one line; the pools by name when there are two."""
    if not strategy.disaggregated:
        return describe(strategy.pools[0])
    return ", ".join(f"{pool.name} {describe(pool)}" for pool in strategy.pools)
