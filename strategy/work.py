"""FLOPs, bytes and messages of every op on one rank, and how many tokens each node sees.

A block is walked from its `in` to its `output`. What flows along an edge is a `Flow`: how many rows of the batch this rank holds, and
how wide they are; a chunk, a gather or a dispatch changes it, so any block can be priced, also one that nobody foresaw. Formulas are
those of S1 §2 and §6 as gathered in the knowledge base: GEMMs count 2mnk, messages are the full logical tensor of the collective (for
all_to_all: what one rank sends). Token counts and degrees may be numpy arrays of one length: a walk prices a column for each of their
elements, which is one load on one pool. Pools that share a walk have the same blocks: they differ in how large a degree is, not in
whether it is one, so questions of kind are asked of `WorkContext.pool`, any of them, and amounts are taken from `WorkContext.sizes`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import comb
from typing import Literal, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from strategy.dag import (
    AllGather,
    AllReduce,
    AllToAll,
    AnyNode,
    AttentionNode,
    Block,
    Broadcast,
    Chunk,
    Embedding,
    Ingress,
    Linear,
    Norm,
    ReduceScatter,
    Send,
    StepSync,
    data_sources,
)
from strategy.mesh import AXES, Axis, axis_size
from strategy.model import ModelSpec, Moe, RecurrentMixer, WeightClass
from strategy.ops import DENSE_FFN, WeightSpec, ffn_matrices, model_weights
from strategy.quantisation import element_bytes, weight_bytes_per_element
from strategy.recurrence import on_rank, scan_flops, scanned_elements, step_flops
from strategy.request import Precision
from strategy.strategy import DispatchMode, Phase, Pool

Quantity = float | NDArray[np.float64]
"""A number, or one number per batch size of a grid."""

ROUTING_BYTES = 8
"""Expert id and weight of one choice of one token (4 B each)."""
LOW_LATENCY_HEADER_BYTES = 16
"""Header of one low-latency message (DeepEP internode_ll)."""
FP8_SCALE_BYTES_PER_ELEMENT = 4 / 128
"""One fp32 scale per 128 elements of an fp8 payload."""
STEP_SYNC_BYTES = 4
SQUARES_BYTES = 4
"""Sum of squares of what a norm over the heads of all ranks divides by (fp32)."""
LSE_BYTES = 4
"""Log-sum-exp of one head of one token (fp32)."""


@dataclass(frozen=True)
class Load:
    """What one attention replica runs in one forward pass; each field may be an array over a grid of batch sizes."""

    batch: Quantity
    """Sequences."""
    new_tokens: Quantity
    """Tokens that each sequence brings: its prompt or chunk in prefill, one in decode."""
    kv_tokens: Quantity
    """Tokens that each sequence attends to, its new ones included."""

    @cached_property
    def tokens(self) -> Quantity:
        """Tokens of the pass."""
        return self.batch * self.new_tokens

    @cached_property
    def attended_tokens(self) -> Quantity:
        """Cache entries of all sequences."""
        return self.batch * self.kv_tokens


Rows = Literal["token", "sequence", "kv"]


class Flow(NamedTuple):
    """What one rank holds of a tensor."""

    share: Quantity
    """Rows on this rank over rows of one attention replica."""
    rows: Rows
    width: Quantity
    """Elements of one row on this rank."""
    element_bytes: float
    distinct: Quantity
    """Tokens that entered this rank's expert group over tokens of one attention replica; equals `share` outside dispatch."""


class Arrival(NamedTuple):
    """An input of a node: the op that made it and what it holds."""

    op: str
    flow: Flow


class Work(NamedTuple):
    """What one node costs one rank in one pass of one layer."""

    output: Flow
    flops: Quantity = 0.0
    weight_bytes: Quantity = 0.0
    """Weights read."""
    io_bytes: Quantity = 0.0
    """Activations and cache read and written."""
    message_bytes: Quantity = 0.0
    """The collective's logical tensor; for all_to_all, what one rank sends to others."""
    rows: Quantity = 0.0
    """Rows of the matrix product (attention: queries of one sequence), which decide how full the units run."""


