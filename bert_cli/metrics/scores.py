"""The built-in metrics and the threshold of multi-label decisions.

Every number equals scikit-learn's (or scipy's) on the same arrays; what they leave undefined is `nan`, never a made-up
0. Counts are taken with numpy; scikit-learn (1.6 s) is imported only for ROC AUC and average precision, scipy only for
the correlations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

import numpy as np
import numpy.typing as npt

from bert_cli.errors import DataError, NonFiniteError, UsageError
from bert_cli.metrics.names import FORWARD, METRICS, MULTI, REGRESSION, SINGLE, check_metrics, is_external

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Array = npt.NDArray[np.generic]

THRESHOLDS = tuple(round(0.01 * i, 2) for i in range(5, 96))
_THRESHOLD_FREE = FORWARD | {"roc_auc", "average_precision"}


def check_finite(scores: Array) -> None:
    """Refuse what decides nothing.

    Raises:
        NonFiniteError: a score is nan or infinite (M005).
    """
    bad = int((~np.isfinite(scores)).sum())
    if bad:
        raise NonFiniteError(
            "M005",
            f"{bad} of {scores.size} predicted scores are nan or infinite",
            help="lower train.lr, or set train.precision=fp32, and train again",
        )


@dataclass(frozen=True)
class Predictions:
    """What a model answered, before any decision.

    Attributes:
        objective: `text-classification`, `multi-label-classification` or `text-regression`.
        scores: float32. Softmax probabilities [n, C], sigmoid probabilities [n, C], or values [n].
        threshold: multi-label only: probability from which a label counts.

    Raises:
        NonFiniteError: M005 when a score is nan or infinite.
        ValueError: when the shape does not belong to the objective.
    """

    objective: str
    scores: npt.NDArray[np.float32]
    threshold: float = 0.5

    def __post_init__(self) -> None:
        scores = np.asarray(self.scores, dtype=np.float32)
        if self.objective not in (SINGLE, MULTI, REGRESSION):
            raise ValueError(f"no predictions are made for the objective {self.objective!r}")
        if scores.ndim != (1 if self.objective == REGRESSION else 2):
            raise ValueError(f"scores of shape {scores.shape} do not belong to {self.objective}")
        check_finite(scores)
        object.__setattr__(self, "scores", scores)

    @property
    def n_classes(self) -> int | None:
        """C, or None for regression."""
        return None if self.objective == REGRESSION else int(self.scores.shape[1])

    @property
    def labels(self) -> Array:
        """Decisions: int64 [n] class ids, int8 [n, C] of 0 and 1 (scores >= threshold), or the float32 [n] values."""
        if self.objective == SINGLE:
            ids: Ints = self.scores.argmax(axis=1).astype(np.int64)
            return ids
        if self.objective == MULTI:
            return (self.scores >= np.float32(self.threshold)).astype(np.int8)
        return self.scores


@dataclass(frozen=True)
class Counts:
    """Decisions of each class, all int64 [C]; `present` marks the classes that a macro average takes in."""

    tp: Ints
    fp: Ints
    fn: Ints
    present: npt.NDArray[np.bool_]

    @property
    def support(self) -> Ints:
        """Gold count of each class, [C]."""
        return self.tp + self.fn


def checked_references(predictions: Predictions, references: Array) -> Array:
    """`references` as int64 [n], int8 [n, C] or float64 [n], matching `predictions`.

    Raises:
        DataError: M004 when a class id is outside 0 … C−1 (a hidden test label is −1), a multi-label value is not 0 or
            1, or a gold value is not finite.
        ValueError: when there are not as many references as predictions.
    """
    gold = np.asarray(references)
    if gold.shape != (predictions.scores.shape if predictions.objective != SINGLE else predictions.scores.shape[:1]):
        raise ValueError(
            f"references of shape {gold.shape} do not belong to scores of shape {predictions.scores.shape}"
        )
    if predictions.objective == REGRESSION:
        values = gold.astype(np.float64)
        if not np.isfinite(values).all():
            raise DataError("M004", "a gold score is missing or not a finite number", help="bertctl finetune --dry-run")
        return values
    ids = gold.astype(np.int64)
    highest = (predictions.n_classes or 0) - 1 if predictions.objective == SINGLE else 1
    outside = (ids < 0) | (ids > highest) | (ids != gold)
    if outside.any():
        raise DataError(
            "M004",
            f"{int(outside.sum())} of {ids.size} gold labels are no label of this task",
            found=gold[outside][0],
            allowed=f"0 … {highest}",
            help="score a split whose labels are public, for example the validation split",
        )
    return ids if predictions.objective == SINGLE else ids.astype(np.int8)


def confusion(predicted: Array, gold: Array, n_classes: int) -> Ints:
    """Confusion matrix, int64 [C, C]: rows gold, columns predicted. Both inputs are class ids [n]."""
    cells = gold.astype(np.int64) * n_classes + predicted.astype(np.int64)
    return np.bincount(cells, minlength=n_classes * n_classes).reshape(n_classes, n_classes).astype(np.int64)


def count(predictions: Predictions, gold: Array) -> Counts:
    """True positives, false positives and false negatives of each class.

    As in scikit-learn, a single-label class that is neither gold nor predicted anywhere takes no part in macro
    averages, while every column of multi-label data does.
    """
    predicted = predictions.labels
    if predictions.objective == SINGLE:
        matrix = confusion(predicted, gold, int(predictions.n_classes or 0))
        tp = np.diagonal(matrix).astype(np.int64)
        fp, fn = matrix.sum(axis=0) - tp, matrix.sum(axis=1) - tp
        return Counts(tp, fp, fn, (tp + fp + fn) > 0)
    yes, true = predicted == 1, gold == 1
    tp, fp, fn = ((a & b).sum(axis=0, dtype=np.int64) for a, b in ((yes, true), (yes, ~true), (~yes, true)))
    return Counts(tp, fp, fn, np.ones(len(tp), dtype=np.bool_))


def ratio(numerator: Ints, denominator: Ints) -> Floats:
    """Elementwise quotient in float64; 0 ÷ 0 is 0, which is scikit-learn's rule for precision, recall and F1."""
    return np.divide(numerator, denominator, out=np.zeros(np.shape(numerator)), where=np.asarray(denominator) > 0)


