"""Keys and turns of phrase that say a load, a limit, a network or a choice."""

import pytest

from agent.understand import understand

BASE = "Llama 3.3 70B on 2 nodes of 8x H100. "


@pytest.mark.parametrize(
    ("said", "part", "field", "value"),
    [
        ('"requests_in_flight": 256', "workload", "concurrency", 256),
        ("requests_per_second: 22", "workload", "request_rate", 22),
        ("The worst minute had 1,800 requests.", "workload", "request_rate", 30),
        ("54,000 requests in the peak hour.", "workload", "request_rate", 15),
        ("每天 86.4 万次请求。", "workload", "request_rate", 10),
        ("90 zapytań na minutę.", "workload", "request_rate", 1.5),
        ("khoảng 10 yêu cầu/giây", "workload", "request_rate", 10),
        ("900 tokens going in and 70 coming back, 20 concurrent", "workload", "osl", 70),
        ("osl 1024 conc 256", "workload", "concurrency", 256),
        ("A fifth of prompt tokens is found in the prefix cache.", "workload", "prefix_hit_ratio", 0.2),
        ('"slo": {"ttft_s": 2.5}', "slo", "ttft_ms", 2500),
        ("Time to first token: max. 2 000 ms", "slo", "ttft_ms", 2000),
        ("Sonraki her token en fazla 45 ms.", "slo", "tpot_ms", 45),
        ("We were told 350 ms to first token.", "slo", "ttft_ms", 350),
        ("400 Гбит/с на каждый GPU", "cluster", "nic_gb_per_s", 50),
        ("one 200 Gb/s port per GPU", "cluster", "nic_gb_per_s", 25),
    ],
)
def test_said_by_other_names(said: str, part: str, field: str, value: float) -> None:
    request = understand(BASE + said).request
    assert request is not None
    assert getattr(getattr(request, part), field) == pytest.approx(value)


def test_choices_by_other_words() -> None:
    text = "TensorRT-LLM (approved list; vLLM isn't on it), kv left at bf16, vi vill INTE separera prefill och decode."
    request = understand(BASE + text).request
    assert request is not None
    assert (request.engine, request.precision.kv, request.serving) == ("trtllm", "bf16", "colocated")
