"""What a ranked list of texts is worth, as trec_eval defines it: nDCG, average precision, reciprocal rank, recall.

A text is relevant from grade 1 on; what nobody judged is not. Each measure is taken of each query and averaged over
queries. Equal scores are ranked by the texts' ids, the larger first, as trec_eval does.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Grades = npt.NDArray[np.integer]

CUTS = {"ndcg_at_10": 10, "mrr_at_10": 10, "recall_at_10": 10, "recall_at_100": 100}
RANKING_METRICS = ("ndcg_at_10", "map", "mrr", "mrr_at_10", "recall_at_10", "recall_at_100")


def largest_first(ids: Sequence[str]) -> npt.NDArray[np.int64]:
    """The order of ids in which ties are broken. Shape: `[N]`."""
    return np.argsort(np.array(ids, dtype=object), kind="stable")[::-1].astype(np.int64)


def measured(ranked: Sequence[Grades], judged: Sequence[Grades]) -> dict[str, Floats]:
    """Each of `RANKING_METRICS` for each query. Shape of each: `[Q]`.

    Args:
        ranked: grade of each text that was found, best first; 0 where nobody judged it. One array a query.
        judged: all grades that were given for the query, at least one of them above 0.
    """
    found = {name: np.zeros(len(ranked)) for name in RANKING_METRICS}
    for query, (grades, known) in enumerate(zip(ranked, judged, strict=True)):
        for name, value in _of_query(np.maximum(grades, 0), np.maximum(known, 0)).items():
            found[name][query] = value
    return found


def averaged(of_queries: dict[str, Floats]) -> dict[str, float]:
    """Means over queries, by name."""
    return {name: float(values.mean()) for name, values in of_queries.items()}


def _of_query(grades: Grades, known: Grades) -> dict[str, float]:
    hits = grades > 0
    relevant = int((known > 0).sum())
    ranks = np.flatnonzero(hits) + 1
    first = 1.0 / float(ranks[0]) if len(ranks) else 0.0
    ideal = np.sort(known)[::-1]
    cut = CUTS["ndcg_at_10"]
    return {
        "ndcg_at_10": _gain(grades[:cut]) / _gain(ideal[:cut]),
        "map": float((np.arange(1, len(ranks) + 1) / ranks).sum()) / relevant,
        "mrr": first,
        "mrr_at_10": first if first >= 1.0 / CUTS["mrr_at_10"] else 0.0,
        "recall_at_10": float(hits[: CUTS["recall_at_10"]].sum()) / relevant,
        "recall_at_100": float(hits[: CUTS["recall_at_100"]].sum()) / relevant,
    }


def _gain(grades: Grades) -> float:
    """Discounted cumulative gain with the grade itself as gain (Järvelin and Kekäläinen 2002)."""
    return float((grades / np.log2(np.arange(2, len(grades) + 2))).sum())
