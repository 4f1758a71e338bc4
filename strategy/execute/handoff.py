"""The KV cache and the first tokens as decode finds them: on the same ranks, or on a pool of another shape."""

from dataclasses import replace

import numpy as np

from strategy.execute.batch import padded
from strategy.execute.ranks import Ranks
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
    rows = np.unique(written.rows[written.rows >= 0])
    keys, values = (_whole(model, part, written, rows) for part in (written.keys, written.values))
    wanted = (rows[None, :, None] // SPAN == sequences[:, None, :]).any(axis=2)
    found = padded([some.nonzero()[0] for some in wanted])
    index = np.maximum(found, 0)[:, :, None]
    held = _held(model, target, recurrent=written.recurrent)
    taken = held[:, None, :]
    kept = np.where(found < 0, NOBODY, rows[index[..., 0]])
    return Written(keys[index, taken], values[index, taken], kept, held, written.recurrent)


def _held(model: ModelSpec, ranks: Ranks, *, recurrent: bool) -> Ints:
    """[ranks, heads on a rank]: KV heads of every rank (value heads of a recurrence); a latent is on all of them."""
    if recurrent:
        return value_blocks(model, ranks.size("tp"))[ranks.place("tp")]
    if model.attention.kind == "mla":
        return np.zeros((ranks.count, 1), dtype=np.int64)
    return kv_blocks(model.attention, ranks.size("tp"))[ranks.place("tp")]


def _whole(model: ModelSpec, part: Floats, written: Written, rows: Ints) -> Floats:
    """[tokens, heads, features] from the ranks' parts [ranks, rows, heads on a rank, features]."""
    heads = model.attention.num_kv_heads if model.attention.kind == "gqa" else 1
    if written.recurrent and model.linear is not None:
        heads = model.linear.num_value_heads
    whole = np.full((len(rows), heads, part.shape[-1]), np.nan)
    rank, row = (written.rows >= 0).nonzero()
    index = np.searchsorted(rows, written.rows[rank, row])
    whole[index[:, None], written.heads[rank]] = part[rank, row]
    return whole
