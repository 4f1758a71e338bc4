"""The embedded planner: legal, deterministic, honest about what does not fit."""

import subprocess
import sys

import pytest

from knowledge.calibration import calibration
from knowledge.resolve import resolve
from strategy.legality import illegal
from strategy.request import Problem, Request
from strategy.search import SearchResult, search
from strategy.search.space import pools


def problem(model: str, gpu: str, gpus_per_host: int = 8, hosts: int = 1, **fields: object) -> Problem:
    request = {
        "model": model,
        "cluster": {"gpu": gpu, "gpus_per_host": gpus_per_host, "hosts": hosts},
        "workload": {"isl": 2048, "osl": 256},
        **fields,
    }
    return resolve(Request.model_validate(request)).problem


def found(asked: Problem) -> SearchResult:
    return search(asked, calibration())


def test_every_pool_of_the_space_is_legal_and_met_once() -> None:
    asked = problem("qwen3-235b-a22b", "h200-sxm", hosts=2)

    space = list(pools(asked))

    assert len(space) == len(set(space)) > 50
    assert not [pool for pool in space if illegal(asked.model, pool, asked.precision, asked.cluster)]


def test_the_same_question_has_the_same_answer() -> None:
    asked = problem("mixtral-8x7b", "a100-80g-sxm", 4, slo={"ttft_ms": 2000, "tpot_ms": 50})

    assert found(asked) == found(asked)


def test_the_plan_meets_its_limits_and_beats_its_alternatives() -> None:
    asked = problem("llama-3.1-70b", "h100-sxm", slo={"ttft_ms": 1500, "tpot_ms": 40})

    result = found(asked)

    assert result.best is not None
    assert result.best.ttft_ms <= 1500
    assert result.best.tpot_ms <= 40
    rates = [
        a.estimate.tokens_per_s_per_gpu * a.estimate.gpus
        for a in result.alternatives
        if a.estimate.tpot_ms <= 40 and a.estimate.ttft_ms <= 1500
    ]
    assert all(rate <= result.best.tokens_per_s * 1.02 for rate in rates)
    assert all(a.reason for a in result.alternatives)


@pytest.mark.parametrize(
    ("constraints", "check"),
    [
        ({"fix": {"tp_size": 4}}, lambda pool: pool.attention.tp_size == 4),
        ({"fix": {"pp_size": 2}}, lambda pool: pool.pp_size == 2),
        ({"fix": {"replicas": 2}}, lambda pool: pool.replicas == 2),
        ({"fix": {"gpus": 4}}, lambda pool: pool.world_size == 4),
        ({"forbid": ["pp"]}, lambda pool: pool.pp_size == 1),
        ({"forbid": ["tp"]}, lambda pool: pool.attention.tp_size == 1),
        ({"forbid": ["dp"]}, lambda pool: pool.replicas == 1),
    ],
)
def test_constraints_hold_in_the_plan(constraints: dict[str, object], check: object) -> None:
    result = found(
        problem(
            "llama-3.1-8b", "h200-sxm", constraints=constraints, workload={"isl": 1024, "osl": 128, "concurrency": 16}
        )
    )

    assert result.best is not None
    assert callable(check)
    assert check(result.best.strategy.pools[0])


@pytest.mark.parametrize("fix", [{"gpus": 8}, {"replicas": 3}])
def test_fewest_gpus_are_sought_among_what_is_fixed(fix: dict[str, int]) -> None:
    work = {"isl": 1024, "osl": 128, "concurrency": 4}

    result = found(
        problem("llama-3.1-8b", "h200-sxm", constraints={"fix": fix}, workload=work, objective="min_gpus", hosts=2)
    )

    assert result.best is not None
    assert result.best.gpus == fix.get("gpus", 3)
    assert result.best.strategy.pools[0].replicas == fix.get("replicas", result.best.strategy.pools[0].replicas)


def test_fewest_gpus_are_sought_among_small_pairs_of_pools_too() -> None:
    asked = problem(
        "gpt-oss-120b", "l40s", objective="min_gpus", serving="disaggregated",
        workload={"isl": 1000, "osl": 2000}, slo={"ttft_ms": 10_000, "tpot_ms": 40},
    )  # fmt: skip

    result = found(asked)

    assert result.best is not None
    assert result.best.gpus == 4  # two hold the weights


