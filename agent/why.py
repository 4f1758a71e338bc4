"""Questions of the kind `why not TP8?`: the other choice is planned, and rules or estimates say what speaks against it."""

import asyncio
import re
from typing import Any

from agent.deps import Deps
from agent.explain import figure, numbers
from agent.inspect import inspect
from agent.proposers import Brief, Proposal
from agent.topics import sections_for_question
from strategy.errors import InputError
from strategy.request import Problem, Request
from strategy.result import Citation, Estimate, Infeasible, Result
from strategy.strategy import Pool, Strategy, describe_strategy
from strategy.values import Frozen
from validators.registry import catalogue

Json = dict[str, Any]

WHY = re.compile(r"^\W*(?:(?:but|so|ok(?:ay)?|and|hm+)[ ,]+)*(?:why|how\s+come|what\s+(?:speaks|is\s+wrong|would\s+be\s+wrong)|what's\s+wrong|what\s+about\s+not|warum|wieso|weshalb|pourquoi|por\s*qu[eé]|perch[eé]|waarom|почему|varför|dlaczego)\b|^\W*(?:(?:为|爲)\s*什\s*么|为\s*何|怎么不|なぜ|どうして|왜)", re.IGNORECASE)  # fmt: skip
_ASKING = re.compile(
    r"\b(?:why|how\s+come|what\s+speaks|what\s+is|what's|wrong|against|with|for|instead|rather|warum|wieso|pourquoi|porqu[eé]|perch[eé]|waarom|por|qu[eé]|not|nicht|kein\w*|pas|didn't|would|could|can|should|help|better|best|faster|slower|worse|enough|buy|gain|bring|be|there|any|advantage|benefit|point|sense|make|what|how|much|if|we|i|use|did|don't|do|"
    r"you|we|isn't|is|it|the|plan|use|using|choose|chose|pick|picked|take|go|just|no|without|then|a|of|qué|ventaja|tendría|vantagem|avantage|vorteil|hätte|bringt|aurait|serait|mieux|mejor|besser|wäre)\b|[?!？]|为\s*什\s*么|为\s*何|なぜ|どうして|왜|不\s*用|不\s*使用|不",
    re.IGNORECASE,
)
_NEGATIVE = re.compile(r"\b(?:not|no|nicht|kein\w*|pas|sin|senza|sem|geen)\b|n't\b|不|没|ない|ず", re.IGNORECASE)
_KINDS = {
    "pp": (r"\bpp\b|pipeline", "pp_size"),
    "tp": (r"\btp\b|tensor[- ]parallel", "tp_size"),
    "ep": (r"\bep\b|expert[- ]parallel", "ep_size"),
    "dp_attention": (r"dp[- ]?att\w*|attention[- ]dp|attention data", "dp_size"),
    "sp": (r"\bsp\b|\bcp\b|sequence[- ]parallel|context[- ]parallel", "cp_size"),
    "dp": (r"\bdp\b|replicas?|data[- ]parallel", "replicas"),
    "dcp": (r"\bdcp\b|decode context", "dcp_size"),
}
_TOPICS = {
    "tp_size": "tensor parallelism or replicas",
    "pp_size": "tensor parallelism or pipeline",
    "ep_size": "when expert parallelism pays: all-to-all, load imbalance",
    "moe_tp_size": "expert parallelism or tensor parallelism inside experts",
    "dp_size": "DP attention when it pays",
    "cp_size": "context parallelism when it pays",
    "replicas": "replicas or tensor parallelism",
    "dcp_size": "decode context parallelism limits",
    "serving": "colocated or disaggregated when it pays",
    "precision": "quantisation precision fp8",
    "cluster": "topology hosts number of GPUs",
}
MOST_CITED = 3
MUCH_WAITING = 0.3
"""Share of TTFT from which waiting is told first."""
CLOSE = 0.02
"""Relative difference below which two plans are called equal."""


