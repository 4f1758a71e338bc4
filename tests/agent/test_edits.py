"""Edits that a text makes to itself: they stand over what was written before, and what they do not speak of stays."""

import pytest
from agent_support import read_request

from agent.understand import understand

TEXT = "GLM-4.5 on 8 B200 (1 node), 60 parallel sessions, 7000 in, 1100 out."


@pytest.mark.parametrize(
    ("edit", "concurrency", "isl", "gpus"),
    [
        ("EDIT: product just told me it's 150 parallel sessions, not 60. Everything else stands.", 150, 7000, 8),
        ("UPDATE: the prompts turned out to be 3500 tokens.", 60, 3500, 8),
        ("PS: make that 32 B200 in 4 nodes, the order was extended.", 60, 7000, 32),
        ("EDIT: 90 sessions.\nEDIT 2: 80 sessions after all.", 80, 7000, 8),
        ("PS: thanks for your help!", 60, 7000, 8),
    ],
)
def test_edits_change_what_they_speak_of(edit: str, concurrency: int, isl: int, gpus: int) -> None:
    request, notes = read_request(f"{TEXT}\n\n{edit}")

    cluster, load = request.cluster, request.workload
    assert (load.concurrency, load.isl, load.osl, cluster.hosts * (cluster.gpus_per_host or 0)) == (
        concurrency,
        isl,
        1100,
        gpus,
    )
    assert ("read as a change" in notes) == ("thanks" not in edit)


def test_an_edit_that_gives_what_is_missing_is_read_with_the_rest() -> None:
    request, _ = read_request("8 B200 in one node, 7000 in, 1100 out.\nEDIT: the model is GLM-4.5.")

    assert request.model == "glm-4.5"


def test_a_question_of_an_edit_is_asked() -> None:
    assert understand(f"{TEXT}\nEDIT: it is 8 P100 instead.").question is not None