def test_stages_that_do_not_divide_the_cluster_are_considered_where_gpus_are_saved() -> None:
    asked = problem(
        "glm-4.5-air", "a100-80g-sxm", objective="min_gpus", serving="colocated",
        workload={"isl": 200, "osl": 50, "request_rate": 1},
    )  # fmt: skip

    result = found(asked)

    assert result.best is not None
    assert result.best.gpus == result.best.strategy.pools[0].pp_size == 3


@pytest.mark.parametrize("name", ["ep_size", "moe_tp_size"])
def test_a_dense_model_has_no_experts_to_split(name: str) -> None:
    result = found(problem("llama-3.1-8b", "h100-sxm", constraints={"fix": {name: 2}}))

    assert result.infeasible is not None
    assert [(limit.name, limit.available) for limit in result.infeasible.limits] == [("EP005", 1)]
    assert {"constraints": {"fix": {name: None}}} in [change.change for change in result.infeasible.nearest]
    assert found(problem("llama-3.1-8b", "h100-sxm", constraints={"fix": {name: 1}})).best is not None


def test_where_two_pools_are_not_worth_it_the_best_single_pool_wins() -> None:
    work = {"isl": 1024, "osl": 128, "concurrency": 16}
    asked = problem("llama-3.1-8b", "h100-sxm", workload=work)

    result = found(asked)

    alone = found(asked.model_copy(update={"serving": "colocated"}))
    apart = found(asked.model_copy(update={"serving": "disaggregated"}))
    assert result.best is not None
    assert alone.best is not None
    assert apart.best is not None
    assert apart.best.tokens_per_s > alone.best.tokens_per_s
    assert result.best.strategy == alone.best.strategy
    assert all(a.strategy.disaggregated for a in result.alternatives if "two pools" in a.reason)


@pytest.mark.parametrize(
    ("kind", "name"),
    [("tp", "tp_size"), ("pp", "pp_size"), ("sp", "cp_size"), ("dp_attention", "dp_size"), ("dp", "replicas")],
)
def test_what_is_fixed_and_forbidden_at_once_has_no_plan(kind: str, name: str) -> None:
    constraints = {"fix": {name: 2}, "forbid": [kind]}

    result = found(problem("llama-3.1-8b", "h100-sxm", constraints=constraints))

    assert result.infeasible is not None
    assert {"constraints": {"forbid": []}} in [change.change for change in result.infeasible.nearest]


def test_more_gpus_than_there_are_are_not_planned() -> None:
    result = found(problem("llama-3.1-8b", "h100-sxm", 3, 2, constraints={"fix": {"gpus": 8}}))

    assert result.infeasible is not None
    assert [limit.name for limit in result.infeasible.limits] == ["CH007"]


def test_two_pools_are_sized_to_each_other_when_asked_for() -> None:
    asked = problem("llama-3.1-70b", "h200-sxm", serving="disaggregated", slo={"ttft_ms": 2000, "tpot_ms": 40})

    result = found(asked)

    assert result.best is not None
    prefill, decode = result.best.strategy.pools
    assert (prefill.phases, decode.phases) == (("prefill",), ("decode",))
    assert result.best.strategy.world_size <= 8
    assert result.best.ttft_ms <= 2000


def test_fewest_gpus_is_what_min_gpus_means() -> None:
    asked = problem(
        "llama-3.1-70b", "h100-sxm", objective="min_gpus", workload={"isl": 1024, "osl": 128, "concurrency": 4}
    )

    result = found(asked)

    assert result.best is not None
    assert result.best.gpus == 2


def test_latency_takes_a_wider_split_than_throughput_per_gpu_needs() -> None:
    asked = problem("llama-3.1-8b", "h100-sxm", objective="latency")

    result = found(asked)

    assert result.best is not None
    assert result.best.strategy.pools[0].attention.tp_size > 1
    assert result.best.concurrency == 1


def test_open_ended_questions_are_planned_for_comfortable_latencies_and_say_so() -> None:
    result = found(problem("llama-3.1-8b", "h100-sxm"))

    assert result.best is not None
    assert result.best.ttft_ms <= 2000
    assert "no load and no limits" in result.assumptions[0]


def test_memory_that_cannot_hold_the_model_is_a_limit_with_changes_that_work() -> None:
    asked = problem("llama-3.1-405b", "h100-sxm")

    result = found(asked)

    assert result.best is None
    assert result.infeasible is not None
    assert [limit.name for limit in result.infeasible.limits] == ["memory"]
    limit = result.infeasible.limits[0]
    assert limit.required is not None
    assert limit.available is not None
    assert limit.required > limit.available
    assert result.infeasible.nearest
    for change in result.infeasible.nearest:
        assert change.verified
        assert found(_changed(asked, change.change)).best is not None


