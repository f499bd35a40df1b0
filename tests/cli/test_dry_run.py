"""`--dry-run` and `--print-config` find everything out and leave nothing; every shipped recipe passes a dry run."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from command import Cli
from tiny import tiny_data
from tiny_tasks import write_task

from bert_cli.recipe.load import load_recipe, shipped_recipes
from bert_cli.tasks import find_task
from bert_cli.toyworld import Sizes, write_world

FINETUNE = sorted(name for name in shipped_recipes() if name.startswith("finetune/"))
PRETRAIN = sorted(name for name in shipped_recipes() if name.startswith("pretrain/"))


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every folder that a command could write to: the working folder, the cache, the home folder, temporary files."""
    folders = [tmp_path / name for name in ("cache", "home", "tmp")]
    for folder in folders:
        folder.mkdir()
    monkeypatch.setenv("BERTCTL_CACHE", str(folders[0]))
    monkeypatch.setenv("HOME", str(folders[1]))
    monkeypatch.setattr(tempfile, "tempdir", str(folders[2]))
    return [Path.cwd(), *folders]


def content(folders: list[Path]) -> list[Path]:
    return sorted(path for folder in folders for path in folder.rglob("*"))


def test_a_dry_run_says_what_the_run_would_do(cli: Cli, tiny_bert: Path, places: list[Path]) -> None:
    tiny_data(Path("d"))
    words = ("finetune", "--task", "text-classification", "--model", tiny_bert, "--data", "d", "--max-length", "12")
    before = content(places)
    done = cli(*words, "--batch-size", 16, "--epochs", 2, "--dry-run", "--json")
    plan = done.json
    assert plan["labels"] == ["bad", "good"]
    assert plan["splits"]["train"]["classes"] == {"bad": 32, "good": 32}
    assert plan["splits"]["train"]["truncated"] > 0 and plan["splits"]["train"]["longest"] == 12
    assert (plan["plan"]["steps"], plan["plan"]["steps_per_epoch"]) == (8, 4)
    assert plan["plan"]["padding"]["to_max_length"] >= plan["plan"]["padding"]["here"] >= 1
    assert plan["cost"]["seconds_per_step"] > 0 and plan["cost"]["peak_memory_mb"] > 0
    shown = cli(*words, "--dry-run").out
    for text in ("columns  text = text, label = label", "train.tsv", "truncated", "bad", "memory"):
        assert text in shown
    assert content(places) == before


@pytest.mark.parametrize("words", [(), ("--task", "fill-mask")])
def test_a_dry_run_of_pretraining_leaves_nothing(words: tuple[str, ...], cli: Cli, places: list[Path]) -> None:
    write_world(Path("w"), seed=0, sizes=Sizes(documents=20, train=2, validation=2, test=2))
    before = content(places)
    small = ("model.config.hidden_size=16", "model.config.intermediate_size=16", "tokenizer.vocab_size=200")
    done = cli("pretrain", "demo-tiny", "--data", "w/corpus.txt", "--dry-run", *words, *small)
    assert done.code == 0 and "from scratch" in done.out
    assert content(places) == before


def test_print_config_touches_neither_model_nor_data(cli: Cli, places: list[Path]) -> None:
    before = content(places)
    done = cli("finetune --task sst2 --model no/such/model --data nowhere --print-config --json")
    assert done.code == 0 and done.json["model.name"] == {"value": "no/such/model", "origin": "--model"}
    assert content(places) == before


@pytest.mark.parametrize("name", FINETUNE)
def test_every_recipe_runs_on_data_of_its_task(name: str, cli: Cli, tiny_bert: Path, places: list[Path]) -> None:
    recipe = load_recipe(name).recipe
    assert recipe.task is not None and recipe.model.name is not None
    task = find_task(recipe.task)
    data = write_task(task, Path("d"))
    before = content(places)
    words = (name, "--model", tiny_bert, "--data", data, "--max-length", 32, "--limit", 12, "--precision", "fp32")
    done = cli("finetune", *words, "--dry-run", "--json")
    if "train" not in task.splits:
        assert done.code == 2 and "error[U006]" in done.err, "it measures models"
        return
    assert done.code == 0, done.err
    assert done.json["task"] == recipe.task
    assert {"train", "validation"} <= set(done.json["splits"])
    if task.objective in ("text-classification", "multi-label-classification"):
        assert done.json["labels"] == list(task.labels or ("no", "yes"))
    assert content(places) == before


@pytest.mark.parametrize("name", PRETRAIN)
def test_every_pretraining_recipe_runs_on_text(name: str, cli: Cli, places: list[Path], tiny_bert: Path) -> None:
    write_world(Path("w"), seed=0, sizes=Sizes(documents=20, train=2, validation=2, test=2))
    shape = ("num_hidden_layers=1", "hidden_size=32", "num_attention_heads=2", "intermediate_size=32")
    small = [*(f"model.config.{size}" for size in shape), "tokenizer.vocab_size=300", "train.batch_size=4"]
    words = ["--model", tiny_bert, "--max-length", 32] if name == "pretrain/domain-adapt" else small
    done = cli("pretrain", name, "--data", "w/corpus.txt", *words, "train.batch_sizes=", "--dry-run", "--json")
    assert done.code == 0, done.err
    timed = done.json["plan"]["steps"] is None
    assert done.json["cost"]["training_seconds"] > 0 and (timed or done.json["plan"]["steps"] > 0)
