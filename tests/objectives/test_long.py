"""Long texts in windows: nothing is lost, what fits is read as ever, and the loss is that of the aggregate."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from objective_checks import assert_rows_alone_give_the_same, assert_same_without_padding, calm, collate, totals
from tiny import WORDS, tiny_tokenizer
from transformers import AutoModelForSequenceClassification

from bert_cli.data.store import SplitStore
from bert_cli.errors import UsageError
from bert_cli.objectives.long import LongTextObjective, encode_windows, window_chunks
from bert_cli.objectives.sequence import SequenceObjective, encode, encode_chunks

TOKENIZERS = {family: tiny_tokenizer(family) for family in ("bert", "roberta")}


def text(count: int, seed: int) -> str:
    """That many words of one token each."""
    return " ".join(np.random.default_rng(seed).choice(WORDS, count)) if count else ""


def windows_of(found: Any, row: int) -> list[list[int]]:
    return [part.tolist() for part in np.split(np.array(found.input_ids[row]), np.cumsum(found.sizes[row])[:-1])]


def inner(tokenizer: Any, ids: list[int]) -> list[int]:
    return [token for token in ids if token not in tokenizer.all_special_ids]


@given(st.integers(0, 120), st.integers(8, 40), st.integers(0, 9), st.sampled_from(["bert", "roberta"]))
@settings(deadline=None)
def test_the_windows_of_a_text_hold_all_of_it_and_share_the_stride(
    n: int, length: int, stride: int, family: str
) -> None:
    tokenizer = TOKENIZERS[family]
    stride = min(stride, 3 * (length - 2) // 4)
    found = encode_windows(tokenizer, [text(n, 1)], None, max_length=length, stride=stride)
    windows = windows_of(found, 0)
    assert (found.truncated, found.lost_tokens, found.type_ids) == (0, 0, None)
    assert all(len(window) <= length for window in windows)
    whole = tokenizer(text(n, 1), add_special_tokens=False)["input_ids"]
    read = inner(tokenizer, windows[0])
    for before, window in zip(windows[:-1], windows[1:], strict=True):
        own = inner(tokenizer, window)
        assert len(before) == length and own[:stride] == inner(tokenizer, before)[len(before) - 2 - stride :]
        read += own[stride:]
        assert len(own) > stride, "there is something new in every window"
    assert read == whole


@given(st.integers(0, 90), st.integers(0, 90), st.integers(12, 40), st.sampled_from(["bert", "roberta"]))
@settings(deadline=None)
def test_of_a_pair_the_longer_text_is_windowed_beside_the_shorter_one(a: int, b: int, length: int, family: str) -> None:
    tokenizer = TOKENIZERS[family]
    found = encode_windows(tokenizer, [text(a, 1)], [text(b, 2)], max_length=length, stride=3)
    firsts, seconds = (tokenizer(text(n, seed), add_special_tokens=False)["input_ids"] for n, seed in ((a, 1), (b, 2)))
    windows = windows_of(found, 0)
    room = length - tokenizer.num_special_tokens_to_add(pair=True)
    short, long = (firsts, seconds) if b >= a else (seconds, firsts)
    kept = short if a + b <= room else short[: room // 2]
    parts = [inner(tokenizer, window) for window in windows]
    for part in parts:
        assert (part[: len(kept)] if short is firsts else part[len(part) - len(kept) :]) == kept
    rest = [part[len(kept) :] if short is firsts else part[: len(part) - len(kept)] for part in parts]
    assert {token for part in rest for token in part} == set(long)
    assert (rest[0][0], rest[-1][-1]) == (long[0], long[-1]) if long else rest == [[]]
    assert all(len(window) <= length for window in windows)
    assert (found.truncated, found.lost_tokens) == (int(len(kept) < len(short)), len(short) - len(kept))
    if family == "bert":
        assert found.type_ids is not None
        ends = [window.index(tokenizer.sep_token_id) + 1 for window in windows]
        segments = [[0] * end + [1] * (len(window) - end) for end, window in zip(ends, windows, strict=True)]
        assert found.type_ids[0] == [kind for own in segments for kind in own]


@pytest.mark.parametrize("family", ["bert", "roberta"])
@pytest.mark.parametrize("pairs", [False, True])
def test_what_fits_is_encoded_as_without_windows(family: str, pairs: bool) -> None:
    texts = [text(n, n) for n in (0, 1, 9, 12)]
    seconds = [text(n, 50 + n) for n in (3, 0, 4, 8)] if pairs else None
    found = encode_windows(TOKENIZERS[family], texts, seconds, max_length=24, stride=None)
    ids, types, _, _ = encode(TOKENIZERS[family], texts, seconds, max_length=24)
    assert (found.input_ids, found.type_ids, found.sizes) == (ids, types, [[len(own)] for own in ids])


def test_a_window_of_a_pair_is_what_the_tokenizer_makes_of_its_texts() -> None:
    for tokenizer in TOKENIZERS.values():
        first, second = text(5, 1), text(40, 2)
        found = encode_windows(tokenizer, [first], [second], max_length=20, stride=4)
        theirs = tokenizer(first, second, max_length=20, truncation="only_second", return_token_type_ids=True)
        assert windows_of(found, 0)[0] == theirs["input_ids"]
        assert found.type_ids is not None and found.type_ids[0][:20] == theirs["token_type_ids"]


@pytest.mark.parametrize(("length", "stride"), [(16, 15), (16, 11), (4, 3)])
def test_a_stride_that_leaves_no_room_is_refused(length: int, stride: int) -> None:
    with pytest.raises(UsageError) as caught:
        encode_windows(TOKENIZERS["bert"], [text(60, 1)], None, max_length=length, stride=stride)
    assert caught.value.code == "D118" and caught.value.key == "data.stride"


NAMES = {
    "text-classification": np.array([0, 1, 2, 1, 0]),
    "multi-label-classification": np.array([[1, 0, 0], [0, 1, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]], dtype=np.float32),
    "text-regression": np.array([0.5, -1, 2, 0, 1], dtype=np.float32),
}
TEXTS = [text(n, n) for n in (50, 3, 17, 90, 0)]


def store_of(name: str, family: str = "bert", *, max_length: int = 16) -> SplitStore:
    columns = {"target": NAMES[name]}
    chunks = window_chunks(TOKENIZERS[family], TEXTS, None, columns=columns, max_length=max_length, stride=None)
    return SplitStore.of(chunks, {})


def model_of(name: str, family: str = "bert") -> Any:
    torch.manual_seed(2)
    config = calm(family)
    config.num_labels = 1 if name == "text-regression" else 3
    return AutoModelForSequenceClassification.from_config(config)


def objective_of(name: str, how: str, family: str = "bert") -> LongTextObjective:
    return LongTextObjective(
        name, how=how, pad_token_id=TOKENIZERS[family].pad_token_id, takes_type_ids=family == "bert"
    )


@pytest.mark.parametrize("how", ["mean", "max"])
@pytest.mark.parametrize("name", NAMES)
def test_the_loss_is_that_of_the_aggregated_logits_of_all_windows(name: str, how: str) -> None:
    store, model, objective = store_of(name), model_of(name).eval(), objective_of(name, how)
    plain = SequenceObjective(name, pad_token_id=0, takes_type_ids=True)
    with torch.inference_mode():
        batch = collate(objective, store, range(5))
        found = objective.forward(model, batch)
        for row in range(5):
            lengths = store.values("sizes", row)
            assert (len(lengths) > 1) == (len(TEXTS[row].split()) > 14)
            windows = np.split(store.input_ids(row), np.cumsum(lengths)[:-1])
            logits = torch.cat([model(input_ids=torch.tensor(part[None].astype(np.int64))).logits for part in windows])
            alone = logits.mean(0) if how == "mean" else logits.amax(0)
            torch.testing.assert_close(found[row], alone, rtol=1e-5, atol=1e-6)
        assert totals(objective, model, batch) == plain.totals(found, batch)
        assert objective.counts(batch) == plain.counts(batch)
        assert np.array_equal(objective.scores(found, batch), plain.scores(found, batch))
        assert objective.ends(batch).tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("how", ["mean", "max"])
def test_sums_and_gradients_do_not_depend_on_the_batch(how: str) -> None:
    name = "text-classification"
    store, model, objective = store_of(name), model_of(name), objective_of(name, how)
    assert_rows_alone_give_the_same(objective, model, store, list(range(5)))
    gradients = []
    for parts in ([[0, 1, 2, 3, 4]], [[3], [0, 4], [1, 2]]):
        own = copy.deepcopy(model).train()
        for rows in parts:
            (totals(objective, own, collate(objective, store, rows))["loss"] / 5).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in own.parameters() if p.grad is not None]))
    assert (gradients[0] - gradients[1]).norm() <= 1e-6 * gradients[0].norm()


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_nothing_depends_on_padding(family: str) -> None:
    name = "text-classification"
    objective, store = objective_of(name, "mean", family), store_of(name, family)
    assert_same_without_padding(objective, model_of(name, family), collate(objective, store, range(5)))


@pytest.mark.parametrize("how", ["mean", "max"])
def test_texts_that_fit_are_scored_bit_for_bit_as_without_windows(how: str) -> None:
    name = "text-classification"
    model, objective = model_of(name).eval(), objective_of(name, how)
    plain = SequenceObjective(name, pad_token_id=0, takes_type_ids=True)
    columns = {"target": NAMES[name]}
    short = [text(n, n) for n in (5, 3, 10, 9, 0)]
    ours = SplitStore.of(
        window_chunks(TOKENIZERS["bert"], short, None, columns=columns, max_length=16, stride=None), {}
    )
    theirs = SplitStore.of(encode_chunks(TOKENIZERS["bert"], short, None, columns=columns, max_length=16), {})
    with torch.inference_mode():
        scores = [
            each.scores(each.forward(model, batch), batch)
            for each, batch in (
                (objective, collate(objective, ours, range(5))),
                (plain, collate(plain, theirs, range(5))),
            )
        ]
    assert np.array_equal(*scores)
