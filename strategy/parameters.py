"""Parameter counts and KV bytes of a model, from its shapes alone.

Norms and the router are counted; biases, multi-token-prediction layers and sparse-attention indexers are not.
"""

from collections import Counter
from collections.abc import Iterable

from strategy.layers import MixerKind
from strategy.model import Attention, ModelSpec, RecurrentMixer, WeightClass
from strategy.ops import WeightSpec, attention_weights, ffn_matrices, ffn_weights, linear_weights
from strategy.quantisation import element_bytes, weight_bytes_per_element
from strategy.request import Precision

_ABSORBED: frozenset[str] = frozenset({"w_uk", "w_uv"})
"""Halves of `kv_b` under names of their own: the same parameters."""


def expert_parameters(model: ModelSpec) -> int:
    """Parameters of one routed expert of one layer (gate where there is one, up and down); 0 for a dense model."""
    if model.moe is None:
        return 0
    return ffn_matrices(model) * model.expert_features * model.moe.expert_intermediate_size


def routed_expert_parameters(model: ModelSpec) -> int:
    """Parameters of every routed expert of every MoE layer."""
    if model.moe is None:
        return 0
    return model.num_moe_layers * model.moe.num_experts * expert_parameters(model)


def attention_parameters(model: ModelSpec) -> dict[WeightClass, int]:
    """Parameters of one layer's attention block by weight class, its norms included."""
    counts = _by_class(w for w in attention_weights(model).values() if w.name not in _ABSORBED)
    if model.attention.kind == "gqa" and model.attention.qk_norm:
        counts["norm"] += 2 * model.attention.head_dim
    return dict(counts)


def linear_parameters(model: ModelSpec) -> dict[WeightClass, int]:
    """Parameters of one layer's linear-attention block by weight class; what its recurrence keeps is as small as norms and like them unquantised."""
    counts = _by_class(linear_weights(model).values())
    if model.linear is not None:
        counts["norm"] += model.linear.inside_parameters
    return dict(counts)


def mixer_parameters(model: ModelSpec, mixer: MixerKind) -> dict[WeightClass, int]:
    """Parameters of the block that mixes tokens in a layer of this kind."""
    if mixer == "none":
        return {}
    return linear_parameters(model) if mixer == "linear" else attention_parameters(model)


def ffn_parameters(model: ModelSpec, kind: str) -> dict[WeightClass, int]:
    """Parameters of one layer's FFN block (`dense`, `moe` or `none`) by weight class, its norm and router included."""
    if kind == "none":
        return {}
    unused: WeightClass = "shared_expert" if kind == "dense" else "dense_ffn"
    counts = _by_class(w for w in ffn_weights(model).values() if w.weight_class != unused)
    if kind == "moe" and model.moe is not None:
        counts["router"] += model.hidden_size * model.moe.num_experts
        counts["expert"] += model.moe.num_experts * expert_parameters(model)
    return dict(counts)


def parameters_by_class(model: ModelSpec) -> dict[WeightClass, int]:
    """Parameters of the whole model by weight class; a tied `lm_head` is counted once, as the embedding."""
    table = model.vocab_size * model.hidden_size
    counts: Counter[WeightClass] = Counter({"embedding": table, "norm": model.hidden_size})
    if not model.tie_word_embeddings:
        counts["lm_head"] = table
    for view, layers in model.attention_sizes():
        _add(counts, attention_parameters(view), layers)
    _add(counts, linear_parameters(model), len(model.linear_layers))
    _add(counts, ffn_parameters(model, "moe"), model.num_moe_layers)
    for view, layers in model.dense_sizes():
        _add(counts, ffn_parameters(view, "dense"), layers)
    return {name: count for name, count in counts.items() if count}


def parameters(model: ModelSpec) -> int:
    """Parameters of the whole model."""
    return sum(parameters_by_class(model).values())


def active_parameters(model: ModelSpec) -> int:
    """Parameters that one token meets: everything but the routed experts it is not sent to."""
    if model.moe is None:
        return parameters(model)
    idle = model.moe.num_experts - model.moe.top_k
    return parameters(model) - model.num_moe_layers * idle * expert_parameters(model)


def kv_bytes_per_token(model: ModelSpec, kv_bytes_per_element: float) -> float:
    """KV cache of one token over all layers with attention, in bytes, before any attention window drops it.

    GQA keeps K and V of every KV head; MLA keeps one latent and one rotary key.
    """
    elements = sum(layers * _cache_elements(view.attention) for view, layers in model.attention_sizes())
    return elements * kv_bytes_per_element


def _cache_elements(attention: Attention) -> int:
    """Of one token in one layer."""
    if attention.kind == "mla":
        return attention.kv_lora_rank + attention.qk_rope_head_dim
    return 2 * attention.num_kv_heads * attention.head_dim


def growing_kv_bytes_per_token(model: ModelSpec, kv_bytes_per_element: float) -> float:
    """KV bytes that one more token adds in a context longer than the attention window."""
    bounded = sum(_cache_elements(model.at(layer).attention) for layer in model.window.layers) if model.window else 0
    cached = sum(layers * _cache_elements(view.attention) for view, layers in model.attention_sizes())
    share = (cached - bounded) / cached if cached else 0.0
    return kv_bytes_per_token(model, kv_bytes_per_element) * share


def state_bytes_per_sequence(model: ModelSpec) -> float:
    """What the recurrences of all layers remember of one sequence, in bytes, however long it is."""
    return 0.0 if model.linear is None else len(model.linear_layers) * state_bytes(model.linear)


def state_bytes(net: RecurrentMixer) -> float:
    """State of one sequence in one layer: its matrices, and the rows that the convolution reaches back to in 16 bits."""
    return element_bytes(net.state_dtype) * net.state_elements + 2.0 * (net.conv_kernel - 1) * net.conv_channels


def weight_bytes(model: ModelSpec, precision: Precision) -> float:
    """Bytes of one full copy of the weights in `precision`, scales included."""
    counts = parameters_by_class(model).items()
    return sum(count * weight_bytes_per_element(model, precision, name) for name, count in counts)


def _by_class(weights: Iterable[WeightSpec]) -> Counter[WeightClass]:
    counts: Counter[WeightClass] = Counter()
    for weight in weights:
        counts[weight.weight_class] += weight.parameters
    return counts


def _add(total: Counter[WeightClass], layer: dict[WeightClass, int], layers: int) -> None:
    for name, count in layer.items():
        total[name] += count * layers
