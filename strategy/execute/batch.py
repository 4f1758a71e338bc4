"""Which tokens enter which rank: prompts cut into chunks, and into the shards of context-parallel ranks."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from strategy.execute.ranks import Ranks
from strategy.execute.values import NOBODY, SPAN, Ints, Tokens
from strategy.strategy import Phase


@dataclass(eq=False)
class Batch:
    """The prompts of one run, or of all runs with such prompts: a Batch is its own key."""

    prompts: list[Ints]
    first_chunk: int | None
    """Positions of every prompt that the first of two prefill chunks brings; None when a prompt comes in one piece."""

    @cached_property
    def lengths(self) -> Ints:
        """[sequences]: tokens of each prompt."""
        return np.array([len(prompt) for prompt in self.prompts], dtype=np.int64)

    @cached_property
    def chunk_ends(self) -> list[Ints]:
        """Per chunk, [sequences]: the position behind its last one."""
        return (
            [self.lengths] if self.first_chunk is None else [np.full_like(self.lengths, self.first_chunk), self.lengths]
        )

    def tokens_at(self, rows: Ints) -> Tokens:
        """The prompt tokens of rows."""
        table = np.zeros((len(self.prompts), int(self.lengths.max())), dtype=np.int64)
        for sequence, prompt in enumerate(self.prompts):
            table[sequence, : len(prompt)] = prompt
        kept = np.maximum(rows, 0)
        return Tokens(table[kept // SPAN, kept % SPAN], rows)


@lru_cache(maxsize=128)
def newest(batch: Batch, phase: Phase, step: int) -> Ints:
    """[sequences]: the last position that exists once a prefill chunk or decode step has run."""
    return np.asarray(batch.chunk_ends[step] - 1 if phase == "prefill" else batch.lengths + step)


@lru_cache(maxsize=64)
def replica_sequences(batch: Batch, ranks: Ranks) -> Ints:
    """[ranks, sequences]: the sequences of each rank's attention replica."""
    each = len(batch.prompts) // (ranks.pool.replicas * ranks.pool.attention.dp_size)
    return np.asarray(ranks.attention_replica[:, None] * each + np.arange(each))


@lru_cache(maxsize=128)
def own_sequences(batch: Batch, ranks: Ranks, phase: Phase, step: int) -> Ints:
    """[ranks, sequences]: those that a rank computes in a step, a part of its replica's where decode splits them over cp ranks.

    A batch is cut anew in every step, so a sequence does not stay with one rank: here it moves on by one rank a step, which is
    why every cache must be kept complete.
    """
    found = replica_sequences(batch, ranks)
    if phase == "prefill" or not splits_batch(ranks):
        return found
    each, turn = found.shape[1] // ranks.size("cp"), (ranks.place("cp") + step) % ranks.size("cp")
    return np.take_along_axis(found, turn[:, None] * each + np.arange(each), axis=1)


@lru_cache(maxsize=64)
def newest_rows(batch: Batch, ranks: Ranks, step: int) -> Ints:
    """[ranks, sequences]: the rows that a decode step computes, one for each sequence of a rank."""
    own = own_sequences(batch, ranks, "decode", step)
    return np.asarray(own * SPAN + newest(batch, "decode", step)[own])


@lru_cache(maxsize=32)
def prompt_tokens(batch: Batch, ranks: Ranks, chunk: int) -> Tokens:
    """One chunk of the prompts of each rank's sequences; of its positions under context parallelism."""
    size = ranks.size("cp") if ranks.pool.sp_kind.startswith("cp_") else 1
    starts = batch.chunk_ends[chunk - 1] if chunk else np.zeros_like(batch.lengths)
    shards = [
        shards_of(int(start), int(end), size, ranks.pool.cp_order)
        for start, end in zip(starts, batch.chunk_ends[chunk], strict=True)
    ]
    place = ranks.place("cp") % size
    rows = [
        np.concatenate([s * SPAN + shards[s][part] for s in own])
        for own, part in zip(replica_sequences(batch, ranks), place, strict=True)
    ]
    return batch.tokens_at(padded(rows))


def splits_batch(ranks: Ranks) -> bool:
    """Whether each cp rank decodes its own part of the batch."""
    return ranks.size("cp") > 1 and ranks.pool.cp_decode_use == "batch_shard"


def shards_of(start: int, end: int, size: int, order: str) -> list[Ints]:
    """Positions of each of `size` cp ranks. zigzag: rank j has chunks j and 2C-1-j of 2C, one from either end; contiguous: one run."""
    positions = np.arange(start, end)
    if size == 1:
        return [positions]
    pieces = 2 * size if order == "zigzag" else size
    length = -(-len(positions) // pieces)
    cut = [positions[i * length : (i + 1) * length] for i in range(pieces)]
    if order == "contiguous":
        return cut
    return [np.concatenate([cut[j], cut[2 * size - 1 - j]]) for j in range(size)]


def padded(rows: list[Ints]) -> Ints:
    """Rows of each rank as one array; ranks with fewer get padding rows."""
    longest = max(len(row) for row in rows)
    return np.stack([np.append(row, np.full(longest - len(row), NOBODY)) for row in rows])
