"""What an engine understood of a plan's files, against the plan."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from strategy.export import Plan
from strategy.export.readback import PoolDegrees, degrees_of

COMPARED = (
    "pp_size",
    "dp_size",
    "cp_size",
    "tp_size",
    "ep_size",
    "moe_tp_size",
    "moe_dp_size",
    "dcp_size",
    "redundant_experts",
    "layers",
)


def disagreements(plan: Plan, understood: Sequence[Mapping[str, Any]]) -> list[str]:
    """Every degree, stage, replica, host's part or GPU count in which the processes of one plan differ from it."""
    pools = {pool.role: pool for pool in degrees_of(plan.strategy)}
    found = _parts(pools, understood)
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


def _parts(pools: Mapping[Any, PoolDegrees], understood: Iterable[Mapping[str, Any]]) -> list[str]:
    """Servers that some host has no part of, or two the same; pools with another number of servers than replicas.

    A process states the `server` that it belongs to (None: it is one by itself), the first `part` of it that it holds, how `many` and of how many in all.
    """
    alone: Counter[str] = Counter()
    servers: dict[tuple[str, str], list[tuple[int, int, int]]] = defaultdict(list)
    for facts in understood:
        if "server" not in facts or facts["server"] is None:
            alone[facts["role"]] += facts.get("servers", 1)
        else:
            servers[facts["role"], facts["server"]].append((facts["part"], facts["many"], facts["parts"]))
    found = [f"{role}: {told}" for (role, _), parts in servers.items() if (told := _gap(sorted(parts)))]
    for role, pool in pools.items():
        count = alone[role] + sum(1 for of, _ in servers if of == role)
        found += [] if count == pool.replicas else [f"{role}: {count} servers, the plan has {pool.replicas}"]
    return found


def _gap(parts: list[tuple[int, int, int]]) -> str:
    held = 0
    for first, many, _ in parts:
        if first != held:
            return f"a host begins at part {first} of its server, where {held} is next"
        held += many
    return "" if {of for _, _, of in parts} == {held} else f"hosts hold {held} of {parts[0][2]} parts of a server"


def _different(pool: PoolDegrees, facts: Mapping[str, Any]) -> list[str]:
    told = []
    for name in COMPARED:
        expected = getattr(pool, name)
        wanted = list(expected) if isinstance(expected, tuple) else expected
        if name in facts and facts[name] != wanted:
            told.append(f"{pool.role}: {name}={facts[name]}, the plan has {wanted}")
    return told
