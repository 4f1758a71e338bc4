"""What the real-tool job compares by itself, with tools that misread on purpose."""

from typing import Any

import pytest

from evals.realtool import trtllm
from evals.realtool.agree import disagreements
from evals.realtool.files import export_all
from evals.realtool.plans import Planned, outside, planned
from evals.realtool.workers import dynamo_servers, llmd_servers
from strategy.export import Plan

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 2048,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 8192,
    "vocab_size": 128_256,
}


DRAW: dict[str, Any] = {"names": ("qwen3-30b-a3b",), "on": ("h100-sxm", "h200-sxm", "b200-sxm")}


@pytest.fixture(scope="module")
def drawn() -> list[Planned]:
    return list(planned(0, **DRAW))


def facts(plan: Plan, **changed: Any) -> list[dict[str, Any]]:
    """What a tool would say of servers with a host each."""
    said = []
    for pool in plan.strategy.pools:
        role = pool.phases[0] if plan.strategy.disaggregated else "serve"
        one = {"role": role, "server": None, "gpus": pool.ranks_per_replica, "tp_size": pool.attention.tp_size}
        said += [one | changed for _ in range(pool.replicas)]
    return said


def test_plans_are_the_same_for_a_seed_and_have_names_of_their_own(drawn: list[Planned]) -> None:
    again = list(planned(0, **DRAW, most=3))

    assert [one.name for one in again] == [one.name for one in drawn[:3]]
    assert [one.plan.strategy for one in again] == [one.plan.strategy for one in drawn[:3]]
    assert len({one.name for one in drawn}) == len(drawn)


def test_models_by_their_configuration_get_plans_on_made_up_hosts() -> None:
    made = list(outside({"small": CONFIG}, 1))

    assert made
    assert all(one.config is CONFIG and one.plan.model.hidden_size == 2048 for one in made)
    assert len({one.name for one in made}) == len(made)


def test_servers_as_planned_agree(drawn: list[Planned]) -> None:
    assert [disagreements(one.plan, facts(one.plan)) for one in drawn] == [[]] * len(drawn)


def test_a_degree_a_replica_and_a_gpu_too_many_are_told(drawn: list[Planned]) -> None:
    plan = drawn[0].plan
    more = facts(plan)

    assert any("tp_size=77" in told for told in disagreements(plan, facts(plan, tp_size=77)))
    assert any("servers, the plan has" in told for told in disagreements(plan, [*more, more[0]]))
    assert any("GPUs, the plan has" in told for told in disagreements(plan, facts(plan, gpus=77)))


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ([(0, 1), (1, 1)], ""),
        ([(0, 1), (0, 1)], "begins at part 0 of its server, where 1 is next"),
        ([(0, 1)], "hold 1 of 2 parts"),
    ],
)
def test_hosts_hold_all_parts_of_a_server_once(drawn: list[Planned], parts: list[tuple[int, int]], told: str) -> None:
    plan = next(one.plan for one in drawn if not one.plan.strategy.disaggregated)
    role, gpus = "serve", plan.strategy.world_size
    said = [
        {"role": role, "server": "a:1", "part": part, "many": many, "parts": 2, "gpus": gpus / len(parts)}
        for part, many in parts
    ]

    found = [one for one in disagreements(plan, said) if "part" in one]

    assert (told in found[0]) if told else found == []


def test_resources_and_scripts_are_read_without_the_writer(drawn: list[Planned]) -> None:
    corpus = export_all(drawn)
    readers = {"dynamo": dynamo_servers, "llm-d": llmd_servers}
    for target, servers in readers.items():
        for one in corpus.of(target):
            gpus = sum(section.servers * section.gpus for section in servers(one.files[0].text)[1])
            assert gpus == corpus.plans[one.plan].strategy.world_size
    scripts = list(corpus.of("trtllm"))

    told = [
        disagreements(corpus.plans[one.plan], trtllm.understood(corpus.plans[one.plan], one.files)) for one in scripts
    ]

    assert scripts
    assert told == [[]] * len(scripts)
