"""Every scorer says yes to an output that is right and no to one that is wrong, and none reads what a prompt could write."""

import asyncio
import copy
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import pytest

from evals.run import score
from evals.suite import Sample, Score, Suite, suites
from evals.suites.scenarios import SCENARIOS, distance
from evals.suites.search import SEARCH

Json = dict[str, Any]
Change = Callable[[Json], Any]
SUITES = suites()


def put(*path: Any, value: Any) -> Change:
    """Sets one place of an output."""

    def change(output: Json) -> None:
        at: Any = output
        for part in path[:-1]:
            at = at[part]
        at[path[-1]] = value

    return change


# Suite, sample, scorer, and what makes its output wrong (for a measure: worse).
CASES: tuple[tuple[str, str, str, Change], ...] = (
    ("scenarios", "llama-3.1-8b-1x-l40s", "status", put("result", "status", value="infeasible")),
    ("scenarios", "llama-3.1-8b-1x-l40s", "proved", put("judged", "proved", value=False)),
    ("scenarios", "llama-3.1-8b-1x-l40s", "proved", put("judged", value=None)),
    ("scenarios", "llama-3.1-8b-1x-l40s", "memory_fits", put("judged", "estimate", "memory_gb", "total", value=999.0)),
    ("scenarios", "peer-llama-3.1-70b-8xh100-trtllm", "slo_met", put("judged", "estimate", "ttft_ms", value=1001.0)),
    ("scenarios", "peer-llama-3.1-70b-8xh100-trtllm", "slo_met", put("judged", "estimate", "tpot_ms", value=41.0)),
    ("scenarios", "peer-llama-3.1-70b-8xh100-trtllm", "beside_peer", put("our_price", value=1.0)),
    (
        "scenarios",
        "llama-3.1-70b-bf16-1x-h100",
        "binding_limit",
        put("result", "infeasible", "limits", value=[{"name": "tpot_ms"}]),
    ),
    ("scenarios", "llama-3.1-70b-bf16-1x-h100", "changes_hold", put("changes", value=["valid", "infeasible"])),
    ("scenarios", "llama-3.1-70b-bf16-1x-h100", "changes_hold", put("changes", value=[])),
    ("scenarios", "tp4-asked", "as_asked", put("result", "strategy", "pools", 0, "attention", "tp_size", value=8)),
    ("scenarios", "recipe-r0138-1", "recipe_in_top5", put("result", "strategy", "pools", value=[])),
    ("scenarios", "recipe-r0138-1", "recipe_distance", put("result", "strategy", "pools", value=[])),
    ("scenarios", "recipe-r0138-1", "regret", lambda output: output.update(cost=output["best"] + abs(output["best"]))),
    ("recipes", "r0138-1", "accepted", put("errors", value=["TP001 uneven"])),
    ("recipes", "r0138-1", "proved", put("proved", value=False)),
    ("search", "space-000", "feasible_alike", put("found", value=False)),
    ("search", "space-000", "no_gap", lambda output: output.update(cost=output["best"] + abs(output["best"]) * 0.01)),
    ("search", "space-000", "gap", lambda output: output.update(cost=output["best"] + abs(output["best"]) * 0.01)),
    ("search", "space-000", "within_limits", put("within", value=False)),
    ("prompts", "first-llama-3.1-8b-l40s", "enough", put("findings", value=[{"code": "TP001"}])),
    ("prompts", "first-llama-3.1-8b-l40s", "everything_named", put("untold", value=["sp_kind"])),
    ("prompts", "first-llama-3.1-8b-l40s", "characters", put("characters", value=10**6)),
    ("rulebook", "TP001-fails-0", "named", put("codes", value=["TP002"])),
    ("rulebook", "TP001-fails-0", "named_once", put("errors", value=["TP001", "TP002"])),
    ("rulebook", "TP001-passes-0", "let_pass", put("codes", value=["TP001"])),
    ("rules", "0003", "accepted", put("sound", value="TP001 uneven")),
    ("rules", "0003", "recall", put("disagreements", value=["missed: drop ffn.reduce"])),
    ("rules", "0003", "precision", put("disagreements", value=["unexplained: drop ffn.reduce"])),
    ("rules", "0003", "recall_share", put("agreements", "missed", value=3)),
    ("rules", "0003", "precision_share", put("agreements", "unexplained", value=3)),
    ("rules", "0003", "codes_per_mistake", put("codes_per_mistake", value=9.0)),
    ("repair", "000", "converges", put("repairs", value=None)),
    ("repair", "000", "converges", put("repairs", value=4)),
    ("retrieval", "000", "recall", put("shown", value=["nowhere.md#at-all"])),
    ("retrieval", "000", "first", put("shown", value=["nowhere.md#at-all"])),
    ("retrieval", "000", "citations", put("accepted", value=["no-such-page.md#anchor"])),
    ("understanding", "000", "fields", put("wrong", value=["isl: expected 1, got 2"])),
    ("understanding", "000", "accuracy", put("wrong", value=["isl: expected 1, got 2"])),
    ("understanding", "000", "nothing_silent", put("silent", value=["isl"])),
    ("rewording", "0000", "unchanged", put("changed", value=["isl: expected 1, got 2"])),
    ("exports", "r0138-1", "reads_back", put("targets", "vllm", "findings", value=[{"code": "EX002", "message": "tp"}])),
    ("exports", "r0138-1", "written", put("targets", "vllm", "files", value=0)),
    ("planned", "plan", "valid", put("verdicts", 0, "errors", value=["TP001 uneven"])),
    ("planned", "plan", "proved", put("verdicts", 0, "proved", value=False)),
    ("planned", "plan", "keeps_the_request", put("promises", value=["ttft_ms"])),
    ("planned", "refusal", "refusal_has_limits", put("limits", value=[])),
    ("planned", "plan", "price_gap", put("price_gap", value=0.3)),
    ("loop", "", "holds", put("broken", value=["took 9 s of 6"])),
    ("llm", "02", "answered", put("status", value="rejected")),
    ("llm", "02", "in_time", put("origin", value="planner_fallback")),
    ("llm", "02", "in_time", put("answers", value=4)),
    ("llm", "02", "at_once", put("answers", value=2)),
    ("llm", "02", "small_repair", put("repair_share", value=0.5)),
    ("llm", "02", "tokens", put("usage", "input_tokens", value=10**6)),
    ("llm", "02", "worth", put("worth", value=0.2)),
    ("service", "hostile", "nothing_went_wrong", put("faults", value=["500 for a long header"])),
    *(
        ("cost", "laws-llama-3.1-70b-tp8-h100", law, put("broken", law, value=["TTFT falls"]))
        for law in (
            "fuller_is_slower", "fuller_carries_more", "longer_waits_longer", "littles_law", "better_is_not_slower",
            "not_below_roofline",
        )
    ),
    ("cost", "time-dispatch-16-ranks", "time_error", put("us", value=900.0)),
    ("cost", "time-dispatch-16-ranks", "time_plausible", put("us", value=900.0)),
    ("cost", "held-out-gpu", "within_bars", put("errors", "tpot_mape", value=99.0)),
    ("cost", "published-points", "decides_right", put("order", value=0.5)),
    ("cost", "decisions", "decides_right", put("regret", value=0.5)),
    ("cost", "published-points", "beats_roofline", put("roofline", "tpot_mape", value=0.1)),
    ("cost", "published-points", "order", put("order", value=0.5)),
    *(
        ("cost", sample, error, put("errors", error, value=-99.0))
        for sample, error in (
            ("published-points", "tpot_mape"), ("published-points", "tpot_median"), ("published-points", "tpot_bias"),
            ("held-out-gpu", "ttft_mape"), ("held-out-gpu", "ttft_median"), ("decisions", "ttft_bias"),
        )
    ),
    ("published", "gpt-oss-120b-tp4-h200", "plausible", put("tokens", value=1.0)),
    ("published", "gpt-oss-120b-tp4-h200", "tpot_error", put("tpot_ms", value=20.0)),
    ("published", "gpt-oss-120b-tp4-h200", "throughput_error", put("tokens", value=1.0)),
)  # fmt: skip
SHOWN_ONLY = {
    "ttft_ms",
    "tpot_ms",
    "tokens_per_s_per_gpu",
    "search_ms",
    "mutants",
    "ttft_over_roofline",
    "tpot_over_roofline",
    "options",
}
"""Measures without a good side: nothing to be right or wrong about."""
WORDS = {
    "summary",
    "explanation",
    "question",
    "message",
    "hint",
    "reason",
    "detail",
    "title",
    "text",
    "bottleneck",
    "notes",
    "facts",
}
"""Keys of an output under which somebody's sentences stand."""


