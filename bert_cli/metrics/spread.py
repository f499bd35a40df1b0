"""How far a score moves from seed to seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 10_000
ENOUGH = 5


@dataclass(frozen=True)
class Spread:
    """A score over several runs.

    Attributes:
        mean: of the runs.
        std: sample standard deviation (n - 1); None for a single run.
        low, high: 95 % percentile-bootstrap interval of the mean (Efron 1979); None for fewer than `ENOUGH` runs, of
            which it would only be the range.
    """

    mean: float
    std: float | None
    low: float | None
    high: float | None


def spread(values: Sequence[float]) -> Spread:
    """Mean, deviation and interval of at least one score; always the same for the same scores."""
    scores = np.asarray(values, dtype=np.float64)
    mean = float(scores.mean())
    std = float(scores.std(ddof=1)) if len(scores) > 1 else None
    if len(scores) < ENOUGH:
        return Spread(mean, std, None, None)
    rng = np.random.default_rng(0)
    means = scores[rng.integers(0, len(scores), (DRAWS, len(scores)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Spread(mean, std, float(low), float(high))
