"""The detailed report of tagged words: every type of entity, or every tag where tags are classes of their own.

Its averages are those of seqeval's and scikit-learn's `classification_report`. Plain values, ready for JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bert_cli.metrics.entities import KINDS, NO_TAG, Ints
from bert_cli.metrics.scores import Counts, averaged, confusion, per_class


def entity_report(counts: Counts, types: Sequence[str]) -> dict[str, Any]:
    """`classes` (label, precision, recall, f1, support of each type of entity), `macro`, `micro` and `weighted`."""
    return {"classes": _classes(counts, types), **_averages(counts, ("macro", "micro", "weighted"))}


def tag_report(gold: Ints, predicted: Ints, classes: Sequence[str]) -> dict[str, Any]:
    """`classes` of all tags, `macro`, `weighted`, and `confusion_matrix` [C][C] with gold rows.

    Args:
        gold: class ids. Shape: `[words]`.
        predicted: class ids, or `NO_TAG` for words without a prediction: misses, which the matrix does not show.
    """
    known = predicted != NO_TAG
    matrix = confusion(predicted[known], gold[known], len(classes))
    found = np.diagonal(matrix).astype(np.int64)
    support = np.bincount(gold, minlength=len(classes)).astype(np.int64)
    answered = matrix.sum(axis=0).astype(np.int64)
    counts = Counts(found, answered - found, support - found, (answered + support) > 0)
    averages = _averages(counts, ("macro", "weighted"))
    return {"classes": _classes(counts, classes), **averages, "confusion_matrix": matrix.tolist()}


def _classes(counts: Counts, names: Sequence[str]) -> list[dict[str, Any]]:
    scores = per_class(counts)
    return [
        {"label": name, **{kind: float(scores[kind][i]) for kind in KINDS}, "support": int(counts.support[i])}
        for i, name in enumerate(names)
    ]


def _averages(counts: Counts, names: Sequence[str]) -> dict[str, dict[str, float | None]]:
    """An average is None where no class occurs."""
    some = bool(counts.present.any())
    return {name: {kind: averaged(counts, kind, name) if some else None for kind in KINDS} for name in names}
