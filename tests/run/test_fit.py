"""A whole run: the best model is kept and published, loads in plain transformers, and scores what it scored."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tiny_data, tiny_recipe
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from bert_cli.families.sequence import SequenceFamily
from bert_cli.metrics import larger_is_better
from bert_cli.objectives.sequence import SequenceObjective
from bert_cli.run.evaluate import evaluate
from bert_cli.run.finetune import finetune
from bert_cli.run.state import Result
from bert_cli.train import checkpoint, engine

KINDS = {
    "text-classification": ("classification", "accuracy"),
    "multi-label-classification": ("multi-label", "f1_micro"),
    "text-regression": ("regression", "pearson"),
}


def trained(tiny_bert: Path, root: Path, name: str, **changes: Any) -> Result:
    data = tiny_data(root / "data", pairs=name == "text-regression", kind=KINDS[name][0])
    return finetune(tiny_recipe(tiny_bert, data, root / "run", task=name, **changes), quiet=True)


@pytest.fixture(scope="module", params=list(KINDS))
def result(request: pytest.FixtureRequest, tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return trained(tiny_bert, tmp_path_factory.mktemp("fit"), request.param, train__epochs=3.0)


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def validation_scores(result: Result) -> dict[int, float]:
    key = f"validation/{result.metric}"
    return {line["step"]: line[key] for line in lines(result.run.metrics) if key in line}


def test_the_best_step_is_the_first_with_the_best_primary_metric(result: Result) -> None:
    assert result.metric == KINDS[json_task(result)][1] and larger_is_better(result.metric)
    scores = validation_scores(result)
    assert list(scores) == [4, 8, 12, 16, 20, 24]
    known = {step: -math.inf if value is None else value for step, value in scores.items()}
    best = result.state.best
    assert best is not None
    assert best.step == max(known, key=lambda step: known[step])
    assert best.value == known[best.step]


def json_task(result: Result) -> str:
    return str(json.loads((result.run.best / "bertctl.json").read_text(encoding="utf-8"))["task"])


def test_the_run_folder_holds_what_it_should_and_no_pickle(result: Result) -> None:
    names = {entry.name for entry in result.run.path.iterdir()}
    assert names == {
        *("recipe.yaml", "lock.json", "status.json", "metrics.jsonl", "checkpoints", "predictions", "best"),
        "MANIFEST.json",
    }
    endings = {file.suffix for file in result.run.path.rglob("*") if file.is_file()}
    assert endings <= {".yaml", ".json", ".jsonl", ".safetensors", ".md", ".txt"}
    status = result.run.read_status()
    assert (status["state"], status["exit_code"]) == ("done", 0)
    assert status["result"] == json.loads(json.dumps(result.as_dict()))
    assert not [entry for entry in result.run.path.rglob("*") if entry.name.startswith((".tmp-", ".del-"))]


def test_plain_transformers_loads_the_best_model_with_the_weights_of_the_best_step(result: Result) -> None:
    """Same weights, same batch, same logits, bit for bit."""
    model: Any = AutoModelForSequenceClassification.from_pretrained(result.run.best, use_safetensors=True)
    best = result.state.best
    assert best is not None
    kept = checkpoint.load(result.run.checkpoints / f"step-{best.step:08d}").tensors["model"]
    ours: Any = AutoModelForSequenceClassification.from_config(model.config)
    assert not ours.load_state_dict(kept, strict=False).unexpected_keys
    tokenizer: Any = AutoTokenizer.from_pretrained(result.run.best)
    inputs = tokenizer(["the film was good", "the very long and dull story of a bad score"], padding=True)
    inputs = {name: torch.tensor(value) for name, value in inputs.items()}
    with torch.inference_mode():
        assert torch.equal(model.eval()(**inputs).logits, ours.eval()(**inputs).logits)


def test_the_predictions_are_those_of_plain_transformers(result: Result) -> None:
    model: Any = AutoModelForSequenceClassification.from_pretrained(result.run.best, use_safetensors=True)
    tokenizer: Any = AutoTokenizer.from_pretrained(result.run.best)
    task, best = json_task(result), result.state.best
    assert best is not None
    rows = lines(result.run.predictions / "validation.jsonl")
    assert len(rows) == 24
    for row in rows:
        texts = [row["text"], *([row["text_pair"]] if "text_pair" in row else [])]
        with torch.inference_mode():
            encoded = tokenizer(*texts, return_tensors="pt", truncation=True, max_length=32)
            logits = model.eval()(**encoded).logits[0]
        if task == "text-regression":
            assert row["score"] == pytest.approx(float(logits[0]), rel=1e-3, abs=1e-4)
            continue
        scores = logits.softmax(-1) if task == "text-classification" else logits.sigmoid()
        assert list(row["probabilities"].values()) == pytest.approx(scores.tolist(), abs=1e-4)
        names = list(row["probabilities"])
        assert names == [model.config.id2label[i] for i in range(len(names))]
        if task == "text-classification":
            assert row["label"] == names[int(scores.argmax())]
        else:
            chosen = [name for name, score in row["probabilities"].items() if score >= best.threshold]
            assert row["labels"] == chosen


def test_eval_repeats_the_recorded_scores_and_predictions_exactly(result: Result, tmp_path: Path) -> None:
    best = result.state.best
    assert best is not None
    recorded = (result.run.predictions / "validation.jsonl").read_bytes()
    for target in (result.run.path, result.run.best):
        again = evaluate(str(target), write_to=tmp_path / "predictions.jsonl")
        assert again.scores == best.scores["validation"]
        assert again.n == 24
        assert (tmp_path / "predictions.jsonl").read_bytes() == recorded
    assert (result.run.predictions / "validation.jsonl").read_bytes() == recorded


def test_eval_sees_a_model_that_is_not_the_recorded_one(result: Result, tmp_path: Path) -> None:
    """Negative control: one changed row of the head changes the scores above."""
    import shutil

    from safetensors.torch import load_file, save_file

    best = result.state.best
    assert best is not None
    folder = Path(shutil.copytree(result.run.best, tmp_path / "changed"))
    tensors = load_file(str(folder / "model.safetensors"))
    tensors["classifier.bias"][0] += 0.5
    save_file(tensors, str(folder / "model.safetensors"), {"format": "pt"})
    data = str(result.run.path.parent / "data")
    again = evaluate(str(folder), data=data, write_to=tmp_path / "predictions.jsonl")
    assert again.scores["loss"] != best.scores["validation"]["loss"]


# Selection, with scores that the test decides


def scripted(monkeypatch: pytest.MonkeyPatch, values: list[float]) -> None:
    """Let the accuracy of each scoring be the next of `values`; the real one is still computed."""
    answers, upcoming = SequenceFamily.answers, iter(values)

    def scripted_answers(self: Any, *args: Any, **kwargs: Any) -> Any:
        real: Any = answers(self, *args, **kwargs)
        return replace(real, scores={**real.scores, "accuracy": next(upcoming)})

    monkeypatch.setattr(SequenceFamily, "answers", scripted_answers)


def best_weights_are_those_of(result: Result, step: int) -> bool:
    from safetensors.torch import load_file

    published = load_file(str(result.run.best / "model.safetensors"))
    kept = checkpoint.load(result.run.checkpoints / f"step-{step:08d}").tensors["model"]
    return all(torch.equal(published[name], kept[name]) for name in published)


def test_the_best_model_is_published_though_training_went_on(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(monkeypatch, [0.5, 0.9, 0.7, 0.9])
    result = trained(tiny_bert, tmp_path, "text-classification")
    assert result.state.best is not None
    assert (result.state.best.step, result.state.best.value, result.state.step) == (8, 0.9, 16)
    names = sorted(entry.name for entry in result.run.checkpoints.iterdir())
    assert names == ["step-00000008", "step-00000016"], "the newest one and the best one"
    assert best_weights_are_those_of(result, 8)
    assert not best_weights_are_those_of(result, 16)


def test_patience_ends_the_run_and_says_so(tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, [0.5, 0.9, 0.8, 0.9, 1.0, 1.0])
    result = trained(tiny_bert, tmp_path, "text-classification", train__epochs=3.0, eval__patience=2)
    assert result.state.best is not None
    assert (result.state.step, result.state.best.step) == (16, 8)
    assert result.as_dict()["stopped"] == "no better accuracy in 2 scorings"
    assert best_weights_are_those_of(result, 8)


def test_a_new_best_resets_patience(tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, [0.5, 0.4, 0.6, 0.5, 0.7, 0.6])
    result = trained(tiny_bert, tmp_path, "text-classification", train__epochs=3.0, eval__patience=2)
    assert result.state.step == 24 and result.as_dict()["stopped"] == "finished"
    assert result.state.best is not None and result.state.best.step == 20


def test_a_score_that_is_no_number_is_never_the_best(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(monkeypatch, [math.nan, 0.2, math.nan, 0.1])
    result = trained(tiny_bert, tmp_path, "text-classification")
    assert result.state.best is not None and result.state.best.step == 8
    assert [line.get("validation/accuracy", 0) for line in lines(result.run.metrics)].count(None) == 2


# When it scores, saves and ends


class Clock:
    """Every look at it is a second later; a step looks three times, and two of these seconds are its own."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def perf_counter(self) -> float:
        self.seconds += 1.0
        return self.seconds


