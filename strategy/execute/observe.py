"""Compares a run with the reference while it goes, and names the first node that departs from it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from strategy.execute.program import Routine, Step
from strategy.execute.ranks import Ranks
from strategy.execute.reference import Reference
from strategy.execute.rows import blank_padding
from strategy.execute.run import Moment, Values
from strategy.execute.shards import Shards
from strategy.execute.values import SPAN, Floats, Ints, LogSums, RunError, Tensor, Tokens
from strategy.result import Departure
from strategy.strategy import Phase

TOLERANCE = 1e-9
"""Largest error of a passing proof, relative to the largest expected value."""
UNBOUNDED = 1e308
"""How an error that is infinite or not a number is written."""


SUMS = ("all_reduce", "reduce_scatter")


class WrongLogitsError(Exception):
    """Stops a run at the first pass whose logits or tokens are wrong."""


@dataclass(frozen=True)
class Mismatch:
    """How far a value is from the reference, and on which ranks of the stage."""

    max_abs_error: float
    ranks: Ints


@dataclass
class Comparison:
    """Observer of a run: checks logits and tokens, and remembers the first block that leaves a wrong residual stream."""

    reference: Reference
    own: Callable[[Phase, int], Ints]
    """[ranks, sequences]: what each rank must have sampled for, by phase and step."""
    max_abs_error: float = 0.0
    suspect: Moment | None = None
    mismatch: Mismatch | None = None

    def __call__(self, moment: Moment, routine: Routine, values: Values) -> None:
        """Look at what leaves a block. Raises WrongLogitsError at the first wrong head, RunError at one that samples nothing."""
        if moment.is_head:
            self.check_head(moment, routine, values)
        elif self.suspect is None and moment.state is not None:
            self.note(moment, self.measure(*moment.state, values[routine.output]))

    def note(self, moment: Moment, found: Mismatch | None) -> None:
        """Remember the first departure."""
        if found is not None and self.suspect is None:
            self.suspect, self.mismatch = moment, found

    def measure(self, name: str, layer: int | None, value: object) -> Mismatch | None:
        """The departure of a complete value from a named result of the reference; None when it agrees (or is no tensor)."""
        if not isinstance(value, Tensor):
            return None
        expected = self.reference.at(name, layer, value.rows)
        if expected is None or expected.shape != value.data.shape:
            return None
        return departure_of(*_without_padding(value, expected))

    def check_head(self, moment: Moment, routine: Routine, values: Values) -> None:
        """Every rank must have sampled the right token, from the right logits, for each of its sequences."""
        out = values[routine.output]
        if not isinstance(out, Tokens):
            raise RunError("the head does not end in sampled tokens")
        found = self.check_logits(routine, values) or self.check_tokens(moment, out)
        if found is not None:
            self.note(moment, found)
            raise WrongLogitsError

    def check_logits(self, routine: Routine, values: Values) -> Mismatch | None:
        """The departure of what the head samples from."""
        found = None
        for step in routine.steps:
            if step.node.op == "sample":
                logits = values[next(edge.source for edge in step.edges if edge.kind == "data")]
                assert isinstance(logits, Tensor)  # or sampling would have failed
                data, expected = _without_padding(logits, self.expected_logits(logits.rows))
                self.max_abs_error = max(self.max_abs_error, _errors(data, expected).max())
                found = found or departure_of(data, expected)
        return found

    def expected_logits(self, rows: Ints) -> Floats:
        """Logits of the reference for rows."""
        expected = self.reference.at("lm_head", None, rows)
        assert expected is not None  # the reference keeps logits of every token
        return expected

    def check_tokens(self, moment: Moment, out: Tokens) -> Mismatch | None:
        """Raise RunError when a rank lacks a token for one of its sequences; the departure of those that are wrong."""
        own = self.own(moment.phase, moment.step)
        newest = self.reference.lengths[own] - 1 + (0 if moment.phase == "prefill" else moment.step + 1)
        has = ((own * SPAN + newest)[:, :, None] == out.rows[:, None, :]).any(axis=2).all(axis=1)
        if not has.all():
            raise RunError(
                "ranks lack the sampled token of some of their sequences",
                ranks=_numbers((~has).nonzero()[0]),
            )
        differs = self.expected_logits(out.rows).argmax(axis=-1) != out.ids
        wrong = (differs & (out.rows >= 0)).any(axis=1)
        return Mismatch(np.inf, wrong.nonzero()[0]) if wrong.any() else None


def _without_padding(value: Tensor, expected: Floats) -> tuple[Floats, Floats]:
    """Both with zeros in padding rows, of which nothing is expected."""
    return blank_padding(value.data, value.rows), blank_padding(expected, value.rows)


def _numbers(ranks: Ints) -> tuple[int, ...]:
    return tuple(int(rank) for rank in ranks)


def _errors(found: Floats, expected: Floats) -> Floats:
    """[ranks]: largest absolute error of each rank; what is not a number counts as infinitely wrong."""
    errors = np.abs(found - expected).reshape(len(found), -1).max(axis=1, initial=0.0)
    return np.asarray(np.where(np.isnan(errors), np.inf, errors))


def departure_of(found: Floats, expected: Floats) -> Mismatch | None:
    """Where [ranks, ...] values differ from the expected ones by more than rounding."""
    if np.abs(found - expected).max(initial=0.0) <= TOLERANCE:
        return None
    errors = _errors(found, expected)
    wrong = errors > TOLERANCE * max(1.0, float(np.abs(expected).max(initial=0.0)))
    return Mismatch(float(errors.max()), wrong.nonzero()[0]) if wrong.any() else None


def _share_mismatch(value: Tensor, expected: Floats, columns: Ints) -> Mismatch | None:
    """The departure of what each rank has from its columns [ranks, n] of the expected rows; None when widths differ."""
    if columns.shape[1] != value.width:
        return None
    return departure_of(value.data, np.take_along_axis(expected, columns[:, None, :], axis=2))


def _measurable(routine: Routine) -> list[Step]:
    """Nodes that lead to the output, without sums that another sum completes."""
    leading, summed = {routine.output}, set()
    for step in reversed(routine.steps):
        if step.node.id in leading:
            sources = {edge.source for edge in step.edges if edge.kind != "sync"}
            leading |= sources
            summed |= sources if step.node.op in SUMS else set()
    return [s for s in routine.steps if s.node.id in leading and not (s.node.op in SUMS and s.node.id in summed)]


@dataclass
class Locator:
    """Observer of a second run: finds the first wrong node of the suspect block."""

    comparison: Comparison
    ranks: dict[Phase, Ranks]
    shards: dict[Phase, Shards]
    departure: Departure | None = None

    def __call__(self, moment: Moment, routine: Routine, values: Values) -> None:
        """Stop after the suspect block."""
        if moment != self.comparison.suspect:
            return
        for step in _measurable(routine):
            found = self.node_mismatch(moment, step, values)
            if found is not None:
                self.departure = self.describe(moment, step.node.id, found)
                break
        raise WrongLogitsError

    def node_mismatch(self, moment: Moment, step: Step, values: Values) -> Mismatch | None:
        """The departure of a node whose complete value, or whose rank's share of it, is known."""
        value, node = values[step.node.id], step.node
        if not isinstance(value, Tensor):
            return None
        if node.op in ("attention", "all_to_all") or (node.op == "linear" and node.weight == "w_uv"):
            return self.heads_mismatch(moment, value)
        if node.op in ("attention_merge", "reduce_scatter") and value.heads is not None:
            summand = any(isinstance(values[edge.source], LogSums) for edge in step.edges)
            return None if summand else self.heads_mismatch(moment, value)
        if node.op in ("linear", "norm"):
            return self.weight_mismatch(moment, node.weight, node.split if node.op == "linear" else "replicated", value)
        if node.op in ("all_reduce", "all_gather", "reduce_scatter"):
            return self.comparison.measure(value.source, moment.layer, value)
        return None

    def weight_mismatch(self, moment: Moment, name: str, split: str, value: Tensor) -> Mismatch | None:
        """A replicated result is compared in full, a column-parallel one with its rank's columns, a partial sum not at all."""
        if split == "replicated":
            return self.comparison.measure(name, moment.layer, value)
        expected = self.comparison.reference.at(name, moment.layer, value.rows)
        if split != "column" or expected is None:
            return None
        shards = self.shards[moment.phase].at(moment.layer)
        columns = shards.columns(name, expected.shape[-1])[shards.place(name)]
        own = (
            value.with_data(value.data[..., : columns.shape[1]]) if name == "kv_b" else value
        )  # behind it: the RoPE part
        return _share_mismatch(own, expected, columns)

    def heads_mismatch(self, moment: Moment, value: Tensor) -> Mismatch | None:
        """Attention output by heads (the absorbed form has it only behind w_uv); a summand of it is not compared."""
        expected = self.comparison.reference.at("attention", moment.layer, value.rows)
        if expected is None or value.heads is None or value.heads.query is None:
            return None
        heads = value.heads.query
        width = value.width // heads.shape[1]
        columns = (heads[:, :, None] * width + np.arange(width)).reshape(len(heads), -1)
        return _share_mismatch(value, expected, columns) if columns.max() < expected.shape[-1] else None

    def describe(self, moment: Moment, node: str, found: Mismatch) -> Departure:
        """A departure in the words of the document."""
        what = "prefill" if moment.phase == "prefill" else f"decode step {moment.step}"
        shown = found.max_abs_error if np.isfinite(found.max_abs_error) else UNBOUNDED
        return Departure(
            node=f"{moment.phase}.{moment.block}.{node}",
            layer=moment.layer,
            ranks=self.ranks[moment.phase].named(moment.stage, found.ranks),
            max_abs_error=shown,
            detail=f"{what}: value differs from the single-device reference on {len(found.ranks)} ranks of stage {moment.stage}",
        )

    def located(self, output: str) -> Departure:
        """The node found, or the output of the suspect block."""
        comparison = self.comparison
        assert comparison.suspect is not None  # both are set before a run stops
        assert comparison.mismatch is not None
        return self.departure or self.describe(comparison.suspect, output, comparison.mismatch)
