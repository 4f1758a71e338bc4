"""What an understanding gathers on its way: assumptions, and questions about what is missing or contradicts itself."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from agent.understand.scan import SPAN
from agent.understand.support import alternatives, support
from strategy.model import Dtype

T = TypeVar("T")
Origin = Literal["default", "learned"]
"""Where a value that no words give comes from: what is usual, or the learned reader."""
ORIGINS: tuple[Origin, ...] = ("default", "learned")
ESSENTIAL = frozenset({"GPUs", "hosts", "GPUs per host", "racks", "gpus"})
"""Topics about which two values are asked: another number of GPUs is another plan."""


@dataclass
class Notes:
    """Assumptions in the order in which they were made; at most one question for each topic."""

    assumptions: list[str] = field(default_factory=list)
    questions: dict[str, str] = field(default_factory=dict)
    precision: dict[str, Dtype] = field(default_factory=dict)
    """Precisions that the model's own name says."""

    spent: list[tuple[int, int]] = field(default_factory=list)
    """Places of numbers that one reader understood and no other one shall read."""
    text: str = ""
    """The text that is read, by which values are weighed."""
    named: list[SPAN] = field(default_factory=list)
    """Where the text names models and GPUs."""
    chosen: set[str] = field(default_factory=set)
    """Topics on which the text gave several values and one was taken."""
    asks_choices: bool = False
    """Whether alternatives are asked about: in a dialogue they are, in a first text they stay open."""

    origins: dict[str, tuple[Origin, str]] = field(default_factory=dict)
    """Assumptions that give a field its default or a learned value: which of the two, and which field."""

    def assume(self, text: str, *, default: str | None = None, learned: str | None = None) -> None:
        """Note a decision that the text did not make; one that gives a field its value names it as `default` or `learned`."""
        if text not in self.assumptions:
            self.assumptions.append(text)
        if default is not None:
            self.origins[text] = ("default", default)
        elif learned is not None:
            self.origins[text] = ("learned", learned)

    def comes_from(self, origin: Origin, name: str) -> bool:
        """Whether a field has its default, or a value that the learned reader gave."""
        return any(self.origins.get(text) == (origin, name) for text in self.assumptions)

    def take_back(self, origin: Origin, name: str) -> None:
        """Drop what was assumed of a field."""
        self.assumptions = [text for text in self.assumptions if self.origins.get(text) != (origin, name)]

    def ask(self, topic: str, question: str) -> None:
        """Note what has to be asked about `topic`; the first question about it stands."""
        self.questions.setdefault(topic, question)

    def take_over(self, other: "Notes") -> None:
        """Add what a trial had to say."""
        for text in other.assumptions:
            self.assume(text)
        self.origins |= other.origins
        for topic, question in other.questions.items():
            self.ask(topic, question)

    def one_of(
        self, topic: str, values: Sequence[T], places: Sequence[SPAN] = (), trust: Sequence[float] = ()
    ) -> T | None:
        """The value that was given, or None; of several the better supported one is taken and said, the later one of equals.

        Numbers of GPUs are asked about. `places` are where the values stand, `trust` what else speaks for each.
        """
        distinct = list(dict.fromkeys(values))
        if len(distinct) < 2:
            return distinct[0] if distinct else None
        if topic in ESSENTIAL:
            self.ask(topic, f"the text gives {len(distinct)} values for {topic} ({_listed(distinct[:4])}): which one?")
            return None
        weights = [support(self.text, place, self.named) for place in places] or [0.0] * len(values)
        extra = trust or [0.0] * len(values)
        order = [place[0] for place in places] or list(range(len(values)))
        best = values[max(range(len(values)), key=lambda i: (weights[i] + extra[i], order[i]))]
        others = [value for value in distinct if value != best]
        self.chosen.add(topic)
        self.assume(f"{topic} {_listed([best])}; {_listed(others[:4])} was also given")
        return best

    def choice_of(self, topic: str, values: Sequence[T], places: Sequence[SPAN]) -> T | None:
        """One of a few options as `one_of` takes it; alternatives (`4 or 8`) stay open, which is said, or are asked about."""
        distinct = list(dict.fromkeys(values))
        if len(distinct) > 1 and alternatives(self.text, list(places)):
            self.leave_open(topic, f"the text gives {len(distinct)} values for {topic} ({_listed(distinct[:4])})")
            return None
        return self.one_of(topic, values, places)

    def leave_open(self, topic: str, finding: str) -> None:
        """What the text itself does not decide: the plan chooses, or, in a dialogue, a question."""
        if self.asks_choices:
            self.ask(topic, f"{finding}: which one?")
        else:
            self.chosen.add(topic)
            self.assume(f"{finding}: left open, the plan chooses")


def _listed(values: Sequence[object]) -> str:
    return ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in values)
