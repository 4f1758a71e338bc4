"""What an engine understood of a plan's files, against the plan."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from strategy.export import Plan
from strategy.export.readback import PoolDegrees, degrees_of

COMPARED = (
    "pp_size",
    "dp_size",
    "cp_size",
    "tp_size",
    "ep_size",
    "moe_dp_size",
    "dcp_size",
    "redundant_experts",
    "layers",
)


def disagreements(plan: Plan, understood: Iterable[Mapping[str, Any]]) -> list[str]:
    """Every degree, stage or GPU count in which the processes of one plan differ from it."""
    pools = {pool.role: pool for pool in degrees_of(plan.strategy)}
    found: list[str] = []
    gpus: dict[str, int] = defaultdict(int)
    for facts in understood:
        pool = pools.get(facts["role"])
        if pool is None:
            found.append(f"a {facts['role']} server, which the plan lacks")
            continue
        found += _different(pool, facts)
        gpus[pool.role] += facts["gpus"]
    found += [
        f"{role}: {gpus[role]} GPUs, the plan has {pool.gpus}"
        for role, pool in pools.items()
        if gpus[role] != pool.gpus
    ]
    return found


def _different(pool: PoolDegrees, facts: Mapping[str, Any]) -> list[str]:
    told = []
    for name in COMPARED:
        expected = getattr(pool, name)
        wanted = list(expected) if isinstance(expected, tuple) else expected
        if name in facts and facts[name] != wanted:
            told.append(f"{pool.role}: {name}={facts[name]}, the plan has {wanted}")
    return told
