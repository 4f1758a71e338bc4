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
