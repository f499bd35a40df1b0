"""`bertctl task ls` and `bertctl task show`, through the Typer application."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from bert_cli.cli.app import run as run_command
from bert_cli.cli.task import app, example
from bert_cli.errors import UsageError
from bert_cli.recipe.load import load_recipe
from bert_cli.tasks import all_tasks

runner = CliRunner()


def _run(*args: str) -> str:
    result = runner.invoke(app, list(args), catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_ls_has_one_line_for_each_task_below_the_header() -> None:
    lines = _run("ls").splitlines()
    assert lines[0].split() == ["task", "summary"]
    assert [line.split()[0] for line in lines[1:]] == list(all_tasks())
    assert all(task.summary in line for task, line in zip(all_tasks().values(), lines[1:], strict=True))


def test_ls_as_json_names_the_same_tasks() -> None:
    rows = json.loads(_run("ls", "--json"))
    assert [row["name"] for row in rows] == list(all_tasks())
    assert {"objective", "language", "primary", "metrics", "summary"} <= set(rows[0])


@pytest.mark.parametrize("name", all_tasks())
def test_show_tells_every_label_and_an_example(name: str) -> None:
    task = all_tasks()[name]
    text = _run("show", name)
    assert example(task) in text
    assert all(label in text for label in task.labels or ())
    assert all(column in text for names in task.columns.values() for column in names)
    assert "…" not in text


@pytest.mark.parametrize("name", all_tasks())
def test_show_as_json_keeps_the_order_of_the_ids(name: str) -> None:
    task = all_tasks()[name]
    facts = json.loads(_run("show", name, "--json"))
    assert facts["labels"] == (None if task.labels is None else list(task.labels))
    assert facts["splits"] == {split: list(stems) for split, stems in task.splits.items()}
    assert (facts["hub"] is None) == (task.hub is None)


def test_the_example_asks_for_a_folder_where_the_hub_has_nothing() -> None:
    assert json.loads(_run("show", "text-classification", "--json"))["example"].endswith("--data DIR")
    assert json.loads(_run("show", "sst2", "--json"))["example"] == "bertctl finetune --task sst2"


@pytest.mark.parametrize("name", all_tasks())
def test_the_recipe_that_is_named_brings_the_task(name: str) -> None:
    recipe = json.loads(_run("show", name, "--json"))["recipe"]
    assert recipe is None or load_recipe(recipe).recipe.task == name
    assert (recipe is None) == (load_recipe(task=name).recipe.model.name is None)


def test_the_example_of_a_task_on_plain_text_is_one_of_the_verb_that_trains_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = json.loads(_run("show", "fill-mask", "--json"))["example"].split()
    assert words[:2] == ["bertctl", "pretrain"]
    assert run_command([*words[1:], "--print-config", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["task"]["value"] == "fill-mask"


@pytest.mark.parametrize("name", [name for name, task in all_tasks().items() if "train" in task.splits])
def test_show_marks_the_metric_that_selects_the_best_model(name: str) -> None:
    task = all_tasks()[name]
    (metrics,) = [line for line in _run("show", name).splitlines() if line.startswith("metrics ")]
    assert f"{task.primary} (selects the best model)" in metrics
    assert all(metric in metrics for metric in task.metrics) and metrics.count("(") == 1


def test_a_task_without_a_training_split_is_one_to_be_scored() -> None:
    text = _run("show", "blimp")
    assert "bertctl eval google-bert/bert-base-uncased --task blimp --data DIR" in text
    assert "best model" not in text and "data.labels" not in text


def test_a_task_on_plain_text_shows_neither_columns_nor_labels() -> None:
    text = _run("show", "fill-mask")
    assert "column" not in text and "label" not in text


def test_an_unknown_name_reaches_the_caller_as_our_error() -> None:
    with pytest.raises(UsageError) as caught:
        runner.invoke(app, ["show", "sst"], catch_exceptions=False)
    assert caught.value.suggestion() == "sst2"


def test_the_verbs_import_nothing_heavy() -> None:
    code = (
        "import sys; from bert_cli.cli.task import app; app(['ls'], standalone_mode=False); "
        "print([m for m in ('torch', 'transformers', 'datasets', 'numpy', 'bert_cli.recipe') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]"