class Because(Frozen):
    """An answer to why, and what it leans on."""

    text: str
    citations: tuple[Citation, ...] = ()


async def weigh(text: str, result: Result, deps: Deps, *, named: bool = False) -> Because | None:
    """What another choice that a question names would do (`would fp8 help?`); None when it names none.

    `named` wants a value (`TP8`, `2 nodes`), not just a kind of parallelism.
    """
    assert result.request is not None
    other = _changed(text, result.request) if named else _other_choice(text, result)[0]
    return None if other is None or other == result.request else await why(text, result, deps)


async def fits(text: str, result: Result, deps: Deps) -> Because | None:
    """Whether the other choice that a question names would fit where nothing did; None when it names none."""
    assert result.request is not None
    other = _changed(text, result.request)
    if other is None or other == result.request:
        return None
    try:
        problem, _ = await asyncio.to_thread(deps.resolve, other)
    except InputError as error:
        return Because(text=f"That cannot be planned: {error}.")
    proposal = await deps.planner.propose(Brief(problem=problem))
    name, topic = _name(other, result.request), _topic(other, result.request)
    if proposal.infeasible is not None:
        return _against(proposal.infeasible, name, topic, problem, deps)
    assert proposal.strategy is not None
    assert proposal.estimate is not None
    text = f"With {name} there is a plan: {describe_strategy(proposal.strategy)}, {numbers(proposal.estimate)}. Say so, and it is made."
    return Because(text=text, citations=_sections(_TOPICS.get(topic) or name, problem, deps))


async def why(text: str, result: Result, deps: Deps) -> Because:
    """Why the plan is as it is, or why not otherwise. The other choice is planned under the same request."""
    assert result.request is not None
    other, topic = _other_choice(text, result)
    if other is None:
        return _in_general(text, result)
    try:
        problem, _ = await asyncio.to_thread(deps.resolve, other)
    except InputError as error:
        return Because(text=f"That cannot be planned: {error}.")
    proposal = await deps.planner.propose(Brief(problem=problem))
    if proposal.infeasible is not None:
        return _against(proposal.infeasible, _name(other, result.request), topic, problem, deps)
    return _compared(proposal, result, _name(other, result.request), topic, problem, deps)


def _other_choice(text: str, result: Result) -> tuple[Request | None, str]:
    """The request under which the other choice must be made, and what it is about."""
    request = result.request
    assert request is not None
    changed, negative = _changed(text, request), _NEGATIVE.search(text) is not None
    if changed is not None and changed != request:
        topic = _topic(changed, request)
        if topic == "serving" and not negative and result.strategy is not None:
            changed = _other_serving(changed, result.strategy)
        return changed, topic
    for kind, (words, field) in _KINDS.items():
        if re.search(words, text, re.IGNORECASE):
            return _with_kind(request, kind, field, result, negative=negative), field
    return None, ""


def _other_serving(asked: Request, strategy: Strategy) -> Request:
    """`why disaggregated?` of a plan that is: what it is held against is the other way to serve."""
    if strategy.disaggregated != (asked.serving == "disaggregated"):
        return asked
    return asked.model_copy(update={"serving": "colocated" if strategy.disaggregated else "disaggregated"})


def _changed(text: str, request: Request) -> Request | None:
    """The request as a question changes it, its words of asking aside."""
    from agent.understand.changes import understand_change

    return understand_change(_ASKING.sub(" ", text), request).request


def _with_kind(request: Request, kind: str, field: str, result: Result, *, negative: bool) -> Request:
    """The request with a kind of parallelism that the plan lacks (fixed at 2), or without one that it has (forbidden)."""
    document = request.model_dump(mode="json", exclude_unset=True)
    constraints = document.setdefault("constraints", {})
    uses = any(_degree(pool, field) > 1 for pool in (result.strategy.pools if result.strategy else ()))
    if uses and not negative:
        constraints["forbid"] = [*constraints.get("forbid", []), kind]
    else:
        constraints.setdefault("fix", {})[field] = 2
        constraints["forbid"] = [k for k in constraints.get("forbid", []) if k != kind]
    return Request.model_validate(document)


