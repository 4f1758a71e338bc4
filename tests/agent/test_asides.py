"""What a text says beside its wishes: the past, today, questions, changed plans, the part that may be used."""

import pytest
from agent_support import read_request

from agent.understand import understand
from strategy.request import Request

QWEN = "Qwen3-32B on 8 H100, 2k in, 500 out."


def _fixed(request: Request) -> dict[str, int]:
    return request.constraints.fix.model_dump(exclude_none=True)


@pytest.mark.parametrize(
    ("aside", "passed_over"),
    [
        ("We tried TP16 last quarter and got 1100 tok/s, don't care about that anymore.", "TP16"),
        ("We used to run TP4 PP2 with 40 ms per token.", "TP4 PP2"),
        ("Today it runs with TP8 at 900 tok/s; we want better.", "TP8"),
        ("Our current setup is TP4, two replicas.", "TP4, 2 replicas"),
        ("Baseline: TP8 PP1, 1200 tok/s.", "TP8 PP1"),
        ("Previously my colleague tested pp=2 on this box, it was slow.", "pp=2"),
        ("Letztes Quartal haben wir TP8 getestet, das war zu langsam.", "TP8"),
        ("Nous avons essayé TP8, trop lent.", "TP8"),
        ("之前试过TP8,太慢了", "TP8"),
        ("지난 분기에 TP8로 테스트했습니다", "TP8"),
        ("Should we use TP4 or TP8?", "TP4 or TP8"),
        ("Is it better to use TP8 or TP4xDP2? No preference, you decide.", "TP8 or TP4xDP2"),
        ("Is TP4 enough?", "TP4"),
        ("Would TP8 be better than TP4 with two replicas?", "TP8 be better"),
        ("TP8 vs TP4xDP2, no idea which.", "TP8 vs TP4xDP2"),
        ("Not sure whether PP2 helps.", "PP2"),
        ("Does it make sense to go without PP?", "without PP"),
        ("Sollen wir TP8 oder TP4 nehmen?", "TP8 oder TP4"),
        ("TP8还是TP4更好?", "TP8"),
    ],
)
def test_degrees_of_the_past_and_of_questions_bind_nothing_and_are_said_back(aside: str, passed_over: str) -> None:
    request, notes = read_request(f"{QWEN} {aside}")

    assert (_fixed(request), request.constraints.forbid) == ({}, ())
    assert (request.cluster.gpus_per_host, request.workload.osl, request.slo.tpot_ms) == (8, 500, None)
    assert any("ignored" in note and passed_over in note for note in notes.split(" | "))


@pytest.mark.parametrize(
    "wish",
    [
        "Currently we run TP8 but we want TP4.",
        "TP4 instead of the TP8 that runs today.",
        "Previously we ran TP8; please plan for TP4.",
        "Could you give me a plan where TP must be 4?",
        "What layout should I use with tp=4?",
        "Last week we got the machine delivered. TP4.",
        "Is that enough, with TP fixed at 4?",
    ],
)
def test_a_degree_that_is_wanted_is_fixed_beside_asides(wish: str) -> None:
    assert _fixed(read_request(f"{QWEN} {wish}")[0]) == {"tp_size": 4}


def test_a_model_that_only_the_past_names_is_the_model() -> None:
    request, _ = read_request("We tried Llama 3.1 70B with TP4 on A100s last quarter. It should run on 8 H200, 2k/500.")

    assert (request.model, request.cluster.gpu, _fixed(request)) == ("llama-3.1-70b", "h200-sxm", {})


def test_combined_degrees_are_all_read() -> None:
    assert _fixed(read_request(f"{QWEN} TP4xDP2")[0]) == {"tp_size": 4, "replicas": 2}


@pytest.mark.parametrize(
    ("words", "serving"),
    [
        ("Must not mix prefill and decode on the same GPUs.", "disaggregated"),
        ("Prefill and decode must not share GPUs.", "disaggregated"),
        ("Keep prefill and decode apart.", "disaggregated"),
        ("keep prefill and decode on separate GPUs", "disaggregated"),
        ("No colocated prefill.", "disaggregated"),
        ("Never run prefill and decode on the same card", "disaggregated"),
        ("Dedicated GPUs for prefill and decode", "disaggregated"),
        ("Prefill und Decode nicht auf denselben GPUs mischen", "disaggregated"),
        ("ne pas mélanger prefill et decode", "disaggregated"),
        ("prefill和decode不要混部", "disaggregated"),
        ("prefillとdecodeは別々のGPUに", "disaggregated"),
        ("Prefill and decode together on the same cards", "colocated"),
        ("Don't keep prefill and decode on separate GPUs", "colocated"),
        ("no separate GPUs for prefill and decode", "colocated"),
    ],
)
def test_whether_prefill_and_decode_share_gpus(words: str, serving: str) -> None:
    assert read_request(f"{QWEN} {words}")[0].serving == serving


