"""Memory of one rank: weights by real sharding, KV cache by attention kind, activations, communication buffers, engine reserve.

All sizes are for the fullest rank of each pipeline stage. Two choices are conservative on purpose: a resident sequence is counted at
its full length (isl + osl), and engine buffers are counted whether or not an engine frees them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from strategy.dag import AnyNode, Dag, Linear
from strategy.hardware import GpuSpec
from strategy.layers import FfnKind, MixerKind
from strategy.mesh import axis_size
from strategy.model import Attention, ModelSpec, WeightClass
from strategy.ops import DENSE_FFN_FIRST, attention_weights, ffn_matrices, has_latent_experts, linear_weights
from strategy.parameters import state_bytes
from strategy.quantisation import element_bytes, weight_bytes_per_element
from strategy.request import Engine, Precision, Problem
from strategy.result import MemoryGb
from strategy.strategy import AttentionMesh, Pool, Strategy
from strategy.work import ROUTING_BYTES, kv_elements_per_token, split_size

GIB = 2**30
MIB = 2**20
KV_BLOCK_TOKENS = 16
"""Tokens of one cache block; a sequence holds whole blocks."""
PREFILL_BUDGET_TOKENS = 8192
"""Tokens that an engine packs into one forward pass when the strategy does not say (vLLM's default on large GPUs)."""
LOW_LATENCY_DISPATCH_TOKENS = 128
"""Tokens per rank for which low-latency all_to_all buffers are sized (DeepEP)."""
THROUGHPUT_DISPATCH_BYTES = GIB
"""Buffer of the high-throughput all_to_all kernels (DeepEP's NVLink buffer as engines size it)."""
RUNTIME_BYTES = GIB
"""Context, CUDA graphs, libraries, fragmentation. Serving points that saturate their cache (fp8 and bf16, three engines) leave about
this much unused; aiconfigurator's non-official 3.5 GiB contradicts them."""
MIN_ACTIVATION_BYTES = 70 * MIB
_ACTIVATION_COEFFICIENT = {1: 10, 2: 6}
"""Live activation tensors per token in units of 2 x heads x head_dim bytes, by tp_size; 5 beyond (aiconfigurator, empirical)."""

MEMORY_FRACTION: dict[Engine, float] = {"vllm": 0.9, "sglang": 0.9, "trtllm": 0.9}
"""Share of the GPU that an engine may fill by default; for TensorRT-LLM the share of what is free after loading that KV may take."""

MOST_FRACTION = 0.99
"""Engines refuse a whole GPU."""

MAX_KNOWN = 8192
"""Pools whose weights are remembered from search to search."""
SGLANG_LEAST_SHARE = 0.5
"""Share of what weights and buffers leave that SGLang's cache gets at least: where weights nearly fill its fraction, deployments seem to
raise it, which is inferred (DeepSeek-R1 fp8 on four B200 served loads without waiting that need 0.93 and more; on eight, with a full cache, it waited as 0.9 does)."""


RESERVED_OUTPUT: dict[Engine, float] = {"vllm": 0.45, "sglang": 0.75, "trtllm": 1.0}
"""Share of a request's output tokens that an engine sets cache aside for, on average over its running requests: vLLM admits by what is
used now (outputs are half grown; a little less was measured) and preempts, SGLang expects part of the growth, TensorRT-LLM never evicts and reserves all of it."""


def memory_fraction(engine: Engine | None) -> tuple[float, bool]:
    """The fraction and whether it is of free memory (TensorRT-LLM) rather than of all of it; vLLM's when no engine is named."""
    return MEMORY_FRACTION[engine or "vllm"], engine == "trtllm"


@dataclass(frozen=True)
class StageMemory:
    """One pipeline stage's fullest rank, in bytes."""

    weights_bytes: float
    activation_bytes: float
    comm_bytes: float
    runtime_bytes: float
    kv_bytes_per_sequence: float
    """Cache of one sequence of isl + osl tokens."""
    kv_budget_bytes: float
    """What the engine's reserve semantics leave for the cache; negative when the rest does not fit."""

    @cached_property
    def sequences(self) -> int:
        """Sequences whose cache fits at once."""
        return max(0, int(self.kv_budget_bytes // self.kv_bytes_per_sequence))


def layer_weight_bytes(model: ModelSpec, precision: Precision, pool: Pool, layer: int) -> float:
    """Bytes of one layer's weights on the fullest rank, scales included."""
    (mixer, ffn), model = model.layer_kind(layer), model.at(layer)
    halves = (mixer != "none") + (ffn != "none")
    norms = (
        (1 if model.parallel_block == "one_norm" else halves)
        * model.hidden_size
        * weight_bytes_per_element(model, precision, "norm")
    )
    return _MIXER_BYTES[mixer](model, precision, pool) + _FFN_BYTES[ffn](model, precision, pool) + norms


def attention_weight_bytes(model: ModelSpec, precision: Precision, pool: Pool) -> float:
    """Bytes of one layer's attention weights: heads split over tp, KV heads replicated beyond their number, latent projections whole."""
    return _attention_weight_bytes(model, precision, pool.attention.tp_size)


@lru_cache(maxsize=256)
def _attention_weight_bytes(model: ModelSpec, precision: Precision, tp: int) -> float:
    attention, h = model.attention, model.hidden_size
    size = weight_bytes_per_element(model, precision, "attention")
    heads = split_size(attention.num_heads, tp)
    if attention.kind == "gqa":
        width = heads * attention.head_dim
        return (h * (width + kv_elements_per_token(model, tp)) + width * h) * size
    weights = attention_weights(model)
    whole = sum(w.parameters for w in weights.values() if w.splits == ("replicated",) and w.weight_class == "attention")
    names = {"q", "q_b", "kv_b", "attention_out"}
    split = sum(w.parameters for w in weights.values() if w.name in names)
    inner_norms = (attention.q_lora_rank or 0) + attention.kv_lora_rank
    norm_bytes = inner_norms * weight_bytes_per_element(model, precision, "norm")
    return (whole + split / attention.num_heads * heads) * size + norm_bytes


def linear_weight_bytes(model: ModelSpec, precision: Precision, pool: Pool) -> float:
    """Bytes of one layer's linear-attention weights: all of them split over tp by heads but a norm that heads share."""
    net = model.linear
    assert net is not None  # a layer has a recurrence
    tp, small = pool.attention.tp_size, weight_bytes_per_element(model, precision, "norm")
    repeated, taps = net.repeated, net.conv_kernel + 1
    split = sum(w.parameters for w in linear_weights(model).values() if w.weight_class == "attention")
    split += (tp - 1) * model.hidden_size * repeated
    whole = net.whole_parameters + taps * repeated
    inside = (net.inside_parameters - whole) / tp + whole
    return split / tp * weight_bytes_per_element(model, precision, "attention") + inside * small


def _dense_ffn_bytes(model: ModelSpec, precision: Precision, pool: Pool) -> float:
    gathered = pool.dense_ffn == "gathered" and pool.attention.dp_size > 1
    width = split_size(model.intermediate_size or 0, pool.width if gathered else pool.attention.tp_size)
    matrices = ffn_matrices(model)
    return matrices * model.hidden_size * width * weight_bytes_per_element(model, precision, "dense_ffn")


def _moe_bytes(model: ModelSpec, precision: Precision, pool: Pool) -> float:
    moe, h = model.moe, model.hidden_size
    assert moe is not None
    experts = split_size(moe.num_experts + pool.redundant_experts, axis_size(pool, "ep"))
    width = split_size(moe.expert_intermediate_size, axis_size(pool, "moe_tp"))
    shared = split_size(moe.shared_intermediate_size, shared_expert_ranks(pool))
    router = h * moe.num_experts * weight_bytes_per_element(model, precision, "router")
    matrices, features = ffn_matrices(model), model.expert_features
    routed = matrices * features * width * experts * weight_bytes_per_element(model, precision, "expert")
    beside = matrices * h * shared + (2 * h * features if has_latent_experts(model) else 0)
    return routed + beside * weight_bytes_per_element(model, precision, "shared_expert") + router


def _nothing(_model: ModelSpec, _precision: Precision, _pool: Pool) -> float:
    return 0.0


_HalfBytes = Callable[[ModelSpec, Precision, Pool], float]
_MIXER_BYTES: dict[MixerKind, _HalfBytes] = {
    "attention": attention_weight_bytes,
    "linear": linear_weight_bytes,
    "none": _nothing,
}
_FFN_BYTES: dict[FfnKind, _HalfBytes] = {"dense": _dense_ffn_bytes, "moe": _moe_bytes, "none": _nothing}


def shared_expert_ranks(pool: Pool) -> int:
    """Ranks that split the shared experts: tp where one all_reduce sums them with the routed ones, else each rank holds them whole."""
    folded = axis_size(pool, "ep") * axis_size(pool, "moe_tp") == pool.attention.tp_size
    return pool.attention.tp_size if pool.ep_lowering == "replicated" and folded else 1


def stage_weight_bytes(model: ModelSpec, precision: Precision, pool: Pool) -> list[float]:
    """Weight bytes of the fullest rank of every stage: layers, the embedding on the first, final norm and head on the last."""
    return list(_stage_weight_bytes(model, precision, pool))


@lru_cache(maxsize=MAX_KNOWN)
def _stage_weight_bytes(model: ModelSpec, precision: Precision, pool: Pool) -> tuple[float, ...]:
    runs = [(start, end, (*kinds, model.at(start))) for start, end, *kinds in model.alike_runs()]
    per_kind = {kind: layer_weight_bytes(model, precision, pool, start) for start, _, kind in runs}
    totals = []
    for start, end in pool.stages:
        held = ((kind, min(end, last) - max(start, first)) for first, last, kind in runs)
        totals.append(sum(per_kind[kind] * layers for kind, layers in held if layers > 0))
    h, tp = model.hidden_size, pool.attention.tp_size
    gathered = pool.lm_head == "gathered" and pool.attention.dp_size > 1
    table = _vocab_bytes(model, precision, "embedding", tp)
    head = _vocab_bytes(model, precision, "lm_head", pool.width if gathered else tp)
    totals[0] += table
    shared = model.tie_word_embeddings and len(totals) == 1
    totals[-1] += h * weight_bytes_per_element(model, precision, "norm") + (0 if shared else head)
    return tuple(totals)


def repeated_ffn_bytes(dag: Dag, problem: Problem, pool: Pool) -> list[float]:
    """Weight bytes of every stage beyond `stage_weight_bytes`, where a DAG keeps dense FFNs whole on ranks that could split them."""
    model, precision = problem.model, problem.precision
    if model.intermediate_size is None:
        return [0.0] * len(pool.stages)
    alone = pool.model_copy(update={"attention": AttentionMesh(), "dense_ffn": "local"})
    repeated = np.zeros(model.num_layers)
    down = 1 / ffn_matrices(model)
    shares = {block.name: sum(_ffn_share(node, down) for node in block.nodes) for block in dag.blocks}
    for phase in pool.phases:
        for stamp in dag.branch(phase).layers:
            held = repeated[slice(*stamp.range)]
            np.maximum(held, sum(shares.get(name, 0.0) for name in stamp.blocks), out=held)
    totals = np.zeros(len(pool.stages))
    for view, layers in model.by_size(range(model.num_layers)).items():
        beyond = _dense_ffn_bytes(view, precision, alone) - _dense_ffn_bytes(view, precision, pool)
        own = repeated
        if model.layer_shapes:
            own = np.zeros(model.num_layers)
            own[layers] = repeated[layers]
        totals += [own[start:end].sum() * beyond for start, end in pool.stages]
    return totals.tolist()


def _ffn_share(node: AnyNode, down: float) -> float:
    """Share of a dense FFN's weights that a node keeps whole on every rank, `down` being that of its last matrix."""
    if not isinstance(node, Linear) or node.split != "replicated":
        return 0.0
    return 1 - down if node.weight in DENSE_FFN_FIRST else down if node.weight == "down" else 0.0


def _vocab_bytes(model: ModelSpec, precision: Precision, weight_class: WeightClass, ranks: int) -> float:
    rows = split_size(model.vocab_size, ranks)
    return rows * model.hidden_size * weight_bytes_per_element(model, precision, weight_class)


def kv_bytes_per_token(model: ModelSpec, precision: Precision, pool: Pool) -> list[float]:
    """Cache bytes of one token on one rank of every stage, windows left out of account, and recurrences, which keep no token."""
    return [
        sum(_cache_bytes(view, precision, pool) * layers for view, layers in model.attention_sizes(start, end))
        for start, end in pool.stages
    ]


def _cache_bytes(model: ModelSpec, precision: Precision, pool: Pool) -> float:
    """Of one token in one layer with attention of these sizes."""
    return kv_elements_per_token(model, pool.attention.tp_size) * element_bytes(precision.kv) / pool.dcp_size


def state_bytes_per_sequence(model: ModelSpec, pool: Pool) -> list[float]:
    """Bytes that the recurrences of every stage keep of one sequence on one rank: their heads are split over tp."""
    if model.linear is None:
        return [0.0] * len(pool.stages)
    net, tp = model.linear, pool.attention.tp_size
    each = (state_bytes(net) + (tp - 1) * 2.0 * (net.conv_kernel - 1) * net.repeated) / tp
    return [each * model.linear_in(start, end) for start, end in pool.stages]


def handoff_bytes(model: ModelSpec, precision: Precision, pool: Pool, tokens: int) -> float:
    """What the fullest rank hands over of a prompt of `tokens`: its part of the cache and of the states."""
    cache, states = kv_bytes_per_token(model, precision, pool), state_bytes_per_sequence(model, pool)
    return max(per_token * tokens + state for per_token, state in zip(cache, states, strict=True))


def kv_bytes_per_sequence(model: ModelSpec, precision: Precision, pool: Pool, tokens: int) -> list[float]:
    """Cache bytes of a sequence of `tokens` on one rank of every stage: whole blocks; windows and states hold no more than their size."""
    full = _whole_blocks(tokens)
    windowed = min(full, _whole_blocks(model.window.size_tokens)) if model.window else full
    totals = []
    limited = model.by_size(sorted(set(model.window.layers)) if model.window else ())
    states = state_bytes_per_sequence(model, pool)
    for (start, end), state in zip(pool.stages, states, strict=True):
        cache = 0.0
        for view, layers in model.attention_sizes(start, end):
            short = sum(start <= layer < end for layer in limited.get(view, ()))
            cache += _cache_bytes(view, precision, pool) * (full * (layers - short) + windowed * short)
        totals.append(cache + state)
    return totals


def _whole_blocks(tokens: int) -> int:
    return -(-tokens // KV_BLOCK_TOKENS) * KV_BLOCK_TOKENS


def pass_tokens(pool: Pool, isl: int) -> int:
    """Most tokens of one forward pass on an attention replica: a chunk, or a whole prompt and never less than the engines' budget."""
    return pool.chunk_tokens or max(isl, PREFILL_BUDGET_TOKENS)


def activation_bytes(model: ModelSpec, precision: Precision, pool: Pool, isl: int) -> float:
    """Peak activations of a pass plus the buffers that carry tokens to their experts."""
    if "prefill" not in pool.phases:
        tokens = float(LOW_LATENCY_DISPATCH_TOKENS * 4)
    else:
        tokens = pass_tokens(pool, isl) / pool.attention.cp_size
    coefficient = _ACTIVATION_COEFFICIENT.get(pool.attention.tp_size, 5)
    widths = [_heads_width(view.attention) for view, _ in model.attention_sizes()]
    live = 2 * tokens * max(widths, default=0) * coefficient
    if model.layer_shapes:
        live = max(live, 2 * tokens * _widest_ffn(model, pool))
    return max(live, MIN_ACTIVATION_BYTES) + _exchange_bytes(model, precision, pool, tokens)


def _heads_width(attention: Attention) -> int:
    return attention.num_heads * (attention.head_dim if attention.kind == "gqa" else attention.v_head_dim)


def _widest_ffn(model: ModelSpec, pool: Pool) -> int:
    """Elements of a token between the matrices of the widest dense FFN on one rank: a search makes some of several, far wider than usual."""
    ways = pool.width if pool.dense_ffn == "gathered" and pool.attention.dp_size > 1 else pool.attention.tp_size
    widths = (split_size(view.intermediate_size or 0, ways) for view, _ in model.dense_sizes())
    return ffn_matrices(model) * max(widths, default=0)


def _exchange_bytes(model: ModelSpec, precision: Precision, pool: Pool, tokens: float) -> float:
    """Buffers of dispatch and combine: gathered tokens, or what the all_to_all kernels register."""
    moe, h = model.moe, model.expert_features
    if moe is None or axis_size(pool, "ep") * axis_size(pool, "moe_tp") == 1 or pool.ep_lowering == "replicated":
        return 0.0
    if pool.ep_lowering == "all_gather":
        gathered = tokens * pool.attention.dp_size * pool.attention.cp_size
        return gathered * (h * element_bytes(precision.activations) + moe.top_k * ROUTING_BYTES)
    if axis_size(pool, "ep") == 1:
        return tokens * h * element_bytes(precision.activations)
    modes = {getattr(pool.dispatch_mode, phase) for phase in pool.phases}
    low_latency = 4 * moe.num_experts * LOW_LATENCY_DISPATCH_TOKENS * (2 * h + ROUTING_BYTES * 2)
    return low_latency * ("low_latency" in modes) + THROUGHPUT_DISPATCH_BYTES * ("throughput" in modes)


def comm_bytes(pool: Pool) -> float:
    """NCCL, custom all_reduce and symmetric-memory buffers of one rank."""
    if pool.ranks_per_replica == 1:
        return 0.0
    return (342 if pool.ranks_per_replica == 2 else 392) * MIB


def stage_memory(problem: Problem, pool: Pool, dag: Dag | None = None) -> list[StageMemory]:
    """Memory of the fullest rank of every stage of `pool` for the problem's workload and engine; with what a `dag` splits less than it could."""
    model, precision, work = problem.model, problem.precision, problem.workload
    tokens = work.isl + (work.osl if "decode" in pool.phases else 0)
    weights = stage_weight_bytes(model, precision, pool)
    if dag is not None:
        weights = [sum(pair) for pair in zip(weights, repeated_ffn_bytes(dag, problem, pool), strict=True)]
    kv = kv_bytes_per_sequence(model, precision, pool, tokens)
    act, comm = activation_bytes(model, precision, pool, work.isl), comm_bytes(pool)
    return [
        StageMemory(
            w,
            act,
            comm,
            RUNTIME_BYTES,
            max(k, 1.0),
            kv_budget_bytes(problem.cluster.gpu, problem.engine, w, act + comm),
        )
        for w, k in zip(weights, kv, strict=True)
    ]


def kv_budget_bytes(gpu: GpuSpec, engine: Engine | None, weights_bytes: float, buffer_bytes: float = 0.0) -> float:
    """Bytes left for the cache beside weights, activations and communication buffers on one rank; negative when they do not fit.

    vLLM's fraction of the GPU covers all of them, SGLang's covers weights and cache (buffers live in the rest; weights that it does not
    hold are refused, weights that leave little of it raise it), TensorRT-LLM's is the share of what is left that the cache may take.
    """
    fraction, of_free = memory_fraction(engine)
    capacity = gpu.memory_gb * 1e9
    free = capacity - weights_bytes - buffer_bytes - RUNTIME_BYTES
    if of_free:
        return free * fraction
    if engine == "sglang":
        within = capacity * fraction - weights_bytes
        return min(free, max(within, free * SGLANG_LEAST_SHARE) if within > 0 else within)
    return free - capacity * (1 - fraction)


def fraction_to_say(problem: Problem, pool: Pool, engine: Engine) -> float:
    """The memory fraction, as `engine` counts it, that gives the cache on every stage's fullest rank what the plan counts on.

    Engines' own defaults differ from what is planned with: vLLM 0.33 fills 0.92, SGLang guesses from its batch sizes.
    """
    capacity = problem.cluster.gpu.memory_gb * 1e9
    shares = [_fraction_of(stage, capacity, engine) for stage in stage_memory(problem, pool)]
    return min(MOST_FRACTION, math.ceil(round(1000 * max(shares), 6)) / 1000)


def _fraction_of(stage: StageMemory, capacity: float, engine: Engine) -> float:
    """See `kv_budget_bytes` for what each engine's fraction covers."""
    cache = max(0.0, stage.kv_budget_bytes)
    buffers = stage.activation_bytes + stage.comm_bytes + stage.runtime_bytes
    if engine == "trtllm":
        return cache / max(cache, capacity - stage.weights_bytes - buffers, 1.0)
    return (stage.weights_bytes + cache + (0.0 if engine == "sglang" else buffers)) / capacity


def admitted(problem: Problem, fitting: NDArray[np.float64]) -> NDArray[np.float64]:
    """Requests that an engine keeps running at once where `fitting` whole ones fit: it admits them when outputs are only part grown."""
    work = problem.workload
    grown = work.isl + work.osl * RESERVED_OUTPUT[problem.engine or "vllm"]
    return np.floor(fitting * (work.isl + work.osl) / grown)


def pool_sequences(problem: Problem, pool: Pool, dag: Dag | None = None) -> int:
    """Sequences of isl + osl tokens whose cache fits on an attention replica of `pool` at once: its fullest stage decides."""
    return fewest_sequences(stage_memory(problem, pool, dag))


def fewest_sequences(stages: Sequence[StageMemory]) -> int:
    """Sequences that fit on every stage."""
    return min(stage.sequences for stage in stages)


def pool_max_concurrency(problem: Problem, pool: Pool, dag: Dag | None = None) -> int:
    """The same on all of its attention replicas."""
    return pool_sequences(problem, pool, dag) * pool.attention.dp_size * pool.replicas


def max_concurrency(problem: Problem, strategy: Strategy) -> int:
    """Requests whose cache fits at once: the decoding pool's, where every request spends its life; 0 when some pool cannot hold one."""
    capacities = {pool.name: pool_max_concurrency(problem, pool) for pool in strategy.pools}
    return 0 if min(capacities.values()) == 0 else capacities[strategy.pool_for("decode").name]


def memory_gb(problem: Problem, strategy: Strategy, concurrency: int, dag: Dag | None = None) -> MemoryGb:
    """Memory of the fullest rank of the deployment with `concurrency` requests in flight, in 10^9 bytes."""
    return fullest_gb(problem, {pool: stage_memory(problem, pool, dag) for pool in strategy.pools}, concurrency)


def fullest_gb(problem: Problem, stages: Mapping[Pool, Sequence[StageMemory]], concurrency: int) -> MemoryGb:
    """The same of pools whose stages are known."""
    ranks = [_stages_gb(problem, pool, own, concurrency) for pool, own in stages.items()]
    return max((rank for found in ranks for rank in found), key=lambda rank: rank.total)


def stage_memory_gb(problem: Problem, pool: Pool, concurrency: int, dag: Dag | None = None) -> list[MemoryGb]:
    """Memory of the fullest rank of every stage of `pool` with `concurrency` requests in flight over the whole deployment, in 10^9 bytes."""
    return _stages_gb(problem, pool, stage_memory(problem, pool, dag), concurrency)


def _stages_gb(problem: Problem, pool: Pool, stages: Sequence[StageMemory], concurrency: int) -> list[MemoryGb]:
    resident = split_size(concurrency, pool.attention.dp_size * pool.replicas) if "decode" in pool.phases else 1
    capacity = problem.cluster.gpu.memory_gb
    found = []
    for stage in stages:
        weights, act = stage.weights_bytes / 1e9, stage.activation_bytes / 1e9
        kv, other = (
            min(resident, max(1, stage.sequences)) * stage.kv_bytes_per_sequence / 1e9,
            (stage.comm_bytes + stage.runtime_bytes) / 1e9,
        )
        total = weights + kv + act + other
        found.append(MemoryGb(weights=weights, kv=kv, activations=act, other=other, total=total, capacity=capacity))
    return found
