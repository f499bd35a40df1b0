"""Tagging from data to answers: a run, its score again, plain transformers, predictions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tiny_recipe
from tiny_tags import CLASSES, tiny_tags_data
from transformers import AutoModelForTokenClassification, AutoTokenizer

from bert_cli.data.read import Record
from bert_cli.run.dryrun import dry_run
from bert_cli.run.evaluate import evaluate
from bert_cli.run.finetune import finetune
from bert_cli.run.predict import load_predictor
from bert_cli.run.state import Result
from bert_cli.train import checkpoint

CHANGES: dict[str, Any] = {"task": "token-classification", "data__max_length": 16, "train__epochs": 8.0}


@pytest.fixture(scope="module")
def result(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    root = tmp_path_factory.mktemp("tagging")
    return finetune(tiny_recipe(tiny_bert, tiny_tags_data(root / "data"), root / "run", **CHANGES), quiet=True)


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_tags_that_follow_from_words_are_learnt(result: Result) -> None:
    assert result.metric == "entity_f1"
    best = result.state.best
    assert best is not None and best.value > 0.9
    assert set(best.scores["validation"]) >= {"loss", "entity_f1", "entity_precision", "entity_recall", "accuracy"}


def test_eval_repeats_the_recorded_scores_and_predictions_exactly(result: Result, tmp_path: Path) -> None:
    best = result.state.best
    assert best is not None
    recorded = (result.run.predictions / "validation.jsonl").read_bytes()
    for target in (result.run.path, result.run.best):
        again = evaluate(str(target), write_to=tmp_path / "predictions.jsonl")
        assert again.scores == best.scores["validation"] and again.n == 24
        assert (tmp_path / "predictions.jsonl").read_bytes() == recorded
        assert [row["label"] for row in again.report["classes"]] == ["BAD", "GOOD"]


def test_plain_transformers_loads_the_best_model_and_says_the_same(result: Result) -> None:
    model: Any = AutoModelForTokenClassification.from_pretrained(result.run.best, use_safetensors=True)
    assert tuple(model.config.id2label[i] for i in range(len(CLASSES))) == CLASSES
    best = result.state.best
    assert best is not None
    kept = checkpoint.load(result.run.checkpoints / f"step-{best.step:08d}").tensors["model"]
    ours: Any = AutoModelForTokenClassification.from_config(model.config)
    assert not ours.load_state_dict(kept, strict=False).unexpected_keys
    tokenizer: Any = AutoTokenizer.from_pretrained(result.run.best)
    short = [row for row in lines(result.run.predictions / "validation.jsonl") if len(row["tokens"]) <= 14]
    assert len(short) > 5
    for row in short:
        encoded = tokenizer(row["tokens"], is_split_into_words=True, return_tensors="pt")
        with torch.inference_mode():
            logits = model.eval()(**encoded).logits
            assert torch.equal(logits, ours.eval()(**encoded).logits)
        words = encoded.word_ids()
        first = [words.index(word) for word in range(len(row["tokens"]))]
        assert [model.config.id2label[int(logits[0, place].argmax())] for place in first] == row["tags"]


def test_predictions_are_the_same_for_text_and_tokens_in_any_window(result: Result) -> None:
    recorded = lines(result.run.predictions / "validation.jsonl")
    predictor = load_predictor(str(result.run.path))
    for column in ("text", "tokens"):
        records = [Record(line, {column: row[column]}) for line, row in enumerate(recorded, 1)]
        found = list(predictor.stream(records, origin="texts"))
        for one, row in zip(found, recorded, strict=True):
            assert "gold" not in one and one["text"] == row["text"]
            assert [(e["start"], e["end"], e["label"]) for e in one["entities"]] == [
                (e["start"], e["end"], e["label"]) for e in row["entities"]
            ]
            assert ("tags" in one) == (column == "tokens")


def test_a_dry_run_counts_the_words_of_each_class(tiny_bert: Path, tmp_path: Path) -> None:
    data = tiny_tags_data(tmp_path / "data")
    plan = dry_run(tiny_recipe(tiny_bert, data, tmp_path / "run", **CHANGES))
    golds = [tag for row in lines(data / "train.jsonl") for tag in row["ner_tags"]]
    assert plan.splits["train"]["classes"] == {name: golds.count(name) for name in CLASSES}


def test_parts_of_speech_are_selected_and_scored_by_accuracy(tiny_bert: Path, tmp_path: Path) -> None:
    for split, n in (("train", 24), ("validation", 8)):
        (tmp_path / split).with_suffix(".conll").write_text(
            "\n\n".join("the DET\nfilm NOUN\nis AUX\ngood ADJ" for _ in range(n)), encoding="utf-8"
        )
    changes = {**CHANGES, "eval__metric": "accuracy", "data__max_length": 16}
    found = finetune(tiny_recipe(tiny_bert, tmp_path, tmp_path / "run", **changes), quiet=True)
    best = found.state.best
    assert best is not None and best.value == 1.0 and set(best.scores["validation"]) == {"loss", "accuracy"}
    (row,) = load_predictor(str(found.run.path)).predict(["the film"])
    assert [tag["label"] for tag in row["tags"]] == ["DET", "NOUN"]
