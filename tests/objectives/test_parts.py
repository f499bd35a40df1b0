"""Rows of several sequences: their way into the store and out of it."""

from __future__ import annotations

import numpy as np
import torch
from compared_store import rows_of, store_of
from tiny import tiny_tokenizer

from bert_cli.objectives.groups import SIZES
from bert_cli.objectives.parts import Row, collate_parts, encode_parts


def test_every_sequence_comes_back_as_the_tokenizer_made_it() -> None:
    tokenizer = tiny_tokenizer()
    rows = rows_of(7, 3, ragged=True)
    store = store_of(tokenizer, rows)
    chosen = np.array([5, 0, 6])
    batch = collate_parts(store, chosen, pad_token_id=0, takes_type_ids=True)
    flat = [text for row in chosen for text in rows[row]]
    wanted = tokenizer(flat, padding=True, truncation=True, max_length=24, return_tensors="pt")
    for name in ("input_ids", "attention_mask", "token_type_ids"):
        assert torch.equal(batch.inputs[name], wanted[name]), name
    assert batch.ends.tolist() == np.cumsum([len(rows[row]) for row in chosen]).tolist()
    assert batch.starts.tolist() == [0, *batch.ends[:-1]]
    assert (len(batch), batch.tokens) == (3, int(wanted["attention_mask"].sum()))


def test_pairs_keep_their_segments() -> None:
    tokenizer = tiny_tokenizer()
    rows = [[("a film", "the plot was good"), ("a film", "dull")], [("music", "camera")]]
    batch = collate_parts(store_of(tokenizer, rows), np.array([1, 0]), pad_token_id=0, takes_type_ids=True)
    wanted = tokenizer(
        ["music", "a film", "a film"], ["camera", "the plot was good", "dull"], padding=True, return_tensors="pt"
    )
    assert torch.equal(batch.inputs["token_type_ids"], wanted["token_type_ids"])
    assert torch.equal(batch.inputs["input_ids"], wanted["input_ids"])
    plain = collate_parts(store_of(tokenizer, rows), np.array([1, 0]), pad_token_id=0, takes_type_ids=False)
    assert set(plain.inputs) == {"input_ids", "attention_mask"}


def test_the_first_sequence_is_taken_twice_where_that_is_asked_for() -> None:
    store = store_of(tiny_tokenizer(), rows_of(3, 2))
    batch = collate_parts(store, np.array([2, 0]), pad_token_id=0, takes_type_ids=False, twice=True)
    ids = batch.inputs["input_ids"]
    assert torch.equal(ids[0], ids[1]) and torch.equal(ids[2], ids[3]) and not torch.equal(ids[0], ids[2])
    assert batch.ends.tolist() == [2, 4]


def test_a_row_that_is_cut_counts_once_and_its_tokens_all() -> None:
    tokenizer = tiny_tokenizer()
    exactly = "film " * 4
    rows = [Row([exactly, exactly], {}), Row(["film " * 6, "film " * 7], {}), Row(["a", "film " * 5], {})]
    (chunk,) = encode_parts(tokenizer, rows, max_length=6, types={})
    assert (chunk.truncated, chunk.lost_tokens) == (2, 2 + 3 + 1)
    assert chunk.columns[SIZES].to_pylist() == [[6, 6], [6, 6], [3, 6]]
