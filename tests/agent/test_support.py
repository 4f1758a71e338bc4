"""Two values of one thing: which one a text stands by, what is said of the other, and what stays open or is asked."""

import pytest
from agent_support import read_request

from agent.understand import understand

QWEN = "Qwen3-32B on 8 H100."


@pytest.mark.parametrize(
    ("said", "rate", "told"),
    [
        ("Off-peak we see 2 rps, at peak 14 rps, size it for the peak.", 14, "request rate 14; 2 was also given"),
        ("We need 30 req/s. At night we see 12 req/s.", 30, "request rate 30; 12 was also given"),
        ("At night we see 12 req/s. We need 30 req/s.", 30, "request rate 30; 12 was also given"),
        ("5 req/s, 9 req/s", 9, "request rate 9; 5 was also given"),
        ("64 users at once, 9 req/s", 9, "a concurrency of 64 was also given"),
    ],
)
def test_the_rate_that_a_text_stands_by_is_taken_and_the_other_is_said(said: str, rate: float, told: str) -> None:
    request, notes = read_request(f"{QWEN} {said}")

    assert request.workload.request_rate == rate
    assert told in notes


@pytest.mark.parametrize(
    ("said", "ttft_ms", "tpot_ms"),
    [
        (
            "Last benchmark (v0.8): TTFT 1.9 s, TPOT 61 ms. What we need now: TTFT under 1 s, TPOT under 40 ms.",
            1000,
            40,
        ),
        ("What we need: TTFT under 1 s, TPOT under 40 ms. The last benchmark had TTFT 1.9 s, TPOT 61 ms.", 1000, 40),
        ("Their tool takes 8 s to the first token, we want 2 s.", 2000, None),
        ("TTFT 2 s would be nice but 1 s is required.", 1000, None),
        ("Time to first token is what they feel: keep it under 900 ms.", 900, None),
        ("The time per output token matters. Please hold it below 35 ms.", None, 35),
    ],
)
def test_limits_that_are_needed_go_before_what_was_measured(
    said: str, ttft_ms: float | None, tpot_ms: float | None
) -> None:
    request, _ = read_request(f"{QWEN} {said}")

    assert (request.slo.ttft_ms, request.slo.tpot_ms) == (ttft_ms, tpot_ms)


@pytest.mark.parametrize(
    "said",
    [
        "Could be TP4, could be TP2 with two replicas, I don't know.",
        "Could be TP2, might be TP4, no preference.",
        "Compare TP4 PP2 and TP8.",
        "TP=2 or 4",
        "vLLM, or maybe TensorRT-LLM",
    ],
)
def test_alternatives_stay_open_and_are_said(said: str) -> None:
    request, notes = read_request(f"{QWEN} {said}")

    assert request.constraints.fix.model_dump(exclude_none=True) == {}
    assert request.engine is None
    assert "the plan chooses" in notes


@pytest.mark.parametrize(
    ("text", "hosts", "per_host"),
    [
        ("Qwen3-32B, 4 H100 SXM5 (half of a box, the other half belongs to another team)", 1, 4),
        ("Qwen3-32B; 4 H100 today (another 4 are on order for October, don't count them)", 1, 4),
        ("A dozen RTX PRO 6000 Blackwell Server cards, 4 per host. Qwen3-32B", 3, 4),
        ("DeepSeek-V3. 32 H200, uh no wait we lost one node this morning, so 24 (3x8)", 3, 8),
        ("Our cluster has 128 H100s in total, but my team's quota is 24 of them, three nodes. GLM-4.5", 3, 8),
        ("We own 256 H200 but our team's share is 32 (four nodes). GLM-4.5", 4, 8),
        (
            "Of our 64 H100s (8 nodes of 8), 40 are reserved for training, so you can use 24, i.e. 3 nodes. GLM-4.5",
            3,
            8,
        ),
        ("minimum H200 count for GLM-4.5-Air, 60 users, at most 8", 1, 8),
        ("Qwen3-32B on 8 H100, rack B12", 1, 8),
    ],
)
def test_how_many_gpus_there_are(text: str, hosts: int, per_host: int) -> None:
    request, _ = read_request(text)

    assert (request.cluster.hosts, request.cluster.gpus_per_host) == (hosts, per_host)


@pytest.mark.parametrize(
    "text",
    [
        "Smallest H100 count to serve Qwen3-32B, 2 hosts x 8 H100",
        "Wie wenige H200 brauche ich mindestens für gpt-oss-120b? Höchstens 4 Stück in einer Maschine.",
    ],
)
def test_the_fewest_gpus_are_the_objective(text: str) -> None:
    assert read_request(text)[0].objective == "min_gpus"


def test_words_of_other_languages() -> None:
    request, _ = read_request(
        "Llama 3.1 70B en 8 H100, caché de prefijos con un 60 % de aciertos. Prefill et decode sur des pools séparés. Fixe TP=4 e duas réplicas."
    )

    assert request.workload.prefix_hit_ratio == 0.6
    assert request.serving == "disaggregated"
    assert request.constraints.fix.model_dump(exclude_none=True) == {"tp_size": 4, "replicas": 2}


def test_a_corrected_gpu_keeps_the_model_and_a_corrected_load_the_lengths() -> None:
    request, _ = read_request(
        "8x H100 for GLM-4.5 fp8 - sorry, H200, not H100. 3000 in, 1000 out. And make that 90 concurrent."
    )

    assert (request.cluster.gpu, request.workload.osl, request.workload.concurrency) == ("h200-sxm", 1000, 90)
    assert request.model.startswith("glm-4.5")


@pytest.mark.parametrize(
    ("said", "concurrency"),
    [
        ("concurrency was 256 but let's rather say 200.", 200),
        ("concurrency 60 today, 120 at peak.", 120),
        ("64 users, 100 users", 100),
    ],
)
def test_a_load_that_is_taken_back(said: str, concurrency: int) -> None:
    assert read_request(f"{QWEN} {said}")[0].workload.concurrency == concurrency


@pytest.mark.parametrize(
    "text", ["Llama 3.1 70B on 4 H100 with 8 H100", "GLM-4.5 on 8 H100 or 8 H200", "8 H100, GLM-4.5 or Qwen3-32B"]
)
def test_another_model_or_hardware_is_asked_about(text: str) -> None:
    assert "which one" in (understand(text).question or "")
