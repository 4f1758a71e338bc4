"""The precision a checkpoint ships in, from `quantization_config` and the dtype of a `config.json`."""

import fnmatch
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from knowledge.config_fields import Fields, shorten
from strategy.model import Checkpoint, Dtype, WeightClass

_ALWAYS_FULL: frozenset[WeightClass] = frozenset({"embedding", "lm_head", "norm", "router"})
_DTYPES: dict[str, Dtype] = {
    "bfloat16": "bf16",
    "float16": "fp16",
    "half": "fp16",
    "float32": "fp32",
    "float": "fp32",
    "float8_e4m3fn": "fp8",
    "auto": "bf16",
}
_MODELOPT: dict[str, Dtype] = {
    "FP8": "fp8",
    "FP8_PER_CHANNEL_PER_TOKEN": "fp8",
    "FP8_PB_WO": "fp8",
    "FP8_BLOCK_SCALES": "fp8",
    "MXFP8": "fp8",
    "NVFP4": "nvfp4",
    "W4A4_NVFP4": "nvfp4",
    "NVFP4_AWQ": "nvfp4",
    "W4A16_NVFP4": "nvfp4",
    "MXFP4": "mxfp4",
    "W4A16_AWQ": "int4",
    "W4A8_AWQ": "int4",
    "INT4_AWQ": "int4",
    "INT8_SQ": "int8",
    "W8A8_SQ_PER_CHANNEL": "int8",
}
_QUARK: dict[str, Dtype] = {"fp8_e4m3": "fp8", "fp4": "mxfp4", "int8": "int8", "int4": "int4", "uint4": "int4"}
_METHODS = (
    "fp8", "fbgemm_fp8", "mxfp4", "nvfp4", "gptq", "awq", "auto-round", "compressed-tensors", "modelopt", "quark", "bitsandbytes"
)  # fmt: skip
_IGNORED = ("modules_to_not_convert", "ignored_layers", "ignore", "exclude_modules", "exclude", "llm_int8_skip_modules")
_MODULES: dict[WeightClass, tuple[tuple[str, ...], ...]] = {
    "dense_ffn": tuple((f"mlp.{part}_proj", f"feed_forward.{part}_proj") for part in ("gate", "up", "down")),
    "expert": tuple(
        (
            f"mlp.experts.0.{part}_proj",
            f"block_sparse_moe.experts.0.{w}",
            f"feed_forward.experts.0.{part}_proj",
            "mlp.experts",
        )
        for part, w in (("gate", "w1"), ("up", "w3"), ("down", "w2"))
    ),
    "shared_expert": tuple(
        (f"mlp.shared_experts.{part}_proj", f"mlp.shared_expert.{part}_proj", f"feed_forward.shared_expert.{part}_proj")
        for part in ("gate", "up", "down")
    ),
}
_GQA_MODULES = tuple((f"self_attn.{part}_proj",) for part in "qkvo")
_MLA_MODULES = tuple(
    (f"self_attn.{part}",) for part in ("q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj")
)
_PREFIXES = ("model.language_model.", "language_model.model.", "language_model.", "transformer.", "model.")
_MAX_PATTERN = 200
_MAX_WILDCARDS = 4


@dataclass(frozen=True)
class Scheme:
    """One quantisation: the format, its scales, and the module patterns it leaves out (or is limited to)."""

    dtype: Dtype
    block: tuple[int, int] | None = None
    group_size: int | None = None
    ignored: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    """Empty: every linear layer."""
    in_fp8: tuple[WeightClass, ...] = ()
    """Classes whose modules are fp8 beside narrower ones."""
    full: tuple[WeightClass, ...] = ()
    """Classes none of whose modules is listed where those that are quantised are."""


_BLOCK_MODULES: dict[WeightClass, tuple[str, ...]] = {
    "expert": ("experts",),
    "shared_expert": ("shared_expert", "fc1_latent_proj", "fc2_latent_proj"),
    "attention": ("in_proj", "out_proj", "q_proj", "k_proj", "v_proj", "o_proj"),
    "dense_ffn": ("up_proj", "down_proj"),
}
"""Modules of layers of one block; state spaces and attention are one class, most of which are state spaces."""


