"""What a decoder-only transformer is made of, as far as splitting it over GPUs is concerned."""

from collections.abc import Iterable
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from strategy.layers import FfnKind, Halves, MixerKind, runs_of_ffns, runs_of_layers
from strategy.values import Count, Frozen, Size

Dtype = Literal["fp32", "bf16", "fp16", "fp8", "int8", "mxfp4", "nvfp4", "int4"]
StateDtype = Literal["fp32", "bf16", "fp16"]
Status = Literal["verified", "third_party", "derived", "unverified"]
WeightClass = Literal["embedding", "lm_head", "norm", "router", "attention", "dense_ffn", "expert", "shared_expert"]
ParallelBlock = Literal["one_norm", "two_norms"]
"""Attention and FFN side by side: both read the layer's input, behind a norm that they share or behind one each."""


MOST_SHAPED_LAYERS = 10_000
"""Layers of a model some of whose layers have sizes of their own."""


class Provenance(Frozen):
    """Where a record comes from and how far it was checked."""

    source: str
    status: Status
    note: str = ""


GIVEN_CONFIG, GIVEN_SPEC = "config.json given with the request", "inline"
"""Sources of models that a request describes itself."""


class GqaAttention(Frozen):
    """Multi-head, grouped-query or multi-query attention: `num_kv_heads` K and V heads of `head_dim`."""

    kind: Literal["gqa"] = "gqa"
    num_heads: Size
    num_kv_heads: Size
    head_dim: Size
    qk_norm: bool = False


class MlaAttention(Frozen):
    """Multi-head latent attention: one latent of `kv_lora_rank` + `qk_rope_head_dim` per token instead of K and V heads."""

    kind: Literal["mla"] = "mla"
    num_heads: Size
    q_lora_rank: Size | None
    kv_lora_rank: Size
    qk_nope_head_dim: Size
    qk_rope_head_dim: Size
    v_head_dim: Size


Attention = Annotated[GqaAttention | MlaAttention, Field(discriminator="kind")]


class GatedDeltaNet(Frozen):
    """Linear attention by the gated delta rule behind a short causal convolution: what it remembers of a sequence has a constant size.

    Each value head keeps a matrix of `key_head_dim` x `value_head_dim`; `num_value_heads / num_key_heads` of them share Q and K. Beside
    it stand the last `conv_kernel - 1` rows of Q, K and V before the convolution.
    """

    num_key_heads: Size
    num_value_heads: Size
    key_head_dim: Size
    value_head_dim: Size
    conv_kernel: Size = 4

    @property
    def words(self) -> str:
        """What its layers are called."""
        return "linear-attention"

    @property
    def conv_channels(self) -> int:
        """Q, K and V of all heads, side by side."""
        return 2 * self.num_key_heads * self.key_head_dim + self.num_value_heads * self.value_head_dim

    @property
    def numbers_per_head(self) -> int:
        """What a token says to a value head beside vectors: beta and decay."""
        return 2

    @property
    def projected(self) -> int:
        """Features of its input projection: Q, K, V, the output gate, and two numbers for each value head (beta and decay)."""
        return self.conv_channels + self.num_value_heads * (self.value_head_dim + self.numbers_per_head)

    @property
    def inside_parameters(self) -> int:
        """Parameters of the convolution, the decays and the norm of the output, none of which is quantised."""
        return self.conv_channels * self.conv_kernel + 2 * self.num_value_heads + self.whole_parameters

    @property
    def whole_parameters(self) -> int:
        """Those of them that every rank holds whole: the norm, which heads share."""
        return self.value_head_dim

    @property
    def repeated(self) -> int:
        """Features of its projection that every rank has: none, since key heads are split."""
        return 0

    @property
    def state_elements(self) -> int:
        """Elements of the matrices of all value heads."""
        return self.num_value_heads * self.key_head_dim * self.value_head_dim

    @property
    def state_dtype(self) -> StateDtype:
        """What the engines' kernels keep a state in."""
        return "fp32"


