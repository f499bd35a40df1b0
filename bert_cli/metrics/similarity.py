"""What vectors of texts are worth: against scores of pairs, against pairs that mean the same, or by themselves.

All vectors have length 1, so a product of two is their cosine.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from bert_cli.metrics.names import REGRESSION, SINGLE
from bert_cli.metrics.scores import Predictions, compute

Floats = npt.NDArray[np.float32]

MOST_PAIRS = 4_000_000
"""Pairs that uniformity is taken of, at most; of many texts the first ones."""


def cosines(one: Floats, other: Floats) -> Floats:
    """Cosine of each pair. Shapes: `[N, D]` twice, to `[N]`."""
    found: Floats = np.einsum("nd,nd->n", one, other)
    return found


def against_scores(cosine: Floats, gold: Floats) -> dict[str, float]:
    """Rank and linear correlation of cosines with scores."""
    return compute(["spearman", "pearson"], Predictions(REGRESSION, cosine), gold)


def against_labels(cosine: Floats, gold: Floats) -> dict[str, float]:
    """`average_precision` of the pairs whose gold is above 0, ranked by cosine; nan where there is none."""
    both = np.stack([-cosine, cosine], axis=1)
    return compute(["average_precision"], Predictions(SINGLE, both), (gold > 0).astype(np.int64))


def uniformity(vectors: Floats) -> float:
    """How evenly vectors lie on the sphere (Wang and Isola 2020): log of the mean of exp(-2 · squared distance).

    Between -8 and 0, the smaller the more evenly; nan for a single vector. Shape: `[N, D]`.
    """
    some = vectors[: math.isqrt(MOST_PAIRS)]
    if len(some) < 2:
        return math.nan
    one, other = np.triu_indices(len(some), 1)
    products = (some @ some.T)[one, other].astype(np.float64)
    return float(np.log(np.exp(-2.0 * (2.0 - 2.0 * products)).mean()))
