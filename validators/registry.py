"""A rule is one function and its record, in one file; the catalogue is whatever stands in `validators/rules/`.

    @rule(code="TP001", stage="strategy", severity="error", message="...", hint="...", sources=("...",),
          knowledge="tensor-parallelism.md#heads", passes=lambda: [...], fails=lambda: [...])
    def uneven_attention_heads(subject: Subject) -> Iterator[Hit]:
        '''Tensor parallelism gives each rank a whole number of attention heads.'''

Message and hint are templates filled by a hit's facts, so the docs, the API and the re-prompt share one text.
"""

import importlib
import pkgutil
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from strategy.result import Finding, Severity
from validators.subject import Subject

Stage = Literal["schema", "strategy", "layout", "graph", "typing", "conservation", "memory", "proof"]
STAGES: tuple[Stage, ...] = ("schema", "strategy", "layout", "graph", "typing", "conservation", "memory", "proof")

BLOCKED_BY: dict[Stage, frozenset[Stage]] = {
    "schema": frozenset(),
    "strategy": frozenset({"schema"}),
    "layout": frozenset({"schema", "strategy"}),
    "graph": frozenset({"schema"}),
    "typing": frozenset({"schema", "strategy", "layout", "graph"}),
    "conservation": frozenset({"schema", "strategy", "layout", "graph", "typing"}),
    "memory": frozenset({"schema", "strategy", "layout"}),
    "proof": frozenset({"schema", "strategy", "layout", "graph", "typing", "conservation", "memory"}),
}
"""An error in one of these stages makes the findings of the next ones noise, so one mistake is told once."""


class Hit:
    """One place that breaks a rule, with the facts that fill its message and hint. `severity` overrides the rule's own."""

    def __init__(self, path: str, *, severity: Severity | None = None, **facts: object) -> None:
        self.path = path
        self.severity = severity
        self.facts = facts


@dataclass(frozen=True)
class Example:
    """A subject made on demand, and what makes it worth showing."""

    name: str
    make: Callable[[], Subject]


Check = Callable[[Subject], Iterable[Hit]]
Examples = Callable[[], Sequence[Example]]


@dataclass(frozen=True)
class Rule:
    """A rule's record. `requires` names rules without whose consent this one has nothing sensible to say."""

    code: str
    name: str
    """The pattern found, as in "allow uneven-attention-heads"."""
    summary: str
    """Why, in one sentence: the function's docstring."""
    severity: Severity
    stage: Stage
    message: str
    hint: str
    sources: tuple[str, ...]
    check: Check
    knowledge: str
    """Section that explains it: `file.md#anchor`."""
    settles: tuple[str, ...] = ()
    """Contradictions of the sources that this rule settles (X1 to X30)."""
    requires: frozenset[str] = field(default_factory=frozenset)
    passes: Examples = tuple
    fails: Examples = tuple

    @property
    def family(self) -> str:
        """Topic: the letters of the code."""
        return self.code.rstrip("0123456789")

    def findings(self, subject: Subject) -> list[Finding]:
        """Every place where `subject` breaks this rule."""
        return [self.finding(hit) for hit in self.check(subject)]

    def finding(self, hit: Hit) -> Finding:
        """A hit in words."""
        return Finding(
            code=self.code,
            severity=hit.severity or self.severity,
            path=hit.path,
            message=self.message.format(**hit.facts),
            hint=self.hint.format(**hit.facts),
        )


def rule(
    *,
    code: str,
    stage: Stage,
    severity: Severity,
    message: str,
    hint: str,
    sources: tuple[str, ...],
    knowledge: str,
    settles: tuple[str, ...] = (),
    requires: frozenset[str] = frozenset(),
    passes: Examples = tuple,
    fails: Examples = tuple,
) -> Callable[[Check], Rule]:
    """Turn a check into the rule it is; its name and docstring become the rule's name and summary."""

    def register(check: Check) -> Rule:
        return Rule(
            code=code,
            name=getattr(check, "__name__", code).replace("_", "-"),
            summary=" ".join((check.__doc__ or "").split()),
            severity=severity,
            stage=stage,
            message=message,
            hint=hint,
            sources=sources,
            check=check,
            knowledge=knowledge,
            settles=settles,
            requires=requires,
            passes=passes,
            fails=fails,
        )

    return register


@cache
def catalogue() -> dict[str, Rule]:
    """Every rule by code, in code order: each `Rule` value found in a module of `validators/rules/`."""
    package = importlib.import_module("validators.rules")
    found: dict[str, Rule] = {}
    for module_info in sorted(pkgutil.iter_modules(package.__path__), key=lambda m: m.name):
        module = importlib.import_module(f"validators.rules.{module_info.name}")
        for value in vars(module).values():
            if isinstance(value, Rule):
                if value.code in found:
                    raise ValueError(f"rule code {value.code} is used twice")
                found[value.code] = value
    return dict(sorted(found.items()))


def run(subject: Subject, rules: Iterable[Rule] | None = None, *, left_out: Container[Stage] = ()) -> Iterator[Finding]:
    """Findings of every rule, stage by stage; a stage is left out when one that it builds on has an error."""
    failed_stages: set[Stage] = set()
    failed_codes: set[str] = set()
    for stage, ordered in _catalogue_by_stage() if rules is None else _by_stage(rules):
        if stage in left_out or BLOCKED_BY[stage] & failed_stages:
            continue
        for one in ordered:
            if one.requires & failed_codes:
                failed_codes.add(one.code)
                continue
            for finding in one.findings(subject):
                if finding.severity == "error":
                    failed_stages.add(stage)
                    failed_codes.add(one.code)
                yield finding


@cache
def _catalogue_by_stage() -> list[tuple[Stage, list[Rule]]]:
    return _by_stage(catalogue().values())


def _by_stage(rules: Iterable[Rule]) -> list[tuple[Stage, list[Rule]]]:
    """The rules of each stage, in the order in which they are asked."""
    pending = list(rules)
    return [(stage, _requirements_first([one for one in pending if one.stage == stage])) for stage in STAGES]


def _requirements_first(rules: list[Rule]) -> list[Rule]:
    """The rules of one stage, each behind those it requires, otherwise as they came. Raises `ValueError` on a circle."""
    waiting = {one.code: one for one in rules}
    ordered: list[Rule] = []
    while waiting:
        ready = [one for one in waiting.values() if not one.requires & waiting.keys()]
        if not ready:
            raise ValueError(f"these rules require each other: {', '.join(waiting)}")
        ordered += ready
        for one in ready:
            del waiting[one.code]
    return ordered
