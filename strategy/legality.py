"""What a strategy may be, as pure predicates: the search prunes with them and the rules explain with them.

One truth, two users. A predicate answers one question about a model and a pool (or a degree); `illegal` asks them all in the
order in which the rules do and names the first rule that would refuse. None of them looks at a DAG.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from strategy.engine_limits import engine_illegal
from strategy.hardware import Cluster, GpuSpec
from strategy.mesh import Axis, axis_size
from strategy.model import Attention, Checkpoint, Dtype, ModelSpec, WeightClass
from strategy.placement import refine
from strategy.request import Engine, Precision
from strategy.strategy import LayerRange, Pool

Ranks = int | NDArray[np.int64]
Split = TypeVar("Split")
VOCAB_PAD = 64
"""Engines round a vocabulary up to a multiple of this before they split it (vLLM, vocab_parallel_embedding.py)."""
MAX_KNOWN = 8192
"""Answers of `illegal` that are kept, some 2 kB each."""


# --- divisors ---------------------------------------------------------------------------------------------------------


def divisors(number: int, limit: int | None = None) -> list[int]:
    """Positive divisors of `number`, ascending, none above `limit`."""
    top = number if limit is None else min(limit, number)
    return [n for n in range(1, top + 1) if number % n == 0]


def misfit(
    sizes: Sequence[tuple[ModelSpec, int]], fits: Callable[[ModelSpec, Split], bool], split: Split
) -> ModelSpec | None:
    """The first of the sizes that layers have which does not fit."""
    return next((view for view, _ in sizes if not fits(view, split)), None)


# --- attention and dense weights over tp ------------------------------------------------------------------------------


def heads_divide(model: ModelSpec, tp_size: int) -> bool:
    """Each tp rank holds a whole number of query heads (TP001)."""
    return all(view.attention.num_heads % tp_size == 0 for view, _ in model.attention_sizes())


def kv_heads_compatible(model: ModelSpec, tp_size: int) -> bool:
    """KV heads split evenly over tp ranks, or tp ranks split evenly over copies of them; MLA has none to split (TP002)."""
    return all(_kv_heads_fit(view.attention, tp_size) for view, _ in model.attention_sizes())


def _kv_heads_fit(attention: Attention, tp_size: int) -> bool:
    if attention.kind == "mla":
        return True
    return attention.num_kv_heads % tp_size == 0 or tp_size % attention.num_kv_heads == 0


def most_kv_heads(model: ModelSpec) -> int | None:
    """KV heads of the layers that have most of them; None for a latent, which has no heads."""
    found = [view.attention.num_kv_heads for view, _ in model.attention_sizes() if view.attention.kind == "gqa"]
    return max(found, default=None)


def linear_heads_divide(model: ModelSpec, tp_size: int) -> bool:
    """Each tp rank holds whole key heads of a recurrence, and with them the value heads that share them (AT011).

    B and C of a single group are small and repeated on every rank, each of which holds some of its heads.
    """
    net = model.linear
    return net is None or (net.num_value_heads if net.repeated else net.num_key_heads) % tp_size == 0


def states_stay_whole(model: ModelSpec, pool: Pool) -> bool:
    """A recurrence passes its state from token to token: no cp or dcp rank can compute a shard of the tokens alone (AT012)."""
    return model.linear is None or (pool.attention.cp_size == 1 and pool.dcp_size == 1)


def ffn_divides(model: ModelSpec, ways: int) -> bool:
    """The dense FFN width, where the model has one, splits evenly `ways` times (TP004)."""
    if model.intermediate_size is None or not model.has_dense_ffn:
        return True
    return all((view.intermediate_size or 0) % ways == 0 for view, _ in model.dense_sizes())


def dense_ffn_ways(pool: Pool) -> int:
    """Ranks that split one dense FFN: the tp group, or the stage when tokens are gathered first (DA007)."""
    return pool.attention.tp_size if pool.dense_ffn == "local" else pool.width


def lm_head_ways(pool: Pool) -> int:
    """Ranks that split the LM head: the tp group, or the stage when tokens are gathered first (DA008)."""
    return pool.attention.tp_size if pool.lm_head == "local" else pool.width


def shared_expert_ways(pool: Pool) -> int:
    """Ranks that split the shared experts: the tp group where one sum completes routed and shared experts together, else one."""
    if pool.experts is None or pool.ep_lowering != "replicated":
        return 1
    tp = pool.attention.tp_size
    return tp if pool.experts.ep_size * pool.experts.tp_size == tp else 1


def shared_experts_divide(model: ModelSpec, pool: Pool) -> bool:
    """The width of the shared experts, where they are split, splits evenly (TP004)."""
    return model.moe is None or model.moe.shared_intermediate_size % shared_expert_ways(pool) == 0


def padded_vocab(vocab_size: int, tp_size: int, engine: Engine | None = None) -> int:
    """Vocabulary rows after padding: to 64 (vLLM), and further to 64 x tp where that does not divide (the others) (TP005)."""
    padded = -(-vocab_size // VOCAB_PAD) * VOCAB_PAD
    if padded % tp_size == 0 or engine == "vllm":
        return padded
    return -(-vocab_size // (VOCAB_PAD * tp_size)) * VOCAB_PAD * tp_size


def vocab_divides(model: ModelSpec, ways: int, engine: Engine | None = None) -> bool:
    """The padded vocabulary splits evenly; only vLLM's fixed padding can fail to (TP005)."""
    return padded_vocab(model.vocab_size, ways, engine) % ways == 0


