"""All the metrics of a run behind one call: built-in ones and those of the evaluate library.

Whatever can go wrong with a name goes wrong when the scorer is made, before any training.
Costs the evaluate library (7 s) only where a metric of it is named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from bert_cli.errors import BertctlError, UsageError, raise_all
from bert_cli.metrics.external import External, load_external, parse_spec
from bert_cli.metrics.names import COMPUTED, FORWARD, MULTI, check_metrics, is_external, metrics_for
from bert_cli.metrics.scores import Array, Predictions, checked_references, compute


def reported(names: Sequence[str], objective: str) -> tuple[str, ...]:
    """The names of all scores that a split gets where these metrics are asked for, in their order.

    Of a metric of the evaluate library only the beginning is known, `evaluate:NAME/`: it names its scores itself.
    """
    if objective not in COMPUTED:
        return metrics_for(objective)
    asked = [name for name in dict.fromkeys(names) if name not in FORWARD]
    return (
        "loss",
        *(f"evaluate:{parse_spec(name, allow_code=True).name}/" if is_external(name) else name for name in asked),
    )


def _not_for(spec: str, objective: str) -> UsageError:
    return UsageError(
        "M002",
        f"metrics of the evaluate library see one decision for each text, and {objective} has none",
        key="eval.metrics",
        found=spec,
        allowed=list(metrics_for(objective)),
        help="leave it out",
    )


class Scorer:
    """Computes the metrics named, in their order.

    What a family of tasks computes by itself, for tags, questions, choices and rankings, is only checked here and kept
    as `names`.

    A built-in metric gives one score under its name; `evaluate:NAME@COMMIT` and `evaluate:FOLDER` give one for each key
    of their result, as `evaluate:NAME/KEY`, where NAME is the hub name without commit or the folder's last component.
    Such a metric sees decisions (class ids, 0/1 rows, or values), not probabilities; for multi-label data it is loaded
    in its configuration `multilabel`. `loss` and `perplexity` are accepted and left to the objective.

    Args:
        names: metrics of a recipe or task.
        objective: the task's objective.
        labels: class names, or None for regression or while they are unknown.
        order: place of each of the task's classes among the model's outputs, where the model has them in another order;
            class ids in metrics are then the task's (`f1` is that of its class 1).
        allow_code: consent to run code of the evaluate metrics.

    Raises:
        UsageError: M001 – M003 (`check_metrics`), M006 – M008 and M010 (`load_external`), M013 (two of the same NAME).
        HubError: M009, see `load_external`.
    """

    def __init__(
        self,
        names: Sequence[str],
        objective: str,
        *,
        labels: tuple[str, ...] | None = None,
        order: Sequence[int] | None = None,
        allow_code: bool = False,
    ) -> None:
        errors: list[BertctlError] = []
        try:
            check_metrics(names, objective, len(labels) if labels else None)
        except BertctlError as error:
            errors.append(error)
        specs = {}
        for spec in dict.fromkeys(filter(is_external, names)):
            if objective not in COMPUTED:
                errors.append(_not_for(spec, objective))
                continue
            try:
                specs[spec] = parse_spec(spec, allow_code=allow_code).name
            except UsageError as error:
                errors.append(error)
        raise_all(errors)
        if len(set(specs.values())) != len(specs):
            raise UsageError(
                "M013",
                "two metrics of the evaluate library have the same name",
                key="eval.metrics",
                found=", ".join(specs),
                help="keep one of them",
            )
        self.names = tuple(name for name in dict.fromkeys(names) if objective not in COMPUTED or name not in FORWARD)
        self.labels = labels or None
        self.order = None if order is None else np.array(order)
        config = "multilabel" if objective == MULTI else None
        self._external: dict[str, tuple[str, External]] = {
            spec: (name, load_external(spec, allow_code=allow_code, config=config)) for spec, name in specs.items()
        }

    def selecting(self, metric: str, scores: Mapping[str, float]) -> float:
        """The score that `metric` names; for one of the evaluate library, the first of its scores."""
        if metric in scores:
            return scores[metric]
        short, _ = self._external[metric]
        return next(value for name, value in scores.items() if name.startswith(f"evaluate:{short}/"))

    def score(self, predictions: Predictions, references: Array) -> dict[str, float]:
        """All scores; see `compute` for shapes and for what is `nan`.

        Raises:
            DataError: M004 for gold labels outside the task's.
            UsageError: M011, M012 when an evaluate metric fails or gives anything but finite numbers.
        """
        if self.order is not None:
            predictions = replace(predictions, scores=predictions.scores[:, self.order])
            references = references[:, self.order] if references.ndim == 2 else np.argsort(self.order)[references]
        gold = checked_references(predictions, references)
        built_in = compute([n for n in self.names if n not in self._external], predictions, gold, labels=self.labels)
        scores: dict[str, float] = {}
        for name in self.names:
            if name in self._external:
                short, external = self._external[name]
                scores |= {
                    f"evaluate:{short}/{key}": value for key, value in external(predictions.labels, gold).items()
                }
            else:
                scores[name] = built_in[name]
        return scores
