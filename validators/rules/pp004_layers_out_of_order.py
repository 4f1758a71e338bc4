"""PP004."""

from collections.abc import Iterator
from itertools import pairwise

from validators.examples import dense, edit, example
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="PP004",
    stage="strategy",
    severity="error",
    message="layers {first} to {first_end} come after layers {second} to {second_end}",
    hint="order the ranges by layer: stage i + 1 runs what follows stage i",
    sources=("S1 §4.3",),
    knowledge="pipeline-parallelism.md#stages-are-contiguous-layer-ranges",
    requires=frozenset({"PP001", "PP002", "PP003"}),
    passes=lambda: [example("0 and 1, then 2 and 3", dense)],
    fails=lambda: [example("swapped", lambda: edit(dense(), "/strategy/pools/0/stages", [[2, 4], [0, 2]]))],
)
def layers_out_of_order(subject: Subject) -> Iterator[Hit]:
    """A layer reads the one before it, so stages and stamps are in the order of layers."""
    listed = [(f"{path}/stages", list(pool.stages)) for path, pool in subject.pools()]
    listed += [(f"{path}/layers", [stamp.range for stamp in branch.layers]) for _, branch, path in subject.branches()]
    for path, ranges in listed:
        for index, (before, after) in enumerate(pairwise(ranges)):
            if after[0] < before[0]:
                yield Hit(
                    f"{path}/{index + 1}",
                    first=after[0],
                    first_end=after[1] - 1,
                    second=before[0],
                    second_end=before[1] - 1,
                )
