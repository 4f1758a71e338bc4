import asyncio
from collections import Counter
from random import Random

import pytest

from evals.mutate.campaign import Tally, base_document, campaign
from evals.mutate.judge import Outcome, reason_of, unsound
from evals.mutate.report import to_markdown
from evals.mutate.rewritings import REWRITINGS
from evals.mutate.strategies import strategies, traits
from evals.suites.rules import RULES, RulesSettings, drawn
from strategy.dag import Dag
from strategy.execute import prove
from validators.examples import dense, drop


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHWRIGHT_RULES_STRATEGIES", "3")
    monkeypatch.setenv("MESHWRIGHT_RULES_MUTANTS", "4")


@pytest.mark.usefixtures("small")
def test_a_sample_passes_when_rules_and_execution_agree_on_all_its_mutants() -> None:
    sample = drawn(2)[1]

    output = asyncio.run(RULES.solve(sample, "planner"))
    scores = {score.scorer: score.value for scorer in RULES.scorers if (score := scorer(sample, output))}

    assert output["disagreements"] == []
    assert sum(output["agreements"].values()) == 4
    assert set(scores.values()) == {1.0, 4.0}


@pytest.mark.usefixtures("small")
def test_samples_are_drawn_from_the_seed() -> None:
    assert [s.id for s in drawn(1)] == [s.id for s in drawn(1)]
    assert [s.input for s in drawn(1)] != [s.input for s in drawn(2)]
    assert RulesSettings().strategies == 3


def test_a_missed_mutant_fails_recall_and_an_unexplained_refusal_precision() -> None:
    tally = Tally()
    for agreement in ("caught", "caught", "missed", "harmless", "refused", "unexplained"):
        tally.add(Outcome("drop", "ffn.reduce", agreement, ("TP007",)))  # type: ignore[arg-type]

    assert (tally.recall, tally.precision) == (2 / 3, 3 / 4)
    assert "| drop | 2 | 1 | 1 | 1 | 1 | 66.7% | 75.0% |" in to_markdown(tally)


def test_a_reason_holds_for_the_mutations_it_names() -> None:
    assert reason_of("EP003", "pool-field")
    assert not reason_of("EP003", "drop")
    assert not reason_of("TP007", "pool-field")


def test_random_strategies_cover_the_space() -> None:
    found = Counter(
        trait
        for _, (model, strategy) in zip(range(250), strategies(0), strict=False)
        for trait in traits(model, strategy)
    )

    combinations = {trait.removeprefix("prefill ") for trait in found if trait.startswith("prefill ")}
    assert len(combinations) == 16
    for wanted in (
        "sp_kind megatron", "sp_kind cp_allgather", "sp_kind cp_ring", "sp_kind cp_ulysses", "dcp", "chunked prefill",
        "cp_allgather, decode batch_shard", "cp_allgather, decode replicate", "cp_allgather, decode tp_slice", "cp_allgather, decode dcp",
        "cp_ring, decode batch_shard", "cp_ring, decode replicate", "cp_ring, decode tp_slice", "cp_ring, decode dcp",
        "cp_ulysses, decode batch_shard", "cp_ulysses, decode replicate", "cp_ulysses, decode tp_slice",
        "disaggregated", "disaggregated, different degrees", "ep_lowering all_to_all", "ep_lowering all_gather", "ep_lowering replicated",
        "expert tp inside ep", "expert copies (moe dp)", "redundant experts", "DP attention", "DP attention, all_to_all",
        "DP attention, all_gather", "DP attention, replicated", "dense_ffn gathered", "lm_head gathered", "dp_layout inner",
        "moe_layout ep_fastest", "independent replicas", "microbatches", "uneven stages", "MHA", "MQA", "GQA",
        "MLA, expanded and absorbed", "sliding window", "chunked window", "shared experts", "dense layers, then MoE",
        "dense and MoE layers interleaved",
    ):  # fmt: skip
        assert found[wanted] >= 2, wanted


def test_documents_that_say_the_same_otherwise_are_accepted_and_proved() -> None:
    tried: Counter[str] = Counter()
    for seed, (model, strategy) in zip(range(24), strategies(7), strict=False):
        document, rewritings = base_document(model, strategy, Random(seed))
        tried.update(rewritings)
        assert unsound(Dag.model_validate(document), model) == "", rewritings

    assert len(tried) == len(REWRITINGS)


def test_a_campaign_reports_what_it_ran() -> None:
    *_, tally = campaign(seed=3, wanted_strategies=4, wanted_mutants=8)

    assert (tally.strategies, tally.mutants) == (4, 8)
    assert tally.disagreements == []


def test_execution_alone_refuses_what_the_rules_refuse() -> None:
    broken = drop(dense(), "ffn.reduce")

    assert not prove(broken.dag, broken.model).passed
