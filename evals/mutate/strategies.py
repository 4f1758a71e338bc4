"""Random legal strategies over every combination, attention kind and lowering, on tiny models."""

from collections.abc import Iterator
from itertools import pairwise, product
from random import Random
from typing import Any, get_args

from strategy.build import build
from strategy.dag import Dag
from strategy.errors import InputError
from strategy.legality import illegal, kv_transfer_compatible
from strategy.model import GatedDeltaNet, GqaAttention, MlaAttention, ModelSpec, Moe, Window
from strategy.strategy import (
    AttentionMesh,
    CpDecodeUse,
    EpLowering,
    ExpertMesh,
    LayerRange,
    Phase,
    Pool,
    SpKind,
    Strategy,
    combination,
)

MAX_WIDTH = 8
"""Ranks of a stage, so that a proof takes milliseconds."""
DEGREES = (1, 2, 2, 3, 4, 4)
TRIES = 400
Wanted = tuple[bool, bool, bool, bool]
"""Whether TP, SP, PP and EP are active."""


def _model(name: str, attention: Any, **fields: Any) -> ModelSpec:
    defaults: dict[str, Any] = {
        "hidden_size": 256, "num_layers": 4, "vocab_size": 768, "attention": attention, "intermediate_size": 768,
    }  # fmt: skip
    return ModelSpec(name=name, **{**defaults, **fields})


_GQA = GqaAttention(num_heads=12, num_kv_heads=4, head_dim=16)
_MLA = MlaAttention(
    num_heads=12, q_lora_rank=64, kv_lora_rank=32, qk_nope_head_dim=16, qk_rope_head_dim=8, v_head_dim=16
)
_NET = GatedDeltaNet(num_key_heads=12, num_value_heads=24, key_head_dim=16, value_head_dim=32)
_EXPERTS = Moe(num_experts=12, top_k=3, expert_intermediate_size=96)
_SHARED = _EXPERTS.model_copy(update={"shared_intermediate_size": 192})

MODELS: tuple[ModelSpec, ...] = (
    _model("tiny-gqa", _GQA),
    _model("tiny-mqa", GqaAttention(num_heads=12, num_kv_heads=1, head_dim=16)),
    _model("tiny-mha", GqaAttention(num_heads=12, num_kv_heads=12, head_dim=16, qk_norm=True)),
    _model("tiny-sliding", _GQA, window=Window(kind="sliding", size_tokens=64, layers=(0, 2))),
    _model("tiny-mla-dense", _MLA),
    _model("tiny-gqa-moe", _GQA, moe=_EXPERTS, intermediate_size=None),
    _model("tiny-mqa-moe", GqaAttention(num_heads=12, num_kv_heads=2, head_dim=16), moe=_SHARED, dense_layers=(0,)),
    _model("tiny-mla-moe", _MLA, moe=_SHARED, dense_layers=(0,)),
    _model("tiny-mla-lite", _MLA.model_copy(update={"q_lora_rank": None}), moe=_SHARED, dense_layers=(0, 1)),
    _model(
        "tiny-interleaved",
        _GQA,
        moe=_SHARED,
        dense_layers=(0, 2),
        window=Window(kind="chunked", size_tokens=64, layers=(0, 1, 3)),
    ),
    _model("tiny-linear", _GQA, linear=_NET, linear_layers=(0, 2, 3)),
    _model("tiny-linear-moe", _MLA, moe=_SHARED, dense_layers=(0,), linear=_NET, linear_layers=(0, 1)),
)
"""GQA, MQA, MHA, MLA with and without a low-rank query; dense, MoE, shared, interleaved; sliding and chunked windows; recurrences."""


def strategies(seed: int) -> Iterator[tuple[ModelSpec, Strategy]]:
    """Endless legal strategies: every (combination, model) in turn where it exists, the rest of each at random."""
    rng = Random(seed)  # noqa: S311 (a fuzzer must be repeatable)
    switch = (False, True)
    cells = list(product(product(switch, switch, switch, switch), MODELS))
    while True:
        rng.shuffle(cells)
        for wanted, model in cells:
            strategy = _drawn(rng, model, wanted)
            if strategy is not None:
                yield model, strategy


