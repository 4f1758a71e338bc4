"""PP002."""

from collections.abc import Iterator, Sequence

from strategy.legality import even_stages, uncovered_layers
from strategy.strategy import LayerRange, Pool
from validators.examples import dense, edit, example
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="PP002",
    stage="strategy",
    severity="error",
    message="{owner}: {problem}; the model has layers 0 to {last}",
    hint="let the ranges follow each other from 0 to {layers}, each layer once{such}",
    sources=("S3 assignment table", "vllm: distributed/utils.py:222-223"),
    knowledge="pipeline-parallelism.md#stages-are-contiguous-layer-ranges",
    settles=("X24",),
    requires=frozenset({"PP001"}),
    passes=lambda: [example("each layer once", dense)],
    fails=lambda: [
        example("a layer between two stages", lambda: edit(dense(), "/strategy/pools/0/stages/1", [3, 4])),
        example("a layer in two stages", lambda: edit(dense(), "/strategy/pools/0/stages/1", [1, 4])),
        example("a branch that ends early", lambda: edit(dense(), "/branches/decode/layers/0/range", [0, 3])),
        example("layers that the model lacks", lambda: edit(dense(), "/branches/prefill/layers/0/range", [0, 5])),
    ],
)
def uncovered_layer(subject: Subject) -> Iterator[Hit]:
    """Each layer of the model, dense or MoE, is in exactly one stage, and stamped exactly once in each branch."""
    for path, pool in subject.pools():
        yield from _hits(subject, f"{path}/stages", f"stages of pool `{pool.name}`", pool.stages, _even(subject, pool))
    for phase, branch, path in subject.branches():
        yield from _hits(subject, f"{path}/layers", f"layers of {phase}", [stamp.range for stamp in branch.layers])


def _even(subject: Subject, pool: Pool) -> str:
    """Even stages, where they are few enough to be listed."""
    layers = subject.model.num_layers
    if not 1 <= pool.pp_size <= min(layers, 64):
        return ""
    return f", such as {[list(stage) for stage in even_stages(layers, pool.pp_size)]}"


def _hits(subject: Subject, path: str, owner: str, ranges: Sequence[LayerRange], such: str = "") -> Iterator[Hit]:
    layers = subject.model.num_layers
    missing, surplus = uncovered_layers(ranges, layers)
    problems = [f"no range holds {_words(missing)}"] if missing else []
    twice = [(start, min(end, layers)) for start, end in surplus if start < layers]
    beyond = [(max(start, layers), end) for start, end in surplus if end > layers]
    problems += [f"more than one range holds {_words(twice)}"] if twice else []
    problems += [f"the model has no {_words(beyond)}"] if beyond else []
    if problems:
        yield Hit(path, owner=owner, problem=" and ".join(problems), last=layers - 1, layers=layers, such=such)


def _words(ranges: Sequence[LayerRange]) -> str:
    named = [f"{start}" if end == start + 1 else f"{start} to {end - 1}" for start, end in ranges[:8]]
    single = len(ranges) == 1 and ranges[0][1] == ranges[0][0] + 1
    return f"layer{'' if single else 's'} {', '.join(named)}{', ...' if len(ranges) > 8 else ''}"
