"""The steady state of pools under a closed load: how prefill and decode share time, and how long a prompt waits.

All quantities are per decoding attention replica and may be arrays of one length, each element a load or a deployment of its own: the
estimate, the planner's grid and the fit of the constants run through this one function.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

Grid = NDArray[np.float64]

UTILISATION_LIMIT = 0.97
"""Share of a pool's time that prefill may take before it counts as saturated."""
_ROUNDS = 20


@dataclass(frozen=True)
class Demand:
    """A closed load on one decoding attention replica."""

    batch: Grid
    """Requests in flight."""
    osl: Grid | float
    alone_ms: Grid | float
    """Time to the first token of a prompt that meets nobody."""
    taken_ms: Grid | float
    """Time that one prompt takes from a prefilling replica when passes are packed."""
    queue: Grid | float
    """Prompts found waiting when two requests are in flight."""
    queue_growth: Grid | float
    """Exponent with which that number grows with the requests in flight."""
    prefill_replicas: Grid | float
    """Prefilling attention replicas for each decoding one."""
    disaggregated: NDArray[np.bool_] | bool
    transfer_ms: Grid | float = 0.0
    """Time to hand the cache of a prompt over between pools."""


@dataclass(frozen=True)
class Served:
    """What the load gets, arrays like its batch."""

    ttft_ms: Grid
    tpot_ms: Grid
    decode_batch: Grid
    """Sequences decoding at once."""
    prefill_share: Grid
    """Share of the prefilling replicas' time spent in prefill."""


def steady_state(load: Demand, step_at: Callable[[Grid], Grid]) -> Served:
    """Fixed point of rate, sharing and waiting; `step_at` gives the decode step in ms at a number of decoding sequences.

    Little's law ties the rate to the latencies. Where phases share ranks, prefill takes a share u of the time and stretches a token's
    time to step / (1 - u); where they do not, decode runs undisturbed and a saturated prefill pool makes requests queue before it.
    """
    batch, others = load.batch, np.maximum(load.batch / np.where(load.disaggregated, load.prefill_replicas, 1.0) - 1, 0.0)
    capacity = UTILISATION_LIMIT * load.prefill_replicas / load.taken_ms
    waiting = load.taken_ms * load.queue * np.where(others > 0, np.maximum(others, 1e-9) ** load.queue_growth, 0.0)
    first = load.alone_ms + waiting + np.where(load.disaggregated, load.transfer_ms, 0.0)
    ttft, tpot, share, decoding = first + 0.0 * batch, step_at(batch), np.zeros_like(batch), batch
    after = load.osl - 1
    for _ in range(_ROUNDS):
        per_ms = batch / (ttft + after * tpot)
        per_ms = np.where(load.disaggregated, np.minimum(per_ms, capacity), per_ms)
        share = 0.5 * share + 0.5 * np.minimum(per_ms / capacity, 1.0) * UTILISATION_LIMIT
        in_decode = np.where(load.disaggregated, per_ms * after * tpot, batch - per_ms * ttft)
        decoding = np.clip(in_decode, np.minimum(batch, 1.0), batch)
        step = step_at(decoding)
        stretch = 1 - share * np.maximum(batch - 1, 0.0) / np.maximum(batch, 1.0)
        tpot = np.where(load.disaggregated, step, step / stretch)
        queued = np.maximum(first, batch / capacity - after * tpot)
        ttft = np.where(load.disaggregated, queued, first + 0.5 * step * (batch > 1))
    return Served(cast(Grid, ttft), cast(Grid, tpot), cast(Grid, decoding), cast(Grid, share))
