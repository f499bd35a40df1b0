"""Scores: (predictions, references) -> {name: value}, without a network.

The built-in metrics are those of scikit-learn and scipy, number for number; metrics of the `evaluate` library run
only where a recipe names them, pinned and with consent. Costs numpy at import; scikit-learn, scipy and evaluate only
when used.
"""

from __future__ import annotations

from bert_cli.metrics.external import load_external, parse_spec
from bert_cli.metrics.names import METRICS, Metric, check_metrics, is_external, larger_is_better
from bert_cli.metrics.report import report
from bert_cli.metrics.scorer import Scorer
from bert_cli.metrics.scores import Predictions, compute, tune_threshold

__all__ = [
    "METRICS",
    "Metric",
    "Predictions",
    "Scorer",
    "check_metrics",
    "compute",
    "is_external",
    "larger_is_better",
    "load_external",
    "parse_spec",
    "report",
    "tune_threshold",
]
