"""Replaced-token detection: draws that no batch changes, and losses that are the two networks' own."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from objective_checks import (
    assert_rows_alone_give_the_same,
    assert_same_without_padding,
    calm,
    collate,
    options,
    totals,
)
from small_store import blocks
from tiny import tiny_tokenizer
from torch.nn import functional

from bert_cli.models.electra import ElectraPair, new_electra
from bert_cli.objectives.electra import ReplacedTokenDetection, sample
from bert_cli.objectives.terms import measured

STORE = blocks(12, vocab_size=40)


def objective_of(**changes: Any) -> ReplacedTokenDetection:
    return ReplacedTokenDetection(**options("electra", **changes))


def model_of(seed: int = 0) -> ElectraPair:
    settings = {name: value for name, value in calm("electra").to_diff_dict().items() if name != "transformers_version"}
    return new_electra(settings, tokenizer=tiny_tokenizer("electra"), generator=0.5, seed=seed)


def test_replacements_are_drawn_with_the_softmaxs_probabilities() -> None:
    torch.manual_seed(0)
    logits = torch.randn(1, 12) * 2
    drawn = sample(logits.expand(200_000, -1), torch.linspace(0, 1, 200_001)[:-1])
    shares = torch.bincount(drawn, minlength=12) / 200_000
    torch.testing.assert_close(shares, logits.softmax(-1)[0], rtol=0, atol=2e-5)


def test_the_highest_draw_and_certain_distributions_stay_within_the_vocabulary() -> None:
    certain = torch.full((2, 9), -1e4)
    certain[0, 3], certain[1, 8] = 0.0, 0.0
    for draw in (0.0, 0.5, 1.0 - 2**-24, 1.0):
        assert sample(certain, torch.full((2,), draw)).max() <= 8
    assert sample(certain, torch.tensor([0.4, 0.4])).tolist() == [3, 8]
    assert sample(torch.zeros(0, 9), torch.zeros(0)).tolist() == []


def test_the_discriminator_reads_the_replacements_and_is_told_which_are_not_the_original() -> None:
    objective, model = objective_of(rate=0.4), model_of().eval()
    batch = collate(objective, STORE, range(12))
    seen: dict[str, torch.Tensor] = {}
    model.discriminator.register_forward_pre_hook(lambda _m, _a, kwargs: seen.update(kwargs), with_kwargs=True)
    with torch.inference_mode():
        outputs = objective.forward(model, batch)
        logits = model.generator(**batch.inputs).logits.flatten(0, 1)[batch.positions]
        alone = model.discriminator(**seen).logits
        found = objective.totals(outputs, batch)
    torch.testing.assert_close(outputs.tokens, logits, rtol=1e-4, atol=1e-5)
    original = batch.inputs["input_ids"].flatten().clone()
    original[batch.positions] = batch.targets
    changed = seen["input_ids"].flatten()
    assert changed[batch.positions].tolist() == sample(outputs.tokens, batch.draws).tolist()
    assert outputs.truth.flatten().tolist() == (changed != original).float().tolist()
    assert 0 < int(outputs.truth.sum()) < len(batch.targets), "a control: some draws are the original token"
    real = batch.inputs["attention_mask"].bool()
    wanted = functional.binary_cross_entropy_with_logits(alone[real], outputs.truth[real], reduction="sum")
    torch.testing.assert_close(found["rtd"], wanted)
    torch.testing.assert_close(found["mlm"], functional.cross_entropy(logits, batch.targets, reduction="sum"))
    assert objective.counts(batch) == {"mlm": len(batch.targets), "rtd": batch.tokens}


def test_no_gradient_goes_through_the_draw() -> None:
    """The detection loss alone reaches the shared embeddings and the discriminator, and nothing of the generator."""
    objective, model = objective_of(), model_of()
    totals(objective, model, collate(objective, STORE, range(6)))["rtd"].backward()
    own = {name for name, p in model.named_parameters() if p.grad is not None}
    assert own and all(name.startswith("discriminator.") for name in own)
    assert "discriminator.electra.embeddings.word_embeddings.weight" in own


def test_padded_and_unpadded_losses_are_equal() -> None:
    objective = objective_of(rate=0.3)
    assert_same_without_padding(objective, model_of(), collate(objective, STORE, range(12)))


def test_a_row_is_scored_the_same_in_any_batch() -> None:
    assert_rows_alone_give_the_same(objective_of(scoring=True, rate=0.4), model_of(), STORE, [1, 5, 9])


def test_draws_are_a_function_of_seed_epoch_and_row() -> None:
    whole = collate(objective_of(), STORE, [4, 5])
    alone = collate(objective_of(), STORE, [5])
    assert whole.draws[-len(alone.draws) :].tolist() == alone.draws.tolist()
    again, later = collate(objective_of(), STORE, [4, 5]), collate(objective_of(), STORE, [4, 5], epoch=1)
    assert torch.equal(whole.draws, again.draws) and not set(whole.draws.tolist()) & set(later.draws.tolist())


def test_scoring_counts_right_answers_at_real_tokens() -> None:
    objective, model = objective_of(scoring=True), model_of().eval()
    batch = collate(objective, STORE, range(12), epoch=-1, progress=1.0)
    with torch.inference_mode():
        outputs = objective.forward(model, batch)
        found = objective.totals(outputs, batch)
    real = batch.inputs["attention_mask"].bool()
    right = ((outputs.replaced[real] > 0) == (outputs.truth[real] == 1)).sum()
    assert float(found["rtd_accuracy"]) == int(right)
    assert objective.counts(batch)["rtd_accuracy"] == batch.tokens
    assert objective.weights == {"mlm": 1.0, "rtd": 50.0, "mlm_accuracy": 0.0, "rtd_accuracy": 0.0}


def test_terms_become_the_weighted_loss_and_its_parts() -> None:
    losses = {"mlm": 2.0, "mlm_accuracy": 0.25, "rtd": 0.1, "rtd_accuracy": 0.9}
    found = measured(losses, objective_of(scoring=True, rtd_weight=20.0).weights)
    assert found == {
        "loss": pytest.approx(4.0),
        "perplexity": pytest.approx(math.exp(2.0)),
        "accuracy": 0.25,
        "rtd_accuracy": 0.9,
        "mlm_loss": 2.0,
        "rtd_loss": 0.1,
    }
