"""Disk: a run for which there is no room never begins, and one with a limit stays below it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from safetensors.torch import load_file
from tiny import tiny_data, tiny_recipe

from bert_cli.errors import ResourceError
from bert_cli.recipe.schema import Recipe
from bert_cli.run import disk
from bert_cli.run.build import build
from bert_cli.run.disk import GB, Need
from bert_cli.run.finetune import finetune, prepare
from bert_cli.run.rundir import RunDir
from bert_cli.run.runs import size_of
from bert_cli.seal import damage
from bert_cli.train import checkpoint


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_data(tmp_path_factory.mktemp("data"))


@pytest.fixture
def recipe(tiny_bert: Path, data: Path, tmp_path: Path) -> Callable[..., Recipe]:
    def make(name: str = "run", **changes: Any) -> Recipe:
        return tiny_recipe(tiny_bert, data, tmp_path / name, **changes)

    return make


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Bytes of the run folder whenever most is there: when a checkpoint has just been written."""
    sizes: list[int] = []
    save = checkpoint.save

    def measured(folder: Path, name: str, given: checkpoint.Checkpoint) -> Path:
        final = save(folder, name, given)
        sizes.append(size_of(folder.parent))
        return final

    monkeypatch.setattr(checkpoint, "save", measured)
    yield sizes


def need_of(recipe: Recipe) -> Need:
    return Need.of(recipe, build(prepare(recipe)))


def free(monkeypatch: pytest.MonkeyPatch, count: float) -> None:
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: SimpleNamespace(total=10**12, used=0, free=int(count)))


def refused(recipe: Recipe, **options: Any) -> ResourceError:
    with pytest.raises(ResourceError) as caught:
        finetune(recipe, quiet=True, **options)
    assert caught.value.exit_code == 7 and len(caught.value.render().splitlines()) <= 6
    return caught.value


@pytest.mark.parametrize("keep", [1, 3])
def test_the_most_that_a_run_takes_is_known_before_it_begins(
    recipe: Callable[..., Recipe], taken: list[int], keep: int
) -> None:
    wanted = recipe(run__keep=keep)
    known = need_of(wanted).at_once(keep + 2)
    finetune(wanted, quiet=True)
    assert max(taken) <= known
    assert max(taken) > 0.6 * known


def test_as_many_checkpoints_are_reckoned_with_as_are_made(recipe: Callable[..., Recipe]) -> None:
    once = need_of(recipe(train__epochs=1.0, eval__every=1.0, run__save_every=1.0, run__keep=5))
    assert once.saves <= 3 and once.checkpoint > 2 * once.weights
    assert need_of(recipe(run__save_every="1 steps")).saves >= 16
    timed = need_of(recipe(train={"budget": "10m", "batch_size": 8}, run__keep=5))
    assert timed.at_once(7) == 7 * timed.checkpoint + disk.BESIDE


def test_without_enough_free_space_nothing_begins(
    recipe: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wanted = recipe()
    needed = need_of(wanted).at_once(wanted.run.keep + 2)
    free(monkeypatch, needed - 1)
    error = refused(wanted)
    assert (error.code, error.where) == ("P011", str(tmp_path / "run"))
    assert f"{(needed - 1) / 1e6:.2f} MB free" in error.render() and f"allowed: {needed / 1e6:.2f} MB" in error.render()
    assert not (tmp_path / "run").exists()
    free(monkeypatch, needed)
    finetune(wanted, quiet=True)
    # What is deleted first counts as free.
    free(monkeypatch, 0)
    assert refused(recipe("other")).code == "P011"
    again = refused(wanted, overwrite=True)
    assert again.code == "P011" and (tmp_path / "run" / "best").is_dir()
    free(monkeypatch, needed - size_of(tmp_path / "run"))
    finetune(wanted, quiet=True, overwrite=True)


def test_a_limit_is_never_exceeded_and_keeps_the_newest_and_the_best(
    recipe: Callable[..., Recipe], taken: list[int], tmp_path: Path
) -> None:
    often = {"run__save_every": "1 steps", "run__keep": 20, "eval__every": 0.25}
    finetune(recipe("free", **often), quiet=True)
    unlimited = max(taken)
    taken.clear()
    one = need_of(recipe(**often)).checkpoint
    limit = 5.5 * one
    assert unlimited > 2 * limit
    done = finetune(recipe("capped", run__max_gb=limit / GB, **often), quiet=True)
    assert max(taken) <= limit and size_of(tmp_path / "capped") <= limit
    assert max(taken) > limit - 1.1 * one - disk.BESIDE, "as much is kept as may be"
    left = sorted(folder.name for folder in RunDir(tmp_path / "capped").checkpoints.glob("step-*"))
    assert done.state.best is not None
    assert {f"step-{done.state.best.step:08d}", f"step-{done.state.step:08d}"} <= set(left)
    assert not any(damage(tmp_path / "capped" / "checkpoints" / name) for name in left)
    one_model, other = (load_file(tmp_path / name / "best" / "model.safetensors") for name in ("free", "capped"))
    assert all(one_model[name].equal(other[name]) for name in one_model)


def test_a_limit_below_what_a_run_cannot_do_without_is_refused_before_it_begins(
    recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    least = need_of(recipe()).at_once(3)
    error = refused(recipe(run__max_gb=(least - 1) / GB))
    assert (error.code, error.key) == ("P012", "run.max_gb") and "help: run.max_gb=" in error.render()
    assert not (tmp_path / "run").exists()


def test_a_limit_that_is_reached_stops_a_run_that_then_goes_on(
    recipe: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run, save = tmp_path / "run", checkpoint.save

    def and_something_else(folder: Path, name: str, given: checkpoint.Checkpoint) -> Path:
        if name == "step-00000006":
            (run / "mine").write_bytes(b"x" * 1_000_000)
        return save(folder, name, given)

    monkeypatch.setattr(checkpoint, "save", and_something_else)
    capped = recipe(run__max_gb=(need_of(recipe()).at_once(3) + 500_000) / GB)
    assert refused(capped).code == "P012"
    kept, rejected = checkpoint.newest(run / "checkpoints")
    assert kept is not None and not rejected and size_of(run) <= round(float(capped.run.max_gb or 0) * GB) + 1_000_000
    monkeypatch.undo()
    finetune(recipe(run__resume="auto", run__max_gb=1.0), quiet=True)
    assert RunDir(run).best.is_dir()


def test_the_newest_and_the_best_survive_where_nothing_else_may_be_deleted(
    recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    finetune(recipe(run__keep=20), quiet=True)
    run = RunDir(tmp_path / "run")
    before = sorted(folder.name for folder in run.checkpoints.glob("step-*"))
    best = checkpoint.read_state(run.checkpoints / before[-1])["best"]["step"]
    with pytest.raises(ResourceError):
        disk.make_room(recipe(run__max_gb=1e-6), run, coming=0)
    left = sorted(folder.name for folder in run.checkpoints.glob("step-*"))
    assert len(before) > 2 and left == sorted({f"step-{best:08d}", before[-1]})