def tp_legal(model: ModelSpec, tp_size: int, engine: Engine | None = "vllm") -> bool:
    """Heads of every kind, dense FFN and vocabulary all split over `tp_size` ranks (TP001, AT011, TP002, TP004, TP005)."""
    return (
        heads_divide(model, tp_size)
        and linear_heads_divide(model, tp_size)
        and kv_heads_compatible(model, tp_size)
        and ffn_divides(model, tp_size)
        and vocab_divides(model, tp_size, engine)
    )


def legal_tp_sizes(model: ModelSpec, limit: int, *, engine: Engine | None = "vllm") -> list[int]:
    """Attention tp sizes up to `limit` that the model allows, ascending; by default under the strictest padding."""
    return [tp for tp in divisors(model.attention.num_heads, limit) if tp_legal(model, tp, engine)]


# --- the two meshes ---------------------------------------------------------------------------------------------------


def width_identity(pool: Pool) -> bool:
    """Both meshes cover the same W ranks: dp x cp x tp = moe_dp x ep x moe_tp (DA001, CH003)."""
    return pool.experts is None or pool.experts.width == pool.width


def meshes_nest(pool: Pool) -> bool:
    """The cuts of one mesh refine those of the other, so that each group is made of whole pieces of every other axis (CH004).

    Of six ranks, attention 2 x 3 and experts 3 x 2 cross: a group of two experts ranks holds one and a half tp groups.
    """
    return not width_identity(pool) or not dcp_divides(pool) or refine(pool) is not None


def experts_declared(model: ModelSpec, pool: Pool) -> bool:
    """An MoE model says how its experts are split, inside experts too (CH009)."""
    return model.moe is None or pool.experts is not None


def experts_fit_model(model: ModelSpec, pool: Pool) -> bool:
    """Only an MoE model has experts to split (EP001)."""
    return model.moe is not None or pool.experts is None


def ep_within_experts(model: ModelSpec, pool: Pool) -> bool:
    """No ep rank is left without an expert (EP006)."""
    if model.moe is None or pool.experts is None:
        return True
    return pool.experts.ep_size <= model.moe.num_experts + pool.redundant_experts


def ep_divides(model: ModelSpec, ep_size: int) -> bool:
    """Each ep rank holds the same number of routed experts (EP005)."""
    return model.moe is None or model.moe.num_experts % ep_size == 0


