"""Whole runs that read long texts in windows: trained, scored and predicted on the aggregate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stopped_run import crash_and_resume, differences
from tiny import BAD, GOOD, PLACES, tiny_recipe, write_table
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from bert_cli.recipe.schema import Recipe
from bert_cli.run.evaluate import evaluate
from bert_cli.run.finetune import finetune
from bert_cli.run.predict import load_predictor


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts of which the words that tell the class stand behind 30 words that do not."""
    folder = tmp_path_factory.mktemp("long")
    for split, n, seed in (("train", 64, 1), ("validation", 24, 2)):
        rng = np.random.default_rng(seed)
        rows = [
            [" ".join([*rng.choice(PLACES, 30), *rng.choice(GOOD if i % 2 else BAD, 12)]), ("bad", "good")[i % 2]]
            for i in range(n)
        ]
        write_table(folder / f"{split}.tsv", ["text", "label"], rows)
    return folder


def recipe_of(model: Path, data: Path, out: Path, **changes: Any) -> Recipe:
    settings = {"data__max_length": 24, "data__stride": 6, **changes}
    recipe: Recipe = tiny_recipe(model, data, out, **settings)
    return recipe


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("how", ["mean", "max"])
def test_a_class_behind_the_first_window_is_learnt_scored_and_predicted(
    how: str, tiny_bert: Path, data: Path, tmp_path: Path
) -> None:
    changes = {"data__aggregate": how, "train__epochs": 8.0}
    told: list[str] = []
    result = finetune(recipe_of(tiny_bert, data, tmp_path / "run", **changes), quiet=True, note=told.append)
    assert "no row is cut at 24 tokens" in told
    best = result.state.best
    assert best is not None and best.value > 0.9
    recorded = lines(result.run.predictions / "validation.jsonl")
    assert f"the {how} of their logits decides" in (result.run.best / "README.md").read_text(encoding="utf-8")
    for target in (result.run.path, result.run.best):
        again = evaluate(str(target), write_to=tmp_path / "p.jsonl")
        assert (again.scores, again.n, again.cut.rows, again.cut.tokens) == (best.scores["validation"], 24, 0, 0.0)
        assert lines(tmp_path / "p.jsonl") == recorded

    model: Any = AutoModelForSequenceClassification.from_pretrained(result.run.best).eval()
    tokenizer: Any = AutoTokenizer.from_pretrained(result.run.best)
    predicted = load_predictor(str(result.run.best)).predict([row["text"] for row in recorded])
    for row, found in zip(recorded, predicted, strict=True):
        theirs = tokenizer(
            row["text"], max_length=24, truncation=True, stride=6, return_overflowing_tokens=True, padding=True
        )
        with torch.inference_mode():
            ids, mask = (torch.tensor(theirs[name]) for name in ("input_ids", "attention_mask"))
            logits = model(input_ids=ids, attention_mask=mask).logits
        whole = logits.mean(0) if how == "mean" else logits.amax(0)
        assert list(found["probabilities"].values()) == pytest.approx(whole.softmax(0).tolist(), abs=1e-4)
        assert found["probabilities"] == pytest.approx(row["probabilities"], abs=1e-5)


def test_the_first_window_alone_cannot_tell_the_class_and_the_loss_is_told(
    tiny_bert: Path, data: Path, tmp_path: Path
) -> None:
    """Control for the test above, and the audit of what is lost."""
    told: list[str] = []
    recipe = recipe_of(tiny_bert, data, tmp_path / "run", data__stride=None, train__epochs=2.0)
    result = finetune(recipe, quiet=True, note=told.append)
    assert result.state.best is not None and result.state.best.value < 0.8
    (cut,) = [line for line in told if line.startswith("cut at 24 tokens (data.max_length): ")]
    kept, whole = (
        64 * 24,
        sum(len(row.split("\t")[0].split()) + 2 for row in (data / "train.tsv").read_text().splitlines()[1:]),
    )
    assert f"64 of 64 rows of train, {100 * (1 - kept / whole):.2g} % of its tokens; 24 of 24 rows of validation" in cut


def test_a_resumed_run_ends_in_the_same_bits(
    tiny_bert: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finetune(recipe_of(tiny_bert, data, tmp_path / "whole", data__aggregate="mean"), quiet=True)
    parted = recipe_of(tiny_bert, data, tmp_path / "parted", data__aggregate="mean")
    crash_and_resume(monkeypatch, parted, step=5)
    assert differences(tmp_path / "whole", tmp_path / "parted") == []
