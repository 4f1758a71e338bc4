"""The catalogue: facts that the shapes must reproduce, and names as people write them."""

import pytest

from knowledge.catalogue import find_gpu, find_model, gpus, load_model, models, normalise, summaries, unplannable
from strategy.errors import UnknownNameError, UnplannableModelError
from strategy.model import ModelSpec
from strategy.parameters import (
    active_parameters,
    growing_kv_bytes_per_token,
    kv_bytes_per_token,
    parameters,
    routed_expert_parameters,
    weight_bytes,
)
from strategy.request import Precision

# Published sizes: parameters, active and routed-expert parameters (10^9), MoE layers, layers, KV bytes a token in bf16.
PUBLISHED = [
    ("llama-3.1-8b", 8.03, 8.03, 0.0, 0, 32, 131072),
    ("llama-3.1-70b", 70.55, 70.55, 0.0, 0, 80, 327680),
    ("llama-3.1-405b", 405.85, 405.85, 0.0, 0, 126, 516096),
    ("llama-4-scout-17b-16e", 107.77, 17.17, 96.6, 48, 48, 196608),
    ("llama-4-maverick-17b-128e", 400.71, 17.18, 386.5, 24, 48, 196608),
    ("qwen3-8b", 8.19, 8.19, 0.0, 0, 36, 147456),
    ("qwen3-32b", 32.76, 32.76, 0.0, 0, 64, 262144),
    ("qwen3-30b-a3b", 30.53, 3.35, 29.0, 48, 48, 98304),
    ("qwen3-235b-a22b", 235.09, 22.19, 227.1, 94, 94, 192512),
    ("qwen3-coder-480b-a35b", 480.15, 35.47, 468.1, 62, 62, 253952),
    ("mixtral-8x7b", 46.70, 12.88, 45.1, 32, 32, 131072),
    ("mixtral-8x22b", 140.62, 39.15, 135.3, 56, 56, 229376),
    ("deepseek-v3", 671.03, 37.55, 653.9, 58, 61, 70272),
    ("deepseek-r1", 671.03, 37.55, 653.9, 58, 61, 70272),
    ("kimi-k2", 1026.41, 32.86, 1014.7, 60, 61, 70272),
    ("glm-5", 743.18, 41.05, 724.8, 75, 78, 89856),
    ("gpt-oss-20b", 20.91, 4.19, 19.1, 24, 24, 49152),
    ("gpt-oss-120b", 116.79, 5.71, 114.7, 36, 36, 73728),
    ("gemma-3-27b", 27.01, 27.01, 0.0, 0, 62, 507904),
    ("mistral-large-2407", 122.61, 122.61, 0.0, 0, 88, 360448),
    ("glm-4.5", 352.80, 33.63, 336.0, 89, 92, 376832),
    ("glm-4.5-air", 106.85, 13.42, 99.7, 45, 46, 188416),
    ("minimax-m2.5", 228.69, 11.03, 224.7, 62, 62, 253952),
    ("nemotron-3-nano-30b-a3b", 31.58, 3.58, 29.4, 23, 52, 6144),
    ("nemotron-3-super-120b-a12b", 120.67, 12.77, 112.7, 40, 88, 8192),
    ("granite-4.0-h-small", 32.21, 8.80, 27.2, 40, 40, 16384),
]
# Published parameters (10^9) of the language models: the sum of the checkpoint's tensors or the card's number.
CHECKPOINTS = [
    ("c4ai-command-r-08-2024", 32.3),
    ("decilm-7b", 7.04),
    ("nemotron-ultra-253b", 253.4),
    ("nemotron-super-49b", 49.87),
    ("step-3.5-flash", 196.81),
    ("c4ai-command-r-plus", 103.8),
    ("c4ai-command-r-v01", 35.0),
    ("codellama-34b", 33.7),
    ("codellama-70b", 69.0),
    ("codestral-22b", 22.25),
    ("dbrx", 131.6),
    ("deepseek-coder-v2-lite", 15.7),
    ("deepseek-r1-distill-llama-70b", 70.6),
    ("deepseek-r1-distill-qwen-1.5b", 1.78),
    ("deepseek-r1-distill-qwen-7b", 7.62),
    ("deepseek-r1-distill-qwen-32b", 32.8),
    ("deepseek-v2", 235.7),
    ("ernie-4.5-21b-a3b", 21.83),
    ("ernie-4.5-300b-a47b", 299),
    ("exaone-4.0-32b", 32.0),
    ("falcon3-10b", 10.3),
    ("gemma-2-9b", 9.24),
    ("gemma-2-27b", 27.2),
    ("gemma-3-1b", 1.0),
    ("gemma-3-4b", 3.88),
    ("gemma-3-12b", 11.77),
    ("glm-4.7-flash", 30.0),
    ("granite-3.1-8b", 8.17),
    ("hunyuan-a13b", 80.4),
    ("internlm2.5-7b", 7.74),
    ("ministral-8b", 8.02),
    ("mistral-large-2411", 122.6),
    ("mistral-small-3.2-24b", 23.57),
    ("olmo-2-13b", 13.7),
    ("olmo-2-32b", 32.2),
    ("olmo-3-7b", 7.3),
    ("phi-3-mini", 3.82),
    ("phi-4", 14.66),
    ("phi-4-mini", 3.84),
    ("qwen2.5-0.5b", 0.494),
    ("qwen2.5-1.5b", 1.54),
    ("qwen2.5-3b", 3.09),
    ("qwen2.5-coder-14b", 14.8),
    ("qwq-32b", 32.8),
    ("seed-oss-36b", 36.15),
    ("smollm3-3b", 3.08),
    ("tinyllama-1.1b", 1.1),
    ("yi-34b", 34.39),
    ("falcon-180b", 178.6),
    ("falcon-40b", 41.3),
    ("falcon-7b", 6.92),
    ("falcon2-11b", 11.1),
    ("gpt-j-6b", 6.05),
    ("gpt-neox-20b", 20.6),
    ("phi-1.5", 1.42),
    ("phi-2", 2.78),
    ("pythia-12b", 11.85),
    ("pythia-6.9b", 6.86),
    ("allam-7b", 7.0),
    ("apertus-70b", 70.6),
    ("apertus-8b", 8.05),
    ("arcee-afm-4.5b", 4.6),
    ("baichuan-13b", 13.26),
    ("baichuan2-13b", 13.9),
    ("baichuan2-7b", 7.51),
    ("bielik-11b-v2.2", 11.17),
    ("bielik-11b-v2.3", 11.17),
    ("bielik-11b-v2.6", 11.17),
    ("bigscience-bloom-176b", 176.2),
    ("bigscience-bloom-7b", 7.07),
    ("c4ai-aya-23-35b", 35.0),
    ("c4ai-aya-23-8b", 8.03),
    ("c4ai-aya-expanse-32b", 32.3),
    ("c4ai-aya-expanse-8b", 8.03),
    ("c4ai-command-a-03-2025", 111.06),
    ("c4ai-command-r7b-12-2024", 8.03),
    ("chatglm2-6b", 6.24),
    ("chatglm3-6b", 6.24),
    ("codegemma-7b", 8.54),
    ("codellama-13b", 13.02),
    ("codellama-7b", 6.74),
    ("codeqwen1.5-7b", 7.25),
    ("deepseekcoder-1.3b", 1.35),
    ("deepseekcoder-33b", 33.3),
    ("deepseekcoder-6.7b", 6.74),
    ("deepseekllm-67b", 67.4),
    ("deepseekllm-7b", 6.91),
    ("deepseekmath-7b", 6.91),
    ("deepseekmoe-16b", 16.4),
    ("eeve-korean-10.8b", 10.8),
    ("ernie-4.5-0.3b", 0.361),
    ("eurollm-1.7b", 1.657),
    ("eurollm-9b", 9.15),
    ("exaone-3.0-7.8b", 7.82),
    ("exaone-3.5-2.4b", 2.41),
    ("exaone-3.5-32b", 32.0),
    ("exaone-3.5-7.8b", 7.82),
    ("exaone-4.0-1.2b", 1.28),
    ("falcon3-1b", 1.67),
    ("falcon3-3b", 3.23),
    ("falcon3-7b", 7.46),
    ("gemma-1.1-2b", 2.51),
    ("gemma-1.1-7b", 8.54),
    ("gemma-2-2b", 2.61),
    ("gemma-3-270m", 0.268),
    ("glm-4-32b-0414", 32.6),
    ("glm-4-9b", 9.4),
    ("glm-4-9b-0414", 9.4),
    ("glm-z1-32b-0414", 32.6),
    ("glm-z1-9b-0414", 9.4),
    ("granite-20b-code", 20.1),
    ("granite-3.0-2b", 2.53),
    ("granite-3.0-8b", 8.17),
    ("granite-3.1-1b-a400m", 1.33),
    ("granite-3.1-2b", 2.53),
    ("granite-3.1-3b-a800m", 3.3),
    ("granite-3.2-2b", 2.53),
    ("granite-3.2-8b", 8.17),
    ("granite-3.3-2b", 2.53),
    ("granite-34b-code", 33.7),
    ("granite-3b-code", 3.48),
    ("granite-4.0-micro", 3.4),
    ("granite-4.0-h-1b", 1.46),
    ("granite-4.0-h-micro", 3.19),
    ("granite-4.0-h-tiny", 6.94),
    ("granite-8b-code", 8.05),
    ("h2o-danube3-4b", 3.96),
    ("hunyuan-7b", 7.5),
    ("inclusionai-ling-1t", 1000),
    ("inclusionai-ling-flash-2.0", 102.9),
    ("inclusionai-ling-lite-1.5", 16.8),
    ("inclusionai-ling-mini-2.0", 16.3),
    ("inclusionai-ring-1t", 1000),
    ("inclusionai-ring-flash-2.0", 102.9),
    ("inclusionai-ring-mini-2.0", 16.3),
    ("internlm-20b", 20.1),
    ("internlm2-20b", 19.9),
    ("internlm2-7b", 7.74),
    ("internlm2.5-1.8b", 1.89),
    ("internlm2.5-20b", 19.9),
    ("internlm3-8b", 8.8),
    ("langtech-alia-40b", 40.4),
    ("llama-1-30b", 32.53),
    ("llama-1-65b", 65.2),
    ("llama-3.1-minitron-4b-width", 4.51),
    ("lumiopen-poro-34b", 34.2),
    ("lumiopen-viking-13b", 14.03),
    ("lumiopen-viking-7b", 7.55),
    ("mathstral-7b", 7.25),
    ("metaai-opt-30b", 29.97),
    ("metaai-opt-6.7b", 6.66),
    ("metaai-opt-66b", 65.7),
    ("minicpm-2b", 2.72),
    ("minicpm3-4b", 4.07),
    ("minicpm4-8b", 8.19),
    ("ministral-3-3b", 3.43),
    ("minitron-8b", 8.27),
    ("mistral-7b-v0.1", 7.24),
    ("mistral-nemo-minitron-8b", 8.41),
    ("moonlight-16b-a3b", 15.96),
    ("mpt-30b", 29.96),
    ("mpt-7b", 6.65),
    ("nemotron-3-ultra-550b-a55b", 550),
    ("nemotron-4-340b", 341),
    ("nemotron-h-47b", 46.8),
    ("nemotron-h-56b", 56.3),
    ("nemotron-h-8b", 8.1),
    ("nemotron-nano-12b-v2", 12.31),
    ("nemotron-nano-9b-v2", 8.89),
    ("nemotron-mini-4b", 4.19),
    ("olmo-1-7b", 6.89),
    ("olmo-2-1b", 1.48),
    ("ministral-3-14b", 13.5),
    ("ministral-3-8b", 8.49),
    ("olmo-2-7b", 7.3),
    ("olmoe-1b-7b", 6.92),
    ("openchat-3.5-7b", 7.24),
    ("orionstar-14b", 14.5),
    ("phi-3-medium-128k", 13.96),
    ("phi-3.5-moe", 41.9),
    ("qwen1.5-1.8b", 1.84),
    ("qwen1.5-110b", 111.2),
    ("qwen1.5-14b", 14.17),
    ("qwen1.5-32b", 32.5),
    ("qwen1.5-4b", 3.95),
    ("qwen1.5-72b", 72.3),
    ("qwen1.5-7b", 7.72),
    ("qwen1.5-moe-a2.7b", 14.3),
    ("qwen2-0.5b", 0.494),
    ("qwen2-1.5b", 1.54),
    ("qwen2-57b-a14b", 57.4),
    ("qwen2-math-72b", 72.7),
    ("qwen2-math-7b", 7.62),
    ("qwen2.5-14b-1m", 14.77),
    ("qwen2.5-7b-1m", 7.62),
    ("qwen2.5-coder-0.5b", 0.494),
    ("qwen2.5-coder-1.5b", 1.54),
    ("qwen2.5-coder-3b", 3.09),
    ("qwen2.5-math-1.5b", 1.54),
    ("qwen2.5-math-72b", 72.7),
    ("qwen2.5-math-7b", 7.62),
    ("rednote-dots.llm1", 142.8),
    ("salamandra-2b", 2.25),
    ("salamandra-7b", 7.77),
    ("seed-coder-8b", 8.25),
    ("smollm-1.7b", 1.71),
    ("smollm2-1.7b", 1.71),
    ("smollm2-135m", 0.135),
    ("smollm2-360m", 0.362),
    ("stablelm-2-1.6b", 1.64),
    ("stablelm-2-12b", 12.1),
    ("stablelm-3b", 2.8),
    ("starcoder-15.5b", 15.5),
    ("starcoder2-15b", 15.96),
    ("starcoder2-3b", 3.03),
    ("starcoder2-7b", 7.17),
    ("teuken-7b", 7.45),
    ("upstage-solar-10.7b", 10.73),
    ("upstage-solar-open-100b", 102.6),
    ("upstage-solar-pro-22b", 22.1),
    ("yandexgpt-5-lite-8b", 8.04),
    ("yi-1.5-6b", 6.06),
    ("yi-1.5-9b", 8.83),
    ("yi-34b-200k", 34.39),
    ("yi-6b", 6.06),
    ("yi-9b", 8.83),
    ("yi-coder-9b", 8.83),
]


