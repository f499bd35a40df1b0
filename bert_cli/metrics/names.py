"""Which metrics there are, which objective each one fits, and whether a recipe's choice can be computed.

A choice that passes `check_metrics` never fails after training for its name. All mistakes are reported at once.
Costs nothing to import.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bert_cli.errors import BertctlError, UsageError, closest, raise_all
from bert_cli.tasks.base import MINIMAL_PAIRS, PRETRAINING

SINGLE = "text-classification"
MULTI = "multi-label-classification"
REGRESSION = "text-regression"
TAGGING = "token-classification"
QUESTIONS = "question-answering"
CHOICE = "multiple-choice"
COMPUTED = (SINGLE, MULTI, REGRESSION)
"""Objectives whose metrics are computed from one prediction for each text, by `compute` and by the evaluate library."""

SIMILARITY = "sentence-similarity"
RANKING = "text-ranking"
MAIN_SCORE = "main_score"

EXTERNAL_PREFIX = "evaluate:"


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One built-in metric: the objectives it fits and a line for help."""

    objectives: tuple[str, ...]
    summary: str
    larger_is_better: bool = True


_BOTH = (SINGLE, MULTI)

METRICS: dict[str, Metric] = {
    "accuracy": Metric(
        objectives=(SINGLE, MULTI, *PRETRAINING, MINIMAL_PAIRS, TAGGING, CHOICE),
        summary="Share of correct answers; multi-label: all labels correct; tags: of words.",
    ),
    "f1": Metric(objectives=(SINGLE,), summary="F1 of class id 1; two classes only."),
    "f1_macro": Metric(objectives=_BOTH, summary="Mean F1 of the classes."),
    "f1_micro": Metric(objectives=_BOTH, summary="F1 of all decisions together."),
    "f1_weighted": Metric(objectives=_BOTH, summary="Mean F1 of the classes, weighted by their gold counts."),
    "precision_macro": Metric(objectives=_BOTH, summary="Mean precision of the classes."),
    "recall_macro": Metric(objectives=_BOTH, summary="Mean recall of the classes."),
    "precision_micro": Metric(objectives=_BOTH, summary="Precision of all decisions together."),
    "recall_micro": Metric(objectives=_BOTH, summary="Recall of all decisions together."),
    "matthews_correlation": Metric(
        objectives=(SINGLE,), summary="Matthews correlation; 0 where only one class occurs."
    ),
    "balanced_accuracy": Metric(
        objectives=(SINGLE,), summary="Mean recall of the classes that occur in the gold labels."
    ),
    "roc_auc": Metric(objectives=_BOTH, summary="Area under the ROC curve; mean one-vs-rest beyond two classes."),
    "average_precision": Metric(
        objectives=(*_BOTH, SIMILARITY), summary="Area under precision-recall; mean one-vs-rest beyond two classes."
    ),
    "hamming_loss": Metric(objectives=(MULTI,), summary="Share of wrong single decisions.", larger_is_better=False),
    "pearson": Metric(objectives=(REGRESSION, SIMILARITY), summary="Linear correlation."),
    "spearman": Metric(objectives=(REGRESSION, SIMILARITY), summary="Rank correlation."),
    "mse": Metric(objectives=(REGRESSION,), summary="Mean squared error.", larger_is_better=False),
    "mae": Metric(objectives=(REGRESSION,), summary="Mean absolute error.", larger_is_better=False),
    "loss": Metric(
        objectives=(SINGLE, MULTI, REGRESSION, *PRETRAINING, TAGGING, CHOICE, QUESTIONS),
        summary="Mean loss of the split, nats.",
        larger_is_better=False,
    ),
    "perplexity": Metric(objectives=PRETRAINING, summary="exp(loss) of the masked tokens.", larger_is_better=False),
    "mlm_loss": Metric(
        objectives=PRETRAINING[1:], summary="Loss of the masked tokens alone, nats.", larger_is_better=False
    ),
    **{
        f"{term}_loss": Metric(objectives=(objective,), summary=f"Loss of {what} alone, nats.", larger_is_better=False)
        for term, objective, what in (
            ("nsp", "fill-mask-nsp", "next sentences"),
            ("sop", "fill-mask-sop", "sentence order"),
            ("rtd", "replaced-token-detection", "replaced tokens"),
        )
    },
    "nsp_accuracy": Metric(objectives=("fill-mask-nsp",), summary="Share of pairs rightly told to follow or not."),
    "sop_accuracy": Metric(objectives=("fill-mask-sop",), summary="Share of pairs whose order was found."),
    "rtd_accuracy": Metric(
        objectives=("replaced-token-detection",), summary="Share of tokens rightly told to be replaced or not."
    ),
    **{
        f"entity_{kind}": Metric(objectives=(TAGGING,), summary=summary)
        for kind, summary in (
            ("f1", "F1 of whole entities of all types together, as conlleval and seqeval's default mode."),
            ("precision", "Share of the predicted entities with the right begin, end and type."),
            ("recall", "Share of the gold entities that were found with begin, end and type."),
            ("f1_strict", "F1 of whole entities as seqeval's strict mode: only a B- tag begins one."),
        )
    },
    "exact_match": Metric(
        objectives=(QUESTIONS,), summary="Share of questions with a gold answer, case and punctuation aside."
    ),
    "answer_f1": Metric(objectives=(QUESTIONS,), summary="Mean F1 of an answer's words (Chinese: characters)."),
    **{
        name: Metric(objectives=(SIMILARITY, RANKING), summary=summary)
        for name, summary in (
            ("ndcg_at_10", "Discounted gain of the ten best texts as a share of the ideal one, mean over queries."),
            ("map", "Mean average precision of the rankings (eval.depth texts each)."),
            ("mrr", "Mean of 1 / rank of the first relevant text."),
            ("mrr_at_10", "The same, where that rank is at most 10, else 0."),
            ("recall_at_10", "Share of the relevant texts among the ten best, mean over queries."),
            ("recall_at_100", "Share of the relevant texts among the hundred best, mean over queries."),
        )
    },
    "uniformity": Metric(
        objectives=(SIMILARITY,), summary="How evenly vectors lie on the sphere; log.", larger_is_better=False
    ),
    MAIN_SCORE: Metric(
        objectives=(SIMILARITY, RANKING),
        summary="What the data allow: ndcg_at_10 of a search, spearman of scored pairs, average_precision of labelled "
        "ones, minus uniformity of texts alone.",
    ),
    "stereotype_score": Metric(
        objectives=(MINIMAL_PAIRS,),
        summary="Share of pairs whose more stereotyping sentence is the more likely one; 0.5 is ideal.",
        larger_is_better=False,
    ),
}
"""Name -> metric. `compute` knows all but those of `FORWARD` and the losses of single terms (`mlm_loss` …)."""

