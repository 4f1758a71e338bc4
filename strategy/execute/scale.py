"""The scaled-down model, meshes and batch that stand for the real ones: same structure, small numbers.

What is kept: the attention kind, the dense and MoE layers, windows, shared and redundant experts, every pipeline stage, and how
degrees relate to each other and to the KV heads (equal, smaller, divisible). A mesh of up to `KEPT_WIDTH` ranks is kept as it is; a larger
one shrinks to about that.
"""

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import count, product

import numpy as np

from strategy.execute.values import Ints, RunError
from strategy.model import GatedDeltaNet, GqaAttention, LayerShape, Mamba2, MlaAttention, ModelSpec, Moe, RecurrentMixer
from strategy.strategy import AttentionMesh, ExpertMesh, Phase, Pool, Strategy

KEPT_WIDTH = 32
MAX_WIDTH = 64
MAX_REPLICAS = 2
"""Independent replicas share nothing and run one program: two of them show that they are independent."""
PROMPT_TOKENS = 4
"""Mean prompt length without context parallelism; the lengths themselves differ."""
MIN_WINDOW_TOKENS = 3
SCALED_GROUPS = 4
"""Expert groups of node-limited routing, at most."""
SCALED_DEGREES = (1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 24, 32)

Degrees = tuple[int, ...]


@dataclass(frozen=True)
class Scaled:
    """A model and one pool per phase, small enough to run."""

    model: ModelSpec
    pools: dict[Phase, Pool]
    real_model: ModelSpec
    real_pools: dict[Phase, Pool]
    num_sequences: int
    unit_tokens: int
    """Tokens of a prompt that its cp ranks share evenly."""
    first_chunk: int | None
    """Positions of every prompt in the first of two prefill chunks; None when a prompt comes in one piece."""

    @property
    def colocated(self) -> bool:
        """Whether both phases run on the same ranks."""
        return self.real_pools["prefill"].name == self.real_pools["decode"].name


def scale(model: ModelSpec, strategy: Strategy, *, ring: bool = False) -> Scaled:
    """Model and pools with the structure of the given ones; cp_size stays where a document counts the hops of a `ring`.

    Raises RunError when the strategy has no meaning (meshes of two widths).
    """
    real: dict[Phase, Pool] = {phase: _pool(strategy, phase) for phase in ("prefill", "decode")}
    pools = {phase: _scaled_pool(pool, keep_cp=ring) for phase, pool in real.items()}
    pairs = [(real[phase], pools[phase]) for phase in pools]
    small = _scaled_model(model, pairs)
    pools = {phase: _with_redundancy(pool) for phase, pool in pools.items()}
    unit = _shared_tokens(pools["prefill"])
    chunk = None if pools["prefill"].chunk_tokens is None else 2 if unit == 1 else unit
    scaled = Scaled(small, pools, model, real, _num_sequences(list(pools.values())), unit, chunk)
    return replace(scaled, model=_with_window(scaled))


def _shared_tokens(pool: Pool) -> int:
    """The fewest tokens of a prompt that give every cp rank equally many."""
    if not pool.sp_kind.startswith("cp_"):
        return 1
    return pool.attention.cp_size * (2 if pool.cp_order == "zigzag" else 1)


def _pool(strategy: Strategy, phase: Phase) -> Pool:
    pool = strategy.pool_for(phase)
    if phase not in pool.phases:
        raise RunError(f"no pool serves {phase}", node="strategy")
    experts = pool.experts
    if experts is not None and experts.width != pool.width:
        raise RunError(
            f"pool `{pool.name}`: the expert mesh has {experts.width} ranks, the attention mesh {pool.width}",
            node="strategy",
        )
    if pool.attention.cp_size * pool.attention.tp_size % pool.dcp_size:
        inside = f"{pool.attention.cp_size * pool.attention.tp_size} ranks of an attention replica"
        raise RunError(
            f"pool `{pool.name}`: the {inside} do not form groups of dcp_size={pool.dcp_size}", node="strategy"
        )
    return pool


