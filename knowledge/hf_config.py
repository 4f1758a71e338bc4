"""A Hugging Face `config.json` as a `ModelSpec`.

Families spell the same fact differently, and leave fields in the file that no layer uses; the spellings and the traps are
here and in `config_layers`, the quantisation methods in `config_quantisation`, the refusals in `config_support`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from knowledge.config_families import (
    default_ffn_width,
    ffn_is_gated,
    has_one_kv_head,
    is_tied_by_default,
    parallel_block,
    refuse_projected_embeddings,
)
from knowledge.config_fields import MAX_FIELD, Fields, shorten
from knowledge.config_hybrid import block_pattern
from knowledge.config_layers import EXPERTS, attention_window, dense_layers, linear_attention
from knowledge.config_quantisation import read_checkpoint
from knowledge.config_support import approximations, refuse_unsupported
from knowledge.config_uneven import Uneven, uneven_layers
from strategy.errors import InputError, plainly
from strategy.model import GIVEN_CONFIG, Attention, GqaAttention, MlaAttention, ModelSpec, Moe, Provenance

MAX_LAYERS = 4096
_LAYERS = ("num_hidden_layers", "num_layers", "n_layer", "n_layers")
_HIDDEN = ("hidden_size", "d_model", "n_embd", "n_embed", "dim")
_HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads")
_KV_HEADS = (
    "num_key_value_heads",
    "num_kv_heads",
    "kv_n_heads",
    "n_head_kv",
    "n_kv_heads",
    "multi_query_group_num",
    "num_attention_groups",
)
_HEAD_DIM = ("head_dim", "attention_head_dim", "kv_channels")
_VOCAB = ("vocab_size", "padded_vocab_size")
_POSITIONS = ("max_position_embeddings", "max_sequence_length", "max_seq_len", "seq_length", "n_positions")
_STRETCHING = ("yarn", "linear", "dynamic")
MAX_STRETCH = 1000
_TOP_K = (
    "num_experts_per_tok",
    "num_experts_per_token",
    "top_k_experts",
    "moe_top_k",
    "moe_topk",
    "moe_k",
    "experts_per_token",
    "num_selected_experts",
)
_FFN = ("intermediate_size", "ffn_hidden_size", "hidden_dim", "n_inner", "ffn_dim")
_DENSE_FFN = ("intermediate_size_mlp", "dense_intermediate_size")
_EXPERT_FFN = ("moe_intermediate_size", "expert_intermediate_size", "expert_hidden_dim", "moe_ffn_hidden_size")
_SHARED_FFN = (
    "shared_expert_intermediate_size",
    "moe_shared_expert_intermediate_size",
    "shared_intermediate_size",
    "share_expert_dim",
)
_SHARED_COUNT = ("n_shared_experts", "num_shared_experts", "moe_num_shared_experts", "num_shared_expert")
_QK_NORM_FLAGS = ("use_qk_norm", "qk_layernorm", "qk_norm")
_QK_NORM_TYPES = (
    "apertus",
    "persimmon",
    "qwen3",
    "gemma3",
    "olmo2",
    "olmo3",
    "olmoe",
    "dots1",
    "exaone4",
    "step3p",
    "afmoe",
)
_TIED_TYPES = ("gemma", "cohere", "command")
_FAMILY_DEFAULTS: dict[str, dict[str, int]] = {
    "bloom": {"seq_length": 2048},
    "falcon": {"max_position_embeddings": 2048},
    "RefinedWeb": {"max_position_embeddings": 2048},
    "RefinedWebModel": {"max_position_embeddings": 2048},
    "gemma3_text": {"vocab_size": 262_208, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256},
}
"""Fields that published files leave to the defaults of transformers' configuration class."""
CONFIG_KEYS = frozenset({"architectures", "model_type", "text_config", *_LAYERS} - {"num_layers"})
"""Keys that tell a `config.json` from an inline model spec."""


