"""The steady state of pools under a closed load: how prefill and decode share time, and how long a prompt waits.

All quantities are per decoding attention replica and may be arrays of one length, each element a load or a deployment of its own: the
estimate, the planner's grid and the fit of the constants run through this one function.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Grid = NDArray[np.float64]

_HALVINGS = 9
_CHORDS = 3
"""Steps to the decoding share: halvings until it is known to a few thousandths, then chords, exact to 1e-8 of it unless next to nothing decodes."""
RELAXED_BETWEEN = (8.0, 16.0)
"""Requests in flight between which launch files go over to looking for prompts less often."""
FRONT_SHARPNESS = 12.0
"""How suddenly a front end with too much to do is felt."""
FRONT_WAITING = 0.25
"""Share of its decode time that a request stands before an engine whose front end is always busy."""
_TINY = 1e-300
"""What is divided by in place of nothing."""
_SHORTEST = 1e-3
"""Steps that a request without output counts for."""


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
    """Prompts found waiting for each other request in flight while those are few, outside of a burst."""
    queue_half: Grid | float
    """Other requests in flight at which half as many are found as with any number: those that end together come together, and part with time."""
    prefill_replicas: Grid | float
    """Prefilling attention replicas for each decoding one."""
    disaggregated: NDArray[np.bool_] | bool
    transfer_ms: Grid | float = 0.0
    """Time to hand the cache of a prompt over between pools."""
    burst: Grid | float = 0.0
    """Share of requests that arrive with all others at once, and wait for half of them."""
    front_ms: Grid | float = 0.0
    """Time that the other requests of one front end add to a first token there."""
    interference: Grid | float = 1.0
    """Share of the prefill time on the same ranks that decoding sequences wait for."""
    standing: Grid | float = 0.0
    """Requests that stand before the engine whatever it does, as when a load generator holds more than the engine takes."""
    front_busy_ms: Grid | float = 0.0
    """Time that requests take from the front end before them, one of each place in flight."""
    held_steps: Grid | float = 0.5
    """Decode steps that pass before a prompt is taken up: half a step where an engine looks for prompts at each."""


@dataclass(frozen=True)
class Served:
    """What the load gets, arrays like its batch."""

    ttft_ms: Grid
    tpot_ms: Grid
    decode_batch: Grid
    """Sequences decoding at once."""
    prefill_share: Grid
    """Share of the prefilling replicas' time spent in prefill."""


def polling_steps(steps: Grid | float, relaxed: Grid | float, in_flight: Grid) -> Grid:
    """Decode steps that pass before a prompt is seen: `steps` with few requests in flight, `relaxed` times (at least once) as many with many."""
    few, many = RELAXED_BETWEEN
    share = np.log(np.clip(in_flight, few, many) / few) / np.log(many / few)
    return np.asarray(steps * np.maximum(relaxed, 1.0) ** share)


def front_time_ms(admit_ms: Grid | float, stream_us: Grid | float, osl: Grid | float) -> Grid:
    """What one request takes from the front end, which does one thing at a time: it is let in, and each of its tokens sent out."""
    return np.asarray(admit_ms + stream_us * 1e-3 * osl)


def steady_state(load: Demand, step_at: Callable[[Grid], Grid]) -> Served:
    """The operating point of the load; `step_at` gives the decode step in ms at a number of decoding sequences.

    With d sequences decoding, requests complete at r = d / ((osl - 1) x time per token). Where phases share ranks, each prefill stops
    the decoding of others, so that a token takes step / (1 - r x taken); elsewhere r is also bounded by what prefill delivers. By
    Little's law d + r x TTFT is the load: both grow with d, so that the excess over the load has one zero.
    """
    after = np.maximum(load.osl - 1, _SHORTEST)
    others = np.maximum(load.batch / np.where(load.disaggregated, load.prefill_replicas, 1.0) - 1, 0.0)
    found = load.queue * others / (1 + others / load.queue_half)
    waiting = load.taken_ms * (load.burst * others / 2 + found)
    first = load.alone_ms + waiting + load.front_ms + np.where(load.disaggregated, load.transfer_ms, 0.0)
    interrupted = np.maximum(load.batch - 1, 0.0) / np.maximum(load.batch, 1.0)
    interrupting = load.interference * load.taken_ms / load.prefill_replicas
    stopped = np.where(load.disaggregated, 0.0, interrupted * interrupting)
    joining = np.where(load.disaggregated, 0.0, load.held_steps * interrupted)
    standing = load.standing * interrupted
    inside = load.batch - standing
    most = np.where(load.disaggregated, load.prefill_replicas / load.taken_ms, np.inf)

    def rate(decoding: Grid, step: Grid) -> Grid:
        return decoding / (after * step + decoding * stopped)

    def excess(root: Grid) -> Grid:
        decoding = _decoding(root, load.batch)
        step = step_at(decoding)
        per_ms = rate(decoding, step)
        return np.maximum(decoding + per_ms * (first + joining * step) - inside, (per_ms / most - 1) * load.batch)

    decoding = np.maximum(_decoding(_zero(excess, load.batch.shape), load.batch), 1e-9 * load.batch)
    step = step_at(decoding)
    per_ms = rate(decoding, step)
    tpot = step / (1 - np.minimum(per_ms * stopped, 1 - 1e-9))
    waited = first + joining * step + standing / per_ms
    ttft = np.maximum(waited, np.where(load.disaggregated, (load.batch - decoding) / per_ms, 0.0))
    share = np.minimum(per_ms * load.taken_ms / load.prefill_replicas, 1.0)
    return _behind_front_end(Served(ttft, tpot, decoding, share), load)


def _behind_front_end(free: Served, load: Demand) -> Served:
    """What is served where one front end lets everything in and sends everything out.

    It is a bound: a request stays at least as long as the front end is busy with all that are in flight. Near that bound requests queue
    before the engine while the front end sends for others.
    """
    decode_ms = free.tpot_ms * np.maximum(load.osl - 1, _SHORTEST)
    full = (load.front_busy_ms / (free.ttft_ms + decode_ms)) ** FRONT_SHARPNESS
    stretched, waiting = (1 + full) ** (1 / FRONT_SHARPNESS), FRONT_WAITING * full / (1 + full)
    return Served(
        ttft_ms=stretched * (free.ttft_ms + waiting * decode_ms),
        tpot_ms=stretched * (1 - waiting) * free.tpot_ms,
        decode_batch=(1 - waiting) * free.decode_batch,
        prefill_share=free.prefill_share / stretched,
    )


def _decoding(root: Grid, batch: Grid) -> Grid:
    """The load's share that is searched in, by its fourth root: few sequences decode where outputs are short, and count as much as many do."""
    square = root * root
    return square * square * batch


def _zero(excess: Callable[[Grid], Grid], shape: tuple[int, ...]) -> Grid:
    """Where a growing function of arrays in 0 to 1 is zero, element for element; an end where it is nowhere."""
    low, high = np.zeros(shape), np.ones(shape)
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        over = excess(middle) > 0
        low, high = np.where(over, low, middle), np.where(over, middle, high)
    below, above = excess(low), excess(high)
    for _ in range(_CHORDS):
        middle = low + (high - low) * np.clip(-below / np.maximum(above - below, _TINY), 0.0, 1.0)
        found = excess(middle)
        over = found > 0
        low, high = np.where(over, low, middle), np.where(over, middle, high)
        below, above = np.where(over, below, found), np.where(over, found, above)
    return middle