class Mamba2(Frozen):
    """A state space with one decay for each head (Mamba-2), which is linear attention by another name: C, B and x are Q, K and V.

    Each head keeps a matrix of `state_size` x `head_dim`; the heads of one of `num_groups` share B and C, and the norm of the gated
    output goes over each group. Beside it stand the last `conv_kernel - 1` rows of C, B and x before the convolution, which has a bias.
    """

    num_heads: Size
    head_dim: Size
    num_groups: Size
    state_size: Size
    conv_kernel: Size = 4
    chunk_tokens: Size = 256
    """Tokens of a prompt that are multiplied as matrices before the state is passed on."""
    state_dtype: StateDtype = "fp32"

    @property
    def words(self) -> str:
        """What its layers are called."""
        return "state-space"

    @property
    def num_key_heads(self) -> int:
        """Of how many heads there are B and C: one for each group."""
        return self.num_groups

    @property
    def num_value_heads(self) -> int:
        """Heads, each with a state."""
        return self.num_heads

    @property
    def key_head_dim(self) -> int:
        """Width of B and of C."""
        return self.state_size

    @property
    def value_head_dim(self) -> int:
        """Width of x and of the output."""
        return self.head_dim

    @property
    def conv_channels(self) -> int:
        """C and B of all groups and x of all heads, side by side."""
        return 2 * self.num_groups * self.state_size + self.num_heads * self.head_dim

    @property
    def numbers_per_head(self) -> int:
        """What a token says to a head beside vectors: its time step."""
        return 1

    @property
    def projected(self) -> int:
        """Features of its input projection: C, B, x, the gate z, and the time step of each head."""
        return self.conv_channels + self.num_heads * (self.head_dim + self.numbers_per_head)

    @property
    def inside_parameters(self) -> int:
        """Parameters of the convolution, the decay, bias and skip of each head, and the norm of the output; none of them is quantised."""
        return self.conv_channels * (self.conv_kernel + 1) + self.num_heads * (3 + self.head_dim)

    @property
    def whole_parameters(self) -> int:
        """Those of them that every rank holds whole: none, since a group's norm is split with its heads."""
        return 0

    @property
    def repeated(self) -> int:
        """Features of its projection that every rank has: C and B of a single group, whose norm goes over the heads of all ranks then."""
        return 2 * self.state_size if self.num_groups == 1 else 0

    @property
    def state_elements(self) -> int:
        """Elements of the matrices of all heads."""
        return self.num_heads * self.state_size * self.head_dim


def _recurrence_kind(value: Any) -> str:
    names = value if isinstance(value, dict) else dir(value)
    return "mamba2" if "state_size" in names else "delta_net"


RecurrentMixer = GatedDeltaNet | Mamba2
"""What a layer has that keeps a state of constant size."""
StatedMixer = Annotated[
    Annotated[GatedDeltaNet, Tag("delta_net")] | Annotated[Mamba2, Tag("mamba2")], Discriminator(_recurrence_kind)
]
"""The same as a request states it: told apart by `state_size`."""


class Moe(Frozen):
    """The routed experts of the MoE layers, and the shared ones beside them."""

    num_experts: Size
    top_k: Size
    expert_intermediate_size: Size
    shared_intermediate_size: Count = 0
    """Total width of the shared experts; 0 when there are none."""
    num_expert_groups: Size = 1
    latent_size: Size | None = None
    """Width of the space in which the routed experts run, between two projections that every rank holds whole; None where they read
    hidden states themselves."""
    top_k_groups: Size = 1
    """Node-limited routing: a token's experts come from at most this many of `num_expert_groups`."""


class Window(Frozen):
    """Layers whose attention does not see the whole context."""

    kind: Literal["sliding", "chunked"]
    size_tokens: Size
    layers: tuple[Count, ...]


class LayerShape(Frozen):
    """Layers `range[0]` to `range[1] - 1` of sizes of their own, as an architecture search gives them; None where they are the model's."""

    range: tuple[Count, Count]
    num_heads: Size | None = None
    num_kv_heads: Size | None = None
    intermediate_size: Size | None = None


class Checkpoint(Frozen):
    """The precision a checkpoint ships in."""

    weights: Dtype = "bf16"
    block: tuple[Size, Size] | None = None
    """Rows and columns of one quantisation block (fp8 block scales)."""
    group_size: Size | None = None
    """Input features that share one scale (GPTQ, AWQ)."""
    unquantised: tuple[WeightClass, ...] = ("embedding", "lm_head", "norm", "router")
    """Weights that stay in bf16 whatever `weights` says."""
    in_fp8: tuple[WeightClass, ...] = ()
    """Weights that are fp8, with one scale a matrix, beside narrower ones."""


