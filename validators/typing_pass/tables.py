"""What each op needs and yields, by weight."""

from strategy.layers import MixerKind
from strategy.ops import DENSE_FFN_FIRST, SHARED_FFN_FIRST

LINEAR: dict[str, tuple[str, str, str]] = {
    # weight: (content needed, content yielded, part of the layer it completes)
    "qkv": ("normed:attention_norm", "qkv", ""),
    "qkv_a": ("normed:attention_norm", "qkv_a", ""),
    "q": ("normed:attention_norm", "query", ""),
    "kv_a": ("normed:attention_norm", "kv_a", ""),
    "q_b": ("q_latent", "query", ""),
    "kv_b": ("cached_latent", "expanded_kv", ""),
    "w_uk": ("query", "absorbed_query", ""),
    "w_uv": ("latent_context", "context", ""),
    "attention_out": ("context", "delta", "attention"),
    "linear_in": ("normed:attention_norm", "linear_in", ""),
    "linear_out": ("linear_context", "delta", "attention"),
    "gate_up": ("normed:ffn_norm", "gate_up", ""),
    "up": ("normed:ffn_norm", "up", ""),
    "down": ("activated", "delta", "ffn"),
    "shared_gate_up": ("normed:ffn_norm", "shared_gate_up", ""),
    "shared_up": ("normed:ffn_norm", "shared_up", ""),
    "latent_in": ("normed:ffn_norm", "latent_tokens", ""),
    "latent_out": ("latent_delta", "delta", ""),
    "shared_down": ("shared_activated", "delta", "shared experts"),
    "lm_head": ("normed:final_norm", "logits", ""),
}
SLICED_OVER_CP = frozenset({"qkv", "q", "q_b", "kv_b", "w_uk", "w_uv", "attention_out"})
"""Weights that `tp_slice` splits over the cp ranks as well in decode."""
MIXERS: dict[str, MixerKind] = {
    **dict.fromkeys(("linear_in", "linear_out"), "linear"),
    **dict.fromkeys(("qkv", "qkv_a", "q", "kv_a", "q_b", "kv_b", "w_uk", "w_uv", "attention_out"), "attention"),
}
"""Weights that only layers of one kind have."""
BATCHED_OVER_HEADS = frozenset({"w_uk", "w_uv"})
STREAM_NORMS: dict[str, frozenset[str]] = {
    "attention_norm": frozenset(),
    "ffn_norm": frozenset({"attention"}),
    "final_norm": frozenset(),
}
INNER_NORMS: dict[str, tuple[frozenset[str], str]] = {
    "q_a_norm": (frozenset({"qkv_a"}), "q_latent"),
    "kv_a_norm": (frozenset({"qkv_a", "kv_a"}), "latent"),
}
ACTIVATIONS = {
    **dict.fromkeys(DENSE_FFN_FIRST, "activated"),
    **dict.fromkeys(SHARED_FFN_FIRST, "shared_activated"),
}


FEATURE_DIMS = {"logits": "vocab", "qkv": "heads", "query": "heads", "context": "heads", "absorbed_query": "heads", "latent_context": "heads",
                "linear_in": "nothing that is gathered", "linear_context": "heads",
                "expanded_kv": "nothing that is gathered", "expanded_shard": "nothing that is gathered", "gate_up": "hidden", "up": "hidden", "activated": "hidden", "shared_gate_up": "hidden", "shared_up": "hidden", "shared_activated": "hidden"}  # fmt: skip
