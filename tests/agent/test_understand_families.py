"""Families of phrasings, each with variations: what one writer says in one way the next one says in another."""

import pytest

from agent.understand import understand
from evals.suites.understanding import flat

MODEL = "Llama-3.1-70B."


def read(text: str) -> dict[str, object]:
    """The fields of a text that is a whole request."""
    found = understand(text)
    assert found.request is not None, found.question
    return flat(found.request)


@pytest.mark.parametrize(
    ("text", "gpus", "hosts"),
    [
        ("On a B200 node we only get 4 of the 8 GPUs, the other half trains.", 4, 1),
        ("We're given 4 out of the 8 H100s in the box.", 4, 1),
        ("We may use 4 of the 8 GPUs of an H100 box.", 4, 1),
        ("8xH100 node, half of it is taken by training.", 4, 1),
        ("Two of the eight H100 are broken.", 6, 1),
        ("Wir haben 3 Knoten mit je 8 H100, davon ist einer für das Training reserviert.", 16, 2),
        ("Ein Server mit vier L40S. Zwei der Karten sind allerdings schon für Whisper belegt.", 2, 1),
        ("Tenemos 4 nodos con 8 H100 cada uno, pero solo podemos usar 2 de los 4 nodos.", 16, 2),
        ("Nous avons 4 noeuds de 8 H100 mais nous ne pouvons utiliser que 2 des 4 noeuds.", 16, 2),
        ("Temos 2 nós com 8 H100, dos quais 1 está reservado.", 8, 1),
        ("Mamy serwer z 8 kartami H100, z czego 4 są zajęte.", 4, 1),
        ("У нас сервер с 8 H100, из них 2 заняты.", 6, 1),
        ("8 adet H200, bunlardan 4 tanesi dolu.", 4, 1),
        ("4台8卡H20，其中1台在跑训练。", 24, 3),
        ("H100が8枚、うち4枚は他チームが使用中です。", 4, 1),
        ("서버 한 대에 L40S 4장이 있고 그중 2장만 쓸 수 있습니다.", 2, 1),
        ("H100 8장 서버 2대로 돌리려 합니다.", 16, 2),
        ("H200を8枚積んだサーバーが2台あります。", 16, 2),
    ],
)
def test_a_part_of_the_cluster_is_what_is_planned_for(text: str, gpus: int, hosts: int) -> None:
    found = read(f"{text} {MODEL}")
    assert (found["gpus"], found["hosts"]) == (gpus, hosts)


@pytest.mark.parametrize(
    ("text", "isl", "ratio"),
    [
        (
            "A system prompt of 6000 tokens which everybody shares, and the user's own part is about 1500 on top.",
            7500,
            0.8,
        ),
        ("System prompt is 3,500 tokens, identical for every call; the user's question adds about 500.", 4000, 0.875),
        ("6k shared prefix + 2k user input, 400 out.", 8000, 0.75),
        ("2,000 tokens of instructions (same for everyone) and 1,000 tokens of ticket text.", 3000, 0.667),
        ("800 system + 4 chunks of 600 tokens + question of ~100, so 3300. Output 350.", 3300, None),
        ("7k prompt of which 5k or so is the same for everyone, 300 out.", 7000, 0.714),
        ("Prompts are 9k tokens where the first 6k never change.", 9000, 0.667),
        ("Prompt 18k (about 15k of it cached), completion 700.", 18000, 0.833),
        ("4k in, 500 out, prefix caching on.", 4096, None),
    ],
)
def test_parts_of_a_prompt_are_one_prompt_and_what_is_shared_is_cached(
    text: str, isl: int, ratio: float | None
) -> None:
    found = read(f"8x H100. {text} {MODEL}")
    assert (found["isl"], found.get("prefix_hit_ratio")) == (isl, pytest.approx(ratio, abs=1e-3) if ratio else None)


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("TP vastgezet op 4 graag.", {"tp_size": 4}),
        ("Le TP doit être égal à 4.", {"tp_size": 4}),
        ("TP musi wynosić 4.", {"tp_size": 4}),
        ("TPは8ではなく4でお願いします。", {"tp_size": 4}),
        ("TP nicht 8 sondern 4.", {"tp_size": 4}),
        ("TP must be 8 bc that's what the current config has.", {"tp_size": 8}),
        ("Use all 8, exactly.", {"gpus": 8}),
        ("TP8 across nodes is slow.", None),
        ("Is tp 2 ok or should I go replicas", None),
        ("What TP should I use, 4 with two copies or just 8?", None),
        ("I assume tp1 everywhere but want a second opinion.", None),
        ("Just tell me whether ep 8 helps.", None),
        ("We serve it at TP8 and it is okay-ish.", None),
        ("On veut savoir si un TP4 suffit.", None),
        ("Currently:\n\n  vllm serve X --tensor-parallel-size 8\n\nIs there a better layout?", None),
        ("We don't want TP across all 8. OK actually make it exactly TP4.", {"tp_size": 4}),
        ("It has to be one instance over all 8 GPUs.", {"replicas": 1, "gpus": 8}),
        ("4 instances of Llama-3.1-70B.", {"replicas": 4}),
        ("Two independent replicas at least.", None),
    ],
)
def test_a_degree_binds_where_a_clause_demands_it(text: str, fix: dict[str, int] | None) -> None:
    assert read(f"8x H100. {text} {MODEL}").get("fix") == fix


