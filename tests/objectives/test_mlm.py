"""Masked language modelling: logits where masks are, the plain model's loss, and scores that add up."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from objective_checks import (
    assert_rows_alone_give_the_same,
    assert_same_without_padding,
    calm,
    collate,
    options,
    totals,
)
from small_store import blocks
from tiny import FAMILIES, tiny_tokenizer
from torch.nn import functional

from bert_cli.objectives.mlm import MaskedLanguageModelling
from bert_cli.objectives.terms import measured

STORE = blocks(12, vocab_size=40)
MODELS = (*FAMILIES, "albert")


def model_of(family: str) -> Any:
    torch.manual_seed(0)
    return transformers.AutoModelForMaskedLM.from_config(calm(family))


def objective_of(family: str, **changes: Any) -> MaskedLanguageModelling:
    takes_type_ids = family in ("bert", "electra", "albert")
    return MaskedLanguageModelling(**options(family, types=takes_type_ids, **changes))


def test_targets_are_the_original_tokens_at_the_masked_positions() -> None:
    objective = objective_of("bert")
    rows = np.array([3, 0, 7])
    batch = collate(objective, STORE, rows)
    content = STORE.content(rows)
    laid = objective.frame.lay(content.ids, content.lengths[:, None])
    restored = batch.inputs["input_ids"].flatten().clone()
    restored[batch.positions] = batch.targets
    assert restored.tolist() == laid.inputs["input_ids"].flatten().tolist()
    assert batch.tokens == int(content.lengths.sum()) + 2 * 3
    assert objective.counts(batch) == {"mlm": len(batch.targets)}
    masked = (batch.inputs["input_ids"].flatten()[batch.positions] == tiny_tokenizer().mask_token_id).float().mean()
    assert 0.5 < masked <= 1.0


@pytest.mark.parametrize("family", MODELS)
def test_the_loss_is_that_of_full_logits_at_the_masked_positions(family: str) -> None:
    objective, model = objective_of(family), model_of(family).eval()
    batch = collate(objective, STORE, range(12))
    with torch.inference_mode():
        logits = model(**batch.inputs).logits.flatten(0, 1)[batch.positions]
        wanted = functional.cross_entropy(logits, batch.targets, reduction="sum")
        found = totals(objective, model, batch)
    assert found.keys() == {"mlm"}
    torch.testing.assert_close(found["mlm"], wanted, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("family", MODELS)
def test_padded_and_unpadded_losses_are_equal(family: str) -> None:
    objective = objective_of(family)
    assert_same_without_padding(objective, model_of(family), collate(objective, STORE, range(12)))


def test_a_row_is_scored_the_same_in_any_batch() -> None:
    assert_rows_alone_give_the_same(objective_of("bert", scoring=True), model_of("bert"), STORE, [1, 5, 9])


def test_scoring_adds_the_share_of_tokens_predicted_right_and_weighs_it_with_nothing() -> None:
    objective, model = objective_of("bert", scoring=True), model_of("bert").eval()
    batch = collate(objective, STORE, range(12), epoch=-1, progress=1.0)
    with torch.inference_mode():
        outputs = objective.forward(model, batch)
        found = objective.totals(outputs, batch)
    right = sum(int(row.argmax() == target) for row, target in zip(outputs, batch.targets, strict=True))
    assert float(found["mlm_accuracy"]) == right
    assert objective.counts(batch)["mlm_accuracy"] == objective.counts(batch)["mlm"] == len(batch.targets)
    assert objective.weights == {"mlm": 1.0, "mlm_accuracy": 0.0}
    assert objective.scores(outputs, batch).shape == (12, 0)
    assert objective.ends(batch).tolist() == list(range(1, 13))


def test_terms_become_loss_perplexity_and_accuracy() -> None:
    found = measured({"mlm": 2.0, "mlm_accuracy": 0.25}, objective_of("bert", scoring=True).weights)
    assert found == {"loss": 2.0, "perplexity": pytest.approx(math.exp(2.0)), "accuracy": 0.25}


def test_the_encoder_is_left_as_it_was() -> None:
    model = model_of("bert").eval()
    batch = collate(objective_of("bert"), STORE, [0])
    before = model(**batch.inputs).logits
    totals(objective_of("bert"), model, batch)
    assert torch.equal(model(**batch.inputs).logits, before)
