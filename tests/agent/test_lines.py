"""Texts by their lines, sums that a text works out itself, and speech that was written down."""

import pytest

from agent.understand import understand
from agent.understand.lines import with_whole_lines
from agent.understand.notes import Notes
from agent.understand.spoken import spoken
from agent.understand.sums import with_plain_sums


def read(text: str) -> dict[str, object]:
    """The fields of the request that a text makes."""
    found = understand(text)
    assert found.request is not None, found.question
    return found.request.model_dump(mode="json", exclude_none=True, exclude_defaults=True)


def test_lines_broken_to_a_width_are_joined_and_lists_are_not() -> None:
    wrapped = "We have one server with eight H200 GPUs, and want to run\nQwen3-32B on it for sixty users who ask questions of about\n900 tokens each."
    listed = "Model: Qwen3-32B\nGPUs: 8 of the newest kind that we could get, H200\nUsers: 60"
    assert "\n" not in with_whole_lines(wrapped)
    assert with_whole_lines(listed) == listed


def test_an_older_mail_that_is_quoted_is_no_request() -> None:
    text = "The plan below is void. Qwen3-32B on 4 H100, 2300 tokens in, 410 out, 64 concurrent.\n\n> Let us use Mixtral 8x7B on 2 A100,\n> 500 concurrent users, 100 in, 20 out"
    found = read(text)
    assert found["model"] == "qwen3-32b"
    assert found["workload"] == {"isl": 2300, "osl": 410, "concurrency": 64}


def test_a_request_that_is_quoted_as_a_whole_is_read() -> None:
    assert read("> Qwen3-32B on 4 H100,\n> 2300 tokens in, 410 out")["workload"] == {"isl": 2300, "osl": 410}


def test_a_signature_says_nothing_of_the_plan() -> None:
    found = read(
        "Qwen3-32B on 4 H100, 2300 tokens in, 410 out, 64 concurrent.\n-- \nJo Berg, desk 417\n200 people strong"
    )
    assert found["workload"] == {"isl": 2300, "osl": 410, "concurrency": 64}


def test_keys_and_values_in_columns_are_a_form() -> None:
    text = "Model .......... Mixtral 8x7B\nHardware ....... 1 host, 4 x L40S\nAvg. prompt .... 900 tokens\nAvg. answer .... 250 tokens\nParallel requests  24"
    assert read(text)["workload"] == {"isl": 900, "osl": 250, "concurrency": 24}


@pytest.mark.parametrize(
    "text",
    [
        "Hi all,\nplease see below, this came out of our capacity tool.\nmodel,gpu,num_gpus,input_tokens,output_tokens,concurrency\nQwen3-32B,L40S,4,1200,300,40\nThanks!",
        "Hi all,\nplease see below,\nthe row of our tool.\n\nmodel;gpu;gpus;isl;osl;concurrency\nQwen3-32B;L40S;4;1200;300;40\nTTFT must stay under 500 ms please.",
        "Qwen3-32B on 4 L40S. Prompts p50 900 p95 4000 mean 1200, output 300 tokens, 40 concurrent",
        "Qwen3-32B on 4 L40S. Prompts p50/p95 900/4000 (mean 1200), output 300 tokens, 40 concurrent",
        "Qwen3-32B on 4 L40S. mean/p95 prompt 1200/4000 tokens, output 300, 40 concurrent",
        "Qwen3-32B on 4 L40S. input (mean/p95): 1200/4000, output (mean/p95): 300/700, 40 concurrent",
        "| | avg | p95 |\n|---|---|---|\n| input tokens | 1200 | 3200 |\n| output tokens | 300 | 600 |\n| concurrent requests | 40 | 90 |\nQwen3-32B, 4 L40S",
        "qwen3-32b on l40s: isl 1200 osl 300 conc 40 gpus 4",
        "1200 isl 300 osl 40 conc 30 tpot qwen3-32b 4xl40s",
    ],
)
def test_rows_and_telegrams_are_read_by_their_names(text: str) -> None:
    workload = read(text)["workload"]
    assert workload == {"isl": 1200, "osl": 300, "concurrency": 40}


def test_what_a_server_takes_is_a_load_only_where_none_is_told() -> None:
    flags = "vllm serve Qwen/Qwen3-32B --max-num-seqs 64 on 4x L40S. 2000 in, 300 out"
    alone, loaded = understand(flags), understand(f"{flags}, 20 users")
    assert alone.request is not None
    assert loaded.request is not None
    assert (alone.request.workload.concurrency, loaded.request.workload.concurrency) == (64, 20)
    assert any("all that the server takes" in note for note in alone.assumptions)