FORWARD = frozenset(
    {"loss", "perplexity", "nsp_accuracy", "sop_accuracy", "rtd_accuracy", "stereotype_score"}
    | {"entity_f1", "entity_precision", "entity_recall", "entity_f1_strict"}
    | {"exact_match", "answer_f1"}
    | {"ndcg_at_10", "map", "mrr", "mrr_at_10", "recall_at_10", "recall_at_100", "uniformity", MAIN_SCORE}
)
"""What an objective takes from its forward passes and no metric can compute from predictions."""

_OTHER_NAMES = {
    "acc": "accuracy",
    "em": "exact_match",
    "auc": "roc_auc",
    "auroc": "roc_auc",
    "f1_score": "f1",
    "macro_f1": "f1_macro",
    "mcc": "matthews_correlation",
    "micro_f1": "f1_micro",
    "overall_f1": "entity_f1",
    **{f"{name}@{cut}": f"{name}_at_{cut}" for name in ("ndcg", "mrr", "recall") for cut in (10, 100)},
    "pearsonr": "pearson",
    "spearmanr": "spearman",
    "weighted_f1": "f1_weighted",
}


def is_external(name: str) -> bool:
    """Whether `name` asks for the evaluate library (`evaluate:NAME@COMMIT`, or a score `evaluate:NAME/KEY` of it)."""
    return name.startswith(EXTERNAL_PREFIX)


def metrics_for(objective: str) -> tuple[str, ...]:
    """The built-in metrics that fit `objective`."""
    return tuple(name for name, metric in METRICS.items() if objective in metric.objectives)


def larger_is_better(name: str) -> bool:
    """Whether a higher value is the better one. Scores of the evaluate library count as better when larger.

    Raises:
        UsageError: M001 for a name that is neither built in nor of the evaluate library.
    """
    if is_external(name):
        return True
    if name not in METRICS:
        raise _unknown(name, tuple(METRICS))
    return METRICS[name].larger_is_better


def check_metrics(
    names: Sequence[str], objective: str, n_classes: int | None = None, *, key: str = "eval.metrics"
) -> None:
    """Refuse names that cannot be computed for `objective`; names of the evaluate library are left to `parse_spec`.

    Args:
        names: what a recipe or a task asks for.
        objective: the task's objective.
        n_classes: number of classes, or None where it is not known yet.
        key: the recipe key that holds the names.

    Raises:
        UsageError: M001 unknown, M002 does not fit the objective, M003 `f1` beyond two classes; all of them at once.
    """
    errors: list[BertctlError] = []
    fitting = metrics_for(objective)
    for name in dict.fromkeys(names):
        if is_external(name):
            continue
        if name not in METRICS:
            errors.append(_unknown(name, fitting, key=key))
        elif name not in fitting:
            errors.append(
                UsageError(
                    "M002",
                    f"the metric '{name}' does not fit the objective '{objective}'",
                    key=key,
                    found=name,
                    allowed=", ".join(fitting) or "no metric",
                    help="choose one of the allowed metrics",
                )
            )
        elif name == "f1" and n_classes is not None and n_classes != 2:
            errors.append(
                UsageError(
                    "M003",
                    f"the metric 'f1' is that of class id 1 of two classes; there are {n_classes}",
                    key=key,
                    found="f1",
                    allowed="f1_macro, f1_micro, f1_weighted",
                    help="eval.metric=f1_macro",
                )
            )
    raise_all(errors)


def _unknown(name: str, fitting: tuple[str, ...], *, key: str = "eval.metrics") -> UsageError:
    usual = _OTHER_NAMES.get(name.casefold().replace("-", "_"))
    meant = usual if usual in fitting else closest(name, fitting)
    # The list is given as text because it must not be cut, and because the usual names are no near spelling of ours.
    allowed = ", ".join(fitting) or "no metric"
    return UsageError(
        "M001",
        f"there is no metric '{name}'" + (f"; did you mean '{meant}'?" if meant else ""),
        key=key,
        found=name,
        allowed=allowed,
        help=f"use '{meant}'" if meant else "name one of these, or evaluate:NAME@COMMIT of the evaluate library",
    )
