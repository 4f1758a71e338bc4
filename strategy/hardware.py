"""GPUs and clusters. Rates are per GPU and per direction; sizes are in 10^9 bytes."""

import re
from typing import Literal

from strategy.model import Provenance
from strategy.values import Degree, Frozen, Positive, Size

Vendor = Literal["nvidia", "amd", "tpu"]
Fabric = Literal["nvlink", "infinity_fabric", "pcie", "ici"]
"""What joins the GPUs of a host."""
_FP16_ONLY = frozenset({"sm70", "sm75"})
_GENERATION = re.compile(r"sm(?P<sm>\d+)|gfx(?P<gfx>\d+)(?=[0-9a-f])")


class GpuSpec(Frozen):
    """One accelerator. Compute rates are dense (not sparse); None means the device cannot do it."""

    key: str
    name: str
    arch: str
    """Compute capability (`sm90`) or ISA (`gfx942`)."""
    memory_gb: Positive
    memory_tb_per_s: Positive
    bf16_tflops: Positive
    """Rate of 16-bit operands; see `has_bf16`."""
    fp8_tflops: Positive | None = None
    fp4_tflops: Positive | None = None
    int8_tflops: Positive | None = None
    scale_up: Fabric
    scale_up_gb_per_s: Positive
    scale_up_domain: Degree
    """GPUs that reach each other at `scale_up_gb_per_s`; a rack for NVL72, one for PCIe cards."""
    scale_up_links: Size | None = None
    """Links of a full mesh (AMD): two GPUs share one of them. None behind a switch."""
    nic_gb_per_s: Positive
    gpus_per_host: Degree
    tdp_w: Positive | None = None
    provenance: Provenance

    @property
    def vendor(self) -> Vendor:
        """Whose software stack it has."""
        return "amd" if self.arch.startswith("gfx") else "tpu" if self.arch.startswith("tpu") else "nvidia"

    @property
    def generation(self) -> int:
        """How new the device is among its vendor's: compute capability times ten (`sm90`: 90), or `gfx942` as 94, `gfx90a` as 90; else 0."""
        found = _GENERATION.match(self.arch)
        return 0 if found is None else int(found["sm"] or found["gfx"])

    @property
    def has_bf16(self) -> bool:
        """Whether 16-bit operands may be bf16: NVIDIA devices before Ampere have fp16 only."""
        return self.arch not in _FP16_ONLY

    def tflops(self, dtype: str) -> float | None:
        """Dense peak for operands of `dtype`, or None when the device lacks it."""
        return {
            "fp32": self.bf16_tflops / 2,
            "bf16": self.bf16_tflops if self.has_bf16 else None,
            "fp16": self.bf16_tflops,
            "fp8": self.fp8_tflops,
            "int8": self.int8_tflops,
            "nvfp4": self.fp4_tflops,
            "mxfp4": self.fp4_tflops,
            "int4": None,
        }[dtype]


class Cluster(Frozen):
    """Equal hosts of equal GPUs."""

    gpu: GpuSpec
    gpus_per_host: Degree
    hosts: Degree

    @property
    def gpus(self) -> int:
        """GPUs in the whole cluster."""
        return self.gpus_per_host * self.hosts

    @property
    def domain(self) -> int:
        """GPUs of one scale-up domain in this cluster: a host, or a rack where the fabric spans hosts."""
        if self.gpu.scale_up_domain > self.gpu.gpus_per_host:
            return min(self.gpu.scale_up_domain, self.gpus)
        return min(self.gpu.scale_up_domain, self.gpus_per_host)

    def host_of(self, rank: int) -> int:
        """The host that holds a global rank, when ranks fill hosts in order."""
        return rank // self.gpus_per_host
