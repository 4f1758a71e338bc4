"""What the planner returns passes the validator and the proof, whatever was asked."""

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from knowledge.calibration import calibration
from knowledge.resolve import resolve
from strategy.request import Request
from strategy.search import search
from validators.validate import validate

MODELS = st.sampled_from(
    ["llama-3.1-8b", "llama-3.1-70b", "mixtral-8x7b", "qwen3-30b-a3b", "gpt-oss-20b", "gpt-oss-120b", "deepseek-v3", "glm-4.5-air", "gemma-3-27b", "qwen3-32b-fp8"]
)  # fmt: skip
GPUS = st.sampled_from(["h100-sxm", "h200-sxm", "b200-sxm", "l40s", "mi300x", "a100-80g-sxm", "gb200-nvl72"])


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """A question that people might ask."""
    document = {
        "model": draw(MODELS),
        "cluster": {
            "gpu": draw(GPUS),
            "gpus_per_host": draw(st.sampled_from([1, 2, 3, 4, 8])),
            "hosts": draw(st.sampled_from([1, 2])),
        },
        "workload": {"isl": draw(st.integers(16, 20_000)), "osl": draw(st.integers(2, 2_000))},
        "objective": draw(st.sampled_from(["throughput", "latency", "min_gpus"])),
        "engine": draw(st.sampled_from([None, None, "vllm", "sglang", "trtllm"])),
    }
    if draw(st.booleans()):
        document["slo"] = {
            "ttft_ms": draw(st.sampled_from([300, 1000, 5000])),
            "tpot_ms": draw(st.sampled_from([15, 40, 100])),
        }
    return Request.model_validate(document)


@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
@given(requests())
def test_every_plan_is_valid_and_proved_or_infeasible_with_its_limits(request: Request) -> None:
    problem = resolve(request).problem

    result = search(problem, calibration())

    if result.best is None:
        assert result.infeasible is not None
        assert result.infeasible.limits
    else:
        verdict = validate(result.best.dag, problem.model, problem)
        assert [f for f in verdict.findings if f.severity == "error"] == []
        assert verdict.proof is not None
        assert verdict.proof.passed
