"""Exact match, F1 and the threshold of no answer, against the definitions of the official scorers, written out."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_cli.metrics import cmrc, squad
from bert_cli.metrics.answers import best_threshold, score_answers

WORDS = st.lists(
    st.sampled_from(["the", "A", "an", "Normans", "normans", "10th", "U.S.", "café", "—", "!", "theatre", "ran-dom"]),
    max_size=5,
).map(" ".join)


def plain(text: str) -> str:
    """Lower case, no punctuation, no articles, single spaces."""
    kept = "".join(character for character in text.lower() if character not in string.punctuation)
    return " ".join(word for word in re.sub(r"\b(a|an|the)\b", " ", kept).split())


def overlap(prediction: str, gold: str) -> int:
    left = plain(gold).split()
    shared = 0
    for word in plain(prediction).split():
        if word in left:
            left.remove(word)
            shared += 1
    return shared


def word_f1(prediction: str, gold: str, *, second_version: bool) -> float:
    said, true = plain(prediction).split(), plain(gold).split()
    if second_version and (not said or not true):
        return float(said == true)
    shared = overlap(prediction, gold)
    if shared == 0:
        return 0.0
    precision, recall = shared / len(said), shared / len(true)
    return 2 * precision * recall / (precision + recall)


def reference(prediction: str, golds: Sequence[str], *, second_version: bool) -> tuple[float, float]:
    """What the scorers of SQuAD 1.1 and 2.0 give one question."""
    if second_version:
        golds = [gold for gold in golds if plain(gold)] or [""]
    exact = max(float(plain(prediction) == plain(gold)) for gold in golds)
    return exact, max(word_f1(prediction, gold, second_version=second_version) for gold in golds)


@given(prediction=WORDS, golds=st.lists(WORDS, min_size=1, max_size=3), second=st.booleans())
def test_english_answers_score_as_in_the_official_scorers(prediction: str, golds: list[str], second: bool) -> None:
    found = score_answers([prediction], [golds], language="en", impossible=second)
    assert found[0] == pytest.approx(reference(prediction, golds, second_version=second))


@given(prediction=WORDS)
def test_a_question_without_an_answer_is_right_only_where_nothing_is_answered(prediction: str) -> None:
    found = score_answers([prediction], [[]], language="en", impossible=True)
    assert found[0].tolist() == [float(not plain(prediction))] * 2


def test_an_answer_counts_with_its_best_gold_answer() -> None:
    found = score_answers(
        ["the Norman ships"], [["Norman ship", "a norman SHIPS!", "ships"]], language=None, impossible=False
    )
    assert found.tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize(
    ("prediction", "gold", "exact", "f1"),
    [
        ("the Normans", "Normans.", 1, 1),
        ("Normandy in France", "France", 0, 0.5),
        ("to be or not to be", "to be to", 0, 2 * 3 / 9),
        ("theatre", "the atre", 0, 0),
        ("", "France", 0, 0),
        ("برج إيفل", "برج إيفل في باريس", 0, 2 * 2 / 6),
    ],
)
def test_words_that_both_have_count_as_often_as_they_occur(prediction: str, gold: str, exact: int, f1: float) -> None:
    assert squad.exact_match(prediction, gold) == exact
    assert squad.f1(prediction, gold) == pytest.approx(f1)


# Chinese


def common_run(one: Sequence[str], other: Sequence[str]) -> int:
    """By trying every run of the first."""
    runs = [tuple(one[a:b]) for a in range(len(one)) for b in range(a + 1, len(one) + 1)]
    theirs = {tuple(other[a:b]) for a in range(len(other)) for b in range(a + 1, len(other) + 1)}
    return max((len(run) for run in runs if run in theirs), default=0)


UNITS = st.lists(st.sampled_from("战国无双的a"), max_size=9)


@given(one=UNITS, other=UNITS)
def test_the_longest_run_is_that_of_a_search(one: list[str], other: list[str]) -> None:
    assert cmrc.longest_run(one, other) == common_run(one, other)


@given(one=UNITS.map("".join), other=UNITS.map("".join))
def test_chinese_f1_is_the_longest_common_run_of_characters(one: str, other: str) -> None:
    said, true = cmrc.segments(one), cmrc.segments(other)
    run = common_run(said, true)
    wanted = 0.0 if run == 0 else 2 * (run / len(said)) * (run / len(true)) / (run / len(said) + run / len(true))
    assert cmrc.f1(one, other) == pytest.approx(1.0 if one == other == "" else wanted)


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("光荣和ω-Force开发", ["光", "荣", "和", "ωforce", "开", "发"]),
        ("《战国无双3》（Sengoku Musou）", ["战", "国", "无", "双", "3sengoku", "musou"]),
        ("12.5元，$3,000.", ["12.5", "元", "$", "3,000", "."]),
        ("It's 5%…", ["it", "'s", "5", "%", "…"]),
        ("  ", []),
    ],
)
def test_segments_are_characters_and_the_words_between_them(text: str, units: list[str]) -> None:
    assert cmrc.segments(text) == units


def test_chinese_punctuation_and_case_do_not_count_and_scattered_characters_are_no_run() -> None:
    found = score_answers(
        ["《战国无双》", "无双战国", "ABC公司", ""],
        [["战国无双。"], ["战国无双"], ["abc公司"], []],
        language="zh",
        impossible=True,
    )
    assert found.tolist() == [[1.0, 1.0], [0.0, 0.5], [1.0, 1.0], [1.0, 1.0]]


# The threshold of no answer


def best_of_official(
    null: Sequence[float], f1: Sequence[float], answerable: Sequence[bool], said: Sequence[str]
) -> tuple[float, float]:
    """Mean F1 and threshold as the official scorer's search finds them."""
    score = best = float(sum(not each for each in answerable))
    threshold = 0.0
    for row in sorted(range(len(null)), key=lambda row: null[row]):
        score += f1[row] if answerable[row] else (-1 if said[row] else 0)
        if score > best:
            best, threshold = score, null[row]
    return best / len(null), threshold


