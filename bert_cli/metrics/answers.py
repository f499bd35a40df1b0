"""How good free answers are: exact match and F1 of each question, and from when on no answer is the better one.

Each question counts with its best gold answer. A question without one is right only where nothing is answered. Costs
some 20 microseconds for each gold answer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bert_cli.metrics import cmrc, squad

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

NAMES = ("exact_match", "answer_f1")


def score_answers(
    predictions: Sequence[str], golds: Sequence[Sequence[str]], *, language: str | None, impossible: bool
) -> Floats:
    """Exact match and F1 of each question, from 0 to 1. Shape: `[n, 2]`.

    Args:
        predictions: texts, empty where nothing is answered.
        golds: the gold answers of each question, none where its context has no answer.
        language: `zh` counts characters as CMRC 2018 does, all others words as SQuAD does.
        impossible: whether some questions have no answer, which decides between the rules of SQuAD 2.0 and 1.1.
    """
    scores = np.zeros((len(predictions), len(NAMES)))
    for row, (prediction, texts) in enumerate(zip(predictions, golds, strict=True)):
        if language == "zh":
            pairs = [(cmrc.exact_match(prediction, gold), cmrc.f1(prediction, gold)) for gold in texts or ("",)]
        else:
            # Of the second version's gold answers, those without a word are none.
            counted = [text for text in texts if squad.normalize(text) or not impossible] or [""]
            pairs = [
                (squad.exact_match(prediction, gold), squad.f1(prediction, gold, empty=impossible)) for gold in counted
            ]
        scores[row] = np.max(pairs, axis=0)
    return scores


def best_threshold(null: Floats, f1: Floats, *, answerable: Bools, answered: Bools) -> float:
    """The probability of no answer above which answering nothing gives the highest mean F1.

    The same choice as `find_best_thresh` of SQuAD 2.0's scorer: the smallest of the best thresholds, which is one of
    the probabilities, or 0. Questions of equal probability are decided alike here.

    Args:
        null: probability that a question has no answer. Shape: `[n]`.
        f1: of what would be answered. Shape: `[n]`.
        answerable: whether there is a gold answer. Shape: `[n]`.
        answered: whether what would be answered is not empty. Shape: `[n]`.
    """
    gains = np.where(answerable, f1, -1.0 * answered)
    thresholds, groups = np.unique(np.append(null, 0.0), return_inverse=True)
    totals = np.cumsum(np.bincount(groups, weights=np.append(gains, 0.0)))
    # Sums that are equal but for rounding are equal.
    return float(thresholds[np.argmax(totals >= totals.max() - 1e-9)])