def expert_slots_divide(model: ModelSpec, pool: Pool) -> bool:
    """With EPLB replicas: experts and their copies together split evenly, and there is more than one rank to put them on (EP016)."""
    if pool.redundant_experts == 0:
        return True
    if model.moe is None or pool.experts is None or pool.experts.ep_size == 1:
        return False
    return (model.moe.num_experts + pool.redundant_experts) % pool.experts.ep_size == 0


def legal_ep_sizes(model: ModelSpec, limit: int) -> list[int]:
    """Ep sizes up to `limit` that divide the routed experts; `[1]` for a dense model."""
    return [1] if model.moe is None else divisors(model.moe.num_experts, limit)


def expert_tp_divides(model: ModelSpec, moe_tp_size: int) -> bool:
    """The width of one expert splits evenly over moe_tp ranks (EP011)."""
    return model.moe is None or model.moe.expert_intermediate_size % moe_tp_size == 0


def legal_moe_tp_sizes(model: ModelSpec, limit: int, precision: Precision | None = None) -> list[int]:
    """Expert-TP sizes up to `limit`, also under the checkpoint's quantisation blocks when `precision` keeps them (EP011, QZ003)."""
    if model.moe is None:
        return [1]
    sizes = divisors(model.moe.expert_intermediate_size, limit)
    return [n for n in sizes if precision is None or fp8_block_experts(model, n, precision)]


def replicated_lowering_ok(pool: Pool) -> bool:
    """Every rank of an expert group already holds the group's tokens: it lies inside one tp group (EP003)."""
    if pool.experts is None:
        return True
    group = pool.experts.ep_size * pool.experts.tp_size
    return pool.attention.tp_size % group == 0


def lowering_legal(pool: Pool) -> bool:
    """The declared lowering can bring tokens to their experts and back (EP003)."""
    return pool.ep_lowering != "replicated" or replicated_lowering_ok(pool)


# --- pipeline ---------------------------------------------------------------------------------------------------------


def stages_match_size(pool: Pool) -> bool:
    """One layer range for each stage, none of them empty (PP003)."""
    return len(pool.stages) == pool.pp_size and all(start < end for start, end in pool.stages)


def stages_in_order(pool: Pool) -> bool:
    """Later stages hold later layers (PP004)."""
    starts = [start for start, _ in pool.stages]
    return starts == sorted(starts)


def stages_cover(model: ModelSpec, pool: Pool) -> bool:
    """The ranges, in layer order, are exactly 0 to num_layers with no gap and no overlap (PP002)."""
    return ranges_cover(sorted(pool.stages), model.num_layers)


def ranges_cover(ranges: Sequence[LayerRange], num_layers: int) -> bool:
    """Half-open ranges that follow each other from 0 to `num_layers`; empty ones add nothing."""
    reached = 0
    for start, end in ranges:
        if start == end:
            continue
        if start != reached or end < start:
            return False
        reached = end
    return reached == num_layers


def uncovered_layers(ranges: Sequence[LayerRange], num_layers: int) -> tuple[list[LayerRange], list[LayerRange]]:
    """Half-open runs of layers that no range holds, and of layers that more than one holds or that the model lacks."""
    steps: dict[int, int] = {0: 0, num_layers: 0}
    for start, end in ranges:
        if start < end:
            steps[start] = steps.get(start, 0) + 1
            steps[end] = steps.get(end, 0) - 1
    missing: list[LayerRange] = []
    surplus: list[LayerRange] = []
    depth, places = 0, sorted(steps)
    for start, end in pairwise(places):
        depth += steps[start]
        if start < num_layers and depth == 0:
            missing.append((start, end))
        elif depth > (1 if start < num_layers else 0):
            surplus.append((start, end))
    return missing, surplus