def as_shipped(model: ModelSpec) -> Precision:
    return Precision(weights=model.checkpoint.weights, activations="bf16", kv="bf16")


@pytest.mark.parametrize(("name", "total", "active", "routed", "moe_layers", "layers", "kv_bytes"), PUBLISHED)
def test_shapes_reproduce_the_published_sizes(
    name: str, total: float, active: float, routed: float, moe_layers: int, layers: int, kv_bytes: int
) -> None:
    model = find_model(name)

    assert round(parameters(model) / 1e9, 2) == total
    assert round(active_parameters(model) / 1e9, 2) == active
    assert round(routed_expert_parameters(model) / 1e9, 1) == routed
    assert (model.num_moe_layers, model.num_layers) == (moe_layers, layers)
    assert kv_bytes_per_token(model, 2) == kv_bytes


@pytest.mark.parametrize(("name", "total"), CHECKPOINTS)
def test_a_model_has_the_parameters_of_its_checkpoint(name: str, total: float) -> None:
    assert parameters(find_model(name)) / 1e9 == pytest.approx(total, rel=0.005)


@pytest.mark.parametrize(("name", "growing"), [("gemma-3-27b", 81920), ("gpt-oss-120b", 36864)])
def test_only_global_layers_grow_beyond_the_window(name: str, growing: int) -> None:
    assert growing_kv_bytes_per_token(find_model(name), 2) == growing


