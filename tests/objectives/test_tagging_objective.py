"""Tags of words: the loss at first pieces, the same without padding, alone, in a batch and in windows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from objective_checks import assert_rows_alone_give_the_same, assert_same_without_padding, calm, collate, totals
from tiny import FAMILIES, tiny_config, tiny_tokenizer
from tiny_tags import CLASSES, tagged_rows, tiny_tagged
from torch.nn import functional
from transformers import AutoModelForTokenClassification

from bert_cli.data.store import SplitStore
from bert_cli.errors import UsageError
from bert_cli.models.attention import is_unpadded, unpad
from bert_cli.objectives.tag_rows import encode_tagged
from bert_cli.objectives.tagging import TaggingObjective

SENTENCES = tiny_tagged(12, seed=3)
# Single letters are words of several pieces for the tiny tokenizer; the invisible one has no piece at all.
SENTENCES[2] = (["film", "abc", "\u200b", "good", "xyz"], ["O", "B-BAD", "I-BAD", "B-GOOD", "I-GOOD"])
MODELS = (*FAMILIES, "albert", "deberta-v2")
LONG = [(["good"] * 70, ["B-GOOD", "I-GOOD"] * 35), (["the", "film"], ["O", "O"])]


def store_of(family: str = "bert", sentences: Any = SENTENCES, *, max_length: int = 64, **options: Any) -> SplitStore:
    stride = options.pop("stride", None)
    rows = tagged_rows(sentences, **options)
    chunks = encode_tagged(rows, tiny_tokenizer(family), max_length=max_length, stride=stride, classes=len(CLASSES))
    return SplitStore.of(chunks, {})


def model_of(family: str) -> Any:
    torch.manual_seed(1)
    config = tiny_config(family) if family == "deberta-v2" else calm(family)
    for name, value in config.to_dict().items():
        if "dropout" in name and value:
            setattr(config, name, 0.0)
    config.num_labels = len(CLASSES)
    return AutoModelForTokenClassification.from_config(config)


def objective_of(family: str = "bert") -> TaggingObjective:
    types = family in ("bert", "electra", "albert")
    return TaggingObjective(pad_token_id=tiny_tokenizer(family).pad_token_id, takes_type_ids=types)


@pytest.mark.parametrize("family", MODELS)
def test_the_loss_is_the_models_own_at_the_first_pieces_of_words(family: str) -> None:
    model, store, objective = model_of(family).eval(), store_of(family), objective_of(family)
    tokenizer = tiny_tokenizer(family)
    with torch.inference_mode():
        batch = collate(objective, store, range(12))
        labels = torch.full_like(batch.inputs["input_ids"], -100)
        for row, (tokens, tags) in enumerate(SENTENCES):
            at = 1
            for token, tag in zip(tokens, tags, strict=True):
                pieces = tokenizer(token, add_special_tokens=False)["input_ids"]
                if pieces:
                    labels[row, at] = CLASSES.index(tag)
                at += len(pieces)
        theirs = model(**batch.inputs, labels=labels)
        count = objective.counts(batch)["loss"]
        assert count == int((labels != -100).sum())
        assert float(totals(objective, model, batch)["loss"]) / count == pytest.approx(float(theirs.loss), abs=1e-5)


@pytest.mark.parametrize("family", [family for family in MODELS if family != "deberta-v2"])
def test_padded_and_unpadded_losses_are_equal(family: str) -> None:
    objective = objective_of(family)
    assert_same_without_padding(objective, model_of(family), collate(objective, store_of(family), range(12)))


def test_a_family_without_replaceable_attention_stays_padded() -> None:
    model = model_of("deberta-v2")
    assert unpad(model) is not None and not is_unpadded(model)


@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_a_row_is_scored_the_same_in_any_batch(family: str) -> None:
    assert_rows_alone_give_the_same(objective_of(family), model_of(family), store_of(family), [1, 2, 9])


def test_scores_are_probabilities_of_the_words_of_each_row_in_order() -> None:
    objective, model, store = objective_of(), model_of("bert").eval(), store_of()
    rows = [4, 2, 0]
    with torch.inference_mode():
        batch = collate(objective, store, rows)
        found = objective.scores(objective.forward(model, batch), batch)
        logits = model(**batch.inputs).logits
    ends = objective.ends(batch)
    assert ends.tolist() == np.cumsum([len(store.values("word", row)) for row in rows]).tolist()
    assert found.dtype == np.float32 and found.shape == (ends[-1], len(CLASSES))
    for i, row in enumerate(rows):
        mine = found[ends[i - 1] if i else 0 : ends[i]]
        wanted = functional.softmax(logits[i, store.values("at", row).astype(np.int64)], -1).numpy()
        np.testing.assert_allclose(mine, wanted, atol=1e-6)


def test_every_word_of_a_long_sentence_is_learnt_once() -> None:
    store = store_of(sentences=LONG, max_length=22, stride=6)
    example = store.column("example")
    assert example is not None and example.tolist() == [0, 0, 0, 0, 0, 1]
    rows = [row for row in range(len(store)) if example[row] == 0]
    words = np.concatenate([store.values("word", row) for row in rows])
    assert sorted(words.tolist()) == list(range(70))
    labels = np.concatenate([store.values("label", row) for row in rows])
    assert labels[np.argsort(words)].tolist() == [CLASSES.index(tag) for tag in LONG[0][1]]
    assert store.lengths.max() <= 22
    targets = store.targets
    assert targets is not None and targets.sum(axis=0).tolist() == [2, 0, 0, 35, 35]
    assert objective_of().counts(collate(objective_of(), store, range(len(store)))) == {"loss": 72.0}


def test_what_belongs_to_a_sentence_stands_in_its_first_row() -> None:
    store = store_of(sentences=LONG, max_length=22, stride=6)
    texts = [store.value("text", row) for row in range(len(store))]
    assert texts == ["good " * 69 + "good", None, None, None, None, "the film"]
    assert store.values("words", 0).reshape(-1, 2)[:2].tolist() == [[0, 4], [5, 9]]
    assert store.values("gold", 0).tolist() == [3, 4] * 35 and len(store.values("gold", 1)) == 0
    assert store.values("spans", 0).reshape(-1, 3)[0].tolist() == [0, 9, 1]
    assert [store.value("line", row) for row in (0, 1, 5)] == [1, None, 2]


def test_a_word_longer_than_a_window_is_cut_and_counted() -> None:
    store = store_of(sentences=[(["a" * 40, "film"], ["B-BAD", "O"])], max_length=12)
    assert (store.facts["truncated"], store.facts["lost_tokens"]) == (1, 30)
    assert store.lengths.tolist() == [12, 3]
    assert [store.values("word", row).tolist() for row in (0, 1)] == [[0], [1]]


def test_words_that_the_tokenizer_does_not_see_are_in_no_row_but_in_the_gold() -> None:
    store = store_of()
    assert store.values("word", 2).tolist() == [0, 1, 3, 4]
    assert store.values("gold", 2).tolist() == [CLASSES.index(tag) for tag in SENTENCES[2][1]]


def test_without_labels_there_are_no_targets() -> None:
    store = store_of(labelled=False)
    batch = collate(objective_of(), store, range(3))
    assert store.targets is None and batch.targets is None and batch.positions is not None


def test_windows_that_share_more_than_half_are_refused() -> None:
    with pytest.raises(UsageError) as caught:
        store_of(stride=32)
    assert (caught.value.code, caught.value.key) == ("D118", "data.stride")
    assert store_of(stride=31).lengths.max() <= 64