def even_stages(num_layers: int, pp_size: int, engine: Engine | None = None) -> tuple[LayerRange, ...]:
    """Layers over stages as an engine does it by default (PP012).

    A remainder goes one layer each to the middle-right stages (vLLM, also our default), the last (SGLang) or the first ones (TensorRT-LLM).
    Sources: vllm/distributed/utils.py get_pp_indices; sglang get_pp_indices; tensorrt_llm mapping.py pp_layers.
    """
    small, rest = divmod(num_layers, pp_size)
    if engine == "trtllm":
        larger = range(rest)
    elif engine == "sglang":
        larger = range(pp_size - rest, pp_size)
    else:
        larger = range(pp_size - 1 - rest, pp_size - 1)
    found: list[LayerRange] = []
    start = 0
    for stage in range(pp_size):
        end = start + small + (stage in larger)
        found.append((start, end))
        start = end
    return tuple(found)


# --- sequence parallelism and decode context parallelism --------------------------------------------------------------


def sp_kind_fits_mesh(pool: Pool) -> bool:
    """Kind megatron shards tokens over tp ranks, so it needs them; the cp kinds, and only they, have cp ranks (SP002)."""
    if pool.sp_kind.startswith("cp_"):
        return pool.attention.cp_size > 1
    return pool.attention.cp_size == 1 and (pool.sp_kind == "none" or pool.attention.tp_size > 1)


def sp_without_dp_attention(pool: Pool) -> bool:
    """Sequence parallelism and DP attention do not share ranks (SP011)."""
    return pool.sp_kind == "none" or pool.attention.dp_size == 1


def sp_serves_prefill(pool: Pool) -> bool:
    """A decode-only pool has no prompt to split (SP001)."""
    return pool.sp_kind == "none" or "prefill" in pool.phases


def cp_decode_declared(pool: Pool) -> bool:
    """A colocated pool with cp ranks says what they do in decode (SP015)."""
    return pool.attention.cp_size == 1 or "decode" not in pool.phases or pool.cp_decode_use is not None


def heads_divide_over_cp(model: ModelSpec, pool: Pool) -> bool:
    """Where heads are split over cp as well (cp_ulysses in prefill, tp_slice in decode), a rank's heads and KV heads split evenly (SP014).

    MLA has one latent for all heads, which Ulysses cannot trade for token shards; slicing its query heads is fine.
    """
    ulysses = pool.sp_kind == "cp_ulysses" and "prefill" in pool.phases
    if not ulysses and not (pool.cp_decode_use == "tp_slice" and "decode" in pool.phases):
        return True
    return all(_splits_over_cp(view.attention, pool, ulysses=ulysses) for view, _ in model.attention_sizes())


