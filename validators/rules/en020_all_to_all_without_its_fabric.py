"""EN020."""

from collections.abc import Iterator

from strategy.engine_limits import all_to_all_has_fabric
from strategy.export.express import FABRICS
from validators.choices import engine_row
from validators.examples import GPU
from validators.examples_moe import QWEN3_30B, asked, named, planned
from validators.registry import Hit, rule
from validators.subject import Subject

PCIE = GPU.model_copy(update={"key": "h100-pcie", "name": "H100 PCIe", "scale_up": "pcie", "scale_up_domain": 1})


@rule(
    code="EN020",
    stage="strategy",
    severity="error",
    message="{engine}'s all_to_all kernels need {fabrics} between the GPUs of a host; {gpu} has {fabric}",
    hint="set ep_lowering to {instead}",
    sources=("deepep: README.md Requirements", "mori: README.md", "vllm: distributed/device_communicators/all2all.py"),
    knowledge="expert-parallelism.md#low-latency-and-throughput-kernels",
    passes=lambda: named(
        "all_gather over PCIe",
        lambda: planned(QWEN3_30B, asked(QWEN3_30B, engine="vllm", gpu=PCIE), dp=8, ep=8, ep_lowering="all_gather"),
    ),
    fails=lambda: named(
        "all_to_all over PCIe",
        lambda: planned(QWEN3_30B, asked(QWEN3_30B, engine="sglang", gpu=PCIE), dp=8, ep=8, ep_lowering="all_to_all"),
    ),
)
def all_to_all_without_its_fabric(subject: Subject) -> Iterator[Hit]:
    """The kernels write into the memory of the host's other GPUs, which the servers of cards on PCIe do not offer: they do not start."""
    row = engine_row(subject, "EN020")
    if row is None or subject.problem is None:
        return
    gpu = subject.problem.cluster.gpu
    for path, pool in subject.pools():
        if not all_to_all_has_fabric(row, pool, gpu.scale_up):
            alone = pool.attention.dp_size * pool.attention.cp_size == 1
            yield Hit(
                f"{path}/ep_lowering",
                engine=row.title,
                fabrics=" or ".join(FABRICS[one] for one in row.all_to_all_fabrics),
                gpu=gpu.name,
                fabric=FABRICS[gpu.scale_up],
                instead="replicated" if alone else "all_gather",
            )