FINE: dict[tuple[str, str], Json] = {
    ("planned", "plan"): {
        "planned": True, "verdicts": [{"name": "the plan", "errors": [], "proved": True}], "promises": [], "price_gap": 0.0,
        "summary": "TP8 on 8 of 8 GPUs",
    },
    ("planned", "refusal"): {"planned": False, "limits": ["memory: 810 of 80 GB"], "summary": "infeasible"},
    ("repair", "000"): {"repairs": 1, "left": [], "codes": [["TP001"], []], "summary": "1 repairs by the hints of rules"},
    ("loop", ""): {"broken": [], "status": "valid", "origin": "llm", "summary": "valid by llm after 1 attempts"},
    ("service", "hostile"): {"faults": [], "summary": "answered in 3 s"},
    ("llm", "02"): {
        "status": "valid", "origin": "llm", "answers": 1, "codes": [[]], "repair_share": 0.05, "worth": 1.0,
        "usage": {"input_tokens": 3000, "output_tokens": 400, "calls": 1}, "summary": "valid by llm after 1 answers",
    },
    ("cost", "held-out-gpu"): {
        "errors": {"tpot_mape": 9.0, "tpot_median": 5.0, "ttft_mape": 20.0, "ttft_median": 15.0}, "summary": "TPOT 9 %",
    },
    ("cost", "decisions"): {
        "order": 0.9, "regret": 0.0, "full_load": 0.9, "errors": {"tpot_bias": 1.0, "ttft_bias": -2.0},
        "roofline": {"tpot_mape": 59.0}, "summary": "9 of 10",
    },
}  # fmt: skip
"""Outputs written by hand where solving takes a server, a model or tables that are not ours to pass on."""
TARGETS: dict[tuple[str, str], Sample] = {
    ("planned", "plan"): Sample("plan", "a request"),
    ("planned", "refusal"): Sample("refusal", "a request"),
    ("repair", "000"): Sample("000 a broken proposal", "a proposal"),
    ("loop", ""): Sample("slow-drip", "a few bytes a second"),
    ("cost", "held-out-gpu"): Sample("held-out-gpu", {"kind": "held out"}, {"tpot_mape": 18, "tpot_median": 12}),
    ("cost", "decisions"): Sample("decisions", {"kind": "decisions"}, {"order": 0.85, "regret": 0.03}),
}


