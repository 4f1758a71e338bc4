"""CM003."""

from collections.abc import Iterator

from validators.examples import dense, example, insert
from validators.mismatches import typed
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="CM003",
    stage="typing",
    severity="error",
    message="block `{block}`, {phase}: `{node}` gathers over {axis} what each of its ranks has whole: every row would come out once for each rank",
    hint="delete `{node}`",
    sources=("nccl-tests: doc/PERFORMANCE.md", "astra-sim: native_collectives/collective_algorithm/Ring.cc:71-86"),
    knowledge="collectives.md#conservation-of-bytes",
    passes=lambda: [example("shards are gathered", dense)],
    fails=lambda: [
        example(
            "a gather of what every rank already has",
            lambda: insert(dense(), "ffn.norm", id="spread", op="all_gather", axis="tp", dim="tokens", inputs=["norm"]),
        )
    ],
)
def gathered_more_than_there_is(subject: Subject) -> Iterator[Hit]:
    """A gather makes g shards whole; of a tensor that is whole on every rank it would make g copies."""
    return typed(subject, "CM003")
