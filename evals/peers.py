"""`python -m evals peers`: the cases that another planner answered, its plan and ours side by side, each at both prices, and why they differ.

What the peer says of its plan is in `data/peer_cases.yaml`. Its concurrency follows from its own figures by Little's law, so that both
prices of a plan can be compared at one load, and each at the load that its own price allows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from evals.suites.recipes import deployed, pool_of_facts
from knowledge.aiconfigurator import installed, priced
from knowledge.calibration import calibration
from knowledge.catalogue import find_gpu
from knowledge.resolve import config_of, resolve
from strategy.build import build
from strategy.cost import Server, estimate
from strategy.legality import illegal
from strategy.request import Engine, Problem, Request
from strategy.result import Estimate, PeerEstimate
from strategy.search import search
from strategy.strategy import EpLowering, Strategy, describe_strategy

CASES = Path(__file__).parent / "data" / "peer_cases.yaml"
SLO = {"ttft_ms": 1000, "tpot_ms": 40}
TRAFFIC = {"isl": 4000, "osl": 1000}
LOWERINGS: tuple[EpLowering, ...] = ("all_gather", "all_to_all", "replicated")
ALIKE = 0.03
"""Throughputs closer than this share are equal."""


@dataclass(frozen=True)
class Beside:
    """One case: two plans, at two prices. Rates are output tokens per second and GPU of the cluster."""

    name: str
    problem: Problem
    says: dict[str, float]
    """The peer's price of its plan."""
    theirs: Strategy
    ours: Strategy | None
    priced_theirs: Estimate
    """Their plan at our price, at the load that suits it best."""
    priced_ours: Estimate | None
    at_their_load: Estimate
    alone_ms: float
    """TTFT of a prompt on their plan that meets nobody."""

    @property
    def same(self) -> bool:
        """Whether both planners found one plan."""
        return self.ours is not None and describe_strategy(self.ours) == describe_strategy(self.theirs)

    def rate(self, priced: Estimate) -> float:
        """Over all GPUs of the cluster, in use or not."""
        return priced.tokens_per_s_per_gpu * priced.gpus / self.problem.cluster.gpus

    @property
    def their_load(self) -> float:
        """Requests in flight that the peer's figures imply."""
        return _load(self.says, self.problem)


def cases() -> list[dict[str, Any]]:
    """The cases as they are written."""
    found: list[dict[str, Any]] = yaml.safe_load(CASES.read_text(encoding="utf-8"))
    return found


