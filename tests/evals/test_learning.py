"""Fitting the learned reader: the same texts give the same weights, and the shipped ones read the texts that they were fitted on."""

from dataclasses import replace

import numpy as np
import pytest

from agent.understand.learned import ROLES, opinion_of, stored
from evals import learning
from evals.learning import FIELDS, fit, labelled, reads, roles_by_value

SET = "understanding_unseen_20.yaml"


def test_the_same_texts_give_the_same_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "ROUNDS", (4, 2))
    texts = [replace(text, set=f"{i % 3}") for i, text in enumerate(labelled([SET])[:9])]
    first, again = stored(fit(texts)), stored(fit(texts))

    assert np.abs(first["second"]).max() == 127
    assert all(np.array_equal(first[name], again[name]) for name in first)


def test_a_number_may_be_what_it_equals() -> None:
    text = next(t for t in labelled([SET]) if t.says.get("isl") == 1500 and t.says.get("osl") == 400)
    may = roles_by_value(text)
    roles = {ROLES[i] for row in may for i in np.flatnonzero(row)}

    assert {"isl", "osl", "concurrency"} <= roles
    assert may.any(axis=1).all()


def test_the_shipped_weights_read_a_set_that_they_were_fitted_on() -> None:
    """Not fitted again here, which takes minutes: weights of other signs would read far less of it. Sets that came later go unnoticed."""
    pairs = [(opinion_of(t.page), field, t.says[field]) for t in labelled([SET]) for field in FIELDS if field in t.says]
    right = sum(reads(opinion, field, expected) for opinion, field, expected in pairs)

    assert right >= 0.98 * len(pairs)
