"""Whether a proposal keeps to what the request asks beyond legality: fixed degrees, forbidden kinds, serving, latency limits.

The planner keeps to them by construction; a model's answer is checked.
"""

from collections.abc import Callable, Iterator

from strategy.request import Problem
from strategy.result import Estimate, Finding
from strategy.strategy import Pool, Strategy

_DEGREES: dict[str, Callable[[Pool], int]] = {
    "tp_size": lambda pool: pool.attention.tp_size,
    "pp_size": lambda pool: pool.pp_size,
    "ep_size": lambda pool: pool.experts.ep_size if pool.experts else 1,
    "cp_size": lambda pool: pool.attention.cp_size,
    "dp_size": lambda pool: pool.attention.dp_size,
    "moe_tp_size": lambda pool: pool.experts.tp_size if pool.experts else 1,
    "dcp_size": lambda pool: pool.dcp_size,
    "replicas": lambda pool: pool.replicas,
}
_PLACES = {
    "tp_size": "/attention/tp_size",
    "cp_size": "/attention/cp_size",
    "dp_size": "/attention/dp_size",
    "ep_size": "/experts/ep_size",
    "moe_tp_size": "/experts/tp_size",
}


def unmet(problem: Problem, strategy: Strategy, estimate: Estimate | None) -> tuple[Finding, ...]:
    """Every wish of the request that `strategy` does not grant, as error findings (codes REQ001 to REQ004)."""
    return (
        *_wrong_degrees(problem, strategy),
        *_forbidden(problem, strategy),
        *_wrong_serving(problem, strategy),
        *_too_slow(problem, estimate),
    )


def _wrong_degrees(problem: Problem, strategy: Strategy) -> Iterator[Finding]:
    fixed = problem.constraints.fix.model_dump(exclude_none=True)
    gpus = fixed.pop("gpus", None)
    if gpus is not None and strategy.world_size != gpus:
        message = f"the strategy uses {strategy.world_size} GPUs; the request asks for {gpus}"
        yield _finding("REQ001", "/strategy/pools", message, f"choose replicas and degrees whose product is {gpus}")
    for index, pool in enumerate(strategy.pools):
        for field, wanted in fixed.items():
            actual = _DEGREES[field](pool)
            if actual != wanted:
                path = f"/strategy/pools/{index}{_PLACES.get(field, f'/{field}')}"
                yield _finding(
                    "REQ001", path, f"{field} is {actual}; the request fixes it at {wanted}", f"set it to {wanted}"
                )


def _forbidden(problem: Problem, strategy: Strategy) -> Iterator[Finding]:
    for index, pool in enumerate(strategy.pools):
        for kind in problem.constraints.forbid:
            if _uses(pool, kind):
                message = f"the request forbids {kind}; pool `{pool.name}` uses it"
                yield _finding("REQ002", f"/strategy/pools/{index}", message, f"set the degrees of {kind} to 1")


def _uses(pool: Pool, kind: str) -> bool:
    experts = pool.experts
    used = {
        "tp": pool.attention.tp_size > 1 or (experts is not None and experts.tp_size > 1),
        "pp": pool.pp_size > 1,
        "ep": experts is not None and experts.ep_size > 1,
        "sp": pool.sp_kind != "none" or pool.attention.cp_size > 1,
        "dp": pool.replicas > 1,
        "dp_attention": pool.attention.dp_size > 1,
        "dcp": pool.dcp_size > 1,
    }
    return used[kind]


def _wrong_serving(problem: Problem, strategy: Strategy) -> Iterator[Finding]:
    wanted = problem.serving
    if wanted != "auto" and (wanted == "disaggregated") != strategy.disaggregated:
        pools = "two pools, prefill and decode" if wanted == "disaggregated" else "one pool with both phases"
        yield _finding("REQ003", "/strategy/pools", f"the request asks for {wanted} serving", f"propose {pools}")


def _too_slow(problem: Problem, estimate: Estimate | None) -> Iterator[Finding]:
    for name in ("ttft_ms", "tpot_ms"):
        limit = getattr(problem.slo, f"planned_{name}")
        if estimate is not None and getattr(estimate, name) > limit:
            message = f"estimated {name} is {getattr(estimate, name):.1f}; the limit is {limit:g} (bottleneck: {estimate.bottleneck})"
            hint = "more ranks per replica for lower latency (a higher tp_size first), fewer pipeline stages"
            yield _finding("REQ004", "/strategy/pools/0", message, hint)


def _finding(code: str, path: str, message: str, hint: str) -> Finding:
    return Finding(code=code, severity="error", path=path, message=message, hint=hint)
