"""What vectors are worth, against scipy, scikit-learn and a double loop."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score

from bert_cli.metrics.similarity import against_labels, against_scores, cosines, uniformity


def vectors(n: int, seed: int = 0) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(n, 6))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def test_cosines_and_their_correlation_with_scores() -> None:
    one, other = vectors(50), vectors(50, 1)
    found = cosines(one, other)
    assert found == pytest.approx([float(a @ b) for a, b in zip(one, other, strict=True)], abs=1e-6)
    gold = (found + np.random.default_rng(3).normal(size=50) / 5).astype(np.float32)
    scores = against_scores(found, gold)
    assert scores["spearman"] == pytest.approx(stats.spearmanr(found, gold).statistic)
    assert scores["pearson"] == pytest.approx(stats.pearsonr(found, gold).statistic, abs=1e-6)


def test_average_precision_of_pairs_that_mean_the_same() -> None:
    found = cosines(vectors(80), vectors(80, 1))
    gold = (np.arange(80) % 3 == 0).astype(np.float32)
    assert against_labels(found, gold)["average_precision"] == pytest.approx(average_precision_score(gold, found))
    assert math.isnan(against_labels(found, np.zeros(80, dtype=np.float32))["average_precision"])


def test_uniformity_is_the_log_of_a_mean_over_all_pairs() -> None:
    some = vectors(12)
    pairs = [(i, j) for i in range(12) for j in range(i)]
    wanted = math.log(np.mean([math.exp(-2 * float(np.square(some[i] - some[j]).sum())) for i, j in pairs]))
    assert uniformity(some) == pytest.approx(wanted, abs=1e-6)
    assert uniformity(np.repeat(some[:1], 5, axis=0)) == pytest.approx(0.0, abs=1e-6)
    assert math.isnan(uniformity(some[:1]))
