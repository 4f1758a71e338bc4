"""What each engine and version can express, as data: one row an engine, one field a question.

Exports (`strategy.export.express`), the search (`strategy.engine_limits`) and the rules of the EN family read the same rows; `rules` says
which of those rules speak about an engine. Rows were read from the released packages (vLLM 0.33.0, SGLang 0.5.23, Ray 2.60.0, ai-dynamo 1.6.1), the modelservice chart, and TensorRT-LLM's
sources (mapping.py, llm_args.py). Ray 2.60.0 pins vLLM 0.29.0, which takes every argument that its row leads to (`make realtool`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from strategy.errors import InputError
from strategy.hardware import Fabric, GpuSpec, Vendor
from strategy.model import Dtype
from strategy.request import Engine
from strategy.strategy import CpDecodeUse, EpLowering, SpKind

Target = Literal["vllm", "sglang", "trtllm", "ray", "dynamo", "llm-d"]


@dataclass(frozen=True)
class Capabilities:
    """One engine at one version."""

    engine: Target
    inside: Engine
    """The engine that serves; an orchestrator's limits are added to its."""
    title: str
    version: str
    ep_over_part: bool
    """EP smaller than a stage, experts cut (expert TP) beside EP."""
    expert_copies: bool
    """Several whole sets of experts in a stage (expert dp_size above 1)."""
    tp_beside_dp: bool
    """Attention replicas that are themselves tensor parallel."""
    lowerings_alone: tuple[EpLowering, ...]
    """How tokens reach spread experts while all ranks of a stage hold the same tokens."""
    lowerings_replicated: tuple[EpLowering, ...]
    """The same under attention replicas or cp ranks."""
    lowerings_cut: tuple[EpLowering, ...]
    """The same for experts that are cut over the stage (ep_size 1) under attention replicas."""
    all_to_all_spans_stage: bool
    """all_to_all sets ep_size to the whole stage."""
    all_to_all_beyond_top_k: bool
    """all_to_all runs only where ep_size exceeds the experts of a token."""
    all_to_all_fabrics: tuple[Fabric, ...]
    """What has to join the GPUs of a host for its all_to_all kernels: DeepEP's write into peers' memory over NVLink, MoRI's over xGMI."""
    all_to_all_lacking: tuple[str, ...]
    """Model names (their start) whose code has no all_to_all between experts."""
    low_latency_hidden: tuple[int, ...]
    """Hidden sizes for which the low-latency all_to_all kernels are compiled; empty: any."""
    low_latency_pads: bool
    """Hidden sizes in between are padded to the next one, not refused."""
    dp_layout: Literal["outer", "inner"]
    """Attention replicas lie outside or inside the pipeline stages."""
    moe_layout: Literal["moe_tp_fastest", "ep_fastest"] | None
    """Rank order of ep and expert TP; None where both never occur together."""
    dense_ffn: tuple[Literal["local", "gathered"], ...]
    """A dense FFN of an MoE model under attention replicas."""
    dense_local_with_tp: bool
    """A local dense FFN is split over the attention tp ranks."""
    lm_head: tuple[Literal["local", "gathered"], ...]
    """The LM head under attention replicas."""
    cp_attention: tuple[Literal["mla", "gqa"], ...]
    """Attention that can have prefill context parallelism."""
    cp_spreads_experts: bool
    """cp ranks of latent attention have no tp beside them, and experts spread over the whole stage by all_to_all."""
    cp_kinds: tuple[SpKind, ...]
    """How cp ranks share keys and values."""
    cp_orders: tuple[Literal["zigzag", "contiguous"], ...]
    """How they share the tokens of a prompt."""
    cp_decode_uses: tuple[CpDecodeUse | None, ...]
    """What cp ranks of a pool that also decodes do there."""
    token_shards: tuple[str, ...]
    """Model names (their start) that have sp_kind megatron."""
    dcp: bool
    """Decode context parallelism."""
    pp: bool
    """Several pipeline stages."""
    uneven_stages: str
    """Environment variable or configuration key that takes the layers of each stage."""
    kv_dtypes: Mapping[str, str]
    """Our names of cache types to the engine's."""
    accelerators: Mapping[Vendor, int]
    """Vendors whose accelerators it runs on, each with the oldest generation (`GpuSpec.generation`); TPUs are served by plugins and forks with flags of their own."""
    weights_since: Mapping[str, int]
    """Vendor and type of weights, to the oldest generation with kernels for them; types that are not named run wherever the engine does."""
    rules: tuple[str, ...]
    """Rules about the engine."""
    handoff: Literal["nixl", "sglang"] | None = None
    """The connector between two pools, where its limits are known (`strategy.engine_limits.HANDOFFS`)."""
    overlaps_stages: bool = True
    """A batch is prepared while the one before it runs, with several stages too."""
    divides_chunks: bool = False
    """The chunk size is shared among the attention replicas of a server."""
    online_weights: Mapping[str, str] = field(default_factory=dict)
    """Weight types into which the engine converts a bf16 checkpoint while it loads, to its name for that."""
    tp_across_hosts: bool = True
    """A tp group may span hosts."""
    remote_code: tuple[str, ...] = ()
    """Model names (their start) whose configuration class only the checkpoint has: the engine must be told to trust it."""


