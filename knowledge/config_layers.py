"""Which layers of a `config.json` are MoE, and which see only a window."""

from collections.abc import Callable, Sequence

from knowledge.config_fields import Fields, shorten
from knowledge.config_hybrid import attention_positions, block_pattern, has_mamba2, state_space
from strategy.model import GatedDeltaNet, RecurrentMixer, Window

EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
FIRST_DENSE = ("first_k_dense_replace", "num_dense_layers")
_LAYER_KINDS: dict[str, str] = {
    "full_attention": "full",
    "attention": "full",
    "global_attention": "full",
    "global": "full",
    "deepseek_sparse_attention": "full",
    "sliding_attention": "sliding",
    "local_attention": "sliding",
    "sliding": "sliding",
    "local": "sliding",
    "chunked_attention": "chunked",
}
_MAX_DIGITS = 6
_DEFAULT_PATTERNS = {"gemma2": 2, "gemma3": 6, "gemma3_text": 6, "gpt_oss": 2, "cohere2": 4, "olmo3": 4, "exaone4": 4}
"""Every n-th layer is global where the file does not say (the defaults of transformers' configuration classes)."""
_WINDOW_OFF_BY_DEFAULT = ("qwen2", "qwen3", "mimo", "smollm3")
"""Families whose `sliding_window` counts only when `use_sliding_window` is true."""


def dense_layers(fields: Fields, num_layers: int) -> tuple[int, ...]:
    """Layers of an MoE model that keep a dense FFN."""
    is_moe = _moe_test(fields, num_layers)
    return tuple(layer for layer in range(num_layers) if not is_moe(layer))


def _moe_test(fields: Fields, num_layers: int) -> Callable[[int], bool]:
    """Whether a layer has experts, by the one of the families' conventions that the file uses."""
    listed = _listed_moe_layers(fields, num_layers)
    if listed is not None:
        return listed.__contains__
    step = fields.integer("interleave_moe_layer_step", "decoder_sparse_step", "moe_layer_interval")
    only_dense = frozenset(_layer_list(fields, "mlp_only_layers"))
    if step is not None or only_dense:
        first = fields.integer("moe_layer_start_index", minimum=0) or 0
        last = fields.integer("moe_layer_end_index", minimum=-1)
        end = num_layers if last is None or last < 0 else last + 1
        return lambda layer: layer not in only_dense and first <= layer < end and (layer + 1) % (step or 1) == 0
    first = fields.integer(*FIRST_DENSE, "moe_layer_start_index", minimum=0) or 0
    frequency = fields.integer("moe_layer_freq") or 1
    return lambda layer: layer >= first and layer % frequency == 0


def _listed_moe_layers(fields: Fields, num_layers: int) -> frozenset[int] | None:
    """MoE layers where the file names them one by one, or None."""
    if pattern := block_pattern(fields):
        return frozenset(i for i, block in enumerate(pattern) if block == "E")
    if isinstance(kinds := fields.values.get("mlp_layer_types"), list):
        marks = _per_layer(fields, "mlp_layer_types", kinds, num_layers)
        return frozenset(i for i, kind in enumerate(marks) if kind in ("sparse", "moe"))
    if isinstance(flags := fields.values.get("moe_layer_freq"), list):
        marks = _per_layer(fields, "moe_layer_freq", flags, num_layers)
        return frozenset(i for i, flag in enumerate(marks) if flag)
    if isinstance(enumerated := fields.values.get("moe_layers_enum"), str):
        parts = [part.strip() for part in enumerated.split(",")]
        if not all(part.isdecimal() and len(part) <= _MAX_DIGITS for part in parts):
            raise fields.error("moe_layers_enum", f"must list layer numbers, not {shorten(enumerated)}")
        return frozenset(int(part) for part in parts)
    moe_layers = _layer_list(fields, "moe_layers")
    return frozenset(moe_layers) if moe_layers else None


def _layer_list(fields: Fields, name: str) -> list[int]:
    """A field that lists layer numbers; empty when absent."""
    value = fields.values.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, int) for item in value):
        raise fields.error(name, f"must be a list of layer numbers, not {shorten(value)}")
    return value


def _per_layer(fields: Fields, name: str, values: Sequence[object], num_layers: int) -> Sequence[object]:
    """One value per layer; entries past the last layer belong to multi-token prediction and are dropped."""
    if len(values) < num_layers:
        raise fields.error(name, f"has {len(values)} entries for {num_layers} layers")
    return values[:num_layers]


def linear_attention(
    fields: Fields, num_layers: int, hidden_size: int
) -> tuple[RecurrentMixer | None, tuple[int, ...]]:
    """The gated delta net of Qwen3-Next and Qwen3.5, or Mamba-2, and the layers that have it in place of attention."""
    if not has_delta_net(fields) and not has_mamba2(fields):
        return None, ()
    layers = tuple(layer for layer, kind in enumerate(_layer_kinds(fields, num_layers)) if kind == "linear")
    if has_mamba2(fields):
        return (state_space(fields, hidden_size), layers) if layers else (None, ())
    net = GatedDeltaNet(
        num_key_heads=fields.required("linear_num_key_heads"),
        num_value_heads=fields.required("linear_num_value_heads"),
        key_head_dim=fields.required("linear_key_head_dim"),
        value_head_dim=fields.required("linear_value_head_dim"),
        conv_kernel=fields.integer("linear_conv_kernel_dim") or GatedDeltaNet.model_fields["conv_kernel"].default,
    )
    return (net, layers) if layers else (None, ())


