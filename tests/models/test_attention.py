"""The unpadded encoder computes what the padded one computes, for every head, forwards and backwards."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tiny import FAMILIES, POSITIONS, tiny_config, tiny_model

from bert_cli.errors import ModelError
from bert_cli.models import attention
from bert_cli.models.attention import is_unpadded, unpad

UNPADDED = (*FAMILIES, "albert", "nomic_bert", "eurobert")
HEADS = (
    "AutoModelForSequenceClassification",
    "AutoModelForTokenClassification",
    "AutoModelForQuestionAnswering",
    "AutoModelForMaskedLM",
)
WITHOUT_QUESTION_ANSWERING = ("nomic_bert", "eurobert")
# ModernBERT's window here is 5, a stretch of its queries 20 long. 22, 15, 5 and 1 attend in one group, where padding is
# wider than the window.
LENGTHS = (50, 5, 22, 1, 50, 15)


def batch(config: Any, lengths: tuple[int, ...] = LENGTHS) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    ids = torch.randint(6, config.vocab_size, mask.shape, generator=generator)
    return {"input_ids": ids.masked_fill(mask == 0, config.pad_token_id), "attention_mask": mask}


def pair(family: str, head: str = HEADS[0], **changes: Any) -> tuple[Any, Any]:
    """The same model twice: as it comes, and unpadded; dropout 0."""
    found = tiny_config(family).to_dict()
    off = {name: 0.0 for name, value in found.items() if "dropout" in name and isinstance(value, float)}
    torch.manual_seed(0)
    plain = getattr(transformers, head).from_config(tiny_config(family, **off, **changes)).train()
    other = copy.deepcopy(plain)
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


def assert_equal(plain: Any, other: Any, inputs: dict[str, torch.Tensor]) -> None:
    """Outputs at real tokens, and all gradients."""
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


@pytest.mark.parametrize(
    ("family", "head"),
    [
        (family, head)
        for family in UNPADDED
        for head in HEADS
        if not (family in WITHOUT_QUESTION_ANSWERING and "QuestionAnswering" in head)
    ],
)
def test_outputs_and_gradients_equal_the_padded_models(family: str, head: str) -> None:
    plain, other = pair(family, head)
    assert_equal(plain, other, batch(plain.config))


@pytest.mark.parametrize("family", ["modernbert", "eurobert"])
def test_heads_that_average_over_the_row_average_over_real_tokens(family: str) -> None:
    plain, other = pair(family, classifier_pooling="mean")
    assert_equal(plain, other, batch(plain.config))


@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_padding_on_the_left_is_dropped_too(family: str) -> None:
    plain, other = pair(family, "AutoModelForTokenClassification")
    assert_equal(plain, other, {name: tensor.flip(1) for name, tensor in batch(plain.config).items()})


@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_embeddings_and_positions_of_ones_own_are_heeded(family: str) -> None:
    plain, other = pair(family, "AutoModelForTokenClassification")
    inputs = batch(plain.config)
    real = inputs["attention_mask"].bool()
    given = {
        "inputs_embeds": torch.randn(*real.shape, 32, generator=torch.Generator().manual_seed(2)),
        "attention_mask": inputs["attention_mask"],
        # Not evenly spaced, else rotary positions would not show.
        "position_ids": (torch.arange(real.shape[1]) ** 2 % POSITIONS)[None],
    }
    found = other(**given).logits[real]
    torch.testing.assert_close(found, plain(**given).logits[real], rtol=1e-5, atol=1e-6)
    assert not torch.allclose(found, other(**{**given, "position_ids": None}).logits[real], rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("sparse", [False, True])
def test_modernberts_loss_of_masked_tokens_is_the_padded_models(sparse: bool) -> None:
    plain, other = pair("modernbert", "AutoModelForMaskedLM", sparse_prediction=sparse)
    inputs = batch(plain.config)
    labels = (
        inputs["input_ids"].masked_fill(torch.arange(50) % 3 > 0, -100).masked_fill(inputs["attention_mask"] == 0, -100)
    )
    padded, unpadded = (model(**inputs, labels=labels) for model in (plain, other))
    torch.testing.assert_close(unpadded.loss, padded.loss)
    assert unpadded.logits.shape == padded.logits.shape


@pytest.mark.parametrize("family", UNPADDED)
def test_a_sequence_does_not_see_its_neighbours(family: str) -> None:
    _, model = pair(family)
    model.eval()
    together = batch(model.config)
    alone = {name: tensor[2:3, : LENGTHS[2]] for name, tensor in together.items()}
    with torch.inference_mode():
        torch.testing.assert_close(model(**together).logits[2:3], model(**alone).logits, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("family", "length"), [("bert", 6), ("modernbert", 6), ("modernbert", 30)])
def test_a_batch_without_a_mask_or_padding_is_computed_as_it_is(family: str, length: int) -> None:
    plain, other = pair(family)
    inputs = batch(plain.config, (length,) * 3)
    torch.testing.assert_close(other(**inputs).logits, plain(**inputs).logits)
    torch.testing.assert_close(other(input_ids=inputs["input_ids"]).logits, plain(input_ids=inputs["input_ids"]).logits)


@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_the_mask_may_be_given_by_place(family: str) -> None:
    plain, other = pair(family)
    inputs = batch(plain.config)
    found, wanted = (model.base_model(inputs["input_ids"], inputs["attention_mask"]) for model in (other, plain))
    real = inputs["attention_mask"].bool()
    torch.testing.assert_close(found.last_hidden_state[real], wanted.last_hidden_state[real], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_dropout_acts_and_depends_on_the_seed_alone(family: str) -> None:
    model = transformers.AutoModelForSequenceClassification.from_config(tiny_config(family))
    assert unpad(model) is None
    model.train()
    inputs = batch(model.config)
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(model(**inputs).logits)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_a_dropout_that_drops_nothing_changes_nothing(family: str) -> None:
    """A rate that rounds to 0 takes the road of dropout all the same."""
    plain, other = pair(family)
    for module in other.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 1e-9
        if hasattr(module, "attention_dropout"):
            module.attention_dropout = 1e-9
    assert_equal(plain, other, batch(plain.config))


@pytest.mark.parametrize("family", ["deberta-v2"])
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


def test_every_query_sees_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Padded ones too: what attention without keys gives depends on the device, and its gradient may be NaN."""
    _, model = pair("modernbert")
    real, masks = attention.scaled_dot_product_attention, []

    def watched(query: Any, key: Any, value: Any, mask: Any, *rest: Any, **options: Any) -> torch.Tensor:
        masks.append(mask)
        return real(query, key, value, mask, *rest, **options)

    monkeypatch.setattr(attention, "scaled_dot_product_attention", watched)
    model(**batch(model.config))
    seen = [mask.any(-1).all() for mask in masks if mask is not None]
    assert seen and all(seen)


