"""Ranks that a document writes out, against those that its strategy implies: each difference belongs to one rule.

The ranks of a plan follow from its degrees (`strategy.mesh`), so a written group is right or wrong, and how it is wrong says which rule it
breaks: ranks that do not exist, groups over two stages or two replicas, groups that overlap or differ in size, another order of ranks.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple, get_args

from strategy.mesh import Axis, coordinates, groups, pipeline_pairs, replica_blocks
from strategy.strategy import Strategy
from validators.claims import Layout, Ranks
from validators.registry import Hit
from validators.subject import Subject

MAX_WORLD = 65_536
AXES: tuple[str, ...] = (*get_args(Axis), "pp", "replica")
ORDER_RULES = {"tp": "RL002", "pp": "RL003", "replica": "RL004", "ep": "RL005"}
"""Who speaks of a group that is a group, but of the wrong ranks."""
STAGE_RULES = {"ep": "EP008", "cp": "SP005"}
"""Who speaks of a group over several stages."""


class Fault(NamedTuple):
    """One difference, with the code of its rule."""

    code: str
    path: str
    what: str
    repair: str


def layout_hits(subject: Subject, code: str) -> Iterator[Hit]:
    """The differences that belong to `code`."""
    for fault in subject.layout_faults:
        if fault.code == code:
            yield Hit(fault.path, what=fault.what, repair=fault.repair)


def layout_faults(subject: Subject) -> tuple[Fault, ...]:
    """Every difference between the written ranks and the derived ones."""
    layout, strategy = subject.claims.layout, subject.dag.strategy
    if layout is None or strategy.world_size > MAX_WORLD:
        return ()
    return tuple(_Comparison(subject, layout, strategy).faults())


class _Comparison:
    def __init__(self, subject: Subject, layout: Layout, strategy: Strategy) -> None:
        self.subject, self.layout, self.strategy = subject, layout, strategy
        self.world = strategy.world_size
        rows = [one for pool in strategy.pools for one in coordinates(pool, first_rank=strategy.first_rank(pool))]
        self.stage_of = {row.rank: (self._pool_of(row.rank), row.replica, row.pp) for row in rows}
        self.coordinates = {row.rank: row for row in rows}

    def _pool_of(self, rank: int) -> int:
        starts = [self.strategy.first_rank(pool) for pool in self.strategy.pools]
        return sum(start <= rank for start in starts)

    def faults(self) -> Iterator[Fault]:
        for axis, written in self.layout.groups.items():
            yield from self._axis(axis, written)
        yield from self._ranks()
        yield from self._sends()
        yield from self._experts()
        yield from self._layers()

    def derived(self, axis: str) -> list[Ranks]:
        """The groups of an axis that the strategy implies, pool after pool."""
        found: list[Ranks] = []
        for pool in self.strategy.pools:
            first = self.strategy.first_rank(pool)
            if axis == "replica":
                found += replica_blocks(pool, first_rank=first)
            elif axis == "pp":
                found += _chains(pipeline_pairs(pool, first_rank=first), first, pool.world_size)
            else:
                found += groups(pool, axis, first_rank=first)  # type: ignore[arg-type]
        return found

    def _axis(self, axis: str, written: Sequence[Ranks]) -> Iterator[Fault]:
        path = f"/layout/groups/{axis}"
        if axis not in AXES:
            yield Fault("CM002", path, f"there is no axis `{axis}`", f"use one of {', '.join(AXES)}")
            return
        expected = self.derived(axis)
        repair = f"write the groups that the strategy implies: {_shown(expected)}"
        if sorted(map(sorted, written)) == sorted(map(sorted, expected)):
            return
        code, what = self._kind(axis, written, expected)
        yield Fault(code, path, what, repair)

    def _kind(self, axis: str, written: Sequence[Ranks], expected: Sequence[Ranks]) -> tuple[str, str]:
        """Which rule a wrong set of groups breaks, and what is wrong with it."""
        counts = Counter(rank for group in written for rank in group)
        unknown = sorted(rank for rank in counts if rank >= self.world)
        if unknown:
            return "DG008", f"rank {unknown[0]} of {axis} does not exist: ranks are 0 to {self.world - 1}"
        known = {frozenset(group) for group in expected}
        wrong = [group for group in written if frozenset(group) not in known]
        replicas = [group for group in wrong if len({self.stage_of[r][:2] for r in group}) > 1]
        if replicas and axis != "replica":
            return "DP003", f"{axis} group {_group(replicas[0])} joins ranks of two replicas"
        stages = [group for group in wrong if len({self.stage_of[r] for r in group}) > 1]
        if stages and axis not in ("replica", "pp"):
            return STAGE_RULES.get(axis, "CM008"), f"{axis} group {_group(stages[0])} joins ranks of two stages"
        return self._kind_of_partition(axis, written, wrong, counts)

    def _kind_of_partition(
        self, axis: str, written: Sequence[Ranks], wrong: Sequence[Ranks], counts: Counter[int]
    ) -> tuple[str, str]:
        by_replica: dict[tuple[int, int], set[int]] = {}
        for group in filter(None, written):
            by_replica.setdefault(self.stage_of[group[0]][:2], set()).add(len(group))
        sizes = {size for found in by_replica.values() for size in found}
        uneven = f"{axis} groups have {' and '.join(map(str, sorted(sizes)))} ranks"
        if len(sizes) > 1 and axis != "replica" and all(len(found) == 1 for found in by_replica.values()):
            return "DP009", f"{uneven} in different replicas"
        if len(sizes) > 1 and axis == "tp" and set(counts.values()) == {1} and len(counts) == self.world:
            return "TP013", f"{uneven} in different stages"
        repeated = next((rank for rank, count in counts.items() if count > 1), None)
        missing = next((rank for rank in range(self.world) if rank not in counts), None)
        if repeated is not None or missing is not None or len(sizes) > 1:
            code = {"tp": "TP012", "replica": "DP002", "ep": "EP017"}.get(axis, "RL008")
            fault = f"rank {repeated} twice" if repeated is not None else f"rank {missing} not at all"
            return code, f"{axis} groups hold {fault}" if repeated is not None or missing is not None else uneven
        if axis == "replica" and wrong and self._replica_is_a_stage(wrong[0]):
            return "DP001", f"replica {_group(wrong[0])} is a part of every stage, not a whole pipeline"
        if axis in ("ep", "moe_tp") and self._other_order(axis, written):
            return "RL006", f"the {axis} groups are those of the other moe_layout"
        return ORDER_RULES.get(axis, "CM002"), f"{_group(wrong[0])} is no {axis} group of this strategy"

    def _other_order(self, name: str, written: Sequence[Ranks]) -> bool:
        """Whether the groups would be right if the expert mesh ran the other way."""
        axis: Axis = "ep" if name == "ep" else "moe_tp"
        found: list[Ranks] = []
        for pool in self.strategy.pools:
            other = "ep_fastest" if pool.moe_layout == "moe_tp_fastest" else "moe_tp_fastest"
            swapped = pool.model_copy(update={"moe_layout": other})
            found += groups(swapped, axis, first_rank=self.strategy.first_rank(pool))
        return sorted(map(sorted, written)) == sorted(map(sorted, found))

    def _replica_is_a_stage(self, group: Ranks) -> bool:
        return (
            len({self.stage_of[rank][1] for rank in group}) > 1 and len({self.stage_of[rank][2] for rank in group}) > 1
        )

    def _ranks(self) -> Iterator[Fault]:
        for index, row in enumerate(self.layout.ranks):
            path = f"/layout/ranks/{index}"
            here = self.coordinates.get(row.rank)
            if here is None:
                yield Fault("DG008", path, f"rank {row.rank} does not exist", f"ranks are 0 to {self.world - 1}")
                return
            said = (row.replica, row.pp, row.dp, row.cp, row.tp)
            derived = (here.replica, here.pp, here.dp, here.cp, here.tp)
            if said != derived:
                names = ("replica", "pp", "dp", "cp", "tp")
                right = ", ".join(f"{name} {value}" for name, value in zip(names, derived, strict=True))
                yield Fault("RL001", path, f"rank {row.rank} sits elsewhere", f"it has {right}")
                return

    def _sends(self) -> Iterator[Fault]:
        if not self.layout.sends:
            return
        expected = {
            pair
            for pool in self.strategy.pools
            for pair in pipeline_pairs(pool, first_rank=self.strategy.first_rank(pool))
        }
        for index, (source, target) in enumerate(self.layout.sends):
            if (source, target) in expected:
                continue
            path, right = f"/layout/sends/{index}", dict(expected).get(source)
            back = (target, source) in expected
            repair = (
                f"send from {source} to {right}" if right is not None else "delete it: this rank is on the last stage"
            )
            yield Fault("PP007" if back else "PP014", path, f"rank {source} sends to rank {target}", repair)
            return
        missing = sorted(expected - set(self.layout.sends))
        if missing:
            yield Fault("PP014", "/layout/sends", f"rank {missing[0][0]} sends nothing on", f"add {list(missing[0])}")

    def _experts(self) -> Iterator[Fault]:
        moe, held = self.subject.model.moe, self.layout.experts
        if moe is None or not held:
            return
        counts = Counter(expert for row in held for expert in row)
        missing = next((e for e in range(moe.num_experts) if e not in counts), None)
        unknown = next((e for e in counts if e >= moe.num_experts), None)
        copies = self.strategy.pool_for("decode").redundant_experts
        twice = next((e for e, count in counts.items() if count > 1), None) if not copies else None
        what = (
            f"expert {missing} is on no rank" if missing is not None
            else f"expert {unknown} does not exist" if unknown is not None
            else f"expert {twice} is on two ranks, and redundant_experts is 0" if twice is not None
            else ""
        )  # fmt: skip
        if what:
            share = moe.num_experts // len(held)
            yield Fault(
                "EP004", "/layout/experts", what, f"give each of the {len(held)} ep ranks {share} experts of their own"
            )

    def _layers(self) -> Iterator[Fault]:
        for index, written in enumerate(self.layout.layers):
            here = self.coordinates.get(index)
            if here is None:
                yield Fault(
                    "DG008",
                    f"/layout/layers/{index}",
                    f"rank {index} does not exist",
                    f"ranks are 0 to {self.world - 1}",
                )
                return
            pool = self.strategy.pools[self.stage_of[index][0] - 1]
            if tuple(written) != tuple(pool.stages[here.pp]):
                right = list(pool.stages[here.pp])
                what = f"rank {index} of replica {here.replica} holds layers {list(written)}"
                yield Fault("DP006", f"/layout/layers/{index}", what, f"stage {here.pp} of every replica holds {right}")
                return


def _chains(pairs: Sequence[tuple[int, int]], first: int, size: int) -> list[Ranks]:
    """Pipelines as groups: the ranks of consecutive stages behind each other."""
    following = dict(pairs)
    heads = set(range(first, first + size)) - set(following.values())
    found: list[Ranks] = []
    for head in sorted(heads):
        chain = [head]
        while chain[-1] in following:
            chain.append(following[chain[-1]])
        found.append(tuple(chain))
    return found


def _group(ranks: Sequence[int]) -> str:
    text = ", ".join(str(rank) for rank in ranks[:8])
    return "{" + text + (", ..." if len(ranks) > 8 else "") + "}"


def _shown(found: Sequence[Ranks]) -> str:
    text = ", ".join(_group(group) for group in found[:4])
    return f"{text}, ..." if len(found) > 4 else text
