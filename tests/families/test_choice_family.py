"""A whole run of multiple choice: scores repeat, stops leave no trace, and the best model is plain transformers'."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stopped_run import crash_and_resume, differences
from tiny import tiny_recipe
from tiny_choices import choice_data
from transformers import AutoModelForMultipleChoice, AutoTokenizer

from bert_cli.data.read import Record
from bert_cli.data.store import SplitStore
from bert_cli.errors import NonFiniteError, UsageError
from bert_cli.families.base import Reading
from bert_cli.families.choice import FAMILY
from bert_cli.recipe.schema import Recipe
from bert_cli.run.dryrun import dry_run
from bert_cli.run.evaluate import evaluate
from bert_cli.run.finetune import finetune
from bert_cli.run.predict import load_predictor
from bert_cli.run.state import Result
from bert_cli.tasks import find_task
from bert_cli.train.evaluate import Scored


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return choice_data(tmp_path_factory.mktemp("choices"))


def recipe_of(model: Path, data: Path, out: Path, **changes: Any) -> Recipe:
    recipe: Recipe = tiny_recipe(model, data, out, task="multiple-choice", **changes)
    return recipe


@pytest.fixture(scope="module")
def result(tiny_bert: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return finetune(
        recipe_of(tiny_bert, data, tmp_path_factory.mktemp("choice") / "run", train__epochs=6.0), quiet=True
    )


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_what_can_be_learnt_is_learnt(result: Result) -> None:
    assert result.metric == "accuracy" and result.state.best is not None
    assert result.state.best.value > 0.8, "guessing would score a third"
    assert set(result.state.best.scores["validation"]) == {"loss", "accuracy"}


def test_the_answers_are_those_of_plain_transformers(result: Result, data: Path) -> None:
    """The best folder loads by its architecture; each question is asked on its own, as the model's docs say."""
    model: Any = AutoModelForMultipleChoice.from_pretrained(result.run.best, use_safetensors=True).eval()
    tokenizer: Any = AutoTokenizer.from_pretrained(result.run.best)
    gold = lines(data / "validation.jsonl")
    found = lines(result.run.predictions / "validation.jsonl")
    assert len(found) == len(gold) == 24
    hits = []
    for row, answer in zip(gold, found, strict=True):
        encoded = tokenizer([row["question"]] * len(row["choices"]), row["choices"], padding=True, return_tensors="pt")
        with torch.inference_mode():
            wanted = model(**{name: value[None] for name, value in encoded.items()}).logits[0].softmax(0)
        assert answer["probabilities"] == pytest.approx(wanted.tolist(), abs=1e-4)
        assert answer["choice"] == int(np.argmax(answer["probabilities"]))
        assert answer["answer"] == row["choices"][answer["choice"]]
        assert (answer["gold"], answer["question"], answer["choices"]) == (
            row["label"],
            row["question"],
            row["choices"],
        )
        hits.append(answer["choice"] == row["label"])
    best = result.state.best
    assert best is not None and best.value == np.mean(hits)


def test_eval_repeats_the_recorded_scores_and_predictions_exactly(result: Result, tmp_path: Path) -> None:
    best = result.state.best
    assert best is not None
    recorded = (result.run.predictions / "validation.jsonl").read_bytes()
    for target in (result.run.path, result.run.best):
        again = evaluate(str(target), write_to=tmp_path / "p.jsonl")
        assert again.scores == best.scores["validation"] and again.n == 24
        assert (tmp_path / "p.jsonl").read_bytes() == recorded


def test_the_report_counts_by_choices_and_places(result: Result, tmp_path: Path) -> None:
    report = evaluate(str(result.run.path), write_to=tmp_path / "p.jsonl").report
    assert sum(group["n"] for group in report["by_choices"]) == report["n"] == 24
    assert sum(group["n"] * group["accuracy"] for group in report["by_choices"]) == pytest.approx(
        24 * report["accuracy"]
    )
    assert report["chance"] == pytest.approx(sum(group["n"] / group["choices"] for group in report["by_choices"]) / 24)
    assert sum(place["gold"] for place in report["places"]) == sum(place["taken"] for place in report["places"]) == 24