def test_of_a_row_of_statistics_the_mean_is_planned() -> None:
    text = "gpt-oss-20b, 2 L40S\nprompt p50 / mean / p99: 700 / 1050 / 5200\noutput p50 / mean / p99: 180 / 240 / 900\nrate: 12 req/s"
    assert read(text)["workload"] == {"isl": 1050, "osl": 240, "request_rate": 12.0}


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("1,000 tokens system prompt + 1,500 tokens history = 2,500 tokens", "prompt of 2500 tokens"),
        (
            "a 3000-token cached system prompt plus a 1000-token question",
            "a prompt of 4000 tokens, 75% prefix cache hit rate",
        ),
        (
            "Half of the requests have 1,000 prompt tokens, the other half have 5,000",
            "requests have 3000 prompt tokens",
        ),
        ("70% have 1000 tokens, 30% have 5000", "requests have 2200 tokens"),
        ("100 + 200 = 500 tokens", "100 + 200 = 500 tokens"),
    ],
)
def test_sums_parts_and_mixes_are_worked_out(text: str, plain: str) -> None:
    assert with_plain_sums(text, Notes()).strip() == plain


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("deepseek r one", "deepseek r1"),
        ("sixteen h two hundreds", "sixteen h200"),
        ("s g lang", "sglang"),
        ("two and a half thousand", "2500"),
        ("٣٢ and ३२", "32 and 32"),
        ("Boxes: 2, each with 8 H100", "2 Boxes with 8 H100"),
    ],
)
def test_speech_and_other_digits_are_written_as_the_trade_does(text: str, written: str) -> None:
    assert spoken(text) == written


@pytest.mark.parametrize(
    ("text", "load"),
    [
        ("Llama 3.1 70B को 4 A100 GPU पर। इनपुट 1400 टोकन, आउटपुट 260 टोकन, और एक साथ 22 अनुरोध।", (1400, 260, 22)),
        (
            "نموذج Qwen3-32B على خادم واحد فيه 2 GPU من نوع H100. طول المدخلات 1700 توكن وطول المخرجات 320 توكن، مع 14 طلبا متزامنا.",
            (1700, 320, 14),
        ),
    ],
)
def test_hindi_and_arabic_loads_are_read(text: str, load: tuple[int, int, int]) -> None:
    workload = read(text)["workload"]
    assert workload == dict(zip(("isl", "osl", "concurrency"), load, strict=True))


@pytest.mark.parametrize(
    ("text", "gpus"),
    [
        ("The node has 8 B200 but two of them belong to the embedding service, so only six are ours.", (1, 6)),
        ("We have three H100 servers with 8 cards each. One of them belongs to the vision team.", (2, 8)),
        ("12 nodes with 8 H100 each. Ten of those nodes belong to the training group, so serving gets the remaining two nodes.", (2, 8)),
        ("2 hosts with 8 H100 each, but on each host two are taken by other jobs, so only 6 per host are free.", (2, 6)),
        ("The DGX has 8 H100, but GPU 6 and GPU 7 are defective, so there are just 6 left.", (1, 6)),
        ("There are 64 H100 in the cluster, but 40 of them are taken by training. We may use 24, that is three nodes of 8.", (3, 8)),
    ],
)  # fmt: skip
def test_parts_of_clusters_that_others_have_are_left_out(text: str, gpus: tuple[int, int]) -> None:
    cluster = read(f"gpt-oss-120b. {text} 2000 tokens in, 800 out.")["cluster"]
    assert isinstance(cluster, dict)
    assert (cluster.get("hosts", 1), cluster["gpus_per_host"]) == gpus


@pytest.mark.parametrize(
    ("said", "gpus"),
    [
        ("32 H200, 8 of them taken", 24),
        ("32 H200, 4 of them reserved", 24),
        ("4 nodes of 8 H200, 1 of them is reserved", 24),
        ("8 H200, two of them busy with embeddings", 6),
        ("6 A6000, PP3xTP2", 6),
        ("a server with eight H200, only four of the eight are mine", 4),
        ("8 H200, just 4 of them are free", 4),
    ],
)
def test_of_what_is_taken_only_the_rest_is_planned_and_said(said: str, gpus: int) -> None:
    found = understand(f"Qwen3-32B on {said}. 2000 in, 300 out")
    assert found.request is not None
    cluster = found.request.cluster
    assert (cluster.gpus_per_host or 0) * cluster.hosts == gpus
    assert any("planned for" in note or "in one host" in note for note in found.assumptions)


@pytest.mark.parametrize("said", ["32 H200, 40 of them taken", "32 H200 (40 are taken)"])
def test_more_taken_than_there_is_is_asked_about(said: str) -> None:
    found = understand(f"Qwen3-32B on {said}. 2000 in, 300 out")
    assert found.question is not None
    assert "how many are there to use" in found.question


def test_more_taken_than_there_is_is_said_where_the_usable_part_is_told() -> None:
    found = understand("Qwen3-32B on 32 H200, 40 of them are taken, we may use 24. 2000 in, 300 out")
    assert found.request is not None
    assert any("more than the 32 GPUs" in note for note in found.assumptions)


def test_more_gpus_taken_than_there_are_is_asked_about() -> None:
    found = understand("Qwen2.5-72B on 32 H100 of which 40 are taken by training")
    assert found.request is None
    assert "40" in (found.question or "")


def test_a_degree_that_crashes_is_neither_wished_nor_banned() -> None:
    text = "gemma-2-27b on 4 A10G. tp=3 crashes with 'must be divisible by tensor parallel size'. 650 in, 120 out"
    assert "constraints" not in read(text)


def test_a_degree_that_cannot_be_changed_is_no_ban() -> None:
    text = "TP must be 4, that's given by our tooling and I can't change it. Mixtral 8x22B, 8 A100, 2000/500 tokens."
    assert read(text)["constraints"] == {"fix": {"tp_size": 4}}
