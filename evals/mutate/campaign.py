"""A campaign: many mutants of many strategies, counted by mutation, by rule and by trait, with every disagreement made small."""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from random import Random

from evals.mutate.judge import Outcome, document_of, judged, smallest, sound, unsound
from evals.mutate.mutations import Document, random_mutation
from evals.mutate.rewritings import rewritten
from evals.mutate.strategies import canonical, strategies, traits
from strategy.dag import Dag
from strategy.model import ModelSpec
from strategy.strategy import Strategy, describe

TRIES_PER_MUTANT = 20


@dataclass
class Tally:
    """What a campaign found so far."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By (mutation, agreement)."""
    by_rule: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By (code, agreement)."""
    covered: Counter[str] = field(default_factory=Counter)
    """Strategies by trait."""
    codes_told: Counter[tuple[str, int]] = field(default_factory=Counter)
    """Rejected mutants by (mutation, how many different codes they were told)."""
    strategies: int = 0
    disagreements: list[str] = field(default_factory=list)

    @property
    def mutants(self) -> int:
        """Mutants judged."""
        return self.outcomes.total()

    def count(self, *agreements: str) -> int:
        """Mutants with one of these agreements."""
        return sum(n for (_, agreement), n in self.outcomes.items() if agreement in agreements)

    @property
    def recall(self) -> float:
        """Share of the mutants that change the numbers which the rules reject."""
        departing = self.count("caught", "missed")
        return 1.0 if departing == 0 else self.count("caught") / departing

    @property
    def precision(self) -> float:
        """Share of the rejected mutants that change the numbers or are refused for a reason that is known."""
        rejected = self.count("caught", "refused", "unexplained")
        return 1.0 if rejected == 0 else self.count("caught", "refused") / rejected

    @property
    def told_once(self) -> float:
        """Share of the rejected mutants with one mistake that are told one code."""
        single = {key: n for key, n in self.codes_told.items() if key[0] != "two-mistakes"}
        return sum(n for (_, codes), n in single.items() if codes == 1) / max(1, sum(single.values()))

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.outcomes + other.outcomes,
            self.by_rule + other.by_rule,
            self.covered + other.covered,
            self.codes_told + other.codes_told,
            self.strategies + other.strategies,
            [*self.disagreements, *other.disagreements],
        )

    def add(self, outcome: Outcome) -> None:
        """Count one outcome."""
        self.outcomes[outcome.kind, outcome.agreement] += 1
        if outcome.codes:
            self.codes_told[outcome.kind, len(outcome.codes)] += 1
        for code in outcome.codes:
            self.by_rule[code, outcome.agreement] += 1


def base_document(model: ModelSpec, strategy: Strategy, rng: Random) -> tuple[Document, tuple[str, ...]]:
    """The document that is mutated: the canonical one, or one that says the same otherwise, and how it was rewritten."""
    dag = canonical(model, strategy)
    assert dag is not None
    document = document_of(dag)
    return document, rewritten(rng, document)


def mutants_of(model: ModelSpec, strategy: Strategy, count: int, seed: int) -> Iterator[tuple[Outcome, str]]:
    """Outcomes of `count` mutants of a strategy, each with the story of its disagreement (empty when there is none)."""
    rng = Random(seed)  # noqa: S311 (repeatable)
    document, rewritings = base_document(model, strategy, rng)
    dag = Dag.model_validate(document)
    if rewritings and (fault := unsound(dag, model)):
        outcome = Outcome("none", ", ".join(rewritings), "unexplained", (), 0, fault)
        yield outcome, told(model, strategy, outcome)
        return
    for _ in range(count):
        for _ in range(TRIES_PER_MUTANT):
            mutation = random_mutation(rng, document, model)
            mutant = mutation.applied(document)
            if mutant is not None and mutant != dag:
                outcome = judged(mutant, model, mutation)
                small = smallest(model, strategy, mutation) if outcome.disagrees else None
                story = told(model, *(small or (strategy, outcome))) if outcome.disagrees else ""
                yield outcome, story + (f"; rewritten: {', '.join(rewritings)}" if story and rewritings else "")
                break


def told(model: ModelSpec, strategy: Strategy, outcome: Outcome) -> str:
    """A disagreement in words: the smallest place in which it was seen."""
    pools = "; ".join(
        f"{describe(pool)} {pool.model_dump(exclude_defaults=True, exclude={'stages', 'attention', 'experts', 'pp_size'})}"
        for pool in strategy.pools
    )
    said = ", ".join(outcome.codes) or "nothing"
    return (
        f"{outcome.agreement}: {outcome.kind} {outcome.where} on {model.name}, {pools}; rules say {said}; "
        f"execution {outcome.detail or 'agrees'}"
    )


def campaign(
    seed: int,
    wanted_strategies: int,
    wanted_mutants: int,
    seconds: float = float("inf"),
    *,
    part: int = 0,
    parts: int = 1,
) -> Iterator[Tally]:
    """Run, and give the tally after every strategy. Ends early when the time is over. `parts` processes share one campaign."""
    tally, end = Tally(), time.monotonic() + seconds
    each = -(-wanted_mutants // wanted_strategies)
    drawn = enumerate(islice(strategies(seed), wanted_strategies))
    for index, (model, strategy) in islice(drawn, part, None, parts):
        tally.strategies += 1
        tally.covered.update(traits(model, strategy))
        if fault := sound(model, strategy):
            pools = "; ".join(describe(pool) for pool in strategy.pools)
            tally.disagreements.append(f"canonical DAG of {model.name}, {pools}: {fault}")
        else:
            for outcome, story in mutants_of(model, strategy, each, seed * 1_000_003 + index):
                tally.add(outcome)
                if story:
                    tally.disagreements.append(story)
        yield tally
        if time.monotonic() > end:
            return
