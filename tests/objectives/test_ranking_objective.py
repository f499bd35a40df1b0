"""Losses of scored pairs, against plain torch; unpadded as padded; row by row as together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from compared_store import every, rows_of, store_of
from objective_checks import assert_rows_alone_give_the_same, assert_same_without_padding, calm, collate, totals
from tiny import tiny_tokenizer

from bert_cli.objectives.ranking import Binary, Listwise, PairScores

OPTIONS: dict[str, Any] = {"pad_token_id": 0, "takes_type_ids": True}
TARGETS = [1.0, 0.0, 0.0, 1.0, 1.0]


def ranker(family: str = "bert") -> Any:
    from transformers import AutoModelForSequenceClassification

    torch.manual_seed(0)
    config = calm(family)
    config.num_labels = 1
    return AutoModelForSequenceClassification.from_config(config)


def paired(rows: list[list[str]]) -> list[list[tuple[str, str]]]:
    """The first text of each row with each of the others."""
    return [[(row[0], text) for text in row[1:]] for row in rows]


def logits(model: Any, pairs: list[tuple[str, str]]) -> torch.Tensor:
    """Every pair in a batch of its own."""
    tokenizer = tiny_tokenizer()
    return torch.cat(
        [model(**tokenizer(*pair, return_tensors="pt", truncation=True, max_length=24)).logits[:, 0] for pair in pairs]
    )


def test_the_first_pair_of_each_row_is_to_have_the_largest_score() -> None:
    rows = paired(rows_of(5, 5, ragged=True))
    objective, model = Listwise(**OPTIONS), ranker().eval()
    store = store_of(tiny_tokenizer(), rows)
    batch = collate(objective, store, every(store))
    wanted = sum(-logits(model, row).log_softmax(0)[0] for row in rows)
    torch.testing.assert_close(totals(objective, model, batch)["loss"], wanted, rtol=1e-5, atol=1e-5)
    assert objective.counts(batch) == {"loss": 5.0}


def test_pairs_are_relevant_or_not() -> None:
    rows = paired(rows_of(5, 2))
    objective, model = Binary(**OPTIONS), ranker().eval()
    store = store_of(tiny_tokenizer(), rows, targets=TARGETS)
    batch = collate(objective, store, every(store))
    found = logits(model, [row[0] for row in rows])
    wanted = torch.nn.functional.binary_cross_entropy_with_logits(found, torch.tensor(TARGETS), reduction="sum")
    torch.testing.assert_close(totals(objective, model, batch)["loss"], wanted, rtol=1e-5, atol=1e-5)


def test_scores_are_those_of_the_head() -> None:
    rows = paired(rows_of(4, 3))
    objective, model = PairScores(**OPTIONS), ranker().eval()
    store = store_of(tiny_tokenizer(), rows)
    batch = collate(objective, store, np.array([3, 1]))
    with torch.inference_mode():
        found = objective.scores(objective.forward(model, batch), batch)
        wanted = logits(model, [*rows[3], *rows[1]])
    assert found == pytest.approx(wanted.numpy(), abs=1e-5) and found.dtype == np.float32
    assert objective.ends(batch).tolist() == [2, 4]
    assert objective.totals(None, batch) == {} and objective.counts(batch) == {}  # type: ignore[arg-type]


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "modernbert", "electra"])
@pytest.mark.parametrize("kind", [Listwise, Binary])
def test_losses_and_gradients_are_the_same_without_padding(family: str, kind: Any) -> None:
    tokenizer = tiny_tokenizer(family)
    types = "token_type_ids" in tokenizer.model_input_names
    objective = kind(pad_token_id=tokenizer.pad_token_id, takes_type_ids=types)
    rows = paired(rows_of(5, 2 if kind is Binary else 4))
    store = store_of(tokenizer, rows, targets=TARGETS if kind is Binary else None)
    assert_same_without_padding(objective, ranker(family), collate(objective, store, every(store)))


def test_losses_of_single_rows_add_up() -> None:
    listed = store_of(tiny_tokenizer(), paired(rows_of(6, 5, ragged=True)))
    assert_rows_alone_give_the_same(Listwise(**OPTIONS), ranker(), listed, [0, 3, 4])
    labelled = store_of(tiny_tokenizer(), paired(rows_of(5, 2)), targets=TARGETS)
    assert_rows_alone_give_the_same(Binary(**OPTIONS), ranker(), labelled, [1, 2, 4])
