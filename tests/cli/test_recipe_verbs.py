"""The verbs of `bertctl recipe`, called as a user calls them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bert_cli.cli.recipe import app
from bert_cli.errors import BertctlError, ErrorGroup
from bert_cli.recipe import files

SST2 = "# yaml-language-server: $schema=x\n# Sentiment of sentences.\ntask: sst2\ntrain:\n  lr: 2e-5\n"


@pytest.fixture(autouse=True)
def _shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "shipped"
    (root / "finetune").mkdir(parents=True)
    (root / "finetune" / "sst2.yaml").write_text(SST2)
    (tmp_path / "work").mkdir()
    monkeypatch.setattr(files, "recipes_root", lambda: root)
    monkeypatch.chdir(tmp_path / "work")


def run(*args: str) -> str:
    result = CliRunner().invoke(app, list(args))
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*args: str) -> list[BertctlError]:
    error = CliRunner().invoke(app, list(args)).exception
    assert isinstance(error, BertctlError), error
    return list(error.errors) if isinstance(error, ErrorGroup) else [error]


def test_ls_names_the_recipe_and_its_first_comment() -> None:
    assert run("ls").splitlines()[1] == "finetune/sst2  Sentiment of sentences."
    assert json.loads(run("ls", "--json")) == [
        {"name": "finetune/sst2", "task": "sst2", "summary": "Sentiment of sentences."}
    ]


def test_show_prints_the_file_as_it_is_or_every_key() -> None:
    assert run("show", "sst2") == SST2
    assert json.loads(run("show", "sst2", "--json"))["recipe"] == {"task": "sst2", "train": {"lr": 2e-5}}
    resolved = run("show", "sst2", "--resolved")
    assert "  lr: 2e-05\n" in resolved and "  beta1: 0.9\n" in resolved
    assert json.loads(run("show", "sst2", "--resolved", "--json"))["recipe"]["train"]["beta1"] == 0.9


def test_what_show_resolved_prints_is_a_recipe_that_says_the_same() -> None:
    Path("all.yaml").write_text(run("show", "sst2", "--resolved"))
    assert run("diff", "sst2", "all.yaml") == "sst2 and all.yaml are equal\n"


def test_a_run_folder_stands_for_its_recipe_in_every_verb() -> None:
    Path("runs/mine").mkdir(parents=True)
    Path("runs/mine/recipe.yaml").write_text(SST2 + "  epochs: 5\n")
    assert run("show", "runs/mine") == Path("runs/mine/recipe.yaml").read_text()
    assert json.loads(run("show", "runs/mine/", "--resolved", "--json"))["recipe"]["train"]["epochs"] == 5.0
    assert run("validate", "runs/mine") == "ok  runs/mine\n"
    assert run("cp", "runs/mine", "again.yaml") == "again.yaml\n"
    assert run("diff", "runs/mine", "again.yaml") == "runs/mine and again.yaml are equal\n"
    result = CliRunner().invoke(app, ["diff", "sst2", "runs/mine"])
    assert result.exit_code == 1
    assert [line.split() for line in result.stdout.splitlines()] == [
        ["key", "sst2", "runs/mine"],
        ["train.epochs", "3.0", "5.0"],
    ]


def test_a_mistake_in_the_recipe_of_a_run_names_the_file() -> None:
    Path("runs/bad").mkdir(parents=True)
    Path("runs/bad/recipe.yaml").write_text("train: {lr: x}\n")
    (error,) = refused("validate", "runs/bad")
    assert (error.code, error.where) == ("R021", "runs/bad/recipe.yaml:1")


def test_a_folder_that_is_no_run_is_no_recipe() -> None:
    Path("empty").mkdir()
    assert {refused(verb, "empty")[0].code for verb in ("show", "validate")} == {"R002"}


def test_a_name_that_no_file_can_have_is_a_missing_recipe() -> None:
    assert refused("show", "a\0b")[0].code == "R001"


def test_an_empty_recipe_is_refused_and_the_help_mends_it() -> None:
    Path("empty.yaml").write_text("# to be written\n")
    for verb in (("validate", "empty.yaml"), ("show", "empty.yaml"), ("diff", "sst2", "empty.yaml")):
        (error,) = refused(*verb)
        assert (error.code, error.exit_code, error.where) == ("R016", 2, "empty.yaml")
    assert error.help is not None
    run(*error.help.removeprefix("bertctl recipe ").split())
    assert run("validate", "empty.yaml") == "ok  empty.yaml\n"


def test_cp_makes_a_file_and_replaces_one_only_by_force() -> None:
    assert run("cp", "sst2", ".") == "sst2.yaml\n"
    assert Path("sst2.yaml").read_text() == SST2
    Path("sst2.yaml").write_text("mine")
    (error,) = refused("cp", "finetune/sst2", ".")
    assert (error.code, error.help) == ("R050", "bertctl recipe cp finetune/sst2 . --force")
    assert Path("sst2.yaml").read_text() == "mine"
    run("cp", "finetune/sst2", "sst2.yaml", "--force")
    assert Path("sst2.yaml").read_text() == SST2


def test_cp_into_a_missing_folder_says_how_to_make_it() -> None:
    (error,) = refused("cp", "sst2", "no/such/file.yaml")
    assert (error.code, error.exit_code, error.help) == ("R051", 2, "mkdir -p no/such")


def test_validate_reports_every_file_and_every_mistake() -> None:
    Path("good.yaml").write_text("task: sst2\n")
    Path("bad.yaml").write_text("train: {lr: x, epochs: 0}\n")
    result = CliRunner().invoke(app, ["validate", "bad.yaml", "good.yaml", "none.yaml"])
    assert result.stdout == "ok  good.yaml\n"
    assert isinstance(result.exception, ErrorGroup)
    assert [error.code for error in result.exception.errors] == ["R022", "R021", "R001"]
    assert result.exception.exit_code == 2


def test_validate_as_json_ends_with_2_and_lists_each_file() -> None:
    Path("bad.yaml").write_text("train: {lr: x}\n")
    result = CliRunner().invoke(app, ["validate", "sst2", "bad.yaml", "--json"])
    assert result.exit_code == 2
    good, bad = json.loads(result.stdout)
    assert good == {"file": "sst2", "ok": True, "errors": []}
    assert (bad["ok"], bad["errors"][0]["where"], bad["errors"][0]["key"]) == (False, "bad.yaml:1", "train.lr")


def test_diff_shows_only_what_differs_and_ends_with_1() -> None:
    Path("mine.yaml").write_text("extends: finetune/sst2\ntrain: {lr: 3e-5}\ndata: {columns: {text: q}}\n")
    result = CliRunner().invoke(app, ["diff", "sst2", "mine.yaml"])
    assert result.exit_code == 1
    assert [line.split() for line in result.stdout.splitlines()[1:]] == [
        ["train.lr", "2e-05", "3e-05"],
        ["data.columns.text", "-", "q"],
    ]
    result = CliRunner().invoke(app, ["diff", "sst2", "mine.yaml", "--json"])
    assert json.loads(result.stdout)[0] == {"key": "train.lr", "a": 2e-5, "b": 3e-5}
    assert json.loads(run("diff", "sst2", "sst2", "--json")) == []


def test_schema_goes_to_stdout_or_to_a_file() -> None:
    printed = json.loads(run("schema"))
    assert run("schema", "--out", "recipe.json") == "recipe.json\n"
    assert json.loads(Path("recipe.json").read_text()) == printed
    assert "extends" in printed["properties"]


def test_help_imports_neither_pydantic_nor_yaml() -> None:
    code = (
        "import sys, bert_cli.cli.recipe; print([m for m in ('pydantic', 'ruamel.yaml', 'torch') if m in sys.modules])"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout == "[]\n"
