"""DG009."""

from collections.abc import Iterator

from validators.examples import dense, disaggregated, edit, example
from validators.registry import Hit, rule
from validators.subject import PHASES, Subject


@rule(
    code="DG009",
    stage="strategy",
    severity="error",
    message="{phase} is served by {count} pools",
    hint="give `{phase}` to exactly one pool: both phases in one pool, or one pool for each: set phases of {repair}",
    sources=("S1 §1", "S4 Definition"),
    knowledge="dag-document.md#phase-and-stage-of-a-node",
    passes=lambda: [example("one pool for both phases", dense), example("a pool for each", disaggregated)],
    fails=lambda: [
        example("nobody decodes", lambda: edit(dense(), "/strategy/pools/0/phases", ["prefill"])),
        example("both pools prefill", lambda: edit(disaggregated(), "/strategy/pools/1/phases", ["decode", "prefill"])),
    ],
)
def phase_without_pool(subject: Subject) -> Iterator[Hit]:
    """Every node runs in one phase, on the ranks of the one pool that serves it."""
    served = [phase for _, pool in subject.pools() for phase in pool.phases]
    for phase in PHASES:
        if served.count(phase) != 1:
            yield Hit("/strategy/pools", phase=phase, count=served.count(phase) or "no", repair=_repair(subject))


def _repair(subject: Subject) -> str:
    """Who should serve what: the one pool both phases, or the first prefill and the second decode."""
    names = [pool.name for _, pool in subject.pools()]
    if len(names) == 1:
        return f"`{names[0]}` to [prefill, decode]"
    return f"`{names[0]}` to [prefill], of `{names[1]}` to [decode]"
