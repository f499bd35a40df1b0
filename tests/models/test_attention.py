"""The unpadded encoder computes what the padded one computes, for every head, forwards and backwards."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tiny import tiny_config, tiny_model

from bert_cli.errors import ModelError
from bert_cli.models import attention
from bert_cli.models.attention import is_unpadded, layout, unpad

UNPADDED = ("bert", "roberta", "distilbert", "electra")
HEADS = (
    "AutoModelForSequenceClassification",
    "AutoModelForTokenClassification",
    "AutoModelForQuestionAnswering",
    "AutoModelForMaskedLM",
)
LENGTHS = (12, 5, 7, 1, 12, 7)


def batch(config: Any, lengths: tuple[int, ...] = LENGTHS) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    ids = torch.randint(6, config.vocab_size, mask.shape, generator=generator)
    return {"input_ids": ids.masked_fill(mask == 0, config.pad_token_id), "attention_mask": mask}


def pair(family: str, head: str = HEADS[0]) -> tuple[Any, Any]:
    """The same model twice: as it comes, and unpadded; dropout 0."""
    dropouts = {"distilbert": {"dropout": 0.0, "attention_dropout": 0.0, "seq_classif_dropout": 0.0, "qa_dropout": 0.0}}
    off = dropouts.get(family, {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0})
    config = tiny_config(family, **off)
    torch.manual_seed(0)
    plain = getattr(transformers, head).from_config(copy.deepcopy(config)).train()
    other = getattr(transformers, head).from_config(copy.deepcopy(config)).train()
    other.load_state_dict(plain.state_dict())
    assert unpad(other) is None
    return plain, other


def answers(model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Outputs at real tokens (or of each row), in one tensor."""
    outputs = model(**inputs)
    real = inputs["attention_mask"].bool()
    if "start_logits" in outputs:
        return torch.cat([outputs.start_logits[real], outputs.end_logits[real]])
    logits: torch.Tensor = outputs.logits
    return logits[real] if logits.ndim == 3 else logits


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("family", UNPADDED)
def test_outputs_and_gradients_equal_the_padded_models(family: str, head: str) -> None:
    plain, other = pair(family, head)
    inputs = batch(plain.config)
    results = []
    for model in (plain, other):
        found = answers(model, inputs)
        (found * torch.linspace(-1, 1, found.numel()).view_as(found)).sum().backward()
        results.append((found, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}))
    (padded, wanted), (unpadded, gradient) = results
    torch.testing.assert_close(unpadded, padded, rtol=1e-5, atol=1e-6)
    assert wanted.keys() == gradient.keys()
    norm = sum(float(g.norm() ** 2) for g in wanted.values()) ** 0.5
    distance = sum(float((gradient[name] - g).norm() ** 2) for name, g in wanted.items()) ** 0.5
    assert distance <= 1e-5 * norm


@pytest.mark.parametrize("family", UNPADDED)
def test_a_sequence_does_not_see_its_neighbours(family: str) -> None:
    _, model = pair(family)
    model.eval()
    together = batch(model.config)
    alone = {name: tensor[2:3, : LENGTHS[2]] for name, tensor in together.items()}
    with torch.inference_mode():
        torch.testing.assert_close(model(**together).logits[2:3], model(**alone).logits, rtol=1e-5, atol=1e-6)


def test_a_batch_without_a_mask_or_padding_is_computed_as_it_is() -> None:
    plain, other = pair("bert")
    inputs = batch(plain.config, (6, 6, 6))
    torch.testing.assert_close(other(**inputs).logits, plain(**inputs).logits)
    torch.testing.assert_close(other(input_ids=inputs["input_ids"]).logits, plain(input_ids=inputs["input_ids"]).logits)


def test_dropout_acts_and_depends_on_the_seed_alone() -> None:
    model = transformers.AutoModelForSequenceClassification.from_config(tiny_config("bert"))
    assert unpad(model) is None
    model.train()
    inputs = batch(model.config)
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(model(**inputs).logits)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize("family", ["modernbert"])
def test_a_family_that_cannot_be_unpadded_stays_as_it_was_and_refuses_when_asked(family: str) -> None:
    model = transformers.AutoModelForSequenceClassification.from_config(tiny_config(family))
    before = model.config._attn_implementation
    assert unpad(model)
    assert not is_unpadded(model)
    assert model.config._attn_implementation == before
    with pytest.raises(ModelError) as caught:
        unpad(model, required=True)
    assert caught.value.code == "L050"


def test_a_wrong_attention_is_noticed_and_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control of the start-up check."""

    def wrong(*arguments: Any, **options: Any) -> tuple[torch.Tensor, None]:
        found, _ = attention.attend(*arguments, **options)
        return found * 1.001, None

    plain, _ = pair("bert")
    model = copy.deepcopy(plain)
    real = transformers.AttentionInterface.register
    monkeypatch.setattr(transformers.AttentionInterface, "register", lambda name, _: real(name, wrong))
    assert "differ" in (unpad(model) or "")
    inputs = batch(plain.config)
    assert torch.equal(model(**inputs).logits, plain(**inputs).logits)


def test_a_layout_holds_every_real_token_once_longest_sequences_first() -> None:
    mask = batch(tiny_config("bert"))["attention_mask"]
    found = layout(mask)
    assert sorted(found.index.tolist()) == mask.flatten().nonzero().squeeze(1).tolist()
    assert sum(group.tokens for group in found.groups) == int(mask.sum())
    rows = [int(place) // mask.shape[1] for place in found.index]
    assert [LENGTHS[row] for row in dict.fromkeys(rows)] == sorted(LENGTHS, reverse=True)


def test_a_saved_model_does_not_say_how_it_was_computed(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "base", "bert")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    assert unpad(model) is None
    model.save_pretrained(tmp_path / "saved")
    assert attention.NAME not in (tmp_path / "saved" / "config.json").read_text(encoding="utf-8")
