"""Losses of vectors: cosine, triplet and in-batch, against plain torch; unpadded as padded; row by row as together."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from compared_store import every, rows_of, store_of
from objective_checks import assert_rows_alone_give_the_same, assert_same_without_padding, calm, collate, totals
from tiny import tiny_tokenizer
from torch.nn.functional import cosine_similarity

from bert_cli.objectives.similarity import CosineScores, InBatchNegatives, Triplets, Vectors

FAMILIES = ("bert", "roberta", "distilbert", "modernbert", "electra")
OPTIONS: dict[str, Any] = {"pooling": "mean", "pad_token_id": 0, "takes_type_ids": False}
SCORES = np.linspace(0, 1, 6).astype(np.float32)


def encoder(family: str = "bert", *, seed: int = 0) -> Any:
    from transformers import AutoModel

    torch.manual_seed(seed)
    return AutoModel.from_config(calm(family))


def options(family: str, **more: Any) -> dict[str, Any]:
    tokenizer = tiny_tokenizer(family)
    types = "token_type_ids" in tokenizer.model_input_names
    return {**OPTIONS, "pad_token_id": tokenizer.pad_token_id, "takes_type_ids": types, **more}


def mean_vectors(model: Any, tokenizer: Any, texts: list[str]) -> torch.Tensor:
    """Mean of each text's own tokens, every text in a batch of its own."""
    found = [model(**tokenizer(text, return_tensors="pt", truncation=True, max_length=24))[0].mean(1) for text in texts]
    return torch.cat(found)


def test_squared_error_of_cosines() -> None:
    model, tokenizer, rows = encoder().eval(), tiny_tokenizer(), rows_of(6, 2)
    objective, store = CosineScores(**OPTIONS), store_of(tokenizer, rows, targets=SCORES.tolist())
    batch = collate(objective, store, every(store))
    one, other = (mean_vectors(model, tokenizer, [row[side] for row in rows]) for side in (0, 1))
    wanted = (cosine_similarity(one, other) - torch.from_numpy(SCORES)).square().sum()
    torch.testing.assert_close(totals(objective, model, batch)["loss"], wanted, rtol=1e-5, atol=1e-5)
    assert objective.counts(batch) == {"loss": 6.0}


@pytest.mark.parametrize("margin", [0.0, 0.3, 1.5])
def test_lack_of_margin_over_every_negative(margin: float) -> None:
    model, tokenizer, rows = encoder().eval(), tiny_tokenizer(), rows_of(5, 4, ragged=True)
    objective, store = Triplets(margin=margin, **OPTIONS), store_of(tokenizer, rows)
    batch = collate(objective, store, every(store))
    wanted = torch.zeros(())
    for text, like, *unlike in rows:
        vectors = mean_vectors(model, tokenizer, [text, like, *unlike])
        cosines = cosine_similarity(vectors[:1], vectors[1:])
        wanted = wanted + (margin - cosines[0] + cosines[1:]).clamp(min=0).sum()
    torch.testing.assert_close(totals(objective, model, batch)["loss"], wanted, rtol=1e-5, atol=1e-5)
    assert objective.counts(batch) == {"loss": 2.0 * 3 + 1.0 * 2}


def test_in_batch_loss_is_a_softmax_over_all_partners_and_negatives() -> None:
    model, tokenizer, rows = encoder().eval(), tiny_tokenizer(), rows_of(5, 3, ragged=True)
    objective, store = InBatchNegatives(scale=20.0, **OPTIONS), store_of(tokenizer, rows)
    batch = collate(objective, store, every(store))
    texts = mean_vectors(model, tokenizer, [row[0] for row in rows])
    candidates = mean_vectors(model, tokenizer, [text for row in rows for text in row[1:]])
    own = torch.tensor(np.cumsum([0, *(len(row) - 1 for row in rows[:-1])]))
    logits = 20.0 * cosine_similarity(texts[:, None], candidates[None], dim=-1)
    wanted = torch.nn.functional.cross_entropy(logits, own, reduction="sum")
    torch.testing.assert_close(totals(objective, model, batch)["loss"], wanted, rtol=1e-5, atol=1e-4)
    assert objective.counts(batch) == {"loss": 5.0}


