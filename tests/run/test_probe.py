"""A probe: one run a task with equal settings, one table, nothing trained twice and nothing trained in vain."""

from __future__ import annotations

import json
import shutil
import statistics
from pathlib import Path
from typing import Any

import pytest
import typer
from tiny import tiny_data, tiny_model
from typer.testing import CliRunner

from bert_cli.cli.probe import probe as command
from bert_cli.errors import BertctlError, DataError, ErrorGroup, Interrupted, UsageError
from bert_cli.recipe.load import load_recipe
from bert_cli.run.probe import RECIPE, TASKS, probe
from bert_cli.tasks import find_task

FLAGS = {"data.max_length": 32, "train.epochs": 1.0, "train.precision": "fp32", "dist.device": "cpu"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with folders of three tasks."""
    root = tmp_path_factory.mktemp("world")
    for name in ("sst2", "cola"):
        tiny_data(root / name, n_train=32, text="sentence", labels=("0", "1"))
    tiny_data(root / "stsb", n_train=32, kind="regression", pairs=True, text="sentence1")
    for path in (root / "stsb").iterdir():
        path.write_text(path.read_text().replace("text_pair", "sentence2", 1))
    return root


def probed(model: Path, data: Path, out: Path, tasks: tuple[str, ...] = ("sst2", "cola"), **options: Any) -> Any:
    flags = {**FLAGS, "data.source": str(data), **options.pop("flags", {})}
    return probe(str(model), tasks=tasks, flags=flags, out=out, quiet=True, **options)


def errors_of(*given: Any, **options: Any) -> list[BertctlError]:
    with pytest.raises(BertctlError) as caught:
        probed(*given, **options)
    return list(caught.value.errors) if isinstance(caught.value, ErrorGroup) else [caught.value]


def test_every_task_is_a_run_and_the_mean_is_that_of_the_scores(tiny_bert: Path, world: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    found = probed(tiny_bert, world, tmp_path / "p", ("sst2", "cola", "stsb"), note=notes.append)
    assert {name: task.metric for name, task in found.tasks.items()} == {
        "sst2": "accuracy",
        "cola": "matthews_correlation",
        "stsb": "spearman",
    }
    for name, task in found.tasks.items():
        status = json.loads((tmp_path / "p" / name / "status.json").read_text())["result"]
        assert (task.value, task.n, task.std) == (status["value"], 24, None)
        assert task.seconds == status["train_seconds"] > 0
    assert found.mean == pytest.approx(statistics.mean(task.value for task in found.tasks.values()))
    assert json.loads((tmp_path / "p" / "probe.json").read_text()) == json.loads(json.dumps(found.as_dict()))
    assert notes[-1].startswith("stsb: spearman ") and notes[-1].endswith("(3 of 3)")


def test_a_finished_task_is_not_trained_again_and_another_is_added(
    tiny_bert: Path, world: Path, tmp_path: Path
) -> None:
    first = probed(tiny_bert, world, tmp_path / "p", ("sst2",))
    before = (tmp_path / "p/sst2/status.json").stat().st_mtime_ns
    both = probed(tiny_bert, world, tmp_path / "p")
    assert both.tasks["sst2"] == first.tasks["sst2"] and set(both.tasks) == {"sst2", "cola"}
    assert (tmp_path / "p/sst2/status.json").stat().st_mtime_ns == before
    probed(tiny_bert, world, tmp_path / "p", ("sst2",), overwrite=True)
    assert (tmp_path / "p/sst2/status.json").stat().st_mtime_ns > before


def test_all_missing_data_are_named_before_anything_is_trained(tiny_bert: Path, world: Path, tmp_path: Path) -> None:
    errors = errors_of(tiny_bert, world, tmp_path / "p", tasks=("sst2", "rte", "cola", "mrpc"))
    assert [type(error) for error in errors] == [DataError, DataError]
    assert ["rte" in errors[0].message, "mrpc" in errors[1].message] == [True, True]
    assert not (tmp_path / "p").exists()


def test_a_mistake_that_all_tasks_share_is_told_once(tiny_bert: Path, tmp_path: Path) -> None:
    (error,) = errors_of(tiny_bert, tmp_path / "nowhere", tmp_path / "p")
    assert error.code == "D020"


def test_data_without_a_training_split_are_refused(tiny_bert: Path, world: Path, tmp_path: Path) -> None:
    shutil.copytree(world / "sst2", tmp_path / "d/sst2")
    (tmp_path / "d/sst2/train.tsv").unlink()
    (error,) = errors_of(tiny_bert, tmp_path / "d", tmp_path / "p", tasks=("sst2",))
    assert error.code == "D043" and "'sst2'" in error.message


def test_the_data_of_one_task_are_not_taken_for_those_of_all(tiny_bert: Path, world: Path, tmp_path: Path) -> None:
    for place in (world / "sst2", world / "sst2/train.tsv"):
        (error,) = errors_of(tiny_bert, place, tmp_path / "p")
        assert isinstance(error, UsageError) and error.code == "U088"
    assert probed(tiny_bert, world / "sst2", tmp_path / "p", ("sst2",)).tasks["sst2"].n == 24


@pytest.mark.parametrize(
    ("names", "codes"), [(("sst", "blimp"), ["U010", "U090"]), (("fill-mask",), ["U090"]), ((), ["U010"])]
)
def test_tasks_that_cannot_be_trained_are_refused_together(
    tiny_bert: Path, world: Path, tmp_path: Path, names: tuple[str, ...], codes: list[str]
) -> None:
    assert [error.code for error in errors_of(tiny_bert, world, tmp_path / "p", tasks=names)] == codes


def test_a_metric_that_does_not_fit_a_task_is_refused_first(tiny_bert: Path, world: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {"tasks": ("sst2", "stsb"), "overrides": ("eval.metric=accuracy",)}
    (error,) = errors_of(tiny_bert, world, tmp_path / "p", **given)
    assert error.code == "M002" and not (tmp_path / "p").exists()


def test_runs_of_other_weights_data_or_settings_are_not_taken_over(
    tiny_bert: Path, world: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_bert, model)
    shutil.copytree(world / "sst2", tmp_path / "d/sst2")
    given = (model, tmp_path / "d", tmp_path / "p", ("sst2",))
    probed(*given)
    (error,) = errors_of(*given, flags={"train.epochs": 2.0})
    assert error.code == "U023" and error.key == "train.epochs"
    train = tmp_path / "d/sst2/train.tsv"
    train.write_text(train.read_text() + "a good film\t1\n")
    (error,) = errors_of(*given)
    assert error.code == "U089" and "other data" in error.message
    tiny_model(model, seed=1)
    (error,) = errors_of(*given)
    assert error.code == "U089" and "other weights and data" in error.message
    assert probed(*given, overwrite=True).tasks["sst2"].n == 24


def test_several_seeds_give_mean_and_deviation(tiny_bert: Path, world: Path, tmp_path: Path) -> None:
    found = probed(tiny_bert, world, tmp_path / "p", ("sst2",), seeds=2, flags={"train.lr": 5e-3})
    runs = [json.loads((tmp_path / f"p/sst2-seeds/seed-{s}/status.json").read_text())["result"] for s in (42, 43)]
    values = [run["value"] for run in runs]
    assert found.tasks["sst2"].value == pytest.approx(statistics.mean(values))
    assert found.tasks["sst2"].std == pytest.approx(statistics.stdev(values))
    assert found.tasks["sst2"].seconds == pytest.approx(sum(run["train_seconds"] for run in runs))


def test_a_probe_that_was_stopped_goes_on_with_the_same_command(
    tiny_bert: Path, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*given: Any, **options: Any) -> None:
        raise Interrupted("S001", "stopped", help="the same command with --resume auto goes on from there")

    with monkeypatch.context() as patch, pytest.raises(Interrupted) as caught:
        patch.setattr("bert_cli.run.probe.finetune", stopped)
        probed(tiny_bert, world, tmp_path / "p")
    assert caught.value.help == "the same command goes on from there"
    assert set(probed(tiny_bert, world, tmp_path / "p").tasks) == {"sst2", "cola"}


def test_the_shipped_settings_fit_every_default_task() -> None:
    for name in TASKS:
        recipe = load_recipe(RECIPE, flags={"task": name}, verb="probe").recipe
        assert recipe.task == name and "label" in find_task(name).columns
        assert recipe.data.limit is not None and recipe.model.name is None and recipe.run.out is None


def test_the_command_prints_one_table(tiny_bert: Path, world: Path, tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(command)
    words = [str(tiny_bert), "data.max_length=32", "--tasks", "sst2,cola", "--data", str(world), "--quiet"]
    words += ["--out", str(tmp_path / "p"), "--epochs", "1", "--precision", "fp32", "--device", "cpu"]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0
    lines = [line.split() for line in done.stdout.splitlines() if line]
    assert lines[0] == ["task", "metric", "score", "rows", "seconds"]
    assert [line[0] for line in lines[1:4]] == ["sst2", "cola", "mean"]
    found = json.loads(CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False).stdout)
    assert lines[1][2] == f"{found['tasks']['sst2']['value']:.4f}" and lines[3][1] == f"{found['mean']:.4f}"