def parse_config(
    config: Mapping[str, Any], *, name: str, aliases: Sequence[str] = (), provenance: Provenance | None = None
) -> ModelSpec:
    """Read `config` (the object of a `config.json`) as the model `name`; unknown keys are ignored.

    Raises `InputError` with a JSON pointer when a field is missing, has no sense, or says that the architecture is one the
    domain cannot hold.
    """
    fields = Fields.of_text(config)
    if defaults := _FAMILY_DEFAULTS.get(fields.model_type):
        fields = Fields({**defaults, **fields.values}, fields.outer, fields.pointer)
    refuse_unsupported(fields)
    uneven = uneven_layers(fields)
    fields = Fields({**fields.values, **uneven.values}, fields.outer, fields.pointer)
    try:
        return _model(fields, name, aliases, _noted(provenance, approximations(fields)), uneven)
    except ValidationError as error:
        raise _contradiction(error) from None


def _model(fields: Fields, name: str, aliases: Sequence[str], provenance: Provenance, uneven: Uneven) -> ModelSpec:
    blocks = block_pattern(fields)
    num_layers = fields.required(*_LAYERS) if blocks is None else _blocks_of_layers(fields, blocks)
    if num_layers > MAX_LAYERS:
        raise fields.error(_LAYERS[0], f"= {num_layers} is above the limit of {MAX_LAYERS} layers")
    hidden_size = fields.required(*_HIDDEN)
    refuse_projected_embeddings(fields, hidden_size)
    positions = _positions(fields)
    attention = _attention(fields, hidden_size)
    moe = _moe(fields)
    dense = dense_layers(fields, num_layers) if moe is not None else ()
    if len(dense) == num_layers:
        moe, dense = None, ()
    no_mixer, no_ffn = _missing_halves(blocks or "")
    dense = tuple(layer for layer in dense if layer not in no_ffn)
    linear, linear_layers = linear_attention(fields, num_layers, hidden_size)
    return ModelSpec(
        name=name,
        aliases=tuple(aliases),
        hidden_size=hidden_size,
        num_layers=num_layers,
        vocab_size=fields.required(*_VOCAB),
        attention=attention,
        intermediate_size=_dense_width(fields, hidden_size) if moe is None or dense else None,
        ffn_gated=ffn_is_gated(fields),
        parallel_block=parallel_block(fields),
        moe=moe,
        dense_layers=dense,
        window=attention_window(fields, num_layers, positions),
        linear=linear,
        linear_layers=linear_layers,
        no_mixer_layers=uneven.no_mixer_layers or no_mixer,
        no_ffn_layers=uneven.no_ffn_layers or no_ffn,
        layer_shapes=uneven.layer_shapes,
        tie_word_embeddings=_tied(fields),
        max_position_embeddings=positions,
        checkpoint=read_checkpoint(fields, attention.kind, num_layers, dense if moe is not None else None),
        provenance=provenance,
    )


def _blocks_of_layers(fields: Fields, blocks: str) -> int:
    """Layers of a model whose layers are one block each: as many as the pattern has; the count may be left out beside it."""
    stated = fields.integer(*_LAYERS)
    if stated not in (None, len(blocks)):
        raise fields.error(_LAYERS[0], f"= {stated} differs from the {len(blocks)} blocks of the pattern")
    return len(blocks)