def test_the_same_text_twice_differs_by_dropout_alone() -> None:
    objective = InBatchNegatives(scale=20.0, twice=True, **OPTIONS)
    store = store_of(tiny_tokenizer(), rows_of(4, 2))
    batch = collate(objective, store, every(store))
    model = encoder()
    with torch.no_grad():
        still = objective.forward(model.eval(), batch)
        torch.testing.assert_close(still[0::2], still[1::2], rtol=1e-5, atol=1e-6)
        model.config.hidden_dropout_prob = 0.5
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.5
        moved = objective.forward(model.train(), batch)
    assert float((moved[0::2] - moved[1::2]).abs().max()) > 0.01


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_scores_are_vectors_of_length_one_for_every_text(pooling: str) -> None:
    model, tokenizer, rows = encoder().eval(), tiny_tokenizer(), rows_of(3, 3, ragged=True)
    objective = Vectors(**OPTIONS | {"pooling": pooling})
    store = store_of(tokenizer, rows)
    batch = collate(objective, store, every(store))
    with torch.inference_mode():
        found = objective.scores(objective.forward(model, batch), batch)
    assert found.dtype == np.float32 and objective.ends(batch).tolist() == [3, 5, 8]
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(8), abs=1e-6)
    text = tokenizer(rows[1][1], return_tensors="pt", truncation=True, max_length=24)
    with torch.inference_mode():
        hidden = model(**text)[0][0]
    wanted = hidden[0] if pooling == "cls" else hidden.mean(0)
    assert found[4] == pytest.approx((wanted / wanted.norm()).numpy(), abs=1e-5)
    assert objective.totals(None, batch) == {} and objective.counts(batch) == {}  # type: ignore[arg-type]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", ["cosine", "triplet", "in-batch"])
def test_losses_and_gradients_are_the_same_without_padding(family: str, kind: str) -> None:
    given = options(family)
    objective: Any = {
        "cosine": lambda: CosineScores(**given),
        "triplet": lambda: Triplets(margin=0.3, **given),
        "in-batch": lambda: InBatchNegatives(scale=20.0, **given),
    }[kind]()
    rows = rows_of(6, 2 if kind == "cosine" else 3)
    store = store_of(tiny_tokenizer(family), rows, targets=SCORES.tolist() if kind == "cosine" else None)
    batch = collate(objective, store, every(store))
    assert_same_without_padding(objective, encoder(family), batch)


def test_losses_of_single_rows_add_up() -> None:
    tokenizer = tiny_tokenizer()
    scored = store_of(tokenizer, rows_of(6, 2), targets=SCORES.tolist())
    assert_rows_alone_give_the_same(CosineScores(**OPTIONS), encoder(), scored, [0, 3, 4])
    triplets = store_of(tokenizer, rows_of(6, 4, ragged=True))
    assert_rows_alone_give_the_same(Triplets(margin=0.5, **OPTIONS), encoder(), triplets, [1, 2, 5])


class OfRank:
    """One of several ranks that are computed one after the other; `gather` gives what all of them have."""

    def __init__(self, rank: int, everything: list[list[np.ndarray]]) -> None:
        self.rank, self.everything = rank, everything

    def gather(self, value: Any, arrays: list[np.ndarray]) -> list[Any]:
        assert all(map(np.array_equal, arrays, self.everything[self.rank])), "dropout is off: nothing has changed"
        return [SimpleNamespace(arrays=each) for each in self.everything]


