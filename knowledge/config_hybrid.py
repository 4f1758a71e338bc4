"""Hybrids with Mamba-2 layers in a `config.json`: the shape of their state space, and layers that are one block each."""

from collections.abc import Mapping

from knowledge.config_fields import Fields, shorten
from strategy.model import Mamba2, StateDtype

_HEADS = ("mamba_num_heads", "mamba_n_heads")
_PATTERN = "hybrid_override_pattern"
_LISTED = "layers_block_type"
_BLOCKS: Mapping[str, str] = {"mamba": "M", "attention": "*", "mlp": "-", "moe": "E"}
_STATE_DTYPES: Mapping[str, StateDtype] = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}
_BESIDE_ATTENTION = ("falcon_h1",)
"""Families whose every layer has attention and a state space side by side."""


def has_mamba2(fields: Fields) -> bool:
    """Whether the file states the heads of Mamba-2 layers that stand in place of attention; Mamba-1 has channels, not heads."""
    return bool(fields.get(*_HEADS)) and fields.model_type not in _BESIDE_ATTENTION


def block_pattern(fields: Fields) -> str | None:
    """One letter a layer where a layer is one block: M (Mamba-2), * (attention), - (dense FFN) or E (experts); None in other families."""
    if not has_mamba2(fields):
        return None
    listed = fields.values.get(_LISTED)
    if isinstance(listed, list) and listed:
        if not all(isinstance(kind, str) and kind in _BLOCKS for kind in listed):
            raise fields.error(_LISTED, f"must name {', '.join(_BLOCKS)} for each layer, not {shorten(listed)}")
        return "".join(_BLOCKS[kind] for kind in listed)
    pattern = fields.values.get(_PATTERN)
    if pattern is None:
        return None
    if not isinstance(pattern, str) or not pattern or set(pattern) - set(_BLOCKS.values()):
        raise fields.error(_PATTERN, f"must have one of M * - E for each layer, not {shorten(pattern)}")
    return pattern


def attention_positions(fields: Fields, num_layers: int) -> list[str] | None:
    """`full` or `linear` for every layer where the file lists those with attention (Bamba); None where it does not."""
    listed = fields.values.get("attn_layer_indices")
    if not has_mamba2(fields) or not isinstance(listed, list):
        return None
    if not all(isinstance(layer, int) and 0 <= layer < num_layers for layer in listed):
        raise fields.error("attn_layer_indices", f"must list layers below {num_layers}, not {shorten(listed)}")
    return ["full" if layer in listed else "linear" for layer in range(num_layers)]


def state_space(fields: Fields, hidden_size: int) -> Mamba2:
    """The Mamba-2 mixer of a file that states its heads."""
    heads = fields.required(*_HEADS)
    return Mamba2(
        num_heads=heads,
        head_dim=_head_dim(fields, hidden_size, heads),
        num_groups=fields.integer("mamba_num_groups", "mamba_n_groups", "n_groups") or 1,
        state_size=fields.required("ssm_state_size", "mamba_d_state", "mamba_state_dim"),
        conv_kernel=fields.integer("conv_kernel", "mamba_d_conv") or Mamba2.model_fields["conv_kernel"].default,
        chunk_tokens=fields.integer("chunk_size", "mamba_chunk_size") or Mamba2.model_fields["chunk_tokens"].default,
        state_dtype=_state_dtype(fields),
    )


def _head_dim(fields: Fields, hidden_size: int, heads: int) -> int:
    """As given, or `auto`: the expanded hidden size over the heads."""
    if fields.get("mamba_head_dim", "mamba_d_head") not in (None, "auto"):
        return fields.required("mamba_head_dim", "mamba_d_head")
    inner = hidden_size * (fields.integer("expand", "mamba_expand") or 2)
    if inner % heads:
        raise fields.error("mamba_d_head", f"is missing, and {heads} heads do not divide {inner}")
    return inner // heads


def _state_dtype(fields: Fields) -> StateDtype:
    """What the file asks engines to keep states in; fp32, the larger one, where it does not say."""
    stated = fields.values.get("mamba_ssm_cache_dtype")
    if stated is None:
        return "fp32"
    known = _STATE_DTYPES.get(str(stated))
    if known is None:
        raise fields.error("mamba_ssm_cache_dtype", f"= {shorten(stated)} is none of {', '.join(_STATE_DTYPES)}")
    return known
