"""A padded batch lies flat and comes back: every real token once, and nothing else."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_cli.models.unpad import layout

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=12)


def mask_of(lengths: list[int]) -> torch.Tensor:
    return (torch.arange(max(lengths) + 2) < torch.tensor(lengths)[:, None]).long()


@given(LENGTHS)
@settings(deadline=None)
def test_a_layout_holds_every_real_token_once_longest_sequences_first(lengths: list[int]) -> None:
    mask = mask_of(lengths)
    found = layout(mask)
    assert sorted(found.index.tolist()) == mask.flatten().nonzero().squeeze(1).tolist()
    assert sum(group.tokens for group in found.groups) == int(mask.sum())
    rows = [int(place) // mask.shape[1] for place in found.index]
    assert [lengths[row] for row in dict.fromkeys(rows)] == sorted(lengths, reverse=True)


@given(LENGTHS)
@settings(deadline=None)
def test_what_is_dropped_comes_back_with_zeros_for_padding(lengths: list[int]) -> None:
    mask = mask_of(lengths)
    found = layout(mask)
    hidden = torch.randn(*mask.shape, 3)
    flat = found.drop(hidden)
    assert flat.shape == (1, int(mask.sum()), 3)
    assert torch.equal(found.put_back(flat), hidden * mask[..., None])


@given(LENGTHS)
@settings(deadline=None)
def test_a_group_has_one_row_for_each_of_its_sequences(lengths: list[int]) -> None:
    found = layout(mask_of(lengths))
    flat = torch.arange(1, sum(lengths) + 1)[:, None, None]
    for group, own in zip(found.groups, flat.split([group.tokens for group in found.groups]), strict=True):
        padded = group.pad(own)
        assert padded.shape == (group.shape[0], 1, group.shape[1], 1)
        assert torch.equal(group.flatten(padded), own)
        if group.mask is not None:
            assert torch.equal(group.mask[:, 0, 0], padded[:, 0, :, 0] > 0)
        for row in padded[:, 0, :, 0]:
            assert (row[row > 0].diff() == 1).all(), "a row holds one run of the flat order"


def test_rows_that_are_alike_may_be_given_once() -> None:
    found = layout(mask_of([2, 3]))
    assert found.drop(torch.arange(5)[None]).tolist() == [[0, 1, 2, 0, 1]]
