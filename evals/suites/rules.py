"""Rules: mutants of random legal strategies.

Whatever changes the numbers is rejected before the proof; whatever does not is accepted, or refused for a stated reason
(`evals.mutate.judge.REASONS`).
"""

from collections import Counter
from collections.abc import Sequence
from itertools import islice
from typing import Any

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from evals.mutate.campaign import mutants_of
from evals.mutate.judge import sound
from evals.mutate.strategies import strategies, traits
from evals.suite import Sample, Score, Suite, measure
from strategy.model import ModelSpec
from strategy.strategy import Strategy, describe


class RulesSettings(BaseSettings):
    """How much to fuzz: `MESHWRIGHT_RULES_STRATEGIES` and `MESHWRIGHT_RULES_MUTANTS` (of each)."""

    model_config = SettingsConfigDict(env_prefix="MESHWRIGHT_RULES_", env_file=".env", frozen=True, extra="ignore")

    strategies: int = Field(default=64, ge=1, le=100_000)
    mutants: int = Field(default=10, ge=1, le=100_000)


def drawn(seed: int) -> Sequence[Sample]:
    """Random legal strategies; every combination and model in turn."""
    settings = RulesSettings()
    found = enumerate(islice(strategies(seed), settings.strategies))
    return [_sample(index, model, strategy, seed, settings.mutants) for index, (model, strategy) in found]


def _sample(index: int, model: ModelSpec, strategy: Strategy, seed: int, mutants: int) -> Sample:
    pools = " | ".join(describe(pool) for pool in strategy.pools)
    case = {
        "model": model.model_dump(mode="json"),
        "strategy": strategy.model_dump(mode="json"),
        "seed": seed * 1_000_003 + index,
        "mutants": mutants,
    }
    return Sample(f"{index:04d} {model.name}: {pools}", case)


async def solve(sample: Sample, _proposer: str) -> dict[str, Any]:
    """Judge the canonical DAG, then its mutants."""
    model = ModelSpec.model_validate(sample.input["model"])
    strategy = Strategy.model_validate(sample.input["strategy"])
    fault = sound(model, strategy)
    outcomes, rules, stories = Counter[str](), Counter[str](), []
    codes: list[int] = []
    for outcome, story in (
        mutants_of(model, strategy, sample.input["mutants"], sample.input["seed"]) if not fault else ()
    ):
        outcomes[f"{outcome.kind}: {outcome.agreement}"] += 1
        rules.update(f"{code}: {outcome.agreement}" for code in outcome.codes)
        stories += [story] if story else []
        codes += [len(outcome.codes)] if outcome.codes else []
    words = Counter(name.partition(": ")[2] for name in outcomes.elements())
    return {
        "summary": fault or ", ".join(f"{count} {word}" for word, count in sorted(words.items())),
        "sound": fault,
        "agreements": dict(words),
        "mutations": dict(outcomes),
        "rules": dict(rules),
        "codes_per_mistake": sum(codes) / len(codes) if codes else None,
        "covers": traits(model, strategy),
        "disagreements": stories,
    }


def accepted(_sample: Sample, output: dict[str, Any]) -> Score:
    """The canonical DAG of a legal strategy has no error and is proved."""
    return Score("canonical DAG accepted and proved", float(not output["sound"]), output["sound"])


def recall(_sample: Sample, output: dict[str, Any]) -> Score:
    """Mutants that change the numbers are rejected by the rules."""
    missed = [story for story in output["disagreements"] if story.startswith("missed")]
    return Score("wrong numbers rejected before the proof", float(not missed), "; ".join(missed))


def precision(_sample: Sample, output: dict[str, Any]) -> Score:
    """What the rules reject changes the numbers, or has a stated reason."""
    unexplained = [story for story in output["disagreements"] if story.startswith("unexplained")]
    return Score("refusals explained", float(not unexplained), "; ".join(unexplained))


def recall_share(_sample: Sample, output: dict[str, Any]) -> Score | None:
    """Of the mutants that change the numbers, those that the rules reject."""
    found = Counter[str](output["agreements"])
    departing = found["caught"] + found["missed"]
    return measure("recall", found["caught"] / departing, better="higher", unit="share") if departing else None


def precision_share(_sample: Sample, output: dict[str, Any]) -> Score | None:
    """Of the mutants that the rules reject, those that change the numbers or are refused for a stated reason."""
    found = Counter[str](output["agreements"])
    right = found["caught"] + found["refused"]
    rejected = right + found["unexplained"]
    return measure("precision", right / rejected, better="higher", unit="share") if rejected else None


def codes_per_mistake(_sample: Sample, output: dict[str, Any]) -> Score | None:
    """How many rules speak of one mistake; one would do."""
    found = output["codes_per_mistake"]
    return None if found is None else measure("codes_per_mistake", found, better="lower", unit="codes")


def mutants(_sample: Sample, output: dict[str, Any]) -> Score:
    """How many were judged."""
    return measure("mutants", sum(output["agreements"].values()))


RULES = Suite(
    name="rules",
    about="mutants of random strategies: rules and execution agree",
    samples=lambda: (),
    solve=solve,
    scorers=(accepted, recall, precision, recall_share, precision_share, codes_per_mistake, mutants),
    drawn=drawn,
)
