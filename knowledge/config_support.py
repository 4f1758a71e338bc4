"""Which architectures the domain can hold, and a clear refusal for the rest.

The domain is a decoder of equal attention blocks (GQA or MLA) with FFNs of three matrices or two, or experts. Planning anything else as if it
were that would give wrong weights, wrong KV bytes and an illegal split, so it is refused with the field that says so.
"""

from knowledge.config_families import has_learned_positions, parallel_block, stands_side_by_side
from knowledge.config_fields import Fields, shorten
from knowledge.config_hybrid import has_mamba2

_MODELLED = "of recurrent layers only the gated delta net of Qwen3-Next and Qwen3.5 and Mamba-2 (Nemotron-H, Granite 4 H) are modelled"
_RECURRENT = f"marks layers with a recurrent state in place of a KV cache; {_MODELLED}"
_KDA = f"marks layers of Kimi delta attention (a decay for each channel, low-rank gates); {_MODELLED}"
_LIGHTNING = f"marks layers of lightning attention by a number other than 1; {_MODELLED}"
_STATE_SPACE = (
    f"marks layers with a state space (Mamba) without the heads of a Mamba-2, or beside attention; {_MODELLED}"
)
_RWKV = f"marks an RWKV model, whose every layer is a recurrence; {_MODELLED}"
_UNEQUAL = "gives some layers attention shapes of their own; every attention layer must have the same shape"
_REFUSED_FIELDS: dict[str, str] = {
    "linear_attn_config": _KDA,
    "hybrid_override_pattern": _STATE_SPACE,
    "layers_block_type": _RECURRENT,
    "block_types": _RECURRENT,
    "attn_layer_period": _STATE_SPACE,
    "attn_layer_indices": _STATE_SPACE,
    "ssm_cfg": _STATE_SPACE,
    "rwkv_version": _RWKV,
    "layer_group_size": _RECURRENT,
    "conv_L_cache": "marks short-convolution layers, which keep a state and no KV cache",
    "compress_ratios": "compresses the KV cache by a ratio that differs from layer to layer",
    "o_lora_rank": "factors the attention output projection, which neither GQA nor MLA does",
    "global_head_dim": _UNEQUAL,
    "swa_num_key_value_heads": _UNEQUAL,
    "swa_num_attention_heads": _UNEQUAL,
    "share_q_dim": "shares one query projection between heads (multi-matrix factorisation attention)",
    "num_kv_shared_layers": "lets layers read the KV cache of other layers",
    "use_cla": "lets layers read the KV cache of other layers",
    "enable_moe_block": "puts routed experts beside a dense FFN in the same layer",
    "residual_moe": "puts routed experts beside a dense FFN in the same layer",
    "parallel_attn_mlp_res": "puts routed experts beside a dense FFN in the same layer",
    "zero_expert_num": "has experts without weights",
    "routed_expert_hidden_size": "runs the routed experts in a latent space of another width",
    "altup_num_inputs": "keeps several residual streams",
    "cross_attention_layers": "adds layers that attend to images; only self-attention layers are planned",
    "apply_residual_connection_post_layernorm": "takes the residual stream from behind a norm; only residuals from before it are planned",
    "is_encoder_decoder": "marks an encoder-decoder; only decoders are planned",
}
_STATE_SPACE_FIELDS = (
    "ssm_state_size",
    "state_size",
    "mamba_d_state",
    "mamba_num_heads",
    "mamba_n_heads",
    "mamba_d_ssm",
)
_MAMBA2_FIELDS = frozenset({"hybrid_override_pattern", "layers_block_type", "attn_layer_indices"})
"""How hybrids with Mamba-2 say which layers are which; other families use the same fields for what is refused."""
_NO_DECODERS = frozenset({"bert", "roberta", "distilbert", "xlm-roberta", "vit", "clip", "whisper", "t5"})
_APPROXIMATIONS: dict[str, str] = {
    "index_topk": "sparse attention (index_topk) is priced as full attention and its indexer is left out",
    "sparse_attention_config": "block-sparse attention is priced as full attention and its indexer is left out",
    "use_head_wise_attn_gate": "the gate of the attention output is left out of weights and FLOPs",
    "attn_output_gate": "the gate of the attention output is left out of weights and FLOPs",
}
_SIDE_BY_SIDE = "attention and FFN of a layer are summed over tp at once; vLLM does so for Falcon and sums each by itself in other families"

_ONE_AFTER_THE_OTHER = "attention and experts run in parallel in this model; they are planned one after the other"


def refuse_unsupported(fields: Fields) -> None:
    """Raise `InputError`, naming the field, when the architecture is not a decoder of equal GQA or MLA blocks."""
    known = _MAMBA2_FIELDS if has_mamba2(fields) else frozenset()
    for name, reason in _REFUSED_FIELDS.items():
        if fields.values.get(name) and name not in known:
            raise fields.error(name, f"= {shorten(fields.values[name])} {reason}")
    if not fields.values.get("layer_types") and not has_mamba2(fields):
        for name in _STATE_SPACE_FIELDS:
            if fields.values.get(name):
                raise fields.error(name, f"= {shorten(fields.values[name])} {_STATE_SPACE}")
    _refuse_linear_layers(fields)
    _refuse_ffn(fields)


def approximations(fields: Fields) -> list[str]:
    """What the plan leaves out of an architecture that is close enough to be planned, one sentence each."""
    found = [text for name, text in _APPROXIMATIONS.items() if fields.values.get(name)]
    if fields.model_type == "qwen3_next" and not fields.values.get("attn_output_gate"):
        found.append(_APPROXIMATIONS["attn_output_gate"])
    if fields.values.get("linear_num_value_heads"):
        found.append("linear-attention layers are priced with the kernel efficiencies of attention; none was measured")
    if has_mamba2(fields) and set(fields.values.get("layer_types") or ["mamba"]) & {"mamba"}:
        found.append("state-space layers are priced with the kernel efficiencies of attention; none was measured")
    if stands_side_by_side(fields):
        found.append(_SIDE_BY_SIDE if parallel_block(fields) else _ONE_AFTER_THE_OTHER)
    if has_learned_positions(fields):
        found.append("the table of learned positions is left out of the weights")
    return found


def _refuse_linear_layers(fields: Fields) -> None:
    """MiniMax-Text-01 marks its linear-attention layers by a zero in `attn_type_list`."""
    kinds = fields.values.get("attn_type_list")
    if isinstance(kinds, list) and any(kind != 1 for kind in kinds):
        raise fields.error("attn_type_list", f"= {shorten(kinds)} {_LIGHTNING}")


def _refuse_ffn(fields: Fields) -> None:
    """Types that generate no text."""
    kind = fields.model_type
    if kind in _NO_DECODERS:
        raise fields.error("model_type", f"= {kind!r} is no decoder; only decoders are planned")
