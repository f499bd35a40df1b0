"""Exact match and F1 of an answer's words, as the official scorers of SQuAD 1.1 and 2.0 define them.

Case, punctuation, English articles and space do not count (Rajpurkar et al. 2016, arXiv:1606.05250; 2018,
arXiv:1806.03822); languages without spaces between words need another segmentation (`cmrc.py`).
"""

from __future__ import annotations

import re
import string
from collections import Counter

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize(text: str) -> str:
    """Lower case, without ASCII punctuation and articles, one space between words."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(prediction: str, gold: str) -> float:
    """1 where both are the same after `normalize`, else 0."""
    return float(normalize(prediction) == normalize(gold))


def f1(prediction: str, gold: str, *, empty: bool = True) -> float:
    """Harmonic mean of precision and recall of words, each counted as often as it occurs.

    Args:
        empty: where one side has no words: 1 if the other has none either (SQuAD 2.0); else 0, as in SQuAD 1.1.
    """
    said, true = normalize(prediction).split(), normalize(gold).split()
    if not said or not true:
        return float(empty and said == true)
    common = sum((Counter(said) & Counter(true)).values())
    return 2 * common / (len(said) + len(true))