def read_checkpoint(fields: Fields, attention: str, num_layers: int, dense: Sequence[int] | None) -> Checkpoint:
    """The precision of the checkpoint; `dense` lists the dense layers of an MoE model and is None for a dense one.

    A weight class counts as unquantised when the method leaves out at least half of its modules over all layers.
    Raises `InputError` for a method or a bit width that the domain has no format for.
    """
    given = next((value for key in ("quantization_config", "quantization") if (value := fields.shared(key))), None)
    if given is None:
        return Checkpoint(weights=_plain_dtype(fields))
    if not isinstance(given, Mapping):
        raise fields.error("quantization_config", f"must be an object, not {shorten(given)}")
    scheme = _scheme(fields, given)
    layers = dict.fromkeys(("attention", "expert", "shared_expert", "dense_ffn"), num_layers)
    if dense is not None:
        layers |= {"dense_ffn": len(dense), "expert": num_layers - len(dense), "shared_expert": num_layers - len(dense)}
    modules = {"attention": _MLA_MODULES if attention == "mla" else _GQA_MODULES, **_MODULES}
    full = {name for name, parts in modules.items() if _left_out(scheme, parts, layers[name])} | {*scheme.full}
    unquantised = tuple(name for name in get_args(WeightClass) if name in _ALWAYS_FULL or name in full)
    return Checkpoint(
        weights=scheme.dtype,
        block=scheme.block,
        group_size=scheme.group_size,
        unquantised=unquantised,
        in_fp8=tuple(name for name in scheme.in_fp8 if name not in unquantised),
    )


def _plain_dtype(fields: Fields) -> Dtype:
    value = fields.shared("torch_dtype") or fields.shared("dtype") or "auto"
    known = _DTYPES.get(str(value).removeprefix("torch."))
    if known is None:
        accepted = ", ".join(f"`{name}`" for name in _DTYPES)
        raise fields.error("torch_dtype", f"= {shorten(value)} is unknown", hint=f"accepted: {accepted}")
    return known


def _scheme(fields: Fields, given: Mapping[str, Any]) -> Scheme:
    """Dispatch on the method's name; each branch reads that method's own spelling."""
    method = str(given.get("quant_method") or "").lower().replace("_", "-")
    ignored = _strings(item for name in _IGNORED if isinstance(listed := given.get(name), list) for item in listed)
    if method.startswith("modelopt") or (not method and "quant_algo" in given):
        return _modelopt(fields, given, ignored)
    if method == "compressed-tensors" or (not method and "config_groups" in given):
        return _grouped(fields, given, ignored)
    if method in ("fp8", "fbgemm-fp8"):
        return Scheme("fp8", block=_block(fields, given.get("weight_block_size")), ignored=ignored)
    if method in ("mxfp4", "nvfp4"):
        return Scheme("mxfp4" if method == "mxfp4" else "nvfp4", ignored=ignored)
    if method in ("gptq", "awq", "auto-round", "intel/auto-round", "gptq-marlin", "awq-marlin"):
        bits = given.get("bits", given.get("w_bit", 4))
        return Scheme(
            _integer_dtype(fields, bits),
            group_size=_group(given.get("group_size", given.get("q_group_size"))),
            ignored=ignored,
        )
    if method == "quark":
        return _quark(fields, given, ignored)
    if method == "bitsandbytes":
        return (
            Scheme("int4", group_size=64, ignored=ignored)
            if given.get("load_in_4bit")
            else Scheme("int8", ignored=ignored)
        )
    raise _unknown(fields, "quant_method", given.get("quant_method"), _METHODS)


