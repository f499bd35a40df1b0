"""Which rows come when: every row once before any comes twice, shares by weight, all of it a function of the seed."""

from __future__ import annotations

from collections import Counter
from itertools import accumulate, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_cli.data.order import Mixed, Order, Shuffled
from bert_cli.env import derived_seed

SEEDS = st.integers(0, 2**32 - 1)
MIXES = st.lists(st.tuples(st.integers(1, 25), st.floats(0.05, 20)), min_size=1, max_size=4)


def mixed(mix: list[tuple[int, float]], seed: int, *, first: int = 0) -> Mixed:
    edges = accumulate((n for n, _ in mix), initial=first)
    return Mixed(tuple(range(a, b) for a, b in pairwise(edges)), tuple(weight for _, weight in mix), seed)


def stream(order: Order, epochs: int) -> tuple[list[int], list[int]]:
    """All rows of some epochs, and the epochs told of them."""
    parts = [order.rows(epoch, 0, order.n) for epoch in range(epochs)]
    return np.concatenate([rows for rows, _ in parts]).tolist(), np.concatenate([told for _, told in parts]).tolist()


@given(st.integers(1, 50), SEEDS, st.integers(0, 9))
def test_one_corpus_is_shuffled_anew_each_epoch_by_seed_and_epoch_alone(n: int, seed: int, epoch: int) -> None:
    rows, told = Shuffled(n, seed).rows(epoch, 0, n)
    expected = np.random.default_rng(derived_seed(seed, "order", epoch)).permutation(n)
    np.testing.assert_array_equal(rows, expected)
    assert rows.dtype == np.int64 and told.tolist() == [epoch] * n


@given(st.integers(1, 30), st.integers(0, 99), SEEDS, st.floats(0.1, 9))
def test_a_mixture_of_one_corpus_is_that_corpus_shuffled(n: int, first: int, seed: int, weight: float) -> None:
    alone = Mixed((range(first, first + n),), (weight,), seed)
    assert stream(alone, 3) == stream(Shuffled(n, seed, first), 3)
    np.testing.assert_array_equal(Shuffled(n, seed, first).rows(1, 0, n)[0], Shuffled(n, seed).rows(1, 0, n)[0] + first)


@given(MIXES, SEEDS)
def test_no_row_of_a_corpus_comes_twice_before_all_have_come_once(mix: list[tuple[int, float]], seed: int) -> None:
    order = mixed(mix, seed)
    rows, told = stream(order, 5)
    seen: Counter[int] = Counter()
    for row, epoch in zip(rows, told, strict=True):
        assert epoch == seen[row], "the epoch of a row is how often it came before"
        seen[row] += 1
    for corpus in order.ranges:
        counts = [seen[row] for row in corpus]
        assert max(counts) - min(counts) <= 1
    assert set(seen) <= set(range(order.n))


@given(MIXES, SEEDS)
def test_each_corpus_has_its_share_of_every_epoch(mix: list[tuple[int, float]], seed: int) -> None:
    order = mixed(mix, seed)
    assert sum(order.counts) == order.n and min(order.counts) >= 1
    for epoch in range(3):
        rows, _ = order.rows(epoch, 0, order.n)
        assert [sum(row in corpus for row in rows.tolist()) for corpus in order.ranges] == list(order.counts)


def test_shares_follow_the_weights_and_not_the_sizes() -> None:
    order = mixed([(900, 1.0), (100, 3.0)], seed=1)
    assert order.counts == (250, 750)
    _, told = order.rows(1, 0, order.n)
    assert sorted(set(told.tolist())) == [0, 7, 8, 9, 10, 11, 12, 13, 14], "the small corpus has come round often"


@given(st.lists(st.tuples(st.integers(40, 90), st.floats(1, 3)), min_size=2, max_size=3), SEEDS)
def test_corpora_are_mixed_throughout_an_epoch(mix: list[tuple[int, float]], seed: int) -> None:
    order = mixed(mix, seed)
    halves = [order.rows(0, 0, order.n // 2)[0], order.rows(0, order.n // 2, order.n)[0]]
    for corpus in order.ranges:
        assert all(any(row in corpus for row in half.tolist()) for half in halves)


@given(MIXES, SEEDS, st.integers(0, 4), st.data())
def test_a_part_of_an_epoch_is_cut_out_of_the_whole(
    mix: list[tuple[int, float]], seed: int, epoch: int, data: st.DataObject
) -> None:
    for order in (mixed(mix, seed), Shuffled(mix[0][0], seed)):
        start = data.draw(st.integers(0, order.n))
        stop = data.draw(st.integers(start, order.n))
        for part, whole in zip(order.rows(epoch, start, stop), order.rows(epoch, 0, order.n), strict=True):
            np.testing.assert_array_equal(part, whole[start:stop])


@given(MIXES, SEEDS, st.integers(0, 7), st.data())
def test_tokens_of_the_first_rows_are_those_of_a_walk(
    mix: list[tuple[int, float]], seed: int, first: int, data: st.DataObject
) -> None:
    for order in (mixed(mix, seed, first=first), Shuffled(mix[0][0], seed, first)):
        lengths = np.random.default_rng(seed).integers(1, 500, first + order.n).astype(np.int32)
        rows = data.draw(st.integers(0, 4 * order.n))
        walked, _ = stream(order, 4)
        assert order.tokens(lengths, rows) == int(lengths[walked[:rows]].sum())


def test_tokens_beyond_32_bits_are_counted() -> None:
    lengths = np.full(3, 2**30, dtype=np.int32)
    assert Shuffled(3, 1).tokens(lengths, 8) == 8 * 2**30


@pytest.mark.parametrize("order", [Shuffled(64, 1), mixed([(30, 1.0), (34, 2.0)], 1)])
def test_epochs_and_seeds_differ_in_order(order: Order) -> None:
    other = Shuffled(64, 2) if isinstance(order, Shuffled) else mixed([(30, 1.0), (34, 2.0)], 2)
    orders = [tuple(each.rows(epoch, 0, 64)[0].tolist()) for each in (order, other) for epoch in range(3)]
    assert len({*orders, tuple(range(64))}) == 7


def test_equal_orders_are_one_key_and_others_are_not() -> None:
    same = [mixed([(3, 1.0), (4, 2.0)], 1), mixed([(3, 1.0), (4, 2.0)], 1)]
    others = [mixed([(3, 1.0), (4, 2.0)], 2), mixed([(3, 1.0), (4, 1.0)], 1), Shuffled(7, 1), Shuffled(7, 1, first=2)]
    assert len({*same, *others}) == 5