def _changed(asked: Problem, change: dict[str, object]) -> Problem:
    """The problem with a request patch applied, independently of how the search applied it."""
    document = asked.model_dump()
    for section, fields in change.items():
        assert isinstance(fields, dict)
        document[section] = {**document[section], **fields}
    return Problem.model_validate(document)


@pytest.mark.parametrize(
    ("model", "gpus", "hosts", "work", "slo"),
    [
        ("deepseek-v3", 8, 1, {"isl": 4000, "osl": 100, "concurrency": 64}, {"ttft_ms": 50, "tpot_ms": 50}),
        ("llama-3.1-70b", 1, 4, {"isl": 500, "osl": 1000, "request_rate": 10}, {"ttft_ms": 1000, "tpot_ms": 10}),
    ],
)
def test_where_no_change_is_enough_alone_the_latencies_that_come_with_it_are_told(
    model: str, gpus: int, hosts: int, work: dict[str, int], slo: dict[str, int]
) -> None:
    asked = problem(model, "h100-sxm", gpus, hosts, workload=work, slo=slo)

    result = found(asked)

    assert result.infeasible is not None
    assert result.infeasible.nearest
    for change in result.infeasible.nearest:
        assert len(change.change) == 2
        assert "slo" in change.change
        assert found(_changed(asked, change.change)).best is not None


def test_no_fewer_hosts_are_enough_than_those_that_are_offered() -> None:
    asked = problem("llama-3.1-405b", "rtx-4090", 4, 4, serving="colocated")

    result = found(asked)

    assert result.infeasible is not None
    (change,) = [one.change for one in result.infeasible.nearest if "cluster" in one.change]
    assert change["cluster"]["hosts"] not in (8, 16)  # doubled from four
    fewer = {"cluster": {**change["cluster"], "hosts": change["cluster"]["hosts"] - 1}}
    assert found(_changed(asked, fewer)).best is None


def test_a_limit_out_of_reach_names_the_best_that_was_found() -> None:
    result = found(problem("llama-3.1-70b", "h100-sxm", slo={"ttft_ms": 1}))

    assert result.infeasible is not None
    (limit,) = result.infeasible.limits
    assert limit.name == "ttft_ms"
    assert limit.available is not None
    assert limit.available > 1
    assert any("ttft_ms" in change.change.get("slo", {}) for change in result.infeasible.nearest)


def test_a_degree_that_cannot_be_is_told_with_the_legal_ones() -> None:
    result = found(problem("llama-3.1-70b", "h100-sxm", 7, constraints={"fix": {"tp_size": 7}}))

    assert result.infeasible is not None
    (limit,) = result.infeasible.limits
    assert limit.name == "TP001"
    assert "legal values on 7 GPUs: 1, 2, 4" in limit.message


def test_more_requests_a_second_than_the_cluster_serves_is_infeasible() -> None:
    slow = found(problem("llama-3.1-70b", "h100-sxm", workload={"isl": 4096, "osl": 512, "request_rate": 500.0}))
    fine = found(problem("llama-3.1-70b", "h100-sxm", workload={"isl": 4096, "osl": 512, "request_rate": 0.5}))

    assert slow.best is None
    assert fine.best is not None


RATES = [
    ("mixtral-8x7b", "l40s", 10.0, "auto"),
    ("llama-3.1-8b", "h100-sxm", 90.0, "auto"),
    ("mixtral-8x7b", "mi300x", 2.0, "disaggregated"),
]


@pytest.mark.parametrize(("model", "gpu", "rate", "serving"), RATES)
@pytest.mark.parametrize("objective", ["throughput", "min_gpus"])
def test_limits_that_a_plan_meets_are_met_by_asking_for_just_them(
    model: str, gpu: str, rate: float, serving: str, objective: str
) -> None:
    """The load is the least that carries the rate, also where the next one on the grid is beyond a limit."""
    work = {"isl": 1000, "osl": 200, "request_rate": rate}
    wide = {"workload": work, "objective": objective, "serving": serving, "slo": {"ttft_ms": 2000, "tpot_ms": 64}}
    best = found(problem(model, gpu, 8, 2, **wide)).best
    assert best is not None
    just = {"ttft_ms": best.ttft_ms * 1.001, "tpot_ms": best.tpot_ms * 1.001}

    again = found(problem(model, gpu, 8, 2, **{**wide, "slo": just})).best

    assert again is not None
    assert objective != "min_gpus" or again.gpus <= best.gpus


