"""What measurements say about hardware, as values: the cost model takes them as an argument and reads no file.

Physics (FLOPs, bytes, messages) is in `strategy.work`; here is how fast real kernels and links run through it. Each constant is named,
has a unit, and is looked up from the particular to the general, so a GPU nobody measured still gets a sane number.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from pydantic import Field

from strategy.hardware import GpuSpec
from strategy.model import Dtype, ModelSpec
from strategy.request import Engine
from strategy.values import Degree, Frozen, Positive

OpClass = Literal["gemm", "attention", "expert", "vector"]
CollectiveOp = Literal["all_reduce", "all_gather", "reduce_scatter", "all_to_all", "dispatch", "combine"]
PhaseKey = Literal["prefill", "decode", "*"]
EngineKey = Literal["vllm", "sglang", "trtllm", "none", "*"]
KernelQuantity = Literal["compute_time", "memory_time", "launch_time", "imbalance", "message_time"]
"""Times of kernels and messages. imbalance: the busiest expert rank over the mean, where experts are spread over ranks."""
EngineQuantity = Literal[
    "decode_step_ms",
    "per_sequence_us",
    "decode_time",
    "prefill_time",
    "prefill_pass_ms",
    "request_ms",
    "burst",
    "queue",
    "queue_half",
    "interference",
    "front_ms",
    "poll_steps",
    "balance_steps",
    "relaxed_polls",
    "standing",
    "admit_ms",
    "stream_us",
]
FactorQuantity = KernelQuantity | EngineQuantity
KERNELS_OF: dict[Dtype, Dtype] = {"mxfp4": "nvfp4"}
"""Operand types whose kernels are those of another, but for the scales: engines run both 4-bit formats through the same ones."""
ENGINE_QUANTITIES: tuple[EngineQuantity, ...] = get_args(EngineQuantity)
"""In the order of the fields of `EngineConstants`."""


class Efficiency(Frozen):
    """How close one class of kernels comes to the peaks, on one architecture and operand type (`*` matches all)."""

    op: OpClass
    phase: PhaseKey = "*"
    arch: str = "*"
    dtype: str = "*"
    compute: float = Field(gt=0, le=1)
    """Achieved over peak FLOP rate on large shapes."""
    memory: float = Field(gt=0, le=1)
    """Achieved over peak memory rate on large shapes."""
    overhead_us: float = Field(ge=0)
    """Fixed time of one launch."""
    half_rows: float = Field(default=0.0, ge=0)
    """Rows of a matrix product at which it reaches half of `compute`."""
    half_bytes: float = Field(default=0.0, ge=0)
    """Bytes at which a kernel reaches half of `memory`."""


class Anchor(Frozen):
    """Measured times of one collective over a range of sizes, on one fabric and group size."""

    fabric: str
    op: CollectiveOp
    ranks: Degree
    kernel: Literal["nccl", "custom", "low_latency"] = "nccl"
    bytes: tuple[Positive, ...] = Field(min_length=2)
    us: tuple[Positive, ...] = Field(min_length=2)

    @cached_property
    def logs(self) -> tuple[np.ndarray, np.ndarray]:
        """Logarithms of sizes and times."""
        return np.log(np.array(self.bytes)), np.log(np.array(self.us))


class AlphaBeta(Frozen):
    """Latency and rate where nothing was measured."""

    link_efficiency: float = Field(gt=0, le=1)
    pcie_efficiency: float = Field(gt=0, le=1)
    network_efficiency: float = Field(gt=0, le=1)
    base_us: float
    hop_us: float
    network_base_us: float
    network_hop_us: float
    throughput_dispatch_us: float
    p2p_us: float
    stage_bubble: float = Field(default=0.0, ge=0)
    """Share by which each stage after the first stretches the time between passes of a full pipeline."""


class Factor(Frozen):
    """One fitted constant: `value` multiplies `quantity` wherever every selector holds (`*` matches all)."""

    quantity: FactorQuantity
    op: str = "*"
    """Class of kernels, or `all_reduce` and `exchange` (every other collective) for message_time."""
    phase: PhaseKey = "*"
    archs: tuple[str, ...] = ()
    """Architectures; `other` holds for those never fitted; empty matches all."""
    dtype: str = "*"
    attention: Literal["gqa", "mla", "*"] = "*"
    engine: EngineKey = "*"
    """`none` holds where no engine is named."""
    serving: Literal["colocated", "disaggregated", "*"] = "*"
    shape: str = "*"
    """That of the models which were fitted under it (`ModelSpec.shape`), as in `80x8192x64` or `61x7168x128e256`."""
    value: Positive

    def holds(self, context: "Context") -> bool:
        """Whether every selector matches."""
        own = (self.op, self.phase, self.dtype, self.attention, self.engine, self.serving, self.shape)
        asked = (
            context.op, context.phase, context.dtype, context.attention, context.engine, context.serving, context.shape,
        )  # fmt: skip
        return all(one in ("*", other) for one, other in zip(own, asked, strict=True)) and (
            not self.archs or context.arch in self.archs
        )


def kernels_of(dtype: Dtype) -> Dtype:
    """The operand type by which factors of kernels on `dtype` go."""
    return KERNELS_OF.get(dtype, dtype)


class Context(NamedTuple):
    """Where a constant is asked for; an empty field matches only factors that do not select on it."""

    op: str = ""
    phase: str = ""
    arch: str = ""
    dtype: str = ""
    attention: str = ""
    engine: str = "none"
    serving: str = ""
    shape: str = ""


@dataclass(frozen=True)
class EngineConstants:
    """What a serving engine adds to the kernels."""

    decode_step_ms: float
    """Host time of one decode step that kernels do not hide."""
    per_sequence_us: float
    """Host time of one decode step per running sequence (sampling, detokenising, scheduling)."""
    decode_time: float
    """Factor on kernel times of decode."""
    prefill_time: float
    """Factor on kernel times of prefill."""
    prefill_pass_ms: float
    """Host time of one prefill pass."""
    request_ms: float
    """Time of a request outside the model: HTTP, tokenising, admission, the way back of the first token."""
    burst: float
    """Share of requests that arrive all at once, as when a load generator starts: one over the times it fills its slots."""
    queue: float
    """Prompts that a prompt finds waiting for each other request in flight while those are few (what finished together comes together)."""
    queue_half: float
    """Other requests in flight at which it finds half as many as with any number of them."""
    interference: float
    """Share of the prefill time on the same ranks that decoding sequences wait for."""
    front_ms: float
    """Time that each other request in flight adds to a first token in the one front end: tokenising, scheduling, streaming."""
    poll_steps: float
    """Decode steps that pass, on average, before an engine sees a prompt that has come: half of the interval at which it looks."""
    balance_steps: float
    """Decode steps for which a prompt is held back under DP attention, until other replicas have prompts as well."""
    relaxed_polls: float
    """How many times longer the interval at which an engine looks for prompts is with many requests in flight; at least 1."""
    standing: float
    """Requests of one front end that stand before the engine whatever it does (a load that holds more than the engine takes)."""
    admit_ms: float
    """Time that a request takes from the one front end, which serves no other meanwhile."""
    stream_us: float
    """Time that an output token takes from it on its way to the client."""


HeldOut = Literal["configuration", "model", "gpu"]


class Error(Frozen):
    """Mean relative errors on measured serving points of which the fit had seen nothing of one kind, in percent."""

    held_out: HeldOut
    tpot: float
    ttft: float


class Calibration(Frozen):
    """Every fitted or measured constant of the cost model."""

    efficiencies: tuple[Efficiency, ...]
    anchors: tuple[Anchor, ...]
    fabrics: dict[str, tuple[str, ...]]
    """GPU key to fabrics whose anchors it uses, in order."""
    arch_fabrics: dict[str, tuple[str, ...]]
    """The same by architecture, for switched scale-up fabrics."""
    alpha_beta: AlphaBeta
    link_rates: dict[str, float] = Field(default_factory=dict)
    """GPU key to the scale-up rate (GB/s) that its anchors stand for."""
    factors: tuple[Factor, ...] = ()
    """Constants fitted on serving points, on top of the efficiencies."""
    calibrated_archs: tuple[str, ...] = ()
    """Architectures on which efficiencies were fitted; others are extrapolated."""

    fitted_models: tuple[str, ...] = ()
    """Models whose serving points were fitted."""
    fitted_gpus: tuple[str, ...] = ()
    errors: tuple[Error, ...] = ()

    def error_of(self, model: ModelSpec, gpu: GpuSpec) -> Error | None:
        """The error to expect for a model on a GPU: the largest of the kinds that it is new in."""
        known = model.name in self.fitted_models or model.shape in self._fitted_shapes
        new = {"configuration": True, "model": not known, "gpu": not self._measured_on(gpu)}
        found = [error for error in self.errors if new[error.held_out]]
        return max(found, key=lambda error: error.tpot, default=None)

    def _measured_on(self, gpu: GpuSpec) -> bool:
        """Whether serving points were measured on this very device; one with other rates than the catalogue's is another."""
        return gpu.key in self.fitted_gpus and gpu.provenance.status != "unverified"

    @cached_property
    def _fitted_shapes(self) -> frozenset[str]:
        """Shapes of models with factors of their own."""
        return frozenset(factor.shape for factor in self.factors) - {"*"}

    def replaced(self, **fields: Any) -> "Calibration":
        """A calibration with other fields and nothing remembered (a copy would keep what was looked up before)."""
        return Calibration(**{name: getattr(self, name) for name in Calibration.model_fields} | fields)

    def efficiency(self, op: OpClass, phase: str, arch: str, dtype: str) -> Efficiency:
        """The record that matches in the most fields. Raises ValueError when none matches."""
        key = (op, phase, arch, dtype)
        if key not in self._found:
            self._found[key] = self._best(op, phase, arch, dtype)
        return self._found[key]

    @cached_property
    def _found(self) -> dict[tuple[str, str, str, str], Efficiency]:
        return {}

    def _best(self, op: OpClass, phase: str, arch: str, dtype: str) -> Efficiency:
        def score(one: Efficiency) -> int:
            fields = ((one.arch, arch, 4), (one.phase, phase, 2), (one.dtype, dtype, 1))
            if any(own not in ("*", asked) for own, asked, _ in fields):
                return -1
            return sum(weight for own, _, weight in fields if own != "*")

        candidates = [e for e in self.efficiencies if e.op == op and score(e) >= 0]
        if not candidates:
            raise ValueError(f"no efficiency for op={op}, phase={phase}, arch={arch}, dtype={dtype}")
        return max(candidates, key=score)

    def fabrics_of(self, gpu: GpuSpec) -> tuple[str, ...]:
        """Fabrics whose anchors hold for `gpu`, best first; none for full meshes and unknown links."""
        found = self.fabrics.get(gpu.key)
        if found is not None:
            return found
        return self.arch_fabrics.get(gpu.arch, ()) if gpu.scale_up == "nvlink" else ()

    def factor(self, quantity: FactorQuantity, context: Context) -> float:
        """Product of the factors of `quantity` that hold in `context`; 1 when none does."""
        key = (quantity, context)
        if key not in self._products:
            known = context if context.arch in self.calibrated_archs else context._replace(arch="other")
            values = [f.value for f in self._factors_of.get(quantity, ()) if f.holds(known)]
            self._products[key] = math.prod(values)
        return self._products[key]

    @cached_property
    def _products(self) -> dict[tuple[str, Context], float]:
        return {}

    @cached_property
    def _factors_of(self) -> dict[str, list[Factor]]:
        found: dict[str, list[Factor]] = {}
        for factor in self.factors:
            found.setdefault(factor.quantity, []).append(factor)
        return found

    def engine(
        self, engine: Engine | None, arch: str, model: ModelSpec, weights: Dtype, *, disaggregated: bool
    ) -> EngineConstants:
        """Constants of an engine that serves `model` in `weights` on GPUs of `arch`; the mean of those known where none is named."""
        serving = "disaggregated" if disaggregated else "colocated"
        context = Context(
            arch=arch,
            dtype=weights,
            engine=engine or "none",
            serving=serving,
            shape=model.shape,
        )
        return EngineConstants(*(self.factor(name, context) for name in ENGINE_QUANTITIES))
