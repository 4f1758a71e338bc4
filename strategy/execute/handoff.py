"""The KV cache and the first tokens on their way from the prefill pool to a decode pool of another shape."""

import numpy as np

from strategy.execute.ranks import Ranks
from strategy.execute.values import SPAN, Floats, Ints, RunError, Tokens, Written
from strategy.model import ModelSpec


def reshard_tokens(tokens: Tokens, own: Ints) -> Tokens:
    """Sampled tokens of the prefill ranks as the decode ranks need them: own [decode ranks, sequences]."""
    rows, first = np.unique(tokens.rows.ravel(), return_index=True)
    ids = tokens.ids.ravel()[first]
    kept = [np.isin(rows // SPAN, sequences) for sequences in own]
    if len({int(keep.sum()) for keep in kept}) != 1:
        raise RunError("decode ranks receive unequal numbers of tokens")
    return Tokens(np.stack([ids[keep] for keep in kept]), np.stack([rows[keep] for keep in kept]))


def reshard_cache(model: ModelSpec, written: Written, source: Ranks, target: Ranks, own: Ints) -> Written:
    """Every decode rank gets its KV heads of its sequences from the prefill ranks that hold them."""
    heads = model.attention.num_kv_heads if model.attention.kind == "gqa" else 1
    rows = np.unique(written.rows)
    keys, values = (
        _whole(part, written.rows, rows, _held(source, heads), heads) for part in (written.keys, written.values)
    )
    wanted = [np.isin(rows // SPAN, sequences).nonzero()[0] for sequences in own]
    if len({len(index) for index in wanted}) != 1:
        # Prompts have different lengths: pad with rows of a sequence that nobody asks about.
        keys, values, rows, wanted = _padded(keys, values, rows, wanted)
    index = np.stack(wanted)[:, :, None]
    taken = _held(target, heads)[:, None, :]
    return Written(keys[index, taken], values[index, taken], rows[index[..., 0]], np.empty(0))


def _padded(keys: Floats, values: Floats, rows: Ints, wanted: list[Ints]) -> tuple[Floats, Floats, Ints, list[Ints]]:
    longest = max(len(index) for index in wanted)
    nobody = len(rows)
    rows = np.append(rows, -SPAN)
    keys, values = (np.concatenate([part, np.zeros_like(part[:1])]) for part in (keys, values))
    return keys, values, rows, [np.append(index, np.full(longest - len(index), nobody)) for index in wanted]


def _held(ranks: Ranks, heads: int) -> Ints:
    """[ranks, heads on a rank]: KV heads of every rank; a latent is on all of them."""
    tp_size = ranks.size("tp")
    each = max(1, heads // tp_size)
    return (ranks.place("tp") * heads // tp_size)[:, None] + np.arange(each)


def _whole(part: Floats, rows: Ints, all_rows: Ints, held: Ints, heads: int) -> Floats:
    """[tokens, heads, features] from the ranks' parts [ranks, rows, heads on a rank, features]."""
    whole = np.full((len(all_rows), heads, part.shape[-1]), np.nan)
    index = np.searchsorted(all_rows, rows)
    whole[index[:, :, None], held[:, None, :]] = part
    return whole