def has_delta_net(fields: Fields) -> bool:
    """Whether the file states the heads of a gated delta net."""
    return any(fields.values.get(name) for name in ("linear_num_key_heads", "linear_num_value_heads"))


def attention_window(fields: Fields, num_layers: int, max_position_embeddings: int) -> Window | None:
    """The layers with sliding or chunked attention, or None when every layer sees the whole context.

    Raises `InputError` for layers that are not attention and for both kinds of window in one model.
    """
    kinds = _layer_kinds(fields, num_layers)
    windowed = {kind for kind in kinds if kind not in ("full", "linear", "none")}
    if not windowed:
        return None
    if len(windowed) > 1:
        raise fields.error("layer_types", "mixes sliding and chunked attention; one kind of window is supported")
    if windowed == {"chunked"}:
        size = fields.required("attention_chunk_size")
    else:
        size = fields.required("sliding_window", "sliding_window_size", "window_size")
    if size >= max_position_embeddings:
        return None
    layers = tuple(layer for layer, kind in enumerate(kinds) if kind in windowed)
    return Window(kind="chunked" if windowed == {"chunked"} else "sliding", size_tokens=size, layers=layers)


def _layer_kinds(fields: Fields, num_layers: int) -> list[str]:
    """`full`, `sliding`, `chunked`, `linear` or `none` for every layer."""
    if pattern := block_pattern(fields):
        return ["linear" if block == "M" else "full" if block == "*" else "none" for block in pattern]
    if listed_attention := attention_positions(fields, num_layers):
        return listed_attention
    if isinstance(listed := fields.values.get("layer_types"), list):
        return [_kind_of(fields, kind) for kind in _per_layer(fields, "layer_types", listed, num_layers)]
    if isinstance(flags := fields.values.get("hybrid_layer_pattern"), list):
        marks = _per_layer(fields, "hybrid_layer_pattern", flags, num_layers)
        return ["sliding" if flag else "full" for flag in marks]
    if has_delta_net(fields):
        every = fields.integer("full_attention_interval") or 4
        return ["full" if (layer + 1) % every == 0 else "linear" for layer in range(num_layers)]
    if fields.model_type in ("llama4", "llama4_text"):
        return _llama4_kinds(fields, num_layers)
    if fields.model_type == "gpt_neo":
        listed = fields.values.get("attention_layers")
        if not isinstance(listed, list):
            raise fields.error("attention_layers", "is missing: it says which layers see a window only")
        return [_kind_of(fields, kind) for kind in _per_layer(fields, "attention_layers", listed, num_layers)]
    if not _has_sliding_window(fields):
        return ["full"] * num_layers
    return _patterned_kinds(fields, num_layers)


def _kind_of(fields: Fields, kind: object) -> str:
    if (kind == "linear_attention" and has_delta_net(fields)) or (kind == "mamba" and has_mamba2(fields)):
        return "linear"
    known = _LAYER_KINDS.get(kind) if isinstance(kind, str) else None
    if known is None:
        accepted = ", ".join(f"`{name}`" for name in _LAYER_KINDS)
        problem = (
            f"has {shorten(kind)} layers, which keep no KV cache of the usual form and are not modelled"
            " (of recurrent layers the gated delta net is, where its `linear_num_key_heads` and so on are given, and Mamba-2 with its heads)"
        )
        raise fields.error("layer_types", problem, hint=f"supported: {accepted}")
    return known


def _llama4_kinds(fields: Fields, num_layers: int) -> list[str]:
    """Llama-4: layers with rotary embeddings attend in chunks; by convention every fourth has none and sees everything."""
    if fields.get("attention_chunk_size") is None:
        return ["full"] * num_layers
    rotary = fields.values.get("no_rope_layers")
    if isinstance(rotary, list) and rotary:
        return ["chunked" if flag else "full" for flag in _per_layer(fields, "no_rope_layers", rotary, num_layers)]
    interval = fields.integer("no_rope_layer_interval") or 4
    return ["full" if (layer + 1) % interval == 0 else "chunked" for layer in range(num_layers)]


def _has_sliding_window(fields: Fields) -> bool:
    if not fields.get("sliding_window", "sliding_window_size"):
        return False
    enabled = fields.values.get("use_sliding_window")
    return bool(not fields.model_type.startswith(_WINDOW_OFF_BY_DEFAULT) if enabled is None else enabled)


def _patterned_kinds(fields: Fields, num_layers: int) -> list[str]:
    """Sliding layers by pattern, by `max_window_layers`, or all of them."""
    pattern = fields.values.get("sliding_window_pattern")
    if isinstance(pattern, str) and pattern:
        return ["full" if pattern[layer % len(pattern)] == "G" else "sliding" for layer in range(num_layers)]
    every = fields.integer("sliding_window_pattern", "_sliding_window_pattern") or _DEFAULT_PATTERNS.get(
        fields.model_type
    )
    if every is not None:
        return ["full" if (layer + 1) % every == 0 else "sliding" for layer in range(num_layers)]
    first = fields.integer("max_window_layers", minimum=0) if fields.values.get("use_sliding_window") else 0
    return ["sliding" if layer >= (first or 0) else "full" for layer in range(num_layers)]