@pytest.mark.parametrize(
    ("text", "model", "cluster"),
    [
        ("mistral large 2? no wait, we settled on Llama 3.1 70B. 8 H100", "llama-3.1-70b", ("h100-sxm", 1, 8)),
        ("Thinking about Mixtral 8x22B but ended up with Qwen3-8B. 2 L40S.", "qwen3-8b", ("l40s", 1, 2)),
        ("First we wanted Qwen3-32B, then decided on Qwen3-8B. 2 L40S.", "qwen3-8b", ("l40s", 1, 2)),
        ("Qwen3-32B... sorry, the plain Qwen3-8B. 2 L40S", "qwen3-8b", ("l40s", 1, 2)),
        ("DeepSeek-V3.1, 8 H200. Make that DeepSeek-R1.", "deepseek-r1", ("h200-sxm", 1, 8)),
        (
            "planned on H100s but procurement only came back with H200: 3 nodes, 8 per node. DeepSeek-V3",
            "deepseek-v3",
            ("h200-sxm", 3, 8),
        ),
        ("We ordered 16 H100 but only got 8 H200. DeepSeek-V3.", "deepseek-v3", ("h200-sxm", 1, 8)),
        ("We asked for 32 H100 but only got 16. DeepSeek-V3.", "deepseek-v3", ("h100-sxm", 2, 8)),
        ("We hoped for B200, instead we have 8 H200. DeepSeek-V3", "deepseek-v3", ("h200-sxm", 1, 8)),
        ("Qwen3-32B on 8 H100, 2k in. Sorry, 16 H100. vLLM", "qwen3-32b", ("h100-sxm", 2, 8)),
    ],
)
def test_what_it_came_to_counts(text: str, model: str, cluster: tuple[str, int, int]) -> None:
    request, notes = read_request(text)

    assert request.model == model
    assert (request.cluster.gpu, request.cluster.hosts, request.cluster.gpus_per_host) == cluster
    assert "read what" in notes


@pytest.mark.parametrize(
    ("text", "hosts", "per_host", "told"),
    [
        ("16 nodes with 8 H100 each but I only get 32 GPUs of it", 4, 8, "32 of the 128"),
        ("8 nodes of 8 H200, but we may only use 16 GPUs", 2, 8, "16 of the 64"),
        ("4 nodes with 8 H100 each, of which we get 2 nodes", 2, 8, "16 of the 32"),
        ("We have 32 H100, of which 16 are free", 2, 8, "16 of the 32"),
        ("4x8 H100, our quota is 16 GPUs", 2, 8, "16 of the 32"),
        ("Our servers have 8 H100 each, we have 4 servers", 4, 8, ""),
        ("Each node has 8 H200, but we only got 2 nodes", 2, 8, ""),
        ("GB200 NVL72, but we only get 2 nodes", 2, 4, ""),
        ("GB200 NVL72", 18, 4, "one rack"),
        ("we bought GB300 NVL72", 18, 4, "a rack of gb300-nvl72 is 72 GPUs"),
        ("16 GPUs of a GB200 NVL72", 4, 4, "16 of the 72"),
        ("我们有3台H200服务器,每台4卡", 3, 4, ""),
        ("H200サーバー4台、1台4枚", 4, 4, ""),
        ("H200 서버 4대, 서버당 4장", 4, 4, ""),
        ("H200 서버 2대, 노드당 GPU 4개", 2, 4, ""),
        ("32张H200,每台8张H200", 4, 8, ""),
    ],
)
def test_the_part_of_the_machines_that_is_planned_for(text: str, hosts: int, per_host: int, told: str) -> None:
    request, notes = read_request(f"DeepSeek-V3, 2k in, 500 out. {text}")

    assert (request.cluster.hosts, request.cluster.gpus_per_host) == (hosts, per_host)
    assert told in notes


def test_a_part_without_its_unit_is_asked_about() -> None:
    assert "hosts or GPUs" in (understand("DeepSeek-V3 on 4 nodes with 8 H200 each, of which we get 2").question or "")


def test_a_part_larger_than_the_whole_is_asked_about() -> None:
    assert "which one?" in (understand("DeepSeek-V3 on 2 nodes with 8 H200 each, but we get 64 GPUs").question or "")


@pytest.mark.parametrize(
    "goal",
    [
        "maximise tok/s/gpu", "tput", "massimo throughput", "máximo throughput", "maximaler Durchsatz", "débit maximal", "maximale doorvoer",
        "maximizar o throughput", "максимальный throughput", "最大化吞吐", "スループットを最大に", "최대 처리량", "goal: tok/s per GPU", "best tps/gpu",
    ],
)  # fmt: skip
def test_a_stated_throughput_is_no_assumption(goal: str) -> None:
    request, notes = read_request(f"{QWEN[:-1]}, {goal}")

    assert request.objective == "throughput"
    assert "the text names none" not in notes


@pytest.mark.parametrize(
    "words",
    [
        "テンソル並列は4に固定してください", "张量并行固定为4", "텐서 병렬은 4로 고정", "TPは4に固定", "TP设为4", "텐서 병렬 4로 설정해 주세요",
    ],
)  # fmt: skip
def test_a_degree_is_fixed_in_other_scripts(words: str) -> None:
    assert _fixed(read_request(f"Qwen3-32B, H100 8枚, {words}")[0]) == {"tp_size": 4}


@pytest.mark.parametrize(
    ("words", "isl"),
    [
        ("Input between 1k and 3k, call it 2000", 2000),
        ("inputs anywhere from 2k to 6k, say 4000", 4000),
        ("Prompts of 500 to 1500 tokens, let's assume 1000", 1000),
        ("Prompt 2k-8k tokens, plan with 6k", 6000),
        ("Eingabe zwischen 1000 und 3000 Token, sagen wir 2000", 2000),
        ("Input between 1k and 3k", 3000),
    ],
)
def test_the_number_that_a_range_is_settled_on(words: str, isl: int) -> None:
    request, notes = read_request(f"Qwen3-32B on 8 H100. {words}. Output 300")

    assert (request.workload.isl, request.workload.osl) == (isl, 300)
    assert "read as" in notes