def test_predict_answers_without_labels_as_eval_did(result: Result, data: Path) -> None:
    predictor = load_predictor(str(result.run.best))
    rows = [{name: row[name] for name in ("question", "choices")} for row in lines(data / "validation.jsonl")]
    records = [Record(line, row) for line, row in enumerate(rows, 1)]
    found = list(predictor.stream(records, origin="stdin"))
    for answer, recorded in zip(found, lines(result.run.predictions / "validation.jsonl"), strict=True):
        assert list(answer) == ["question", "choices", "choice", "answer", "probabilities"]
        assert answer["choice"] == recorded["choice"]
        assert answer["probabilities"] == pytest.approx(recorded["probabilities"], abs=1e-5)


@pytest.mark.parametrize("step", [2, 8])
def test_a_resumed_run_ends_in_the_same_bits(
    step: int, tiny_bert: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped within the first and within the second epoch; dropout is on."""
    finetune(recipe_of(tiny_bert, data, tmp_path / "whole"), quiet=True)
    crash_and_resume(monkeypatch, recipe_of(tiny_bert, data, tmp_path / "parted"), step=step)
    assert differences(tmp_path / "whole", tmp_path / "parted") == []


def test_a_context_is_read_and_what_is_cut_is_told(tiny_bert: Path, tmp_path: Path) -> None:
    folder = choice_data(tmp_path / "data", context=True)
    told: list[str] = []
    recipe = recipe_of(tiny_bert, folder, tmp_path / "run", train__epochs=0.5, data__max_length=24)
    finetune(recipe, quiet=True, note=told.append)
    (cut,) = [line for line in told if line.startswith("cut at 24 tokens")]
    assert "of 48 rows of train" in cut and "of 24 rows of validation" in cut and "% of its tokens" in cut
    assert all(row["context"] for row in lines(tmp_path / "run" / "predictions" / "validation.jsonl"))


def test_a_dry_run_counts_padding_by_choice(tiny_bert: Path, data: Path, tmp_path: Path) -> None:
    padding = dry_run(recipe_of(tiny_bert, data, tmp_path / "run", train__epochs=1.0)).plan["padding"]
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    lengths = [
        len(tokenizer(row["question"], text)["input_ids"])
        for row in lines(data / "train.jsonl")
        for text in row["choices"]
    ]
    assert padding["to_max_length"] == pytest.approx(32 * len(lengths) / sum(lengths), abs=0.01)
    assert 1 == padding["here"] < padding["to_longest_of_batch"] < padding["to_max_length"]


def test_labels_may_be_smoothed_but_not_weighed(tiny_bert: Path, data: Path, tmp_path: Path) -> None:
    recipe = recipe_of(tiny_bert, data, tmp_path / "a", train__epochs=0.5, train__label_smoothing=0.2)
    assert finetune(recipe, quiet=True).state.step == 3
    with pytest.raises(UsageError) as caught:
        finetune(recipe_of(tiny_bert, data, tmp_path / "b", train__class_weights="balanced"), quiet=True)
    assert caught.value.code == "U016"


def test_answers_without_finite_probabilities_are_refused(tiny_bert: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    reading = Reading(Recipe(), find_task("multiple-choice"), tokenizer, None)
    record = Record(1, {"question": "the film", "choices": ["good", "bad"]})
    rows = FAMILY.records([record], reading, origin="x", columns={})
    split = SplitStore.of(FAMILY.encode(rows, reading), {})
    scored = Scored(np.array([0.5, np.nan], dtype=np.float32), np.array([2]), {}, 8)
    with pytest.raises(NonFiniteError):
        FAMILY.answers(split, scored, reading, threshold=None)
