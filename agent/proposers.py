"""Who proposes: the protocol, what passes through it, and the embedded planner."""

import asyncio
from typing import TYPE_CHECKING, Any, Literal, Protocol

from agent.layouts import Layout
from strategy.dag import Dag
from strategy.request import Problem
from strategy.result import Alternative, Estimate, Finding, Gain, Infeasible, Usage
from strategy.strategy import Strategy
from strategy.values import Frozen

if TYPE_CHECKING:
    from strategy.calibration import Calibration

Outcome = Literal["candidate", "unparsable", "truncated", "refused", "failed"]
Mode = Literal["full", "patch"]


class Shown(Frozen):
    """A section of the knowledge base that a proposer sees; only such sections may be cited."""

    ref: str
    """`file.md#anchor`"""
    title: str = ""
    text: str = ""


class Brief(Frozen):
    """What a proposer is asked: the problem, the knowledge, and its last candidate with what was wrong with it."""

    problem: Problem
    sections: tuple[Shown, ...] = ()
    last: dict[str, Any] | None = None
    """The last candidate as the proposer wrote it."""
    findings: tuple[Finding, ...] = ()
    mode: Mode = "full"
    """patch: only a JSON Patch of `last` is wanted."""
    escalate: bool = False
    """The same candidate came back: try harder."""
    evidence: tuple[str, ...] = ()
    """The planner's candidates in words, when the model may see them."""
    write_graph: bool = False
    """A graph of the proposer's own is wanted, not the canonical one."""
    layouts: tuple[Layout, ...] = ()
    """Legal layouts and their memory: facts that a model would have to compute."""
    tokens_left: int | None = None
    """Tokens that question and answer may take together; None means no limit."""


class Proposal(Frozen):
    """What a proposer answers. Only a `candidate` has a strategy and a DAG; refused and failed end the asking."""

    outcome: Outcome
    strategy: Strategy | None = None
    dag: Dag | None = None
    document: dict[str, Any] | None = None
    """The answer as data, for the next brief; None when it was none."""
    wrote_graph: bool = False
    """The graph is the proposer's own, not the canonical one."""
    text: str = ""
    """Why, in the proposer's words; or what went wrong."""
    findings: tuple[Finding, ...] = ()
    """What is wrong with the shape of an answer that is no candidate."""
    usage: Usage = Usage()
    citations: tuple[str, ...] = ()
    estimate: Estimate | None = None
    alternatives: tuple[Alternative, ...] = ()
    gains: tuple[Gain, ...] = ()
    infeasible: Infeasible | None = None
    assumptions: tuple[str, ...] = ()
    """What the proposer decided where the request left it open."""
    layouts: tuple[Layout, ...] = ()
    """What else is legal: the planner's, for a model's next brief."""


class Proposer(Protocol):
    """Turns a brief into a proposal. `name` is what attempts are recorded under."""

    name: str

    async def propose(self, brief: Brief) -> Proposal:
        """Answer a brief; failures of a model or server are outcomes, not exceptions."""
        ...


class PlannerProposer:
    """The embedded planner: search over the strategy space, then the canonical DAG of the best candidate."""

    name = "planner"

    def __init__(self, calibration: "Calibration", *, tell_layouts: bool = False) -> None:
        self.calibration = calibration
        self.tell_layouts = tell_layouts

    async def propose(self, brief: Brief) -> Proposal:
        """The best strategy of the whole space, or why there is none. Runs in a thread, so that others are served meanwhile."""
        return await asyncio.to_thread(self.plan, brief.problem)

    def plan(self, problem: Problem) -> Proposal:
        """Search and build. Deterministic."""
        from agent.layouts import layouts
        from strategy.search import search, what_if

        found = search(problem, self.calibration)
        if found.best is None:
            text = "no strategy meets the request"
            return Proposal(
                outcome="candidate",
                text=text,
                infeasible=found.infeasible,
                alternatives=found.alternatives,
                assumptions=found.assumptions,
            )
        return Proposal(
            outcome="candidate",
            strategy=found.best.strategy,
            dag=found.best.dag,
            estimate=found.estimate,
            alternatives=found.alternatives,
            gains=what_if(found, self.calibration),
            assumptions=found.assumptions,
            layouts=layouts(problem, found.candidates) if self.tell_layouts else (),
        )
