"""The proof: run the document on virtual ranks and compare with one device."""

from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from strategy.dag import Dag
from strategy.errors import InputError
from strategy.execute.batch import Batch, own_sequences
from strategy.execute.observe import UNBOUNDED, Comparison, Locator, WrongLogitsError
from strategy.execute.program import Program, read_program
from strategy.execute.ranks import Ranks
from strategy.execute.reference import Reference, run_reference
from strategy.execute.run import Observer, Runner
from strategy.execute.scale import Scaled, prompt_lengths, scale
from strategy.execute.shards import Shards
from strategy.execute.values import Ints, RunError
from strategy.execute.weights import Weights
from strategy.model import ModelSpec
from strategy.result import Departure, Proof
from strategy.strategy import Phase, Pool

MAX_KEPT_BYTES = 4_000_000
"""Shards of one pool and phase that wait for the next proof."""


def prove(dag: Dag, model: ModelSpec, *, seed: int = 0, steps: int = 2) -> Proof:
    """Execute `dag` for a scaled-down `model`: prefill and `steps` decode steps, and compare every logit with one device.

    The document is run as it is written, nothing is repaired. A DAG that cannot run gives a failed proof whose departure names the
    node, the layer and the ranks (of the scaled meshes); no DAG raises. Raises InputError for fewer than two steps: the loop edges
    would not be tried.
    """
    if steps < 2:
        raise InputError(f"steps must be at least 2, got {steps}", pointer="/steps", hint="use 2 or more")
    with np.errstate(all="ignore"):
        try:
            trial = _prepare(dag, model, seed, steps)
        except RunError as fault:
            return Proof(
                passed=False, max_abs_error=UNBOUNDED, ranks=0, sequences=0, steps=steps, departure=_told(fault)
            )
        try:
            return trial.verdict()
        finally:
            for shards in trial.shards.values():
                shards.forget_beyond(MAX_KEPT_BYTES)


@dataclass
class _Trial:
    program: Program
    scaled: Scaled
    ranks: dict[Phase, Ranks]
    shards: dict[Phase, Shards]
    batch: Batch
    seed: int
    steps: int

    def runner(self, observe: Observer) -> Runner:
        return Runner(self.program, self.scaled, self.ranks, self.shards, self.batch, observe)

    def verdict(self) -> Proof:
        """Run once; when something departs, run again up to there to name the node."""
        departure, max_abs_error = self.outcome()
        pools = {pool.name: pool for pool in self.scaled.pools.values()}
        return Proof(
            passed=departure is None,
            max_abs_error=max_abs_error if departure is None else max(max_abs_error, departure.max_abs_error),
            ranks=sum(pool.world_size for pool in pools.values()),
            sequences=self.scaled.num_sequences,
            steps=self.steps,
            departure=departure,
        )

    def outcome(self) -> tuple[Departure | None, float]:
        """The first departure, if any, and the largest error of the logits that were compared."""
        lengths = tuple(map(int, self.batch.lengths))
        reference = _one_device(self.scaled.model, self.program.layers, self.seed, lengths, self.steps)
        run = self.runner(lambda *_: None)
        comparison = Comparison(
            reference, lambda phase, step: own_sequences(self.batch, self.ranks[phase], phase, step)
        )
        run.observe = comparison
        try:
            run.run(self.steps)
        except RunError as fault:
            return _told(fault), 0.0
        except WrongLogitsError:
            return self.locate(comparison), min(comparison.max_abs_error, UNBOUNDED)
        return None, comparison.max_abs_error

    def locate(self, comparison: Comparison) -> Departure:
        locator = Locator(comparison, self.ranks, self.shards)
        assert comparison.suspect is not None  # a wrong head makes itself the suspect
        with suppress(WrongLogitsError):
            self.runner(locator).run(self.steps)
        return locator.located(self.program.routines[comparison.suspect.block].output)


def _prepare(dag: Dag, model: ModelSpec, seed: int, steps: int) -> _Trial:
    scaled = scale(
        model, dag.strategy, ring=any(node.op == "send" and node.axis for b in dag.blocks for node in b.nodes)
    )
    program = read_program(dag, model, scaled.real_pools, steps)
    shards = {
        phase: _shards(scaled.model, model, seed, pool, scaled.real_pools[phase], _first_rank(scaled, phase), phase)
        for phase, pool in scaled.pools.items()
    }
    ranks = {phase: held.ranks for phase, held in shards.items()}
    lengths = tuple(map(int, prompt_lengths(scaled)))
    batch = _batch(scaled.model.vocab_size, seed, lengths, scaled.first_chunk)
    return _Trial(program, scaled, ranks, shards, batch, seed, steps)


@lru_cache(maxsize=16)
def _batch(vocab_size: int, seed: int, lengths: tuple[int, ...], first_chunk: int | None) -> Batch:
    return Batch(_prompts(vocab_size, seed, lengths), first_chunk)


def _prompts(vocab_size: int, seed: int, lengths: tuple[int, ...]) -> list[Ints]:
    rng = np.random.default_rng([seed, 1])
    return [rng.integers(0, vocab_size, length) for length in lengths]


@lru_cache(maxsize=4)
def _weights(model: ModelSpec, seed: int) -> Weights:
    """Kept for the next proof of the same scaled model: its arrays are read only."""
    return Weights(model, seed)


@lru_cache(maxsize=16)
def _shards(
    small: ModelSpec, model: ModelSpec, seed: int, pool: Pool, real: Pool, first_rank: int, phase: Phase
) -> Shards:
    """The weights as the ranks of a mesh hold them, for every document of that mesh: what a document does with them is run anew."""
    return Shards(small, model, _weights(small, seed), Ranks(pool, real, first_rank), phase)


@lru_cache(maxsize=4)
def _one_device(
    model: ModelSpec, layers: tuple[int, ...], seed: int, lengths: tuple[int, ...], steps: int
) -> Reference:
    """What one device computes; documents that differ only in their DAG are compared with one run of it."""
    return run_reference(model, layers, _weights(model, seed), _prompts(model.vocab_size, seed, lengths), steps)


def _first_rank(scaled: Scaled, phase: Phase) -> int:
    """Decode ranks of a disaggregated plan come after the prefill ranks."""
    return 0 if phase == "prefill" or scaled.colocated else scaled.pools["prefill"].world_size


def _told(fault: RunError) -> Departure:
    return Departure(
        node=fault.node or "document", layer=fault.layer, ranks=fault.ranks, max_abs_error=UNBOUNDED, detail=str(fault)
    )
