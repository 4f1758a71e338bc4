"""What other readers of the format stumble over is refused by us too: they know one row per sequence, one axis for experts, one split per weight."""

from typing import Any

import pytest

from strategy.execute import prove
from validators.examples import MLA, MOE, dense, edit_node, insert, mla, moe, plan, pool
from validators.subject import Subject
from validators.validate import validate


def whole_mla() -> Subject:
    return plan(MLA, pool(MLA, dp=4, ep=4))


CASES: dict[str, tuple[Any, str]] = {
    "the last rows of the last rows": (
        lambda: insert(dense(), "head_prefill.last", id="again", op="select_last", inputs=["last"]),
        "DG010",
    ),
    "a row split of lm_head over one rank": (lambda: edit_node(moe(), "head_decode.lm_head", split="row"), "TP015"),
    "a column split of the output projection over one rank": (
        lambda: edit_node(moe(), "attention.o", split="column"),
        "TP015",
    ),
    "a split latent projection over one rank": (
        lambda: edit_node(whole_mla(), "mla_decode.qkv_a", split="row"),
        "AT003",
    ),
    "Q, K and V summed as one, over one rank": (
        lambda: insert(moe(), "attention.qkv", id="sum", op="all_reduce", axis="tp", inputs=["qkv"]),
        "DG010",
    ),
    "expanded K and V cut as one, over one rank": (
        lambda: insert(whole_mla(), "mla_prefill.kv_b", id="cut", op="chunk", axis="tp", dim="tokens", inputs=["kv_b"]),
        "DG010",
    ),
    "a dispatch that names the stage": (lambda: edit_node(moe(), "moe.dispatch", axis="stage"), "EP002"),
    "a combine that names the replicas": (lambda: edit_node(moe(), "moe.combine", axis="dp"), "EP002"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_other_readers_stumble_over_is_refused_and_not_proved(name: str) -> None:
    make, code = CASES[name]
    subject = make()

    assert {f.code for f in validate(subject.dag, subject.model, prove=False).errors} == {code}
    assert not prove(subject.dag, subject.model).passed


@pytest.mark.parametrize("make", [dense, moe, mla])
def test_over_one_rank_whole_is_any_split(make: Any) -> None:
    model = {"dense": None, "moe": MOE, "mla": MLA}[make.__name__]
    subject = dense(tp=1) if model is None else plan(model, pool(model, dp=2, ep=2))
    for place in subject.places:
        if place.node.op == "linear":
            subject = edit_node(subject, f"{place.block.name}.{place.node.id}", split="replicated")

    assert validate(subject.dag, subject.model).valid