def test_scores_and_checkpoints_come_every_so_many_steps_and_at_the_end(tiny_bert: Path, tmp_path: Path) -> None:
    often = {"eval__every": "6 steps", "run__save_every": "5 steps", "run__keep": 99}
    result = trained(tiny_bert, tmp_path, "text-classification", **often)
    assert list(validation_scores(result)) == [6, 12, 16]
    best = result.state.best
    assert best is not None
    saved = {int(entry.name[5:]) for entry in result.run.checkpoints.iterdir()}
    assert {5, 10, 15, 16, best.step} <= saved <= {5, 6, 10, 12, 15, 16}


def test_time_in_training_steps_ends_a_run_and_says_when_to_score(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps end at 1, 3, 5 … seconds; the first one past 20 is the eleventh, at 21."""
    monkeypatch.setattr(engine, "time", Clock())
    timed = {"train__budget": "20s", "eval__every": "6s", "train__warmup": 0.0}
    result = trained(tiny_bert, tmp_path, "text-classification", **timed)
    assert list(validation_scores(result)) == [4, 7, 10, 11]
    assert (result.state.step, result.state.seconds) == (11, 21.0)
    assert result.as_dict()["stopped"] == "finished"
    rates = [line["train/lr"] for line in lines(result.run.metrics) if "train/lr" in line]
    expected = [3e-3 * (1 - spent / 20) for spent in (0, *range(1, 21, 2))]
    assert rates == pytest.approx(expected, rel=1e-4)


def test_a_run_that_time_ends_goes_on_with_the_time_that_is_left(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "time", Clock())
    data = tiny_data(tmp_path / "data")
    recipe = tiny_recipe(tiny_bert, data, tmp_path / "run", train__budget="20s", run__save_every="4s", run__keep=99)
    assert finetune(recipe, quiet=True).state.seconds == 21.0
    again = recipe.model_copy(update={"run": recipe.run.model_copy(update={"resume": "auto"})})
    for lost, left in ((0, 21.0), (3, 20.0)):
        (tmp_path / "run" / "status.json").unlink()
        shutil.rmtree(tmp_path / "run" / "best")
        for later in sorted((tmp_path / "run" / "checkpoints").iterdir())[-lost or 99 :]:
            shutil.rmtree(later)
        result = finetune(again, quiet=True)
        assert result.state.seconds == left, "the update before a stop is not counted"
        assert (result.run.best / "model.safetensors").is_file()


def test_micro_batches_that_memory_made_smaller_stay_so_after_a_resume(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second process computes as the first did from there on, and never finds out again."""
    data, sizes = tiny_data(tmp_path / "data"), list[int]()
    total = SequenceObjective.totals

    def tight(self: SequenceObjective, outputs: Any, batch: Any) -> Any:
        if torch.is_grad_enabled():
            sizes.append(batch.tokens)
            if batch.tokens > 40:
                raise MemoryError
        return total(self, outputs, batch)

    monkeypatch.setattr(SequenceObjective, "totals", tight)
    whole = finetune(tiny_recipe(tiny_bert, data, tmp_path / "whole"))
    assert "memory ran out at step 1, which was made again" in capsys.readouterr().err
    assert whole.state.micro_batch_tokens is not None and whole.state.micro_batch_tokens <= 40
    parted = tiny_recipe(tiny_bert, data, tmp_path / "parted", run__keep=9)
    finetune(parted, quiet=True)
    for later in sorted((tmp_path / "parted" / "checkpoints").iterdir())[3:]:
        shutil.rmtree(later)
    (tmp_path / "parted" / "status.json").unlink()
    shutil.rmtree(tmp_path / "parted" / "best")
    sizes.clear()
    resumed = finetune(parted.model_copy(update={"run": parted.run.model_copy(update={"resume": "auto"})}), quiet=True)
    assert sizes and max(sizes) <= 40, "no step had to fail again"
    assert resumed.as_dict()["scores"] == whole.as_dict()["scores"]


def test_smaller_micro_batches_may_be_asked_for_on_resume(tiny_bert: Path, tmp_path: Path) -> None:
    """What a lack of memory advises must be possible."""
    recipe = tiny_recipe(tiny_bert, tiny_data(tmp_path / "data"), tmp_path / "run", train__budget="4 steps")
    assert (finetune(recipe, quiet=True).state.micro_batch_tokens or 0) > 24
    (tmp_path / "run" / "status.json").unlink()
    shutil.rmtree(tmp_path / "run" / "best")
    shutil.rmtree(sorted((tmp_path / "run" / "checkpoints").iterdir())[-1])
    asked = {"train": recipe.train.model_copy(update={"micro_batch_tokens": 24})}
    asked["run"] = recipe.run.model_copy(update={"resume": "auto"})
    assert finetune(recipe.model_copy(update=asked), quiet=True).state.micro_batch_tokens == 24
