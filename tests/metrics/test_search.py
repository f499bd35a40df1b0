"""Exact search, against sorting everything."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_cli.metrics import search
from bert_cli.metrics.search import best, nearest


def sorted_places(scores: np.ndarray, depth: int) -> list[list[int]]:
    """Every row sorted whole, the first among equals first."""
    return [sorted(range(len(row)), key=lambda place: (-row[place], place))[:depth] for row in scores.tolist()]


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 6), st.integers(1, 40), st.integers(1, 50), st.integers(0, 10_000))
def test_the_best_columns_are_those_of_a_whole_sort(rows: int, columns: int, depth: int, seed: int) -> None:
    scores = np.random.default_rng(seed).integers(-2, 3, size=(rows, columns)).astype(np.float32)
    assert best(scores, depth).tolist() == sorted_places(scores, depth)


@pytest.mark.parametrize("block", [1, 50, 10**6])
@pytest.mark.parametrize("depth", [1, 7, 23, 99])
def test_blocks_change_nothing(monkeypatch: Any, block: int, depth: int) -> None:
    random = np.random.default_rng(1)
    queries, vectors = (random.normal(size=(n, 4)).astype(np.float32) for n in (9, 23))
    monkeypatch.setattr(search, "BLOCK", block)
    places, products = nearest(queries, vectors, depth=depth)
    scores = queries @ vectors.T
    assert places.tolist() == sorted_places(scores, depth)
    assert products == pytest.approx(np.take_along_axis(scores, places, axis=1), abs=1e-6)


def test_faiss_finds_the_same(monkeypatch: Any) -> None:
    pytest.importorskip("faiss")
    random = np.random.default_rng(2)
    queries, vectors = (random.normal(size=(n, 8)).astype(np.float32) for n in (20, 3000))
    places, products = nearest(queries, vectors, depth=50)
    monkeypatch.setattr(search, "MANY", 10)
    again, other = nearest(queries, vectors, depth=50)
    assert again.tolist() == places.tolist() and other == pytest.approx(products, abs=1e-5)
