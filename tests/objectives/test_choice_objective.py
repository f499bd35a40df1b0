"""Multiple choice: any numbers of choices share a batch, and nothing of a batch changes what a row says alone."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from objective_checks import assert_rows_alone_give_the_same, assert_same_without_padding, collate, totals
from tiny import tiny_config, tiny_texts, tiny_tokenizer
from tiny_choices import FAMILIES, tiny_questions
from transformers import AutoModelForMultipleChoice

from bert_cli.data.store import EncodedChunk, SplitStore
from bert_cli.models.attention import is_unpadded, unpad
from bert_cli.objectives.choice import ChoiceObjective, encode_choices

ROWS = tiny_questions(7, seed=3)
TARGETS = np.array([row["label"] for row in ROWS])


def store_of(family: str, *, max_length: int = 40) -> SplitStore:
    found = encode_choices(
        tiny_tokenizer(family),
        [row["question"] for row in ROWS],
        [tuple(row["choices"]) for row in ROWS],
        max_length=max_length,
    )
    columns = {"sizes": found.size_column, "target": TARGETS}
    return SplitStore.of([EncodedChunk(found.input_ids, found.type_ids, columns)], {})


def model_of(family: str) -> Any:
    torch.manual_seed(1)
    config = tiny_config(family)
    for name, value in config.to_dict().items():
        if "dropout" in name and value:
            setattr(config, name, 0.0)
    return AutoModelForMultipleChoice.from_config(config)


def objective_of(family: str, **options: Any) -> ChoiceObjective:
    types = family in ("bert", "electra", "albert")
    return ChoiceObjective(pad_token_id=tiny_tokenizer(family).pad_token_id, takes_type_ids=types, **options)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_loss_of_a_row_is_the_models_own(family: str) -> None:
    """Negative control beside it: another right answer has another loss."""
    model, store, objective = model_of(family).eval(), store_of(family), objective_of(family)
    with torch.inference_mode():
        batch = collate(objective, store, range(7))
        logits = objective.forward(model, batch)
        ends = objective.ends(batch)
        assert ends.tolist() == np.cumsum([len(row["choices"]) for row in ROWS]).tolist() and len(logits) == ends[-1]
        for row in range(7):
            alone = collate(objective, store, [row])
            theirs = model(**{name: value[None] for name, value in alone.inputs.items()}, labels=alone.targets)
            own = logits[ends[row - 1] if row else 0 : ends[row]]
            torch.testing.assert_close(own, theirs.logits[0], rtol=1e-5, atol=1e-6)
            assert float(totals(objective, model, alone)["loss"]) == pytest.approx(float(theirs.loss), abs=1e-5)
            assert objective.scores(own, alone) == pytest.approx(own.softmax(0).numpy(), abs=1e-6)
        alone.targets[0] = (alone.targets[0] + 1) % len(own)
        assert float(totals(objective, model, alone)["loss"]) != pytest.approx(float(theirs.loss), abs=1e-5)


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "deberta-v2"])
def test_loss_and_gradient_are_the_same_without_padding(family: str) -> None:
    objective = objective_of(family)
    # The choices of a row are alike and pull against each other: what is left of their gradients is as small as the
    # rounding of fp32, in which both ways are equally far from the truth.
    model = model_of(family).double()
    assert_same_without_padding(objective, model, collate(objective, store_of(family), range(7)))


def test_a_family_without_replaceable_attention_stays_padded() -> None:
    model = model_of("deberta-v2")
    assert unpad(model) is not None and not is_unpadded(model)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_sums_of_a_batch_are_those_of_its_rows(smoothing: float) -> None:
    objective = objective_of("bert", label_smoothing=smoothing)
    assert_rows_alone_give_the_same(objective, model_of("bert"), store_of("bert"), list(range(7)))


def gradient(model: Any) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def test_the_gradient_of_a_batch_is_that_of_its_parts() -> None:
    objective, store, model = objective_of("bert"), store_of("bert"), model_of("bert").double()
    whole, parted = copy.deepcopy(model), copy.deepcopy(model)
    (totals(objective, whole, collate(objective, store, range(7)))["loss"] / 7).backward()
    for rows in ([4, 0], [6], [1, 2, 3, 5]):
        (totals(objective, parted, collate(objective, store, rows))["loss"] / 7).backward()
    assert (gradient(whole) - gradient(parted)).norm() <= 1e-6 * gradient(whole).norm()


def test_label_smoothing_is_spread_over_the_choices_of_a_row() -> None:
    store, model = store_of("bert"), model_of("bert").eval()
    objective, plain = objective_of("bert", label_smoothing=0.3), objective_of("bert")
    with torch.inference_mode():
        for row in range(7):
            batch = collate(objective, store, [row])
            logits = plain.forward(model, batch)
            wanted = torch.nn.functional.cross_entropy(logits[None], batch.targets, label_smoothing=0.3)
            assert float(totals(objective, model, batch)["loss"]) == pytest.approx(float(wanted), abs=1e-5)
    assert objective.counts(collate(objective, store, range(7))) == {"loss": 7.0}


def words(count: int, seed: int) -> str:
    """That many words of one token each."""
    tokens = " ".join(text for text, _ in tiny_texts(count, seed=seed)).split()
    return " ".join(tokens[:count])


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_a_pair_that_fits_is_what_the_tokenizer_makes_of_it(family: str) -> None:
    tokenizer = tiny_tokenizer(family)
    found = encode_choices(tokenizer, ["the film"], [("was good", "a bad story")], max_length=40)
    theirs = [tokenizer("the film", tail) for tail in ("was good", "a bad story")]
    assert found.input_ids == [[token for each in theirs for token in each["input_ids"]]]
    assert found.sizes == [[len(each["input_ids"]) for each in theirs]]
    if family == "bert":
        assert found.type_ids == [[kind for each in theirs for kind in each["token_type_ids"]]]
    assert (found.truncated, found.lost_tokens) == (0, 0)


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_the_context_is_cut_and_never_the_choice_while_that_is_avoidable(family: str) -> None:
    tokenizer = tiny_tokenizer(family)
    special = tokenizer.num_special_tokens_to_add(pair=True)
    context, asked, short, long = words(40, 1), words(6, 2), words(3, 3), words(30, 4)
    found = encode_choices(
        tokenizer, [context, context], [(f"{asked} {short}", short), (f"{asked} {long}", long)], max_length=24
    )
    parts = [
        part
        for row, own in zip(found.input_ids, found.sizes, strict=True)
        for part in np.split(row, np.cumsum(own)[:-1])
    ]
    read = [tokenizer.decode(part, skip_special_tokens=True).split() for part in parts]
    assert [len(part) for part in parts] == [24] * 4
    kept = 24 - special
    assert read[0] == [*context.split()[: kept - 9], *asked.split(), *short.split()]
    assert read[1] == [*context.split()[: kept - 3], *short.split()]
    # A choice that fills the length alone is read to its end, without context and without its beginning.
    assert read[2] == read[3] == long.split()[-kept:]
    lost = [40 + 9 - kept, 40 + 3 - kept, 40 + 36 - kept, 40 + 30 - kept]
    assert (found.truncated, found.lost_tokens) == (2, sum(lost))
    assert tokenizer.truncation_side == "right"