SPARSE_ATTENTION = ("deepseek-v3.2", "deepseek-v32", "glm-5", "glm-moe-dsa")
"""Models whose attention picks positions with an indexer (DSA), by the start of their names."""
NEMOTRON_NAS = ("nemotron-super-49b", "nemotron-ultra-253b", "nemotron-nas", "deci")
"""Models with layers of their own sizes from a search, whose configuration class is the checkpoint's own in all engines."""
DEEPEP_HIDDEN = (2048, 2560, 3072, 4096, 5120, 6144, 7168, 8192)
"""Cases of `SWITCH_HIDDEN` in DeepEP's csrc/kernels/legacy/launch.cuh; vLLM has the same list (prepare_finalize/deepep_ll.py)."""
_VLLM_KV = {"bf16": "bfloat16", "fp16": "float16", "fp8": "fp8", "nvfp4": "nvfp4"}
_VLLM = Capabilities(
    engine="vllm",
    inside="vllm",
    title="vLLM",
    version="0.33.0",
    ep_over_part=False,
    expert_copies=False,
    tp_beside_dp=True,
    lowerings_alone=("replicated",),
    lowerings_replicated=("all_gather", "all_to_all"),
    lowerings_cut=("all_gather",),
    all_to_all_spans_stage=True,
    all_to_all_beyond_top_k=False,
    all_to_all_fabrics=("nvlink", "infinity_fabric"),
    all_to_all_lacking=(),
    low_latency_hidden=DEEPEP_HIDDEN,
    low_latency_pads=True,
    dp_layout="outer",
    moe_layout=None,
    dense_ffn=("local",),
    dense_local_with_tp=True,
    lm_head=("local",),
    cp_attention=("mla",),
    cp_spreads_experts=False,
    cp_kinds=("cp_allgather",),
    cp_orders=("zigzag",),
    cp_decode_uses=("batch_shard",),
    token_shards=(),
    dcp=True,
    pp=True,
    uneven_stages="VLLM_PP_LAYER_PARTITION",
    kv_dtypes=_VLLM_KV,
    rules=("EN001", "EN002", "EN003", "EN004", "EN005", "EN018", "EN019", "EN020", "EN021", "EN022", "RL010"),
    accelerators={"nvidia": 75, "amd": 90},
    weights_since={"nvidia mxfp4": 80, "amd fp8": 94},
    handoff="nixl",
    online_weights={"fp8": "fp8"},
    remote_code=("mimo", *NEMOTRON_NAS),
)
_SGLANG = Capabilities(
    engine="sglang",
    inside="sglang",
    title="SGLang",
    version="0.5.23",
    ep_over_part=True,
    expert_copies=True,
    tp_beside_dp=True,
    lowerings_alone=("replicated", "all_to_all"),
    lowerings_replicated=("all_gather", "all_to_all"),
    lowerings_cut=("all_gather",),
    all_to_all_spans_stage=True,
    all_to_all_beyond_top_k=False,
    all_to_all_fabrics=("nvlink", "infinity_fabric"),
    all_to_all_lacking=("gpt-oss", "llama-4", "llama4", "mixtral"),
    low_latency_hidden=DEEPEP_HIDDEN,
    low_latency_pads=False,
    dp_layout="inner",
    moe_layout="moe_tp_fastest",
    dense_ffn=("local", "gathered"),
    dense_local_with_tp=False,
    lm_head=("local", "gathered"),
    cp_attention=("mla", "gqa"),
    cp_spreads_experts=True,
    cp_kinds=("cp_allgather",),
    cp_orders=("zigzag",),
    cp_decode_uses=("replicate", None),
    token_shards=("qwen3",),
    dcp=True,
    pp=True,
    uneven_stages="SGLANG_PP_LAYER_PARTITION",
    kv_dtypes={"bf16": "bfloat16", "fp16": "auto", "fp8": "fp8_e4m3", "nvfp4": "nvfp4"},
    rules=("EN005", "EN009", "EN010", "EN012", "EN013", "EN018", "EN019", "EN020", "EN021", "EN022", "RL010"),
    accelerators={"nvidia": 75, "amd": 94},
    weights_since={"nvidia fp8": 80, "nvidia nvfp4": 80, "nvidia mxfp4": 80},
    handoff="sglang",
    overlaps_stages=False,
    divides_chunks=True,
    online_weights={"fp8": "fp8"},
    remote_code=("mimo", *NEMOTRON_NAS),
)
_TRTLLM = Capabilities(
    engine="trtllm",
    inside="trtllm",
    title="TensorRT-LLM",
    version="1.x",
    ep_over_part=True,
    expert_copies=False,
    tp_beside_dp=False,
    lowerings_alone=("replicated",),
    lowerings_replicated=("all_gather", "all_to_all"),
    lowerings_cut=("all_gather",),
    all_to_all_spans_stage=False,
    all_to_all_beyond_top_k=True,
    all_to_all_fabrics=("nvlink",),
    all_to_all_lacking=(),
    low_latency_hidden=(),
    low_latency_pads=False,
    dp_layout="inner",
    moe_layout="ep_fastest",
    dense_ffn=("local",),
    dense_local_with_tp=True,
    lm_head=("local",),
    cp_attention=(),
    cp_spreads_experts=False,
    cp_kinds=(),
    cp_orders=(),
    cp_decode_uses=(),
    token_shards=(),
    dcp=False,
    pp=True,
    uneven_stages="pp_partition",
    kv_dtypes={"bf16": "auto", "fp16": "auto", "fp8": "fp8", "nvfp4": "nvfp4"},
    rules=("EN014", "EN015", "EN019", "EN020", "EN022", "RL010"),
    accelerators={"nvidia": 80},
    weights_since={
        "nvidia fp8": 89,
        "nvidia nvfp4": 90,
        "nvidia mxfp4": 90,
    },  # public recipes serve gpt-oss on H200 in what they call nvfp4
    remote_code=("mimo", *NEMOTRON_NAS),
)