@pytest.mark.parametrize(("name", "gb"), [("gpt-oss-120b", 65), ("deepseek-v3", 673), ("llama-3.1-405b", 812)])
def test_a_checkpoint_weighs_what_its_files_do(name: str, gb: float) -> None:
    model = find_model(name)

    assert weight_bytes(model, as_shipped(model)) / 1e9 == pytest.approx(gb, rel=0.01)


def test_gpt_oss_quantises_its_experts_only() -> None:
    checkpoint = find_model("gpt-oss-120b").checkpoint

    assert checkpoint.weights == "mxfp4"
    assert checkpoint.unquantised == ("embedding", "lm_head", "norm", "router", "attention")


def test_shipped_fp8_variants_are_models_of_their_own() -> None:
    for name in ("qwen3-32b-fp8", "qwen3-30b-a3b-fp8", "qwen3-235b-a22b-fp8", "glm-5-fp8"):
        model, plain = find_model(name), find_model(name.removesuffix("-fp8"))

        assert (model.checkpoint.weights, model.checkpoint.block) == ("fp8", (128, 128))
        assert plain.checkpoint.weights == "bf16"
        assert parameters(model) == parameters(plain)


def test_windows_are_on_the_layers_that_have_them() -> None:
    gemma, oss, scout = (find_model(name).window for name in ("gemma-3-27b", "gpt-oss-20b", "llama-4-scout"))

    assert gemma is not None
    assert (gemma.kind, gemma.size_tokens, len(gemma.layers)) == ("sliding", 1024, 52)
    assert gemma.layers[:6] == (0, 1, 2, 3, 4, 6)
    assert oss is not None
    assert (oss.size_tokens, oss.layers) == (128, tuple(range(0, 24, 2)))
    assert scout is not None
    assert (scout.kind, scout.size_tokens, len(scout.layers)) == ("chunked", 8192, 36)


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("meta-llama/Llama-3.1-70B", "llama-3.1-70b"),
        ("Llama-3.1-70B-Instruct", "llama-3.1-70b"),
        ("llama 3.1 70b", "llama-3.1-70b"),
        ("LLAMA3.1_70B", "llama-3.1-70b"),
        ("meta-llama/Meta-Llama-3.1-8B-Instruct", "llama-3.1-8b"),
        ("Meta Llama 3.3 70B Instruct", "llama-3.3-70b"),
        ("Qwen/Qwen3-235B-A22B-FP8", "qwen3-235b-a22b-fp8"),
        ("DeepSeek V3", "deepseek-v3"),
        ("deepseek-ai/DeepSeek-R1-0528", "deepseek-r1-0528"),
        ("Mixtral-8x7B-Instruct-v0.1", "mixtral-8x7b"),
        ("openai/gpt-oss-120b", "gpt-oss-120b"),
        ("google/gemma-3-27b-it", "gemma-3-27b"),
        ("zai-org/GLM-4.5-Air", "glm-4.5-air"),
        ("zai-org/GLM-4.6", "glm-4.6"),
        ("moonshotai/Kimi-K2-Thinking", "kimi-k2-thinking"),
        ("deepseek-ai/DeepSeek-R1-Distill-Llama-70B", "deepseek-r1-distill-llama-70b"),
        ("Mistral-Small-24B-Instruct-2501", "mistral-small-3-24b"),
    ],
)
def test_a_model_is_found_by_any_usual_spelling(written: str, key: str) -> None:
    assert find_model(written).name == key


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("H100", "h100-sxm"),
        ("h100_sxm", "h100-sxm"),
        ("H100-SXM", "h100-sxm"),
        ("NVIDIA H100 80GB HBM3", "h100-sxm"),
        ("H100 80GB", "h100-sxm"),
        ("h100 pcie", "h100-pcie"),
        ("a100", "a100-80g-sxm"),
        ("A100-SXM4-40GB", "a100-40g-sxm"),
        ("AMD Instinct MI300X", "mi300x"),
        ("NVIDIA GB200 NVL72", "gb200-nvl72"),
        ("gb300", "gb300-nvl72"),
        ("H20", "h20-96g"),
    ],
)
def test_a_gpu_is_found_by_any_usual_spelling(written: str, key: str) -> None:
    assert find_gpu(written).key == key


