"""The closed table of ops: what each is, which fields it has, which weights it may name.

Schemas, the typing pass, the prompts and the docs are made from this table; a new op is added here and nowhere else.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

from strategy.model import Attention, ModelSpec, WeightClass

ComputeOp = Literal[
    "embedding",
    "linear",
    "attention",
    "attention_merge",
    "expert",
    "norm",
    "activation",
    "add",
    "select_last",
    "sample",
]
CommunicationOp = Literal["all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast", "send", "recv"]
ControlOp = Literal["routing", "kv_cache_update", "ingress", "step_sync", "chunk"]
Op = Literal[ComputeOp, CommunicationOp, ControlOp]
Kind = Literal["compute", "communication", "control"]
Split = Literal["column", "row", "replicated", "vocab"]
Dim = Literal["tokens", "heads", "hidden", "vocab", "partials"]
Role = Literal["dispatch", "combine", "scatter_heads", "gather_heads"]

OPS: tuple[Op, ...] = (*get_args(ComputeOp), *get_args(CommunicationOp), *get_args(ControlOp))
DENSE_FFN_FIRST: frozenset[str] = frozenset({"gate_up", "up"})
"""What opens a dense FFN: gate and up as one matrix, or up alone where nothing gates it."""
DENSE_FFN: frozenset[str] = DENSE_FFN_FIRST | {"down"}
SHARED_FFN_FIRST: frozenset[str] = frozenset({"shared_gate_up", "shared_up"})
"""The same of shared experts."""
SHARED_FFN: frozenset[str] = SHARED_FFN_FIRST | {"shared_down"}
COLLECTIVES: frozenset[str] = frozenset({"all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast"})


_KINDS: dict[str, Kind] = {
    **dict.fromkeys(get_args(ComputeOp), "compute"),
    **dict.fromkeys(get_args(CommunicationOp), "communication"),
}


def op_kind(op: str) -> Kind:
    """Which of the three kinds of node `op` is."""
    return _KINDS.get(op, "control")


@dataclass(frozen=True)
class WeightSpec:
    """One named weight: its class, its matrix (or vector) shape and the splits a linear may give it."""

    name: str
    weight_class: WeightClass
    in_features: int
    out_features: int
    """0 for a vector (norms)."""
    splits: tuple[Split, ...]

    @property
    def parameters(self) -> int:
        """Elements of the whole weight."""
        return self.in_features * max(1, self.out_features)


def attention_weights(model: ModelSpec) -> dict[str, WeightSpec]:
    """Weights of one attention block, `kv_b` also under its two halves `w_uk` and `w_uv` (counted once, as `kv_b`)."""
    return dict(_attention_weights(model.hidden_size, model.attention))


@lru_cache(maxsize=256)
def _attention_weights(h: int, attention: Attention) -> dict[str, WeightSpec]:
    a = attention.num_heads
    found = [_vector("attention_norm", h)]
    if attention.kind == "gqa":
        width = (a + 2 * attention.num_kv_heads) * attention.head_dim
        found += [
            WeightSpec("qkv", "attention", h, width, ("column",)),
            WeightSpec("attention_out", "attention", a * attention.head_dim, h, ("row",)),
        ]
        return {w.name: w for w in found}
    c, r = attention.kv_lora_rank, attention.qk_rope_head_dim
    n, v, q_rank = attention.qk_nope_head_dim, attention.v_head_dim, attention.q_lora_rank
    found.append(_vector("kv_a_norm", c))
    if q_rank is None:
        found += [
            WeightSpec("q", "attention", h, a * (n + r), ("column",)),
            WeightSpec("kv_a", "attention", h, c + r, ("replicated",)),
        ]
    else:
        found += [
            _vector("q_a_norm", q_rank),
            WeightSpec("qkv_a", "attention", h, q_rank + c + r, ("replicated",)),
            WeightSpec("q_b", "attention", q_rank, a * (n + r), ("column",)),
        ]
    found += [
        WeightSpec("kv_b", "attention", c, a * (n + v), ("column",)),
        WeightSpec("w_uk", "attention", a * n, c, ("column",)),
        WeightSpec("w_uv", "attention", c, a * v, ("column",)),
        WeightSpec("attention_out", "attention", a * v, h, ("row",)),
    ]
    return {w.name: w for w in found}


def linear_weights(model: ModelSpec) -> dict[str, WeightSpec]:
    """Weights that nodes of a linear-attention block name; the small ones inside its recurrence are its `inside_parameters`."""
    if model.linear is None:
        return {}
    h, net = model.hidden_size, model.linear
    found = [
        _vector("attention_norm", h),
        WeightSpec("linear_in", "attention", h, net.projected, ("column",)),
        WeightSpec("linear_out", "attention", net.num_value_heads * net.value_head_dim, h, ("row",)),
    ]
    return {w.name: w for w in found}


def dense_ffn_first(model: ModelSpec) -> str:
    """The weight that opens the dense FFN of this model."""
    return "gate_up" if model.ffn_gated else "up"


def shared_ffn_first(model: ModelSpec) -> str:
    """The weight that opens the shared experts of this model."""
    return f"shared_{dense_ffn_first(model)}"


def experts_first(model: ModelSpec) -> str:
    """What opens the routed experts of this model; no linear names it."""
    return f"experts_{dense_ffn_first(model)}"


def has_latent_experts(model: ModelSpec) -> bool:
    """Whether the routed experts run in a space of their own."""
    return model.moe is not None and model.moe.latent_size is not None


def ffn_matrices(model: ModelSpec) -> int:
    """Matrices of an FFN or of one expert."""
    return 3 if model.ffn_gated else 2


def dense_ffn_norm(model: ModelSpec) -> str:
    """The norm that the dense FFN reads behind: its own, or the one that it shares with attention."""
    return "attention_norm" if model.parallel_block == "one_norm" else "ffn_norm"


def ffn_weights(model: ModelSpec) -> dict[str, WeightSpec]:
    """Weights of the FFN blocks, dense and MoE, without the routed experts and the router."""
    h = model.hidden_size
    found = [] if model.parallel_block == "one_norm" else [_vector("ffn_norm", h)]
    if model.intermediate_size is not None:
        f, first = model.intermediate_size, dense_ffn_first(model)
        found += [
            WeightSpec(first, "dense_ffn", h, 2 * f if model.ffn_gated else f, ("column", "replicated")),
            WeightSpec("down", "dense_ffn", f, h, ("row", "replicated")),
        ]
    if model.moe is not None and model.moe.latent_size is not None:
        latent = model.moe.latent_size
        found += [
            WeightSpec("latent_in", "shared_expert", h, latent, ("replicated",)),
            WeightSpec("latent_out", "shared_expert", latent, h, ("replicated",)),
        ]
    if model.moe is not None and model.moe.shared_intermediate_size:
        m, first = model.moe.shared_intermediate_size, shared_ffn_first(model)
        found += [
            WeightSpec(first, "shared_expert", h, 2 * m if model.ffn_gated else m, ("column", "replicated")),
            WeightSpec("shared_down", "shared_expert", m, h, ("row", "replicated")),
        ]
    return {w.name: w for w in found}


def model_weights(model: ModelSpec) -> dict[str, WeightSpec]:
    """Every weight that a node may name in this model."""
    h, vocab = model.hidden_size, model.vocab_size
    outside = [_vector("final_norm", h), WeightSpec("lm_head", "lm_head", h, vocab, ("column", "replicated"))]
    mixers = {**attention_weights(model), **linear_weights(model)}
    return {**mixers, **ffn_weights(model), **{w.name: w for w in outside}}


def _vector(name: str, size: int) -> WeightSpec:
    return WeightSpec(name, "norm", size, 0, ("replicated",))