def _scaled_pool(pool: Pool, *, keep_cp: bool) -> Pool:
    replicas = min(pool.replicas, MAX_REPLICAS)
    attention, experts = pool.attention, pool.experts or ExpertMesh.model_construct(dp_size=pool.width)
    dcp = pool.dcp_size
    real = (attention.dp_size, attention.cp_size, attention.tp_size, experts.dp_size, experts.ep_size, experts.tp_size)
    if pool.width > KEPT_WIDTH:
        dp, cp, tp, moe_dp, ep, moe_tp, dcp = _smaller_mesh(real, pool.dcp_size, pool.experts is not None, keep_cp)
    else:
        dp, cp, tp, moe_dp, ep, moe_tp = real
    return pool.model_copy(
        update={
            "replicas": replicas,
            "attention": AttentionMesh(dp_size=dp, cp_size=cp, tp_size=tp),
            "experts": None if pool.experts is None else ExpertMesh(dp_size=moe_dp, ep_size=ep, tp_size=moe_tp),
            "dcp_size": dcp,
        }
    )


@lru_cache(maxsize=256)
def _smaller_mesh(real: Degrees, dcp_size: int, has_experts: bool, keep_cp: bool) -> Degrees:
    """Degrees of at most MAX_WIDTH ranks whose relations (order, divisibility) differ least from the real ones; dcp_size last."""
    best: tuple[int, int, Degrees] | None = None
    compared = slice(None) if has_experts else slice(3)
    for attention in _small_triples(real[:3]):
        if keep_cp and attention[1] != real[1]:
            continue
        experts: list[Degrees] = [(math.prod(attention), 1, 1)]
        if has_experts:
            experts = [e for e in _small_triples(real[3:]) if math.prod(e) == math.prod(attention)]
        for expert in experts:
            candidate = (*attention, *expert)
            unlike = _unlikeness(real[compared], candidate[compared])
            dcp, more = _smaller_dcp(real, dcp_size, candidate)
            found = (unlike + more, abs(KEPT_WIDTH - math.prod(attention)), (*candidate, dcp))
            best = found if best is None else min(best, found)
    if best is None:
        raise RunError(f"a mesh of degrees {real} cannot be scaled down to {MAX_WIDTH} ranks", node="strategy")
    return best[2]


def _smaller_dcp(real: Degrees, dcp_size: int, small: Degrees) -> tuple[int, int]:
    """The dcp_size of a smaller mesh that is most like the real one, and by how many relations it is not."""
    inside = small[1] * small[2]
    choices = [d for d in range(1, inside + 1) if inside % d == 0 and (d == 1) == (dcp_size == 1)] or [1]
    compared = (1, 2)

    def unlike(dcp: int) -> int:
        return sum(_relation(dcp_size, real[i]) != _relation(dcp, small[i]) for i in compared)

    chosen = min(choices, key=unlike)
    return chosen, unlike(chosen)


def _small_triples(real: Degrees) -> list[Degrees]:
    choices = [[d for d in SCALED_DEGREES if (d == 1) == (size == 1) and d <= size] for size in real]
    return [triple for triple in product(*choices) if math.prod(triple) <= MAX_WIDTH]


def _unlikeness(real: Degrees, small: Degrees) -> int:
    return sum(_relation(real[i], real[j]) != _relation(small[i], small[j]) for i in range(len(real)) for j in range(i))


def _relation(a: int, b: int) -> tuple[bool, bool, bool]:
    return a > b, a % b == 0, b % a == 0


def _scaled_model(model: ModelSpec, pairs: list[tuple[Pool, Pool]]) -> ModelSpec:
    unit = math.lcm(*(pool.width for _, pool in pairs))
    update: dict[str, object] = {
        "hidden_size": _at_least(40, unit),
        "vocab_size": _at_least(64, unit),
        "attention": _scaled_attention(model.attention, [degree for pair in pairs for degree in _head_degrees(*pair)]),
        "intermediate_size": None if model.intermediate_size is None else _at_least(32, unit),
    }
    if model.layer_shapes:
        update["layer_shapes"] = _scaled_shapes(model, pairs, unit)
    if model.linear is not None:
        update["linear"] = _scaled_net(model.linear, math.lcm(*(pool.attention.tp_size for _, pool in pairs)))
    if model.moe is not None:
        experts = [pool.experts or ExpertMesh() for _, pool in pairs]
        update["moe"] = _scaled_moe(
            model.moe, math.lcm(*(e.ep_size for e in experts)), math.lcm(*(e.tp_size for e in experts)), unit
        )
    return model.model_copy(update=update)


