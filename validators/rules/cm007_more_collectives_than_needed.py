"""CM007."""

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache

from strategy.build import build
from strategy.dag import Dag
from strategy.errors import InputError
from strategy.layers import FfnKind, MixerKind
from strategy.mesh import Axis, axis_size
from strategy.model import ModelSpec
from strategy.strategy import Phase, Pool, Strategy
from validators.block_graph import collective_axis
from validators.examples import dense, edit_node, example, insert
from validators.registry import Hit, rule
from validators.subject import PHASES, Subject

Counts = Counter[tuple[str, str]]
"""Collectives by op and axis."""
HALVES = {"all_reduce": 2, "all_gather": 1, "reduce_scatter": 1, "all_to_all": 1, "broadcast": 1}
"""An all_reduce moves what a reduce_scatter and an all_gather move together."""


@rule(
    code="CM007",
    stage="conservation",
    severity="warning",
    message="{phase}: a layer of blocks {blocks} has {found} over {axis}, where {expected} are enough",
    hint="remove what is not needed over {axis}; the canonical layer has {canonical}",
    sources=("S3 TP box", "layer templates of S1 §6"),
    knowledge="tensor-parallelism.md#collectives-per-layer",
    settles=("X27",),
    passes=lambda: [example("two all_reduces in a dense layer", dense)],
    fails=lambda: [example("the attention output is cut and gathered once more", _cut_and_gathered)],
)
def more_collectives_than_needed(subject: Subject) -> Iterator[Hit]:
    """A layer communicates no more often over an axis than the template of its combination."""
    needed = _counts_of_template(subject.model, subject.dag.strategy)
    for phase, branch, path in subject.branches() if needed else ():
        pool = subject.dag.strategy.pool_for(phase)
        for index, stamp in enumerate(branch.layers):
            counts = _counts(subject.dag, stamp.blocks, pool)
            template = needed[phase, subject.model.layer_kind(stamp.range[0])]
            for axis, halves in sorted(_halves(counts).items()):
                if halves > _halves(template).get(axis, 0):
                    yield Hit(f"{path}/layers/{index}", phase=phase, blocks=", ".join(stamp.blocks), axis=axis, found=_words(counts, axis),
                              expected=_words(template, axis), canonical=_words(template, axis))  # fmt: skip


@lru_cache(maxsize=64)
def _counts_of_template(
    model: ModelSpec, strategy: Strategy
) -> Mapping[tuple[Phase, tuple[MixerKind, FfnKind]], Counts]:
    """What a layer of each kind has in each phase; nothing for a combination that has no template yet."""
    try:
        canonical = build(model, strategy)
    except InputError:
        return {}
    return {
        (phase, model.layer_kind(stamp.range[0])): _counts(canonical, stamp.blocks, strategy.pool_for(phase))
        for phase in PHASES
        for stamp in canonical.branch(phase).layers
    }


def _counts(dag: Dag, blocks: tuple[str, ...], pool: Pool) -> Counts:
    """Collectives of one layer by op and axis, over axes of more than one rank. Ranks that are a whole stage count as `stage`."""
    found: Counts = Counter()
    for name in blocks:
        block = dag.block(name)
        for node in block.nodes if block else ():
            axis: Axis | None = collective_axis(node)
            if axis is not None and (size := axis_size(pool, axis)) > 1:
                found[node.op, "stage" if size == pool.width else axis] += 1
    return found


def _halves(counts: Counts) -> dict[str, int]:
    found: dict[str, int] = {}
    for (op, axis), count in counts.items():
        found[axis] = found.get(axis, 0) + HALVES[op] * count
    return found


def _words(counts: Counts, axis: str) -> str:
    named = [f"{count} {op}" for (op, on), count in sorted(counts.items()) if on == axis]
    return " and ".join(named) or "none"


def _cut_and_gathered() -> Subject:
    cut = insert(dense(), "attention.reduce", id="cut", op="chunk", axis="tp", dim="tokens", inputs=["reduce"])
    gathered = insert(cut, "attention.cut", id="whole", op="all_gather", axis="tp", dim="tokens", inputs=["cut"])
    return edit_node(gathered, "attention.add", inputs=["in", "whole"])
