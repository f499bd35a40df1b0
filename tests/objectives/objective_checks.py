"""Assertions that hold for every pretraining objective."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from tiny import tiny_config, tiny_tokenizer

from bert_cli.models.attention import unpad
from bert_cli.models.electra import parts
from bert_cli.objectives.frame import Frame


def options(family: str = "bert", *, types: bool = True, **changes: Any) -> dict[str, Any]:
    """Keywords of an objective over the tiny tokenizer of a family."""
    tokenizer = tiny_tokenizer(family)
    return {
        "frame": Frame.of(tokenizer, takes_type_ids=types),
        "vocab_size": len(tokenizer),
        "mask_token_id": tokenizer.mask_token_id,
        "special_ids": tokenizer.all_special_ids,
        "seed": 1,
        **changes,
    }


def calm(family: str) -> Any:
    """A tiny configuration without dropout."""
    from transformers import AutoConfig

    if family in ("bert", "roberta", "distilbert", "modernbert", "electra", "albert"):
        config = tiny_config(family)
    else:
        sizes = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "initializer_range": 0.1}
        narrow = {"embedding_size": 16, "intra_bottleneck_size": 16} if family == "mobilebert" else {}
        config = AutoConfig.for_model(family, vocab_size=len(tiny_tokenizer()), hidden_size=32, **sizes, **narrow)
    for name, value in config.to_dict().items():
        if "dropout" in name and value:
            setattr(config, name, 0.0)
    return config


def collate(objective: Any, store: Any, rows: Any, *, epoch: int = 0, progress: float = 0.0) -> Any:
    rows = np.asarray(rows)
    return objective.collate(store, rows, epochs=np.full(len(rows), epoch), progress=progress)


def totals(objective: Any, model: Any, batch: Any) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = objective.totals(objective.forward(model, batch), batch)
    return found


def assert_same_without_padding(objective: Any, model: Any, batch: Any) -> None:
    """Losses and gradients of the padded and the unpadded model, relative to 1e-5."""
    plain, other = model.train(), copy.deepcopy(model)
    for part in parts(other):
        assert unpad(part) is None
    assert int(batch.inputs["attention_mask"].sum()) < batch.padded_tokens, "a control: there is padding"
    counts = objective.counts(batch)
    gradients = []
    for each in (plain, other):
        found = totals(objective, each, batch)
        sum(objective.weights[name] * total / counts[name] for name, total in found.items()).backward()  # type: ignore[union-attr]
        gradients.append((found, {name: p.grad for name, p in each.named_parameters() if p.grad is not None}))
    (wanted, padded), (found, unpadded) = gradients
    for name, total in wanted.items():
        torch.testing.assert_close(found[name], total, rtol=1e-5, atol=1e-5)
    assert padded.keys() == unpadded.keys()
    norm = sum(float(g.norm() ** 2) for g in padded.values()) ** 0.5
    distance = sum(float((unpadded[name] - g).norm() ** 2) for name, g in padded.items()) ** 0.5
    assert distance < 1e-5 * norm


def assert_rows_alone_give_the_same(objective: Any, model: Any, store: Any, rows: list[int]) -> None:
    """A batch's sums are those of its rows, each in a batch of its own."""
    model.eval()
    with torch.inference_mode():
        batch = collate(objective, store, rows, epoch=2)
        whole, count = totals(objective, model, batch), objective.counts(batch)
        single: dict[str, float] = dict.fromkeys(whole, 0.0)
        counted: dict[str, float] = dict.fromkeys(count, 0.0)
        for row in rows:
            alone = collate(objective, store, [row], epoch=2)
            for name, total in totals(objective, model, alone).items():
                single[name] += float(total)
            for name, value in objective.counts(alone).items():
                counted[name] += value
    assert counted == count
    for name, total in whole.items():
        assert abs(single[name] - float(total)) <= 1e-5 * max(1.0, abs(float(total))), name