def begins(name: str, starts: tuple[str, ...]) -> bool:
    """Whether a model's name, from the catalogue or the `model_type` of a config.json, begins with one of `starts`."""
    return bool(starts) and name.lower().replace("_", "-").startswith(starts)


TABLE: Mapping[tuple[Target, str], Capabilities] = {
    (row.engine, row.version): row
    for row in (
        _VLLM,
        _SGLANG,
        _TRTLLM,
        replace(_VLLM, engine="ray", title="Ray Serve LLM", version="2.60.0"),
        replace(_VLLM, engine="llm-d", title="llm-d modelservice", version="0.4", pp=False, tp_across_hosts=False),
    )
}
"""Every engine and version. Dynamo runs workers of the first three and takes their rows."""

LATEST: Mapping[Target, str] = {target: version for target, version in TABLE}  # noqa: C416 - the last row of a target is its latest


def runs_on(row: Capabilities, gpu: GpuSpec) -> bool:
    """The engine runs on the accelerator (EN019)."""
    return gpu.vendor in row.accelerators and gpu.generation >= row.accelerators[gpu.vendor]


def takes_weights(row: Capabilities, gpu: GpuSpec, weights: Dtype) -> bool:
    """The engine has kernels for such weights on the accelerator (EN022)."""
    return gpu.generation >= row.weights_since.get(f"{gpu.vendor} {weights}", 0)


def serves(row: Capabilities, gpu: GpuSpec, weights: Dtype | None) -> bool:
    """The engine runs on the accelerator, with such weights where they are given."""
    return runs_on(row, gpu) and (weights is None or takes_weights(row, gpu, weights))


def able_on(gpu: GpuSpec, weights: Dtype | None = None) -> tuple[Engine, ...]:
    """Engines that run on an accelerator, with such weights where they are given, in the order of the table."""
    return tuple(row.inside for row in TABLE.values() if row.engine == row.inside and serves(row, gpu, weights))


def capabilities(engine: Target, version: str | None = None) -> Capabilities:
    """The row of an engine; its latest version unless one is named. Raises `InputError` for a version without a row."""
    chosen = version or LATEST[engine]
    row = TABLE.get((engine, chosen))
    if row is None:
        known = ", ".join(v for e, v in TABLE if e == engine)
        raise InputError(f"no facts about {engine} {chosen[:40]}", hint=f"known versions: {known}")
    return row
