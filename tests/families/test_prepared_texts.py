"""Tasks that change their rows: `predict` reads a row as training did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny import tiny_recipe, tiny_texts

from bert_cli.data.read import Record
from bert_cli.errors import DataError
from bert_cli.run.finetune import finetune
from bert_cli.run.predict import Predictor, load_predictor


def write(folder: Path, rows: list[dict[str, Any]]) -> Path:
    folder.mkdir(parents=True)
    for split, part in (("train", rows), ("validation", rows[:8])):
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part), encoding="utf-8")
    return folder


def trained(model: Path, root: Path, task: str, rows: list[dict[str, Any]]) -> tuple[Predictor, list[dict[str, Any]]]:
    """What predicts, and what the run itself predicted for validation."""
    recipe = tiny_recipe(model, write(root / "data", rows), root / "run", task=task, train__epochs=1.0)
    result = finetune(recipe, quiet=True)
    recorded = (result.run.predictions / "validation.jsonl").read_text(encoding="utf-8").splitlines()
    return load_predictor(str(result.run.best)), [json.loads(line) for line in recorded]


def check(predictor: Predictor, rows: list[dict[str, Any]], recorded: list[dict[str, Any]], *texts: str) -> None:
    asked = [{name: value for name, value in row.items() if name != "label"} for row in rows[:8]]
    records = [Record(line, row) for line, row in enumerate(asked, 1)]
    for found, known in zip(predictor.stream(records, origin="stdin"), recorded, strict=True):
        assert [found[name] for name in texts] == [known[name] for name in texts]
        own, theirs = (
            list(each["probabilities"].values()) if isinstance(each["probabilities"], dict) else each["probabilities"]
            for each in (found, known)
        )
        assert own == pytest.approx(theirs, abs=1e-5)


def test_the_words_of_wic_are_marked(tiny_bert: Path, tmp_path: Path) -> None:
    rows = [
        {
            "sentence1": f"the film {text}",
            "start1": 4,
            "end1": 8,
            "sentence2": "a film",
            "start2": 2,
            "end2": 6,
            "label": bool(i % 2),
        }
        for i, (text, _) in enumerate(tiny_texts(24))
    ]
    predictor, recorded = trained(tiny_bert, tmp_path, "wic", rows)
    assert recorded[0]["text"].startswith("the *film* ") and recorded[0]["text_pair"] == "a *film*"
    check(predictor, rows, recorded, "text", "text_pair", "label")
    with pytest.raises(DataError) as caught:
        list(predictor.stream([Record(5, {**rows[0], "end2": 99})], origin="stdin"))
    assert (caught.value.code, caught.value.where) == ("D148", "stdin:5")


def test_the_keywords_of_csl_are_joined(tiny_bert: Path, tmp_path: Path) -> None:
    rows = [
        {"abst": text, "keyword": ["film", "plot"], "label": str(i % 2)} for i, (text, _) in enumerate(tiny_texts(24))
    ]
    predictor, recorded = trained(tiny_bert, tmp_path, "csl", rows)
    assert recorded[0]["text_pair"] == "film plot"
    check(predictor, rows, recorded, "text", "text_pair", "label")


def test_copa_is_asked_in_either_layout(tiny_bert: Path, tmp_path: Path) -> None:
    rows = [
        {
            "premise": text,
            "question": ("cause", "effect")[i % 2],
            "choice1": "a film",
            "choice2": "the plot",
            "label": i % 2,
        }
        for i, (text, _) in enumerate(tiny_texts(24))
    ]
    predictor, recorded = trained(tiny_bert, tmp_path, "copa", rows)
    assert (recorded[0]["context"], recorded[0]["question"]) == (rows[0]["premise"], "cause")
    check(predictor, rows, recorded, "context", "question", "answer")
    mirrored = [
        {"question": row["premise"], "asks_for": row["question"], "choices": [row["choice1"], row["choice2"]]}
        for row in rows
    ]
    check(predictor, mirrored, recorded, "context", "question", "answer")
