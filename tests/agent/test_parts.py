"""Parts of a cluster, told with what they come to; hosts and GPUs in the shapes that people write them in."""

import time

import pytest

from agent.understand import understand

LOAD = " Llama 3.3 70B, fp8 weights. 2000 tokens in, 300 out, 40 requests in flight."

SIZES = [
    ("We have 9 nodes of 8 H200. Policy is N+1, so plan for eight nodes (64 GPUs).", "h200-sxm", 8, 8),
    ("Five DGX H100 systems (8 GPUs each). dgx02 has been lent to research, please plan without it.", "h100-sxm", 4, 8),
    ("8 compute trays with 4 GB200 each, one tray stays out of rotation, so 28 GPUs.", "gb200-nvl72", 7, 4),
    ("Seven nodes with 4 L40S each. Three nodes are reserved, so count with four nodes.", "l40s", 4, 4),
    ("Tek sunucuda 8 adet H100 var ama dördü ayrılmış, yani bize 4 GPU kalıyor.", "h100-sxm", 1, 4),
    ("One server, 8 A100 80GB, but GPU 3 throws errors, so seven usable cards.", "a100-80g-sxm", 1, 7),
    ("We bought four H200 nodes (287,000 EUR each). Each has eight GPUs. One of the four is permanently reserved for training.", "h200-sxm", 3, 8),
    ("I wrote 16 GPUs; that is outdated. Correct: 32 H100 GPUs on 4 servers.", "h100-sxm", 4, 8),
    ("On one 8-GPU H200 box. A second identical box goes live on Monday, so 16 GPUs altogether.", "h200-sxm", 2, 8),
    ("A 4x H100 PCIe node and another identical one (4x H100 PCIe); count both.", "h100-pcie", 2, 4),
    ("One H100 SXM host with 8 GPUs and one smaller host with 4 GPUs, so 12 GPUs in all.", "h100-sxm", 3, 4),
    ("H100 80GB 4장짜리 서버 2대.", "h100-sxm", 2, 4),
    ("gpu-01 and gpu-02, both 4x H100 SXM.", "h100-sxm", 2, 4),
    ("H200. three servers x 4.", "h200-sxm", 3, 4),
    ("4 nodes x 4 GH200.", "gh200", 4, 4),
    ("två noder med 4 st H200 vardera.", "h200-sxm", 2, 4),
    ("zes nodes met elk 4 L40S.", "l40s", 6, 4),
    ("box count: 2, each with 8x MI300X.", "mi300x", 2, 8),
    ("three VMs (8x H200 apiece), all 24 GPUs.", "h200-sxm", 3, 8),
    ("6 A6000 in one mining frame.", "rtx-a6000", 1, 6),
    ("单机 8 张 RTX 4090.", "rtx-4090", 1, 8),
    ("NAME STATUS GPU COUNT\na1 Ready NVIDIA-H100-PCIe 2\na2 Ready NVIDIA-H100-PCIe 2\na3 Ready NVIDIA-H100-PCIe 2\n\n", "h100-pcie", 3, 2),
    ("vllm serve --max-model-len 32768 --gpu-memory-utilization 0.9 on 8x H200.", "h200-sxm", 1, 8),
    ("One box with 4 H100 SXM; 45 of them users wait at once.", "h100-sxm", 1, 4),
]  # fmt: skip


@pytest.mark.parametrize(("words", "gpu", "hosts", "per_host"), SIZES)
def test_cluster_is_what_the_text_comes_to(words: str, gpu: str, hosts: int, per_host: int) -> None:
    found = understand(words + LOAD)
    assert found.request is not None, found.question
    cluster = found.request.cluster
    assert (cluster.gpu, cluster.hosts, cluster.gpus_per_host) == (gpu, hosts, per_host)


PASSED_OVER = [
    ("one server of 8 H20 96GB; inutile de nous proposer d'acheter des B200.", "h20-96g"),
    ("We rented 4 MI250s for a month, which went nowhere. Now we own 8x H200 in one server.", "h200-sxm"),
    ("rack A: 8x H100 SXM (1 host)\nrack B: 4x L40S (1 host)  <- embeddings, hands off\n", "h100-sxm"),
]


@pytest.mark.parametrize(("words", "gpu"), PASSED_OVER)
def test_gpus_named_in_passing_are_not_asked_about(words: str, gpu: str) -> None:
    found = understand(words + LOAD)
    assert found.request is not None, found.question
    assert (found.request.cluster.gpu, found.request.cluster.gpus_per_host) == (gpu, 8)


@pytest.mark.parametrize(
    "words", ["4 nodes with 8 H100 SXM each, 24 GPUs.", "We have 6 nodes of 8 H100 SXM. Or 5 nodes?"]
)
def test_numbers_that_only_contradict_each_other_are_asked_about(words: str) -> None:
    assert understand(words + LOAD).question is not None


def test_an_edit_says_how_many_hosts_are_left() -> None:
    text = f"Five hosts with 8 MI300X apiece.{LOAD}\n\nEDIT: one host went back on RMA. So four hosts, not five."
    found = understand(text)
    assert found.request is not None, found.question
    assert found.request.cluster.hosts == 4


def test_corrections_are_looked_for_near_their_marker_only() -> None:
    def seconds(times: int) -> float:
        start = time.process_time()
        understand("H100 a{no :#g " * times)
        return time.process_time() - start

    seconds(10)
    assert seconds(500) < 8 * seconds(125)


UNKNOWN_MODELS = [
    ("Model: nvidia/Minerva-Nova-253B-v1", "Minerva-Nova-253B"),
    ("Minerva-Nova-253B, NVFP4 weights", "Minerva-Nova-253B"),
    ("Model: Command Q (111B, Cohere Labs)", "Command Q"),
]


@pytest.mark.parametrize(("words", "name"), UNKNOWN_MODELS)
def test_a_model_that_is_not_known_is_named_in_the_question_and_no_other_is_planned(words: str, name: str) -> None:
    question = understand(f"{words}. One server with 8x B200. 2000 tokens in, 300 out, 40 requests in flight.").question
    assert question is not None
    assert name in question
