"""The KV cache and the first tokens as decode finds them: on the same ranks, or on a pool of another shape."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from strategy.execute.batch import padded
from strategy.execute.ranks import Ranks
from strategy.execute.recall import recalled
from strategy.execute.shards import kv_blocks, value_blocks
from strategy.execute.values import NOBODY, SPAN, Floats, Ints, RunError, Tokens, Written
from strategy.model import ModelSpec


def reshard_tokens(tokens: Tokens, own: Ints) -> Tokens:
    """Sampled tokens of the prefill ranks as the decode ranks need them: own [decode ranks, sequences]."""
    rows, first = np.unique(tokens.rows.ravel(), return_index=True)
    ids = tokens.ids.ravel()[first]
    kept = (rows[None, :, None] // SPAN == own[:, None, :]).any(axis=2)
    counts = kept.sum(axis=1)
    if (counts != counts[0]).any():
        raise RunError("decode ranks receive unequal numbers of tokens")
    index = kept.nonzero()[1].reshape(len(own), -1)
    return Tokens(ids[index], rows[index])


def owned_positions(written: Written, ranks: Ranks) -> Written:
    """What a decode rank keeps of K and V: all, or under decode context parallelism every dcp_size-th position."""
    size = ranks.size("dcp")
    if size == 1:
        return written
    mine = written.rows % SPAN % size == ranks.place("dcp")[:, None]
    return replace(written, rows=np.where(mine, written.rows, NOBODY))


def reshard_cache(model: ModelSpec, written: Written, target: Ranks, sequences: Ints) -> Written:
    """Every decode rank gets its KV heads of its sequences [decode ranks, n] from the prefill ranks that hold them."""
    plan = _plan_of_move(written.rows, sequences)
    held = _held(model, target, recurrent=written.recurrent)
    keys, values = (
        _whole(model, part, written, plan)[plan.taken[:, :, None], held[:, None, :]]
        for part in (written.keys, written.values)
    )
    return Written(keys, values, plan.kept, held, written.recurrent)


class _Move(NamedTuple):
    """Where the tokens of a write go, and where they come from."""

    tokens: int
    """Different tokens."""
    rank: Ints
    row: Ints
    """Of everything written: on which rank, in which row."""
    token: Ints
    """And which of the tokens it is."""
    taken: Ints
    """[decode ranks, n]: the tokens each one gets."""
    kept: Ints
    """Their labels; padding rows where a rank gets fewer than another."""


@recalled
def _plan_of_move(written: Ints, sequences: Ints) -> _Move:
    rank, row = (written >= 0).nonzero()
    rows, token = np.unique(written[rank, row], return_inverse=True)
    wanted = (rows[None, :, None] // SPAN == sequences[:, None, :]).any(axis=2)
    found = padded([some.nonzero()[0] for some in wanted])
    taken = np.maximum(found, 0)
    return _Move(len(rows), rank, row, token, taken, np.where(found < 0, NOBODY, rows[taken]))


def _held(model: ModelSpec, ranks: Ranks, *, recurrent: bool) -> Ints:
    """[ranks, heads on a rank]: KV heads of every rank (value heads of a recurrence); a latent is on all of them."""
    if recurrent:
        return value_blocks(model, ranks.size("tp"))[ranks.place("tp")]
    if model.attention.kind == "mla":
        return np.zeros((ranks.count, 1), dtype=np.int64)
    return kv_blocks(model.attention, ranks.size("tp"))[ranks.place("tp")]


def _whole(model: ModelSpec, part: Floats, written: Written, plan: _Move) -> Floats:
    """[tokens, heads, features] from the ranks' parts [ranks, rows, heads on a rank, features]."""
    heads = model.attention.num_kv_heads if model.attention.kind == "gqa" else 1
    if written.recurrent and model.linear is not None:
        heads = model.linear.num_value_heads
    whole = np.full((plan.tokens, heads, part.shape[-1]), np.nan)
    whole[plan.token[:, None], written.heads[plan.rank]] = part[plan.rank, plan.row]
    return whole