@pytest.mark.parametrize(
    ("written", "expected"),
    [("qwen3-9b", "qwen3-8b"), ("Qwen3-8B-FP8", "qwen3-8b"), ("deepseek", "deepseek-v3"), ("mixtral", "mixtral-8x7b")],
)
def test_an_unknown_model_names_its_nearest(written: str, expected: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        find_model(written)

    assert expected in caught.value.nearest
    assert expected in caught.value.hint


def test_an_unknown_gpu_names_its_nearest_and_nonsense_names_none() -> None:
    with pytest.raises(UnknownNameError) as near:
        find_gpu("h1000")
    with pytest.raises(UnknownNameError) as nonsense:
        find_gpu("zzzzzz")

    assert near.value.nearest[0] == "h100-sxm"
    assert nonsense.value.nearest == ()


@pytest.mark.parametrize(
    ("written", "because"),
    [
        ("nvidia/Llama-3_1-Nemotron-51B-Instruct", "no public source"),
        ("MiniMax-M1", "lightning attention"),
        ("AI21-Jamba-1.5-Large", "Mamba"),
        ("Llama-3.2-90B-Vision-Instruct", "cross-attention"),
        ("xai-org/grok-2", "dense FFN beside the routed experts"),
    ],
)
def test_a_model_that_cannot_be_planned_says_why(written: str, because: str) -> None:
    with pytest.raises(UnplannableModelError, match=because):
        find_model(written)


def test_no_name_is_both_planned_and_not() -> None:
    for key, one in unplannable().items():
        for name in (key, one.title, *one.aliases):
            with pytest.raises(UnplannableModelError):
                find_model(name)


def test_a_fine_tune_has_the_shapes_of_what_it_was_tuned_from() -> None:
    tuned = {key: record.like for key, record in models().items() if record.like}

    for key, base in tuned.items():
        assert models()[base].like is None, key
        assert load_model(key).shape == load_model(base).shape


def test_every_model_file_parses_and_says_where_it_comes_from() -> None:
    for key in models():
        model = load_model(key)

        assert model.name == key
        assert model.provenance.source


def test_every_alias_leads_to_its_own_model() -> None:
    for key, record in models().items():
        for name in (key, *record.aliases):
            assert find_model(name).name == key, name


def test_summaries_list_every_model_with_sizes_and_status() -> None:
    listed = {line.name: line for line in summaries()}

    assert listed.keys() == models().keys()
    assert listed["deepseek-v3"].parameters_b == 671.03
    assert listed["glm-4.5"].status == "third_party"


def test_fp8_is_twice_bf16_and_absent_below_ada() -> None:
    for gpu in gpus().values():
        if gpu.fp8_tflops is not None:
            assert gpu.fp8_tflops == pytest.approx(2 * gpu.bf16_tflops, rel=0.02), gpu.key
        below = gpu.arch in ("sm70", "sm75", "sm80", "sm86", "gfx90a") or gpu.arch.startswith("tpu")
        assert (gpu.fp8_tflops is None) == below, gpu.key


def test_fp4_exists_only_on_blackwell_and_cdna4() -> None:
    assert {key for key, gpu in gpus().items() if gpu.fp4_tflops} == {
        "b200-sxm", "b300-sxm", "gb200-nvl72", "gb300-nvl72", "rtx-pro-6000", "rtx-5090", "mi350x", "mi355x"
    }  # fmt: skip


def test_scale_up_domains_are_a_rack_a_host_or_one_card() -> None:
    domains = {key: gpu.scale_up_domain for key, gpu in gpus().items()}

    assert domains["gb200-nvl72"] == domains["gb300-nvl72"] == 72
    assert domains["h100-sxm"] == domains["mi300x"] == 8
    assert all(domains[key] == 1 for key, gpu in gpus().items() if gpu.scale_up == "pcie")


def test_amd_meshes_have_a_link_to_every_neighbour_and_nobody_else_counts_links() -> None:
    meshes = {key: gpu.scale_up_links for key, gpu in gpus().items() if gpu.scale_up_links}

    assert meshes == {"mi300x": 7, "mi325x": 7, "mi350x": 7, "mi355x": 7, "mi300a": 3}
    assert all(gpus()[key].scale_up_domain == links + 1 for key, links in meshes.items())


@pytest.mark.parametrize("name", ["V100", "t4", "V100-16GB"])
def test_gpus_before_ampere_compute_in_fp16_and_never_in_bf16(name: str) -> None:
    gpu = find_gpu(name)

    assert not gpu.has_bf16
    assert gpu.tflops("bf16") is None
    assert gpu.tflops("fp16") == gpu.bf16_tflops


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("RTX 4090", "rtx-4090"), ("RTX4090", "rtx-4090"), ("GeForce RTX 3090", "rtx-3090"), ("A10G", "a10g"), ("Tesla T4", "t4"),
        ("A6000", "rtx-a6000"), ("RTX 6000 Ada", "rtx-6000-ada"), ("V100-SXM2-32GB", "v100-32g-sxm"), ("MI250X", "mi250x"), ("H100 NVL", "h100-nvl"),
    ],
)  # fmt: skip
def test_gpus_that_people_have_at_home_and_rent_cheaply_are_found(name: str, key: str) -> None:
    assert find_gpu(name).key == key


def test_memory_is_in_decimal_gigabytes() -> None:
    assert find_gpu("h100").memory_gb == pytest.approx(80 * 2**30 / 1e9, rel=1e-4)
    assert find_gpu("h200").memory_gb == 141.0
    assert find_gpu("b300").memory_gb == pytest.approx(275040 * 2**20 / 1e9, rel=1e-4)


def test_blackwell_ultra_has_next_to_no_int8() -> None:
    assert find_gpu("b300").int8_tflops == 153.5
    assert find_gpu("gb300").int8_tflops == 165


def test_names_compare_without_case_and_punctuation() -> None:
    assert normalise("Meta-Llama_3.1 (70B)") == "metallama3170b"
