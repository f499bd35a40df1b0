"""The detailed report of one split: every class, the averages, and what was taken for what.

Its averages are the very numbers that `compute` gives, and they equal scikit-learn's `classification_report`.
Plain ints, floats, strings and None (undefined), ready for JSON; needs numpy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bert_cli.metrics.names import MULTI, REGRESSION, SINGLE
from bert_cli.metrics.scores import (
    Array,
    Counts,
    Predictions,
    averaged,
    checked_references,
    compute,
    confusion,
    count,
    per_class,
)

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
_KINDS = ("precision", "recall", "f1")


def report(predictions: Predictions, references: Array, labels: Sequence[str] = ()) -> dict[str, Any]:
    """Scores in detail.

    Args:
        predictions: scores of n examples.
        references: class ids [n], 0/1 [n, C] or values [n].
        labels: C class names in the order of their ids; not used for regression.

    Returns:
        Classification: `n`, `accuracy`, `classes` (label, precision, recall, f1, support), `macro`, `micro`,
        `weighted`, and `confusion_matrix` [C][C] with gold rows; multi-label has `threshold` and tp, fp, fn of each
        label instead.
        Regression: `n`, `mse`, `mae` and `residuals`, quantiles of prediction − gold.
        Precision, recall and F1 that are 0 ÷ 0 are 0 as in scikit-learn; other undefined values are None.

    Raises:
        DataError: M004, see `checked_references`.
        ValueError: when the number of names is not that of classes.
    """
    gold = checked_references(predictions, references)
    if predictions.objective == REGRESSION:
        return _regression(predictions, gold)
    if len(labels) != predictions.n_classes:
        raise ValueError(f"{len(labels)} class names for {predictions.n_classes} classes")
    counts = count(predictions, gold)
    result: dict[str, Any] = {
        "objective": predictions.objective,
        "n": len(gold),
        "accuracy": compute(["accuracy"], predictions, gold)["accuracy"] if len(gold) else None,
        "classes": _classes(predictions, counts, labels),
    }
    for average in ("macro", "micro", "weighted"):
        result[average] = {kind: averaged(counts, kind, average) if len(gold) else None for kind in _KINDS}
    if predictions.objective == SINGLE:
        result["confusion_matrix"] = confusion(predictions.labels, gold, len(labels)).tolist()
    else:
        result["threshold"] = float(predictions.threshold)
    return result


def _classes(predictions: Predictions, counts: Counts, labels: Sequence[str]) -> list[dict[str, Any]]:
    scores = per_class(counts)
    rows: list[dict[str, Any]] = []
    for i, label in enumerate(labels):
        row: dict[str, Any] = {"label": label, **{kind: float(scores[kind][i]) for kind in _KINDS}}
        row["support"] = int(counts.support[i])
        if predictions.objective == MULTI:
            row |= {"tp": int(counts.tp[i]), "fp": int(counts.fp[i]), "fn": int(counts.fn[i])}
        rows.append(row)
    return rows


def _regression(predictions: Predictions, gold: Array) -> dict[str, Any]:
    residuals = predictions.scores.astype(np.float64) - gold.astype(np.float64)
    known = len(residuals) > 0
    errors = compute(["mse", "mae"], predictions, gold)
    values = np.quantile(residuals, QUANTILES) if known else [None] * len(QUANTILES)
    return {
        "objective": predictions.objective,
        "n": len(residuals),
        **{name: value if known else None for name, value in errors.items()},
        "residuals": {
            f"{round(100 * quantile)}%": None if value is None else float(value)
            for quantile, value in zip(QUANTILES, values, strict=True)
        },
    }
