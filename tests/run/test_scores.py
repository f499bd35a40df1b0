"""What `eval` says is what training said, and what the task means."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score
from tiny import tiny_data, tiny_recipe

from bert_cli.errors import ModelError, UsageError
from bert_cli.metrics import Predictions, Scorer
from bert_cli.run.evaluate import evaluate
from bert_cli.run.finetune import finetune


def test_a_run_on_one_file_is_scored_on_the_rows_it_held_out(tiny_bert: Path, tmp_path: Path) -> None:
    data = tiny_data(tmp_path / "data")
    result = finetune(tiny_recipe(tiny_bert, next(data.glob("train.*")), tmp_path / "run"), quiet=True)
    found = evaluate(str(tmp_path / "run"))
    assert result.state.best is not None
    assert found.scores == result.state.best.scores["validation"]
    assert found.n == len((tmp_path / "run" / "predictions" / "validation.jsonl").read_text().splitlines()) < 64


def test_f1_is_that_of_the_tasks_second_class_whatever_the_models_order() -> None:
    gold = np.array([0, 1, 1, 1, 0, 1])
    scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.4, 0.6], [0.3, 0.7], [0.1, 0.9]], dtype=np.float32)
    reference = f1_score(gold, scores.argmax(1))
    plain = Scorer(("f1",), "text-classification", labels=("no", "yes"))
    assert plain.score(Predictions("text-classification", scores), gold)["f1"] == pytest.approx(reference)
    turned = Scorer(("f1",), "text-classification", labels=("yes", "no"), order=(1, 0))
    same = turned.score(Predictions("text-classification", scores[:, ::-1].copy()), 1 - gold)
    assert same["f1"] == pytest.approx(reference)
    wrong = Scorer(("f1",), "text-classification", labels=("yes", "no"))
    assert wrong.score(Predictions("text-classification", scores[:, ::-1].copy()), 1 - gold)["f1"] != reference


def test_class_weights_follow_names_and_scores_know_none_of_them(tiny_bert: Path, tmp_path: Path) -> None:
    data = tiny_data(tmp_path / "data")
    recipe = tiny_recipe(tiny_bert, data, tmp_path / "run", train__class_weights=(1.0, 5.0), train__label_smoothing=0.1)
    result = finetune(recipe, quiet=True)
    assert result.state.best is not None
    assert evaluate(str(tmp_path / "run")).scores == result.state.best.scores["validation"]


def test_a_copied_model_brings_its_columns_and_keys_given_to_eval_win(tiny_bert: Path, tmp_path: Path) -> None:
    data = tiny_data(tmp_path / "data", text="body")
    recipe = tiny_recipe(tiny_bert, data, tmp_path / "run")
    recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"columns": {"text": "body"}})})
    finetune(recipe, quiet=True)
    (tmp_path / "run" / "best").rename(tmp_path / "moved")
    body = "data.columns.text=body"
    where = tmp_path / "predictions.jsonl"
    whole = evaluate(str(tmp_path / "moved"), data=str(data), overrides=(body,), write_to=where)
    assert whole.n == 24
    cut = (body, "data.max_length=4")
    short = evaluate(str(tmp_path / "moved"), data=str(data), overrides=cut, write_to=where)
    assert short.scores["loss"] != whole.scores["loss"]


def test_random_heads_are_not_scored(tiny_bert: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("the film was good\n\nthe plot was dull\n\nthe cast was warm\n")
    with pytest.raises(ModelError) as caught:
        evaluate(str(tiny_bert), task="fill-mask", data=str(corpus), overrides=("data.max_length=32",))
    assert caught.value.code == "L027"


@pytest.mark.parametrize("name", ["test", "test_more"])
def test_a_test_split_never_selects(tiny_bert: Path, tmp_path: Path, name: str) -> None:
    data = tiny_data(tmp_path / "data")
    next(data.glob("validation.*")).rename(data / f"{name}.tsv")
    recipe = tiny_recipe(tiny_bert, data, tmp_path / "run")
    asked = recipe.data.model_copy(update={"validation": name})
    with pytest.raises(UsageError) as caught:
        finetune(recipe.model_copy(update={"data": asked}), quiet=True)
    assert caught.value.code == "U064"
    assert not (tmp_path / "run").exists()


def test_the_training_split_never_selects(tiny_bert: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(tiny_bert, tiny_data(tmp_path / "data"), tmp_path / "run")
    asked = recipe.data.model_copy(update={"validation": "train"})
    with pytest.raises(UsageError) as caught:
        finetune(recipe.model_copy(update={"data": asked}), quiet=True)
    assert caught.value.code == "U064"


def test_a_score_that_is_not_a_number_is_null_in_every_file(tiny_bert: Path, tmp_path: Path) -> None:
    data = tiny_data(tmp_path / "data", kind="regression", n_validation=1)
    finetune(tiny_recipe(tiny_bert, data, tmp_path / "run", task="text-regression"), quiet=True)
    for name in ("status.json", "best/bertctl.json"):
        text = (tmp_path / "run" / name).read_text()
        json.loads(text, parse_constant=pytest.fail)
        assert '"pearson": null' in text
