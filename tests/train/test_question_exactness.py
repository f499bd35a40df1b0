"""The gradient of a batch of windows does not depend on how it is cut, nor on padding; against plain torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_exactness import CUTS, EQUAL, N, cut_plan, distance, one_step, take_gradient, whole_batch
from tiny import FAMILIES, tiny_model
from tiny_questions import flat, tiny_paragraphs
from torch.nn import functional

from bert_cli.data.store import EncodedChunk, SplitStore
from bert_cli.models.attention import unpad
from bert_cli.models.build import load_model, load_tokenizer
from bert_cli.models.locate import locate
from bert_cli.objectives.span import SpanObjective
from bert_cli.objectives.windows import Cutter, answer_tokens
from bert_cli.run.build import takes_type_ids
from bert_cli.runtime import Runtime


def eight_windows(tokenizer: Any) -> SplitStore:
    """Windows with and without the answer, one whose answer is not known among them."""
    rows = [*flat(tiny_paragraphs(2, seed=1, facts=2)), *flat(tiny_paragraphs(2, seed=2, facts=6))]
    windows = Cutter.of(tokenizer, max_length=26, stride=6).cut(
        [row["question"] for row in rows], [row["context"] for row in rows]
    )
    starts = [row["answers"]["answer_start"] for row in rows]
    texts = [row["answers"]["text"] for row in rows]
    spans = [(start[0], start[0] + len(text[0])) if text else (0, 0) for start, text in zip(starts, texts, strict=True)]
    spans[1] = (-1, -1)
    targets = answer_tokens(windows, np.array(spans), null_at=0)
    part = slice(0, N)
    chunk = EncodedChunk(windows.ids[part], windows.types[part], {"target": targets[part].astype(np.int32)})
    store = SplitStore.of([chunk], {})
    assert store.targets is not None and len(store) == N and len(set(store.lengths.tolist())) > 2
    assert {int(target[0]) for target in store.targets} > {-1, 0}
    return store


@pytest.mark.parametrize("family", FAMILIES)
def test_gradient_and_loss_of_windows_do_not_depend_on_micro_batches_or_padding(tmp_path: Path, family: str) -> None:
    folder = tiny_model(tmp_path / family, family)
    tokenizer = load_tokenizer(folder)
    model: Any = load_model(locate(str(folder)), auto_class="AutoModelForQuestionAnswering", dropout=0.0)
    store, runtime = eight_windows(tokenizer), Runtime(device="cpu", precision="fp32")
    assert store.targets is not None
    rows = cut_plan(store, (N,)).rows(0)
    inputs = whole_batch(model, tokenizer, store, rows)
    types = takes_type_ids(model, tokenizer)
    if types:
        padded = [store.type_ids(int(row)) for row in rows]
        width = inputs["input_ids"].shape[1]
        inputs["token_type_ids"] = torch.tensor([[*each, *[0] * (width - len(each))] for each in padded])  # type: ignore[misc, arg-type]
    outputs = model.train()(**inputs)
    targets = torch.from_numpy(store.targets[rows]).long()
    hidden = inputs["attention_mask"] == 0
    expected = sum(
        functional.cross_entropy(logits.masked_fill(hidden, -torch.inf), targets[:, side], ignore_index=-1) / 2
        for side, logits in enumerate((outputs.start_logits, outputs.end_logits))
    )
    assert isinstance(expected, torch.Tensor)
    expected.backward()
    reference = take_gradient(model)

    objective = SpanObjective(pad_token_id=tokenizer.pad_token_id, takes_type_ids=types)
    for padding in (True, False):
        assert padding or unpad(model) is None
        for how, sizes in CUTS.items():
            record = one_step(model, objective, store, cut_plan(store, sizes), runtime)
            assert distance(take_gradient(model), reference) <= EQUAL, (how, padding)
            assert record.loss == pytest.approx(float(expected.detach()), rel=EQUAL), (how, padding)
