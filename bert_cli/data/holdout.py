"""Which rows of a training split are held out for validation: a share of them, each class in proportion.

A pure function of the targets, the share and the seed: the same rows come out on every machine, at every time.
Class counts follow largest remainders, so each is within one row of its exact share wherever a class can spare it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]


def holdout(targets: npt.NDArray[np.generic], share: float, *, seed: int) -> tuple[Rows, Rows]:
    """Rows that stay and rows that are held out, both sorted; together they are all rows.

    `round(n · share)` rows are held out, at least one and at most n - 1. Class ids (1-D integers) are stratified: a
    class never loses its last row, and one with two rows or more gives at least one where the total allows it.
    Scores and multi-hot targets are drawn plainly.

    Args:
        targets: `[n]` class ids, or anything of length n. At least two rows.
        share: between 0 and 1.
        seed: any integer from 0.
    """
    n = len(targets)
    assert n >= 2, "nothing can be held out of a single row"
    total = min(max(round(n * share), 1), n - 1)
    order = np.random.default_rng(seed).permutation(n)
    held = order[:total]
    if targets.ndim == 1 and np.issubdtype(targets.dtype, np.integer):
        _, classes, sizes = np.unique(targets, return_inverse=True, return_counts=True)
        if (sizes - 1).sum() >= total:
            counts = _apportion(sizes, total, share)
            grouped = order[np.argsort(classes[order], kind="stable")]
            starts = np.cumsum(sizes) - sizes
            rank = np.arange(n) - np.repeat(starts, sizes)
            held = grouped[rank < np.repeat(counts, sizes)]
    mask = np.zeros(n, dtype=bool)
    mask[held] = True
    return np.flatnonzero(~mask), np.flatnonzero(mask)


def _apportion(sizes: Rows, total: int, share: float) -> Rows:
    """How many rows each class gives: `total` in all, nearest to `sizes · share`, never a whole class."""
    exact = sizes * share
    most: Rows = sizes - 1
    least: Rows = np.minimum(most, 1)
    if least.sum() > total:
        least = np.zeros_like(sizes)
    counts: Rows = np.clip(np.floor(exact).astype(np.int64), least, most)
    while counts.sum() < total:
        counts[np.argmax(np.where(counts < most, exact - counts, -np.inf))] += 1
    while counts.sum() > total:
        counts[np.argmax(np.where(counts > least, counts - exact, -np.inf))] -= 1
    return counts
