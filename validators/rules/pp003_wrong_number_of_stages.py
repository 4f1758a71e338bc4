"""PP003."""

from collections.abc import Iterator

from strategy.legality import even_stages, stages_match_size
from validators.examples import dense, edit, example
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="PP003",
    stage="strategy",
    severity="error",
    message="pool `{pool}`: {problem}",
    hint="{repair}",
    sources=("vllm: distributed/utils.py:220-221", "megatron: core/transformer/transformer_config.py:2302-2304"),
    knowledge="pipeline-parallelism.md#number-of-stages",
    requires=frozenset({"PP001", "PP002"}),
    passes=lambda: [example("two stages for pp_size 2", dense)],
    fails=lambda: [
        example("one range for pp_size 2", lambda: edit(dense(), "/strategy/pools/0/stages", [[0, 4]])),
        example("an empty stage", lambda: edit(dense(), "/strategy/pools/0/stages", [[0, 4], [4, 4]])),
        example("more stages than layers", lambda: edit(dense(), "/strategy/pools/0/pp_size", 5)),
    ],
)
def wrong_number_of_stages(subject: Subject) -> Iterator[Hit]:
    """There are as many stages as pp_size says, and each has a layer to run."""
    layers = subject.model.num_layers
    for path, pool in subject.pools():
        if stages_match_size(pool):
            continue
        empty = [index for index, (start, end) in enumerate(pool.stages) if start == end]
        if pool.pp_size > layers:
            problem, repair = f"pp_size {pool.pp_size} exceeds {layers} layers", f"set pp_size to {layers} or less"
        elif len(pool.stages) != pool.pp_size:
            problem, repair = (
                f"pp_size {pool.pp_size} with {len(pool.stages)} layer ranges",
                _give(layers, pool.pp_size),
            )
        else:
            problem, repair = f"stage {empty[0]} has no layer", f"lower pp_size, or {_give(layers, pool.pp_size)}"
        yield Hit(f"{path}/stages", pool=pool.name, problem=problem, repair=repair)


def _give(layers: int, pp_size: int) -> str:
    even = [list(stage) for stage in even_stages(layers, pp_size)]
    return f"give {pp_size}, such as {even}"