def _degree(pool: Pool, field: str) -> int:
    experts = pool.experts
    degrees = {
        "tp_size": pool.attention.tp_size,
        "pp_size": pool.pp_size,
        "ep_size": experts.ep_size if experts else 1,
        "dp_size": pool.attention.dp_size,
        "cp_size": pool.attention.cp_size,
        "replicas": pool.replicas,
        "dcp_size": pool.dcp_size,
    }
    return degrees[field]


def _topic(changed: Request, request: Request) -> str:
    fixed = changed.constraints.fix.model_dump(exclude_none=True)
    before = request.constraints.fix.model_dump(exclude_none=True)
    degree = next((name for name, value in fixed.items() if before.get(name) != value), "")
    names = ("serving", "precision", "cluster", "model", "engine")
    return degree or next((name for name in names if getattr(changed, name) != getattr(request, name)), "")


def _name(other: Request, request: Request) -> str:
    """The other choice in words."""
    fixed, before = (r.constraints.fix.model_dump(exclude_none=True) for r in (other, request))
    parts = [f"{name}={value}" for name, value in fixed.items() if before.get(name) != value]
    parts += [f"no {_spelt(kind)}" for kind in other.constraints.forbid if kind not in request.constraints.forbid]
    for name in ("serving", "engine", "objective"):
        if getattr(other, name) != getattr(request, name):
            parts.append(f"{getattr(other, name)}{' serving' if name == 'serving' else ''}")
    if other.precision != request.precision:
        said = other.precision.model_dump(exclude_none=True)
        parts.append(", ".join(f"{name} {value}" for name, value in said.items()))
    if other.cluster != request.cluster:
        parts.append(f"{(other.cluster.gpus_per_host or 8) * other.cluster.hosts} x {other.cluster.gpu}")
    if other.model != request.model:
        parts.append(str(other.model))
    return " and ".join(parts) or "that"


def _against(infeasible: Infeasible, name: str, topic: str, problem: Problem, deps: Deps) -> Because:
    """What stands in the way: limits with their numbers, rules with the section that explains them."""
    rules = catalogue()
    lines, cited = [f"With {name} there is no plan."], []
    for limit in infeasible.limits:
        rule = rules.get(limit.name)
        lines.append(f"{limit.name}: {limit.message.rstrip('.')}." + (f" {rule.summary}" if rule else ""))
        if rule is not None:
            cited.append(Citation(ref=rule.knowledge, title=rule.name.replace("-", " ")))
    nearest = [change.message for change in infeasible.nearest if change.verified]
    if nearest:
        lines.append(f"What would fit: {'; '.join(nearest)}.")
    return Because(text=" ".join(lines), citations=tuple(cited) or _sections(_TOPICS.get(topic) or name, problem, deps))


def _compared(proposal: Proposal, result: Result, name: str, topic: str, problem: Problem, deps: Deps) -> Because:
    """The two plans side by side."""
    ours, theirs = result.estimate, proposal.estimate
    assert ours is not None
    assert theirs is not None
    assert proposal.strategy is not None
    shape = describe_strategy(proposal.strategy)
    cited = _sections(_TOPICS.get(topic) or name, problem, deps)
    if proposal.strategy == result.strategy:
        return Because(text=f"The plan already is that: {shape}. {result.explanation}", citations=cited)
    lines = [f"It can be done: the best plan with {name} is {shape}.", *_differences(ours, theirs)]
    lines.append(_verdict(ours, theirs, result))
    return Because(text=" ".join(lines), citations=cited)