def _scaled_net(net: RecurrentMixer, tp_size: int) -> RecurrentMixer:
    """Few small heads, in groups where there were groups; a convolution that reaches back over the border of the phases."""
    keys = _at_least(min(2, net.num_key_heads), tp_size)
    heads = 2 * keys if net.num_value_heads > net.num_key_heads else keys
    keys = 1 if net.repeated else keys
    taps = min(3, net.conv_kernel)
    if isinstance(net, Mamba2):
        return Mamba2(num_heads=heads, head_dim=5, num_groups=keys, state_size=4, conv_kernel=taps)
    return GatedDeltaNet(num_key_heads=keys, num_value_heads=heads, key_head_dim=4, value_head_dim=5, conv_kernel=taps)


def _scaled_shapes(model: ModelSpec, pairs: list[tuple[Pool, Pool]], unit: int) -> tuple[LayerShape, ...]:
    """Sizes of their own that stand to every degree as the real ones do; widths that differed next to each other differ still."""
    degrees = [degree for pair in pairs for degree in _head_degrees(*pair)]
    widths = sorted({view.intermediate_size or 0 for view, _ in model.dense_sizes()})
    found = []
    for shape in model.layer_shapes:
        attention = _scaled_attention(model.at(shape.range[0]).attention, degrees)
        own = {}
        if attention.kind == "gqa":
            own = {"num_heads": attention.num_heads, "num_kv_heads": attention.num_kv_heads}
        if shape.intermediate_size is not None and shape.intermediate_size in widths:
            own["intermediate_size"] = _at_least(32, unit) + unit * (1 + widths.index(shape.intermediate_size) % 3)
        found.append(LayerShape(range=shape.range, **own))
    return tuple(found)


def _with_window(scaled: Scaled) -> ModelSpec:
    """A window shorter than the prompts, at whose border no phase and no chunk starts: attention over chunks forgets nothing in between."""
    model = scaled.model
    if model.window is None:
        return model
    starts = prompt_lengths(scaled) if scaled.unit_tokens > 1 else np.array([], dtype=np.int64)
    borders = {*map(int, starts), *([scaled.first_chunk] if scaled.first_chunk else [])}
    size = next(n for n in count(MIN_WINDOW_TOKENS) if all(border % n for border in borders))
    return model.model_copy(update={"window": model.window.model_copy(update={"size_tokens": size})})


