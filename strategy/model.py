"""What a decoder-only transformer is made of, as far as splitting it over GPUs is concerned."""

from functools import cached_property, lru_cache
from typing import Annotated, Literal

from pydantic import Field, model_validator

from strategy.values import Count, Frozen, Size

Dtype = Literal["fp32", "bf16", "fp16", "fp8", "int8", "mxfp4", "nvfp4", "int4"]
Status = Literal["verified", "third_party", "derived", "unverified"]
WeightClass = Literal["embedding", "lm_head", "norm", "router", "attention", "dense_ffn", "expert", "shared_expert"]
FfnKind = Literal["dense", "moe"]


class Provenance(Frozen):
    """Where a record comes from and how far it was checked."""

    source: str
    status: Status
    note: str = ""


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


class Moe(Frozen):
    """The routed experts of the MoE layers, and the shared ones beside them."""

    num_experts: Size
    top_k: Size
    expert_intermediate_size: Size
    shared_intermediate_size: Count = 0
    """Total width of the shared experts; 0 when there are none."""
    num_expert_groups: Size = 1
    top_k_groups: Size = 1
    """Node-limited routing: a token's experts come from at most this many of `num_expert_groups`."""


class Window(Frozen):
    """Layers whose attention does not see the whole context."""

    kind: Literal["sliding", "chunked"]
    size_tokens: Size
    layers: tuple[Count, ...]


class Checkpoint(Frozen):
    """The precision a checkpoint ships in."""

    weights: Dtype = "bf16"
    block: tuple[Size, Size] | None = None
    """Rows and columns of one quantisation block (fp8 block scales)."""
    group_size: Size | None = None
    """Input features that share one scale (GPTQ, AWQ)."""
    unquantised: tuple[WeightClass, ...] = ("embedding", "lm_head", "norm", "router")
    """Weights that stay in bf16 whatever `weights` says."""


@lru_cache(maxsize=256)
def _ffn_runs(num_layers: int, dense_layers: tuple[int, ...] | None) -> tuple[tuple[int, int, FfnKind], ...]:
    """Runs of layers of one kind; `dense_layers` None when all are dense."""
    dense = range(num_layers) if dense_layers is None else frozenset(dense_layers)
    runs: list[tuple[int, int, FfnKind]] = []
    for layer in range(num_layers):
        kind: FfnKind = "dense" if layer in dense else "moe"
        if runs and runs[-1][2] == kind:
            runs[-1] = (runs[-1][0], layer + 1, kind)
        else:
            runs.append((layer, layer + 1, kind))
    return tuple(runs)


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
    moe: Moe | None = None
    dense_layers: tuple[Count, ...] = ()
    """Layers of an MoE model that have a dense FFN."""
    window: Window | None = None
    tie_word_embeddings: bool = False
    max_position_embeddings: Size = 131_072
    checkpoint: Checkpoint = Checkpoint()
    provenance: Provenance = Provenance(source="inline", status="unverified")

    @model_validator(mode="after")
    def _consistent(self) -> "ModelSpec":
        if any(layer >= self.num_layers for layer in self.dense_layers):
            raise ValueError(f"dense_layers must be below num_layers={self.num_layers}")
        has_dense = self.moe is None or bool(self.dense_layers)
        if has_dense and self.intermediate_size is None:
            raise ValueError("intermediate_size is needed: some layers have a dense FFN")
        if self.moe is not None and self.moe.top_k > self.moe.num_experts:
            raise ValueError(f"top_k={self.moe.top_k} exceeds num_experts={self.moe.num_experts}")
        attention = self.attention
        if attention.kind == "gqa" and attention.num_heads % attention.num_kv_heads:
            raise ValueError(
                f"num_heads={attention.num_heads} is not a multiple of num_kv_heads={attention.num_kv_heads}"
            )
        return self

    @cached_property
    def _dense_set(self) -> frozenset[int]:
        return frozenset(self.dense_layers)

    @cached_property
    def _window_set(self) -> frozenset[int]:
        return frozenset(self.window.layers) if self.window else frozenset()

    def ffn_kind(self, layer: int) -> FfnKind:
        """Whether `layer` has a dense FFN or routed experts."""
        return "dense" if self.moe is None or layer in self._dense_set else "moe"

    def window_tokens(self, layer: int) -> int | None:
        """Tokens that attention of `layer` can see, or None when it sees all."""
        return self.window.size_tokens if self.window and layer in self._window_set else None

    def ffn_runs(self) -> list[tuple[int, int, FfnKind]]:
        """Maximal half-open layer ranges of one FFN kind, in order."""
        return list(_ffn_runs(self.num_layers, None if self.moe is None else self.dense_layers))

    @property
    def shape(self) -> str:
        """Layers, hidden size and heads: what fine-tunes and quantisations of one model share."""
        return f"{self.num_layers}x{self.hidden_size}x{self.attention.num_heads}"

    @property
    def kind(self) -> FfnKind:
        """Whether it has routed experts."""
        return "dense" if self.moe is None else "moe"

    @property
    def num_moe_layers(self) -> int:
        """Layers with routed experts."""
        return 0 if self.moe is None else self.num_layers - len(self.dense_layers)
