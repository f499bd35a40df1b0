"""BM25, against its formula written out, and on texts without spaces."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from peak import peak
from tiny_searches import about, topic

from bert_cli.data import bm25
from bert_cli.data.bm25 import BM25, words

TEXTS = ["the cat sat on the mat", "The dog", "", "cat cat cat dog", "a mat, a MAT and a cat!", "unlike"]


def lucene(query: str, texts: list[str], *, k1: float, b: float) -> list[float]:
    """Scores of all texts, word by word (Kamphuis et al. 2020, table 1, `Lucene (accurate)`)."""
    split = [words(text) for text in texts]
    mean = sum(map(len, split)) / len(split)
    scores = []
    for own in split:
        score = 0.0
        for word in words(query):
            holds = sum(word in other for other in split)
            rarity = math.log(1 + (len(split) - holds + 0.5) / (holds + 0.5))
            count = own.count(word)
            score += rarity * count / (count + k1 * (1 - b + b * len(own) / mean)) if holds else 0.0
        scores.append(score)
    return scores


@pytest.mark.parametrize(("k1", "b"), [(0.9, 0.4), (1.2, 0.75)])
@pytest.mark.parametrize("query", ["cat", "cat mat", "dog dog cat", "The Cat?", "nothing of that", ""])
def test_texts_are_ranked_as_the_formula_says(query: str, k1: float, b: float) -> None:
    found = BM25(TEXTS, k1=k1, b=b).search([query], depth=len(TEXTS))[0].tolist()
    scores = lucene(query, TEXTS, k1=k1, b=b)
    assert found == sorted(range(len(TEXTS)), key=lambda place: (-np.float32(scores[place]), place))


def test_each_query_gets_as_many_texts_as_are_asked_for(monkeypatch: Any) -> None:
    texts = [about(n, seed=1) for n in range(40)]
    queries = [" ".join(topic(n)) for n in range(40)]
    search = BM25(texts)
    whole = search.search(queries, depth=5)
    assert whole.shape == (40, 5) and np.mean(whole[:, 0] == np.arange(40)) > 0.8
    monkeypatch.setattr(bm25, "BLOCK", 100)
    assert search.search(queries, depth=5).tolist() == whole.tolist()
    assert search.search(["film"], depth=99).shape == (1, 40)


def test_words_are_runs_of_letters_and_digits_or_single_wide_characters() -> None:
    assert words("It's COVID-19, naïve_x") == ["it", "s", "covid", "19", "naïve", "x"]
    assert words("北京abc大学2024年") == ["北", "京", "abc", "大", "学", "2024", "年"]
    assert words("한국어 ひら") == ["한", "국", "어", "ひ", "ら"]
    assert words(" -- ") == []


def test_texts_without_a_word_are_found_last_and_alone() -> None:
    assert BM25(["", "...", "b"]).search(["b"], depth=3)[0].tolist() == [2, 0, 1]
    assert BM25(["", ""]).search(["b", ""], depth=2).tolist() == [[0, 1], [0, 1]]


def test_an_index_takes_some_bytes_a_word() -> None:
    random = np.random.default_rng(0)
    texts = [" ".join(f"w{number}" for number in random.integers(0, 5000, 100)) for _ in range(200)]
    assert peak(lambda: BM25(texts)) < 80 * 100 * 200