@dataclass(frozen=True)
class WorkContext:
    """Where a node runs: everything about it that its block does not say."""

    model: ModelSpec
    precision: Precision
    pool: Pool
    """The pool, or one of those that share the walk."""
    phase: Phase
    load: Load
    window_tokens: int | None = None
    """Tokens that attention of this layer can see; None when it sees all."""
    recurrent: bool = False
    """Whether the block at hand is that of a recurrence, whose cache is a state of constant size."""
    weights: Mapping[str, WeightSpec] = field(default_factory=dict)
    class_bytes: Mapping[WeightClass, float] = field(default_factory=dict)
    sizes: Mapping[Axis, Quantity] = field(default_factory=dict)
    """Ranks in one group of each axis, a number or one for each column."""

    def sized(self, view: ModelSpec) -> "WorkContext":
        """The same in layers that have these sizes."""
        return self if view is self.model else replace(self, model=view, weights=model_weights(view))

    @cached_property
    def activation_bytes(self) -> float:
        """Bytes of an activation element."""
        return element_bytes(self.precision.activations)

    @cached_property
    def kv_bytes(self) -> float:
        """Bytes of a cache element."""
        return element_bytes(self.precision.kv)

    @cached_property
    def tp_size(self) -> Quantity:
        """Ranks that split attention heads."""
        return self.sizes["tp"]

    @cached_property
    def attention_ranks(self) -> Quantity:
        """Ranks that split attention weights: tp, and cp as well where decode slices them over cp."""
        sliced = self.phase == "decode" and self.pool.cp_decode_use == "tp_slice"
        return self.tp_size * (self.sizes["cp"] if sliced else 1)

    @cached_property
    def heads_per_rank(self) -> Quantity:
        """Query heads of one rank."""
        return split_size(self.model.attention.num_heads, self.attention_ranks)

    @cached_property
    def cache_elements(self) -> Quantity:
        """Cache elements of one token in one layer that this rank's heads read."""
        return kv_elements(self.model, self.attention_ranks)

    def rows(self, flow: Flow) -> Quantity:
        """Rows of `flow` on this rank."""
        if flow.rows == "token":
            return self.load.tokens * flow.share
        return (self.load.batch if flow.rows == "sequence" else self.load.attended_tokens) * flow.share

    def bytes_of(self, flow: Flow) -> Quantity:
        """Bytes of `flow` on this rank."""
        return self.rows(flow) * (flow.width * flow.element_bytes)

    def flow(self, width: Quantity, source: Flow) -> Flow:
        """Rows of `source` with another width, as activations."""
        return Flow(source.share, source.rows, width, self.activation_bytes, source.share)


WEIGHT_CLASSES: tuple[WeightClass, ...] = (
    "embedding", "lm_head", "norm", "router", "attention", "dense_ffn", "expert", "shared_expert",
)  # fmt: skip
SLICED_OVER_CP = frozenset({"qkv", "q", "q_b", "kv_b", "w_uk", "w_uv", "attention_out"})
"""Weights that `tp_slice` splits over the cp ranks as well in decode."""


def work_context(
    model: ModelSpec,
    precision: Precision,
    pool: Pool,
    phase: Phase,
    load: Load,
    sizes: Mapping[Axis, Quantity] | None = None,
) -> WorkContext:
    """The context of one pass, with what all its nodes look up worked out once; `sizes` default to those of `pool`."""
    class_bytes = {name: weight_bytes_per_element(model, precision, name) for name in WEIGHT_CLASSES}
    own = {axis: axis_size(pool, axis) for axis in AXES} if sizes is None else sizes
    return WorkContext(
        model, precision, pool, phase, load, weights=model_weights(model), class_bytes=class_bytes, sizes=own
    )


