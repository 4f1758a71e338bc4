"""Order candidates by the objective, keep the Pareto front, and say why each of the others lost."""

from collections.abc import Sequence

import numpy as np

from strategy.cost import estimates
from strategy.fleet import Fleet, Passes
from strategy.request import Problem
from strategy.result import Alternative, Estimate
from strategy.search.points import Candidate
from strategy.strategy import Pool, describe_strategy

MAX_ALTERNATIVES = 8
NOTABLE_SHARE = 0.05
"""Difference in the share of communication that is worth telling."""
TIE = 0.005
"""Candidates closer than this share are equal; the simpler one wins."""


def order(problem: Problem, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Candidates from best to worst for the problem's objective. Deterministic: ties go to fewer parts, then to enumeration order."""
    best = sorted(candidates, key=lambda c: _cost(problem, c))
    if not best:
        return []
    bar = _cost(problem, best[0])
    tied = [c for c in best if _close(_cost(problem, c), bar)]
    winner = min(tied, key=_complexity)
    return [winner, *(c for c in best if c is not winner)]


def _cost(problem: Problem, candidate: Candidate) -> tuple[float, float]:
    """What to minimise, in order."""
    if problem.objective == "latency":
        return candidate.latency_ms(problem.workload.osl), float(candidate.gpus)
    if problem.objective == "min_gpus":
        return float(candidate.gpus), -candidate.tokens_per_s
    return -candidate.tokens_per_s, float(candidate.gpus)


def _close(cost: tuple[float, float], bar: tuple[float, float]) -> bool:
    return abs(cost[0] - bar[0]) <= TIE * abs(bar[0])


def _complexity(candidate: Candidate) -> tuple[int, ...]:
    """Degrees that make a deployment harder to run: GPUs, stages, attention replicas, gathered FFNs, expert TP."""
    pools = candidate.strategy.pools
    return (len(pools), candidate.gpus, *(sum(column) for column in zip(*map(_pool_complexity, pools), strict=True)))


def _pool_complexity(pool: Pool) -> tuple[int, ...]:
    gathered = int(pool.dense_ffn == "gathered")
    return (pool.pp_size, gathered, pool.experts.tp_size if pool.experts else 1, pool.attention.dp_size, pool.width)


def front(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Candidates that no other beats in TTFT, TPOT and tokens/s per GPU at once."""
    if not candidates:
        return []
    cost = np.array([(c.ttft_ms, c.tpot_ms, -c.tokens_per_s_per_gpu) for c in candidates])
    no_worse = (cost[:, None] <= cost[None]).all(axis=2)
    better = (cost[:, None] < cost[None]).any(axis=2)
    beaten = np.asarray((no_worse & better).any(axis=0))
    return [c for c, lost in zip(candidates, beaten.tolist(), strict=True) if not lost]


def compared(passes: Passes, ranked: Sequence[Candidate]) -> tuple[Estimate, tuple[Alternative, ...]]:
    """The price of the first of `ranked`, and alternatives to it: the front, then the nearest that miss the limits, each with why it lost."""
    best, others = ranked[0], ranked[1:]
    met, missed = [c for c in ranked if c.meets_slo], [c for c in others if not c.meets_slo]
    shown = [c for c in front(met) if c is not best]
    shown += [c for c in met if c is not best]
    chosen = (_distinct(shown)[: MAX_ALTERNATIVES - 2] + _distinct(missed)[:2])[:MAX_ALTERNATIVES]
    bar, *priced = _estimated(passes, [best, *chosen])
    others_told = (_alternative(passes.problem, best, bar, c, one) for c, one in zip(chosen, priced, strict=True))
    return bar, tuple(others_told)


def _estimated(passes: Passes, candidates: Sequence[Candidate]) -> list[Estimate]:
    fleet = Fleet(passes.problem, passes.calibration, tuple(c.strategy for c in candidates), passes)
    loads = np.array([[float(c.concurrency)] for c in candidates])
    return estimates(fleet, fleet.plants.curve(loads))


def _alternative(problem: Problem, best: Candidate, bar: Estimate, other: Candidate, priced: Estimate) -> Alternative:
    why = reason(problem, best, other) + _cause(bar, priced)
    return Alternative(strategy=other.strategy, summary=describe_strategy(other.strategy), reason=why, estimate=priced)


def _cause(bar: Estimate, priced: Estimate) -> str:
    """Where the time goes that the winner does not spend: communication, or prompts between decode steps."""
    causes = []
    for phase in ("prefill", "decode"):
        mine, best = _communication(priced, phase), _communication(bar, phase)
        if mine > best + NOTABLE_SHARE:
            causes.append(
                f"communication takes {mine:.0%} of {'a decode step' if phase == 'decode' else 'prefill'}, not {best:.0%}"
            )
    return f" ({', '.join(causes)})" if causes else ""


def _communication(priced: Estimate, phase: str) -> float:
    """Share of one pass of a phase that is communication."""
    shares = [share for share in priced.breakdown if share.phase == phase]
    return sum(s.ms for s in shares if s.kind == "communication") / max(sum(s.ms for s in shares), 1e-9)


def _distinct(candidates: Sequence[Candidate]) -> list[Candidate]:
    """One candidate for each set of degrees that people would call different."""
    seen: dict[str, Candidate] = {}
    for candidate in candidates:
        seen.setdefault(describe_strategy(candidate.strategy), candidate)
    return list(seen.values())


def reason(problem: Problem, best: Candidate, other: Candidate) -> str:
    """Why `other` lost to `best`, in one sentence with its numbers."""
    slo = problem.slo
    if slo.ttft_ms is not None and other.ttft_ms > slo.ttft_ms:
        return f"TTFT {other.ttft_ms:.0f} ms is over the limit of {slo.ttft_ms:.0f} ms at every load"
    if slo.tpot_ms is not None and other.tpot_ms > slo.tpot_ms:
        return f"TPOT {other.tpot_ms:.1f} ms is over the limit of {slo.tpot_ms:.1f} ms at every load"
    if problem.objective == "min_gpus" and other.gpus > best.gpus:
        return f"needs {other.gpus} GPUs where {best.gpus} do"
    if problem.objective == "latency":
        slower = other.latency_ms(problem.workload.osl) / best.latency_ms(problem.workload.osl) - 1
        return f"a request takes {slower:.0%} longer from arrival to last token"
    lost = 1 - other.tokens_per_s / best.tokens_per_s
    if lost < TIE:
        return "as fast, but more complex to run"
    gains = []
    if other.ttft_ms < best.ttft_ms * 0.98:
        gains.append(f"TTFT is {1 - other.ttft_ms / best.ttft_ms:.0%} lower")
    if other.tpot_ms < best.tpot_ms * 0.98:
        gains.append(f"TPOT is {1 - other.tpot_ms / best.tpot_ms:.0%} lower")
    return f"{lost:.0%} fewer tokens/s" + (f", though {' and '.join(gains)}" if gains else "")