def per_class(counts: Counts) -> dict[str, Floats]:
    """Precision, recall and F1 of each class, float64 [C]; undefined ones are 0 as in scikit-learn."""
    return {
        "precision": ratio(counts.tp, counts.tp + counts.fp),
        "recall": ratio(counts.tp, counts.support),
        "f1": ratio(2 * counts.tp, 2 * counts.tp + counts.fp + counts.fn),
    }


def averaged(counts: Counts, kind: str, average: str) -> float:
    """`kind` (precision, recall, f1) averaged as `micro`, `macro` or `weighted` (by gold count)."""
    if average == "micro":
        totals = (counts.tp.sum(keepdims=True), counts.fp.sum(keepdims=True), counts.fn.sum(keepdims=True))
        return float(per_class(Counts(*totals, np.ones(1, dtype=np.bool_)))[kind][0])
    values = per_class(counts)[kind]
    if average == "macro":
        return float(values[counts.present].mean())
    total = int(counts.support.sum())
    return float((values * counts.support).sum() / total) if total else 0.0


def compute(
    names: Sequence[str], predictions: Predictions, references: Array, *, labels: tuple[str, ...] | None = None
) -> dict[str, float]:
    """Built-in metrics by name, in the order of `names`.

    Args:
        names: keys of `METRICS` that fit the objective.
        predictions: scores of n examples.
        references: class ids [n], 0/1 [n, C] or values [n].
        labels: class names, only to check their number.

    Undefined values are `nan`: everything for n = 0; `pearson` and `spearman` of a constant or of one example;
    `roc_auc` and `average_precision` of a class without a positive or (ROC) without a negative example, and then their
    mean over classes. Precision, recall and F1 of 0 ÷ 0 are 0, and so is the Matthews correlation of one class: these
    are scikit-learn's definitions.

    Raises:
        UsageError: M001 – M003, see `check_metrics`.
        DataError: M004, see `checked_references`.
    """
    if labels is not None and predictions.n_classes not in (None, len(labels)):
        raise ValueError(f"{len(labels)} class names for {predictions.n_classes} classes")
    check_metrics(names, predictions.objective, predictions.n_classes)
    foreign = [name for name in names if is_external(name) or name in FORWARD]
    if foreign:
        raise ValueError(f"not computed from predictions here: {', '.join(foreign)}")
    gold = checked_references(predictions, references)
    if len(gold) == 0:
        return dict.fromkeys(names, nan)
    if predictions.objective == REGRESSION:
        return {
            name: _regression(name, predictions.scores.astype(np.float64), gold.astype(np.float64)) for name in names
        }
    counts = count(predictions, gold)
    return {name: _classification(name, predictions, gold, counts) for name in names}


