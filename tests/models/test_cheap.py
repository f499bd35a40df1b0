"""The cheaper parts of a step compute what torch's own compute."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from tiny import FAMILIES, tiny_config
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification

from bert_cli.models.cheap import LEVELS, Dropout, Embedding, dropout_mask, make_cheap


def twins(config: Any, auto_class: Any = AutoModelForSequenceClassification) -> tuple[Any, Any]:
    """The same model as it comes and made cheap, both without dropout."""
    torch.manual_seed(0)
    plain = auto_class.from_config(config).eval()
    cheap = copy.deepcopy(plain)
    make_cheap(cheap)
    return plain, cheap


def gradients(model: Any, ids: torch.Tensor) -> dict[str, torch.Tensor]:
    logits = model(input_ids=ids).logits
    (logits * torch.linspace(-1, 1, logits.numel()).view_as(logits)).sum().backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_are_torchs_in_every_step_and_over_several_micro_batches(family: str) -> None:
    plain, cheap = twins(tiny_config(family))
    words = plain.get_input_embeddings()
    batches = [torch.randint(0, words.num_embeddings, (3, 9)) for _ in range(5)]
    batches[1][0, 2:] = words.padding_idx if words.padding_idx is not None else 0
    for step in (batches[:1], batches[1:3], batches[3:]):
        for model in (plain, cheap):
            model.zero_grad(set_to_none=True)
        for ids in step:
            wanted, found = gradients(plain, ids), gradients(cheap, ids)
        assert wanted.keys() == found.keys()
        for name, gradient in wanted.items():
            torch.testing.assert_close(found[name], gradient, rtol=1e-5, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")


def test_the_word_gradient_lives_in_one_place_for_the_whole_run() -> None:
    _, cheap = twins(tiny_config("bert"))
    words = cheap.get_input_embeddings()
    gradients(cheap, torch.tensor([[7, 8, 9]]))
    first = words.weight.grad.data_ptr()
    cheap.zero_grad(set_to_none=True)
    gradients(cheap, torch.tensor([[9, 10]]))
    assert words.weight.grad.data_ptr() == first
    assert words.weight.grad.abs().sum(1).nonzero().flatten().tolist() == [9, 10]


def test_frozen_words_get_no_gradient() -> None:
    plain, _ = twins(tiny_config("bert"))
    plain.get_input_embeddings().weight.requires_grad_(False)
    make_cheap(plain)
    assert not any("word_embeddings" in name for name in gradients(plain, torch.tensor([[7, 8, 9]])))


def test_words_shared_with_the_output_layer_stay_torchs() -> None:
    plain, cheap = twins(tiny_config("bert"), AutoModelForMaskedLM)
    assert type(cheap.get_input_embeddings()) is torch.nn.Embedding
    ids = torch.tensor([[7, 8, 9]])
    wanted, found = gradients(plain, ids), gradients(cheap, ids)
    assert all(torch.equal(found[name], gradient) for name, gradient in wanted.items())


@pytest.mark.parametrize("legacy", [True, False])
def test_a_head_that_reads_the_words_without_saying_so_gets_torchs_gradients(legacy: bool) -> None:
    plain, cheap = twins(tiny_config("deberta-v2", legacy=legacy), AutoModelForMaskedLM)
    for ids in ([[7, 8, 9]], [[7, 10, 11]], [[12, 8, 9]]):
        for model in (plain, cheap):
            model.zero_grad(set_to_none=True)
        wanted, found = gradients(plain, torch.tensor(ids)), gradients(cheap, torch.tensor(ids))
        assert all(torch.equal(found[name], gradient) for name, gradient in wanted.items())


def test_names_and_weights_are_the_same_and_every_dropout_is_replaced() -> None:
    plain, cheap = twins(tiny_config("bert"))
    before, after = plain.state_dict(), cheap.state_dict()
    assert list(before) == list(after) and all(torch.equal(before[name], after[name]) for name in before)
    assert {type(m) for m in cheap.modules() if isinstance(m, torch.nn.Dropout)} == {Dropout}
    assert isinstance(cheap.get_input_embeddings(), Embedding)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_a_mask_drops_the_share_asked_for_and_keeps_the_mean(rate: float, kind: torch.dtype) -> None:
    torch.manual_seed(0)
    mask = dropout_mask(torch.empty(401, 997, dtype=kind), rate).double()
    share = min(round(rate * LEVELS), LEVELS - 1) / LEVELS
    assert set(mask.unique().tolist()) <= {0.0, float(torch.tensor(1 / (1 - share), dtype=kind))}
    error = (share * (1 - share) / mask.numel()) ** 0.5
    assert abs(float((mask == 0).double().mean()) - share) < 5 * error


def test_neighbours_are_dropped_independently() -> None:
    """Four elements share one draw; their fates must not."""
    torch.manual_seed(0)
    dropped = (dropout_mask(torch.empty(200_000, 4), 0.3) == 0).double()
    correlation = torch.corrcoef(dropped.T) - torch.eye(4)
    assert float(correlation.abs().max()) < 5 / 200_000**0.5


def test_dropout_depends_on_the_seed_alone_and_acts_in_training_only() -> None:
    layer, x = Dropout(0.5), torch.ones(7, 3)

    def dropped(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        found: torch.Tensor = layer(x)
        return found

    assert torch.equal(dropped(1), dropped(1)) and not torch.equal(dropped(1), dropped(2))
    assert torch.equal(layer.eval()(x), x)
    assert torch.equal(Dropout(0.0)(x), x)


def test_the_gradient_of_dropout_is_its_mask() -> None:
    x = torch.ones(50, 8, requires_grad=True)
    out = Dropout(0.3)(x)
    out.sum().backward()
    assert torch.equal(x.grad, out.detach())  # type: ignore[arg-type]
