"""What a recipe's stages are: found, in their order, with what they share; and what cannot be one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_stages import USUAL, staged, write, write_stages

from bert_cli.errors import BertctlError, UsageError
from bert_cli.recipe.load import Loaded, load_recipe, shipped_recipes
from bert_cli.recipe.schema import Recipe
from bert_cli.run.stages import Stage, chain_of, find_all


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_stages(tmp_path / "recipes")


def stages_of(recipe: Recipe) -> tuple[Stage, ...]:
    return chain_of(recipe).stages


def refused(recipe: Recipe | Loaded) -> BertctlError:
    with pytest.raises(BertctlError) as caught:
        find_all(recipe) if isinstance(recipe, Loaded) else chain_of(recipe)
    return caught.value


def test_a_stage_is_named_as_the_recipe_that_names_it_sees_it(folder: Path) -> None:
    (folder / "deep").mkdir()
    write(folder / "deep", "mine", "extends: ../texts.yaml\nstages: [../words.yaml, mnli]\n")
    recipe = load_recipe(str(folder / "deep" / "mine.yaml")).recipe
    # `words.yaml` may be written in many ways; the shipped recipe has one full name.
    assert [Path(name).name for name in recipe.stages] == ["words.yaml", "mnli"]
    assert Path(recipe.stages[0]).is_absolute() and recipe.stages[1] == "finetune/mnli"


def test_a_missing_stage_is_refused_where_it_is_named(folder: Path) -> None:
    file = write(folder, "mine", "task: sst2\nstages:\n  - words.yaml\n  - pears.yaml\n")
    with pytest.raises(UsageError) as caught:
        load_recipe(str(file))
    error = caught.value
    assert (error.code, error.key, error.where) == ("R001", "stages", f"{file}:4")
    assert error.suggestion() == "pairs.yaml"


def test_what_a_run_has_recorded_is_read_though_its_stages_are_gone(folder: Path) -> None:
    file = write(folder, "recipe", f"task: sst2\nstages: [{folder / 'gone.yaml'}]\n")
    assert load_recipe(str(file)).recipe.stages == (str(folder / "gone.yaml"),)
    error = refused(load_recipe(str(file)).recipe)
    assert error.code == "R001"


def test_a_stage_shares_model_tokenizer_seed_precision_and_devices_and_nothing_else(folder: Path) -> None:
    recipe = staged(
        folder,
        Path("bert"),
        ["words.yaml", "pairs.yaml"],
        train__seed=7,
        train__lr=9e-5,
        model__tokenizer="tokens",
        model__allow_bin=True,
        data__limit=3,
        run__out="here",
    )
    first, second = stages_of(recipe)
    assert (first.recipe.model.name, first.recipe.model.allow_bin) == ("bert", True)
    for name, stage in (("words", first), ("pairs", second)):
        own = load_recipe(str(folder / f"{name}.yaml")).recipe
        shared = {"seed": 7, "precision": "fp32"}
        assert stage.name == name and stage.recipe.dist == recipe.dist
        assert stage.recipe.train == own.train.model_copy(update=shared)
        assert stage.recipe.model.tokenizer == "tokens"
        assert (stage.recipe.eval, stage.recipe.mask, stage.recipe.run) == (own.eval, own.mask, own.run)
        assert stage.recipe.data == own.data.model_copy(update={"source": str(folder / str(own.data.source))})


def test_the_last_link_is_the_recipe_itself(folder: Path) -> None:
    recipe = staged(folder, Path("bert"), ["words.yaml"], train__lr=9e-5)
    last = chain_of(recipe).last
    assert (last.number, last.title, last.recipe.train, last.recipe.data) == (2, "", recipe.train, recipe.data)
    assert last.recipe.stages == ()


def test_a_recipe_without_a_model_starts_where_its_first_stage_says(folder: Path) -> None:
    write(folder, "named", "extends: words.yaml\nmodel: {name: owner/encoder, revision: abc}\n")
    (first,) = stages_of(staged(folder, None, ["named.yaml"]))
    assert (first.recipe.model.name, first.recipe.model.revision) == ("owner/encoder", "abc")
    (first,) = stages_of(staged(folder, Path("bert"), ["named.yaml"]))
    assert (first.recipe.model.name, first.recipe.model.revision) == ("bert", None)


def test_a_first_stage_from_scratch_starts_from_nothing(folder: Path) -> None:
    write(folder, "new", "extends: words.yaml\nmodel: {size: bert-tiny, tokenizer: texts}\n")
    (first,) = stages_of(staged(folder, None, ["new.yaml"]))
    assert (first.recipe.model.name, first.recipe.model.size) == (None, "bert-tiny")
    # A folder beside the recipe is meant, as with data.
    assert first.recipe.model.tokenizer == str(folder / "texts")


def test_stages_of_a_stage_come_before_it(folder: Path) -> None:
    write(folder, "longer", "extends: pairs.yaml\nstages: [words.yaml]\n")
    recipe = staged(folder, Path("bert"), ["longer.yaml", "pairs.yaml"])
    assert [(stage.number, stage.name) for stage in stages_of(recipe)] == [(1, "words"), (2, "longer"), (3, "pairs")]


def test_a_run_folder_serves_as_a_stage_under_its_own_name(folder: Path) -> None:
    (folder / "old run").mkdir()
    write(folder / "old run", "recipe", "task: sst2\n")
    (stage,) = stages_of(staged(folder, Path("bert"), ["old run"]))
    assert (stage.name, stage.recipe.task) == ("old-run", "sst2")


def test_data_of_a_labelled_stage_may_lie_in_the_mirror_of_all_tasks(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BERTCTL_DATA", "mirror")
    monkeypatch.chdir(folder)
    recipe = load_recipe("texts.yaml", flags={"stages": ["mnli"], "model.name": "bert"}).recipe
    assert stages_of(recipe)[0].recipe.data.source == str(folder / "mirror")
    # Which holds no text to pretrain on.
    error = refused(load_recipe("texts.yaml", flags={"stages": ["domain-adapt"], "model.name": "bert"}).recipe)
    assert (error.code, error.key) == ("U104", "data.source") and "stage 1 of 1 (domain-adapt)" in error.message


def case(folder: Path, name: str) -> Recipe:
    """A chain that cannot be run."""
    write(folder, "circle", f"task: sst2\nstages: [round.yaml]\n{USUAL}")
    write(folder, "round", f"task: sst2\nstages: [circle.yaml]\n{USUAL}")
    write(folder, "new", "extends: words.yaml\nmodel: {size: bert-tiny}\n")
    write(folder, "both", "extends: words.yaml\nmodel: {size: bert-tiny, name: bert}\n")
    write(folder, "odd", "extends: words.yaml\nmodel: {tokenizer: other}\n")
    write(folder, "judged", f"task: blimp\n{USUAL}")
    stages: dict[str, tuple[list[str], dict[str, Any]]] = {
        "U006": (["judged.yaml"], {}),
        "U004": (["both.yaml"], {}),
        "U100": (["circle.yaml"], {}),
        "U101": (["words.yaml"] * 17, {}),
        "U102": (["odd.yaml"], {}),
        "U103": (["words.yaml", "new.yaml"], {}),
    }
    names, changes = stages[name]
    return staged(folder, Path("bert"), names, **changes)


@pytest.mark.parametrize("code", ["U004", "U006", "U100", "U101", "U102", "U103"])
def test_what_cannot_be_a_stage_is_refused(folder: Path, code: str) -> None:
    error = refused(case(folder, code))
    assert error.code == code and isinstance(error, UsageError)
    assert error.help and error.found and error.allowed


def test_a_recipe_that_names_itself_is_a_circle(folder: Path) -> None:
    file = write(folder, "mine", "extends: texts.yaml\nstages: [mine.yaml]\nmodel: {name: bert}\n")
    assert refused(load_recipe(str(file)).recipe).code == "U100"


def test_a_recipe_with_stages_does_not_start_anew_itself(folder: Path) -> None:
    recipe = staged(folder, None, ["words.yaml"], model__size="bert-tiny")
    error = refused(recipe)
    assert (error.code, error.key) == ("U103", "model.size")


def test_a_tokenizer_that_all_share_may_be_said_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    write(folder, "odd", "extends: words.yaml\nmodel: {tokenizer: texts}\n")
    (stage,) = stages_of(staged(folder, Path("bert"), ["odd.yaml"], model__tokenizer="texts"))
    assert stage.recipe.model.tokenizer == "texts"


def test_a_model_that_nothing_starts_from_is_refused(folder: Path) -> None:
    write(folder, "new", "extends: words.yaml\nmodel: {size: bert-tiny}\n")
    file = write(folder, "mine", "extends: texts.yaml\nstages: [new.yaml]\n")
    given = load_recipe(str(file), flags={"model.name": "bert"})
    error = refused(given)
    assert (error.code, error.where, error.found) == ("U105", "--model", "bert")


def test_a_mistake_of_a_stage_says_which_and_in_which_file(folder: Path, tiny_bert: Path) -> None:
    gone = write(folder, "gone", "extends: words.yaml\ndata: {source: gone.txt}\n")
    file = write(folder, "mine", "extends: texts.yaml\nstages: [words.yaml, gone.yaml]\n")
    error = refused(load_recipe(str(file), flags={"model.name": str(tiny_bert)}))
    assert error.code == "D080" and error.exit_code == 3
    assert error.message.startswith("stage 2 of 2 (gone): ") and error.where == str(gone)


@pytest.mark.parametrize("name", [name for name in shipped_recipes() if name.startswith("chain/")])
def test_a_shipped_chain_has_stages_that_can_be_run(name: str) -> None:
    loaded = load_recipe(name)
    stages = stages_of(loaded.recipe)
    assert len(stages) == len(loaded.recipe.stages) > 0
    assert stages[0].recipe.model.name == loaded.recipe.model.name
    first, second, *_ = shipped_recipes()[name].read_text(encoding="utf-8").splitlines()
    assert first.startswith("# ") and first.endswith(".") and second.startswith("# ")
