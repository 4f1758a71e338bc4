"""AIConfigurator as a second price: what it is asked, what is refused, and how its answers read. The last tests ask the real one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import pytest

from knowledge.aiconfigurator import Package, installed, priced
from knowledge.aiconfigurator.package import engine_version, model_path
from knowledge.aiconfigurator.question import SYSTEMS, question
from knowledge.catalogue import find_gpu, gpus
from knowledge.completion import complete_strategy
from knowledge.resolve import config_of, resolve
from strategy.errors import InputError
from strategy.request import Problem, Request
from strategy.result import PeerEstimate
from strategy.strategy import Strategy

LLAMA, DEEPSEEK = "llama-3.1-70b", "deepseek-v3"
real = pytest.mark.skipif(find_spec("aiconfigurator") is None, reason="needs the extra `aiconfigurator`")


@dataclass(frozen=True, eq=False)
class Said:
    """A recorded answer of 0.12.0, some ops of each pass left out."""

    mode: str
    ttft: float
    tpot: float
    raw: Mapping[str, Any]
    per_ops_data: Mapping[str, Mapping[str, float]]
    per_ops_source: Mapping[str, Mapping[str, str]]
    kv_cache_warning: str | None = None


ONE_POOL = Said(
    "agg",
    715.2535918221733,
    36.0661644284011,
    {
        "concurrency": 96,
        "seq/s": 2.6305401343073314,
        "tokens/s/gpu": 328.488699271628,
        "num_total_gpus": 8,
        "gemm": "bfloat16",
        "kvcache": "bfloat16",
        "fmha": "bfloat16",
        "moe": "bfloat16",
        "memory": 39.2451171875,
    },
    {
        "mix_step": {"context_gate_ffn1_gemm": 47.23871298397289, "context_add_norm_1": 8.251042388059703},
        "genonly_step": {"generation_attention": 7.5960026780764265, "generation_p2p": 0.0},
        "scheduling": {"num_mix_steps": 96.0},
    },
    {
        "mix_step": {"context_gate_ffn1_gemm": "silicon", "context_add_norm_1": "empirical"},
        "genonly_step": {"generation_attention": "silicon", "generation_p2p": "silicon"},
    },
)
TWO_POOLS = Said(
    "disagg",
    875.995,
    29.908,
    {
        "concurrency": 128,
        "seq/s": 3.699,
        "tokens/s/gpu": 462.375,
        "num_total_gpus": 8,
        **{f"({side})gemm": "bfloat16" for side in "pd"},
        **{f"({side})kvcache": "bfloat16" for side in "pd"},
        **{f"({side})fmha": "bfloat16" for side in "pd"},
        **{f"({side})moe": "bfloat16" for side in "pd"},
        "(p)memory": 70.548,
        "(d)memory": 85.633,
    },
    {"prefill": {"context_attention": 30.003879287026816}, "decode": {"generation_attention": 13567.407836756864}},
    {"prefill": {"context_attention": "mixed"}, "decode": {"generation_attention": "silicon"}},
)


@dataclass
class Fake:
    """A package that gives one recorded answer, and remembers what it was asked."""

    said: Said | Exception = ONE_POOL
    asked: list[tuple[tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)

    def estimate(self, *words: Any, **fields: Any) -> Said:
        self.asked.append((words, fields))
        if isinstance(self.said, Exception):
            raise self.said
        return self.said

    def package(self) -> Package:
        databases = {"h100_sxm": {"trtllm": ["1.3.0rc20", "1.3.0rc23"], "vllm": ["0.24.0"]}}
        return Package(
            version="0.12.0",
            models=frozenset({"meta-llama/Meta-Llama-3.1-70B", "deepseek-ai/DeepSeek-V3"}),
            architectures=frozenset({"LlamaForCausalLM", "Qwen3ForCausalLM"}),
            databases=lambda: databases,
            latest=lambda system, engine: next(iter(databases.get(system, {}).get(engine, ())), None),
            estimate=self.estimate,
        )


def problem(
    model: Any = LLAMA, *, gpu: str = "h100-sxm", engine: str | None = "trtllm", hosts: int = 1, **more: Any
) -> Problem:
    cluster = {"gpu": gpu, "gpus_per_host": 8, "hosts": hosts, **more.pop("cluster", {})}
    request = {"model": model, "cluster": cluster, "engine": engine, "workload": {"isl": 4000, "osl": 1000}, **more}
    return resolve(Request.model_validate(request)).problem


def strategy(asked: Problem, *pools: dict[str, Any]) -> Strategy:
    return Strategy.model_validate(complete_strategy({"pools": list(pools)}, asked.model, asked.engine)[0])


def price(package: Package, asked: Problem, plan: Strategy, concurrency: int, **more: Any) -> PeerEstimate:
    gpu = find_gpu(asked.cluster.gpu.key)
    known = {"names": asked.model.aliases, "config": config_of(asked.model.name)}
    return priced(package, asked, plan, gpu, concurrency, **known | more)


def test_one_pool_is_asked_for_one_of_its_replicas() -> None:
    fake, asked = Fake(), problem(hosts=2)
    plan = strategy(asked, {"replicas": 2, "attention": {"tp_size": 8}})

    found = price(fake.package(), asked, plan, 192)

    (path, system), fields = fake.asked[0]
    assert (path, system) == ("meta-llama/Meta-Llama-3.1-70B", "h100_sxm")
    assert (fields["backend_name"], fields["backend_version"]) == ("trtllm", "1.3.0rc20")
    assert {name: fields[name] for name in ("mode", "tp_size", "batch_size", "ctx_tokens")} == {
        "mode": "agg", "tp_size": 8, "batch_size": 96, "ctx_tokens": 4000,
    }  # fmt: skip
    assert (found.gpus, found.concurrency) == (16, 192)
    assert found.requests_per_s == pytest.approx(2 * 2.63054)
    assert found.tokens_per_s_per_gpu == pytest.approx(328.4887)
    assert (found.ttft_ms, found.tpot_ms) == pytest.approx((715.2536, 36.0662))
    assert (found.cost_backend, found.version, found.tables) == (
        "aiconfigurator",
        "0.12.0",
        "h100_sxm, trtllm 1.3.0rc20",
    )


def test_memory_is_told_in_our_unit_and_formulas_are_told_apart() -> None:
    asked = problem()

    found = price(Fake().package(), asked, strategy(asked, {"attention": {"tp_size": 8}}), 96)

    assert found.memory_gb == pytest.approx(39.2451171875 * 1.073741824)
    assert [(op.phase, op.source) for op in found.breakdown] == [
        ("prefill", "silicon"), ("prefill", "empirical"), ("decode", "silicon"),
    ]  # fmt: skip
    assert any(note.startswith("15% of its prefill time comes from formulas") for note in found.notes)
    assert not any("decode time" in note for note in found.notes)


def test_two_pools_are_asked_together_and_decode_is_told_by_the_step() -> None:
    fake, asked = Fake(TWO_POOLS), problem()
    plan = strategy(asked, {"replicas": 2, "attention": {"tp_size": 2}}, {"attention": {"tp_size": 4}})

    found = price(fake.package(), asked, plan, 128)

    fields = fake.asked[0][1]
    assert fields["mode"] == "disagg"
    assert [fields[f"{side}_{name}"] for side in ("prefill", "decode") for name in ("num_workers", "tp_size", "batch_size")] == [
        2, 2, 1, 1, 4, 128,
    ]  # fmt: skip
    assert (found.gpus, found.concurrency, found.requests_per_s) == (8, 128, 3.699)
    assert found.memory_gb == pytest.approx(85.633 * 1.073741824)
    decode = next(op for op in found.breakdown if op.phase == "decode")
    assert decode.ms == pytest.approx(13567.4078 / 999)


def test_experts_and_attention_replicas_keep_their_degrees_and_share_the_load() -> None:
    asked = problem(DEEPSEEK)
    pool = {"attention": {"dp_size": 8}, "experts": {"ep_size": 4, "tp_size": 2}, "dp_layout": "inner"}

    fields = question(asked, strategy(asked, pool), find_gpu("h100-sxm"), 208).fields

    degrees = ("tp_size", "attention_dp_size", "moe_tp_size", "moe_ep_size", "batch_size")
    assert [fields[name] for name in degrees] == [1, 8, 2, 4, 26]
    assert fields["kvcache_quant_mode"] == "fp8"
    assert "gemm_quant_mode" not in fields


def test_weights_other_than_the_checkpoints_are_asked_for() -> None:
    asked = problem(precision={"weights": "fp8", "kv": "bf16"})

    fields = question(asked, strategy(asked, {"attention": {"tp_size": 8}}), find_gpu("h100-sxm"), 8).fields

    assert (fields["gemm_quant_mode"], fields["kvcache_quant_mode"]) == ("fp8", "bfloat16")


UNKNOWN = [
    ({"attention": {"cp_size": 2, "tp_size": 4}, "sp_kind": "cp_allgather", "cp_decode_use": "replicate"}, "sp_kind", "cp_size 2"),
    ({"attention": {"tp_size": 8}, "sp_kind": "megatron"}, "sp_kind", "megatron"),
    ({"attention": {"tp_size": 8}, "dcp_size": 2}, "dcp_size", "dcp_size 2"),
    ({"attention": {"dp_size": 2, "tp_size": 4}}, "attention/dp_size", "dense model"),
]  # fmt: skip


@pytest.mark.parametrize(("pool", "field", "told"), UNKNOWN)
def test_a_layout_it_has_no_word_for_is_refused(pool: dict[str, Any], field: str, told: str) -> None:
    asked = problem()

    with pytest.raises(InputError, match=told) as refused:
        question(asked, strategy(asked, pool), find_gpu("h100-sxm"), 8)

    assert refused.value.pointer == f"/strategy/pools/0/{field}"
    assert "it knows attention TP, PP and DP" in refused.value.hint


@pytest.mark.parametrize("change", [{"redundant_experts": 32}, {"experts": {"dp_size": 2, "ep_size": 4}}])
def test_copies_of_experts_are_refused(change: dict[str, Any]) -> None:
    asked = problem(DEEPSEEK)
    pool = {"attention": {"dp_size": 8}, "experts": {"ep_size": 8}, **change}

    with pytest.raises(InputError, match=r"replicas of experts|copies of all experts"):
        question(asked, strategy(asked, pool), find_gpu("h100-sxm"), 8)


CLUSTERS = [
    ({"gpu": "mi300x"}, "/request/cluster/gpu", "does not know the GPU mi300x"),
    ({"gpu": "h100-sxm", "memory_gb": 96}, "/request/cluster/memory_gb", "replaces memory_gb"),
    ({"gpu": "h100-sxm", "gpus_per_host": 4, "hosts": 2}, "/request/cluster/gpus_per_host", "hosts of 8 h100-sxm"),
]


@pytest.mark.parametrize(("cluster", "pointer", "told"), CLUSTERS)
def test_hardware_it_would_price_as_something_else_is_refused(cluster: dict[str, Any], pointer: str, told: str) -> None:
    asked = problem(cluster=cluster)

    with pytest.raises(InputError, match=told) as refused:
        question(asked, strategy(asked, {"attention": {"tp_size": 8}}), find_gpu(cluster["gpu"]), 8)

    assert refused.value.pointer == pointer


def test_a_request_without_an_engine_is_told_which_there_are() -> None:
    asked = problem(engine=None)

    with pytest.raises(InputError, match="names none") as refused:
        question(asked, strategy(asked, {"attention": {"tp_size": 8}}), find_gpu("h100-sxm"), 8)

    assert "vllm, sglang, trtllm" in refused.value.hint


def test_a_cache_it_does_not_know_is_refused() -> None:
    asked = problem(precision={"kv": "int4"})

    with pytest.raises(InputError, match="kv in int4"):
        question(asked, strategy(asked, {"attention": {"tp_size": 8}}), find_gpu("h100-sxm"), 8)


def test_versions_and_tables_it_lacks_are_told_with_those_it_has() -> None:
    package = Fake().package()

    assert engine_version(package, "h100_sxm", "trtllm", "1.3.0rc23") == "1.3.0rc23"
    with pytest.raises(InputError, match=r"no tables of trtllm 9\.9") as version:
        engine_version(package, "h100_sxm", "trtllm", "9.9")
    assert "1.3.0rc20, 1.3.0rc23" in version.value.hint
    with pytest.raises(InputError, match="no tables of trtllm on l4") as system:
        engine_version(package, "l4", "trtllm", None)
    assert "h100_sxm" in system.value.hint


def test_a_model_is_handed_over_by_name_or_as_a_config_and_never_looked_up() -> None:
    package = Fake().package()
    qwen = config_of("qwen3-32b")

    folder = model_path(package, ("Qwen/Qwen3-32B",), qwen)

    assert model_path(package, ("deepseek-ai/DeepSeek-V3",), None) == "deepseek-ai/DeepSeek-V3"
    assert folder == model_path(package, (), qwen)
    assert folder.startswith("/")
    with pytest.raises(InputError, match="inline model spec"):
        model_path(package, (), None)
    with pytest.raises(InputError, match="architecture Gemma3") as unknown:
        model_path(package, (), config_of("gemma-3-27b"))
    assert "LlamaForCausalLM, Qwen3ForCausalLM" in unknown.value.hint


def test_whatever_it_fails_with_is_said_in_its_words() -> None:
    fake, asked = Fake(RuntimeError("OOM: the model\ndoes not fit")), problem()

    with pytest.raises(InputError, match=r"no price for this: OOM: the model does not fit \(RuntimeError\)"):
        price(fake.package(), asked, strategy(asked, {"attention": {"tp_size": 8}}), 8)


def test_every_gpu_it_is_asked_for_is_one_of_ours() -> None:
    assert SYSTEMS.keys() <= gpus().keys()


@real
@pytest.mark.filterwarnings("ignore")
def test_the_real_one_says_what_it_said_when_it_planned() -> None:
    """Two of the published cases: one pool, and two."""
    asked = problem()
    one = price(installed(), asked, strategy(asked, {"attention": {"tp_size": 8}}), 96)
    asked = problem(gpu="h200-sxm")
    pools = ({"replicas": 2, "attention": {"tp_size": 2}}, {"attention": {"tp_size": 4}})
    two = price(installed(), asked, strategy(asked, *pools), 128)

    assert (one.tokens_per_s_per_gpu, one.ttft_ms, one.tpot_ms) == pytest.approx((328.5, 715, 36.1), rel=2e-3)
    assert (two.tokens_per_s_per_gpu, two.ttft_ms, two.tpot_ms) == pytest.approx((462.4, 876, 29.9), rel=2e-3)
    assert one.concurrency == 96
    assert two.gpus == 8


@real
@pytest.mark.filterwarnings("ignore")
def test_the_real_one_reads_our_configs_and_counts_pipelines_as_we_ask() -> None:
    asked = problem("qwen2.5-72b", engine="vllm")
    plan = strategy(asked, {"replicas": 2, "pp_size": 2, "attention": {"tp_size": 2}})

    found = price(installed(), asked, plan, 64, version="0.27.0")

    assert (found.gpus, found.concurrency) == (8, 64)
    assert found.tables == "h100_sxm, vllm 0.27.0"
    assert {op.source for op in found.breakdown} & {"silicon", "mixed"}


@real
@pytest.mark.filterwarnings("ignore")
def test_the_real_one_counts_one_batch_in_a_decode_pipeline() -> None:
    asked = problem(gpu="h200-sxm", hosts=2)
    pools = ({"attention": {"tp_size": 4}}, {"pp_size": 2, "attention": {"tp_size": 4}})

    found = price(installed(), asked, strategy(asked, *pools), 64)

    assert (found.gpus, found.concurrency) == (12, 64)


@real
@pytest.mark.filterwarnings("ignore")
def test_the_real_one_says_that_a_model_does_not_fit_without_naming_our_files() -> None:
    asked = problem("kimi-k2", gpu="b200-sxm")

    with pytest.raises(InputError, match="OOM: the model 'given' does not fit"):
        price(installed(), asked, strategy(asked, {"attention": {"tp_size": 4}, "experts": {"ep_size": 4}}), 256)


@real
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("model", ["gpt-oss-120b", "deepseek-v3.1-nvfp4"])
def test_the_real_one_counts_the_requests_of_a_pair_of_pools_as_we_ask(model: str) -> None:
    asked = problem(model, gpu="b200-sxm", hosts=2)
    pools = (
        {"attention": {"tp_size": 4}, "experts": {"ep_size": 4}},
        {"attention": {"dp_size": 4}, "experts": {"ep_size": 4}, "replicas": 2},
    )

    found = price(installed(), asked, strategy(asked, *pools), 256)

    assert (found.gpus, found.concurrency) == (12, 256)
    assert found.tokens_per_s_per_gpu > 0
