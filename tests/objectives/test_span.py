"""First and last tokens: the loss is torch's own over real tokens, whatever stands on padding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from objective_checks import assert_rows_alone_give_the_same, assert_same_without_padding, calm, collate
from tiny import FAMILIES, tiny_tokenizer
from tiny_questions import flat, tiny_paragraphs
from torch.nn import functional

from bert_cli.data.store import EncodedChunk, SplitStore
from bert_cli.objectives.span import SpanObjective
from bert_cli.objectives.windows import Cutter, answer_tokens, null_place

MAX_LENGTH, STRIDE = 20, 6


def store(family: str = "bert", n: int = 6, *, forget: int | None = None) -> SplitStore:
    """Windows of questions, some of them without the answer; `forget`: a question whose answer is not known."""
    tokenizer = tiny_tokenizer(family)
    rows = [row for seed, facts in ((1, 2), (2, 6)) for row in flat(tiny_paragraphs(n // 2, seed=seed, facts=facts))]
    cutter = Cutter.of(tokenizer, max_length=MAX_LENGTH, stride=STRIDE)
    windows = cutter.cut([row["question"] for row in rows], [row["context"] for row in rows])
    spans = np.array(
        [
            (start[0], start[0] + len(text[0])) if text else (0, 0)
            for text, start in ((row["answers"]["text"], row["answers"]["answer_start"]) for row in rows)
        ]
    )
    if forget is not None:
        spans[forget] = -1
    targets = answer_tokens(windows, spans, null_at=null_place(tokenizer)).astype(np.int32)
    chunk = EncodedChunk(windows.ids, windows.types, {"target": targets, "example": windows.example})
    return SplitStore.of([chunk], {})


def objective(family: str = "bert") -> SpanObjective:
    types = family in ("bert", "electra")
    return SpanObjective(pad_token_id=tiny_tokenizer(family).pad_token_id, takes_type_ids=types)


def model_of(family: str = "bert") -> Any:
    from transformers import AutoModelForQuestionAnswering

    torch.manual_seed(0)
    return AutoModelForQuestionAnswering.from_config(calm(family))


def windows_alone(split: SplitStore, model: Any, rows: list[int]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Start and end logits of each window, run without padding."""
    for row in rows:
        ids = torch.tensor(split.input_ids(row).astype(np.int64))[None]
        types = torch.tensor(split.type_ids(row).astype(np.int64))[None]  # type: ignore[union-attr]
        outputs = model(input_ids=ids, token_type_ids=types)
        yield outputs.start_logits[0], outputs.end_logits[0]


def test_the_loss_is_the_mean_of_two_cross_entropies_over_the_real_tokens() -> None:
    split, model, span = store(forget=2), model_of().eval(), objective()
    rows = list(range(len(split)))
    assert split.targets is not None
    known = split.targets[:, 0] >= 0
    assert 0 < known.sum() < len(rows) and len(set(split.lengths.tolist())) > 2
    wanted = 0.0
    with torch.inference_mode():
        for (start, end), target in zip(windows_alone(split, model, rows), split.targets, strict=True):
            if target[0] < 0:
                continue
            for logits, place in ((start, target[0]), (end, target[1])):
                each = functional.cross_entropy(logits[None], torch.tensor([place]).long())
                wanted += float(each) / 2
        batch = collate(span, split, rows)
        totals = span.totals(span.forward(model, batch), batch)
    assert span.counts(batch) == {"loss": float(known.sum())}
    assert float(totals["loss"]) == pytest.approx(wanted, rel=1e-5)


def test_scores_are_the_logits_of_the_real_tokens_window_after_window() -> None:
    split, model, span = store(), model_of().eval(), objective()
    rows = [5, 0, 9, 3]
    with torch.inference_mode():
        batch = collate(span, split, rows)
        scores, ends = span.scores(span.forward(model, batch), batch), span.ends(batch)
        alone = list(windows_alone(split, model, rows))
    assert scores.dtype == np.float32 and scores.shape == (int(split.lengths[rows].sum()), 2)
    np.testing.assert_array_equal(ends, np.cumsum(split.lengths[rows]))
    for window, (start, end) in enumerate(alone):
        part = scores[ends[window - 1] if window else 0 : ends[window]]
        np.testing.assert_allclose(part, torch.stack([start, end], 1).numpy(), atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_windows_alone_give_the_losses_of_a_batch(family: str) -> None:
    assert_rows_alone_give_the_same(objective(family), model_of(family), store(family), list(range(8)))


@pytest.mark.parametrize("family", FAMILIES)
def test_padding_changes_neither_losses_nor_gradients(family: str) -> None:
    span, split = objective(family), store(family)
    assert_same_without_padding(span, model_of(family), collate(span, split, range(len(split))))


def test_padding_takes_no_probability_whatever_stands_there() -> None:
    span, split = objective(), store()
    rows = list(range(len(split)))
    batch = collate(span, split, rows)

    class Shouting(torch.nn.Module):
        """Says a thousand on padding and nothing elsewhere."""

        def forward(self, attention_mask: torch.Tensor, **_: Any) -> Any:
            class Outputs:
                start_logits = end_logits = (1 - attention_mask.float()) * 1000

            return Outputs()

    totals = span.totals(span.forward(Shouting(), batch), batch)
    wanted = sum(np.log(length) for length in split.lengths[rows])
    assert float(totals["loss"]) == pytest.approx(wanted, rel=1e-5)


def test_a_batch_in_which_no_answer_is_known_has_no_loss_and_no_gradient() -> None:
    span, model = objective(), model_of()
    split = store(n=2, forget=0)
    rows = np.flatnonzero(split.column("example") == 0)
    batch = collate(span, split, rows)
    total = span.totals(span.forward(model, batch), batch)["loss"]
    total.backward()
    assert (float(total.detach()), span.counts(batch)) == (0.0, {"loss": 0.0})
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())
