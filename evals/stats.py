"""Intervals: how far a score may be from what more samples would give, and whether two runs differ by more than that."""

from collections.abc import Sequence
from functools import lru_cache
from math import comb, sqrt

import numpy as np

Z_95 = 1.959964
"""Standard normal quantile of a two-sided 95 % interval."""
RESAMPLES = 2000
SEED = 20_24
"""Of the resampling only, so that the same values have the same interval."""

Interval = tuple[float, float]


def wilson(right: float, count: int) -> Interval:
    """95 % score interval of a share (Wilson 1927): of use also for few samples and for shares of 0 and 1."""
    if count == 0:
        return 0.0, 1.0
    share, z2 = right / count, Z_95**2
    middle = share + z2 / (2 * count)
    half = Z_95 * sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    return max(0.0, (middle - half) / (1 + z2 / count)), min(1.0, (middle + half) / (1 + z2 / count))


def bootstrap(values: Sequence[float]) -> Interval:
    """95 % percentile interval of the mean over resampled values (Efron 1979); a point for equal values."""
    return _bootstrap(tuple(values))


@lru_cache(maxsize=512)
def _bootstrap(values: tuple[float, ...]) -> Interval:
    if not values:
        return float("nan"), float("nan")
    found = np.asarray(values, dtype=np.float64)
    picks = np.random.default_rng(SEED).integers(0, len(found), size=(RESAMPLES, len(found)))
    low, high = np.percentile(found[picks].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def sign_test(lost: int, gained: int) -> float:
    """Chance of at least `lost` losses among lost + gained changes when either is as likely (exact, one-sided)."""
    changed = lost + gained
    return sum(comb(changed, k) for k in range(lost, changed + 1)) / 2**changed if changed else 1.0