@cache
def sample_of(suite: str, name: str) -> Sample:
    made = TARGETS.get((suite, name))
    return made or next(sample for sample in SUITES[suite].all_samples(0) if sample.id.startswith(name))


@cache
def solved(suite: str, name: str) -> Json:
    return FINE.get((suite, name)) or asyncio.run(SUITES[suite].solve(sample_of(suite, name), "planner"))


def scores(suite: Suite, name: str, output: Json) -> Mapping[str, Any]:
    return {one.scorer: one for one in score(suite.scorers, sample_of(suite.name, name), output)}


def said_by(scorer: str, suite: str, name: str, output: Json) -> Score:
    chosen = [one for one in SUITES[suite].scorers if getattr(one, "__name__", "") == scorer]
    (said,) = score(chosen, sample_of(suite, name), output)
    return said


@pytest.mark.parametrize(
    ("suite", "name", "scorer", "spoil"), CASES, ids=[f"{c[0]}-{c[2]}-{n}" for n, c in enumerate(CASES)]
)
def test_a_scorer_tells_right_from_wrong(suite: str, name: str, scorer: str, spoil: Change) -> None:
    good = solved(suite, name)
    bad = copy.deepcopy(good)
    spoil(bad)

    said, objected = said_by(scorer, suite, name, good), said_by(scorer, suite, name, bad)

    if said.kind == "check":
        assert (said.value, objected.value) == (1, 0)
        assert objected.detail
    else:
        sign = -1 if said.better == "lower" else 1
        assert sign * objected.value <= sign * said.value
        assert objected != said or scorer.startswith("recipe_")


@pytest.mark.parametrize("suite", SUITES.values(), ids=str)
def test_every_scorer_has_such_a_case(suite: Suite) -> None:
    tested = {scorer for name, _, scorer, _ in CASES if name == suite.name}

    assert {getattr(scorer, "__name__", "") for scorer in suite.scorers} - tested <= SHOWN_ONLY


def rewritten(value: Any) -> Any:
    """The output with every sentence replaced by one that claims success."""
    if isinstance(value, dict):
        return {
            key: "valid, proved, within every limit, value 1" if key in WORDS else rewritten(one)
            for key, one in value.items()
        }
    return [rewritten(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("suite", "name"), sorted({(suite, name) for suite, name, _, _ in CASES}))
def test_sentences_change_no_score(suite: str, name: str) -> None:
    output = copy.deepcopy(solved(suite, name))
    if output.get("judged"):
        output["judged"]["proved"] = False

    before, after = scores(SUITES[suite], name, output), scores(SUITES[suite], name, rewritten(output))

    assert {key: one.value for key, one in after.items()} == {key: one.value for key, one in before.items()}


@pytest.mark.parametrize("suite", SUITES.values(), ids=str)
def test_an_output_that_is_none_passes_no_check(suite: Suite) -> None:
    name = next(case[1] for case in CASES if case[0] == suite.name)

    found = [one for one in scores(suite, name, {}).values() if one.kind == "check"]

    assert found
    assert {one.value for one in found} == {0}


def test_the_distance_of_plans_counts_doublings() -> None:
    pool = {"attention": {"dp_size": 1, "cp_size": 1, "tp_size": 4}, "experts": None, "pp_size": 2, "replicas": 3}
    same, other = {"workers": 1, "tp": 4, "dp": 1, "ep": 1, "pp": 2}, {"workers": 1, "tp": 8, "dp": 1, "ep": 4}

    assert distance([pool], [same]) == 0
    assert distance([pool], [other]) == 1 + 2 + 1
    assert distance([pool, pool], [same]) == 4


def test_there_are_enough_scenarios_of_every_kind() -> None:
    found = SCENARIOS.all_samples(0)

    assert len(found) >= 150
    assert sum("peer" in sample.target for sample in found) == 14
    assert sum("recipes" in sample.target for sample in found) >= 100
    assert sum(sample.target["status"] == "infeasible" for sample in found) >= 15
    assert sum(isinstance(sample.input, str) for sample in found) >= 30


def test_the_same_seed_draws_the_same_spaces() -> None:
    assert SEARCH.all_samples(5) == SEARCH.all_samples(5)
    assert SEARCH.all_samples(5) != SEARCH.all_samples(6)
