"""Texts in their special tokens: as the tokenizer itself would write them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import FAMILIES, tiny_config, tiny_texts, tiny_tokenizer

from bert_cli.errors import ModelError
from bert_cli.objectives.frame import Frame, has_segments


def contents(tokenizer: Any, n: int) -> list[list[int]]:
    found: list[list[int]] = tokenizer([text for text, _ in tiny_texts(n)], add_special_tokens=False)["input_ids"]
    return found


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("pair", [False, True])
def test_rows_are_what_the_tokenizer_makes_of_the_same_texts(family: str, pair: bool) -> None:
    tokenizer = tiny_tokenizer(family)
    frame = Frame.of(tokenizer, takes_type_ids=True)
    texts = [text for text, _ in tiny_texts(7)]
    others = [text for text, _ in tiny_texts(7, seed=5)]
    own = [contents(tokenizer, 7), tokenizer(others, add_special_tokens=False)["input_ids"]][: 1 + pair]
    ids = np.array([token for row in zip(*own, strict=True) for part in row for token in part])
    lengths = np.array([[len(part) for part in row] for row in zip(*own, strict=True)])
    laid = frame.lay(ids, lengths)
    wanted = tokenizer(texts, others if pair else None, padding=True, return_tensors="pt", return_token_type_ids=True)
    assert laid.inputs.keys() == wanted.keys()
    for name, tensor in wanted.items():
        # A tokenizer that gives two texts the same segment says nothing about them.
        if name != "token_type_ids" or not pair or tensor.any():
            assert laid.inputs[name].tolist() == tensor.tolist(), name
    assert laid.tokens == int(wanted["attention_mask"].sum())
    assert laid.inputs["input_ids"].flatten()[laid.places].tolist() == ids.tolist()


def test_the_room_is_what_the_special_tokens_leave() -> None:
    bert, roberta = (Frame.of(tiny_tokenizer(family)) for family in ("bert", "roberta"))
    assert [bert.room(128), bert.room(128, pair=True)] == [126, 125]
    assert [roberta.room(128), roberta.room(128, pair=True)] == [126, 124]


def test_segment_ids_are_left_out_where_the_model_knows_none() -> None:
    assert set(Frame.of(tiny_tokenizer()).lay(np.array([7, 8]), np.array([[2]])).inputs) == {
        "input_ids",
        "attention_mask",
    }


def test_segments_are_counted_where_the_tokenizer_gives_none() -> None:
    tokenizer = tiny_tokenizer("roberta")
    laid = Frame.of(tokenizer, takes_type_ids=True).lay(np.array([7, 8, 9, 7]), np.array([[1, 2], [1, 0]]))
    # <s> 7 </s> </s> 8 9 </s>, and behind a text of one token an empty one.
    assert laid.inputs["token_type_ids"].tolist() == [[0, 0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 1, 0, 0]]
    one = Frame.of(tokenizer, takes_type_ids=True).lay(np.array([7, 8]), np.array([[2]]))
    assert not one.inputs["token_type_ids"].any()


@pytest.mark.parametrize(
    ("family", "changes", "two"),
    [("bert", {}, True), ("bert", {"type_vocab_size": 1}, False), ("roberta", {}, False), ("distilbert", {}, False)],
)
def test_a_model_has_segments_or_not(family: str, changes: dict[str, Any], two: bool) -> None:
    from transformers import AutoModel

    assert has_segments(AutoModel.from_config(tiny_config(family, **changes))) == two


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=9))
@settings(deadline=None)
def test_every_token_is_laid_once_whatever_the_lengths(lengths: list[tuple[int, int]]) -> None:
    frame = Frame.of(tiny_tokenizer(), takes_type_ids=True)
    shape = np.array(lengths)
    ids = np.arange(10, 10 + shape.sum())
    laid = frame.lay(ids, shape)
    flat = laid.inputs["input_ids"].flatten()
    assert flat[laid.places].tolist() == ids.tolist()
    real = laid.inputs["attention_mask"].flatten().bool()
    assert int(real.sum()) == laid.tokens == shape.sum() + 3 * len(shape)
    assert (flat[~real] == 0).all()
    second = np.repeat(np.tile([0, 1], len(shape)), shape.ravel())
    assert laid.inputs["token_type_ids"].flatten()[laid.places].tolist() == second.tolist()


def test_a_tokenizer_that_hides_the_text_is_refused() -> None:
    class Odd:
        pad_token_id = 0

        def __call__(self, *texts: str, add_special_tokens: bool = True, **_: Any) -> dict[str, Any]:
            return {"input_ids": [1, 2] if add_special_tokens else [5]}

    with pytest.raises(ModelError) as caught:
        Frame.of(Odd())
    assert caught.value.code == "L032"
