"""AT005."""

from collections.abc import Iterator

from strategy.strategy import Phase
from validators.block_graph import phases_of
from validators.examples import edit, mla
from validators.examples_moe import named
from validators.registry import Hit, rule
from validators.subject import Subject

_CHEAPER: dict[Phase, str] = {"prefill": "expanded", "decode": "absorbed"}


@rule(
    code="AT005",
    stage="graph",
    severity="warning",
    message="{phase} runs MLA in the {form} form (`{node}` of block `{block}`), which costs more there",
    hint="use the {cheaper} form in {phase}: absorbed reads the latent once for all heads, expanded multiplies narrower heads",
    sources=("aiconfigurator: src/perf_database/mla.rs:677-741",),
    knowledge="attention.md#expanded-and-absorbed-forms",
    passes=lambda: named("expanded in prefill, absorbed in decode", mla),
    fails=lambda: named("absorbed in prefill", _absorbed_everywhere),
)
def costly_mla_form(subject: Subject) -> Iterator[Hit]:
    """Both forms compute the same; decode is bound by cache bytes, prefill by arithmetic."""
    for block, node, path in subject.places:
        form = node.form if node.op == "attention" and node.form != "recurrent" else None
        for phase in phases_of(subject, block.name) if form is not None else ():
            if form != _CHEAPER[phase]:
                yield Hit(
                    f"{path}/form", phase=phase, form=form, node=node.id, block=block.name, cheaper=_CHEAPER[phase]
                )


def _absorbed_everywhere() -> Subject:
    """The decode attention block stamped in prefill too."""
    swapped = mla()
    for place, stamp in enumerate(swapped.dag.branches.prefill.layers):
        swapped = edit(swapped, f"/branches/prefill/layers/{place}/blocks/0", "mla_decode")
        assert stamp.blocks[0] == "mla_prefill"
    return edit(swapped, "/links/0/source", "prefill.mla_decode.kv")