def canonical(model: ModelSpec, strategy: Strategy) -> Dag | None:
    """The DAG of a strategy, or None when the field has no scheme for it."""
    try:
        return build(model, strategy)
    except InputError:
        return None


def _drawn(rng: Random, model: ModelSpec, wanted: Wanted) -> Strategy | None:
    """A legal strategy with this combination in prefill, or None when there seems to be none."""
    if wanted[3] and model.moe is None:
        return None
    for _ in range(TRIES):
        pools = _pools(rng, model, wanted)
        if all(illegal(model, pool) is None for pool in pools) and kv_transfer_compatible(pools[0], pools[-1]):
            strategy = Strategy(pools=pools)
            if canonical(model, strategy) is not None:
                return strategy
    return None


def _pools(rng: Random, model: ModelSpec, wanted: Wanted) -> tuple[Pool, ...]:
    if rng.random() < 0.75:
        return (_pool(rng, model, wanted, ("prefill", "decode")),)
    return (
        _pool(rng, model, wanted, ("prefill",)),
        _pool(rng, model, (rng.random() < 0.7, False, rng.random() < 0.4, wanted[3]), ("decode",)),
    )


def _pool(rng: Random, model: ModelSpec, wanted: Wanted, phases: tuple[Phase, ...]) -> Pool:
    _tp, sp, pp, _ep = wanted
    attention, sp_kind = _attention(rng, wanted)
    experts = None if model.moe is None else _experts(rng, attention.width, wanted)
    pp_size = rng.choice((2, 2, 3, 4)) if pp else 1
    context = attention.cp_size > 1 and "decode" in phases
    decode_use = rng.choice(get_args(CpDecodeUse)) if context else None
    return Pool(
        name="serve" if len(phases) > 1 else phases[0],
        phases=phases,
        replicas=rng.choice((1, 1, 1, 2)),
        pp_size=pp_size,
        stages=_stages(rng, model.num_layers, pp_size),
        attention=attention,
        experts=experts,
        sp_kind=sp_kind if sp else "none",
        dp_layout=rng.choice(("outer", "inner")),
        ep_lowering=rng.choice(get_args(EpLowering)),
        dcp_size=_dcp_size(rng, attention, decode_use),
        redundant_experts=_redundant(rng, experts),
        dense_ffn=rng.choice(("local", "gathered")) if attention.dp_size > 1 else "local",
        lm_head=rng.choice(("local", "gathered")) if attention.dp_size > 1 else "local",
        moe_layout=rng.choice(("moe_tp_fastest", "ep_fastest")),
        cp_order=rng.choice(("zigzag", "contiguous")),
        cp_decode_use=decode_use,
        microbatches=rng.choice((1, 2)) if pp else 1,
        chunk_tokens=rng.choice((None, None, None, 512)),
    )


def _attention(rng: Random, wanted: Wanted) -> tuple[AttentionMesh, SpKind]:
    """An attention mesh of at most MAX_WIDTH ranks, and the SP kind that suits it."""
    tp_wanted, sp_wanted = wanted[:2]
    kind: SpKind = rng.choice(get_args(SpKind)[1:] if sp_wanted else ("none",))
    while True:
        tp = rng.choice(DEGREES[1:]) if tp_wanted else 1
        cp = rng.choice((2, 2, 3, 4)) if kind.startswith("cp_") else 1
        dp = 1 if sp_wanted else rng.choice((1, 1, *DEGREES))
        if tp * cp * dp <= MAX_WIDTH:
            return AttentionMesh(dp_size=dp, cp_size=cp, tp_size=tp), kind


