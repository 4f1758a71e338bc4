"""A proof is found once for equal DAGs of equal models, and only for those."""

from typing import Any

import pytest

from strategy.dag import Dag
from strategy.execute import prove
from strategy.model import ModelSpec
from strategy.result import Proof
from validators import proofs
from validators.examples import dense, edit_node, moe
from validators.proofs import proof_of
from validators.subject import Subject
from validators.validate import validate


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Dag]:
    """The DAGs that were executed, from nothing known."""
    executed: list[Dag] = []

    def counted(dag: Dag, model: ModelSpec) -> Proof:
        executed.append(dag)
        return prove(dag, model)

    monkeypatch.setattr(proofs, "prove", counted)
    monkeypatch.setattr(proofs, "_known", {})
    return executed


def again(dag: Dag) -> Dag:
    """The same DAG, read again."""
    return Dag.model_validate_json(dag.model_dump_json())


def wrong() -> Subject:
    return edit_node(dense(), "attention.reduce", axis="ep")


@pytest.mark.parametrize("make", [dense, moe, wrong])
def test_an_equal_dag_is_not_executed_again(make: Any, runs: list[Dag]) -> None:
    subject = make()

    first, second = proof_of(subject.dag, subject.model), proof_of(again(subject.dag), subject.model.model_copy())

    assert first == second == prove(subject.dag, subject.model)
    assert len(runs) == 1


def test_a_dag_that_differs_in_one_node_is_executed(runs: list[Dag]) -> None:
    sound, broken = dense(), wrong()

    assert [proof_of(s.dag, s.model).passed for s in (sound, broken, sound, broken)] == [True, False, True, False]
    assert len(runs) == 2


def test_a_dag_of_another_model_is_executed(runs: list[Dag]) -> None:
    subject = dense()
    other = subject.model.model_copy(update={"num_layers": subject.model.num_layers + 2})

    assert proof_of(subject.dag, subject.model).passed
    assert not proof_of(subject.dag, other).passed  # two layers of it run nowhere
    assert len(runs) == 2


def test_a_dag_is_executed_once_for_every_request(runs: list[Dag]) -> None:
    subject = dense()

    verdicts = [validate(again(subject.dag), subject.model) for _ in range(3)]

    assert all(verdict.valid for verdict in verdicts)
    assert len(runs) == 1


def test_no_more_proofs_are_kept_than_allowed(runs: list[Dag], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proofs, "MAX_KNOWN", 2)
    for tp in (1, 2, 4):
        subject = dense(tp=tp)
        assert proof_of(subject.dag, subject.model).passed
        assert len(proofs._known) <= 2

    assert len(runs) == 3


def test_what_is_remembered_of_sound_blocks_hides_no_mistake() -> None:
    sound, broken = dense(), wrong()

    told = [validate(again(s.dag), s.model, prove=False).errors for s in (sound, broken, sound, broken)]

    assert told[0] == told[2] == ()
    assert told[1] == told[3]
    assert told[1]