def tune_threshold(scores: Array, references: Array, *, metric: str) -> float:
    """The one probability threshold for all labels at which `metric` is best on these multi-label examples.

    Args:
        scores: sigmoid probabilities [n, C].
        references: 0/1 [n, C].
        metric: a built-in multi-label metric.

    Returns:
        One of 0.05, 0.06 … 0.95; among equals the nearest to 0.5, then the lower. 0.5 where the metric has no threshold
        or is undefined everywhere.

    Raises:
        UsageError: M014 for a metric of the evaluate library; M001 and M002 as in `check_metrics`.
    """
    if is_external(metric):
        raise UsageError(
            "M014",
            f"the threshold cannot be tuned for '{metric}'",
            key="eval.threshold",
            help="eval.threshold=0.5, or select by a built-in metric: eval.metric=f1_micro",
        )
    check_metrics([metric], MULTI)
    if metric in _THRESHOLD_FREE:
        return 0.5
    sign = 1.0 if METRICS[metric].larger_is_better else -1.0
    best, chosen = nan, 0.5
    for threshold in sorted(THRESHOLDS, key=lambda t: (abs(round(100 * t) - 50), t)):
        value = sign * compute([metric], Predictions(MULTI, scores.astype(np.float32), threshold), references)[metric]
        if value > best or (np.isnan(best) and not np.isnan(value)):
            best, chosen = value, threshold
    return chosen


def _classification(name: str, predictions: Predictions, gold: Array, counts: Counts) -> float:
    predicted = predictions.labels
    kind, _, average = name.partition("_")
    if kind in ("f1", "precision", "recall"):
        return averaged(counts, kind, average) if average else float(per_class(counts)[kind][1])
    if name == "accuracy":
        hits = predicted == gold
        return float(hits.all(axis=1).mean() if predictions.objective == MULTI else hits.mean())
    if name == "hamming_loss":
        return float((predicted != gold).mean())
    if name == "balanced_accuracy":
        return float(per_class(counts)["recall"][counts.support > 0].mean())
    if name == "matthews_correlation":
        return _matthews(confusion(predicted, gold, int(predictions.n_classes or 0)).astype(np.float64))
    return _ranking(name, predictions, gold)


def _matthews(matrix: Floats) -> float:
    """Multi-class Matthews correlation (Gorodkin 2004) of a confusion matrix [C, C]; 0 where one side is constant."""
    gold, predicted, n = matrix.sum(axis=1), matrix.sum(axis=0), matrix.sum()
    spread = (n * n - predicted @ predicted) * (n * n - gold @ gold)
    return float((matrix.trace() * n - gold @ predicted) / np.sqrt(spread)) if spread > 0 else 0.0


def _ranking(name: str, predictions: Predictions, gold: Array) -> float:
    """ROC AUC or average precision: of class 1 of two, else the mean of one-vs-rest over the columns."""
    from sklearn.metrics import (  # type: ignore[import-untyped, unused-ignore]
        average_precision_score,
        roc_auc_score,
    )

    columns = range(int(predictions.n_classes or 0))
    if predictions.objective == SINGLE and len(columns) == 2:
        columns = range(1, 2)
    values = []
    for column in columns:
        true = gold[:, column] == 1 if predictions.objective == MULTI else gold == column
        if not true.any() or (name == "roc_auc" and true.all()):
            return nan
        function = roc_auc_score if name == "roc_auc" else average_precision_score
        values.append(float(function(true, predictions.scores[:, column])))
    return float(np.mean(values))


def _regression(name: str, predicted: Floats, gold: Floats) -> float:
    if name == "mse":
        return float(np.square(predicted - gold).mean())
    if name == "mae":
        return float(np.abs(predicted - gold).mean())
    if np.ptp(predicted) == 0 or np.ptp(gold) == 0:
        return nan
    from scipy import stats  # type: ignore[import-untyped, unused-ignore]

    return float((stats.pearsonr if name == "pearson" else stats.spearmanr)(predicted, gold).statistic)
