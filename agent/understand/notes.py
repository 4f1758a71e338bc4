"""What an understanding gathers on its way: assumptions, and questions about what is missing or contradicts itself."""

from dataclasses import dataclass, field
from typing import TypeVar

from strategy.model import Dtype

T = TypeVar("T")


@dataclass
class Notes:
    """Assumptions in the order in which they were made; at most one question for each topic."""

    assumptions: list[str] = field(default_factory=list)
    questions: dict[str, str] = field(default_factory=dict)
    precision: dict[str, Dtype] = field(default_factory=dict)
    """Precisions that the model's own name says."""

    spent: list[tuple[int, int]] = field(default_factory=list)
    """Places of numbers that one reader understood and no other one shall read."""

    def assume(self, text: str) -> None:
        """Note a decision that the text did not make."""
        if text not in self.assumptions:
            self.assumptions.append(text)

    def ask(self, topic: str, question: str) -> None:
        """Note what has to be asked about `topic`; the first question about it stands."""
        self.questions.setdefault(topic, question)

    def take_over(self, other: "Notes") -> None:
        """Add what a trial had to say."""
        for text in other.assumptions:
            self.assume(text)
        for topic, question in other.questions.items():
            self.ask(topic, question)

    def one_of(self, topic: str, values: list[T]) -> T | None:
        """The value that was given, or None; several different ones are asked about."""
        distinct = list(dict.fromkeys(values))
        if len(distinct) > 1:
            shown = ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in distinct[:4])
            self.ask(topic, f"the text gives {len(distinct)} values for {topic} ({shown}): which one?")
            return None
        return distinct[0] if distinct else None
