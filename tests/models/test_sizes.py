"""Named shapes: they build what the papers describe."""

from __future__ import annotations

from typing import Any

import pytest

from bert_cli.errors import UsageError
from bert_cli.models.sizes import size_config, size_names

# Vocabulary of the published model, and its parameters without heads, millions: from the papers, model cards and
# checkpoints.
PUBLISHED = {
    "bert-tiny": (30_522, 4.4),
    "bert-mini": (30_522, 11.2),
    "bert-small": (30_522, 28.8),
    "bert-medium": (30_522, 41.4),
    "bert-base": (30_522, 109.5),
    "bert-large": (30_522, 335.1),
    "roberta-base": (50_265, 124.6),
    "roberta-large": (50_265, 355.4),
    "electra-small": (30_522, 13.5),
    "electra-base": (30_522, 108.9),
    "electra-large": (30_522, 334.1),
    "modernbert-base": (50_368, 149.0),
    "modernbert-large": (50_368, 394.8),
    "albert-base": (30_000, 11.7),
    "distilbert-base": (30_522, 66.4),
}


def build(auto_class: str, name: str, **more: Any) -> Any:
    """A model without memory for its weights."""
    import torch
    import transformers

    settings = {**size_config(name), **more}
    config = transformers.AutoConfig.for_model(settings.pop("model_type"), **settings, pad_token_id=0)
    with torch.device("meta"):
        return getattr(transformers, auto_class).from_config(config)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_shape_has_as_many_parameters_as_the_published_model(name: str) -> None:
    vocabulary, millions = PUBLISHED[name]
    model = build("AutoModel", name, vocab_size=vocabulary)
    assert sum(weight.numel() for weight in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.06)


@pytest.mark.parametrize("name", size_names())
def test_every_shape_can_learn_masked_words_and_holds_512_tokens(name: str) -> None:
    from bert_cli.models.build import positions

    model = build("AutoModelForMaskedLM", name, vocab_size=64)
    assert model.get_output_embeddings().weight.shape[0] == 64
    assert positions(model) >= 512


def test_roberta_and_bert_of_one_size_are_of_one_width() -> None:
    for size in ("tiny", "mini", "small", "medium", "base", "large"):
        bert, roberta = (size_config(f"{family}-{size}") for family in ("bert", "roberta"))
        assert bert.items() - roberta.items() == {("model_type", "bert")}


def test_a_shape_is_the_callers_own() -> None:
    size_config("bert-mini")["hidden_size"] = 3
    assert size_config("bert-mini")["hidden_size"] == 256


@pytest.mark.parametrize(("name", "near"), [("bert-mni", "bert-mini"), ("BERT-base", "bert-base"), ("gpt-2", None)])
def test_an_unknown_shape_is_refused_with_the_nearest(name: str, near: str | None) -> None:
    with pytest.raises(UsageError, match="L060") as caught:
        size_config(name)
    assert caught.value.suggestion() == near and "modernbert-base" in str(caught.value.allowed)