@pytest.mark.parametrize("hosts", [40_000, 65_536])
def test_what_no_cluster_can_meet_is_told_for_the_largest_one_too(hosts: int) -> None:
    tpot = {"tpot_ms": 0.001}
    result = found(problem("llama-3.1-8b", "h100-sxm", hosts=hosts, slo=tpot))

    assert result.infeasible is not None
    assert result.infeasible.limits[0].name == "tpot_ms"


ANSWER = """
from knowledge.calibration import calibration
from knowledge.resolve import resolve
from strategy.request import Request
from strategy.search import search, what_if

request = {"model": "mixtral-8x7b", "cluster": {"gpu": "h100-sxm", "gpus_per_host": 8}, "workload": {"isl": 2048, "osl": 256}}
found = search(resolve(Request.model_validate(request)).problem, calibration())
print(found.best.dag.model_dump_json(), found.estimate.model_dump_json(), found.alternatives, what_if(found, calibration()))
"""


def test_another_process_with_other_hashes_gives_the_same_bytes() -> None:
    answers = [
        subprocess.run(
            [sys.executable, "-c", ANSWER], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "77")
    ]

    assert answers[0] == answers[1]
    assert len(answers[0]) > 1000


@pytest.mark.parametrize(
    ("engine", "gpu", "weights", "rule", "instead"),
    [
        ("trtllm", "mi300x", "bf16", "EN019", "vllm"),
        ("vllm", "tpu-v6e", "bf16", "EN019", None),
        ("vllm", "v100-32g-sxm", "fp16", "EN019", None),
        ("sglang", "mi250x", "bf16", "EN019", "vllm"),
        ("sglang", "t4", "fp8", "EN022", "vllm"),
        ("trtllm", "a100-80g-sxm", "fp8", "EN022", "vllm"),
        ("vllm", "mi250x", "fp8", "EN022", None),
    ],
)
def test_an_engine_that_does_not_run_on_the_accelerator_is_refused_with_what_would(
    engine: str, gpu: str, weights: str, rule: str, instead: str | None
) -> None:
    asked = {
        "model": "llama-3.1-8b",
        "cluster": {"gpu": gpu},
        "workload": {"isl": 1024, "osl": 128},
        "engine": engine,
        "precision": {"weights": weights},
    }

    found = search(resolve(Request.model_validate(asked)).problem, calibration())

    assert found.best is None
    assert found.infeasible is not None
    assert [limit.name for limit in found.infeasible.limits] == [rule]
    assert [change.change for change in found.infeasible.nearest] == [{"engine": instead}]


def test_headroom_is_kept_free_of_both_limits() -> None:
    asked = {
        "model": "llama-3.1-70b",
        "cluster": {"gpu": "h100-sxm", "gpus_per_host": 8, "hosts": 2},
        "workload": {"isl": 4096, "osl": 500},
        "slo": {"ttft_ms": 1000, "tpot_ms": 40},
    }
    tight = search(resolve(Request.model_validate(asked)).problem, calibration())
    roomy = search(
        resolve(Request.model_validate(asked | {"slo": {**asked["slo"], "headroom": 0.25}})).problem, calibration()
    )

    assert tight.best is not None
    assert roomy.best is not None
    assert 750 < tight.best.ttft_ms <= 1000
    assert roomy.best.ttft_ms <= 750
    assert roomy.best.tpot_ms <= 30
    assert tight.estimate is not None
    assert roomy.estimate is not None
    assert any("slo.headroom" in note for note in tight.estimate.notes)
    assert not any("slo.headroom" in note for note in roomy.estimate.notes)


def test_too_much_headroom_is_answered_with_what_can_be_kept() -> None:
    asked = {
        "model": "llama-3.1-70b",
        "cluster": {"gpu": "h100-sxm"},
        "workload": {"isl": 4096, "osl": 500},
        "slo": {"ttft_ms": 1000, "tpot_ms": 40, "headroom": 0.9},
    }
    problem = resolve(Request.model_validate(asked)).problem

    found = search(problem, calibration())

    assert found.infeasible is not None
    first = found.infeasible.nearest[0]
    kept = first.change["slo"]["headroom"]
    assert first.verified
    assert 0 < kept < 0.9
    more = problem.model_copy(update={"slo": problem.slo.model_copy(update={"headroom": kept + 0.03})})
    assert search(more, calibration()).best is None