def mean_f1(threshold: float, null: np.ndarray, f1: np.ndarray, answerable: np.ndarray, said: np.ndarray) -> float:
    silent = null > threshold
    raw = np.where(answerable, f1, ~said)
    return float(np.where(silent, ~answerable, raw).mean())


ROWS = st.lists(
    st.tuples(st.floats(0.001, 1, allow_nan=False), st.integers(0, 4), st.booleans(), st.booleans()),
    min_size=1,
    max_size=30,
)


@given(rows=ROWS)
def test_the_threshold_gives_the_highest_f1_of_all_thresholds(rows: list[tuple[float, int, bool, bool]]) -> None:
    null = np.array([row[0] for row in rows])
    answerable, said = (np.array([row[i] for row in rows]) for i in (2, 3))
    f1 = np.array([row[1] / 4 for row in rows]) * said
    chosen = best_threshold(null, f1, answerable=answerable, answered=said)
    every = [mean_f1(each, null, f1, answerable, said) for each in (0.0, *null)]
    assert mean_f1(chosen, null, f1, answerable, said) == pytest.approx(max(every))


@given(
    rows=st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.booleans()), min_size=1, max_size=30),
    seed=st.integers(0, 99),
)
def test_the_threshold_is_the_official_one_where_probabilities_differ(
    rows: list[tuple[int, bool, bool]], seed: int
) -> None:
    null = np.random.default_rng(seed).permutation(np.linspace(0.01, 0.99, len(rows)))
    answerable, said = (np.array([row[i] for row in rows]) for i in (1, 2))
    f1 = np.array([row[0] / 4 for row in rows]) * said
    best, threshold = best_of_official(
        null.tolist(), f1.tolist(), answerable.tolist(), ["a" if each else "" for each in said]
    )
    chosen = best_threshold(null, f1, answerable=answerable, answered=said)
    assert chosen == threshold
    assert mean_f1(chosen, null, f1, answerable, said) == pytest.approx(best)
