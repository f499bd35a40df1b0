"""Which rows are held out."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bert_cli.data.holdout import holdout

CLASSES = st.lists(st.integers(0, 6), min_size=2, max_size=200)
SHARES = st.floats(0.001, 0.999)


@given(CLASSES, SHARES, st.integers(0, 2**32 - 1))
def test_rows_are_parted_in_the_asked_number_and_the_same_way_each_time(
    classes: list[int], share: float, seed: int
) -> None:
    targets = np.asarray(classes)
    stay, held = holdout(targets, share, seed=seed)
    assert sorted([*stay, *held]) == list(range(len(targets)))
    assert len(held) == min(max(round(len(targets) * share), 1), len(targets) - 1)
    again = holdout(targets, share, seed=seed)
    np.testing.assert_array_equal(stay, again[0])
    np.testing.assert_array_equal(held, again[1])


@given(CLASSES, SHARES, st.integers(0, 99))
def test_no_class_is_lost_and_each_gives_its_share(classes: list[int], share: float, seed: int) -> None:
    targets = np.asarray(classes)
    _, held = holdout(targets, share, seed=seed)
    sizes, given_up = np.bincount(targets), np.bincount(targets[held], minlength=max(classes) + 1)
    spare = np.maximum(sizes - 1, 0)
    if spare.sum() < len(held):
        return
    assert (given_up <= spare).all()
    if (sizes >= 2).sum() <= len(held):
        assert (given_up[sizes >= 2] >= 1).all()


@given(st.lists(st.integers(20, 60), min_size=2, max_size=5), st.integers(0, 99))
def test_classes_of_usual_size_are_within_one_row_of_their_share(sizes: list[int], seed: int) -> None:
    targets = np.repeat(np.arange(len(sizes)), sizes)
    _, held = holdout(targets, 0.2, seed=seed)
    counts = np.bincount(targets[held], minlength=len(sizes))
    assert (np.abs(counts - 0.2 * np.asarray(sizes)) < 1).all()


def test_another_seed_holds_out_other_rows() -> None:
    targets = np.arange(1000) % 2
    assert not np.array_equal(holdout(targets, 0.1, seed=1)[1], holdout(targets, 0.1, seed=2)[1])


def test_scores_and_multi_hot_targets_are_drawn_plainly() -> None:
    assert len(holdout(np.linspace(0, 5, 50, dtype=np.float32), 0.1, seed=0)[1]) == 5
    assert len(holdout(np.zeros((50, 3), dtype=np.float32), 0.1, seed=0)[1]) == 5
