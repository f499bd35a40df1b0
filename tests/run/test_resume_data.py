"""Whether a run may go on: mixtures may lie elsewhere, and nothing else about them may change."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tiny import BAD, GOOD, tiny_recipe

from bert_cli.errors import DataError, UsageError
from bert_cli.recipe.load import dump_recipe
from bert_cli.recipe.schema import Recipe
from bert_cli.run.finetune import finetune
from bert_cli.run.resume import same_recipe
from bert_cli.run.rundir import RunDir

Mix = Mapping[str, float]


def write(folder: Path) -> Path:
    """Two corpora, each in a file."""
    folder.mkdir()
    for name, words in (("good.txt", GOOD), ("bad.txt", BAD)):
        lines = [" ".join(words[(i + j) % len(words)] for j in range(9)) for i in range(24)]
        (folder / name).write_text("\n\n".join(lines))
    return folder


def mixture(model: Path, out: Path, mix: Mix, **changes: Any) -> Recipe:
    """Six steps over corpora with these weights, saved every second one."""
    usual = {
        "task": "fill-mask",
        "data__source": None,
        "data__mix": dict(mix),
        "data__max_length": 12,
        "train__budget": "6 steps",
        "run__save_every": "2 steps",
        "eval__every": "6 steps",
    }
    found: Recipe = tiny_recipe(model, Path(), out, **usual | changes)
    return found


def begun(recipe: Recipe) -> RunDir:
    """A run folder with this recipe."""
    run = RunDir(Path(str(recipe.run.out)))
    run.path.mkdir()
    run.recipe.write_text(dump_recipe(recipe), encoding="utf-8")
    return run


@pytest.mark.parametrize("mix", [{"/new/a.txt": 3.0, "/new/b.txt": 1.0}, {"/z/a.txt": 3.0, "/b/b.txt": 1.0}])
def test_the_corpora_of_a_mixture_may_have_moved(tmp_path: Path, mix: Mix) -> None:
    run = begun(mixture(tmp_path, tmp_path / "run", {"/old/a.txt": 3.0, "/old/b.txt": 1.0}))
    moved = mixture(tmp_path, tmp_path / "run", mix)
    same_recipe(moved, run)
    with pytest.raises(UsageError):
        same_recipe(moved.model_copy(update={"train": moved.train.model_copy(update={"lr": 0.5})}), run)


@pytest.mark.parametrize(
    "mix",
    [
        {"/old/a.txt": 1.0, "/old/b.txt": 3.0},
        {"/new/a.txt": 3.0, "/new/b.txt": 2.0},
        {"/new/a.txt": 3.0},
        {"/new/a.txt": 3.0, "/new/b.txt": 1.0, "/new/c.txt": 1.0},
    ],
)
def test_a_mixture_with_other_weights_is_another_recipe(tmp_path: Path, mix: Mix) -> None:
    run = begun(mixture(tmp_path, tmp_path / "run", {"/old/a.txt": 3.0, "/old/b.txt": 1.0}))
    with pytest.raises(UsageError) as error:
        same_recipe(mixture(tmp_path, tmp_path / "run", mix), run)
    assert (error.value.code, error.value.key) == ("U023", "data.mix")


@pytest.fixture
def stopped(tiny_bert: Path, tmp_path: Path) -> tuple[Recipe, bytes]:
    """A run over two corpora that has lost all after its fourth step, and the weights that it had reached."""
    old, run = write(tmp_path / "old"), tmp_path / "run"
    recipe = mixture(tiny_bert, run, {f"{old}/good.txt": 3.0, f"{old}/bad.txt": 1.0}, run__keep=9)
    assert finetune(recipe, quiet=True).state.step == 6
    weights = (run / "best" / "model.safetensors").read_bytes()
    shutil.rmtree(run / "best")
    shutil.rmtree(sorted((run / "checkpoints").iterdir())[-1])
    (run / "status.json").unlink()
    return recipe.model_copy(update={"run": recipe.run.model_copy(update={"resume": "auto"})}), weights


def elsewhere(recipe: Recipe, mix: Mix) -> Recipe:
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"mix": dict(mix)})})


def test_a_run_goes_on_with_its_corpora_at_other_places(stopped: tuple[Recipe, bytes], tmp_path: Path) -> None:
    recipe, weights = stopped
    # The order of their names is another one now.
    good, bad = write(tmp_path / "z") / "good.txt", write(tmp_path / "a") / "bad.txt"
    found = finetune(elsewhere(recipe, {f"{good}": 3.0, f"{bad}": 1.0}), quiet=True)
    assert found.state.step == 6
    assert (found.run.best / "model.safetensors").read_bytes() == weights


def test_a_run_does_not_go_on_with_the_weights_of_moved_corpora_swapped(
    stopped: tuple[Recipe, bytes], tmp_path: Path
) -> None:
    new = write(tmp_path / "new")
    with pytest.raises(DataError) as error:
        finetune(elsewhere(stopped[0], {f"{new}/good.txt": 1.0, f"{new}/bad.txt": 3.0}), quiet=True)
    assert error.value.code == "D090" and "mix" in error.value.message
