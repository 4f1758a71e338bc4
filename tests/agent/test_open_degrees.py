"""A degree that is asked about fixes nothing; one that is demanded does."""

import pytest

from agent.understand import understand

BASE = "Llama 3.3 70B FP8 on 2 nodes of 8x H100, 2000 in, 300 out, 40 concurrent. "


@pytest.mark.parametrize(
    "said",
    [
        "Would you go TP8 twice, TP4 four times, or neither?",
        "TP2 x 8 kopya mı, TP4 x 4 kopya mı?",
        "¿TP=4 y listo, o mejor otra cosa?",
        "Nên dùng TP4 hay 4 bản sao?",
        "TP4로 갈지, TP8로 갈지 아직 정하지 못했습니다.",
        "Vendor A says TP16 over both, vendor B says TP8+PP2.",
        "My adviser says TP8, but what does he know.",
        "tp4 yes/no",
        "Currently tp2, would EP help at all?",
        "Does it make sense as TP2?",
        "¿Conviene usar expert parallelism o con TP8 alcanza?",
        "没有NVLink，TP8会不会很慢？",
        "It was TP8 until Friday.",
        "The previous owner left TP=8.",
        "Anything against just running 8 copies with TP1?",
        "Is PP2 x TP4 a thing, or do I run 4 of them?",
        "Today that's 10 on each of 4 replicas, but the number of replicas is up for grabs.",
        "It runs with --tensor-parallel-size 8. You may change the parallelism flags as you like.",
    ],
)
def test_asked_about(said: str) -> None:
    request = understand(BASE + said).request
    assert request is not None
    assert request.constraints.fix.model_dump(exclude_none=True) == {}


@pytest.mark.parametrize(
    ("said", "field", "value"),
    [
        ("TP must be 8; what else would you set, EP or DP?", "tp_size", 8),
        ("pp=required:2", "pp_size", 2),
        ("Use TP8.", "tp_size", 8),
        ("Could you plan it with TP4 please?", "tp_size", 4),
        ("张量并行必须是4", "tp_size", 4),
        ("Zwei Instanzen mit TP4.", "replicas", 2),
        ("tp4, ep??", "tp_size", 4),
        ("It was TP8; now it must be TP4.", "tp_size", 4),
        ("How would you deploy that with tp=4?", "tp_size", 4),
        ("TP=8 must not be changed; nobody may change the parallelism flags.", "tp_size", 8),
    ],
)
def test_demanded(said: str, field: str, value: int) -> None:
    request = understand(BASE + said).request
    assert request is not None
    assert getattr(request.constraints.fix, field) == value


def test_a_ban_before_a_call_for_ideas_holds() -> None:
    request = understand(BASE + "Compliance says no pipeline parallel and no expert parallel tricks. Ideas?").request
    assert request is not None
    assert set(request.constraints.forbid) == {"pp", "ep"}


def test_how_many_of_something_is_no_wish_for_few_gpus() -> None:
    for said in ("How many GPUs per instance and how many instances?", "Combien de TP, combien de répliques ?"):
        request = understand(BASE + said).request
        assert request is not None
        assert request.objective == "throughput", said


@pytest.mark.parametrize(
    "said", ["is that enough for Mixtral 8x7B at int8?", "does Mixtral 8x7B in int8 make sense as TP2?"]
)
def test_a_precision_that_a_question_gives_to_its_model_holds(said: str) -> None:
    request = understand(f"2x A100 80GB, 1500 in, 250 out, 10 parallel chats: {said}").request
    assert request is not None
    assert request.precision.weights == "int8"


@pytest.mark.parametrize(
    ("said", "hosts", "gpus_per_host"),
    [
        ("8张4090单机", 1, 8),
        ("4090 x8", 1, 8),
        ("8 x 4090 in 2 nodes", 2, 4),
        ("H200×8のノード2台（計16枚）で", 2, 8),
        ("H200 x8 x 2 nodes", 2, 8),
    ],
)
def test_counts_of_gpus_beside_other_scripts(said: str, hosts: int, gpus_per_host: int) -> None:
    request = understand(f"Qwen2.5-72B {said}, vLLM").request
    assert request is not None
    assert (request.cluster.hosts, request.cluster.gpus_per_host) == (hosts, gpus_per_host)


def test_keys_of_a_values_file_are_read_in_camel_case() -> None:
    text = "model: Llama-3.1-70B\ngpuType: H200\ngpusPerNode: 8\nnodes: 2\nslo:\n  ttftMs: 3000\n  tpotMs: 60"
    request = understand(text).request
    assert request is not None
    assert (request.slo.ttft_ms, request.slo.tpot_ms) == (3000, 60)
