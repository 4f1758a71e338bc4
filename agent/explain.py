"""The explanation of a result, in a few sentences that follow from its numbers."""

from collections.abc import Sequence

from strategy.request import Problem
from strategy.result import Alternative, Estimate, Gain, Infeasible, Origin
from strategy.strategy import Strategy, describe

MOST_ALTERNATIVES = 3
SHOWN_SHARE = 0.02
AT_THE_LIMIT = 0.97
_KINDS = {"memory": "memory", "compute": "arithmetic", "communication": "communication", "other": "host and waiting"}


def explain_valid(
    problem: Problem,
    strategy: Strategy,
    estimate: Estimate | None,
    alternatives: Sequence[Alternative],
    *,
    origin: Origin,
    why: str = "",
    gains: Sequence[Gain] = (),
) -> str:
    """Why this strategy: what it is, what binds it, why the others lost.

    `why` is a model's own reason, marked as such; for a fallback it is why the model's answers did not stand.
    """
    parts = [f"{problem.model.name} on {problem.cluster.gpus} x {problem.cluster.gpu.name}: {_pools(strategy)}."]
    if estimate is not None:
        parts += [_performance(problem, estimate), *_time(estimate), _binding(problem, estimate), _memory(estimate)]
    parts += [f"{_sentence(a.summary)} lost: {_sentence(a.reason)}." for a in alternatives[:MOST_ALTERNATIVES]]
    if gains:
        parts.append(f"What would buy what: {'; '.join(_sentence(gain.message) for gain in gains)}.")
    if estimate is not None and estimate.notes:
        parts.append(f"Uncertain: {'; '.join(_sentence(note) for note in estimate.notes)}.")
    if origin == "planner_fallback":
        because = f" ({_quoted(why)})" if why else ""
        parts.append(f"The language model gave no valid answer{because}; this is the planner's.")
    elif why:
        parts.append(f"The model's own reason: {_quoted(why)}.")
    return " ".join(parts)


def explain_infeasible(problem: Problem, infeasible: Infeasible) -> str:
    """Which limits break, and the nearest changes that fit."""
    parts = [
        f"No strategy for {problem.model.name} on {problem.cluster.gpus} x {problem.cluster.gpu.name} meets the request."
    ]
    parts += [f"{limit.name}: {_sentence(limit.message)}." for limit in infeasible.limits]
    verified = [change for change in infeasible.nearest if change.verified]
    if verified:
        parts.append(
            "What would fit, each checked by planning it: " + "; ".join(_sentence(c.message) for c in verified) + "."
        )
    return " ".join(parts)


def explain_rejected(codes: Sequence[str], reason: str) -> str:
    """Why no answer stands."""
    found = f" Findings: {', '.join(dict.fromkeys(codes))}." if codes else ""
    return f"No proposal was accepted: {_sentence(reason)}.{found}"


def evidence_lines(
    strategy: Strategy, estimate: Estimate | None, alternatives: Sequence[Alternative]
) -> tuple[str, ...]:
    """The planner's candidates, a line each, for a model that may see them."""
    lines = [f"1. {_pools(strategy)}: {numbers(estimate)}"]
    lines += [
        f"{n}. {_sentence(a.summary)}: {numbers(a.estimate)}; lost: {a.reason}" for n, a in enumerate(alternatives, 2)
    ]
    return tuple(lines)


def figure(value: float) -> str:
    """A number as people write it: four digits, whole and with separators from a thousand on."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _pools(strategy: Strategy) -> str:
    return "; ".join(
        f"{describe(pool)} ({pool.world_size} GPU{'' if pool.world_size == 1 else 's'}{', ' + pool.phases[0] if len(pool.phases) == 1 else ''})"
        for pool in strategy.pools
    )


def numbers(estimate: Estimate | None) -> str:
    """The three numbers that plans are compared by."""
    if estimate is None:
        return "not priced"
    return f"TTFT {estimate.ttft_ms:.0f} ms, TPOT {estimate.tpot_ms:.1f} ms, {estimate.tokens_per_s_per_gpu:.0f} tokens/s/GPU"


def _performance(problem: Problem, estimate: Estimate) -> str:
    limits = [
        f"{label} {figure(value)} of {figure(limit)} ms"
        for label, value, limit in (
            ("TTFT", estimate.ttft_ms, problem.slo.ttft_ms),
            ("TPOT", estimate.tpot_ms, problem.slo.tpot_ms),
        )
        if limit is not None
    ]
    kept = f" ({', '.join(limits)})" if limits else ""
    return f"{numbers(estimate)} at {estimate.concurrency} requests in flight{kept}; bottleneck: {_sentence(estimate.bottleneck)}."


def _time(estimate: Estimate) -> list[str]:
    """Where the time of a decode step and of a first token goes."""
    decode = {kind: sum(s.ms for s in estimate.breakdown if s.phase == "decode" and s.kind == kind) for kind in _KINDS}
    prompt = sum(s.ms for s in estimate.breakdown if s.phase == "prefill")
    if not sum(decode.values()):
        return []
    whole = sum(decode.values())
    shares = ", ".join(f"{_KINDS[kind]} {ms / whole:.0%}" for kind, ms in decode.items() if ms / whole >= SHOWN_SHARE)
    waiting = max(0.0, 1 - prompt / estimate.ttft_ms) if estimate.ttft_ms else 0.0
    return [f"A decode step is {shares}; {waiting:.0%} of TTFT is waiting."]


def _binding(problem: Problem, estimate: Estimate) -> str:
    """What keeps the load from being higher."""
    work, slo = problem.workload, problem.slo
    if work.concurrency is not None or work.request_rate is not None:
        return "The load is the one that was asked for."
    near = {"TPOT": estimate.tpot_ms / slo.planned_tpot_ms, "TTFT": estimate.ttft_ms / slo.planned_ttft_ms}
    name = max(near, key=lambda one: near[one], default="")
    if name and near[name] >= AT_THE_LIMIT:
        return f"{name} keeps it from carrying more."
    if estimate.concurrency >= estimate.max_concurrency:
        return "Memory for the cache keeps it from carrying more."
    return "It is priced at this load; more would fit."


def _memory(estimate: Estimate) -> str:
    memory = estimate.memory_gb
    return (
        f"The fullest GPU holds {memory.total:.1f} of {memory.capacity:.1f} GB (weights {memory.weights:.1f}, KV {memory.kv:.1f}); "
        f"KV room for {estimate.max_concurrency} requests at once."
    )


def _quoted(text: str) -> str:
    """Words of a language model: chat pages that render Markdown make no link and load no picture of them."""
    return _sentence(text).replace("](", "] (")


def _sentence(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
