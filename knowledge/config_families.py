"""What families leave to their code: whether the FFN has a gate, how wide it is, whether it stands beside attention; flags in place of counts."""

from knowledge.config_fields import Fields, shorten
from knowledge.config_layers import EXPERTS, has_delta_net
from strategy.model import ParallelBlock

_FALCON = frozenset({"falcon", "RefinedWeb", "RefinedWebModel"})
_TWO_MATRICES = _FALCON | {
    "apertus", "arcee", "bloom", "codegen", "gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox", "gptj", "mpt", "nemotron", "nemotron_h", "opt", "persimmon",
    "phi", "phi-msft", "starcoder2", "xglm",
}  # fmt: skip
_UNGATED_ACTIVATIONS = frozenset({"relu2", "relu_squared", "xielu"})
"""Activations that no gated FFN has, whatever the type."""
_ACTIVATION = ("hidden_act", "mlp_hidden_act", "activation_function")
_TIED = _FALCON | {"bloom", "gpt2", "gpt_bigcode", "gpt_neo", "mpt", "opt", "starcoder2", "xglm"}
_PARALLEL = frozenset({"codegen", "gptj", "phi", "phi-msft"})
_LEARNED_POSITIONS = frozenset({"gpt2", "gpt_bigcode", "gpt_neo", "opt"})


def ffn_is_gated(fields: Fields) -> bool:
    """Whether the FFN has a gate beside up and down; MPT says by `ffn_type`, others by their type or an activation."""
    if fields.model_type in _TWO_MATRICES:
        return fields.model_type == "mpt" and "glu" in str(fields.values.get("ffn_type"))
    return ungated_activation(fields) is None


def ungated_activation(fields: Fields) -> str | None:
    """The field that names an activation which no gated FFN has, or None."""
    return next((name for name in _ACTIVATION if str(fields.values.get(name)) in _UNGATED_ACTIVATIONS), None)


def default_ffn_width(fields: Fields, hidden_size: int) -> int | None:
    """Width of an FFN of two matrices where the file gives none: a multiple of the hidden size, four times by habit."""
    if fields.model_type not in _TWO_MATRICES:
        return None
    return hidden_size * (fields.integer("expansion_ratio", "ffn_factor") or 4)


def has_one_kv_head(fields: Fields) -> bool:
    """Multi-query attention that a flag says: Falcon's old layers, the first StarCoder, MPT."""
    many = fields.values.get("multi_query") is False
    if fields.model_type in _FALCON:
        return not many and not _has_new_layers(fields)
    if fields.model_type == "gpt_bigcode":
        return not many
    return fields.model_type == "mpt" and fields.values.get("attn_type") == "multiquery_attention"


def _has_new_layers(fields: Fields) -> bool:
    """Falcon 40B and later; their first files have no flag, but several KV heads."""
    flag = fields.values.get("new_decoder_architecture")
    return bool(flag) if flag is not None else (fields.integer("n_head_kv") or 1) > 1


def is_tied_by_default(fields: Fields) -> bool:
    """Whether the output projection is the embedding table where the file does not say."""
    return fields.model_type in _TIED


def has_learned_positions(fields: Fields) -> bool:
    """Whether positions have a table of their own; MPT has one where nothing else tells positions."""
    told = fields.values.get("alibi") or fields.values.get("rope")
    return fields.model_type in _LEARNED_POSITIONS or (fields.model_type == "mpt" and not told)


def parallel_block(fields: Fields) -> ParallelBlock | None:
    """How attention and FFN of a layer stand side by side, or None where the FFN follows attention, or is planned as if it did."""
    other_halves = fields.get(*EXPERTS, "kv_lora_rank") or has_delta_net(fields)
    return None if other_halves else stands_side_by_side(fields)


def stands_side_by_side(fields: Fields) -> ParallelBlock | None:
    """How attention and FFN (or experts) of a layer stand side by side, or None where one follows the other."""
    if fields.model_type in _FALCON:
        return _falcon_block(fields)
    if fields.model_type == "gpt_neox":
        return None if fields.values.get("use_parallel_residual") is False else "two_norms"
    always = fields.model_type in _PARALLEL or fields.model_type.startswith("cohere")
    told = any(fields.values.get(name) is True for name in ("use_parallel_residual", "parallel_attn"))
    return "one_norm" if always or told else None


def _falcon_block(fields: Fields) -> ParallelBlock | None:
    """One norm for both halves, or two in the layers of Falcon 40B and later that do not say otherwise."""
    if _has_new_layers(fields):
        return "one_norm" if fields.integer("num_ln_in_parallel_attn") == 1 else "two_norms"
    return None if fields.values.get("parallel_attn") is False else "one_norm"


def refuse_projected_embeddings(fields: Fields, hidden_size: int) -> None:
    """OPT 350M has embeddings of another width than its layers."""
    width = fields.get("word_embed_proj_dim")
    if width is not None and width != hidden_size:
        problem = f"= {shorten(width)} differs from hidden_size={hidden_size}: embeddings of another width than the layers are not modelled"
        raise fields.error("word_embed_proj_dim", problem)
