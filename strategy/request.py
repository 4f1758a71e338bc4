"""What people ask for: `Request` as it is written, `Problem` as it is understood."""

from math import inf
from typing import Any, Literal

from pydantic import Field, model_validator

from strategy.hardware import Cluster
from strategy.model import Dtype, ModelSpec
from strategy.values import Degree, Frozen, Positive, Size

Objective = Literal["throughput", "latency", "min_gpus"]
Serving = Literal["auto", "colocated", "disaggregated"]
Engine = Literal["vllm", "sglang", "trtllm"]
Forbidden = Literal["tp", "pp", "ep", "sp", "dp", "dp_attention", "dcp"]


class GpuOverrides(Frozen):
    """Fields of the GPU record that a request may replace, in the record's own units."""

    memory_gb: Positive | None = None
    memory_tb_per_s: Positive | None = None
    bf16_tflops: Positive | None = None
    fp8_tflops: Positive | None = None
    fp4_tflops: Positive | None = None
    int8_tflops: Positive | None = None
    scale_up: Literal["nvlink", "infinity_fabric", "pcie", "ici"] | None = None
    scale_up_gb_per_s: Positive | None = None
    scale_up_domain: Degree | None = None
    scale_up_links: Size | None = None
    nic_gb_per_s: Positive | None = None
    tdp_w: Positive | None = None
    arch: str | None = None
    name: str | None = None


class ClusterRequest(GpuOverrides):
    """Hosts of a catalogue GPU, with any field of its record replaced."""

    gpu: str
    gpus_per_host: Degree | None = None
    """Default: as the GPU is usually sold, or fewer when the cluster is smaller than a host."""
    hosts: Degree = 1


class Workload(Frozen):
    """Traffic: `isl` prompt tokens in, `osl` tokens out, at a concurrency or a request rate (or as much as the SLO allows)."""

    isl: Size
    osl: Size
    concurrency: Size | None = None
    request_rate: Positive | None = None
    """Requests per second."""
    prefix_hit_ratio: float = Field(default=0.0, ge=0.0, le=0.99)

    @model_validator(mode="after")
    def _one_load(self) -> "Workload":
        if self.concurrency is not None and self.request_rate is not None:
            raise ValueError("give concurrency or request_rate, not both")
        return self


class Slo(Frozen):
    """Latency limits; None means no limit."""

    ttft_ms: Positive | None = None
    tpot_ms: Positive | None = None
    headroom: float | None = Field(default=None, ge=0.0, le=0.9)
    """Share of each limit that a plan leaves free, for what an estimate may be off: 0.2 plans for 800 ms where 1,000 are the limit."""

    @property
    def kept(self) -> float:
        """Share of each limit that a plan may use."""
        return 1.0 - (self.headroom or 0.0)

    @property
    def planned_ttft_ms(self) -> float:
        """What a plan's TTFT must not exceed; infinite without a limit."""
        return inf if self.ttft_ms is None else self.ttft_ms * self.kept

    @property
    def planned_tpot_ms(self) -> float:
        """What a plan's TPOT must not exceed; infinite without a limit."""
        return inf if self.tpot_ms is None else self.tpot_ms * self.kept


class PrecisionRequest(Frozen):
    """Precisions that differ from what the checkpoint ships."""

    weights: Dtype | None = None
    activations: Dtype | None = None
    kv: Dtype | None = None


class Precision(Frozen):
    """Precisions as decided."""

    weights: Dtype
    activations: Dtype
    kv: Dtype


class FixedDegrees(Frozen):
    """Degrees that the plan must have; None leaves one free."""

    tp_size: Degree | None = None
    pp_size: Degree | None = None
    ep_size: Degree | None = None
    cp_size: Degree | None = None
    dp_size: Degree | None = None
    """Attention data parallelism inside a replica."""
    moe_tp_size: Degree | None = None
    dcp_size: Degree | None = None
    replicas: Degree | None = None
    gpus: Degree | None = None


class Constraints(Frozen):
    """What the plan must and must not do."""

    fix: FixedDegrees = FixedDegrees()
    forbid: tuple[Forbidden, ...] = ()


class Request(Frozen):
    """A request as people write it (text is understood into this)."""

    model: str | dict[str, Any]
    """Catalogue name or alias, Hugging Face id, a `config.json` as an object, or an inline spec."""
    cluster: ClusterRequest
    workload: Workload
    slo: Slo = Slo()
    precision: PrecisionRequest = PrecisionRequest()
    objective: Objective = "throughput"
    serving: Serving = "auto"
    engine: Engine | None = None
    constraints: Constraints = Constraints()


class Problem(Frozen):
    """A request with every name resolved and every default decided: what the planner, the rules and the cost model read."""

    model: ModelSpec
    cluster: Cluster
    workload: Workload
    slo: Slo = Slo()
    precision: Precision
    objective: Objective = "throughput"
    serving: Serving = "auto"
    engine: Engine | None = None
    constraints: Constraints = Constraints()
    max_model_len: Size
    """Tokens one sequence may reach: at least isl + osl."""