def _modelopt(fields: Fields, given: Mapping[str, Any], ignored: tuple[str, ...]) -> Scheme:
    """NVIDIA ModelOpt: one algorithm, or `MIXED_PRECISION` with one per layer, of which the experts' wins."""
    algorithm = given.get("quant_algo")
    layers = given.get("quantized_layers")
    by_class: dict[WeightClass, str] = {}
    if algorithm == "MIXED_PRECISION" and isinstance(layers, Mapping):
        algorithms = {
            name: str(entry.get("quant_algo")) for name, entry in layers.items() if isinstance(entry, Mapping)
        }
        experts = [value for name, value in algorithms.items() if ".experts" in name]
        algorithm = next(iter(Counter(experts or algorithms.values()).most_common(1)), (None, 0))[0]
        ignored = (*ignored, *(name for name, value in algorithms.items() if value != algorithm))
        by_class = _algorithms_of_blocks(algorithms)
    if algorithm is None and "config_groups" in given:
        return _grouped(fields, given, ignored)
    dtype = _MODELOPT.get(str(algorithm).upper())
    if dtype is None:
        raise _unknown(fields, "quant_algo", algorithm, tuple(_MODELOPT))
    block = (128, 128) if algorithm in ("FP8_PB_WO", "FP8_BLOCK_SCALES") else None
    group_size = _group(given.get("group_size")) if dtype == "int4" else None
    in_fp8 = tuple(name for name, value in by_class.items() if dtype != "fp8" and _MODELOPT.get(value) == "fp8")
    full = tuple(name for name in _BLOCK_MODULES if by_class and name not in by_class)
    return Scheme(dtype, block, group_size, ignored, in_fp8=in_fp8, full=full)


def _algorithms_of_blocks(algorithms: Mapping[str, str]) -> dict[WeightClass, str]:
    """The usual algorithm of each class of weights where layers are one block each (`layers.0.mixer.in_proj`); empty in other families."""
    found: dict[WeightClass, Counter[str]] = {}
    for module, algorithm in algorithms.items():
        part = module.partition(".mixer.")[2]
        name = next((name for name, starts in _BLOCK_MODULES.items() if part.startswith(starts)), None)
        if name is not None:
            found.setdefault(name, Counter())[algorithm] += 1
    return {name: votes.most_common(1)[0][0] for name, votes in found.items()}


def _grouped(fields: Fields, given: Mapping[str, Any], ignored: tuple[str, ...]) -> Scheme:
    """compressed-tensors: the first group decides; other groups in another format count as left out."""
    groups = given.get("config_groups")
    found = [g for g in groups.values() if isinstance(g, Mapping)] if isinstance(groups, Mapping) else []
    weights = [(group, group["weights"]) for group in found if isinstance(group.get("weights"), Mapping)]
    if not weights:
        raise _unknown(fields, "config_groups", groups, ("{group_0: {targets, weights: {num_bits, type}}}",))
    group, entry = weights[0]
    dtype = _entry_dtype(fields, entry, str(group.get("format") or given.get("format") or ""))
    block = _block(fields, entry.get("block_structure")) if dtype == "fp8" else None
    group_size = _group(entry.get("group_size")) if dtype == "int4" else None
    targets = _strings(group.get("targets") or ())
    return Scheme(dtype, block, group_size, ignored, () if "Linear" in targets else targets)


def _entry_dtype(fields: Fields, entry: Mapping[str, Any], form: str) -> Dtype:
    """The format of one `weights` entry: bits, integer or float, and for 4-bit floats the group of the scale."""
    if entry.get("type") != "float":
        return _integer_dtype(fields, entry.get("num_bits"))
    if entry.get("num_bits") == 8:
        return "fp8"
    if entry.get("num_bits") != 4:
        raise _unknown(fields, "num_bits", entry.get("num_bits"), ("4", "8"))
    return "mxfp4" if "mxfp4" in form or entry.get("group_size") == 32 else "nvfp4"


def _quark(fields: Fields, given: Mapping[str, Any], ignored: tuple[str, ...]) -> Scheme:
    """AMD Quark: the global weight dtype."""
    scheme = given.get("global_quant_config")
    weight = scheme.get("weight") if isinstance(scheme, Mapping) else None
    entry = weight[0] if isinstance(weight, list) and weight else weight
    name = entry.get("dtype") if isinstance(entry, Mapping) else None
    if not isinstance(name, str) or name not in _QUARK or not isinstance(entry, Mapping):
        raise _unknown(fields, "global_quant_config", name, tuple(_QUARK))
    dtype = _QUARK[name]
    return Scheme(dtype, group_size=_group(entry.get("group_size")) if dtype == "int4" else None, ignored=ignored)


