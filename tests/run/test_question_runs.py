"""A run of questions: it resumes in the same bits, its score is repeated, and plain transformers gives its answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import tiny_recipe
from tiny_questions import (
    character_model,
    chinese_rows,
    flat,
    nested,
    tiny_paragraphs,
    tiny_squad,
    write_json,
    write_rows,
)
from transformers import AutoModelForQuestionAnswering, AutoModelForSequenceClassification, AutoTokenizer

from bert_cli.data.read import Record, iter_records
from bert_cli.run import fit as fitting
from bert_cli.run.evaluate import evaluate
from bert_cli.run.finetune import finetune
from bert_cli.run.predict import load_predictor
from bert_cli.run.state import Result
from bert_cli.train import checkpoint
from bert_cli.train.engine import StepRecord, train

LENGTH, STRIDE, LONGEST = 20, 6, 4


def recipe(model: Path, data: Path, out: Path, **changes: Any) -> Any:
    values = {
        "task": "question-answering",
        "data__max_length": LENGTH,
        "data__stride": STRIDE,
        "eval__max_answer_length": LONGEST,
        "eval__n_best": 5,
        **changes,
    }
    return tiny_recipe(model, data, out, **values)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_squad(tmp_path_factory.mktemp("questions") / "data")


@pytest.fixture(scope="module")
def result(tiny_bert: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    out = tmp_path_factory.mktemp("questions") / "run"
    return finetune(recipe(tiny_bert, data, out), quiet=True)


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def facts(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((result.run.best / "bertctl.json").read_text(encoding="utf-8"))
    return found


def test_the_loss_falls_and_the_best_step_is_kept_with_its_threshold(result: Result) -> None:
    losses = [line["train/loss"] for line in lines(result.run.metrics) if "train/loss" in line]
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
    assert result.metric == "answer_f1"
    best = result.state.best
    assert best is not None and set(best.scores["validation"]) == {"loss", "exact_match", "answer_f1"}
    assert facts(result)["threshold"] == best.threshold
    assert 0.0 <= best.threshold < 1.0


def test_predictions_are_written_in_the_official_format_too(result: Result) -> None:
    rows = lines(result.run.predictions / "validation.jsonl")
    assert len(rows) == 18
    official = json.loads((result.run.predictions / "validation.json").read_text())
    silence = json.loads((result.run.predictions / "validation.na_prob.json").read_text())
    assert official == {row["id"]: row["answer"] for row in rows}
    threshold = facts(result)["threshold"]
    assert {row["id"] for row in rows if silence[row["id"]] > threshold} == {
        row["id"] for row in rows if not row["answer"]
    }


def plain_answers(folder: Path, question: str, context: str) -> tuple[dict[tuple[int, int], float], float]:
    """Scores of all spans by characters, and of no answer, from plain transformers, one window at a time."""
    model: Any = AutoModelForQuestionAnswering.from_pretrained(folder, use_safetensors=True).eval()
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    encoded = tokenizer(
        question,
        context,
        truncation="only_second",
        max_length=LENGTH,
        stride=STRIDE,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    spans: dict[tuple[int, int], float] = {}
    null = float("inf")
    for window, ids in enumerate(encoded["input_ids"]):
        inputs = {"input_ids": torch.tensor([ids]), "token_type_ids": torch.tensor([encoded["token_type_ids"][window]])}
        with torch.inference_mode():
            outputs = model(**inputs)
        start, end = outputs.start_logits[0], outputs.end_logits[0]
        null = min(null, float(start[0] + end[0]))
        places = [place for place, which in enumerate(encoded.sequence_ids(window)) if which == 1]
        offsets = encoded["offset_mapping"][window]
        for first in places:
            for last in range(first, min(first + LONGEST, places[-1] + 1)):
                key = (offsets[first][0], offsets[last][1])
                spans[key] = max(spans.get(key, -np.inf), float(start[first] + end[last]))
    return spans, null


def test_the_answers_are_those_of_plain_transformers(result: Result, data: Path) -> None:
    asked = {row["id"]: row for row in flat(tiny_paragraphs(6, seed=2))}
    silence = json.loads((result.run.predictions / "validation.na_prob.json").read_text())
    several = 0
    for row in lines(result.run.predictions / "validation.jsonl")[:9]:
        given = asked[row["id"]]
        spans, null = plain_answers(result.run.best, given["question"], given["context"])
        best = sorted(spans, key=lambda key: -spans[key])[:5]
        assert [(each["start"], each["end"]) for each in row["n_best"]] == best
        assert [each["answer"] for each in row["n_best"]] == [given["context"][start:end] for start, end in best]
        odds = null - spans[best[0]]
        assert silence[row["id"]] == pytest.approx(1 / (1 + np.exp(-odds)), abs=1e-5)
        weights = np.exp([*(spans[key] for key in best), null])
        assert [each["score"] for each in row["n_best"]] == pytest.approx(
            (weights / weights.sum())[:-1].tolist(), abs=1e-5
        )
        several += len(given["context"].split()) + 5 > LENGTH
    assert several, "a control: some contexts need several windows"


def test_eval_repeats_the_recorded_scores_and_files_exactly(result: Result, tmp_path: Path) -> None:
    best = result.state.best
    assert best is not None
    for target in (result.run.path, result.run.best):
        again = evaluate(str(target), write_to=tmp_path / "predictions.jsonl")
        assert again.scores == best.scores["validation"]
        assert (again.n, again.threshold) == (18, best.threshold)
        assert again.report["has_answer"]["n"] == 12
        for suffix in (".jsonl", ".json", ".na_prob.json"):
            written = (tmp_path / "predictions").with_suffix(suffix).read_bytes()
            assert written == (result.run.predictions / f"validation{suffix}").read_bytes()


def test_predict_answers_as_eval_does_from_nested_and_from_flat_files(result: Result, tmp_path: Path) -> None:
    paragraphs = tiny_paragraphs(6, seed=2)
    recorded = lines(result.run.predictions / "validation.jsonl")
    predictor = load_predictor(str(result.run.path))
    rows = [{name: value for name, value in row.items() if name != "answers"} for row in flat(paragraphs)]
    for path in (write_json(tmp_path / "in.json", nested(paragraphs)), write_rows(tmp_path / "in.jsonl", rows)):
        found = list(predictor.stream(iter_records(path), origin=path.name))
        assert len(found) == len(recorded)
        for mine, theirs in zip(found, recorded, strict=True):
            assert "line" not in mine and "gold" not in mine
            assert (mine["id"], mine["question"]) == (theirs["id"], theirs["question"])
            assert (mine["answer"], mine["start"], mine["end"]) == (theirs["answer"], theirs["start"], theirs["end"])
            assert mine["score"] == pytest.approx(theirs["score"], abs=1e-5)


def test_a_resumed_run_ends_in_the_same_bits(
    result: Result, tiny_bert: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Crash(Exception):
        """The machine went away."""

    def stopping(*args: Any, **kwargs: Any) -> Iterator[StepRecord]:
        for record in train(*args, **kwargs):
            if record.step == 9:
                raise Crash
            yield record

    wanted = recipe(tiny_bert, data, tmp_path / "run")
    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(fitting, "train", stopping)
        finetune(wanted, quiet=True)
    again = finetune(wanted.model_copy(update={"run": wanted.run.model_copy(update={"resume": "auto"})}), quiet=True)
    last = max(folder.name for folder in result.run.checkpoints.iterdir())
    one, other = (checkpoint.load(run.run.checkpoints / last).tensors for run in (result, again))
    assert all(torch.equal(one[stem][name], other[stem][name]) for stem in ("model", "optimizer") for name in one[stem])
    assert (result.run.best / "model.safetensors").read_bytes() == (again.run.best / "model.safetensors").read_bytes()
    for suffix in (".jsonl", ".json", ".na_prob.json"):
        files = [(each.run.predictions / f"validation{suffix}").read_bytes() for each in (result, again)]
        assert files[0] == files[1]


def test_a_run_begins_with_a_model_of_three_classes(tiny_bert: Path, data: Path, tmp_path: Path) -> None:
    classifier: Any = AutoModelForSequenceClassification.from_pretrained(str(tiny_bert), num_labels=3)
    classifier.save_pretrained(str(tmp_path / "classes"))
    AutoTokenizer.from_pretrained(str(tiny_bert)).save_pretrained(str(tmp_path / "classes"))
    done = finetune(recipe(tmp_path / "classes", data, tmp_path / "run", train__epochs=0.2), quiet=True)
    config = json.loads((done.run.best / "config.json").read_text())
    assert config["architectures"] == ["BertForQuestionAnswering"] and "id2label" not in config
    assert load_predictor(str(done.run.best)) is not None


def test_chinese_is_learnt_and_scored_by_characters(tmp_path: Path) -> None:
    write_rows(tmp_path / "d" / "trial.jsonl", chinese_rows(64))
    write_rows(tmp_path / "d" / "dev.jsonl", chinese_rows(24))
    model = character_model(tmp_path / "characters")
    changes = {"task": "cmrc2018", "data__max_length": 32, "train__epochs": 16.0, "train__lr": 5e-3, "eval__every": 4.0}
    changes |= {"model__dropout": 0.0}
    done = finetune(recipe(model, tmp_path / "d", tmp_path / "run", **changes), quiet=True)
    best = done.state.best
    assert best is not None and best.threshold == 1.0
    rows = lines(done.run.predictions / "validation.jsonl")
    right = np.mean([row["answer"] == row["gold"][0] for row in rows])
    assert best.scores["validation"]["exact_match"] == pytest.approx(right)
    # Guessing one of the four words would be right in a quarter of the cases.
    assert best.scores["validation"]["answer_f1"] >= right > 0.8
    predictor = load_predictor(str(done.run.path))
    (found,) = predictor.stream(
        [Record(1, {"question": "结尾怎样？", "context": chinese_rows(1)[0]["context"]})], origin="x"
    )
    assert found["answer"] in chinese_rows(1)[0]["context"]


def test_contexts_are_held_out_and_scored_again_where_there_is_no_validation_split(
    tiny_bert: Path, tmp_path: Path
) -> None:
    write_json(tmp_path / "d" / "train.json", nested(tiny_paragraphs(20, impossible=False)))
    done = finetune(recipe(tiny_bert, tmp_path / "d", tmp_path / "run", train__epochs=0.3), quiet=True)
    best = done.state.best
    assert best is not None and best.threshold == 1.0
    again = evaluate(str(done.run.path), write_to=tmp_path / "p.jsonl")
    assert (again.scores, again.held_out, again.n) == (best.scores["validation"], 0.1, 6)
    assert not (tmp_path / "p.na_prob.json").exists()
