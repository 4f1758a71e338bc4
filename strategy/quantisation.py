"""Bytes that one element takes in each precision, scales included.

Pure arithmetic over the names in `strategy.model.Dtype`. Scale layouts: MXFP4 one e8m0 byte per 32 elements (OCP MX spec);
NVFP4 one e4m3 byte per 16; FP8 blocks one fp32 per block; INT4 (GPTQ, AWQ) one fp16 scale and one 4-bit zero per group.
"""

from strategy.model import Checkpoint, Dtype, ModelSpec, WeightClass
from strategy.request import Precision

FULL_PRECISIONS: frozenset[Dtype] = frozenset({"fp32", "bf16", "fp16"})
QUANTISED_BY_DEFAULT: frozenset[WeightClass] = frozenset({"attention", "dense_ffn", "expert", "shared_expert"})
"""What engines quantise when asked to quantise a full-precision checkpoint."""
UNQUANTISED_BYTES = 2.0
"""Weights that a quantised checkpoint leaves alone are bf16."""

_PAYLOAD_BYTES: dict[Dtype, float] = {
    "fp32": 4.0,
    "bf16": 2.0,
    "fp16": 2.0,
    "fp8": 1.0,
    "int8": 1.0,
    "mxfp4": 0.5,
    "nvfp4": 0.5,
    "int4": 0.5,
}
_DEFAULT_INT4_GROUP = 128
_GROUP_SCALE_BYTES = 2.5


def element_bytes(dtype: Dtype) -> float:
    """Bytes per element of a tensor in `dtype`, with the scales that the format itself fixes (MXFP4, NVFP4)."""
    micro_scale = {"mxfp4": 1 / 32, "nvfp4": 1 / 16}.get(dtype, 0.0)
    return _PAYLOAD_BYTES[dtype] + micro_scale


def quantised_bytes(checkpoint: Checkpoint) -> float:
    """Bytes per element of the weights that `checkpoint` quantises, block or group scales included."""
    size = element_bytes(checkpoint.weights)
    if checkpoint.weights in ("fp8", "int8") and checkpoint.block:
        rows, columns = checkpoint.block
        return size + 4.0 / (rows * columns)
    if checkpoint.weights == "int4":
        return size + _GROUP_SCALE_BYTES / (checkpoint.group_size or _DEFAULT_INT4_GROUP)
    return size


def is_quantised(model: ModelSpec, precision: Precision, weight_class: WeightClass) -> bool:
    """Whether weights of `weight_class` are held below 16 bits when `model` is served in `precision`.

    A checkpoint served as it ships keeps its own list; any other quantisation covers attention, FFN and expert weights.
    """
    if precision.weights in FULL_PRECISIONS:
        return False
    if precision.weights == model.checkpoint.weights:
        return weight_class not in model.checkpoint.unquantised
    return weight_class in QUANTISED_BY_DEFAULT


def weight_bytes_per_element(model: ModelSpec, precision: Precision, weight_class: WeightClass) -> float:
    """Bytes per parameter of `weight_class`, scales included, when `model` is served in `precision`."""
    if precision.weights in FULL_PRECISIONS:
        return element_bytes(precision.weights)
    if not is_quantised(model, precision, weight_class):
        return UNQUANTISED_BYTES
    if precision.weights == model.checkpoint.weights:
        in_fp8 = weight_class in model.checkpoint.in_fp8
        return element_bytes("fp8") if in_fp8 else quantised_bytes(model.checkpoint)
    return quantised_bytes(Checkpoint(weights=precision.weights))


def weight_dtype(model: ModelSpec, precision: Precision, weight_class: WeightClass) -> Dtype:
    """The format in which weights of `weight_class` are held."""
    if precision.weights == model.checkpoint.weights and weight_class in model.checkpoint.in_fp8:
        return "fp8"
    if precision.weights in FULL_PRECISIONS or is_quantised(model, precision, weight_class):
        return precision.weights
    return "bf16"