@pytest.mark.parametrize("window", [64, 66, None])
def test_a_wrong_window_is_noticed_at_the_usual_size(monkeypatch: pytest.MonkeyPatch, window: int | None) -> None:
    """Negative control of the start-up check: at a window of 65, with weights as a fresh model has them."""

    def wrong(*arguments: Any, sliding_window: int | None = None, **options: Any) -> tuple[torch.Tensor, None]:
        return attention.attend(*arguments, sliding_window=sliding_window and window, **options)

    config = tiny_config("modernbert", local_attention=128, initializer_range=0.02)
    torch.manual_seed(0)
    model = transformers.AutoModelForSequenceClassification.from_config(config)
    real = transformers.AttentionInterface.register
    monkeypatch.setattr(transformers.AttentionInterface, "register", lambda name, _: real(name, wrong))
    assert "differ" in (unpad(model) or "")
    monkeypatch.undo()
    assert unpad(model) is None


@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_a_saved_model_does_not_say_how_it_was_computed(tmp_path: Path, family: str) -> None:
    folder = tiny_model(tmp_path / "base", family)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    assert unpad(model) is None
    model.save_pretrained(tmp_path / "saved")
    assert attention.NAME not in (tmp_path / "saved" / "config.json").read_text(encoding="utf-8")