def test_an_engine_that_is_used_now_stays_unless_another_one_is_named() -> None:
    assert read(f"8x H100. Currently on TRT-LLM and would like to stay. {MODEL}")["engine"] == "trtllm"
    assert read(f"8x H100. Currently on TRT-LLM, moving to vLLM. {MODEL}")["engine"] == "vllm"


def test_both_precisions_are_read_in_other_languages() -> None:
    for words in (
        "FP8 (pesos e ativações)",
        "fp8 (pesos y activaciones)",
        "FP8 für Gewichte und Aktivierungen",
        "w8a8 fp8",
    ):
        found = read(f"8x H100. {words}. {MODEL}")
        assert (found["weights"], found["activations"]) == ("fp8", "fp8")


@pytest.mark.parametrize(
    ("text", "gpu", "gpus", "hosts"),
    [
        ("cluster alpha = 4x8 H100, cluster beta = 2x8 H200. This is about beta.", "h200-sxm", 16, 2),
        ("A (16x A100 80GB, 2 nodes), B (8x H100) and C (4x L40S). Only B is free.", "h100-sxm", 8, 1),
        ("Option 1: 8x H100. Option 2: 4x H200. Finance approved option 2.", "h200-sxm", 4, 1),
        ("We get 4 H100 nodes of 8... sorry, 3 nodes, so 24 GPUs.", "h100-sxm", 24, 3),
        ("I said 8 H100 but sorry, it's 4 - the rest is gone.", "h100-sxm", 4, 1),
        ("8x L4 spread on 2 hosts (4 each).", "l4", 8, 2),
        ("NVIDIA L4 (24 GB), 4 units in one server.", "l4", 4, 1),
        ("Abbiamo un server con 4 A100 da 40 GB PCIe.", "a100-40g-pcie", 4, 1),
        ("The nodes have 8 H800 each and there are 5 of them, but node 3 is down.", "h800-sxm", 32, 4),
    ],
)
def test_the_hardware_is_what_the_text_stands_by(text: str, gpu: str, gpus: int, hosts: int) -> None:
    found = read(f"{text} {MODEL}")
    assert (found["gpu"], found["gpus"], found["hosts"]) == (gpu, gpus, hosts)


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("3.2k tokens in, 600 out; p99 input is 16k.", {"isl": 3200, "osl": 600}),
        ("Docs up to 200k tokens, typical 45k.", {"isl": 45000}),
        ("5 requests/s now, 9 requests/s by summer. Please size for summer.", {"request_rate": 9}),
        ("Peak is 500 concurrent, typical 200. Plan for typical.", {"concurrency": 200}),
        ("Load test last week: 2 req/s, mean prompt 2800, mean completion 650.", {"request_rate": 2, "isl": 2800}),
        ("The vendor ran 500 concurrent requests last week.", {"concurrency": None}),
        ("70 developers, maybe a third active at once.", {"concurrency": 23}),
        ("120 agents, each triggers a request every 20 seconds.", {"request_rate": 6}),
        ("Pro Minute kommen ca. 30 Anfragen rein.", {"request_rate": 0.5}),
        ("En hora pico llegan 300 consultas por minuto.", {"request_rate": 5}),
        (
            "isl 5000 osl 2000 conc 50. PP is off the table.",
            {"isl": 5000, "osl": 2000, "concurrency": 50, "forbid": ["pp"]},
        ),
        ("Eingabe 1.800, Ausgabe 600 Token.", {"isl": 1800, "osl": 600}),
        ("Outputs are long ~6000 tokens, prompts 700.", {"isl": 700, "osl": 6000}),
        ("No hard latency target.", {"objective": "throughput"}),
        ("Interactivity target 50 tok/s/user.", {"objective": "throughput", "tpot_ms": 20}),
        ("Quanto menor a latência, melhor.", {"objective": "latency"}),
    ],
)
def test_of_several_values_the_one_to_plan_for_is_taken(text: str, fields: dict[str, object]) -> None:
    found = read(f"8x H100. {text} {MODEL}")
    assert {name: found.get(name) for name in fields} == fields


