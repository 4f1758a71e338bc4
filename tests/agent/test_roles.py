"""The second reader: numbers and the words that name their roles, aligned; what both readers say, settled."""

import pytest

from agent.understand import understand
from agent.understand.roles import NAMED, read_roles


def roles(text: str) -> list[tuple[str, float]]:
    return [(reading.role, reading.amount) for reading in read_roles(text) if reading.role != "other"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("input 2000 output 300", [("isl", 2000), ("osl", 300)]),
        ("2000 in, 300 out", [("isl", 2000), ("osl", 300)]),
        ("in/out 2000/300", [("isl", 2000), ("osl", 300)]),
        ("4k -> 500", [("isl", 4096), ("osl", 500)]),
        ("users: 24; ttft 500 tpot 30", [("concurrency", 24), ("ttft_ms", 500), ("tpot_ms", 30)]),
        ("900 ms for the first token and 30 ms for each following one", [("ttft_ms", 900), ("tpot_ms", 30)]),
        ("30 tokens/s per user", [("tpot_ms", 33.333333)]),
        ("20,000 tokens/s in total", []),
        ("120 requests per minute", [("request_rate", 2)]),
        (f"2 nodes with 8 {NAMED * 4} each", [("hosts", 2), ("gpus", 8)]),
        (f"8x{NAMED * 4} node", [("gpus", 8)]),
        (f"2 {NAMED * 4} nodes", [("hosts", 2)]),
        ("1.5k concurrent sessions", [("concurrency", 1500)]),
        ("2026/117 and 24/7", []),
    ],
)
def test_numbers_go_to_the_role_whose_name_is_nearest(text: str, expected: list[tuple[str, float]]) -> None:
    assert sorted(roles(text)) == sorted(expected)


def test_lengths_whose_nouns_nobody_knows_go_by_their_order() -> None:
    found = understand("Qwen3-8B on 1 L4, 8 users, zapytania po 1500 tokenów, streszczenie-x 300 tokenów")

    assert found.request is not None
    assert (found.request.workload.isl, found.request.workload.osl) == (1500, 300)
    assert any("read as osl 300" in note for note in found.assumptions)


@pytest.mark.parametrize(
    ("text", "gpu", "engine"),
    [
        ("8x H100, not H200, Qwen3-32B", "h100-sxm", None),
        ("not H100 but H200, 8 of them; not vLLM but SGLang; Qwen3-32B", "h200-sxm", "sglang"),
    ],
)
def test_a_name_that_the_text_says_no_to_is_not_taken(text: str, gpu: str, engine: str | None) -> None:
    found = understand(text)

    assert found.request is not None
    assert (found.request.cluster.gpu, found.request.engine) == (gpu, engine)


def test_counts_that_may_be_a_sum_or_each_hosts_are_asked_about() -> None:
    found = understand("Llama 3.3 70B, 8 H100, there are 2 servers")

    assert found.request is None
    assert "in each" in (found.question or "")


def test_a_box_of_four_is_one_host() -> None:
    found = understand(
        "serve qwen3-32b on one L40S x4 box with vLLM, 8k prompts, 300 tokens answers, as cheap as possible"
    )

    assert found.request is not None
    assert (found.request.cluster.gpus_per_host, found.request.cluster.hosts) == (4, 1)