def _splits_over_cp(attention: Attention, pool: Pool, *, ulysses: bool) -> bool:
    tp, cp = pool.attention.tp_size, pool.attention.cp_size
    if attention.kind == "mla":
        return not ulysses and attention.num_heads // tp % cp == 0
    kv_heads = max(1, attention.num_kv_heads // tp)
    return attention.num_heads // tp % cp == 0 and (kv_heads % cp == 0 or cp % kv_heads == 0)


def dcp_divides(pool: Pool) -> bool:
    """Decode context parallelism regroups ranks that exist: it divides tp, or with cp is 1, tp x cp, or cp where that divides tp (AT006)."""
    tp, cp, dcp = pool.attention.tp_size, pool.attention.cp_size, pool.dcp_size
    return tp % dcp == 0 if cp == 1 else dcp in {1, tp * cp} or (dcp == cp and tp % cp == 0)


def dcp_fits_kv_heads(model: ModelSpec, pool: Pool) -> bool:
    """With KV heads, only ranks that would hold copies of one can share its sequence instead (AT007)."""
    return pool.dcp_size == 1 or all(_dcp_fits(view.attention, pool) for view, _ in model.attention_sizes())


def _dcp_fits(attention: Attention, pool: Pool) -> bool:
    if attention.kind == "mla":
        return True
    tp, kv = pool.attention.tp_size, attention.num_kv_heads
    return tp > kv and pool.dcp_size <= tp // kv and (attention.num_heads // kv) % pool.dcp_size == 0


# --- quantisation -----------------------------------------------------------------------------------------------------


def fp8_block(checkpoint: Checkpoint, precision: Precision, weight_class: WeightClass) -> tuple[int, int] | None:
    """Rows (output) and columns (input) of the block scales on weights of a class, or None when it has none."""
    if precision.weights != "fp8" or checkpoint.weights != "fp8" or weight_class in checkpoint.unquantised:
        return None
    return checkpoint.block


def fp8_block_rows(model: ModelSpec, pool: Pool, precision: Precision) -> bool:
    """Input features of each row-split weight leave whole blocks on every rank (QZ001)."""
    for weight_class, features, ways in row_split_features(model, pool):
        block = fp8_block(model.checkpoint, precision, weight_class)
        if block and ways > 1 and features // ways % block[1]:
            return False
    return True


def fp8_block_columns(model: ModelSpec, pool: Pool, precision: Precision) -> bool:
    """Output features of each column-split part leave whole blocks on every rank (QZ002)."""
    for weight_class, features, ways in column_split_features(model, pool):
        block = fp8_block(model.checkpoint, precision, weight_class)
        if block and ways > 1 and features // ways % block[0]:
            return False
    return True


def fp8_block_experts(model: ModelSpec, moe_tp_size: int, precision: Precision) -> bool:
    """A rank's slice of an expert is whole blocks (QZ003)."""
    block = fp8_block(model.checkpoint, precision, "expert")
    if block is None or model.moe is None:
        return True
    return model.moe.expert_intermediate_size // moe_tp_size % max(block) == 0


def group_scales_whole(model: ModelSpec, pool: Pool, precision: Precision) -> bool:
    """Input features of each row-split weight leave whole scale groups on every rank (QZ004)."""
    group = model.checkpoint.group_size
    if group is None or precision.weights != model.checkpoint.weights:
        return True
    split = [row for row in row_split_features(model, pool) if row[0] not in model.checkpoint.unquantised]
    if model.moe is not None and pool.experts is not None:
        split.append(("expert", model.moe.expert_intermediate_size, pool.experts.tp_size))
    return all(ways == 1 or features // ways % group == 0 for _, features, ways in split)


def row_split_features(model: ModelSpec, pool: Pool) -> list[tuple[WeightClass, int, int]]:
    """(class, input features, ranks that split them) of each row-split weight outside the routed experts."""
    found: list[tuple[WeightClass, int, int]] = []
    for view, _ in model.attention_sizes():
        attention = view.attention
        width = attention.v_head_dim if attention.kind == "mla" else attention.head_dim
        found.append(("attention", attention.num_heads * width, pool.attention.tp_size))
    if model.linear is not None:
        found.append(("attention", model.linear.num_value_heads * model.linear.value_head_dim, pool.attention.tp_size))
    found += _dense_widths(model, pool)
    if model.moe is not None and model.moe.shared_intermediate_size:
        found.append(("shared_expert", model.moe.shared_intermediate_size, shared_expert_ways(pool)))
    return found


def column_split_features(model: ModelSpec, pool: Pool) -> list[tuple[WeightClass, int, int]]:
    """(class, output features, ranks that split them) of each part of the column-split weights outside the routed experts."""
    tp = pool.attention.tp_size
    found: list[tuple[WeightClass, int, int]] = [
        ("attention", width, tp) for view, _ in model.attention_sizes() for width in _head_widths(view.attention, tp)
    ]
    if model.linear is not None:
        keys, values = model.linear.num_key_heads, model.linear.num_value_heads
        keys = max(keys, tp) if model.linear.repeated else keys
        widths = (keys * model.linear.key_head_dim, values * model.linear.value_head_dim)
        found += [("attention", width, tp) for width in widths]
    found += _dense_widths(model, pool)
    if model.moe is not None and model.moe.shared_intermediate_size:
        found.append(("shared_expert", model.moe.shared_intermediate_size, shared_expert_ways(pool)))
    return found


def _head_widths(attention: Attention, tp: int) -> list[int]:
    """Features of the parts of a layer's column-split attention weights."""
    heads = attention.num_heads
    if attention.kind == "mla":
        n, r, v = attention.qk_nope_head_dim, attention.qk_rope_head_dim, attention.v_head_dim
        return [heads * (n + r), heads * (n + v)]
    # A rank holds at least one whole KV head: above num_kv_heads ranks keep copies.
    return [heads * attention.head_dim, max(attention.num_kv_heads, tp) * attention.head_dim]


def _dense_widths(model: ModelSpec, pool: Pool) -> list[tuple[WeightClass, int, int]]:
    """(class, features, ranks that split them) of every width that dense FFNs have."""
    if model.intermediate_size is None or not model.has_dense_ffn:
        return []
    return [("dense_ffn", view.intermediate_size or 0, dense_ffn_ways(pool)) for view, _ in model.dense_sizes()]


def computes_in(gpu: GpuSpec, dtype: Dtype) -> bool:
    """The device multiplies operands of `dtype`; weight-only formats are unpacked and do not ask this (QZ006)."""
    return gpu.tflops(dtype) is not None


# --- cluster ----------------------------------------------------------------------------------------------------------


def fits_cluster(world_size: int, cluster: Cluster) -> bool:
    """There are GPUs enough (CH007)."""
    return world_size <= cluster.gpus


def tp_aligned_with_hosts(pool: Pool, gpus_per_host: int) -> bool:
    """No tp group is cut unevenly by a host's edge (RL007); a pool on one host has no edge to be cut by."""
    tp_size = pool.attention.tp_size
    return pool.world_size <= gpus_per_host or gpus_per_host % tp_size == 0 or tp_size % gpus_per_host == 0


def replica_aligned_with_hosts(pool: Pool, gpus_per_host: int) -> bool:
    """A replica that needs several hosts puts the same number of ranks on each (RL009)."""
    hosts = -(-pool.ranks_per_replica // gpus_per_host)
    return pool.ranks_per_replica % hosts == 0


def inside_domain(pool: Pool, axis: Axis, cluster: Cluster) -> bool:
    """Every group of `axis` can lie in one scale-up domain (TP011, EP018): its size is what must fit when ranks are in order."""
    return axis_size(pool, axis) <= cluster.domain


def kv_transfer_compatible(prefill: Pool, decode: Pool) -> bool:
    """Between disaggregated pools each KV shard of one side is a whole number of shards of the other (PH011)."""
    return bool(kv_shards_fit(prefill.attention.tp_size, decode.attention.tp_size))


def kv_shards_fit(one: Ranks, other: Ranks) -> NDArray[np.bool_]:
    """The same of two tp sizes, which may be arrays."""
    return np.asarray(np.maximum(one, other) % np.minimum(one, other) == 0)


# --- all of them ------------------------------------------------------------------------------------------------------


class Candidate(NamedTuple):
    """What `illegal` judges."""

    model: ModelSpec
    pool: Pool
    precision: Precision | None
    cluster: Cluster | None
    engine: Engine | None


_ARITHMETIC: tuple[tuple[str, Callable[[Candidate], bool]], ...] = (
    ("CH009", lambda c: experts_declared(c.model, c.pool)),
    ("EP001", lambda c: experts_fit_model(c.model, c.pool)),
    ("DA001", lambda c: width_identity(c.pool)),
    ("CH004", lambda c: meshes_nest(c.pool)),
    ("TP001", lambda c: heads_divide(c.model, c.pool.attention.tp_size)),
    ("AT011", lambda c: linear_heads_divide(c.model, c.pool.attention.tp_size)),
    ("TP002", lambda c: kv_heads_compatible(c.model, c.pool.attention.tp_size)),
    ("TP004", lambda c: ffn_divides(c.model, dense_ffn_ways(c.pool)) and shared_experts_divide(c.model, c.pool)),
    ("TP005", lambda c: vocab_divides(c.model, lm_head_ways(c.pool), c.engine)),
    ("EP006", lambda c: ep_within_experts(c.model, c.pool)),
    ("EP016", lambda c: expert_slots_divide(c.model, c.pool)),
    ("EP005", lambda c: _ep_even(c.model, c.pool)),
    ("EP011", lambda c: c.pool.experts is None or expert_tp_divides(c.model, c.pool.experts.tp_size)),
    ("EP003", lambda c: lowering_legal(c.pool)),
    ("PP003", lambda c: stages_match_size(c.pool)),
    ("PP004", lambda c: stages_in_order(c.pool)),
    ("PP002", lambda c: stages_cover(c.model, c.pool)),
    ("AT012", lambda c: states_stay_whole(c.model, c.pool)),
    ("SP001", lambda c: sp_serves_prefill(c.pool)),
    ("SP002", lambda c: sp_kind_fits_mesh(c.pool)),
    ("SP011", lambda c: sp_without_dp_attention(c.pool)),
    ("SP014", lambda c: heads_divide_over_cp(c.model, c.pool)),
    ("SP015", lambda c: cp_decode_declared(c.pool)),
    ("AT006", lambda c: dcp_divides(c.pool)),
    ("AT007", lambda c: dcp_fits_kv_heads(c.model, c.pool)),
)  # fmt: skip


def _ep_even(model: ModelSpec, pool: Pool) -> bool:
    if pool.experts is None or pool.redundant_experts:
        return True  # EP016 speaks when there are replicas
    return ep_divides(model, pool.experts.ep_size)


def illegal(
    model: ModelSpec,
    pool: Pool,
    precision: Precision | None = None,
    cluster: Cluster | None = None,
    *,
    engine: Engine | None = None,
) -> str | None:
    """Code of the first strategy or layout rule with severity error that refuses `pool`, or None.

    Quantisation rules are asked only with a `precision`, cluster rules only with a `cluster`. Microseconds: the search calls it
    for every candidate, and of the next search for the same model and cluster the answers are known, whatever the traffic.
    """
    return _illegal(model, pool, precision, cluster, engine)


@lru_cache(maxsize=MAX_KNOWN)
def _illegal(
    model: ModelSpec, pool: Pool, precision: Precision | None, cluster: Cluster | None, engine: Engine | None
) -> str | None:
    candidate = Candidate(model, pool, precision, cluster, engine)
    broken = next((code for code, holds in _ARITHMETIC if not holds(candidate)), None)
    if broken is None and precision is not None:
        broken = _illegal_precision(model, pool, precision, cluster)
    broken = broken or engine_illegal(model, pool, engine, cluster, precision)
    if broken is not None:
        return broken
    return None if cluster is None else _illegal_layout(pool, cluster)


def _illegal_precision(model: ModelSpec, pool: Pool, precision: Precision, cluster: Cluster | None) -> str | None:
    moe_tp = 1 if pool.experts is None else pool.experts.tp_size
    if model.checkpoint.block is not None:
        if not fp8_block_rows(model, pool, precision):
            return "QZ001"
        if not fp8_block_columns(model, pool, precision):
            return "QZ002"
        if not fp8_block_experts(model, moe_tp, precision):
            return "QZ003"
    if not group_scales_whole(model, pool, precision):
        return "QZ004"
    return "QZ006" if cluster is not None and not computes_in(cluster.gpu, precision.activations) else None


def _illegal_layout(pool: Pool, cluster: Cluster) -> str | None:
    if not fits_cluster(pool.world_size, cluster):
        return "CH007"
    if not tp_aligned_with_hosts(pool, cluster.gpus_per_host):
        return "RL007"
    return None if replica_aligned_with_hosts(pool, cluster.gpus_per_host) else "RL009"