def _experts(rng: Random, width: int, wanted: Wanted) -> ExpertMesh:
    """Any expert mesh over the same ranks, with ep where EP is wanted; expert tp counts as TP."""
    tp_wanted, ep_wanted = wanted[0], wanted[3]
    meshes = [
        ExpertMesh(dp_size=width // (ep * tp), ep_size=ep, tp_size=tp)
        for ep, tp in product(range(1, width + 1), repeat=2)
        if width % (ep * tp) == 0 and (ep > 1) == ep_wanted and (tp_wanted or tp == 1)
    ]
    return rng.choice(meshes or [ExpertMesh(dp_size=width)])


def _dcp_size(rng: Random, attention: AttentionMesh, decode_use: CpDecodeUse | None) -> int:
    """Ranks that share one cache in decode: some of the tp ranks now and then, all or the cp ranks where these are said to."""
    tp, cp = attention.tp_size, attention.cp_size
    if decode_use == "dcp":
        return rng.choice([tp * cp, *([cp] if tp % cp == 0 else [])])
    sizes = [n for n in range(2, tp + 1) if tp % n == 0]
    return rng.choice(sizes) if sizes and cp == 1 and rng.random() < 0.3 else 1


def _stages(rng: Random, num_layers: int, pp_size: int) -> tuple[LayerRange, ...]:
    """Contiguous stages, as even or uneven as chance has it."""
    cuts = [0, *sorted(rng.sample(range(1, num_layers), pp_size - 1)), num_layers]
    return tuple(pairwise(cuts))


def _redundant(rng: Random, experts: ExpertMesh | None) -> int:
    return experts.ep_size if experts is not None and experts.ep_size > 1 and rng.random() < 0.2 else 0


def traits(model: ModelSpec, strategy: Strategy) -> list[str]:
    """What a strategy covers, in words that a coverage table counts."""
    prefill, decode = strategy.pool_for("prefill"), strategy.pool_for("decode")
    found = [*_model_traits(model), "disaggregated" if strategy.disaggregated else "colocated"]
    if strategy.disaggregated and (prefill.attention, prefill.pp_size) != (decode.attention, decode.pp_size):
        found.append("disaggregated, different degrees")
    used: tuple[tuple[Phase, Pool], ...] = (("prefill", prefill), ("decode", decode))
    for phase, pool in used:
        found.append(f"{phase} {' x '.join(combination(pool, phase)) or 'one rank'}")
    for pool in strategy.pools:
        found += _pool_traits(model, pool)
    return list(dict.fromkeys(found))


def _model_traits(model: ModelSpec) -> list[str]:
    attention = model.attention
    if attention.kind == "mla":
        kinds = ["MLA, expanded and absorbed", f"MLA, {'low-rank' if attention.q_lora_rank else 'full-rank'} query"]
    elif attention.num_kv_heads == attention.num_heads:
        kinds = ["MHA"]
    else:
        kinds = ["MQA" if attention.num_kv_heads == 1 else "GQA"]
    if model.window is not None:
        kinds.append(f"{model.window.kind} window")
    if model.linear is not None:
        kinds.append("linear attention")
    if model.moe is None:
        return [*kinds, "dense layers"]
    runs = [kind for _, _, kind in model.ffn_runs()]
    order = {1: "MoE layers", 2: "dense layers, then MoE"}.get(len(runs), "dense and MoE layers interleaved")
    return [*kinds, order, *(["shared experts"] if model.moe.shared_intermediate_size else [])]


def _pool_traits(model: ModelSpec, pool: Pool) -> list[str]:
    found = [f"sp_kind {pool.sp_kind}", f"dp_layout {pool.dp_layout}"]
    if pool.experts is not None and pool.experts.width > pool.experts.dp_size:
        found += [f"ep_lowering {pool.ep_lowering}", f"moe_layout {pool.moe_layout}"]
        found += ["expert tp inside ep"] if pool.experts.tp_size > 1 and pool.experts.ep_size > 1 else []
        found += ["expert copies (moe dp)"] if pool.experts.dp_size > 1 else []
    if pool.attention.dp_size > 1:
        lowering = f", {pool.ep_lowering}" if model.moe is not None else ""
        found += [f"DP attention{lowering}", f"dense_ffn {pool.dense_ffn}", f"lm_head {pool.lm_head}"]
    if pool.cp_decode_use:
        found.append(f"{pool.sp_kind}, decode {pool.cp_decode_use}")
    spans = {end - start for start, end in pool.stages}
    named = {
        "dcp": pool.dcp_size > 1, "chunked prefill": pool.chunk_tokens is not None, "microbatches": pool.microbatches > 1,
        "redundant experts": pool.redundant_experts > 0, "independent replicas": pool.replicas > 1, "uneven stages": len(spans) > 1,
    }  # fmt: skip
    return found + [name for name, on in named.items() if on]
