"""Runs that are stopped and go on, for the contract that every family keeps: they end in the same bits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from bert_cli.recipe.schema import Recipe
from bert_cli.run import fit as fitting
from bert_cli.run.finetune import finetune
from bert_cli.train import checkpoint
from bert_cli.train.engine import StepRecord, train


class Crash(Exception):
    """The machine went away."""


def crash_and_resume(monkeypatch: pytest.MonkeyPatch, recipe: Recipe, *, step: int) -> None:
    """Train until the update of `step`, lose what was not saved, and go on to the end."""

    def stopping(*args: Any, **kwargs: Any) -> Iterator[StepRecord]:
        for record in train(*args, **kwargs):
            if record.step == step:
                raise Crash
            yield record

    with monkeypatch.context() as patch:
        patch.setattr(fitting, "train", stopping)
        with pytest.raises(Crash):
            finetune(recipe, quiet=True)
    torch.manual_seed(999)
    finetune(recipe.model_copy(update={"run": recipe.run.model_copy(update={"resume": "auto"})}), quiet=True)


def differences(one: Path, other: Path) -> list[str]:
    """Weights, optimizer tensors and predictions in which two finished runs differ."""
    kept = [checkpoint.newest(run / "checkpoints")[0] for run in (one, other)]
    assert kept[0] is not None and kept[1] is not None and kept[0].name == kept[1].name
    first, second = checkpoint.load(kept[0]), checkpoint.load(kept[1])
    found = [
        f"{stem}/{name}"
        for stem in ("model", "optimizer")
        for name in sorted(first.tensors[stem] | second.tensors[stem])
        if not torch.equal(first.tensors[stem][name], second.tensors[stem][name])
    ]
    predictions = [(run / "predictions" / "validation.jsonl").read_bytes() for run in (one, other)]
    return [*found, *(["predictions"] if predictions[0] != predictions[1] else [])]
