"""The loss of in-batch negatives, against a row-by-row reference."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_cli.objectives import contrast
from bert_cli.objectives.contrast import Group, numbered

SCALE = 7.0


def naive(rows: list[list[int]], vectors: np.ndarray) -> list[float]:
    """Each row: numbers of its text, its partner and its negatives; vectors of all sequences one after another."""
    places, at = [], 0
    for row in rows:
        places.append(range(at, at + len(row)))
        at += len(row)
    numbers = [number for row in rows for number in row]
    losses = []
    for own, row in zip(places, rows, strict=True):
        text, partner = own[0], own[1]
        logits = {}
        for other, other_row in zip(places, rows, strict=True):
            for place in other[1:]:
                if place != partner:
                    same_text = numbers[place] in (row[0], row[1])
                    partner_of_same_text = place == other[1] and other_row[0] == row[0]
                    if same_text or partner_of_same_text:
                        continue
                logits[place] = SCALE * float(vectors[text] @ vectors[place])
        losses.append(math.log(sum(math.exp(value) for value in logits.values())) - logits[partner])
    return losses


def random_vectors(n: int, seed: int = 0) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(n, 5))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def found(rows: list[list[int]], vectors: np.ndarray) -> list[float]:
    group = Group(np.cumsum([len(row) for row in rows]), np.array([number for row in rows for number in row]))
    return torch.cat(list(group.losses(torch.from_numpy(vectors), scale=SCALE))).tolist()


rows_of = st.lists(st.lists(st.integers(0, 12), min_size=2, max_size=5), min_size=1, max_size=9)


@settings(max_examples=150, deadline=None)
@given(rows_of, st.integers(0, 5))
def test_losses_are_those_of_a_row_by_row_softmax(rows: list[list[int]], seed: int) -> None:
    vectors = random_vectors(sum(map(len, rows)), seed)
    assert found(rows, vectors) == pytest.approx(naive(rows, vectors), abs=1e-5)


def test_the_loss_is_that_of_sentence_transformers_where_all_texts_differ() -> None:
    losses = pytest.importorskip("sentence_transformers.sentence_transformer.losses")
    vectors = torch.from_numpy(random_vectors(18))
    reference = losses.MultipleNegativesRankingLoss(torch.nn.Identity(), scale=SCALE)
    parts = [vectors[0::3], vectors[1::3], vectors[2::3]]
    wanted = reference.compute_loss_from_embeddings(parts, None)
    mine = found([[3 * i, 3 * i + 1, 3 * i + 2] for i in range(6)], vectors.numpy())
    assert float(np.mean(mine)) == pytest.approx(float(wanted), rel=1e-5)


def test_the_same_text_is_no_negative() -> None:
    vectors = random_vectors(6)
    alone = found([[0, 1]], vectors[:2])
    # A second row with the same partner, one with the same text, one whose partner is the first row's text.
    for other in ([5, 1], [0, 6], [5, 0]):
        assert found([[0, 1], other], vectors[:4])[0] == pytest.approx(alone[0], abs=1e-6)
    assert found([[0, 1], [5, 6]], vectors[:4])[0] > alone[0] + 1e-4


def test_rows_are_computed_in_blocks_with_the_same_result(monkeypatch: Any) -> None:
    rows = [[2 * i, 2 * i + 1] for i in range(7)]
    vectors = random_vectors(14)
    whole = found(rows, vectors)
    monkeypatch.setattr(contrast, "BLOCK", 3)
    assert found(rows, vectors) == pytest.approx(whole, abs=1e-6)


def test_cosines_are_products_of_fp32_whatever_the_encoder_computes_in() -> None:
    rows = [[2 * i, 2 * i + 1] for i in range(7)]
    vectors = random_vectors(14)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert found(rows, vectors) == pytest.approx(naive(rows, vectors), abs=1e-5)


def test_equal_sequences_have_one_number() -> None:
    sequences = [np.array([1, 2]), np.array([1, 2, 3]), np.array([1, 2], dtype=np.int32), np.array([2, 1])]
    numbers = numbered(sequences)
    assert numbers[0] == numbers[2] and len(set(numbers.tolist())) == 3
