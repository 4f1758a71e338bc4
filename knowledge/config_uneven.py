"""Layers of sizes of their own in a `config.json`: an architecture search (DeciLM, Nemotron NAS), scaling (OpenELM), other heads (Step 3.5).

Each layer is read as query heads, KV heads and the width of its FFN, zero where it lacks attention or FFN. What most layers have becomes the
model's own, so that a record says only where layers differ.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple, TypeVar

from knowledge.config_fields import MAX_FIELD, Fields, shorten
from strategy.model import LayerShape

FFN_MULTIPLE = 256
"""Widths that `ffn_mult` gives are rounded up to a multiple of this (modeling_decilm.py)."""
MAX_LAYERS = 4096
Value = TypeVar("Value")
BLOCKS = "block_configs"
KV_HEADS = "num_key_value_heads_per_layer"
OTHER = "attention_other_setting"
_ABSENT = "no_op"
_LINEAR = "replace_with_linear"
_KNOWN = frozenset({_ABSENT, _LINEAR, "n_heads_in_group", "num_key_value_heads", "ffn_mult", "intermediate_size", "gated", "hidden_act"})  # fmt: skip
"""Fields of half a block that are read, or change no size."""


class Sizes(NamedTuple):
    """Of one layer; zero where it has no attention, or no FFN."""

    num_heads: int
    num_kv_heads: int
    intermediate_size: int


@dataclass(frozen=True)
class Uneven:
    """What the layers of a file have of their own."""

    values: Mapping[str, Any] = field(default_factory=dict)
    """Fields as files of even models have them."""
    no_mixer_layers: tuple[int, ...] = ()
    no_ffn_layers: tuple[int, ...] = ()
    layer_shapes: tuple[LayerShape, ...] = ()


def uneven_layers(fields: Fields) -> Uneven:
    """What the file says layer by layer; nothing for a file whose layers are alike. Raises `InputError` for what is not expressed."""
    if fields.model_type == "openelm":
        return _openelm(fields)
    if (blocks := fields.values.get(BLOCKS)) is not None:
        return _of_sizes([_block(fields, block) for block in _listed(fields, BLOCKS, blocks)])
    if (kv_heads := fields.values.get(KV_HEADS)) is not None:
        heads, width = fields.required("num_attention_heads"), fields.required("intermediate_size")
        each = [_whole(fields, KV_HEADS, count) for count in _listed(fields, KV_HEADS, kv_heads)]
        return _of_sizes([Sizes(heads, count, width) for count in each])
    if (other := fields.values.get(OTHER)) is not None:
        return _other_attention(fields, other)
    return Uneven()


def _listed(fields: Fields, name: str, value: object, layers: tuple[str, ...] = ("num_hidden_layers",)) -> list[Any]:
    """A list with an entry for each layer."""
    count = fields.required(*layers)
    if not isinstance(value, list) or len(value) != count or count > MAX_LAYERS:
        found = f"has {len(value)} entries" if isinstance(value, list) else f"is {shorten(value)}"
        raise fields.error(name, f"{found}, where each of {count} layers (at most {MAX_LAYERS}) needs one")
    return value


def _whole(fields: Fields, name: str, value: object, minimum: int = 1) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= MAX_FIELD:
        raise fields.error(name, f"has {shorten(value)}, where a whole number from {minimum} is due")
    return value


def _block(fields: Fields, block: object) -> Sizes:
    """One entry of `block_configs`."""
    if not isinstance(block, Mapping) or not all(isinstance(block.get(half), Mapping) for half in ("attention", "ffn")):
        raise fields.error(BLOCKS, f"has {shorten(block)}; layers with `attention` and `ffn` are read")
    for half in ("attention", "ffn"):
        _refuse_half(fields, half, block[half])
    heads, kv_heads = _heads(fields, block["attention"])
    return Sizes(heads, kv_heads, _width(fields, block["ffn"]))


def _refuse_half(fields: Fields, half: str, config: Mapping[str, Any]) -> None:
    if config.get(_LINEAR):
        raise fields.error(BLOCKS, f"replaces the {half} of layers by one linear layer, which is not expressed")
    other = next((name for name in sorted(config) if name not in _KNOWN and config[name]), None)
    if other is not None:
        raise fields.error(
            BLOCKS, f"gives the {half} of layers `{other}` = {shorten(config[other])}, which is not read"
        )


def _heads(fields: Fields, attention: Mapping[str, Any]) -> tuple[int, int]:
    """Query and KV heads of a layer; none where it has no attention."""
    if attention.get(_ABSENT):
        return 0, 0
    heads = fields.required("num_attention_heads")
    if (kv_heads := attention.get("num_key_value_heads")) is not None:
        return heads, _whole(fields, BLOCKS, kv_heads)
    group = _whole(fields, BLOCKS, attention.get("n_heads_in_group"))
    if heads % group:
        raise fields.error(BLOCKS, f"has groups of {group} heads, which do not divide {heads} attention heads")
    return heads, heads // group


def _width(fields: Fields, ffn: Mapping[str, Any]) -> int:
    """Width of the FFN of a layer: given, or a multiple of two thirds of the hidden size that is rounded up."""
    if ffn.get(_ABSENT):
        return 0
    if ffn.get("intermediate_size") is not None:
        return _whole(fields, BLOCKS, ffn["intermediate_size"])
    multiple, hidden = ffn.get("ffn_mult"), fields.required("hidden_size")
    if isinstance(multiple, bool) or not isinstance(multiple, int | float) or not 0 < multiple <= MAX_FIELD / hidden:
        raise fields.error(BLOCKS, f"has `ffn_mult` = {shorten(multiple)}, where a positive number is due")
    return -(-int(2 * multiple * hidden / 3) // FFN_MULTIPLE) * FFN_MULTIPLE


def _other_attention(fields: Fields, other: object) -> Uneven:
    """Heads of the layers whose `layer_types` the setting names; the others have those of the file."""
    kinds, layers = fields.values.get("layer_types"), fields.required("num_hidden_layers")
    if not isinstance(other, Mapping) or not isinstance(kinds, list) or len(kinds) < layers:
        raise fields.error(OTHER, f"= {shorten(other)} needs a setting, and `layer_types` for {layers} layers")
    head_dim = fields.integer("head_dim")
    if other.get("head_dim", head_dim) != head_dim:
        raise fields.error(
            OTHER, f"gives some layers heads of {shorten(other.get('head_dim'))} features, the others {head_dim}"
        )
    own = {
        "num_heads": _whole(fields, OTHER, other.get("num_attention_heads")),
        "num_kv_heads": _whole(fields, OTHER, other.get("num_attention_groups")),
    }
    usual = {
        "num_heads": fields.required("num_attention_heads"),
        "num_kv_heads": fields.required("num_attention_groups"),
    }
    differing = {name: value for name, value in own.items() if value != usual[name]}
    shapes, start = [], 0
    for kind, run in groupby(kinds[:layers]):
        end = start + len(list(run))
        if differing and kind == other.get("attention_type"):
            shapes.append(LayerShape(range=(start, end), **differing))
        start = end
    return Uneven(layer_shapes=tuple(shapes))


def _openelm(fields: Fields) -> Uneven:
    """OpenELM scales heads and FFNs from layer to layer; its file spells every field in its own way."""
    layers = ("num_transformer_layers",)
    queries, kv_heads, multiples = (
        _listed(fields, name, fields.values.get(name), layers)
        for name in ("num_query_heads", "num_kv_heads", "ffn_multipliers")
    )
    hidden, divisor = fields.required("model_dim"), fields.integer("ffn_dim_divisor") or FFN_MULTIPLE
    sizes = [
        Sizes(
            _whole(fields, "num_query_heads", query),
            _whole(fields, "num_kv_heads", kv),
            _divisible(fields, multiple, hidden, divisor),
        )
        for query, kv, multiple in zip(queries, kv_heads, multiples, strict=True)
    ]
    found = _of_sizes(sizes)
    own = {
        "hidden_size": hidden,
        "num_hidden_layers": len(sizes),
        "max_position_embeddings": fields.required("max_context_length"),
        "tie_word_embeddings": bool(fields.values.get("share_input_output_layers")),
        "use_qk_norm": bool(fields.values.get("normalize_qk_projections")),
    }
    return Uneven({**own, **found.values}, found.no_mixer_layers, found.no_ffn_layers, found.layer_shapes)


def _divisible(fields: Fields, multiple: object, hidden: int, divisor: int) -> int:
    """The nearest multiple of `divisor`, which falls short by a tenth at most (corenet, make_divisible)."""
    if isinstance(multiple, bool) or not isinstance(multiple, int | float) or not 0 < multiple <= MAX_FIELD / hidden:
        raise fields.error("ffn_multipliers", f"has {shorten(multiple)}, where a positive number is due")
    wanted = multiple * hidden
    nearest = max(divisor, int(wanted + divisor / 2) // divisor * divisor)
    return nearest if nearest >= 0.9 * wanted else nearest + divisor


def _of_sizes(sizes: list[Sizes]) -> Uneven:
    """The sizes that most layers have as the model's own, and runs of layers where others hold."""
    heads, kv_heads = _most((one.num_heads, one.num_kv_heads) for one in sizes if one.num_heads) or (0, 0)
    width = _most(one.intermediate_size for one in sizes if one.intermediate_size) or 0
    usual = Sizes(heads, kv_heads, width)
    shapes, start = [], 0
    for own, run in groupby(tuple(_differing(one, usual)) for one in sizes):
        end = start + len(list(run))
        if any(own):
            named = {name: value for name, value in zip(Sizes._fields, own, strict=True) if value}
            shapes.append(LayerShape(range=(start, end), **named))
        start = end
    values = {"num_attention_heads": heads, "num_key_value_heads": kv_heads, "intermediate_size": width}
    return Uneven(
        {name: value for name, value in values.items() if value},
        tuple(layer for layer, one in enumerate(sizes) if not one.num_heads),
        tuple(layer for layer, one in enumerate(sizes) if not one.intermediate_size),
        tuple(shapes),
    )


def _most(values: Iterable[Value]) -> Value | None:
    """The value that occurs most often, the first of several."""
    return next((value for value, _ in Counter(values).most_common(1)), None)


def _differing(one: Sizes, usual: Sizes) -> Iterable[int]:
    """Sizes that are not the usual ones; zero for the others, and for what a layer lacks."""
    return (own if own != other else 0 for own, other in zip(one, usual, strict=True))