def _missing_halves(blocks: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Layers that mix no tokens, and layers without an FFN, of a pattern of blocks."""
    mixers = [block in "M*" for block in blocks]
    return tuple(i for i, mixes in enumerate(mixers) if not mixes), tuple(i for i, mixes in enumerate(mixers) if mixes)


def _positions(fields: Fields) -> int:
    """Positions that a sequence may reach: those of the file, or what its scaling of positions stretches them to, as engines count them."""
    stated = fields.integer(*_POSITIONS) or int(ModelSpec.model_fields["max_position_embeddings"].default)
    scaling = fields.get("rope_scaling", "rope_parameters")
    if not isinstance(scaling, Mapping):
        return stated
    kind, factor = scaling.get("rope_type") or scaling.get("type"), scaling.get("factor")
    if kind not in _STRETCHING or not isinstance(factor, int | float) or not 1 <= factor <= MAX_STRETCH:
        return stated
    base = scaling.get("original_max_position_embeddings", stated) if kind == "yarn" else stated
    return max(stated, int(base * factor)) if isinstance(base, int) and 0 < base <= MAX_FIELD else stated


def _attention(fields: Fields, hidden_size: int) -> Attention:
    """MLA when the file has a latent rank (its KV head count then means nothing), GQA otherwise."""
    heads = fields.required(*_HEADS)
    if fields.get("kv_lora_rank") is not None:
        return MlaAttention(
            num_heads=heads,
            q_lora_rank=fields.integer("q_lora_rank"),
            kv_lora_rank=fields.required("kv_lora_rank"),
            qk_nope_head_dim=fields.required("qk_nope_head_dim"),
            qk_rope_head_dim=fields.required("qk_rope_head_dim"),
            v_head_dim=fields.required("v_head_dim"),
        )
    head_dim = _head_dim(fields, hidden_size, heads)
    value_dim = fields.integer("v_head_dim")
    if value_dim not in (None, head_dim):
        raise fields.error("v_head_dim", f"= {value_dim} differs from head_dim={head_dim}; K and V heads must be equal")
    kv_heads = 1 if has_one_kv_head(fields) else fields.integer(*_KV_HEADS) or heads
    if heads % kv_heads:
        raise fields.error(_KV_HEADS[0], f"= {kv_heads} does not divide {heads} attention heads")
    return GqaAttention(num_heads=heads, num_kv_heads=kv_heads, head_dim=head_dim, qk_norm=_qk_norm(fields))


def _head_dim(fields: Fields, hidden_size: int, heads: int) -> int:
    """`head_dim` as given (often not hidden_size / heads), else the quotient."""
    given = fields.integer(*_HEAD_DIM)
    if given is None and hidden_size % heads:
        raise fields.error("head_dim", f"is missing, and {heads} heads do not divide hidden_size={hidden_size}")
    return given or hidden_size // heads


def _qk_norm(fields: Fields) -> bool:
    flag = fields.get(*_QK_NORM_FLAGS)
    return fields.model_type.startswith(_QK_NORM_TYPES) if flag is None else bool(flag)


def _moe(fields: Fields) -> Moe | None:
    """The routed experts, or None for a dense model (some of which carry the fields with null or zero)."""
    if not fields.integer(*EXPERTS, minimum=0):
        return None
    groups = fields.integer("n_group", "num_expert_group", minimum=0) or 1
    chosen = fields.integer("topk_group", minimum=0) or groups
    num_experts, top_k = fields.required(*EXPERTS), fields.required(*_TOP_K)
    if top_k > num_experts:
        raise fields.error("num_experts_per_tok", f"= {top_k} exceeds the {num_experts} experts")
    width = fields.required(*_EXPERT_FFN, *_FFN)
    return Moe(
        num_experts=num_experts,
        top_k=top_k,
        expert_intermediate_size=width,
        shared_intermediate_size=_shared_width(fields, width),
        latent_size=fields.integer("moe_latent_size"),
        num_expert_groups=groups,
        top_k_groups=min(chosen, groups),
    )


def _shared_width(fields: Fields, expert_width: int) -> int:
    """Total width of the shared experts: given as a width, as a count of expert widths, or implied (Llama-4 has one)."""
    width = fields.integer(*_SHARED_FFN, minimum=0)
    if width is not None:
        return width
    if fields.model_type in ("llama4", "llama4_text"):
        return expert_width
    return (fields.integer(*_SHARED_COUNT, minimum=0) or 0) * expert_width


def _dense_width(fields: Fields, hidden_size: int) -> int:
    """Width of the dense FFN; the first Qwen counts gate and up together."""
    given = fields.integer(*_DENSE_FFN, *_FFN)
    width = given or default_ffn_width(fields, hidden_size) or fields.required(*_FFN)
    return width // 2 if fields.model_type == "qwen" else width


def _tied(fields: Fields) -> bool:
    flag = fields.shared("tie_word_embeddings")
    if flag is None:
        return fields.model_type.startswith(_TIED_TYPES) or is_tied_by_default(fields)
    if not isinstance(flag, bool):
        raise fields.error("tie_word_embeddings", f"must be true or false, not {shorten(flag)}")
    return flag


def _noted(provenance: Provenance | None, notes: Sequence[str]) -> Provenance:
    base = provenance or Provenance(source=GIVEN_CONFIG, status="unverified")
    text = "; ".join(part for part in (base.note, *notes) if part)
    return base.model_copy(update={"note": text})


def _contradiction(error: ValidationError) -> InputError:
    """What pydantic found wrong with the fields taken together."""
    first = error.errors(include_url=False, include_context=False)[0]
    place = "/".join(str(part) for part in first["loc"])
    return InputError(f"config.json: {place + ': ' if place else ''}{plainly(first['msg'])}")
