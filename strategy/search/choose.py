"""Order candidates by the objective, keep the Pareto front, and say why each of the others lost."""

from collections.abc import Sequence
from operator import itemgetter

import numpy as np

from strategy.cost import estimates
from strategy.fleet import Fleet, Passes
from strategy.legality import even_stages
from strategy.request import Problem
from strategy.result import Alternative, Estimate
from strategy.search.points import Candidate, points_of
from strategy.strategy import Pool, describe_strategy

MAX_ALTERNATIVES = 8
NOTABLE_SHARE = 0.05
"""Difference in the share of communication that is worth telling."""
TIE = 0.005
"""Candidates closer than this share are equal; the simpler one wins."""
WORTH_PARTING = 0.05
"""What a pool for each phase must gain over one pool where the request leaves it open: it is harder to run and to balance, and prices of
the two kinds of serving differ by more than those of two layouts."""


Cost = tuple[float, float]
"""What to minimise, in order."""


def order(problem: Problem, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Candidates from best to worst for the problem's objective. Deterministic: ties go to fewer parts, then to enumeration order."""
    best = sorted(((_cost(problem, c), c) for c in candidates), key=itemgetter(0))
    if not best:
        return []
    bar = _bar(problem, best)
    winner = min((one for cost, one in best if _within(problem, TIE, cost, bar)), key=_complexity)
    return [winner, *(one for _, one in best if one is not winner)]


def _bar(problem: Problem, best: Sequence[tuple[Cost, Candidate]]) -> Cost:
    """What the winner must reach: the first cost of `best`, or that of the best single pool where two are not worth parting for."""
    first, leading = best[0]
    if problem.serving != "auto" or not leading.strategy.disaggregated:
        return first
    together = next((cost for cost, one in best if not one.strategy.disaggregated), None)
    return first if together is None or not _within(problem, WORTH_PARTING, together, first) else together


def _within(problem: Problem, margin: float, own: Cost, bar: Cost) -> bool:
    """Whether two costs are as good as equal."""
    judged = 2 if problem.objective == "min_gpus" else 1
    return all(abs(a - b) <= margin * abs(b) for a, b in zip(own[:judged], bar[:judged], strict=True))


def _cost(problem: Problem, candidate: Candidate) -> Cost:
    """What to minimise, in order."""
    if problem.objective == "latency":
        return candidate.latency_ms(problem.workload.osl), float(candidate.gpus)
    if problem.objective == "min_gpus":
        return float(candidate.gpus), -candidate.tokens_per_s
    return -_served(problem, candidate), float(candidate.gpus)


def _served(problem: Problem, candidate: Candidate) -> float:
    """Output tokens per second that count: no more than arrive."""
    rate = problem.workload.request_rate
    return candidate.tokens_per_s if rate is None else min(candidate.tokens_per_s, rate * problem.workload.osl)


def _complexity(candidate: Candidate) -> tuple[int, ...]:
    """Degrees that make a deployment harder to run: GPUs, stages, attention replicas, gathered FFNs, expert TP."""
    pools = candidate.strategy.pools
    return (len(pools), candidate.gpus, *(sum(column) for column in zip(*map(_pool_complexity, pools), strict=True)))


def _pool_complexity(pool: Pool) -> tuple[int, ...]:
    gathered = int(pool.dense_ffn == "gathered")
    told = int(pool.stages != even_stages(pool.stages[-1][1], pool.pp_size)) + int(pool.chunk_tokens is not None)
    expert_tp = pool.experts.tp_size if pool.experts else 1
    return (pool.pp_size, gathered, expert_tp, pool.attention.dp_size, pool.width, told)


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
    parted = best.strategy.disaggregated
    shown = [c for c in met if c.strategy.disaggregated != parted][:1]  # the other kind of serving, where there is one
    shown += [c for c in (*front(met), *met) if c is not best]
    chosen = _distinct(shown, best)[: MAX_ALTERNATIVES - 2] + _distinct(missed, best)[:2]
    bar, *priced = _estimated(passes, [best, *chosen])
    others_told = (_alternative(passes.problem, best, bar, c, one) for c, one in zip(chosen, priced, strict=True))
    return bar, tuple(others_told)


def _estimated(passes: Passes, candidates: Sequence[Candidate]) -> list[Estimate]:
    fleet = Fleet(passes.problem, passes.calibration, tuple(c.strategy for c in candidates), passes)
    return estimates(fleet, points_of(candidates))


def _alternative(problem: Problem, best: Candidate, bar: Estimate, other: Candidate, priced: Estimate) -> Alternative:
    why = reason(problem, best, other) + _cause(bar, priced)
    return Alternative(strategy=other.strategy, summary=describe_strategy(other.strategy), reason=why, estimate=priced)


def _as_good(best: Candidate, other: Candidate) -> str:
    """What tells candidates apart that perform alike."""
    more = other.gpus - best.gpus
    return f"as fast, on {more} more GPU{'s' if more > 1 else ''}" if more > 0 else "as fast, but more complex to run"


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


def _distinct(candidates: Sequence[Candidate], best: Candidate) -> list[Candidate]:
    """One candidate for each set of degrees that people would call different, those that split attention alike behind the others."""
    described: dict[str, Candidate] = {}
    for candidate in candidates:
        described.setdefault(describe_strategy(candidate.strategy), candidate)
    kinds: dict[tuple[object, ...], Candidate] = {_kind(best): best}
    for candidate in described.values():
        kinds.setdefault(_kind(candidate), candidate)
    first = {id(one): one for one in kinds.values()}
    rest = {id(one): one for one in described.values()}
    return [one for one in (first | rest).values() if one is not best]


def _kind(candidate: Candidate) -> tuple[object, ...]:
    """What of a candidate people look at first: how its pools split attention and layers."""
    return tuple((pool.phases, pool.attention, pool.pp_size) for pool in candidate.strategy.pools)


def reason(problem: Problem, best: Candidate, other: Candidate) -> str:
    """Why `other` lost to `best`, in one sentence with its numbers."""
    slo = problem.slo
    if other.ttft_ms > slo.planned_ttft_ms:
        return f"TTFT {other.ttft_ms:.0f} ms is over the limit of {slo.planned_ttft_ms:.0f} ms at every load"
    if other.tpot_ms > slo.planned_tpot_ms:
        return f"TPOT {other.tpot_ms:.1f} ms is over the limit of {slo.planned_tpot_ms:.1f} ms at every load"
    if problem.objective == "min_gpus" and other.gpus > best.gpus:
        return f"needs {other.gpus} GPUs where {best.gpus} do"
    if problem.objective == "latency":
        slower = other.latency_ms(problem.workload.osl) / best.latency_ms(problem.workload.osl) - 1
        return (
            f"a request takes {slower:.0%} longer from arrival to last token" if slower > TIE else _as_good(best, other)
        )
    lost = 1 - _served(problem, other) / _served(problem, best)
    if lost < -TIE:
        return f"{-lost:.0%} more tokens/s, too few for two pools to run and balance"
    if lost < TIE:
        return _as_good(best, other)
    gains = []
    if other.ttft_ms < best.ttft_ms * 0.98:
        gains.append(f"TTFT is {1 - other.ttft_ms / best.ttft_ms:.0%} lower")
    if other.tpot_ms < best.tpot_ms * 0.98:
        gains.append(f"TPOT is {1 - other.tpot_ms / best.tpot_ms:.0%} lower")
    return f"{lost:.0%} fewer tokens/s" + (f", though {' and '.join(gains)}" if gains else "")
