"""The built-in metrics against scikit-learn and scipy."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats  # type: ignore[import-untyped, unused-ignore]
from sklearn import metrics as sk  # type: ignore[import-untyped, unused-ignore]

from bert_cli.errors import BertctlError, DataError, ErrorGroup, NonFiniteError, UsageError
from bert_cli.metrics import (
    METRICS,
    Predictions,
    Scorer,
    check_metrics,
    compute,
    larger_is_better,
    report,
    tune_threshold,
)
from bert_cli.metrics.names import MULTI, REGRESSION, SINGLE, metrics_for

LOOSE = 1e-6


def single(rng: np.random.Generator, n: int, classes: int) -> tuple[Predictions, np.ndarray]:
    raw = rng.random((n, classes)).astype(np.float32) ** 3
    return Predictions(SINGLE, raw / raw.sum(axis=1, keepdims=True)), rng.integers(0, classes, n)


def multi(rng: np.random.Generator, n: int, classes: int) -> tuple[Predictions, np.ndarray]:
    return Predictions(MULTI, rng.random((n, classes)).astype(np.float32), 0.4), rng.integers(0, 2, (n, classes))


def averages(gold: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    functions = {"f1": sk.f1_score, "precision": sk.precision_score, "recall": sk.recall_score}
    names = [(k, a) for k in functions for a in ("macro", "micro", "weighted") if f"{k}_{a}" in METRICS]
    return {f"{k}_{a}": functions[k](gold, predicted, average=a, zero_division=0.0) for k, a in names}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(2, 6))
def test_every_single_label_metric_equals_scikit_learn(seed: int, n: int, classes: int) -> None:
    predictions, gold = single(np.random.default_rng(seed), n, classes)
    predicted = predictions.labels
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = {
            "accuracy": sk.accuracy_score(gold, predicted),
            "matthews_correlation": sk.matthews_corrcoef(gold, predicted),
            "balanced_accuracy": sk.balanced_accuracy_score(gold, predicted),
            **averages(gold, predicted),
        }
        if classes == 2:
            expected["f1"] = sk.f1_score(gold, predicted, zero_division=0.0)
        if len(set(gold.tolist())) == classes:
            scores = predictions.scores[:, 1] if classes == 2 else predictions.scores.astype(np.float64)
            if classes > 2:
                scores = scores / scores.sum(axis=1, keepdims=True)
            expected["roc_auc"] = sk.roc_auc_score(gold, scores, multi_class="ovr")
            expected["average_precision"] = sk.average_precision_score(gold, scores)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compute(list(expected), predictions, gold) == pytest.approx(expected, abs=LOOSE)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(2, 5))
def test_every_multi_label_metric_equals_scikit_learn(seed: int, n: int, classes: int) -> None:
    predictions, gold = multi(np.random.default_rng(seed), n, classes)
    predicted = predictions.labels
    expected = {
        "accuracy": sk.accuracy_score(gold, predicted),
        "hamming_loss": sk.hamming_loss(gold, predicted),
        **averages(gold, predicted),
    }
    if ((gold.sum(axis=0) > 0) & (gold.sum(axis=0) < n)).all():
        expected["roc_auc"] = sk.roc_auc_score(gold, predictions.scores)
        expected["average_precision"] = sk.average_precision_score(gold, predictions.scores)
    assert compute(list(expected), predictions, gold) == pytest.approx(expected, abs=LOOSE)


def test_one_column_of_multi_label_data_is_scored_as_one_yes_or_no_question() -> None:
    predictions, gold = multi(np.random.default_rng(1), 30, 1)
    expected = sk.f1_score(gold[:, 0], predictions.labels[:, 0])
    assert compute(["f1_macro", "f1_micro"], predictions, gold) == pytest.approx(
        {"f1_macro": expected, "f1_micro": expected}
    )


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(-5, 5, width=32), st.integers(0, 5)), min_size=2, max_size=30))
def test_every_regression_metric_equals_scipy(pairs: list[tuple[float, int]]) -> None:
    scores, gold = np.array([a for a, _ in pairs], np.float32), np.array([float(b) for _, b in pairs])
    values = compute(["pearson", "spearman", "mse", "mae"], Predictions(REGRESSION, scores), gold)
    assert values["mse"] == pytest.approx(sk.mean_squared_error(gold, scores.astype(np.float64)))
    assert values["mae"] == pytest.approx(sk.mean_absolute_error(gold, scores.astype(np.float64)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = stats.pearsonr(scores.astype(np.float64), gold)[0], stats.spearmanr(scores, gold)[0]
    assert (values["pearson"], values["spearman"]) == pytest.approx(expected, nan_ok=True, abs=1e-9)


@pytest.mark.parametrize("name", ["pearson", "spearman"])
@pytest.mark.parametrize(("scores", "gold"), [([1, 1, 1], [1, 2, 3]), ([1, 2, 3], [2, 2, 2]), ([1], [1])])
def test_the_correlation_of_a_constant_is_nan_without_a_warning(name: str, scores: list[int], gold: list[int]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value = compute([name], Predictions(REGRESSION, np.array(scores, np.float32)), np.array(gold))[name]
    assert math.isnan(value)


def test_roc_auc_is_nan_where_a_class_has_no_example() -> None:
    predictions, _ = single(np.random.default_rng(0), 6, 3)
    values = compute(["roc_auc", "average_precision"], predictions, np.array([0, 1, 0, 1, 0, 1]))
    assert all(math.isnan(value) for value in values.values())


@pytest.mark.parametrize(
    ("objective", "scores"), [(SINGLE, np.zeros((0, 3))), (MULTI, np.zeros((0, 3))), (REGRESSION, np.zeros(0))]
)
def test_no_example_gives_nan_for_every_metric_and_none_in_the_report(objective: str, scores: np.ndarray) -> None:
    predictions = Predictions(objective, scores)
    names = [name for name in metrics_for(objective) if name not in ("f1", "loss")]
    gold = np.zeros(0) if objective != MULTI else np.zeros((0, 3))
    assert all(math.isnan(value) for value in compute(names, predictions, gold).values())
    json.dumps(report(predictions, gold, ("a", "b", "c")), allow_nan=False)


def test_matthews_correlation_of_one_class_is_zero_as_scikit_learn_defines_it() -> None:
    predictions = Predictions(SINGLE, np.array([[0.9, 0.1]] * 4))
    assert compute(["matthews_correlation"], predictions, np.array([0, 0, 1, 1])) == {"matthews_correlation": 0.0}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(2, 5))
def test_the_report_equals_classification_report_and_the_confusion_matrix(seed: int, n: int, classes: int) -> None:
    predictions, gold = single(np.random.default_rng(seed), n, classes)
    names = [f"class {i}" for i in range(classes)]
    ours = report(predictions, gold, names)
    ids = list(range(classes))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = sk.classification_report(
            gold, predictions.labels, labels=ids, target_names=names, output_dict=True, zero_division=0.0
        )
        present = sk.classification_report(gold, predictions.labels, output_dict=True, zero_division=0.0)
    for row in ours["classes"]:
        assert_row(row, theirs[row["label"]])
        assert row["support"] == theirs[row["label"]]["support"]
    assert_row(ours["macro"], present["macro avg"])
    assert_row(ours["weighted"], present["weighted avg"])
    assert ours["accuracy"] == ours["micro"]["f1"] == pytest.approx(present["accuracy"])
    assert ours["confusion_matrix"] == sk.confusion_matrix(gold, predictions.labels, labels=ids).tolist()


def assert_row(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    expected = {"precision": theirs["precision"], "recall": theirs["recall"], "f1": theirs["f1-score"]}
    assert {kind: ours[kind] for kind in expected} == pytest.approx(expected)


def test_the_multi_label_report_counts_each_label_as_scikit_learn_does() -> None:
    predictions, gold = multi(np.random.default_rng(3), 50, 4)
    ours = report(predictions, gold, "abcd")
    theirs = sk.classification_report(gold, predictions.labels, output_dict=True, zero_division=0.0)
    matrices = sk.multilabel_confusion_matrix(gold, predictions.labels)
    for i, row in enumerate(ours["classes"]):
        assert_row(row, theirs[str(i)])
        assert [row["tp"], row["fp"], row["fn"]] == [matrices[i][1, 1], matrices[i][0, 1], matrices[i][1, 0]]
    for average in ("macro", "micro", "weighted"):
        assert_row(ours[average], theirs[f"{average} avg"])
    assert "confusion_matrix" not in ours and ours["threshold"] == 0.4


def test_the_regression_report_gives_quantiles_of_prediction_minus_gold() -> None:
    ours = report(Predictions(REGRESSION, np.arange(5, dtype=np.float32)), np.zeros(5))
    assert ours["residuals"] == {"0%": 0.0, "5%": 0.2, "25%": 1.0, "50%": 2.0, "75%": 3.0, "95%": 3.8, "100%": 4.0}
    assert ours["mse"] == 6.0


def test_report_and_compute_agree_where_a_class_never_occurs() -> None:
    predictions = Predictions(SINGLE, np.eye(4, dtype=np.float32)[[0, 1, 1, 0]])
    gold = np.array([0, 1, 0, 0])
    assert report(predictions, gold, "abcd")["macro"]["f1"] == compute(["f1_macro"], predictions, gold)["f1_macro"]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["f1_micro", "f1_macro", "accuracy", "hamming_loss"]))
def test_the_tuned_threshold_is_the_best_of_the_grid_and_the_nearest_to_a_half(seed: int, metric: str) -> None:
    predictions, gold = multi(np.random.default_rng(seed), 25, 3)
    chosen = tune_threshold(predictions.scores, gold, metric=metric)
    sign = 1 if larger_is_better(metric) else -1
    grid = [i / 100 for i in range(5, 96)]
    value = {t: sign * compute([metric], Predictions(MULTI, predictions.scores, t), gold)[metric] for t in grid}
    best = max(value.values())
    nearest = min(round(100 * abs(t - 0.5)) for t in grid if value[t] == best)
    assert value[chosen] == best and round(100 * abs(chosen - 0.5)) == nearest


def test_the_threshold_stays_a_half_where_the_metric_has_none_or_no_example_is_given() -> None:
    predictions, gold = multi(np.random.default_rng(0), 20, 3)
    assert tune_threshold(predictions.scores, gold, metric="roc_auc") == 0.5
    assert tune_threshold(predictions.scores[:0], gold[:0], metric="f1_micro") == 0.5
    with pytest.raises(UsageError, match="M014"):
        tune_threshold(predictions.scores, gold, metric="evaluate:./mine")


def test_labels_are_argmax_threshold_or_the_value_itself() -> None:
    assert Predictions(SINGLE, np.array([[0.2, 0.8], [0.5, 0.5]])).labels.tolist() == [1, 0]
    chosen = Predictions(MULTI, np.array([[0.3, 0.29]]), 0.3).labels
    assert chosen.tolist() == [[1, 0]] and chosen.dtype == np.int8
    assert Predictions(REGRESSION, np.array([1.5])).labels.tolist() == [1.5]


def test_scores_that_are_not_finite_are_refused() -> None:
    with pytest.raises(NonFiniteError, match="M005"):
        Predictions(SINGLE, np.array([[0.5, math.nan]]))


@pytest.mark.parametrize(
    ("predictions", "gold"),
    [
        (Predictions(SINGLE, np.full((2, 2), 0.5)), [-1, 0]),
        (Predictions(SINGLE, np.full((2, 2), 0.5)), [2, 0]),
        (Predictions(MULTI, np.full((1, 2), 0.5)), [[0, 2]]),
        (Predictions(REGRESSION, np.zeros(1, np.float32)), [math.nan]),
    ],
)
def test_gold_labels_outside_the_task_are_a_data_error(predictions: Predictions, gold: list[Any]) -> None:
    with pytest.raises(DataError, match="M004"):
        compute(["accuracy" if predictions.n_classes else "mse"], predictions, np.array(gold))


def test_an_unknown_metric_names_the_right_one_and_those_allowed() -> None:
    with pytest.raises(UsageError) as caught:
        check_metrics(["acuracy"], SINGLE)
    assert "did you mean 'accuracy'?" in caught.value.render() and "f1_weighted" in caught.value.render()
    with pytest.raises(UsageError, match="did you mean 'matthews_correlation'"):
        check_metrics(["mcc"], SINGLE)


def test_all_unsuitable_metrics_are_reported_at_once() -> None:
    with pytest.raises(ErrorGroup) as caught:
        check_metrics(["pearson", "f1", "nonsense", "accuracy", "evaluate:whatever"], SINGLE, 3)
    assert [error.code for error in caught.value.errors] == ["M002", "M003", "M001"]
    assert all(len(error.render().splitlines()) <= 6 for error in caught.value.errors)


def test_f1_beyond_two_classes_points_to_f1_macro() -> None:
    check_metrics(["f1"], SINGLE, 2)
    check_metrics(["f1"], SINGLE)
    with pytest.raises(UsageError) as caught:
        compute(["f1"], *single(np.random.default_rng(0), 5, 3))
    assert caught.value.code == "M003" and "f1_macro" in caught.value.render()


def test_losses_and_errors_are_better_when_smaller() -> None:
    assert [name for name in METRICS if not larger_is_better(name)] == [
        "hamming_loss",
        "mse",
        "mae",
        "loss",
        "perplexity",
        "mlm_loss",
        "nsp_loss",
        "sop_loss",
        "rtd_loss",
        "uniformity",
        "stereotype_score",
    ]
    assert larger_is_better("evaluate:mine/score")
    with pytest.raises(BertctlError, match="M001"):
        larger_is_better("nonsense")


def test_a_scorer_keeps_the_order_of_its_metrics() -> None:
    predictions, gold = single(np.random.default_rng(0), 20, 2)
    scores = Scorer(["f1", "accuracy", "f1"], SINGLE, labels=("no", "yes")).score(predictions, gold)
    assert list(scores) == ["f1", "accuracy"]
    with pytest.raises(ValueError, match="3 class names for 2 classes"):
        Scorer(["accuracy"], SINGLE, labels=("a", "b", "c")).score(predictions, gold)


def test_the_loss_is_a_metric_that_the_scorer_leaves_to_the_objective() -> None:
    predictions, gold = single(np.random.default_rng(0), 9, 3)
    assert list(Scorer(["loss", "accuracy"], SINGLE).score(predictions, gold)) == ["accuracy"]
    with pytest.raises(ValueError, match="not computed from predictions here: loss"):
        compute(["loss"], predictions, gold)


def test_importing_the_metrics_loads_neither_scikit_learn_nor_torch() -> None:
    code = "import sys, bert_cli.metrics; print(sorted({'sklearn', 'scipy', 'torch', 'evaluate'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