def asked(case: dict[str, Any], engine: Engine | None) -> Problem:
    """What a case asks for."""
    request = {
        "model": case["model"],
        "cluster": {"gpu": case["gpu"], "gpus_per_host": 8, "hosts": case["gpus"] // 8},
        "workload": TRAFFIC,
        "slo": case.get("slo", SLO),
        "engine": engine,
    }
    return resolve(Request.model_validate(request)).problem


def compare(case: dict[str, Any]) -> Beside:
    """Plan a case, and price the peer's plan."""
    problem = asked(case, case.get("engine"))
    theirs = _best_lowering(problem, deployed([pool_of_facts(pool) for pool in case["pools"]], problem))
    dag, constants = build(problem.model, theirs), calibration()
    found = search(problem, constants)
    load = max(1, round(_load(case["says"], problem)))
    alone, _ = Server(dag, problem, constants).fleet.plants.prefill_ms
    return Beside(
        name=case["id"],
        problem=problem,
        says=case["says"],
        theirs=theirs,
        ours=None if found.best is None else found.best.strategy,
        priced_theirs=estimate(dag, problem, constants),
        priced_ours=found.estimate,
        at_their_load=estimate(dag, problem, constants, concurrency=load),
        alone_ms=float(alone[0, 0]),
    )


def _load(says: dict[str, float], problem: Problem) -> float:
    osl = problem.workload.osl
    life_s = (says["ttft_ms"] + says["tpot_ms"] * (osl - 1)) / 1e3
    return says["tokens"] * problem.cluster.gpus / osl * life_s


def _best_lowering(problem: Problem, strategy: Strategy) -> Strategy:
    """The plan with the expert lowering that serves it best: its source does not state one."""
    found = {}
    for lowering in LOWERINGS:
        pools = tuple(pool.model_copy(update={"ep_lowering": lowering}) for pool in strategy.pools)
        if any(illegal(problem.model, pool) for pool in pools):
            continue
        asked = Strategy(pools=pools)
        priced = estimate(build(problem.model, asked), problem, calibration())
        found[asked] = (meets(problem, priced), priced.tokens_per_s_per_gpu)
    return max(found, key=lambda one: found[one], default=strategy)


def meets(problem: Problem, priced: Estimate) -> bool:
    """Whether both limits hold."""
    slo = problem.slo
    return priced.ttft_ms <= (slo.ttft_ms or np.inf) and priced.tpot_ms <= (slo.tpot_ms or np.inf)


# --- the peer itself, where it is installed -----------------------------------------------------------------------------------------


def ask_again(case: dict[str, Any]) -> PeerEstimate:
    """The peer's price of its plan, asked of the package that is installed. Raises `InputError` when it is not, or has no price."""
    again = case["asked"]
    problem = asked(case, again["engine"])
    theirs = deployed([pool_of_facts(pool) for pool in case["pools"]], problem)
    chunk = {"chunk_tokens": again.get("chunk_tokens")}
    theirs = Strategy(pools=tuple(pool.model_copy(update=chunk) for pool in theirs.pools))
    ids, config = problem.model.aliases, config_of(case["model"])
    return priced(installed(), problem, theirs, find_gpu(case["gpu"]), again["concurrency"], names=ids, config=config)


def live_page(found: list[tuple[dict[str, Any], PeerEstimate]]) -> str:
    """What it said when its plans were made, and what the installed package says of them."""
    lines = [
        "# The other planner, asked again",
        "",
        f"Written by `python -m evals peers --live` with AIConfigurator {found[0][1].version}: its single-point price of each plan that it found (`PEERS.md`),",
        "at the batch of that plan. Output tokens/s per GPU of the cluster, TTFT and TPOT in ms. Where the two differ, its search prices a plan",
        "otherwise than its single-point interface does.",
        "",
        "| case | its tables | in flight | said, when it planned | says | off |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *(_live_row(case, again) for case, again in found)]) + "\n"


def _live_row(case: dict[str, Any], again: PeerEstimate) -> str:
    says = case["says"]
    rate = again.tokens_per_s_per_gpu * again.gpus / case["gpus"]
    then, now = (says["tokens"], says["ttft_ms"], says["tpot_ms"]), (rate, again.ttft_ms, again.tpot_ms)
    off = max(abs(b / a - 1) for a, b in zip(then, now, strict=True))
    told = (f"{tokens:.1f}; {ttft:.0f}, {tpot:.1f}" for tokens, ttft, tpot in (then, now))
    return f"| {case['id']} | {again.tables} | {again.concurrency} | {' | '.join(told)} | {off:.1%} |"


# --- why they differ ----------------------------------------------------------------------------------------------------------------


def reasons(case: Beside) -> Iterator[str]:
    """Why the plans differ, then why the prices of one plan do."""
    yield _about_plans(case)
    yield from _about_prices(case)


def _about_plans(case: Beside) -> str:
    if case.same:
        return "Both find this plan."
    if case.ours is None or case.priced_ours is None:
        return "We find no plan within the limits."
    theirs, ours = case.rate(case.priced_theirs), case.rate(case.priced_ours)
    if not meets(case.problem, case.priced_theirs):
        return f"At our price their plan misses the limits at every load: {_against(case.problem, case.priced_theirs)}."
    if abs(ours / theirs - 1) <= ALIKE:
        return f"At our price the two plans are equal ({ours:.0f} and {theirs:.0f} tokens/s/GPU); ours is taken for its rank in ties or a small gain."
    held = _bound(case.problem, case.priced_theirs)
    return f"At our price their plan gives {theirs:.0f} tokens/s/GPU, {1 - theirs / ours:.0%} less than ours: {held}."


def _bound(problem: Problem, priced: Estimate) -> str:
    """What keeps a plan from carrying more."""
    slo = problem.slo
    load = f"at {priced.concurrency} requests in flight"
    if slo.tpot_ms and priced.tpot_ms > 0.97 * slo.tpot_ms:
        return f"TPOT reaches {priced.tpot_ms:.1f} of {slo.tpot_ms:g} ms {load} ({priced.bottleneck})"
    if slo.ttft_ms and priced.ttft_ms > 0.95 * slo.ttft_ms:
        return f"TTFT reaches {priced.ttft_ms:.0f} of {slo.ttft_ms:g} ms {load}, most of it waiting behind other prompts ({priced.bottleneck})"
    return f"its cache is full {load} (room for {priced.max_concurrency})"


def _against(problem: Problem, priced: Estimate) -> str:
    return f"TTFT {priced.ttft_ms:.0f} of {problem.slo.ttft_ms:g} ms, TPOT {priced.tpot_ms:.1f} of {problem.slo.tpot_ms:g} ms"


def _about_prices(case: Beside) -> Iterator[str]:
    """Their plan at their load: TTFT by its parts, and TPOT."""
    ours, says = case.at_their_load, case.says
    waiting = max(0.0, ours.ttft_ms - case.alone_ms)
    yield (
        f"Their plan at their load of {case.their_load:.0f} requests: we say TTFT {ours.ttft_ms:.0f} ms ({case.alone_ms:.0f} alone, {waiting:.0f} waiting) "
        f"where they say {says['ttft_ms']:.0f}; TPOT {ours.tpot_ms:.1f} ms where they say {says['tpot_ms']:.1f}."
    )
    if case.alone_ms > says["ttft_ms"]:
        yield "Already a prompt that meets nobody takes longer at our price: their prefill kernels are faster than what servers were measured to reach, host and HTTP included."
    elif waiting > 0.3 * ours.ttft_ms:
        yield "They count next to no waiting: measured TTFT grows with the requests in flight, theirs does not."
    if ours.concurrency > ours.max_concurrency:
        yield f"At our price their load does not fit the cache, which holds {ours.max_concurrency} requests."


# --- the page -----------------------------------------------------------------------------------------------------------------------


def page(found: list[Beside]) -> str:
    """All cases as markdown."""
    lines = [
        "# Beside another planner",
        "",
        "Written by `python -m evals peers`. NVIDIA AIConfigurator 0.12 on the same requests (4,000 tokens in, 1,000 out, TTFT 1000 ms and TPOT",
        "40 ms unless said): its plan at its own price, the same plan at ours, and our plan. Rates are output tokens/s per GPU of the cluster at",
        "the highest load within the limits. Nothing here was measured on GPUs: on points that were, its TPOT is off by 28 % and its TTFT by 56 %",
        "(it counts no queue), ours as `COST.md` says.",
        "",
        "| case | their plan | their price | at our price | our plan | at our price | TTFT, TPOT ms |",
        "|---|---|---|---|---|---|---|",
        *map(_row, found),
        "",
        *(line for case in found for line in _section(case)),
    ]
    return "\n".join(lines) + "\n"


def _row(case: Beside) -> str:
    ours = case.priced_ours
    mine = ["none", "-", "-"] if ours is None or case.ours is None else [
        "the same" if case.same else describe_strategy(case.ours), f"{case.rate(ours):.1f}", f"{ours.ttft_ms:.0f}, {ours.tpot_ms:.1f}",
    ]  # fmt: skip
    at_ours = f"{case.rate(case.priced_theirs):.1f}" + ("" if meets(case.problem, case.priced_theirs) else " (misses)")
    cells = [case.name, describe_strategy(case.theirs), f"{case.says['tokens']:.1f}", at_ours, *mine]
    return f"| {' | '.join(cells)} |"


def _section(case: Beside) -> list[str]:
    return [f"## {case.name}", "", *(f"- {reason}" for reason in reasons(case)), ""]
