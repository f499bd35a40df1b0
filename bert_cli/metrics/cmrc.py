"""Exact match and F1 of an answer's characters, as the official scorer of CMRC 2018 defines them (Cui et al. 2019).

Chinese characters are units of their own, stretches between them are words; punctuation does not count. F1 is taken
over the longest run of units that both answers have in common.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# One character each: the scorer's own list also names the doubled ellipsis, which no single character equals.
_PUNCTUATION = frozenset("-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")
_HAN = re.compile(r"[\u4e00-\u9fa5]")

# Words as the Penn Treebank separates them, which is what the scorer's tokenizer does.
_WORD_EDGES = (
    (re.compile(r'(^|[ (\[{<])"'), r"\1 `` "),
    (re.compile('"'), " '' "),
    (re.compile(r"[;@#$%&?!()\[\]{}<>–—]"), r" \g<0> "),
    (re.compile(r",(?!\d)"), " , "),
    (re.compile(r"\.{2,}"), r" \g<0> "),
    (re.compile(r"(?<!\.)\.(?=\s*$)"), " ."),
    (re.compile(r"(?<!')('s|'m|'d|'ll|'re|'ve|n't|')(?=\s|$)"), r" \1"),
    (re.compile(r"\bcannot\b"), "can not"),
)


def exact_match(prediction: str, gold: str) -> float:
    """1 where both are the same characters, punctuation and case aside, else 0."""
    return float(_plain(prediction) == _plain(gold))


def f1(prediction: str, gold: str) -> float:
    """Harmonic mean of the shares that the longest common run has of both; 1 where both texts are empty."""
    said, true = segments(prediction), segments(gold)
    if not said or not true:
        return float(prediction == gold == "")
    return 2 * longest_run(said, true) / (len(said) + len(true))


def segments(text: str) -> list[str]:
    """Chinese characters one by one, other stretches as words, in lower case and without punctuation."""
    units: list[str] = []
    stretch = ""
    for character in text.lower().strip():
        if character in _PUNCTUATION:
            continue
        if _HAN.match(character):
            units += [*_words(stretch), character]
            stretch = ""
        else:
            stretch += character
    return units + _words(stretch)


def longest_run(one: Sequence[str], other: Sequence[str]) -> int:
    """Length of the longest run of neighbouring units that both have."""
    longest = 0
    before = [0] * (len(other) + 1)
    for unit in one:
        row = [0] * (len(other) + 1)
        for place, their in enumerate(other, 1):
            if unit == their:
                row[place] = before[place - 1] + 1
        longest = max(longest, *row)
        before = row
    return longest


def _plain(text: str) -> str:
    return "".join(character for character in text.lower().strip() if character not in _PUNCTUATION)


def _words(stretch: str) -> list[str]:
    for edge, spaced in _WORD_EDGES:
        stretch = edge.sub(spaced, stretch)
    return stretch.split()