def _integer_dtype(fields: Fields, bits: object) -> Dtype:
    if bits == 4:
        return "int4"
    if bits == 8:
        return "int8"
    raise _unknown(fields, "bits", bits, ("4", "8"))


def _group(value: object) -> int | None:
    """A group size; -1 and null mean one scale per output channel."""
    return value if isinstance(value, int) and value > 0 else None


def _block(fields: Fields, value: object) -> tuple[int, int] | None:
    if value is None:
        return None
    sides = [str(side) for side in value] if isinstance(value, list) else str(value).lower().split("x")
    if len(sides) != 2 or not all(re.fullmatch(r"[1-9][0-9]{0,6}", side) for side in sides):
        raise fields.error(
            "quantization_config/weight_block_size", f"must be two positive numbers, not {shorten(value)}"
        )
    return int(sides[0]), int(sides[1])


def _strings(values: Iterable[object]) -> tuple[str, ...]:
    return tuple(value for value in values if isinstance(value, str))


def _unknown(fields: Fields, name: str, value: object, accepted: Sequence[str]) -> Exception:
    choices = ", ".join(f"`{choice}`" for choice in accepted)
    return fields.error(
        f"quantization_config/{name}", f"= {shorten(value)} is not supported", hint=f"accepted: {choices}"
    )


def _left_out(scheme: Scheme, modules: Sequence[tuple[str, ...]], num_layers: int) -> bool:
    """Whether the scheme leaves at least half of these modules in full precision, over `num_layers` layers."""
    total = num_layers * len(modules)
    if not total:
        return False
    ignored = _Patterns(scheme.ignored)
    left = sum(ignored.layers_matched(names, num_layers) for names in modules)
    if scheme.targets:
        targets = _Patterns(scheme.targets)
        left += sum(num_layers - targets.layers_matched(names, num_layers) for names in modules)
    return 2 * left >= total


class _Patterns:
    """Module patterns with their layer number taken out: `layers.7.mlp` is the pattern `layers.0.mlp` for layer 7.

    A list of one entry per layer (some checkpoints ship thousands) is then matched once.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self.layers: dict[str, set[int] | None] = {}
        for pattern in patterns:
            template, layer = _template(pattern)
            if layer is None:
                self.layers[template] = None
            elif (known := self.layers.setdefault(template, set())) is not None:
                known.add(layer)

    def layers_matched(self, names: Sequence[str], num_layers: int) -> int:
        """In how many layers a module known under any of `names` matches."""
        matched: set[int] = set()
        for template, layers in self.layers.items():
            if any(_matches(template, f"layers.0.{name}") for name in names):
                if layers is None:
                    return num_layers
                matched |= layers
        return min(num_layers, len(matched))


def _template(pattern: str) -> tuple[str, int | None]:
    """`pattern` for layer 0 and expert 0, and the layer it was for (None: every layer)."""
    found = re.search(r"layers(\\?\.)(\d{1,6})(?=\D|$)", pattern)
    layer = int(found[2]) if found else None
    pattern = re.sub(r"(layers|experts)(\\?\.)\d+(?=\D|$)", r"\g<1>\g<2>0", pattern)
    return pattern, layer


def _matches(pattern: str, name: str) -> bool:
    """Whether a module pattern (regular expression, glob or dotted path) covers the module `name` or its parent."""
    if pattern.startswith("re:"):
        return _safe_search(pattern[3:], name)
    bare = next((pattern.removeprefix(p) for p in _PREFIXES if pattern.startswith(p)), pattern)
    if "*" in bare:
        return fnmatch.fnmatchcase(name, bare) or fnmatch.fnmatchcase(name, bare + ".*")
    return f".{bare}." in f".{name}."


def _safe_search(expression: str, name: str) -> bool:
    """A regular expression from a user's file, matched only when it cannot take exponential time."""
    wildcards = sum(expression.count(mark) for mark in "*+{")
    if len(expression) > _MAX_PATTERN or wildcards > _MAX_WILDCARDS or re.search(r"\)[*+{]", expression):
        return False
    try:
        return any(re.match(expression, prefix + name) for prefix in ("model.", "language_model.model.", ""))
    except re.error:
        return False