@pytest.mark.parametrize(
    ("text", "engine", "objective"),
    [
        ("Qwen3-32B on 4 H100, 2000 in, 300 out. How do I split it best with vLLM?", "vllm", "throughput"),
        (
            "H100 8장 서버 1대에 Qwen3-32B, 입력 2000 토큰, 출력 300 토큰. vLLM으로 어떻게 나누면 좋을까요?",
            "vllm",
            "throughput",
        ),
        ("Qwen3-32B on 4 H100, 2000 in, 300 out. vllm or sglang?", None, "throughput"),
        ("8 卡 H20 服务器上部署 Qwen3-32B,输入 2000 token,输出 300 token。TP 设多少合适?", None, "throughput"),
        ("Qwen3-32B, 2000 in, 300 out, one box of 8 H100. How many GPUs do we need?", None, "min_gpus"),
    ],
)
def test_a_question_takes_its_engine_for_granted_and_asks_of_degrees_not_of_hardware(
    text: str, engine: str | None, objective: str
) -> None:
    request = understand(text).request

    assert request is not None
    assert (request.engine, request.objective) == (engine, objective)


@pytest.mark.parametrize(
    ("said", "model"), [("라마 3.1 8B Instruct를", "llama-3.1-8b"), ("딥시크 V3를", "deepseek-v3")]
)
def test_families_of_models_in_their_own_scripts(said: str, model: str) -> None:
    request = understand(f"{said} H200 8장 서버 1대로 서비스하려고 합니다. 입력 1200토큰, 출력 200토큰.").request

    assert request is not None
    assert request.model == model


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("GLM-4.5-Air-FP8 on 4 x H100 NVL 94GB, 1 host. 4500 in, 700 out", (1, 4)),
        ("DeepSeek-R1 on one GB200 NVL72, 8k in, 1k out", (18, 4)),
        ("DeepSeek-R1 on 2 GB200 NVL72 racks, 8k in, 1k out", (36, 4)),
    ],
)
def test_a_card_that_is_called_nvl_fills_no_rack(text: str, size: tuple[int, int]) -> None:
    request = understand(text).request

    assert request is not None
    assert (request.cluster.hosts, request.cluster.gpus_per_host) == size


@pytest.mark.parametrize(
    ("text", "fix", "forbid"),
    [
        ("Last time we used PP=2 and the bubbles killed us, so no pipeline please.", {}, ("pp",)),
        ("Security only lets us keep TP at 4 (certified like that, don't ask). TP must be 4.", {"tp_size": 4}, ()),
    ],
)
def test_denials_of_something_else_forbid_nothing(text: str, fix: dict[str, int], forbid: tuple[str, ...]) -> None:
    request = understand(f"Llama 3.1 70B on 8 H100, 2000 in, 300 out. {text}").request

    assert request is not None
    assert (request.constraints.fix.model_dump(exclude_none=True), request.constraints.forbid) == (fix, forbid)


@pytest.mark.parametrize(
    ("text", "objective"),
    [
        ("4 hosts, 32 H200, DeepSeek-V3, disaggregated. How many nodes for P and how many for D?", "throughput"),
        ("8 H100, Llama 3.1 70B, 2k in, 300 out. We already know how many GPUs we need.", "throughput"),
    ],
)
def test_how_hardware_is_parted_is_no_wish_for_less_of_it(text: str, objective: str) -> None:
    request = understand(text).request

    assert request is not None
    assert request.objective == objective


def test_a_number_of_gpus_that_is_not_known_yet_is_asked_for() -> None:
    found = understand("We are getting H200s for GLM-4.5-FP8 but I don't know yet how many. Prompts 6k, output 800.")

    assert found.question is not None
    assert "How many" in found.question
