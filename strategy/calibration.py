"""What measurements say about hardware, as values: the cost model takes them as an argument and reads no file.

Physics (FLOPs, bytes, messages) is in `strategy.work`; here is how fast real kernels and links run through it. Each constant is named,
has a unit, and is looked up from the particular to the general, so a GPU nobody measured still gets a sane number.
"""

from functools import cached_property
from typing import Literal

import numpy as np
from pydantic import Field

from strategy.hardware import GpuSpec
from strategy.request import Engine
from strategy.values import Degree, Frozen, Positive

OpClass = Literal["gemm", "attention", "expert", "vector"]
CollectiveOp = Literal["all_reduce", "all_gather", "reduce_scatter", "all_to_all", "dispatch", "combine"]
PhaseKey = Literal["prefill", "decode", "*"]


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


class EngineConstants(Frozen):
    """What a serving engine adds to the kernels; `engine` None holds for an unnamed one."""

    engine: Engine | None
    decode_step_us: float = Field(ge=0)
    """Host time of one decode step that kernels do not hide."""
    per_sequence_us: float = Field(ge=0)
    """Host time of one decode step per running sequence (sampling, detokenising, scheduling)."""
    prefill_step_us: float = Field(ge=0)
    """Host time of one prefill pass."""
    kernel_scale: Positive = 1.0
    """Factor on kernel times relative to the calibrated ones."""
    prefill_scale: Positive = 1.0
    """Factor on prefill kernel times relative to the calibrated ones."""
    request_ms: float = Field(default=0.0, ge=0)
    """Time of a request outside the model: HTTP, tokenising, admission, the way back of the first token."""
    burst: float = Field(ge=0, le=1)
    """How bunched arrivals are: 0 spreads them evenly over a request's life, 1 brings them all at once."""


class Calibration(Frozen):
    """Every fitted or measured constant of the cost model."""

    efficiencies: tuple[Efficiency, ...]
    anchors: tuple[Anchor, ...]
    fabrics: dict[str, tuple[str, ...]]
    """GPU key to fabrics whose anchors it uses, in order."""
    arch_fabrics: dict[str, tuple[str, ...]]
    """The same by architecture, for switched scale-up fabrics."""
    alpha_beta: AlphaBeta
    engines: tuple[EngineConstants, ...]
    moe_imbalance: float = Field(default=1.0, ge=1)
    """Load of the busiest expert rank over the mean."""
    calibrated_archs: tuple[str, ...] = ()
    """Architectures on which efficiencies were fitted; others are extrapolated."""

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

    def engine(self, engine: Engine | None) -> EngineConstants:
        """Constants of an engine; those of the unnamed one when it has none of its own."""
        own = [e for e in self.engines if e.engine == engine]
        return own[0] if own else next(e for e in self.engines if e.engine is None)
