"""What similarity and ranking minimise, and what can be measured: decided by the data, or asked for and checked."""

from __future__ import annotations

import numpy as np

from bert_cli.data.compared import Compared
from bert_cli.data.queries import Queries
from bert_cli.data.store import SplitStore
from bert_cli.errors import DataError
from bert_cli.families.base import Prepared, Reading
from bert_cli.metrics.names import MAIN_SCORE
from bert_cli.metrics.ranking import RANKING_METRICS

SIMILARITY = {
    "in-batch": "pairs that mean the same, triplets, or judgements",
    "cosine": "pairs with a score or a label each",
    "triplet": "texts that are unlike the first (data.columns.negative), or judgements",
    "simcse": "texts, or a first text in each row",
}
RANKING = {
    "listwise": "judgements, or for each query texts that are relevant and texts that are not",
    "binary": "judgements, or pairs that are relevant or not",
}
"""What each loss needs."""


def similarity_loss(asked: str, rows: Compared | Queries) -> str:
    """The loss for vectors of the training rows.

    Raises:
        DataError: the one that is asked for needs other data (D159).
    """
    if isinstance(rows, Queries):
        return _chosen(asked, {"in-batch": True, "triplet": True}, SIMILARITY, rows.origin)
    targets = rows.targets
    fitting = {
        "in-batch": not rows.single and (targets is None or rows.labelled and bool(targets.any())),
        "cosine": targets is not None,
        "triplet": max(map(len, rows.texts)) > 2,
        "simcse": True,
    }
    return _chosen(asked, fitting, SIMILARITY, rows.origin)


def ranking_loss(asked: str, rows: Queries, *, labelled: bool) -> str:
    """The loss for scores of pairs.

    Args:
        labelled: whether each pair was labelled by itself.

    Raises:
        DataError: the one that is asked for needs other data (D159).
    """
    if not rows.given:
        return _chosen(asked, {"listwise": True, "binary": True}, RANKING, rows.origin)
    both = any(min(grades.values()) <= 0 for grades in rows.grades)
    if labelled:
        return _chosen(asked, {"binary": both, "listwise": both}, RANKING, rows.origin)
    return _chosen(asked, {"listwise": both, "binary": both}, RANKING, rows.origin)


def _chosen(asked: str, fitting: dict[str, bool], needs: dict[str, str], origin: str) -> str:
    possible = [name for name, fits in fitting.items() if fits]
    if asked in possible or asked == "auto" and possible:
        return possible[0] if asked == "auto" else asked
    wanted = needs.get(asked)
    raise DataError(
        "D159",
        f"the loss '{asked}' needs {wanted}" if wanted else f"nothing can be learnt from {origin}",
        where=origin,
        key="train.loss",
        found=asked,
        allowed=", ".join(possible) or "; ".join(f"{name}: {what}" for name, what in needs.items()),
        help="train.loss=auto takes the one that fits" if possible else "add what a loss needs, or give other data",
    )


def measurable(split: SplitStore) -> tuple[str, ...]:
    """Names of the metrics that the rows of a split allow, the main one first."""
    if split.column("query") is not None:
        return (*RANKING_METRICS, MAIN_SCORE)
    if split.targets is None:
        return ("uniformity", MAIN_SCORE)
    labelled = bool(np.isin(split.targets, (0, 1)).all())
    return (*(("average_precision",) if labelled else ()), "spearman", "pearson", MAIN_SCORE)


def check_measurable(reading: Reading) -> None:
    """Refuse a metric that is asked for and that the splits to score do not allow, before anything is scored (D160)."""
    if not isinstance(reading, Prepared):
        return
    section = reading.recipe.eval
    asked = [
        ("eval.metric", section.metric or reading.task.primary),
        *(("eval.metrics", name) for name in section.metrics),
    ]
    for name, split in reading.store.splits.items():
        if name == "train" and len(reading.store.splits) > 1:
            continue
        assert isinstance(split, SplitStore)
        possible = measurable(split)
        for key, metric in asked:
            if metric not in possible:
                raise DataError(
                    "D160",
                    f"the metric '{metric}' cannot be taken of {split.facts['origin']}",
                    where=split.facts["origin"],
                    key=key,
                    found=metric,
                    allowed=list(possible),
                    help=f"eval.metric={possible[0]}" if key == "eval.metric" else f"leave {metric} out of {key}",
                )
