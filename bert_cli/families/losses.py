"""What similarity and ranking minimise, and what can be measured: decided by the data, or asked for and checked."""

from __future__ import annotations

from bert_cli.data.compared import Compared
from bert_cli.data.queries import Queries
from bert_cli.errors import DataError
from bert_cli.metrics.names import MAIN_SCORE
from bert_cli.metrics.ranking import RANKING_METRICS
from bert_cli.recipe.schema import Recipe
from bert_cli.tasks import Task

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


def measurable(rows: Compared | Queries) -> tuple[str, ...]:
    """Names of the metrics that rows allow."""
    if isinstance(rows, Queries) or rows.targets is None and not rows.single:
        return (*RANKING_METRICS, MAIN_SCORE)
    if rows.single:
        return ("uniformity", MAIN_SCORE)
    return (*(("average_precision",) if rows.labelled else ()), "spearman", "pearson", MAIN_SCORE)


def check_measurable(recipe: Recipe, task: Task, rows: Compared | Queries) -> None:
    """Refuse a metric that is asked for and that these rows do not allow (D160)."""
    possible = measurable(rows)
    for key, name in (
        ("eval.metric", recipe.eval.metric or task.primary),
        *(("eval.metrics", m) for m in recipe.eval.metrics),
    ):
        if name not in possible:
            raise DataError(
                "D160",
                f"the metric '{name}' cannot be taken of {rows.origin}",
                where=rows.origin,
                key=key,
                found=name,
                allowed=list(possible),
                help=f"eval.metric={possible[0]}" if key == "eval.metric" else f"leave {name} out of eval.metrics",
            )
