"""Several models or GPUs in one text: the one that the text stands by is planned, the others are said, and only equals are asked about."""

import pytest
from agent_support import read_request

from agent.understand import understand
from agent.understand.standing import Place, standing, weight

LOAD = "2000 in, 400 out, 24 concurrent."


@pytest.mark.parametrize(
    ("text", "model", "gpu", "gpus"),
    [
        ("We moved off Qwen3-32B in spring. What we serve now is Llama 3.3 70B, on 8 H200 in one node.", "llama-3.3-70b", "h200-sxm", 8),
        ("Our A100 boxes went back to the lessor, replaced by two 8x MI300X servers. Llama 3.1 405B.", "llama-3.1-405b", "mi300x", 16),
        ("The research group holds 64 H100s that we cannot touch. Ours: 1 host, 8x L40S. Qwen3-32B.", "qwen3-32b", "l40s", 8),
        ("If H100s were available we'd take those, but they aren't: it is 8x A100 80GB. Qwen3-32B.", "qwen3-32b", "a100-80g-sxm", 8),
        ("Next year we'll get GB200 racks; until then everything must run on 2 nodes x 8 H100. DeepSeek-V3.", "deepseek-v3", "h100-sxm", 16),
        ("Team Blue: 8x H100, Llama 3.1 70B. Team Green (that's us): 4x H200, Qwen3-32B.", "qwen3-32b", "h200-sxm", 4),
        ("MLPerf lists 21000 tok/s for Llama 2 70B on 8 H100. We just need Llama 3.1 70B on 4 H100 SXM.", "llama-3.1-70b", "h100-sxm", 4),
        ("Should beat GPT-4o. Self-hosted Qwen3-235B-A22B on two nodes with eight H100 each.", "qwen3-235b-a22b", "h100-sxm", 16),
        ("Model: ~~Qwen3-32B~~ Qwen3-235B-A22B\nHardware: 8x H200", "qwen3-235b-a22b", "h200-sxm", 8),
        ("DeepSeek-R1 on 2 nodes (8x H200 each).\n\n> On Monday you wrote: we need Qwen3-32B on 4 L40S\n", "deepseek-r1", "h200-sxm", 16),
        ("我们之前用 8 张 A100 跑 Llama 3.1 70B，现在换成 8 张 H200 跑 Qwen3-235B-A22B。", "qwen3-235b-a22b", "h200-sxm", 8),
    ],
)  # fmt: skip
def test_what_a_text_stands_by_is_planned(text: str, model: str, gpu: str, gpus: int) -> None:
    request, notes = read_request(f"{text} {LOAD}")

    cluster = request.cluster
    assert (request.model, cluster.gpu, cluster.hosts * (cluster.gpus_per_host or 0)) == (model, gpu, gpus)
    assert "what the text stands by" in notes or "told" in notes or "struck out" in notes or "ignored" in notes


@pytest.mark.parametrize(
    "text",
    [
        "Compare Llama 3.1 8B and Qwen3-8B on one L40S.",
        "Qwen3-32B on 8 H100 or 8 H200.",
        "We own 8 H100 and 8 A100, plan Llama 3.3 70B over all 16.",
    ],
)
def test_equals_are_asked_about(text: str) -> None:
    assert "which one" in (understand(f"{text} {LOAD}").question or "")


def test_a_name_that_only_a_told_sentence_gives_is_better_than_none() -> None:
    request, notes = read_request(
        "Some blog claims TP2 gives 4100 tok/s for gpt-oss-120b. Pick what is best. 8xH100 SXM."
    )

    assert request.model == "gpt-oss-120b"
    assert request.constraints.fix.tp_size is None
    assert "only `" in notes


def test_weights_tell_what_is_refused_from_what_is_meant() -> None:
    text = "Not the H100 we discussed, now we use H200."
    places = [Place(word, (text.index(word), text.index(word) + 4)) for word in ("H100", "H200")]

    assert weight(text, places[0].span) < 0 < weight(text, places[1].span)
    assert standing(text, places) == "H200"
    assert standing(text, []) is None


@pytest.mark.parametrize(
    ("said", "hosts", "gpus"),
    [
        ("Two nodes of 8 H200, one of which is for staging.", 1, 8),
        ("16 H200 in 2 nodes, one node is reserved for fine-tuning.", 1, 8),
        ("Of the 4 nodes (8x H200 each) we may use 3.", 3, 24),
    ],
)
def test_what_others_have_of_a_cluster_is_not_planned(said: str, hosts: int, gpus: int) -> None:
    request, notes = read_request(f"DeepSeek-V3. {said} {LOAD}")

    assert (request.cluster.hosts, request.cluster.hosts * (request.cluster.gpus_per_host or 0)) == (hosts, gpus)
    assert f"planned for {gpus} of the" in notes


@pytest.mark.parametrize(
    ("said", "concurrency"), [("16 concurrent requests per GPU", 128), ("30 sessions per node", 30)]
)
def test_loads_of_each_part_are_summed(said: str, concurrency: int) -> None:
    request, _ = read_request(f"Qwen3-32B on 8 H200 in one node, {said}, 1000 in, 200 out.")

    assert request.workload.concurrency == concurrency