class Told:
    """A rank alone, which keeps what it told the others. Where it has nothing to tell it hears of a text."""

    rank = 0

    def gather(self, value: Any, arrays: list[np.ndarray]) -> list[Any]:
        self.arrays = list(arrays)
        if not len(arrays[0]):
            width = arrays[0].shape[1]
            arrays = [np.ones((2, width), dtype=arrays[0].dtype), np.array([2]), np.array([1, 2])]
        return [SimpleNamespace(arrays=arrays)]


def gradient(model: Any) -> dict[str, torch.Tensor]:
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    return found


def distance(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    assert set(one) == set(other)
    apart = sum(float((one[name] - other[name]).double().square().sum()) for name in other)
    return float((apart / sum(float(part.double().square().sum()) for part in other.values())) ** 0.5)


def foreseen(objective: Any, model: Any, batches: list[Any], ranks: Any, *, idle: bool = False) -> Any:
    with torch.no_grad():
        outputs = [objective.forward(model, batch) for batch in batches]
    return objective.foresee(batches, outputs, ranks=ranks, idle=idle)


DEALS = [((0, 1, 2, 3), (4, 5, 6)), ((6, 2), (0, 1, 3, 4, 5)), ((0, 1, 2, 3, 4, 5, 6), ())]
"""Rows of two ranks; the last one may have none, and then computes one that counts for nothing."""


def whole_batch(objective: Any, model: Any, store: Any) -> tuple[float, dict[str, torch.Tensor]]:
    loss = totals(objective, model, collate(objective, store, every(store)))["loss"]
    loss.backward()
    return float(loss.detach()), gradient(model)


def dealt_batch(
    objective: Any, model: Any, store: Any, deal: tuple[tuple[int, ...], ...]
) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradient, added over ranks that take one row at a time."""
    batches = [[collate(objective, store, [row]) for row in own or (0,)] for own in deal]
    idle = [not own for own in deal]
    everything: list[list[np.ndarray]] = []
    for own, counts_nothing in zip(batches, idle, strict=True):
        told = Told()
        foreseen(objective, model, own, told, idle=counts_nothing)
        everything.append(told.arrays)
    value = 0.0
    for rank, own in enumerate(batches):
        for batch in foreseen(objective, model, own, OfRank(rank, everything), idle=idle[rank]):
            loss = totals(objective, model, batch)["loss"] * (0.0 if idle[rank] else 1.0)
            loss.backward()
            value += float(loss.detach())
    return value, gradient(model)


@pytest.mark.parametrize("deal", DEALS)
def test_ranks_with_micro_batches_of_one_row_are_one_batch(deal: tuple[tuple[int, ...], ...]) -> None:
    rows = rows_of(7, 3, ragged=True)
    rows[3][0], rows[5][1] = rows[0][0], rows[6][1]
    objective, store = InBatchNegatives(scale=20.0, **OPTIONS), store_of(tiny_tokenizer(), rows)
    model = encoder()
    exact = copy.deepcopy(model).double()
    # In fp64 the two are the same; in fp32 each is as near to that as the other, some 1e-6.
    true_loss, truth = whole_batch(objective, exact, store)
    loss, found = dealt_batch(objective, exact, store, deal)
    assert loss == pytest.approx(true_loss, rel=1e-12) and distance(found, truth) <= 1e-12
    _, whole = whole_batch(objective, model, store)
    loss, found = dealt_batch(objective, model, store, deal)
    assert loss == pytest.approx(true_loss, rel=1e-6)
    assert distance(found, truth) <= 2 * distance(whole, truth) <= 4e-6


def test_what_was_foreseen_goes_along_to_another_device() -> None:
    store = store_of(tiny_tokenizer(), rows_of(2, 2))
    objective = InBatchNegatives(scale=20.0, **OPTIONS)
    model = encoder()
    batch = collate(objective, store, [0, 1])
    (told,) = foreseen(objective, model, [batch], Told())
    moved = told.to(torch.device("meta"))
    assert moved.gradient.device.type == moved.losses.device.type == moved.inputs["input_ids"].device.type == "meta"
    assert copy.copy(told).to(torch.device("cpu")).gradient is not None