@overload
def split_size(size: int, ranks: int) -> int: ...
@overload
def split_size(size: float, ranks: Quantity) -> Quantity: ...
def split_size(size: float, ranks: Quantity) -> Quantity:
    """Elements that the fullest of `ranks` holds."""
    return -(-size // ranks)


def at_least_one(value: Quantity) -> Quantity:
    """One where `value` is less."""
    return np.maximum(1.0, value) if isinstance(value, np.ndarray) else max(1, value)


def entry_flow(ctx: WorkContext) -> Flow:
    """Token ids as they enter the embedding: sharded over cp ranks in prefill, and in decode where these split the batch."""
    sharded = ctx.pool.attention.cp_size > 1 and (ctx.phase == "prefill" or ctx.pool.cp_decode_use == "batch_shard")
    share = 1 / ctx.sizes["cp"] if sharded else 1.0
    return Flow(share, "token", 1, 4, share)


def walk(block: Block, entering: Flow, ctx: WorkContext) -> Iterator[tuple[AnyNode, Work]]:
    """Every node of `block` with its work, in order; `entering` is what its `in` holds.

    A node whose inputs are missing or come later is priced as if it read the residual stream: judging that is the rules' task.
    """
    if any(isinstance(node, AttentionNode) and node.form == "recurrent" for node in block.nodes):
        ctx = replace(ctx, recurrent=True)
    arrivals: dict[str, Arrival] = {"in": Arrival("in", entering)}
    for node in block.nodes:
        work = node_work(node, ctx, [arrivals.get(source, arrivals["in"]) for source in data_sources(node.inputs)])
        arrivals[node.id] = Arrival(node.op, work.output)
        yield node, work


def node_work(node: AnyNode, ctx: WorkContext, inputs: list[Arrival]) -> Work:
    """Work of one node on one rank. `inputs` are its data inputs (routing aside, the first one is the tensor it transforms)."""
    main = next((a.flow for a in inputs if a.op != "routing"), inputs[0].flow if inputs else entry_flow(ctx))
    return _WORKERS[node.op](Visit(node, ctx, main, inputs))


class Visit(NamedTuple):
    """A node about to be priced: `main` is the tensor it transforms, `inputs` are all its data inputs."""

    node: AnyNode
    ctx: WorkContext
    main: Flow
    inputs: list[Arrival]


# --- outside the layers -------------------------------------------------------------------------------------------------------------


def _ingress(at: Visit) -> Work:
    node, ctx = at.node, at.ctx
    assert isinstance(node, Ingress)
    flow = entry_flow(ctx)
    per_sequence = node.tokens_per_sequence if ctx.phase == "decode" and node.tokens_per_sequence else 1
    return Work(flow._replace(share=flow.share * per_sequence, distinct=flow.share * per_sequence))


def _step_sync(at: Visit) -> Work:
    node, ctx, main = at.node, at.ctx, at.main
    assert isinstance(node, StepSync)
    return Work(main, message_bytes=1.0 * STEP_SYNC_BYTES * ctx.sizes[node.axis])


def _embedding(at: Visit) -> Work:
    node, ctx, main = at.node, at.ctx, at.main
    assert isinstance(node, Embedding)
    h = ctx.model.hidden_size
    out = ctx.flow(h, main)
    elements = ctx.rows(out) * h
    return Work(out, 0.0, elements * ctx.class_bytes["embedding"], elements * ctx.activation_bytes)


def _norm(at: Visit) -> Work:
    node, ctx, main = at.node, at.ctx, at.main
    assert isinstance(node, Norm)
    spec = ctx.weights.get(node.weight)
    size = spec.in_features if spec else ctx.model.hidden_size
    rope = getattr(ctx.model.attention, "qk_rope_head_dim", 0) if node.weight == "kv_a_norm" else 0
    # Norms over the residual stream are fused with the residual add: two tensors in, two out.
    passes = 4 if size == ctx.model.hidden_size else 2
    elements = ctx.rows(main) * size
    out = ctx.flow(size + rope, main)
    return Work(out, 5 * elements, size * ctx.activation_bytes, passes * elements * ctx.activation_bytes)


def _select_last(at: Visit) -> Work:
    ctx, main = at.ctx, at.main
    out = Flow(1.0, "sequence", main.width, main.element_bytes, 1.0)
    return Work(out, io_bytes=2 * ctx.bytes_of(out))


def _sample(at: Visit) -> Work:
    ctx, main = at.ctx, at.main
    elements = ctx.rows(main) * main.width
    return Work(Flow(main.share, main.rows, 1, 4, main.share), elements, 0.0, elements * main.element_bytes)


# --- projections --------------------------------------------------------------------------------------------------------------------


def linear_shape(node: Linear, ctx: WorkContext, main: Flow) -> tuple[Quantity, Quantity, WeightClass]:
    """Input features, output features and weight class of `node` on one rank; KV heads are replicated beyond their number."""
    spec = ctx.weights.get(node.weight)
    if spec is None:
        return main.width, main.width, "dense_ffn"
    sliced = node.weight in SLICED_OVER_CP and node.split != "replicated"
    ranks = ctx.attention_ranks if sliced else split_ranks(node, ctx.pool, ctx.sizes)
    if node.weight == "qkv" and ctx.model.attention.kind == "gqa":
        return spec.in_features, _qkv_width(ctx, ranks), spec.weight_class
    if node.weight == "linear_in" and node.split == "column" and ctx.model.linear is not None:
        repeated = ctx.model.linear.repeated
        return spec.in_features, split_size(spec.out_features - repeated, ranks) + repeated, spec.weight_class
    if node.split == "column":
        return spec.in_features, split_size(spec.out_features, ranks), spec.weight_class
    if node.split == "row":
        return split_size(spec.in_features, ranks), spec.out_features, spec.weight_class
    return spec.in_features, spec.out_features, spec.weight_class


def split_ranks(node: Linear, pool: Pool, sizes: Mapping[Axis, Quantity]) -> Quantity:
    """Ranks that split the weight of `node`: tp, or the whole stage for what gathers its tokens there."""
    if node.split == "replicated":
        return 1
    gathered = (pool.dense_ffn == "gathered" and node.weight in DENSE_FFN) or (
        pool.lm_head == "gathered" and node.weight == "lm_head"
    )
    return sizes["stage"] if gathered and pool.attention.dp_size > 1 else sizes["tp"]


def _qkv_width(ctx: WorkContext, ranks: Quantity) -> Quantity:
    attention = ctx.model.attention
    assert attention.kind == "gqa"
    kv_heads = at_least_one(split_size(attention.num_kv_heads, ranks))
    return (split_size(attention.num_heads, ranks) + 2 * kv_heads) * attention.head_dim


def _linear(at: Visit) -> Work:
    node, ctx, main = at.node, at.ctx, at.main
    assert isinstance(node, Linear)
    if node.weight in {"w_uk", "w_uv"} and ctx.model.attention.kind == "mla":
        return _absorbed(node, ctx, main)
    if node.weight == "kv_b" and any(a.op == "kv_cache_update" for a in at.inputs):
        # The expanded form rebuilds K and V of everything attended to, cached tokens included.
        main = main._replace(rows="kv", share=1.0)
    fan_in, fan_out, weight_class = linear_shape(node, ctx, main)
    rows = ctx.rows(main)
    out = ctx.flow(fan_out, main)
    weight = fan_in * fan_out
    io = rows * ((fan_in + fan_out) * ctx.activation_bytes)
    return Work(out, rows * (2 * weight), weight * ctx.class_bytes[weight_class], io, rows=rows)


def _absorbed(node: Linear, ctx: WorkContext, main: Flow) -> Work:
    """The two halves of kv_b, batched over the heads of this rank."""
    attention = ctx.model.attention
    assert attention.kind == "mla"
    c, heads = attention.kv_lora_rank, ctx.heads_per_rank
    inner = attention.qk_nope_head_dim if node.weight == "w_uk" else attention.v_head_dim
    out_width = heads * (c + attention.qk_rope_head_dim if node.weight == "w_uk" else inner)
    rows, weight = ctx.rows(main), heads * inner * c
    io = rows * (heads * (inner + c) * ctx.activation_bytes)
    return Work(ctx.flow(out_width, main), rows * (2 * weight), weight * ctx.class_bytes["attention"], io, rows=rows)


def _activation(at: Visit) -> Work:
    ctx, main = at.ctx, at.main
    out = ctx.flow(main.width / 2 if ctx.model.ffn_gated else main.width, main)
    return Work(out, io_bytes=(3 if ctx.model.ffn_gated else 2) * ctx.bytes_of(out))


def _add(at: Visit) -> Work:
    ctx, main = at.ctx, at.main
    # The residual add is part of the next norm; other sums are kernels of their own.
    fused = any(a.op == "in" for a in at.inputs)
    out = at.inputs[-1].flow if fused and at.inputs else main
    return Work(out, io_bytes=0.0 if fused else (len(at.inputs) + 1) * ctx.bytes_of(out))


# --- attention ----------------------------------------------------------------------------------------------------------------------


def _kv_cache_update(at: Visit) -> Work:
    ctx, main = at.ctx, at.main
    if ctx.recurrent and ctx.model.linear is not None:
        return _state_update(ctx, main, ctx.model.linear)
    rows = sum((ctx.rows(a.flow) for a in at.inputs), 0.0 * ctx.rows(main)) if at.inputs else ctx.rows(main)
    return Work(main, io_bytes=rows * (ctx.cache_elements * (ctx.activation_bytes + ctx.kv_bytes)))


def _state_update(ctx: WorkContext, main: Flow, net: RecurrentMixer) -> Work:
    """The state itself; it is read and written by the kernels of the recurrence, and counted there."""
    kept = element_bytes(net.state_dtype)
    return Work(Flow(main.share, "sequence", net.state_elements / ctx.tp_size, kept, main.share))


def _recurrence(ctx: WorkContext, main: Flow, net: RecurrentMixer) -> Work:
    """A recurrence behind its convolution: one step of each state in decode, chunks of a prompt as matrix products in prefill."""
    heads, v = net.num_value_heads / ctx.tp_size, net.value_head_dim
    rows, state = ctx.rows(main), heads * net.key_head_dim * v
    channels = on_rank(net, net.conv_channels, ctx.tp_size)
    sequences = ctx.load.batch * _decode_share(ctx, main)
    state_bytes = element_bytes(net.state_dtype) * state
    kept = 2 * sequences * (state_bytes + (net.conv_kernel - 1) * channels * ctx.activation_bytes)
    convolution = rows * (2 * net.conv_kernel * channels)
    out = ctx.flow(heads * v, main)
    if ctx.phase == "decode":
        io = rows * ((on_rank(net, net.projected, ctx.tp_size) + heads * v) * ctx.activation_bytes)
        return Work(out, convolution + step_flops(net) * rows * state, 0.0, io + kept, rows=ctx.load.new_tokens)
    moved = rows * (scanned_elements(net, ctx.tp_size) * ctx.activation_bytes)
    flops = convolution + rows * scan_flops(net, ctx.tp_size)
    return Work(out, flops, 0.0, moved + kept, rows=ctx.load.new_tokens)


def kv_elements_per_token(model: ModelSpec, tp_size: int) -> int:
    """Cache elements of one token in one layer on one rank: K and V heads are split over tp down to one head, a latent never is."""
    return int(kv_elements(model, tp_size))


def kv_elements(model: ModelSpec, tp_size: Quantity) -> Quantity:
    """The same where `tp_size` may be an array."""
    attention = model.attention
    if attention.kind == "mla":
        return attention.kv_lora_rank + attention.qk_rope_head_dim
    return 2 * at_least_one(split_size(attention.num_kv_heads, tp_size)) * attention.head_dim


def _seen_tokens(ctx: WorkContext) -> Quantity:
    """Tokens that one sequence attends to in this layer, on this rank."""
    seen = ctx.load.kv_tokens
    if ctx.window_tokens is not None and ctx.phase == "decode":
        seen = _window_in_decode(ctx, seen, ctx.window_tokens)
    return seen / ctx.sizes["dcp"] if ctx.pool.dcp_size > 1 and ctx.phase == "decode" else seen


def _window_in_decode(ctx: WorkContext, seen: Quantity, window: int) -> Quantity:
    chunked = ctx.model.window is not None and ctx.model.window.kind == "chunked"
    return (
        np.minimum(seen, window)
        if not chunked
        else np.where(np.asarray(seen) % window, np.asarray(seen) % window, window)
    )


def _attended_pairs(ctx: WorkContext) -> Quantity:
    """Query-key pairs of the pass, both triangles counted: causal prefill costs (p+s)^2 - p^2, a window w costs 2ws."""
    load = ctx.load
    if ctx.phase == "decode":
        return 2 * load.batch * load.new_tokens * _seen_tokens(ctx)
    past = load.kv_tokens - load.new_tokens
    full = load.kv_tokens * load.kv_tokens - past * past
    if ctx.window_tokens is not None:
        full = np.minimum(full, 2.0 * ctx.window_tokens * load.new_tokens)
    return load.batch * full


def _attention(at: Visit) -> Work:
    node, ctx, main = at.node, at.ctx, at.main
    assert isinstance(node, AttentionNode)
    if node.form == "recurrent" and ctx.model.linear is not None:
        return _recurrence(ctx, main, ctx.model.linear)
    if ctx.model.attention.kind == "gqa":
        done = _gqa_attention(ctx, main, gathered=_gathered_heads(at))
    elif _is_absorbed(node, ctx):
        done = _mla_absorbed(ctx, main, gathered=_gathered_heads(at))
    else:
        done = _mla_expanded(ctx, main)
    if not node.partial or ctx.phase == "decode":
        return done
    # A step of the ring sees one shard of the prompt.
    return done._replace(flops=done.flops / ctx.sizes["cp"], io_bytes=done.io_bytes / ctx.sizes["cp"])


def _gathered_heads(at: Visit) -> Quantity | None:
    """By how much a gather of Q over dcp multiplied the heads of this rank; None where there was none."""
    return at.ctx.sizes["dcp"] if any(a.op == "all_gather" for a in at.inputs) and at.ctx.phase == "decode" else None


def _is_absorbed(node: AttentionNode, ctx: WorkContext) -> bool:
    return node.form == "absorbed" or (node.form is None and ctx.phase == "decode")


def _gqa_attention(ctx: WorkContext, main: Flow, gathered: Quantity | None) -> Work:
    attention = ctx.model.attention
    assert attention.kind == "gqa"
    # Ulysses trades token shards for head shards: the width that arrives says how many heads are here.
    fraction = main.width / _qkv_width(ctx, ctx.attention_ranks) if gathered is None else 1.0
    query_width = ctx.heads_per_rank * fraction * attention.head_dim * (1 if gathered is None else gathered)
    out = ctx.flow(query_width, main)
    cache = ctx.cache_elements * fraction * ctx.kv_bytes
    flops = 2 * query_width * _attended_pairs(ctx) * main.share
    io = cache * ctx.load.batch * _seen_tokens(ctx) * _decode_share(ctx, main)
    io = io + ctx.rows(main) * (2 * query_width * ctx.activation_bytes)
    return Work(out, flops, 0.0, io, rows=ctx.load.new_tokens)


def _decode_share(ctx: WorkContext, main: Flow) -> Quantity:
    """Share of the caches that this rank's queries touch: in decode queries are whole sequences, in prefill every one sees all."""
    if ctx.phase == "prefill":
        return 1.0
    return np.minimum(1.0, main.share) if isinstance(main.share, np.ndarray) else min(1.0, main.share)


def _mla_absorbed(ctx: WorkContext, main: Flow, gathered: Quantity | None) -> Work:
    attention = ctx.model.attention
    assert attention.kind == "mla"
    c, r = attention.kv_lora_rank, attention.qk_rope_head_dim
    heads = ctx.heads_per_rank * (1 if gathered is None else gathered)
    flops = heads * (2 * c + r) * _attended_pairs(ctx) * main.share
    io = (c + r) * ctx.kv_bytes * ctx.load.batch * _seen_tokens(ctx) * _decode_share(ctx, main)
    io = io + ctx.rows(main) * (heads * (2 * c + r) * ctx.activation_bytes)
    return Work(ctx.flow(heads * c, main), flops, 0.0, io, rows=ctx.load.new_tokens)


def _mla_expanded(ctx: WorkContext, main: Flow) -> Work:
    attention = ctx.model.attention
    assert attention.kind == "mla"
    heads, v = ctx.heads_per_rank, attention.v_head_dim
    width = heads * (attention.qk_nope_head_dim + attention.qk_rope_head_dim + v)
    flops = width * _attended_pairs(ctx) * main.share
    io = (ctx.rows(main) + ctx.load.attended_tokens) * (width * ctx.activation_bytes)
    return Work(ctx.flow(heads * v, main), flops, 0.0, io, rows=ctx.load.new_tokens)


def _attention_merge(at: Visit) -> Work:
    ctx, main = at.ctx, at.main
    return Work(main, io_bytes=(len(at.inputs) + 1) * ctx.bytes_of(main))


# --- mixture of experts -------------------------------------------------------------------------------------------------------------


def _moe(ctx: WorkContext) -> Moe:
    """The model's experts; for a dense model, which has no business with such a node, one expert as wide as its FFN."""
    width = ctx.model.intermediate_size or ctx.model.hidden_size
    return ctx.model.moe or Moe(num_experts=1, top_k=1, expert_intermediate_size=width)


def distinct_experts(moe: Moe, ep_size: Quantity, redundant: int, tokens: Quantity) -> Quantity:
    """Expected distinct experts of one rank that `tokens` of its group reach, under uniform routing."""
    copies = moe.num_experts + redundant
    missed: Quantity = np.exp(np.log1p(-min(moe.top_k / copies, 1 - 1e-12)) * tokens)
    return (copies / ep_size) * (1 - missed)


def distinct_destinations(moe: Moe, parts: Quantity) -> Quantity:
    """Expected distinct parts, of `parts` equal ones, that hold a token's experts under uniform routing (hypergeometric)."""
    if not isinstance(parts, np.ndarray):
        return _distinct_parts(moe, int(parts))
    kinds, which = np.unique(parts, return_inverse=True)
    return np.array([_distinct_parts(moe, int(kind)) for kind in kinds])[which]


def _distinct_parts(moe: Moe, parts: int) -> float:
    outside = moe.num_experts - moe.num_experts // parts
    return parts * (1 - comb(outside, moe.top_k) / comb(moe.num_experts, moe.top_k))


def cross_host_fraction(moe: Moe, ranks: int, hosts: int, mode: DispatchMode) -> float:
    """Bytes that leave the host over bytes that one rank sends in a dispatch over `ranks` on `hosts`.

    Throughput kernels send a token once to each host (node-limited routing bounds how many); low-latency ones once per expert.
    """
    if hosts == 1:
        return 0.0
    if mode == "low_latency":
        return (hosts - 1) / hosts
    reached = _distinct_parts(moe, hosts)
    if moe.num_expert_groups > 1:
        reached = min(reached, moe.top_k_groups)
    return reached * (1 - 1 / hosts) / (_distinct_parts(moe, ranks) * (1 - 1 / ranks))


def _routing(at: Visit) -> Work:
    ctx, main = at.ctx, at.main
    moe, h = _moe(ctx), ctx.model.hidden_size
    rows = ctx.rows(main)
    out = Flow(main.share, main.rows, moe.top_k, ROUTING_BYTES, main.share)
    weight = h * moe.num_experts
    io = rows * ((h + moe.num_experts) * ctx.activation_bytes)
    return Work(out, rows * (2 * weight), weight * ctx.class_bytes["router"], io, rows=rows)


def _expert(at: Visit) -> Work:
    ctx, main = at.ctx, at.main
    moe, h, ep = _moe(ctx), ctx.model.expert_features, ctx.sizes["ep"]
    matrices = ffn_matrices(ctx.model)
    width = split_size(moe.expert_intermediate_size, ctx.sizes["moe_tp"])
    tokens = ctx.load.tokens * main.distinct
    active = distinct_experts(moe, ep, ctx.pool.redundant_experts, tokens)
    pairs = tokens * (moe.top_k / ep)
    out = main._replace(width=h, element_bytes=ctx.activation_bytes)
    weight = active * (matrices * h * width * ctx.class_bytes["expert"])
    io = pairs * ((2 * h + matrices * width) * ctx.activation_bytes)
    return Work(out, pairs * (2 * matrices * h * width), weight, io, rows=pairs / np.maximum(active, 1e-9))


def dispatch_element_bytes(precision: Precision) -> float:
    """Bytes of a dispatched element, its scales included: fp8 checkpoints dispatch fp8, others as activations."""
    if precision.weights == "fp8":
        return 1 + FP8_SCALE_BYTES_PER_ELEMENT
    return element_bytes(precision.activations)


def dispatch_bytes_per_token(ctx: WorkContext, mode: DispatchMode, *, with_routing: bool) -> Quantity:
    """Bytes that a rank sends for each of its tokens in an all_to_all dispatch.

    Throughput kernels send one copy to each distinct destination rank but itself; low-latency kernels one message per expert.
    """
    moe, h = _moe(ctx), ctx.model.expert_features
    payload = h * dispatch_element_bytes(ctx.precision)
    if mode == "low_latency":
        return moe.top_k * (LOW_LATENCY_HEADER_BYTES + payload)
    ep = ctx.sizes["ep"]
    copies = distinct_destinations(moe, ep) * (1 - 1 / ep)
    return copies * (payload + (ROUTING_BYTES * moe.top_k if with_routing else 0))


def combine_bytes_per_token(ctx: WorkContext, mode: DispatchMode) -> Quantity:
    """Bytes that a rank sends for each of its tokens in an all_to_all combine; results travel as 2-byte elements."""
    moe, ep = _moe(ctx), ctx.sizes["ep"]
    copies = moe.top_k if mode == "low_latency" else distinct_destinations(moe, ep) * (1 - 1 / ep)
    return copies * ctx.model.expert_features * 2


def _all_to_all(at: Visit) -> Work:
    node, ctx, main = at.node, at.ctx, at.main
    assert isinstance(node, AllToAll)
    ranks = ctx.sizes[node.axis]
    if node.role == "scatter_heads":
        out = main._replace(share=main.share * ranks, width=main.width / ranks, distinct=main.share * ranks)
        return Work(out, message_bytes=ctx.bytes_of(main))
    if node.role == "gather_heads":
        out = main._replace(share=main.share / ranks, width=main.width * ranks, distinct=main.share / ranks)
        return Work(out, message_bytes=ctx.bytes_of(main))
    return _dispatch(ctx, main, at.inputs, ranks) if node.role == "dispatch" else _combine(ctx, main, ranks)


def _mode(ctx: WorkContext) -> DispatchMode:
    return ctx.pool.dispatch_mode.prefill if ctx.phase == "prefill" else ctx.pool.dispatch_mode.decode


def _dispatch(ctx: WorkContext, main: Flow, inputs: list[Arrival], ranks: Quantity) -> Work:
    moe, mode = _moe(ctx), _mode(ctx)
    with_routing = any(a.op == "routing" for a in inputs)
    copies = moe.top_k if mode == "low_latency" else distinct_destinations(moe, ctx.sizes["ep"])
    element = dispatch_element_bytes(ctx.precision)
    out = Flow(main.share * copies, main.rows, main.width, element, main.share * ranks)
    sent = ctx.rows(main) * dispatch_bytes_per_token(ctx, mode, with_routing=with_routing)
    return Work(out, message_bytes=sent)


def _combine(ctx: WorkContext, main: Flow, ranks: Quantity) -> Work:
    own = main.distinct / ranks
    out = Flow(own, main.rows, ctx.model.expert_features, ctx.activation_bytes, own)
    return Work(out, message_bytes=ctx.rows(out) * combine_bytes_per_token(ctx, _mode(ctx)))


# --- other communication ------------------------------------------------------------------------------------------------------------


def _all_reduce(at: Visit) -> Work:
    node, ctx, main = at.node, at.ctx, at.main
    assert isinstance(node, AllReduce | Broadcast)
    if ctx.recurrent and any(a.op == "attention" for a in at.inputs):  # one sum of squares for each row, not the rows
        main = main._replace(width=1, element_bytes=SQUARES_BYTES)
    return Work(main, message_bytes=ctx.bytes_of(main))


def _all_gather(at: Visit) -> Work:
    node, ctx, main = at.node, at.ctx, at.main
    assert isinstance(node, AllGather)
    ranks = ctx.sizes[node.axis]
    if node.role in ("kv", "q", "lse"):
        return _carried(node, ctx, main)
    size = ranks * sum(ctx.bytes_of(a.flow) for a in at.inputs)
    if node.dim == "tokens":
        return Work(_scaled(main, ranks), message_bytes=size)
    return Work(main._replace(width=main.width * ranks), message_bytes=size)


def _carried(node: AllGather, ctx: WorkContext, main: Flow) -> Work:
    """Gathers of a part of their input: new K and V, queries, or one log-sum-exp per head."""
    ranks = ctx.sizes[node.axis]
    if node.role == "kv":
        part = main._replace(width=ctx.cache_elements)
        return Work(_scaled(part, ranks), message_bytes=ranks * ctx.bytes_of(part))
    if node.role == "q":
        width = main.width if ctx.model.attention.kind == "mla" else ctx.heads_per_rank * ctx.model.attention.head_dim
        part = main._replace(width=width)
        return Work(part._replace(width=width * ranks), message_bytes=ranks * ctx.bytes_of(part))
    values = Flow(main.share, main.rows, ctx.heads_per_rank * ranks, LSE_BYTES, main.share)
    return Work(values._replace(width=values.width * ranks), message_bytes=ranks * ctx.bytes_of(values))


def _reduce_scatter(at: Visit) -> Work:
    node, ctx, main = at.node, at.ctx, at.main
    assert isinstance(node, ReduceScatter)
    ranks, size = ctx.sizes[node.axis], ctx.bytes_of(main)
    if node.dim == "tokens":
        return Work(_scaled(main, 1 / ranks), message_bytes=size)
    return Work(main._replace(width=main.width / ranks), message_bytes=size)


def _chunk(at: Visit) -> Work:
    node, ctx, main = at.node, at.ctx, at.main
    assert isinstance(node, Chunk)
    return Work(_scaled(main, 1 / ctx.sizes[node.axis]))


def _scaled(flow: Flow, factor: Quantity) -> Flow:
    return flow._replace(share=flow.share * factor, distinct=flow.distinct * factor)


def _send(at: Visit) -> Work:
    node, ctx, main = at.node, at.ctx, at.main
    assert isinstance(node, Send)
    if node.axis is not None:  # round a ring goes only what other ranks attend to
        main = main._replace(width=ctx.cache_elements)
    return Work(main, message_bytes=ctx.bytes_of(main))


def _recv(at: Visit) -> Work:
    main = at.main
    # The bytes are those of the send; the receiver waits for the same transfer.
    return Work(main)


_Worker = Callable[[Visit], Work]
_WORKERS: dict[str, _Worker] = {
    "ingress": _ingress, "step_sync": _step_sync, "embedding": _embedding, "norm": _norm, "select_last": _select_last,
    "sample": _sample, "linear": _linear, "activation": _activation, "add": _add, "kv_cache_update": _kv_cache_update,
    "attention": _attention, "attention_merge": _attention_merge, "routing": _routing, "expert": _expert, "all_to_all": _all_to_all, "all_reduce": _all_reduce,
    "broadcast": _all_reduce, "all_gather": _all_gather, "reduce_scatter": _reduce_scatter, "chunk": _chunk,
    "send": _send, "recv": _recv,
}  # fmt: skip
