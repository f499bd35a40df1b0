"""The metric that selects the best model does so in its own direction."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import tiny_recipe

from bert_cli.metrics import larger_is_better
from bert_cli.run.finetune import finetune
from bert_cli.tasks import find_task


@pytest.mark.parametrize(("metric", "extreme"), [("loss", min), ("accuracy", max)])
def test_the_best_step_is_that_of_the_smallest_loss_or_the_largest_accuracy(
    metric: str, extreme: Callable[..., float], tiny_bert: Path, sst_like: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    changes = {"task": "sst2", "eval__metric": metric, "train__epochs": 3.0}
    result = finetune(tiny_recipe(tiny_bert, sst_like, out, **changes), quiet=True).as_dict()
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    scores = {line["step"]: line[f"validation/{metric}"] for line in lines if f"validation/{metric}" in line}
    assert len(scores) == 6 and len(set(scores.values())) > 1
    assert scores[result["best_step"]] == extreme(scores.values())
    assert (extreme is max) == larger_is_better(metric)


def test_pretraining_selects_by_the_smallest_loss() -> None:
    assert not larger_is_better(find_task("fill-mask").primary)