def _scaled_moe(moe: Moe, ep_size: int, tp_size: int, width: int) -> Moe:
    """Few experts and groups of them, as many choices among them as there were."""
    top_k = min(moe.top_k, 4)
    groups = min(moe.num_expert_groups, SCALED_GROUPS)
    fewer = moe.top_k_groups < moe.num_expert_groups
    chosen = min(max(1, moe.top_k_groups * groups // moe.num_expert_groups), groups - 1) if fewer else groups
    smallest = top_k if moe.num_experts == moe.top_k else 2 * top_k
    in_chosen = groups * math.ceil((top_k + 1) / chosen) if fewer else 1
    return moe.model_copy(
        update={
            "num_experts": _at_least(max(smallest, in_chosen), math.lcm(ep_size, groups)),
            "top_k": top_k,
            "expert_intermediate_size": _at_least(12, tp_size),
            "shared_intermediate_size": _at_least(24, width) if moe.shared_intermediate_size else 0,
            "latent_size": None if moe.latent_size is None else 20,
            "num_expert_groups": groups,
            "top_k_groups": chosen,
        }
    )


def _head_degrees(real: Pool, small: Pool) -> list[tuple[int, int]]:
    """Over how many ranks heads are split, really and scaled down: tp, cp inside it, and tp without the ranks that share a cache."""
    degrees = [tuple(pool.attention.tp_size for pool in (real, small))]
    if real.sp_kind == "cp_ulysses" or real.cp_decode_use == "tp_slice":
        degrees.append(tuple(pool.attention.tp_size * pool.attention.cp_size for pool in (real, small)))
    if real.dcp_size > 1:
        degrees.append(tuple(max(1, pool.attention.tp_size // pool.dcp_size) for pool in (real, small)))
    return [(first, second) for first, second in degrees]


def _at_least(minimum: int, unit: int) -> int:
    return unit * math.ceil(minimum / unit)


def _scaled_attention(
    attention: GqaAttention | MlaAttention, degrees: list[tuple[int, int]]
) -> GqaAttention | MlaAttention:
    unit = math.lcm(*(small for _, small in degrees))
    if attention.kind == "mla":
        small = {
            "num_heads": _at_least(2, unit),
            "q_lora_rank": None if attention.q_lora_rank is None else 20,
            "kv_lora_rank": 12,
            "qk_nope_head_dim": 6,
            "qk_rope_head_dim": 4,
            "v_head_dim": 5,
        }
        return attention.model_copy(update=small)
    kv_heads = _scaled_kv_heads(attention.num_kv_heads, degrees)
    grouped = attention.num_heads > attention.num_kv_heads
    group = next(g for g in range(2 if grouped else 1, 2 * unit + 2) if not grouped or kv_heads * g % unit == 0)
    return attention.model_copy(update={"num_heads": kv_heads * group, "num_kv_heads": kv_heads, "head_dim": 6})


def _scaled_kv_heads(kv_heads: int, degrees: list[tuple[int, int]]) -> int:
    """The fewest KV heads (two if the model has several) that stand to every tp_size as the real ones do."""
    unit = math.lcm(*(small for _, small in degrees))
    for small_heads in range(min(2, kv_heads), 2 * unit + 3):
        if all(_relation(kv_heads, real) == _relation(small_heads, small) for real, small in degrees):
            return small_heads
    whole = [n for n in range(1, unit + 1) if all(n % small == 0 or small % n == 0 for _, small in degrees)]
    return min(whole, key=lambda n: abs(n - kv_heads))


def _with_redundancy(pool: Pool) -> Pool:
    if not pool.redundant_experts or pool.experts is None:
        return pool
    return pool.model_copy(update={"redundant_experts": pool.experts.ep_size})


def _num_sequences(pools: list[Pool]) -> int:
    """Sequences such that every attention replica has several, and rows divide over its ranks in both phases."""
    per_pool = []
    for pool in pools:
        ranks = pool.attention.tp_size * pool.attention.cp_size
        per_pool.append(pool.replicas * pool.attention.dp_size * (ranks if ranks > 1 else 2))
    return math.lcm(*per_pool)


def prompt_lengths(scaled: Scaled) -> Ints:
    """[sequences]: lengths that differ, with the same sum in every attention replica of the prefill pool."""
    pool = scaled.pools["prefill"]
    holders = pool.replicas * pool.attention.dp_size
    each = scaled.num_sequences // holders
    if scaled.unit_tokens > 1:
        units = np.ones(each, dtype=np.int64)
        units[: _longer_prompts(each, pool.attention.tp_size)] = 2
        return scaled.unit_tokens * (np.tile(units, holders) + (scaled.first_chunk is not None))
    lengths = np.full((holders, each), PROMPT_TOKENS, dtype=np.int64)
    for holder, pair in product(range(holders), range(each // 2)):
        longer = 1 if scaled.first_chunk else 1 + (holder + pair) % (PROMPT_TOKENS - 1)
        lengths[holder, 2 * pair] += longer
        lengths[holder, 2 * pair + 1] -= longer
    return lengths.ravel()


def _longer_prompts(prompts: int, tp_size: int) -> int:
    """How many of the prompts of one replica are twice as long: some, and so many that tp ranks can share the rows evenly."""
    return tp_size * max(1, prompts // 4 // tp_size)