def _differences(ours: Estimate, theirs: Estimate) -> list[str]:
    rows = (
        ("TTFT", ours.ttft_ms, theirs.ttft_ms, "ms"),
        ("TPOT", ours.tpot_ms, theirs.tpot_ms, "ms"),
        ("throughput", ours.tokens_per_s_per_gpu, theirs.tokens_per_s_per_gpu, "tokens/s/GPU"),
        ("GPUs", float(ours.gpus), float(theirs.gpus), ""),
    )
    told = [
        f"{label} {figure(b)} instead of {figure(a)} {unit} ({b / a - 1:+.0%})".replace("  ", " ")
        for label, a, b, unit in rows
        if a > 0 and abs(b / a - 1) > CLOSE
    ]
    told += [f"bottleneck: {theirs.bottleneck}"] if theirs.bottleneck != ours.bottleneck else []
    return [f"It has {', '.join(told)}." if told else "By the estimate it does no better and no worse."]


def _verdict(ours: Estimate, theirs: Estimate, result: Result) -> str:
    """What decides, under the objective of the request."""
    assert result.request is not None
    slo = result.request.slo
    late = [n for n in ("ttft_ms", "tpot_ms") if getattr(slo, n) and getattr(theirs, n) > getattr(slo, n)]
    if late:
        return f"It misses the limit of {' and '.join(late)}."
    objective = result.request.objective
    better = {
        "throughput": theirs.tokens_per_s_per_gpu > ours.tokens_per_s_per_gpu * (1 + CLOSE),
        "latency": theirs.ttft_ms + theirs.tpot_ms < (ours.ttft_ms + ours.tpot_ms) * (1 - CLOSE),
        "min_gpus": theirs.gpus < ours.gpus,
    }[objective]
    if better:
        return f"Under the objective {objective} it would be a candidate: say so, and the plan changes."
    return f"The objective is {objective}, so the plan stays as it is."


def _spelt(kind: str) -> str:
    return "DP attention" if kind == "dp_attention" else kind.upper()


def _in_general(text: str, result: Result) -> Because:
    """Why at all: where the time or the memory goes when the question is about that, else the explanation of the result."""
    asked = text.lower()
    about = (
        ("breakdown prefill", r"\bttft\b|first token|prefill"),
        ("breakdown decode", r"\btpot\b|\bitl\b|decode|tokens? per second"),
        ("breakdown", r"\bslow|latency|bottleneck|long\b"),
        ("memory", r"\bmemory|\bvram\b"),
    )
    look = next((look for look, words in about if re.search(words, asked)), "")
    found = inspect(look, result) if look else None
    waits = _waits(result) if look == "breakdown prefill" else ()
    cited = result.citations[:MOST_CITED]
    if waits:
        cited = (Citation(ref="slo.md#waiting-and-load", title="Waiting and load"), *cited[: MOST_CITED - 1])
    return Because(text="\n".join([*waits, found or result.explanation]), citations=cited)


def _waits(result: Result) -> tuple[str, ...]:
    """How much of the time to the first token is waiting, where that is what it is made of, and what would shorten it."""
    estimate = result.estimate
    assert estimate is not None
    assert result.request is not None
    passing = sum(share.ms for share in estimate.breakdown if share.phase == "prefill")
    waiting = max(0.0, estimate.ttft_ms - passing)
    if not passing or waiting < MUCH_WAITING * estimate.ttft_ms:
        return ()
    work = result.request.workload
    free = result.request.slo.ttft_ms is None and work.concurrency is None and work.request_rate is None
    because = "; nothing limits TTFT, so the load was raised as far as the rest allows" if free else ""
    told = (
        f"{waiting / estimate.ttft_ms:.0%} of TTFT ({figure(waiting)} of {figure(estimate.ttft_ms)} ms) is waiting behind other prompts, with "
        f"{estimate.concurrency:,} requests in flight{because}. Less load or a limit on TTFT shortens it; the pass itself takes {figure(passing)} ms."
    )
    return (told,)


def _sections(query: str, problem: Problem, deps: Deps) -> tuple[Citation, ...]:
    found = sections_for_question(query, problem, deps.search_sections, MOST_CITED)
    return tuple(Citation(ref=s.ref, title=s.title) for s in found)