def _heads_of(attention: Attention, shape: LayerShape) -> tuple[int, int]:
    """Query heads and KV heads of layers with sizes of their own."""
    heads = shape.num_heads or attention.num_heads
    return heads, shape.num_kv_heads or (attention.num_kv_heads if attention.kind == "gqa" else 1)


class ModelSpec(Frozen):
    """One model: everything that decides shapes, bytes, FLOPs and legal splits."""

    name: str
    aliases: tuple[str, ...] = ()
    hidden_size: Size
    num_layers: Size
    vocab_size: Size
    attention: Attention
    intermediate_size: Size | None
    """Width of the dense FFN; None when every layer is MoE."""
    ffn_gated: bool = True
    """Whether FFNs, experts among them, have three matrices, one of which gates another (SwiGLU, GeGLU), or two: up and down."""
    parallel_block: ParallelBlock | None = None
    """How attention and FFN of a layer stand side by side, summed into the residual stream at once; None where the FFN follows attention."""
    moe: Moe | None = None
    dense_layers: tuple[Count, ...] = ()
    """Layers of an MoE model that have a dense FFN."""
    window: Window | None = None
    linear: StatedMixer | None = None
    """What the `linear_layers` have in place of attention."""
    linear_layers: tuple[Count, ...] = ()
    no_mixer_layers: tuple[Count, ...] = ()
    """Layers that mix no tokens: neither attention nor a recurrence (`no_op`)."""
    no_ffn_layers: tuple[Count, ...] = ()
    """Layers without an FFN."""
    layer_shapes: tuple[LayerShape, ...] = ()
    """Layers whose heads or dense FFN have other sizes than `attention` and `intermediate_size` say."""
    tie_word_embeddings: bool = False
    max_position_embeddings: Size = 131_072
    checkpoint: Checkpoint = Checkpoint()
    provenance: Provenance = Provenance(source=GIVEN_SPEC, status="unverified")

    @field_validator("name", "aliases")
    @classmethod
    def _is_one_line(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        """Names go into terminals, prompts and launch scripts."""
        for name in (value,) if isinstance(value, str) else value:
            if not name.isprintable():
                raise ValueError("a model's name is one line of printable characters")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> "ModelSpec":
        if any(layer >= self.num_layers for layer in self.dense_layers):
            raise ValueError(f"dense_layers must be below num_layers={self.num_layers}")
        if bool(self.linear_layers) != (self.linear is not None):
            raise ValueError("linear and linear_layers belong together: give both, or neither")
        if any(layer >= self.num_layers for layer in self.linear_layers):
            raise ValueError(f"linear_layers must be below num_layers={self.num_layers}")
        self._check_absent()
        self._check_shapes()
        if self.linear is not None and self.linear.num_value_heads % self.linear.num_key_heads:
            raise ValueError(
                f"num_value_heads={self.linear.num_value_heads} is not a multiple of num_key_heads={self.linear.num_key_heads}"
            )
        if self.parallel_block and (self.moe is not None or self.linear is not None or self.attention.kind != "gqa"):
            raise ValueError("parallel_block stands beside gqa attention in every layer and dense FFNs only")
        if self.has_dense_ffn and self.intermediate_size is None:
            raise ValueError("intermediate_size is needed: some layers have a dense FFN")
        if self.moe is not None and self.moe.top_k > self.moe.num_experts:
            raise ValueError(f"top_k={self.moe.top_k} exceeds num_experts={self.moe.num_experts}")
        attention = self.attention
        if attention.kind == "gqa" and attention.num_heads % attention.num_kv_heads:
            raise ValueError(
                f"num_heads={attention.num_heads} is not a multiple of num_kv_heads={attention.num_kv_heads}"
            )
        return self

    def _check_absent(self) -> None:
        """Layers that lack a half lack it alone, and some layer mixes tokens."""
        for name, present in (("no_mixer_layers", self.linear_layers), ("no_ffn_layers", self.dense_layers)):
            absent = frozenset(getattr(self, name))
            if any(layer >= self.num_layers for layer in absent):
                raise ValueError(f"{name} must be below num_layers={self.num_layers}")
            if absent & frozenset(present):
                raise ValueError(f"{name} names layers that have what they lack: {sorted(absent & frozenset(present))}")
        if len(self._no_mixer_set) == self.num_layers:
            raise ValueError("no_mixer_layers names every layer: a model needs one that mixes tokens")
        if self.window is not None and self._no_mixer_set & frozenset(self.window.layers):
            raise ValueError("window names layers of no_mixer_layers: they have no attention")
        if self.parallel_block and (self.no_mixer_layers or self.no_ffn_layers):
            raise ValueError("parallel_block needs attention and an FFN in every layer")

    def _check_shapes(self) -> None:
        """Sizes of their own are of layers that exist, in order, and of what the model has."""
        reached = 0
        if self.layer_shapes and self.num_layers > MOST_SHAPED_LAYERS:
            raise ValueError(f"layer_shapes: num_layers={self.num_layers} is above {MOST_SHAPED_LAYERS}")
        for shape in self.layer_shapes:
            start, end = shape.range
            if not reached <= start < end <= self.num_layers:
                raise ValueError(
                    f"layer_shapes: range [{start}, {end}] must lie in order between {reached} and {self.num_layers}"
                )
            if self.attention.kind != "gqa" and (shape.num_heads or shape.num_kv_heads):
                raise ValueError("layer_shapes: only gqa attention has heads of a layer's own")
            if shape.intermediate_size and self.intermediate_size is None:
                raise ValueError("layer_shapes: intermediate_size of a layer needs the model's own beside it")
            heads, kv_heads = _heads_of(self.attention, shape)
            if heads % kv_heads:
                raise ValueError(
                    f"layer_shapes: num_heads={heads} is not a multiple of num_kv_heads={kv_heads} in {shape.range}"
                )
            reached = end

    @cached_property
    def _views(self) -> tuple["ModelSpec", ...]:
        """The model as each layer has it."""
        whole = self.model_copy(update={"layer_shapes": ()})
        known: dict[tuple[int, int, int | None], ModelSpec] = {}
        views = [whole] * self.num_layers
        for shape in self.layer_shapes:
            heads, kv_heads = _heads_of(self.attention, shape)
            width = shape.intermediate_size or self.intermediate_size
            if (heads, kv_heads, width) not in known:
                attention = self.attention
                if attention.kind == "gqa":
                    attention = attention.model_copy(update={"num_heads": heads, "num_kv_heads": kv_heads})
                view = whole.model_copy(update={"attention": attention, "intermediate_size": width})
                known[heads, kv_heads, width] = whole if view == whole else view
            views[slice(*shape.range)] = [known[heads, kv_heads, width]] * (shape.range[1] - shape.range[0])
        return tuple(views)

    def at(self, layer: int) -> "ModelSpec":
        """The model with the sizes that `layer` has: itself where no layer has sizes of its own."""
        return self._views[layer] if self.layer_shapes and layer < self.num_layers else self

    def by_size(self, layers: Iterable[int]) -> "dict[ModelSpec, range | list[int]]":
        """`layers` by the sizes that they have."""
        if not self.layer_shapes:
            return {self: layers if isinstance(layers, range) else list(layers)}
        found: dict[ModelSpec, list[int]] = {}
        for layer in layers:
            found.setdefault(self.at(layer), []).append(layer)
        return {**found}

    def attention_sizes(self, start: int = 0, end: int | None = None) -> list[tuple["ModelSpec", int]]:
        """The sizes of attention that layers from `start` to `end` have, and how many have each."""
        stop = self.num_layers if end is None else end
        if not self.layer_shapes:
            return [(self, self.cached_in(start, stop))]
        found = self.by_size(layer for layer in range(start, stop) if self.mixer(layer) == "attention")
        return [(view, len(layers)) for view, layers in found.items()]

    def dense_sizes(self) -> list[tuple["ModelSpec", int]]:
        """The widths that dense FFNs have, and how many layers have each."""
        if not self.layer_shapes:
            return [(self, self.ffn_layers - self.num_moe_layers)]
        found = self.by_size(layer for layer in range(self.num_layers) if self.ffn_kind(layer) == "dense")
        return [(view, len(layers)) for view, layers in found.items()]

    def alike_runs(self) -> list[tuple[int, int, MixerKind, FfnKind]]:
        """Maximal half-open layer ranges whose layers are alike in both halves and in all sizes."""
        if not self.layer_shapes:
            return self.layer_runs()
        found: list[tuple[int, int, MixerKind, FfnKind]] = []
        for start, end, mixer, ffn in self.layer_runs():
            for layer in range(start, end):
                if layer > start and self.at(layer) is self.at(layer - 1):
                    found[-1] = (found[-1][0], layer + 1, mixer, ffn)
                else:
                    found.append((layer, layer + 1, mixer, ffn))
        return found

    @cached_property
    def _dense_set(self) -> frozenset[int]:
        return frozenset(self.dense_layers)

    @cached_property
    def _linear_set(self) -> frozenset[int]:
        return frozenset(self.linear_layers)

    @cached_property
    def _no_mixer_set(self) -> frozenset[int]:
        return frozenset(self.no_mixer_layers)

    @cached_property
    def _no_ffn_set(self) -> frozenset[int]:
        return frozenset(self.no_ffn_layers)

    @cached_property
    def _window_set(self) -> frozenset[int]:
        return frozenset(self.window.layers) if self.window else frozenset()

    @property
    def has_dense_ffn(self) -> bool:
        """Whether any layer has a dense FFN."""
        if self.moe is not None:
            return bool(self.dense_layers)
        return len(self._no_ffn_set) < self.num_layers

    def ffn_kind(self, layer: int) -> FfnKind:
        """Whether `layer` has a dense FFN, routed experts or neither."""
        if layer in self._no_ffn_set:
            return "none"
        return "dense" if self.moe is None or layer in self._dense_set else "moe"

    def mixer(self, layer: int) -> MixerKind:
        """Whether `layer` has attention over the whole context, a recurrence or neither."""
        return "linear" if layer in self._linear_set else "none" if layer in self._no_mixer_set else "attention"

    def layer_kind(self, layer: int) -> tuple[MixerKind, FfnKind]:
        """Both halves of a layer."""
        return self.mixer(layer), self.ffn_kind(layer)

    @property
    def _halves(self) -> Halves:
        dense = None if self.moe is None else self.dense_layers
        return Halves(self.num_layers, dense, self.linear_layers, self.no_mixer_layers, self.no_ffn_layers)

    def layer_runs(self) -> list[tuple[int, int, MixerKind, FfnKind]]:
        """Maximal half-open layer ranges whose layers are alike, in order."""
        return list(runs_of_layers(self._halves))

    def linear_in(self, start: int, end: int) -> int:
        """Layers with a recurrence among `start` to `end`."""
        return sum(start <= layer < end for layer in self.linear_layers)

    def cached_in(self, start: int, end: int) -> int:
        """Layers with attention, whose cache grows with the context, among `start` to `end`."""
        without = sum(start <= layer < end for layer in self.no_mixer_layers)
        return end - start - without - self.linear_in(start, end)

    @property
    def attention_layers(self) -> int:
        """Layers with attention over the context."""
        return self.num_layers - len(self.linear_layers) - len(self.no_mixer_layers)

    @property
    def summing_layers(self) -> int:
        """Layers that add anything to the residual stream."""
        return self.num_layers - len(self._no_mixer_set & self._no_ffn_set)

    @property
    def ffn_layers(self) -> int:
        """Layers with an FFN, dense or of experts."""
        return self.num_layers - len(self.no_ffn_layers)

    def window_tokens(self, layer: int) -> int | None:
        """Tokens that attention of `layer` can see, or None when it sees all."""
        return self.window.size_tokens if self.window and layer in self._window_set else None

    def ffn_runs(self) -> list[tuple[int, int, FfnKind]]:
        """Maximal half-open layer ranges of one FFN kind, in order."""
        return list(runs_of_ffns(self._halves))

    @property
    def expert_features(self) -> int:
        """Features of what the routed experts read and write: the latent space, or hidden states."""
        return self.hidden_size if self.moe is None else self.moe.latent_size or self.hidden_size

    @property
    def shape(self) -> str:
        """Layers, hidden size, heads and experts: what fine-tunes and quantisations of one model share."""
        experts = "" if self.moe is None else f"e{self.moe.num_experts}"
        uneven = self.layer_shapes or self.no_mixer_layers or self.no_ffn_layers
        halves = f"a{self.attention_layers}f{self.ffn_layers}" if uneven else ""
        return f"{self.num_layers}x{self.hidden_size}x{self.attention.num_heads}{experts}{halves}"

    @property
    def num_moe_layers(self) -> int:
        """Layers with routed experts."""
        return 0 if self.moe is None else self.ffn_layers - len(self.dense_layers)
