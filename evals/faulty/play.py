"""Run the loop against a faulty model and say what did not hold."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import SecretStr

from agent.deps import Deps, default_deps
from agent.graph import run
from agent.openai import MOST_CHARACTERS_PER_TOKEN, OpenAiProposer
from agent.proposers import Brief, Proposal, Proposer
from agent.settings import LlmSettings, LoopSettings
from evals.faulty.behaviours import Hope, Script, behaviours
from evals.faulty.server import Behave, Server, serving
from evals.faulty.wrong import by_model
from strategy.dag import Dag
from strategy.request import Problem, Request
from strategy.result import Result
from validators.validate import validate

KEY = "sk-faulty-0123456789"
LOOP = LoopSettings(deadline_s=6.0, max_attempts=4, token_budget=60_000)
REQUEST = Request.model_validate(
    {
        "model": "llama-3.1-8b",
        "cluster": {"gpu": "l40s", "gpus_per_host": 2},
        "workload": {"isl": 1024, "osl": 128},
        "objective": "latency",
    }
)
METHODS_TRIED = 4
Json = dict[str, Any]


class Remembering:
    """The real planner, which plans one problem once; and a second judge of results, who judges one DAG once."""

    name = "planner"

    def __init__(self, planner: Proposer) -> None:
        self.planner = planner
        self.known: dict[str, Proposal] = {}
        self.judged: dict[tuple[str, str], tuple[str, ...]] = {}

    async def propose(self, brief: Brief) -> Proposal:
        """The plan for the brief's problem."""
        key = brief.problem.model_dump_json()
        if key not in self.known:
            self.known[key] = await self.planner.propose(brief)
        return self.known[key]

    def errors(self, dag: Dag, problem: Problem) -> tuple[str, ...]:
        """Codes of what the validator says against a DAG, with the proof, judged outside the loop."""
        key = (dag.model_dump_json(), problem.model_dump_json())
        if key not in self.judged:
            verdict = validate(dag, problem.model, problem)
            self.judged[key] = tuple(f.code for f in verdict.errors) or (() if verdict.valid else ("unproved",))
        return self.judged[key]


@dataclass(frozen=True)
class Case:
    """A behaviour, the request it meets and what may come of it."""

    name: str
    about: str
    hope: Hope
    request: Request
    behave: Behave


@dataclass(frozen=True)
class Played:
    """What came of one case."""

    case: Case
    result: Result
    seconds: float
    calls: int
    """HTTP requests that reached the server."""
    broken: tuple[str, ...] = ()
    """What should have held and did not."""


def cases(deps: Deps) -> list[Case]:
    """Every faulty server and model, and the wrong DAGs of every rule family."""
    planned = asyncio.run(deps.planner.propose(Brief(problem=deps.resolve(REQUEST)[0])))
    assert planned.dag is not None
    script = Script.of(planned.dag)
    found = [Case(b.name, b.about, b.hope, REQUEST, b.make(script)) for b in behaviours()]
    return found + [Case(name, "wrong DAGs", "either", request, behave) for name, request, behave in by_model()]


def play_all(
    chosen: Sequence[Case], deps: Deps | None = None, *, settings: LoopSettings = LOOP, at_once: int = 4
) -> list[Played]:
    """Play cases, several at once: most of them wait."""
    deps = replace(deps or playing_deps(), settings=settings)
    with serving({case.name: case.behave for case in chosen}) as server:
        return asyncio.run(_play_all(chosen, deps, server, at_once))


def playing_deps() -> Deps:
    """The real parts, with a planner that plans a problem once."""
    deps = default_deps()
    return replace(deps, planner=Remembering(deps.planner))


async def _play_all(chosen: Sequence[Case], deps: Deps, server: Server, at_once: int) -> list[Played]:
    gate = asyncio.Semaphore(at_once)

    async def one(case: Case) -> Played:
        async with gate:
            return await play(case, deps, server)

    for case in chosen:  # plan first, so that no case waits for another one's planner
        await deps.planner.propose(Brief(problem=deps.resolve(case.request)[0]))
    return list(await asyncio.gather(*map(one, chosen)))


async def play(case: Case, deps: Deps, server: Server) -> Played:
    """One run of the loop against one behaviour, and what did not hold."""
    llm = LlmSettings(
        base_url=server.base_url(case.name), model="gpt-6-codex", api_key=SecretStr(KEY), timeout_s=0.7, max_retries=1, max_tokens=2048
    )  # fmt: skip
    started = time.monotonic()
    result = await run(case.request, replace(deps, model=OpenAiProposer(llm)))
    seconds = time.monotonic() - started
    asked = server.asked.get(case.name, [])
    told = result.model_dump_json()
    broken = [*_dishonest(result, deps), *_beyond_hope(result, case), *_leaks(told, server)]
    if seconds > deps.settings.deadline_s:
        broken.append(f"took {seconds:.2f} s of {deps.settings.deadline_s:g} s")
    if len(asked) > deps.settings.max_attempts * METHODS_TRIED * (llm.max_retries + 1):
        broken.append(f"{len(asked)} HTTP requests")
    broken += _over_budget(deps, [one.body for one in asked])
    return Played(case, result, seconds, len(asked), tuple(broken))


def _dishonest(result: Result, deps: Deps) -> Iterator[str]:
    """Valid must mean: judged again it has no error, and it was proved and priced. Anything else must say why."""
    if result.status != "valid":
        if not result.explanation:
            yield f"{result.status} without a reason"
        if result.status not in ("rejected", "infeasible"):
            yield f"status {result.status}"
        return
    assert result.request is not None
    if result.dag is None or result.proof is None or not result.proof.passed or result.estimate is None:
        yield "valid without DAG, proof or price"
        return
    problem = deps.resolve(result.request)[0]
    assert isinstance(deps.planner, Remembering)
    errors = deps.planner.errors(result.dag, problem)
    if errors:
        yield f"marked valid, but judged again: {', '.join(errors)}"


def _beyond_hope(result: Result, case: Case) -> Iterator[str]:
    if case.hope == "repaired" and result.origin != "llm":
        yield f"expected the model's own plan, got {result.origin}: {result.explanation[-300:]}"
    if case.hope == "fallback" and result.origin == "llm":
        yield "nothing valid was ever sent, yet the origin is llm"


def _leaks(told: str, server: Server) -> Iterator[str]:
    for name, secret in (("key", KEY), ("address", server.url), ("address", server.url.partition("//")[2])):
        if secret in told:
            yield f"the result holds the {name}"
    if "\\u001b" in told:
        yield "the result holds terminal codes"


def _over_budget(deps: Deps, bodies: Sequence[Json]) -> Iterator[str]:
    """Whatever a server counts, a question and the answer it may have fit into what its run has left, by the smallest count there is."""
    left = deps.settings.token_budget
    for body in bodies:
        asked = sum(len(message["content"]) for message in body["messages"]) // MOST_CHARACTERS_PER_TOKEN
        if asked + body["max_completion_tokens"] > left:
            yield f"asked for {asked} + {body['max_completion_tokens']} tokens with {left} left"
        left -= asked
