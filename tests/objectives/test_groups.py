"""Rows of several sequences: what is put together within a row equals the row on its own."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_cli.data.store import EncodedChunk, SplitStore
from bert_cli.objectives.groups import EncodedGroups, aggregate, collate_groups, log_softmax

SIZES = st.lists(st.integers(1, 6), min_size=1, max_size=8)


@given(SIZES, st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_probabilities_are_those_of_each_row_alone(sizes: list[int], seed: int) -> None:
    logits = torch.randn(sum(sizes), generator=torch.Generator().manual_seed(seed)) * 5
    found = log_softmax(logits, torch.tensor(sizes))
    alone = torch.cat([part.log_softmax(0) for part in logits.split(sizes)])
    torch.testing.assert_close(found, alone, rtol=1e-5, atol=1e-5)


@given(SIZES, st.integers(1, 4), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_aggregates_and_their_gradients_are_those_of_each_row_alone(sizes: list[int], classes: int, seed: int) -> None:
    logits = torch.randn(sum(sizes), classes, generator=torch.Generator().manual_seed(seed)).double()
    for how, alone in (("mean", lambda part: part.mean(0)), ("max", lambda part: part.amax(0))):
        ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
        found = aggregate(ours, torch.tensor(sizes), how)
        wanted = torch.stack([alone(part) for part in theirs.split(sizes)])
        torch.testing.assert_close(found, wanted)
        found.square().sum().backward()
        wanted.square().sum().backward()
        torch.testing.assert_close(ours.grad, theirs.grad)


def store_of(rows: list[list[list[int]]], *, types: bool) -> SplitStore:
    flat = [[token for part in row for token in part] for row in rows]
    found = EncodedGroups(
        flat,
        [[token % 2 for token in row] for row in flat] if types else None,
        [[*map(len, row)] for row in rows],
        0,
        0,
    )
    columns = {"sizes": found.size_column, "target": np.arange(len(rows))}
    # Two chunks, so that rows lie in both.
    first = EncodedChunk(
        found.input_ids[:1], found.type_ids and found.type_ids[:1], {n: c[:1] for n, c in columns.items()}
    )
    rest = EncodedChunk(
        found.input_ids[1:], found.type_ids and found.type_ids[1:], {n: c[1:] for n, c in columns.items()}
    )
    return SplitStore.of([first, rest], {})


@pytest.mark.parametrize("types", [True, False])
def test_a_batch_has_a_line_for_each_sequence_in_the_rows_order(types: bool) -> None:
    rows = [[[5, 6, 7], [8]], [[9, 10]], [[11], [12, 13], [14]]]
    batch = collate_groups(store_of(rows, types=types), np.array([2, 0]), pad_token_id=1, takes_type_ids=True)
    ids, mask = batch.inputs["input_ids"], batch.inputs["attention_mask"]
    assert ids.tolist() == [[11, 1, 1], [12, 13, 1], [14, 1, 1], [5, 6, 7], [8, 1, 1]]
    assert mask.tolist() == [[1, 0, 0], [1, 1, 0], [1, 0, 0], [1, 1, 1], [1, 0, 0]]
    assert torch.equal(batch.inputs["token_type_ids"], ids % 2 * mask if types else torch.zeros_like(ids))
    assert (batch.sizes.tolist(), batch.tokens, len(batch)) == ([3, 2], 8, 2)
    assert batch.targets is not None and batch.targets.tolist() == [2, 0]
    assert batch.to(torch.device("cpu")) is batch
    assert batch.to(torch.device("meta")).sizes.device.type == "meta"


def test_sizes_are_a_column_of_lists_even_where_a_chunk_has_few() -> None:
    assert EncodedGroups([], None, [], 0, 0).size_column.type == pa.list_(pa.int32())
