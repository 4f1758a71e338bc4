"""PP001."""

from collections.abc import Iterator

from validators.examples import dense, edit, example
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="PP001",
    stage="strategy",
    severity="error",
    message="[{start}, {end}] is not a range of layers: it ends before it starts",
    hint="write the first layer, then the one behind the last: [{end}, {start}]",
    sources=("S4 Definition",),
    knowledge="pipeline-parallelism.md#stages-are-contiguous-layer-ranges",
    passes=lambda: [example("two ranges", dense)],
    fails=lambda: [example("the second one backwards", lambda: edit(dense(), "/strategy/pools/0/stages/1", [4, 2]))],
)
def inverted_stage(subject: Subject) -> Iterator[Hit]:
    """A stage owns one contiguous range of layers, and so does each stamp of a branch."""
    for path, pool in subject.pools():
        for index, (start, end) in enumerate(pool.stages):
            if end < start:
                yield Hit(f"{path}/stages/{index}", start=start, end=end)
    for _phase, branch, path in subject.branches():
        for index, stamp in enumerate(branch.layers):
            if stamp.range[1] < stamp.range[0]:
                yield Hit(f"{path}/layers/{index}/range", start=stamp.range[0], end=stamp.range[1])
