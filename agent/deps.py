"""What a run needs from outside, as one value; tests replace its parts."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from agent.proposers import PlannerProposer, Proposer, Shown
from agent.replies import Reply
from agent.settings import LlmSettings, LoopSettings
from strategy.dag import Dag
from strategy.model import ModelSpec
from strategy.request import Problem, Request
from strategy.result import Estimate, Finding, Proof

if TYPE_CHECKING:
    from agent.openai import OpenAiProposer
    from agent.recordings import RecordedProposer, RecordingProposer

RECORDED = "recorded:"
"""How a proposer that replays a recording is named: `recorded:FILE`."""


class Judgement(Protocol):
    """What a validator says about one DAG."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything found."""

    @property
    def proof(self) -> Proof | None:
        """The proof, when it ran."""

    @property
    def valid(self) -> bool:
        """No error finding, and the proof passed."""


class Reader(Protocol):
    """Reads a text as a language model does."""

    async def read(self, text: str, tokens_left: int | None) -> Reply:
        """What it reads, as a reply that holds a `WireReading`."""
        ...


Understand = Callable[[str], "tuple[Request | None, str | None, tuple[str, ...]]"]


@dataclass(frozen=True)
class Deps:
    """Everything that a run reaches: facts, judges and proposers. Holds no state of a run, so runs may share it."""

    resolve: Callable[[Request], tuple[Problem, tuple[str, ...]]]
    """Names looked up and defaults decided, with the assumptions this took. Raises `InputError`."""
    understand: Understand
    """Text -> (request, question, assumptions)."""
    search_sections: Callable[[str, int], tuple[Shown, ...]]
    """Knowledge sections for a query, best first."""
    validate: Callable[[Dag, ModelSpec, Problem], Judgement]
    estimate: Callable[[Dag, Problem], Estimate]
    planner: Proposer
    """Proposes by default; yardstick and fallback of a language model."""
    model: Proposer | None = None
    """The language model, when one is configured."""
    reader: Reader | None = None
    """The same one, as a second reader of texts that the patterns leave open."""
    show_evidence: bool = False
    """The model sees the planner's candidates (`assist: evidence`)."""
    write_graph: bool = False
    """The model is asked for a graph of its own (`graph: own`)."""
    settings: LoopSettings = field(default_factory=LoopSettings)


def default_deps(
    llm: LlmSettings | None = None,
    settings: LoopSettings | None = None,
    *,
    record: Path | None = None,
    replay: Path | None = None,
    knowledge: tuple[Path, ...] = (),
) -> Deps:
    """The real parts. A language model is asked only when `llm` is given, and its client is imported only then.

    `record` appends every exchange with it to a file; `replay` answers from such a file instead of asking. `knowledge` are folders of
    pages beside ours, looked at anew for every run. Raises `InputError` for a recording that cannot be read.
    """
    local = _local_deps(knowledge)
    model = _replayed(replay) if replay is not None else None if llm is None else _language_model(llm, record)
    return replace(
        local,
        planner=local.planner if llm is None and replay is None else _yardstick(),
        model=model,
        reader=model,
        show_evidence=llm is not None and llm.assist == "evidence",
        write_graph=llm is not None and llm.graph == "own",
        settings=settings or LoopSettings(),
    )


@cache
def _yardstick() -> Proposer:
    """The planner that also tells a model what else is legal."""
    from knowledge.calibration import calibration

    return PlannerProposer(calibration(), tell_layouts=True)


def _replayed(path: Path) -> "RecordedProposer":
    from agent.recordings import RecordedProposer

    return RecordedProposer(path)


@cache
def _local_deps(knowledge: tuple[Path, ...]) -> Deps:
    """What needs no language model, loaded once."""
    from knowledge.calibration import calibration
    from knowledge.resolve import resolve
    from knowledge.retrieval import library
    from strategy.cost import estimate
    from validators.validate import validate

    pages, constants = library(knowledge), calibration()

    def resolved(request: Request) -> tuple[Problem, tuple[str, ...]]:
        found = resolve(request)
        return found.problem, found.assumptions

    def understood(text: str) -> tuple[Request | None, str | None, tuple[str, ...]]:
        from agent.understand import understand  # hundreds of patterns to compile, which most requests never need

        found = understand(text)
        return found.request, found.question, found.assumptions

    def sections(query: str, k: int) -> tuple[Shown, ...]:
        return tuple(Shown(ref=s.ref, title=s.title, text=s.text) for s in pages.search(query, k))

    return Deps(
        resolve=resolved,
        understand=understood,
        search_sections=sections,
        validate=validate,
        estimate=lambda dag, problem: estimate(dag, problem, constants),
        planner=PlannerProposer(constants),
    )


def _language_model(llm: LlmSettings, record: Path | None) -> "OpenAiProposer | RecordingProposer":
    from agent.openai import OpenAiProposer
    from agent.recordings import RecordingProposer

    endpoint = OpenAiProposer(llm)
    return endpoint if record is None else RecordingProposer(endpoint, record, model=llm.model)
